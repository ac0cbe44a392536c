/* What happens to a sum before it is stored: clamping activations in registers, the others right after, in cache. */
#ifndef DSCONV_EPILOGUE_H
#define DSCONV_EPILOGUE_H

#include <math.h>

#include "activation.h"

typedef struct {
    bool clamp;
    real low, high;
    dsc_activation later;   /* DSC_LINEAR: none */
} epilogue;

static epilogue make_epilogue(dsc_activation activation)
{
    epilogue e = {.clamp = activation == DSC_RELU || activation == DSC_RELU6, .low = 0,
                  .high = activation == DSC_RELU6 ? 6 : (real)INFINITY, .later = activation};
    if (e.clamp)
        e.later = DSC_LINEAR;
    return e;
}


INLINE vec v_clamp(const epilogue *e, vec v)
{
    return v_at_most(v_at_least(v, v_spread(e->low)), v_spread(e->high));
}

INLINE vec v_finish(const epilogue *e, vec v)
{
    return e->clamp ? v_clamp(e, v) : v;
}

static inline void finish_later(const epilogue *e, real *p, dsc_int step, dsc_int count)
{
    if (e->later != DSC_LINEAR)
        activate(e->later, p, step, count);
}

#endif
