/* The extension module dsconv._core. */
#define DSC_IMPORTS_NUMPY
#include "gufunc.h"

static PyObject *isa(PyObject *module, PyObject *unused)
{
    (void)module, (void)unused;
    return PyUnicode_FromString(dsc_active_name());
}

static PyObject *available_isas(PyObject *module, PyObject *unused)
{
    (void)module, (void)unused;
    Py_ssize_t count = 0;
    while (dsc_available((int)count))
        ++count;
    PyObject *names = PyTuple_New(count);
    for (Py_ssize_t i = 0; names && i < count; ++i) {
        PyObject *name = PyUnicode_FromString(dsc_available((int)i));
        if (!name) {
            Py_CLEAR(names);
            break;
        }
        PyTuple_SET_ITEM(names, i, name);
    }
    return names;
}

static PyObject *set_isa(PyObject *module, PyObject *name)
{
    (void)module;
    const char *wanted = PyUnicode_AsUTF8(name);
    if (!wanted)
        return NULL;
    if (!dsc_select(wanted))
        return PyErr_Format(PyExc_ValueError, "kernel set %R is not available here; see available_isas()", name);
    Py_RETURN_NONE;
}

static PyObject *get_num_threads(PyObject *module, PyObject *unused)
{
    (void)module, (void)unused;
    return PyLong_FromLong(dsc_get_threads());
}

static PyObject *set_num_threads(PyObject *module, PyObject *number)
{
    (void)module;
    long n = PyLong_AsLong(number);
    if (n == -1 && PyErr_Occurred())
        return NULL;
    if (n < 1 || n > INT_MAX)
        return PyErr_Format(PyExc_ValueError, "number of threads must be at least 1, got %ld", n);
    dsc_set_threads((int)n);
    Py_RETURN_NONE;
}

static PyObject *set_parallel_threshold(PyObject *module, PyObject *work)
{
    (void)module;
    double wanted = PyFloat_AsDouble(work);
    if (wanted == -1 && PyErr_Occurred())
        return NULL;
    return PyFloat_FromDouble(dsc_set_threshold(wanted));
}

/* The best of many short runs that fill the given time. */
static double measure_peak(double seconds)
{
    double best = 0, end = dsc_seconds() + seconds, begin;
    while ((begin = dsc_seconds()) < end) {
        double done = dsc_active(DSC_FLOAT32)->multiply_adds(20000), rate = done / (dsc_seconds() - begin);
        best = rate > best ? rate : best;
    }
    return best;
}

static PyObject *fma_peak(PyObject *module, PyObject *seconds)
{
    (void)module;
    double wanted = PyFloat_AsDouble(seconds), peak;
    if (wanted == -1 && PyErr_Occurred())
        return NULL;
    Py_BEGIN_ALLOW_THREADS
    peak = measure_peak(wanted);
    Py_END_ALLOW_THREADS
    return PyFloat_FromDouble(peak);
}

#ifdef __clang__
#define COMPILER "clang " __clang_version__
#else
#define COMPILER "gcc " __VERSION__
#endif

static PyObject *build_info(PyObject *module, PyObject *unused)
{
    static const char *const compiled[] = {
        "baseline",
#ifdef DSC_HAVE_avx2
        "avx2",
#endif
#ifdef DSC_HAVE_avx512
        "avx512",
#endif
#ifdef DSC_HAVE_wide
        "wide",
#endif
    };
    (void)module, (void)unused;
    PyObject *names = PyList_New(0);
    for (size_t i = 0; names && i < sizeof compiled / sizeof *compiled; ++i) {
        PyObject *name = PyUnicode_FromString(compiled[i]);
        if (!name || PyList_Append(names, name) < 0)
            Py_CLEAR(names);
        Py_XDECREF(name);
    }
    if (!names)
        return NULL;
    return Py_BuildValue("{s:s,s:N}", "compiler", COMPILER, "isas", names);
}

static PyMethodDef methods[] = {
    {"make_gufunc", make_gufunc, METH_VARARGS, "A configured ufunc (see dsconv.gufunc)."},
    {"is_plain_key", is_plain_key, METH_O, "Is it an int, a word, None or a tuple of them?"},
    {"make_shortcut", make_shortcut, METH_VARARGS, "Runner.run, which is called where its shortcuts do not do."},
    {"graph_propagate", graph_propagate, METH_VARARGS, "A sparse matrix times features (see dsconv.graph)."},
    {"graph_gradient", graph_gradient, METH_VARARGS, "The gradient of a sparse matrix's values."},
    {"graph_group", graph_group, METH_VARARGS, "Positions of equal keys, key by key, in their order."},
    {"record", record, METH_VARARGS, "The result of a function, and a recording of the ufuncs that it called."},
    {"record_arithmetic", record_arithmetic, METH_VARARGS,
     "A recording of y = x + other and the like on whole arrays, or None for others."},
    {"bind_recording", bind_recording, METH_VARARGS, "Which arrays a recording's calls read and write."},
    {"pack_recording", pack_recording, METH_VARARGS,
     "Give a call, whose weights no longer change, these packed ones or new ones; which these are, or None."},
    {"replay", replay, METH_VARARGS, "The calls of a recording, on other arrays."},
    {"isa", isa, METH_NOARGS, "Name of the active kernel set."},
    {"available_isas", available_isas, METH_NOARGS, "Kernel sets that this CPU runs, best first."},
    {"set_isa", set_isa, METH_O, "Choose a kernel set (for tests)."},
    {"get_num_threads", get_num_threads, METH_NOARGS, "Threads that a call may use."},
    {"set_num_threads", set_num_threads, METH_O, "Set the threads that a call may use."},
    {"set_parallel_threshold", set_parallel_threshold, METH_O, "Set the work below which a call is serial; the old one."},
    {"fma_peak", fma_peak, METH_O, "Float32 multiply-adds per second of one thread, measured for so many seconds."},
    {"build_info", build_info, METH_NOARGS, "How the extension was compiled."},
    {NULL, NULL, 0, NULL},
};

static int execute(PyObject *module)
{
    (void)module;
    import_array1(-1);
    import_umath1(-1);
    dsc_dispatch_init();
    dsc_parallel_init();
    const char *wanted = getenv("DSCONV_ISA");
    if (wanted && *wanted && strcmp(wanted, dsc_active_name()) != 0)
        return PyErr_WarnFormat(PyExc_RuntimeWarning, 1, "DSCONV_ISA=%s is not available here; using %s", wanted,
                                dsc_active_name());
    return 0;
}

static PyModuleDef_Slot slots[] = {{Py_mod_exec, execute}, {0, NULL}};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, .m_name = "dsconv._core", .m_doc = "The C side of dsconv.", .m_methods = methods,
    .m_slots = slots,
};

PyMODINIT_FUNC PyInit__core(void) { return PyModuleDef_Init(&definition); }
