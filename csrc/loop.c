/* The ufunc loops: operands to a problem, and the problem to the kernels without the GIL. */
#include "gufunc.h"

#include <time.h>

#define POLL_SECONDS 0.05

static _Thread_local double next_poll;   /* 0: not the thread that made the call */

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* True when a signal handler has raised: the exception is set and the call must end. */
static bool poll_signals(void)
{
    double time;
    if (next_poll == 0 || (time = now()) < next_poll)
        return false;
    next_poll = time + POLL_SECONDS;
    PyGILState_STATE state = PyGILState_Ensure();
    bool raised = PyErr_CheckSignals() < 0;
    PyGILState_Release(state);
    return raised;
}

/* Elements between neighbours along one axis of an operand; 0 where the axis is absent. */
static dsc_int step_along(const char *letters, const npy_intp *strides, char letter, int item)
{
    const char *at = strchr(letters, letter);
    return at ? (dsc_int)strides[at - letters] / item : 0;
}

static void set_steps(const char *letters, const npy_intp *strides, const char *axes, int item, dsc_int step[3])
{
    for (int axis = 0; axis < 3; ++axis)
        step[axis] = step_along(letters, strides, axes[axis], item);
}

/* NumPy gives axes of length 1 a step of 0. Steps that are never taken are set as a dense array has them. */
static void tidy_map(dsc_map *map, const dsc_int size[3], dsc_int channels)
{
    if (channels == 1 && size[2] > 1)
        map->channel = 0;
    if (size[2] == 1)
        map->step[2] = size[1] > 1 ? map->step[1] : 1;
    if (size[1] == 1)
        map->step[1] = size[2] * map->step[2];
}

static void set_operand(const bound *b, dsc_problem *p, int role, char *data, dsc_int batch, const npy_intp *strides,
                        int item)
{
    const char *letters = b->letters[role];
    switch (role) {
    case TAPS:
        p->taps = (dsc_taps){.data = data, .batch = batch, .channel = strides[0] / item, .multiplier = strides[1] / item};
        set_steps(letters, strides, "tij", item, p->taps.step);
        break;
    case MIXING:
        p->mixing = (dsc_matrix){data, batch, strides[0] / item, strides[1] / item};
        break;
    case TAPS_BIAS:
        p->taps_bias = (dsc_vector){data, batch, strides[0] / item};
        break;
    case MIXING_BIAS:
        p->mixing_bias = (dsc_vector){data, batch, strides[0] / item};
        break;
    default: {
        dsc_map *map = role == X ? &p->x : &p->y;
        bool input_letters = role == X || b->operation == DSC_POINTWISE;
        *map = (dsc_map){.data = data, .batch = batch};
        map->channel = step_along(letters, strides, role == X ? 'c' : 'o', item);
        set_steps(letters, strides, input_letters ? "dhw" : "rpq", item, map->step);
    }
    }
}

static dsc_int size_along(const bound *b, const npy_intp *sizes, char letter)
{
    int index = b->dimension[(int)letter];
    return index < 0 ? 1 : (dsc_int)sizes[index];
}

static void set_sizes(const bound *b, dsc_problem *p, const npy_intp *sizes)
{
    dsc_int in[3], kernel[3];
    int axis;
    for (axis = 0; axis < 3; ++axis) {
        in[axis] = size_along(b, sizes, "dhw"[axis]);
        kernel[axis] = size_along(b, sizes, "tij"[axis]);
    }
    dsc_resolve(&b->geometry, in, kernel, &p->e, &axis);
    p->channels = size_along(b, sizes, 'c');
    p->multiplier = size_along(b, sizes, 'm');
    p->outputs = size_along(b, sizes, 'o');
}

static bool evenly_spaced(const dsc_map *map, const dsc_int size[3])
{
    return (size[1] == 1 || map->step[1] == size[2] * map->step[2]) &&
           (size[0] == 1 || map->step[0] == size[1] * size[2] * map->step[2]);
}

/* A pointwise convolution does not care where its pixels are: one long row where both arrays allow it. */
static void collapse_pixels(dsc_problem *p)
{
    dsc_extent *e = &p->e;
    if (!evenly_spaced(&p->x, e->in) || !evenly_spaced(&p->y, e->in))
        return;
    e->in[2] *= e->in[0] * e->in[1];
    e->in[0] = e->in[1] = 1;
    memcpy(e->out, e->in, sizeof e->out);
    tidy_map(&p->x, e->in, p->channels);
    tidy_map(&p->y, e->out, p->outputs);
}

static dsc_problem read_problem(const bound *b, char *const *data, const npy_intp *sizes, const npy_intp *strides,
                                int item)
{
    dsc_problem p = {.batch = sizes[0], .taps_activation = b->taps_activation,
                     .mixing_activation = b->mixing_activation, .poll = poll_signals};
    const npy_intp *core = strides + b->operands;
    set_sizes(b, &p, sizes + 1);
    for (int i = 0; i < b->operands; ++i) {
        set_operand(b, &p, b->roles[i], data[i], strides[i] / item, core, item);
        core += strlen(b->letters[b->roles[i]]);
    }
    tidy_map(&p.x, p.e.in, p.channels);
    tidy_map(&p.y, p.e.out, p.outputs);
    if (b->operation == DSC_POINTWISE)
        collapse_pixels(&p);
    return p;
}

static int run_loop(PyArrayMethod_Context *context, char *const *data, const npy_intp *sizes, const npy_intp *strides,
                    int type, int item)
{
    const bound *b = bound_of(context->caller);
    dsc_problem p = read_problem(b, data, sizes, strides, item);
    /* NumPy keeps the GIL where it takes a call for short, judging by the output alone. */
    PyThreadState *state = PyGILState_Check() ? PyEval_SaveThread() : NULL;
    next_poll = now() + POLL_SECONDS;
    dsc_status status = dsc_execute(&dsc_active(type)->operation[b->operation], &p);
    next_poll = 0;
    if (state)
        PyEval_RestoreThread(state);
    if (status != DSC_NO_MEMORY)
        return status == DSC_DONE ? 0 : -1;
    PyGILState_STATE gil = PyGILState_Ensure();
    PyErr_Format(PyExc_MemoryError, "%s: not enough memory for scratch space", b->name);
    PyGILState_Release(gil);
    return -1;
}

int loop_f32(PyArrayMethod_Context *context, char *const *data, const npy_intp *sizes, const npy_intp *strides,
             NpyAuxData *unused)
{
    (void)unused;
    return run_loop(context, data, sizes, strides, DSC_FLOAT32, sizeof(float));
}

int loop_f64(PyArrayMethod_Context *context, char *const *data, const npy_intp *sizes, const npy_intp *strides,
             NpyAuxData *unused)
{
    (void)unused;
    return run_loop(context, data, sizes, strides, DSC_FLOAT64, sizeof(double));
}
