/* Sparse matrices for Python: what dsconv.graph has brought into form is checked once more, and goes to the kernels. */
#include "gufunc.h"

#include <stdlib.h>

enum { KEYS_PER_POLL = 1 << 20 };

/* An aligned array in native order of a type and a number of axes, the last of them dense; NULL for None; false with an
 * exception for anything else. */
static bool read_array(PyObject *object, int type, int axes, const char *name, PyArrayObject **array)
{
    *array = NULL;
    if (object == Py_None)
        return true;
    if (!PyArray_Check(object))
        return PyErr_Format(PyExc_TypeError, "%s: expected an array, got %R", name, Py_TYPE(object)) != NULL;
    PyArrayObject *a = (PyArrayObject *)object;
    npy_intp item = PyArray_ITEMSIZE(a);
    bool fits = PyArray_EquivTypenums(PyArray_TYPE(a), type) && PyArray_NDIM(a) == axes && PyArray_ISALIGNED(a) &&
                PyArray_ISNOTSWAPPED(a);
    for (int axis = 0; fits && axis < axes && PyArray_SIZE(a) > 0; ++axis)
        fits = PyArray_DIM(a, axis) < 2 || (axis == axes - 1 ? PyArray_STRIDE(a, axis) == item
                                                             : PyArray_STRIDE(a, axis) % item == 0);
    if (!fits)
        return PyErr_Format(PyExc_ValueError, "%s: an array of another form was needed", name) != NULL;
    *array = a;
    return true;
}

/* A node or a channel of an array (images, nodes, channels). */
static dsc_map map_of(PyArrayObject *a)
{
    if (!a)
        return (dsc_map){.data = NULL};
    npy_intp item = PyArray_ITEMSIZE(a);
    return (dsc_map){.data = PyArray_BYTES(a), .batch = PyArray_STRIDE(a, 0) / item, .channel = 1,
                     .step = {0, 0, PyArray_STRIDE(a, 1) / item}};
}

static bool same_shape(PyArrayObject *a, PyArrayObject *b)
{
    return PyArray_DIM(a, 0) == PyArray_DIM(b, 0) && PyArray_DIM(a, 2) == PyArray_DIM(b, 2);
}

static bool has_length(PyArrayObject *a, npy_intp length) { return !a || PyArray_DIM(a, 0) == length; }

/* The most entries of a row, or -1 where the rows are not in order. */
static dsc_int longest_row(const dsc_graph *g)
{
    dsc_int longest = 0, from = 0;
    for (dsc_int row = g->first; row <= g->last; ++row) {
        dsc_int to = g->wide ? ((const int64_t *)g->start)[row] : ((const int32_t *)g->start)[row];
        if (to < 0 || to > g->entries || (row > g->first && to < from))
            return -1;
        if (row > g->first && to - from > longest)
            longest = to - from;
        from = to;
    }
    return longest;
}

static dsc_int places(const dsc_graph *g)
{
    dsc_int first = g->wide ? ((const int64_t *)g->start)[g->first] : ((const int32_t *)g->start)[g->first];
    dsc_int last = g->wide ? ((const int64_t *)g->start)[g->last] : ((const int32_t *)g->start)[g->last];
    return last - first + g->last - g->first;
}

/* The matrix and what it is applied to. False with an exception; the dsconv.graph side says what is wrong with indices. */
static bool read_graph(PyObject *const *objects, dsc_int first, int type, dsc_problem *p)
{
    PyArrayObject *start, *column, *value, *x, *y;
    dsc_graph *g = p->graph;
    if (!PyArray_Check(objects[0]))
        return PyErr_Format(PyExc_TypeError, "start: expected an array") != NULL;
    int index = PyArray_TYPE((PyArrayObject *)objects[0]);
    g->wide = PyArray_ITEMSIZE((PyArrayObject *)objects[0]) == 8;
    if (!PyTypeNum_ISSIGNED(index) || (!g->wide && PyArray_ITEMSIZE((PyArrayObject *)objects[0]) != 4))
        return PyErr_Format(PyExc_ValueError, "start: expected 32-bit or 64-bit integers") != NULL;
    if (!read_array(objects[0], index, 1, "start", &start) || !read_array(objects[1], index, 1, "column", &column) ||
        !read_array(objects[2], type, 1, "value", &value) || !read_array(objects[3], type, 3, "x", &x) ||
        !read_array(objects[4], type, 3, "y", &y))
        return false;
    if (!start || !column || !value || !x || !y || !same_shape(x, y) || first < 0 ||
        !has_length(value, PyArray_DIM(column, 0)) || PyArray_DIM(start, 0) - 1 - first < PyArray_DIM(y, 1))
        return PyErr_Format(PyExc_ValueError, "the arrays' sizes do not fit together") != NULL;
    g->start = PyArray_DATA(start), g->column = PyArray_DATA(column), g->value = PyArray_BYTES(value);
    g->columns = PyArray_DIM(x, 1), g->entries = PyArray_DIM(column, 0);
    g->first = first, g->last = first + PyArray_DIM(y, 1);
    p->x = map_of(x), p->y = map_of(y);
    p->batch = PyArray_DIM(x, 0), p->channels = PyArray_DIM(x, 2);
    p->e = (dsc_extent){.in = {1, 1, g->columns}, .out = {1, 1, g->last - g->first}};
    return true;
}

/* Partial sums of long rows. NULL with an exception where there is no memory. */
static void *allocate_partial_sums(dsc_problem *p, size_t item)
{
    dsc_graph *g = p->graph;
    dsc_int items, reals, bytes;
    if (!dsc_multiply(p->batch, g->stretches, &items) || !dsc_multiply(2 * items, p->channels, &reals) ||
        !dsc_multiply(reals, (dsc_int)item, &bytes) || bytes > PTRDIFF_MAX / 2)
        return PyErr_NoMemory();
    char *memory = malloc((size_t)bytes + (size_t)items * sizeof *g->long_row);
    if (!memory)
        return PyErr_NoMemory();
    g->long_row = (dsc_int *)memory;
    for (dsc_int i = 0; i < items; ++i)
        g->long_row[i] = -1;
    g->partial = memory + (size_t)items * sizeof *g->long_row;
    return memory;
}

/* True: the result is there. False: an index is out of range. None is for exceptions. */
static PyObject *outcome(dsc_problem *p, dsc_status status)
{
    if (atomic_load(&p->graph->invalid))
        Py_RETURN_FALSE;
    if (status == DSC_NO_MEMORY)
        return PyErr_NoMemory();
    if (status == DSC_STOPPED)
        return NULL;
    Py_RETURN_TRUE;
}

static PyObject *run(dsc_problem *p, int type)
{
    dsc_graph *g = p->graph;
    const dsc_table *table = dsc_active(type == NPY_FLOAT ? DSC_FLOAT32 : DSC_FLOAT64);
    dsc_int longest = longest_row(g);
    if (longest < 0)
        Py_RETURN_FALSE;
    if (p->batch == 0 || p->channels == 0)
        Py_RETURN_TRUE;
    g->stretches = (places(g) + GRAPH_STRETCH - 1) / GRAPH_STRETCH;
    bool long_rows = longest > GRAPH_STRETCH && !g->gradient;
    void *memory = long_rows ? allocate_partial_sums(p, type == NPY_FLOAT ? sizeof(float) : sizeof(double)) : NULL;
    if (long_rows && !memory)
        return NULL;
    dsc_status status = execute_without_gil(table, DSC_GRAPH, p);
    if (long_rows && status == DSC_DONE)
        status = execute_without_gil(table, DSC_LONG_ROWS, p);
    free(memory);
    return outcome(p, status);
}

static int type_of(PyObject *object)
{
    int type = PyArray_Check(object) ? PyArray_TYPE((PyArrayObject *)object) : NPY_VOID;
    if (type == NPY_FLOAT || type == NPY_DOUBLE)
        return type;
    PyErr_SetString(PyExc_TypeError, "value: expected an array of float32 or float64");
    return -1;
}

/* start, column, value, x (b, n, c), y (b, rows, c), first row, base like x, scale (c), bias (c), activation. */
PyObject *graph_propagate(PyObject *module, PyObject *args)
{
    PyObject *objects[5], *extra[3];
    PyArrayObject *base, *scale, *bias;
    const char *activation;
    long long first;
    dsc_graph g = {.wide = false};
    dsc_problem p = {.graph = &g, .parts = 1};
    (void)module;
    if (!PyArg_ParseTuple(args, "OOOOOLOOOz:graph_propagate", &objects[0], &objects[1], &objects[2], &objects[3],
                          &objects[4], &first, &extra[0], &extra[1], &extra[2], &activation))
        return NULL;
    int type = type_of(objects[2]);
    if (type < 0 || read_activation(activation, &p.mixing_activation) < 0 || !read_graph(objects, first, type, &p) ||
        !read_array(extra[0], type, 3, "base", &base) || !read_array(extra[1], type, 1, "scale", &scale) ||
        !read_array(extra[2], type, 1, "bias", &bias))
        return NULL;
    if (!has_length(scale, p.channels) || !has_length(bias, p.channels) || !base != !scale ||
        (base && (!same_shape(base, (PyArrayObject *)objects[3]) || PyArray_DIM(base, 1) < g.last)))
        return PyErr_Format(PyExc_ValueError, "the arrays' sizes do not fit together");
    if (!PyArray_ISWRITEABLE((PyArrayObject *)objects[4]))
        return PyErr_Format(PyExc_ValueError, "y: cannot be written");
    g.base = map_of(base);
    p.taps.data = scale ? PyArray_BYTES(scale) : NULL;
    p.mixing_bias.data = bias ? PyArray_BYTES(bias) : NULL;
    return run(&p, type);
}

/* start, column, gradient (entries), x (b, n, c), gradient of the result (b, n, c). */
PyObject *graph_gradient(PyObject *module, PyObject *args)
{
    PyObject *objects[5];
    dsc_graph g = {.wide = false};
    dsc_problem p = {.graph = &g, .parts = 1};
    (void)module;
    if (!PyArg_ParseTuple(args, "OOOOO:graph_gradient", &objects[0], &objects[1], &objects[2], &objects[3], &objects[4]))
        return NULL;
    int type = type_of(objects[2]);
    if (type < 0 || !read_graph(objects, 0, type, &p))
        return NULL;
    if (!PyArray_ISWRITEABLE((PyArrayObject *)objects[2]))
        return PyErr_Format(PyExc_ValueError, "gradient: cannot be written");
    g.gradient = (char *)g.value;
    return run(&p, type);
}

/* Counting sort, in two passes; keys that another thread changes in between are noticed. 1, or 0 for a key out of range,
 * or -1 with an exception. */
static int group(const int64_t *key, npy_intp keys, int64_t *start, npy_intp groups, int64_t *order)
{
    for (npy_intp i = 0; i < keys; ++i) {
        if ((uint64_t)key[i] >= (uint64_t)groups)
            return 0;
        ++start[key[i] + 1];
        if (i % KEYS_PER_POLL == 0 && PyErr_CheckSignals() < 0)
            return -1;
    }
    for (npy_intp i = 0; i < groups; ++i)
        start[i + 1] += start[i];
    for (npy_intp i = 0; i < keys; ++i) {
        uint64_t k = (uint64_t)key[i];
        if (k >= (uint64_t)groups || start[k] >= keys)
            return 0;
        order[start[k]++] = i;
        if (i % KEYS_PER_POLL == 0 && PyErr_CheckSignals() < 0)
            return -1;
    }
    memmove(start + 1, start, (size_t)groups * sizeof *start);
    start[0] = 0;
    return 1;
}

/* From keys in [0, count): where each key's positions start, and the positions, key by key; None: a key is out of range. */
PyObject *graph_group(PyObject *module, PyObject *args)
{
    PyObject *object;
    PyArrayObject *keys;
    Py_ssize_t count;
    (void)module;
    if (!PyArg_ParseTuple(args, "On:graph_group", &object, &count) || !read_array(object, NPY_INT64, 1, "keys", &keys))
        return NULL;
    if (!keys || count < 0 || count > NPY_MAX_INTP / 16)
        return PyErr_Format(PyExc_ValueError, "keys: an array and a count of keys were needed");
    npy_intp groups = count + 1, length = PyArray_DIM(keys, 0);
    PyObject *start = PyArray_ZEROS(1, &groups, NPY_INT64, 0);
    PyObject *order = start ? PyArray_SimpleNew(1, &length, NPY_INT64) : NULL;
    int done = order ? group(PyArray_DATA(keys), length, PyArray_DATA((PyArrayObject *)start), count,
                             PyArray_DATA((PyArrayObject *)order)) : -1;
    PyObject *result = done > 0 ? PyTuple_Pack(2, start, order) : done == 0 ? Py_NewRef(Py_None) : NULL;
    Py_XDECREF(start);
    Py_XDECREF(order);
    return result;
}
