/* SPDX-License-Identifier: BSD-3-Clause */
/* The list of slots of an object: two inline, then one block whose capacity doubles from 8 to SEGMENT_SLOTS,
 * then segments of that many, named by a directory block. A list never shrinks while its object lives, so the
 * capacity follows from the count and is stored nowhere; no growth ever copies more than 16 KiB. */
#include "daemon/heap/heap.h"

#include <errno.h>
#include <string.h>

#define LIST_MIN 8u

/* warm->slots as a block's word: position 32 (low), number of slots 32. */
static uint64_t list_word(uint64_t offset, uint32_t count)
{
    return (uint64_t)count << 32 | offset / BLOCK_UNIT;
}

static uint32_t *list_at(const struct heap *heap, uint32_t position)
{
    return (void *)(heap->meta.base + heap->sb->blocks_at + (uint64_t)position * BLOCK_UNIT);
}

/* Room of the block that holds `count` numbers. */
static uint32_t list_room(uint32_t count)
{
    return count <= LIST_MIN ? LIST_MIN : (uint32_t)bits_power_up(count);
}

static unsigned list_class(uint32_t room)
{
    return bits_log2(room * 4) - 5;
}

static uint32_t segments_of(uint32_t count)
{
    return (count + SEGMENT_SLOTS - 1) / SEGMENT_SLOTS;
}

static int list_alloc(struct heap *heap, uint32_t room, uint64_t *ret_offset)
{
    return blocks_alloc(&heap->lists, list_class(room), ret_offset);
}

static void list_free(struct heap *heap, uint32_t room, uint64_t offset)
{
    blocks_free(&heap->lists, list_class(room), offset);
}

uint32_t *slots_at_list(const struct heap *heap, uint32_t index, uint32_t slot)
{
    uint32_t *list = list_at(heap, (uint32_t)heap->warm[index].slots);
    if (w0_ns(heap->hot[index].w0) == NS_BLOCK)
        return list + slot;
    return list_at(heap, list[slot / SEGMENT_SLOTS]) + slot % SEGMENT_SLOTS;
}

void slots_bring_near(const struct heap *heap, uint32_t index)
{
    if (w0_ns(heap->hot[index].w0) >= NS_BLOCK)
        bits_prefetch(list_at(heap, (uint32_t)heap->warm[index].slots));
}

/* ---- making ---- */

static int prepare_segments(struct heap *heap, struct warm *warm, const uint32_t *targets, uint32_t count)
{
    uint32_t segments = segments_of(count), made = 0;
    uint64_t directory, offset;
    if (list_alloc(heap, list_room(segments), &directory) != 0)
        return -ENOMEM;
    uint32_t *list = list_at(heap, (uint32_t)(directory / BLOCK_UNIT));
    for (; made < segments; made++) {
        if (list_alloc(heap, SEGMENT_SLOTS, &offset) != 0)
            break;
        uint32_t from = made * SEGMENT_SLOTS,
                 part = count - from < SEGMENT_SLOTS ? count - from : SEGMENT_SLOTS;
        list[made] = (uint32_t)(offset / BLOCK_UNIT);
        memcpy(list_at(heap, list[made]), targets + from, part * 4ull);
    }
    if (made == segments) {
        image_prepare(heap, &warm->slots, list_word(directory, count));
        return 0;
    }
    while (made-- > 0)
        list_free(heap, SEGMENT_SLOTS, (uint64_t)list[made] * BLOCK_UNIT);
    list_free(heap, list_room(segments), directory);
    return -ENOMEM;
}

int slots_prepare_list(struct heap *heap, uint32_t index, const uint32_t *targets, uint32_t count,
                       uint64_t *ret_ns)
{
    struct warm *warm = &heap->warm[index];
    uint64_t offset;
    if (count > SEGMENT_SLOTS) {
        *ret_ns = (uint64_t)NS_SEGMENTS << W0_NS_SHIFT;
        return prepare_segments(heap, warm, targets, count);
    }
    if (list_alloc(heap, list_room(count), &offset) != 0)
        return -ENOMEM;
    memcpy(list_at(heap, (uint32_t)(offset / BLOCK_UNIT)), targets, count * 4ull);
    image_prepare(heap, &warm->slots, list_word(offset, count));
    *ret_ns = (uint64_t)NS_BLOCK << W0_NS_SHIFT;
    return 0;
}

/* ---- changing ---- */

/* Stores half of an aligned word. */
static void store_half(struct heap *heap, uint32_t *at, uint32_t value)
{
    uintptr_t address = (uintptr_t)at;
    uint64_t *word = (void *)(address & ~(uintptr_t)7);
    unsigned shift = (address & 4) != 0 ? 32 : 0;
    image_store(heap, word, (*word & ~(0xffffffffull << shift)) | (uint64_t)value << shift);
}

static void store_w0_ns(struct heap *heap, uint32_t index, uint64_t ns)
{
    uint64_t *w0 = &heap->hot[index].w0;
    image_store(heap, w0, (*w0 & ~W0_NS) | ns << W0_NS_SHIFT);
}

static void remember(struct slots_old *old, uint64_t offset, uint32_t room)
{
    old->offset[old->count] = offset;
    old->room[old->count++] = room;
}

/* 2 -> 3 slots: from the entry into the first block. */
static int append_to_inline(struct heap *heap, uint32_t index, uint32_t target)
{
    uint32_t count = slots_count(heap, index);
    if (count < 2) {
        /* beyond the count nobody looks: preparation; w0 then admits it */
        uint32_t *at = slots_at(heap, index, count);
        *at = target;
        region_stored(&heap->meta);
        store_w0_ns(heap, index, count + 1);
        return 0;
    }
    uint64_t offset;
    if (list_alloc(heap, LIST_MIN, &offset) != 0)
        return -ENOMEM;
    uint32_t *list = list_at(heap, (uint32_t)(offset / BLOCK_UNIT));
    list[0] = (uint32_t)heap->warm[index].slots;
    list[1] = (uint32_t)(heap->warm[index].slots >> 32);
    list[2] = target;
    image_store(heap, &heap->warm[index].slots, list_word(offset, 3));
    store_w0_ns(heap, index, NS_BLOCK);
    return 0;
}

/* A full block becomes the first segment, or moves into one twice its size. */
static int append_to_full_block(struct heap *heap, uint32_t index, uint32_t target, struct slots_old *old)
{
    uint64_t word = heap->warm[index].slots, offset, segment;
    uint32_t count = (uint32_t)(word >> 32);
    if (count < SEGMENT_SLOTS) {
        if (list_alloc(heap, count * 2, &offset) != 0)
            return -ENOMEM;
        uint32_t *list = list_at(heap, (uint32_t)(offset / BLOCK_UNIT));
        memcpy(list, list_at(heap, (uint32_t)word), count * 4ull);
        list[count] = target;
        remember(old, (uint64_t)(uint32_t)word * BLOCK_UNIT, count);
        image_store(heap, &heap->warm[index].slots, list_word(offset, count + 1));
        return 0;
    }
    if (list_alloc(heap, LIST_MIN, &offset) != 0)
        return -ENOMEM;
    if (list_alloc(heap, SEGMENT_SLOTS, &segment) != 0) {
        list_free(heap, LIST_MIN, offset);
        return -ENOMEM;
    }
    uint32_t *directory = list_at(heap, (uint32_t)(offset / BLOCK_UNIT));
    directory[0] = (uint32_t)word;
    directory[1] = (uint32_t)(segment / BLOCK_UNIT);
    *list_at(heap, directory[1]) = target;
    image_store(heap, &heap->warm[index].slots, list_word(offset, count + 1));
    store_w0_ns(heap, index, NS_SEGMENTS);
    return 0;
}

/* All segments are full: one more, and a directory twice as large when that is full too. */
static int append_segment(struct heap *heap, uint32_t index, uint32_t target, struct slots_old *old)
{
    uint64_t word = heap->warm[index].slots, offset, segment;
    uint32_t count = (uint32_t)(word >> 32), segments = count / SEGMENT_SLOTS;
    uint32_t *directory = list_at(heap, (uint32_t)word);
    if (list_alloc(heap, SEGMENT_SLOTS, &segment) != 0)
        return -ENOMEM;
    offset = (uint64_t)(uint32_t)word * BLOCK_UNIT;
    if (segments == list_room(segments)) {
        if (list_alloc(heap, segments * 2, &offset) != 0) {
            list_free(heap, SEGMENT_SLOTS, segment);
            return -ENOMEM;
        }
        uint32_t *moved = list_at(heap, (uint32_t)(offset / BLOCK_UNIT));
        memcpy(moved, directory, segments * 4ull);
        remember(old, (uint64_t)(uint32_t)word * BLOCK_UNIT, segments);
        directory = moved;
    }
    directory[segments] = (uint32_t)(segment / BLOCK_UNIT);
    *list_at(heap, directory[segments]) = target;
    image_store(heap, &heap->warm[index].slots, list_word(offset, count + 1));
    return 0;
}

int slots_store(struct heap *heap, uint32_t index, uint32_t slot, uint32_t target, struct slots_old *old)
{
    uint32_t count = slots_count(heap, index);
    unsigned ns = w0_ns(heap->hot[index].w0);
    old->count = 0;
    if (slot < count) {
        store_half(heap, slots_at(heap, index, slot), target);
        return 0;
    }
    if (ns < NS_BLOCK)
        return append_to_inline(heap, index, target);
    if (ns == NS_BLOCK && count == list_room(count))
        return append_to_full_block(heap, index, target, old);
    if (ns == NS_SEGMENTS && count % SEGMENT_SLOTS == 0)
        return append_segment(heap, index, target, old);
    *slots_at(heap, index, count) = target; /* beyond the count: preparation */
    region_stored(&heap->meta);
    uint64_t *word = &heap->warm[index].slots;
    image_store(heap, word, *word + (1ull << 32));
    return 0;
}

void slots_old_free(struct heap *heap, const struct slots_old *old)
{
    for (unsigned k = 0; k < old->count; k++)
        list_free(heap, old->room[k], old->offset[k]);
}

/* ---- moving ---- */

/* Another place for one block of `bytes` in use, when it is where nothing is to stay. 1: *ret is a copy. 0; -ENOMEM;
 * -EAGAIN. */
static int move_list(struct heap *heap, uint32_t position, uint32_t room, uint32_t bytes, bool at_once,
                     uint32_t *ret)
{
    uint64_t offset;
    if (!blocks_is_leaving(&heap->lists, (uint64_t)position * BLOCK_UNIT))
        return 0;
    if (!at_once && blocks_lacks_run(&heap->lists, list_class(room)))
        return -EAGAIN;
    if (list_alloc(heap, room, &offset) != 0)
        return -ENOMEM;
    *ret = (uint32_t)(offset / BLOCK_UNIT);
    memcpy(list_at(heap, *ret), list_at(heap, position), bytes);
    region_stored(&heap->meta);
    return 1;
}

/* The block that the entry names: the list, or its directory. */
static int move_first(struct heap *heap, uint32_t index, uint32_t count, bool at_once)
{
    uint64_t *word = &heap->warm[index].slots;
    uint32_t from = (uint32_t)*word, room = list_room(count), to;
    int moved = move_list(heap, from, room, count * 4, at_once, &to);
    if (moved <= 0)
        return moved;
    image_store(heap, word, (*word & ~0xffffffffull) | to);
    image_commit(heap);
    list_free(heap, room, (uint64_t)from * BLOCK_UNIT);
    return (int)count * 4;
}

static int move_segment(struct heap *heap, uint32_t index, uint32_t segment, bool at_once)
{
    uint32_t *at = list_at(heap, (uint32_t)heap->warm[index].slots) + segment;
    uint32_t from = *at, bytes = SEGMENT_SLOTS * 4, to;
    int moved = move_list(heap, from, SEGMENT_SLOTS, bytes, at_once, &to);
    if (moved <= 0)
        return moved;
    store_half(heap, at, to);
    image_commit(heap);
    list_free(heap, SEGMENT_SLOTS, (uint64_t)from * BLOCK_UNIT);
    return (int)bytes;
}

int slots_move(struct heap *heap, uint32_t index, uint32_t *part, bool at_once)
{
    uint32_t count = slots_count(heap, index), n = *part;
    bool in_segments = w0_ns(heap->hot[index].w0) == NS_SEGMENTS;
    uint32_t parts = in_segments ? 1 + segments_of(count) : 1;
    if (n >= parts) /* it is another object by now */
        n = 0;
    int moved = n > 0 ? move_segment(heap, index, n - 1, at_once)
                      : move_first(heap, index, in_segments ? segments_of(count) : count, at_once);
    if (moved != -EAGAIN)
        *part = n + 1 < parts ? n + 1 : 0;
    return moved;
}

/* ---- unmaking: nobody can reach these entries; `link`, of no other use to the dead, counts down ---- */

void slots_unmake(struct heap *heap, uint32_t index)
{
    heap->hot[index].link = slots_count(heap, index);
}

uint32_t slots_pop(struct heap *heap, uint32_t index)
{
    struct hot *hot = &heap->hot[index];
    uint32_t slot = --hot->link, edge = slots_edge(heap, index, slot);
    if (w0_ns(hot->w0) == NS_SEGMENTS && slot % SEGMENT_SLOTS == 0) {
        const uint32_t *directory = list_at(heap, (uint32_t)heap->warm[index].slots);
        list_free(heap, SEGMENT_SLOTS, (uint64_t)directory[slot / SEGMENT_SLOTS] * BLOCK_UNIT);
    }
    return edge;
}

void slots_free(struct heap *heap, uint32_t index)
{
    unsigned ns = w0_ns(heap->hot[index].w0);
    uint32_t count = slots_count(heap, index);
    assert(heap->hot[index].link == 0);
    if (ns < NS_BLOCK)
        return;
    uint32_t room = list_room(ns == NS_BLOCK ? count : segments_of(count));
    list_free(heap, room, (uint64_t)(uint32_t)heap->warm[index].slots * BLOCK_UNIT);
}

/* ---- checking ---- */

static bool check_list(struct heap *heap, uint32_t position, uint32_t room, enum slots_check_mode mode)
{
    uint64_t offset = (uint64_t)position * BLOCK_UNIT;
    if (mode == SLOTS_CLAIM)
        return blocks_claim(&heap->lists, list_class(room), offset);
    if (mode == SLOTS_ALLOCATED)
        return blocks_is_allocated(&heap->lists, list_class(room), offset);
    if (mode == SLOTS_ADMIT)
        return blocks_admit(&heap->lists, offset, room * 4ull);
    return offset + room * 4ull <= (uint64_t)heap->lists.arenas_top * ARENA_BYTES &&
           offset + room * 4ull <= heap->lists.claim_end;
}

const char *slots_check(struct heap *heap, uint32_t index, enum slots_check_mode mode)
{
    unsigned ns = w0_ns(heap->hot[index].w0);
    uint64_t word = heap->warm[index].slots;
    uint32_t count = slots_count(heap, index);
    if (ns < NS_BLOCK)
        return NULL;
    if (ns == NS_BLOCK) {
        if (count < 3 || count > SEGMENT_SLOTS)
            return "its number of slots does not fit a block";
        return check_list(heap, (uint32_t)word, list_room(count), mode) ? NULL
                                                                        : "its block of slots is not its own";
    }
    if (ns != NS_SEGMENTS || count <= SEGMENT_SLOTS || count > SEGMENT_SLOTS * SEGMENT_SLOTS)
        return "its number of slots does not fit segments";
    uint32_t segments = segments_of(count);
    if (!check_list(heap, (uint32_t)word, list_room(segments), mode))
        return "its directory of slots is not its own";
    for (uint32_t k = 0; k < segments; k++)
        if (!check_list(heap, list_at(heap, (uint32_t)word)[k], SEGMENT_SLOTS, mode))
            return "a segment of its slots is not its own";
    return NULL;
}
