/* The words everything else uses: geometry, strided operands, one call's problem, kernel tables.
 *
 * Every rank is embedded in rank 3: arrays of three are (depth, height, width), and rank 1 uses only the last.
 * All steps are in elements, not bytes. */
#ifndef DSCONV_H
#define DSCONV_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef int64_t dsc_int;

typedef enum { DSC_EXPLICIT, DSC_SAME_UPPER, DSC_SAME_LOWER, DSC_FULL, DSC_CAUSAL } dsc_padding;
typedef enum { DSC_ZEROS, DSC_REFLECT, DSC_SYMMETRIC, DSC_REPLICATE, DSC_CIRCULAR } dsc_padding_mode;
typedef enum {
    DSC_LINEAR, DSC_RELU, DSC_RELU6, DSC_HARDSWISH, DSC_HARDSIGMOID, DSC_SILU, DSC_SIGMOID, DSC_TANH, DSC_GELU
} dsc_activation;

/* What the user bound: known before any array is seen. */
typedef struct {
    int rank;
    dsc_int stride[3], dilation[3], low[3], high[3];
    dsc_padding padding;
    dsc_padding_mode mode;
} dsc_geometry;

/* The same with sizes: known once the arrays' shapes are. `low` is the padding before each axis. */
typedef struct {
    dsc_int in[3], kernel[3], out[3], stride[3], dilation[3], low[3];
    dsc_padding_mode mode;
} dsc_extent;

typedef enum { DSC_FITS, DSC_EMPTY_KERNEL, DSC_EMPTY_INPUT, DSC_KERNEL_TOO_LARGE, DSC_OVERFLOW } dsc_fit;

/* Resolve padding and output sizes. On failure *axis is the offending one (0..2 of the embedded three). */
dsc_fit dsc_resolve(const dsc_geometry *g, const dsc_int in[3], const dsc_int kernel[3], dsc_extent *e, int *axis);

/* Index that position i of a padded axis of n elements reads, or -1 for a padded zero. */
dsc_int dsc_source_index(dsc_int i, dsc_int n, dsc_padding_mode mode);

bool dsc_multiply(dsc_int a, dsc_int b, dsc_int *product);  /* false when it overflows */

typedef struct { char *data; dsc_int batch, channel, step[3]; } dsc_map;              /* feature map */
typedef struct { const char *data; dsc_int batch, channel, multiplier, step[3]; } dsc_taps;
typedef struct { const char *data; dsc_int batch, row, column; } dsc_matrix;          /* pointwise weight */
typedef struct { const char *data; dsc_int batch, step; } dsc_vector;                 /* bias; data NULL: none */

typedef struct {
    dsc_extent e;
    dsc_int batch, channels, multiplier, outputs;   /* outputs: channels of y */
    int threads;               /* that may share the call; cuts the work, never changes a bit of it */
    dsc_map x, y;
    dsc_taps taps;
    dsc_matrix mixing;
    dsc_vector taps_bias, mixing_bias;
    dsc_activation taps_activation, mixing_activation;
    atomic_int *stop;          /* set to abandon the call */
    bool (*poll)(void);        /* true: abandon the call; does nothing on threads other than the caller's */
} dsc_problem;

/* True once the call is to be abandoned; for use inside long items. */
static inline bool dsc_stopped(const dsc_problem *p)
{
    if (!atomic_load_explicit(p->stop, memory_order_relaxed) && p->poll())
        atomic_store_explicit(p->stop, 1, memory_order_relaxed);
    return atomic_load_explicit(p->stop, memory_order_relaxed);
}

/* How a call is cut up. Items are independent: any order, any thread, same bits. */
typedef struct {
    dsc_int items, bands, columns;     /* bands x columns tiles of an output plane */
    dsc_int band_rows, column_width;   /* size of one tile, in output rows and columns */
    dsc_int strip_rows, strip_pitch;   /* planar depthwise: rows of scratch and elements in each, 0: none */
    dsc_int mixing_block;              /* depthwise channels that one pointwise pass sums over */
    dsc_int group, groups;             /* depthwise alone: output channels of an item, and how many such groups */
    int path;
    size_t scratch;                    /* bytes a thread */
    double work;                       /* about MACs in the whole call */
} dsc_plan;

typedef struct {
    void (*plan)(const dsc_problem *, dsc_plan *);
    void (*run)(const dsc_problem *, const dsc_plan *, dsc_int begin, dsc_int end, void *scratch);
} dsc_operation;

enum { DSC_DEPTHWISE, DSC_POINTWISE, DSC_SEPARABLE, DSC_OPERATIONS };
enum { DSC_FLOAT32, DSC_FLOAT64, DSC_TYPES };

/* One kernel set x data type. */
typedef struct {
    dsc_operation operation[DSC_OPERATIONS];
    double (*multiply_adds)(dsc_int rounds);  /* runs about that many multiply-adds, returns how many exactly */
} dsc_table;

/* dispatch.c */
const dsc_table *dsc_active(int type);
const char *dsc_active_name(void);
const char *dsc_available(int i);              /* best first, NULL at the end */
bool dsc_select(const char *name);
void dsc_dispatch_init(void);
size_t dsc_panel_bytes(void);                  /* of second-level cache that one thread's panel may fill */

/* parallel.c */
typedef enum { DSC_DONE, DSC_NO_MEMORY, DSC_STOPPED } dsc_status;
dsc_status dsc_execute(const dsc_operation *operation, dsc_problem *problem);
int dsc_get_threads(void);
void dsc_set_threads(int n);
double dsc_set_threshold(double work);
void dsc_parallel_init(void);

#endif
