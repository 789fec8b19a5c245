/* SPDX-License-Identifier: BSD-3-Clause */
/* Included before all else in a build of its own (build/bare/), this takes out of all operations what they do for the
 * collector alone: the barriers, the suspects, the counts of slots by how they came to be, the test whether an object
 * is condemned. Counts and deaths stay. `make bench-gc` measures operations in that build and in the real one. */
#ifndef BENCH_NO_COLLECTOR_H
#define BENCH_NO_COLLECTOR_H

#include "daemon/gc/gc.h"

/* heap_find() as if there were no collections. */
static inline struct hot *bare_find(const struct heap *heap, oid_t id)
{
    uint32_t index = id_index(id);
    uint64_t gen = ((id >> 32) - heap->sb->serial_base) & W0_GEN;
    if (unlikely(index >= heap->sb->index_top || id >> 53 != 0))
        return NULL;
    struct hot *hot = &heap->hot[index];
    return likely((hot->w0 & (W0_GEN | W0_STATE)) == (gen | W0_ALIVE)) && index != 0 ? hot : NULL;
}

static inline void bare_count(struct heap *heap, uint32_t from, uint32_t slot, uint32_t edge, uint32_t change)
{
    uint32_t to = edge & SLOT_TARGET;
    heap->hot[to].in += change;
    if (unlikely(heap->audit != NULL) && audit_has(heap, from, slot))
        heap->audit[to] += change;
}

static inline void bare_replace(struct heap *heap, uint32_t from, uint32_t slot, uint32_t before,
                                uint32_t edge)
{
    if (edge != 0)
        bare_count(heap, from, slot, edge, 1);
    if (before != 0)
        bare_count(heap, from, slot, before, UINT32_MAX);
}

static inline void bare_drop(struct gc *gc, uint32_t index)
{
    const struct hot *hot = &gc->heap->hot[index];
    if (!is_held_outside(hot) && hot->in == 0 && w0_state(hot->w0) == W0_ALIVE)
        object_lost(gc, index);
}

#define heap_find                       bare_find
#define in_add(heap, from, slot, edge)  bare_count(heap, from, slot, edge, 1)
#define in_drop(heap, from, slot, edge) bare_count(heap, from, slot, edge, UINT32_MAX)
#define in_drop_alone(heap, from, edge) bare_count(heap, from, 0, edge, UINT32_MAX)
#define in_replace                      bare_replace
#define gc_drop                         bare_drop
#define gc_born(gc, index)              ((void)(gc))
#define gc_held(gc, index)              ((void)(gc))
#define gc_linked(gc, from, to)         ((void)(gc))
#define gc_first_slot(gc, index)        ((void)(gc))

#endif
