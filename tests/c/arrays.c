/* How the arrays of a case lie in memory, and what they hold. */
#include "testing.h"

#include <math.h>
#include <stdio.h>

static void draw_order(rng *r, int axes, int *order)
{
    for (int i = 0; i < axes; ++i)
        order[i] = i;
    if (chance(r, 40) && axes == AXES) {     /* channels last */
        const int last[] = {IMAGE, IMAGES_A, IMAGES_B, DEPTH, ROW, COLUMN, CHANNEL};
        for (int i = 0; i < axes; ++i)
            order[i] = last[i];
    } else if (chance(r, 20)) {
        for (int i = axes - 1; i > 0; --i) {
            int j = (int)between(r, 0, i), swapped = order[i];
            order[i] = order[j], order[j] = swapped;
        }
    }
}

static void measure(layout *l, int parts)
{
    dsc_int highest = l->lowest = l->span = 0;
    for (int i = 0; i < l->axes; ++i)
        if (l->size[i] == 0)
            return;
    for (int i = 0; i < l->axes; ++i) {
        dsc_int reach = (l->size[i] - 1) * l->step[i];
        *(reach < 0 ? &l->lowest : &highest) += reach;
    }
    l->span = highest - l->lowest + parts;
}

/* `shared`: an axis may repeat one element, as a broadcast array does. Elements of several parts need not lie at
 * multiples of their size: they may be fields of records. */
static layout draw_layout(rng *r, int axes, const dsc_int *size, int parts, bool shared)
{
    layout l = {.axes = axes};
    int order[AXES];
    bool gaps = chance(r, 40), flips = chance(r, 15);
    dsc_int pitch = gaps && chance(r, 30) ? between(r, parts + 1, parts + 2) : parts;
    draw_order(r, axes, order);
    for (int i = 0; i < axes; ++i)
        l.size[i] = size[i];
    for (int i = axes - 1; i >= 0; --i) {
        int axis = order[i];
        if (shared && chance(r, 4))
            continue;
        l.step[axis] = flips && chance(r, 50) ? -pitch : pitch;
        pitch = pitch * l.size[axis] + (gaps && chance(r, 50) ? between(r, 1, 9) : 0);
    }
    measure(&l, parts);
    return l;
}

static double draw_value(rng *r, const test_case *t)
{
    if (t->wild && chance(r, 2))
        return PICK(r, 0, 1) ? NAN : chance(r, 50) ? INFINITY : -INFINITY;
    return (double)between(r, -t->limit, t->limit);
}

static void fill_axis(rng *r, const test_case *t, operand *o, int axis, dsc_int offset)
{
    for (dsc_int i = 0; i < o->at.size[axis]; ++i, offset += o->at.step[axis]) {
        if (axis + 1 < o->at.axes) {
            fill_axis(r, t, o, axis + 1, offset);
            continue;
        }
        for (int part = 0; part < t->kind->parts; ++part)
            set_part(t->kind, o->data, offset + part, draw_value(r, t));
    }
}

/* An array that ends at a guard page, or begins behind one; what is between its elements is NaN. */
static bool place(rng *r, test_case *t, int role, int axes, const dsc_int *size)
{
    enum { ROOM = 32 << 20 };
    static guarded memory[OPERANDS];
    operand *o = &t->array[role];
    bool input = role != t->row->result;
    if (!memory[role].low)
        memory[role] = guarded_memory(ROOM);
    o->at = draw_layout(r, axes, size, t->kind->parts, input);
    o->memory = guarded_place(&memory[role], (size_t)o->at.span * t->kind->item, chance(r, 75));
    if (!o->memory)
        return false;
    o->data = o->memory - o->at.lowest * (dsc_int)t->kind->item;
    for (dsc_int i = 0; input && i < o->at.span; ++i)
        set_part(t->kind, o->memory, i, NAN);
    if (input)
        fill_axis(r, t, o, 0, 0);
    return true;
}

array_shape axes_of(const test_case *t, int role)
{
    const dsc_int n = t->batch, a = t->sum_a, b = t->sum_b, c = t->channels, m = t->multiplier, o = t->outputs;
    const dsc_int *in = t->in, *out = t->out, *k = t->kernel;
    const array_shape shapes[OPERANDS] = {
        [X] = {7, {n, a, b, c, in[0], in[1], in[2]}},
        [Y] = {7, {n, a, b, o, out[0], out[1], out[2]}},
        [TAPS] = {6, {n, c, m, k[0], k[1], k[2]}},
        [MIXING] = {3, {n, o, c * m}},
        [TAPS_BIAS] = {2, {n, c * m}},
        [MIXING_BIAS] = {2, {n, o}},
    };
    return shapes[role];
}

bool place_arrays(rng *r, test_case *t)
{
    for (int role = 0; role < OPERANDS; ++role) {
        bool optional = t->row->result == Y && (role == TAPS_BIAS || role == MIXING_BIAS);
        if (!has_array(t->row, role) || (optional && chance(r, 40)))
            continue;
        array_shape shape = axes_of(t, role);
        if (!place(r, t, role, shape.axes, shape.size))
            return false;
    }
    return true;
}

void describe_case(const test_case *t)
{
    static const char *const names[OPERANDS] = {"x", "y", "taps", "mixing", "taps bias", "mixing bias"};
    const dsc_geometry *g = &t->geometry;
    printf("  %s, %s, rank %d, padding %d, mode %d, activations %d %d%s%s; sizes*steps:\n", t->row->name, t->kind->name,
           g->rank, g->padding, g->mode, t->inner, t->outer, t->wild ? ", not finite" : "",
           t->tidy ? "" : ", steps not tidied");
    for (int axis = 0; axis < 3; ++axis)
        printf("  axis %d: in %lld kernel %lld out %lld stride %lld dilation %lld low %lld\n", axis,
               (long long)t->in[axis], (long long)t->kernel[axis], (long long)t->out[axis], (long long)g->stride[axis],
               (long long)g->dilation[axis], (long long)t->low[axis]);
    for (int role = 0; role < OPERANDS; ++role) {
        const operand *o = &t->array[role];
        if (!o->data)
            continue;
        printf("  %s:", names[role]);
        for (int i = 0; i < o->at.axes; ++i)
            printf(" %lld*%lld", (long long)o->at.size[i], (long long)o->at.step[i]);
        printf("\n");
    }
}
