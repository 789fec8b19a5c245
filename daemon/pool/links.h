/* SPDX-License-Identifier: BSD-3-Clause */
/* The further cells of an object, so that "all that holds this object" and "the hold of this session on it"
 * both take constant time, while the common object, held once or named once, pays nothing.
 *
 * hot->link is, by w0's link kind:
 *   LINK_NONE  the first holder's place in its session's vector (no further cell)
 *   LINK_CELL  the only cell (no first holder)
 *   LINK_PAIR  the only cell, a hold beside a first holder, whose place the cell keeps: the second holder of an
 *              object costs no tail
 *   LINK_TAIL  a tail: place and cells; more than TAIL_SMALL of them make it crowded: a vector of entries, each
 *              found by (object, session) or (object, cell) through pool->crowd
 * A crowded tail stays crowded until it is empty or collapses to a single cell.
 *
 * What a second session's retain and release meet is inline, tails are in links.c. */
#ifndef POOL_LINKS_H
#define POOL_LINKS_H

#include "daemon/pool/internal.h"

bool links_init(struct pool *pool);
void links_done(struct pool *pool);

static inline struct tail *tail_of(const struct pool *pool, const struct hot *hot)
{
    return (struct tail *)(void *)pool->tails.base + (hot->link - 1);
}

static inline struct cell_hold *hold_cell(const struct pool *pool, uint32_t ref)
{
    return cell_at(&pool->heap, ref);
}

static inline bool is_hold(const struct pool *pool, uint32_t ref)
{
    return cell_type(&pool->heap, ref) == CELL_HOLD;
}

static inline bool is_hold_of(const struct pool *pool, uint32_t ref, uint32_t session)
{
    return is_hold(pool, ref) && hold_cell(pool, ref)->session == session;
}

static inline void set_link(struct hot *hot, uint64_t kind, uint32_t link)
{
    hot->w0 = (hot->w0 & ~W0_LINK) | kind << W0_LINK_SHIFT;
    hot->link = link;
}

/* Makes sure that the next links_add() or place_set() on this object cannot fail. A hold that becomes its first further
 * cell needs no memory. */
bool links_prepare(struct pool *pool, uint32_t index);
static inline bool links_prepare_hold(struct pool *pool, uint32_t index)
{
    return likely(w0_link(pool->heap.hot[index].w0) == LINK_NONE) || links_prepare(pool, index);
}

void tail_add(struct pool *pool, uint32_t index, uint32_t ref);
static inline void links_add(struct pool *pool, uint32_t index, uint32_t ref)
{
    struct hot *hot = &pool->heap.hot[index];
    bool first = w0_link(hot->w0) == LINK_NONE;
    gc_held(&pool->gc, index);
    if (first && hot->holder >> 32 == 0) {
        set_link(hot, LINK_CELL, ref);
    } else if (likely(first && is_hold(pool, ref))) {
        hold_cell(pool, ref)->first_place = hot->link;
        set_link(hot, LINK_PAIR, ref);
    } else {
        tail_add(pool, index, ref);
    }
}

void tail_remove(struct pool *pool, uint32_t index, uint32_t ref);
static inline void links_remove(struct pool *pool, uint32_t index, uint32_t ref)
{
    struct hot *hot = &pool->heap.hot[index];
    unsigned kind = w0_link(hot->w0);
    if (unlikely(kind == LINK_TAIL)) {
        tail_remove(pool, index, ref);
        return;
    }
    assert(kind != LINK_NONE && hot->link == ref);
    set_link(hot, LINK_NONE, kind == LINK_CELL ? 0 : hold_cell(pool, ref)->first_place);
}

/* The hold cell of that session, or 0. */
uint32_t tail_find_hold(const struct pool *pool, uint32_t index, uint32_t session);
static inline uint32_t links_find_hold(const struct pool *pool, uint32_t index, uint32_t session)
{
    const struct hot *hot = &pool->heap.hot[index];
    unsigned kind = w0_link(hot->w0);
    if (unlikely(kind == LINK_TAIL))
        return tail_find_hold(pool, index, session);
    return kind != LINK_NONE && is_hold_of(pool, hot->link, session) ? hot->link : 0;
}

/* The k-th further cell. */
uint32_t links_get(const struct pool *pool, uint32_t index, uint32_t k);
uint32_t links_count(const struct pool *pool, uint32_t index);
/* The sum of further counts has changed. */
void links_held(struct pool *pool, uint32_t index, int64_t change);

/* Where the object stands in the vector of its first holder. */
uint32_t place_get_beside(const struct pool *pool, uint32_t index);
static inline uint32_t place_get(const struct pool *pool, uint32_t index)
{
    const struct hot *hot = &pool->heap.hot[index];
    return likely(w0_link(hot->w0) == LINK_NONE) ? hot->link : place_get_beside(pool, index);
}
/* The first holder came (or moved); PLACE_NONE: it went. */
void place_set_beside(struct pool *pool, uint32_t index, uint32_t place);
static inline void place_set(struct pool *pool, uint32_t index, uint32_t place)
{
    struct hot *hot = &pool->heap.hot[index];
    if (likely(w0_link(hot->w0) == LINK_NONE))
        hot->link = place == PLACE_NONE ? 0 : place;
    else
        place_set_beside(pool, index, place);
}

#endif
