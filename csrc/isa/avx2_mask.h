#include <immintrin.h>

#if REAL_BITS == 32
#define VECTOR_HALF
#define v_widen_half(h) ((vec)_mm256_cvtph_ps((__m128i)(h)))
#define v_narrow_half(v) ((narrow_vec)_mm256_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT))
#endif

typedef ivec mask;

static inline mask v_mask(dsc_int low, dsc_int high)
{
    low = low < 0 ? 0 : low > LANES ? LANES : low;
    high = high < 0 ? 0 : high > LANES ? LANES : high;
    return (v_iota() >= v_ispread((lane)low)) & (v_iota() < v_ispread((lane)high));
}

#if REAL_BITS == 32
#define X86(name) _mm256_##name##_ps
typedef int x86_int;
#else
#define X86(name) _mm256_##name##_pd
typedef long long x86_int;
#endif

static inline vec v_load_masked(const real *p, mask m) { return X86(maskload)(p, (__m256i)m); }
static inline void v_store_masked(real *p, vec v, mask m) { X86(maskstore)(p, (__m256i)m, v); }
static inline void v_store_past(real *p, vec v) { X86(stream)(p, v); }

/* Instructions shuffle within halves; across them they take two. */
#define VECTOR_HALVES
#if REAL_BITS == 32
static inline vec v_join_halves(const real *low, const real *high) { return _mm256_loadu2_m128(high, low); }
#else
static inline vec v_join_halves(const real *low, const real *high) { return _mm256_loadu2_m128d(high, low); }
#endif

/* The first lanes, of which the mask consists, in halves, quarters, ...: stores by masks take a dozen cycles on some processors. */
static inline __attribute__((always_inline)) void v_store_start(real *p, vec v, mask m)
{
    int lanes = X86(movemask)((vec)m);
    if (lanes == (1 << LANES) - 1) {
        v_store(p, v);
        return;
    }
#if REAL_BITS == 32
    __m128 low = _mm256_castps256_ps128(v);
    if (lanes & 8) {
        _mm_storeu_ps(p, low);
        low = _mm256_extractf128_ps(v, 1), p += 4, lanes >>= 4;
    }
    if (lanes & 2) {
        _mm_storel_pi((__m64 *)p, low);
        low = _mm_movehl_ps(low, low), p += 2, lanes >>= 2;
    }
    if (lanes & 1)
        _mm_store_ss(p, low);
#else
    __m128d low = _mm256_castpd256_pd128(v);
    if (lanes & 2) {
        _mm_storeu_pd(p, low);
        low = _mm256_extractf128_pd(v, 1), p += 2, lanes >>= 2;
    }
    if (lanes & 1)
        _mm_store_sd(p, low);
#endif
}
#define V_STORES_START

/* The even and the odd elements of two vectors, one instruction each, in another order, which v_tight undoes. */
#define V_LOOSE
#if REAL_BITS == 32
static inline vec v_even_loose(vec a, vec b) { return _mm256_shuffle_ps(a, b, 0x88); }
static inline vec v_odd_loose(vec a, vec b) { return _mm256_shuffle_ps(a, b, 0xdd); }
#else
static inline vec v_even_loose(vec a, vec b) { return _mm256_unpacklo_pd(a, b); }
static inline vec v_odd_loose(vec a, vec b) { return _mm256_unpackhi_pd(a, b); }
#endif
static inline vec v_tight(vec v) { return (vec)_mm256_permute4x64_pd((__m256d)v, 0xd8); }

static inline vec v_add_product_masked(vec sum, vec a, vec b, mask m)
{
    return sum + a * (vec)((ivec)b & m);
}

/* `count` lanes to p[0], p[2], ... */
static inline void v_store_even(real *p, vec v, int count)
{
    ivec even = (v_iota() & v_ispread(1)) == 0;
    X86(maskstore)(p, (__m256i)(even & (v_iota() < v_ispread(2 * count))), v_zip_low(v, v));
    X86(maskstore)(p + LANES, (__m256i)(even & (v_iota() < v_ispread(2 * count - LANES))), v_zip_high(v, v));
}

/* NaN stays, and quietly: min and max instructions would raise a flag for it. */
static inline vec v_at_least(vec v, vec low) { return X86(blendv)(v, low, X86(cmp)(v, low, _CMP_LT_OQ)); }
static inline vec v_at_most(vec v, vec high) { return X86(blendv)(v, high, X86(cmp)(v, high, _CMP_GT_OQ)); }
