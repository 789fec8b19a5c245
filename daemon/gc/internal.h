/* SPDX-License-Identifier: BSD-3-Clause */
/* Inside of the collector; for daemon/gc/ only. */
#ifndef GC_INTERNAL_H
#define GC_INTERNAL_H

#include "daemon/gc/gc.h"

/* Ends the generation of an object without slots and value (w0 is its word), in the one store that an image needs to see.
 * False: that was the last generation; else the index is to be given back by the caller. `alone`: no save looks on. (Left
 * to itself, gcc takes these three for too large, and each death for two calls: 40 instructions.) */
static inline __attribute__((always_inline)) bool generation_end(struct heap *heap, struct hot *hot,
                                                                 uint64_t w0, bool alone)
{
    uint64_t end = (w0_gen(w0) + 1) | W0_FREE;
    hot->in = hot->link = 0;
    if (alone)
        image_prepare(heap, &hot->w0, end);
    else
        image_set(heap, &hot->w0, end);
    if (likely(w0_gen(w0) + 1 != W0_GEN_LAST))
        return true;
    heap->retired++;
    return false;
}

/* The same after giving the value back. */
static inline __attribute__((always_inline)) bool object_end(struct gc *gc, struct hot *hot, uint64_t w0,
                                                             bool alone)
{
    if ((w0 & W0_INLINE) == 0)
        value_free(gc->heap, hot->value, (w0 & W0_VERSIONED) != 0);
    return generation_end(gc->heap, hot, w0, alone);
}

/* The same for all that an object may have, but its mark: who waits for its death is told, its list of slots goes. */
static inline __attribute__((always_inline)) bool object_free(struct gc *gc, uint32_t index, uint64_t w0)
{
    struct heap *heap = gc->heap;
    if (unlikely((w0 & (W0_LABELLED | W0_WATCHED)) != 0))
        gc->owner.freed(gc->owner.arg, index);
    if (unlikely(w0_ns(w0) >= NS_BLOCK))
        slots_free(heap, index);
    return object_end(gc, &heap->hot[index], w0, false);
}

#define SIMPLE_MAX                                                                                           \
    (BLOCK_MAX - 8u) /* bytes of a value that is in a block, also if it has a version behind it */

/* It can be freed in one piece: it has no list, nobody is to be told of its death, and its value is in a block. */
static inline bool is_simple(const struct hot *hot)
{
    return (hot->w0 & (W0_OPEN | W0_WATCHED)) == 0 && w0_ns(hot->w0) < NS_BLOCK &&
           value_size(hot->value) <= SIMPLE_MAX;
}

/* It is one of the living no more. */
static inline void object_leaves(struct heap *heap, const struct hot *hot)
{
    heap->alive--;
    heap->value_bytes -= value_size(hot->value);
}
/* Nothing keeps it any more, for the reason in force, ... */
static inline void object_dies(struct gc *gc, uint32_t index)
{
    struct heap *heap = gc->heap;
    struct hot *hot = &heap->hot[index];
    bool is_open = (hot->w0 & W0_OPEN) != 0;
    uint64_t reason = is_open ? REASON_ABORT : gc->reason;
    object_leaves(heap, hot);
    heap->open -= is_open;
    image_touch(heap, hot);
    hot->w0 = (hot->w0 & ~(W0_STATE | W0_WHY)) | W0_ZERO | reason << W0_WHY_SHIFT;
    slots_unmake(heap, index);
}
/* ... and waits for the reaper. */
static inline void zero_add(struct heap *heap, uint32_t index)
{
    heap->hot[index].in = heap->zero_head;
    heap->zero_head = index;
    heap->zero_count++;
}

/* Indexes of freed objects that lie in one word of the bitmaps, not given back yet; their marks neither. */
struct freed {
    uint32_t word;
    uint64_t indexes;
};
/* The lowest are the next to be used, and what is made of them is young. */
static inline void freed_give(struct heap *heap, const struct freed *freed)
{
    uint64_t left = freed->indexes;
    if (heap->has_marks)
        ((uint64_t *)(void *)heap->marks.base)[freed->word] &= ~left;
    while (left != 0 && heap->spare_index_count < SPARE_INDEXES) {
        index_give(heap, freed->word * 64 + bits_log2(left));
        left &= ~(1ull << bits_log2(left));
    }
    freeset_add_all(&heap->free_index, freed->word * 64, left);
}
static inline void freed_add(struct heap *heap, struct freed *freed, uint32_t index)
{
    if (unlikely(index / 64 != freed->word)) {
        freed_give(heap, freed);
        *freed = (struct freed){.word = index / 64};
    }
    freed->indexes |= 1ull << (index % 64);
}

#define AHEAD 96u /* entries brought near before their turn when the table is walked in order */

/* ---- mark.c ---- */

/* From gc->top on, with all marks clear. */
void mark_begin(struct gc *gc);
/* Looks for roots and scans what is grey. Returns the units spent; 0: nothing is grey and all roots are found. */
unsigned mark_grey(struct gc *gc, unsigned units);
/* The objects of the word of the bitmaps that `at` is in, from `at` on, which are below gc->top, not marked, and in use (or
 * free without being in the set of free indexes). */
static inline uint64_t unmarked(const struct gc *gc, uint32_t at)
{
    const uint64_t *marks = (const void *)gc->heap->marks.base;
    const uint64_t *free = (const void *)gc->heap->free_index.level[0].base;
    uint64_t word = ~(marks[at / 64] | free[at / 64]) & UINT64_MAX << (at % 64);
    return gc->top - at / 64 * 64 < 64 ? word & ((1ull << gc->top % 64) - 1) : word;
}

/* ---- young.c ---- */

/* Goes on with a young collection, or begins one that is due. Returns the units spent; 0: nothing to do. */
unsigned young_step(struct gc *gc);
bool young_has_work(const struct gc *gc);
/* The pool may grow for a while from now on before the next one. */
void young_rest(struct gc *gc);
/* It goes on, or begins, before a full collection that is due. */
bool young_goes_first(const struct gc *gc);
/* Whether one is under way that nobody waits for; and its end, at which what it has not looked at waits in the ring. */
bool young_may_be_cut(const struct gc *gc);
void young_cut(struct gc *gc);
/* When the next one begins, if nothing else makes it; UINT64_MAX: never. */
uint64_t young_next_due(const struct gc *gc);
/* The entry of that number, from young->popped to young->pushed - 1. */
static inline uint32_t young_waiting(const struct gc_young *young, uint64_t number)
{
    return ((const uint32_t *)(const void *)young->ring.base)[number % GC_SUSPECTS];
}

/* ---- sweep.c ---- */

/* Both return the units spent, 0: done. */
unsigned sweep_condemned(struct gc *gc, unsigned units);
unsigned sweep_merge(struct gc *gc, unsigned units);

#endif
