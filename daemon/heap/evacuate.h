/* SPDX-License-Identifier: BSD-3-Clause */
/* Evacuation: gives memory back where much is allocated and little used.
 *
 * Where values of many sizes come and go, arenas end up with a few blocks each, wherever new ones are put (measured: live
 * bytes fall to a quarter of the backed ones as sizes drift). Nothing outside knows where a value is but its entry, so it can
 * be moved. One pass:
 *
 *   SURVEY   notes how full each arena is, and how many blocks of each class are free
 *   CHOOSE   leaves the emptiest arenas: nothing new is put there; until what is moved makes the rest dense enough
 *   MOVE     walks the table once: whatever lives in these arenas is copied to another block, one operation each
 *   SETTLE   arenas that are empty now are given back, others used again
 *
 * in steps of units, between any two of which clients do what they like. What is copied goes into blocks that are free
 * elsewhere first; arenas are chosen so that what finds none there takes no more than half of the memory that is left. So it
 * works in a pool whose memory is spent, too, and moves no more than it gains.
 *
 * It never moves what is pinned, being received (that has no entry yet), or open: written in place. Huge values are arenas
 * by themselves and need not move. A death in the middle of anything leaves the object with its old block or its new one,
 * whole; what is being left is private and forgotten.
 *
 * It begins by itself when live bytes fall under `percent` of the backed ones, and goes on until they are half of the rest
 * above that. What it gains must be worth the walk over the table. A pass that did not get far enough is repeated if it
 * gained so much; if not, only once there is as much more to be gained: no two passes without work of clients in between
 * that pays for them. */
#ifndef HEAP_EVACUATE_H
#define HEAP_EVACUATE_H

#include "daemon/heap/heap.h"

#define EVACUATE_PERCENT 60u
#define EVACUATE_LEAST   (8ull << 20)

struct evacuate_config {
    uint32_t percent; /* 1 ... 99; 0: it never begins */
    uint64_t least;   /* bytes to be gained */
    bool thorough;    /* tests: all arenas are left, whatever that gains */
};

struct evacuate_stats {
    uint64_t passes; /* ended */
    uint64_t moved, moved_bytes;
    uint64_t returned_bytes; /* by which arenas in use were fewer at the end of a pass */
    uint64_t cut_short;      /* passes that ended for want of memory for the copies */
    bool running;
};

enum evacuate_phase { EVACUATE_IDLE, EVACUATE_SURVEY, EVACUATE_CHOOSE, EVACUATE_MOVE, EVACUATE_SETTLE };

/* Values, or lists of slots. */
struct evacuate_area {
    struct blocks *blocks;
    bool chosen;     /* it takes part in the running pass */
    uint64_t left;   /* bytes of the arenas that are being left */
    uint64_t backed; /* small_backed when it began */
    uint64_t rest_waste,
        rest_backed; /* what the last pass ended with, if it gained too little for another one; else 0 */
    struct blocks_room room;
};

struct evacuation {
    struct heap *heap;
    struct evacuate_config config;
    enum evacuate_phase phase;
    bool short_of_memory; /* an allocation failed: less is worth a pass, until the next one ends */
    struct evacuate_area area[2];
    unsigned at;     /* the area that SURVEY and CHOOSE are in */
    unsigned fill;   /* CHOOSE: of arenas that are chosen now */
    uint32_t cursor; /* arena, or index */
    uint32_t top;    /* MOVE: ends there */
    uint32_t part;   /* MOVE: of the list of slots of the object at the cursor, the next block */
    uint32_t failed; /* MOVE: copies for which there was no memory */
    bool waits;      /* MOVE: what is at the cursor, for the next piece of an arena */
    struct evacuate_stats stats;
};

void evacuate_init(struct evacuation *e, struct heap *heap);
/* Whether evacuate_step() would do something: not while the heap waits for a save. */
bool evacuate_has_work(const struct evacuation *e);
/* Up to `units` units, and what the last piece of work takes beyond them. A unit: eight entries passed, a sixteenth of an arena
 * looked at, 256 bytes copied; an arena for copies is backed in pieces of PIECE_BYTES, of 256 units each. Returns the units
 * spent; 0: nothing to do. A call that ends a pass begins no other. Only between two operations. */
unsigned evacuate_step(struct evacuation *e, unsigned units);
/* There is no memory left: what can be gained at all is worth a pass. */
void evacuate_need_memory(struct evacuation *e);

#endif
