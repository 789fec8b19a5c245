/* SPDX-License-Identifier: BSD-3-Clause */
/* Inside of the collector; for daemon/gc/ only. */
#ifndef GC_INTERNAL_H
#define GC_INTERNAL_H

#include "daemon/gc/gc.h"

/* All slots are dropped: gives its memory back and ends its generation. `later`: the index goes into quarantine. */
void object_free(struct gc *gc, uint32_t index, bool later);
/* It is alive and nothing refers to it any more: it dies, or its guard is delivered. */
void object_lost(struct gc *gc, uint32_t index);
/* Nothing keeps it, or it is condemned: it is counted among the living no more. */
void object_dies(struct gc *gc, uint32_t index);

/* ---- mark.c ---- */

static inline bool gc_is_grey(const struct gc *gc)
{
    return gc->scan != 0 || gc->ring_count != 0 || gc->stack_count != 0 || gc->again != GC_NONE ||
           gc->again_cursor != GC_NONE;
}
/* Scans what is grey. Returns the units spent; 0: nothing is grey. */
unsigned mark_grey(struct gc *gc, unsigned units);
/* Looks for roots; returns the units spent, 0: all are passed. */
unsigned mark_roots(struct gc *gc, unsigned units);
/* The next object at or above gc->cursor and below gc->top that is in use and not marked, looking at one word; GC_NONE:
 * none in this word, or the end. Moves the cursor behind what it has looked at. */
uint32_t next_unmarked(struct gc *gc);

/* ---- sweep.c ---- */

/* Both return the units spent, 0: done. */
unsigned sweep_condemned(struct gc *gc, unsigned units);
unsigned sweep_merge(struct gc *gc, unsigned units);

#endif
