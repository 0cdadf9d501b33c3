// `row` of AVX2 for groups of many queries: eight of them at a time, two elements of four side by side in a vector. Two elements
// of a key, broadcast, are multiplied with both vectors, so that a load serves two products and few sums go across:
//
//     queries  q0 q0 q1 q1 q4 q4 q5 q5   q2 q2 q3 q3 q6 q6 q7 q7   elements i, i + 1 of each
//     key      k  k' k  k' k  k' k  k'
//     scores   of a token's eight side by side, [tokens, 8]
#define KK_PAGED_DEPTH 64 // elements of a key widened at a time
#define KK_PAGED_EIGHT 6  // tokens whose sums registers hold
#define KK_PAGED_BESIDE 4 // tokens whose exponentials are taken side by side, as one alone waits for its own steps

typedef double KK(pairs) __attribute__((vector_size(32), aligned(4)));
typedef struct __attribute__((packed, aligned(4), may_alias)) { double value; } KK(pair);

// Eights of queries [group, d], scaled, to [wide / 2, 2, 8] each, zeros where there are none.
KK_INLINE void KK(paged_eights_queries)(const float *q, int64_t group, int64_t eights, int64_t d, int64_t wide, float scale,
                                        float *restrict out) {
    if (8 * eights > group || d < wide) memset(out, 0, sizeof(float) * (size_t)(8 * eights * wide));
    for (int64_t g = 0; g < KK_MIN(group, 8 * eights); g++) {
        const float *from = q + g * d;
        float *to = out + g / 8 * 8 * wide + g / 2 % 2 * 8 + g % 8 / 4 * 4 + g % 2 * 2;
        for (int64_t i = 0; i + 2 <= d; i += 2, to += 16) {
            to[0] = from[i] * scale;
            to[1] = from[i + 1] * scale;
        }
        if (d % 2) *to = from[d - 1] * scale;
    }
}

// Elements i ... i + 7 of KK_PAGED_EIGHT keys of `depth`, widened, zeros past their end.
KK_INLINE void KK(paged_widen_keys)(const int element, const unsigned char *const *rows, int64_t i, int64_t depth, float *to) {
#pragma unroll
    for (int t = 0; t < KK_PAGED_EIGHT; t++) {
        KK(vector) *widened = (KK(vector) *)(to + t * KK_PAGED_DEPTH + i);
        if (i + 8 <= depth) KK(widen_lanes)(element, rows[t] + i * KK_SIZE(element), widened);
        else KK(widen_last)(element, rows[t], i, depth, widened);
    }
}

// scores [KK_PAGED_EIGHT, 8] = keys q over `depth` elements, q [depth / 2, 2, 8]; added to what is there unless `first`. Of the
// keys that come next `more` elements are widened meanwhile.
KK_INLINE void KK(paged_eight_scores)(const int element, const float *const *keys, int64_t depth, const float *q, float *scores,
                                      int first, const unsigned char *const *next, int64_t more, float *widened) {
    KK(vector) sum[KK_PAGED_EIGHT][2] = {0};
    const float *row[KK_PAGED_EIGHT];
#pragma unroll
    for (int t = 0; t < KK_PAGED_EIGHT; t++) row[t] = keys[t];
    int64_t i = 0;
    for (; i < depth; i += 8) {
        if (i + 8 <= more) KK(paged_widen_keys)(element, next, i, i + 8, widened);
        for (int64_t p = i; p < i + 8; p += 2) {
            KK(vector) a = *(const KK(vector) *)(q + 8 * p), b = *(const KK(vector) *)(q + 8 * p + 8);
#pragma unroll
            for (int t = 0; t < KK_PAGED_EIGHT; t++) {
                double two = ((const KK(pair) *)(row[t] + p))->value;
                KK(vector) k = (KK(vector))(KK(pairs)){two, two, two, two};
                sum[t][0] += k * a;
                sum[t][1] += k * b;
            }
        }
    }
    for (i = KK_MIN(i, more / 8 * 8); i < more; i += 8) KK(paged_widen_keys)(element, next, i, more, widened);
#pragma unroll
    for (int t = 0; t < KK_PAGED_EIGHT; t++) {
        KK(vector) all = __builtin_shufflevector(sum[t][0], sum[t][1], 0, 2, 8, 10, 4, 6, 12, 14)
                       + __builtin_shufflevector(sum[t][0], sum[t][1], 1, 3, 9, 11, 5, 7, 13, 15);
        if (!first) all += *(const KK(vector) *)(scores + 8 * t);
        *(KK(vector) *)(scores + 8 * t) = all;
    }
}

KK_INLINE void KK(paged_key_rows)(const kk_rows *keys, int64_t t, int64_t bytes, const unsigned char **rows) {
#pragma unroll
    for (int s = 0; s < KK_PAGED_EIGHT; s++) rows[s] = keys->rows[KK_MIN(t + s, keys->count - 1)] + keys->offset + bytes;
}

// Scores [tokens, 8] of each of `eights` times eight queries [wide / 2, 2, 8]; of the next eight they are 8 * KK_PAGED_SPAN further.
KK_INLINE void KK(paged_eights_scores)(const int element, const kk_rows *keys, int64_t d, int64_t eights, const float *q, int64_t wide,
                                       float *scores, const kk_rows *ahead) {
    const int size = KK_SIZE(element);
    int isInPlace = element == KK_ELEMENT_FP32 && d % 8 == 0, now = 0;
    _Alignas(64) float block[2][KK_PAGED_EIGHT * KK_PAGED_DEPTH];
    const unsigned char *next[KK_PAGED_EIGHT];
    const float *row[KK_PAGED_EIGHT];
    const kk_rows far = ahead ? *ahead : (kk_rows){0};
    KK(paged_key_rows)(keys, 0, 0, next);
    if (!isInPlace)
        for (int64_t i = 0, depth = KK_MIN(d, KK_PAGED_DEPTH); i < depth; i += 8) KK(paged_widen_keys)(element, next, i, depth, block[0]);
    for (int64_t t = 0; t < keys->count; t += KK_PAGED_EIGHT) {
        int64_t left = KK_MIN(keys->count - t, KK_PAGED_EIGHT);
        kk_fetch_some(&far, t, KK_PAGED_EIGHT);
        for (int64_t from = 0; from < d; from += KK_PAGED_DEPTH, now = !now) {
            int64_t later = from + KK_PAGED_DEPTH < d ? from + KK_PAGED_DEPTH : 0, token = later ? t : t + KK_PAGED_EIGHT, more = 0;
#pragma unroll
            for (int s = 0; s < KK_PAGED_EIGHT; s++) row[s] = isInPlace ? (const float *)next[s] : block[now] + s * KK_PAGED_DEPTH;
            if (token < keys->count) {
                KK(paged_key_rows)(keys, token, later * size, next);
                more = isInPlace ? 0 : KK_MIN(d - later, KK_PAGED_DEPTH);
            }
            for (int64_t e = 0; e < eights; e++, more = 0) {
                float *to = scores + 8 * (e * KK_PAGED_SPAN + t), part[8 * KK_PAGED_EIGHT];
                float *all = left < KK_PAGED_EIGHT ? part : to;
                if (all == part && from > 0) memcpy(part, to, sizeof(float) * (size_t)(8 * left));
                KK(paged_eight_scores)(element, row, KK_MIN(d - from, KK_PAGED_DEPTH), q + 8 * (e * wide + from), all, from == 0, next,
                                       more, block[!now]);
                if (all == part) memcpy(to, part, sizeof(float) * (size_t)(8 * left));
            }
        }
    }
}

// sum[g] += weights[g] * the row's columns from `column` on, of four queries; the last of d where `last`.
KK_INLINE void KK(paged_eight_value)(const int element, const int vectors, const int last, const unsigned char *row, int64_t column,
                                     int64_t d, const float *weights, KK(vector) (*sum)[3]) {
    KK(vector) v[3];
#pragma unroll
    for (int j = 0; j < vectors; j++) {
        if (last) KK(widen_last)(element, row, column, d, &v[j]);
        else KK(widen_lanes)(element, row + (column + 8 * j) * KK_SIZE(element), &v[j]);
    }
#pragma unroll
    for (int g = 0; g < 4; g++)
#pragma unroll
        for (int j = 0; j < vectors; j++) sum[g][j] += weights[g] * v[j];
}

// out[g] += weights * values for four of eight queries and 8 * vectors columns from `column` on, the last of d where `last`.
KK_INLINE void KK(paged_eight_values)(const int element, const int vectors, const int last, const kk_rows *values, int64_t column,
                                      int64_t d, const float *weights, float *out, int64_t wide, const kk_rows *ahead) {
    KK(vector) sum[4][3];
#pragma unroll
    for (int g = 0; g < 4; g++)
#pragma unroll
        for (int j = 0; j < vectors; j++) sum[g][j] = *(const KK(vector) *)(out + g * wide + column + 8 * j);
    const kk_rows here = *values, far = ahead ? *ahead : (kk_rows){0};
    int64_t t = 0;
    for (; t < KK_MIN(here.count, far.count); t++) {
        kk_fetch(&far, t);
        KK(paged_eight_value)(element, vectors, last, here.rows[t] + here.offset, column, d, weights + 8 * t, sum);
    }
    for (; t < here.count; t++)
        KK(paged_eight_value)(element, vectors, last, here.rows[t] + here.offset, column, d, weights + 8 * t, sum);
#pragma unroll
    for (int g = 0; g < 4; g++)
#pragma unroll
        for (int j = 0; j < vectors; j++) *(KK(vector) *)(out + g * wide + column + 8 * j) = sum[g][j];
}

// Each pass over the values fetches a share of what is ahead: all at once the loads of the first would wait for it.
KK_INLINE void KK(paged_eights_values)(const int element, const kk_rows *values, int64_t d, int64_t eights, const float *weights,
                                       float *out, int64_t wide, const kk_rows *ahead) {
    int64_t passes = 2 * eights * ((d + 23) / 24), share = ahead ? (ahead->count + passes - 1) / passes : 0;
    kk_rows far = ahead ? *ahead : (kk_rows){0};
    int64_t left = far.count;
    for (int64_t g = 0; g < 8 * eights; g += 4) {
        const float *some = weights + g / 8 * 8 * KK_PAGED_SPAN + g % 8;
        for (int64_t i = 0; i < d; i += 24) {
            far.count = KK_MIN(left, share);
            int64_t n = d - i;
            float *to = out + g * wide;
            if (n >= 24) KK(paged_eight_values)(element, 3, 0, values, i, d, some, to, wide, &far);
            else {
                if (n >= 16) KK(paged_eight_values)(element, 2, 0, values, i, d, some, to, wide, &far);
                else if (n >= 8) KK(paged_eight_values)(element, 1, 0, values, i, d, some, to, wide, &far);
                if (n % 8) KK(paged_eight_values)(element, 1, 1, values, i + n / 8 * 8, d, some, to, wide, n < 8 ? &far : NULL);
            }
            far.rows += far.count;
            left -= far.count;
        }
    }
}

// `tokens` rows to e^(row - top), added to `total`.
KK_INLINE void KK(paged_eight_exponentials)(const int tokens, const KK(vector) *top, KK(vector) *row, KK(vector) *total) {
    float x[8 * KK_PAGED_BESIDE];
#pragma unroll
    for (int s = 0; s < tokens; s++) *(KK(vector) *)(x + 8 * s) = row[s] - *top;
#pragma clang loop unroll(disable) interleave_count(KK_PAGED_BESIDE)
    for (int j = 0; j < 8 * tokens; j++) x[j] = kk_exp_below(x[j]);
#pragma unroll
    for (int s = 0; s < tokens; s++) {
        row[s] = *(KK(vector) *)(x + 8 * s);
        *total += row[s];
    }
}

// Scores of eights of queries over n tokens to weights; those of `group` that there are give their log-sum-exp.
KK_INLINE void KK(paged_eights_softmax)(int64_t group, int64_t eights, int64_t n, float *scores, float *logSumExp) {
    for (int64_t e = 0; e < eights; e++) {
        KK(vector) *row = (KK(vector) *)(scores + 8 * e * KK_PAGED_SPAN), top = row[0], total = {0};
        for (int64_t t = 1; t < n; t++) {
            kk_u32x8 more = (kk_u32x8)(row[t] > top);
            top = (KK(vector))((more & (kk_u32x8)row[t]) | (~more & (kk_u32x8)top));
        }
        int64_t t = 0;
        for (; t + KK_PAGED_BESIDE <= n; t += KK_PAGED_BESIDE) KK(paged_eight_exponentials)(KK_PAGED_BESIDE, &top, row + t, &total);
        for (; t < n; t++) KK(paged_eight_exponentials)(1, &top, row + t, &total);
        for (int64_t g = 8 * e; g < KK_MIN(group, 8 * e + 8); g++) logSumExp[g] = top[g % 8] + kk_log(total[g % 8]);
        total = 1.0f / total;
        for (int64_t t = 0; t < n; t++) row[t] *= total;
    }
}
