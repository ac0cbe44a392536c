/* What layers do between kernels, for replays: sums, gates, means and copies of whole arrays.
 *
 * The vectors are those that every processor has: the arrays lie in caches, and the compiler makes none of plain loops at -O2. */
#include "gufunc.h"

static const char *const names[] = {"copy", "add", "multiply", "divide", NULL};
enum { COPY, ADD, MULTIPLY, DIVIDE };

#define ROW(real) \
    static void row_##real(int kind, real *y, const real *x, const real *other, dsc_int step, double number, dsc_int count) \
    { \
        typedef real four __attribute__((vector_size(4 * sizeof(real)), aligned(sizeof(real)), may_alias)); \
        const real one = other && !step ? *other : (real)number; \
        const four all = {one, one, one, one}; \
        dsc_int i = 0; \
        for (; i + 4 <= count; i += 4) { \
            const four u = *(const four *)(x + i), v = step ? *(const four *)(other + i) : all; \
            *(four *)(y + i) = kind == ADD ? u + v : kind == MULTIPLY ? u * v : u / v; \
        } \
        for (; i < count; ++i) { \
            const real v = step ? other[i] : one; \
            y[i] = kind == ADD ? x[i] + v : kind == MULTIPLY ? x[i] * v : x[i] / v; \
        } \
    }
ROW(float)
ROW(double)

void run_arithmetic(const arithmetic *a, const dsc_problem *p)
{
    const char *x = p->x.data, *other = p->mixing_bias.data;
    const dsc_int bytes = a->size[2] * a->item;
    char *y = p->y.data;
    for (dsc_int i = 0; i < a->size[0]; ++i)
        for (dsc_int j = 0; j < a->size[1]; ++j, x += bytes, y += a->y_step * a->item) {
            const char *from = other ? other + (i * a->step[0] + j * a->step[1]) * a->item : NULL;
            if (a->kind == COPY)
                memcpy(y, x, (size_t)bytes);
            else if (a->item == sizeof(float))
                row_float(a->kind, (float *)y, (const float *)x, (const float *)from, a->step[2], a->number, a->size[2]);
            else
                row_double(a->kind, (double *)y, (const double *)x, (const double *)from, a->step[2], a->number, a->size[2]);
        }
}

/* Sizes and steps of an operand that is repeated along axes of y: at most three runs of axes that it has or has not. */
static bool read_repeated(PyArrayObject *y, PyArrayObject *other, arithmetic *a)
{
    dsc_int step = 1;
    int at = 3, before = -1;
    if (PyArray_NDIM(other) != PyArray_NDIM(y))
        return false;
    for (int axis = PyArray_NDIM(y) - 1; axis >= 0; --axis) {
        const dsc_int size = PyArray_DIM(y, axis), own = PyArray_DIM(other, axis);
        if (size == 1)
            continue;
        if (own != size && own != 1)
            return false;
        const int has = own == size;
        if (has != before && --at < 0)
            return false;
        if (has != before)
            a->step[at] = has ? step : 0;
        a->size[at] *= size;
        step *= own, before = has;
    }
    return true;
}

/* y may be a part of an array whose rows are dense: the size of a row and what is between two of them. */
static bool read_rows(PyArrayObject *y, arithmetic *a)
{
    int axis = PyArray_NDIM(y) - 1;
    dsc_int dense = 1, rows = 1;
    for (; axis >= 0 && (PyArray_DIM(y, axis) == 1 || PyArray_STRIDE(y, axis) == dense * a->item); --axis)
        dense *= PyArray_DIM(y, axis);
    a->size[2] = a->y_step = dense;
    for (; axis >= 0; --axis) {
        if (PyArray_DIM(y, axis) > 1 && rows == 1)
            a->y_step = PyArray_STRIDE(y, axis) / a->item;
        if (PyArray_DIM(y, axis) > 1 && PyArray_STRIDE(y, axis) != rows * a->y_step * a->item)
            return false;
        rows *= PyArray_DIM(y, axis);
    }
    a->size[1] = rows;
    return true;
}

static bool is_whole(PyObject *array, int type)
{
    return PyArray_TYPE((PyArrayObject *)array) == type && PyArray_ISCARRAY_RO((PyArrayObject *)array);
}

static bool read_operands(PyArrayObject *y, PyArrayObject *x, PyObject *other, arithmetic *a)
{
    const int type = PyArray_TYPE(y);
    if ((type != NPY_FLOAT && type != NPY_DOUBLE) || !PyArray_ISBEHAVED(y) || !is_whole((PyObject *)x, type) ||
        PyArray_SIZE(x) != PyArray_SIZE(y) || PyArray_SIZE(y) == 0)
        return false;
    a->item = PyArray_ITEMSIZE(y);
    if (a->kind == COPY)
        return read_rows(y, a);
    if (!is_whole((PyObject *)y, type) || (PyArray_Check(other) && !is_whole(other, type)))
        return false;
    if (PyArray_Check(other) && !read_repeated(y, (PyArrayObject *)other, a))
        return false;
    if (!PyArray_Check(other))
        a->size[2] = PyArray_SIZE(y);
    a->y_step = a->size[2];
    return true;
}

/* 1: read from arguments (name, y, x, array or number); 0: arrays of another kind; -1: an error. */
int read_arithmetic(PyObject *args, dsc_problem *p, arithmetic *a)
{
    PyArrayObject *y, *x;
    PyObject *other;
    const char *name;
    *a = (arithmetic){.size = {1, 1, 1}};
    if (!PyArg_ParseTuple(args, "sO!O!O:record_arithmetic", &name, &PyArray_Type, &y, &PyArray_Type, &x, &other) ||
        (a->kind = find_word(names, name)) < 0)
        return -1;
    a->number = PyArray_Check(other) ? 0 : PyFloat_AsDouble(other);
    if (PyErr_Occurred())
        return -1;
    if (!read_operands(y, x, other, a))
        return 0;
    p->x.data = PyArray_BYTES(x), p->y.data = PyArray_BYTES(y);
    p->mixing_bias.data = PyArray_Check(other) ? PyArray_BYTES((PyArrayObject *)other) : NULL;
    return 1;
}
