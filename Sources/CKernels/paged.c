#include "ckernels.h"

static int64_t padded(int64_t d) { return (d + 15) / 16 * 16; }

int64_t kk_paged_row_scratch(int64_t kvHeads, int64_t group, int64_t keyDim, int64_t valueDim) {
    int64_t eights = 8 * KK_PAGED_EIGHTS(group);
    int64_t wide = padded(keyDim) > padded(valueDim) ? padded(keyDim) : padded(valueDim);
    return kvHeads * (group > eights ? group : eights) * (padded(keyDim) + padded(valueDim) + KK_PAGED_SPAN) + KK_PAGED_DECODED * wide;
}

int64_t kk_paged_columns(int64_t count, int64_t group) {
    return (count * group + KK_PAGED_STRIP - 1) / KK_PAGED_STRIP * KK_PAGED_STRIP;
}

int64_t kk_paged_block_scratch(int64_t count, int64_t group, int64_t keyDim, int64_t valueDim) {
    return kk_paged_columns(count, group) * (keyDim + padded(valueDim) + 3)
         + KK_PAGED_BLOCK * (padded(keyDim) + padded(valueDim) + KK_PAGED_STRIP);
}
