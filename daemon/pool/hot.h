/* SPDX-License-Identifier: BSD-3-Clause */
/* The hot path of a pool, inline for the request loop: warming caches for a batch, and
 * the plain get. Prefetching decides nothing: the requests are checked anew when they are executed. */
#ifndef POOL_HOT_H
#define POOL_HOT_H

#include "daemon/pool/internal.h"

/* Pass 1: the entry of an id. */
static inline void pool_prefetch(const struct pool *pool, uint64_t id)
{
    if (id_index(id) < pool->heap.sb->index_top)
        bits_prefetch(&pool->heap.hot[id_index(id)]);
}

/* Pass 1b: the first and last line of its value, all of them up to 1 KiB. */
static inline void pool_prefetch_value(const struct pool *pool, uint64_t id)
{
    const struct hot *hot = heap_find(&pool->heap, id);
    if (hot == NULL || (hot->w0 & (W0_INLINE | W0_OPEN)) != 0)
        return;
    const uint8_t *data = value_data(&pool->heap, hot);
    uint32_t size = value_size(hot->value);
    if (size == 0)
        return;
    for (uint32_t at = 0; at < size && at <= 1024; at += 64)
        bits_prefetch(data + at);
    bits_prefetch(data + size - 1);
}

/* Pass 1 of a fetch or lookup: the bucket of a name. */
static inline void pool_prefetch_name(const struct pool *pool, struct name_in name)
{
    index_prefetch(&pool->names, name_hash(pool, name));
}

/* As pool_work(). */
static inline uint64_t pool_work_hot(const struct pool *pool)
{
    return pool->heap.work;
}

/* As pool_get(), but does not tell the version; false: ask pool_get() for the error. */
static inline bool pool_get_hot(const struct pool *pool, uint64_t id, struct value_view *ret)
{
    const struct hot *hot = heap_find(&pool->heap, id);
    if (unlikely(hot == NULL || (hot->w0 & W0_OPEN) != 0))
        return false;
    ret->form = w0_form(hot->w0);
    ret->data = value_data(&pool->heap, hot);
    ret->size = value_size(hot->value);
    return true;
}

#endif
