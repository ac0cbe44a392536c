/* Any CPU: 16-byte vectors, only what the compiler's vector extensions give. */
#define ISA baseline
#define VECTOR_BYTES 16
#define VECTOR_REGISTERS 16
#define FEW_TILES 1   /* few processors need this set: half of the code for a little of the speed */
#ifdef __x86_64__
#define VECTOR_KEEP "+x"
#endif
