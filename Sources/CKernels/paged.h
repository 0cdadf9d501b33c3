// Attention that reads a cache's pages in place (Kwon et al. 2023, PagedAttention). Two forms: `row` for one query, where each
// cached row is loaded once for a group's query heads, and `block` for many, where blocks of 128 tokens are widened into
// scratch and multiplied with the queries of all of the group's heads at once.
#ifndef KK_PAGED
#define KK_PAGED

KK_INLINE float kk_from_half(uint16_t h) {
    union { uint32_t i; float f; } bits = {(uint32_t)(h & 0x7FFF) << 13}, scale = {(254 - 15) << 23};
    bits.f *= scale.f; // exact, subnormals too
    if ((h & 0x7C00) == 0x7C00) bits.i |= 0x7F800000;
    bits.i |= (uint32_t)(h & 0x8000) << 16;
    return bits.f;
}

// To nearest, ties to even; beyond 65504 infinity.
KK_INLINE uint16_t kk_to_half(float x) {
    union { float f; uint32_t i; } bits = {x};
    uint32_t sign = bits.i >> 16 & 0x8000, magnitude = bits.i & 0x7FFFFFFF;
    if (magnitude > 0x7F800000) return (uint16_t)(sign | 0x7E00);
    if (magnitude >= 0x477FF000) return (uint16_t)(sign | 0x7C00);
    if (magnitude < 0x38800000) { // below 2^-14: in steps of 2^-24, which adding 1/2 rounds to
        union { uint32_t i; float f; } small = {magnitude};
        small.f += 0.5f;
        return (uint16_t)(sign | (small.i - 0x3F000000));
    }
    return (uint16_t)(sign | ((magnitude - 0x38000000 + 0xFFF + (magnitude >> 13 & 1)) >> 13));
}

// Keys or values of `count` tokens: row t is at rows[t] + offset, `bytes` long; its scales, where it has any, at scales[t] +
// scaleOffset. The first `split` elements of a row are a vector of their own.
typedef struct {
    const unsigned char *const *rows, *const *scales;
    int64_t offset, scaleOffset, count, bytes, split;
} kk_rows;

KK_INLINE void kk_fetch(const kk_rows *rows, int64_t t) {
    const unsigned char *row = rows->rows[t] + rows->offset;
    __builtin_prefetch(row, 0, 2);
    if (rows->bytes > 64) __builtin_prefetch(row + 64, 0, 2);
    for (int64_t b = 128; b < rows->bytes; b += 64) __builtin_prefetch(row + b, 0, 2);
}

// Scales lie side by side: those of every sixteenth row bring the others'.
KK_INLINE void kk_fetch_scales(const kk_rows *rows) {
    for (int64_t t = 0; rows->scales && t < rows->count; t += 16) __builtin_prefetch(rows->scales[t] + rows->scaleOffset, 0, 2);
}

// `some` rows from t on, as far as there are any.
KK_INLINE void kk_fetch_some(const kk_rows *rows, int64_t t, const int some) {
    if (t + some <= rows->count) {
#pragma unroll
        for (int s = 0; s < some; s++) kk_fetch(rows, t + s);
    } else
        for (; t < rows->count; t++) kk_fetch(rows, t);
}

typedef uint16_t kk_u16x16 __attribute__((vector_size(32), aligned(2)));
typedef uint32_t kk_u32x16 __attribute__((vector_size(64), aligned(4)));
typedef uint16_t kk_u16x8 __attribute__((vector_size(16), aligned(2)));
typedef uint32_t kk_u32x8 __attribute__((vector_size(32), aligned(4)));
typedef int32_t kk_i32x16 __attribute__((vector_size(64), aligned(4)));
typedef int8_t kk_i8x16 __attribute__((vector_size(16), aligned(1)));
typedef uint8_t kk_u8x16 __attribute__((vector_size(16), aligned(1)));
typedef int32_t kk_i32x8 __attribute__((vector_size(32), aligned(4)));
typedef int8_t kk_i8x8 __attribute__((vector_size(8), aligned(1)));

// Bytes of an element that `row` reads in place, whole ones.
#define KK_SIZE(element) ((element) == KK_ELEMENT_FP32 ? 4 : (element) == KK_ELEMENT_INT8 ? 1 : 2)
#endif

// Vectors that scores are summed in, and how many of them registers hold beside keys and queries.
#if KK_VW == 8
typedef KK(vector) KK(lanes);
#define KK_PAGED_WIDTH 8
#define KK_PAGED_SUMS 8
#else
typedef kk_v16 KK(lanes);
#define KK_PAGED_WIDTH 16
#define KK_PAGED_SUMS (KK_VW == 16 ? 16 : 4)
#endif
#define KK_PAGED_COLUMNS (KK_VW == 16 ? 16 : 4) // vectors of 16 columns of values that registers hold

#if KK_VW > 4
typedef _Float16 KK(half16) __attribute__((vector_size(32), aligned(2)));
typedef _Float16 KK(half8) __attribute__((vector_size(16), aligned(2)));
typedef struct __attribute__((packed, may_alias)) { _Float16 value; } KK(half);
#endif

// 16 elements, of a codec its codes; vectors go through pointers, as their passing by value depends on the instruction set.
KK_INLINE void KK(widen)(const int element, const unsigned char *p, kk_v16 *to) {
    if (element == KK_ELEMENT_FP32) *to = *(const kk_v16 *)p;
    else if (element == KK_ELEMENT_BF16) *to = (kk_v16)(__builtin_convertvector(*(const kk_u16x16 *)p, kk_u32x16) << 16);
    else if (element == KK_ELEMENT_INT8) *to = __builtin_convertvector(__builtin_convertvector(*(const kk_i8x16 *)p, kk_i32x16), kk_v16);
#if KK_VW > 4
    else *to = __builtin_convertvector(*(const KK(half16) *)p, kk_v16);
#else
    else
        for (int i = 0; i < 16; i++) (*to)[i] = kk_from_half(((const uint16_t *)p)[i]);
#endif
}

// Elements i ... i + 15 of a row of n, zeros past its end.
KK_INLINE void KK(widen_at)(const int element, const unsigned char *row, int64_t i, int64_t n, kk_v16 *to) {
    const int size = KK_SIZE(element);
    if (i + 16 <= n) {
        KK(widen)(element, row + i * size, to);
        return;
    }
    unsigned char part[64] = {0};
    memcpy(part, row + i * size, (size_t)((n - i) * size));
    KK(widen)(element, part, to);
}

// As many elements as scores' vectors have.
KK_INLINE void KK(widen_lanes)(const int element, const unsigned char *p, KK(lanes) *to) {
#if KK_VW == 8
    if (element == KK_ELEMENT_FP32) *to = *(const KK(lanes) *)p;
    else if (element == KK_ELEMENT_BF16) *to = (KK(lanes))(__builtin_convertvector(*(const kk_u16x8 *)p, kk_u32x8) << 16);
    else if (element == KK_ELEMENT_INT8)
        *to = __builtin_convertvector(__builtin_convertvector(*(const kk_i8x8 *)p, kk_i32x8), KK(lanes));
    else *to = __builtin_convertvector(*(const KK(half8) *)p, KK(lanes));
#else
    KK(widen)(element, p, to);
#endif
}

// Elements i ... n of a row of n, fewer than a vector, and zeros past its end.
KK_INLINE void KK(widen_last)(const int element, const unsigned char *row, int64_t i, int64_t n, KK(lanes) *to) {
    const int size = KK_SIZE(element);
    unsigned char part[4 * KK_PAGED_WIDTH] = {0};
    memcpy(part, row + i * size, (size_t)((n - i) * size));
    KK(widen_lanes)(element, part, to);
}

static void KK(paged_round)(int32_t element, const float *x, int64_t n, unsigned char *to) {
    if (element == KK_ELEMENT_FP32) memcpy(to, x, (size_t)n * 4);
    else if (element == KK_ELEMENT_BF16)
        for (int64_t i = 0; i < n; i++) {
            union { float f; uint32_t i; } bits = {kk_round_bf16(x[i])};
            ((uint16_t *)to)[i] = (uint16_t)(bits.i >> 16);
        }
    else {
        int64_t i = 0;
#if KK_VW > 4
        for (; i + 16 <= n; i += 16) *(KK(half16) *)(to + 2 * i) = __builtin_convertvector(*(const kk_v16 *)(x + i), KK(half16));
#endif
        for (; i < n; i++) ((uint16_t *)to)[i] = kk_to_half(x[i]);
    }
}

#include "paged_codecs.h"

// One head's keys or values in a page: where slot 0's codes and scales are and how long each slot's, or each scaleTokens slots', are;
// and how far the next head's are from there.
typedef struct {
    int32_t element;
    int64_t start, bytes, step, scaleStart, scaleBytes, scaleStep, split, scaleTokens;
} KK(place);

KK_INLINE KK(place) KK(keys_place)(const kk_pages *cache, int64_t head) {
    int32_t element = cache->keyElement;
    int64_t slots = cache->tokensPerPage, d = cache->keyDim, split = cache->valuesAreKeys ? cache->valueDim : d, rest = d - split;
    int64_t bytes = kk_code_bytes(element, split), scaleBytes = kk_scale_bytes(element, split);
    int64_t valueBytes = cache->valuesAreKeys ? 0 : kk_code_bytes(cache->valueElement, cache->valueDim);
    if (rest > 0) {
        bytes += kk_code_bytes(element, rest);
        scaleBytes += kk_scale_bytes(element, rest);
    }
    int64_t tokens = kk_scale_tokens(element), scales = slots / tokens;
    return (KK(place)){element, head * slots * bytes, bytes, slots * bytes,
                       cache->kvHeads * slots * (bytes + valueBytes) + head * scales * scaleBytes, scaleBytes, scales * scaleBytes, split,
                       tokens};
}

KK_INLINE KK(place) KK(values_place)(const kk_pages *cache, int64_t head) {
    KK(place) keys = KK(keys_place)(cache, 0);
    if (cache->valuesAreKeys) return KK(keys_place)(cache, head);
    int32_t element = cache->valueElement;
    int64_t slots = cache->tokensPerPage, bytes = kk_code_bytes(element, cache->valueDim);
    int64_t scaleBytes = kk_scale_bytes(element, cache->valueDim);
    return (KK(place)){element, cache->kvHeads * slots * keys.bytes + head * slots * bytes, bytes, slots * bytes,
                       cache->kvHeads * (slots * (keys.bytes + bytes) + keys.scaleStep) + head * slots * scaleBytes, scaleBytes,
                       slots * scaleBytes, cache->valueDim, 1};
}

static void KK(paged_store)(const kk_pages *cache, int64_t position, const float *keys, const float *values) {
    int64_t slot = position % cache->tokensPerPage, keyDim = cache->keyDim, valueDim = cache->valueDim;
    unsigned char *page = cache->memory + cache->pages[position / cache->tokensPerPage] * cache->pageBytes;
    KK(place) key = KK(keys_place)(cache, 0), value = KK(values_place)(cache, 0);
    for (int64_t h = 0; h < cache->kvHeads; h++) {
        unsigned char *codes = page + key.start + h * key.step + slot * key.bytes;
        unsigned char *scales = page + key.scaleStart + h * key.scaleStep + slot * key.scaleBytes;
        const float *x = keys + h * keyDim;
        KK(paged_encode)(key.element, x, key.split, codes, scales);
        if (keyDim > key.split)
            KK(paged_encode)(key.element, x + key.split, keyDim - key.split, codes + kk_code_bytes(key.element, key.split),
                             scales + kk_scale_bytes(key.element, key.split));
        if (!cache->valuesAreKeys)
            KK(paged_encode)(value.element, values + h * valueDim, valueDim, page + value.start + h * value.step + slot * value.bytes,
                             page + value.scaleStart + h * value.scaleStep + slot * value.scaleBytes);
    }
}

// The addresses of the codes and scales of tokens [from, to).
KK_INLINE void KK(paged_rows)(const kk_pages *cache, const KK(place) *place, int64_t from, int64_t to, const unsigned char **rows,
                              const unsigned char **scales) {
    int64_t slots = cache->tokensPerPage, page = from / slots, slot = from % slots, n = 0;
    for (int64_t t = from; t < to; page++, slot = 0) {
        const unsigned char *base = cache->memory + cache->pages[page] * cache->pageBytes;
        int64_t some = KK_MIN(slots - slot, to - t);
        for (int64_t s = 0; s < some; s++) rows[n + s] = base + place->start + (slot + s) * place->bytes;
        if (place->scaleBytes > 0)
            for (int64_t s = 0; s < some; s++) scales[n + s] = base + place->scaleStart + (slot + s) / place->scaleTokens * place->scaleBytes;
        t += some;
        n += some;
    }
}

// `count` rows from number `first` on, of the head `heads` further.
KK_INLINE kk_rows KK(paged_some)(const KK(place) *place, const unsigned char *const *rows, const unsigned char *const *scales,
                                 int64_t heads, int64_t first, int64_t count) {
    return (kk_rows){rows + first, place->scaleBytes > 0 ? scales + first : NULL, heads * place->step, heads * place->scaleStep, count,
                     place->bytes, place->split};
}

// The sums of as many vectors' elements as a vector has, side by side.
KK_INLINE void KK(sums)(const KK(lanes) *x, KK(lanes) *to) {
#define KK_FOLD(a, b, ...) (__builtin_shufflevector(a, b, __VA_ARGS__))
#if KK_VW == 8
    KK(lanes) y[4], z[2];
#pragma unroll
    for (int i = 0; i < 4; i++) // in both halves: a0+a1 a2+a3 b0+b1 b2+b3
        y[i] = KK_FOLD(x[2 * i], x[2 * i + 1], 0, 2, 8, 10, 4, 6, 12, 14) + KK_FOLD(x[2 * i], x[2 * i + 1], 1, 3, 9, 11, 5, 7, 13, 15);
#pragma unroll
    for (int i = 0; i < 2; i++) // a b c d
        z[i] = KK_FOLD(y[2 * i], y[2 * i + 1], 0, 2, 8, 10, 4, 6, 12, 14) + KK_FOLD(y[2 * i], y[2 * i + 1], 1, 3, 9, 11, 5, 7, 13, 15);
    *to = KK_FOLD(z[0], z[1], 0, 1, 2, 3, 8, 9, 10, 11) + KK_FOLD(z[0], z[1], 4, 5, 6, 7, 12, 13, 14, 15);
#else
    kk_v16 y[8], z[4], w[2];
#pragma unroll
    for (int i = 0; i < 8; i++) // in every quarter: a0+a1 b0+b1 a2+a3 b2+b3
        y[i] = KK_FOLD(x[2 * i], x[2 * i + 1], 0, 16, 2, 18, 4, 20, 6, 22, 8, 24, 10, 26, 12, 28, 14, 30)
             + KK_FOLD(x[2 * i], x[2 * i + 1], 1, 17, 3, 19, 5, 21, 7, 23, 9, 25, 11, 27, 13, 29, 15, 31);
#pragma unroll
    for (int i = 0; i < 4; i++) // in every quarter: a b c d
        z[i] = KK_FOLD(y[2 * i], y[2 * i + 1], 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29)
             + KK_FOLD(y[2 * i], y[2 * i + 1], 2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31);
#pragma unroll
    for (int i = 0; i < 2; i++) // a-d a-d e-h e-h
        w[i] = KK_FOLD(z[2 * i], z[2 * i + 1], 0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27)
             + KK_FOLD(z[2 * i], z[2 * i + 1], 4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23, 28, 29, 30, 31);
    *to = KK_FOLD(w[0], w[1], 0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27)
        + KK_FOLD(w[0], w[1], 4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23, 28, 29, 30, 31);
#endif
#undef KK_FOLD
}

// Scores of `queries` heads (1, 2 or 4) against tokens, KK_PAGED_WIDTH / queries at a time. q has rows of `wide`, scores of KK_PAGED_SPAN.
// Meanwhile the rows of `ahead` are fetched into the second-level cache; NULL for none.
KK_INLINE void KK(paged_scores)(const int element, const int queries, const kk_rows *keys, int64_t d, const float *q, int64_t wide,
                                float *scores, const kk_rows *ahead) {
    const int tokens = KK_PAGED_WIDTH / queries, some = KK_PAGED_SUMS / queries, size = KK_SIZE(element);
    for (int64_t t = 0; t < keys->count; t += tokens) {
        KK(lanes) sum[KK_PAGED_WIDTH];
        const unsigned char *row[KK_PAGED_WIDTH];
        int64_t left = KK_MIN(keys->count - t, tokens);
#pragma unroll
        for (int s = 0; s < tokens; s++) row[s] = keys->rows[t + (s < left ? s : left - 1)] + keys->offset;
        if (ahead)
            for (int64_t s = t; s < KK_MIN(t + tokens, ahead->count); s++) kk_fetch(ahead, s);
        // As many sums at a time as there are registers for.
#pragma unroll
        for (int part = 0; part < tokens; part += some) {
            KK(lanes) partial[KK_PAGED_SUMS] = {0};
            int64_t i = 0;
            for (; i + KK_PAGED_WIDTH <= d; i += KK_PAGED_WIDTH) {
#pragma unroll
                for (int s = 0; s < some; s++) {
                    KK(lanes) k;
                    KK(widen_lanes)(element, row[part + s] + i * size, &k);
#pragma unroll
                    for (int g = 0; g < queries; g++) partial[g * some + s] += k * *(const KK(lanes) *)(q + g * wide + i);
                }
            }
            if (i < d)
#pragma unroll
                for (int s = 0; s < some; s++) {
                    KK(lanes) k;
                    KK(widen_last)(element, row[part + s], i, d, &k);
#pragma unroll
                    for (int g = 0; g < queries; g++) partial[g * some + s] += k * *(const KK(lanes) *)(q + g * wide + i);
                }
#pragma unroll
            for (int g = 0; g < queries; g++)
#pragma unroll
                for (int s = 0; s < some; s++) sum[g * tokens + part + s] = partial[g * some + s];
        }
        KK(lanes) all;
        KK(sums)(sum, &all);
        // No further than the tokens go: behind them may be the next head's.
        if (left == tokens) {
#pragma unroll
            for (int g = 0; g < queries; g++)
#pragma unroll
                for (int s = 0; s < tokens; s++) scores[g * KK_PAGED_SPAN + t + s] = all[g * tokens + s];
        } else
            for (int g = 0; g < queries; g++)
                for (int s = 0; s < left; s++) scores[g * KK_PAGED_SPAN + t + s] = all[g * tokens + s];
    }
}

// The low or the high halves of 16 bytes, as numbers.
KK_INLINE void KK(nibbles)(const unsigned char *p, const int shift, kk_v16 *to) {
    *to = __builtin_convertvector(__builtin_convertvector(*(const kk_u8x16 *)p >> shift & 15, kk_i32x16), kk_v16);
}

// out[g] += weights * values for `queries` heads (1, 2 or 4) and 16 * vectors columns from `column` on; out has rows of `wide`.
// Where `last`, they are the last of d, and fewer. Of asymmetric codes they lie in one half of d, the high one where `high`.
KK_INLINE void KK(paged_values)(const int element, const int queries, const int vectors, const int last, const int high,
                                const kk_rows *values, int64_t column, int64_t d, const float *weights, float *out, int64_t wide,
                                const kk_rows *ahead) {
    const int size = KK_SIZE(element);
    const int64_t at = element == KK_ELEMENT_ASYMMETRIC4 ? (high ? column - d / 2 : column) : column * size;
    kk_v16 sum[4][4];
#pragma unroll
    for (int g = 0; g < queries; g++)
#pragma unroll
        for (int j = 0; j < vectors; j++) sum[g][j] = *(const kk_v16 *)(out + g * wide + column + 16 * j);
    for (int64_t t = 0; t < values->count; t++) {
        const unsigned char *row = values->rows[t] + values->offset + at;
        if (ahead && t < ahead->count) kk_fetch(ahead, t);
#pragma unroll
        for (int j = 0; j < vectors; j++) {
            kk_v16 v;
            if (element == KK_ELEMENT_ASYMMETRIC4) KK(nibbles)(row + 16 * j, high ? 4 : 0, &v);
            else if (last) KK(widen_at)(element, row, 0, d - column, &v);
            else KK(widen)(element, row + 16 * j * size, &v);
#pragma unroll
            for (int g = 0; g < queries; g++) sum[g][j] += weights[g * KK_PAGED_SPAN + t] * v;
        }
    }
#pragma unroll
    for (int g = 0; g < queries; g++)
#pragma unroll
        for (int j = 0; j < vectors; j++) *(kk_v16 *)(out + g * wide + column + 16 * j) = sum[g][j];
}

KK_INLINE void KK(paged_some_values)(const int element, const int queries, const kk_rows *values, int64_t d, const float *weights,
                                     float *out, int64_t wide, const kk_rows *ahead) {
    // Asymmetric codes are taken half by half of their elements, which are whole vectors here.
    const int halves = element == KK_ELEMENT_ASYMMETRIC4 ? 2 : 1;
    int64_t i = 0;
#pragma unroll
    for (int high = 0; high < halves; high++) {
        int64_t end = halves == 1 || high ? d : d / 2;
        if (4 * queries <= KK_PAGED_COLUMNS)
            for (; i + 64 <= end; i += 64, ahead = NULL) KK(paged_values)(element, queries, 4, 0, high, values, i, d, weights, out, wide, ahead);
        if (2 * queries <= KK_PAGED_COLUMNS)
            for (; i + 32 <= end; i += 32, ahead = NULL) KK(paged_values)(element, queries, 2, 0, high, values, i, d, weights, out, wide, ahead);
        for (; i + 16 <= end; i += 16, ahead = NULL) KK(paged_values)(element, queries, 1, 0, high, values, i, d, weights, out, wide, ahead);
    }
    if (i < d) KK(paged_values)(element, queries, 1, 1, 0, values, i, d, weights, out, wide, ahead);
}

#if KK_VW == 8
#include "paged_eights.h"
#endif

// How many times eight of a group's queries stand side by side, and the rows of scratch that the group takes then.
KK_INLINE int64_t KK(paged_eights)(int64_t group) { return KK_VW == 8 ? KK_PAGED_EIGHTS(group) : 0; }
KK_INLINE int64_t KK(paged_slots)(int64_t group) {
    int64_t eights = KK(paged_eights)(group);
    return group > 8 * eights ? group : 8 * eights;
}

// Scores of one KV head's whole group over tokens that begin at number `start` of the span.
KK_INLINE void KK(paged_group_scores)(const int element, const kk_rows *keys, int64_t d, int64_t group, const float *q, int64_t wide,
                                      float *scores, int64_t start, const kk_rows *ahead) {
    int64_t eights = KK(paged_eights)(group), g = 8 * eights;
#if KK_VW == 8
    if (eights > 0) {
        KK(paged_eights_scores)(element, keys, d, eights, q, wide, scores + 8 * start, ahead);
        ahead = NULL;
    }
#endif
    scores += start;
    for (; g + 4 <= group; g += 4, ahead = NULL)
        KK(paged_scores)(element, 4, keys, d, q + g * wide, wide, scores + g * KK_PAGED_SPAN, ahead);
    for (; g + 2 <= group; g += 2, ahead = NULL)
        KK(paged_scores)(element, 2, keys, d, q + g * wide, wide, scores + g * KK_PAGED_SPAN, ahead);
    for (; g < group; g++, ahead = NULL)
        KK(paged_scores)(element, 1, keys, d, q + g * wide, wide, scores + g * KK_PAGED_SPAN, ahead);
}

KK_INLINE void KK(paged_group_values)(const int element, const kk_rows *values, int64_t d, int64_t group, const float *weights,
                                      int64_t start, float *out, int64_t wide, const kk_rows *ahead) {
    int64_t eights = KK(paged_eights)(group), g = 8 * eights;
#if KK_VW == 8
    if (eights > 0) {
        KK(paged_eights_values)(element, values, d, eights, weights + 8 * start, out, wide, ahead);
        ahead = NULL;
    }
#endif
    weights += start;
    for (; g + 4 <= group; g += 4, ahead = NULL)
        KK(paged_some_values)(element, 4, values, d, weights + g * KK_PAGED_SPAN, out + g * wide, wide, ahead);
    for (; g + 2 <= group; g += 2, ahead = NULL)
        KK(paged_some_values)(element, 2, values, d, weights + g * KK_PAGED_SPAN, out + g * wide, wide, ahead);
    for (; g < group; g++, ahead = NULL)
        KK(paged_some_values)(element, 1, values, d, weights + g * KK_PAGED_SPAN, out + g * wide, wide, ahead);
}

#define KK_PAGED_SCORES(name, element) \
    static void KK(paged_scores_##name)(const kk_rows *keys, int64_t d, int64_t group, const float *q, int64_t wide, float *scores, \
                                        int64_t start, const kk_rows *ahead) { \
        KK(paged_group_scores)(element, keys, d, group, q, wide, scores, start, ahead); \
    }
#define KK_PAGED_VALUES(name, element) \
    static void KK(paged_values_##name)(const kk_rows *values, int64_t d, int64_t group, const float *weights, \
                                        int64_t start, float *out, int64_t wide, const kk_rows *ahead) { \
        KK(paged_group_values)(element, values, d, group, weights, start, out, wide, ahead); \
    }
#define KK_PAGED_ELEMENT(name, element) \
    KK_PAGED_SCORES(name, element) \
    KK_PAGED_VALUES(name, element) \
    static void KK(paged_widen_##name)(const kk_rows *rows, int64_t from, int64_t n, int64_t d, float *out, int64_t wide) { \
        for (int64_t t = 0; t < n; t++) \
            for (int64_t i = 0; i < d; i += 16) { \
                kk_v16 x; \
                KK(widen_at)(element, rows->rows[from + t] + rows->offset, i, d, &x); \
                *(kk_v16 *)(out + t * wide + i) = x; \
            } \
    }
#define KK_PAGED_CODEC(name, element) \
    static void KK(paged_widen_##name)(const kk_rows *rows, int64_t from, int64_t n, int64_t d, float *out, int64_t wide) { \
        KK(paged_decode)(element, rows, from, n, d, out, wide); \
    }
KK_PAGED_ELEMENT(fp32, KK_ELEMENT_FP32)
KK_PAGED_ELEMENT(bf16, KK_ELEMENT_BF16)
KK_PAGED_ELEMENT(fp16, KK_ELEMENT_FP16)
KK_PAGED_SCORES(int8, KK_ELEMENT_INT8)
KK_PAGED_VALUES(int8, KK_ELEMENT_INT8)
KK_PAGED_VALUES(asymmetric4, KK_ELEMENT_ASYMMETRIC4)
KK_PAGED_CODEC(int8, KK_ELEMENT_INT8)
KK_PAGED_CODEC(asymmetric4, KK_ELEMENT_ASYMMETRIC4)
KK_PAGED_CODEC(q8_0, KK_ELEMENT_Q8_0)
KK_PAGED_CODEC(q4_0, KK_ELEMENT_Q4_0)
KK_PAGED_CODEC(channel4, KK_ELEMENT_CHANNEL4)
KK_PAGED_CODEC(channel2, KK_ELEMENT_CHANNEL2)
KK_PAGED_CODEC(asymmetric2, KK_ELEMENT_ASYMMETRIC2)
KK_PAGED_CODEC(centred4, KK_ELEMENT_CENTRED4)
typedef void (*KK(paged_scores_function))(const kk_rows *, int64_t, int64_t, const float *, int64_t, float *, int64_t, const kk_rows *);
typedef void (*KK(paged_values_function))(const kk_rows *, int64_t, int64_t, const float *, int64_t, float *, int64_t, const kk_rows *);
typedef void (*KK(paged_widen_function))(const kk_rows *, int64_t, int64_t, int64_t, float *, int64_t);
static const KK(paged_scores_function) KK(paged_scores_of)[] = {KK(paged_scores_fp32), KK(paged_scores_bf16), KK(paged_scores_fp16),
                                                                KK(paged_scores_int8)};
static const KK(paged_values_function) KK(paged_values_of)[] = {KK(paged_values_fp32), KK(paged_values_bf16), KK(paged_values_fp16),
                                                                KK(paged_values_int8), KK(paged_values_asymmetric4)};
static const KK(paged_widen_function) KK(paged_widen_of)[] = {KK(paged_widen_fp32), KK(paged_widen_bf16), KK(paged_widen_fp16),
                                                              KK(paged_widen_int8), KK(paged_widen_asymmetric4), KK(paged_widen_q8_0),
                                                              KK(paged_widen_q4_0), KK(paged_widen_channel4), KK(paged_widen_channel2),
                                                              KK(paged_widen_asymmetric2), KK(paged_widen_centred4)};

// One KV head's group's queries, scaled: eight side by side as far as they go so, the others in rows, padded with zeros.
KK_INLINE void KK(paged_queries)(const float *q, int64_t group, int64_t d, int64_t wide, float scale, float *restrict out) {
    int64_t eights = KK(paged_eights)(group);
#if KK_VW == 8
    KK(paged_eights_queries)(q, group, eights, d, wide, scale, out);
#endif
    for (int64_t g = 8 * eights; g < group; g++) {
        for (int64_t i = 0; i < d; i++) out[g * wide + i] = q[g * d + i] * scale;
        for (int64_t i = d; i < wide; i++) out[g * wide + i] = 0;
    }
}

// Scores of one KV head's group over n tokens to weights.
KK_INLINE void KK(paged_softmax)(int64_t group, int64_t n, float *scores, float *logSumExp) {
    int64_t eights = KK(paged_eights)(group);
#if KK_VW == 8
    KK(paged_eights_softmax)(group, eights, n, scores, logSumExp);
#endif
    for (int64_t g = 8 * eights; g < group; g++) {
        float *row = scores + g * KK_PAGED_SPAN, top = KK(greatest)(row, n), total = KK(exp_sum)(row, row, n, top);
        logSumExp[g] = top + kk_log(total);
        KK(scale)(1.0f / total, row, row, n);
    }
}

#if KK_VW > 4
#include "paged_counts.h"
#else
#define KK_CODES 1
#endif

// How `row` reads a codec's vectors.
enum KK(reading) {
    KK(isPlain),   // elements without scales
    KK(isScaled),  // codes in place, their one scale outside of the loops
    KK(isCounted), // the same in whole numbers
    KK(isChanneled), // codes in place and in whole numbers, the scales and offsets of a block's channels outside of the loops
    KK(isDecoded), // a few tokens decoded at a time: scales change within a vector
};

KK_INLINE enum KK(reading) KK(keys_reading)(const KK(place) *place, int64_t d, int64_t group) {
    if (place->scaleBytes == 0) return KK(isPlain);
    if (place->element == KK_ELEMENT_CENTRED4) return KK(isDecoded);
    if (place->scaleTokens > 1) {
        int64_t bytes = kk_code_bytes(place->element, d);
        return KK_VW > 4 && place->split == d && bytes % KK_CODES == 0 && d <= 4096 && KK(paged_eights)(group) == 0 ? KK(isChanneled)
                                                                                                                     : KK(isDecoded);
    }
    if (place->element != KK_ELEMENT_INT8 || place->split != d) return KK(isDecoded);
    // A lane's sum of d / KK_VW products has 31 bits.
    return KK_VW > 4 && d % KK_CODES == 0 && d <= 4096 && KK(paged_eights)(group) == 0 ? KK(isCounted) : KK(isScaled);
}

KK_INLINE enum KK(reading) KK(values_reading)(const KK(place) *place, int64_t d, int64_t group) {
    if (place->scaleBytes == 0) return KK(isPlain);
    // A column's sum over a span has 31 bits: 256 * 127 * 32767.
    int isCounted = KK_VW > 4 && KK(paged_eights)(group) == 0;
    if (place->element == KK_ELEMENT_INT8) return isCounted && d % KK_CODES == 0 ? KK(isCounted) : KK(isScaled);
    if (place->element != KK_ELEMENT_ASYMMETRIC4 || d % 32 != 0 || KK(paged_eights)(group) != 0) return KK(isDecoded);
    return isCounted && d / 2 % KK_CODES == 0 ? KK(isCounted) : KK(isScaled);
}

// Tokens decoded at a time: whole groups of those whose scores are computed side by side.
#define KK_PAGED_AT_ONCE (KK_VW == 8 ? KK_PAGED_DECODED : 16)

KK_INLINE kk_rows KK(paged_part)(const kk_rows *rows, int64_t first, int64_t most) {
    kk_rows part = *rows;
    part.count = rows->count <= first ? 0 : KK_MIN(rows->count - first, most);
    part.rows += first;
    if (part.scales) part.scales += first;
    return part;
}

// The rows fetched ahead of one part; ahead of the last part, all that are left.
KK_INLINE kk_rows KK(paged_ahead)(const kk_rows *rows, const kk_rows *ahead, int64_t first) {
    if (!ahead) return (kk_rows){0};
    return KK(paged_part)(ahead, first, first + KK_PAGED_AT_ONCE < rows->count ? KK_PAGED_AT_ONCE : ahead->count);
}

KK_INLINE kk_rows KK(paged_decoded_rows)(int32_t element, const kk_rows *rows, int64_t first, int64_t d, float *decoded,
                                         const unsigned char **pointers) {
    int64_t n = KK_MIN(rows->count - first, KK_PAGED_AT_ONCE), wide = KK_PAD(d);
    KK(paged_widen_of)[element](rows, first, n, d, decoded, wide);
    for (int64_t t = 0; t < n; t++) pointers[t] = (const unsigned char *)(decoded + t * wide);
    return (kk_rows){pointers, NULL, 0, 0, n, 4 * d, d};
}

// Scores of a KV head's group; of scaled keys before the multiplication by their scales.
KK_INLINE void KK(paged_key_scores)(enum KK(reading) reading, int32_t element, const kk_rows *keys, int64_t d, int64_t group, const float *q,
                                 int64_t wide, float *scores, int64_t start, const kk_rows *ahead, float *decoded) {
    const unsigned char *pointers[KK_PAGED_DECODED];
    if (ahead) kk_fetch_scales(ahead);
#if KK_VW > 4
    if (reading == KK(isCounted)) {
        KK(paged_counted_scores)(keys, d, group, q, wide, scores, start, ahead);
        return;
    }
    if (reading == KK(isChanneled)) {
        KK(paged_channeled_scores)(element, keys, d, group, q, wide, scores + start, ahead, decoded);
        return;
    }
#endif
    if (reading != KK(isDecoded)) {
        KK(paged_scores_of)[element](keys, d, group, q, wide, scores, start, ahead);
        return;
    }
    for (int64_t t = 0; t < keys->count; t += KK_PAGED_AT_ONCE) {
        kk_rows far = KK(paged_ahead)(keys, ahead, t), here = KK(paged_decoded_rows)(element, keys, t, d, decoded, pointers);
        KK(paged_scores_of)[KK_ELEMENT_FP32](&here, d, group, q, wide, scores, start + t, far.count > 0 ? &far : NULL);
    }
}

KK_INLINE void KK(paged_weighted_values)(enum KK(reading) reading, int32_t element, const kk_rows *values, int64_t d, int64_t group,
                                      const float *weights, int64_t start, float *out, int64_t wide, const kk_rows *ahead, float *decoded) {
    const unsigned char *pointers[KK_PAGED_DECODED];
    if (ahead) kk_fetch_scales(ahead);
#if KK_VW > 4
    if (reading == KK(isCounted)) {
        KK(paged_counted_values)(element, values, d, group, weights, start, out, wide, ahead);
        return;
    }
#endif
    if (reading != KK(isDecoded)) {
        KK(paged_values_of)[element](values, d, group, weights, start, out, wide, ahead);
        return;
    }
    for (int64_t t = 0; t < values->count; t += KK_PAGED_AT_ONCE) {
        kk_rows far = KK(paged_ahead)(values, ahead, t), here = KK(paged_decoded_rows)(element, values, t, d, decoded, pointers);
        KK(paged_values_of)[KK_ELEMENT_FP32](&here, d, group, weights, start + t, out, wide, far.count > 0 ? &far : NULL);
    }
}

// One KV head's group's queries to words where keys are counted, the step of each behind them.
KK_INLINE void KK(paged_query_words)(enum KK(reading) reading, int64_t group, int64_t wide, float *q) {
#if KK_VW > 4
    for (int64_t g = 0; reading == KK(isCounted) && g < group; g++) {
        float step = KK(paged_words)(q + g * wide, wide);
        q[(g + 1) * wide - 1] = step;
    }
#endif
}

#define KK_PAGED_STEP (KK_PAGED_SPAN - 1)  // of a row of weights that are words, their step
#define KK_PAGED_ADDED (KK_PAGED_SPAN - 2) // and the offset of each column

// A query's weights over n tokens times their scales to words; offsets, where there are any, add their weighted sum to all columns.
KK_INLINE void KK(paged_weight_words)(int64_t n, const float *scales, const float *offsets, float *row) {
#if KK_VW > 4
    float added = offsets ? KK(dot)(row, offsets, n) : 0;
    for (int64_t t = 0; t < n; t++) row[t] *= scales[t];
    for (int64_t t = n; t < KK_PAD(n); t++) row[t] = 0;
    float step = KK(paged_words)(row, KK_PAD(n));
    row[KK_PAGED_STEP] = step;
    row[KK_PAGED_ADDED] = added;
#endif
}

// Scores or weights of one KV head's group, times a factor a token.
KK_INLINE void KK(paged_scaled)(int64_t group, int64_t n, const float *restrict factors, float *restrict scores) {
    int64_t eights = KK(paged_eights)(group);
    for (int64_t e = 0; e < eights; e++)
        for (int64_t t = 0; t < n; t++)
            for (int64_t g = 0; g < 8; g++) scores[8 * (e * KK_PAGED_SPAN + t) + g] *= factors[t];
    for (int64_t g = 8 * eights; g < group; g++)
        for (int64_t t = 0; t < n; t++) scores[g * KK_PAGED_SPAN + t] *= factors[t];
}

// Scores of one KV head's group, times the scales of their tokens and, where they were counted, the steps of their queries.
KK_INLINE void KK(paged_key_scales)(enum KK(reading) reading, const KK(place) *place, const kk_rows *keys, int64_t group, const float *q,
                                    int64_t wide, float *scores) {
    float factors[KK_PAGED_SPAN];
    if (reading != KK(isScaled) && reading != KK(isCounted)) return;
    KK(paged_scales)(keys, place->scaleBytes, factors, NULL);
    if (reading == KK(isScaled)) {
        KK(paged_scaled)(group, keys->count, factors, scores);
        return;
    }
    for (int64_t g = 0; g < group; g++) {
        float step = q[(g + 1) * wide - 1];
        for (int64_t t = 0; t < keys->count; t++) scores[g * KK_PAGED_SPAN + t] *= factors[t] * step;
    }
}

// Weights of one KV head's group over n tokens, head by head.
static void KK(paged_copy_weights)(int64_t group, int64_t n, const float *weights, float *to, int64_t stride) {
    int64_t eights = KK(paged_eights)(group);
    for (int64_t g = 0; g < group; g++) {
        if (g >= 8 * eights) memcpy(to + g * stride, weights + g * KK_PAGED_SPAN, sizeof(float) * (size_t)n);
        else
            for (int64_t t = 0; t < n; t++) to[g * stride + t] = weights[8 * (g / 8 * KK_PAGED_SPAN + t) + g % 8];
    }
}

static void KK(paged_spread)(int64_t heads, int64_t count, const float *weights, int64_t stride, const float *parts,
                             const float *logSumExp, float *mass) {
    for (int64_t h = 0; h < heads; h++) {
        float share = kk_exp(parts[h] - logSumExp[h]);
        const float *restrict from = weights + h * stride;
        float *restrict to = mass;
        for (int64_t t = 0; t < count; t++) to[t] += share * from[t];
    }
}

// `row` over `count` KV heads from `firstKvHead` on. Keys are read `stretch` tokens at a time, of all these heads, then values.
// Elements without scales (`isPlain`) have a copy of their own: its inner loops are too short for a choice among codecs each time.
KK_INLINE void KK(paged_row_heads)(const int isPlain, const kk_paged_attention *job, int64_t firstKvHead, int64_t count,
                                   int64_t stretch, float *scratch) {
    const kk_pages *cache = &job->cache;
    int64_t group = job->heads / cache->kvHeads, keyDim = cache->keyDim, valueDim = cache->valueDim;
    int64_t first = firstKvHead * group, keyWide = KK_PAD(keyDim), valueWide = KK_PAD(valueDim);
    int64_t slots = KK(paged_slots)(group), heads = count * slots;
    int64_t to = KK_MIN(job->to, job->limits[0]), n = to - job->from, more = KK_MIN(job->limits[0] - to, stretch);
    KK(place) keyPlace = KK(keys_place)(cache, firstKvHead), valuePlace = KK(values_place)(cache, firstKvHead);
    enum KK(reading) keyReading = isPlain ? KK(isPlain) : KK(keys_reading)(&keyPlace, keyDim, group);
    enum KK(reading) valueReading = isPlain ? KK(isPlain) : KK(values_reading)(&valuePlace, valueDim, group);
    if (isPlain) keyPlace.scaleBytes = valuePlace.scaleBytes = 0;
    float *q = scratch, *out = q + heads * keyWide, *scores = out + heads * valueWide, *decoded = scores + heads * KK_PAGED_SPAN;
    float *result = job->output + first * valueDim, *logSumExp = job->logSumExp + first;
    int64_t back = firstKvHead - job->firstKvHead; // heads done
    int hasOffsets = valuePlace.element == KK_ELEMENT_ASYMMETRIC4;
    int isLast = back + count == job->kvHeadCount;
    // The first head's rows, and keys behind the span's: what comes next is fetched ahead.
    const unsigned char *keys[2 * KK_PAGED_SPAN], *values[KK_PAGED_SPAN], *keyScales[2 * KK_PAGED_SPAN], *valueScales[KK_PAGED_SPAN];
    float factors[KK_PAGED_SPAN], offsets[KK_PAGED_SPAN];
    KK(paged_rows)(cache, &keyPlace, job->from, to + more, keys, keyScales);
    KK(paged_rows)(cache, &valuePlace, job->from, to, values, valueScales);
    for (int64_t h = 0; h < count; h++) {
        KK(paged_queries)(job->q + job->rows[0] * job->qStride + (first + h * group) * keyDim, group, keyDim, keyWide, job->scale,
                          q + h * slots * keyWide);
        KK(paged_query_words)(keyReading, group, keyWide, q + h * slots * keyWide);
    }
    for (int64_t start = 0, end; start < n; start = end) {
        end = KK_MIN(start + stretch, n);
        for (int64_t h = 0; h < count; h++) {
            kk_rows here = KK(paged_some)(&keyPlace, keys, keyScales, h, start, end - start);
            kk_rows ahead = end < n ? KK(paged_some)(&keyPlace, keys, keyScales, h, end, KK_MIN(end - start, n - end))
                                    : KK(paged_some)(&valuePlace, values, valueScales, h, 0, end - start);
            KK(paged_key_scores)(keyReading, keyPlace.element, &here, keyDim, group, q + h * slots * keyWide, keyWide,
                                 scores + h * slots * KK_PAGED_SPAN, start, &ahead, decoded);
        }
    }
    memset(out, 0, sizeof(float) * (size_t)(heads * valueWide));
    for (int64_t h = 0; h < count; h++) {
        float *weights = scores + h * slots * KK_PAGED_SPAN;
        kk_rows all = KK(paged_some)(&keyPlace, keys, keyScales, h, 0, n);
        KK(paged_key_scales)(keyReading, &keyPlace, &all, group, q + h * slots * keyWide, keyWide, weights);
        KK(paged_softmax)(group, n, weights, logSumExp + h * group);
        if (job->weights) KK(paged_copy_weights)(group, n, weights, job->weights + (first + h * group) * job->weightsStride, job->weightsStride);
        if (valueReading != KK(isScaled) && valueReading != KK(isCounted)) continue;
        all = KK(paged_some)(&valuePlace, values, valueScales, h, 0, n);
        KK(paged_scales)(&all, valuePlace.scaleBytes, factors, hasOffsets ? offsets : NULL);
        if (valueReading == KK(isCounted)) {
            for (int64_t g = 0; g < group; g++)
                KK(paged_weight_words)(n, factors, hasOffsets ? offsets : NULL, weights + g * KK_PAGED_SPAN);
            continue;
        }
        // Where there are offsets, no queries stand side by side.
        for (int64_t g = 0; hasOffsets && g < group; g++) {
            float sum = KK(dot)(weights + g * KK_PAGED_SPAN, offsets, n);
            for (int64_t i = 0; i < valueDim; i++) out[(h * slots + g) * valueWide + i] = sum;
        }
        KK(paged_scaled)(group, n, factors, weights);
    }
    for (int64_t start = 0, end; start < n; start = end) {
        end = KK_MIN(start + stretch, n);
        for (int64_t h = 0; h < count; h++) {
            kk_rows here = KK(paged_some)(&valuePlace, values, valueScales, h, start, end - start), ahead;
            if (end < n) ahead = KK(paged_some)(&valuePlace, values, valueScales, h, end, KK_MIN(end - start, n - end));
            else if (!isLast) ahead = KK(paged_some)(&keyPlace, keys, keyScales, h + count, 0, n - start);
            else ahead = KK(paged_some)(&keyPlace, keys, keyScales, h - back, n, KK_MIN(n - start, more));
            KK(paged_weighted_values)(valueReading, valuePlace.element, &here, valueDim, group, scores + h * slots * KK_PAGED_SPAN, start,
                                      out + h * slots * valueWide, valueWide, &ahead, decoded);
        }
    }
    for (int64_t h = 0; h < count; h++)
        for (int64_t g = 0; g < group; g++) {
            float *sums = out + (h * slots + g) * valueWide;
#if KK_VW > 4
            const float *weights = scores + (h * slots + g) * KK_PAGED_SPAN;
            if (valueReading == KK(isCounted)) KK(paged_uncounted)(sums, valueDim, weights[KK_PAGED_STEP], weights[KK_PAGED_ADDED]);
#endif
            for (int64_t i = 0; i < valueDim; i++) result[(h * group + g) * valueDim + i] = sums[i];
        }
}

static void KK(paged_row)(const kk_paged_attention *job, float *scratch) {
    const kk_pages *cache = &job->cache;
    int64_t heads = job->kvHeadCount * (job->heads / cache->kvHeads), first = job->firstKvHead, last = first + job->kvHeadCount;
    if (KK_MIN(job->to, job->limits[0]) <= job->from) {
        int64_t start = first * (job->heads / cache->kvHeads);
        memset(job->output + start * cache->valueDim, 0, sizeof(float) * (size_t)(heads * cache->valueDim));
        for (int64_t g = 0; g < heads; g++) job->logSumExp[start + g] = -__builtin_inff();
        return;
    }
    // Memory is read in runs as long as pages allow: where one head's share of a page is a long run, head after head; where it
    // is short, a stretch of all heads' keys at a time, so that a page is read from its beginning to its end.
    KK(place) keys = KK(keys_place)(cache, 0), values = KK(values_place)(cache, 0);
    int64_t count = 1, stretch = KK_PAGED_SPAN;
    if (cache->tokensPerPage * keys.bytes < KK_PAGED_STRETCH_BYTES) {
        count = job->kvHeadCount;
        stretch = KK_PAGED_STRETCH_BYTES / (keys.bytes * count) / 16 * 16;
        stretch = stretch < 16 ? 16 : KK_MIN(stretch, KK_PAGED_SPAN);
    }
    int isPlain = keys.scaleBytes + values.scaleBytes == 0;
    for (int64_t kv = first; kv < last; kv += count)
        if (isPlain) KK(paged_row_heads)(1, job, kv, count, stretch, scratch);
        else KK(paged_row_heads)(0, job, kv, count, stretch, scratch);
}

static void KK(paged_mass)(const kk_paged_attention *job, const float *logSumExp, float *mass, float *scratch) {
    const kk_pages *cache = &job->cache;
    int64_t group = job->heads / cache->kvHeads, keyDim = cache->keyDim, keyWide = KK_PAD(keyDim);
    int64_t to = KK_MIN(job->to, job->limits[0]), n = to - job->from;
    int64_t eights = KK(paged_eights)(group);
    float *q = scratch, *parts = q + KK(paged_slots)(group) * keyWide, *scores = parts + KK(paged_slots)(group) * KK_PAD(cache->valueDim);
    float *decoded = scores + KK(paged_slots)(group) * KK_PAGED_SPAN, ordered[8 * KK_PAGED_SPAN];
    const unsigned char *keys[KK_PAGED_SPAN], *scales[KK_PAGED_SPAN];
    if (n <= 0) return;
    for (int64_t kv = job->firstKvHead; kv < job->firstKvHead + job->kvHeadCount; kv++) {
        KK(place) place = KK(keys_place)(cache, kv);
        enum KK(reading) reading = KK(keys_reading)(&place, keyDim, group);
        KK(paged_queries)(job->q + job->rows[0] * job->qStride + kv * group * keyDim, group, keyDim, keyWide, job->scale, q);
        KK(paged_query_words)(reading, group, keyWide, q);
        KK(paged_rows)(cache, &place, job->from, to, keys, scales);
        kk_rows rows = KK(paged_some)(&place, keys, scales, 0, 0, n);
        KK(paged_key_scores)(reading, place.element, &rows, keyDim, group, q, keyWide, scores, 0, NULL, decoded);
        KK(paged_key_scales)(reading, &place, &rows, group, q, keyWide, scores);
        KK(paged_softmax)(group, n, scores, parts);
        for (int64_t g = 0, some; g < group; g += some) {
            some = g < 8 * eights ? KK_MIN(8, group - g) : group - g;
            const float *weights = scores + g * KK_PAGED_SPAN;
            if (g < 8 * eights) {
                for (int64_t i = 0; i < some; i++)
                    for (int64_t t = 0; t < n; t++) ordered[i * KK_PAGED_SPAN + t] = weights[8 * t + i];
                weights = ordered;
            }
            KK(paged_spread)(some, n, weights, KK_PAGED_SPAN, parts + g, logSumExp + kv * group + g, mass);
        }
    }
}

// Where `mask`, x, elsewhere y.
KK_INLINE void KK(pick)(const kk_i32x16 *mask, const kk_v16 *x, const kk_v16 *y, kk_v16 *to) {
    *to = (kk_v16)((*mask & (kk_i32x16)*x) | (~*mask & (kk_i32x16)*y));
}

// e^(x - top) for x not above it.
KK_INLINE void KK(exponentials)(const kk_v16 *x, const kk_v16 *top, kk_v16 *to) {
    float y[16];
    *(kk_v16 *)y = *x - *top;
    for (int j = 0; j < 16; j++) y[j] = kk_exp_below(y[j]);
    *to = *(const kk_v16 *)y;
}

// 16 columns of a strip's scores to weights, their greatest score and their sum so far brought up to date; what was summed up
// before shrinks by `shrink`. Where `masked`, only tokens are seen that lie below `limit` and in the window or among the sinks.
KK_INLINE void KK(paged_strip_softmax)(const int masked, int64_t start, int64_t n, const float *limit, float window, float sinks,
                                       float *restrict scores, float *restrict best, float *restrict total, float *restrict shrink) {
    const kk_v16 zero = {0}, none = zero - __builtin_inff(), below = *(const kk_v16 *)limit, low = below - window;
    kk_v16 top = *(const kk_v16 *)best, sum = zero;
    kk_i32x16 mask;
    for (int64_t t = 0; t < n; t++) {
        kk_v16 *s = (kk_v16 *)(scores + t * KK_PAGED_STRIP);
        if (masked) {
            kk_v16 at = zero + (float)(start + t); // exact below 2^24 tokens
            mask = (at < below) & ((at >= low) | (at < zero + sinks));
            KK(pick)(&mask, s, &none, s);
        }
        mask = *s > top;
        KK(pick)(&mask, s, &top, &top);
    }
    mask = top == none;
    kk_v16 safe;
    KK(pick)(&mask, &zero, &top, &safe);
    KK(exponentials)((const kk_v16 *)best, &safe, (kk_v16 *)shrink);
    for (int64_t t = 0; t < n; t++) {
        kk_v16 *s = (kk_v16 *)(scores + t * KK_PAGED_STRIP);
        KK(exponentials)(s, &safe, s);
        sum += *s;
    }
    *(kk_v16 *)best = top;
    *(kk_v16 *)total = *(const kk_v16 *)total * *(const kk_v16 *)shrink + sum;
}

// Columns are (row, head of the group), strips of them taken one by one: queries [keyDim, strip], scores [tokens, strip], outputs
// [strip, valueDim].
static void KK(paged_block)(const kk_paged_attention *job, float *scratch) {
    const kk_pages *cache = &job->cache;
    int64_t group = job->heads / cache->kvHeads, keyDim = cache->keyDim, valueDim = cache->valueDim, count = job->count * group;
    int64_t keyWide = KK_PAD(keyDim), valueWide = KK_PAD(valueDim), columns = kk_paged_columns(job->count, group);
    float *q = scratch, *scores = q + keyDim * columns, *out = scores + KK_PAGED_BLOCK * KK_PAGED_STRIP;
    float *keyBlock = out + columns * valueWide, *valueBlock = keyBlock + KK_PAGED_BLOCK * keyWide;
    float *best = valueBlock + KK_PAGED_BLOCK * valueWide, *total = best + columns, *limit = total + columns, shrink[KK_PAGED_STRIP];
    const unsigned char *keys[KK_PAGED_BLOCK], *values[KK_PAGED_BLOCK], *keyScales[KK_PAGED_BLOCK], *valueScales[KK_PAGED_BLOCK];
    int64_t last = 0;
    for (int64_t r = 0; r < job->count; r++) {
        for (int64_t g = 0; g < group; g++) limit[r * group + g] = (float)job->limits[r];
        last = job->limits[r] > last ? job->limits[r] : last;
    }
    for (int64_t c = count; c < KK_PAD(count); c++) limit[c] = 0;
    last = KK_MIN(last, job->to);
    int64_t low = job->from, sinkEnd = 0;
    float window = job->window ? (float)job->window : __builtin_inff(), sinks = (float)job->sinks;
    if (job->window && job->limits[0] - job->window > low) {
        low = job->limits[0] - job->window;
        if (job->aligned) low = low / KK_PAGED_BLOCK * KK_PAGED_BLOCK;
        sinkEnd = KK_MIN(job->sinks, low);
    }
    for (int64_t kv = job->firstKvHead; kv < job->firstKvHead + job->kvHeadCount; kv++) {
        KK(place) keyPlace = KK(keys_place)(cache, kv), valuePlace = KK(values_place)(cache, kv);
        for (int64_t c = 0; c < KK_PAD(count); c++) {
            const float *from = c < count ? job->q + job->rows[c / group] * job->qStride + (kv * group + c % group) * keyDim : NULL;
            float *restrict to = q + c / KK_PAGED_STRIP * KK_PAGED_STRIP * keyDim + c % KK_PAGED_STRIP;
            for (int64_t i = 0; i < keyDim; i++) to[i * KK_PAGED_STRIP] = from ? from[i] * job->scale : 0.0f;
            best[c] = -__builtin_inff();
            total[c] = 0;
        }
        memset(out, 0, sizeof(float) * (size_t)(count * valueWide));
        // Blocks end at multiples of their size, so that a row's sums don't depend on where the others begin.
        // Tokens between the sinks and the first row's window are not read: their pages may be freed.
        for (int64_t start = sinkEnd > 0 ? job->from : low, end; start < last; start = end >= sinkEnd && end < low ? low : end) {
            end = KK_MIN((start / KK_PAGED_BLOCK + 1) * KK_PAGED_BLOCK, start < sinkEnd ? sinkEnd : last);
            int64_t n = end - start;
            KK(paged_rows)(cache, &keyPlace, start, end, keys, keyScales);
            KK(paged_rows)(cache, &valuePlace, start, end, values, valueScales);
            kk_rows keyRows = KK(paged_some)(&keyPlace, keys, keyScales, 0, 0, n);
            kk_rows valueRows = KK(paged_some)(&valuePlace, values, valueScales, 0, 0, n);
            KK(paged_widen_of)[keyPlace.element](&keyRows, 0, n, keyDim, keyBlock, keyWide);
            KK(paged_widen_of)[valuePlace.element](&valueRows, 0, n, valueDim, valueBlock, valueWide);
            for (int64_t strip = 0; strip < count; strip += KK_PAGED_STRIP) {
                // Columns whose rows see none of the block are left out: limits rise with the rows.
                int64_t some = KK_MIN(count - strip, KK_PAGED_STRIP), wide = KK_PAD(some), first = 0;
                while (first < some && limit[strip + KK_MIN(first + 15, some - 1)] <= (float)start) first += 16;
                if (first >= some) continue;
                KK(tile_gemm)(n, wide - first, keyDim, keyBlock, keyWide, 1, q + strip * keyDim + first, KK_PAGED_STRIP, scores + first,
                              KK_PAGED_STRIP, 0);
                for (int64_t c = first; c < some; c += 16) {
                    float *lowest = limit + strip + c, highest = limit[strip + KK_MIN(c + 15, some - 1)];
                    int masked = *lowest < (float)end || (highest - window > (float)start && sinks < (float)end);
                    if (masked) KK(paged_strip_softmax)(1, start, n, lowest, window, sinks, scores + c, best + strip + c, total + strip + c, shrink + c);
                    else KK(paged_strip_softmax)(0, start, n, lowest, window, sinks, scores + c, best + strip + c, total + strip + c, shrink + c);
                }
                float *sums = out + strip * valueWide;
                for (int64_t c = first; c < some; c++)
                    if (shrink[c] != 1.0f)
                        for (int64_t i = 0; i < valueWide; i += 16) *(kk_v16 *)(sums + c * valueWide + i) *= shrink[c];
                KK(tile_gemm)(some - first, valueWide, n, scores + first, 1, KK_PAGED_STRIP, valueBlock, valueWide,
                              sums + first * valueWide, valueWide, 1);
            }
        }
        for (int64_t c = 0; c < count; c++) {
            int64_t head = kv * group + c % group;
            float *restrict result = job->output + (c / group * job->step * job->heads + head) * valueDim;
            const float *restrict sums = out + c * valueWide;
            float scale = total[c] > 0 ? 1.0f / total[c] : 0.0f;
            for (int64_t i = 0; i < valueDim; i++) result[i] = sums[i] * scale;
            job->logSumExp[c / group * job->step * job->heads + head] = total[c] > 0 ? best[c] + kk_log(total[c]) : -__builtin_inff();
        }
    }
}

static void KK(paged_merge)(int64_t parts, const float *outputs, int64_t outputStride, const float *logSumExps, int64_t logSumExpStride,
                            int64_t count, int64_t dim, float *output, float *logSumExp) {
    for (int64_t c = 0; c < count; c++) {
        float top = -__builtin_inff(), total = 0;
        for (int64_t p = 0; p < parts; p++) {
            float value = logSumExps[p * logSumExpStride + c];
            top = value > top ? value : top;
        }
        float *restrict to = output + c * dim;
        if (top == -__builtin_inff()) {
            for (int64_t i = 0; i < dim; i++) to[i] = 0;
            logSumExp[c] = top;
            continue;
        }
        for (int64_t p = 0; p < parts; p++) total += kk_exp(logSumExps[p * logSumExpStride + c] - top);
        for (int64_t p = 0; p < parts; p++) {
            float weight = kk_exp(logSumExps[p * logSumExpStride + c] - top) / total;
            const float *restrict from = outputs + p * outputStride + c * dim;
            if (p == 0)
                for (int64_t i = 0; i < dim; i++) to[i] = weight * from[i];
            else
                for (int64_t i = 0; i < dim; i++) to[i] += weight * from[i];
        }
        logSumExp[c] = top + kk_log(total);
    }
}

#define KK_PAGED_TABLE {KK(paged_store), KK(paged_row), KK(paged_block), KK(paged_merge), KK(paged_mass), KK(paged_spread)}
