// Vector kernels, compiled once for each instruction set and chosen at run time.
//
// All matrices are row-major Float32; a stride is in elements between rows. Nothing here allocates, locks or starts a
// thread: the caller hands in scratch memory and splits the work.
#pragma once
#include <stddef.h>
#include <stdint.h>
#include "kk_paged.h"
#include "kk_panels.h"

/// Packed rotary angles: cos and sin of position p and plane i at [p * half + i]. Plane i pairs elements start + i and
/// start + i + half of a head; those outside [start, start + 2 half) are left alone.
typedef struct {
    const float *cosine, *sine;
    int64_t half, start;
} kk_rotary;

/// One layer's causal attention over fused projections.
///
/// Each row of qkv is [heads * d | kvHeads * d | kvHeads * dv]. keyStart (may be NULL) holds, for each row, the first
/// position of its sequence that it may attend to; with it, `sinks` positions from sinkStart (NULL: 0) on are seen as well.
/// rowStart and rowEnd (may be NULL) hold, for each key of a head, the first row that sees it and the first that no longer does.
typedef struct {
    int64_t seq, heads, kvHeads, headDim, valueDim, sinks;
    float scale;
    kk_rotary rotary;          // half == 0: no rotation
    const int32_t *keyStart, *sinkStart; // [batch, seq] or NULL
    const int32_t *rowStart, *rowEnd; // [batch, kvHeads, seq] or NULL
    const float *qkv;          // [batch, seq, (heads + kvHeads) * d + kvHeads * dv]
    float *output;             // [batch, seq, heads * dv]
    float *logSumExp;          // [batch, heads, seq]
    const float *gradient;     // backward: dOutput
    float *qkvGradient;        // backward: written whole
} kk_attention;

/// Queries of one sequence over its cached keys and values, all heads.
///
/// Query i sees tokens 0 ... firstPosition + i, or the last `window` of them (0: all) and the first `sinks`. A token's keys
/// lie keyStride, its values valueStride apart, a head's values valueHeadStride.
typedef struct {
    int64_t queries, heads, kvHeads, keyDim, valueDim, firstPosition, window, sinks, qStride, keyStride, valueStride, valueHeadStride;
    float scale;
    const float *q;            // [queries, qStride], heads * keyDim of it read, rotated
    const float *keys, *values; // keys rotated
    float *output;             // [queries, heads, valueDim]
    float *logSumExp;          // [queries, heads] or NULL
} kk_cached_attention;

typedef struct {
    float learningRate, beta1, beta2, epsilon, decay, correction1, correction2, gradientScale;
} kk_adamw;

/// Elementwise operations of one operand; the gradient forms get x, y = f(x) and dy.
enum kk_unary { KK_NEG, KK_EXP, KK_LOG, KK_SQRT, KK_TANH, KK_SIGMOID, KK_SILU, KK_GELU, KK_RELU, KK_GELU_ERF };
enum kk_binary { KK_ADD, KK_SUB, KK_MUL, KK_DIV, KK_MAX, KK_EQUAL }; // equal: 1 or 0; a NaN wins every maximum

/// The packed product of one element type. Packed operands are 32-bit words along the reduction, `depth` elements each, padded
/// with zeros to whole groups of `rows`, panels of `columns` and chunks of 8 words.
typedef struct {
    int64_t rows, columns, depth;
    // A as stored [m, k], and stored transposed [k, m], in groups of `rows`, outStride words apart.
    void (*pack_rows)(const float *x, int64_t stride, int64_t m, int64_t k, float *out, int64_t outStride);
    void (*pack_columns)(const float *x, int64_t stride, int64_t m, int64_t k, float *out, int64_t outStride);
    // B as stored [k, n] in panels of `columns`, outStride words apart; and B stored transposed [n, k], n columns of one panel.
    void (*pack_panels)(const float *x, int64_t stride, int64_t n, int64_t k, float *out, int64_t outStride);
    void (*pack_transposed)(const float *x, int64_t stride, int64_t n, int64_t k, float *panel);
    // C[m, n] (+)= A B over packed operands, A packed by rows or by columns.
    void (*multiply)(int byColumns, int64_t m, int64_t n, int64_t words, const float *a, int64_t aStride, const float *b,
                     int64_t bStride, float *c, int64_t ldc, int accumulate);
} kk_gemm;

typedef struct {
    const char *name;
    kk_gemm gemm[2]; // Float32, BFloat16
    // C[m, n] (+)= A[m, k] * B[k, n]: A's elements at a[i * ars + j * acs], n a multiple of 16.
    void (*tile_gemm)(int64_t m, int64_t n, int64_t k, const float *a, int64_t ars, int64_t acs, const float *b, int64_t ldb,
                      float *c, int64_t ldc, int accumulate);
    void (*unary)(int op, const float *x, float *y, int64_t n);
    void (*unary_gradient)(int op, const float *x, const float *y, const float *dy, float *dx, int64_t n);
    // Operands of n elements; a step of 0 repeats the first.
    void (*binary)(int op, const float *a, int64_t aStep, const float *b, int64_t bStep, float *y, int64_t n);
    void (*axpy)(float alpha, const float *x, float *y, int64_t n);            // y += alpha x
    void (*scale)(float alpha, const float *x, float *y, int64_t n);           // y = alpha x
    double (*sum)(const float *x, int64_t n);
    double (*sum_squares)(const float *x, int64_t n);
    float (*maximum)(const float *x, int64_t n);                               // NaN where there is one
    int64_t (*argmax)(const float *x, int64_t n);                              // the first greatest one; 0 where one is NaN
    float (*dot)(const float *x, const float *y, int64_t n);
    uint64_t (*read)(const uint64_t *x, int64_t n);                            // the words' sum, to measure the memory's bandwidth
    // y[j] (+)= sum over rows of x[row * stride + j], summed in Float64 blockwise; y[j] = their maximum (with y[j] too where kept).
    void (*column_sum)(const float *x, int64_t rows, int64_t stride, float *y, int64_t n, int accumulate);
    void (*column_maximum)(const float *x, int64_t rows, int64_t stride, float *y, int64_t n, int accumulate);
    // y[i * ys0 + j * ys1] (+)= x[i * xs0 + j * xs1] for i < n0, j < n1.
    void (*strided_copy)(int64_t n0, int64_t n1, const float *x, int64_t xs0, int64_t xs1, float *y, int64_t ys0, int64_t ys1,
                         int accumulate);
    // y = mask != 0 ? a : b; a step of 0 repeats the first.
    void (*select)(const float *mask, const float *a, int64_t aStep, const float *b, int64_t bStep, float *y, int64_t n);
    // y = x * scale where the generator's value for (seed, first + i), of 24 bits, is at least the threshold, else 0. y may be x.
    void (*dropout)(const float *x, float *y, int64_t n, uint64_t seed, int64_t first, uint32_t threshold, float scale);
    void (*softmax)(const float *x, float *y, int64_t rows, int64_t n);
    void (*log_softmax)(const float *x, float *y, int64_t rows, int64_t n);
    void (*softmax_gradient)(const float *y, const float *dy, float *dx, int64_t rows, int64_t n);
    void (*log_softmax_gradient)(const float *y, const float *dy, float *dx, int64_t rows, int64_t n);
    // Per row: loss = logsumexp - logit[target]; where gradient is set, logits become scale * (softmax - onehot).
    // A negative target scores nothing.
    void (*cross_entropy)(float *logits, const int32_t *targets, float *losses, int64_t rows, int64_t n, float scale, int gradient);
    // Per row KL(softmax(p) || softmax(q)) in nats.
    void (*divergence)(const float *p, const float *q, float *result, int64_t rows, int64_t n);
    // Per row the loss of cross_entropy on q and KL(softmax(p / t) || softmax(q / t)) in nats; where gradient is set, q becomes
    // scale * ((1 - share) * (softmax(q) - onehot) + share * t * (softmax(q / t) - softmax(p / t))). p is overwritten. A
    // negative target scores nothing.
    void (*distillation)(float *q, float *p, const int32_t *targets, float *losses, float *divergences, int64_t rows, int64_t n,
                         float scale, float share, float t, int gradient);
    void (*rms_norm)(const float *x, const float *w, float *y, float *rstd, int64_t rows, int64_t n, float epsilon);
    // y = x * rstd * w, with rstd known.
    void (*rms_norm_apply)(const float *x, const float *w, const float *rstd, float *y, int64_t rows, int64_t n);
    // dx (+)= ..., dw += ... (dw of the caller's own rows); x, dy are [rows, n].
    void (*rms_norm_gradient)(const float *x, const float *w, const float *rstd, const float *dy, float *dx, float *dw, int64_t rows,
                              int64_t n, int accumulate);
    void (*layer_norm)(const float *x, const float *w, const float *b, float *y, float *mean, float *rstd, int64_t rows, int64_t n,
                       float epsilon);
    void (*layer_norm_gradient)(const float *x, const float *w, const float *mean, const float *rstd, const float *dy, float *dx,
                                float *dw, float *db, int64_t rows, int64_t n);
    // gateUp rows are [gate (n) | up (n)].
    void (*swiglu)(const float *gateUp, float *y, int64_t rows, int64_t n);
    void (*swiglu_gradient)(const float *gateUp, const float *dy, float *dGateUp, int64_t rows, int64_t n);
    // Rotates [rows, heads, d] in place, row r at position positions[r]; inverse turns back.
    void (*rotate)(float *x, const int32_t *positions, int64_t rows, int64_t stride, int64_t heads, int64_t d, kk_rotary rotary,
                   int inverse);
    void (*adamw)(float *p, const float *g, float *m, float *v, int64_t n, kk_adamw settings);
    // One batch row and one KV head.
    void (*attention)(const kk_attention *, int64_t batch, int64_t kvHead, float *scratch);
    void (*attention_gradient)(const kk_attention *, int64_t batch, int64_t kvHead, float *scratch);
    void (*cached_attention)(const kk_cached_attention *, int64_t head, float *scratch);
    kk_paged paged;
    kk_panels panels;
} kk_table;

/// The best table this processor runs.
const kk_table *kk_best(void);
/// Every table this processor runs, the portable one first; count is set to how many.
const kk_table *const *kk_all(int *count);

/// Floats of scratch one attention call needs.
int64_t kk_attention_scratch(int64_t seq, int64_t headDim, int64_t valueDim, int backward);
int64_t kk_cached_attention_scratch(int64_t tokens);
