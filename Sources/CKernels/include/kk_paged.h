// Attention over a cache held in pages of fixed byte size.
#pragma once
#include <stdint.h>

/// Element types and codecs of cached keys and values (Kernels/Codecs).
enum kk_element {
    KK_ELEMENT_FP32, KK_ELEMENT_BF16, KK_ELEMENT_FP16, KK_ELEMENT_INT8, KK_ELEMENT_ASYMMETRIC4, KK_ELEMENT_Q8_0, KK_ELEMENT_Q4_0,
    KK_ELEMENT_CHANNEL4, KK_ELEMENT_CHANNEL2, KK_ELEMENT_ASYMMETRIC2, KK_ELEMENT_CENTRED4
};

/// The pages of one layer of one sequence, and their layout.
///
/// Token t is in slot t % tokensPerPage of page pages[t / tokensPerPage], which starts at memory + page * pageBytes. A page
/// holds keys [kvHeads, tokensPerPage, keyDim], then values [kvHeads, tokensPerPage, valueDim], unless a value is the beginning
/// of its key (valuesAreKeys). Scales of codecs lie behind all codes: of keys [kvHeads, tokensPerPage], then of values; where tokens
/// are encoded together, one for each KK_CHANNEL_TOKENS of them. A key that a value is the beginning of is two vectors for a codec,
/// [valueDim | keyDim - valueDim], each with scales of its own.
typedef struct {
    unsigned char *memory;
    int64_t pageBytes, tokensPerPage, kvHeads, keyDim, valueDim;
    int32_t keyElement, valueElement, valuesAreKeys;
    const int32_t *pages;
} kk_pages;

/// Query rows of sequences that share tokens, over tokens [from, to) of their pages.
///
/// Row i of the job is row rows[i] of q [.., qStride] (heads * keyDim of it read) and sees tokens below limits[i]. Its result
/// goes to output + i * step * heads * valueDim and to logSumExp + i * step * heads: normalised over the tokens it saw, 0 and
/// -infinity where there were none.
///
/// In `block` row i sees the last `window` of its tokens (0: all) and the first `sinks`; `aligned` blocks begin at multiples of
/// their size even where a window does not. `row` and `mass` apply neither.
///
/// Where `weights` is given, `row` writes there what each token of [from, to) weighs, those of head h from h * weightsStride on; they sum
/// to 1 over these tokens.
typedef struct {
    kk_pages cache;
    int64_t heads, firstKvHead, kvHeadCount, from, to, count, qStride, step, window, sinks;
    int32_t aligned;
    float scale;
    const float *q;
    const int64_t *rows, *limits;
    float *output, *logSumExp, *weights;
    int64_t weightsStride;
} kk_paged_attention;

typedef struct {
    // One token's keys [kvHeads, keyDim] and values [kvHeads, valueDim] into the slot of `position`, rounded to nearest or encoded.
    void (*store)(const kk_pages *, int64_t position, const float *keys, const float *values);
    // One row over a short range: each K and V row read once for all query heads that share it. At most KK_PAGED_SPAN tokens.
    void (*row)(const kk_paged_attention *, float *scratch);
    // Any number of rows and tokens: products of blocks of rows and blocks of tokens, online softmax.
    void (*block)(const kk_paged_attention *, float *scratch);
    // Normalised parts [parts][count * dim], weighted by their log-sum-exp [parts][count], into output [count * dim] and logSumExp.
    void (*merge)(int64_t parts, const float *outputs, int64_t outputStride, const float *logSumExps, int64_t logSumExpStride,
                  int64_t count, int64_t dim, float *output, float *logSumExp);
    // mass[t - from] += e^(score - logSumExp), summed over the row's heads, for one row and tokens [from, to), at most a span.
    void (*mass)(const kk_paged_attention *, const float *logSumExp, float *mass, float *scratch);
    // The same, to the bit, from the weights of `heads` heads over `count` tokens that `row` wrote, their log-sum-exp there and over all.
    void (*spread)(int64_t heads, int64_t count, const float *weights, int64_t weightsStride, const float *parts, const float *logSumExp,
                   float *mass);
} kk_paged;

/// Tokens that codecs of blocks encode together.
#define KK_CHANNEL_TOKENS 32
/// Tokens a call of `row` covers at most; longer sequences are cut at multiples of it.
#define KK_PAGED_SPAN 256
/// Tokens at most whose codes `row` decodes at a time, where it does not read them in place.
#define KK_PAGED_DECODED 24
/// Bytes of keys that `row` takes at a time, of as many tokens' heads.
#define KK_PAGED_STRETCH_BYTES 16384
/// How many times eight of a group's queries `row` takes side by side, where it does: six or seven take the place of eight.
#define KK_PAGED_EIGHTS(group) (((group) + 2) / 8)
/// Tokens that `block` takes at a time, from multiples of it on.
#define KK_PAGED_BLOCK 128
/// Queries, each head of a row one, that `block` takes at a time.
#define KK_PAGED_STRIP 64

/// A row's heads of one KV head, `group`, times `count` rows, as `block` stores them: whole strips.
int64_t kk_paged_columns(int64_t count, int64_t group);

/// Floats of scratch a call of `row` or `mass` needs with all its KV heads, and one of `block` with `count` rows.
int64_t kk_paged_row_scratch(int64_t kvHeads, int64_t group, int64_t keyDim, int64_t valueDim);
int64_t kk_paged_block_scratch(int64_t count, int64_t group, int64_t keyDim, int64_t valueDim);
