// Products of BFloat16 pairs by AMX's TDPBF16PS, which multiplies a tile of 16 rows by 16 words with one of 16 words by 16 columns, eight
// times the pairs a cycle of VDPBF16PS. Sums are Float32, and an element's does not depend on the other rows and columns of the tiles.
//
//     tiles 0 … 3   sums: 32 rows by 32 columns     4, 5   rows     6, 7   columns
//
// A chunk of the left operand has 16 words here, where other levels have 8; a last chunk of 8 words remains where the number of words is
// no multiple of 16.
#define KK_AMX_ROWS 32
#define KK_AMX_WORDS 16
#define KK_AMX_PANEL_ROWS 256 // rows of a product with panels at a time
#define KK_AMX_DEPTH 256 // words of the reduction before the next tile: the panel's part stays in the first-level cache

typedef struct __attribute__((packed)) {
    uint8_t palette, start, reserved[14];
    uint16_t rowBytes[16];
    uint8_t rows[16];
} KK(amx_shape);

// Tiles for `rows` rows of the left operand, at most 16 at a time, and panels of 16 words.
KK_INLINE void KK(amx_begin)(int64_t rows) {
    KK(amx_shape) shape = {.palette = 1};
    for (int i = 0; i < 8; i++) {
        shape.rowBytes[i] = 64;
        shape.rows[i] = i > 5 || rows > 16 ? 16 : (uint8_t)rows;
    }
    _tile_loadconfig(&shape);
}

// The sums of 16 rows, or 32 where `isTall`, by 32 columns: from c, whose rows lie `cBytes` apart, where `accumulate`, else 0.
KK_INLINE void KK(amx_take)(const int isTall, const float *c, int64_t cBytes, int accumulate) {
    if (accumulate) {
        _tile_loadd(0, c, cBytes);
        _tile_loadd(1, c + 16, cBytes);
        if (isTall) {
            _tile_loadd(2, (const char *)c + 16 * cBytes, cBytes);
            _tile_loadd(3, (const char *)c + 16 * cBytes + 64, cBytes);
        }
        return;
    }
    _tile_zero(0);
    _tile_zero(1);
    if (isTall) {
        _tile_zero(2);
        _tile_zero(3);
    }
}

// Adds the product of a chunk of rows, `aBytes` apart, the second 16 `aHalf` bytes behind the first, and 16 words of a panel.
KK_INLINE void KK(amx_add)(const int isTall, const char *a, int64_t aBytes, int64_t aHalf, const char *b) {
    _tile_loadd(6, b, 4 * KK_NR);
    _tile_loadd(4, a, aBytes);
    _tile_loadd(7, b + 64, 4 * KK_NR);
    if (isTall) _tile_loadd(5, a + aHalf, aBytes);
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
    if (isTall) {
        _tile_dpbf16ps(2, 5, 6);
        _tile_dpbf16ps(3, 5, 7);
    }
}

// The sums to c.
KK_INLINE void KK(amx_keep)(const int isTall, float *c, int64_t cBytes) {
    _tile_stored(0, c, cBytes);
    _tile_stored(1, c + 16, cBytes);
    if (isTall) {
        _tile_stored(2, (char *)c + 16 * cBytes, cBytes);
        _tile_stored(3, (char *)c + 16 * cBytes + 64, cBytes);
    }
}

// One tile of the packed product, over `words` words, a multiple of 8.
KK_INLINE void KK(amx_gemm_tile)(const int isTall, int64_t words, const float *a, const float *b, float *c, int64_t ldc, int accumulate) {
    KK(amx_take)(isTall, c, 4 * ldc, accumulate);
    for (; words >= KK_AMX_WORDS; words -= KK_AMX_WORDS, a += KK_AMX_WORDS * KK_AMX_ROWS, b += KK_AMX_WORDS * KK_NR)
        KK(amx_add)(isTall, (const char *)a, 64, 1024, (const char *)b);
    if (words > 0) {
        // Eight words: the tiles' other half is 0.
        float rows[KK_AMX_WORDS * KK_AMX_ROWS], columns[KK_AMX_WORDS * KK_NR] = {0};
        for (int i = 0; i < KK_AMX_ROWS; i++)
            for (int w = 0; w < KK_AMX_WORDS; w++) rows[i * KK_AMX_WORDS + w] = w < 8 ? a[i * 8 + w] : 0;
        memcpy(columns, b, sizeof(float) * 8 * KK_NR);
        KK(amx_add)(isTall, (const char *)rows, 64, 1024, (const char *)columns);
    }
    KK(amx_keep)(isTall, c, 4 * ldc);
}

static void KK(amx_multiply)(int byColumns, int64_t m, int64_t n, int64_t words, const float *a, int64_t aStride, const float *b,
                             int64_t bStride, float *c, int64_t ldc, int accumulate) {
    KK(amx_begin)(KK_AMX_ROWS);
    for (int64_t start = 0; start < words || start == 0; start += KK_AMX_DEPTH, accumulate = 1) {
        int64_t depth = KK_MIN(words - start, KK_AMX_DEPTH);
        for (int64_t j = 0; j < n; j += KK_NR) {
            const float *panel = b + j / KK_NR * bStride + start * KK_NR;
            for (int64_t i = 0; i < m; i += KK_AMX_ROWS) {
                const float *group = a + i / KK_AMX_ROWS * aStride + start * KK_AMX_ROWS;
                int64_t rows = KK_MIN(m - i, KK_AMX_ROWS), columns = KK_MIN(n - j, KK_NR);
                float part[KK_AMX_ROWS * KK_NR], *to = c + i * ldc + j;
                int isWhole = columns == KK_NR && (rows == 16 || rows == KK_AMX_ROWS);
                int64_t stride = isWhole ? ldc : KK_NR;
                float *target = isWhole ? to : part;
                if (rows > 16) KK(amx_gemm_tile)(1, depth, group, panel, target, stride, isWhole && accumulate);
                else KK(amx_gemm_tile)(0, depth, group, panel, target, stride, isWhole && accumulate);
                if (isWhole) continue;
                for (int64_t r = 0; r < rows; r++)
                    for (int64_t s = 0; s < columns; s++) {
                        float value = part[r * KK_NR + s];
                        to[r * ldc + s] = accumulate ? to[r * ldc + s] + value : value;
                    }
            }
        }
    }
    _tile_release();
}

// 32 values from x rounded to 16 words; those past count are 0.
KK_INLINE __m512i KK(amx_words)(const float *x, int64_t count) {
    if (count >= 32) return (__m512i)_mm512_cvtne2ps_pbh(_mm512_loadu_ps(x + 16), _mm512_loadu_ps(x));
    uint32_t mask = count <= 0 ? 0 : (1u << count) - 1;
    return (__m512i)_mm512_cvtne2ps_pbh(_mm512_maskz_loadu_ps((__mmask16)(mask >> 16), x + 16), _mm512_maskz_loadu_ps((__mmask16)mask, x));
}

static void KK(amx_rows)(const float *x, int64_t stride, int64_t m, int64_t k, float *out, int64_t outStride) {
    int64_t words = KK_PAIR_WORDS(k);
    for (int64_t g = 0; g < m; g += KK_AMX_ROWS, out += outStride) {
        int64_t rows = KK_MIN(m - g, KK_AMX_ROWS);
        float *to = out;
        for (int64_t w = 0; w < words; w += KK_AMX_WORDS) {
            int64_t width = KK_MIN(words - w, KK_AMX_WORDS);
            for (int64_t i = 0; i < KK_AMX_ROWS; i++, to += width) {
                __m512i pairs = i < rows ? KK(amx_words)(x + (g + i) * stride + 2 * w, k - 2 * w) : _mm512_setzero_si512();
                _mm512_mask_storeu_epi32(to, width == KK_AMX_WORDS ? 0xFFFF : 0xFF, pairs);
            }
        }
    }
}

// 16 rows of 16 words to 16 columns.
KK_INLINE void KK(amx_transpose)(__m512i *x) {
    __m512i y[16];
#pragma unroll
    for (int i = 0; i < 16; i += 2) {
        y[i] = _mm512_unpacklo_epi32(x[i], x[i + 1]);
        y[i + 1] = _mm512_unpackhi_epi32(x[i], x[i + 1]);
    }
#pragma unroll
    for (int i = 0; i < 16; i += 4) {
        x[i] = _mm512_unpacklo_epi64(y[i], y[i + 2]);
        x[i + 1] = _mm512_unpackhi_epi64(y[i], y[i + 2]);
        x[i + 2] = _mm512_unpacklo_epi64(y[i + 1], y[i + 3]);
        x[i + 3] = _mm512_unpackhi_epi64(y[i + 1], y[i + 3]);
    }
    // x[4 q + c] holds, of rows 4 q to 4 q + 3, columns c, 4 + c, 8 + c and 12 + c.
#pragma unroll
    for (int c = 0; c < 4; c++) {
        __m512i low = _mm512_shuffle_i32x4(x[c], x[4 + c], 0x88), high = _mm512_shuffle_i32x4(x[c], x[4 + c], 0xDD);
        __m512i low2 = _mm512_shuffle_i32x4(x[8 + c], x[12 + c], 0x88), high2 = _mm512_shuffle_i32x4(x[8 + c], x[12 + c], 0xDD);
        y[c] = _mm512_shuffle_i32x4(low, low2, 0x88);
        y[8 + c] = _mm512_shuffle_i32x4(low, low2, 0xDD);
        y[4 + c] = _mm512_shuffle_i32x4(high, high2, 0x88);
        y[12 + c] = _mm512_shuffle_i32x4(high, high2, 0xDD);
    }
#pragma unroll
    for (int i = 0; i < 16; i++) x[i] = y[i];
}

// Columns [0, m) of x [k, m] as rows of chunks of 16 words.
static void KK(amx_columns)(const float *x, int64_t stride, int64_t m, int64_t k, float *out, int64_t outStride) {
    int64_t words = KK_PAIR_WORDS(k);
    for (int64_t w = 0; w < words; w += KK_AMX_WORDS) {
        int64_t width = KK_MIN(words - w, KK_AMX_WORDS), next = 2 * (w + KK_AMX_WORDS);
        KK(prefetch_rows)(x + next * stride, stride, m, KK_MIN(k - next, 2 * KK_AMX_WORDS));
        for (int64_t j = 0; j < (m + KK_AMX_ROWS - 1) / KK_AMX_ROWS * KK_AMX_ROWS; j += 16) {
            __mmask16 mask = m - j >= 16 ? 0xFFFF : m > j ? (__mmask16)((1u << (m - j)) - 1) : 0;
            __m512i block[16];
            for (int64_t i = 0; i < 16; i++) {
                const float *from = x + 2 * (w + i) * stride + j;
                __m512 low = 2 * (w + i) < k ? _mm512_maskz_loadu_ps(mask, from) : _mm512_setzero_ps();
                __m512 high = 2 * (w + i) + 1 < k ? _mm512_maskz_loadu_ps(mask, from + stride) : _mm512_setzero_ps();
                __m512i a = _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(low)), b = _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(high));
                block[i] = _mm512_or_si512(a, _mm512_slli_epi32(b, 16));
            }
            KK(amx_transpose)(block);
            float *to = out + j / KK_AMX_ROWS * outStride + w * KK_AMX_ROWS + j % KK_AMX_ROWS * width;
            for (int64_t i = 0; i < 16; i++) _mm512_mask_storeu_epi32(to + i * width, width == KK_AMX_WORDS ? 0xFFFF : 0xFF, block[i]);
        }
    }
}

// Rows [0, n) of x [n, k] as columns of one panel.
static void KK(amx_transposed)(const float *x, int64_t stride, int64_t n, int64_t k, float *panel) {
    int64_t words = KK_PAIR_WORDS(k);
    for (int64_t w = 0; w < words; w += KK_AMX_WORDS)
        for (int64_t j = 0; j < n; j += 16) {
            __mmask16 mask = n - j >= 16 ? 0xFFFF : (__mmask16)((1u << (n - j)) - 1);
            __m512i block[16];
            for (int64_t i = 0; i < 16; i++)
                block[i] = j + i < n ? KK(amx_words)(x + (j + i) * stride + 2 * w, k - 2 * w) : _mm512_setzero_si512();
            KK(amx_transpose)(block);
            for (int64_t i = 0; i < KK_MIN(words - w, KK_AMX_WORDS); i++) _mm512_mask_storeu_epi32(panel + (w + i) * KK_NR + j, mask, block[i]);
        }
}

// 16 rows, 32 where `isTall`, times a part of a panel over `words` words: c [rows, 32], to which it is added where `accumulate`. Of words
// beyond the last whole chunk there are copies, padded with zeros: of the rows in `tailRows`, of the panel in `tailPanel`.
KK_INLINE void KK(amx_panel_tile)(const int isTall, int64_t words, const uint32_t *a, int64_t aStride, const unsigned char *b, const uint32_t *tailRows,
                                  const uint32_t *tailPanel, float *c, int accumulate) {
    KK(amx_take)(isTall, c, 4 * KK_NR, accumulate);
    const char *rows = (const char *)a, *panel = (const char *)b;
    int64_t w = 0;
    for (; w + KK_AMX_WORDS <= words; w += KK_AMX_WORDS, rows += 64, panel += 4 * KK_NR * KK_AMX_WORDS) {
#pragma unroll
        for (int p = 0; p < (isTall ? 0 : 4 * KK_NR * KK_AMX_WORDS); p += 64) __builtin_prefetch(panel + KK_PANEL_AHEAD + p);
        KK(amx_add)(isTall, rows, 4 * aStride, 64 * aStride, panel);
    }
    if (w < words) KK(amx_add)(isTall, (const char *)tailRows, 64, 1024, (const char *)tailPanel);
    KK(amx_keep)(isTall, c, 4 * KK_NR);
}

static void KK(amx_panel_multiply)(const kk_panel_product *job, int64_t first, int64_t count, float *scratch) {
    if (job->element != KK_ELEMENT_BF16) {
        KK(panel_multiply)(job, first, count, scratch);
        return;
    }
    const uint32_t *input = job->input;
    if (job->rows > KK_AMX_PANEL_ROWS) {
        kk_panel_product part = *job, others = *job;
        part.rows = KK_AMX_PANEL_ROWS;
        others.rows -= part.rows;
        others.input = input + part.rows * job->inputStride;
        others.output = (uint32_t *)job->output + part.rows * job->outputStride;
        KK(amx_panel_multiply)(&part, first, count, scratch);
        KK(amx_panel_multiply)(&others, first, count, scratch);
        return;
    }
    int64_t words = (job->inner + 1) / 2, whole = words / KK_AMX_WORDS * KK_AMX_WORDS, rest = words - whole, n = job->rows;
    // Few rows are read once, panel after panel; of many a part stays in cache beside the panel's.
    int64_t depth = n > 16 ? KK_AMX_DEPTH : words + 1;
    uint32_t tailRows[KK_AMX_PANEL_ROWS * KK_AMX_WORDS], tailPanel[KK_AMX_WORDS * KK_NR] = {0};
    for (int64_t r = 0; rest > 0 && r < n; r++) {
        memset(tailRows + r * KK_AMX_WORDS, 0, 4 * KK_AMX_WORDS);
        memcpy(tailRows + r * KK_AMX_WORDS, input + r * job->inputStride + whole, 4 * (size_t)rest);
    }
    KK(amx_begin)(n);
    for (int64_t panel = first; panel < first + count; panel++) {
        const unsigned char *b = job->panels + panel * words * 4 * KK_NR;
        float last[KK_AMX_ROWS * KK_NR];
        int64_t row = 0, size = 0;
        if (rest > 0) memcpy(tailPanel, b + whole * 4 * KK_NR, 4 * KK_NR * (size_t)rest);
        for (int64_t start = 0; start < words || start == 0; start += depth)
            for (row = 0; row < n; row += size) {
                // Rows left over are computed in a whole tile, beside the sums of those before them that it has again.
                size = n - row > 16 && n >= KK_AMX_ROWS ? KK_AMX_ROWS : KK_MIN(n, 16);
                int64_t at = KK_MIN(row, n - size);
                const uint32_t *a = input + at * job->inputStride + start, *tail = tailRows + at * KK_AMX_WORDS;
                float *c = at < row ? last : scratch + at * KK_NR;
                int64_t part = KK_MIN(words - start, depth);
                if (size > 16) KK(amx_panel_tile)(1, part, a, job->inputStride, b + start * 4 * KK_NR, tail, tailPanel, c, start > 0);
                else KK(amx_panel_tile)(0, part, a, job->inputStride, b + start * 4 * KK_NR, tail, tailPanel, c, start > 0);
            }
        int64_t left = size - (row - n);
        if (left < size) memcpy(scratch + (n - left) * KK_NR, last + (size - left) * KK_NR, sizeof(float) * (size_t)(left * KK_NR));
        KK(panel_finish)(job, panel, scratch);
    }
    _tile_release();
}

// The table of the level that this file stands in, with these products.
void kk_amx(kk_table *to) {
    *to = KK(kk_table);
    to->name = "v4-amx";
    to->gemm[1] = (kk_gemm){KK_AMX_ROWS, KK_NR, KK_BF16_DEPTH, KK(amx_rows), KK(amx_columns), KK(panels_bf16), KK(amx_transposed), KK(amx_multiply)};
    to->panels.multiply = KK(amx_panel_multiply);
}
