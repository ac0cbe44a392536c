/* Which kernel set runs: what was compiled in, what this CPU can do, what DSCONV_ISA asks for. */
#include "dsconv.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DECLARE(isa) extern const dsc_table dsc_table_##isa##_f32, dsc_table_##isa##_f64;
#define TABLES(isa) {&dsc_table_##isa##_f32, &dsc_table_##isa##_f64}

DECLARE(baseline)
static bool always(void) { return true; }

#ifdef DSC_HAVE_avx2
DECLARE(avx2)
static bool has_avx2(void) { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c"); }
#endif

#ifdef DSC_HAVE_avx512
DECLARE(avx512)
static bool has_avx512(void)
{
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
}
#endif

#ifdef DSC_HAVE_wide
DECLARE(wide)
#endif

/* Best first. */
static const struct { const char *name; bool (*runs)(void); const dsc_table *tables[DSC_TYPES]; } sets[] = {
#ifdef DSC_HAVE_avx512
    {"avx512", has_avx512, TABLES(avx512)},
#endif
#ifdef DSC_HAVE_avx2
    {"avx2", has_avx2, TABLES(avx2)},
#endif
    {"baseline", always, TABLES(baseline)},
#ifdef DSC_HAVE_wide
    {"wide", always, TABLES(wide)},
#endif
};

#define SETS ((int)(sizeof sets / sizeof *sets))

static int active = -1;

const dsc_table *dsc_active(int type) { return sets[active].tables[type]; }

const char *dsc_active_name(void) { return sets[active].name; }

const char *dsc_available(int i)
{
    for (int s = 0; s < SETS; ++s)
        if (sets[s].runs() && i-- == 0)
            return sets[s].name;
    return NULL;
}

bool dsc_select(const char *name)
{
    for (int s = 0; s < SETS; ++s)
        if (strcmp(sets[s].name, name) == 0 && sets[s].runs()) {
            active = s;
            return true;
        }
    return false;
}

void dsc_dispatch_init(void)
{
#if defined(DSC_HAVE_avx2) || defined(DSC_HAVE_avx512)
    __builtin_cpu_init();
#endif
    const char *wanted = getenv("DSCONV_ISA");
    if (!wanted || !dsc_select(wanted))
        dsc_select(dsc_available(0));
}

/* 256 KiB to 512 KiB, half the second-level cache where the system tells its size. */
size_t dsc_panel_bytes(void)
{
    static size_t bytes;
    if (!bytes) {
        long cache = 0;
#ifdef _SC_LEVEL2_CACHE_SIZE
        cache = sysconf(_SC_LEVEL2_CACHE_SIZE);
#endif
        bytes = cache >= 1 << 20 ? 512 << 10 : 256 << 10;
    }
    return bytes;
}
