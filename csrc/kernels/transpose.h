/* Transposing a block of a matrix: log2(LANES) rounds of interleaving a square of vectors. */
#ifndef DSCONV_TRANSPOSE_H
#define DSCONV_TRANSPOSE_H

#include "../vec.h"
#include "walk.h"

#define SQUARES_AHEAD 4

#ifdef VECTOR_HALVES
#define HALF (LANE_COUNT / 2)
#define ZIP_HALVES_LOW(i) ((i) / HALF * HALF + (i) % HALF / 2 + (i) % 2 * LANE_COUNT)
#define ZIP_HALVES_HIGH(i) (ZIP_HALVES_LOW(i) + HALF / 2)

/* From row to row of a square, in bytes: so that the address of each is one register and a multiple of another. */
typedef struct { dsc_int one, three, five, seven; } row_steps;

INLINE row_steps steps_of_rows(dsc_int row)
{
    row_steps s = {.one = row * (dsc_int)sizeof(real)};
    s.three = 3 * s.one, s.five = 5 * s.one, s.seven = 7 * s.one;
    __asm__("" : "+r"(s.one), "+r"(s.three), "+r"(s.five), "+r"(s.seven));
    return s;
}

INLINE const real *row_of_square(const real *source, const row_steps *s, const int i)
{
    const dsc_int bytes = i == 3 ? s->three : i == 5 ? s->five : i == 6 ? 2 * s->three : i == 7 ? s->seven : i * s->one;
    return (const real *)((const char *)source + bytes);
}

INLINE vec load_square_row(const real *source, const row_steps *s, const int i)
{
    return v_join_halves(row_of_square(source, s, i), row_of_square(source, s, i + HALF));
}

INLINE vec zip_low(vec a, vec b) { return SHUFFLE(a, b, ZIP_HALVES_LOW); }
INLINE vec zip_high(vec a, vec b) { return SHUFFLE(a, b, ZIP_HALVES_HIGH); }
#else
#define HALF LANE_COUNT
typedef struct { dsc_int one; } row_steps;
INLINE row_steps steps_of_rows(dsc_int row) { return (row_steps){row}; }
INLINE const real *row_of_square(const real *source, const row_steps *s, const int i) { return source + i * s->one; }
INLINE vec load_square_row(const real *source, const row_steps *s, const int i) { return v_load(row_of_square(source, s, i)); }
INLINE vec zip_low(vec a, vec b) { return v_zip_low(a, b); }
INLINE vec zip_high(vec a, vec b) { return v_zip_high(a, b); }
#endif

/* HALF columns of LANES rows: one square or, in halves of vectors that shuffle within them, two. */
INLINE void load_columns(const real *source, const row_steps *rows, vec *a)
{
    vec b[HALF];
    UNROLL
    for (int i = 0; i < HALF; ++i)
        a[i] = load_square_row(source, rows, i);
    UNROLL
    for (int width = 1; width < HALF; width *= 2) {
        UNROLL
        for (int i = 0; i < HALF / 2; ++i) {
            b[2 * i] = zip_low(a[i], a[i + HALF / 2]);
            b[2 * i + 1] = zip_high(a[i], a[i + HALF / 2]);
        }
        UNROLL
        for (int i = 0; i < HALF; ++i)
            a[i] = b[i];
    }
}

/* Column c of a LANES x LANES square to a[c]. */
INLINE void load_transposed(const real *source, const row_steps *rows, vec *a)
{
    UNROLL
    for (int c = 0; c < LANE_COUNT; c += HALF)
        load_columns(source + c, rows, a + c);
}

/* target[c * target_row + r] = source[r * source_row + c] for one square. */
static void transpose_square(const real *source, dsc_int source_row, real *target, dsc_int target_row)
{
    vec a[LANE_COUNT];
    const row_steps rows = steps_of_rows(source_row);
    load_transposed(source, &rows, a);
    UNROLL
    for (int i = 0; i < LANE_COUNT; ++i)
        v_store(target + i * target_row, a[i]);
}

/* target[r] = source[r], and the last of them up to `width`. */
static void copy_padded(const real *source, dsc_int rows, real *target, dsc_int width)
{
    dsc_int r = 0;
    for (; r + LANES <= rows; r += LANES)
        v_store(target + r, v_load(source + r));
    if (r < rows)
        v_store_end(target + r, v_load_masked(source + r, v_mask(0, rows - r)), rows - r);
    for (r = rows; r < width; ++r)
        target[r] = source[rows - 1];
}

/* Where the square after the one at `at` begins: the last one ends with the `count` rows or columns and overlaps another. */
static dsc_int next_square(dsc_int at, dsc_int count)
{
    return at + LANES < count ? at_most(at + LANES, count - LANES) : count;
}

/* A square, while squares of the same rows are asked for: weights come from far, and so many runs at once are not foreseen. */
static void transpose_announced(const real *source, dsc_int source_row, real *target, dsc_int target_row)
{
    UNROLL
    for (int i = 0; i < LANE_COUNT; ++i)
        __builtin_prefetch(source + i * source_row + SQUARES_AHEAD * LANES, 0, 2);
    transpose_square(source, source_row, target, target_row);
}

/* At least a square of rows and of columns, columns dense. Rows that share an alignment are loaded by whole lines: where they
 * are a page apart, they compete for one set of the first-level cache, which holds fewer lines than a square has rows. */
static void transpose_squares(const real *source, dsc_int source_row, dsc_int rows, dsc_int columns, real *target,
                              dsc_int width)
{
    const dsc_int ahead = (dsc_int)((uintptr_t)source / sizeof(real) % LANES);
    const dsc_int skip = source_row % LANES == 0 && ahead > 0 && columns >= 2 * LANES ? LANES - ahead : LANES;
    for (dsc_int r = 0; r < rows; r = next_square(r, rows)) {
        const real *row = source + r * source_row;
        transpose_square(row, source_row, target + r, width);
        for (dsc_int c = LANES < columns ? at_most(skip, columns - LANES) : columns; c < columns; c = next_square(c, columns))
            transpose_announced(row + c, source_row, target + c * width + r, width);
    }
    for (dsc_int c = 0; c < columns && rows < width; ++c)
        for (dsc_int r = rows; r < width; ++r)
            target[c * width + r] = target[c * width + rows - 1];
}

/* The same for any rows x columns of a source of any steps. Target rows are padded to `width` with copies of the last
 * source row: lanes that compute on them then raise no floating-point flag that a real lane does not. */
static void transpose(const real *source, dsc_int source_row, dsc_int source_column, dsc_int rows, dsc_int columns,
                      real *target, dsc_int width)
{
    if (source_row == 1) {
        for (dsc_int c = 0; c < columns; ++c)
            copy_padded(source + c * source_column, rows, target + c * width, width);
        return;
    }
    if (source_column == 1 && rows >= LANES && columns >= LANES) {
        transpose_squares(source, source_row, rows, columns, target, width);
        return;
    }
    for (dsc_int r = 0; r < width; ++r) {
        const real *row = source + at_most(r, rows - 1) * source_row;
        for (dsc_int c = 0; c < columns; ++c)
            target[c * width + r] = row[c * source_column];
    }
}

/* target[c * target_row + r] = source[r * source_row + c], nothing beyond. */
static void transpose_into(const real *source, dsc_int source_row, dsc_int rows, dsc_int columns, real *target,
                           dsc_int target_row)
{
    if (rows >= LANES && columns >= LANES) {
        for (dsc_int r = 0; r < rows; r = next_square(r, rows))
            for (dsc_int c = 0; c < columns; c = next_square(c, columns))
                transpose_square(source + r * source_row + c, source_row, target + c * target_row + r, target_row);
        return;
    }
    for (dsc_int c = 0; c < columns; ++c)
        for (dsc_int r = 0; r < rows; ++r)
            target[c * target_row + r] = source[r * source_row + c];
}

#endif
