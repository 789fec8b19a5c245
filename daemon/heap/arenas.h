/* SPDX-License-Identifier: BSD-3-Clause */
/* Inside of the blocks; for aside.c, blocks.c, leave.c, pieces.c and walk.c only. */
#ifndef HEAP_ARENAS_H
#define HEAP_ARENAS_H

#include "daemon/heap/blocks.h"

#define RUNS_AN_ARENA (ARENA_BYTES / RUN_BYTES)
#define ARENA_BITMAPS (RUNS_AN_ARENA * RUN_BITMAP * 8) /* bytes */

static inline struct run *runs(const struct blocks *b)
{
    return (void *)b->runs.base;
}

static inline uint64_t *bitmap(const struct blocks *b, uint32_t run)
{
    return (uint64_t *)(void *)b->bitmaps.base + (uint64_t)run * RUN_BITMAP;
}

static inline struct arena *arenas(const struct blocks *b)
{
    return (void *)b->arenas.base;
}

static inline unsigned pages_of_kind(enum arena_kind kind)
{
    return kind == ARENA_RUNS4 ? 4 : kind == ARENA_RUNS16 ? 16 : 64;
}

static inline uint64_t page_mask(unsigned pages)
{
    return pages == 64 ? UINT64_MAX : (1ull << pages) - 1;
}

/* The run in which `offset` lies, and the number of its block there. */
static inline uint32_t run_of(const struct blocks *b, unsigned class, uint64_t offset, uint32_t *ret_block)
{
    uint32_t mask = b->class[class].pages * PAGE_BYTES - 1;
    *ret_block = (uint32_t)(((offset & mask) * b->class[class].magic) >> 32);
    return (uint32_t)((offset & ~(uint64_t)mask) / RUN_BYTES);
}

/* The lowest free arena below `end`, or the first never used, with what must be known of it; -ENOMEM. Once there is
 * memory for it, arena_found() says that it is in use. */
int arena_find(struct blocks *b, uint32_t end, uint32_t *ret);
void arena_found(struct blocks *b, uint32_t n);
/* A spare one below `end`, or RUN_NONE. */
uint32_t arena_spare(const struct blocks *b, uint32_t end);
/* Backs up to so many bytes more of the arena that is being made ready. 0: it is a spare one now; -EAGAIN: it needs more;
 * -ENOMEM; -ENOENT: there is none, below `end`. */
int arena_prepare(struct blocks *b, uint32_t end, uint32_t bytes);
/* Lets go of the private memory for its bitmaps. */
void arena_unmap(struct blocks *b, uint32_t n);
/* Into its list, out of it. */
void arena_list(struct blocks *b, uint32_t n);
void arena_unlist(struct blocks *b, uint32_t n);
/* After its pages have changed: into the list where it belongs now, or out of all. */
void arena_relist(struct blocks *b, uint32_t n);
/* Of an arena in which nothing is used any more. */
void arena_give(struct blocks *b, uint32_t n);

/* A run into a list of those of its class that have room, and out of it. */
void run_list(struct blocks *b, uint32_t r);
void run_list_in(struct blocks *b, struct free_runs *list, uint32_t r);
void run_unlist(struct blocks *b, uint32_t r);
/* Puts all runs of a class that are aside in front of those that are not. */
void run_lists_join(struct blocks *b, unsigned class);
/* An arena of that kind in which a run may be made now, of the first few in its list; RUN_NONE: there is none. */
uint32_t arena_with_room(const struct blocks *b, enum arena_kind kind);
/* Takes one back that is owed no more, if there is one among a few. */
bool run_from_aside(struct blocks *b, unsigned class);

/* Whether new blocks go where no save has to copy anything for them. */
static inline bool blocks_put_aside(const struct blocks *b)
{
    return unlikely(b->aside_left > 0) && b->region->save != NULL;
}

/* Whether a save that is under way has not copied it yet. */
static inline bool run_is_owed(const struct blocks *b, uint32_t r)
{
    return save_owes(b->region, b->at + (uint64_t)r * RUN_BYTES);
}

/* So many bytes were backed though something is aside. */
static inline void blocks_use_instead(struct blocks *b, uint64_t bytes)
{
    b->aside_left -= b->aside_left < bytes ? b->aside_left : bytes;
}

#endif
