#include "ckernels.h"
#if defined(__x86_64__)
#define KK(name) name##_v4
#pragma clang attribute push(__attribute__((target("arch=x86-64-v4"))), apply_to = function)
#define KK_NAME "v4"
#define KK_VW 16
#define KK_MR 8
#define KK_NR 32
#include "families.h"
#pragma clang attribute pop
#endif
