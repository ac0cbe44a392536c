/* Long sums: blocks of bounded length, added up in pairs, in an order that the sizes alone decide. */
#ifndef DSCONV_REDUCTION_H
#define DSCONV_REDUCTION_H

#include "../vec.h"
#include "walk.h"

/* Sums of 1, 2, 4, ... blocks that wait for their partner; level l is there if bit l of count is set. A block is an array of
 * `size` reals, a multiple of LANES. The last place is for the block that is being summed. */
typedef struct { real *levels; dsc_int size, count, depth; } cascade;

static dsc_int cascade_levels(double blocks)
{
    dsc_int levels = 1;
    while (blocks >= 2)
        blocks /= 2, ++levels;
    return levels;
}

static void add_block(real *sum, const real *other, dsc_int size)
{
    for (dsc_int i = 0; i < size; i += LANES)
        v_store(sum + i, v_load(sum + i) + v_load(other + i));
}

static cascade start_cascade(real *memory, dsc_int size, dsc_int levels)
{
    return (cascade){.levels = memory, .size = size, .depth = levels};
}

static real *open_block(const cascade *c)
{
    return c->levels + c->depth * c->size;
}

static void clear_block(const cascade *c)
{
    memset(open_block(c), 0, (size_t)c->size * sizeof(real));
}

/* The open block is complete. */
static void close_block(cascade *c)
{
    real *block = open_block(c);
    dsc_int level = 0;
    for (; c->count >> level & 1; ++level)
        add_block(block, c->levels + level * c->size, c->size);
    memcpy(c->levels + level * c->size, block, (size_t)c->size * sizeof(real));
    ++c->count;
}

/* The sum of all blocks: the only one, or in place of the open one. */
static const real *total_of(const cascade *c)
{
    if (c->count == 1)
        return c->levels;
    clear_block(c);
    for (dsc_int level = 0; c->count >> level; ++level)
        if (c->count >> level & 1)
            add_block(open_block(c), c->levels + level * c->size, c->size);
    return open_block(c);
}

/* The first half of the lanes and the second, the first quarter and the second, ...; other lanes mirror those. */
#define TURNED(i, width) (((i) + (width)) % LANE_COUNT)
#define TURNED_8(i) TURNED(i, 8)
#define TURNED_4(i) TURNED(i, 4)
#define TURNED_2(i) TURNED(i, 2)
#define TURNED_1(i) TURNED(i, 1)
INLINE real sum_of_lanes(vec v)
{
    if (LANES > 8)
        v += SHUFFLE(v, v, TURNED_8);
    if (LANES > 4)
        v += SHUFFLE(v, v, TURNED_4);
    if (LANES > 2)
        v += SHUFFLE(v, v, TURNED_2);
    v += SHUFFLE(v, v, TURNED_1);
    return v[0];
}

/* Steps to image n along its axes. */
static dsc_int image_offset(const dsc_images *images, const dsc_int *steps, dsc_int n)
{
    dsc_int offset = 0;
    if (images->axes == 1)
        return n * steps[0];
    for (int axis = images->axes - 1; axis >= 0; --axis) {
        offset += n % images->size[axis] * steps[axis];
        n /= images->size[axis];
    }
    return offset;
}

#endif
