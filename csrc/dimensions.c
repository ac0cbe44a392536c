/* The hook that knows the sizes of a configured ufunc: checks those that came, and sets those that follow. */
#include "gufunc.h"

static npy_intp *size_of(const bound *b, npy_intp *sizes, char letter)
{
    int index = b->dimension[(int)letter];
    return index < 0 ? NULL : &sizes[index];
}

dsc_int size_along(const bound *b, const npy_intp *sizes, char letter)
{
    int index = b->dimension[(int)letter];
    return index < 0 ? 1 : (dsc_int)sizes[index];
}

static int refuse_empty(const bound *b, const char *argument, const char *what)
{
    PyErr_Format(PyExc_ValueError, "%s: %s must have at least one %s, got 0", b->name, argument, what);
    return -1;
}

static const char *axis_name(int axis)
{
    static const char *const names[] = {"depth", "height", "width"};
    return names[axis];
}

static bool writes_taps(const bound *b)
{
    return b->row->output == TAPS;
}

static bool is_gradient(const bound *b)
{
    return b->row->output != Y;
}

static const char *kernel_argument(const bound *b)
{
    return writes_taps(b) ? "kernel_size" : b->row->kernel == DSC_SEPARABLE ? "depthwise_weight" : "weight";
}

/* The argument that has the size of the convolution's input. */
static const char *input_argument(const bound *b)
{
    return b->row->output == X ? "input_size" : "x";
}

static int refuse_fit(const bound *b, dsc_fit fit, int axis, const dsc_extent *e)
{
    const char *name = axis_name(axis), *x = input_argument(b), *kernel = kernel_argument(b);
    long long in = e->in[axis], taps = e->kernel[axis], dilation = b->geometry.dilation[axis];
    if (fit == DSC_EMPTY_KERNEL)
        return refuse_empty(b, kernel, "tap on each axis");
    if (fit == DSC_EMPTY_INPUT)
        PyErr_Format(PyExc_ValueError, "%s: %s has size 0 along its %s, which this padding_mode cannot extend; need 1",
                     b->name, x, name);
    else if (fit == DSC_OVERFLOW)
        PyErr_Format(PyExc_ValueError, "%s: sizes along the %s (input %lld, kernel %lld, dilation %lld) are too large: "
                     "the padded size does not fit 64 bits", b->name, name, in, taps, dilation);
    else
        PyErr_Format(PyExc_ValueError, "%s: %s is too small along its %s for the weight: input %lld plus padding is less "
                     "than dilation*(kernel-1)+1 with kernel %lld and dilation %lld; the output size "
                     "floor((in + low + high - dilation*(kernel-1) - 1)/stride) + 1 would not be positive",
                     b->name, x, name, in, taps, dilation);
    return -1;
}

/* What a transposed convolution may be asked for, and was not. */
static int refuse_transposed(const bound *b, dsc_fit fit, int axis, const dsc_extent *e, dsc_int wanted)
{
    const dsc_geometry *g = &b->geometry;
    const char *rule = g->padding == DSC_EXPLICIT ?
        "(in - 1)*stride - low - high + dilation*(kernel-1) + 1 + output_padding" : "in*stride";
    bool given = is_gradient(b) || b->sized;
    dsc_int least = 0, most = 0;
    if (fit == DSC_EMPTY_KERNEL || fit == DSC_OVERFLOW)
        return refuse_fit(b, fit, axis, e);
    dsc_transposed_range(g, axis, e->in[axis], e->kernel[axis], &least, &most);
    if (fit == DSC_EMPTY_OUTPUT)
        PyErr_Format(PyExc_ValueError, "%s: the output size along the %s, %s, must be at least 1; it is %lld with input "
                     "%lld, kernel %lld", b->name, axis_name(axis), rule, (long long)(given ? wanted : least + g->extra[axis]),
                     (long long)e->in[axis], (long long)e->kernel[axis]);
    else if (given)
        PyErr_Format(PyExc_ValueError, "%s: %s has size %lld along its %s, needs at least %lld and at most %lld: %s, where "
                     "output_padding is less than max(stride, dilation), with input %lld, kernel %lld",
                     b->name, is_gradient(b) ? "grad_output" : "output_size", (long long)wanted, axis_name(axis),
                     (long long)least, (long long)most, rule, (long long)e->in[axis], (long long)e->kernel[axis]);
    else
        PyErr_Format(PyExc_ValueError, "%s: output_padding must be less than max(stride, dilation) = %lld along the %s, "
                     "got %lld", b->name, (long long)(most - least + 1), axis_name(axis), (long long)g->extra[axis]);
    return -1;
}

/* The extent of the convolution (not of its gradient), from bound sizes and from those of the operands. */
dsc_fit resolve_sizes(const bound *b, const npy_intp *sizes, dsc_extent *e, int *axis)
{
    dsc_int in[3] = {1, 1, 1}, kernel[3] = {1, 1, 1}, out[3] = {1, 1, 1};
    for (*axis = 3 - b->geometry.rank; *axis < 3; ++*axis) {
        in[*axis] = b->row->output == X ? b->sizes[*axis] : size_along(b, sizes, input_axes[*axis]);
        kernel[*axis] = writes_taps(b) ? b->sizes[*axis] : size_along(b, sizes, kernel_axes[*axis]);
        out[*axis] = is_gradient(b) ? size_along(b, sizes, output_axes[*axis]) : b->sizes[*axis];
    }
    if (b->row->window == CONVOLUTION)
        return dsc_resolve(&b->geometry, in, kernel, e, axis);
    return dsc_resolve_transposed(&b->geometry, in, kernel, is_gradient(b) || b->sized ? out : NULL, e, axis);
}

/* Set an output size, or check the one that came with an operand. */
static int settle(const bound *b, npy_intp *size, dsc_int needed, const char *argument, const char *rule)
{
    if (*size == -1)
        *size = (npy_intp)needed;
    if (*size == needed)
        return 0;
    PyErr_Format(PyExc_ValueError, "%s: %s has size %lld where %s needs %lld", b->name, argument, (long long)*size, rule,
                 (long long)needed);
    return -1;
}

/* The depth multiplier of a weight gradient follows from the channels of x and of grad_output. */
static int settle_multiplier(const bound *b, npy_intp *sizes)
{
    dsc_int channels = *size_of(b, sizes, 'c'), outputs = *size_of(b, sizes, 'o');
    if (channels == 0 ? outputs != 0 : outputs % channels != 0 || outputs == 0) {
        PyErr_Format(PyExc_ValueError, "%s: grad_output has %lld channels, needs a multiple of the %lld channels of x",
                     b->name, (long long)outputs, (long long)channels);
        return -1;
    }
    return settle(b, size_of(b, sizes, 'm'), channels ? outputs / channels : 1, "out (its second axis)",
                  "channels of grad_output / channels of x");
}

static int settle_channels(const bound *b, npy_intp *sizes)
{
    npy_intp *channels = size_of(b, sizes, 'c'), *multiplier = size_of(b, sizes, 'm');
    npy_intp *outputs = size_of(b, sizes, 'o'), *mixed = size_of(b, sizes, 'k');
    bool mixes = b->row->kernel == DSC_POINTWISE || b->row->kernel == DSC_SEPARABLE ||
                 b->row->kernel == DSC_STANDARD;
    dsc_int product;
    if (writes_taps(b))
        return settle_multiplier(b, sizes);
    if (multiplier && *multiplier == 0)
        return refuse_empty(b, kernel_argument(b), "output per channel (its second axis)");
    if (mixes && *outputs == 0)
        return refuse_empty(b, mixed ? "pointwise_weight" : "weight", "output channel (its first axis)");
    if (b->row->output == MIXING && *outputs == 0)
        return refuse_empty(b, "grad_output", "channel");
    if (!multiplier)
        return 0;
    if (!dsc_multiply(*channels, *multiplier, &product)) {
        PyErr_Format(PyExc_ValueError, "%s: channels * depth multiplier does not fit 64 bits", b->name);
        return -1;
    }
    if (mixed)
        return settle(b, mixed, product, "pointwise_weight (its second axis) or depthwise_bias",
                      "channels * depth multiplier");
    return settle(b, outputs, product, is_gradient(b) ? "grad_output (its channel axis)" : "bias or out (its channel axis)",
                  "channels * depth multiplier");
}

static int settle_window(const bound *b, npy_intp *sizes)
{
    dsc_extent e;
    int axis;
    dsc_fit fit = resolve_sizes(b, sizes, &e, &axis);
    if (fit != DSC_FITS && b->row->window == TRANSPOSED)
        return refuse_transposed(b, fit, axis, &e, is_gradient(b) ? size_along(b, sizes, output_axes[axis]) : b->sizes[axis]);
    if (fit != DSC_FITS)
        return refuse_fit(b, fit, axis, &e);
    for (axis = 3 - b->geometry.rank; axis < 3; ++axis) {
        const char *y = is_gradient(b) ? "grad_output" : "out", *rule = axis_name(axis);
        if (settle(b, size_of(b, sizes, output_axes[axis]), e.out[axis], y, rule) < 0)
            return -1;
        if (b->row->output == X && settle(b, size_of(b, sizes, input_axes[axis]), e.in[axis], "out", rule) < 0)
            return -1;
        if (writes_taps(b) && settle(b, size_of(b, sizes, kernel_axes[axis]), e.kernel[axis], "out", "kernel_size") < 0)
            return -1;
    }
    return 0;
}

int check_core_dimensions(PyUFuncObject *ufunc, npy_intp *sizes)
{
    const bound *b = bound_of((PyObject *)ufunc);
    if (settle_channels(b, sizes) < 0)
        return -1;
    return b->row->window == NO_WINDOW ? 0 : settle_window(b, sizes);
}
