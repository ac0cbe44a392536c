/* Signatures of configured ufuncs, and the hook that knows their output sizes. */
#include "gufunc.h"

/* One row per operation: the roles of its operands in order. A new operation is a new row. */
static const struct { int inputs[OPERANDS_MOST]; int count; } operation_table[DSC_OPERATIONS] = {
    [DSC_DEPTHWISE] = {{X, TAPS, TAPS_BIAS}, 3},
    [DSC_POINTWISE] = {{X, MIXING, MIXING_BIAS}, 3},
    [DSC_SEPARABLE] = {{X, TAPS, MIXING, TAPS_BIAS, MIXING_BIAS}, 5},
};

static const char input_axes[] = "dhw", kernel_axes[] = "tij", output_axes[] = "rpq";

static void write_letters(bound *b, int role)
{
    char *letters = b->letters[role];
    const size_t room = sizeof b->letters[role];
    int first = 3 - b->geometry.rank;
    const char *spatial = (role == X || b->operation == DSC_POINTWISE ? input_axes : output_axes) + first;
    char channel = role == X ? 'c' : 'o';
    if (role == TAPS)
        snprintf(letters, room, "cm%s", kernel_axes + first);
    else if (role == MIXING)
        snprintf(letters, room, "o%c", b->operation == DSC_POINTWISE ? 'c' : 'k');
    else if (role == TAPS_BIAS)
        snprintf(letters, room, "%c", b->operation == DSC_DEPTHWISE ? 'o' : 'k');
    else if (role == MIXING_BIAS)
        snprintf(letters, room, "o");
    else if (b->channels_last)
        snprintf(letters, room, "%s%c", spatial, channel);
    else
        snprintf(letters, room, "%c%s", channel, spatial);
}

static size_t append_operand(bound *b, size_t end, int role)
{
    write_letters(b, role);
    const char *letters = b->letters[role];
    b->signature[end++] = '(';
    for (const char *l = letters; *l; ++l) {
        if (l != letters)
            b->signature[end++] = ',';
        b->signature[end++] = *l;
    }
    b->signature[end++] = ')';
    return end;
}

void write_signature(bound *b, bool taps_bias, bool mixing_bias)
{
    size_t end = 0;
    char next = 0;
    b->operands = 0;
    for (int i = 0; i < operation_table[b->operation].count; ++i) {
        int role = operation_table[b->operation].inputs[i];
        if ((role == TAPS_BIAS && !taps_bias) || (role == MIXING_BIAS && !mixing_bias))
            continue;
        if (b->operands)
            b->signature[end++] = ',';
        end = append_operand(b, end, role);
        b->roles[b->operands++] = role;
    }
    b->signature[end++] = '-', b->signature[end++] = '>';
    end = append_operand(b, end, Y);
    b->roles[b->operands++] = Y;
    b->signature[end] = '\0';
    memset(b->dimension, -1, sizeof b->dimension);
    for (const char *l = b->signature; *l; ++l)
        if (*l >= 'a' && *l <= 'z' && b->dimension[(int)*l] < 0)
            b->dimension[(int)*l] = next++;
}

const bound *bound_of(PyObject *ufunc)
{
    return PyCapsule_GetPointer(((PyUFuncObject *)ufunc)->obj, NULL);
}

static npy_intp *size_of(const bound *b, npy_intp *sizes, char letter)
{
    int index = b->dimension[(int)letter];
    return index < 0 ? NULL : &sizes[index];
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

static int refuse_fit(const bound *b, dsc_fit fit, int axis, dsc_int in, dsc_int kernel)
{
    const char *name = axis_name(axis);
    const dsc_geometry *g = &b->geometry;
    if (fit == DSC_EMPTY_KERNEL)
        return refuse_empty(b, b->operation == DSC_SEPARABLE ? "depthwise_weight" : "weight", "tap on each axis");
    if (fit == DSC_EMPTY_INPUT)
        PyErr_Format(PyExc_ValueError, "%s: x has size 0 along its %s, which this padding_mode cannot extend; need 1",
                     b->name, name);
    else if (fit == DSC_OVERFLOW)
        PyErr_Format(PyExc_ValueError, "%s: sizes along the %s (input %lld, kernel %lld, dilation %lld) are too large: "
                     "the padded size does not fit 64 bits", b->name, name, (long long)in, (long long)kernel,
                     (long long)g->dilation[axis]);
    else
        PyErr_Format(PyExc_ValueError, "%s: x is too small along its %s for the weight: input %lld plus padding is less "
                     "than dilation*(kernel-1)+1 with kernel %lld and dilation %lld; the output size "
                     "floor((in + low + high - dilation*(kernel-1) - 1)/stride) + 1 would not be positive",
                     b->name, name, (long long)in, (long long)kernel, (long long)g->dilation[axis]);
    return -1;
}

/* Set an output size, or check the one that `out` or a bias brought. */
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

static int settle_channels(const bound *b, npy_intp *sizes)
{
    npy_intp *channels = size_of(b, sizes, 'c'), *multiplier = size_of(b, sizes, 'm');
    npy_intp *outputs = size_of(b, sizes, 'o'), *mixed = size_of(b, sizes, 'k');
    dsc_int product;
    if (multiplier && *multiplier == 0)
        return refuse_empty(b, mixed ? "depthwise_weight" : "weight", "output per channel (its second axis)");
    if (b->operation != DSC_DEPTHWISE && *outputs == 0)
        return refuse_empty(b, mixed ? "pointwise_weight" : "weight", "output channel (its first axis)");
    if (!multiplier)
        return 0;
    if (!dsc_multiply(*channels, *multiplier, &product)) {
        PyErr_Format(PyExc_ValueError, "%s: channels * depth multiplier does not fit 64 bits", b->name);
        return -1;
    }
    if (mixed)
        return settle(b, mixed, product, "pointwise_weight (its second axis) or depthwise_bias",
                      "channels * depth multiplier");
    return settle(b, outputs, product, "bias or out (its channel axis)", "channels * depth multiplier");
}

int check_core_dimensions(PyUFuncObject *ufunc, npy_intp *sizes)
{
    const bound *b = bound_of((PyObject *)ufunc);
    dsc_int in[3] = {1, 1, 1}, kernel[3] = {1, 1, 1};
    dsc_extent e;
    int axis;
    if (settle_channels(b, sizes) < 0)
        return -1;
    if (b->operation == DSC_POINTWISE)
        return 0;
    for (axis = 3 - b->geometry.rank; axis < 3; ++axis) {
        in[axis] = *size_of(b, sizes, input_axes[axis]);
        kernel[axis] = *size_of(b, sizes, kernel_axes[axis]);
    }
    dsc_fit fit = dsc_resolve(&b->geometry, in, kernel, &e, &axis);
    if (fit != DSC_FITS)
        return refuse_fit(b, fit, axis, in[axis], kernel[axis]);
    for (axis = 3 - b->geometry.rank; axis < 3; ++axis)
        if (settle(b, size_of(b, sizes, output_axes[axis]), e.out[axis], "out", axis_name(axis)) < 0)
            return -1;
    return 0;
}
