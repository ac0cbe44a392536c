#include <immintrin.h>

#if REAL_BITS == 32
#define VECTOR_HALF
#define v_widen_half(h) ((vec)_mm512_cvtph_ps((__m256i)(h)))
#define v_narrow_half(v) ((narrow_vec)_mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT))
#endif

#if REAL_BITS == 32
#define X86(name) _mm512_##name##_ps
typedef __mmask16 mask;
#else
#define X86(name) _mm512_##name##_pd
typedef __mmask8 mask;
#endif

static inline mask v_mask(dsc_int low, dsc_int high)
{
    low = low < 0 ? 0 : low > LANES ? LANES : low;
    high = high < low ? low : high > LANES ? LANES : high;
    return (mask)(((1u << high) - 1) & ~((1u << low) - 1));
}

static inline vec v_load_masked(const real *p, mask m) { return X86(maskz_loadu)(m, p); }
static inline void v_store_masked(real *p, vec v, mask m) { X86(mask_storeu)(p, m, v); }
static inline void v_store_past(real *p, vec v) { X86(stream)(p, v); }
static inline vec v_add_product_masked(vec sum, vec a, vec b, mask m) { return X86(mask3_fmadd)(a, b, sum, m); }

#if REAL_BITS == 32
/* Half a vector from p and half from q, of both the same lanes; and the reverse. The mask is that of the first half. */
static inline vec v_load_halves(const real *p, const real *q, mask m)
{
    __m512 low = _mm512_castps256_ps512(_mm256_maskz_loadu_ps((__mmask8)m, p));
    return (vec)_mm512_insertf32x8(low, _mm256_maskz_loadu_ps((__mmask8)m, q), 1);
}

static inline void v_store_halves(real *p, real *q, vec v, mask m)
{
    __m256 high = _mm512_extractf32x8_ps((__m512)v, 1);
    /* Extracting to memory faults on lanes that the mask leaves out, storing does not: gcc must not make one of the two. */
    __asm__("" : "+v"(high));
    _mm256_mask_storeu_ps(p, (__mmask8)m, _mm512_castps512_ps256((__m512)v));
    _mm256_mask_storeu_ps(q, (__mmask8)m, high);
}

static inline mask mask_in_halves(mask m) { return (mask)(m | m << LANES / 2); }
static inline vec v_halves(real first, real second)
{
    return (vec)_mm512_mask_broadcastss_ps(_mm512_set1_ps(first), 0xff00, _mm_set_ss(second));
}
#endif

/* `count` lanes to p[0], p[2], ... */
static inline void v_store_even(real *p, vec v, int count)
{
    const unsigned even = 0x5555u & ((1u << LANES) - 1), exists = count < LANES ? (1u << 2 * count) - 1 : ~0u;
    X86(mask_storeu)(p, (mask)(even & exists), v_zip_low(v, v));
    X86(mask_storeu)(p + LANES, (mask)(even & exists >> LANES), v_zip_high(v, v));
}

#define VECTOR_SCALES   /* by powers of two, rounded once where results are subnormal */
static inline vec v_scale(vec v, vec power) { return X86(scalef)(v, power); }

/* NaN stays, as the second operand, and quietly: without `_MM_FROUND_NO_EXC` it would raise a flag. */
static inline vec v_at_least(vec v, vec low) { return X86(max_round)(low, v, _MM_FROUND_NO_EXC); }
static inline vec v_at_most(vec v, vec high) { return X86(min_round)(high, v, _MM_FROUND_NO_EXC); }
