/* Calls of ufuncs that are written down while they run, to be run again on other arrays without Python in between. */
#include "gufunc.h"

#define RECORDING "dsconv recording"
#define PACKED "dsconv packed weights"

enum { PLACES = 6 };

enum { ARITHMETIC = -1 };   /* in place of a kernel */

/* Where an operand begins: in which of the values that a replay is given, -1: the call has no such operand; how many bytes
 * into it, and how many bytes it needs to have. */
typedef struct { Py_ssize_t value; npy_intp offset, bytes; } place;

typedef struct {
    int kernel, type;
    dsc_problem problem;
    arithmetic steps;
    PyObject *packed;         /* owns problem.packed, which the kernels of `table` alone read; or NULL */
    const dsc_table *table;
    place places[PLACES];
} recorded_call;

typedef struct {
    size_t count, room;
    bool bound, failed;       /* failed: something was called that cannot be run again */
    recorded_call *calls;
} recording;

static _Thread_local recording *current;

/* The result is the last. */
static void list_operands(dsc_problem *p, char **operands[PLACES])
{
    char **all[PLACES] = {&p->x.data, &p->taps.data, &p->mixing.data, &p->taps_bias.data, &p->mixing_bias.data, &p->y.data};
    memcpy(operands, all, sizeof all);
}

static void free_recording(PyObject *capsule)
{
    recording *r = PyCapsule_GetPointer(capsule, RECORDING);
    for (size_t i = 0; i < r->count; ++i)
        Py_XDECREF(r->calls[i].packed);
    PyMem_RawFree(r->calls);
    PyMem_RawFree(r);
}

static bool make_room(recording *r)
{
    if (r->count < r->room)
        return true;
    const size_t room = 2 * r->room + 1;
    recorded_call *calls = PyMem_RawRealloc(r->calls, room * sizeof *calls);
    if (!calls)
        return false;
    r->calls = calls, r->room = room;
    return true;
}

/* Without the GIL, at times. Gradients are left out: what they sum over is not a part of the problem. */
void record_call(const bound *b, int type, const dsc_problem *p)
{
    recording *r = current;
    if (!r)
        return;
    if (b->row->output != Y || !make_room(r)) {
        r->failed = true;
        return;
    }
    recorded_call *call = &r->calls[r->count++];
    *call = (recorded_call){.kernel = b->row->kernel, .type = type, .problem = *p};
    call->problem.images = NULL;
}

static PyObject *new_recording(recording **r)
{
    *r = PyMem_RawCalloc(1, sizeof **r);
    PyObject *capsule = *r ? PyCapsule_New(*r, RECORDING, free_recording) : PyErr_NoMemory();
    if (!capsule)
        PyMem_RawFree(*r);
    return capsule;
}

PyObject *record(PyObject *module, PyObject *args)
{
    PyObject *function, *x;
    (void)module;
    if (!PyArg_ParseTuple(args, "OO:record", &function, &x))
        return NULL;
    recording *r, *outer = current;
    PyObject *capsule = new_recording(&r);
    if (!capsule)
        return NULL;
    current = r;
    PyObject *y = PyObject_CallOneArg(function, x);
    current = outer;
    if (y)
        return Py_BuildValue("NN", y, capsule);
    Py_DECREF(capsule);
    return NULL;
}

PyObject *record_arithmetic(PyObject *module, PyObject *args)
{
    recording *r;
    arithmetic steps;
    recorded_call call = {.kernel = ARITHMETIC};
    (void)module;
    const int known = read_arithmetic(args, &call.problem, &steps);
    if (known < 0)
        return NULL;
    PyObject *capsule = known ? new_recording(&r) : Py_NewRef(Py_None);
    if (!known || !capsule)
        return capsule;
    if (!make_room(r)) {
        Py_DECREF(capsule);
        return PyErr_NoMemory();
    }
    call.steps = steps;
    r->calls[r->count++] = call;
    return capsule;
}

/* The array that holds an address: one that is not dense only its first element, for the others may be anywhere around. */
static place find_place(const char *address, PyObject *values)
{
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(values); ++i) {
        PyArrayObject *array = (PyArrayObject *)PyList_GET_ITEM(values, i);
        if (!PyArray_Check(array))
            continue;
        const npy_intp offset = address - PyArray_BYTES(array), bytes = PyArray_NBYTES(array);
        if (offset == 0 ? bytes > 0 : offset > 0 && offset < bytes && PyArray_IS_C_CONTIGUOUS(array))
            return (place){i, offset, bytes};
    }
    return (place){-1, 0, 0};
}

static bool bind_call(recorded_call *call, PyObject *values)
{
    char **operands[PLACES];
    list_operands(&call->problem, operands);
    for (int i = 0; i < PLACES; ++i) {
        call->places[i] = *operands[i] ? find_place(*operands[i], values) : (place){-1, 0, 0};
        if (*operands[i] && call->places[i].value < 0)
            return false;
    }
    return true;
}

/* What each call reads and, last, writes: positions in `values`, -1 where there is no operand. */
static PyObject *list_places(const recording *r)
{
    PyObject *calls = PyList_New(0);
    for (size_t i = 0; calls && i < r->count; ++i) {
        const place *at = r->calls[i].places;
        PyObject *used = Py_BuildValue("nnnnnn", at[0].value, at[1].value, at[2].value, at[3].value, at[4].value,
                                       at[5].value);
        if (!used || PyList_Append(calls, used) < 0)
            Py_CLEAR(calls);
        Py_XDECREF(used);
    }
    return calls;
}

PyObject *bind_recording(PyObject *module, PyObject *args)
{
    PyObject *capsule, *values;
    recording *r;
    (void)module;
    if (!PyArg_ParseTuple(args, "OO!:bind_recording", &capsule, &PyList_Type, &values) ||
        !(r = PyCapsule_GetPointer(capsule, RECORDING)))
        return NULL;
    r->bound = !r->failed;
    for (size_t i = 0; r->bound && i < r->count; ++i)
        r->bound = bind_call(&r->calls[i], values);
    if (!r->bound)
        Py_RETURN_NONE;
    return list_places(r);
}

static void free_packed(PyObject *capsule)
{
    free(PyCapsule_GetPointer(capsule, PACKED));
}

/* New reference: the weights of a call, packed for a kernel set; None where that has no use for it. */
static PyObject *pack(const dsc_operation *operation, const dsc_problem *p)
{
    void *memory;
    const size_t bytes = operation->pack && p->mixing.data ? operation->pack(p, NULL) : 0;
    if (bytes == 0)
        Py_RETURN_NONE;
    if (posix_memalign(&memory, 64, bytes) != 0)
        return PyErr_NoMemory();
    operation->pack(p, memory);
    PyObject *capsule = PyCapsule_New(memory, PACKED, free_packed);
    if (!capsule)
        free(memory);
    return capsule;
}

PyObject *pack_recording(PyObject *module, PyObject *args)
{
    PyObject *capsule, *packed;
    recording *r;
    (void)module;
    if (!PyArg_ParseTuple(args, "OO:pack_recording", &capsule, &packed) || !(r = PyCapsule_GetPointer(capsule, RECORDING)))
        return NULL;
    if (r->count != 1 || r->calls[0].kernel < 0 || r->calls[0].packed) {
        PyErr_SetString(PyExc_ValueError, "expected a recording of one call whose weights are not packed");
        return NULL;
    }
    recorded_call *call = &r->calls[0];
    const dsc_table *table = dsc_active(call->type);
    const dsc_operation *operation = &table->operation[call->kernel];
    packed = packed == Py_None ? pack(operation, &call->problem) : Py_NewRef(packed);
    if (!packed || packed == Py_None)
        return packed;
    const char *memory = PyCapsule_GetPointer(packed, PACKED);
    if (!memory)
        Py_CLEAR(packed);
    else if (operation->pack && operation->pack(&call->problem, NULL))
        call->problem.packed = memory, call->packed = Py_NewRef(packed), call->table = table;
    return packed;
}

static int place_operand(const place *at, PyObject *values, char **data)
{
    if (at->value < 0)
        return 0;
    PyArrayObject *array = at->value < PyList_GET_SIZE(values) ? (PyArrayObject *)PyList_GET_ITEM(values, at->value) : NULL;
    if (!array || !PyArray_Check(array) || PyArray_NBYTES(array) < at->bytes) {
        PyErr_Format(PyExc_ValueError, "value %zd must be an array of at least %zd bytes", at->value, (Py_ssize_t)at->bytes);
        return -1;
    }
    *data = PyArray_BYTES(array) + at->offset;
    return 0;
}

static int replay_call(const recorded_call *call, PyObject *values)
{
    dsc_problem p = call->problem;
    char **operands[PLACES];
    list_operands(&p, operands);
    for (int i = 0; i < PLACES; ++i)
        if (place_operand(&call->places[i], values, operands[i]) < 0)
            return -1;
    if (call->kernel < 0) {
        Py_BEGIN_ALLOW_THREADS
        run_arithmetic(&call->steps, &p);
        Py_END_ALLOW_THREADS
        return 0;
    }
    const dsc_table *table = dsc_active(call->type);
    if (table != call->table)
        p.packed = NULL;
    dsc_status status = execute_without_gil(table, call->kernel, &p);
    if (status == DSC_NO_MEMORY)
        PyErr_NoMemory();
    return status == DSC_DONE ? 0 : -1;
}

static int replay_recording(PyObject *capsule, PyObject *values)
{
    const recording *r = PyCapsule_GetPointer(capsule, RECORDING);
    if (!r)
        return -1;
    if (!r->bound) {
        PyErr_SetString(PyExc_ValueError, "the recording is not bound to values");
        return -1;
    }
    for (size_t i = 0; i < r->count; ++i)
        if (replay_call(&r->calls[i], values) < 0)
            return -1;
    return 0;
}

PyObject *replay(PyObject *module, PyObject *args)
{
    PyObject *recordings, *values;
    (void)module;
    if (!PyArg_ParseTuple(args, "O!O!:replay", &PyTuple_Type, &recordings, &PyList_Type, &values))
        return NULL;
    PyUFunc_clearfperr();
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(recordings); ++i)
        if (replay_recording(PyTuple_GET_ITEM(recordings, i), values) < 0)
            return NULL;
    const int errors = PyUFunc_getfperr();
    if (errors && PyUFunc_GiveFloatingpointErrors("compiled layers", errors) < 0)
        return NULL;
    Py_RETURN_NONE;
}
