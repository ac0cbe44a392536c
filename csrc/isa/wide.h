/* Any CPU: the 64-byte code paths without their instructions. For testing; slow. */
#define ISA wide
#define VECTOR_BYTES 64
#define VECTOR_REGISTERS 32
