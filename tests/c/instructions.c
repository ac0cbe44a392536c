/* One call of the kernels on a fixed problem, so that its instructions can be counted.
 *
 *     instructions            the problems, one a line: multiply-adds, name
 *     instructions NAME       runs that problem twice, the second time inside measured_call()
 *
 * Multiply-adds leave out the taps that meet padding. Arrays are dense and begin at cache lines. */
#include "testing.h"

#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    const char *name, *operation;
    int kind, rank;
    bool channels_last;
    dsc_int batch, channels, outputs, size, kernel, stride, dilation;
} fixed_problem;

static const fixed_problem problems[] = {
    {"depthwise 3x3", "depthwise", FLOAT32, 2, false, 1, 32, 32, 56, 3, 1, 1},
    {"depthwise 3x3, channels last", "depthwise", FLOAT32, 2, true, 1, 32, 32, 56, 3, 1, 1},
    {"depthwise 3x3, 3 channels, channels last", "depthwise", FLOAT32, 2, true, 1, 3, 3, 112, 3, 1, 1},
    {"depthwise 3x3, small planes", "depthwise", FLOAT32, 2, false, 1, 100, 100, 13, 3, 1, 1},
    {"depthwise 5x5", "depthwise", FLOAT32, 2, false, 1, 32, 32, 28, 5, 1, 1},
    {"depthwise 5x5, channels last", "depthwise", FLOAT32, 2, true, 1, 32, 32, 28, 5, 1, 1},
    {"depthwise 7x7", "depthwise", FLOAT32, 2, false, 1, 32, 32, 28, 7, 1, 1},
    {"depthwise 7x7, channels last", "depthwise", FLOAT32, 2, true, 1, 32, 32, 28, 7, 1, 1},
    {"depthwise 11x11", "depthwise", FLOAT32, 2, false, 1, 16, 16, 28, 11, 1, 1},
    {"depthwise 3x3, stride 2", "depthwise", FLOAT32, 2, false, 1, 32, 32, 56, 3, 2, 1},
    {"depthwise 3x3, stride 2, channels last", "depthwise", FLOAT32, 2, true, 1, 32, 32, 56, 3, 2, 1},
    {"depthwise 3x3, stride 3", "depthwise", FLOAT32, 2, false, 1, 32, 32, 56, 3, 3, 1},
    {"depthwise 1D, stride 2", "depthwise", FLOAT32, 1, false, 1, 64, 64, 500, 7, 2, 1},
    {"depthwise 3x3, rate 6", "depthwise", FLOAT32, 2, false, 1, 32, 32, 33, 3, 1, 6},
    {"depthwise 1D, 31 taps", "depthwise", FLOAT32, 1, false, 1, 64, 64, 500, 31, 1, 1},
    {"depthwise 3x3x3", "depthwise", FLOAT32, 3, false, 1, 16, 16, 14, 3, 1, 1},
    {"depthwise 3x3, float64", "depthwise", FLOAT64, 2, false, 1, 32, 32, 28, 3, 1, 1},
    {"depthwise 3x3, float16", "depthwise", FLOAT16, 2, false, 1, 32, 32, 28, 3, 1, 1},
    {"depthwise 3x3, complex64", "depthwise", COMPLEX64, 2, false, 1, 32, 32, 28, 3, 1, 1},
    {"depthwise 3x3, complex64, channels last", "depthwise", COMPLEX64, 2, true, 1, 32, 32, 28, 3, 1, 1},
    {"transposed depthwise 4x4, stride 2", "transposed depthwise", FLOAT32, 2, false, 1, 32, 32, 28, 4, 2, 1},
    {"transposed depthwise 3x3, stride 2", "transposed depthwise", FLOAT32, 2, false, 1, 32, 32, 28, 3, 2, 1},
    {"transposed depthwise 4x4x4, stride 2", "transposed depthwise", FLOAT32, 3, false, 1, 8, 8, 14, 4, 2, 1},
    {"separable 3x3", "separable", FLOAT32, 2, false, 1, 64, 64, 28, 3, 1, 1},
    {"separable 3x3, channels last", "separable", FLOAT32, 2, true, 1, 64, 64, 28, 3, 1, 1},
    {"pointwise", "pointwise", FLOAT32, 2, false, 1, 64, 64, 28, 1, 1, 1},
    {"pointwise, float64", "pointwise", FLOAT64, 2, false, 1, 64, 64, 28, 1, 1, 1},
    {"pointwise, complex64", "pointwise", COMPLEX64, 2, false, 1, 64, 64, 28, 1, 1, 1},
    {"weight gradient 3x3", "depthwise weight gradient", FLOAT32, 2, false, 4, 32, 32, 28, 3, 1, 1},
    {"weight gradient 3x3, channels last", "depthwise weight gradient", FLOAT32, 2, true, 4, 32, 32, 28, 3, 1, 1},
    {"weight gradient 3x3, small planes", "depthwise weight gradient", FLOAT32, 2, false, 4, 64, 64, 7, 3, 1, 1},
    {"weight gradient 1D, 15 taps", "depthwise weight gradient", FLOAT32, 1, false, 4, 32, 32, 500, 15, 1, 1},
    {"pointwise weight gradient", "pointwise weight gradient", FLOAT32, 2, false, 4, 64, 64, 14, 1, 1, 1},
};
enum { PROBLEMS = sizeof problems / sizeof *problems };

static const operation_row *row_named(const char *name)
{
    const operation_row *row = operations;
    while (strcmp(row->name, name))
        ++row;
    return row;
}

/* Padded like a network's layer: the size is kept, or divided or multiplied by the stride. */
static test_case case_of(const fixed_problem *f)
{
    test_case t = {.row = row_named(f->operation), .kind = &storages[f->kind], .batch = f->batch, .sum_a = 1, .sum_b = 1,
                   .channels = f->channels, .multiplier = 1, .outputs = f->outputs, .tidy = true};
    dsc_geometry *g = &t.geometry;
    *g = (dsc_geometry){.rank = f->rank, .stride = {1, 1, 1}, .dilation = {1, 1, 1}};
    for (int axis = 0; axis < 3; ++axis) {
        bool used = axis >= 3 - f->rank;
        t.in[axis] = t.out[axis] = used ? f->size : 1, t.kernel[axis] = used ? f->kernel : 1;
        if (used)
            g->stride[axis] = f->stride, g->dilation[axis] = f->dilation,
            g->low[axis] = g->high[axis] = f->dilation * (f->kernel - 1) / 2;
    }
    if (t.row->result != X && t.row->result != Y)
        t.sum_a = f->batch, t.batch = 1;
    dsc_extent e;
    if (resolve_case(&t, &e) != DSC_FITS)
        abort();
    memcpy(t.out, e.out, sizeof t.out), memcpy(t.low, e.low, sizeof t.low);
    return t;
}

static double multiply_adds_of(const test_case *t)
{
    const dsc_geometry *g = &t->geometry;
    const dsc_int *from = starts_of(t), *to = t->row->window == TRANSPOSED ? t->out : t->in;
    double pairs = 1, pixels = 1, images = (double)(t->batch * t->sum_a * t->sum_b);
    for (int axis = 0; axis < 3; ++axis) {
        dsc_int inside = 0;
        for (dsc_int i = 0; i < from[axis]; ++i)
            for (dsc_int k = 0; k < t->kernel[axis]; ++k) {
                dsc_int at = i * g->stride[axis] + k * g->dilation[axis] - t->low[axis];
                inside += at >= 0 && at < to[axis];
            }
        pairs *= (double)inside, pixels *= (double)t->out[axis];
    }
    double taps = has_array(t->row, TAPS) ? (double)middle_of(t) * pairs : 0;
    double mixing = has_array(t->row, MIXING) ? (double)(middle_of(t) * t->outputs) * pixels : 0;
    return images * (taps + mixing);
}

static void place_dense(test_case *t, int role, bool channels_last)
{
    static const int first[] = {IMAGE, IMAGES_A, IMAGES_B, CHANNEL, DEPTH, ROW, COLUMN};
    static const int last[] = {IMAGE, IMAGES_A, IMAGES_B, DEPTH, ROW, COLUMN, CHANNEL};
    array_shape shape = axes_of(t, role);
    operand *o = &t->array[role];
    dsc_int pitch = t->kind->parts;
    o->at.axes = shape.axes;
    for (int i = shape.axes - 1; i >= 0; --i) {
        int axis = shape.axes == AXES && channels_last ? last[i] : first[i];
        o->at.size[axis] = shape.size[axis], o->at.step[axis] = pitch;
        pitch *= shape.size[axis];
    }
    o->at.span = pitch;
    size_t bytes = ((size_t)pitch * t->kind->item + 63) & ~(size_t)63;
    o->data = o->memory = aligned_alloc(64, bytes);
    if (!o->data)
        abort();
    for (dsc_int i = 0; i < pitch; ++i)
        set_part(t->kind, o->data, i, (double)(i % 7) - 3);
}

static bool never(void) { return false; }

__attribute__((noipa)) void measured_call(const dsc_operation *operation, dsc_problem *p)
{
    if (dsc_execute(operation, p) != DSC_DONE)
        abort();
}

static void run(const fixed_problem *f)
{
    test_case t = case_of(f);
    for (int role = 0; role < OPERANDS; ++role)
        if (has_array(t.row, role) && (t.row->result != Y || (role != TAPS_BIAS && role != MIXING_BIAS)))
            place_dense(&t, role, f->channels_last);
    const dsc_operation *operation = &dsc_active(t.kind->type)->operation[t.row->kernel];
    dsc_problem p = problem_of(&t);
    p.poll = never;
    /* The first call allocates scratch. */
    if (dsc_execute(operation, &p) != DSC_DONE)
        abort();
    measured_call(operation, &p);
}

int main(int argc, char **argv)
{
    dsc_parallel_init();
    dsc_dispatch_init();
    dsc_set_threads(1);
    if (!dsc_select("avx2")) {
        fprintf(stderr, "no kernel set avx2 here\n");
        return 2;
    }
    for (int i = 0; i < PROBLEMS; ++i) {
        if (argc < 2) {
            test_case t = case_of(&problems[i]);
            printf("%.0f %s\n", multiply_adds_of(&t), problems[i].name);
        } else if (!strcmp(argv[1], problems[i].name)) {
            run(&problems[i]);
            return 0;
        }
    }
    return argc > 1;
}
