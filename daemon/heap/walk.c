/* SPDX-License-Identifier: BSD-3-Clause */
/* What the heap walker asks of the blocks: whether one is in use, and whether an arena's records agree. */
#include "daemon/base/bits.h"
#include "daemon/heap/arenas.h"

static bool in_area(const struct blocks *b, uint64_t offset, uint64_t bytes)
{
    return offset % 8 == 0 && offset / ARENA_BYTES < b->arenas_top &&
           bytes <= (uint64_t)b->arenas_top * ARENA_BYTES - offset;
}

bool blocks_is_allocated(const struct blocks *b, unsigned class, uint64_t offset)
{
    if (class >= b->classes || !in_area(b, offset, b->class[class].size))
        return false;
    uint32_t block;
    uint32_t r = run_of(b, class, offset, &block);
    return runs(b)[r].class == class + 1 && block < b->class[class].count &&
           (uint64_t)r * RUN_BYTES + (uint64_t)block * b->class[class].size == offset &&
           (bitmap(b, r)[block / 64] >> (block % 64) & 1) != 0;
}

static const char *check_run(const struct blocks *b, uint32_t r)
{
    const struct run *run = &runs(b)[r];
    const struct block_class *class = &b->class[run->class - 1];
    uint32_t words = (class->count + 63) / 64, used = 0;
    for (uint32_t w = 0; w < words; w++)
        used += bits_count(bitmap(b, r)[w]);
    used -= words * 64 - class->count; /* the bits beyond the last block are set for ever */
    if (used + (run->free & ~RUN_LEAVING) != class->count)
        return "the free blocks of a run differ from its bitmap";
    for (unsigned w = 0; w < run->hint; w++)
        if (bitmap(b, r)[w] != UINT64_MAX)
            return "a run has a free block below its hint";
    if (b->types != NULL && b->types[r] != run->class)
        return "the type of a run of cells differs from its class";
    return NULL;
}

const char *blocks_check_arena(const struct blocks *b, uint32_t n)
{
    const struct arena *arena = &arenas(b)[n];
    bool leaving = freeset_has(&b->leaving, n);
    if (arena->kind < ARENA_RUNS4 || arena->kind > ARENA_LARGE) {
        if (arena->kind == ARENA_FREE && !freeset_has(&b->free, n))
            return "a free arena is not in the set of free arenas";
        return leaving ? "an arena is left in which nothing is" : NULL;
    }
    if (!arena->backed || arena->listed != (arena->pages != UINT64_MAX && !leaving))
        return "an arena is not listed as its pages say";
    if (arena->kind == ARENA_LARGE)
        return NULL;
    unsigned pages = pages_of_kind(arena->kind);
    for (unsigned first = 0; first < ARENA_PAGES; first += pages) {
        uint32_t r = n * RUNS_AN_ARENA + first / 4;
        if ((arena->pages >> first & 1) != (runs(b)[r].class != 0))
            return "the pages of an arena differ from its runs";
        if (runs(b)[r].class == 0)
            continue;
        const char *wrong = check_run(b, r);
        if (wrong != NULL)
            return wrong;
        if (leaving != ((runs(b)[r].free & RUN_LEAVING) != 0))
            return "a run is in another state of leaving than its arena";
    }
    return NULL;
}
