/* Transposed convolution with a stride of 2 where the channel axis is dense, on sets with many registers: the phases of rows and
 * columns read the same inputs, so a vector of channels marches along a row of x, and gives two rows of results.
 *
 * Sums run over columns, then rows, as those of depthwise_marching.h, which does what lies at the upper and the lower border. */
#ifndef DSCONV_DEPTHWISE_MARCHING_PHASES_H
#define DSCONV_DEPTHWISE_MARCHING_PHASES_H

#include "depthwise_interleaved.h"
#include "depthwise_phases.h"

#define MARCHING_PHASES 2
#define MARCHING_WINDOWS (MARCHING_PHASES * MARCHING_PHASES)
#define MARCHING_COLUMNS 3                              /* most columns, and rows, that the phases read together */

/* Outputs of phase (row, column), counted among themselves along the row: output q reads columns q + first to q + last of those
 * from x on, of which [low, high) exist. */
typedef struct {
    const real *x;
    dsc_int x_row, x_column, low, high, count[MARCHING_PHASES];
    const real *taps[MARCHING_PHASES][MARCHING_PHASES];
    dsc_int tap_row, tap_column;
    const real *bias;
    real *y[MARCHING_PHASES][MARCHING_PHASES];
    dsc_int y_column, lane_low, lane_high;
    bool far;                  /* results are asked for before they are written */
    const epilogue *finish;
} phase_march;

/* What is constant in one of the functions below: columns (and rows) read together; where those of each phase begin and end, four
 * bits for each. */
typedef struct { int columns, first, last; } phase_march_kind;

typedef vec waiting_sums[MARCHING_PHASES][MARCHING_PHASES][MARCHING_COLUMNS];
typedef vec phase_square[MARCHING_PHASES][MARCHING_PHASES][MARCHING_COLUMNS][MARCHING_COLUMNS];   /* ... [row][column] */

/* The column at x to the sums that wait; its first tap is that of output q. `all`: all outputs that it feeds are wanted. */
INLINE void feed_phases(const phase_march *t, const phase_march_kind k, const int all, const real *x, dsc_int q, mask m,
                        phase_square taps, waiting_sums sums)
{
    vec inputs[MARCHING_COLUMNS];
    UNROLL
    for (int row = 0; row < k.columns; ++row) {
        inputs[row] = v_load_masked(x + row * t->x_row, m);
        V_KEEP(inputs[row]);
    }
    UNROLL
    for (int column = 0; column < MARCHING_PHASES; ++column) {
        const int last = phase_bits(k.last, column);
        UNROLL
        for (int c = phase_bits(k.first, column); c < last; ++c) {
            if (!all && (q < c || q - c >= t->count[column]))
                continue;
            UNROLL
            for (int phase = 0; phase < MARCHING_PHASES; ++phase) {
                vec *sum = &sums[phase][column][last - 1 - c];
                UNROLL
                for (int row = phase_bits(k.first, phase); row < phase_bits(k.last, phase); ++row)
                    *sum += inputs[row] * taps[phase][column][row][c];
            }
        }
    }
}

/* Those of a column phase that are complete, if they are wanted, which are output q; the next move up. */
INLINE void store_phase(const phase_march *t, const phase_march_kind k, const int column, bool wanted, dsc_int q, vec bias, mask m,
                        waiting_sums sums)
{
    const int live = phase_bits(k.last, column) - phase_bits(k.first, column);
    UNROLL
    for (int phase = 0; phase < MARCHING_PHASES; ++phase) {
        real *y = t->y[phase][column] + q * t->y_column;
        vec *sum = sums[phase][column];
        if (wanted)
            v_store_masked(y, v_finish(t->finish, sum[0]), m);
        if (t->far)
            __builtin_prefetch(y + MARCH_AHEAD * t->y_column, 1);
        UNROLL
        for (int i = 1; i < live; ++i)
            sum[i - 1] = sum[i];
        sum[live - 1] = bias;
    }
}

INLINE void read_phase_taps(const phase_march *t, const phase_march_kind k, phase_square taps)
{
    UNROLL
    for (int i = 0; i < MARCHING_WINDOWS; ++i) {
        const int phase = i / MARCHING_PHASES, column = i % MARCHING_PHASES;
        const int top = phase_bits(k.first, phase), left = phase_bits(k.first, column);
        UNROLL
        for (int row = top; row < phase_bits(k.last, phase); ++row) {
            UNROLL
            for (int c = left; c < phase_bits(k.last, column); ++c)
                taps[phase][column][row][c] =
                    v_load(t->taps[phase][column] + (row - top) * t->tap_row + (c - left) * t->tap_column);
        }
    }
}

INLINE void march_together(const phase_march *given, const phase_march_kind k)
{
    const phase_march own = *given, *t = &own;   /* results might overwrite the other */
    const vec bias = v_load(t->bias);
    const mask m = v_mask(t->lane_low, t->lane_high);
    const dsc_int both = at_most(t->count[0], t->count[1]), outputs = at_least(t->count[0], t->count[1]);
    const real *x = t->x;
    waiting_sums sums;
    phase_square taps;
    read_phase_taps(t, k, taps);
    UNROLL
    for (int i = 0; i < MARCHING_WINDOWS; ++i) {
        UNROLL
        for (int waiting = 0; waiting < MARCHING_COLUMNS; ++waiting)
            sums[i / MARCHING_PHASES][i % MARCHING_PHASES][waiting] = bias;
    }
    for (dsc_int q = 0; q < outputs + k.columns - 1; ++q, x += t->x_column) {
        const bool exists = q >= t->low && q < t->high, all = q >= k.columns - 1 && q < both;
        if (all && exists)
            feed_phases(t, k, 1, x, q, m, taps, sums);
        else if (exists)
            feed_phases(t, k, 0, x, q, m, taps, sums);
        UNROLL
        for (int column = 0; column < MARCHING_PHASES; ++column) {
            const dsc_int done = q - (phase_bits(k.last, column) - 1);
            store_phase(t, k, column, all || (done >= 0 && done < t->count[column]), done, bias, m, sums);
        }
    }
}

typedef void (*phase_march_function)(const phase_march *);

#define MARCH_PHASES(C, FIRST, LAST) \
    static void march_phases_##FIRST##_##LAST(const phase_march *t) { march_together(t, (phase_march_kind){C, FIRST, LAST}); }
MARCH_PHASES(1, 0x00, 0x11) MARCH_PHASES(2, 0x00, 0x21) MARCH_PHASES(2, 0x10, 0x22) MARCH_PHASES(3, 0x10, 0x32)
MARCH_PHASES(3, 0x10, 0x33) MARCH_PHASES(3, 0x00, 0x32)

/* Kernels of two to five columns whose padding is as usual. */
static const struct { int columns, first, last; phase_march_function function; } marching_table[] = {
    {1, 0x00, 0x11, march_phases_0x00_0x11}, {2, 0x00, 0x21, march_phases_0x00_0x21}, {2, 0x10, 0x22, march_phases_0x10_0x22},
    {3, 0x10, 0x32, march_phases_0x10_0x32}, {3, 0x10, 0x33, march_phases_0x10_0x33}, {3, 0x00, 0x32, march_phases_0x00_0x32},
};
enum { MARCHING_KINDS = sizeof marching_table / sizeof *marching_table };

/* Of two phases along an axis: positions before an output that any of them reads, and where, among those read together, the taps of
 * each begin and end, four bits for each; false if these do not fit. */
static bool phases_along(const dsc_extent *zero, const dsc_extent *one, int axis, dsc_int *before, int *first, int *last)
{
    const dsc_extent *e[MARCHING_PHASES] = {zero, one};
    *first = *last = 0;
    *before = at_least(zero->low[axis], one->low[axis]);
    for (int phase = 0; phase < MARCHING_PHASES; ++phase) {
        const dsc_int begin = *before - e[phase]->low[axis], taps = e[phase]->kernel[axis];
        if (taps < 1 || taps > MARCHING_COLUMNS || begin > MARCHING_COLUMNS - taps || e[phase]->dilation[axis] != 1)
            return false;
        *first |= (int)begin << 4 * phase, *last |= (int)(begin + taps) << 4 * phase;
    }
    return true;
}

/* The windows of all phases, and those of their rows that march together: [first, end). */
typedef struct {
    const channel_region *region;
    dsc_int before[3], first, end;
    int kind;
} phases_together;

/* Which of the functions for these windows, -1: none. */
static int marching_kind(const channel_region *r, dsc_int before[3])
{
    int first[3], last[3];
    const dsc_extent *e = r[0].e;
    for (int axis = 1; axis < 3; ++axis)
        if (!phases_along(e, r[axis == 1 ? MARCHING_PHASES : 1].e, axis, &before[axis], &first[axis], &last[axis]))
            return -1;
    if (r->parts != 1 || e->kernel[0] != 1 || first[1] != first[2] || last[1] != last[2])
        return -1;
    for (int kind = 0; kind < MARCHING_KINDS; ++kind)
        if (marching_table[kind].first == first[2] && marching_table[kind].last == last[2])
            return kind;
    return -1;
}

static bool phases_march(const channel_region *r, phases_together *all)
{
    const dsc_int slice = r->depth - r->e->low[0], in = r->e->in[1];
    all->region = r;
    all->kind = marching_kind(r, all->before);
    if (all->kind < 0 || slice < 0 || slice >= r->e->in[0])
        return false;
    const dsc_int start = r->row - all->before[1], rows = at_most(r[0].rows, r[MARCHING_PHASES].rows);
    all->first = at_least(-start, 0);
    all->end = at_most(rows, in - marching_table[all->kind].columns - start + 1);
    return all->first < all->end;
}

/* Row `row` of all phases, counted among those of each. */
static void march_phase_row(const phases_together *all, dsc_int row)
{
    const channel_region *r = all->region;
    const dsc_extent *e = r->e;
    const dsc_int start = r->column - all->before[2], top = r->row + row - all->before[1], vectors = channel_vectors(r);
    const real *x = r->x + (r->depth - e->low[0]) * r->x_step[0] + top * r->x_step[1] + start * r->x_step[2];
    phase_march m = {.x_row = r->x_step[1], .x_column = r->x_step[2], .low = -start, .high = e->in[2] - start,
                     .count = {r[0].columns, r[1].columns}, .tap_row = r->tap_step[1], .tap_column = r->tap_step[2],
                     .y_column = r->y_column, .far = r->spread, .finish = r->finish};
    for (dsc_int vector = 0; vector < vectors; ++vector) {
        channel_tile t = {.r = r};
        choose_vector(&t, vector);
        for (int i = 0; i < MARCHING_WINDOWS; ++i) {
            const int phase = i / MARCHING_PHASES, column = i % MARCHING_PHASES;
            m.taps[phase][column] = r[i].taps + (t.taps - r->taps);
            m.y[phase][column] = r[i].y + row * r[i].y_row + t.channel;
        }
        m.x = x + t.channel, m.bias = t.bias, m.lane_low = t.low, m.lane_high = t.high;
        marching_table[all->kind].function(&m);
    }
    for (int i = 0; i < MARCHING_WINDOWS; ++i)
        finish_pixels(r + i, r->row + row);
}

/* Rows [first, end) of a window, counted among its own. */
static void run_window_rows(const channel_region *r, dsc_int first, dsc_int end)
{
    channel_region part = *r;
    part.row += first, part.y += first * r->y_row, part.rows = end - first;
    if (part.rows > 0)
        depthwise_channels(&part);
}

/* `r`: of all phases of rows and columns, in order. */
static void march_phases(const channel_region *r, const phases_together *all)
{
    for (dsc_int row = all->first; row < all->end; ++row)
        march_phase_row(all, row);
    for (int i = 0; i < MARCHING_WINDOWS; ++i) {
        run_window_rows(r + i, 0, all->first);
        run_window_rows(r + i, all->end, r[i].rows);
    }
}

#endif
