#include <cblas.h>

// LAPACK's own entry points, which OpenBLAS carries; matrices by columns.
void dsyevd_(const char *job, const char *triangle, const int *n, double *a, const int *lda, double *values, double *work,
             const int *lwork, int *iwork, const int *liwork, int *info);
void dgesdd_(const char *job, const int *m, const int *n, double *a, const int *lda, double *values, double *u, const int *ldu,
             double *vt, const int *ldvt, double *work, const int *lwork, int *iwork, int *info);
