#include "ckernels.h"

int64_t kk_panel_bytes(int32_t element, int64_t inner, int64_t columns) {
    int64_t bytes = element == KK_ELEMENT_FP32 ? inner * 4 : element == KK_ELEMENT_BF16 ? (inner + 1) / 2 * 4 : inner * 2;
    return bytes * columns;
}
