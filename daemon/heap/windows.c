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

/* ---- runs ---- */

static bool put_number(uint8_t *bytes, uint32_t *at, uint64_t number)
{
    for (; *at < RUNS_BYTES; number >>= 7) {
        bytes[(*at)++] = (uint8_t)(number < 128 ? number : number | 128);
        if (number < 128)
            return true;
    }
    return false;
}

static bool get_number(const uint8_t *bytes, uint32_t *at, uint64_t *ret)
{
    *ret = 0;
    for (unsigned shift = 0; *at < RUNS_BYTES && shift < 63; shift += 7) {
        uint8_t byte = bytes[(*at)++];
        *ret |= (uint64_t)(byte & 127) << shift;
        if (byte < 128)
            return true;
    }
    return false;
}

bool runs_pack(const uint64_t *numbers, uint32_t count, uint64_t ret[RUNS_BYTES / 8])
{
    uint8_t *bytes = (void *)ret;
    uint32_t at = 0;
    ret[0] = ret[1] = 0;
    for (uint32_t k = 0, end; k < count; k = end) {
        for (end = k + 1; end < count && numbers[end] == numbers[k];)
            end++;
        if (!put_number(bytes, &at, end - k) || !put_number(bytes, &at, numbers[k]))
            return false;
    }
    return true;
}

uint64_t runs_next(const uint64_t words[RUNS_BYTES / 8], uint32_t *at, uint64_t *ret_number)
{
    const uint8_t *bytes = (const void *)words;
    uint64_t length;
    return get_number(bytes, at, &length) && get_number(bytes, at, ret_number) ? length : 0;
}

static bool has_runs(const struct replay_record *record)
{
    uint64_t left = record->count, length, number;
    uint32_t at = 0;
    for (; left > 0; left -= length) {
        length = runs_next(record->word, &at, &number);
        if (length == 0 || length > left)
            return false;
    }
    return true;
}

/* ---- windows ---- */

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
    case REPLAY_RUNS: return has_runs(record);
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
