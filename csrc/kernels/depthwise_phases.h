/* The planar tile of a transposed convolution with a stride of 2 to 4 along the width: the phases of the columns read the same
 * inputs, so they roll down together, and their sums are zipped: each line of the result is written once.
 *
 * The taps of one output are added in the order row, depth, column. */
#ifndef DSCONV_DEPTHWISE_PHASES_H
#define DSCONV_DEPTHWISE_PHASES_H

#include "depthwise_overlapping.h"
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

/* What is constant in one of the functions below: phases, row taps, vectors of each phase; columns that the phases read together,
 * and of each phase, four bits for each, where its column taps begin and end among them. No columns: any, which are read again for
 * every row. `deep`: of columns that are known, several depth taps. */
typedef struct { int phases, rows, vectors, columns, first, last, deep; } phase_kind;

INLINE int phase_bits(int all, int phase) { return all >> 4 * phase & 15; }

typedef vec phase_sums[PHASES_MOST][PHASE_ROWS][ROLLED_VECTORS];

/* What a function that knows its column taps keeps in registers, or, of several depth taps, close together. */
#define KNOWN_COLUMNS 3
#define KNOWN_ROWS 3
typedef struct {
    vec tap[PHASES_MOST][KNOWN_ROWS][KNOWN_COLUMNS];
    column_edges edges[KNOWN_COLUMNS];
    real near[DEEP_TAPS][PHASES_MOST][KNOWN_ROWS][KNOWN_COLUMNS];
} known_taps;

INLINE vec known_tap(const phase_kind k, const known_taps *known, const dsc_int depth, const int phase, const int i, const int c)
{
    return k.deep ? v_spread(known->near[depth][phase][i][c]) : known->tap[phase][i][c];
}

/* Of several vectors the last begins within the one before, see depthwise_overlapping.h. */
INLINE roll_kind as_roll(const phase_kind k)
{
    return (roll_kind){.rows = k.rows, .columns = k.columns, .vectors = k.vectors, .overlaps = k.columns && k.vectors > 1,
                       .masked = k.columns ? NOT_ALL : LEFT_OUT};
}

/* One depth tap and one column that the phases read, into all phases that do. */
INLINE void add_known_column(const phase_kind k, const int all, const int c, int first, int last, const known_taps *known,
                             const dsc_int depth, const vec *inputs, phase_sums sums)
{
    UNROLL
    for (int phase = 0; phase < k.phases; ++phase) {
        if (c < phase_bits(k.first, phase) || c >= phase_bits(k.last, phase))
            continue;
        UNROLL
        for (int i = 0; i < k.rows; ++i)
            if (all || (i >= first && i <= last))
                add_overlapping(as_roll(k), sums[phase][i], c, known->edges[c], inputs, known_tap(k, known, depth, phase, i, c));
    }
}

INLINE void add_known_phases(const phase_tile *w, const phase_kind k, const int all, const real *x, int first, int last,
                             const known_taps *known, const dsc_int depth, phase_sums sums)
{
    UNROLL
    for (int c = 0; c < k.columns; ++c) {
        vec inputs[ROLLED_VECTORS];
        load_overlapping(as_roll(k), x + c, w->tile.second, c, known->edges[c], inputs);
        add_known_column(k, all, c, first, last, known, depth, inputs, sums);
    }
}

/* The input row at x into the sums [first, last] of all phases; `all`: of every output that it can feed. */
INLINE void add_phases(const phase_tile *w, const phase_kind k, const int all, const real *row, int first, int last,
                       column_edges *edges, const known_taps *known, phase_sums sums)
{
    const depthwise_tile *t = &w->tile;
    if (k.columns) {
        for (dsc_int depth = k.deep ? t->depth_first : 0; depth < (k.deep ? t->depth_last : 1); ++depth)
            add_known_phases(w, k, all, row + depth * t->slice, first, last, known, depth, sums);
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

/* `second`: the lane at which the last of vectors that overlap begins. */
INLINE void store_phases(const phase_kind k, const epilogue *finish, real *y, dsc_int second, const mask *stored, phase_sums sums)
{
    const bool overlaps = as_roll(k).overlaps;
    UNROLL
    for (int v = 0; v < k.vectors; ++v) {
        vec parts[PHASES_MOST], row[PHASES_MOST];
        UNROLL
        for (int phase = 0; phase < k.phases; ++phase)
            parts[phase] = v_finish(finish, sums[phase][k.rows - 1][v]);
        v_join(k.phases, parts, row);
        UNROLL
        for (int i = 0; i < k.phases; ++i) {
            real *to = y + (k.phases * (overlaps && v == k.vectors - 1 ? second : v * LANES) + i * LANES);
            if (v == k.vectors - 1 && (!overlaps || i == k.phases - 1))
                v_store_start(to, row[i], stored[i]);
            else
                v_store(to, row[i]);
        }
    }
}

INLINE void read_known_taps(const phase_tile *w, const phase_kind k, const int phase, known_taps *known)
{
    const depthwise_tile *t = &w->tile;
    UNROLL
    for (int i = 0; i < k.rows; ++i) {
        UNROLL
        for (int c = phase_bits(k.first, phase); c < phase_bits(k.last, phase); ++c) {
            const real *tap = t->taps + w->taps[phase] + i * t->tap_row + (c - phase_bits(k.first, phase)) * t->tap_column;
            if (!k.deep)
                known->tap[phase][i][c] = v_spread(*tap);
            for (dsc_int depth = t->depth_first; k.deep && depth < t->depth_last; ++depth)
                known->near[depth][phase][i][c] = tap[depth * t->tap_depth];
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
            read_known_taps(w, k, phase, known);
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
            store_phases(k, finish, y, t->second, stored, sums);
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
    const dsc_int last = as_roll(k).overlaps ? t->second : (k.vectors - 1) * LANES;
    mask stored[PHASES_MOST];
    column_edges edges[PHASE_COLUMNS];
    known_taps known;
    for (int i = 0; i < k.phases; ++i)
        stored[i] = v_mask(0, w.outputs - k.phases * last - i * LANES);
    for (dsc_int c = 0; c < t->column_last; ++c)
        find_edges(t, last, c, edges[c]);
    UNROLL
    for (int c = 0; c < k.columns; ++c)
        known.edges[c][0] = edges[c][0], known.edges[c][1] = edges[c][1];
    for (dsc_int plane = 0; plane < t->planes; ++plane, next_plane(t))
        roll_phase_plane(&w, k, &finish, stored, edges, &known);
}

typedef void (*phase_function)(const phase_tile *);

#define PHASE_TILE(S, KH, V) \
    static void phases_##S##_##KH##_##V(const phase_tile *t) { roll_phases(t, (phase_kind){S, KH, V, 0, 0, 0, 0}); }
#define PHASE_TILES(KH) PHASE_TILE(2, KH, 1) PHASE_TILE(2, KH, 2)   /* of one row, two vectors are rare */
#define PHASE_ENTRIES(KH) {phases_2_##KH##_1, phases_2_##KH##_2}

/* [phases][row taps - 1][vectors - 1] */
#if FEW_TILES
static const phase_function phase_table[PHASES_MOST + 1][PHASE_ROWS][PHASE_VECTORS];
#else
PHASE_TILE(2, 1, 1) PHASE_TILES(2) PHASE_TILES(3) PHASE_TILES(4)
PHASE_TILE(3, 1, 1) PHASE_TILE(3, 2, 1) PHASE_TILE(4, 1, 1) PHASE_TILE(4, 2, 1)
static const phase_function phase_table[PHASES_MOST + 1][PHASE_ROWS][PHASE_VECTORS] = {
    [2] = {{phases_2_1_1}, PHASE_ENTRIES(2), PHASE_ENTRIES(3), PHASE_ENTRIES(4)},
    [3] = {{phases_3_1_1}, {phases_3_2_1}},
    [4] = {{phases_4_1_1}, {phases_4_2_1}},
};
#endif

/* By the columns where the taps of each phase begin and end, four bits for each: those of kernels as wide as the stride, of three
 * to five columns for stride 2, and of five for stride 3, whose padding is as usual. */
#if FEW_TILES
static phase_function known_phases(const phase_tile *w, dsc_int phases) { (void)w, (void)phases; return NULL; }
#else
#define PHASES_KNOWN(S, KH, C, FIRST, LAST, D, V) \
    static __attribute__((noinline)) void phases_##FIRST##_##LAST##_##KH##_##D##_##V(const phase_tile *t) \
    { roll_phases(t, (phase_kind){S, KH, V, C, FIRST, LAST, D}); }
#define KNOWN_TWO(KH, C, FIRST, LAST, D) PHASES_KNOWN(2, KH, C, FIRST, LAST, D, 1) PHASES_KNOWN(2, KH, C, FIRST, LAST, D, 2)
#define KNOWN_ONE(S, KH, C, FIRST, LAST) PHASES_KNOWN(S, KH, C, FIRST, LAST, 0, 1)
#define TWO_ENTRY(KH, FIRST, LAST, D) {phases_##FIRST##_##LAST##_##KH##_##D##_1, phases_##FIRST##_##LAST##_##KH##_##D##_2}
#define ONE_ENTRY(KH, FIRST, LAST) {phases_##FIRST##_##LAST##_##KH##_0_1}
KNOWN_TWO(1, 1, 0x00, 0x11, 0)
KNOWN_TWO(1, 2, 0x00, 0x21, 0) KNOWN_TWO(2, 2, 0x00, 0x21, 0) KNOWN_TWO(1, 2, 0x00, 0x21, 1) KNOWN_TWO(2, 2, 0x00, 0x21, 1)
KNOWN_TWO(1, 2, 0x10, 0x22, 0) KNOWN_TWO(2, 2, 0x10, 0x22, 0) KNOWN_TWO(1, 2, 0x10, 0x22, 1) KNOWN_TWO(2, 2, 0x10, 0x22, 1)
KNOWN_TWO(1, 3, 0x10, 0x32, 0) KNOWN_TWO(2, 3, 0x10, 0x32, 0) KNOWN_TWO(2, 3, 0x10, 0x32, 1)
KNOWN_TWO(2, 3, 0x10, 0x33, 0) KNOWN_TWO(3, 3, 0x10, 0x33, 0)
KNOWN_TWO(2, 3, 0x00, 0x32, 0) KNOWN_TWO(3, 3, 0x00, 0x32, 0)
KNOWN_ONE(3, 1, 1, 0x000, 0x111) KNOWN_ONE(4, 1, 1, 0x0000, 0x1111)
KNOWN_ONE(3, 1, 3, 0x110, 0x322) KNOWN_ONE(3, 2, 3, 0x110, 0x322)

static const struct { int phases, first, last, deep; phase_function functions[KNOWN_ROWS][PHASE_VECTORS]; } known_table[] = {
    {2, 0x00, 0x11, 0, {TWO_ENTRY(1, 0x00, 0x11, 0)}},
    {2, 0x00, 0x21, 0, {TWO_ENTRY(1, 0x00, 0x21, 0), TWO_ENTRY(2, 0x00, 0x21, 0)}},
    {2, 0x00, 0x21, 1, {TWO_ENTRY(1, 0x00, 0x21, 1), TWO_ENTRY(2, 0x00, 0x21, 1)}},
    {2, 0x10, 0x22, 0, {TWO_ENTRY(1, 0x10, 0x22, 0), TWO_ENTRY(2, 0x10, 0x22, 0)}},
    {2, 0x10, 0x22, 1, {TWO_ENTRY(1, 0x10, 0x22, 1), TWO_ENTRY(2, 0x10, 0x22, 1)}},
    {2, 0x10, 0x32, 0, {TWO_ENTRY(1, 0x10, 0x32, 0), TWO_ENTRY(2, 0x10, 0x32, 0)}},
    {2, 0x10, 0x32, 1, {{NULL}, TWO_ENTRY(2, 0x10, 0x32, 1)}},
    {2, 0x10, 0x33, 0, {{NULL}, TWO_ENTRY(2, 0x10, 0x33, 0), TWO_ENTRY(3, 0x10, 0x33, 0)}},
    {2, 0x00, 0x32, 0, {{NULL}, TWO_ENTRY(2, 0x00, 0x32, 0), TWO_ENTRY(3, 0x00, 0x32, 0)}},
    {3, 0x000, 0x111, 0, {ONE_ENTRY(1, 0x000, 0x111)}},
    {3, 0x110, 0x322, 0, {ONE_ENTRY(1, 0x110, 0x322), ONE_ENTRY(2, 0x110, 0x322)}},
    {4, 0x0000, 0x1111, 0, {ONE_ENTRY(1, 0x0000, 0x1111)}},
};

/* Of two vectors: do the borders meet only lanes for which the tile has masks? */
static phase_function known_phases(const phase_tile *w, dsc_int phases)
{
    const depthwise_tile *t = &w->tile;
    const int deep = t->depth_first != 0 || t->depth_last != 1;
    if (t->summands != 1 || t->depth_last > DEEP_TAPS || (NOT_ALL == ZEROS && !t->finite) || t->kernel_rows > KNOWN_ROWS ||
        t->column_last > KNOWN_COLUMNS)
        return NULL;
    int first = 0, last = 0;
    for (int phase = 0; phase < phases; ++phase)
        first |= (int)w->first[phase] << 4 * phase, last |= (int)w->last[phase] << 4 * phase;
    const bool one = t->width <= LANES, two = w->outputs > phases * (t->width - 1) && borders_apart(t, t->column_last, 2);
    for (size_t i = 0; i < sizeof known_table / sizeof *known_table && (one || two); ++i)
        if (known_table[i].phases == phases && known_table[i].first == first && known_table[i].last == last &&
            known_table[i].deep == deep)
            return known_table[i].functions[t->kernel_rows - 1][one ? 0 : 1];
    return NULL;
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
    const phase_function *any = phase_table[all->count][t->kernel_rows - 1];
    for (dsc_int done = 0; done < r->columns; done += t->width) {
        phase_function function = NULL;
        for (dsc_int vectors = at_most(divide_up(r->columns - done, LANES), PHASE_VECTORS); !function; --vectors) {
            t->width = at_most(r->columns - done, vectors * LANES), t->second = t->width - LANES;
            t->inside_low = -(start + done), t->inside_high = r->e->in[2] - (start + done);
            w->outputs = at_most(all->count * t->width, outputs - all->count * done);
            function = known_phases(w, all->count);
            function = function ? function : any[vectors - 1];
        }
        t->x = x + done;
        t->y = y + all->count * done;
        function(w);
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
