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

/* ---- cases ---- */
enum { AXES = 6 };
enum { IMAGE, CHANNEL, DEPTH, ROW, COLUMN };   /* axes of a map */

/* Sizes and steps, in elements. `lowest` and `span`: of the addresses, counted from the first element. */
typedef struct { int axes; dsc_int size[AXES], step[AXES], lowest, span; } layout;

/* An array somewhere in guarded memory. data: its first element, NULL: no array. */
typedef struct { layout at; int type; char *memory, *data; } operand;

typedef struct {
    int operation, type;
    dsc_geometry geometry;
    dsc_int in[3], kernel[3], out[3], low[3];
    dsc_int batch, channels, multiplier, outputs;
    dsc_activation inner, outer;       /* inner: of the separable convolution's first stage */
    bool bias, mixing_bias, wild, smooth, tidy;
    dsc_int limit;                     /* values are integers up to this */
    operand x, y, taps, mixing, taps_bias, mixing_bias_values;
} test_case;

/* False: too large for a quick case. */
bool draw_case(rng *r, test_case *t);
void describe_case(const test_case *t);
dsc_problem problem_of(const test_case *t);

static inline size_t item_size(int type) { return type == DSC_FLOAT32 ? sizeof(float) : sizeof(double); }

static inline double element(const char *data, int type, dsc_int i)
{
    return type == DSC_FLOAT32 ? (double)((const float *)data)[i] : ((const double *)data)[i];
}

static inline void set_element(char *data, int type, dsc_int i, double value)
{
    if (type == DSC_FLOAT32)
        ((float *)data)[i] = (float)value;
    else
        ((double *)data)[i] = value;
}

/* ---- plain definitions ---- */
/* Of one axis: false where the kernel does not fit. For small numbers only. */
bool plain_axis(const dsc_geometry *g, int axis, dsc_int in, dsc_int kernel, dsc_int *low, dsc_int *out);
dsc_int plain_source(dsc_int i, dsc_int n, dsc_padding_mode mode);
/* Expected values as [image][output][depth][row][column]; the caller frees them. */
double *plain_result(const test_case *t);

#endif
