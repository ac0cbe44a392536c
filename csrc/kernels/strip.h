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

/* All phases of a dense row at once, zeros for what is outside [first, last); source: position 0. */
INLINE void split_row(const int phases, const strip_shape *s, real *strip, const real *source, dsc_int first, dsc_int last)
{
    dsc_int done = 0;
    for (dsc_int t = 0; t < s->span; t += phases * LANES, done += LANES) {
        const bool inside = t >= first && t + phases * LANES <= last;
        vec inputs[4], parts[4];
        UNROLL
        for (int i = 0; i < phases; ++i) {
            dsc_int at = t + i * LANES;
            inputs[i] = inside ? v_load(source + at) : v_load_masked(source + at, v_mask(first - at, last - at));
        }
        v_split(phases, inputs, parts);
        UNROLL
        for (int i = 0; i < phases; ++i)
            v_store(strip + i * s->phase_pitch + done, parts[i]);
    }
    for (int i = 0; i < phases; ++i)
        clear(strip + i * s->phase_pitch + done, s->phase_pitch - done);
}

/* One phase, element by element. */
static void fill_phase(const strip_shape *s, real *target, const char *row, dsc_int phase, dsc_int first, dsc_int last)
{
    dsc_int begin = first > phase ? divide_up(first - phase, s->phases) : 0;
    dsc_int end = at_least(begin, last > phase ? divide_up(last - phase, s->phases) : 0);
    clear(target, begin);
    if (end > begin)
        fetch(s->p, target + begin, element(s->p, row, (s->base + begin * s->phases + phase) * s->step),
              s->phases * s->step, end - begin);
    clear(target + end, s->phase_pitch - end);
}

static void fill_strip(const strip_shape *s, real *strip, const char *row)
{
    dsc_int first = at_most(at_least(0, -s->base), s->span);
    dsc_int last = at_least(first, at_most(s->span, s->width - s->base));
    const real *source = (const real *)row + s->base;
    const bool dense = is_native(s->p) && s->step == 1;
    if (dense && s->phases == 2)
        split_row(2, s, strip, source, first, last);
    else if (dense && s->phases == 3)
        split_row(3, s, strip, source, first, last);
    else if (dense && s->phases == 4)
        split_row(4, s, strip, source, first, last);
    else
        for (dsc_int phase = 0; phase < s->phases; ++phase)
            fill_phase(s, strip + phase * s->phase_pitch, row, phase, first, last);
    fill_outside(s, strip, row, 0, first);
    fill_outside(s, strip, row, last, s->span);
}

#endif
