// Products of rows with weights packed once for good, in the weights' own element type.
#pragma once
#include <stdint.h>

/// The epilogue of a product.
enum kk_epilogue {
    KK_PANEL_STORE,  // output = value
    KK_PANEL_ADD,    // output += value
    KK_PANEL_SWIGLU, // a panel's columns are half gates, half ups: output = silu(gate) * up, half a panel wide
};

/// output [rows, outer] from input [rows, inner] and weights [outer, inner] in panels.
///
/// Each output element is one chain of additions along the reduction, whatever the number of rows.
typedef struct {
    int64_t rows, inner, outer;  // outer: columns of the output, half the weights' under KK_PANEL_SWIGLU
    const void *input;           // Float32, or rounded by `round` where the weights are BFloat16
    int64_t inputStride;         // in words of 32 bits
    const unsigned char *panels;
    int32_t element, epilogue;
    int32_t isRounded;           // whether the output is rounded by `round`; not under KK_PANEL_ADD
    void *output;                // Float32, or rounded
    int64_t outputStride;        // in words of 32 bits
} kk_panel_product;

typedef struct {
    int64_t columns;         // of a panel
    int64_t roundedPerWord;  // elements of a rounded row in 32 bits: 2 BFloat16, or 1 Float32 of that precision
    // `count` rows of weights [count, inner], 2 or 4 bytes an element, into columns [column, column + count) of a panel.
    void (*pack)(int32_t element, const void *weights, int64_t count, int64_t inner, unsigned char *panel, int64_t column);
    // rows [rows, inner], `stride` apart, to BFloat16's precision, padded to an even number of elements.
    void (*round)(const float *x, int64_t stride, int64_t rows, int64_t inner, uint32_t *out, int64_t outStride);
    // Panels [first, first + count) for all rows. Scratch: rows * columns floats.
    void (*multiply)(const kk_panel_product *, int64_t first, int64_t count, float *scratch);
} kk_panels;

/// Bytes of a panel of `columns` for a reduction of `inner`.
int64_t kk_panel_bytes(int32_t element, int64_t inner, int64_t columns);
