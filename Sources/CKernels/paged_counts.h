// `row` over codes in whole numbers, on AVX2 and wider: queries and weights are rounded to 16 bits, with a step each, multiplied with
// codes in pairs and added up in 32 bits, exactly. A query's element is off by 1/65534 of its largest one at most, as is a token's
// weight of its span's largest. Half as many instructions as in Float32, one fewer yet where AVX-512 VNNI fuses product and sum.
//
// Values are multiplied in pairs of tokens, words of which are laid side by side by halves of 128-bit lanes. Sums of a block of
// KK_CODES columns lie accordingly, in two vectors:
//
//     columns   0 1 2 3  8 9 10 11 ...   4 5 6 7  12 13 14 15 ...
#define KK_CODES (2 * KK_VW) // codes that a vector takes as words
typedef int8_t KK(codes) __attribute__((vector_size(2 * KK_VW), aligned(1)));
typedef uint8_t KK(code_bytes) __attribute__((vector_size(2 * KK_VW), aligned(1)));
typedef int16_t KK(code_words) __attribute__((vector_size(4 * KK_VW), aligned(2)));
typedef int32_t KK(code_sums) __attribute__((vector_size(4 * KK_VW), aligned(4)));
#if KK_VW == 16
typedef short KK(shorts) __attribute__((vector_size(64)));
#define KK_PAIRS(x, y) ((KK(code_sums))__builtin_ia32_pmaddwd512((KK(shorts))(x), (KK(shorts))(y)))
#define KK_LOW(x, y) (__builtin_shufflevector(x, y, 0, 32, 1, 33, 2, 34, 3, 35, 8, 40, 9, 41, 10, 42, 11, 43, 16, 48, 17, 49, 18, 50, 19, \
                                              51, 24, 56, 25, 57, 26, 58, 27, 59))
#define KK_HIGH(x, y) (__builtin_shufflevector(x, y, 4, 36, 5, 37, 6, 38, 7, 39, 12, 44, 13, 45, 14, 46, 15, 47, 20, 52, 21, 53, 22, 54, 23, \
                                               55, 28, 60, 29, 61, 30, 62, 31, 63))
#else
typedef short KK(shorts) __attribute__((vector_size(32)));
#define KK_PAIRS(x, y) ((KK(code_sums))__builtin_ia32_pmaddwd256((KK(shorts))(x), (KK(shorts))(y)))
#define KK_LOW(x, y) (__builtin_shufflevector(x, y, 0, 16, 1, 17, 2, 18, 3, 19, 8, 24, 9, 25, 10, 26, 11, 27))
#define KK_HIGH(x, y) (__builtin_shufflevector(x, y, 4, 20, 5, 21, 6, 22, 7, 23, 12, 28, 13, 29, 14, 30, 15, 31))
#endif

// n numbers, a multiple of 16, rounded in place to words of a step, which is returned: 0 for zeros, NaN where one is not finite.
KK_INLINE float KK(paged_words)(float *x, int64_t n) {
    float step = kk_largest(x, n) / 32767, inverse = step > 0x1p-120f ? 1.0f / step : 0.0f;
    for (int64_t i = 0; i < n; i += 16) { // written only behind the read position
        float part[16];
        int16_t words[16];
        memcpy(part, x + i, sizeof part);
        for (int j = 0; j < 16; j++) words[j] = inverse > 0 ? (int16_t)kk_nearest(part[j] * inverse) : 0;
        memcpy((int16_t *)x + i, words, sizeof words);
    }
    return step;
}

// Scores of `queries` heads (1, 2 or 4) in steps of the scales, as `paged_scores`, against signed codes of 8 bits or unsigned ones of 4 or 2.
// Queries are words, in rows of 2 * wide.
KK_INLINE void KK(paged_code_scores)(const int bits, const int queries, const kk_rows *keys, int64_t d, const float *q, int64_t wide,
                                     float *scores, const kk_rows *ahead) {
    const int tokens = KK_PAGED_WIDTH / queries, some = KK_PAGED_SUMS / queries;
    int64_t bytes = d * bits / 8;
    for (int64_t t = 0; t < keys->count; t += tokens) {
        KK(lanes) sum[KK_PAGED_WIDTH], all;
        const unsigned char *row[KK_PAGED_WIDTH];
        int64_t left = KK_MIN(keys->count - t, tokens);
#pragma unroll
        for (int s = 0; s < tokens; s++) row[s] = keys->rows[t + (s < left ? s : left - 1)] + keys->offset;
        if (ahead)
            for (int64_t s = t; s < KK_MIN(t + tokens, ahead->count); s++) kk_fetch(ahead, s);
#pragma unroll
        for (int part = 0; part < tokens; part += some) {
            KK(code_sums) partial[KK_PAGED_SUMS] = {0};
            for (int64_t i = 0; i < bytes; i += KK_CODES)
#pragma unroll
                for (int s = 0; s < some; s++) {
                    KK(code_words) codes = __builtin_convertvector(*(const KK(code_bytes) *)(row[part + s] + i), KK(code_words));
                    if (bits == 8) codes = __builtin_convertvector(*(const KK(codes) *)(row[part + s] + i), KK(code_words));
#pragma unroll
                    for (int place = 0; place < 8 / bits; place++) {
                        KK(code_words) k = codes;
                        if (bits < 8) k = k >> (int16_t)(place * bits) & ((KK(code_words)){0} + (int16_t)((1 << bits) - 1));
#pragma unroll
                        for (int g = 0; g < queries; g++)
                            partial[g * some + s] +=
                                KK_PAIRS(k, *(const KK(code_words) *)((const int16_t *)(q + g * wide) + place * bytes + i));
                    }
                }
#pragma unroll
            for (int g = 0; g < queries; g++)
#pragma unroll
                for (int s = 0; s < some; s++) sum[g * tokens + part + s] = __builtin_convertvector(partial[g * some + s], KK(lanes));
        }
        KK(sums)(sum, &all);
        for (int g = 0; g < queries; g++)
            for (int s = 0; s < left; s++) scores[g * KK_PAGED_SPAN + t + s] = all[g * tokens + s];
    }
}

// The same for a group over tokens of several blocks: a block's scales are multiplied into the queries, its offsets once into their
// scores. `scratch` takes six rows.
KK_INLINE void KK(paged_channels)(const int bits, const kk_rows *keys, int64_t d, int64_t group, const float *q, int64_t wide,
                                  float *scores, const kk_rows *ahead, float *scratch) {
    float *scale = scratch, *offset = scale + wide, *words = offset + wide;
    for (int64_t t = 0, n; t < keys->count; t += n) {
        const unsigned char *scales = keys->scales[t] + keys->scaleOffset;
        for (n = 1; t + n < keys->count && keys->scales[t + n] == keys->scales[t];) n++;
        for (int64_t i = 0; i < d; i += 16) {
            *(kk_v16 *)(scale + i) = __builtin_convertvector(*(const KK(half16) *)(scales + 2 * i), kk_v16);
            *(kk_v16 *)(offset + i) = __builtin_convertvector(*(const KK(half16) *)(scales + 2 * (d + i)), kk_v16);
        }
        kk_rows here = *keys, far = {0};
        here.rows += t;
        here.scales += t;
        here.count = n;
        if (ahead && ahead->count > t) {
            far = *ahead;
            far.rows += t;
            if (far.scales) far.scales += t;
            far.count = t + n < keys->count ? KK_MIN(ahead->count - t, n) : ahead->count - t;
        }
        for (int64_t g = 0, some; g < group; g += some, far.count = 0) {
            float step[4], added[4];
            some = group - g >= 4 ? 4 : group - g >= 2 ? 2 : 1;
            for (int64_t j = 0; j < some; j++) {
                const float *row = q + (g + j) * wide;
                added[j] = KK(dot)(row, offset, d);
                for (int64_t i = 0; i < d; i++) words[j * wide + i] = row[i] * scale[i];
                step[j] = KK(paged_words)(words + j * wide, d);
            }
            float *to = scores + g * KK_PAGED_SPAN + t;
            const kk_rows *next = far.count > 0 ? &far : NULL;
            if (some == 4) KK(paged_code_scores)(bits, 4, &here, d, words, wide, to, next);
            else if (some == 2) KK(paged_code_scores)(bits, 2, &here, d, words, wide, to, next);
            else KK(paged_code_scores)(bits, 1, &here, d, words, wide, to, next);
            for (int64_t j = 0; j < some; j++)
                for (int64_t s = 0; s < n; s++) to[j * KK_PAGED_SPAN + s] = added[j] + step[j] * to[j * KK_PAGED_SPAN + s];
        }
    }
}

static void KK(paged_channeled_scores)(int32_t element, const kk_rows *keys, int64_t d, int64_t group, const float *q, int64_t wide,
                                       float *scores, const kk_rows *ahead, float *scratch) {
    if (element == KK_ELEMENT_CHANNEL4) KK(paged_channels)(4, keys, d, group, q, wide, scores, ahead, scratch);
    else KK(paged_channels)(2, keys, d, group, q, wide, scores, ahead, scratch);
}

// out[g] += weights * codes for `queries` heads (1, 2 or 4) and `blocks` times KK_CODES columns from `column` on, in whole numbers.
// Weights are words in rows of 2 * KK_PAGED_SPAN, 0 behind the last token.
KK_INLINE void KK(paged_code_values)(const int element, const int queries, const int blocks, const int high, const kk_rows *values,
                                     int64_t column, int64_t d, const float *weights, int64_t start, float *out, int64_t wide,
                                     const kk_rows *ahead) {
    const int64_t at = element == KK_ELEMENT_ASYMMETRIC4 && high ? column - d / 2 : column;
    KK(code_sums) sum[4][4];
#pragma unroll
    for (int g = 0; g < queries; g++)
#pragma unroll
        for (int j = 0; j < 2 * blocks; j++) sum[g][j] = *(const KK(code_sums) *)(out + g * wide + column + j * KK_VW);
    for (int64_t t = 0; t < values->count; t += 2) {
        int64_t second = t + 1 < values->count ? t + 1 : t;
        const unsigned char *a = values->rows[t] + values->offset + at, *b = values->rows[second] + values->offset + at;
        if (ahead && t < ahead->count) {
            kk_fetch(ahead, t);
            if (t + 1 < ahead->count) kk_fetch(ahead, t + 1);
        }
#pragma unroll
        for (int j = 0; j < blocks; j++) {
            KK(code_words) x, y;
            if (element == KK_ELEMENT_ASYMMETRIC4) {
                x = __builtin_convertvector(*(const KK(code_bytes) *)(a + j * KK_CODES), KK(code_words));
                y = __builtin_convertvector(*(const KK(code_bytes) *)(b + j * KK_CODES), KK(code_words));
                x = high ? x >> 4 : x & 15;
                y = high ? y >> 4 : y & 15;
            } else {
                x = __builtin_convertvector(*(const KK(codes) *)(a + j * KK_CODES), KK(code_words));
                y = __builtin_convertvector(*(const KK(codes) *)(b + j * KK_CODES), KK(code_words));
            }
            KK(code_words) low = KK_LOW(x, y), high2 = KK_HIGH(x, y);
#pragma unroll
            for (int g = 0; g < queries; g++) {
                int32_t pair;
                memcpy(&pair, (const int16_t *)(weights + g * KK_PAGED_SPAN) + start + t, 4);
                KK(code_words) w = (KK(code_words))((KK(code_sums)){0} + pair);
                sum[g][2 * j] += KK_PAIRS(low, w);
                sum[g][2 * j + 1] += KK_PAIRS(high2, w);
            }
        }
    }
#pragma unroll
    for (int g = 0; g < queries; g++)
#pragma unroll
        for (int j = 0; j < 2 * blocks; j++) *(KK(code_sums) *)(out + g * wide + column + j * KK_VW) = sum[g][j];
}

KK_INLINE void KK(paged_some_code_values)(const int element, const int queries, const kk_rows *values, int64_t d, const float *weights,
                                          int64_t start, float *out, int64_t wide, const kk_rows *ahead) {
    const int halves = element == KK_ELEMENT_ASYMMETRIC4 ? 2 : 1;
    int64_t i = 0;
#pragma unroll
    for (int high = 0; high < halves; high++) {
        int64_t end = halves == 1 || high ? d : d / 2;
        if (queries == 1)
            for (; i + 2 * KK_CODES <= end; i += 2 * KK_CODES, ahead = NULL)
                KK(paged_code_values)(element, queries, 2, high, values, i, d, weights, start, out, wide, ahead);
        for (; i < end; i += KK_CODES, ahead = NULL)
            KK(paged_code_values)(element, queries, 1, high, values, i, d, weights, start, out, wide, ahead);
    }
}

static void KK(paged_counted_scores)(const kk_rows *keys, int64_t d, int64_t group, const float *q, int64_t wide, float *scores,
                                     int64_t start, const kk_rows *ahead) {
    int64_t g = 0;
    scores += start;
    for (; g + 4 <= group; g += 4, ahead = NULL)
        KK(paged_code_scores)(8, 4, keys, d, q + g * wide, wide, scores + g * KK_PAGED_SPAN, ahead);
    for (; g + 2 <= group; g += 2, ahead = NULL)
        KK(paged_code_scores)(8, 2, keys, d, q + g * wide, wide, scores + g * KK_PAGED_SPAN, ahead);
    for (; g < group; g++, ahead = NULL) KK(paged_code_scores)(8, 1, keys, d, q + g * wide, wide, scores + g * KK_PAGED_SPAN, ahead);
}

KK_INLINE void KK(paged_counted_group)(const int element, const kk_rows *values, int64_t d, int64_t group, const float *weights,
                                       int64_t start, float *out, int64_t wide, const kk_rows *ahead) {
    int64_t g = 0;
    for (; g + 4 <= group; g += 4, ahead = NULL)
        KK(paged_some_code_values)(element, 4, values, d, weights + g * KK_PAGED_SPAN, start, out + g * wide, wide, ahead);
    for (; g + 2 <= group; g += 2, ahead = NULL)
        KK(paged_some_code_values)(element, 2, values, d, weights + g * KK_PAGED_SPAN, start, out + g * wide, wide, ahead);
    for (; g < group; g++, ahead = NULL)
        KK(paged_some_code_values)(element, 1, values, d, weights + g * KK_PAGED_SPAN, start, out + g * wide, wide, ahead);
}

static void KK(paged_counted_values)(int32_t element, const kk_rows *values, int64_t d, int64_t group, const float *weights,
                                     int64_t start, float *out, int64_t wide, const kk_rows *ahead) {
    if (element == KK_ELEMENT_INT8) KK(paged_counted_group)(KK_ELEMENT_INT8, values, d, group, weights, start, out, wide, ahead);
    else KK(paged_counted_group)(KK_ELEMENT_ASYMMETRIC4, values, d, group, weights, start, out, wide, ahead);
}

// One query's sums [d] to columns in order, times the weights' step, plus what offsets add.
KK_INLINE void KK(paged_uncounted)(float *out, int64_t d, float step, float offset) {
    for (int64_t i = 0; i < d; i += KK_CODES) {
        int32_t sums[KK_CODES];
        memcpy(sums, out + i, sizeof sums);
        for (int j = 0; j < KK_CODES; j++) // lane, half, place in it
            out[i + j] = offset + step * (float)sums[j / 4 % 2 * KK_VW + j / 8 * 4 + j % 4];
    }
}
