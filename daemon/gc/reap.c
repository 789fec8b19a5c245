/* SPDX-License-Identifier: BSD-3-Clause */
/* Death by count and the reaper. No recursion: a chain of ten million is a queue that is never longer than the objects
 * that died and are not yet freed.
 *
 * Nothing here is logged in the undo log: what is dead cannot be reached, and freeing is one store (generation + 1,
 * FREE) after which the id can never be valid again. */
#include "daemon/gc/internal.h"

void gc_unresolved(struct gc *gc, uint32_t index)
{
    if (gc->unresolved++ == 0)
        gc->unresolved_since_ms = gc->now_ms;
    gc->unresolved_bytes += value_size(gc->heap->hot[index].value);
}

/* Only slots keep it. If they make a cycle with its own, nobody would ever free it. */
static void suspect(struct gc *gc, uint32_t index)
{
    if (w0_ns(gc->heap->hot[index].w0) != 0 && heap_may_have_cycles(gc->heap))
        young_suspect(gc, index);
}

void gc_first_slot(struct gc *gc, uint32_t index)
{
    if (!is_held_outside(&gc->heap->hot[index]))
        suspect(gc, index);
}

void gc_dropped(struct gc *gc, uint32_t index)
{
    const struct hot *hot = &gc->heap->hot[index];
    if (w0_state(hot->w0) != W0_ALIVE)
        return;
    if (hot->in != 0)
        suspect(gc, index);
    else
        object_lost(gc, index);
}

void object_lost(struct gc *gc, uint32_t index)
{
    const struct hot *hot = &gc->heap->hot[index];
    if (unlikely(gc_is_guarded(gc, index))) {
        if (!gc->owner.deliver(gc->owner.arg, index) && !freeset_has(&gc->waiting, index))
            freeset_add(&gc->waiting, index);
        if (gc_is_guarded(gc, index) || is_held_outside(hot))
            return;
    }
    object_dies(gc, index);
    zero_add(gc->heap, index);
}

void object_free(struct gc *gc, uint32_t index, bool later)
{
    struct heap *heap = gc->heap;
    struct hot *hot = &heap->hot[index];
    uint64_t w0 = hot->w0;
    gc->owner.freed(gc->owner.arg, index);
    if ((w0 & W0_INLINE) == 0)
        value_free(heap, hot->value, (w0 & W0_VERSIONED) != 0);
    slots_free(heap, index);
    object_ends(gc, index, w0, later);
}

unsigned gc_reap(struct gc *gc, unsigned units, unsigned frees)
{
    struct heap *heap = gc->heap;
    unsigned spent = 0;
    while (heap->zero_head != 0 && spent < units && frees > 0) {
        uint32_t index = heap->zero_head;
        struct hot *hot = &heap->hot[index];
        spent++;
        if (hot->link != 0) {
            uint32_t edge = slots_pop(heap, index);
            if (edge != 0) {
                /* the queue goes on with the parent first: children wait below it */
                heap->zero_head = hot->in;
                in_drop(heap, index, hot->link, edge);
                gc->reason = w0_reason(hot->w0);
                gc_drop(gc, edge & SLOT_TARGET);
                hot->in = heap->zero_head;
                heap->zero_head = index;
            }
            continue;
        }
        heap->zero_head = hot->in;
        heap->zero_count--;
        object_free(gc, index, false);
        heap->freed++;
        frees--;
    }
    gc->reason = REASON_RELEASE;
    heap->work += spent;
    return spent;
}
