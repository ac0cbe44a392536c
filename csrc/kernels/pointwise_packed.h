/* Weights of a pointwise stage in the order in which tiles read them, for calls that are repeated: one stream instead of one from
 * each output, and squares of them need not be transposed. [block of outputs][summand][output]; what is missing of the last block
 * repeats its last output. Where blocks of LANES outputs are whole blocks of rows, planar tiles read them as such (MIX_PACKED);
 * else they are columns, for pixels that lie channel by channel and for planes of few pixels. */
#ifndef DSCONV_POINTWISE_PACKED_H
#define DSCONV_POINTWISE_PACKED_H

#include "pointwise_tile.h"
#include "separable_plan.h"

static ONCE_A_CALL size_t pack_mixing(const dsc_problem *p, void *memory)
{
    const dsc_int depth = mixed_channels(p);
    const real *weights = (const real *)p->mixing.data;
    real *to = memory;
    if (!can_pack(p))
        return 0;
    for (dsc_int o = 0, whole; to && o < p->outputs; o += whole) {
        whole = MIX_PACKED ? LANES : block_vectors(p->outputs, p->outputs - o) * LANES;
        weights_as_columns(p, weights + o * p->mixing.row, at_most(whole, p->outputs - o), depth, to + o * depth, whole);
    }
    return packed_weights(p);
}

#endif
