/* SPDX-License-Identifier: BSD-3-Clause */
#include "daemon/gc/reap.h"

void reap_check(struct heap *heap, uint32_t index)
{
    struct hot *hot = &heap->hot[index];
    if (hot->in != 0 || is_held_outside(hot) || w0_state(hot->w0) != W0_ALIVE)
        return;
    hot->w0 = (hot->w0 & ~W0_STATE) | W0_ZERO;
    slots_unmake(heap, index);
    hot->in = heap->zero_head;
    heap->zero_head = index;
    heap->zero_count++;
    heap->alive--;
    heap->open -= (hot->w0 & W0_OPEN) != 0;
    heap->value_bytes -= value_size(hot->value);
}

/* All its slots are dropped: gives its memory back and ends its generation. */
static void free_object(struct heap *heap, uint32_t index, reap_freed *freed, void *owner)
{
    struct hot *hot = &heap->hot[index];
    uint64_t w0 = hot->w0;
    freed(owner, index);
    if ((w0 & W0_INLINE) == 0)
        value_free(heap, hot->value, (w0 & W0_VERSIONED) != 0);
    slots_free(heap, index);
    hot->in = 0;
    image_set(heap, &hot->w0, (w0_gen(w0) + 1) | W0_FREE);
    if (w0_gen(w0) + 1 == W0_GEN_LAST)
        heap->retired++;
    else
        index_give(heap, index);
    heap->freed++;
}

unsigned reap_step(struct heap *heap, unsigned units, unsigned frees, reap_freed *freed, void *owner)
{
    unsigned spent = 0;
    while (heap->zero_head != 0 && spent < units && frees > 0) {
        uint32_t index = heap->zero_head;
        struct hot *hot = &heap->hot[index];
        spent++;
        if (hot->link != 0) {
            uint32_t target = slots_pop(heap, index);
            if (target != 0) {
                /* the queue goes on with the parent first: children wait below it */
                heap->zero_head = hot->in;
                in_drop(heap, index, hot->link, target);
                reap_check(heap, target);
                hot->in = heap->zero_head;
                heap->zero_head = index;
            }
            continue;
        }
        heap->zero_head = hot->in;
        heap->zero_count--;
        free_object(heap, index, freed, owner);
        frees--;
    }
    heap->work += spent;
    return spent;
}
