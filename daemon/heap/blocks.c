/* SPDX-License-Identifier: BSD-3-Clause */
#include "daemon/heap/arenas.h"

#include "daemon/base/bits.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#define POISON      0xdb /* debug builds: what a freed block reads as */
#define SPARES_KEPT 2u   /* empty arenas kept backed, against flapping */
#define LARGE_TRIES 8u   /* arenas of large values looked at before a new one is taken */

static enum arena_kind kind_of(const struct block_class *class)
{
    return class->pages == 4 ? ARENA_RUNS4 : class->pages == 16 ? ARENA_RUNS16 : ARENA_RUNS64;
}

static struct block_class class_of(uint32_t size, uint32_t pages)
{
    return (struct block_class){.size = size,
                                .pages = pages,
                                .count = pages * PAGE_BYTES / size,
                                .magic = ((1ull << 32) + size - 1) / size};
}

int blocks_init(struct blocks *b, struct region *region, uint64_t at, uint64_t bytes, const uint32_t *sizes,
                unsigned classes)
{
    *b = (struct blocks){.region = region, .at = at, .classes = classes, .claim_end = UINT64_MAX};
    ahead_init(&b->ahead, region, at, bytes, AHEAD_LEAST);
    b->arenas_end = (uint32_t)(bytes / ARENA_BYTES);
    uint64_t runs_end = ((uint64_t)BLOCK_UNIT << 32) / ARENA_BYTES;
    b->runs_end = b->arenas_end < runs_end ? b->arenas_end : (uint32_t)runs_end;
    for (unsigned k = 0; k < classes; k++) {
        b->class[k] = class_of(sizes[k], sizes[k] <= 512 ? 4 : sizes[k] <= 4096 ? 16 : 64);
        b->partial[k] = b->aside[k] = (struct free_runs){RUN_NONE, RUN_NONE};
    }
    for (unsigned k = 0; k < ARENA_LISTS; k++)
        b->list[k] = RUN_NONE;
    b->preparing = RUN_NONE;
    uint64_t run_count = (uint64_t)b->arenas_end * RUNS_AN_ARENA;
    bool ok = reserve_init(&b->runs, run_count * sizeof(struct run)) &&
              reserve_init(&b->bitmaps, (uint64_t)b->arenas_end * ARENA_BITMAPS) &&
              reserve_init(&b->arenas, b->arenas_end * sizeof(struct arena)) &&
              freeset_init(&b->free, b->arenas_end) && freeset_init(&b->giving, b->arenas_end) &&
              freeset_init(&b->leaving, b->arenas_end);
    return ok ? 0 : -ENOMEM;
}

void blocks_keep_types(struct blocks *b, uint64_t types_at)
{
    b->types_at = types_at;
    b->types = b->region->base + types_at;
    for (unsigned k = 0; k < b->classes; k++)
        b->class[k] = class_of(b->class[k].size, 4);
}

void blocks_done(struct blocks *b)
{
    struct mem *mem = b->region != NULL ? b->region->mem : NULL;
    if (mem == NULL)
        return;
    reserve_done(&b->runs, mem);
    reserve_done(&b->bitmaps, mem);
    reserve_done(&b->arenas, mem);
    freeset_done(&b->free, mem);
    freeset_done(&b->giving, mem);
    freeset_done(&b->leaving, mem);
}

/* ---- arenas ---- */

/* Private memory for the bookkeeping of arenas below `top`. */
static bool know_arenas(struct blocks *b, uint32_t top)
{
    struct mem *mem = b->region->mem;
    uint64_t run_count = (uint64_t)top * RUNS_AN_ARENA;
    return top <= b->arenas_end && reserve_grow(&b->arenas, mem, top * sizeof(struct arena)) &&
           reserve_grow(&b->runs, mem, run_count * sizeof(struct run)) && freeset_grow(&b->free, mem, top) &&
           freeset_grow(&b->giving, mem, top) && freeset_grow(&b->leaving, mem, top);
}

static_assert(ARENA_BITMAPS % MEM_PAGE == 0, "each arena has pages of its own for its bitmaps");

/* Private memory for the bitmaps of an arena's runs: most of what is kept of an arena, so that only those have it that
 * need it. */
static bool map_arena(struct blocks *b, uint32_t n)
{
    struct arena *arena = &arenas(b)[n];
    arena->mapped = arena->mapped || reserve_take(&b->bitmaps, b->region->mem, ARENA_BITMAPS);
    return arena->mapped;
}

void arena_unmap(struct blocks *b, uint32_t n)
{
    struct arena *arena = &arenas(b)[n];
    if (arena->mapped)
        reserve_give(&b->bitmaps, b->region->mem, (size_t)n * ARENA_BITMAPS, ARENA_BITMAPS);
    arena->mapped = 0;
}

/* The page of types that admits the runs of arena n. */
static int back_types(struct blocks *b, uint32_t n)
{
    if (b->types == NULL || (n + 1ull) * RUNS_AN_ARENA <= b->types_backed)
        return 0;
    int err = region_back(b->region, b->types_at + b->types_backed, PAGE_BYTES, true);
    if (err == 0)
        b->types_backed += PAGE_BYTES;
    return err;
}

/* The first place of `pages` free pages in a row, or 64. Folding finds the starts of long gaps in few steps. */
static unsigned gap_of(uint64_t used, unsigned pages)
{
    uint64_t starts = ~used;
    for (unsigned have = 1; have < pages && starts != 0;) {
        unsigned more = have < pages - have ? have : pages - have;
        starts &= starts >> more;
        have += more;
    }
    return starts == 0 ? 64 : bits_lowest(starts);
}

static unsigned list_of(const struct arena *arena)
{
    if (arena->kind != ARENA_LARGE)
        return arena->kind;
    unsigned gap = GAP_LISTS - 1;
    while (gap > 0 && gap_of(arena->pages, 1u << gap) == 64)
        gap--;
    return ARENA_KINDS + gap;
}

void arena_list(struct blocks *b, uint32_t n)
{
    struct arena *arena = &arenas(b)[n];
    arena->bucket = (uint8_t)list_of(arena);
    uint32_t head = b->list[arena->bucket];
    arena->listed = 1;
    arena->prev = RUN_NONE;
    arena->next = head;
    if (head != RUN_NONE)
        arenas(b)[head].prev = n;
    b->list[arena->bucket] = n;
}

void arena_unlist(struct blocks *b, uint32_t n)
{
    struct arena *arena = &arenas(b)[n];
    arena->listed = 0;
    if (arena->prev != RUN_NONE)
        arenas(b)[arena->prev].next = arena->next;
    else
        b->list[arena->bucket] = arena->next;
    if (arena->next != RUN_NONE)
        arenas(b)[arena->next].prev = arena->prev;
}

int arena_find(struct blocks *b, uint32_t end, uint32_t *ret)
{
    uint32_t n = freeset_lowest(&b->free);
    bool fresh = n == FREESET_NONE;
    if (fresh)
        n = b->arenas_top;
    if (n >= end || (fresh && (!know_arenas(b, n + 1) || back_types(b, n) != 0)))
        return -ENOMEM;
    *ret = n;
    return 0;
}

void arena_found(struct blocks *b, uint32_t n)
{
    if (n == b->arenas_top)
        b->arenas_top++;
    else
        freeset_remove(&b->free, n);
}

/* Makes the lowest free arena one that may be used, or the first never used. */
static int arena_back(struct blocks *b, uint32_t end, bool runs, uint32_t *ret)
{
    uint32_t n;
    if (arena_find(b, end, &n) != 0 || (runs && !map_arena(b, n)))
        return -ENOMEM;
    int err = ahead_back(&b->ahead, b->at + (uint64_t)n * ARENA_BYTES, ARENA_BYTES);
    if (err != 0) {
        arena_unmap(b, n);
        return err;
    }
    b->backed_bytes += ARENA_BYTES;
    b->small_backed += ARENA_BYTES;
    arena_found(b, n);
    *ret = n;
    return 0;
}

uint32_t arena_spare(const struct blocks *b, uint32_t end)
{
    uint32_t n = b->list[ARENA_SPARE];
    while (n != RUN_NONE && n >= end)
        n = arenas(b)[n].next; /* few */
    return n;
}

/* An arena for small things: a spare one, or another. */
static int arena_take(struct blocks *b, enum arena_kind kind, uint32_t *ret)
{
    bool runs = kind != ARENA_LARGE;
    uint32_t end = runs ? b->runs_end : b->arenas_end, n = arena_spare(b, end);
    if (n == RUN_NONE && arena_prepare(b, end, ARENA_BYTES) == 0)
        n = arena_spare(b, end);
    if (n == RUN_NONE) {
        int err = arena_back(b, end, runs, &n);
        if (err != 0)
            return err;
    } else if (runs && !map_arena(b, n)) {
        return -ENOMEM;
    } else {
        arena_unlist(b, n);
        b->spares--;
    }
    arenas(b)[n] = (struct arena){
        .kind = (uint8_t)kind, .backed = 1, .mapped = arenas(b)[n].mapped, .bytes = ARENA_BYTES};
    arena_list(b, n);
    *ret = n;
    return 0;
}

/* Of an arena in which nothing is used any more. */
void arena_give(struct blocks *b, uint32_t n)
{
    struct arena *arena = &arenas(b)[n];
    if (arena->listed)
        arena_unlist(b, n);
    arena->kind = ARENA_SPARE;
    arena->fill = 0;
    bool owed = blocks_put_aside(b) && run_is_owed(b, n * RUNS_AN_ARENA);
    if (b->spares < SPARES_KEPT && !owed) {
        b->spares++;
        arena_list(b, n);
    } else {
        b->small_backed -= ARENA_BYTES;
        freeset_add(&b->giving, n);
    }
}

/* After its pages have changed: into the list where it belongs now, or out of all. */
void arena_relist(struct blocks *b, uint32_t n)
{
    struct arena *arena = &arenas(b)[n];
    bool wanted = arena->pages != UINT64_MAX;
    if (arena->listed && wanted && list_of(arena) == arena->bucket)
        return;
    if (arena->listed)
        arena_unlist(b, n);
    if (wanted)
        arena_list(b, n);
}

static void pages_take(struct blocks *b, uint32_t n, unsigned first, unsigned pages)
{
    struct arena *arena = &arenas(b)[n];
    arena->pages |= page_mask(pages) << first;
    arena_relist(b, n);
}

static void pages_give(struct blocks *b, uint32_t n, unsigned first, unsigned pages)
{
    struct arena *arena = &arenas(b)[n];
    arena->pages &= ~(page_mask(pages) << first);
    bool leaving = freeset_has(&b->leaving, n);
    if (arena->pages != 0) {
        if (!leaving)
            arena_relist(b, n);
        return;
    }
    if (leaving)
        freeset_remove(&b->leaving, n);
    arena_give(b, n);
}

/* ---- runs ---- */

/* All blocks free; the bits beyond the last block are set for ever. */
static void run_clear(struct blocks *b, uint32_t r, unsigned class)
{
    uint64_t *map = bitmap(b, r);
    uint32_t count = b->class[class].count;
    for (uint32_t w = 0; w < (count + 63) / 64; w++)
        map[w] = 0;
    if (count % 64 != 0)
        map[count / 64] = UINT64_MAX << (count % 64);
    runs(b)[r] = (struct run){.free = (uint16_t)count, .class = (uint8_t)(class + 1)};
    b->run_count[class]++;
}

/* It is in no list yet. */
static int run_new(struct blocks *b, unsigned class, uint32_t *ret)
{
    enum arena_kind kind = kind_of(&b->class[class]);
    unsigned pages = b->class[class].pages;
    uint32_t n = arena_with_room(b, kind);
    if (n == RUN_NONE) {
        int err = arena_take(b, kind, &n);
        if (err != 0)
            return err;
    }
    unsigned first = 0;
    while (first < ARENA_PAGES - pages && (arenas(b)[n].pages >> first & 1) != 0)
        first += pages; /* the arena is listed: one of its places is free */
    uint32_t r = n * RUNS_AN_ARENA + first / 4;
    if (b->types != NULL) {
        region_touch(b->region, b->types_at + r, 1);
        /* the first words of what were cells of another size must read as free before the type admits them */
        memset(b->region->base + b->at + (uint64_t)r * RUN_BYTES, 0, RUN_BYTES);
        region_stored(b->region);
        b->types[r] = (uint8_t)(class + 1);
        region_stored(b->region);
    }
    pages_take(b, n, first, pages);
    run_clear(b, r, class);
    *ret = r;
    return 0;
}

/* There is a free block in `partial` then. */
static __attribute__((noinline)) int run_more(struct blocks *b, unsigned class)
{
    uint64_t backed = b->small_backed;
    uint32_t r;
    if (run_from_aside(b, class))
        return 0;
    int err = -ENOMEM;
    if (blocks_put_aside(b) || b->aside[class].first == RUN_NONE)
        err = run_new(b, class, &r);
    if (err != 0 && b->aside[class].first != RUN_NONE) {
        run_lists_join(b, class);
        return 0;
    }
    if (err != 0 && blocks_put_aside(b)) { /* what is free may lie in arenas that are passed over */
        blocks_set_back(b);
        err = run_new(b, class, &r);
    }
    if (err != 0)
        return err;
    blocks_use_instead(b, b->small_backed - backed);
    run_list_in(b, &b->partial[class], r);
    return 0;
}

static void run_give(struct blocks *b, uint32_t r)
{
    unsigned pages = b->class[runs(b)[r].class - 1].pages;
    run_unlist(b, r);
    b->run_count[runs(b)[r].class - 1]--;
    runs(b)[r].class = 0;
    if (b->types != NULL) {
        region_touch(b->region, b->types_at + r, 1);
        b->types[r] = 0;
        region_stored(b->region);
    }
    pages_give(b, r / RUNS_AN_ARENA, r % RUNS_AN_ARENA * 4, pages);
}

int blocks_alloc(struct blocks *b, unsigned class, uint64_t *ret_offset)
{
    if (unlikely(b->partial[class].first == RUN_NONE)) {
        int err = run_more(b, class);
        if (err != 0)
            return err;
    }
    uint32_t r = b->partial[class].first;
    struct run *run = &runs(b)[r];
    uint64_t *map = bitmap(b, r);
    unsigned w = run->hint;
    while (map[w] == UINT64_MAX)
        w++;
    unsigned bit = bits_lowest(~map[w]);
    map[w] |= 1ull << bit;
    run->hint = (uint8_t)w;
    if (--run->free == 0)
        run_unlist(b, r);
    b->used[class]++;
    b->live_bytes += b->class[class].size;
    *ret_offset = (uint64_t)r * RUN_BYTES + (w * 64 + bit) * b->class[class].size;
    region_touch(b->region, b->at + *ret_offset, b->class[class].size);
    return 0;
}

bool blocks_lacks_run(const struct blocks *b, unsigned class)
{
    bool has_run =
        b->partial[class].first != RUN_NONE || (b->aside[class].first != RUN_NONE && !blocks_put_aside(b));
    return !has_run && arena_with_room(b, kind_of(&b->class[class])) == RUN_NONE &&
           arena_spare(b, b->runs_end) == RUN_NONE;
}

/* All of its blocks are free. The last run with room stays: one object that comes and goes shall not flap it. (Out of
 * line, as run_list(), so that most frees need no stack.) */
static __attribute__((noinline)) void run_emptied(struct blocks *b, uint32_t r)
{
    const struct run *run = &runs(b)[r];
    if (run->prev != RUN_NONE || run->next != RUN_NONE)
        run_give(b, r);
}

void blocks_poison(struct blocks *b, unsigned class, uint64_t offset)
{
    assert(blocks_is_allocated(b, class, offset));
    region_touch(b->region, b->at + offset, b->class[class].size);
    memset(b->region->base + b->at + offset, POISON, b->class[class].size);
}

void blocks_free(struct blocks *b, unsigned class, uint64_t offset)
{
    uint32_t block;
    uint32_t r = run_of(b, class, offset, &block);
    struct run *run = &runs(b)[r];
    assert(run->class == class + 1 && (bitmap(b, r)[block / 64] >> (block % 64) & 1) != 0);
    /* a free cell must read as free, so cells are spared */
    if (HF_DEBUG && b->types == NULL)
        blocks_poison(b, class, offset);
    bitmap(b, r)[block / 64] &= ~(1ull << (block % 64));
    if (block / 64 < run->hint)
        run->hint = (uint8_t)(block / 64);
    b->used[class]--;
    b->live_bytes -= b->class[class].size;
    run->free++;
    if (unlikely(run->free == 1)) /* of several */
        run_list(b, r);
    else if (unlikely(run->free == b->class[class].count))
        run_emptied(b, r);
}

void blocks_free_spare(struct blocks *b, unsigned class, uint64_t offset)
{
    b->used[class]++;
    b->live_bytes += b->class[class].size;
    blocks_free(b, class, offset);
}

void blocks_prefetch(const struct blocks *b, unsigned class, uint64_t offset)
{
    uint32_t block;
    uint32_t r = run_of(b, class, offset, &block);
    bits_prefetch(&runs(b)[r]);
    bits_prefetch(&bitmap(b, r)[block / 64]);
}

/* ---- whole pages ---- */

/* An arena of a list with a gap of `pages`, looking at no more than `tries`. */
static uint32_t find_gap(const struct blocks *b, unsigned list, unsigned pages, uint32_t tries,
                         unsigned *ret_first)
{
    for (uint32_t n = b->list[list]; n != RUN_NONE && tries > 0; tries--, n = arenas(b)[n].next) {
        ++*b->work;
        *ret_first = gap_of(arenas(b)[n].pages, pages);
        if (*ret_first < 64)
            return n;
    }
    return RUN_NONE;
}

/* The list of gaps that may be large enough is searched a little, those that surely are need no search. */
static uint32_t find_place(const struct blocks *b, unsigned pages, unsigned *ret_first)
{
    unsigned list = ARENA_KINDS + bits_log2(pages);
    uint32_t n = find_gap(b, list, pages, LARGE_TRIES, ret_first);
    for (unsigned k = list + 1; n == RUN_NONE && k < ARENA_LISTS; k++)
        n = find_gap(b, k, pages, 1, ret_first);
    return n;
}

/* When there is no memory for a new arena the list of gaps that may be large enough is searched to its end. */
static int large_alloc(struct blocks *b, unsigned pages, uint64_t *ret_offset)
{
    unsigned first = 0;
    uint32_t n = find_place(b, pages, &first);
    if (n == RUN_NONE) {
        first = 0;
        if (arena_take(b, ARENA_LARGE, &n) != 0)
            n = find_gap(b, ARENA_KINDS + bits_log2(pages), pages, UINT32_MAX, &first);
    }
    if (n == RUN_NONE)
        return -ENOMEM;
    pages_take(b, n, first, pages);
    *ret_offset = (uint64_t)n * ARENA_BYTES + first * PAGE_BYTES;
    region_touch(b->region, b->at + *ret_offset, pages * PAGE_BYTES);
    return 0;
}

bool blocks_lacks_pages(const struct blocks *b, uint64_t pages)
{
    unsigned first;
    return !blocks_is_huge(pages) && find_place(b, (unsigned)pages, &first) == RUN_NONE &&
           arena_spare(b, b->arenas_end) == RUN_NONE;
}

/* Of a huge value of so many pages: what its last arena holds. */
static uint32_t tail_bytes(uint64_t pages)
{
    return pages % ARENA_PAGES == 0 ? ARENA_BYTES : (uint32_t)(pages % ARENA_PAGES) * PAGE_BYTES;
}

static int huge_alloc(struct blocks *b, uint64_t pages, uint64_t *ret_offset)
{
    uint32_t count = (uint32_t)((pages + ARENA_PAGES - 1) / ARENA_PAGES);
    if (count > b->arenas_end)
        return -ENOMEM;
    *b->work += b->free.count / 64 + count;
    uint32_t n = b->free.count < count ? FREESET_NONE : freeset_run(&b->free, count, b->arenas_top);
    bool fresh = n == FREESET_NONE;
    if (fresh)
        n = b->arenas_top;
    if (fresh && (n > b->arenas_end - count || !know_arenas(b, n + count)))
        return -ENOMEM;
    if (!region_charge(b->region, pages * PAGE_BYTES))
        return -ENOMEM;
    for (uint32_t k = n; k < n + count; k++) {
        if (!fresh)
            freeset_remove(&b->free, k);
        arenas(b)[k] = (struct arena){.kind = ARENA_HUGE, .bytes = ARENA_BYTES};
    }
    arenas(b)[n].pages = count;
    arenas(b)[n + count - 1].bytes = tail_bytes(pages);
    if (fresh) {
        ahead_pass(&b->ahead, b->at + (uint64_t)n * ARENA_BYTES, (uint64_t)count * ARENA_BYTES);
        b->arenas_top += count;
    }
    *ret_offset = (uint64_t)n * ARENA_BYTES;
    return 0;
}

int blocks_alloc_pages(struct blocks *b, uint64_t pages, uint64_t *ret_offset)
{
    int err = blocks_is_huge(pages) ? huge_alloc(b, pages, ret_offset)
                                    : large_alloc(b, (unsigned)pages, ret_offset);
    if (err != 0)
        return err;
    b->live_bytes += pages * PAGE_BYTES;
    b->huge_live += blocks_is_huge(pages) ? pages * PAGE_BYTES : 0;
    return 0;
}

void blocks_free_pages(struct blocks *b, uint64_t pages, uint64_t offset)
{
    uint32_t n = (uint32_t)(offset / ARENA_BYTES);
    b->live_bytes -= pages * PAGE_BYTES;
    if (!blocks_is_huge(pages)) {
        pages_give(b, n, offset % ARENA_BYTES / PAGE_BYTES, (unsigned)pages);
        return;
    }
    uint32_t count = (uint32_t)arenas(b)[n].pages;
    *b->work += count;
    b->huge_live -= pages * PAGE_BYTES;
    for (uint32_t k = n; k < n + count; k++) {
        arenas(b)[k].kind = ARENA_SPARE;
        freeset_add(&b->giving, k);
    }
}

int blocks_back(struct blocks *b, uint64_t offset, uint64_t size)
{
    for (uint64_t n = offset / ARENA_BYTES; n * ARENA_BYTES < offset + size; n++) {
        struct arena *arena = &arenas(b)[n];
        if (arena->backed)
            continue;
        int err = region_back(b->region, b->at + n * ARENA_BYTES, arena->bytes, false);
        if (err != 0)
            return err;
        arena->backed = 1;
        b->backed_bytes += arena->bytes;
    }
    return 0;
}

bool blocks_backed(const struct blocks *b, uint64_t offset, uint64_t size, uint64_t *ret_at)
{
    for (uint64_t n = offset / ARENA_BYTES; n * ARENA_BYTES < offset + size; n++) {
        if (arenas(b)[n].backed)
            continue;
        *ret_at = n * ARENA_BYTES;
        return false;
    }
    return true;
}

uint32_t blocks_arena_bytes(const struct blocks *b, uint32_t arena)
{
    return arenas(b)[arena].backed ? arenas(b)[arena].bytes : 0;
}

/* ---- recovery ---- */

/* For a claim: whether it lies within the file. Data may end before the file does, where a copy has holes instead of
 * zeros, so that the area reaches as far as claims do. */
static bool reach(struct blocks *b, uint64_t offset, uint64_t bytes)
{
    if (offset % 8 != 0 || offset > b->claim_end || bytes > b->claim_end - offset)
        return false;
    uint32_t top = (uint32_t)((offset + bytes + ARENA_BYTES - 1) / ARENA_BYTES);
    if (top <= b->arenas_top)
        return true;
    if (b->types != NULL) /* the types that admit cells end with the data */
        return false;
    if (!know_arenas(b, top)) {
        b->no_room = true;
        return false;
    }
    b->arenas_top = top;
    return true;
}

/* As far as the file has the arena. Once only: what was changed there since (an operation rolled back in a private
 * look) must stay. */
static bool admit_arena(struct blocks *b, uint32_t n, uint32_t bytes)
{
    struct arena *arena = &arenas(b)[n];
    if (arena->backed)
        return true;
    arena->backed = region_admit(b->region, b->at + (uint64_t)n * ARENA_BYTES, bytes) == 0;
    b->no_room |= !arena->backed;
    return arena->backed;
}

bool blocks_admit(struct blocks *b, uint64_t offset, uint64_t bytes)
{
    assert(b->claim_end != UINT64_MAX);
    return reach(b, offset, bytes) && offset % ARENA_BYTES + bytes <= ARENA_BYTES &&
           admit_arena(b, (uint32_t)(offset / ARENA_BYTES), ARENA_BYTES);
}

bool blocks_claim_run(struct blocks *b, unsigned class, uint64_t offset)
{
    if (class >= b->classes)
        return false;
    unsigned pages = b->class[class].pages;
    if (offset % ((uint64_t)pages * PAGE_BYTES) != 0 || !reach(b, offset, (uint64_t)pages * PAGE_BYTES))
        return false;
    uint32_t n = (uint32_t)(offset / ARENA_BYTES);
    struct arena *arena = &arenas(b)[n];
    enum arena_kind kind = kind_of(&b->class[class]);
    uint64_t mask = page_mask(pages) << (offset % ARENA_BYTES / PAGE_BYTES);
    if ((arena->kind != ARENA_FREE && arena->kind != kind) || (arena->pages & mask) != 0)
        return false;
    if (!map_arena(b, n)) {
        b->no_room = true;
        return false;
    }
    arena->kind = (uint8_t)kind;
    arena->pages |= mask;
    run_clear(b, (uint32_t)(offset / RUN_BYTES), class);
    return admit_arena(b, n, ARENA_BYTES);
}

bool blocks_claim(struct blocks *b, unsigned class, uint64_t offset)
{
    if (class >= b->classes || !reach(b, offset, b->class[class].size))
        return false;
    uint32_t block;
    uint32_t r = run_of(b, class, offset, &block);
    struct run *run = &runs(b)[r];
    if (run->class == 0 && !blocks_claim_run(b, class, (uint64_t)r * RUN_BYTES))
        return false;
    if (run->class != class + 1 || block >= b->class[class].count ||
        (uint64_t)r * RUN_BYTES + (uint64_t)block * b->class[class].size != offset)
        return false;
    uint64_t *word = &bitmap(b, r)[block / 64];
    if ((*word >> (block % 64) & 1) != 0)
        return false;
    *word |= 1ull << (block % 64);
    run->free--;
    b->used[class]++;
    b->live_bytes += b->class[class].size;
    return true;
}

/* The place of whole pages: within the file, but for an open huge value, which may have pages it never got. */
static bool pages_fit(struct blocks *b, uint64_t pages, uint64_t offset, bool backed)
{
    if (offset % PAGE_BYTES != 0)
        return false;
    if (backed || !blocks_is_huge(pages))
        return reach(b, offset, pages * PAGE_BYTES);
    uint64_t end = (uint64_t)b->arenas_top * ARENA_BYTES;
    return offset < end && pages * PAGE_BYTES <= end - offset;
}

static bool claim_huge(struct blocks *b, uint64_t pages, uint64_t offset, bool backed)
{
    uint32_t n = (uint32_t)(offset / ARENA_BYTES),
             count = (uint32_t)((pages + ARENA_PAGES - 1) / ARENA_PAGES);
    for (uint32_t k = n; k < n + count; k++) {
        if (arenas(b)[k].kind != ARENA_FREE)
            return false;
        uint32_t bytes = k == n + count - 1 ? tail_bytes(pages) : ARENA_BYTES;
        arenas(b)[k] = (struct arena){.kind = ARENA_HUGE, .bytes = bytes};
        if ((backed || region_has_data(b->region, b->at + (uint64_t)k * ARENA_BYTES, bytes)) &&
            !admit_arena(b, k, bytes))
            return false;
    }
    arenas(b)[n].pages = count;
    return true;
}

bool blocks_claim_pages(struct blocks *b, uint64_t pages, uint64_t offset, bool backed)
{
    if (!pages_fit(b, pages, offset, backed))
        return false;
    b->live_bytes += pages * PAGE_BYTES;
    b->huge_live += blocks_is_huge(pages) ? pages * PAGE_BYTES : 0;
    if (blocks_is_huge(pages))
        return offset % ARENA_BYTES == 0 && claim_huge(b, pages, offset, backed);
    uint32_t n = (uint32_t)(offset / ARENA_BYTES);
    struct arena *arena = &arenas(b)[n];
    unsigned first = offset % ARENA_BYTES / PAGE_BYTES;
    uint64_t mask = page_mask((unsigned)pages) << first;
    if ((arena->kind != ARENA_FREE && arena->kind != ARENA_LARGE) || first + pages > ARENA_PAGES ||
        (arena->pages & mask) != 0)
        return false;
    arena->kind = ARENA_LARGE;
    arena->pages |= mask;
    return admit_arena(b, n, ARENA_BYTES);
}

bool blocks_claim_begin(struct blocks *b, uint32_t arenas_top)
{
    b->types_backed = b->types == NULL ? 0 : bits_round_up((uint64_t)arenas_top * RUNS_AN_ARENA, PAGE_BYTES);
    if (!know_arenas(b, arenas_top) || !region_charge(b->region, b->types_backed))
        return false;
    b->arenas_top = arenas_top;
    reserve_want_huge(&b->bitmaps,
                      (size_t)arenas_top * ARENA_BITMAPS); /* claims come in the order of objects */
    uint64_t size = region_file_size(b->region), area = (uint64_t)b->arenas_end * ARENA_BYTES;
    b->claim_end = size <= b->at ? 0 : size - b->at < area ? size - b->at : area;
    return true;
}

/* An arena that nothing was claimed in: a hole costs nothing, anything else is given back. */
static bool settle_free(struct blocks *b, uint32_t n)
{
    struct arena *arena = &arenas(b)[n];
    if (!arena->backed && !region_has_data(b->region, b->at + (uint64_t)n * ARENA_BYTES, ARENA_BYTES)) {
        freeset_add(&b->free, n);
        return true;
    }
    if (!region_charge(b->region, ARENA_BYTES))
        return false;
    *arena = (struct arena){.kind = ARENA_SPARE, .backed = arena->backed, .bytes = ARENA_BYTES};
    freeset_add(&b->giving, n);
    b->backed_bytes += arena->backed ? ARENA_BYTES : 0;
    return true;
}

static bool settle_arena(struct blocks *b, uint32_t n, uint64_t file_end)
{
    struct arena *arena = &arenas(b)[n];
    uint64_t offset = b->at + (uint64_t)n * ARENA_BYTES;
    if (arena->kind == ARENA_FREE)
        return settle_free(b, n);
    if (arena->kind != ARENA_HUGE)
        arena->bytes = ARENA_BYTES;
    /* a file that was cut behind all that counts may end in the middle of an arena */
    uint64_t end = offset + arena->bytes,
             from = file_end > offset ? file_end / PAGE_BYTES * PAGE_BYTES : offset;
    if (arena->backed && from < end && region_back(b->region, from, end - from, false) != 0)
        return false;
    if (!region_charge(b->region, arena->bytes))
        return false;
    if (arena->kind != ARENA_HUGE && arena->pages != UINT64_MAX)
        arena_list(b, n);
    b->backed_bytes += arena->backed ? arena->bytes : 0;
    b->small_backed += arena->kind != ARENA_HUGE ? ARENA_BYTES : 0;
    return true;
}

bool blocks_claimed(struct blocks *b)
{
    b->claim_end = UINT64_MAX;
    uint32_t arenas_top = b->arenas_top;
    ahead_pass(&b->ahead, b->at, (uint64_t)arenas_top * ARENA_BYTES);
    uint64_t file_end = region_file_size(b->region);
    for (uint32_t n = arenas_top; n-- > 0;)
        if (!settle_arena(b, n, file_end))
            return false;
    for (uint32_t r = arenas_top * RUNS_AN_ARENA; r-- > 0;)
        if (runs(b)[r].class != 0 && runs(b)[r].free != 0)
            run_list(b, r);
    return true;
}
