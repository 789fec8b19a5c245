/* SPDX-License-Identifier: BSD-3-Clause */
/* Memory of blocks by their size: for each class, and for what is not cut into blocks. Read off counters that blocks.c
 * keeps, so it costs the same however much there is. */
#ifndef HEAP_SIZES_H
#define HEAP_SIZES_H

#include <stdint.h>

#define BLOCK_CLASSES_MAX 48u

struct blocks;

enum {
    SIZE_PAGES = BLOCK_CLASSES_MAX, /* values of whole pages, fewer than an arena has */
    SIZE_HUGE,                      /* values of whole arenas, and arenas that wait for being given back */
    SIZE_UNCUT,                     /* the rest of arenas, which is no value's and no run's */
    SIZES
};

struct size_sum {
    uint64_t size;              /* bytes of a block; 0: not a class, or none */
    uint64_t blocks, used;      /* of classes: blocks there are, and those in use */
    uint64_t bytes, used_bytes; /* backed, and in use */
};

/* Adds to them. The sum of `bytes` is what is backed, that of `used_bytes` what is allocated, but for the part of huge
 * values that is charged and not backed yet. */
void blocks_sizes(const struct blocks *blocks, struct size_sum sums[SIZES]);

#endif
