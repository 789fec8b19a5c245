/* SPDX-License-Identifier: BSD-3-Clause */
#include "daemon/heap/heap.h"

/* Names come in classes of 8 bytes while they are short: a 12-byte name must fit 24 bytes. */
static const uint16_t bytes_of[] = {
    [CELL_NONE] = 0,
    [CELL_HOLD] = 32,
    [CELL_TICKET] = 40,
    [CELL_ANON] = 24,
    [CELL_SESSION] = 304,
    [CELL_LABEL] = 64,
    [CELL_LABEL_WIDE] = 520,
    [CELL_NOTICE] = 32,
    [CELL_NAME] = 16,
    24,
    32,
    40,
    48,
    56,
    64,
    80,
    96,
    128,
    160,
    192,
    232,
    272,
    [CELL_WINDOW] = sizeof(struct cell_window),
};
#define CELL_TYPES (sizeof bytes_of / sizeof bytes_of[0])

static_assert(sizeof(struct cell_hold) == 32 && sizeof(struct cell_ticket) == 40, "cells as in the table");
static_assert(sizeof(struct cell_notice) == 32, "cells as in the table");
static_assert(sizeof(struct cell_anon) == 24 && sizeof(struct cell_session) == 304, "cells as in the table");
static_assert(sizeof bytes_of / sizeof bytes_of[0] == CELL_WINDOW + 1, "windows behind the classes of names");
static_assert(CELL_NAME_HEAD == offsetof(struct cell_name, bytes), "no padding before the name");

uint32_t cell_bytes(unsigned type)
{
    return type < CELL_TYPES ? bytes_of[type] : 0;
}

unsigned cell_name_type(uint32_t size)
{
    unsigned type = CELL_NAME;
    while (bytes_of[type] < CELL_NAME_HEAD + size)
        type++;
    return type;
}

uint32_t cell_alloc(struct heap *heap, unsigned type)
{
    uint64_t offset;
    if (blocks_alloc(&heap->cells, type - 1, &offset) != 0)
        return 0;
    if (offset != 0)
        return (uint32_t)(offset / CELL_UNIT);
    /* ref 0 means none: the very first cell of the area stays allocated for ever, unused */
    if (blocks_alloc(&heap->cells, type - 1, &offset) != 0) {
        blocks_free(&heap->cells, type - 1, 0);
        return 0;
    }
    return (uint32_t)(offset / CELL_UNIT);
}

void cell_free(struct heap *heap, uint32_t ref)
{
    blocks_free(&heap->cells, cell_type(heap, ref) - 1, (uint64_t)ref * CELL_UNIT);
}
