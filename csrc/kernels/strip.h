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

/* Whole vectors of `phases` phases at once; returns how many elements of each phase there are now. */
INLINE dsc_int split_row(const int phases, real *target, dsc_int pitch, const real *source, dsc_int count)
{
    dsc_int done = 0;
    for (; (done + LANES) * phases <= count; done += LANES) {
        vec inputs[4], parts[4];
        UNROLL
        for (int i = 0; i < phases; ++i)
            inputs[i] = v_load(source + done * phases + i * LANES);
        if (phases == 3)
            v_split_3(inputs, parts);
        else if (phases == 4)
            v_split_4(inputs, parts);
        else
            parts[0] = v_even(inputs[0], inputs[1]), parts[1] = v_odd(inputs[0], inputs[1]);
        UNROLL
        for (int i = 0; i < phases; ++i)
            v_store(target + i * pitch + done, parts[i]);
    }
    return done;
}

/* The positions [first, last) of a strip whose phases can be taken apart together: how many elements of each phase, from that
 * of position `first` on, a multiple of their number, there are now. */
static dsc_int split_phases(const strip_shape *s, real *strip, const char *row, dsc_int first, dsc_int last)
{
    if (!is_native(s->p) || s->step != 1 || s->phases < 2 || s->phases > 4 || first >= last)
        return 0;
    const real *source = (const real *)element(s->p, row, s->base + first);
    real *target = strip + first / s->phases;
    switch (s->phases) {
    case 2: return split_row(2, target, s->phase_pitch, source, last - first);
    case 3: return split_row(3, target, s->phase_pitch, source, last - first);
    default: return split_row(4, target, s->phase_pitch, source, last - first);
    }
}

static void fill_strip(const strip_shape *s, real *strip, const char *row)
{
    dsc_int first = at_most(at_least(0, -s->base), s->span);
    dsc_int last = at_least(first, at_most(s->span, s->width - s->base));
    const dsc_int aligned = round_up(first, s->phases), split = split_phases(s, strip, row, aligned, last);
    for (dsc_int phase = 0; phase < s->phases; ++phase) {
        real *target = strip + phase * s->phase_pitch;
        dsc_int begin = first > phase ? divide_up(first - phase, s->phases) : 0;
        dsc_int end = at_least(begin, last > phase ? divide_up(last - phase, s->phases) : 0);
        clear(target, begin);
        if (split && begin < aligned / s->phases)
            target[begin] = *(const real *)element(s->p, row, s->base + begin * s->phases + phase);
        dsc_int rest = split ? aligned / s->phases + split : begin;
        if (end > rest)
            fetch(s->p, target + rest, element(s->p, row, (s->base + rest * s->phases + phase) * s->step),
                  s->phases * s->step, end - rest);
        clear(target + end, s->phase_pitch - end);
    }
    fill_outside(s, strip, row, 0, first);
    fill_outside(s, strip, row, last, s->span);
}

#endif
