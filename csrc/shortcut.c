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
    c->sizes[0] = 1, c->core = c->b->operands, c->axes = 0;
    for (int i = 0; i < c->b->operands - 1; ++i)
        if (!is_dense(inputs[i], c->type) || !read_operand(c, i, (PyArrayObject *)inputs[i], i == 0))
            return false;
    return true;
}

/* New reference to an array for the result, with or without an exception NULL. */
static PyObject *make_result(short_call *c)
{
    const char *letters = c->b->letters[c->b->row->output];
    npy_intp shape[LETTERS_MOST + 1];
    int axes = c->axes;
    shape[0] = c->sizes[0];
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
    short_call c;
    c.b = bound_of(ufunc);
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

/* What a function does with its arguments, which come one after the other: inputs, some of them optional, the keywords that a
 * ufunc is bound to, then out, dtype and casting. `places`: calls that are remembered, by what they are made of. */
enum { PLACES = 16, KEYWORDS_MOST = 8, OTHERS = 3 };
typedef struct { long present; PyObject *keywords[KEYWORDS_MOST], *ufunc; } remembered;
typedef struct { PyObject *shortcuts, *run; int required, optional, keywords; remembered places[PLACES]; } shortcut;

/* Inputs that are there, and which of the optional ones are, a bit for each. */
static long list_inputs(const shortcut *s, PyObject *const *args, PyObject **inputs, int *count)
{
    long present = 0;
    *count = 0;
    for (int i = 0; i < s->required + s->optional; ++i) {
        const bool optional = i >= s->required;
        if (optional && args[i] == Py_None)
            continue;
        inputs[(*count)++] = args[i];
        present |= optional ? 1L << (i - s->required) : 0;
    }
    return present;
}

/* New reference to a tuple of some arguments, or NULL. */
static PyObject *tuple_of(PyObject *const *args, int count)
{
    PyObject *tuple = PyTuple_New(count);
    for (int i = 0; tuple && i < count; ++i)
        PyTuple_SET_ITEM(tuple, i, Py_NewRef(args[i]));
    return tuple;
}

static remembered *place_of(shortcut *s, long present, PyObject *const *keywords)
{
    uintptr_t hash = (uintptr_t)present;
    for (int i = 0; i < s->keywords; ++i)
        hash = hash * 31 + ((uintptr_t)keywords[i] >> 4);
    return &s->places[(hash ^ hash >> 8) % PLACES];
}

static void remember(const shortcut *s, remembered *place, long present, PyObject *const *keywords, PyObject *ufunc)
{
    place->present = present;
    for (int i = 0; i < s->keywords; ++i)
        Py_XSETREF(place->keywords[i], Py_NewRef(keywords[i]));
    Py_XSETREF(place->ufunc, Py_NewRef(ufunc));
}

/* New reference to the ufunc of a call among `shortcuts`, NULL, with or without an exception, where it is not there. */
static PyObject *look_up_ufunc(const shortcut *s, long present, PyObject *const *keywords)
{
    PyObject *words = tuple_of(keywords, s->keywords), *found = NULL;
    PyObject *key = words && is_plain(words) ? Py_BuildValue("lO", present, words) : NULL;
    if (key && (found = PyDict_GetItemWithError(s->shortcuts, key)))
        found = Py_NewRef(PyTuple_GET_ITEM(found, 0));
    Py_XDECREF(key);
    Py_XDECREF(words);
    return found;
}

/* The same, by the arguments' identity first: what is remembered cannot change, and a literal is one object in every call. */
static PyObject *find_ufunc(shortcut *s, long present, PyObject *const *keywords)
{
    remembered *place = place_of(s, present, keywords);
    bool same = place->ufunc && place->present == present;
    for (int i = 0; same && i < s->keywords; ++i)
        same = place->keywords[i] == keywords[i];
    if (same)
        return Py_NewRef(place->ufunc);
    PyObject *ufunc = look_up_ufunc(s, present, keywords);
    if (ufunc)
        remember(s, place, present, keywords, ufunc);
    return ufunc;
}

/* Runner.run(inputs, optional, keywords, out, dtype, casting), a list and two tuples first. */
static PyObject *run_fully(const shortcut *s, PyObject *const *args)
{
    PyObject *const *optional = args + s->required, *const *keywords = optional + s->optional;
    PyObject *const *others = keywords + s->keywords;
    PyObject *first = tuple_of(args, s->required), *inputs = first ? PySequence_List(first) : NULL;
    PyObject *rest = tuple_of(optional, s->optional), *words = tuple_of(keywords, s->keywords);
    PyObject *y = inputs && rest && words ?
        PyObject_CallFunctionObjArgs(s->run, inputs, rest, words, others[0], others[1], others[2], NULL) : NULL;
    Py_XDECREF(first);
    Py_XDECREF(inputs);
    Py_XDECREF(rest);
    Py_XDECREF(words);
    return y;
}

static PyObject *run_shortly(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    shortcut *s = PyCapsule_GetPointer(self, NULL);
    const int needed = s->required + s->optional + s->keywords + OTHERS;
    if (count != needed)
        return PyErr_Format(PyExc_TypeError, "expected %d arguments, got %zd", needed, count);
    PyObject *inputs[OPERANDS_MOST], *ufunc, *y = NULL;
    PyObject *const *keywords = args + s->required + s->optional, *const *others = keywords + s->keywords;
    PyObject *out = others[0] == Py_None ? NULL : others[0];
    bool done = false;
    int operands;
    const bool plain = others[1] == Py_None && PyUnicode_Check(others[2]) &&
                       PyUnicode_CompareWithASCIIString(others[2], "same_kind") == 0;
    const long present = list_inputs(s, args, inputs, &operands);
    if (plain && (ufunc = find_ufunc(s, present, keywords))) {
        done = operands == bound_of(ufunc)->operands - 1 && call_shortly(ufunc, inputs, out, &y);
        Py_DECREF(ufunc);
    }
    return done || PyErr_Occurred() ? y : run_fully(s, args);
}

static void free_shortcut(PyObject *capsule)
{
    shortcut *s = PyCapsule_GetPointer(capsule, NULL);
    for (remembered *place = s->places; place < s->places + PLACES; ++place) {
        for (int i = 0; i < KEYWORDS_MOST; ++i)
            Py_XDECREF(place->keywords[i]);
        Py_XDECREF(place->ufunc);
    }
    Py_DECREF(s->shortcuts);
    Py_DECREF(s->run);
    PyMem_Free(s);
}

PyObject *make_shortcut(PyObject *module, PyObject *args)
{
    static PyMethodDef method = {"run", (PyCFunction)(void (*)(void))run_shortly, METH_FASTCALL, NULL};
    (void)module;
    shortcut made = {0}, *s;
    if (!PyArg_ParseTuple(args, "O!Oiii:make_shortcut", &PyDict_Type, &made.shortcuts, &made.run, &made.required, &made.optional,
                          &made.keywords))
        return NULL;
    if (made.required < 1 || made.optional < 0 || made.required + made.optional >= OPERANDS_MOST || made.keywords < 0 ||
        made.keywords > KEYWORDS_MOST)
        return PyErr_Format(PyExc_ValueError, "too many arguments for a shortcut");
    if (!(s = PyMem_Malloc(sizeof *s)))
        return PyErr_NoMemory();
    *s = made;
    Py_INCREF(s->shortcuts);
    Py_INCREF(s->run);
    PyObject *capsule = PyCapsule_New(s, NULL, free_shortcut), *function = NULL;
    if (!capsule)
        PyMem_Free(s);
    else
        function = PyCFunction_New(&method, capsule);
    Py_XDECREF(capsule);
    return function;
}
