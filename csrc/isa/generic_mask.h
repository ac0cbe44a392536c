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

/* Copies of some lanes stand apart: inlined in each of the many places they double the size of the kernels. */
static __attribute__((noinline)) vec v_load_some(const real *p, int low, int high)
{
    vec v = {0};
    if (low < high)
        memcpy((char *)&v + low * sizeof(real), p + low, (size_t)(high - low) * sizeof(real));
    return v;
}

static __attribute__((noinline)) void v_store_some(real *p, vec v, int low, int high)
{
    if (low < high)
        memcpy(p + low, (char *)&v + low * sizeof(real), (size_t)(high - low) * sizeof(real));
}

static inline vec v_load_masked(const real *p, mask m)
{
    return m.low == 0 && m.high == LANES ? v_load(p) : v_load_some(p, m.low, m.high);
}

static inline void v_store_masked(real *p, vec v, mask m)
{
    if (m.low == 0 && m.high == LANES)
        v_store(p, v);
    else
        v_store_some(p, v, m.low, m.high);
}

static inline void v_store_past(real *p, vec v) { v_store(p, v); }

/* Half a vector from p and half from q, of both the same lanes; and the reverse. The mask is that of the first half. */
static inline vec v_load_halves(const real *p, const real *q, mask m)
{
    vec v = {0};
    for (int i = m.low; i < m.high; ++i)
        v[i] = p[i], v[i + LANES / 2] = q[i];
    return v;
}

static inline void v_store_halves(real *p, real *q, vec v, mask m)
{
    for (int i = m.low; i < m.high; ++i)
        p[i] = v[i], q[i] = v[i + LANES / 2];
}

static inline vec v_halves(real first, real second)
{
    vec v;
    for (int i = 0; i < LANES; ++i)
        v[i] = i < LANES / 2 ? first : second;
    return v;
}

/* Good for arithmetic only: the lanes are not neighbours. */
static inline mask mask_in_halves(mask m)
{
    for (int i = m.low; i < m.high; ++i)
        m.bits[i + LANES / 2] = -1;
    return m;
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
