// A small matrix product for tiles that live in cache: C (+)= A B with A at any strides and B, C in rows of 16.
// Register tile: as many rows and vectors of 16 as the instruction set's registers hold beside B: 6 by 4 of AVX-512's 32, 6 by 1
// of AVX2's, 2 by 1 of those half as wide. An element is one chain of sums whatever the tile.
#ifndef KK_VECTOR
#define KK_VECTOR
typedef float kk_v16 __attribute__((vector_size(64), aligned(4)));
#endif

#if KK_VW == 16
#define KK_TILE_VECTORS 4
#else
#define KK_TILE_VECTORS 1
#endif
#define KK_TILE_HEIGHT (KK_VW > 4 ? 6 : 2)

KK_INLINE void KK(tile)(const int mr, const int nv, int64_t k, const float *a, int64_t ars, int64_t acs, const float *b, int64_t ldb,
                        float *c, int64_t ldc, int accumulate) {
    kk_v16 sum[6][KK_TILE_VECTORS];
#pragma unroll
    for (int i = 0; i < mr; i++)
#pragma unroll
        for (int j = 0; j < nv; j++) sum[i][j] = accumulate ? *(const kk_v16 *)(c + i * ldc + j * 16) : (kk_v16){0};
    for (int64_t p = 0; p < k; p++) {
        kk_v16 column[KK_TILE_VECTORS];
#pragma unroll
        for (int j = 0; j < nv; j++) column[j] = *(const kk_v16 *)(b + p * ldb + j * 16);
#pragma unroll
        for (int i = 0; i < mr; i++) {
            float s = a[i * ars + p * acs];
#pragma unroll
            for (int j = 0; j < nv; j++) sum[i][j] += s * column[j];
        }
    }
#pragma unroll
    for (int i = 0; i < mr; i++)
#pragma unroll
        for (int j = 0; j < nv; j++) *(kk_v16 *)(c + i * ldc + j * 16) = sum[i][j];
}

#define KK_TILE_ROWS(nv) \
    static void KK(tile_rows_##nv)(int64_t m, int64_t k, const float *a, int64_t ars, int64_t acs, const float *b, int64_t ldb, \
                                   float *c, int64_t ldc, int accumulate) { \
        int64_t i = 0; \
        for (; i + KK_TILE_HEIGHT <= m; i += KK_TILE_HEIGHT) \
            KK(tile)(KK_TILE_HEIGHT, nv, k, a + i * ars, ars, acs, b, ldb, c + i * ldc, ldc, accumulate); \
        if (m - i >= 4) { KK(tile)(4, nv, k, a + i * ars, ars, acs, b, ldb, c + i * ldc, ldc, accumulate); i += 4; } \
        if (m - i >= 2) { KK(tile)(2, nv, k, a + i * ars, ars, acs, b, ldb, c + i * ldc, ldc, accumulate); i += 2; } \
        if (m - i >= 1) KK(tile)(1, nv, k, a + i * ars, ars, acs, b, ldb, c + i * ldc, ldc, accumulate); \
    }
KK_TILE_ROWS(1)
#if KK_TILE_VECTORS == 4
KK_TILE_ROWS(2)
KK_TILE_ROWS(3)
KK_TILE_ROWS(4)
#endif

static void KK(tile_gemm)(int64_t m, int64_t n, int64_t k, const float *a, int64_t ars, int64_t acs, const float *b, int64_t ldb, float *c,
                          int64_t ldc, int accumulate) {
    int64_t j = 0;
#if KK_TILE_VECTORS == 4
    for (; j + 64 <= n; j += 64) KK(tile_rows_4)(m, k, a, ars, acs, b + j, ldb, c + j, ldc, accumulate);
    switch ((n - j) / 16) {
    case 3: KK(tile_rows_3)(m, k, a, ars, acs, b + j, ldb, c + j, ldc, accumulate); break;
    case 2: KK(tile_rows_2)(m, k, a, ars, acs, b + j, ldb, c + j, ldc, accumulate); break;
    case 1: KK(tile_rows_1)(m, k, a, ars, acs, b + j, ldb, c + j, ldc, accumulate); break;
    }
#else
    for (; j + 16 <= n; j += 16) KK(tile_rows_1)(m, k, a, ars, acs, b + j, ldb, c + j, ldc, accumulate);
#endif
}
