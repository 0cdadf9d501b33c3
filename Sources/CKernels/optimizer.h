// AdamW in one pass over memory (Loshchilov and Hutter 2019, decoupled decay).
static void KK(adamw)(float *restrict p, const float *restrict g, float *restrict m, float *restrict v, int64_t n, kk_adamw s) {
    float keep = 1.0f - s.learningRate * s.decay, step = s.learningRate / s.correction1;
    float root = 1.0f / __builtin_sqrtf(s.correction2);
    for (int64_t i = 0; i < n; i++) {
        float gradient = g[i] * s.gradientScale;
        m[i] = s.beta1 * m[i] + (1.0f - s.beta1) * gradient;
        v[i] = s.beta2 * v[i] + (1.0f - s.beta2) * gradient * gradient;
        p[i] = p[i] * keep - step * m[i] / (__builtin_sqrtf(v[i]) * root + s.epsilon);
    }
}
