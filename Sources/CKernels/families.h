// Every kernel family, included once for each instruction set, and the table that names them.
#include "elementwise.h"
#include "layout.h"
#include "norms.h"
#include "softmax.h"
#include "optimizer.h"
#include "tile_gemm.h"
#include "gemm.h"
#include "attention.h"
#include "paged.h"
#include "panels.h"

const kk_table KK(kk_table) = {
    .name = KK_NAME,
    .tile_gemm = KK(tile_gemm),
    .gemm = {
        {KK_MR, KK_NR, 1, KK(rows_fp32), KK(columns_fp32), KK(panels_fp32), KK(transposed_fp32), KK(gemm_multiply)},
        {KK_MR, KK_NR, KK_BF16_DEPTH, KK(rows_bf16), KK(columns_bf16), KK(panels_bf16), KK(transposed_bf16), KK_BF16_MULTIPLY},
    },
    .unary = KK(unary),
    .unary_gradient = KK(unary_gradient),
    .binary = KK(binary),
    .axpy = KK(axpy),
    .scale = KK(scale),
    .sum = KK(sum),
    .sum_squares = KK(sum_squares),
    .maximum = KK(maximum),
    .argmax = KK(argmax),
    .dot = KK(dot),
    .read = KK(read),
    .column_sum = KK(column_sum),
    .column_maximum = KK(column_maximum),
    .strided_copy = KK(strided_copy),
    .select = KK(select),
    .dropout = KK(dropout),
    .softmax = KK(softmax),
    .log_softmax = KK(log_softmax),
    .softmax_gradient = KK(softmax_gradient),
    .log_softmax_gradient = KK(log_softmax_gradient),
    .cross_entropy = KK(cross_entropy),
    .divergence = KK(divergence),
    .distillation = KK(distillation),
    .rms_norm = KK(rms_norm),
    .rms_norm_apply = KK(rms_norm_apply),
    .rms_norm_gradient = KK(rms_norm_gradient),
    .layer_norm = KK(layer_norm),
    .layer_norm_gradient = KK(layer_norm_gradient),
    .swiglu = KK(swiglu),
    .swiglu_gradient = KK(swiglu_gradient),
    .rotate = KK(rotate),
    .adamw = KK(adamw),
    .attention = KK(attention),
    .attention_gradient = KK(attention_gradient),
    .cached_attention = KK(cached_attention),
    .paged = KK_PAGED_TABLE,
    .panels = KK_PANELS_TABLE,
};
