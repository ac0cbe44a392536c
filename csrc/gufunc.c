/* Making a configured np.ufunc: parse, bind the geometry, register loops, promoter and size hook. */
#include "gufunc.h"

int find_word(const char *const *words, const char *word)
{
    for (int i = 0; words[i]; ++i)
        if (strcmp(words[i], word) == 0)
            return i;
    PyErr_Format(PyExc_ValueError, "unknown word '%s'", word);
    return -1;
}

static const char *const paddings[] = {"explicit", "same_upper", "same_lower", "full", "causal", NULL};
static const char *const modes[] = {"zeros", "reflect", "symmetric", "replicate", "circular", NULL};
static const char *const activations[] = {"linear", "relu", "relu6", "hardswish", "hardsigmoid", "silu", "sigmoid",
                                          "tanh", "gelu", NULL};

/* rank integers of a tuple into the last places of three; an empty one leaves them alone. */
static int read_axes(PyObject *tuple, int rank, dsc_int first, dsc_int *axes)
{
    if (PyTuple_Check(tuple) && PyTuple_GET_SIZE(tuple) == 0)
        return 0;
    if (!PyTuple_Check(tuple) || PyTuple_GET_SIZE(tuple) != rank) {
        PyErr_SetString(PyExc_TypeError, "expected a tuple of one integer per spatial axis");
        return -1;
    }
    for (int i = 0; i < rank; ++i) {
        long long value = PyLong_AsLongLong(PyTuple_GET_ITEM(tuple, i));
        if (value == -1 && PyErr_Occurred())
            return -1;
        if (value < first) {
            PyErr_Format(PyExc_ValueError, "need integers >= %lld, got %lld", (long long)first, value);
            return -1;
        }
        axes[3 - rank + i] = value;
    }
    return 0;
}

int read_activation(const char *name, dsc_activation *activation)
{
    int found = name ? find_word(activations, name) : 0;
    *activation = (dsc_activation)found;
    return found < 0 ? -1 : 0;
}

/* The arguments of make_gufunc that are not read at once. */
typedef struct {
    const char *operation, *padding, *mode, *inner, *outer, *name, *doc;
    PyObject *stride, *dilation, *low, *high, *extra, *sizes;
    int rank, channels_last, taps_bias, mixing_bias, batch_axes;
} given;

static int read_geometry(dsc_geometry *g, const given *a)
{
    int kind = find_word(paddings, a->padding), border = find_word(modes, a->mode);
    if (kind < 0 || border < 0)
        return -1;
    *g = (dsc_geometry){.rank = a->rank, .stride = {1, 1, 1}, .dilation = {1, 1, 1}, .padding = (dsc_padding)kind,
                        .mode = (dsc_padding_mode)border};
    if (read_axes(a->stride, g->rank, 1, g->stride) < 0 || read_axes(a->dilation, g->rank, 1, g->dilation) < 0 ||
        read_axes(a->low, g->rank, 0, g->low) < 0 || read_axes(a->high, g->rank, 0, g->high) < 0 ||
        read_axes(a->extra, g->rank, 0, g->extra) < 0)
        return -1;
    return 0;
}

static int read_bound(bound *b, const given *a)
{
    int found = find_operation(a->operation);
    if (found < 0)
        return -1;
    if (a->rank < 1 || a->rank > 3 || a->batch_axes < 0 || a->batch_axes > DSC_IMAGE_AXES) {
        PyErr_Format(PyExc_ValueError, "rank must be 1, 2 or 3, got %d, and batch_axes 0 to %d, got %d", a->rank,
                     DSC_IMAGE_AXES, a->batch_axes);
        return -1;
    }
    b->row = &operation_table[found];
    b->channels_last = a->channels_last, b->batch_axes = a->batch_axes;
    b->sizes[0] = b->sizes[1] = b->sizes[2] = 1;
    b->sized = PyTuple_Check(a->sizes) && PyTuple_GET_SIZE(a->sizes) > 0;
    snprintf(b->name, sizeof b->name, "%s", a->name);
    if (read_geometry(&b->geometry, a) < 0 || read_axes(a->sizes, a->rank, 0, b->sizes) < 0 ||
        read_activation(b->row->kernel == DSC_SEPARABLE ? a->inner : a->outer, &b->taps_activation) < 0 ||
        read_activation(a->outer, &b->mixing_activation) < 0)
        return -1;
    write_signature(b, a->taps_bias, a->mixing_bias);
    return 0;
}

static void free_bound(PyObject *capsule)
{
    bound *b = PyCapsule_GetPointer(capsule, NULL);
    PyMem_Free(b->doc);
    PyMem_Free(b);
}

static PyObject *wrap_bound(bound *b, const char *doc)
{
    b->doc = PyMem_Malloc(strlen(doc) + 1);
    PyObject *capsule = b->doc ? PyCapsule_New(b, NULL, free_bound) : NULL;
    if (!capsule) {
        PyMem_Free(b->doc);
        PyMem_Free(b);
        return PyErr_Occurred() ? NULL : PyErr_NoMemory();
    }
    strcpy(b->doc, doc);
    return capsule;
}

/* New reference to the class of a built-in data type. */
static PyArray_DTypeMeta *type_class(int number)
{
    PyArray_Descr *descr = PyArray_DescrFromType(number);
    if (!descr)
        return NULL;
    PyArray_DTypeMeta *type = NPY_DTYPE(descr);
    Py_INCREF(type);
    Py_DECREF(descr);
    return type;
}

/* A loop whose operands all have one data type. */
static int add_loop(PyObject *ufunc, PyArray_DTypeMeta *type, PyArrayMethod_StridedLoop *loop)
{
    const bound *b = bound_of(ufunc);
    PyArray_DTypeMeta *types[OPERANDS_MOST];
    for (int i = 0; i < b->operands; ++i)
        types[i] = type;
    PyType_Slot slots[] = {{NPY_METH_strided_loop, loop}, {0, NULL}};
    PyArrayMethod_Spec spec = {.name = b->name, .nin = b->operands - 1, .nout = 1, .casting = NPY_NO_CASTING,
                               .dtypes = types, .slots = slots};
    return PyUFunc_AddLoopFromSpec(ufunc, &spec);
}

/* No activation is defined for complex numbers. */
static bool takes_complex(const bound *b)
{
    return b->taps_activation == DSC_LINEAR && b->mixing_activation == DSC_LINEAR && b->row->kernel != DSC_ACTIVATE &&
           b->row->kernel != DSC_ACTIVATE_GRAD;
}

static int add_loops(PyObject *ufunc)
{
    static const struct { int number; bool paired; PyArrayMethod_StridedLoop *loop; } loops[] = {
        {NPY_HALF, false, loop_f16}, {NPY_FLOAT, false, loop_f32}, {NPY_DOUBLE, false, loop_f64},
        {NPY_CFLOAT, true, loop_c64}, {NPY_CDOUBLE, true, loop_c128},
    };
    for (size_t i = 0; i < sizeof loops / sizeof *loops; ++i) {
        PyArray_DTypeMeta *type = type_class(loops[i].number);
        int result = type ? 0 : -1;
        if (bound_of(ufunc)->row->kernel == DSC_STANDARD && loops[i].number != NPY_FLOAT && loops[i].number != NPY_DOUBLE) {
            Py_XDECREF(type);
            continue;
        }
        if (type && (!loops[i].paired || takes_complex(bound_of(ufunc))))
            result = add_loop(ufunc, type, loops[i].loop);
        Py_XDECREF(type);
        if (result < 0)
            return -1;
    }
    return 0;
}

/* New reference to the class of bfloat16 where ml_dtypes has been imported, as whoever has an array of it has; else NULL,
 * with an exception only if something failed. */
static PyArray_DTypeMeta *bfloat16_type(void)
{
    PyObject *modules = PySys_GetObject("modules"), *name = PyUnicode_FromString("ml_dtypes"), *module, *scalar;
    PyArray_Descr *descr = NULL;
    PyArray_DTypeMeta *type = NULL;
    module = name && modules ? PyDict_GetItemWithError(modules, name) : NULL;
    Py_XDECREF(name);
    if (!module || !(scalar = PyObject_GetAttrString(module, "bfloat16")))
        return NULL;
    if (PyArray_DescrConverter(scalar, &descr) == NPY_SUCCEED)
        type = (PyArray_DTypeMeta *)Py_NewRef((PyObject *)NPY_DTYPE(descr));
    Py_XDECREF(descr);
    Py_DECREF(scalar);
    return type;
}

/* Add a loop for bfloat16, once, if there is such a type by now. NumPy asks the promoter only for types without a loop, and
 * does not ask where it would change nothing: so this is tried when the ufunc is made and again in the promoter. */
static int add_bfloat16(PyObject *ufunc)
{
    bound *b = PyCapsule_GetPointer(((PyUFuncObject *)ufunc)->obj, NULL);
    PyArray_DTypeMeta *type = b->has_bfloat16 || b->row->kernel == DSC_STANDARD ? NULL : bfloat16_type();
    if (type && add_loop(ufunc, type, loop_bf16) == 0)
        b->has_bfloat16 = true;
    Py_XDECREF(type);
    return PyErr_Occurred() ? -1 : 0;
}

/* A new reference to `type` if that is bfloat16, NULL otherwise. */
static PyArray_DTypeMeta *if_bfloat16(PyObject *ufunc, PyArray_DTypeMeta *type)
{
    PyArray_DTypeMeta *bfloat16 = bfloat16_type();
    if (bfloat16 && bfloat16 == type && add_bfloat16(ufunc) == 0)
        return bfloat16;
    Py_XDECREF(bfloat16);
    return NULL;
}

/* The data type that all operands are brought to, from the one they have in common. */
static PyArray_DTypeMeta *working_type(PyObject *ufunc, PyArray_DTypeMeta *common)
{
    const bound *b = bound_of(ufunc);
    PyArray_DTypeMeta *bfloat16 = common->type_num >= NPY_USERDEF ? if_bfloat16(ufunc, common) : NULL;
    if (bfloat16 || PyErr_Occurred())
        return bfloat16;
    switch (common->type_num) {
    case NPY_BOOL: case NPY_BYTE: case NPY_UBYTE: case NPY_SHORT: case NPY_USHORT: case NPY_FLOAT:
        return type_class(NPY_FLOAT);
    case NPY_INT: case NPY_UINT: case NPY_LONG: case NPY_ULONG: case NPY_LONGLONG: case NPY_ULONGLONG: case NPY_DOUBLE:
        return type_class(NPY_DOUBLE);
    case NPY_HALF:
        return type_class(NPY_HALF);
    case NPY_CFLOAT: case NPY_CDOUBLE:
        if (takes_complex(b))
            return type_class(common->type_num);
        PyErr_Format(PyExc_TypeError, "%s: activations take real numbers; the inputs' common dtype is %R", b->name,
                     (PyObject *)common);
        return NULL;
    default:
        PyErr_Format(PyExc_TypeError, "%s: the inputs' common dtype is %R, needs to be float16, bfloat16, float32, float64, "
                     "complex64, complex128, an integer or bool", b->name, (PyObject *)common);
        return NULL;
    }
}

static int promote(PyObject *ufunc, PyArray_DTypeMeta *const operands[], PyArray_DTypeMeta *const wanted[],
                   PyArray_DTypeMeta *promoted[])
{
    const bound *b = bound_of(ufunc);
    int inputs = b->operands - 1;
    PyArray_DTypeMeta *given[OPERANDS_MOST], *common, *target;
    if (wanted[inputs]) {
        common = wanted[inputs];
        Py_INCREF(common);
    } else {
        for (int i = 0; i < inputs; ++i)
            given[i] = wanted[i] ? wanted[i] : operands[i];
        common = PyArray_PromoteDTypeSequence(inputs, given);
        if (!common)
            return -1;
    }
    target = working_type(ufunc, common);
    Py_DECREF(common);
    if (!target)
        return -1;
    for (int i = 0; i < b->operands; ++i) {
        promoted[i] = wanted[i] ? wanted[i] : target;
        Py_INCREF(promoted[i]);
    }
    Py_DECREF(target);
    return 0;
}

static int add_promoter(PyObject *ufunc)
{
    const bound *b = bound_of(ufunc);
    PyObject *capsule = PyCapsule_New(promote, "numpy._ufunc_promoter", NULL), *types = PyTuple_New(b->operands);
    int result = -1;
    if (capsule && types) {
        for (int i = 0; i < b->operands; ++i)
            PyTuple_SET_ITEM(types, i, Py_NewRef((PyObject *)&PyArrayDescr_Type));
        result = PyUFunc_AddPromoter(ufunc, types, capsule);
    }
    Py_XDECREF(capsule);
    Py_XDECREF(types);
    return result;
}

static PyObject *make_ufunc(PyObject *capsule)
{
    bound *b = PyCapsule_GetPointer(capsule, NULL);
    PyObject *ufunc = PyUFunc_FromFuncAndDataAndSignature(NULL, NULL, NULL, 0, b->operands - 1, 1, PyUFunc_None, b->name,
                                                          b->doc, 0, b->signature);
    if (!ufunc)
        return NULL;
    PyUFuncObject *u = (PyUFuncObject *)ufunc;
    u->obj = Py_NewRef(capsule);
    u->process_core_dims_func = check_core_dimensions;
    add_shortcut(u);
    /* Without the element-wise overlap assumption of ordinary ufuncs: out=x must be buffered. */
    u->op_flags[b->operands - 1] = NPY_ITER_WRITEONLY | NPY_ITER_UPDATEIFCOPY | NPY_ITER_ALIGNED | NPY_ITER_ALLOCATE |
                                   NPY_ITER_NO_BROADCAST | NPY_ITER_NO_SUBTYPE;
    if (add_loops(ufunc) < 0 || add_bfloat16(ufunc) < 0 || add_promoter(ufunc) < 0)
        Py_CLEAR(ufunc);
    return ufunc;
}

PyObject *make_gufunc(PyObject *module, PyObject *args)
{
    given a;
    (void)module;
    if (!PyArg_ParseTuple(args, "sipppOOsOOszzOOiss:make_gufunc", &a.operation, &a.rank, &a.channels_last, &a.taps_bias,
                          &a.mixing_bias, &a.stride, &a.dilation, &a.padding, &a.low, &a.high, &a.mode, &a.inner, &a.outer,
                          &a.extra, &a.sizes, &a.batch_axes, &a.name, &a.doc))
        return NULL;
    bound *b = PyMem_Calloc(1, sizeof *b);
    if (!b)
        return PyErr_NoMemory();
    if (read_bound(b, &a) < 0) {
        PyMem_Free(b);
        return NULL;
    }
    PyObject *capsule = wrap_bound(b, a.doc);
    if (!capsule)
        return NULL;
    PyObject *ufunc = make_ufunc(capsule);
    Py_DECREF(capsule);
    return ufunc;
}
