/* x86-64 with AVX2 and FMA. */
#define ISA avx2
#define VECTOR_BYTES 32
#define VECTOR_REGISTERS 16
#define VECTOR_MASKS "isa/avx2_mask.h"
#define VECTOR_KEEP "+x"
