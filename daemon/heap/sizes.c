/* SPDX-License-Identifier: BSD-3-Clause */
#include "daemon/heap/sizes.h"

#include "daemon/heap/blocks.h"

void blocks_sizes(const struct blocks *b, struct size_sum sums[SIZES])
{
    uint64_t runs_bytes = 0, used_bytes = 0, huge = b->backed_bytes - b->small_backed;
    for (unsigned k = 0; k < b->classes; k++) {
        const struct block_class *class = &b->class[k];
        uint64_t bytes = (uint64_t)b->run_count[k] * class->pages * PAGE_BYTES,
                 used = b->used[k] * class->size;
        sums[k].size = class->size;
        sums[k].blocks += (uint64_t)b->run_count[k] * class->count;
        sums[k].used += b->used[k];
        sums[k].bytes += bytes;
        sums[k].used_bytes += used;
        runs_bytes += bytes;
        used_bytes += used;
    }
    uint64_t pages = b->live_bytes - b->huge_live - used_bytes;
    sums[SIZE_PAGES].bytes += pages;
    sums[SIZE_PAGES].used_bytes += pages;
    sums[SIZE_HUGE].bytes += huge;
    sums[SIZE_HUGE].used_bytes += b->huge_live < huge ? b->huge_live : huge; /* charged before it is backed */
    sums[SIZE_UNCUT].bytes += b->small_backed - runs_bytes - pages;
}
