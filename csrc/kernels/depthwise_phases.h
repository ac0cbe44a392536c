/* The planar tile of a transposed convolution with a stride of 2 to 4 along the width: the phases of the columns read the same
 * inputs, so they roll down together, and their sums are zipped: each line of the result is written once.
 *
 * The taps of one output are added in the order row, depth, column. */
#ifndef DSCONV_DEPTHWISE_PHASES_H
#define DSCONV_DEPTHWISE_PHASES_H

#include "depthwise_planar.h"
#include "window.h"

#define PHASES_MOST 4
#define PHASE_ROWS 4       /* most row taps of a phase for stride 2; half of them for more */
#define PHASE_VECTORS 2
#define PHASES_AHEAD 8     /* rows of results that are asked for ... */
#define PHASES_FAR (2 << 20)   /* ... where the second-level cache will not hold them */
#define PHASE_COLUMNS 8    /* most columns that the phases read together */

/* A tile whose columns are those that any phase reads. `tile`: as for rolling tiles, with the taps of the first phase. */
typedef struct {
    depthwise_tile tile;
    dsc_int taps[PHASES_MOST];                        /* of a phase, after those of the first */
    dsc_int first[PHASES_MOST], last[PHASES_MOST];    /* columns that a phase has taps for */
    dsc_int outputs;                                  /* of a row */
    bool far;                                         /* results are asked for before they are written */
} phase_tile;

/* What is constant in one of the functions below: phases, row taps, vectors of each phase; column taps of each, or 0: any, which
 * are read again for every row. */
typedef struct { int phases, rows, vectors, columns; } phase_kind;

typedef vec phase_sums[PHASES_MOST][PHASE_ROWS][ROLLED_VECTORS];

/* What a function that knows its column taps keeps at constant addresses. */
#define KNOWN_PHASES 2
#define KNOWN_COLUMNS 2
typedef struct { near_taps taps[KNOWN_PHASES]; column_edges edges[KNOWN_PHASES][KNOWN_COLUMNS]; } known_taps;

INLINE roll_kind as_roll(const phase_kind k)
{
    return (roll_kind){.rows = k.rows, .columns = k.columns, .vectors = k.vectors, .masked = k.columns ? NOT_ALL : LEFT_OUT};
}

/* One depth tap, and as many column taps of each phase as the function knows. */
INLINE void add_known_phases(const phase_tile *w, const phase_kind k, const int all, const real *x, int first, int last,
                             const known_taps *known, phase_sums sums)
{
    UNROLL
    for (int phase = 0; phase < k.phases; ++phase) {
        UNROLL
        for (int c = 0; c < k.columns; ++c) {
            const mask *edges = known->edges[phase][c];
            vec inputs[TILE_VECTORS];
            load_edges(as_roll(k), x + w->first[phase] + c, edges, inputs);
            UNROLL
            for (int i = 0; i < k.rows; ++i)
                if (all || (i >= first && i <= last))
                    add_edges(as_roll(k), sums[phase][i], edges, inputs, v_spread(known->taps[phase].tap[i][c]));
        }
    }
}

/* The input row at x into the sums [first, last] of all phases; `all`: of every output that it can feed. */
INLINE void add_phases(const phase_tile *w, const phase_kind k, const int all, const real *row, int first, int last,
                       column_edges *edges, const known_taps *known, phase_sums sums)
{
    const depthwise_tile *t = &w->tile;
    if (k.columns) {
        add_known_phases(w, k, all, row, first, last, known, sums);
        return;
    }
    for (tap_slice s = first_slice(t); s.summand < t->summands; next_slice(t, &s)) {
        const real *x = row + s.x;
        for (dsc_int c = 0; c < t->column_last; ++c) {
            vec inputs[TILE_VECTORS];
            load_edges(as_roll(k), x + c, edges[c], inputs);
            UNROLL
            for (int phase = 0; phase < k.phases; ++phase) {
                const real *taps = t->taps + s.taps + w->taps[phase] + (c - w->first[phase]) * t->tap_column;
                if (c < w->first[phase] || c >= w->last[phase])
                    continue;
                UNROLL
                for (int i = 0; i < k.rows; ++i)
                    if (all || (i >= first && i <= last))
                        add_edges(as_roll(k), sums[phase][i], edges[c], inputs, v_spread(taps[i * t->tap_row]));
            }
        }
    }
}

INLINE void store_phases(const phase_kind k, const epilogue *finish, real *y, const mask *stored, phase_sums sums)
{
    UNROLL
    for (int v = 0; v < k.vectors; ++v) {
        vec parts[PHASES_MOST], row[PHASES_MOST];
        UNROLL
        for (int phase = 0; phase < k.phases; ++phase)
            parts[phase] = v_finish(finish, sums[phase][k.rows - 1][v]);
        v_join(k.phases, parts, row);
        UNROLL
        for (int i = 0; i < k.phases; ++i) {
            real *to = y + (v * k.phases + i) * LANES;
            if (v == k.vectors - 1)
                v_store_start(to, row[i], stored[i]);
            else
                v_store(to, row[i]);
        }
    }
}

INLINE void roll_phase_plane(const phase_tile *w, const phase_kind k, const epilogue *finish, const mask *stored,
                             column_edges *edges, known_taps *known)
{
    const depthwise_tile *t = &w->tile;
    const vec bias = v_spread(*t->bias);
    const int before = k.rows - 1;
    const dsc_int ahead = w->far ? PHASES_AHEAD * t->y_row : 0;
    const real *x = t->x;
    real *y = t->y - before * t->y_row;
    phase_sums sums;
    UNROLL
    for (int phase = 0; phase < k.phases; ++phase) {
        if (k.columns)
            gather_taps_near(t, as_roll(k), t->taps + w->taps[phase], &known->taps[phase]);
        start_rolling(as_roll(k), bias, sums[phase]);
    }
    for (dsc_int r = 0; r < t->rows + before; ++r, x += t->row, y += t->y_row) {
        if (r >= before && r < t->rows && r >= t->row_first && r < t->row_last) {
            add_phases(w, k, 1, x, 0, 0, edges, known, sums);
        } else if (r >= t->row_first && r < t->row_last) {
            int first = r >= t->rows ? (int)(r - t->rows + 1) : 0, last = r < before ? (int)r : before;
            add_phases(w, k, 0, x, first, last, edges, known, sums);
        }
        if (ahead)
            announce_row(y + ahead, 1, k.phases * k.vectors);
        if (r >= before)
            store_phases(k, finish, y, stored, sums);
        UNROLL
        for (int phase = 0; phase < k.phases; ++phase)
            shift_sums(as_roll(k), bias, sums[phase]);
    }
}

INLINE void roll_phases(const phase_tile *given, const phase_kind k)
{
    phase_tile w = *given;
    depthwise_tile *t = &w.tile;
    const epilogue finish = *t->finish;
    mask stored[PHASES_MOST];
    column_edges edges[PHASE_COLUMNS];
    known_taps known;
    for (int i = 0; i < k.phases; ++i)
        stored[i] = v_mask(0, w.outputs - (k.phases * (k.vectors - 1) + i) * LANES);
    for (dsc_int c = 0; c < t->column_last; ++c)
        find_edges(t, (k.vectors - 1) * LANES, c, edges[c]);
    for (int phase = 0; k.columns && phase < k.phases; ++phase)
        for (int c = 0; c < k.columns; ++c)
            memcpy(known.edges[phase][c], edges[w.first[phase] + c], sizeof edges[0]);
    for (dsc_int plane = 0; plane < t->planes; ++plane, next_plane(t))
        roll_phase_plane(&w, k, &finish, stored, edges, &known);
}

typedef void (*phase_function)(const phase_tile *);

#define PHASE_TILE(S, KH, V) static void phases_##S##_##KH##_##V(const phase_tile *t) { roll_phases(t, (phase_kind){S, KH, V, 0}); }
#define PHASE_TILES(KH) PHASE_TILE(2, KH, 1) PHASE_TILE(2, KH, 2)
#define PHASE_ENTRIES(KH) {phases_2_##KH##_1, phases_2_##KH##_2}

/* [phases][row taps - 1][vectors - 1] */
#if FEW_TILES
static const phase_function phase_table[PHASES_MOST + 1][PHASE_ROWS][PHASE_VECTORS];
#else
PHASE_TILES(1) PHASE_TILES(2) PHASE_TILES(3) PHASE_TILES(4)
PHASE_TILE(3, 1, 1) PHASE_TILE(3, 2, 1) PHASE_TILE(4, 1, 1) PHASE_TILE(4, 2, 1)
static const phase_function phase_table[PHASES_MOST + 1][PHASE_ROWS][PHASE_VECTORS] = {
    [2] = {PHASE_ENTRIES(1), PHASE_ENTRIES(2), PHASE_ENTRIES(3), PHASE_ENTRIES(4)},
    [3] = {{phases_3_1_1}, {phases_3_2_1}},
    [4] = {{phases_4_1_1}, {phases_4_2_1}},
};
#endif

/* Of 4 x 4 taps and stride 2, those of the most frequent kernel. */
#if FEW_TILES || defined VECTOR_FREE_MASKS
static phase_function known_phases(const phase_tile *w, dsc_int phases) { (void)w, (void)phases; return NULL; }
#else
static __attribute__((noinline)) void phases_two_by_two(const phase_tile *t) { roll_phases(t, (phase_kind){2, 2, 2, 2}); }

static phase_function known_phases(const phase_tile *w, dsc_int phases)
{
    const depthwise_tile *t = &w->tile;
    const bool two = phases == 2 && t->kernel_rows == 2 && w->last[0] - w->first[0] == 2 && w->last[1] - w->first[1] == 2;
    return two && t->summands == 1 && t->depth_first == 0 && t->depth_last == 1 && t->finite ? phases_two_by_two : NULL;
}
#endif

/* The windows of all phases of the columns, one after the other. */
typedef struct { int count; window window[PHASES_MOST]; } phase_windows;

/* Positions before the first output of a phase that any of them reads, and after it. */
static void phases_reach(const phase_windows *all, dsc_int *before, dsc_int *after)
{
    const dsc_extent *e = &all->window[0].e;
    *before = e->low[2], *after = e->kernel[2] - e->low[2];
    for (int i = 1; i < all->count; ++i) {
        e = &all->window[i].e;
        *before = at_least(*before, e->low[2]), *after = at_least(*after, e->kernel[2] - e->low[2]);
    }
}

/* Is there a function for these windows, and does its tile hold what they need? */
static bool roll_together(const phase_windows *all)
{
    const dsc_extent *e = &all->window[0].e;
    dsc_int before, after;
    if (e->kernel[0] < 1 || e->kernel[1] < 1 || e->kernel[1] > PHASE_ROWS || !phase_table[all->count][e->kernel[1] - 1][0])
        return false;
    for (int i = 0; i < all->count; ++i) {
        const window *w = &all->window[i];
        if (w->e.kernel[2] < 1 || w->e.dilation[2] != 1 || w->spacing[2] != all->count || w->place[2] != i ||
            w->place[1] != all->window[0].place[1])
            return false;
    }
    phases_reach(all, &before, &after);
    return before + after <= PHASE_COLUMNS;
}

/* All columns of the regions of all phases, as wide a tile at a time as there is. `outputs` of a row in all; `start`: the input
 * column of output column 0. */
static void run_phase_columns(const plane_region *r, const phase_windows *all, dsc_int outputs, dsc_int start, phase_tile *w,
                              const real *x, real *y)
{
    depthwise_tile *t = &w->tile;
    const phase_function *functions = phase_table[all->count][t->kernel_rows - 1], known = known_phases(w, all->count);
    for (dsc_int done = 0; done < r->columns; done += t->width) {
        dsc_int left = r->columns - done, vectors = at_most(divide_up(left, LANES), functions[1] ? PHASE_VECTORS : 1);
        t->width = at_most(left, vectors * LANES);
        t->inside_low = -(start + done), t->inside_high = r->e->in[2] - (start + done);
        w->outputs = at_most(all->count * t->width, outputs - all->count * done);
        t->x = x + done;
        t->y = y + all->count * done;
        (known && vectors == 2 ? known : functions[vectors - 1])(w);
    }
}

static bool phases_finite(const plane_region *r, const phase_windows *all, const dsc_int *taps)
{
    for (int i = 0; i < all->count; ++i) {
        plane_region each = *r;
        each.e = &all->window[i].e, each.taps += taps[i];
        if (!taps_finite(&each))
            return false;
    }
    return true;
}

/* `r`: of the first of the windows; `tap_column`: the step between the column taps of the call. */
static void depthwise_phases(const plane_region *r, const phase_windows *all, dsc_int tap_column)
{
    const dsc_extent *e = r->e;
    const dsc_int apart = e->dilation[1];
    dsc_int before, after, outputs = 0;
    phases_reach(all, &before, &after);
    phase_tile w = {.tile = region_tile(r)};
    depthwise_tile *t = &w.tile;
    w.far = result_bytes(r->p) > PHASES_FAR;
    const real *origin = (const real *)r->x + (r->depth - e->low[0]) * r->x_step[0] + r->column - before;
    for (int i = 0; i < all->count; ++i) {
        const window *each = &all->window[i];
        w.taps[i] = (each->tap_first[2] - all->window[0].tap_first[2]) * tap_column;
        w.first[i] = before - each->e.low[2], w.last[i] = w.first[i] + each->e.kernel[2];
        outputs += each->count[2];
    }
    t->column_last = before + after;
    t->finite = NOT_ALL == ZEROS && phases_finite(r, all, w.taps);
    t->slice = e->dilation[0] * r->x_step[0];
    t->row = apart * r->x_step[1];
    t->y_row = r->y_row * apart;
    for (dsc_int first = 0; first < at_most(apart, r->rows); ++first) {
        dsc_int position = r->row + first - e->low[1];
        t->rows = divide_up(r->rows - first, apart);
        clip_taps(position, apart, t->rows - 1 + e->kernel[1], e->in[1], 0, &t->row_first, &t->row_last);
        run_phase_columns(r, all, outputs, r->column - before, &w, origin + position * r->x_step[1],
                          r->y + first * r->y_row);
    }
}

#endif
