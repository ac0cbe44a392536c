/* Rows of an input plane copied into scratch: padded as asked, dense, split into one strip per phase of the stride. */
#ifndef DSCONV_STRIP_H
#define DSCONV_STRIP_H

#include "formats.h"

/* One strip row: `span` padded positions from column `base`; position t lies at [t % phases][t / phases]. */
typedef struct {
    const dsc_problem *p;
    dsc_int base, span, width, step, phases, phase_pitch;
    dsc_padding_mode mode;
} strip_shape;

static inline void clear(real *p, dsc_int count)
{
    for (; count >= LANES; count -= LANES, p += LANES)
        v_store(p, v_spread(0));
    if (count > 0)
        v_store_masked(p, v_spread(0), v_mask(0, count));
}

static void fill_outside(const strip_shape *s, real *strip, const char *row, dsc_int first, dsc_int last)
{
    if (s->mode == DSC_ZEROS)
        return;
    for (dsc_int t = first; t < last; ++t)
        strip[t % s->phases * s->phase_pitch + t / s->phases] =
            fetch_one(s->p, element(s->p, row, dsc_source_index(s->base + t, s->width, s->mode) * s->step));
}

static void fill_strip(const strip_shape *s, real *strip, const char *row)
{
    dsc_int first = at_most(at_least(0, -s->base), s->span);
    dsc_int last = at_least(first, at_most(s->span, s->width - s->base));
    for (dsc_int phase = 0; phase < s->phases; ++phase) {
        real *target = strip + phase * s->phase_pitch;
        dsc_int begin = first > phase ? divide_up(first - phase, s->phases) : 0;
        dsc_int end = at_least(begin, last > phase ? divide_up(last - phase, s->phases) : 0);
        clear(target, begin);
        if (end > begin)
            fetch(s->p, target + begin, element(s->p, row, (s->base + begin * s->phases + phase) * s->step),
                  s->phases * s->step, end - begin);
        clear(target + end, s->phase_pitch - end);
    }
    fill_outside(s, strip, row, 0, first);
    fill_outside(s, strip, row, last, s->span);
}

#endif
