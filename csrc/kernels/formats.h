/* Reading and writing arrays whose elements are not reals: narrow floats are converted on the way, and the parts of complex
 * numbers go to and come from rows of their own. Scratch holds reals only. */
#ifndef DSCONV_FORMATS_H
#define DSCONV_FORMATS_H

#include "../vec.h"
#include "walk.h"

/* Not worth a copy in each of their callers. */
#define NOT_INLINE static __attribute__((noinline))

static bool is_native(const dsc_problem *p)
{
    return p->format == DSC_NATIVE && p->parts == 1;
}

static inline const char *element(const dsc_problem *p, const char *data, dsc_int offset)
{
    return data + offset * p->item;
}

static inline char *element_of(const dsc_problem *p, char *data, dsc_int offset)
{
    return data + offset * p->item;
}

/* target[j] = source[j * step] */
NOT_INLINE void copy_strided(real *target, const real *source, dsc_int step, dsc_int count)
{
    dsc_int j = 0;
    if (step == 1) {
        for (; j + LANES <= count; j += LANES)
            v_store(target + j, v_load(source + j));
        if (j < count)
            v_store_end(target + j, v_load_masked(source + j, v_mask(0, count - j)), count - j);
        return;
    }
    if (step == 2)
        for (; 2 * (j + LANES) <= 2 * count - 1; j += LANES)
            v_store(target + j, v_even(v_load(source + 2 * j), v_load(source + 2 * j + LANES)));
    for (; j < count; ++j)
        target[j] = source[j * step];
}

#if REAL_BITS == 32
typedef uint16_t narrow;
typedef uint16_t narrow_vec __attribute__((vector_size(VECTOR_BYTES / 2)));
typedef uint16_t loose_narrow_vec __attribute__((vector_size(VECTOR_BYTES / 2), aligned(2), may_alias));
typedef uint32_t wide_vec __attribute__((vector_size(VECTOR_BYTES)));

#ifndef VECTOR_HALF
/* By bits: the exponent is rebiased by a multiplication, which is right for subnormals too. */
static vec v_widen_half(narrow_vec h)
{
    ivec bits = (ivec)__builtin_convertvector(h, wide_vec), size = (bits & v_ispread(0x7fff)) << 13;
    vec value = (vec)size * v_spread(0x1p112f);
    ivec special = size >= v_ispread(0x0f800000);
    ivec result = ((ivec)value & ~special) | ((size | v_ispread(0x7f800000)) & special);
    return (vec)(result | (bits & v_ispread(0x8000)) << 16);
}

static narrow_vec v_narrow_half(vec v)
{
    ivec bits = (ivec)v, size = bits & v_ispread(0x7fffffff), sign = (ivec)((wide_vec)bits >> 16) & v_ispread(0x8000);
    /* Adding 1/2 leaves the last place of a subnormal half in the last place of the sum, rounded. */
    ivec small = (ivec)((vec)(size & (size < v_ispread(0x38800000))) + v_spread(0.5f)) - v_ispread(0x3f000000);
    ivec usual = (size + v_ispread(0xfff) + ((size >> 13) & v_ispread(1)) - v_ispread(0x38000000)) >> 13;
    ivec is_small = size < v_ispread(0x38800000), is_large = size >= v_ispread(0x477ff000);
    ivec is_nan = size > v_ispread(0x7f800000), half = (small & is_small) | (usual & ~is_small);
    half = (v_ispread(0x7c00) & is_large) | (half & ~is_large);
    half |= ((size >> 13 & v_ispread(0x3ff)) | v_ispread(0x200)) & is_nan;
    return __builtin_convertvector((wide_vec)(half | sign), narrow_vec);
}
#endif

static vec v_widen_bfloat(narrow_vec h)
{
    return (vec)(__builtin_convertvector(h, wide_vec) << 16);
}

static narrow_vec v_narrow_bfloat(vec v)
{
    wide_vec bits = (wide_vec)v, nan = (wide_vec)((ivec)v_abs(v) > v_ispread(0x7f800000));
    wide_vec rounded = bits + 0x7fff + (bits >> 16 & 1);
    return __builtin_convertvector(((rounded & ~nan) | ((bits | 0x400000) & nan)) >> 16, narrow_vec);
}

static vec v_widen(dsc_format format, narrow_vec h)
{
    return format == DSC_HALF ? v_widen_half(h) : v_widen_bfloat(h);
}

static narrow_vec v_narrow(dsc_format format, vec v)
{
    return format == DSC_HALF ? v_narrow_half(v) : v_narrow_bfloat(v);
}

/* Fewer than a vector of them, or any that are not neighbours. */
NOT_INLINE void fetch_some(dsc_format format, real *target, const narrow *source, dsc_int step, dsc_int count)
{
    for (dsc_int j = 0, here; j < count; j += here) {
        narrow lanes[LANES] = {0};
        narrow_vec h;
        here = at_most(count - j, LANES);
        for (dsc_int l = 0; l < here; ++l)
            lanes[l] = source[(j + l) * step];
        memcpy(&h, lanes, sizeof h);
        vec v = v_widen(format, h);
        v_store_masked(target + j, v, v_mask(0, here));
    }
}

NOT_INLINE void put_some(dsc_format format, narrow *target, dsc_int step, const real *source, dsc_int count)
{
    for (dsc_int j = 0, here; j < count; j += here) {
        narrow lanes[LANES];
        here = at_most(count - j, LANES);
        narrow_vec h = v_narrow(format, v_load_masked(source + j, v_mask(0, here)));
        memcpy(lanes, &h, sizeof lanes);
        for (dsc_int l = 0; l < here; ++l)
            target[(j + l) * step] = lanes[l];
    }
}

/* Neighbours, at least a vector of them: the last vector overlaps the one before. */
INLINE void fetch_vectors(const dsc_format format, real *target, const narrow *source, dsc_int count, dsc_int ahead)
{
    dsc_int j = 0;
    for (; ahead && j <= count - LANES; j += LANES) {
        __builtin_prefetch((const char *)(source + j) + ahead, 0, 2);
        v_store(target + j, v_widen(format, *(const loose_narrow_vec *)(source + j)));
    }
    for (; j <= count - LANES; j += LANES)
        v_store(target + j, v_widen(format, *(const loose_narrow_vec *)(source + j)));
    if (j < count)
        v_store(target + count - LANES, v_widen(format, *(const loose_narrow_vec *)(source + count - LANES)));
}

INLINE void put_vectors(const dsc_format format, narrow *target, const real *source, dsc_int count)
{
    dsc_int j = 0;
    for (; j <= count - LANES; j += LANES)
        *(loose_narrow_vec *)(target + j) = v_narrow(format, v_load(source + j));
    if (j < count)
        *(loose_narrow_vec *)(target + count - LANES) = v_narrow(format, v_load(source + count - LANES));
}

/* Whole lines of them past the caches: they are not read before they are written, and drive out nothing. */
INLINE void put_lines(const dsc_format format, narrow *target, const real *source, dsc_int lines)
{
    for (dsc_int i = 0; i < lines * LINE_BYTES / VECTOR_BYTES; ++i, source += 2 * LANES, target += 2 * LANES) {
        const narrow_vec halves[2] = {v_narrow(format, v_load(source)), v_narrow(format, v_load(source + LANES))};
        vec both;
        memcpy(&both, halves, sizeof both);
        v_store_past((real *)target, both);
    }
}

NOT_INLINE void fetch_narrow(dsc_format format, real *target, const narrow *source, dsc_int step, dsc_int count, dsc_int ahead)
{
    if (step != 1 || count < LANES)
        fetch_some(format, target, source, step, count);
    else if (format == DSC_HALF)
        fetch_vectors(DSC_HALF, target, source, count, ahead);
    else
        fetch_vectors(DSC_BFLOAT, target, source, count, ahead);
}

NOT_INLINE void put_narrow(dsc_format format, narrow *target, dsc_int step, const real *source, dsc_int count)
{
    if (step != 1 || count < LANES)
        put_some(format, target, step, source, count);
    else if (format == DSC_HALF)
        put_vectors(DSC_HALF, target, source, count);
    else
        put_vectors(DSC_BFLOAT, target, source, count);
}

/* The same where results are many. */
static void put_past(dsc_format format, narrow *target, const real *source, dsc_int count)
{
    const dsc_int line = LINE_BYTES / (dsc_int)sizeof(narrow);
    const dsc_int before = at_most((line - (dsc_int)((uintptr_t)target % LINE_BYTES / sizeof(narrow))) % line, count);
    const dsc_int lines = (count - before) / line, rest = before + lines * line;
    put_narrow(format, target, 1, source, before);
    if (format == DSC_HALF)
        put_lines(DSC_HALF, target + before, source + before, lines);
    else
        put_lines(DSC_BFLOAT, target + before, source + before, lines);
    put_narrow(format, target + rest, 1, source + rest, count - rest);
}
#endif

/* target[j] = element j * step of an array of reals, narrow floats, or one part of complex numbers. */
NOT_INLINE void fetch(const dsc_problem *p, real *target, const char *source, dsc_int step, dsc_int count)
{
#if REAL_BITS == 32
    if (p->format != DSC_NATIVE) {
        fetch_narrow(p->format, target, (const narrow *)source, step, count, p->ahead);
        return;
    }
#else
    (void)p;
#endif
    copy_strided(target, (const real *)source, step, count);
}

static real fetch_one(const dsc_problem *p, const char *source)
{
    real value = 0;
    if (p->format == DSC_NATIVE)
        return *(const real *)source;
    fetch(p, &value, source, 1, 1);
    return value;
}

/* Rows of results. Of complex ones both parts, `part` apart, or neighbours if that is 0: by the real parts of factors, and, unless
 * it is NULL, by the imaginary ones, of which i times that is to be added. */
typedef struct { const real *by_real, *by_imaginary; dsc_int part; } result_rows;

/* The parts of complex results from element j on, plus a bias if they are joined from four rows. */
INLINE void join_parts(const result_rows *rows, const real *bias, dsc_int j, dsc_int left, vec *parts)
{
    const real *a = rows->by_real + j;
    parts[0] = v_load_first(a, left), parts[1] = v_load_first(a + rows->part, left);
    if (!rows->by_imaginary)
        return;
    const real *b = rows->by_imaginary + j;
    parts[0] += v_spread(bias[0]) - v_load_first(b + rows->part, left);
    parts[1] += v_spread(bias[1]) + v_load_first(b, left);
}

NOT_INLINE void put_pairs(real *target, dsc_int step, const result_rows *rows, const real *bias, dsc_int count)
{
    for (dsc_int j = 0; j < count; j += LANES) {
        vec parts[2];
        join_parts(rows, bias, j, count - j, parts);
        if (step == 2) {
            const dsc_int reals = 2 * (count - j);
            v_store_first(target + 2 * j, v_zip_low(parts[0], parts[1]), reals);
            v_store_first(target + 2 * j + LANES, v_zip_high(parts[0], parts[1]), reals - LANES);
        } else {
            for (int part = 0; part < 2; ++part)
                v_scatter(target + j * step + part, step, parts[part], (int)at_most(count - j, LANES));
        }
    }
}

/* Complex numbers whose parts are neighbours, plus a bias. */
NOT_INLINE void put_numbers(real *target, dsc_int step, const real *source, const real *bias, dsc_int count)
{
    const vec both = v_zip_low(v_spread(bias[0]), v_spread(bias[1]));
    for (dsc_int j = 0; j < 2 * count; j += LANES) {
        const dsc_int left = at_most(2 * count - j, LANES);
        const vec sum = v_load_first(source + j, left) + both;
        if (step == 2)
            v_store_first(target + j, sum, left);
        for (dsc_int i = 0; step != 2 && i < left; ++i)
            target[(j + i) / 2 * step + i % 2] = sum[i];
    }
}

/* y += i second, of such numbers. */
NOT_INLINE void add_turned(real *y, const real *second, dsc_int count)
{
    for (dsc_int j = 0; j < count; j += LANES)
        v_store_first(y + j, v_load_first(y + j, count - j) + v_times_i(v_load_first(second + j, count - j), 1), count - j);
}

/* y += second */
NOT_INLINE void add_reals(real *y, const real *second, dsc_int count)
{
    for (dsc_int j = 0; j < count; j += LANES)
        v_store_first(y + j, v_load_first(y + j, count - j) + v_load_first(second + j, count - j), count - j);
}

/* target[j * step] = source[j], reals or narrow floats. */
NOT_INLINE void put_reals(const dsc_problem *p, char *target, dsc_int step, const real *source, dsc_int count)
{
    real *y = (real *)target;
#if REAL_BITS == 32
    if (p->format != DSC_NATIVE && step == 1 && p->past) {
        put_past(p->format, (narrow *)target, source, count);
        return;
    }
    if (p->format != DSC_NATIVE) {
        put_narrow(p->format, (narrow *)target, step, source, count);
        return;
    }
#else
    (void)p;
#endif
    if (step == 1)
        copy_strided(y, source, 1, count);
    else
        for (dsc_int j = 0; j < count; ++j)
            y[j * step] = source[j];
}

/* A row of results. */
static void put(const dsc_problem *p, char *target, dsc_int step, const result_rows *rows, const real *bias, dsc_int count)
{
    if (p->parts == 2 && rows->part)
        put_pairs((real *)target, step, rows, bias, count);
    else if (p->parts == 2)
        put_numbers((real *)target, step, rows->by_real, bias, count);
    else
        put_reals(p, target, step, rows->by_real, count);
}

/* The real matrix [[re, -im], [im, re]] that a complex factor is: its entry for an input and an output part comes from
 * this part, with this sign. */
static inline int factor_part(int in, int out) { return in ^ out; }

static inline bool factor_negative(const dsc_problem *p, int in, int out)
{
    return p->conjugate ? in == 0 && out == 1 : in == 1 && out == 0;
}

#endif
