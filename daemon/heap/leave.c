/* SPDX-License-Identifier: BSD-3-Clause */
/* Leaving arenas: nothing new is put there, so that they are empty once all that lives there has moved. */
#include "daemon/heap/arenas.h"

#define FILL_STEPS 16u

/* The place of pages in struct blocks_room. */
static unsigned pages_place(const struct blocks *b)
{
    return b->classes;
}

static uint32_t size_at(const struct blocks *b, unsigned place)
{
    return place == b->classes ? PAGE_BYTES : b->class[place].size;
}

static bool is_of_runs(const struct arena *arena)
{
    return arena->kind >= ARENA_RUNS4 && arena->kind <= ARENA_RUNS64;
}

/* What is used and free at one place of an arena: a run, or all pages of large values. */
struct part {
    unsigned place;
    uint32_t used, free;
};

/* The next part, from page *at on; false: no more. */
static bool next_part(const struct blocks *b, uint32_t n, unsigned *at, struct part *ret)
{
    const struct arena *arena = &arenas(b)[n];
    if (arena->kind == ARENA_LARGE && *at == 0) {
        uint32_t used = bits_count(arena->pages);
        *at = ARENA_PAGES;
        /* of gaps not each is large enough for a value */
        *ret = (struct part){pages_place(b), used, (ARENA_PAGES - used) / 2};
        return true;
    }
    while (is_of_runs(arena) && *at < ARENA_PAGES) {
        const struct run *run = &runs(b)[n * RUNS_AN_ARENA + *at / 4];
        *at += pages_of_kind(arena->kind);
        if (run->class == 0)
            continue;
        uint32_t free = run->free & ~RUN_LEAVING;
        *ret = (struct part){run->class - 1u, b->class[run->class - 1].count - free, free};
        return true;
    }
    return false;
}

void blocks_survey(struct blocks *b, uint32_t n, struct blocks_room *room)
{
    struct part part;
    uint64_t live = 0;
    struct arena *arena = &arenas(b)[n];
    arena->fill = 0;
    if (!is_of_runs(arena) && arena->kind != ARENA_LARGE)
        return;
    for (unsigned at = 0; next_part(b, n, &at, &part);) {
        room->free[part.place] += part.free;
        live += (uint64_t)part.used * size_at(b, part.place);
    }
    arena->fill = (uint8_t)(1 + live * FILL_STEPS / (ARENA_BYTES + 1)); /* 1 ... 16 */
}

unsigned blocks_fill(const struct blocks *b, uint32_t n)
{
    return arenas(b)[n].fill;
}

static uint64_t missing(const struct blocks *b, const struct blocks_room *room, unsigned place)
{
    if (room->moving[place] <= room->free[place])
        return 0;
    return (room->moving[place] - room->free[place]) * size_at(b, place);
}

/* What is free there is so no more, what is used is to move. */
static void add_to_moving(const struct blocks *b, uint32_t n, struct blocks_room *room)
{
    struct part part;
    for (unsigned at = 0; next_part(b, n, &at, &part);) {
        room->need -= missing(b, room, part.place);
        room->free[part.place] -= part.free < room->free[part.place] ? part.free : room->free[part.place];
        room->moving[part.place] += part.used;
        room->need += missing(b, room, part.place);
    }
}

bool blocks_leave(struct blocks *b, uint32_t n, struct blocks_room *room, uint64_t most, bool always)
{
    struct arena *arena = &arenas(b)[n];
    struct blocks_room then = *room;
    add_to_moving(b, n, &then);
    if (then.need > most || (!always && then.need > room->need + ARENA_BYTES / 2))
        return false;
    *room = then;
    if (arena->listed)
        arena_unlist(b, n);
    freeset_add(&b->leaving, n);
    for (unsigned at = 0; is_of_runs(arena) && at < ARENA_PAGES; at += pages_of_kind(arena->kind)) {
        uint32_t r = n * RUNS_AN_ARENA + at / 4;
        if (runs(b)[r].class == 0)
            continue;
        if (runs(b)[r].free != 0)
            run_unlist(b, r);
        runs(b)[r].free |= RUN_LEAVING;
    }
    return true;
}

/* An empty one ends, another is as any other again. */
static void settle_run(struct blocks *b, uint32_t n, unsigned at)
{
    struct arena *arena = &arenas(b)[n];
    uint32_t r = n * RUNS_AN_ARENA + at / 4;
    struct run *run = &runs(b)[r];
    if (run->class == 0)
        return;
    run->free &= (uint16_t)~RUN_LEAVING;
    if (run->free == b->class[run->class - 1].count) {
        b->run_count[run->class - 1]--;
        run->class = 0;
        arena->pages &= ~(page_mask(pages_of_kind(arena->kind)) << at);
    } else if (run->free != 0) {
        run_list(b, r);
    }
}

bool blocks_settle(struct blocks *b)
{
    uint32_t n = freeset_lowest(&b->leaving);
    if (n == FREESET_NONE)
        return false;
    struct arena *arena = &arenas(b)[n];
    freeset_remove(&b->leaving, n);
    for (unsigned at = 0; is_of_runs(arena) && at < ARENA_PAGES; at += pages_of_kind(arena->kind))
        settle_run(b, n, at);
    if (arena->pages == 0)
        arena_give(b, n);
    else
        arena_relist(b, n);
    return true;
}
