/* Weights of a pointwise stage in the order in which planar tiles read them, for calls that are repeated: one stream instead of
 * one from each output, and squares of them need not be transposed. [block of LANES outputs][summand][output]; what is missing
 * of the last block repeats its last output. */
#ifndef DSCONV_POINTWISE_PACKED_H
#define DSCONV_POINTWISE_PACKED_H

#include "pointwise_tile.h"
#include "separable_plan.h"
#include "transpose.h"

/* May these weights be packed? Converted tiles and pixels that lie channel by channel are read in other ways. */
static bool can_pack(const dsc_problem *p)
{
    return MIX_PACKED && is_native(p) && p->parts == 1 && p->mixing.batch == 0 && p->outputs >= LANES && mixed_channels(p) > 0 &&
           !channels_dense(p);
}

static ONCE_A_CALL size_t pack_mixing(const dsc_problem *p, void *memory)
{
    const dsc_int depth = mixed_channels(p);
    const real *weights = (const real *)p->mixing.data;
    real *to = memory;
    if (!can_pack(p))
        return 0;
    for (dsc_int o = 0; to && o < p->outputs; o += LANES)
        transpose(weights + o * p->mixing.row, p->mixing.row, p->mixing.column, at_most(LANES, p->outputs - o), depth,
                  to + o * depth, LANES);
    return (size_t)(round_up(p->outputs, LANES) * depth) * sizeof(real);
}

#endif
