/* SPDX-License-Identifier: BSD-3-Clause */
/* Marking: the grey objects, and the search for roots.
 *
 * Grey objects come off the stack through a ring: each is prefetched when it enters and scanned GC_RING objects later.
 * What changes meanwhile does no harm: an object that died is skipped, one that took its index is black and scanned
 * once more than needed. */
#include "daemon/gc/internal.h"

#define STACK_PIECE 65536u /* bytes by which the stack grows */

static uint64_t *marks(const struct gc *gc)
{
    return (void *)gc->heap->marks.base;
}

/* ---- becoming grey ---- */

static bool stack_grow(struct gc *gc)
{
    if (!reserve_grow(&gc->stack, gc->heap->mem, gc->stack.charged + STACK_PIECE))
        return false;
    gc->stack_room = (uint32_t)(gc->stack.charged / sizeof(uint32_t));
    return true;
}

/* Marks it; grey if it was not marked before. */
static inline void shade(struct gc *gc, uint32_t index)
{
    uint64_t *word = &marks(gc)[index / 64], bit = 1ull << (index % 64);
    if ((*word & bit) != 0)
        return;
    *word |= bit;
    if (unlikely(gc->stack_count == gc->stack_room) && !stack_grow(gc)) {
        gc->again = index < gc->again ? index : gc->again;
        return;
    }
    ((uint32_t *)(void *)gc->stack.base)[gc->stack_count++] = index;
}

void gc_shade(struct gc *gc, uint32_t index)
{
    shade(gc, index);
}

/* ---- scanning ---- */

/* The next grey object of stack and ring; 0: there is none. */
static inline uint32_t take_grey(struct gc *gc)
{
    const struct heap *heap = gc->heap;
    while (gc->stack_count > 0 && gc->ring_count < GC_RING) {
        uint32_t index = ((const uint32_t *)(const void *)gc->stack.base)[--gc->stack_count];
        bits_prefetch(&heap->hot[index]);
        bits_prefetch(&heap->warm[index]);
        gc->ring[(gc->ring_head + gc->ring_count++) % GC_RING] = index;
    }
    if (gc->ring_count == 0)
        return 0;
    uint32_t index = gc->ring[gc->ring_head];
    gc->ring_head = (gc->ring_head + 1) % GC_RING;
    gc->ring_count--;
    return index;
}

/* All of a small object; of one with a list only its beginning, which leaves it in gc->scan. */
static inline unsigned scan_object(struct gc *gc, uint32_t index)
{
    const struct heap *heap = gc->heap;
    uint64_t w0 = heap->hot[index].w0;
    if (w0_state(w0) != W0_ALIVE)
        return 1;
    unsigned ns = w0_ns(w0);
    if (ns >= NS_BLOCK) {
        gc->scan = index;
        gc->scan_slot = 0;
        return 1;
    }
    uint64_t slots = heap->warm[index].slots;
    uint32_t first = (uint32_t)slots & SLOT_TARGET, second = (uint32_t)(slots >> 32) & SLOT_TARGET;
    if (ns > 0 && first != 0)
        shade(gc, first);
    if (ns > 1 && second != 0)
        shade(gc, second);
    return 1 + ns;
}

/* Goes on with the list of gc->scan, whatever has become of it: what was linked into slots that were passed has been
 * shaded, and so have those that moved nowhere (a slot keeps its number when a list grows). */
static unsigned scan_list(struct gc *gc, unsigned units)
{
    const struct heap *heap = gc->heap;
    uint32_t index = gc->scan, count;
    if (w0_state(heap->hot[index].w0) != W0_ALIVE || gc->scan_slot >= slots_count(heap, index)) {
        gc->scan = 0;
        return 1;
    }
    const uint32_t *slot = slots_span(heap, index, gc->scan_slot, &count);
    count = count < units ? count : units;
    for (uint32_t k = 0; k < count; k++)
        if (slot[k] != 0)
            shade(gc, slot[k] & SLOT_TARGET);
    gc->scan_slot += count;
    return count;
}

/* The stack had no room for some objects: all that is marked, from the lowest of them on, is scanned again. */
static unsigned scan_again(struct gc *gc)
{
    if (gc->again_cursor == GC_NONE) {
        gc->again_cursor = gc->again;
        gc->again = GC_NONE;
    }
    uint32_t at = gc->again_cursor;
    uint64_t word = at < gc->heap->sb->index_top ? marks(gc)[at / 64] >> (at % 64) : 0;
    if (word == 0) {
        at = (at / 64 + 1) * 64;
        gc->again_cursor = at < gc->heap->sb->index_top ? at : GC_NONE;
        return 1;
    }
    uint32_t index = at + bits_lowest(word);
    gc->again_cursor = index + 1;
    return scan_object(gc, index);
}

unsigned mark_grey(struct gc *gc, unsigned units)
{
    unsigned spent = 0;
    while (spent < units) {
        uint32_t index;
        if (unlikely(gc->scan != 0))
            spent += scan_list(gc, units - spent);
        else if ((index = take_grey(gc)) != 0)
            spent += scan_object(gc, index);
        else if (unlikely(gc->again != GC_NONE || gc->again_cursor != GC_NONE))
            spent += scan_again(gc);
        else
            return spent;
    }
    return spent;
}

/* ---- roots ---- */

uint32_t next_unmarked(struct gc *gc)
{
    uint32_t at = gc->cursor;
    const uint64_t *free = (const void *)gc->heap->free_index.level[0].base;
    uint64_t word = ~(marks(gc)[at / 64] | free[at / 64]) >> (at % 64);
    uint32_t index = word == 0 ? GC_NONE : at + bits_lowest(word);
    if (index >= gc->top) {
        gc->cursor = index == GC_NONE ? (at / 64 + 1) * 64 : gc->top;
        return GC_NONE;
    }
    gc->cursor = index + 1;
    return index;
}

unsigned mark_roots(struct gc *gc, unsigned units)
{
    unsigned spent = 0;
    while (spent < units && gc->cursor < gc->top && gc->stack_count < GC_RING) {
        uint32_t index = next_unmarked(gc);
        spent++;
        if (index == GC_NONE)
            continue;
        const struct hot *hot = &gc->heap->hot[index];
        if (w0_state(hot->w0) == W0_ALIVE && is_held_outside(hot))
            shade(gc, index);
    }
    return spent;
}
