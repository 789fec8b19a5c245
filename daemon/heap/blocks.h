/* SPDX-License-Identifier: BSD-3-Clause */
/* Blocks: an area of a region cut into arenas, runs and blocks.
 *
 *   arena  256 KiB, the piece in which memory comes and goes
 *     run    4, 16 or 64 pages, aligned to its size, blocks of one class
 *       block
 *   large  5 ... 32 pages inside an arena of such;  huge: whole arenas in a row
 *
 * All bookkeeping is private and derived; no block and no run has a header. The class of a block follows
 * from what its owner knows (the length of a value, the number of slots); only in the area of cells is it
 * truth, one byte a run in `types`, because nobody else knows it.
 *
 * While a save is under way (save.h), a block given out in a page that is not copied yet has the page copied first. So what is
 * free in such pages is set aside, and new blocks go into new arenas, of which the save knows nothing, up to some bytes.
 *
 * Invariants: a run is in the list `partial` or `aside` of its class exactly when it has a free block; an arena of runs
 * or of large values is in the list of its kind exactly when it has a free place; neither is in a list in an arena that
 * is being left; an arena is backed, and may be touched, unless it is FREE (or a part of a huge value not written yet, or
 * SPARE and in no list: it is being made ready or given back, a piece at a time).
 *
 * Offsets are bytes from the start of the area. Errors: -ENOMEM. */
#ifndef HEAP_BLOCKS_H
#define HEAP_BLOCKS_H

#include "daemon/base/freeset.h"
#include "daemon/heap/ahead.h"
#include "daemon/heap/format.h"
#include "daemon/heap/region.h"
#include "daemon/heap/sizes.h"

#define RUN_BYTES   16384u
#define RUN_BITMAP  32u /* words: a run has at most 2048 blocks */
#define RUN_NONE    UINT32_MAX
#define LARGE_PAGES 32u         /* more pages than these are huge */
#define PIECE_BYTES (64u << 10) /* of an arena: backed or given back at once in the background */

struct block_class {
    uint32_t size;  /* bytes of a block */
    uint32_t pages; /* of a run: 4, 16 or 64 */
    uint32_t count; /* blocks of a run */
    uint64_t magic; /* 2^32 / size rounded up: offset in run -> number of block */
};

enum arena_kind {
    ARENA_FREE,
    ARENA_SPARE,
    ARENA_RUNS4,
    ARENA_RUNS16,
    ARENA_RUNS64,
    ARENA_LARGE,
    ARENA_HUGE,
    ARENA_KINDS
};

#define GAP_LISTS   7u /* largest gap of 1, 2-3, 4-7, ... 64 pages */
#define ARENA_LISTS (ARENA_KINDS + GAP_LISTS)

struct arena {
    uint64_t pages;      /* used pages, one bit each; HUGE: arenas of the value in its first one */
    uint32_t prev, next; /* in its list, RUN_NONE ends */
    uint8_t kind;
    uint8_t listed : 1, backed : 1;
    uint8_t mapped : 1; /* its part of the bitmaps may be used; it stays until the arena is FREE */
    uint8_t bucket;     /* the list it is in */
    uint8_t fill;       /* as blocks_survey() saw it: sixteenths in use, + 1; 0: it did not */
    uint32_t
        bytes; /* charged for it: ARENA_BYTES, less for the last one of a huge value, or when part of it is
                           given back */
};

struct run {
    uint32_t prev, next; /* in `partial` or `aside` */
    uint16_t free;       /* blocks; + RUN_LEAVING */
    uint8_t class;       /* + 1; 0: no run starts here */
    uint8_t hint;        /* no word of the bitmap below has a free bit */
};

/* Of a run in an arena that is being left. So many free blocks are never reached by counting: what becomes free there
 * neither brings the run back into a list nor gives it back, and whoever frees a block need not ask. */
#define RUN_LEAVING 0x8000u

struct free_runs {
    uint32_t first, last; /* RUN_NONE: it is empty */
};

struct blocks {
    struct region *region;
    struct ahead ahead;
    uint64_t at;                     /* of the area in the region */
    uint32_t arenas_end;             /* arenas the area has room for */
    uint32_t runs_end;               /* runs lie in arenas below: a position of BLOCK_UNITs has 32 bits */
    uint32_t arenas_top;             /* first one never used */
    uint8_t *types;                  /* of runs, in the image; NULL: not kept */
    uint64_t types_at, types_backed; /* bytes: their place in the region, how many may be touched */
    struct block_class class[BLOCK_CLASSES_MAX];
    unsigned classes;
    struct reserve runs, bitmaps, arenas; /* of bitmaps only the parts of arenas that are `mapped` */
    struct free_runs partial[BLOCK_CLASSES_MAX], aside[BLOCK_CLASSES_MAX];
    uint64_t
        aside_left; /* bytes that may still be backed though something is aside; 0: nothing is put aside */
    uint32_t
        list[ARENA_LISTS];  /* heads of arenas with a free place: by kind, LARGE ones by their largest gap */
    struct freeset free;    /* arenas below arenas_top that are FREE */
    struct freeset giving;  /* arenas waiting to be punched */
    struct freeset leaving; /* arenas in which nothing new is put, because what is there is to move away */
    uint32_t spares;
    uint32_t preparing,
        prepared;       /* the arena that is being made ready, RUN_NONE: none; its bytes that are backed */
    uint64_t claim_end; /* while claims are made: bytes of the area that the file has; else UINT64_MAX */
    bool no_room;       /* while claims are made: one was refused for want of memory, not for what it is */
    uint64_t *work;     /* units of searching are added here */
    uint64_t live_bytes, backed_bytes;
    uint64_t huge_live,
        small_backed; /* of these: huge values; arenas of all else that are not to be punched */
    uint64_t used[BLOCK_CLASSES_MAX];      /* blocks of each class */
    uint32_t run_count[BLOCK_CLASSES_MAX]; /* runs of each class */
};

/* `sizes`: of the classes, in multiples of 8 and at most BLOCK_MAX. -ENOMEM: no addresses left;
 * blocks_done() is still allowed. */
int blocks_init(struct blocks *blocks, struct region *region, uint64_t at, uint64_t bytes,
                const uint32_t *sizes, unsigned classes);
/* The classes of runs are truth, kept at this place of the region; all runs have 4 pages then. Right after
 * blocks_init(). */
void blocks_keep_types(struct blocks *blocks, uint64_t types_at);
void blocks_done(struct blocks *blocks);

int blocks_alloc(struct blocks *blocks, unsigned class, uint64_t *ret_offset);
void blocks_free(struct blocks *blocks, unsigned class, uint64_t offset);
/* In debug builds what is free reads as nonsense. */
void blocks_poison(struct blocks *blocks, unsigned class, uint64_t offset);
/* Less than a quarter of what is backed, but for huge values and a few arenas, is used. */
static inline bool blocks_are_sparse(const struct blocks *blocks)
{
    return (blocks->live_bytes - blocks->huge_live) * 4 + 4 * ARENA_BYTES < blocks->small_backed;
}
/* A block that its owner keeps for the next one: free for whoever counts, and in use for its run. `class`: of blocks of 8
 * bytes more than the one below. */
static inline void blocks_spare(struct blocks *blocks, unsigned class, uint64_t offset)
{
    assert(blocks->class[class].size == (class + 1) * 8u);
    if (HF_DEBUG)
        blocks_poison(blocks, class, offset);
    blocks->used[class]--;
    blocks->live_bytes -= (class + 1) * 8u;
}
/* The same block becomes free in its run; or is in use again. */
void blocks_free_spare(struct blocks *blocks, unsigned class, uint64_t offset);
static inline void blocks_reuse(struct blocks *blocks, unsigned class, uint64_t offset)
{
    blocks->used[class]++;
    blocks->live_bytes += (class + 1) * 8u;
    region_touch(blocks->region, blocks->at + offset, (class + 1) * 8u);
}
/* A save begins: what is free now is put aside until blocks_set_back(), while no more than `bytes` are backed for what
 * comes instead, and a fifth of what is backed is free at most. */
void blocks_set_aside(struct blocks *blocks, uint64_t bytes);
void blocks_set_back(struct blocks *blocks);
/* What blocks_free() of that block will look at. */
void blocks_prefetch(const struct blocks *blocks, unsigned class, uint64_t offset);

/* Whole pages. Huge ones are charged now and backed by blocks_back() as they are written. */
int blocks_alloc_pages(struct blocks *blocks, uint64_t pages, uint64_t *ret_offset);
/* The memory of huge ones is given back later, by blocks_step(). */
void blocks_free_pages(struct blocks *blocks, uint64_t pages, uint64_t offset);
static inline bool blocks_is_huge(uint64_t pages)
{
    return pages > LARGE_PAGES;
}
/* Backs the arenas of a huge value that hold [offset, offset+size). 0, -ENOMEM. */
int blocks_back(struct blocks *blocks, uint64_t offset, uint64_t size);
/* Whether all of the first `size` bytes at `offset` are backed; if not, *ret_at is an offset that is not. */
bool blocks_backed(const struct blocks *blocks, uint64_t offset, uint64_t size, uint64_t *ret_at);
/* Bytes of an arena, from its begin on, that may be touched. */
uint32_t blocks_arena_bytes(const struct blocks *blocks, uint32_t arena);

/* Whether there is no room for a block of that class, or for so many pages that are not huge, in any arena that is
 * backed: to allocate it now would back a whole one at once. */
bool blocks_lacks_run(const struct blocks *blocks, unsigned class);
bool blocks_lacks_pages(const struct blocks *blocks, uint64_t pages);
/* Backs a piece of an arena that there is need of, for runs or for large values. 0: there is a spare one now; -EAGAIN: it
 * needs more pieces; -ENOMEM. Whoever needs an arena meanwhile takes that one; if nobody does, it stays, charged. */
int blocks_prepare(struct blocks *blocks, bool runs);
/* One piece of work: gives a piece of an arena back. false: nothing to do. */
bool blocks_step(struct blocks *blocks);
bool blocks_has_work(const struct blocks *blocks);

/* ---- leaving arenas (leave.c): whoever owns the blocks moves them away ---- */

/* Blocks by class (pages of large values in the last place): free ones where nothing is left, and those that are to move.
 */
struct blocks_room {
    uint64_t free[BLOCK_CLASSES_MAX + 1], moving[BLOCK_CLASSES_MAX + 1];
    uint64_t need; /* bytes of those that are to move and find no free one */
};

/* Notes how full an arena is, and adds what is free there to *room. Huge values are passed over: they are arenas by
 * themselves. */
void blocks_survey(struct blocks *blocks, uint32_t arena, struct blocks_room *room);
/* In sixteenths, at least 1; 0: it was not surveyed, or is another by now. */
unsigned blocks_fill(const struct blocks *blocks, uint32_t arena);
/* Nothing new is put there from now on. False: too much would have to move, so that room->need went beyond `most`; or, unless
 * `always`, that would gain less than a half of the arena. */
bool blocks_leave(struct blocks *blocks, uint32_t arena, struct blocks_room *room, uint64_t most,
                  bool always);
/* Whether the block at `offset` is in such an arena. */
static inline bool blocks_is_leaving(const struct blocks *blocks, uint64_t offset)
{
    return freeset_has(&blocks->leaving, (uint32_t)(offset / ARENA_BYTES));
}
/* One of these arenas is given back if all has moved, else used again. False: there is none. */
bool blocks_settle(struct blocks *blocks);
/* Bytes of arenas, but those of huge values, that are no block's. */
static inline uint64_t blocks_waste(const struct blocks *blocks)
{
    uint64_t live = blocks->live_bytes - blocks->huge_live;
    return blocks->small_backed > live ? blocks->small_backed - live : 0;
}

/* For recovery, on a fresh struct: the area may hold something in its first `arenas_top` arenas. false: no
 * memory. */
bool blocks_claim_begin(struct blocks *blocks, uint32_t arenas_top);
/* Lets the bytes there be looked at, before they are claimed. false: beyond the file, or `no_room`. */
bool blocks_admit(struct blocks *blocks, uint64_t offset, uint64_t bytes);
/* Marks as used. false: out of range, misaligned, overlapping, other class. */
bool blocks_claim(struct blocks *blocks, unsigned class, uint64_t offset);
/* `backed`: all of a huge value must be; of an open one, what was written. */
bool blocks_claim_pages(struct blocks *blocks, uint64_t pages, uint64_t offset, bool backed);
/* A run whose class is truth; before claims in it. Lets it be looked at. */
bool blocks_claim_run(struct blocks *blocks, unsigned class, uint64_t offset);
/* After the last claim: lists, free sets; all of what was claimed is backed, and what is backed without being
 * claimed is given back by blocks_step(). */
bool blocks_claimed(struct blocks *blocks);

/* Whether a block of that class is allocated there; for the walker. */
bool blocks_is_allocated(const struct blocks *blocks, unsigned class, uint64_t offset);
/* Checks the invariants of one arena; NULL: sound, else what is wrong. For the walker. */
const char *blocks_check_arena(const struct blocks *blocks, uint32_t arena);

#endif
