/* The real type of one compilation: IEEE single. */
#include <stdint.h>

typedef float real;
typedef int32_t lane;      /* integer of the same size */
#define REAL_BITS 32
#define REAL_MANTISSA 23
#define REAL_BIAS 127
#define EXP_LOWEST -104.0f /* exp of less is 0 */
#define EXP_HIGHEST 89.0f  /* exp of more is infinite */
#define EXP_TERMS 8
#define LN2_HIGH 0.693359375f
#define LN2_LOW -2.12194440e-4f
#define TANH_SATURATED 10.0f
#define ERFC_TERMS 14
