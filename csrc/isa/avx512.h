/* x86-64 with AVX-512 F, DQ, BW, VL. */
#define ISA avx512
#define VECTOR_BYTES 64
#define VECTOR_REGISTERS 32
#define VECTOR_MASKS "isa/avx512_mask.h"
#define VECTOR_FREE_MASKS   /* masked loads and multiply-adds cost what others do */
#define VECTOR_KEEP "+v"
#define VECTOR_KEEP_MASK "+Yk"
#define VECTORS_TO_SPARE "xmm29", "xmm30", "xmm31"
