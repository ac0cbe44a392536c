/* Complex depthwise convolution in place, by kernels that take pairs of lanes for the parts of a number: a call on reals. Planes
 * have rows of twice as many, taps two apart; where channels are dense, there are twice as many of them. */
#ifndef DSCONV_DEPTHWISE_COMPLEX_H
#define DSCONV_DEPTHWISE_COMPLEX_H

#include "depthwise.h"

#define COMPLEX_PHASES 8        /* largest stride of transposed convolutions */
#define COMPLEX_REACH ((dsc_int)1 << 40)   /* of padding and dilation: they are doubled */

static bool phases_in_pairs(const dsc_problem *p)
{
    const dsc_int phases = p->e.transposed ? p->e.stride[2] : 1;
    for (dsc_int phase = 0; phase < at_most(phases, COMPLEX_PHASES); ++phase) {
        dsc_extent e = p->e;
        if (p->e.transposed)
            dsc_phase_of(&p->e, 2, phase, &e);
        if (!complex_in_pairs(&e))
            return false;
    }
    return phases <= COMPLEX_PHASES;
}

/* Its sizes are no larger than those of arrays that exist, see is_complex_in_place. */
static dsc_problem complex_as_reals(const dsc_problem *p)
{
    dsc_problem r = *p;
    if (p->y.channel == 2 && p->y.step[2] != 2) {
        r.x.channel = r.y.channel = 1;
        r.channels *= 2, r.outputs *= 2;
        return r;
    }
    r.x.step[2] = r.y.step[2] = 1;
    r.e.in[2] *= 2, r.e.out[2] *= 2, r.e.low[2] *= 2, r.e.dilation[2] *= 2;
    return r;
}

static bool complex_channels(const dsc_problem *p)
{
    if (p->x.channel != 2 || p->y.channel != 2 || p->y.step[2] == 2 || !phases_in_pairs(p))
        return false;
    const dsc_problem r = complex_as_reals(p);
    const dsc_extent e = reading_extent(&r);
    return choose_path(&r, &e) == INTERLEAVED;
}

static bool complex_planes(const dsc_problem *p)
{
    const dsc_extent *e = &p->e;
    const dsc_int rows = e->kernel[1];
    const bool phases = e->transposed && e->stride[0] > 1;   /* of which some may have no taps */
    if (p->x.step[2] != 2 || p->y.step[2] != 2 || e->stride[1] != 1 || e->stride[2] != 1 || phases || e->kernel[0] == 0 ||
        e->kernel[2] == 0 || e->kernel[2] > ROLLING_COLUMNS || !(rows == 3 || rows == 5 || rows == 7))
        return false;
    const dsc_problem r = complex_as_reals(p);
    const dsc_extent reading = reading_extent(&r);
    return choose_path(&r, &reading) == IN_PLACE;
}

/* Is the call one that these kernels can do? */
static ONCE_A_CALL bool is_complex_in_place(const dsc_problem *p)
{
    const bool plain = !FEW_TILES && p->parts == 2 && p->e.mode == DSC_ZEROS && !p->fold && p->summands == 1;
    return plain && p->e.low[2] < COMPLEX_REACH && p->e.dilation[2] < COMPLEX_REACH && (complex_channels(p) || complex_planes(p));
}

#endif
