/* SPDX-License-Identifier: BSD-3-Clause */
/* Replay windows as storage; what is recorded in them and when is the pool's business (pool/replay.c). */
#include "daemon/heap/heap.h"

/* Blocks are those of slot lists: 32 bytes, then doubling to 16 KiB. */
static unsigned block_class(uint32_t bytes)
{
    return bytes <= 32 ? 0 : bits_log2(bytes - 1) - 4;
}

int record_block_alloc(struct heap *heap, uint32_t bytes, uint64_t *ret_place)
{
    assert(bytes <= BLOCK_MAX);
    return blocks_alloc(&heap->lists, block_class(bytes), ret_place);
}

void record_block_free(struct heap *heap, uint32_t bytes, uint64_t place)
{
    blocks_free(&heap->lists, block_class(bytes), place);
}

uint64_t *record_block(const struct heap *heap, uint64_t place)
{
    return (void *)(heap->meta.base + heap->sb->blocks_at + place);
}

const uint64_t *record_words(const struct heap *heap, const struct replay_record *record)
{
    return record_block_bytes(record) == 0 ? record->word : record_block(heap, record->word[0]);
}

static const char *check_block(struct heap *heap, const struct replay_record *record,
                               enum slots_check_mode mode)
{
    uint32_t bytes = record_block_bytes(record);
    uint64_t place = record->word[0], size = heap->sb->blocks_bytes;
    if (bytes == 0 || mode == SLOTS_BOUNDS)
        return NULL;
    bool sound = place % BLOCK_UNIT == 0 && place < size && bytes <= size - place;
    if (sound && mode == SLOTS_ADMIT)
        sound = blocks_admit(&heap->lists, place, bytes);
    else if (sound && mode == SLOTS_CLAIM)
        sound = blocks_claim(&heap->lists, block_class(bytes), place);
    else if (sound)
        sound = blocks_is_allocated(&heap->lists, block_class(bytes), place);
    return sound ? NULL : "an answer's block is not its own";
}

static bool has_count(const struct replay_record *record)
{
    switch (record->kind) {
    case REPLAY_BYTES: return record->count >= 1 && record->count <= sizeof record->word;
    case REPLAY_UINTS: return record->count <= BLOCK_MAX / 8;
    case REPLAY_PAIRS: return record->count <= BLOCK_MAX / 16;
    default: return true;
    }
}

const char *window_check(struct heap *heap, struct cell_window *window, enum slots_check_mode mode)
{
    for (uint64_t k = window_first(window); k < window->head; k++) {
        const struct replay_record *record = window_at(window, k);
        if (record->kind == REPLAY_NONE || record->kind >= REPLAY_KINDS)
            return "a recorded answer is of no kind";
        if (!has_count(record))
            return "a recorded answer is too long";
        const char *wrong = check_block(heap, record, mode);
        if (wrong != NULL)
            return wrong;
    }
    return NULL;
}

unsigned window_clear(struct heap *heap, struct cell_window *window)
{
    unsigned blocks = 0;
    for (uint64_t k = window_first(window); k < window->head; k++) {
        const struct replay_record *record = window_at(window, k);
        uint32_t bytes = record_block_bytes(record);
        if (bytes == 0)
            continue;
        record_block_free(heap, bytes, record->word[0]);
        blocks++;
    }
    return blocks;
}
