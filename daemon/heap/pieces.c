/* SPDX-License-Identifier: BSD-3-Clause */
/* Arenas made ready and given back in pieces: to back or to punch a whole one takes a system call of 50 to 300 us,
 * more than a step in the background may. */
#include "daemon/heap/arenas.h"

#include <errno.h>

/* ---- made ready ---- */

/* All of it is charged at once, so that what is begun can be ended. */
static int begin(struct blocks *b, uint32_t end)
{
    uint32_t n;
    if (arena_find(b, end, &n) != 0 || !region_charge(b->region, ARENA_BYTES))
        return -ENOMEM;
    if (n == b->arenas_top)
        ahead_pass(&b->ahead, b->at + (uint64_t)n * ARENA_BYTES, ARENA_BYTES);
    arena_found(b, n);
    arenas(b)[n] = (struct arena){.kind = ARENA_SPARE, .bytes = ARENA_BYTES};
    b->preparing = n;
    b->prepared = 0;
    return 0;
}

int arena_prepare(struct blocks *b, uint32_t end, uint32_t bytes)
{
    uint32_t n = b->preparing, left = ARENA_BYTES - b->prepared;
    if (n == RUN_NONE || n >= end)
        return -ENOENT;
    bytes = bytes < left ? bytes : left;
    int err = region_back(b->region, b->at + (uint64_t)n * ARENA_BYTES + b->prepared, bytes, false);
    if (err != 0)
        return err;
    b->prepared += bytes;
    if (bytes < left)
        return -EAGAIN;
    arenas(b)[n].backed = 1;
    b->preparing = RUN_NONE;
    b->backed_bytes += ARENA_BYTES;
    b->small_backed += ARENA_BYTES;
    b->spares++;
    arena_list(b, n);
    return 0;
}

int blocks_prepare(struct blocks *b, bool runs)
{
    uint32_t end = runs ? b->runs_end : b->arenas_end;
    if (b->preparing == RUN_NONE) {
        int err = begin(b, end);
        if (err != 0)
            return err;
    }
    return arena_prepare(b, end, PIECE_BYTES);
}

/* ---- given back ---- */

/* After most was freed, what was made ready for more. */
static bool wants_less(const struct blocks *b)
{
    return ahead_is_ready(&b->ahead) && b->backed_bytes < AHEAD_LEAST / 2;
}

bool blocks_has_work(const struct blocks *b)
{
    return b->giving.count != 0 || wants_less(b);
}

/* The last piece of what is left of an arena. */
static void give_piece(struct blocks *b, uint32_t n)
{
    struct arena *arena = &arenas(b)[n];
    uint32_t left = (arena->bytes - 1) / PIECE_BYTES * PIECE_BYTES, bytes = arena->bytes - left;
    region_punch(b->region, b->at + (uint64_t)n * ARENA_BYTES + left, bytes, arena->backed);
    b->backed_bytes -= arena->backed ? bytes : 0;
    region_uncharge(b->region, bytes);
    arena->bytes = left;
}

bool blocks_step(struct blocks *b)
{
    uint32_t n = freeset_lowest(&b->giving);
    if (n == FREESET_NONE)
        return wants_less(b) && ahead_give(&b->ahead);
    give_piece(b, n);
    if (arenas(b)[n].bytes != 0)
        return true;
    freeset_remove(&b->giving, n);
    arena_unmap(b, n);
    arenas(b)[n] = (struct arena){.kind = ARENA_FREE};
    freeset_add(&b->free, n);
    return true;
}
