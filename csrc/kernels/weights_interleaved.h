/* The depthwise weight gradient where channels are dense: a vector of channels at a time. */
#ifndef DSCONV_WEIGHTS_INTERLEAVED_H
#define DSCONV_WEIGHTS_INTERLEAVED_H

/* Pixels of one output row with one vector of channels. Tap column i of output q reads x pixel position + q * stride +
 * i * dilation, if there is one. */
typedef struct {
    const real *x[TAPS_TILE];             /* the x row of each tap row */
    dsc_int x_column, stride, dilation, position, width;
    const real *y;
    dsc_int y_column, columns;
    int channels;                         /* of the vector */
    real *sums;
    dsc_int sums_row;
} pixels_tile;

INLINE void gather_pixel(const pixels_tile *t, const int J, const int I, const int tail, const int clipped, mask m,
                         dsc_int q, vec (*sums)[TAPS_TILE])
{
    vec y = v_load_lanes(t->y + q * t->y_column, tail, m);
    dsc_int position = t->position + q * t->stride;
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
    const pixels_tile t = *tile;
    mask m = v_mask(0, t.channels);
    vec sums[TAPS_TILE][TAPS_TILE];
    dsc_int q = 0, inside = at_most(divide_up(at_least(-t.position, 0), t.stride), t.columns);
    dsc_int beyond = t.width - t.position - (I - 1) * t.dilation;
    beyond = at_least(at_most(beyond > 0 ? divide_up(beyond, t.stride) : 0, t.columns), inside);
    load_sums(t.sums, t.sums_row, J, I, sums);
    for (; q < inside; ++q)
        gather_pixel(&t, J, I, tail, 1, m, q, sums);
    for (; q < beyond; ++q)
        gather_pixel(&t, J, I, tail, 0, m, q, sums);
    for (; q < t.columns; ++q)
        gather_pixel(&t, J, I, tail, 1, m, q, sums);
    save_sums(t.sums, t.sums_row, J, I, sums);
}

typedef void (*pixels_function)(const pixels_tile *);

#ifdef VECTOR_FREE_MASKS
#define GATHER_PIXELS(J, I) static void pixels_##J##_##I##_tail(const pixels_tile *t) { gather_pixels(t, J, I, 1); }
#define PIXELS_ENTRY(J, I) {pixels_##J##_##I##_tail, pixels_##J##_##I##_tail}
#else
#define GATHER_PIXELS(J, I) \
    static void pixels_##J##_##I(const pixels_tile *t) { gather_pixels(t, J, I, 0); } \
    static void pixels_##J##_##I##_tail(const pixels_tile *t) { gather_pixels(t, J, I, 1); }
#define PIXELS_ENTRY(J, I) {pixels_##J##_##I, pixels_##J##_##I##_tail}
#endif
GATHER_PIXELS(1, 1) GATHER_PIXELS(1, 2) GATHER_PIXELS(1, 3) GATHER_PIXELS(2, 1) GATHER_PIXELS(2, 2) GATHER_PIXELS(2, 3)
GATHER_PIXELS(3, 1) GATHER_PIXELS(3, 2) GATHER_PIXELS(3, 3)

/* [J - 1][I - 1][last channels] */
static const pixels_function pixels_table[TAPS_TILE][TAPS_TILE][2] = {
    {PIXELS_ENTRY(1, 1), PIXELS_ENTRY(1, 2), PIXELS_ENTRY(1, 3)},
    {PIXELS_ENTRY(2, 1), PIXELS_ENTRY(2, 2), PIXELS_ENTRY(2, 3)},
    {PIXELS_ENTRY(3, 1), PIXELS_ENTRY(3, 2), PIXELS_ENTRY(3, 3)},
};

static void sum_pixels(const weights_item *w, const weights_piece *piece)
{
    const dsc_map *y = &w->p->y;
    mask m = v_mask(0, w->channels);
    vec sum = v_load(open_block(&w->sums));
    for (dsc_int row = 0; row < piece->rows; ++row)
        for (dsc_int column = 0; column < piece->columns; ++column)
            sum += v_load_masked((const real *)piece->y + row * y->step[1] + column * y->step[2], m);
    v_store(open_block(&w->sums), sum);
}

/* One row of outputs with tap rows [j, j + J), all of which exist. */
static void gather_pixel_row(const weights_item *w, const weights_piece *piece, dsc_int row, dsc_int j, int J)
{
    const dsc_problem *p = w->p;
    const dsc_extent *e = &p->e;
    dsc_int top = position_of(w, 1, piece->row + row) + j * e->dilation[1];
    pixels_tile t = {
        .x_column = p->x.step[2], .stride = e->stride[2], .dilation = e->dilation[2], .width = e->in[2],
        .y = (const real *)piece->y + row * p->y.step[1], .y_column = p->y.step[2], .columns = piece->columns,
        .channels = (int)w->channels, .sums_row = sums_row(w),
    };
    for (int k = 0; k < J; ++k)
        t.x[k] = (const real *)piece->x + (top + k * e->dilation[1]) * p->x.step[1];
    for (dsc_int i = 0; i < w->taps[2];) {
        int I = (int)at_most(w->taps[2] - i, TAPS_TILE);
        t.position = position_of(w, 2, piece->column) + i * e->dilation[2];
        t.sums = open_block(&w->sums) + j * sums_row(w) + i * LANES;
        pixels_table[J - 1][I - 1][w->channels < LANES](&t);
        i += I;
    }
}

static void gather_interleaved(const weights_item *w, const weights_piece *piece)
{
    const dsc_extent *e = &w->p->e;
    if (!w->p->x.data) {
        sum_pixels(w, piece);
        return;
    }
    for (dsc_int row = 0; row < piece->rows; ++row) {
        dsc_int first, last;
        clip_taps(position_of(w, 1, piece->row + row), e->dilation[1], w->taps[1], e->in[1], 0, &first, &last);
        for (dsc_int j = first; j < last;) {
            int J = (int)at_most(last - j, TAPS_TILE);
            gather_pixel_row(w, piece, row, j, J);
            j += J;
        }
    }
}

#endif
