/* Masks of a contiguous lane range, for ISAs without masked memory access. */
typedef struct { ivec bits; int low, high; } mask;

static inline mask v_mask(dsc_int low, dsc_int high)
{
    mask m;
    low = low < 0 ? 0 : low > LANES ? LANES : low;
    high = high > LANES ? LANES : high < low ? low : high;
    m.low = (int)low, m.high = (int)high;
    ivec first = v_ispread((lane)low), last = v_ispread((lane)high);
    m.bits = (v_iota() >= first) & (v_iota() < last);
    return m;
}

static inline vec v_load_masked(const real *p, mask m)
{
    vec v = {0};
    if (m.low == 0 && m.high == LANES)
        return v_load(p);
    if (m.low < m.high)
        memcpy((char *)&v + m.low * sizeof(real), p + m.low, (size_t)(m.high - m.low) * sizeof(real));
    return v;
}

static inline void v_store_masked(real *p, vec v, mask m)
{
    if (m.low < m.high)
        memcpy(p + m.low, (char *)&v + m.low * sizeof(real), (size_t)(m.high - m.low) * sizeof(real));
}

static inline vec v_add_product_masked(vec sum, vec a, vec b, mask m)
{
    return sum + a * (vec)((ivec)b & m.bits);
}

/* `count` lanes to p[0], p[2], ... */
static inline void v_store_even(real *p, vec v, int count)
{
    for (int i = 0; i < count; ++i)
        p[2 * i] = v[i];
}

/* NaN stays, and is not compared: that would raise a flag. */
static inline vec v_at_least(vec v, vec low)
{
    ivec nan = v != v, less = (vec)(((ivec)low & nan) | ((ivec)v & ~nan)) < low;
    return (vec)(((ivec)low & less) | ((ivec)v & ~less));
}

static inline vec v_at_most(vec v, vec high)
{
    ivec nan = v != v, more = (vec)(((ivec)high & nan) | ((ivec)v & ~nan)) > high;
    return (vec)(((ivec)high & more) | ((ivec)v & ~more));
}
