/* What the C tests share: random numbers, guarded memory, cases, and the plain definitions they are checked against. */
#ifndef TESTING_H
#define TESTING_H

#include "dsconv.h"

/* ---- random numbers: splitmix64, so that a case depends on its seed and index alone ---- */
typedef struct { uint64_t state; } rng;

static inline uint64_t draw(rng *r)
{
    uint64_t z = r->state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static inline dsc_int between(rng *r, dsc_int low, dsc_int high)
{
    return low + (dsc_int)(draw(r) % (uint64_t)(high - low + 1));
}

static inline bool chance(rng *r, int percent) { return between(r, 1, 100) <= percent; }

#define PICK(r, ...) \
    (((const dsc_int[]){__VA_ARGS__})[between(r, 0, (dsc_int)(sizeof((dsc_int[]){__VA_ARGS__}) / sizeof(dsc_int)) - 1)])

/* ---- guarded memory ---- */
typedef struct { char *low, *high; } guarded;   /* usable bytes; the pages before and after end the process */

guarded guarded_memory(size_t bytes);
/* Where `bytes` begin: just before the guard after, or just behind the guard before. NULL: there is not enough. */
char *guarded_place(const guarded *memory, size_t bytes, bool at_end);

/* ---- elements: how arrays hold numbers ---- */
/* item: bytes of a part; exact: integers up to this are exact in the type that sums are computed in. */
typedef struct {
    const char *name;
    int type;
    dsc_format format;
    size_t item;
    int parts;
    double exact, tolerance;
} storage;

enum { FLOAT32, FLOAT64, FLOAT16, BFLOAT16, COMPLEX64, COMPLEX128, STORAGES };
extern const storage storages[STORAGES];

double part_at(const storage *s, const char *data, dsc_int i);                /* i: in parts */
void set_part(const storage *s, char *data, dsc_int i, double value);         /* rounded once, to even */
double activated(dsc_activation activation, double v);
double slope(dsc_activation activation, double v);                            /* its derivative */

/* ---- cases ---- */
enum { X, Y, TAPS, MIXING, TAPS_BIAS, MIXING_BIAS, OPERANDS };   /* the roles of arrays */
enum { NO_WINDOW, CONVOLUTION, TRANSPOSED };
enum { AXES = 7, IMAGE_AXES = 2 };
enum { IMAGE, IMAGES_A, IMAGES_B, CHANNEL, DEPTH, ROW, COLUMN };  /* axes of a map; gradients sum over the two */

/* What there is to test: a row is an operation of the library with the arrays it reads and the one it writes. */
typedef struct { const char *name; int kernel, window, result, often; bool reads[OPERANDS]; } operation_row;

enum { OPERATIONS = 12 };
extern const operation_row operations[OPERATIONS];

static inline bool has_array(const operation_row *row, int role) { return row->reads[role] || row->result == role; }

/* Sizes in elements, steps in parts. `lowest` and `span`: of the addresses in parts, counted from the first element. */
typedef struct { int axes; dsc_int size[AXES], step[AXES], lowest, span; } layout;

/* An array somewhere in guarded memory. data: its first element, NULL: no array. */
typedef struct { layout at; char *memory, *data; } operand;

typedef struct {
    const operation_row *row;
    const storage *kind;
    dsc_geometry geometry;
    dsc_int in[3], kernel[3], out[3], low[3];
    dsc_int batch, sum_a, sum_b, channels, multiplier, outputs;
    dsc_activation inner, outer;       /* inner: of the depthwise stage */
    bool wild, smooth, tidy;
    dsc_int limit;                     /* values are integers up to this */
    operand array[OPERANDS];
    dsc_images images;                 /* as the caller lists them */
} test_case;

static inline const operand *result_of(const test_case *t) { return &t->array[t->row->result]; }

/* Channels of the depthwise result. */
static inline dsc_int middle_of(const test_case *t) { return t->channels * t->multiplier; }

/* Positions of the side that taps start from: outputs, or inputs of a transposed convolution. */
static inline const dsc_int *starts_of(const test_case *t) { return t->row->window == TRANSPOSED ? t->in : t->out; }

typedef struct { int axes; dsc_int size[AXES]; } array_shape;
array_shape axes_of(const test_case *t, int role);

/* False: too large for a quick case. */
bool draw_case(rng *r, test_case *t);
bool place_arrays(rng *r, test_case *t);
void describe_case(const test_case *t);
dsc_fit resolve_case(const test_case *t, dsc_extent *e);
dsc_problem problem_of(test_case *t);

/* ---- plain definitions ---- */
/* Of one axis: false where the kernel does not fit. For small numbers only. */
bool plain_axis(const dsc_geometry *g, int axis, dsc_int in, dsc_int kernel, dsc_int *low, dsc_int *out);
/* Transposed, with the output padding of g: false where nothing is left. */
bool plain_transposed_axis(const dsc_geometry *g, int axis, dsc_int in, dsc_int kernel, dsc_int *low, dsc_int *out);
dsc_int plain_source(dsc_int i, dsc_int n, dsc_padding_mode mode);
/* Expected parts of the result, its axes in order and dense; the caller frees them. */
double *plain_result(const test_case *t);

#endif
