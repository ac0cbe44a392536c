/* The depthwise weight gradient where channels are dense: a vector of channels at a time. */
#ifndef DSCONV_WEIGHTS_INTERLEAVED_H
#define DSCONV_WEIGHTS_INTERLEAVED_H

/* Pixels of some output rows with one vector of channels. Tap column i of output q reads x pixel position + q * stride +
 * i * dilation, if there is one. */
typedef struct {
    const real *x[TAPS_TILE];             /* the x row of each tap row, under the first output row */
    dsc_int x_row, x_column, stride, dilation, position, width;
    const real *y;
    dsc_int y_row, y_column, rows, columns;
    dsc_int ahead;                        /* outputs that are asked for before they are needed */
    int channels;                         /* of the vector */
    real *sums;
    dsc_int sums_row;
} pixels_tile;

INLINE void gather_pixel(const pixels_tile *t, const int J, const int I, const int tail, const int clipped, mask m,
                         dsc_int q, vec (*sums)[TAPS_TILE])
{
    vec y = v_load_lanes(t->y + q * t->y_column, tail, m);
    dsc_int position = t->position + q * t->stride;
    if (t->ahead)
        ask_for(t->x[J - 1] + (position + t->ahead * t->stride) * t->x_column, t->y + (q + t->ahead) * t->y_column);
    UNROLL
    for (int i = 0; i < I; ++i) {
        dsc_int column = position + i * t->dilation;
        if (clipped && (column < 0 || column >= t->width))
            continue;
        UNROLL
        for (int j = 0; j < J; ++j)
            sums[j][i] += y * v_load_lanes(t->x[j] + column * t->x_column, tail, m);
    }
}

INLINE void gather_pixels(const pixels_tile *tile, const int J, const int I, const int tail)
{
    pixels_tile t = *tile;
    mask m = v_mask(0, t.channels);
    vec sums[TAPS_TILE][TAPS_TILE];
    dsc_int inside = at_most(divide_up(at_least(-t.position, 0), t.stride), t.columns);
    dsc_int beyond = t.width - t.position - (I - 1) * t.dilation;
    beyond = at_least(at_most(beyond > 0 ? divide_up(beyond, t.stride) : 0, t.columns), inside);
    load_sums(t.sums, t.sums_row, J, I, sums);
    for (dsc_int row = 0; row < t.rows; ++row, t.y += t.y_row) {
        dsc_int q = 0;
        for (; q < inside; ++q)
            gather_pixel(&t, J, I, tail, 1, m, q, sums);
        for (; q < beyond; ++q)
            gather_pixel(&t, J, I, tail, 0, m, q, sums);
        for (; q < t.columns; ++q)
            gather_pixel(&t, J, I, tail, 1, m, q, sums);
        UNROLL
        for (int j = 0; j < J; ++j)
            t.x[j] += t.x_row;
    }
    save_sums(t.sums, t.sums_row, J, I, sums);
}

typedef void (*pixels_function)(const pixels_tile *);

#define GATHER_PIXELS(J, I) static void pixels_##J##_##I(const pixels_tile *t) { gather_pixels(t, J, I, MASKED_ALL); }
GATHER_PIXELS(1, 1) GATHER_PIXELS(1, 2) GATHER_PIXELS(1, 3) GATHER_PIXELS(3, 1) GATHER_PIXELS(3, 2) GATHER_PIXELS(3, 3)
#if !FEW_TILES
GATHER_PIXELS(2, 1) GATHER_PIXELS(2, 2) GATHER_PIXELS(2, 3)
#endif

/* [J - 1][I - 1] */
static const pixels_function pixels_table[TAPS_TILE][TAPS_TILE] = {
    {pixels_1_1, pixels_1_2, pixels_1_3},
#if !FEW_TILES
    {pixels_2_1, pixels_2_2, pixels_2_3},
#endif
    [2] = {pixels_3_1, pixels_3_2, pixels_3_3},
};

/* Fewer channels than a vector holds: row by row of taps. */
static bool has_some_channels(const dsc_problem *p) { return !MASKED_ALL && p->channels < LANES; }

#if MASKED_ALL
#define pixels_some pixels_table[0]
#else
#define PIXELS_SOME(I) static void pixels_some_##I(const pixels_tile *t) { gather_pixels(t, 1, I, 1); }
PIXELS_SOME(1) PIXELS_SOME(2) PIXELS_SOME(3)
static const pixels_function pixels_some[TAPS_TILE] = {pixels_some_1, pixels_some_2, pixels_some_3};
#endif

#define WEIGHTS_AHEAD 128   /* in the order of memory, mostly: the rows that come next */

static void sum_pixels(const weights_item *w, const weights_piece *piece)
{
    const dsc_map *y = &w->p->y;
    mask m = v_mask(0, w->p->channels);
    vec sum = v_load(open_sums(w));
    for (dsc_int row = 0; row < piece->rows; ++row)
        for (dsc_int column = 0; column < piece->columns; ++column)
            sum += v_load_masked((const real *)piece->y + row * y->step[1] + column * y->step[2], m);
    v_store(open_sums(w), sum);
}

/* Output rows [row, row + rows) with tap rows [j, j + J), all of which exist. */
static void gather_pixel_rows(const weights_item *w, const weights_piece *piece, dsc_int row, dsc_int rows, dsc_int j, int J)
{
    const dsc_problem *p = w->p;
    const dsc_extent *e = &p->e;
    dsc_int top = position_of(w, 1, piece->row + row) + j * e->dilation[1];
    const pixels_function *tiles = has_some_channels(p) ? pixels_some : pixels_table[J - 1];
    pixels_tile t = {
        .x_row = e->stride[1] * p->x.step[1], .x_column = p->x.step[2], .stride = e->stride[2], .dilation = e->dilation[2],
        .width = e->in[2], .y = (const real *)piece->y + row * p->y.step[1], .y_row = p->y.step[1], .y_column = p->y.step[2],
        .rows = rows, .columns = piece->columns, .channels = (int)at_most(p->channels, LANES), .sums_row = sums_row(w),
    };
    for (int k = 0; k < J; ++k)
        t.x[k] = (const real *)piece->x + (top + k * e->dilation[1]) * p->x.step[1];
    for (dsc_int i = 0; i < w->taps[2];) {
        int I = (int)at_most(w->taps[2] - i, TAPS_TILE);
        t.position = position_of(w, 2, piece->column) + i * e->dilation[2];
        t.sums = open_sums(w) + j * sums_row(w) + i * LANES;
        t.ahead = w->plan->asks && i == 0 && j + J == w->taps[1] ? WEIGHTS_AHEAD : 0;
        tiles[I - 1](&t);
        i += I;
    }
}

/* Tap rows [j, j + J): rows of outputs for which all of them exist, and at the borders those that do. */
static void gather_tap_pixels(const weights_item *w, const weights_piece *piece, dsc_int j, int J)
{
    const dsc_extent *e = &w->p->e;
    const dsc_int step = e->dilation[1];
    dsc_int begin, end, top = position_of(w, 1, piece->row) + j * step;
    clip_taps(top, e->stride[1], piece->rows, e->in[1] - (J - 1) * step, 0, &begin, &end);
    for (dsc_int row = 0; row < piece->rows; ++row) {
        dsc_int first, last;
        if (row == begin && begin < end) {
            gather_pixel_rows(w, piece, begin, end - begin, j, J);
            row = end - 1;
            continue;
        }
        clip_taps(top + row * e->stride[1], step, J, e->in[1], 0, &first, &last);
        for (; first < last; first += rows_of_tile(last - first))
            gather_pixel_rows(w, piece, row, 1, j + first, rows_of_tile(last - first));
    }
}

static void gather_interleaved(const weights_item *w, const weights_piece *piece)
{
    if (!w->p->x.data) {
        sum_pixels(w, piece);
        return;
    }
    for (dsc_int j = 0; j < w->taps[1];) {
        int J = has_some_channels(w->p) ? 1 : rows_of_tile(w->taps[1] - j);
        gather_tap_pixels(w, piece, j, J);
        j += J;
    }
}

#endif
