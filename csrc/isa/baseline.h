/* Any CPU: 16-byte vectors, only what the compiler's vector extensions give. */
#define ISA baseline
#define VECTOR_BYTES 16
#define VECTOR_REGISTERS 16
#define FEW_TILES 1   /* few processors need this set, and masks are dear: rows are padded in strips, and no tile has edges */
#ifdef __x86_64__
#define VECTOR_KEEP "+x"
#endif
