/* SPDX-License-Identifier: BSD-3-Clause */
/* Runs with a free block, in two lists for each class: those that are used, and those that are not while a save would
 * have to copy what is in them first. */
#include "daemon/heap/arenas.h"

#define TRIES 8u /* runs, or arenas, looked at for one that is not owed */

void run_list_in(struct blocks *b, struct free_runs *list, uint32_t r)
{
    struct run *run = &runs(b)[r];
    run->prev = RUN_NONE;
    run->next = list->first;
    if (list->first != RUN_NONE)
        runs(b)[list->first].prev = r;
    else
        list->last = r;
    list->first = r;
}

static void append(struct blocks *b, struct free_runs *list, uint32_t r)
{
    struct run *run = &runs(b)[r];
    run->prev = list->last;
    run->next = RUN_NONE;
    if (list->last != RUN_NONE)
        runs(b)[list->last].next = r;
    else
        list->first = r;
    list->last = r;
}

__attribute__((noinline)) void run_list(struct blocks *b, uint32_t r)
{
    unsigned class = runs(b)[r].class - 1u;
    run_list_in(b, blocks_put_aside(b) && run_is_owed(b, r) ? &b->aside[class] : &b->partial[class], r);
}

void run_unlist(struct blocks *b, uint32_t r)
{
    struct run *run = &runs(b)[r];
    struct free_runs *partial = &b->partial[run->class - 1], *aside = &b->aside[run->class - 1];
    if (run->prev != RUN_NONE)
        runs(b)[run->prev].next = run->next;
    else
        (partial->first == r ? partial : aside)->first = run->next;
    if (run->next != RUN_NONE)
        runs(b)[run->next].prev = run->prev;
    else
        (partial->last == r ? partial : aside)->last = run->prev;
}

void run_lists_join(struct blocks *b, unsigned class)
{
    struct free_runs *partial = &b->partial[class], *aside = &b->aside[class];
    if (aside->first == RUN_NONE)
        return;
    runs(b)[aside->last].next = partial->first;
    if (partial->first != RUN_NONE)
        runs(b)[partial->first].prev = aside->last;
    else
        partial->last = aside->last;
    partial->first = aside->first;
    *aside = (struct free_runs){RUN_NONE, RUN_NONE};
}

/* What saves leave behind that is free is no more than this, however many there are. */
static uint64_t room_for_waste(const struct blocks *b)
{
    uint64_t most = (b->live_bytes - b->huge_live) / 4, waste = blocks_waste(b);
    return waste < most ? most - waste : 0;
}

void blocks_set_aside(struct blocks *b, uint64_t bytes)
{
    uint64_t room = room_for_waste(b);
    blocks_set_back(b);
    b->aside_left = bytes < room ? bytes : room;
    for (unsigned class = 0; class < b->classes && b->aside_left > 0; class ++) {
        b->aside[class] = b->partial[class];
        b->partial[class] = (struct free_runs){RUN_NONE, RUN_NONE};
    }
}

uint32_t arena_with_room(const struct blocks *b, enum arena_kind kind)
{
    uint32_t n = b->list[kind];
    if (!blocks_put_aside(b))
        return n;
    for (unsigned tries = 0; n != RUN_NONE && run_is_owed(b, n * RUNS_AN_ARENA); n = arenas(b)[n].next)
        if (++tries == TRIES)
            return RUN_NONE;
    return n;
}

bool run_from_aside(struct blocks *b, unsigned class)
{
    struct free_runs *aside = &b->aside[class];
    for (unsigned tries = 0; tries < TRIES && aside->first != RUN_NONE; tries++) {
        uint32_t r = aside->first;
        run_unlist(b, r);
        if (b->region->save == NULL || !run_is_owed(b, r)) {
            run_list_in(b, &b->partial[class], r);
            return true;
        }
        append(b, aside, r);
    }
    return false;
}

void blocks_set_back(struct blocks *b)
{
    b->aside_left = 0;
    for (unsigned class = 0; class < b->classes; class ++)
        run_lists_join(b, class);
}
