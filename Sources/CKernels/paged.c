#include "ckernels.h"

static int64_t padded(int64_t d) { return (d + 15) / 16 * 16; }

int64_t kk_paged_row_scratch(int64_t kvHeads, int64_t group, int64_t keyDim, int64_t valueDim) {
    int64_t eights = 8 * KK_PAGED_EIGHTS(group);
    return kvHeads * (group > eights ? group : eights) * (padded(keyDim) + padded(valueDim) + KK_PAGED_SPAN);
}

int64_t kk_paged_block_scratch(int64_t count, int64_t group, int64_t keyDim, int64_t valueDim) {
    int64_t columns = padded(count * group), block = 128;
    return columns * (keyDim + block + padded(valueDim) + 4) + block * (padded(keyDim) + padded(valueDim));
}
