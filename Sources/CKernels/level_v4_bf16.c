#include "ckernels.h"
#if defined(__x86_64__)
#include <immintrin.h>
#define KK(name) name##_v4_bf16
#define KK_NAME "v4-bf16"
#define KK_VW 16
#define KK_MR 8
#define KK_NR 32
#define KK_BF16
#pragma clang attribute push(__attribute__((target("arch=x86-64-v4,avx512bf16,avx512vnni"))), apply_to = function)
#include "families.h"
#pragma clang attribute pop
#pragma clang attribute push(__attribute__((target("arch=x86-64-v4,avx512bf16,avx512vnni,amx-tile,amx-bf16"))), apply_to = function)
#include "amx.h"
#pragma clang attribute pop
#endif
