// Elementwise maps and reductions. Loops are written so that the compiler vectorises them: no calls, no branches.
#include <string.h>

#define KK_INLINE static inline __attribute__((always_inline))

#ifndef KK_MATH
#define KK_MATH
#define KK_LANES 16
// e^x in parts, 2^n * p(r): round-to-nearest by the 1.5 * 2^23 trick, r in [-ln2/2, ln2/2], the degree-6 Taylor-like minimax of
// Cephes' expf: p is returned. For x from -87.3 to 88.7.
KK_INLINE float kk_exp_parts(float x, int32_t *n) {
    float shifted = x * 1.44269504088896341f + 12582912.0f;
    float whole = shifted - 12582912.0f;
    float r = x - whole * 0.693359375f;
    r = r - whole * -2.12194440e-4f;
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    union { float f; int32_t i; } bits = {shifted};
    *n = bits.i - 0x4B400000;
    return p * r * r + r + 1.0f;
}

// e^x: below -87.3 it is 0, above 88.7 infinity.
KK_INLINE float kk_exp(float x) {
    float clamped = x < -87.336544f ? -87.336544f : x;
    clamped = clamped > 88.722839f ? 88.722839f : clamped;
    int32_t n;
    float p = kk_exp_parts(clamped, &n);
    // 2^n in two factors, so that n = 128 does not overflow.
    int32_t h = n >> 1;
    union { int32_t i; float f; } s1 = {(h + 127) << 23}, s2 = {(n - h + 127) << 23};
    float y = p * s1.f * s2.f;
    y = x < -87.336544f ? 0.0f : y;
    y = x > 88.722839f ? __builtin_inff() : y;
    return x != x ? x : y;
}

// kk_exp(x) for x not above 0, as softmax has them: same bits, fewer steps.
KK_INLINE float kk_exp_below(float x) {
    int32_t n;
    float p = kk_exp_parts(x < -87.336544f ? -87.336544f : x, &n);
    union { int32_t i; float f; } scale = {(n + 127) << 23};
    return x < -87.336544f ? 0.0f : p * scale.f;
}

// ln x after Cephes' logf: mantissa in [sqrt(1/2), sqrt(2)).
KK_INLINE float kk_log(float x) {
    // Subnormals are scaled up first.
    float up = x < 1.17549435e-38f ? x * 8388608.0f : x;
    float offset = x < 1.17549435e-38f ? 23.0f : 0.0f;
    union { float f; int32_t i; } bits = {up};
    int32_t e = ((bits.i >> 23) & 0xFF) - 126;
    bits.i = (bits.i & 0x007FFFFF) | 0x3F000000;
    float m = bits.f;
    int small = m < 0.707106781186547524f;
    float n = (float)(e - small) - offset;
    m = (small ? m + m : m) - 1.0f;
    float z = m * m;
    float p = 7.0376836292e-2f;
    p = p * m - 1.1514610310e-1f;
    p = p * m + 1.1676998740e-1f;
    p = p * m - 1.2420140846e-1f;
    p = p * m + 1.4249322787e-1f;
    p = p * m - 1.6668057665e-1f;
    p = p * m + 2.0000714765e-1f;
    p = p * m - 2.4999993993e-1f;
    p = p * m + 3.3333331174e-1f;
    float y = p * m * z + n * -2.12194440e-4f - 0.5f * z;
    y = m + y + n * 0.693359375f;
    y = x == 0.0f ? -__builtin_inff() : y;
    y = x < 0.0f ? __builtin_nanf("") : y;
    y = x == __builtin_inff() ? x : y;
    return x != x ? x : y;
}

KK_INLINE float kk_sigmoid(float x) { return 1.0f / (1.0f + kk_exp(-x)); }

// tanh: a small-argument polynomial (Cephes' tanhf), else 1 - 2 / (e^2x + 1).
KK_INLINE float kk_tanh(float x) {
    float a = __builtin_fabsf(x), z = x * x;
    float p = -5.70498872745e-3f;
    p = p * z + 2.06390887954e-2f;
    p = p * z - 5.37397155531e-2f;
    p = p * z + 1.33314422036e-1f;
    p = p * z - 3.33332819422e-1f;
    float small = p * z * x + x;
    float large = __builtin_copysignf(1.0f - 2.0f / (kk_exp(2.0f * a) + 1.0f), x);
    return a < 0.625f ? small : large;
}

#define KK_GELU_C 0.7978845608028654f
#define KK_GELU_A 0.044715f
KK_INLINE float kk_gelu(float x) { return 0.5f * x * (1.0f + kk_tanh(KK_GELU_C * (x + KK_GELU_A * x * x * x))); }
KK_INLINE float kk_gelu_gradient(float x) {
    float t = kk_tanh(KK_GELU_C * (x + KK_GELU_A * x * x * x));
    return 0.5f * (1.0f + t) + 0.5f * x * (1.0f - t * t) * KK_GELU_C * (1.0f + 3.0f * KK_GELU_A * x * x);
}

// erf: near 0 a polynomial in x^2, else 1 - e^p(|x|), both minimax (coefficients after N. Juffa, public domain).
KK_INLINE float kk_erf(float x) {
    float t = __builtin_fabsf(x), z = x * x;
    float p = -5.96761703e-4f;
    p = p * z + 4.99119423e-3f;
    p = p * z - 2.67681349e-2f;
    p = p * z + 1.12819925e-1f;
    p = p * z - 3.76125336e-1f;
    p = p * z + 1.28379166e-1f;
    float small = p * x + x;
    float q = -1.72853470e-5f * t + 3.83197126e-4f;
    q = q * z + (-3.88396438e-3f * t + 2.42546219e-2f);
    q = q * t - 1.06777877e-1f;
    q = q * t - 6.34846687e-1f;
    q = q * t - 1.28717512e-1f;
    q = q * t - t;
    float large = __builtin_copysignf(t < 4.0f ? 1.0f - kk_exp(q) : 1.0f, x);
    large = x != x ? x : large;
    return t > 0.927734375f ? large : t <= 0.927734375f ? small : x;
}

KK_INLINE float kk_gelu_erf(float x) { return 0.5f * x * (1.0f + kk_erf(x * 0.70710678118654752f)); }
KK_INLINE float kk_gelu_erf_gradient(float x) {
    return 0.5f * (1.0f + kk_erf(x * 0.70710678118654752f)) + x * 0.3989422804014327f * kk_exp(-0.5f * x * x);
}
#endif

#define KK_EACH(expression) \
    for (int64_t i = 0; i < n; i++) { expression; } \
    break

static void KK(unary)(int op, const float *restrict x, float *restrict y, int64_t n) {
    switch (op) {
    case KK_NEG: KK_EACH(y[i] = -x[i]);
    case KK_EXP: KK_EACH(y[i] = kk_exp(x[i]));
    case KK_LOG: KK_EACH(y[i] = kk_log(x[i]));
    case KK_SQRT: KK_EACH(y[i] = __builtin_sqrtf(x[i]));
    case KK_TANH: KK_EACH(y[i] = kk_tanh(x[i]));
    case KK_SIGMOID: KK_EACH(y[i] = kk_sigmoid(x[i]));
    case KK_SILU: KK_EACH(y[i] = x[i] * kk_sigmoid(x[i]));
    case KK_GELU: KK_EACH(y[i] = kk_gelu(x[i]));
    case KK_RELU: KK_EACH(y[i] = x[i] <= 0.0f ? 0.0f : x[i]);
    case KK_GELU_ERF: KK_EACH(y[i] = kk_gelu_erf(x[i]));
    }
}

static void KK(unary_gradient)(int op, const float *restrict x, const float *restrict y, const float *restrict dy, float *restrict dx,
                               int64_t n) {
    switch (op) {
    case KK_NEG: KK_EACH(dx[i] = -dy[i]);
    case KK_EXP: KK_EACH(dx[i] = dy[i] * y[i]);
    case KK_LOG: KK_EACH(dx[i] = dy[i] / x[i]);
    case KK_SQRT: KK_EACH(dx[i] = 0.5f * dy[i] / y[i]);
    case KK_TANH: KK_EACH(dx[i] = dy[i] * (1.0f - y[i] * y[i]));
    case KK_SIGMOID: KK_EACH(dx[i] = dy[i] * y[i] * (1.0f - y[i]));
    case KK_SILU:
        for (int64_t i = 0; i < n; i++) {
            float s = kk_sigmoid(x[i]);
            dx[i] = dy[i] * s * (1.0f + x[i] * (1.0f - s));
        }
        break;
    case KK_GELU: KK_EACH(dx[i] = dy[i] * kk_gelu_gradient(x[i]));
    case KK_RELU: KK_EACH(dx[i] = x[i] > 0.0f ? dy[i] : 0.0f);
    case KK_GELU_ERF: KK_EACH(dx[i] = dy[i] * kk_gelu_erf_gradient(x[i]));
    }
}

#define KK_BINARY(expression) \
    if (aStep == 0) { float p = a[0]; for (int64_t i = 0; i < n; i++) { float q = b[i * bStep]; y[i] = expression; } } \
    else if (bStep == 0) { float q = b[0]; for (int64_t i = 0; i < n; i++) { float p = a[i]; y[i] = expression; } } \
    else { for (int64_t i = 0; i < n; i++) { float p = a[i], q = b[i]; y[i] = expression; } } \
    break
// The greater, NaN where either is.
#define KK_GREATER(p, q) ((p) > (q) || (p) != (p) ? (p) : (q))

static void KK(binary)(int op, const float *a, int64_t aStep, const float *b, int64_t bStep, float *restrict y, int64_t n) {
    switch (op) {
    case KK_ADD: KK_BINARY(p + q);
    case KK_SUB: KK_BINARY(p - q);
    case KK_MUL: KK_BINARY(p * q);
    case KK_DIV: KK_BINARY(p / q);
    case KK_MAX: KK_BINARY(KK_GREATER(p, q));
    case KK_EQUAL: KK_BINARY(p == q ? 1.0f : 0.0f);
    }
}

static void KK(select)(const float *mask, const float *a, int64_t aStep, const float *b, int64_t bStep, float *restrict y, int64_t n) {
    if (aStep == 0) { float p = a[0]; for (int64_t i = 0; i < n; i++) y[i] = mask[i] != 0.0f ? p : b[i * bStep]; }
    else if (bStep == 0) { float q = b[0]; for (int64_t i = 0; i < n; i++) y[i] = mask[i] != 0.0f ? a[i] : q; }
    else { for (int64_t i = 0; i < n; i++) y[i] = mask[i] != 0.0f ? a[i] : b[i]; }
}

// Element i's random number is the value SplitMix64 (Steele et al. 2014) gives at position first + i: a function of the
// seed and the index alone, so that any split over threads draws the same mask.
static void KK(dropout)(const float *x, float *y, int64_t n, uint64_t seed, int64_t first, uint32_t threshold, float scale) {
    for (int64_t i = 0; i < n; i++) {
        uint64_t z = seed + (uint64_t)(first + i + 1) * 0x9E3779B97F4A7C15u;
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
        z = z ^ (z >> 31);
        y[i] = (uint32_t)(z >> 40) >= threshold ? x[i] * scale : 0.0f;
    }
}

static void KK(axpy)(float alpha, const float *restrict x, float *restrict y, int64_t n) {
    for (int64_t i = 0; i < n; i++) y[i] += alpha * x[i];
}

static void KK(scale)(float alpha, const float *x, float *y, int64_t n) {
    for (int64_t i = 0; i < n; i++) y[i] = alpha * x[i];
}

// The partial results of a reduction added up by halves.
KK_INLINE float KK(lane_sum)(const float *part) {
    float a[8], b[4];
    for (int j = 0; j < 8; j++) a[j] = part[j] + part[j + 8];
    for (int j = 0; j < 4; j++) b[j] = a[j] + a[j + 4];
    return (b[0] + b[2]) + (b[1] + b[3]);
}

// Reductions keep 16 partial results, so that the order of additions is fixed and the same for every instruction set.
// Sums run in blocks of Float32 partials that are added up in Float64.
#define KK_SUM(term) \
    double total = 0; \
    for (int64_t start = 0; start < n; start += 4096) { \
        int64_t end = start + 4096 < n ? start + 4096 : n, i = start; \
        float part[KK_LANES] = {0}; \
        for (; i + KK_LANES <= end; i += KK_LANES) \
            for (int64_t j = 0; j < KK_LANES; j++) { float v = x[i + j]; part[j] += (term); } \
        for (; i < end; i++) { float v = x[i]; part[i % KK_LANES] += (term); } \
        for (int j = 0; j < KK_LANES; j++) total += part[j]; \
    } \
    return total

static double KK(sum)(const float *x, int64_t n) { KK_SUM(v); }
static double KK(sum_squares)(const float *x, int64_t n) { KK_SUM(v * v); }

#define KK_MAXIMUM(greater) \
    float best[KK_LANES]; \
    for (int j = 0; j < KK_LANES; j++) best[j] = -__builtin_inff(); \
    int64_t i = 0; \
    for (; i + KK_LANES <= n; i += KK_LANES) \
        for (int j = 0; j < KK_LANES; j++) { float p = x[i + j]; best[j] = greater(p, best[j]); } \
    for (; i < n; i++) { float p = x[i]; best[0] = greater(p, best[0]); } \
    for (int w = KK_LANES / 2; w > 0; w /= 2) \
        for (int j = 0; j < w; j++) best[j] = greater(best[j + w], best[j]); \
    return best[0]
#define KK_GREATER_NUMBER(p, q) ((p) > (q) ? (p) : (q))

static float KK(maximum)(const float *x, int64_t n) { KK_MAXIMUM(KK_GREATER); }
// For softmax, where a NaN comes through the exponentials anyway: the greatest number, NaN passed over.
static float KK(greatest)(const float *x, int64_t n) { KK_MAXIMUM(KK_GREATER_NUMBER); }

static int64_t KK(argmax)(const float *x, int64_t n) {
    float top = KK(maximum)(x, n);
    int64_t i = 0;
    for (; i + KK_LANES <= n; i += KK_LANES) {
        int found = 0;
        for (int j = 0; j < KK_LANES; j++) found |= x[i + j] == top;
        if (found) break;
    }
    for (; i < n; i++)
        if (x[i] == top) return i;
    return 0;
}

static float KK(dot)(const float *x, const float *y, int64_t n) {
    float part[KK_LANES] = {0};
    int64_t i = 0;
    for (; i + KK_LANES <= n; i += KK_LANES)
        for (int j = 0; j < KK_LANES; j++) part[j] += x[i + j] * y[i + j];
    for (; i < n; i++) part[i % KK_LANES] += x[i] * y[i];
    return KK(lane_sum)(part);
}

static uint64_t KK(read)(const uint64_t *x, int64_t n) {
    uint64_t total = 0;
    for (int64_t i = 0; i < n; i++) total += x[i];
    return total;
}

static void KK(swiglu)(const float *restrict gateUp, float *restrict y, int64_t rows, int64_t n) {
    for (int64_t r = 0; r < rows; r++) {
        const float *g = gateUp + r * 2 * n, *u = g + n;
        float *o = y + r * n;
        for (int64_t i = 0; i < n; i++) o[i] = g[i] * kk_sigmoid(g[i]) * u[i];
    }
}

// dGateUp may be gateUp: an element is read before it is written, and no iteration reads another's.
static void KK(swiglu_gradient)(const float *gateUp, const float *dy, float *dGateUp, int64_t rows, int64_t n) {
    for (int64_t r = 0; r < rows; r++) {
        const float *gate = gateUp + r * 2 * n, *up = gate + n, *d = dy + r * n;
        float *dGate = dGateUp + r * 2 * n, *dUp = dGate + n;
#pragma clang loop vectorize(assume_safety)
        for (int64_t i = 0; i < n; i++) {
            float g = gate[i], u = up[i], e = d[i], s = kk_sigmoid(g), silu = g * s;
            dUp[i] = e * silu;
            dGate[i] = e * u * (s + silu * (1.0f - s));
        }
    }
}
