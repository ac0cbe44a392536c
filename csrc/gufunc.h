/* The NumPy side: real generalized ufuncs with the geometry bound in. */
#ifndef DSCONV_GUFUNC_H
#define DSCONV_GUFUNC_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#define NPY_NO_DEPRECATED_API NPY_2_0_API_VERSION
#define NPY_TARGET_VERSION NPY_2_1_API_VERSION
#define PY_ARRAY_UNIQUE_SYMBOL dsconv_array_api
#define PY_UFUNC_UNIQUE_SYMBOL dsconv_ufunc_api
#ifndef DSC_IMPORTS_NUMPY
#define NO_IMPORT_ARRAY
#define NO_IMPORT_UFUNC
#endif
#include <numpy/arrayobject.h>
#include <numpy/dtype_api.h>
#include <numpy/ufuncobject.h>

#include "dsconv.h"

enum { OPERANDS_MOST = 6, LETTERS_MOST = DSC_IMAGE_AXES + 6, NAME_MOST = 64, SIGNATURE_MOST = 256 };

/* Roles of operands. A gradient takes Y, the gradient of the result, and gives that of another role. */
enum { X, TAPS, MIXING, TAPS_BIAS, MIXING_BIAS, Y, ROLES };

/* Where the window comes from: none, a convolution, a transposed one. */
enum { NO_WINDOW, CONVOLUTION, TRANSPOSED };

/* One operation that users see: the kernels it runs and the roles of its operands. */
typedef struct {
    const char *name;
    int kernel, window, inputs[OPERANDS_MOST], count, output;
} operation_row;

extern const operation_row operation_table[];
int find_operation(const char *name);   /* its row, -1 with a ValueError */

/* What a configured ufunc owns. */
typedef struct {
    dsc_geometry geometry;
    const operation_row *row;
    bool channels_last;
    dsc_activation taps_activation, mixing_activation;
    bool sized;               /* some sizes are bound: of the input, the kernel or the output, as the operation has it */
    dsc_int sizes[3];
    bool has_bfloat16;        /* a loop for it has been added */
    int batch_axes;           /* leading axes of x and y that are summed over */
    int operands, roles[OPERANDS_MOST];
    char letters[ROLES][LETTERS_MOST];           /* of each role's axes, in order */
    char dimension[128];      /* letter of the signature to its index, -1: absent */
    char name[NAME_MOST], signature[SIGNATURE_MOST];
    char *doc;
} bound;

/* signature.c */
void write_signature(bound *b, bool taps_bias, bool mixing_bias);
const bound *bound_of(PyObject *ufunc);

/* dimensions.c */
int check_core_dimensions(PyUFuncObject *ufunc, npy_intp *sizes);
dsc_int size_along(const bound *b, const npy_intp *sizes, char letter);   /* 1 if there is no such axis */
dsc_fit resolve_sizes(const bound *b, const npy_intp *sizes, dsc_extent *e, int *axis);

/* loop.c */
PyArrayMethod_StridedLoop loop_f16, loop_bf16, loop_f32, loop_f64, loop_c64, loop_c128;
int run_reals(const bound *b, bool wide, char *const *data, const npy_intp *sizes, const npy_intp *strides);
dsc_status execute_without_gil(const dsc_table *table, int kernel, dsc_problem *p);

/* shortcut.c */
void add_shortcut(PyUFuncObject *ufunc);
/* Calls it without NumPy, with the result, NULL on an exception, or with `out` for it. False: nothing was done. */
bool call_shortly(PyObject *ufunc, PyObject *const *inputs, PyObject *out, PyObject **result);
PyObject *is_plain_key(PyObject *module, PyObject *value);
PyObject *make_shortcut(PyObject *module, PyObject *args);

/* gufunc.c */
PyObject *make_gufunc(PyObject *module, PyObject *args);
int read_activation(const char *name, dsc_activation *activation);   /* NULL: none; -1 with a ValueError */

int find_word(const char *const *words, const char *word);   /* its position, -1 with a ValueError */

/* arithmetic.c: y = x, or x combined with another operand or a number, over three axes of which the last is dense. */
typedef struct { int kind; dsc_int item, size[3], step[3], y_step; double number; } arithmetic;
int read_arithmetic(PyObject *args, dsc_problem *p, arithmetic *a);
void run_arithmetic(const arithmetic *a, const dsc_problem *p);

/* recording.c */
void record_call(const bound *b, int type, const dsc_problem *p);
PyObject *record(PyObject *module, PyObject *args);
PyObject *record_arithmetic(PyObject *module, PyObject *args);
PyObject *bind_recording(PyObject *module, PyObject *args);
PyObject *pack_recording(PyObject *module, PyObject *args);
PyObject *replay(PyObject *module, PyObject *args);

/* graph.c */
PyObject *graph_propagate(PyObject *module, PyObject *args);
PyObject *graph_gradient(PyObject *module, PyObject *args);
PyObject *graph_group(PyObject *module, PyObject *args);

extern const char input_axes[], kernel_axes[], output_axes[];

#endif
