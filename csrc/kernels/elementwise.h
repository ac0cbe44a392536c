/* Activations by themselves, and their gradients, element by element. */
#ifndef DSCONV_ELEMENTWISE_H
#define DSCONV_ELEMENTWISE_H

#include "activation_grad.h"
#include "epilogue.h"
#include "formats.h"
#include "walk.h"

#define ELEMENTS_ITEM 4096

static void plan_elementwise(const dsc_problem *p, dsc_plan *plan)
{
    *plan = (dsc_plan){.items = divide_up(p->batch, ELEMENTS_ITEM), .work = 16 * (double)p->batch};
}

static vec load_elements(const dsc_problem *p, const char *data, dsc_int step, dsc_int i, int count)
{
    real lanes[LANES] = {0};
    if (step == 1 && is_native(p))
        return v_load_masked((const real *)data + i, v_mask(0, count));
    fetch(p, lanes, element(p, data, i * step), step, count);
    return v_load(lanes);
}

static void store_elements(const dsc_problem *p, char *data, dsc_int step, dsc_int i, int count, vec value)
{
    real lanes[LANES];
    if (step == 1 && is_native(p)) {
        v_store_end((real *)data + i, value, count);
        return;
    }
    v_store(lanes, value);
    put_reals(p, element_of(p, data, i * step), step, lanes, count);
}

static void run_activation(const dsc_problem *p, const dsc_plan *plan, dsc_int begin, dsc_int end, void *scratch)
{
    const epilogue finish = make_epilogue(p->taps_activation);
    dsc_int last = at_most(end * ELEMENTS_ITEM, p->batch);
    (void)plan, (void)scratch;
    if (finish.later != DSC_LINEAR && is_native(p) && p->x.batch == 1 && p->y.batch == 1) {
        const dsc_int first = begin * ELEMENTS_ITEM;
        real *y = (real *)p->y.data + first;
        memmove(y, (const real *)p->x.data + first, (size_t)(last - first) * sizeof(real));
        activate(finish.later, y, 1, last - first);
        return;
    }
    for (dsc_int i = begin * ELEMENTS_ITEM; i < last; i += LANES) {
        int count = (int)at_most(last - i, LANES);
        vec x = v_finish(&finish, load_elements(p, p->x.data, p->x.batch, i, count));
        store_elements(p, p->y.data, p->y.batch, i, count, v_activate_any(finish.later, x));
    }
}

/* x: what came into the activation; y: the gradient of what came out; the result is where a bias would be. */
static void run_activation_grad(const dsc_problem *p, const dsc_plan *plan, dsc_int begin, dsc_int end, void *scratch)
{
    dsc_int last = at_most(end * ELEMENTS_ITEM, p->batch);
    (void)plan, (void)scratch;
    for (dsc_int i = begin * ELEMENTS_ITEM; i < last; i += LANES) {
        int count = (int)at_most(last - i, LANES);
        vec slope = v_slope(p->taps_activation, load_elements(p, p->x.data, p->x.batch, i, count));
        store_elements(p, p->mixing_bias.data, p->mixing_bias.batch, i, count,
                       slope * load_elements(p, p->y.data, p->y.batch, i, count));
    }
}

#endif
