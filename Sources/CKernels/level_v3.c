#include "ckernels.h"
#if defined(__x86_64__)
#define KK(name) name##_v3
#pragma clang attribute push(__attribute__((target("arch=x86-64-v3"))), apply_to = function)
#define KK_NAME "v3"
#define KK_VW 8
#define KK_MR 6
#define KK_NR 16
#include "families.h"
#pragma clang attribute pop
#endif
