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

enum { OPERANDS_MOST = 6, LETTERS_MOST = 8, NAME_MOST = 48, SIGNATURE_MOST = 96 };

/* Roles of operands. */
enum { X, TAPS, MIXING, TAPS_BIAS, MIXING_BIAS, Y };

/* What a configured ufunc owns. */
typedef struct {
    dsc_geometry geometry;
    int operation;
    bool channels_last;
    dsc_activation taps_activation, mixing_activation;
    int operands, roles[OPERANDS_MOST];
    char letters[OPERANDS_MOST][LETTERS_MOST];   /* of each role's axes, in order */
    char dimension[128];      /* letter of the signature to its index, -1: absent */
    char name[NAME_MOST], signature[SIGNATURE_MOST];
    char *doc;
} bound;

/* signature.c */
void write_signature(bound *b, bool taps_bias, bool mixing_bias);
int check_core_dimensions(PyUFuncObject *ufunc, npy_intp *sizes);
const bound *bound_of(PyObject *ufunc);

/* loop.c */
int loop_f32(PyArrayMethod_Context *, char *const *, const npy_intp *, const npy_intp *, NpyAuxData *);
int loop_f64(PyArrayMethod_Context *, char *const *, const npy_intp *, const npy_intp *, NpyAuxData *);

/* gufunc.c */
PyObject *make_gufunc(PyObject *module, PyObject *args);

#endif
