// Products of few or many rows with packed weights. A panel holds KK_NR outputs' weights, along the reduction:
//
//     Float32   [inner][KK_NR]
//     BFloat16  [inner / 2][KK_NR][2]   multiplied as pairs by VDPBF16PS where the processor has it
//     Float16   [inner][KK_NR]          widened on the way
//
// With few rows reading the panels once is what takes the time, so the tile holds as many rows as there are registers for. An
// element's sum is one chain from the first term to the last, so a row's result doesn't depend on the rows beside it.
#ifndef KK_PANELS
#define KK_PANELS
#define KK_PANEL_DEPTH 2048 // of the reduction before the next rows, so that a part of a panel stays in the second-level cache
typedef struct __attribute__((packed, aligned(2))) { uint16_t value; } kk_u16;
#endif
#if KK_VW == 16
#define KK_PANEL_ROWS 12
#define KK_PANEL_AHEAD 12288 // bytes a panel is prefetched ahead
#define KK_PANEL_STREAMED 1 // rows so few that the processor, which sees panels read in a row, fetches them sooner when left alone
#define KK_PANEL_NEXT 0 // whether the next panel is fetched beside: so far ahead there is no need
#else
#define KK_PANEL_ROWS KK_MR
#define KK_PANEL_AHEAD 4096
#define KK_PANEL_STREAMED 0
#define KK_PANEL_NEXT 1
#endif

// BFloat16 inputs are multiplied as pairs where the processor does, else kept as the Float32 they are.
#ifdef KK_BF16
#define KK_PANEL_PAIRED 1
#else
#define KK_PANEL_PAIRED 0
#endif

typedef uint32_t KK(words) __attribute__((vector_size(4 * KK_VW), aligned(4)));
#if KK_VW > 4
typedef _Float16 KK(halves) __attribute__((vector_size(2 * KK_VW), aligned(2)));
#endif

// A tile's sums from c [rows, KK_NR], or 0 where `first`, and back.
KK_INLINE void KK(panel_take)(const int rows, const float *c, int first, KK(vector) (*sum)[KK_NV]) {
#pragma unroll
    for (int i = 0; i < rows; i++)
#pragma unroll
        for (int j = 0; j < KK_NV; j++) sum[i][j] = first ? (KK(vector)){0} : *(const KK(vector) *)(c + i * KK_NR + j * KK_VW);
}

KK_INLINE void KK(panel_keep)(const int rows, KK(vector) (*sum)[KK_NV], float *c) {
#pragma unroll
    for (int i = 0; i < rows; i++)
#pragma unroll
        for (int j = 0; j < KK_NV; j++) *(KK(vector) *)(c + i * KK_NR + j * KK_VW) = sum[i][j];
}

// Ends a word for the compiler, which would move its products among the next one's and run out of registers.
KK_INLINE void KK(panel_hold)(const int rows, KK(vector) (*sum)[KK_NV]) {
#if KK_VW == 16
#pragma unroll
    for (int i = 0; i < rows; i++)
#pragma unroll
        for (int j = 0; j < KK_NV; j++) __asm__ volatile("" : "+v"(sum[i][j]));
#endif
}

// c [rows, KK_NR] += a b over `words` words, from 0 where `first`. Meanwhile what comes later is
// fetched from `ahead` on, `aheadStep` bytes a word; where b is near, in the first-level cache, that is all there is to fetch.
KK_INLINE void KK(panel_tile)(const int element, const int isNear, const int rows, int64_t words, const uint32_t *a, int64_t aStride,
                              const unsigned char *b, float *c, int first, const unsigned char *ahead, int64_t aheadStep) {
    KK(vector) sum[KK_PANEL_ROWS][KK_NV];
    const int step = element == KK_ELEMENT_FP16 ? 2 * KK_NR : 4 * KK_NR;
    KK(panel_take)(rows, c, first, sum);
#pragma unroll 4
    for (int64_t w = 0; w < words; w++, b += step, ahead += aheadStep) {
#pragma unroll
        for (int p = 0; p < (isNear || rows <= KK_PANEL_STREAMED ? 0 : step); p += 64) __builtin_prefetch(b + KK_PANEL_AHEAD + p);
        if (isNear ? w % 4 == 0 : KK_PANEL_NEXT) __builtin_prefetch(ahead, 0, 2);
        if (element == KK_ELEMENT_BF16) {
#ifdef KK_BF16
            __m512bh column[KK_NV];
#pragma unroll
            for (int j = 0; j < KK_NV; j++) column[j] = (__m512bh)_mm512_loadu_si512(b + j * KK_VW * 4);
#pragma unroll
            for (int i = 0; i < rows; i++) {
                __m512bh pair = (__m512bh)_mm512_set1_epi32((int)a[i * aStride + w]);
#pragma unroll
                for (int j = 0; j < KK_NV; j++) sum[i][j] = (KK(vector))_mm512_dpbf16_ps((__m512)sum[i][j], pair, column[j]);
            }
#else
            KK(vector) column[KK_NV];
            const float *pair = (const float *)a + 2 * w;
#pragma unroll
            for (int j = 0; j < KK_NV; j++) column[j] = (KK(vector))(*(const KK(words) *)(b + j * KK_VW * 4) << 16);
#pragma unroll
            for (int i = 0; i < rows; i++) {
                float s = pair[i * aStride];
#pragma unroll
                for (int j = 0; j < KK_NV; j++) sum[i][j] += s * column[j];
            }
            KK(panel_hold)(rows, sum);
#pragma unroll
            for (int j = 0; j < KK_NV; j++) column[j] = (KK(vector))(*(const KK(words) *)(b + j * KK_VW * 4) & 0xFFFF0000u);
#pragma unroll
            for (int i = 0; i < rows; i++) {
                float s = pair[i * aStride + 1];
#pragma unroll
                for (int j = 0; j < KK_NV; j++) sum[i][j] += s * column[j];
            }
#endif
        } else {
            KK(vector) column[KK_NV];
#pragma unroll
            for (int j = 0; j < KK_NV; j++)
                if (element == KK_ELEMENT_FP32) column[j] = *(const KK(vector) *)(b + j * KK_VW * 4);
                else {
#if KK_VW > 4
                    column[j] = __builtin_convertvector(*(const KK(halves) *)(b + j * KK_VW * 2), KK(vector));
#else
                    for (int s = 0; s < KK_VW; s++) column[j][s] = kk_from_half(((const kk_u16 *)(b + j * KK_VW * 2))[s].value);
#endif
                }
#pragma unroll
            for (int i = 0; i < rows; i++) {
                float s = ((const float *)a)[i * aStride + w];
#pragma unroll
                for (int j = 0; j < KK_NV; j++) sum[i][j] += s * column[j];
            }
        }
        if (element == KK_ELEMENT_FP16 || (element == KK_ELEMENT_BF16 && !KK_PANEL_PAIRED) || isNear) KK(panel_hold)(rows, sum);
    }
    KK(panel_keep)(rows, sum, c);
}

#if KK_PANEL_ROWS == 12
#define KK_PANEL_EACH(case_) case_(1) case_(2) case_(3) case_(4) case_(5) case_(6) case_(7) case_(8) case_(9) case_(10) case_(11) case_(12)
#elif KK_PANEL_ROWS == 8
#define KK_PANEL_EACH(case_) case_(1) case_(2) case_(3) case_(4) case_(5) case_(6) case_(7) case_(8)
#elif KK_PANEL_ROWS == 6
#define KK_PANEL_EACH(case_) case_(1) case_(2) case_(3) case_(4) case_(5) case_(6)
#else
#define KK_PANEL_EACH(case_) case_(1) case_(2) case_(3) case_(4)
#endif

#define KK_PANEL_CASE(n) case n: KK(panel_tile)(KK_PANEL_ELEMENT, KK_PANEL_NEAR, n, words, a, aStride, b, c, first, ahead, aheadStep); break;
#define KK_PANEL_TILES(name) \
    static void KK(panel_tiles_##name)(int64_t rows, int64_t words, const uint32_t *a, int64_t aStride, const unsigned char *b, float *c, \
                                       int first, const unsigned char *ahead, int64_t aheadStep) { \
        switch (rows) { KK_PANEL_EACH(KK_PANEL_CASE) } \
    }
#define KK_PANEL_NEAR 0
#define KK_PANEL_ELEMENT KK_ELEMENT_FP32
KK_PANEL_TILES(fp32)
#undef KK_PANEL_ELEMENT
#define KK_PANEL_ELEMENT KK_ELEMENT_BF16
KK_PANEL_TILES(bf16)
#undef KK_PANEL_ELEMENT
#define KK_PANEL_ELEMENT KK_ELEMENT_FP16
KK_PANEL_TILES(fp16)
#undef KK_PANEL_ELEMENT
#undef KK_PANEL_NEAR

static void KK(panel_round)(const float *x, int64_t stride, int64_t rows, int64_t inner, uint32_t *out, int64_t outStride) {
    for (int64_t r = 0; r < rows; r++) {
        const float *from = x + r * stride;
#ifdef KK_BF16
        uint16_t *to = (uint16_t *)(out + r * outStride);
        int64_t i = 0;
        for (; i + 16 <= inner; i += 16) _mm256_storeu_si256((__m256i *)(to + i), (__m256i)_mm512_cvtneps_pbh(_mm512_loadu_ps(from + i)));
        for (; i < inner; i++) {
            union { float f; uint32_t i; } bits = {kk_round_bf16(from[i])};
            to[i] = (uint16_t)(bits.i >> 16);
        }
#else
        float *restrict to = (float *)(out + r * outStride);
        for (int64_t i = 0; i < inner; i++) to[i] = kk_round_bf16(from[i]);
#endif
        if (inner % 2) to[inner] = 0;
    }
}

static void KK(panel_finish)(const kk_panel_product *job, int64_t panel, float *values) {
    const int wide = job->epilogue == KK_PANEL_SWIGLU ? KK_NR / 2 : KK_NR;
    int64_t start = panel * wide, width = KK_MIN(job->outer - start, wide);
    if (job->epilogue == KK_PANEL_SWIGLU)
        for (int64_t r = 0; r < job->rows; r++) {
            float *y = values + r * KK_NR;
            for (int i = 0; i < KK_NR / 2; i++) y[i] = y[i] * kk_sigmoid(y[i]) * y[i + KK_NR / 2];
        }
    if (job->isRounded) {
        uint32_t *to = (uint32_t *)job->output + start / (KK_PANEL_PAIRED ? 2 : 1);
        KK(panel_round)(values, KK_NR, job->rows, width, to, job->outputStride);
        return;
    }
    for (int64_t r = 0; r < job->rows; r++) {
        const float *from = values + r * KK_NR;
        float *to = (float *)job->output + r * job->outputStride + start;
        int64_t i = 0;
        if (job->epilogue == KK_PANEL_ADD) {
            for (; i + KK_VW <= width; i += KK_VW) *(KK(vector) *)(to + i) += *(const KK(vector) *)(from + i);
            for (; i < width; i++) to[i] += from[i];
        } else {
            for (; i + KK_VW <= width; i += KK_VW) *(KK(vector) *)(to + i) = *(const KK(vector) *)(from + i);
            for (; i < width; i++) to[i] = from[i];
        }
    }
}

#if !KK_PANEL_PAIRED
#define KK_PANEL_WIDE 256 // elements of the reduction widened at a time, so that they stay in the first-level cache
#define KK_PANEL_FEW (KK_VW == 16 ? KK_PANEL_ROWS : 5) // rows for which leaving widened elements behind does not pay

#define KK_PANEL_NEAR 1
#define KK_PANEL_ELEMENT KK_ELEMENT_FP32
KK_PANEL_TILES(near)
#undef KK_PANEL_ELEMENT
#undef KK_PANEL_NEAR

// c [rows, KK_NR] += a b over `words` pairs of BFloat16, from 0 where `first`; b is left behind in `wide`, widened.
KK_INLINE void KK(panel_tile_widening)(const int rows, int64_t words, const float *a, int64_t aStride, const unsigned char *b, float *c,
                                       int first, const unsigned char *ahead, int64_t aheadStep, float *wide) {
    KK(vector) sum[KK_PANEL_ROWS][KK_NV];
    KK(panel_take)(rows, c, first, sum);
    for (int64_t w = 0; w < words; w++, b += 4 * KK_NR, ahead += aheadStep) {
        __builtin_prefetch(ahead, 0, 2);
#pragma unroll
        for (int half = 0; half < 2; half++, wide += KK_NR) {
            KK(vector) column[KK_NV];
#pragma unroll
            for (int j = 0; j < KK_NV; j++) {
                KK(words) both = *(const KK(words) *)(b + j * KK_VW * 4);
                column[j] = (KK(vector))(half == 0 ? both << 16 : both & 0xFFFF0000u);
                *(KK(vector) *)(wide + j * KK_VW) = column[j];
            }
#pragma unroll
            for (int i = 0; i < rows; i++) {
                float s = a[i * aStride + 2 * w + half];
#pragma unroll
                for (int j = 0; j < KK_NV; j++) sum[i][j] += s * column[j];
            }
            KK(panel_hold)(rows, sum);
        }
    }
    KK(panel_keep)(rows, sum, c);
}

#define KK_WIDENING_CASE(n) case n: KK(panel_tile_widening)(n, words, a, aStride, b, c, first, ahead, aheadStep, wide); break;
static void KK(panel_tiles_widening)(int64_t rows, int64_t words, const float *a, int64_t aStride, const unsigned char *b, float *c,
                                     int first, const unsigned char *ahead, int64_t aheadStep, float *wide) {
    switch (rows) { KK_PANEL_EACH(KK_WIDENING_CASE) }
}

// BFloat16 panels for so many rows that widening each part once, beside the first rows' products, takes less time than in every
// tile: same sums, bit for bit.
static void KK(panel_multiply_widened)(const kk_panel_product *job, int64_t first, int64_t count, float *scratch) {
    int64_t words = (job->inner + 1) / 2, groups = (job->rows + KK_PANEL_ROWS - 1) / KK_PANEL_ROWS;
    _Alignas(64) float wide[KK_PANEL_WIDE * KK_NR];
    for (int64_t panel = first; panel < first + count; panel++) {
        const unsigned char *b = job->panels + panel * words * 4 * KK_NR;
        for (int64_t start = 0; start < words || start == 0; start += KK_PANEL_WIDE / 2) {
            int64_t depth = words - start < KK_PANEL_WIDE / 2 ? words - start : KK_PANEL_WIDE / 2;
            for (int64_t g = 0; g < groups; g++) {
                int64_t row = job->rows * g / groups, rows = job->rows * (g + 1) / groups - row;
                const float *a = (const float *)job->input + row * job->inputStride + 2 * start;
                // The groups share out the fetching of what is widened next.
                const unsigned char *ahead = b + (start + depth) * 4 * KK_NR + depth * 4 * KK_NR / groups * g;
                if (g == 0)
                    KK(panel_tiles_widening)(rows, depth, a, job->inputStride, b + start * 4 * KK_NR, scratch, start == 0, ahead,
                                             (4 * KK_NR + groups - 1) / groups, wide);
                else
                    KK(panel_tiles_near)(rows, 2 * depth, (const uint32_t *)a, job->inputStride, (const unsigned char *)wide,
                                         scratch + row * KK_NR, start == 0, ahead, (2 * KK_NR + groups - 1) / groups);
            }
        }
        KK(panel_finish)(job, panel, scratch);
    }
}
#endif

static void KK(panel_multiply)(const kk_panel_product *job, int64_t first, int64_t count, float *scratch) {
    int64_t words = job->element == KK_ELEMENT_BF16 ? (job->inner + 1) / 2 : job->inner;
    int64_t wordBytes = job->element == KK_ELEMENT_FP16 ? 2 * KK_NR : 4 * KK_NR;
    // Groups of rows as equal as can be: of twelve and eight, ten and ten.
    int64_t groups = (job->rows + KK_PANEL_ROWS - 1) / KK_PANEL_ROWS;
    const uint32_t *input = job->input;
    int isSplit = job->element == KK_ELEMENT_BF16 && !KK_PANEL_PAIRED;
#if !KK_PANEL_PAIRED
    if (isSplit && job->rows > KK_PANEL_FEW) {
        KK(panel_multiply_widened)(job, first, count, scratch);
        return;
    }
#endif
    for (int64_t panel = first; panel < first + count; panel++) {
        const unsigned char *b = job->panels + panel * words * wordBytes;
        for (int64_t start = 0; start < words || start == 0; start += KK_PANEL_DEPTH) {
            int64_t depth = words - start < KK_PANEL_DEPTH ? words - start : KK_PANEL_DEPTH;
            for (int64_t g = 0; g < groups; g++) {
                int64_t row = job->rows * g / groups, rows = job->rows * (g + 1) / groups - row;
                const uint32_t *a = input + row * job->inputStride + (isSplit ? 2 * start : start);
                const unsigned char *part = b + start * wordBytes;
                float *c = scratch + row * KK_NR;
                // Several groups of rows share out the fetching of the next panel into the second-level cache.
                const unsigned char *ahead = part + (groups > 1 ? depth * wordBytes + depth * wordBytes / groups * g : 0);
                int64_t aheadStep = groups > 1 ? (wordBytes + groups - 1) / groups : wordBytes;
                switch (job->element) {
                case KK_ELEMENT_FP32:
                    KK(panel_tiles_fp32)(rows, depth, a, job->inputStride, part, c, start == 0, ahead, aheadStep);
                    break;
                case KK_ELEMENT_BF16:
                    KK(panel_tiles_bf16)(rows, depth, a, job->inputStride, part, c, start == 0, ahead, aheadStep);
                    break;
                default: KK(panel_tiles_fp16)(rows, depth, a, job->inputStride, part, c, start == 0, ahead, aheadStep);
                }
            }
        }
        KK(panel_finish)(job, panel, scratch);
    }
}

static void KK(panel_pack)(int32_t element, const void *weights, int64_t count, int64_t inner, unsigned char *panel, int64_t column) {
    // Sixteen elements of each row at a time: what is written meanwhile stays in the first-level cache.
    for (int64_t start = 0; start < inner; start += 16) {
        int64_t end = start + 16 < inner ? start + 16 : inner;
        for (int64_t j = 0; j < count; j++)
            if (element == KK_ELEMENT_FP32) {
                float *to = (float *)panel + column + j;
                const unsigned char *from = (const unsigned char *)weights + j * inner * 4;
                for (int64_t k = start; k < end; k++) memcpy(to + k * KK_NR, from + k * 4, 4);
            } else {
                const kk_u16 *from = (const kk_u16 *)weights + j * inner;
                uint16_t *to = (uint16_t *)panel;
                if (element == KK_ELEMENT_BF16)
                    for (int64_t k = start; k < end; k++) to[(k / 2 * KK_NR + column + j) * 2 + k % 2] = from[k].value;
                else
                    for (int64_t k = start; k < end; k++) to[k * KK_NR + column + j] = from[k].value;
            }
    }
}

#define KK_PANELS_TABLE {KK_NR, KK_PANEL_PAIRED ? 2 : 1, KK(panel_pack), KK(panel_round), KK(panel_multiply)}
