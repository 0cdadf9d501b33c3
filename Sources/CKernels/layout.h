// Column reductions and strided copies, for broadcasting, reductions over axes, permutations, slices and concatenation.
#ifndef KK_LAYOUT
#define KK_LAYOUT
#define KK_COLUMNS 64
#define KK_ROWS 256
#endif

// 64 columns at a time; blocks of 256 rows in Float32, added up in Float64.
static void KK(column_sum)(const float *x, int64_t rows, int64_t stride, float *restrict y, int64_t n, int accumulate) {
    for (int64_t first = 0; first < n; first += KK_COLUMNS) {
        int64_t width = n - first < KK_COLUMNS ? n - first : KK_COLUMNS;
        double total[KK_COLUMNS];
        for (int64_t j = 0; j < width; j++) total[j] = accumulate ? y[first + j] : 0;
        for (int64_t start = 0; start < rows; start += KK_ROWS) {
            int64_t end = start + KK_ROWS < rows ? start + KK_ROWS : rows;
            float part[KK_COLUMNS] = {0};
            if (width == KK_COLUMNS)
                for (int64_t r = start; r < end; r++) {
                    const float *row = x + r * stride + first;
                    for (int j = 0; j < KK_COLUMNS; j++) part[j] += row[j];
                }
            else
                for (int64_t r = start; r < end; r++)
                    for (int64_t j = 0; j < width; j++) part[j] += x[r * stride + first + j];
            for (int64_t j = 0; j < width; j++) total[j] += part[j];
        }
        for (int64_t j = 0; j < width; j++) y[first + j] = (float)total[j];
    }
}

static void KK(column_maximum)(const float *x, int64_t rows, int64_t stride, float *restrict y, int64_t n, int accumulate) {
    if (!accumulate)
        for (int64_t j = 0; j < n; j++) y[j] = -__builtin_inff();
    for (int64_t r = 0; r < rows; r++) {
        const float *row = x + r * stride;
        for (int64_t j = 0; j < n; j++) y[j] = KK_GREATER(row[j], y[j]);
    }
}

static void KK(strided_copy)(int64_t n0, int64_t n1, const float *x, int64_t xs0, int64_t xs1, float *restrict y, int64_t ys0, int64_t ys1,
                             int accumulate) {
    if (xs1 == 1 && ys1 == 1) {
        for (int64_t i = 0; i < n0; i++) {
            const float *a = x + i * xs0;
            float *restrict o = y + i * ys0;
            if (accumulate)
                for (int64_t j = 0; j < n1; j++) o[j] += a[j];
            else if (n1 < 64)
                for (int64_t j = 0; j < n1; j++) o[j] = a[j];
            else
                memcpy(o, a, sizeof(float) * (size_t)n1);
        }
        return;
    }
    // Neither side's cache lines are used up in one pass: go over both in blocks of 16 by 16.
    for (int64_t i0 = 0; i0 < n0; i0 += 16)
        for (int64_t j0 = 0; j0 < n1; j0 += 16) {
            int64_t i1 = i0 + 16 < n0 ? i0 + 16 : n0, j1 = j0 + 16 < n1 ? j0 + 16 : n1;
            for (int64_t i = i0; i < i1; i++) {
                const float *a = x + i * xs0;
                float *restrict o = y + i * ys0;
                if (accumulate)
                    for (int64_t j = j0; j < j1; j++) o[j * ys1] += a[j * xs1];
                else
                    for (int64_t j = j0; j < j1; j++) o[j * ys1] = a[j * xs1];
            }
        }
}
