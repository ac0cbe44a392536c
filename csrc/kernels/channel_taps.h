/* Taps and bias packed for vectors of channels: [vector][tap][lane], the bias [vector][lane]. Where pairs of channels are complex
 * numbers, a tap is two vectors: its real part for both, and its imaginary part for what has been exchanged. */
#ifndef DSCONV_CHANNEL_TAPS_H
#define DSCONV_CHANNEL_TAPS_H

#include "transpose.h"

#define ALIGNED_CHANNELS (4 * LANES)    /* fewer, and one vector more costs too much ... */
#define ALIGNED_SHARED (8 * LANES)      /* ... or fewer than these, where rows of outputs share so many taps ... */
#define SHARED_TAPS 9
#define ALIGNED_MOST (10 * LANES)       /* ... or fewer than these where taps read each input ... */
#define MULTIPLIED_TAPS 16    /* ... more than so many, or where x and y cannot both be aligned */

/* What a thread keeps between tiles of one image. The first `skip` lanes of the first vector are no channels. */
typedef struct { dsc_int image, skip; real *taps, *bias; } packed_channels;

static bool whole_vectors(dsc_int step)
{
    return step % LANES == 0;
}

/* What a call writes; as a double, for it may exceed any integer. */
static double result_bytes(const dsc_problem *p)
{
    return output_volume(&p->e) * (double)p->batch * (double)p->outputs * sizeof(real);
}

/* Lanes by which the map is past the beginning of a line, where that is one number in every pixel; else -1. */
static dsc_int lanes_past_line(const dsc_problem *p, const dsc_map *map)
{
    const bool same = whole_vectors(map->step[0]) && whole_vectors(map->step[1]) && whole_vectors(map->step[2]) &&
                      (p->batch == 1 || whole_vectors(map->batch));
    return same ? (dsc_int)((uintptr_t)map->data / sizeof(real) % LANES) : -1;
}

/* Lanes to skip so that vectors are aligned in every pixel: one of a whole cache line that is not aligned touches two lines, at
 * each load and each store. Where it cannot be both, those of x, which are loaded more often than those of y are stored; but
 * results that are stored past the caches must be aligned, and transposed convolution stores more than it loads. */
static dsc_int lanes_to_skip(const dsc_problem *p)
{
    const dsc_int *stride = p->e.stride, of_x = lanes_past_line(p, &p->x), of_y = lanes_past_line(p, &p->y);
    const double taps_an_input = kernel_volume(&p->e) / ((double)stride[0] * (double)stride[1] * (double)stride[2]);
    const bool by_x = !p->e.transposed && of_x >= 0 && of_x != of_y && result_bytes(p) <= PAST_BYTES;
    const dsc_int skip = by_x ? of_x : of_y;
    const bool share = p->e.kernel[1] > 1 && taps_an_input >= SHARED_TAPS && result_bytes(p) <= PAST_BYTES;
    const dsc_int few = share ? ALIGNED_SHARED : ALIGNED_CHANNELS;
    const dsc_int fewest = by_x || taps_an_input > MULTIPLIED_TAPS ? ALIGNED_MOST : few;
    return VECTOR_BYTES < LINE_BYTES || skip < 0 || p->channels < fewest || skip % p->parts ? 0 : skip;
}

/* Sets to which masks are dear: a last vector of fewer channels begins within the one before, and has taps of its own, which come
 * after those of whole vectors and of the last one. */
static bool overlaps_last(dsc_int channels)
{
    return PIXELS_ABREAST && channels >= LANES && channels % LANES != 0;
}

static dsc_int lanes_of_channels(dsc_int channels)
{
    return round_up(channels, LANES) + LANES;
}

static dsc_int lanes_packed(const dsc_problem *p)
{
    return lanes_of_channels(p->channels);
}

static size_t packed_bytes(const dsc_problem *p, double taps)
{
    return ((size_t)taps * (size_t)p->parts + 1) * (size_t)lanes_packed(p) * sizeof(real) + 64;
}

static packed_channels no_channels(const dsc_problem *p, dsc_int skip, void *scratch)
{
    real *bias = (real *)(((uintptr_t)scratch + 63) & ~(uintptr_t)63);
    return (packed_channels){.image = -1, .skip = skip, .bias = bias, .taps = bias + lanes_packed(p)};
}

/* A tap of all lanes of one vector, the first of which is channel `first`; lanes without a channel are zero. */
static void pack_tap(const dsc_problem *p, const real *tap, dsc_int first, real *lanes)
{
    const int shift = p->parts - 1;   /* two neighbours share a complex tap; a division would take as long as the rest */
    const dsc_int step = p->taps.channel;
    if (first >= 0 && first + LANES <= p->channels) {
        UNROLL
        for (int lane = 0; lane < LANES; ++lane)
            lanes[lane] = tap[((first + lane) >> shift) * step];
        return;
    }
    for (dsc_int lane = 0; lane < LANES; ++lane) {
        dsc_int channel = first + lane;
        lanes[lane] = channel >= 0 && channel < p->channels ? tap[(channel >> shift) * step] : 0;
    }
}

/* i times the numbers whose parts have been exchanged: minus for the first of them, plus for the second. */
static void turn_tap(const dsc_problem *p, real *lanes)
{
    for (dsc_int lane = p->conjugate; lane < LANES; lane += 2)
        lanes[lane] = -lanes[lane];
}

/* Do the taps of each channel lie one after the other, and have all lanes of this vector a channel? A square that is wider than
 * they are reads taps of the next vector too, and fills the place that those take afterwards. */
static bool packs_squares(const dsc_problem *p, dsc_int first, dsc_int taps)
{
    const dsc_int *kernel = p->e.kernel, *step = p->taps.step, next = first + LANES;
    const bool rows = kernel[1] == 1 || step[1] == kernel[2], slices = kernel[0] == 1 || step[0] == kernel[1] * kernel[2];
    const bool dense = step[2] == 1 && rows && slices;
    if (p->parts != 1 || !dense || first < 0)
        return false;
    return taps >= LANES ? next <= p->channels : 2 * taps >= LANES && p->taps.channel == taps && next + LANES <= p->channels;
}

static void pack_vector(const dsc_problem *p, const real *taps, dsc_int first, real *packed)
{
    const dsc_int *kernel = p->e.kernel, *step = p->taps.step, count = kernel[0] * kernel[1] * kernel[2];
    if (packs_squares(p, first, count)) {
        for (dsc_int c = 0; c < count; c = next_square(c, count))
            transpose_square(taps + first * p->taps.channel + c, p->taps.channel, packed + c * LANES, LANES);
        return;
    }
    for (dsc_int k = 0; k < kernel[0]; ++k)
        for (dsc_int j = 0; j < kernel[1]; ++j)
            for (dsc_int i = 0; i < kernel[2]; ++i)
                for (int part = 0; part < p->parts; ++part, packed += LANES) {
                    pack_tap(p, taps + k * step[0] + j * step[1] + i * step[2] + part, first, packed);
                    if (part)
                        turn_tap(p, packed);
                }
}

static real bias_of_channel(const dsc_problem *p, dsc_int image, dsc_int channel)
{
    const dsc_vector *bias = &p->taps_bias;
    return ((const real *)bias->data)[image * bias->batch + channel / p->parts * bias->step + channel % p->parts];
}

static void pack_vector_and_bias(const dsc_problem *p, dsc_int image, dsc_int first, dsc_int vector, packed_channels *packed)
{
    const real *bias = (const real *)p->taps_bias.data;
    const dsc_int taps = p->e.kernel[0] * p->e.kernel[1] * p->e.kernel[2] * p->parts * LANES;
    pack_vector(p, (const real *)p->taps.data + image * p->taps.batch, first, packed->taps + vector * taps);
    for (dsc_int lane = 0; lane < LANES; ++lane) {
        dsc_int channel = first + lane;
        bool exists = bias && channel >= 0 && channel < p->channels;
        packed->bias[vector * LANES + lane] = exists ? bias_of_channel(p, image, channel) : 0;
    }
}

static void pack_channels(const dsc_problem *p, dsc_int image, packed_channels *packed)
{
    bool same = packed->image >= 0 && p->taps.batch == 0 && (!p->taps_bias.data || p->taps_bias.batch == 0);
    dsc_int vector = 0;
    if (same || packed->image == image)
        return;
    for (dsc_int first = -packed->skip; first < p->channels; first += LANES)
        pack_vector_and_bias(p, image, first, vector++, packed);
    if (overlaps_last(p->channels))
        pack_vector_and_bias(p, image, p->channels - LANES, vector, packed);
    packed->image = image;
}

#endif
