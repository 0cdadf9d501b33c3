// Codecs of cached vectors: codes, and scales that pages keep apart from them. Each has an encoder and a decoder here, which give
// the bits of its Swift form in Kernels/Codecs; attention reads codes in place where a vector has one scale, and takes the scale
// out of its inner loops.
#ifndef KK_PAGED_CODECS
#define KK_PAGED_CODECS

#define KK_CODE_BLOCK 32 // elements of a block of q8_0 and q4_0
// Products that are rounded before they are added to something, as llama.cpp's are: the compiler would fuse the two.
#define KK_ROUNDED(array) __asm__("" : "+m"(array))

KK_INLINE int64_t kk_code_bytes(int32_t element, int64_t n) {
    switch (element) {
    case KK_ELEMENT_FP32: return 4 * n;
    case KK_ELEMENT_BF16: case KK_ELEMENT_FP16: return 2 * n;
    case KK_ELEMENT_ASYMMETRIC4: case KK_ELEMENT_Q4_0: case KK_ELEMENT_CHANNEL4: return n / 2;
    case KK_ELEMENT_ASYMMETRIC2: case KK_ELEMENT_CHANNEL2: return n / 4;
    case KK_ELEMENT_CENTRED4: return n / 2 + 4; // and a scale and an offset
    default: return n;
    }
}

KK_INLINE int64_t kk_scale_bytes(int32_t element, int64_t n) {
    switch (element) {
    case KK_ELEMENT_INT8: return 2;
    case KK_ELEMENT_ASYMMETRIC4: case KK_ELEMENT_ASYMMETRIC2: return 4;
    case KK_ELEMENT_CHANNEL4: case KK_ELEMENT_CHANNEL2: return 4 * n;
    case KK_ELEMENT_CENTRED4: return 2 * n;
    case KK_ELEMENT_Q8_0: case KK_ELEMENT_Q4_0: return n / KK_CODE_BLOCK * 2;
    default: return 0;
    }
}

// Tokens whose codes have scales in common.
KK_INLINE int64_t kk_scale_tokens(int32_t element) {
    int isBlock = element == KK_ELEMENT_CHANNEL4 || element == KK_ELEMENT_CHANNEL2 || element == KK_ELEMENT_CENTRED4;
    return isBlock ? KK_CHANNEL_TOKENS : 1;
}

KK_INLINE float kk_half_at(const unsigned char *p) {
    uint16_t bits;
    memcpy(&bits, p, 2);
    return kk_from_half(bits);
}

KK_INLINE void kk_put_half(float x, unsigned char *p) {
    uint16_t bits = kk_to_half(x);
    memcpy(p, &bits, 2);
}

// The least scale from x >= 0 on: a half, or below 2^-14 a power of two; NaN beyond 65504.
KK_INLINE float kk_scale_from(float x) {
    union { float f; uint32_t i; } bits = {x};
    uint32_t step = x < 0x1p-14f ? 0x7FFFFF : 0x1FFF;
    if (!(x <= 65504.0f)) return __builtin_nanf("");
    bits.i = (bits.i + step) & ~step;
    return bits.f > 0x1p-24f ? bits.f : 0x1p-24f;
}

// The greatest half that is not above x, within +-65504, and the distance to the next.
KK_INLINE float kk_half_below(float x, float *spacing) {
    uint16_t half = kk_to_half(x);
    int32_t place = half & 0x8000 ? -(half & 0x7FFF) : half; // halves in their order
    if (kk_from_half(half) > x) place -= 1;
    float below = kk_from_half((uint16_t)(place < 0 ? 0x8000 | -place : place));
    place += 1;
    *spacing = kk_from_half((uint16_t)(place < 0 ? 0x8000 | -place : place)) - below;
    return below;
}

// The largest magnitude of n elements; NaN where one is not finite.
KK_INLINE float kk_largest(const float *x, int64_t n) {
    union { uint32_t i; float f; } top = {0};
    for (int64_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, x + i, 4);
        bits &= 0x7FFFFFFF;
        top.i = bits > top.i ? bits : top.i;
    }
    return top.i < 0x7F800000 ? top.f : __builtin_nanf("");
}

// 1 / scale; 0 where that is beyond a Float: such a scale is stored as 0.
KK_INLINE float kk_inverse(float scale) { return __builtin_fabsf(scale) < 0x1p-126f ? 0.0f : 1.0f / scale; }

// To the nearest whole number, ties to even, for |x| < 2^22.
KK_INLINE int32_t kk_nearest(float x) { return (int32_t)((x + 0x1.8p23f) - 0x1.8p23f); }
#endif

KK_INLINE void KK(encode_int8)(const float *x, int64_t n, unsigned char *codes, unsigned char *scales) {
    float scale = kk_scale_from(kk_largest(x, n) / 127);
    kk_put_half(scale, scales);
    if (scale != scale) memset(codes, 0, (size_t)n);
    else
        for (int64_t i = 0; i < n; i++) ((signed char *)codes)[i] = (signed char)kk_nearest(x[i] / scale);
}

KK_INLINE void KK(encode_asymmetric4)(const float *x, int64_t n, unsigned char *codes, unsigned char *scales) {
    float least = x[0], greatest = x[0], spacing = 0, offset = __builtin_nanf(""), scale = offset, largest = kk_largest(x, n);
    for (int64_t i = 1; i < n; i++) {
        least = x[i] < least ? x[i] : least;
        greatest = x[i] > greatest ? x[i] : greatest;
    }
    if (largest == largest && __builtin_fabsf(least) <= 65504.0f) {
        offset = kk_half_below(least, &spacing);
        // Less by a few roundings of a difference of decoded values, lest those raise the scale once more.
        float step = (greatest - offset) / 15 * (1 - 0x1p-21f);
        scale = kk_scale_from(step > 2 * spacing ? step : 2 * spacing);
    }
    kk_put_half(scale, scales);
    kk_put_half(offset, scales + 2);
    if (scale != scale) {
        memset(codes, 0, (size_t)(n / 2));
        return;
    }
    for (int64_t i = 0; i < n / 2; i++) {
        int32_t low = kk_nearest((x[i] - offset) / scale), high = kk_nearest((x[n / 2 + i] - offset) / scale);
        low = low > 15 ? 15 : low;
        high = high > 15 ? 15 : high;
        codes[i] = (unsigned char)(low | high << 4);
    }
}

KK_INLINE void KK(encode_q8_0)(const float *x, int64_t n, unsigned char *codes, unsigned char *scales) {
    for (int64_t b = 0; b < n; b += KK_CODE_BLOCK, scales += 2) {
        float scale = kk_largest(x + b, KK_CODE_BLOCK) / 127, inverse = kk_inverse(scale), product[KK_CODE_BLOCK];
        kk_put_half(scale, scales);
        for (int i = 0; i < KK_CODE_BLOCK; i++) product[i] = scale == scale ? x[b + i] * inverse : 0.0f;
        KK_ROUNDED(product);
        for (int i = 0; i < KK_CODE_BLOCK; i++) { // to nearest, ties away from zero
            int32_t code = (int32_t)product[i];
            float rest = product[i] - (float)code;
            ((signed char *)codes)[b + i] = (signed char)(code + (rest >= 0.5f) - (rest <= -0.5f));
        }
    }
}

KK_INLINE void KK(encode_q4_0)(const float *x, int64_t n, unsigned char *codes, unsigned char *scales) {
    for (int64_t b = 0; b < n; b += KK_CODE_BLOCK, scales += 2, codes += KK_CODE_BLOCK / 2) {
        float largest = kk_largest(x + b, KK_CODE_BLOCK), greatest = 0, product[KK_CODE_BLOCK];
        for (int i = 0; i < KK_CODE_BLOCK; i++)
            if (__builtin_fabsf(x[b + i]) > __builtin_fabsf(greatest)) greatest = x[b + i];
        float scale = largest == largest ? greatest / -8 : largest, inverse = kk_inverse(scale);
        kk_put_half(scale, scales);
        for (int i = 0; i < KK_CODE_BLOCK; i++) product[i] = scale == scale ? x[b + i] * inverse : -8.0f;
        KK_ROUNDED(product);
        for (int i = 0; i < KK_CODE_BLOCK / 2; i++) {
            int32_t low = (int32_t)(product[i] + 8.5f), high = (int32_t)(product[KK_CODE_BLOCK / 2 + i] + 8.5f);
            low = low > 15 ? 15 : low;
            high = high > 15 ? 15 : high;
            codes[i] = (unsigned char)(low | high << 4);
        }
    }
}

static void KK(paged_encode)(int32_t element, const float *x, int64_t n, unsigned char *codes, unsigned char *scales) {
    switch (element) {
    case KK_ELEMENT_INT8: KK(encode_int8)(x, n, codes, scales); break;
    case KK_ELEMENT_ASYMMETRIC4: KK(encode_asymmetric4)(x, n, codes, scales); break;
    case KK_ELEMENT_Q8_0: KK(encode_q8_0)(x, n, codes, scales); break;
    case KK_ELEMENT_Q4_0: KK(encode_q4_0)(x, n, codes, scales); break;
    default: KK(paged_round)(element, x, n, codes);
    }
}

// One vector of n elements. Codes times scales are exact, so that their sum with an offset is rounded once, fused or not.
KK_INLINE void KK(decode_vector)(const int element, const unsigned char *restrict codes, const unsigned char *restrict scales, int64_t n,
                                 float *restrict out) {
    if (element == KK_ELEMENT_INT8) {
        float scale = kk_half_at(scales);
        for (int64_t i = 0; i < n; i++) out[i] = scale * (float)((const signed char *)codes)[i];
    } else if (element == KK_ELEMENT_ASYMMETRIC4) {
        float scale = kk_half_at(scales), offset = kk_half_at(scales + 2);
        for (int64_t i = 0; i < n / 2; i++) {
            out[i] = offset + scale * (float)(codes[i] & 15);
            out[n / 2 + i] = offset + scale * (float)(codes[i] >> 4);
        }
    } else if (element == KK_ELEMENT_ASYMMETRIC2) {
        float scale = kk_half_at(scales), offset = kk_half_at(scales + 2);
        for (int part = 0; part < 4; part++)
            for (int64_t i = 0; i < n / 4; i++) out[part * (n / 4) + i] = offset + scale * (float)(codes[i] >> 2 * part & 3);
    } else if (element == KK_ELEMENT_Q8_0) {
        for (int64_t b = 0; b < n; b += KK_CODE_BLOCK, scales += 2) {
            float scale = kk_half_at(scales);
            for (int i = 0; i < KK_CODE_BLOCK; i++) out[b + i] = scale * (float)((const signed char *)codes)[b + i];
        }
    } else {
        for (int64_t b = 0; b < n; b += KK_CODE_BLOCK, scales += 2, codes += KK_CODE_BLOCK / 2) {
            float scale = kk_half_at(scales);
            for (int i = 0; i < KK_CODE_BLOCK / 2; i++) {
                out[b + i] = scale * (float)((codes[i] & 15) - 8);
                out[b + KK_CODE_BLOCK / 2 + i] = scale * (float)((codes[i] >> 4) - 8);
            }
        }
    }
}

// Codes of `bits` of n tokens whose scales are those of the first, d channels of them at codeOffset of a row: out [n, wide]. Scales
// are those of all channels, then their offsets.
KK_INLINE void KK(decode_channels)(const int bits, const kk_rows *rows, int64_t from, int64_t n, int64_t codeOffset, int64_t scaleOffset,
                                   int64_t d, float *restrict out, int64_t wide) {
    const unsigned char *scales = rows->scales[from] + rows->scaleOffset + scaleOffset;
    int64_t bytes = d * bits / 8;
    for (int part = 0; part < 8 / bits; part++)
        for (int64_t i = 0; i < bytes; i += 16) {
            int64_t some = KK_MIN(bytes - i, 16), channel = part * bytes + i;
            float scale[16], offset[16];
#if KK_VW > 4
            if (some == 16) {
                *(kk_v16 *)scale = __builtin_convertvector(*(const KK(half16) *)(scales + 2 * channel), kk_v16);
                *(kk_v16 *)offset = __builtin_convertvector(*(const KK(half16) *)(scales + 2 * (d + channel)), kk_v16);
            } else
#endif
            for (int j = 0; j < some; j++) {
                scale[j] = kk_half_at(scales + 2 * (channel + j));
                offset[j] = kk_half_at(scales + 2 * (d + channel + j));
            }
            for (int64_t t = 0; t < n; t++) {
                const unsigned char *code = rows->rows[from + t] + rows->offset + codeOffset + i;
                float *restrict to = out + t * wide + channel;
                if (some == 16)
                    for (int j = 0; j < 16; j++) to[j] = offset[j] + scale[j] * (float)(code[j] >> part * bits & ((1 << bits) - 1));
                else
                    for (int j = 0; j < some; j++) to[j] = offset[j] + scale[j] * (float)(code[j] >> part * bits & ((1 << bits) - 1));
            }
        }
}

// Codes of n tokens of one block, each with a scale and an offset behind its codes, and the means of their channels: out [n, wide].
KK_INLINE void KK(decode_centred)(const kk_rows *rows, int64_t from, int64_t n, int64_t codeOffset, int64_t scaleOffset, int64_t d,
                                  float *restrict out, int64_t wide) {
    const unsigned char *means = rows->scales[from] + rows->scaleOffset + scaleOffset;
    float scale[KK_CHANNEL_TOKENS], offset[KK_CHANNEL_TOKENS];
    int64_t bytes = d / 2;
    for (int64_t t = 0; t < n; t++) {
        const unsigned char *p = rows->rows[from + t] + rows->offset + codeOffset + bytes;
        scale[t] = kk_half_at(p);
        offset[t] = kk_half_at(p + 2);
    }
    for (int high = 0; high < 2; high++)
        for (int64_t i = 0; i < bytes; i += 16) {
            int64_t some = KK_MIN(bytes - i, 16), channel = high * bytes + i;
            float mean[16];
#if KK_VW > 4
            if (some == 16) *(kk_v16 *)mean = __builtin_convertvector(*(const KK(half16) *)(means + 2 * channel), kk_v16);
            else
#endif
            for (int j = 0; j < some; j++) mean[j] = kk_half_at(means + 2 * (channel + j));
            for (int64_t t = 0; t < n; t++) {
                const unsigned char *code = rows->rows[from + t] + rows->offset + codeOffset + i;
                float *restrict to = out + t * wide + channel;
                if (some == 16)
                    for (int j = 0; j < 16; j++) to[j] = offset[t] + scale[t] * (float)(code[j] >> 4 * high & 15) + mean[j];
                else
                    for (int j = 0; j < some; j++) to[j] = offset[t] + scale[t] * (float)(code[j] >> 4 * high & 15) + mean[j];
            }
        }
}

// Rows from ... from + n of vectors of d elements, decoded, zeros past their end: out [n, wide].
KK_INLINE void KK(paged_decode)(const int element, const kk_rows *rows, int64_t from, int64_t n, int64_t d, float *restrict out,
                                int64_t wide) {
    int64_t first = KK_MIN(rows->split, d), rest = d - first;
    int64_t codeStep = kk_code_bytes(element, first), scaleStep = kk_scale_bytes(element, first);
    if (kk_scale_tokens(element) > 1) {
        const int bits = element == KK_ELEMENT_CHANNEL4 ? 4 : 2;
        for (int64_t t = 0, some; t < n; t += some) {
            float *to = out + t * wide;
            for (some = 1; t + some < n && rows->scales[from + t + some] == rows->scales[from + t];) some++;
            if (element == KK_ELEMENT_CENTRED4) {
                KK(decode_centred)(rows, from + t, some, 0, 0, first, to, wide);
                if (rest > 0) KK(decode_centred)(rows, from + t, some, codeStep, scaleStep, rest, to + first, wide);
                continue;
            }
            KK(decode_channels)(bits, rows, from + t, some, 0, 0, first, to, wide);
            if (rest > 0) KK(decode_channels)(bits, rows, from + t, some, codeStep, scaleStep, rest, to + first, wide);
        }
        for (int64_t t = 0; t < n; t++)
            for (int64_t i = d; i < wide; i++) out[t * wide + i] = 0;
        return;
    }
    for (int64_t t = 0; t < n; t++, out += wide) {
        const unsigned char *codes = rows->rows[from + t] + rows->offset, *scales = rows->scales[from + t] + rows->scaleOffset;
        KK(decode_vector)(element, codes, scales, first, out);
        if (rest > 0) KK(decode_vector)(element, codes + codeStep, scales + scaleStep, rest, out + first);
        for (int64_t i = d; i < wide; i++) out[i] = 0;
    }
}

// A scale of each row, which is `bytes` before the next one's in a page, and an offset where there is one.
KK_INLINE void KK(paged_scales)(const kk_rows *rows, int64_t bytes, float *restrict scale, float *restrict offset) {
    int64_t t = 0;
#if KK_VW > 4
    while (t < rows->count) {
        const unsigned char *p = rows->scales[t] + rows->scaleOffset;
        // Sixteen of one page lie side by side, each alone or the first of two.
        if (t + 16 <= rows->count && bytes <= 4 && rows->scales[t + 15] - rows->scales[t] == 15 * bytes) {
            kk_u16x16 first, second = {0};
            if (bytes == 4) {
                kk_u32x16 both;
                memcpy(&both, p, sizeof both);
                first = __builtin_convertvector(both, kk_u16x16);
                second = __builtin_convertvector(both >> 16, kk_u16x16);
            } else memcpy(&first, p, sizeof first);
            *(kk_v16 *)(scale + t) = __builtin_convertvector((KK(half16))first, kk_v16);
            if (offset) *(kk_v16 *)(offset + t) = __builtin_convertvector((KK(half16))second, kk_v16);
            t += 16;
            continue;
        }
        scale[t] = (float)((const KK(half) *)p)->value;
        if (offset) offset[t] = (float)((const KK(half) *)(p + 2))->value;
        t++;
    }
#endif
    for (; t < rows->count; t++) {
        const unsigned char *p = rows->scales[t] + rows->scaleOffset;
        scale[t] = kk_half_at(p);
        if (offset) offset[t] = kk_half_at(p + 2);
    }
}
