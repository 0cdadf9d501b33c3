// RMSNorm (Zhang and Sennrich 2019) and LayerNorm (Ba et al. 2016), forward and gradient, row by row.
static void KK(rms_norm_apply)(const float *x, const float *w, const float *rstd, float *y, int64_t rows, int64_t n) {
    for (int64_t r = 0; r < rows; r++) {
        const float *restrict a = x + r * n;
        float *restrict o = y + r * n;
        float s = rstd[r];
        for (int64_t i = 0; i < n; i++) o[i] = a[i] * s * w[i];
    }
}

static void KK(rms_norm)(const float *x, const float *w, float *y, float *rstd, int64_t rows, int64_t n, float epsilon) {
    for (int64_t r = 0; r < rows; r++) {
        rstd[r] = 1.0f / __builtin_sqrtf(KK(dot)(x + r * n, x + r * n, n) / (float)n + epsilon);
        KK(rms_norm_apply)(x + r * n, w, rstd + r, y + r * n, 1, n);
    }
}

// y_i = x_i s w_i, s = (mean x^2 + e)^-1/2:  dx_i = s w_i dy_i - x_i s^3 / n sum_j x_j w_j dy_j,  dw_i = sum_r x_i s dy_i.
static void KK(rms_norm_gradient)(const float *x, const float *restrict w, const float *rstd, const float *dy, float *dx,
                                  float *restrict dw, int64_t rows, int64_t n, int accumulate) {
    for (int64_t r = 0; r < rows; r++) {
        const float *restrict a = x + r * n, *restrict d = dy + r * n;
        float *restrict o = dx + r * n;
        float s = rstd[r], part[KK_LANES] = {0}, total = 0;
        int64_t i = 0;
        for (; i + KK_LANES <= n; i += KK_LANES)
            for (int j = 0; j < KK_LANES; j++) part[j] += a[i + j] * w[i + j] * d[i + j];
        for (; i < n; i++) part[i % KK_LANES] += a[i] * w[i] * d[i];
        total += KK(lane_sum)(part);
        float c = s * s * s * total / (float)n;
        if (accumulate)
            for (i = 0; i < n; i++) { o[i] += s * w[i] * d[i] - c * a[i]; dw[i] += a[i] * s * d[i]; }
        else
            for (i = 0; i < n; i++) { o[i] = s * w[i] * d[i] - c * a[i]; dw[i] += a[i] * s * d[i]; }
    }
}

static void KK(layer_norm)(const float *x, const float *w, const float *b, float *y, float *mean, float *rstd, int64_t rows, int64_t n,
                           float epsilon) {
    for (int64_t r = 0; r < rows; r++) {
        const float *restrict a = x + r * n;
        float *restrict o = y + r * n;
        float m = (float)(KK(sum)(a, n) / (double)n), s;
        for (int64_t i = 0; i < n; i++) o[i] = a[i] - m;
        s = 1.0f / __builtin_sqrtf((float)(KK(sum_squares)(o, n) / (double)n) + epsilon);
        for (int64_t i = 0; i < n; i++) o[i] = o[i] * s * w[i] + b[i];
        mean[r] = m;
        rstd[r] = s;
    }
}

// With h = (x - m) s and g = w dy:  dx = s (g - mean g - h mean(g h)).
static void KK(layer_norm_gradient)(const float *x, const float *restrict w, const float *mean, const float *rstd, const float *dy,
                                    float *dx, float *restrict dw, float *restrict db, int64_t rows, int64_t n) {
    for (int64_t r = 0; r < rows; r++) {
        const float *restrict a = x + r * n, *restrict d = dy + r * n;
        float *restrict o = dx + r * n;
        float m = mean[r], s = rstd[r], g1[KK_LANES] = {0}, g2[KK_LANES] = {0}, t1 = 0, t2 = 0;
        for (int64_t i = 0; i < n; i++) {
            float h = (a[i] - m) * s, g = w[i] * d[i];
            o[i] = g;
            dw[i] += h * d[i];
            db[i] += d[i];
        }
        int64_t i = 0;
        for (; i + KK_LANES <= n; i += KK_LANES)
            for (int j = 0; j < KK_LANES; j++) { g1[j] += o[i + j]; g2[j] += o[i + j] * (a[i + j] - m) * s; }
        for (; i < n; i++) { g1[i % KK_LANES] += o[i]; g2[i % KK_LANES] += o[i] * (a[i] - m) * s; }
        t1 += KK(lane_sum)(g1);
        t2 += KK(lane_sum)(g2);
        t1 /= (float)n;
        t2 /= (float)n;
        for (i = 0; i < n; i++) o[i] = s * (o[i] - t1 - (a[i] - m) * s * t2);
    }
}
