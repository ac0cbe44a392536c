/* The depthwise weight gradient where channels are dense: a vector of channels at a time. */
#ifndef DSCONV_WEIGHTS_INTERLEAVED_H
#define DSCONV_WEIGHTS_INTERLEAVED_H

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
