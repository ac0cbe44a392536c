/* The ufunc loops: operands to a problem, and the problem to the kernels without the GIL. */
#include "gufunc.h"

#define POLL_SECONDS 0.05
#define BRIEF_WORK (1 << 14)   /* multiply-adds */
#define LOOK_TICKS (1 << 18)   /* of the time stamp counter: some 0.1 ms */

enum { NOT_CALLING = 0, NEVER_POLLED = -1 };
static _Thread_local double next_poll = NOT_CALLING;   /* a time, or one of these */

/* Has another look at the clock been a moment ago? It takes as long as a small tile, the processor's own counter a quarter. */
static bool looked_lately(void)
{
#ifdef __x86_64__
    static _Thread_local uint64_t last;
    const uint64_t now = __builtin_ia32_rdtsc();
    if (now - last < LOOK_TICKS)
        return true;
    last = now;
#endif
    return false;
}

/* True when a signal handler has raised: the exception is set and the call must end. */
static bool poll_signals(void)
{
    double time;
    if (next_poll == NOT_CALLING || looked_lately() || (time = dsc_seconds()) < next_poll)
        return false;
    const bool first = next_poll == NEVER_POLLED;
    next_poll = time + POLL_SECONDS;
    if (first)
        return false;
    PyGILState_STATE state = PyGILState_Ensure();
    bool raised = PyErr_CheckSignals() < 0;
    PyGILState_Release(state);
    return raised;
}

/* Bytes as elements, of which each has 2, 4 or 8: a tiny call would spend a tenth of its time on divisions. */
static dsc_int elements(npy_intp bytes, int item)
{
    return (dsc_int)bytes >> __builtin_ctz((unsigned)item);
}

/* Elements between neighbours along one axis of an operand; 0 where the axis is absent. */
static dsc_int step_along(const char *letters, const npy_intp *strides, char letter, int item)
{
    const char *at = strchr(letters, letter);
    return at ? elements(strides[at - letters], item) : 0;
}

static void set_steps(const char *letters, const npy_intp *strides, const char *axes, int item, dsc_int step[3])
{
    for (int axis = 0; axis < 3; ++axis)
        step[axis] = step_along(letters, strides, axes[axis], item);
}

/* Steps that dsc_tidy_map sets, but such that a convolution has one order of summation: with a single column, or a single output,
 * that of many, which follows from the layout that the steps tell. */
static void tidy_single(const bound *b, dsc_problem *p)
{
    const bool converted = p->parts == 2 || p->format != DSC_NATIVE, last = b->channels_last;
    const bool x_single = p->e.in[1] == 1 && p->e.in[2] == 1, y_single = p->e.out[1] == 1 && p->e.out[2] == 1;
    if (x_single && (last ? p->e.stride[2] > 1 : converted))
        p->x.step[2] = last ? p->channels * p->parts : p->parts;
    if (y_single && converted)
        p->y.step[2] = last ? p->outputs * p->parts : p->parts;
}

static dsc_int first_step(const char *letters, const npy_intp *strides, int item)
{
    return *letters ? elements(strides[0], item) : 0;
}

static void set_operand(const bound *b, dsc_problem *p, int role, char *data, dsc_int batch, const npy_intp *strides,
                        int item)
{
    const char *letters = b->letters[role];
    switch (role) {
    case TAPS:
        p->taps = (dsc_taps){data, batch, elements(strides[0], item), elements(strides[1], item), {0}};
        set_steps(letters, strides, kernel_axes, item, p->taps.step);
        break;
    case MIXING:
        /* of a standard convolution: has_dense_rows */
        if (b->row->kernel == DSC_STANDARD) {
            p->mixing = (dsc_matrix){data, batch, elements(strides[0], item), 1};
            p->windows = true;
            break;
        }
        p->mixing = (dsc_matrix){data, batch, elements(strides[0], item), elements(strides[1], item)};
        break;
    case TAPS_BIAS:
        p->taps_bias = (dsc_vector){data, batch, first_step(letters, strides, item)};
        break;
    case MIXING_BIAS:
        p->mixing_bias = (dsc_vector){data, batch, first_step(letters, strides, item)};
        break;
    default: {
        dsc_map *map = role == X ? &p->x : &p->y;
        *map = (dsc_map){.data = data, .batch = batch};
        map->channel = step_along(letters, strides, role == X ? 'c' : 'o', item);
        set_steps(letters, strides, role == X || b->row->window == NO_WINDOW ? input_axes : output_axes, item, map->step);
    }
    }
}

/* The images that a weight gradient sums over, their axes without those of size 1. */
static void set_images(const bound *b, dsc_images *images, const npy_intp *sizes, const npy_intp *x, const npy_intp *y,
                       int item)
{
    *images = (dsc_images){.count = 1};
    for (int axis = 0; axis < b->batch_axes; ++axis) {
        dsc_int size = size_along(b, sizes, (char)('A' + axis));
        images->count *= size;
        if (size == 1)
            continue;
        images->size[images->axes] = size;
        images->x[images->axes] = x ? elements(x[axis], item) : 0;
        images->y[images->axes++] = elements(y[axis], item);
    }
}

static void set_sizes(const bound *b, dsc_problem *p, const npy_intp *sizes)
{
    int axis;
    if (b->row->window != NO_WINDOW) {
        resolve_sizes(b, sizes, &p->e, &axis);
    } else {
        p->e = (dsc_extent){.kernel = {1, 1, 1}, .stride = {1, 1, 1}, .dilation = {1, 1, 1}};
        for (axis = 0; axis < 3; ++axis)
            p->e.in[axis] = p->e.out[axis] = size_along(b, sizes, input_axes[axis]);
    }
    p->channels = size_along(b, sizes, 'c');
    p->multiplier = size_along(b, sizes, 'm');
    p->outputs = size_along(b, sizes, 'o');
    p->summands = 1;
    if (b->row->kernel == DSC_STANDARD)
        p->multiplier = p->e.kernel[0] * p->e.kernel[1] * p->e.kernel[2];
}

/* Channels that belong to one group become a group and a multiplier. */
static void group_channels(dsc_map *map, dsc_int multiplier)
{
    map->multiplier = map->channel;
    map->channel *= multiplier;
}

/* The gradient of x: the adjoint, from y to x, sums over what the depth multiplier multiplied. */
static void turn_to_input(const bound *b, dsc_problem *p)
{
    dsc_map x = p->x;
    p->x = p->y, p->y = x;
    if (b->row->window == NO_WINDOW) {
        p->mixing = (dsc_matrix){p->mixing.data, p->mixing.batch, p->mixing.column, p->mixing.row};
        dsc_int channels = p->channels;
        p->channels = p->outputs, p->outputs = channels;
        p->conjugate = true;
        return;
    }
    group_channels(&p->x, p->multiplier);
    p->summands = p->multiplier, p->multiplier = 1, p->outputs = p->channels;
    p->fold = p->e.mode != DSC_ZEROS;
    dsc_exchange(&p->e);
    p->conjugate = true;
}

/* The gradient of the taps: x is what they are moved over, y what they are multiplied by. */
static void turn_to_taps(const bound *b, dsc_problem *p, dsc_images *images)
{
    group_channels(&p->y, p->multiplier);
    if (b->row->window == CONVOLUTION)
        return;
    dsc_map x = p->x;
    p->x = p->y, p->y = x;
    p->conjugate = true;
    for (int axis = 0; axis < images->axes; ++axis) {
        dsc_int step = images->x[axis];
        images->x[axis] = images->y[axis], images->y[axis] = step;
    }
    dsc_exchange(&p->e);
}

/* Sums over channels are the weight gradient of a single tap over an x of ones. */
static void turn_to_sums(dsc_problem *p)
{
    p->channels = p->outputs;
    p->taps = (dsc_taps){.data = p->mixing_bias.data, .batch = p->mixing_bias.batch, .channel = p->mixing_bias.step};
}

static void read_operands(const bound *b, dsc_problem *p, char *const *data, const npy_intp *sizes,
                          const npy_intp *strides, int item, dsc_images *images)
{
    const npy_intp *core = strides + b->operands, *steps[ROLES] = {NULL};
    for (int i = 0; i < b->operands; ++i) {
        int role = b->roles[i];
        steps[role] = core;
        set_operand(b, p, role, data[i], elements(strides[i], item), core, item);
        core += strlen(b->letters[role]);
    }
    if (b->batch_axes)
        set_images(b, images, sizes + 1, steps[X], steps[Y], item);
}

/* One data type of the loops: the real type it is computed in, and how arrays hold it. */
typedef struct { int type; dsc_format format; int item, parts; } storage;

static void read_problem(const bound *b, char *const *data, const npy_intp *sizes, const npy_intp *strides, const storage *s,
                         dsc_problem *p, dsc_images *images)
{
    *p = (dsc_problem){.format = s->format, .item = s->item, .parts = s->parts, .batch = sizes[0],
                       .taps_activation = b->taps_activation, .mixing_activation = b->mixing_activation, .images = images};
    int kernel = b->row->kernel;
    images->axes = 0, images->count = 1;
    set_sizes(b, p, sizes + 1);
    read_operands(b, p, data, sizes, strides, s->item, images);
    dsc_tidy_map(&p->x, p->e.in, p->channels);
    dsc_tidy_map(&p->y, p->e.out, p->outputs);
    if (b->row->window == CONVOLUTION)
        tidy_single(b, p);
    if (b->row->output == X)
        turn_to_input(b, p);
    else if (b->row->output == TAPS)
        turn_to_taps(b, p, images);
    else if (kernel == DSC_DEPTHWISE_WEIGHTS)
        turn_to_sums(p);
    if (kernel == DSC_POINTWISE || kernel == DSC_POINTWISE_WEIGHTS||
        (kernel == DSC_DEPTHWISE_WEIGHTS && b->row->window == NO_WINDOW))
        dsc_collapse_pixels(p);
}

/* Some microseconds at most: to let others have the GIL would take a tenth of that, and to get it back may take longer. */
static bool is_brief(const dsc_problem *p)
{
    const dsc_extent *e = &p->e;
    double work = (double)p->batch * (double)p->outputs * (double)p->summands * (p->images ? (double)p->images->count : 1);
    for (int axis = 0; axis < 3; ++axis)
        work *= (double)e->out[axis] * (double)e->kernel[axis];
    return work * (p->mixing.data ? (double)p->channels : 1) < BRIEF_WORK;
}

dsc_status execute_without_gil(const dsc_table *table, int kernel, dsc_problem *p)
{
    /* NumPy keeps the GIL where it takes a call for short, judging by the output alone. */
    PyThreadState *state = PyGILState_Check() && !is_brief(p) ? PyEval_SaveThread() : NULL;
    dsc_problem copy;
    if (kernel == DSC_DEPTHWISE)
        p = table->arrange_axes(p, &copy);
    p->poll = poll_signals;
    next_poll = NEVER_POLLED;
    const bool stages = kernel == DSC_SEPARABLE && table->in_stages(p);
    dsc_status status = stages ? dsc_execute_stages(table, p) : dsc_execute(&table->operation[kernel], p);
    next_poll = NOT_CALLING;
    if (state)
        PyEval_RestoreThread(state);
    return status;
}

static int refuse_call(PyObject *type, const bound *b, const char *what)
{
    PyGILState_STATE gil = PyGILState_Ensure();
    PyErr_Format(type, "%s: %s", b->name, what);
    PyGILState_Release(gil);
    return -1;
}

/* The weights of a standard convolution are read as a matrix of [output][channel, tap]. */
static bool has_dense_rows(const bound *b, const npy_intp *sizes, const npy_intp *strides, int item)
{
    const char *letters = b->letters[MIXING];
    npy_intp dense = item;
    strides += b->operands;
    for (int i = 0; b->roles[i] != MIXING; ++i)
        strides += strlen(b->letters[b->roles[i]]);
    for (size_t axis = strlen(letters) - 1; axis > 0; --axis) {
        npy_intp size = (npy_intp)size_along(b, sizes + 1, letters[axis]);
        if (size > 1 && strides[axis] != dense)
            return false;
        dense *= size;
    }
    return true;
}

static int run_loop(const bound *b, char *const *data, const npy_intp *sizes, const npy_intp *strides, const storage *s)
{
    dsc_images images;
    if (b->row->kernel == DSC_STANDARD && !has_dense_rows(b, sizes, strides, s->item))
        return refuse_call(PyExc_ValueError, b, "weight must be dense but for its first axis");
    dsc_problem p;
    read_problem(b, data, sizes, strides, s, &p, &images);
    dsc_status status = execute_without_gil(dsc_active(s->type), b->row->kernel, &p);
    if (status == DSC_DONE)
        record_call(b, s->type, &p);
    if (status != DSC_NO_MEMORY)
        return status == DSC_DONE ? 0 : -1;
    return refuse_call(PyExc_MemoryError, b, "not enough memory for scratch space");
}

int run_reals(const bound *b, bool wide, char *const *data, const npy_intp *sizes, const npy_intp *strides)
{
    static const storage reals[] = {{DSC_FLOAT32, DSC_NATIVE, 4, 1}, {DSC_FLOAT64, DSC_NATIVE, 8, 1}};
    return run_loop(b, data, sizes, strides, &reals[wide]);
}

#define LOOP(name, ...) \
    int loop_##name(PyArrayMethod_Context *context, char *const *data, const npy_intp *sizes, const npy_intp *strides, \
                    NpyAuxData *unused) \
    { \
        static const storage s = {__VA_ARGS__}; \
        (void)unused; \
        return run_loop(bound_of(context->caller), data, sizes, strides, &s); \
    }

LOOP(f16, DSC_FLOAT32, DSC_HALF, 2, 1)
LOOP(bf16, DSC_FLOAT32, DSC_BFLOAT, 2, 1)
LOOP(f32, DSC_FLOAT32, DSC_NATIVE, 4, 1)
LOOP(f64, DSC_FLOAT64, DSC_NATIVE, 8, 1)
LOOP(c64, DSC_FLOAT32, DSC_NATIVE, 4, 2)
LOOP(c128, DSC_FLOAT64, DSC_NATIVE, 8, 2)
