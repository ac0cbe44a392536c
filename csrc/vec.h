/* The vector type of one ISA x real type: load, store, lane ranges, interleaving. */
#ifndef DSCONV_VEC_H
#define DSCONV_VEC_H

#include <string.h>

#include "dsconv.h"

#define LANES ((int)(VECTOR_BYTES / sizeof(real)))

typedef real vec __attribute__((vector_size(VECTOR_BYTES)));
typedef lane ivec __attribute__((vector_size(VECTOR_BYTES)));
typedef real loose_vec __attribute__((vector_size(VECTOR_BYTES), aligned(sizeof(real)), may_alias));

#ifndef FEW_TILES
#define FEW_TILES 0
#endif

/* Pixels side by side instead of vectors of channels that march along a row, which takes more registers. */
#define PIXELS_ABREAST (VECTOR_REGISTERS < 32)

#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 16")
#define UNROLL_MORE _Pragma("GCC unroll 32")
#define ONCE_A_CALL __attribute__((cold))   /* short code rather than fast code */

#if defined(__GNUC__) && !defined(__clang__)
#define WITHOUT(option) _Pragma("GCC push_options") _Pragma(option)
#define AS_USUAL _Pragma("GCC pop_options")
#else
#define WITHOUT(option)
#define AS_USUAL
#endif
/* Between these, gcc works addresses out as they are written. Tiles with many of them are shorter so, and faster. */
#define PLAIN_ADDRESSES WITHOUT("GCC optimize (\"no-ivopts\")")
#define USUAL_ADDRESSES AS_USUAL
/* With many registers alone: the same; and what several ways need is computed where it is needed (no partial redundancy
 * elimination), for what gcc would keep from one turn of a loop to the next takes registers of vectors. */
#if VECTOR_REGISTERS >= 32
#define PLAIN_WIDE PLAIN_ADDRESSES
#define USUAL_WIDE USUAL_ADDRESSES
#define PLAIN_LOOPS WITHOUT("GCC optimize (\"no-tree-pre\")")
#define USUAL_LOOPS AS_USUAL
#else
#define PLAIN_WIDE
#define USUAL_WIDE
#define PLAIN_LOOPS
#define USUAL_LOOPS
#endif

/* Keep a loaded vector in its register: gcc would rather load it again for each use. */
#ifdef VECTOR_KEEP
#define V_KEEP(v) __asm__("" : VECTOR_KEEP(v))
#else
#define V_KEEP(v) (void)(v)
#endif

/* The same for a mask: gcc would hold one for every instruction that takes it differently. */
#ifdef VECTOR_KEEP_MASK
#define MASK_KEEP(m) __asm__("" : VECTOR_KEEP_MASK(m))
#else
#define MASK_KEEP(m) (void)(m)
#endif

#define LINE_BYTES 64
/* Results beyond the last-level cache, or a core's share of it, are stored past the caches. Other threads see such stores in order
 * only after a locked instruction: to fetch or to end a piece of work is one. */
#define PAST_BYTES (32 << 20)

INLINE vec v_load(const real *p) { return *(const loose_vec *)p; }
INLINE void v_store(real *p, vec v) { *(loose_vec *)p = v; }

#define LANES_4(f) f(0), f(1), f(2), f(3)
#define LANES_8(f) LANES_4(f), f(4), f(5), f(6), f(7)
#define LANES_16(f) LANES_8(f), f(8), f(9), f(10), f(11), f(12), f(13), f(14), f(15)
#define LANE_COUNT (VECTOR_BYTES * 8 / REAL_BITS)
#if LANE_COUNT == 2
#define EACH_LANE(f) f(0), f(1)
#elif LANE_COUNT == 4
#define EACH_LANE(f) LANES_4(f)
#elif LANE_COUNT == 8
#define EACH_LANE(f) LANES_8(f)
#else
#define EACH_LANE(f) LANES_16(f)
#endif

#define SAME(i) value
INLINE vec v_spread(real value) { return (vec){EACH_LANE(SAME)}; }
INLINE ivec v_ispread(lane value) { return (ivec){EACH_LANE(SAME)}; }
#define OWN(i) i
INLINE ivec v_iota(void) { return (ivec){EACH_LANE(OWN)}; }

/* a0 b0 a1 b1 ...: the first and the second half of the interleaved pair; and the reverse. */
#define ZIP_LOW(i) ((i) / 2 + (i) % 2 * LANE_COUNT)
#define ZIP_HIGH(i) (ZIP_LOW(i) + LANE_COUNT / 2)
#define EVEN(i) (2 * (i))
#define ODD(i) (2 * (i) + 1)
#if defined(__clang__) || __GNUC__ >= 12
#define SHUFFLE(a, b, f) __builtin_shufflevector(a, b, EACH_LANE(f))
#else
#define SHUFFLE(a, b, f) __builtin_shuffle(a, b, (ivec){EACH_LANE(f)})
#endif
INLINE vec v_zip_low(vec a, vec b) { return SHUFFLE(a, b, ZIP_LOW); }
INLINE vec v_zip_high(vec a, vec b) { return SHUFFLE(a, b, ZIP_HIGH); }
INLINE vec v_even(vec a, vec b) { return SHUFFLE(a, b, EVEN); }
INLINE vec v_odd(vec a, vec b) { return SHUFFLE(a, b, ODD); }
#define OTHER(i) ((i) ^ 1)
INLINE vec v_exchange(vec v) { return SHUFFLE(v, v, OTHER); }   /* the two of each pair of lanes */
/* Times i, where the two are parts of a complex number; `sign` -1: times -i. */
INLINE vec v_times_i(vec v, real sign)
{
    return (vec)((ivec)v_exchange(v) ^ (ivec)v_zip_low(v_spread(-sign * (real)0), v_spread(sign * (real)0)));
}

/* Elements n, n + 3, n + 6, ... of three vectors: those that the first two have, then those of the third. */
#define THIRD(i, n) (3 * (i) + (n))
#define OF_TWO(i, n) (THIRD(i, n) < 2 * LANE_COUNT ? THIRD(i, n) : 0)
#define OF_THREE(i, n) (THIRD(i, n) < 2 * LANE_COUNT ? (i) : THIRD(i, n) - LANE_COUNT)
#define OF_TWO_0(i) OF_TWO(i, 0)
#define OF_TWO_1(i) OF_TWO(i, 1)
#define OF_TWO_2(i) OF_TWO(i, 2)
#define OF_THREE_0(i) OF_THREE(i, 0)
#define OF_THREE_1(i) OF_THREE(i, 1)
#define OF_THREE_2(i) OF_THREE(i, 2)
INLINE void v_split_3(const vec *v, vec *parts)
{
    parts[0] = SHUFFLE(SHUFFLE(v[0], v[1], OF_TWO_0), v[2], OF_THREE_0);
    parts[1] = SHUFFLE(SHUFFLE(v[0], v[1], OF_TWO_1), v[2], OF_THREE_1);
    parts[2] = SHUFFLE(SHUFFLE(v[0], v[1], OF_TWO_2), v[2], OF_THREE_2);
}

INLINE void v_split_4(const vec *v, vec *parts)
{
    vec even[2] = {v_even(v[0], v[1]), v_even(v[2], v[3])}, odd[2] = {v_odd(v[0], v[1]), v_odd(v[2], v[3])};
    parts[0] = v_even(even[0], even[1]), parts[1] = v_even(odd[0], odd[1]);
    parts[2] = v_odd(even[0], even[1]), parts[3] = v_odd(odd[0], odd[1]);
}

/* Elements n, n + stride, ... of that many vectors. */
INLINE void v_split(const int stride, const vec *v, vec *parts)
{
    if (stride == 4)
        v_split_4(v, parts);
    else if (stride == 3)
        v_split_3(v, parts);
    else
        parts[0] = v_even(v[0], v[1]), parts[1] = v_odd(v[0], v[1]);
}

/* The reverse: element i of the joined vector n, the e-th of all, is element e / 3 of part e % 3. */
#define JOINED(i, n) ((n) * LANE_COUNT + (i))
#define FROM_TWO(i, n) (JOINED(i, n) % 3 < 2 ? JOINED(i, n) / 3 + JOINED(i, n) % 3 * LANE_COUNT : 0)
#define FROM_THREE(i, n) (JOINED(i, n) % 3 < 2 ? (i) : JOINED(i, n) / 3 + LANE_COUNT)
#define FROM_TWO_0(i) FROM_TWO(i, 0)
#define FROM_TWO_1(i) FROM_TWO(i, 1)
#define FROM_TWO_2(i) FROM_TWO(i, 2)
#define FROM_THREE_0(i) FROM_THREE(i, 0)
#define FROM_THREE_1(i) FROM_THREE(i, 1)
#define FROM_THREE_2(i) FROM_THREE(i, 2)
INLINE void v_join_3(const vec *parts, vec *v)
{
    v[0] = SHUFFLE(SHUFFLE(parts[0], parts[1], FROM_TWO_0), parts[2], FROM_THREE_0);
    v[1] = SHUFFLE(SHUFFLE(parts[0], parts[1], FROM_TWO_1), parts[2], FROM_THREE_1);
    v[2] = SHUFFLE(SHUFFLE(parts[0], parts[1], FROM_TWO_2), parts[2], FROM_THREE_2);
}

INLINE void v_join_4(const vec *parts, vec *v)
{
    vec even[2] = {v_zip_low(parts[0], parts[2]), v_zip_high(parts[0], parts[2])};
    vec odd[2] = {v_zip_low(parts[1], parts[3]), v_zip_high(parts[1], parts[3])};
    v[0] = v_zip_low(even[0], odd[0]), v[1] = v_zip_high(even[0], odd[0]);
    v[2] = v_zip_low(even[1], odd[1]), v[3] = v_zip_high(even[1], odd[1]);
}

INLINE void v_join(const int stride, const vec *parts, vec *v)
{
    if (stride == 4)
        v_join_4(parts, v);
    else if (stride == 3)
        v_join_3(parts, v);
    else
        v[0] = v_zip_low(parts[0], parts[1]), v[1] = v_zip_high(parts[0], parts[1]);
}

/* Lanes n, n + 1, ... of the pair. */
#define FROM_1(i) ((i) + 1)
#define FROM_2(i) ((i) + 2)
#define FROM_3(i) (((i) + 3) % (2 * LANE_COUNT))
INLINE vec v_shift_1(vec a, vec b) { return SHUFFLE(a, b, FROM_1); }
INLINE vec v_shift_2(vec a, vec b) { return SHUFFLE(a, b, FROM_2); }
INLINE vec v_shift_3(vec a, vec b) { return SHUFFLE(a, b, FROM_3); }

#ifdef VECTOR_MASKS
#include VECTOR_MASKS
#else
#include "isa/generic_mask.h"
#endif

#ifndef V_LOOSE
INLINE vec v_even_loose(vec a, vec b) { return v_even(a, b); }
INLINE vec v_odd_loose(vec a, vec b) { return v_odd(a, b); }
INLINE vec v_tight(vec v) { return v; }
#endif

/* All lanes, or those of the mask where `tail` says that there are no more. */
INLINE vec v_load_lanes(const real *p, const int tail, mask m)
{
    return tail ? v_load_masked(p, m) : v_load(p);
}

/* `left` lanes, or all if there are more. */
INLINE vec v_load_first(const real *p, dsc_int left)
{
    return left >= LANES ? v_load(p) : v_load_masked(p, v_mask(0, left));
}

/* Lanes of a mask that has the first so many; where that is a routine, apart from where it is rarely needed. */
#ifdef V_STORES_START
#define RARELY static __attribute__((noinline, unused))
#else
#define RARELY INLINE
INLINE void v_store_start(real *p, vec v, mask m) { v_store_masked(p, v, m); }
#endif

RARELY void v_store_end(real *p, vec v, dsc_int left)
{
    v_store_start(p, v, v_mask(0, left));
}

INLINE void v_store_first(real *p, vec v, dsc_int left)
{
    if (left >= LANES)
        v_store(p, v);
    else
        v_store_end(p, v, left);
}

INLINE vec v_select(ivec which, vec yes, vec no)
{
    return (vec)(((ivec)yes & which) | ((ivec)no & ~which));
}

/* By the sign bit: comparing would raise a flag for NaN. */
INLINE ivec v_negative(vec v)
{
    return (ivec)v < v_ispread(0);
}

INLINE vec v_abs(vec v)
{
    return (vec)((ivec)v & (ivec)~(ivec)v_spread((real)-0.0));
}

/* `count` lanes to or from memory `step` elements apart. */
static __attribute__((noinline, unused)) void v_scatter(real *p, dsc_int step, vec v, int count)
{
    real lanes[LANES];
    memcpy(lanes, &v, sizeof v);
    for (int i = 0; i < count; ++i)
        p[i * step] = lanes[i];
}

static __attribute__((noinline, unused)) vec v_gather(const real *p, dsc_int step, int count)
{
    real lanes[LANES] = {0};
    vec v;
    for (int i = 0; i < count; ++i)
        lanes[i] = p[i * step];
    memcpy(&v, lanes, sizeof v);
    return v;
}

#endif
