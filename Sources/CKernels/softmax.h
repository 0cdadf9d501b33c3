// Softmax over the last axis, its logarithm, cross-entropy against class indices and divergence from a teacher's softmax.

// e^(x - m) for n values, none of which is above m, their sum returned; y may be NULL.
KK_INLINE float KK(exp_sum)(const float *x, float *y, int64_t n, float m) {
    float part[KK_LANES] = {0}, total = 0;
    int64_t i = 0;
    if (y) {
        for (; i + KK_LANES <= n; i += KK_LANES)
            for (int j = 0; j < KK_LANES; j++) { float e = kk_exp_below(x[i + j] - m); y[i + j] = e; part[j] += e; }
        for (; i < n; i++) { y[i] = kk_exp_below(x[i] - m); part[i % KK_LANES] += y[i]; }
    } else {
        for (; i + KK_LANES <= n; i += KK_LANES)
            for (int j = 0; j < KK_LANES; j++) part[j] += kk_exp_below(x[i + j] - m);
        for (; i < n; i++) part[i % KK_LANES] += kk_exp_below(x[i] - m);
    }
    total += KK(lane_sum)(part);
    return total;
}

static void KK(softmax)(const float *x, float *y, int64_t rows, int64_t n) {
    for (int64_t r = 0; r < rows; r++) {
        float total = KK(exp_sum)(x + r * n, y + r * n, n, KK(greatest)(x + r * n, n));
        KK(scale)(1.0f / total, y + r * n, y + r * n, n);
    }
}

static void KK(log_softmax)(const float *x, float *y, int64_t rows, int64_t n) {
    for (int64_t r = 0; r < rows; r++) {
        float m = KK(greatest)(x + r * n, n);
        float shift = m + kk_log(KK(exp_sum)(x + r * n, NULL, n, m));
        for (int64_t i = 0; i < n; i++) y[r * n + i] = x[r * n + i] - shift;
    }
}

static void KK(softmax_gradient)(const float *y, const float *dy, float *dx, int64_t rows, int64_t n) {
    for (int64_t r = 0; r < rows; r++) {
        const float *restrict p = y + r * n, *restrict d = dy + r * n;
        float *restrict o = dx + r * n;
        float c = KK(dot)(p, d, n);
        for (int64_t i = 0; i < n; i++) o[i] = p[i] * (d[i] - c);
    }
}

static void KK(log_softmax_gradient)(const float *y, const float *dy, float *dx, int64_t rows, int64_t n) {
    for (int64_t r = 0; r < rows; r++) {
        const float *restrict l = y + r * n, *restrict d = dy + r * n;
        float *restrict o = dx + r * n;
        float c = (float)KK(sum)(d, n);
        for (int64_t i = 0; i < n; i++) o[i] = d[i] - kk_exp(l[i]) * c;
    }
}

static void KK(cross_entropy)(float *logits, const int32_t *targets, float *losses, int64_t rows, int64_t n, float scale, int gradient) {
    for (int64_t r = 0; r < rows; r++) {
        float *row = logits + r * n;
        if (targets[r] < 0) {
            losses[r] = 0;
            if (gradient) memset(row, 0, sizeof(float) * (size_t)n);
            continue;
        }
        float picked = row[targets[r]], m = KK(greatest)(row, n);
        float total = KK(exp_sum)(row, gradient ? row : NULL, n, m);
        losses[r] = m + kk_log(total) - picked;
        if (gradient) {
            KK(scale)(scale / total, row, row, n);
            row[targets[r]] -= scale;
        }
    }
}

// Per row sum_i p_i (ln p_i - ln q_i) of softmax(p) from softmax(q), both given as logits.
static void KK(divergence)(const float *p, const float *q, float *result, int64_t rows, int64_t n) {
    for (int64_t r = 0; r < rows; r++) {
        const float *a = p + r * n, *b = q + r * n;
        float ma = KK(maximum)(a, n), mb = KK(maximum)(b, n), sa = KK(exp_sum)(a, NULL, n, ma), sb = KK(exp_sum)(b, NULL, n, mb);
        float shift = (mb + kk_log(sb)) - (ma + kk_log(sa)), part[KK_LANES] = {0}, total = 0;
        int64_t i = 0;
        for (; i + KK_LANES <= n; i += KK_LANES)
            for (int j = 0; j < KK_LANES; j++) part[j] += kk_exp(a[i + j] - ma) * (a[i + j] - b[i + j] + shift);
        for (; i < n; i++) part[i % KK_LANES] += kk_exp(a[i] - ma) * (a[i] - b[i] + shift);
        total += KK(lane_sum)(part);
        result[r] = total / sa;
    }
}

// As cross_entropy on q, with the divergence of softmax(q / t) from softmax(p / t) beside it.
static void KK(distillation)(float *q, float *p, const int32_t *targets, float *losses, float *divergences, int64_t rows, int64_t n,
                             float scale, float share, float t, int gradient) {
    float inverse = 1.0f / t;
    for (int64_t r = 0; r < rows; r++) {
        float *restrict a = p + r * n, *restrict b = q + r * n;
        if (targets[r] < 0) {
            losses[r] = divergences[r] = 0;
            if (gradient) memset(b, 0, sizeof(float) * (size_t)n);
            continue;
        }
        float picked = b[targets[r]], ma = KK(greatest)(a, n), mb = KK(greatest)(b, n);
        float as[KK_LANES] = {0}, bs[KK_LANES] = {0}, ds[KK_LANES] = {0};
        int64_t i = 0;
        for (; i + KK_LANES <= n; i += KK_LANES)
            for (int j = 0; j < KK_LANES; j++) {
                float u = (a[i + j] - ma) * inverse, v = (b[i + j] - mb) * inverse, e = kk_exp_below(u);
                a[i + j] = e;
                as[j] += e;
                bs[j] += kk_exp_below(v);
                ds[j] += e * (u - v);
            }
        for (; i < n; i++) {
            float u = (a[i] - ma) * inverse, v = (b[i] - mb) * inverse, e = kk_exp_below(u);
            a[i] = e;
            as[i % KK_LANES] += e;
            bs[i % KK_LANES] += kk_exp_below(v);
            ds[i % KK_LANES] += e * (u - v);
        }
        float sa = KK(lane_sum)(as), sb = KK(lane_sum)(bs), total = t == 1.0f ? sb : KK(exp_sum)(b, NULL, n, mb);
        losses[r] = mb + kk_log(total) - picked;
        divergences[r] = KK(lane_sum)(ds) / sa + (kk_log(sb) - kk_log(sa));
        if (!gradient) continue;
        float text = scale * (1.0f - share) / total, own = scale * share * t / sb, other = scale * share * t / sa;
        if (t == 1.0f)
            for (i = 0; i < n; i++) b[i] = (text + own) * kk_exp_below(b[i] - mb) - other * a[i];
        else
            for (i = 0; i < n; i++)
                b[i] = text * kk_exp_below(b[i] - mb) + own * kk_exp_below((b[i] - mb) * inverse) - other * a[i];
        b[targets[r]] -= scale * (1.0f - share);
    }
}
