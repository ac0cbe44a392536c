/* Memory between two pages that nothing may touch. */
#include "testing.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

guarded guarded_memory(size_t bytes)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE), room = (bytes + page - 1) / page * page;
    char *all = mmap(NULL, room + 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (all == MAP_FAILED || mprotect(all, page, PROT_NONE) || mprotect(all + page + room, page, PROT_NONE)) {
        perror("guarded memory");
        exit(2);
    }
    return (guarded){all + page, all + page + room};
}

char *guarded_place(const guarded *memory, size_t bytes, bool at_end)
{
    if (bytes > (size_t)(memory->high - memory->low))
        return NULL;
    return at_end ? memory->high - bytes : memory->low;
}
