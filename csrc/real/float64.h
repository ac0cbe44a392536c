/* The real type of one compilation: IEEE double. */
#include <stdint.h>

typedef double real;
typedef int64_t lane;      /* integer of the same size */
#define REAL_BITS 64
#define REAL_MANTISSA 52
#define REAL_BIAS 1023
#define EXP_LOWEST -746.0  /* exp of less is 0 */
#define EXP_HIGHEST 710.0  /* exp of more is infinite */
#define EXP_TERMS 14
#define LN2_HIGH 6.93147180369123816490e-01
#define LN2_LOW 1.90821492927058770002e-10
#define TANH_SATURATED 22.0
#define ERFC_TERMS 26
