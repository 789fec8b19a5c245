/* SPDX-License-Identifier: BSD-3-Clause */
/* The invariants of gc.h, of one object at one moment. */
#include "daemon/gc/internal.h"

#define CHECK_SLOTS 64u   /* of a long list only so many are looked at */
#define CHECK_STACK 4096u /* a longer stack is not searched: then nothing is said */

static bool is_on(const uint32_t *stack, uint32_t count, uint32_t index)
{
    for (uint32_t k = 0; k < count; k++)
        if (stack[k] == index)
            return true;
    return false;
}

/* Whether the slot of a marked object will still be seen. */
static bool will_be_scanned(const struct gc *gc, uint32_t index, uint32_t slot)
{
    if (gc->stack_count > CHECK_STACK || (gc->lazy && index >= gc->frontier))
        return true;
    if (gc->scan == index && slot >= gc->scan_slot)
        return true;
    for (uint32_t k = 0; k < gc->ring_count; k++)
        if (gc->ring[(gc->ring_head + k) % GC_RING] == index)
            return true;
    return is_on((const uint32_t *)(const void *)gc->stack.base, gc->stack_count, index);
}

static const char *check_marked(const struct gc *gc, uint32_t index)
{
    const struct heap *heap = gc->heap;
    uint32_t count = slots_count(heap, index);
    count = count < CHECK_SLOTS ? count : CHECK_SLOTS;
    for (uint32_t slot = 0; slot < count; slot++) {
        uint32_t target = slots_get(heap, index, slot);
        if (target == 0 || heap_is_marked(heap, target))
            continue;
        if (heap->collecting == COLLECT_SWEEP)
            return "a slot leads from a reachable object to a condemned one";
        if (!will_be_scanned(gc, index, slot))
            return "a slot leads from a black object to one that is not marked";
    }
    return NULL;
}

const char *gc_check(const struct gc *gc, uint32_t index)
{
    const struct heap *heap = gc->heap;
    if (heap->collecting == COLLECT_NONE)
        return NULL;
    if (heap_is_marked(heap, index))
        return check_marked(gc, index);
    if (heap->collecting != COLLECT_MARK)
        return NULL;
    return index < gc->frontier && is_held_outside(&heap->hot[index])
               ? "it is held from outside, but not marked"
               : NULL;
}
