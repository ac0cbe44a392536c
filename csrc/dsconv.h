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
    dsc_int extra[3];          /* transposed: output_padding */
    dsc_padding padding;
    dsc_padding_mode mode;
} dsc_geometry;

/* The same with sizes: known once the arrays' shapes are. `low` is the padding before each axis.
 * Output o meets tap t at input o * stride + t * dilation - low; transposed: input i meets it at output
 * i * stride + t * dilation - low. */
typedef struct {
    dsc_int in[3], kernel[3], out[3], stride[3], dilation[3], low[3];
    dsc_padding_mode mode;
    bool transposed;
} dsc_extent;

typedef enum {
    DSC_FITS, DSC_EMPTY_KERNEL, DSC_EMPTY_INPUT, DSC_KERNEL_TOO_LARGE, DSC_OVERFLOW, DSC_EMPTY_OUTPUT, DSC_OUT_OF_RANGE
} dsc_fit;

/* Resolve padding and output sizes. On failure *axis is the offending one (0..2 of the embedded three). */
dsc_fit dsc_resolve(const dsc_geometry *g, const dsc_int in[3], const dsc_int kernel[3], dsc_extent *e, int *axis);

/* The same for a transposed convolution; `out` holds the output sizes that are wanted, or is NULL. */
dsc_fit dsc_resolve_transposed(const dsc_geometry *g, const dsc_int in[3], const dsc_int kernel[3], const dsc_int *out,
                               dsc_extent *e, int *axis);

/* Outputs a transposed convolution may have on one axis, as far as they are known: [*least, *most]. */
bool dsc_transposed_range(const dsc_geometry *g, int axis, dsc_int in, dsc_int kernel, dsc_int *least, dsc_int *most);

/* Exchange the roles of input and output: the adjoint of a convolution is transposed, and the reverse. */
void dsc_exchange(dsc_extent *e);

/* The outputs phase, phase + stride, ... of a transposed convolution are a convolution of stride 1 with every tap_step-th
 * tap, the last one first: axis `axis` of *p is set to it, p->kernel to 0 where no tap reaches them. */
typedef struct { dsc_int last_tap, tap_step; } dsc_phase;
dsc_phase dsc_phase_of(const dsc_extent *e, int axis, dsc_int phase, dsc_extent *p);

/* Index that position i of a padded axis of n elements reads, or -1 for a padded zero. */
dsc_int dsc_source_index(dsc_int i, dsc_int n, dsc_padding_mode mode);

bool dsc_multiply(dsc_int a, dsc_int b, dsc_int *product);  /* false when it overflows */

/* Feature map. `multiplier`: step to the next channel of the same group, where a group has several. */
typedef struct { char *data; dsc_int batch, channel, multiplier, step[3]; } dsc_map;
typedef struct { char *data; dsc_int batch, channel, multiplier, step[3]; } dsc_taps;
typedef struct { char *data; dsc_int batch, row, column; } dsc_matrix;          /* pointwise weight */
typedef struct { char *data; dsc_int batch, step; } dsc_vector;                 /* bias; data NULL: none */

/* The images that a weight gradient sums over: an index of several axes, and the steps of x and y along them. */
enum { DSC_IMAGE_AXES = 24 };
typedef struct { int axes; dsc_int count, size[DSC_IMAGE_AXES], x[DSC_IMAGE_AXES], y[DSC_IMAGE_AXES]; } dsc_images;

/* How arrays hold their reals: as they are, or as narrower floats. */
typedef enum { DSC_NATIVE, DSC_HALF, DSC_BFLOAT } dsc_format;

/* A sparse matrix by rows, of which rows [first, last) are wanted: the entries of row r are start[r] to start[r + 1] of
 * column and value. All sizes are checked where the arrays are used. */
enum { GRAPH_STRETCH = 1024 };
typedef struct {
    const void *start, *column;    /* 64-bit integers if `wide`, 32-bit ones if not */
    const char *value;
    bool wide;
    dsc_int columns, entries, first, last;
    dsc_int stretches;             /* of GRAPH_STRETCH places, see kernels/graph.h */
    dsc_map base;                  /* times the taps added to the result; data NULL: none */
    char *gradient;                /* of the values is wanted, from that of the result in y; NULL: the result is */
    char *partial;                 /* sums of long rows: two for each item, that which begins a row first */
    dsc_int *long_row;             /* the row whose sum begins in an item, or -1 */
    atomic_int invalid;            /* set where an index is out of range */
} dsc_graph;

/* Weight gradients read x and y, and write taps or mixing. */
typedef struct {
    dsc_extent e;
    dsc_int batch, channels, multiplier, outputs;   /* outputs: channels of y */
    dsc_int summands;          /* depthwise: inputs of one output, x.multiplier and taps.multiplier apart */
    dsc_int whole;             /* depthwise: channels of the call that this is a part of; 0: it is no part of another */
    dsc_format format;
    int item;                  /* bytes of what steps count in: a real, or a narrow float */
    int parts;                 /* reals of an element: 2 for complex numbers, whose parts are neighbours */
    bool conjugate;            /* complex weights; in weight gradients y rather than x */
    bool fold;                 /* transposed: y gets the adjoint of the padding e.mode as well */
    bool past;                 /* narrow results are many, and stored past the caches */
    dsc_int ahead;             /* bytes from what is read of narrow x to what is asked for meanwhile; 0: nothing is */
    bool windows;              /* standard convolution: mixing sums over channels x taps, `multiplier` taps */
    const dsc_images *images;
    dsc_graph *graph;
    int threads;               /* that may share the call; cuts the work, never changes a bit of it */
    dsc_map x, y;
    dsc_taps taps;
    dsc_matrix mixing;
    const char *packed;        /* mixing as `pack` of the kernel set in use lays it out, or NULL */
    dsc_vector taps_bias, mixing_bias;
    dsc_activation taps_activation, mixing_activation;
    atomic_int *stop;          /* set to abandon the call */
    bool (*poll)(void);        /* true: abandon the call; does nothing on threads other than the caller's */
} dsc_problem;

/* NumPy gives axes of length 1 a step of 0. Steps that are never taken are set as a dense array has them, channels first: they are
 * read as short rows. */
void dsc_tidy_map(dsc_map *map, const dsc_int size[3], dsc_int channels);

/* A pointwise convolution does not care where its pixels are: one long row where both arrays allow it. */
void dsc_collapse_pixels(dsc_problem *p);

/* Depthwise, planar, a kernel along one axis that is not the last, or of one tap: axes become one where both arrays allow it. */
void dsc_merge_axes(dsc_problem *p);

/* Depthwise: depth becomes rows, and rows depth. */
void dsc_exchange_rows(dsc_problem *p);

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
    dsc_int residues;                  /* of rows modulo the dilation, each a call of its own; 0: one */
    dsc_int slices;                    /* of depth in a tile, 0: one */
    dsc_int strip_rows, strip_pitch;   /* planar depthwise: rows of scratch and elements in each, 0: none */
    dsc_int mixing_block;              /* depthwise channels that one pointwise pass sums over */
    dsc_int group, groups;             /* output channels of an item, and how many such groups */
    dsc_int tap_rows, tap_columns;     /* weight gradients: taps of an item */
    dsc_int levels;                    /* weight gradients: partial sums that wait for their partner */
    bool asks;                         /* weight gradients: for what comes next, from beyond a core's own caches */
    int path;
    size_t scratch;                    /* bytes a thread */
    size_t packed;                     /* bytes of weights that are packed for all threads, 0: none */
    double work;                       /* about MACs in the whole call */
} dsc_plan;

typedef struct {
    void (*plan)(const dsc_problem *, dsc_plan *);
    void (*run)(const dsc_problem *, const dsc_plan *, dsc_int begin, dsc_int end, void *scratch);
    bool reduces;                      /* writes results even where there is nothing to read */
    /* Packs the weights of a pointwise stage, unless `memory` is NULL. Returns the bytes of that, 0: they cannot be. */
    size_t (*pack)(const dsc_problem *, void *memory);
} dsc_operation;

enum {
    DSC_DEPTHWISE, DSC_POINTWISE, DSC_SEPARABLE, DSC_STANDARD, DSC_DEPTHWISE_WEIGHTS, DSC_POINTWISE_WEIGHTS,
    DSC_ACTIVATE, DSC_ACTIVATE_GRAD, DSC_GRAPH, DSC_LONG_ROWS, DSC_OPERATIONS
};
enum { DSC_FLOAT32, DSC_FLOAT64, DSC_TYPES };

/* One kernel set x data type. */
typedef struct {
    dsc_operation operation[DSC_OPERATIONS];
    /* Depthwise: the axes as the kernels like them best. `copy` has them if they are others than those of the problem. */
    dsc_problem *(*arrange_axes)(dsc_problem *, dsc_problem *copy);
    bool (*in_stages)(const dsc_problem *);   /* separable: is it to be called by dsc_execute_stages? */
    double (*multiply_adds)(dsc_int rounds);  /* runs about that many multiply-adds, returns how many exactly */
} dsc_table;

/* dispatch.c */
const dsc_table *dsc_active(int type);
const char *dsc_active_name(void);
const char *dsc_available(int i);              /* best first, NULL at the end */
bool dsc_select(const char *name);
void dsc_dispatch_init(void);
size_t dsc_panel_bytes(void);                  /* of second-level cache that one thread's panel may fill */

/* parallel.c, stages.c */
typedef enum { DSC_DONE, DSC_NO_MEMORY, DSC_STOPPED } dsc_status;
dsc_status dsc_execute(const dsc_operation *operation, dsc_problem *problem);
/* The same for a separable convolution, the depthwise stage to where the results go, the other there in place. */
dsc_status dsc_execute_stages(const dsc_table *table, const dsc_problem *problem);
int dsc_get_threads(void);
void dsc_set_threads(int n);
double dsc_set_threshold(double work);
double dsc_seconds(void);                      /* of a clock that only runs on */
void dsc_parallel_init(void);

#endif
