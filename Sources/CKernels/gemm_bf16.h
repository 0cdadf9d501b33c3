// The packed product of BFloat16 pairs by AVX512-BF16's VDPBF16PS, summed in Float32; a word is two neighbours along the reduction.
#define KK_BF16_DEPTH 2
#define KK_BF16_MULTIPLY KK(gemm_multiply_bf16)

KK_INLINE void KK(gemm_tile_bf16)(const int rowStep, const int wordStep, int64_t words, const float *a, const float *b, float *c,
                                  int64_t ldc, int accumulate) {
    __m512 sum[KK_MR][KK_NV];
#pragma unroll
    for (int i = 0; i < KK_MR; i++)
#pragma unroll
        for (int j = 0; j < KK_NV; j++) sum[i][j] = _mm512_setzero_ps();
#pragma unroll
    for (int i = 0; i < KK_MR; i++) __builtin_prefetch(c + i * ldc, 1);
    for (int64_t w = 0; w < words; w += 8, a += 8 * KK_MR, b += 8 * KK_NR) {
#pragma unroll
        for (int k = 0; k < 8; k++) {
            __m512bh column[KK_NV];
#pragma unroll
            for (int j = 0; j < KK_NV; j++) column[j] = (__m512bh)_mm512_loadu_ps(b + k * KK_NR + j * KK_VW);
#pragma unroll
            for (int i = 0; i < KK_MR; i++) {
                __m512bh pair = (__m512bh)_mm512_set1_ps(a[i * rowStep + k * wordStep]);
#pragma unroll
                for (int j = 0; j < KK_NV; j++) sum[i][j] = _mm512_dpbf16_ps(sum[i][j], pair, column[j]);
            }
        }
    }
#pragma unroll
    for (int i = 0; i < KK_MR; i++)
#pragma unroll
        for (int j = 0; j < KK_NV; j++) {
            float *to = c + i * ldc + j * KK_VW;
            _mm512_storeu_ps(to, accumulate ? _mm512_add_ps(_mm512_loadu_ps(to), sum[i][j]) : sum[i][j]);
        }
}

static void KK(tile_by_rows_bf16)(int64_t words, const float *a, const float *b, float *c, int64_t ldc, int accumulate) {
    KK(gemm_tile_bf16)(8, 1, words, a, b, c, ldc, accumulate);
}

static void KK(tile_by_columns_bf16)(int64_t words, const float *a, const float *b, float *c, int64_t ldc, int accumulate) {
    KK(gemm_tile_bf16)(1, KK_MR, words, a, b, c, ldc, accumulate);
}

static void KK(gemm_multiply_bf16)(int byColumns, int64_t m, int64_t n, int64_t words, const float *a, int64_t aStride, const float *b,
                                   int64_t bStride, float *c, int64_t ldc, int accumulate) {
    KK(gemm_tiles)(byColumns ? KK(tile_by_columns_bf16) : KK(tile_by_rows_bf16), m, n, words, a, aStride, b, bStride, c, ldc,
                   accumulate);
}

#define KK_PAIR_WORDS(k) (((k) + 15) / 16 * 8)

// Up to 16 values from x rounded to 8 words; those past count are 0.
KK_INLINE __m256i KK(pairs)(const float *x, int64_t count) {
    if (count >= 16) return (__m256i)_mm512_cvtneps_pbh(_mm512_loadu_ps(x));
    if (count <= 0) return _mm256_setzero_si256();
    return (__m256i)_mm512_cvtneps_pbh(_mm512_maskz_loadu_ps((__mmask16)((1u << count) - 1), x));
}

static void KK(rows_bf16)(const float *x, int64_t stride, int64_t m, int64_t k, float *out, int64_t outStride) {
    int64_t words = KK_PAIR_WORDS(k);
    for (int64_t g = 0; g < m; g += KK_MR, out += outStride)
        for (int64_t w = 0; w < words; w += 8)
            for (int64_t i = 0; i < KK_MR; i++)
                _mm256_storeu_si256((__m256i *)(out + w * KK_MR + i * 8),
                                    g + i < m ? KK(pairs)(x + (g + i) * stride + 2 * w, k - 2 * w) : _mm256_setzero_si256());
}

// Columns in groups of `width`, a multiple of 8: rows 2w and 2w + 1 interleaved.
KK_INLINE void KK(pack_pairs)(const int width, const float *x, int64_t stride, int64_t m, int64_t k, float *out, int64_t outStride) {
    int64_t words = KK_PAIR_WORDS(k);
    for (int64_t start = 0; start < words; start += 8) {
        int64_t next = 2 * (start + 8);
        KK(prefetch_rows)(x + next * stride, stride, m, k - next < 16 ? k - next : 16);
        for (int64_t j = 0; j < (m + width - 1) / width * width; j += 8) {
            __mmask8 mask = m - j >= 8 ? 0xFF : m > j ? (__mmask8)((1u << (m - j)) - 1) : 0;
            for (int64_t w = start; w < start + 8; w++) {
                float *to = out + j / width * outStride + w * width + j % width;
                const float *from = x + 2 * w * stride + j;
                __m256 low = 2 * w < k ? _mm256_maskz_loadu_ps(mask, from) : _mm256_setzero_ps();
                __m256 high = 2 * w + 1 < k ? _mm256_maskz_loadu_ps(mask, from + stride) : _mm256_setzero_ps();
                __m256i a = _mm256_cvtepu16_epi32((__m128i)_mm256_cvtneps_pbh(low));
                __m256i b = _mm256_cvtepu16_epi32((__m128i)_mm256_cvtneps_pbh(high));
                _mm256_storeu_si256((__m256i *)to, _mm256_or_si256(a, _mm256_slli_epi32(b, 16)));
            }
        }
    }
}

static void KK(columns_bf16)(const float *x, int64_t stride, int64_t m, int64_t k, float *out, int64_t outStride) {
    KK(pack_pairs)(KK_MR, x, stride, m, k, out, outStride);
}

static void KK(panels_bf16)(const float *x, int64_t stride, int64_t n, int64_t k, float *out, int64_t outStride) {
    KK(pack_pairs)(KK_NR, x, stride, n, k, out, outStride);
}

static void KK(transposed_bf16)(const float *x, int64_t stride, int64_t n, int64_t k, float *panel) {
    int64_t words = KK_PAIR_WORDS(k);
    for (int64_t j = 0; j < n; j++)
        for (int64_t w = 0; w < words; w += 8) {
            float eight[8];
            _mm256_storeu_si256((__m256i *)eight, KK(pairs)(x + j * stride + 2 * w, k - 2 * w));
            for (int s = 0; s < 8; s++) panel[(w + s) * KK_NR + j] = eight[s];
        }
}
