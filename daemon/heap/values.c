/* SPDX-License-Identifier: BSD-3-Clause */
#include "daemon/heap/heap.h"

#include <errno.h>
#include <string.h>

/* 8 ... 128 in steps of 8, then four classes to a doubling. bytes: 1 ... BLOCK_MAX. */
unsigned payload_class(uint64_t bytes)
{
    if (bytes <= PAYLOAD_SMALL)
        return payload_class_small(bytes);
    unsigned log = bits_log2(bytes - 1);
    return 16 + (log - 7) * 4 + ((unsigned)((bytes - 1) >> (log - 2)) & 3);
}

uint32_t payload_pages(uint64_t bytes)
{
    return (uint32_t)((bytes + PAGE_BYTES - 1) / PAGE_BYTES);
}

static uint64_t block_bytes(uint64_t value, bool versioned)
{
    return value_size(value) + (versioned ? 8u : 0u);
}

int value_alloc_any(struct heap *heap, uint64_t size, bool versioned, uint64_t *ret_value)
{
    uint64_t bytes = size + (versioned ? 8u : 0u), offset = 0;
    int err = 0;
    if (bytes > BLOCK_MAX)
        err = blocks_alloc_pages(&heap->payloads, payload_pages(bytes), &offset);
    else if (bytes > 0)
        err = blocks_alloc(&heap->payloads, payload_class(bytes), &offset);
    if (err == 0)
        *ret_value = size << 32 | offset / (bytes > BLOCK_MAX ? PAGE_BYTES : BLOCK_UNIT);
    return err;
}

bool value_spares_give(struct heap *heap)
{
    unsigned given = 0;
    for (unsigned k = 0; k < SPARE_CLASSES; k++) {
        struct spare_blocks *spare = &heap->spare_blocks[k];
        for (; spare->count > 0; given++)
            blocks_free_spare(&heap->payloads, k, (uint64_t)spare->at[--spare->count] * BLOCK_UNIT);
    }
    heap->work += given;
    return given != 0;
}

/* After blocks were given back: whether there may be spare ones may have changed. */
static void settle_spares(struct heap *heap)
{
    bool none = heap->moves_blocks || heap->payloads.aside_left > 0 || blocks_are_sparse(&heap->payloads);
    uint32_t most = none ? 0 : SPARE_BLOCKS;
    if (likely(most == heap->spares_most))
        return;
    heap->spares_most = most;
    if (most == 0)
        (void)value_spares_give(heap);
}

static inline void block_free(struct heap *heap, uint64_t value, bool versioned)
{
    uint64_t bytes = block_bytes(value, versioned), offset = value_offset(bytes, value);
    if (bytes > BLOCK_MAX)
        blocks_free_pages(&heap->payloads, payload_pages(bytes), offset);
    else if (bytes > 0)
        blocks_free(&heap->payloads, payload_class(bytes), offset);
    settle_spares(heap);
}

void value_prefetch_free_any(const struct heap *heap, const struct hot *hot)
{
    uint64_t bytes = value_block_bytes(hot->w0, hot->value);
    if ((hot->w0 & W0_INLINE) == 0 && bytes > 0 && bytes <= BLOCK_MAX)
        blocks_prefetch(&heap->payloads, payload_class(bytes), value_offset(bytes, hot->value));
}

int value_back_any(struct heap *heap, uint64_t value, bool versioned, uint64_t offset, uint64_t size)
{
    uint64_t bytes = block_bytes(value, versioned);
    if (!blocks_is_huge(payload_pages(bytes)))
        return 0;
    return blocks_back(&heap->payloads, value_offset(bytes, value) + offset, size);
}

bool value_backed(const struct heap *heap, uint64_t value, bool versioned, uint64_t *ret_at)
{
    uint64_t bytes = block_bytes(value, versioned), start = value_offset(bytes, value);
    if (!blocks_is_huge(payload_pages(bytes)))
        return true;
    if (blocks_backed(&heap->payloads, start, bytes, ret_at))
        return true;
    *ret_at -= start;
    return false;
}

/* ---- pins: few, only values on their way out ---- */

static struct pin *pins(const struct heap *heap)
{
    return (void *)heap->pins.base;
}

/* The word alone does not tell blocks apart: whether a version stands behind the value decides the unit of its
 * position when the value has just BLOCK_MAX bytes. */
static uint32_t pin_find(const struct heap *heap, uint64_t value, bool versioned)
{
    const struct pin key = {.value = value, .versioned = versioned};
    return heap->pins_count == 0 ? 0 : index_find(&heap->pin_index, bits_mix(value), &key);
}

int value_pin(struct heap *heap, const struct hot *hot, uint64_t *ret_pin)
{
    bool versioned = (hot->w0 & W0_VERSIONED) != 0;
    uint32_t n = pin_find(heap, hot->value, versioned);
    if (n == 0) {
        if (!index_prepare(&heap->pin_index))
            return -ENOMEM;
        n = heap->pins_free;
        if (n != 0)
            heap->pins_free = pins(heap)[n - 1].next;
        else if (reserve_grow(&heap->pins, heap->mem, (heap->pins_used + 1ull) * sizeof(struct pin)))
            n = ++heap->pins_used;
        else
            return -ENOMEM;
        pins(heap)[n - 1] = (struct pin){.value = hot->value, .versioned = versioned};
        index_insert(&heap->pin_index, bits_mix(hot->value), n);
        heap->pins_count++;
    }
    pins(heap)[n - 1].count++;
    *ret_pin = n;
    return 0;
}

void value_unpin(struct heap *heap, uint64_t n)
{
    struct pin *pin = &pins(heap)[n - 1];
    assert(pin->count > 0);
    if (--pin->count > 0)
        return;
    index_remove(&heap->pin_index, bits_mix(pin->value), (uint32_t)n);
    heap->pins_count--;
    if (pin->dead)
        block_free(heap, pin->value, pin->versioned);
    pin->next = heap->pins_free;
    heap->pins_free = (uint32_t)n;
}

void value_free_any(struct heap *heap, uint64_t value, bool versioned)
{
    uint32_t n = pin_find(heap, value, versioned);
    if (n != 0)
        pins(heap)[n - 1].dead = 1;
    else
        block_free(heap, value, versioned);
}

const char *value_spares_check(const struct heap *heap)
{
    for (unsigned k = 0; k < SPARE_CLASSES; k++) {
        const struct spare_blocks *spare = &heap->spare_blocks[k];
        if (spare->count > heap->spares_most)
            return "there are more spare blocks of a class than there may be";
        for (uint32_t n = 0; n < spare->count; n++) {
            if (!blocks_is_allocated(&heap->payloads, k, (uint64_t)spare->at[n] * BLOCK_UNIT))
                return "a spare block is free in its run";
            for (uint32_t other = 0; other < n; other++)
                if (spare->at[other] == spare->at[n])
                    return "a block is spare twice";
        }
    }
    return NULL;
}

bool value_is_spare(const struct heap *heap, uint64_t bytes, uint64_t value)
{
    if (bytes - 1 >= PAYLOAD_SMALL)
        return false;
    const struct spare_blocks *spare = &heap->spare_blocks[payload_class_small(bytes)];
    bool found = false;
    for (uint32_t k = 0; k < spare->count; k++)
        found |= spare->at[k] == (uint32_t)value;
    return found;
}

void value_moves(struct heap *heap, bool begin)
{
    heap->moves_blocks = begin;
    settle_spares(heap);
}

void value_set_aside(struct heap *heap, uint64_t bytes)
{
    blocks_set_aside(&heap->payloads, bytes);
    settle_spares(heap);
}

void value_set_back(struct heap *heap)
{
    blocks_set_back(&heap->payloads);
    settle_spares(heap);
}

void value_free_to_run(struct heap *heap, unsigned class, uint64_t offset)
{
    blocks_free(&heap->payloads, class, offset);
    settle_spares(heap);
}

/* No free block of that size where something may stay. */
static bool lacks_room(const struct heap *heap, uint64_t bytes)
{
    return bytes > BLOCK_MAX ? blocks_lacks_pages(&heap->payloads, payload_pages(bytes))
                             : blocks_lacks_run(&heap->payloads, payload_class(bytes));
}

int value_move(struct heap *heap, struct hot *hot, bool at_once)
{
    bool versioned = (hot->w0 & W0_VERSIONED) != 0;
    uint64_t old = hot->value, bytes = block_bytes(old, versioned), value;
    if (pin_find(heap, old, versioned) != 0)
        return 0;
    if (!at_once && lacks_room(heap, bytes))
        return -EAGAIN;
    if (value_alloc(heap, value_size(old), versioned, &value) != 0)
        return -ENOMEM;
    memcpy(value_at(heap, value, versioned), value_at(heap, old, versioned), bytes);
    region_stored(&heap->values);
    image_store(heap, &hot->value, value);
    image_commit(heap);
    block_free(heap, old, versioned);
    return (int)bytes;
}
