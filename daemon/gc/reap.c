/* SPDX-License-Identifier: BSD-3-Clause */
/* Death by count and the reaper. No recursion: a chain of ten million is a queue that is never longer than the objects
 * that died and are not yet freed.
 *
 * Nothing here is logged in the undo log: what is dead cannot be reached, and freeing is one store (generation + 1,
 * FREE) after which the id can never be valid again.
 *
 * The queue is for what cannot be freed at once. Most can: what names nothing, as soon as it dies; what a trial has
 * condemned; and what dies of the object that is being freed, right after it, so that a chain passes through the queue
 * only where a step ends.
 * Then the one store is all that the image sees of a death. */
#include "daemon/gc/internal.h"

/* Nothing keeps a guarded object but its guard. True: it lives on. */
static bool is_kept_by_guard(struct gc *gc, uint32_t index)
{
    if (!gc->owner.deliver(gc->owner.arg, index) && !freeset_has(&gc->waiting, index))
        freeset_add(&gc->waiting, index);
    return gc_is_guarded(gc, index) || is_held_outside(&gc->heap->hot[index]);
}

/* Frees it, and its index. */
static inline __attribute__((always_inline)) void end(struct gc *gc, uint32_t index, uint64_t w0)
{
    if (gc->heap->has_marks)
        heap_unmark(gc->heap, index); /* the next object here is young */
    if (likely(object_free(gc, index, w0)))
        index_give(gc->heap, index);
    gc->heap->freed++;
}

/* Nothing but a guard keeps it: then it waits for the reaper. */
static __attribute__((noinline)) void lost_for_later(struct gc *gc, uint32_t index)
{
    if (unlikely(gc_is_guarded(gc, index)) && is_kept_by_guard(gc, index))
        return;
    object_dies(gc, index);
    zero_add(gc->heap, index);
}

/* The same, but what names nothing needs no turn in the queue. */
static inline void lost(struct gc *gc, uint32_t index)
{
    const struct hot *hot = &gc->heap->hot[index];
    if (w0_ns(hot->w0) != 0 || !is_simple(hot) || gc_is_guarded(gc, index)) {
        lost_for_later(gc, index);
        return;
    }
    object_leaves(gc->heap, hot);
    end(gc, index, hot->w0);
}

void object_lost(struct gc *gc, uint32_t index)
{
    lost(gc, index);
}

/* A slot of a dead object goes. What it names is alive; true: nothing but a guard keeps that now. */
static inline bool drop_slot(struct gc *gc, uint32_t index, uint32_t slot, uint32_t edge)
{
    const struct hot *hot = &gc->heap->hot[edge & SLOT_TARGET];
    in_drop(gc->heap, index, slot, edge);
    if (is_held_outside(hot))
        return false;
    if (hot->in != 0)
        gc_suspect(gc, edge & SLOT_TARGET);
    return hot->in == 0;
}

/* Takes the last slot off the object at the head of the queue. */
static void reap_slot(struct gc *gc, uint32_t index)
{
    struct heap *heap = gc->heap;
    struct hot *hot = &heap->hot[index];
    uint32_t edge = slots_pop(heap, index);
    /* the queue goes on with the parent first: children wait below it */
    heap->zero_head = hot->in;
    if (edge != 0 && drop_slot(gc, index, hot->link, edge))
        lost(gc, edge & SLOT_TARGET);
    hot->in = heap->zero_head;
    heap->zero_head = index;
}

/* ---- chains: of an object that is freed the first slot names the next one ---- */

#define CHAIN_AHEAD  48
#define INLINE_AHEAD 8    /* at the end of an operation, which waits for the first ones anyway */
#define INLINE_MOST  128u /* objects */

/* Nobody wants to see each slot or word that changes, and no object has a guard. None of that begins while a chain is
 * freed, so it is asked once. */
static inline bool is_alone(const struct gc *gc)
{
    return gc->heap->audit == NULL && gc->heap->meta.save == NULL && gc->guarded.count == 0;
}

/* Of the next one both halves are needed soon: one wait for memory instead of two. What is linked in the order in which
 * it was made lies in order, so what comes much later is guessed; where nothing is, a prefetch does no harm. */
static inline void chain_prefetch(const struct hot *next, const struct warm *warm,
                                  const struct warm *next_warm, int ahead)
{
    intptr_t later = ((intptr_t)next_warm - (intptr_t)warm) * ahead;
    bits_prefetch(next_warm);
    bits_prefetch((const void *)((intptr_t)next_warm + later));
    bits_prefetch((const void *)((intptr_t)next + later * (intptr_t)(sizeof *next / sizeof *warm)));
}

/* The next one is not freed with the chain: it lives on, or waits for the reaper. */
static __attribute__((noinline)) void chain_ends(struct gc *gc, uint32_t index)
{
    const struct hot *hot = &gc->heap->hot[index];
    if (is_held_outside(hot))
        return;
    if (hot->in != 0)
        gc_suspect(gc, index);
    else
        lost_for_later(gc, index);
}

/* Whether nothing but a guard keeps it now, and it can be freed right there: what is_held_outside() and is_simple()
 * say, in one look at its word. */
static inline bool chain_goes_on(const struct gc *gc, uint32_t index, const struct hot *hot, uint64_t w0,
                                 bool alone)
{
    return hot->in == 0 && hot->holder >> 32 == 0 && (w0 & (W0_LINK | W0_OPEN | W0_WATCHED)) == 0 &&
           w0_ns(w0) < NS_BLOCK && value_size(hot->value) <= SIMPLE_MAX &&
           (alone || !gc_is_guarded(gc, index));
}

/* See reap_chain(). Compiled twice, because a chain of millions is nothing but this loop. */
static inline __attribute__((always_inline)) unsigned chain(struct gc *gc, uint32_t index, unsigned units,
                                                            uint64_t freed_end, int ahead, bool alone)
{
    struct heap *heap = gc->heap;
    struct hot *all = heap->hot, *hot = &all[index];
    const struct warm *all_warm = heap->warm, *warm = &all_warm[index];
    struct freed freed = {.word = index / 64};
    unsigned left = hot->link, spent = 0;
    for (uint64_t w0 = hot->w0;;) {
        uint64_t slots = slots_in_entry(warm, left);
        uint32_t child = slots & SLOT_TARGET, second = (uint32_t)(slots >> 32);
        struct hot *next = &all[child];
        const struct warm *next_warm = &all_warm[child];
        bool second_is_lost = second != 0 && drop_slot(gc, index, 1, second);
        spent += 1 + left;
        if (likely(child != 0)) {
            chain_prefetch(next, warm, next_warm, ahead);
            if (alone)
                in_drop_alone(heap, index, (uint32_t)slots);
            else
                in_drop(heap, index, 0, (uint32_t)slots);
        }
        if (likely(object_end(gc, hot, w0, alone)))
            freed_add(heap, &freed, index);
        heap->freed++;
        if (unlikely(second_is_lost))
            lost(gc, second & SLOT_TARGET);
        if (child == 0)
            break;
        w0 = next->w0;
        left = w0_ns(w0);
        if (!chain_goes_on(gc, child, next, w0, alone) || spent + left >= units || heap->freed >= freed_end) {
            chain_ends(gc, child);
            break;
        }
        if (unlikely((w0 & W0_LABELLED) != 0))
            gc->owner.freed(gc->owner.arg, child);
        index = child;
        hot = next;
        warm = next_warm;
        object_leaves(heap, hot);
    }
    freed_give(heap, &freed);
    return spent;
}

/* Frees a chain of objects from one that is dead, has left the living, is in no queue, and whose slots, or what is left
 * of them, are in its entry: without a turn in the queue for each. Returns the units spent. */
static unsigned reap_chain(struct gc *gc, uint32_t index, unsigned units, uint64_t freed_end, int ahead)
{
    const struct hot *hot = &gc->heap->hot[index];
    if ((hot->w0 & (W0_LABELLED | W0_WATCHED)) != 0)
        gc->owner.freed(gc->owner.arg, index);
    if (w0_ns(hot->w0) >= NS_BLOCK)
        slots_free(gc->heap, index);
    return is_alone(gc) ? chain(gc, index, units, freed_end, ahead, true)
                        : chain(gc, index, units, freed_end, ahead, false);
}

/* The object at the head of the queue: a slot of it, or all of it and what follows. Returns the units spent. */
static inline unsigned reap_head(struct gc *gc, unsigned units, uint64_t freed_end, int ahead)
{
    struct heap *heap = gc->heap;
    uint32_t index = heap->zero_head;
    const struct hot *hot = &heap->hot[index];
    uint32_t left = hot->link, ns = w0_ns(hot->w0);
    gc->reason = w0_reason(hot->w0);
    if (left != 0 && (ns >= NS_BLOCK || left != ns || ns >= units)) {
        reap_slot(gc, index);
        return 1;
    }
    heap->zero_head = hot->in;
    heap->zero_count--;
    return reap_chain(gc, index, units, freed_end, ahead);
}

unsigned gc_reap(struct gc *gc, unsigned units, unsigned frees)
{
    struct heap *heap = gc->heap;
    int ahead = frees <= INLINE_MOST ? INLINE_AHEAD : CHAIN_AHEAD;
    uint64_t freed_end = heap->freed + frees;
    unsigned spent = 0;
    while (heap->zero_head != 0 && spent < units && heap->freed < freed_end)
        spent += reap_head(gc, units - spent, freed_end, ahead);
    gc->reason = REASON_RELEASE;
    heap->work += spent;
    return spent;
}
