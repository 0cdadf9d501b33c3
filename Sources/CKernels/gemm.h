// Packed matrix products: C (+)= A B with A in groups of KK_MR rows and B in panels of KK_NR columns (after Goto and van de
// Geijn 2008). Operands are packed as 32-bit words along the reduction, in chunks of 8: one Float32 each, or two
// BFloat16 where the processor multiplies those. Elsewhere BFloat16 operands are rounded as such and kept as Float32.
//
//   rows     [group][chunk][KK_MR][8]   A as stored, [m, k]
//   columns  [group][word][KK_MR]       A stored transposed, [k, m]
//   panels   [panel][word][KK_NR]       B
#ifndef KK_GEMM
#define KK_GEMM
#define KK_DEPTH 768 // words of the reduction multiplied before the next tile, so that both operands stay in cache

KK_INLINE float kk_round_bf16(float x) {
    union { float f; uint32_t i; } bits = {x};
    uint32_t rounded = (bits.i + 0x7FFF + ((bits.i >> 16) & 1)) & 0xFFFF0000;
    bits.i = x != x ? bits.i | 0x400000 : rounded;
    return bits.f;
}
#endif

typedef float KK(vector) __attribute__((vector_size(4 * KK_VW), aligned(4)));
#define KK_NV (KK_NR / KK_VW)

// One tile of KK_MR by KK_NR. Row i's word k of a chunk lies at a[i * rowStep + k * wordStep].
KK_INLINE void KK(gemm_tile)(const int rowStep, const int wordStep, int64_t words, const float *a, const float *b, float *c,
                             int64_t ldc, int accumulate) {
    KK(vector) sum[KK_MR][KK_NV] = {0};
#pragma unroll
    for (int i = 0; i < KK_MR; i++) __builtin_prefetch(c + i * ldc, 1);
    for (int64_t w = 0; w < words; w += 8, a += 8 * KK_MR, b += 8 * KK_NR) {
#pragma unroll
        for (int k = 0; k < 8; k++) {
            KK(vector) column[KK_NV];
#pragma unroll
            for (int j = 0; j < KK_NV; j++) column[j] = *(const KK(vector) *)(b + k * KK_NR + j * KK_VW);
#pragma unroll
            for (int i = 0; i < KK_MR; i++) {
                float s = a[i * rowStep + k * wordStep];
#pragma unroll
                for (int j = 0; j < KK_NV; j++) sum[i][j] += s * column[j];
            }
        }
    }
#pragma unroll
    for (int i = 0; i < KK_MR; i++)
#pragma unroll
        for (int j = 0; j < KK_NV; j++) {
            KK(vector) *to = (KK(vector) *)(c + i * ldc + j * KK_VW);
            *to = accumulate ? *to + sum[i][j] : sum[i][j];
        }
}

static void KK(tile_by_rows)(int64_t words, const float *a, const float *b, float *c, int64_t ldc, int accumulate) {
    KK(gemm_tile)(8, 1, words, a, b, c, ldc, accumulate);
}

static void KK(tile_by_columns)(int64_t words, const float *a, const float *b, float *c, int64_t ldc, int accumulate) {
    KK(gemm_tile)(1, KK_MR, words, a, b, c, ldc, accumulate);
}

typedef void (*KK(tile_function))(int64_t, const float *, const float *, float *, int64_t, int);

// Every tile of C [m, n]; those cut off by its edges are computed whole beside it.
KK_INLINE void KK(gemm_tiles)(KK(tile_function) tile, int64_t m, int64_t n, int64_t words, const float *a, int64_t aStride,
                              const float *b, int64_t bStride, float *c, int64_t ldc, int accumulate) {
    for (int64_t start = 0; start < words || start == 0; start += KK_DEPTH, accumulate = 1) {
        int64_t depth = words - start < KK_DEPTH ? words - start : KK_DEPTH;
        for (int64_t j = 0; j < n; j += KK_NR) {
            const float *panel = b + j / KK_NR * bStride + start * KK_NR;
            for (int64_t i = 0; i < m; i += KK_MR) {
                const float *group = a + i / KK_MR * aStride + start * KK_MR;
                if (i + KK_MR <= m && j + KK_NR <= n) {
                    tile(depth, group, panel, c + i * ldc + j, ldc, accumulate);
                    continue;
                }
                float part[KK_MR * KK_NR];
                int64_t rows = m - i < KK_MR ? m - i : KK_MR, columns = n - j < KK_NR ? n - j : KK_NR;
                tile(depth, group, panel, part, KK_NR, 0);
                for (int64_t r = 0; r < rows; r++) {
                    float *restrict to = c + (i + r) * ldc + j;
                    const float *restrict from = part + r * KK_NR;
                    if (accumulate)
                        for (int64_t s = 0; s < columns; s++) to[s] += from[s];
                    else
                        for (int64_t s = 0; s < columns; s++) to[s] = from[s];
                }
            }
        }
    }
}

static void KK(gemm_multiply)(int byColumns, int64_t m, int64_t n, int64_t words, const float *a, int64_t aStride, const float *b,
                              int64_t bStride, float *c, int64_t ldc, int accumulate) {
    KK(gemm_tiles)(byColumns ? KK(tile_by_columns) : KK(tile_by_rows), m, n, words, a, aStride, b, bStride, c, ldc, accumulate);
}

// The packers below pad both sides with zeros: to whole groups, and to whole chunks of 8 words.
#define KK_WORDS(k) (((k) + 7) / 8 * 8)

// `count` neighbours, a constant.
KK_INLINE void KK(pack_run)(const int count, const float *restrict from, float *restrict to, const int rounded) {
    if (!rounded) memcpy(to, from, sizeof(float) * (size_t)count);
    else
        for (int s = 0; s < count; s++) to[s] = kk_round_bf16(from[s]);
}

KK_INLINE void KK(pack_a_rows)(const float *x, int64_t stride, int64_t m, int64_t k, float *out, int64_t outStride, const int rounded) {
    int64_t words = KK_WORDS(k);
    for (int64_t g = 0; g < m; g += KK_MR, out += outStride)
        for (int64_t w = 0; w < words; w += 8)
            for (int64_t i = 0; i < KK_MR; i++) {
                const float *row = x + (g + i) * stride + w;
                float *restrict to = out + w * KK_MR + i * 8;
                if (g + i < m && w + 8 <= k) KK(pack_run)(8, row, to, rounded);
                else
                    for (int s = 0; s < 8; s++)
                        to[s] = g + i < m && w + s < k ? rounded ? kk_round_bf16(row[s]) : row[s] : 0.0f;
            }
}

// Asks for `count` short rows that are read next: each lies in another page, where the processor doesn't look ahead.
KK_INLINE void KK(prefetch_rows)(const float *x, int64_t stride, int64_t width, int64_t count) {
    for (int64_t r = 0; r < count; r++)
        for (int64_t i = 0; i < width; i += 16) __builtin_prefetch(x + r * stride + i);
}

// Columns [0, m) of x [k, m] in groups of `width`.
KK_INLINE void KK(pack_columns)(const int width, const float *x, int64_t stride, int64_t m, int64_t k, float *out, int64_t outStride,
                                const int rounded) {
    int64_t words = KK_WORDS(k);
    // 8 words of every group at a time: reading goes along the rows, writing fills whole cache lines.
    for (int64_t start = 0; start < words; start += 8) {
        KK(prefetch_rows)(x + (start + 8) * stride, stride, m, k - start - 8 < 8 ? k - start - 8 : 8);
        for (int64_t g = 0; g < m; g += width) {
            const float *from = x + start * stride + g;
            float *restrict to = out + g / width * outStride + start * width;
            if (start + 8 <= k && g + width <= m) {
#pragma unroll
                for (int w = 0; w < 8; w++) KK(pack_run)(width, from + w * stride, to + w * width, rounded);
                continue;
            }
            for (int64_t w = 0; w < 8; w++)
                for (int64_t s = 0; s < width; s++) {
                    float value = start + w < k && g + s < m ? from[w * stride + s] : 0.0f;
                    to[w * width + s] = rounded ? kk_round_bf16(value) : value;
                }
        }
    }
}

// Rows [0, n) of x [n, k] as columns [first, first + n) of one panel.
KK_INLINE void KK(pack_transposed)(const float *x, int64_t stride, int64_t n, int64_t k, float *panel, const int rounded) {
    int64_t words = KK_WORDS(k);
    for (int64_t j = 0; j < n; j++)
        for (int64_t w = 0; w < words; w++)
            panel[w * KK_NR + j] = w < k ? rounded ? kk_round_bf16(x[j * stride + w]) : x[j * stride + w] : 0.0f;
}

#define KK_PACKERS(suffix, rounded) \
    static void KK(rows_##suffix)(const float *x, int64_t stride, int64_t m, int64_t k, float *out, int64_t outStride) { \
        KK(pack_a_rows)(x, stride, m, k, out, outStride, rounded); \
    } \
    static void KK(columns_##suffix)(const float *x, int64_t stride, int64_t m, int64_t k, float *out, int64_t outStride) { \
        KK(pack_columns)(KK_MR, x, stride, m, k, out, outStride, rounded); \
    } \
    static void KK(panels_##suffix)(const float *x, int64_t stride, int64_t n, int64_t k, float *out, int64_t outStride) { \
        KK(pack_columns)(KK_NR, x, stride, n, k, out, outStride, rounded); \
    } \
    static void KK(transposed_##suffix)(const float *x, int64_t stride, int64_t n, int64_t k, float *panel) { \
        KK(pack_transposed)(x, stride, n, k, panel, rounded); \
    }
KK_PACKERS(fp32, 0)
#ifdef KK_BF16
#include "gemm_bf16.h"
#else
KK_PACKERS(bf16, 1)
#define KK_BF16_DEPTH 1
#define KK_BF16_MULTIPLY KK(gemm_multiply)
#endif
