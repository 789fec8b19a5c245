/* SPDX-License-Identifier: BSD-3-Clause */
/* The hot path of a pool, inline for the request loop: warming caches for a batch, and
 * the plain get. Prefetching decides nothing: the requests are checked anew when they are executed. */
#ifndef POOL_HOT_H
#define POOL_HOT_H

#include "daemon/pool/internal.h"

/* Pass 1: the entry of an id. (Of what there is not, too: a prefetch does no harm anywhere.) */
static inline void pool_prefetch(const struct pool *pool, uint64_t id)
{
    bits_prefetch((const void *)((uintptr_t)pool->heap.hot + id_index(id) * sizeof(struct hot)));
}

/* Values up to here lie in blocks and are copied into replies; with a version behind them, too, they are no larger than a
 * block. */
#define POOL_HOT_MAX (BLOCK_MAX - 8u)

/* Where such a value is. */
static inline const uint8_t *pool_hot_data(const struct pool *pool, const struct hot *hot, uint64_t w0)
{
    if ((w0 & W0_INLINE) != 0)
        return (const uint8_t *)&hot->value;
    return pool->heap.values.base + (uint64_t)(uint32_t)hot->value * BLOCK_UNIT;
}

/* Pass 1b: the first and last line of its value, all of them up to 1 KiB. Whether the id is still that of the entry does
 * not matter: a wrong address brings near what nobody asks for, and no more. */
static inline void pool_prefetch_value(const struct pool *pool, uint64_t id)
{
    const struct hot *hot = &pool->heap.hot[id_index(id)];
    if (unlikely(id_index(id) >= pool->heap.sb->index_top))
        return;
    uint32_t size = value_size(hot->value);
    if (size == 0 || size > POOL_HOT_MAX)
        return;
    const uint8_t *data = pool_hot_data(pool, hot, hot->w0);
    bits_prefetch(data);
    bits_prefetch(data + size - 1);
    for (uint32_t at = 64; at < size && at <= 1024; at += 64)
        bits_prefetch(data + at);
}

/* Pass 1b of a retain or release by `s`: its hold's cell; or the hold's place among those of the session, and what an
 * object that dies is asked for. */
static inline void pool_prefetch_hold(const struct pool *pool, const struct session *s, uint64_t id)
{
    uint32_t index = id_index(id);
    const struct hot *hot = &pool->heap.hot[index];
    if (unlikely(index >= pool->heap.sb->index_top))
        return;
    unsigned kind = w0_link(hot->w0);
    if (kind == LINK_CELL || kind == LINK_PAIR) {
        bits_prefetch(cell_at(&pool->heap, hot->link));
    } else if (kind == LINK_NONE && (uint32_t)hot->holder == s->ref && hot->link < s->holds.count) {
        bits_prefetch(u32vec_at(&s->holds, hot->link));
        bits_prefetch(&pool->heap.warm[index]);
        if (hot->holder >> 32 == 1 && hot->in == 0) {
            value_prefetch_free(&pool->heap, hot);
            bits_prefetch(pool_hot_data(pool, hot, hot->w0)); /* the next value put may get its block */
        }
    }
}

/* Pass 1 of a fetch or lookup: the bucket of a name. */
static inline void pool_prefetch_name(const struct pool *pool, struct name_in name)
{
    index_prefetch(&pool->names, name_hash(pool, name));
}

/* Whether somebody wants to be told of requests. */
static inline bool pool_wants_ops(const struct pool *pool)
{
    return ring_wants(pool, HF_TOPIC_ops);
}

/* As pool_work(). */
static inline uint64_t pool_work_hot(const struct pool *pool)
{
    return pool->heap.work;
}

/* As pool_get() for a value of up to POOL_HOT_MAX bytes, but does not tell the version; false: ask pool_get(). */
static inline bool pool_get_hot(const struct pool *pool, uint64_t id, struct value_view *ret)
{
    const struct hot *hot = heap_find(&pool->heap, id);
    if (unlikely(hot == NULL))
        return false;
    uint64_t w0 = hot->w0;
    ret->form = w0_form(w0);
    ret->data = pool_hot_data(pool, hot, w0);
    ret->size = value_size(hot->value);
    return likely((w0 & W0_OPEN) == 0 && ret->size <= POOL_HOT_MAX);
}

/* As pool_retain() of one id without a site. False: nothing was done, ask that for the reason. */
static inline bool pool_retain_hot(struct pool *pool, struct session *s, uint64_t id, uint32_t n,
                                   uint64_t *ret_count)
{
    const struct hot *hot = heap_find(&pool->heap, id);
    if (unlikely(hot == NULL || (hot->w0 & W0_OPEN) != 0) ||
        hold_add(pool, s, id_index(id), n, 0, ret_count) != 0)
        return false;
    replay_words(pool, ret_count, NULL, 1);
    image_commit(&pool->heap); /* nothing to give back, nothing can die of a retain */
    return true;
}

#endif
