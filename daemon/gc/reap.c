/* SPDX-License-Identifier: BSD-3-Clause */
/* Death by count and the reaper. No recursion: a chain of ten million is a queue that is never longer than the objects
 * that died and are not yet freed.
 *
 * Nothing here is logged in the undo log: what is dead cannot be reached, and freeing is one store (generation + 1,
 * FREE) after which the id can never be valid again. */
#include "daemon/gc/internal.h"

/* Nothing keeps a guarded object but its guard. True: it lives on. */
static bool is_kept_by_guard(struct gc *gc, uint32_t index)
{
    if (!gc->owner.deliver(gc->owner.arg, index) && !freeset_has(&gc->waiting, index))
        freeset_add(&gc->waiting, index);
    return gc_is_guarded(gc, index) || is_held_outside(&gc->heap->hot[index]);
}

static inline void lost(struct gc *gc, uint32_t index)
{
    if (unlikely(gc_is_guarded(gc, index)) && is_kept_by_guard(gc, index))
        return;
    object_dies(gc, index);
    zero_add(gc->heap, index);
}

void object_lost(struct gc *gc, uint32_t index)
{
    lost(gc, index);
}

static inline void dropped(struct gc *gc, uint32_t index)
{
    const struct hot *hot = &gc->heap->hot[index];
    if (w0_state(hot->w0) != W0_ALIVE)
        return;
    if (hot->in != 0)
        gc_suspect(gc, index);
    else
        lost(gc, index);
}

void gc_dropped(struct gc *gc, uint32_t index)
{
    dropped(gc, index);
}

/* A slot of a dead object, which is not in the queue meanwhile. */
static inline void drop_slot(struct gc *gc, uint32_t index, uint32_t slot, uint32_t edge)
{
    if (edge == 0)
        return;
    in_drop(gc->heap, index, slot, edge);
    gc->reason = w0_reason(gc->heap->hot[index].w0);
    if (!is_held_outside(&gc->heap->hot[edge & SLOT_TARGET]))
        dropped(gc, edge & SLOT_TARGET);
}

/* Takes the last slot off the object at the head of the queue. */
static void reap_slot(struct gc *gc, uint32_t index)
{
    struct heap *heap = gc->heap;
    struct hot *hot = &heap->hot[index];
    uint32_t edge = slots_pop(heap, index);
    /* the queue goes on with the parent first: children wait below it */
    heap->zero_head = hot->in;
    drop_slot(gc, index, hot->link, edge);
    hot->in = heap->zero_head;
    heap->zero_head = index;
}

#define CHAIN_AHEAD  48u
#define INLINE_AHEAD 8u   /* at the end of an operation, which waits for the first ones anyway */
#define INLINE_MOST  128u /* objects */

/* Of a child that dies both halves are needed next: one wait for memory instead of two. What is linked in the order in
 * which it was made lies in order, so what comes much later is guessed. */
static inline void prefetch_chain(const struct heap *heap, uint32_t index, uint32_t child, uint32_t ahead)
{
    uint32_t later = child + ahead * (child - index);
    bits_prefetch(&heap->warm[child]);
    if (later < heap->sb->index_top) {
        bits_prefetch(&heap->hot[later]);
        bits_prefetch(&heap->warm[later]);
    }
}

/* Takes the object at the head out of the queue and frees it; if it is `whole`, with its slots, which are no list. */
static inline void reap_object(struct gc *gc, uint32_t index, bool whole, uint32_t ahead)
{
    struct heap *heap = gc->heap;
    const struct hot *hot = &heap->hot[index];
    uint64_t w0 = hot->w0, slots = whole && w0_ns(w0) != 0 ? heap->warm[index].slots : 0;
    heap->zero_head = hot->in;
    heap->zero_count--;
    if (slots != 0)
        prefetch_chain(heap, index, slots & SLOT_TARGET, ahead);
    if (slots >> 32 != 0 && w0_ns(w0) > 1)
        drop_slot(gc, index, 1, (uint32_t)(slots >> 32));
    drop_slot(gc, index, 0, (uint32_t)slots);
    if (object_free(gc, index, w0))
        index_give(heap, index);
    heap->freed++;
}

unsigned gc_reap(struct gc *gc, unsigned units, unsigned frees)
{
    struct heap *heap = gc->heap;
    uint32_t ahead = frees <= INLINE_MOST ? INLINE_AHEAD : CHAIN_AHEAD;
    unsigned spent = 0;
    while (heap->zero_head != 0 && spent < units && frees > 0) {
        uint32_t index = heap->zero_head, left = heap->hot[index].link;
        unsigned ns = w0_ns(heap->hot[index].w0);
        bool whole = ns < NS_BLOCK && left == ns && ns < units - spent;
        if (left != 0 && !whole) {
            reap_slot(gc, index);
            spent++;
            continue;
        }
        reap_object(gc, index, whole, ahead);
        spent += 1 + left;
        frees--;
    }
    gc->reason = REASON_RELEASE;
    heap->work += spent;
    return spent;
}
