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
        if (rotary.half) {
            int64_t half = rotary.half;
            const float *cosine = rotary.cosine + (position + r) * half, *sine = rotary.sine + (position + r) * half;
            for (int64_t i = 0; i < half; i++) {
                float p = a[i], q = a[i + half];
                o[i] = (p * cosine[i] - q * sine[i]) * scale;
                o[i + half] = (q * cosine[i] + p * sine[i]) * scale;
            }
        } else {
            for (int64_t i = 0; i < d; i++) o[i] = a[i] * scale;
        }
        for (int64_t i = d; i < wide; i++) o[i] = 0;
    }
}

// The reverse: rotated back and scaled, out of rows of `wide`.
KK_INLINE void KK(unpack_rows)(const float *restrict x, int64_t wide, int64_t count, int64_t d, int64_t stride, int64_t position,
                               kk_rotary rotary, float scale, float *restrict y) {
    for (int64_t r = 0; r < count; r++) {
        const float *a = x + r * wide;
        float *o = y + r * stride;
        if (rotary.half) {
            int64_t half = rotary.half;
            const float *cosine = rotary.cosine + (position + r) * half, *sine = rotary.sine + (position + r) * half;
            for (int64_t i = 0; i < half; i++) {
                float p = a[i], q = a[i + half];
                o[i] = (p * cosine[i] + q * sine[i]) * scale;
                o[i + half] = (q * cosine[i] - p * sine[i]) * scale;
            }
        } else {
            for (int64_t i = 0; i < d; i++) o[i] = a[i] * scale;
        }
    }
}

// [count, wide] to [d, columns], the columns past count zero.
KK_INLINE void KK(transpose_rows)(const float *restrict x, int64_t count, int64_t d, int64_t wide, int64_t columns, float *restrict y) {
    for (int64_t start = 0; start < columns; start += 16)
        for (int64_t i = 0; i < d; i++)
            for (int64_t r = start; r < start + 16; r++) y[i * columns + r] = r < count ? x[r * wide + i] : 0.0f;
}

// Which of a row's `columns` keys, the first of them at `first`, lie in [low, high]: the others' scores become `fill`.
KK_INLINE void KK(mask_row)(float *row, int64_t first, int64_t columns, int64_t low, int64_t high, float fill) {
    for (int64_t c = 0; c < KK_MIN(low - first, columns); c++) row[c] = fill;
    for (int64_t c = high - first + 1 < 0 ? 0 : high - first + 1; c < columns; c++) row[c] = fill;
}

static void KK(rotate)(float *x, const int32_t *positions, int64_t rows, int64_t stride, int64_t heads, int64_t d, kk_rotary rotary,
                       int inverse) {
    int64_t half = rotary.half;
    for (int64_t r = 0; r < rows; r++) {
        const float *cosine = rotary.cosine + positions[r] * half, *sine = rotary.sine + positions[r] * half;
        float sign = inverse ? -1.0f : 1.0f;
        for (int64_t h = 0; h < heads; h++) {
            float *restrict a = x + r * stride + h * d;
            for (int64_t i = 0; i < half; i++) {
                float p = a[i], q = a[i + half], s = sign * sine[i];
                a[i] = p * cosine[i] - q * s;
                a[i + half] = q * cosine[i] + p * s;
            }
        }
    }
}

static void KK(attention)(const kk_attention *job, int64_t batch, int64_t kvHead, float *scratch) {
    int64_t seq = job->seq, d = job->headDim, wide = KK_PAD(d), columns = KK_PAD(seq);
    int64_t group = job->heads / job->kvHeads, stride = (job->heads + 2 * job->kvHeads) * d;
    const float *base = job->qkv + batch * seq * stride;
    const int32_t *keyStart = job->keyStart ? job->keyStart + batch * seq : NULL;
    kk_rotary plain = {NULL, NULL, 0};
    // keysT [d, columns], values [columns, wide], q [64, wide], o [64, wide], scores [64, 128]
    float *keysT = scratch, *values = keysT + wide * columns, *q = values + columns * wide, *o = q + KK_BQ * wide;
    float *scores = o + KK_BQ * wide, *keys = values;
    KK(pack_rows)(base + (job->heads + kvHead) * d, stride, seq, d, wide, 0, job->rotary, 1.0f, keys);
    KK(transpose_rows)(keys, seq, d, wide, columns, keysT);
    KK(pack_rows)(base + (job->heads + job->kvHeads + kvHead) * d, stride, seq, d, wide, 0, plain, 1.0f, values);
    memset(values + seq * wide, 0, sizeof(float) * (size_t)((columns - seq) * wide));

    for (int64_t h = kvHead * group; h < (kvHead + 1) * group; h++) {
        for (int64_t q0 = 0; q0 < seq; q0 += KK_BQ) {
            int64_t m = KK_MIN(KK_BQ, seq - q0), low = keyStart ? seq : 0;
            float best[KK_BQ], total[KK_BQ];
            KK(pack_rows)(base + q0 * stride + h * d, stride, m, d, wide, q0, job->rotary, job->scale, q);
            for (int64_t r = 0; r < m; r++) {
                best[r] = -__builtin_inff();
                total[r] = 0;
                if (keyStart) low = KK_MIN(low, keyStart[q0 + r]);
            }
            memset(o, 0, sizeof(float) * (size_t)(m * wide));
            for (int64_t k0 = low / 16 * 16; k0 < q0 + m; k0 += KK_BK) {
                int64_t n = KK_MIN(KK_PAD(KK_MIN(KK_BK, q0 + m - k0)), columns - k0);
                KK(tile_gemm)(m, n, d, q, wide, 1, keysT + k0, columns, scores, KK_BK, 0);
                for (int64_t r = 0; r < m; r++) {
                    float *row = scores + r * KK_BK, *out = o + r * wide;
                    KK(mask_row)(row, k0, n, keyStart ? keyStart[q0 + r] : 0, q0 + r, -__builtin_inff());
                    float top = KK(greatest)(row, n);
                    if (top == -__builtin_inff()) { memset(row, 0, sizeof(float) * (size_t)n); continue; }
                    if (top > best[r]) {
                        float shrink = kk_exp(best[r] - top);
                        total[r] *= shrink;
                        for (int64_t i = 0; i < wide; i++) out[i] *= shrink;
                        best[r] = top;
                    }
                    total[r] += KK(exp_sum)(row, row, n, best[r]);
                }
                KK(tile_gemm)(m, wide, n, scores, KK_BK, 1, values + k0 * wide, wide, o, wide, 1);
            }
            for (int64_t r = 0; r < m; r++) {
                float *out = job->output + ((batch * seq + q0 + r) * job->heads + h) * d, scale = 1.0f / total[r];
                for (int64_t i = 0; i < d; i++) out[i] = o[r * wide + i] * scale;
                job->logSumExp[(batch * job->heads + h) * seq + q0 + r] = best[r] + kk_log(total[r]);
            }
        }
    }
}

// With P = exp(S - lse), D = rowsum(dO O):  dV = P^T dO,  dS = P (dO V^T - D),  dQ = scale dS K,  dK = scale dS^T Q.
static void KK(attention_gradient)(const kk_attention *job, int64_t batch, int64_t kvHead, float *scratch) {
    int64_t seq = job->seq, d = job->headDim, wide = KK_PAD(d), columns = KK_PAD(seq);
    int64_t group = job->heads / job->kvHeads, stride = (job->heads + 2 * job->kvHeads) * d;
    const float *base = job->qkv + batch * seq * stride;
    float *gradientBase = job->qkvGradient + batch * seq * stride;
    const int32_t *keyStart = job->keyStart ? job->keyStart + batch * seq : NULL;
    kk_rotary plain = {NULL, NULL, 0};
    float *keys = scratch, *keysT = keys + columns * wide, *valuesT = keysT + wide * columns, *values = valuesT + wide * columns;
    float *dKeys = values, *dValues = dKeys + columns * wide, *q = dValues + columns * wide, *dO = q + KK_BQ * wide;
    float *dQ = dO + KK_BQ * wide, *p = dQ + KK_BQ * wide, *dS = p + KK_BQ * KK_BK;
    KK(pack_rows)(base + (job->heads + kvHead) * d, stride, seq, d, wide, 0, job->rotary, 1.0f, keys);
    memset(keys + seq * wide, 0, sizeof(float) * (size_t)((columns - seq) * wide));
    KK(transpose_rows)(keys, seq, d, wide, columns, keysT);
    KK(pack_rows)(base + (job->heads + job->kvHeads + kvHead) * d, stride, seq, d, wide, 0, plain, 1.0f, values);
    KK(transpose_rows)(values, seq, d, wide, columns, valuesT);
    memset(dKeys, 0, sizeof(float) * (size_t)(2 * columns * wide));

    for (int64_t h = kvHead * group; h < (kvHead + 1) * group; h++) {
        for (int64_t q0 = 0; q0 < seq; q0 += KK_BQ) {
            int64_t m = KK_MIN(KK_BQ, seq - q0), low = keyStart ? seq : 0;
            float inner[KK_BQ];
            const float *lse = job->logSumExp + (batch * job->heads + h) * seq + q0;
            KK(pack_rows)(base + q0 * stride + h * d, stride, m, d, wide, q0, job->rotary, job->scale, q);
            KK(pack_rows)(job->gradient + ((batch * seq + q0) * job->heads + h) * d, job->heads * d, m, d, wide, 0, plain, 1.0f, dO);
            for (int64_t r = 0; r < m; r++) {
                inner[r] = KK(dot)(dO + r * wide, job->output + ((batch * seq + q0 + r) * job->heads + h) * d, d);
                if (keyStart) low = KK_MIN(low, keyStart[q0 + r]);
            }
            memset(dQ, 0, sizeof(float) * (size_t)(m * wide));
            for (int64_t k0 = low / 16 * 16; k0 < q0 + m; k0 += KK_BK) {
                int64_t n = KK_MIN(KK_PAD(KK_MIN(KK_BK, q0 + m - k0)), columns - k0);
                KK(tile_gemm)(m, n, d, q, wide, 1, keysT + k0, columns, p, KK_BK, 0);
                for (int64_t r = 0; r < m; r++) {
                    float *row = p + r * KK_BK, shift = lse[r];
                    KK(mask_row)(row, k0, n, keyStart ? keyStart[q0 + r] : 0, q0 + r, -__builtin_inff());
                    for (int64_t c = 0; c < n; c++) row[c] = kk_exp(row[c] - shift);
                }
                KK(tile_gemm)(n, wide, m, p, 1, KK_BK, dO, wide, dValues + k0 * wide, wide, 1);
                KK(tile_gemm)(m, n, d, dO, wide, 1, valuesT + k0, columns, dS, KK_BK, 0);
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
    KK(unpack_rows)(dValues, wide, seq, d, stride, 0, plain, 1.0f, gradientBase + (job->heads + job->kvHeads + kvHead) * d);
}

// Few queries over a cache: scores by dot products, one softmax, values summed up.
static void KK(cached_attention)(const kk_cached_attention *job, int64_t head, float *scratch) {
    int64_t d = job->headDim, kvHead = head * job->kvHeads / job->heads, stride = job->kvHeads * d;
    float *scores = scratch;
    for (int64_t i = 0; i < job->queries; i++) {
        int64_t tokens = job->firstPosition + i + 1;
        const float *q = job->q + (i * job->heads + head) * d;
        float *restrict out = job->output + (i * job->heads + head) * d;
        for (int64_t t = 0; t < tokens; t++) scores[t] = KK(dot)(q, job->keys + t * stride + kvHead * d, d) * job->scale;
        float top = KK(greatest)(scores, tokens);
        float total = KK(exp_sum)(scores, scores, tokens, top);
        for (int64_t j = 0; j < d; j++) out[j] = 0;
        for (int64_t t = 0; t < tokens; t++) {
            const float *restrict v = job->values + t * stride + kvHead * d;
            for (int64_t j = 0; j < d; j++) out[j] += scores[t] * v[j];
        }
        for (int64_t j = 0; j < d; j++) out[j] /= total;
        if (job->logSumExp) job->logSumExp[i * job->heads + head] = top + kk_log(total);
    }
}
