// Floats of scratch that kernels need, and bytes of packed panels.
#include "ckernels.h"

static int64_t padded(int64_t d) { return (d + 15) / 16 * 16; }

int64_t kk_attention_scratch(int64_t seq, int64_t headDim, int64_t valueDim, int backward) {
    int64_t t = padded(seq) + 64, d = padded(headDim), dv = padded(valueDim), most = d > dv ? d : dv;
    int64_t forward = t * (d + most) + 64 * (d + dv) + 64 * 128 + 256;
    return backward ? t * (2 * d + 2 * dv + most) + 64 * (2 * d + dv) + 2 * 64 * 128 + 256 : forward;
}

int64_t kk_cached_attention_scratch(int64_t tokens) { return padded(tokens); }

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

int64_t kk_panel_bytes(int32_t element, int64_t inner, int64_t columns) {
    int64_t bytes = element == KK_ELEMENT_FP32 ? inner * 4 : element == KK_ELEMENT_BF16 ? (inner + 1) / 2 * 4 : inner * 2;
    return bytes * columns;
}
