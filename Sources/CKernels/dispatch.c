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

static int64_t padded(int64_t d) { return (d + 15) / 16 * 16; }

int64_t kk_attention_scratch(int64_t seq, int64_t headDim, int64_t valueDim, int backward) {
    int64_t t = padded(seq) + 64, d = padded(headDim), dv = padded(valueDim), most = d > dv ? d : dv;
    int64_t forward = t * (d + most) + 64 * (d + dv) + 64 * 128 + 256;
    return backward ? t * (2 * d + 2 * dv + most) + 64 * (2 * d + dv) + 2 * 64 * 128 + 256 : forward;
}

int64_t kk_cached_attention_scratch(int64_t tokens) { return padded(tokens); }
