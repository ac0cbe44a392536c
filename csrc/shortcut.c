/* Calls that need nothing of NumPy's machinery for ufuncs, which takes longer than a small convolution: dense arrays of one real
 * type, and at most one axis to loop over. Whatever is not quite like that is left to it, errors too. */
#include "gufunc.h"

enum { SIZES_MOST = 1 + DSC_IMAGE_AXES + 16, STEPS_MOST = OPERANDS_MOST * (LETTERS_MOST + 1) };

/* What NumPy hands to a loop. `steps`: bytes along the loop's axis for each operand, then along the axes of each. */
typedef struct {
    const bound *b;
    int type, axes, core;                /* axes of the result before those of its letters; steps that are set */
    npy_intp sizes[SIZES_MOST], steps[STEPS_MOST];
    char *data[OPERANDS_MOST];
} short_call;

static vectorcallfunc call_fully;        /* NumPy's */

static bool is_dense(PyObject *object, int type)
{
    return PyArray_CheckExact(object) && PyArray_TYPE((PyArrayObject *)object) == type &&
           PyArray_ISCARRAY_RO((PyArrayObject *)object);
}

/* Sizes that are unknown are set, others checked. An axis of length 1 has no step, as in NumPy's own calls. */
static bool read_operand(short_call *c, int i, PyArrayObject *array, int loops)
{
    const char *letters = c->b->letters[c->b->roles[i]];
    const npy_intp *size = PyArray_DIMS(array), *step = PyArray_STRIDES(array);
    const int looped = PyArray_NDIM(array) - (int)strlen(letters);
    if (looped < 0 || looped > loops)
        return false;
    c->steps[i] = looped && size[0] > 1 ? step[0] : 0;
    if (looped)
        c->sizes[0] = size[0];
    for (int axis = looped; axis < PyArray_NDIM(array); ++axis) {
        npy_intp *known = &c->sizes[1 + c->b->dimension[(int)letters[axis - looped]]];
        if (*known >= 0 && *known != size[axis])
            return false;
        *known = size[axis];
        c->steps[c->core++] = size[axis] > 1 ? step[axis] : 0;
    }
    c->axes = i == 0 ? looped : c->axes;
    c->data[i] = PyArray_BYTES(array);
    return PyArray_SIZE(array) > 0;
}

static bool read_inputs(short_call *c, PyObject *const *inputs)
{
    c->type = PyArray_CheckExact(inputs[0]) ? PyArray_TYPE((PyArrayObject *)inputs[0]) : NPY_NOTYPE;
    if (c->type != NPY_FLOAT && c->type != NPY_DOUBLE)
        return false;
    memset(c->sizes, -1, sizeof c->sizes);
    c->sizes[0] = 1, c->core = c->b->operands;
    for (int i = 0; i < c->b->operands - 1; ++i)
        if (!is_dense(inputs[i], c->type) || !read_operand(c, i, (PyArrayObject *)inputs[i], i == 0))
            return false;
    return true;
}

/* New reference to an array for the result, with or without an exception NULL. */
static PyObject *make_result(short_call *c)
{
    const char *letters = c->b->letters[c->b->row->output];
    npy_intp shape[LETTERS_MOST + 1] = {c->sizes[0]};
    int axes = c->axes;
    for (; *letters; ++letters)
        shape[axes++] = c->sizes[1 + c->b->dimension[(int)*letters]];
    return PyArray_SimpleNew(axes, shape, c->type);
}

static bool overlap(PyArrayObject *a, PyArrayObject *b)
{
    return PyArray_BYTES(a) < PyArray_BYTES(b) + PyArray_NBYTES(b) && PyArray_BYTES(b) < PyArray_BYTES(a) + PyArray_NBYTES(a);
}

static bool takes_result(const short_call *c, PyObject *const *inputs, PyObject *out)
{
    if (!is_dense(out, c->type) || !PyArray_ISWRITEABLE((PyArrayObject *)out))
        return false;
    for (int i = 0; i < c->b->operands - 1; ++i)
        if (overlap((PyArrayObject *)inputs[i], (PyArrayObject *)out))
            return false;
    return true;
}

/* The result, a new reference, with the sizes of the call. NULL: not for us. */
static PyObject *settle_result(short_call *c, PyObject *ufunc, PyObject *const *inputs, PyObject *out)
{
    PyObject *y = NULL;
    if (check_core_dimensions((PyUFuncObject *)ufunc, c->sizes + 1) == 0)
        y = !out ? make_result(c) : takes_result(c, inputs, out) ? Py_NewRef(out) : NULL;
    const npy_intp loops = c->sizes[0];
    if (y && (!read_operand(c, c->b->operands - 1, (PyArrayObject *)y, c->axes) || c->sizes[0] != loops ||
              PyArray_NDIM((PyArrayObject *)y) != c->axes + (int)strlen(c->b->letters[c->b->row->output])))
        Py_CLEAR(y);
    PyErr_Clear();
    return y;
}

bool call_shortly(PyObject *ufunc, PyObject *const *inputs, PyObject *out, PyObject **result)
{
    short_call c = {.b = bound_of(ufunc)};
    PyObject *y = read_inputs(&c, inputs) ? settle_result(&c, ufunc, inputs, out) : NULL;
    if (!y)
        return false;
    PyUFunc_clearfperr();
    int status = run_reals(c.b, c.type == NPY_DOUBLE, c.data, c.sizes, c.steps);
    const int errors = PyUFunc_getfperr();
    if (status == 0 && errors)
        status = PyUFunc_GiveFloatingpointErrors(c.b->name, errors);
    if (status < 0)
        Py_CLEAR(y);
    *result = y;
    return true;
}

/* The array to write to where it is one of the arguments, NULL where there is none; false: arguments of other kinds came. */
static bool find_out(PyObject *const *args, Py_ssize_t count, Py_ssize_t inputs, PyObject *names, PyObject **out)
{
    const Py_ssize_t named = names ? PyTuple_GET_SIZE(names) : 0;
    *out = count + named > inputs && args[inputs] != Py_None ? args[inputs] : NULL;
    return count + named <= inputs + 1 && count >= inputs &&
           (!named || PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(names, 0), "out") == 0);
}

static PyObject *call_ufunc(PyObject *ufunc, PyObject *const *args, size_t count, PyObject *names)
{
    PyObject *out, *y;
    if (find_out(args, PyVectorcall_NARGS(count), bound_of(ufunc)->operands - 1, names, &out) &&
        call_shortly(ufunc, args, out, &y))
        return y;
    return call_fully(ufunc, args, count, names);
}

void add_shortcut(PyUFuncObject *ufunc)
{
    call_fully = ufunc->vectorcall;
    ufunc->vectorcall = call_ufunc;
}

/* Ints, words, None and tuples of them: dictionary keys of other types may be equal, as 1, True and 1.0 are. */
static bool is_plain(PyObject *value)
{
    bool plain = PyLong_CheckExact(value) || PyUnicode_CheckExact(value) || value == Py_None || PyTuple_CheckExact(value);
    for (Py_ssize_t i = 0; PyTuple_CheckExact(value) && plain && i < PyTuple_GET_SIZE(value); ++i)
        plain = is_plain(PyTuple_GET_ITEM(value, i));
    return plain;
}

PyObject *is_plain_key(PyObject *module, PyObject *value)
{
    (void)module;
    return PyBool_FromLong(is_plain(value));
}

/* Inputs one after the other, and which of the optional ones are there, a bit for each; -1: too many. */
static long list_inputs(PyObject *required, PyObject *optional, PyObject **inputs, int *count)
{
    long present = 0;
    const Py_ssize_t first = PyList_GET_SIZE(required), all = first + PyTuple_GET_SIZE(optional);
    if (all > OPERANDS_MOST)
        return -1;
    *count = 0;
    for (Py_ssize_t i = 0; i < all; ++i) {
        PyObject *input = i < first ? PyList_GET_ITEM(required, i) : PyTuple_GET_ITEM(optional, i - first);
        if (i >= first && input == Py_None)
            continue;
        inputs[(*count)++] = input;
        present |= i >= first ? 1L << (i - first) : 0;
    }
    return present;
}

/* New reference to the ufunc of a call, NULL, with or without an exception, where none is remembered. */
static PyObject *find_ufunc(PyObject *shortcuts, long present, PyObject *keywords)
{
    PyObject *key = Py_BuildValue("lO", present, keywords), *found = key ? PyDict_GetItemWithError(shortcuts, key) : NULL;
    Py_XDECREF(key);
    return found ? Py_NewRef(PyTuple_GET_ITEM(found, 0)) : NULL;
}

/* Runner.run(inputs, optional, keywords, out, dtype, casting), where self is (its shortcuts, that method). */
static PyObject *run_shortly(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    PyObject *inputs[OPERANDS_MOST], *ufunc, *y = NULL;
    if (count != 6 || !PyList_Check(args[0]) || !PyTuple_Check(args[1]))
        return PyErr_Format(PyExc_TypeError, "expected a list, a tuple and four more arguments");
    PyObject *out = args[3] == Py_None ? NULL : args[3];
    int operands = 0;
    const bool plain = args[4] == Py_None && PyUnicode_Check(args[5]) && is_plain(args[2]) &&
                       PyUnicode_CompareWithASCIIString(args[5], "same_kind") == 0;
    const long present = plain ? list_inputs(args[0], args[1], inputs, &operands) : -1;
    bool done = false;
    if (present >= 0 && (ufunc = find_ufunc(PyTuple_GET_ITEM(self, 0), present, args[2]))) {
        done = operands == bound_of(ufunc)->operands - 1 && call_shortly(ufunc, inputs, out, &y);
        Py_DECREF(ufunc);
    }
    if (done || PyErr_Occurred())
        return y;
    return PyObject_Vectorcall(PyTuple_GET_ITEM(self, 1), args, (size_t)count, NULL);
}

PyObject *make_shortcut(PyObject *module, PyObject *args)
{
    static PyMethodDef method = {"run", (PyCFunction)(void (*)(void))run_shortly, METH_FASTCALL, NULL};
    (void)module;
    PyObject *shortcuts, *run;
    if (!PyArg_ParseTuple(args, "O!O:make_shortcut", &PyDict_Type, &shortcuts, &run))
        return NULL;
    return PyCFunction_New(&method, args);
}
