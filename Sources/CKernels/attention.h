// Causal grouped-query attention without a [seq, seq] matrix: blocks of 32 queries against blocks of 128 keys, online
// softmax forward, probabilities recomputed from the saved log-sum-exp backward (after FlashAttention, Dao et al. 2022).
// One call handles one sequence and one KV head with all its query heads, so that the packed K and V are shared.
#ifndef KK_ATTENTION
#define KK_ATTENTION
#define KK_BQ 32
#define KK_BK 128
#define KK_AHEAD 12 // rows of a head asked for ahead: they lie far apart in memory
#define KK_MIN(a, b) ((a) < (b) ? (a) : (b))
#define KK_PAD(d) (((d) + 15) / 16 * 16)
#endif

// Copies rows [0, count) of a head into rows of `wide`, rotated by their positions and scaled, padded with zeros.
KK_INLINE void KK(pack_rows)(const float *restrict x, int64_t stride, int64_t count, int64_t d, int64_t wide, int64_t position,
                             kk_rotary rotary, float scale, float *restrict y) {
    for (int64_t r = 0; r < count; r++) {
        const float *a = x + r * stride;
        float *o = y + r * wide;
        KK(prefetch_rows)(a + KK_AHEAD * stride, stride, d, r + KK_AHEAD < count ? 1 : 0);
        int64_t half = rotary.half, start = rotary.start;
        if (half) {
            const float *cosine = rotary.cosine + (position + r) * half, *sine = rotary.sine + (position + r) * half;
            for (int64_t i = 0; i < start; i++) o[i] = a[i] * scale;
            for (int64_t i = 0; i < half; i++) {
                float p = a[start + i], q = a[start + i + half];
                o[start + i] = (p * cosine[i] - q * sine[i]) * scale;
                o[start + i + half] = (q * cosine[i] + p * sine[i]) * scale;
            }
        }
        for (int64_t i = half ? start + 2 * half : 0; i < d; i++) o[i] = a[i] * scale;
        for (int64_t i = d; i < wide; i++) o[i] = 0;
    }
}

// The reverse: rotated back and scaled, out of rows of `wide`.
KK_INLINE void KK(unpack_rows)(const float *restrict x, int64_t wide, int64_t count, int64_t d, int64_t stride, int64_t position,
                               kk_rotary rotary, float scale, float *restrict y) {
    for (int64_t r = 0; r < count; r++) {
        const float *a = x + r * wide;
        float *o = y + r * stride;
        int64_t half = rotary.half, start = rotary.start;
        if (half) {
            const float *cosine = rotary.cosine + (position + r) * half, *sine = rotary.sine + (position + r) * half;
            for (int64_t i = 0; i < start; i++) o[i] = a[i] * scale;
            for (int64_t i = 0; i < half; i++) {
                float p = a[start + i], q = a[start + i + half];
                o[start + i] = (p * cosine[i] + q * sine[i]) * scale;
                o[start + i + half] = (q * cosine[i] - p * sine[i]) * scale;
            }
        }
        for (int64_t i = half ? start + 2 * half : 0; i < d; i++) o[i] = a[i] * scale;
    }
}

// [count, wide] to [d, columns], the columns past count zero.
KK_INLINE void KK(transpose_rows)(const float *restrict x, int64_t count, int64_t d, int64_t wide, int64_t columns, float *restrict y) {
    for (int64_t start = 0; start < columns; start += 16)
        for (int64_t i = 0; i < d; i++)
            for (int64_t r = start; r < start + 16; r++) y[i * columns + r] = r < count ? x[r * wide + i] : 0.0f;
}

// Which of a row's `columns` keys, the first of them at `first`, lie in [low, high] or in [sink, sinkEnd): the others' scores
// become `fill`.
KK_INLINE void KK(mask_row)(float *row, int64_t first, int64_t columns, int64_t low, int64_t high, int64_t sink, int64_t sinkEnd,
                            float fill) {
    int64_t before = KK_MIN(low - first, columns);
    if (sinkEnd <= first) for (int64_t c = 0; c < before; c++) row[c] = fill;
    else
        for (int64_t c = 0; c < before; c++)
            if (first + c < sink || first + c >= sinkEnd) row[c] = fill;
    for (int64_t c = high - first + 1 < 0 ? 0 : high - first + 1; c < columns; c++) row[c] = fill;
}

static void KK(rotate)(float *x, const int32_t *positions, int64_t rows, int64_t stride, int64_t heads, int64_t d, kk_rotary rotary,
                       int inverse) {
    int64_t half = rotary.half;
    for (int64_t r = 0; r < rows; r++) {
        const float *cosine = rotary.cosine + positions[r] * half, *sine = rotary.sine + positions[r] * half;
        float sign = inverse ? -1.0f : 1.0f;
        for (int64_t h = 0; h < heads; h++) {
            float *restrict a = x + r * stride + h * d + rotary.start;
            for (int64_t i = 0; i < half; i++) {
                float p = a[i], q = a[i + half], s = sign * sine[i];
                a[i] = p * cosine[i] - q * s;
                a[i + half] = q * cosine[i] + p * s;
            }
        }
    }
}

// The keys that queries [q0, q0 + m) of a sequence see: sinks up to `sinkEnd` and everything from `low` on.
typedef struct { int64_t first, low, sinkEnd; } KK(key_range);

KK_INLINE KK(key_range) KK(keys_of)(const kk_attention *job, int64_t batch, int64_t q0, int64_t m) {
    const int32_t *keyStart = job->keyStart ? job->keyStart + batch * job->seq + q0 : NULL;
    const int32_t *sinkStart = job->sinkStart ? job->sinkStart + batch * job->seq + q0 : NULL;
    if (!keyStart) return (KK(key_range)){0, 0, 0};
    int64_t low = job->seq, sink = job->seq, sinkEnd = 0;
    for (int64_t r = 0; r < m; r++) low = KK_MIN(low, keyStart[r]);
    if (job->sinks)
        for (int64_t r = 0; r < m; r++) {
            int64_t start = sinkStart ? sinkStart[r] : 0;
            sink = KK_MIN(sink, start);
            if (start + job->sinks > sinkEnd) sinkEnd = start + job->sinks;
        }
    low = low / 16 * 16;
    return (KK(key_range)){job->sinks ? KK_MIN(sink / 16 * 16, low) : low, low, KK_MIN(sinkEnd, q0 + m)};
}

// The block after those that begin at k0: blocks that no query sees are left out.
KK_INLINE int64_t KK(next_block)(KK(key_range) range, int64_t k0) {
    int64_t next = k0 + KK_BK;
    return next >= range.sinkEnd && next < range.low ? range.low : next;
}

// Masks the scores of query q0 + r for keys [k0, k0 + n).
KK_INLINE void KK(mask_keys)(const kk_attention *job, int64_t batch, int64_t kvHead, int64_t query, float *row, int64_t k0,
                             int64_t n) {
    int64_t index = batch * job->seq + query, sink = job->sinkStart ? job->sinkStart[index] : 0;
    KK(mask_row)(row, k0, n, job->keyStart ? job->keyStart[index] : 0, query, sink, job->sinks ? sink + job->sinks : 0,
                 -__builtin_inff());
    int64_t key = (batch * job->kvHeads + kvHead) * job->seq + k0, count = KK_MIN(n, job->seq - k0);
    int32_t at = (int32_t)query;
    if (job->rowStart)
        for (int64_t c = 0; c < count; c++) row[c] = job->rowStart[key + c] > at ? -__builtin_inff() : row[c];
    if (job->rowEnd)
        for (int64_t c = 0; c < count; c++) row[c] = job->rowEnd[key + c] <= at ? -__builtin_inff() : row[c];
}

static void KK(attention)(const kk_attention *job, int64_t batch, int64_t kvHead, float *scratch) {
    int64_t seq = job->seq, d = job->headDim, dv = job->valueDim, wide = KK_PAD(d), valueWide = KK_PAD(dv), columns = KK_PAD(seq);
    int64_t group = job->heads / job->kvHeads, stride = (job->heads + job->kvHeads) * d + job->kvHeads * dv;
    const float *base = job->qkv + batch * seq * stride;
    kk_rotary plain = {NULL, NULL, 0, 0};
    // keysT [d, columns], values [columns, valueWide] (first the keys), q [32, wide], o [32, valueWide], scores [32, 128]
    float *keysT = scratch, *values = keysT + wide * columns, *q = values + columns * (wide > valueWide ? wide : valueWide);
    float *o = q + KK_BQ * wide, *scores = o + KK_BQ * valueWide, *keys = values;
    KK(pack_rows)(base + (job->heads + kvHead) * d, stride, seq, d, wide, 0, job->rotary, 1.0f, keys);
    KK(transpose_rows)(keys, seq, d, wide, columns, keysT);
    KK(pack_rows)(base + (job->heads + job->kvHeads) * d + kvHead * dv, stride, seq, dv, valueWide, 0, plain, 1.0f, values);
    memset(values + seq * valueWide, 0, sizeof(float) * (size_t)((columns - seq) * valueWide));

    for (int64_t h = kvHead * group; h < (kvHead + 1) * group; h++) {
        for (int64_t q0 = 0; q0 < seq; q0 += KK_BQ) {
            int64_t m = KK_MIN(KK_BQ, seq - q0);
            KK(key_range) range = KK(keys_of)(job, batch, q0, m);
            float best[KK_BQ], total[KK_BQ];
            KK(pack_rows)(base + q0 * stride + h * d, stride, m, d, wide, q0, job->rotary, job->scale, q);
            for (int64_t r = 0; r < m; r++) {
                best[r] = -__builtin_inff();
                total[r] = 0;
            }
            memset(o, 0, sizeof(float) * (size_t)(m * valueWide));
            for (int64_t k0 = range.first; k0 < q0 + m; k0 = KK(next_block)(range, k0)) {
                int64_t n = KK_MIN(KK_PAD(KK_MIN(KK_BK, q0 + m - k0)), columns - k0);
                KK(tile_gemm)(m, n, d, q, wide, 1, keysT + k0, columns, scores, KK_BK, 0);
                for (int64_t r = 0; r < m; r++) {
                    float *row = scores + r * KK_BK, *out = o + r * valueWide;
                    KK(mask_keys)(job, batch, kvHead, q0 + r, row, k0, n);
                    float top = KK(greatest)(row, n);
                    if (top == -__builtin_inff()) { memset(row, 0, sizeof(float) * (size_t)n); continue; }
                    if (top > best[r]) {
                        float shrink = kk_exp(best[r] - top);
                        total[r] *= shrink;
                        for (int64_t i = 0; i < valueWide; i++) out[i] *= shrink;
                        best[r] = top;
                    }
                    total[r] += KK(exp_sum)(row, row, n, best[r]);
                }
                KK(tile_gemm)(m, valueWide, n, scores, KK_BK, 1, values + k0 * valueWide, valueWide, o, valueWide, 1);
            }
            for (int64_t r = 0; r < m; r++) {
                float *out = job->output + ((batch * seq + q0 + r) * job->heads + h) * dv;
                float *sum = job->logSumExp + (batch * job->heads + h) * seq + q0 + r;
                // A row that sees no key, as its keys' rows may say.
                if (best[r] == -__builtin_inff()) {
                    for (int64_t i = 0; i < dv; i++) out[i] = 0;
                    *sum = best[r];
                    continue;
                }
                float scale = 1.0f / total[r];
                for (int64_t i = 0; i < dv; i++) out[i] = o[r * valueWide + i] * scale;
                *sum = best[r] + kk_log(total[r]);
            }
        }
    }
}

// With P = exp(S - lse), D = rowsum(dO O):  dV = P^T dO,  dS = P (dO V^T - D),  dQ = scale dS K,  dK = scale dS^T Q.
static void KK(attention_gradient)(const kk_attention *job, int64_t batch, int64_t kvHead, float *scratch) {
    int64_t seq = job->seq, d = job->headDim, dv = job->valueDim, wide = KK_PAD(d), valueWide = KK_PAD(dv), columns = KK_PAD(seq);
    int64_t group = job->heads / job->kvHeads, stride = (job->heads + job->kvHeads) * d + job->kvHeads * dv;
    const float *base = job->qkv + batch * seq * stride;
    float *gradientBase = job->qkvGradient + batch * seq * stride;
    kk_rotary plain = {NULL, NULL, 0, 0};
    float *keys = scratch, *keysT = keys + columns * wide, *valuesT = keysT + wide * columns, *values = valuesT + valueWide * columns;
    float *dKeys = values, *dValues = dKeys + columns * (wide > valueWide ? wide : valueWide), *q = dValues + columns * valueWide;
    float *dO = q + KK_BQ * wide, *dQ = dO + KK_BQ * valueWide, *p = dQ + KK_BQ * wide, *dS = p + KK_BQ * KK_BK;
    KK(pack_rows)(base + (job->heads + kvHead) * d, stride, seq, d, wide, 0, job->rotary, 1.0f, keys);
    memset(keys + seq * wide, 0, sizeof(float) * (size_t)((columns - seq) * wide));
    KK(transpose_rows)(keys, seq, d, wide, columns, keysT);
    KK(pack_rows)(base + (job->heads + job->kvHeads) * d + kvHead * dv, stride, seq, dv, valueWide, 0, plain, 1.0f, values);
    KK(transpose_rows)(values, seq, dv, valueWide, columns, valuesT);
    memset(dKeys, 0, sizeof(float) * (size_t)(columns * wide));
    memset(dValues, 0, sizeof(float) * (size_t)(columns * valueWide));

    for (int64_t h = kvHead * group; h < (kvHead + 1) * group; h++) {
        for (int64_t q0 = 0; q0 < seq; q0 += KK_BQ) {
            int64_t m = KK_MIN(KK_BQ, seq - q0);
            KK(key_range) range = KK(keys_of)(job, batch, q0, m);
            float inner[KK_BQ];
            const float *lse = job->logSumExp + (batch * job->heads + h) * seq + q0;
            KK(pack_rows)(base + q0 * stride + h * d, stride, m, d, wide, q0, job->rotary, job->scale, q);
            KK(pack_rows)(job->gradient + ((batch * seq + q0) * job->heads + h) * dv, job->heads * dv, m, dv, valueWide, 0, plain, 1.0f, dO);
            for (int64_t r = 0; r < m; r++)
                inner[r] = KK(dot)(dO + r * valueWide, job->output + ((batch * seq + q0 + r) * job->heads + h) * dv, dv);
            memset(dQ, 0, sizeof(float) * (size_t)(m * wide));
            for (int64_t k0 = range.first; k0 < q0 + m; k0 = KK(next_block)(range, k0)) {
                int64_t n = KK_MIN(KK_PAD(KK_MIN(KK_BK, q0 + m - k0)), columns - k0);
                KK(tile_gemm)(m, n, d, q, wide, 1, keysT + k0, columns, p, KK_BK, 0);
                for (int64_t r = 0; r < m; r++) {
                    float *row = p + r * KK_BK, shift = lse[r];
                    if (shift == -__builtin_inff()) { memset(row, 0, sizeof(float) * (size_t)n); continue; }
                    KK(mask_keys)(job, batch, kvHead, q0 + r, row, k0, n);
                    for (int64_t c = 0; c < n; c++) row[c] = kk_exp(row[c] - shift);
                }
                KK(tile_gemm)(n, valueWide, m, p, 1, KK_BK, dO, valueWide, dValues + k0 * valueWide, valueWide, 1);
                KK(tile_gemm)(m, n, dv, dO, valueWide, 1, valuesT + k0, columns, dS, KK_BK, 0);
                for (int64_t r = 0; r < m; r++) {
                    float *restrict s = dS + r * KK_BK;
                    const float *restrict row = p + r * KK_BK;
                    for (int64_t c = 0; c < n; c++) s[c] = row[c] * (s[c] - inner[r]);
                }
                KK(tile_gemm)(m, wide, n, dS, KK_BK, 1, keys + k0 * wide, wide, dQ, wide, 1);
                KK(tile_gemm)(n, wide, m, dS, 1, KK_BK, q, wide, dKeys + k0 * wide, wide, 1);
            }
            KK(unpack_rows)(dQ, wide, m, d, stride, q0, job->rotary, job->scale, gradientBase + q0 * stride + h * d);
        }
    }
    // q was packed with the scale, so dKeys has it already.
    KK(unpack_rows)(dKeys, wide, seq, d, stride, 0, job->rotary, 1.0f, gradientBase + (job->heads + kvHead) * d);
    KK(unpack_rows)(dValues, valueWide, seq, dv, stride, 0, plain, 1.0f, gradientBase + (job->heads + job->kvHeads) * d + kvHead * dv);
}

// Few queries over a cache: scores by dot products, one softmax, values summed up.
static void KK(cached_attention)(const kk_cached_attention *job, int64_t head, float *scratch) {
    int64_t d = job->keyDim, dv = job->valueDim, kvHead = head * job->kvHeads / job->heads;
    const float *keys = job->keys + kvHead * d, *values = job->values + kvHead * job->valueHeadStride;
    float *scores = scratch;
    for (int64_t i = 0; i < job->queries; i++) {
        int64_t tokens = job->firstPosition + i + 1, low = job->window && job->window < tokens ? tokens - job->window : 0;
        int64_t sinks = KK_MIN(job->sinks, low), count = sinks + tokens - low;
        const float *q = job->q + i * job->qStride + head * d;
        float *restrict out = job->output + (i * job->heads + head) * dv;
        for (int64_t t = 0; t < count; t++) {
            int64_t token = t < sinks ? t : low + t - sinks;
            scores[t] = KK(dot)(q, keys + token * job->keyStride, d) * job->scale;
        }
        float top = KK(greatest)(scores, count);
        float total = KK(exp_sum)(scores, scores, count, top);
        for (int64_t j = 0; j < dv; j++) out[j] = 0;
        for (int64_t t = 0; t < count; t++) {
            int64_t token = t < sinks ? t : low + t - sinks;
            const float *restrict v = values + token * job->valueStride;
            for (int64_t j = 0; j < dv; j++) out[j] += scores[t] * v[j];
        }
        for (int64_t j = 0; j < dv; j++) out[j] /= total;
        if (job->logSumExp) job->logSumExp[i * job->heads + head] = top + kk_log(total);
    }
}
