#include "ckernels.h"

extern const kk_table kk_table_base;
#if defined(__x86_64__)
extern const kk_table kk_table_v3, kk_table_v4, kk_table_v4_bf16;
#endif

const kk_table *const *kk_all(int *count) {
    static const kk_table *tables[4];
    int n = 0;
    tables[n++] = &kk_table_base;
#if defined(__x86_64__)
    if (__builtin_cpu_supports("x86-64-v3")) tables[n++] = &kk_table_v3;
    if (__builtin_cpu_supports("x86-64-v4")) tables[n++] = &kk_table_v4;
    if (n == 3 && __builtin_cpu_supports("avx512bf16") && __builtin_cpu_supports("avx512vnni")) tables[n++] = &kk_table_v4_bf16;
#endif
    *count = n;
    return tables;
}

const kk_table *kk_best(void) {
    int count;
    const kk_table *const *tables = kk_all(&count);
    return tables[count - 1];
}
