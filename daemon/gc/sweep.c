/* SPDX-License-Identifier: BSD-3-Clause */
/* The sweep: frees what was not marked, in order of index.
 *
 * Nobody can name a condemned object any more, and only condemned ones have slots on it. So a slot between two of
 * them is simply forgotten: the other one dies too, its count no longer matters. A freed index goes into quarantine
 * until the sweep is over, else a new object could take it and lose its count to a condemned neighbour that is not
 * swept yet. */
#include "daemon/gc/internal.h"

#define VALUE_UNIT (4u << 20) /* bytes of a value that cost a unit to free */

/* Drops the last slot of the object in gc->scan. */
static void drop_slot(struct gc *gc)
{
    struct heap *heap = gc->heap;
    uint32_t index = gc->scan, edge = slots_pop(heap, index), target = edge & SLOT_TARGET;
    if (edge == 0)
        return;
    if (!heap_is_marked(heap, target)) {
        count_slot(heap, index, edge, UINT64_MAX);
        return;
    }
    in_drop(heap, index, heap->hot[index].link, edge);
    const struct hot *hot = &heap->hot[target];
    if (hot->in == 0 && !is_held_outside(hot))
        object_lost(gc, target);
    /* no suspect: what was marked and is garbage now was reachable after marking began, and became a suspect when that
     * ended */
}

/* Begins with a condemned object. False: it is none. */
static bool condemn(struct gc *gc, uint32_t index)
{
    struct heap *heap = gc->heap;
    const struct hot *hot = &heap->hot[index];
    if (w0_state(hot->w0) != W0_ALIVE)
        return false;
    gc->running.unreachable++;
    gc->running.bytes += value_size(hot->value);
    if (heap->audit != NULL)
        heap->audit[index] = 0;
    object_dies(gc, index);
    gc->scan = index;
    return true;
}

unsigned sweep_condemned(struct gc *gc, unsigned units)
{
    const struct heap *heap = gc->heap;
    unsigned spent = 0;
    while (spent < units && (gc->scan != 0 || gc->cursor < gc->top)) {
        spent++;
        if (gc->scan == 0) {
            uint32_t index = next_unmarked(gc);
            if (index == GC_NONE || !condemn(gc, index))
                continue;
        }
        const struct hot *hot = &heap->hot[gc->scan];
        for (; hot->link > 0 && spent < units; spent++)
            drop_slot(gc);
        if (hot->link > 0)
            return spent;
        spent += value_size(hot->value) / VALUE_UNIT;
        object_free(gc, gc->scan, true);
        gc->running.collected++;
        gc->scan = 0;
    }
    return spent;
}

unsigned sweep_merge(struct gc *gc, unsigned units)
{
    unsigned spent = 0;
    for (; spent < units && gc->cursor < gc->top; spent++) {
        quarantine_end(gc->heap, gc->cursor);
        gc->cursor += 64;
    }
    return spent;
}
