/* The table of operations, and the signatures of ufuncs configured from it. */
#include "gufunc.h"

const char input_axes[] = "dhw", kernel_axes[] = "tij", output_axes[] = "rpq";

/* One row per operation: the roles of its inputs in order, and of its output. A new operation is a new row. */
const operation_row operation_table[] = {
    {"depthwise_conv", DSC_DEPTHWISE, CONVOLUTION, {X, TAPS, TAPS_BIAS}, 3, Y},
    {"pointwise_conv", DSC_POINTWISE, NO_WINDOW, {X, MIXING, MIXING_BIAS}, 3, Y},
    {"separable_conv", DSC_SEPARABLE, CONVOLUTION, {X, TAPS, MIXING, TAPS_BIAS, MIXING_BIAS}, 5, Y},
    {"depthwise_conv_transpose", DSC_DEPTHWISE, TRANSPOSED, {X, TAPS, TAPS_BIAS}, 3, Y},
    {"separable_conv_transpose", DSC_SEPARABLE, TRANSPOSED, {X, TAPS, MIXING, TAPS_BIAS, MIXING_BIAS}, 5, Y},
    {"standard_conv", DSC_STANDARD, CONVOLUTION, {X, MIXING, MIXING_BIAS}, 3, Y},
    {"depthwise_conv_input_grad", DSC_DEPTHWISE, CONVOLUTION, {Y, TAPS}, 2, X},
    {"depthwise_conv_transpose_input_grad", DSC_DEPTHWISE, TRANSPOSED, {Y, TAPS}, 2, X},
    {"depthwise_conv_weight_grad", DSC_DEPTHWISE_WEIGHTS, CONVOLUTION, {X, Y}, 2, TAPS},
    {"depthwise_conv_transpose_weight_grad", DSC_DEPTHWISE_WEIGHTS, TRANSPOSED, {X, Y}, 2, TAPS},
    {"pointwise_conv_input_grad", DSC_POINTWISE, NO_WINDOW, {Y, MIXING}, 2, X},
    {"pointwise_conv_weight_grad", DSC_POINTWISE_WEIGHTS, NO_WINDOW, {X, Y}, 2, MIXING},
    {"channel_sum", DSC_DEPTHWISE_WEIGHTS, NO_WINDOW, {Y}, 1, MIXING_BIAS},
    {"activation", DSC_ACTIVATE, NO_WINDOW, {X}, 1, Y},
    {"activation_grad", DSC_ACTIVATE_GRAD, NO_WINDOW, {X, Y}, 2, MIXING_BIAS},
    {NULL, 0, 0, {0}, 0, 0},
};

int find_operation(const char *name)
{
    for (int i = 0; operation_table[i].name; ++i)
        if (strcmp(operation_table[i].name, name) == 0)
            return i;
    PyErr_Format(PyExc_ValueError, "unknown operation '%s'", name);
    return -1;
}

/* Letters of a feature map: the images that are summed over, the channel, the spatial axes. */
static void write_map(const bound *b, int role, char *letters)
{
    int first = 3 - b->geometry.rank;
    const char *spatial = (role == X || b->row->window == NO_WINDOW ? input_axes : output_axes) + first;
    char images[DSC_IMAGE_AXES + 1] = "", channel = role == X ? 'c' : 'o';
    for (int i = 0; i < b->batch_axes; ++i)
        images[i] = (char)('A' + i), images[i + 1] = '\0';
    if (b->channels_last)
        snprintf(letters, LETTERS_MOST, "%s%s%c", images, spatial, channel);
    else
        snprintf(letters, LETTERS_MOST, "%s%c%s", images, channel, spatial);
}

static void write_letters(bound *b, int role)
{
    char *letters = b->letters[role];
    bool fused = b->row->kernel == DSC_SEPARABLE;
    if (b->row->kernel == DSC_ACTIVATE || b->row->kernel == DSC_ACTIVATE_GRAD)
        letters[0] = '\0';
    else if (role == TAPS)
        snprintf(letters, LETTERS_MOST, "cm%s", kernel_axes + 3 - b->geometry.rank);
    else if (role == MIXING && b->row->kernel == DSC_STANDARD)
        snprintf(letters, LETTERS_MOST, "oc%s", kernel_axes + 3 - b->geometry.rank);
    else if (role == MIXING)
        snprintf(letters, LETTERS_MOST, "o%c", fused ? 'k' : 'c');
    else if (role == TAPS_BIAS || role == MIXING_BIAS)
        snprintf(letters, LETTERS_MOST, "%c", fused && role == TAPS_BIAS ? 'k' : 'o');
    else
        write_map(b, role, letters);
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
    b->roles[b->operands++] = role;
    return end;
}

void write_signature(bound *b, bool taps_bias, bool mixing_bias)
{
    size_t end = 0;
    char next = 0;
    b->operands = 0;
    for (int i = 0; i < b->row->count; ++i) {
        int role = b->row->inputs[i];
        if ((role == TAPS_BIAS && !taps_bias) || (role == MIXING_BIAS && !mixing_bias))
            continue;
        if (b->operands)
            b->signature[end++] = ',';
        end = append_operand(b, end, role);
    }
    b->signature[end++] = '-', b->signature[end++] = '>';
    end = append_operand(b, end, b->row->output);
    b->signature[end] = '\0';
    memset(b->dimension, -1, sizeof b->dimension);
    for (const char *l = b->signature; *l; ++l)
        if (((*l >= 'a' && *l <= 'z') || (*l >= 'A' && *l <= 'Z')) && b->dimension[(int)*l] < 0)
            b->dimension[(int)*l] = next++;
}

const bound *bound_of(PyObject *ufunc)
{
    return PyCapsule_GetPointer(((PyUFuncObject *)ufunc)->obj, NULL);
}
