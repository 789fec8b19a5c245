/* SPDX-License-Identifier: BSD-3-Clause */
/* Searches over all slots, in steps, while clients go on: what names an object, and what keeps it alive.
 *
 * Slots have no back pointers (they would cost 8 bytes each), so both walk the table. */
#include "daemon/pool/internal.h"

#include <stdlib.h>

/* ---- referrers ---- */

static bool is_there(const struct heap *heap, uint32_t index)
{
    return w0_state(heap->hot[index].w0) == W0_ALIVE && !heap_is_condemned(heap, index);
}

/* Looks at up to `units` slots of an object from search->slot on; adds to the slots found. True: all were seen. */
static bool look_for(const struct heap *heap, struct referrers *search, uint32_t target, unsigned *units)
{
    uint32_t slots = slots_count(heap, search->at), count;
    for (; search->slot<slots && * units> 0; search->slot += count) {
        const uint32_t *span = slots_span(heap, search->at, search->slot, &count);
        count = count < *units ? count : *units;
        for (uint32_t k = 0; k < count; k++)
            search->here += (span[k] & SLOT_TARGET) == target;
        *units -= count;
    }
    return search->slot >= slots;
}

static void note_referrer(const struct heap *heap, struct referrers *search)
{
    if (search->here != 0)
        search->ids[search->count++] = heap_id(heap, search->at);
    search->found += search->here;
    search->at++;
    search->slot = search->here = 0;
}

int pool_referrers_step(struct pool *pool, struct referrers *search, unsigned units)
{
    const struct heap *heap = &pool->heap;
    const struct hot *hot = heap_find(heap, search->id);
    unsigned left = units;
    if (hot == NULL)
        return pool_fail_gone(pool, search->id);
    if (search->at == 0)
        search->at = 1;
    /* no more slots name it than are counted */
    while (left > 0 && search->at < heap->sb->index_top && search->count < search->max &&
           search->found < hot->in) {
        bool there = is_there(heap, search->at);
        if (there && !look_for(heap, search, id_index(search->id), &left))
            break;
        left -= left > 0;
        search->here = there ? search->here : 0;
        note_referrer(heap, search);
    }
    pool->heap.work += units - left;
    bool all = search->at >= heap->sb->index_top || search->found >= hot->in;
    if (!all && search->count < search->max)
        return 0;
    search->cursor = all ? 0 : search->at;
    return 1;
}

/* ---- why: a search from all that is held, breadth first, so that the chain is a shortest one ---- */

#define TRIES     3u
#define NEAR_ROOT (POOL_CHAIN_MOST / 2)

struct seen {
    uint32_t from, slot; /* the slot that names it; a root: itself; not seen: 0 */
};

enum why_phase { WHY_ROOTS, WHY_SPREAD, WHY_BACK };

struct why {
    struct pool *pool;
    struct mem mem; /* not the pool's: one whose memory is spent is asked too */
    uint64_t id;
    unsigned tries;
    enum why_phase phase;
    struct reserve seen;  /* of struct seen, by index */
    struct reserve queue; /* of u32: indexes that were seen, in that order */
    uint32_t head, tail;
    uint32_t at, slot; /* of the phase: the object looked at, and its next slot */
    uint64_t back;     /* objects of the chain that were passed on the way back */
    uint64_t chain[POOL_CHAIN_MOST];
};

static struct seen *seen_of(const struct why *why, uint32_t index)
{
    return (struct seen *)(void *)why->seen.base + index;
}

static uint32_t queued(const struct why *why, uint32_t place)
{
    return ((const uint32_t *)(const void *)why->queue.base)[place];
}

static int begin_search(struct why *why)
{
    uint64_t indexes = why->pool->heap.sb->index_end;
    reserve_done(&why->seen, &why->mem);
    reserve_done(&why->queue, &why->mem);
    why->phase = WHY_ROOTS;
    why->head = why->tail = why->slot = 0;
    why->at = 1;
    why->back = 0;
    bool ok = reserve_init(&why->seen, indexes * sizeof(struct seen)) &&
              reserve_init(&why->queue, indexes * sizeof(uint32_t));
    return ok ? 0 : -HF_E_OOM;
}

struct why *pool_why_new(struct pool *pool, uint64_t id)
{
    struct why *why = calloc(1, sizeof *why);
    if (why == NULL)
        return NULL;
    why->pool = pool;
    why->id = id;
    mem_init(&why->mem, NULL, UINT64_MAX);
    if (begin_search(why) == 0)
        return why;
    pool_why_free(why);
    return NULL;
}

void pool_why_free(struct why *why)
{
    if (why == NULL)
        return;
    reserve_done(&why->seen, &why->mem);
    reserve_done(&why->queue, &why->mem);
    free(why);
}

static bool see(struct why *why, uint32_t index, uint32_t from, uint32_t slot)
{
    if (!reserve_grow(&why->seen, &why->mem, (index + 1ull) * sizeof(struct seen)) ||
        !reserve_grow(&why->queue, &why->mem, (why->tail + 1ull) * sizeof(uint32_t)))
        return false;
    if (seen_of(why, index)->from != 0)
        return true;
    *seen_of(why, index) = (struct seen){from, slot};
    ((uint32_t *)(void *)why->queue.base)[why->tail++] = index;
    return true;
}

static bool is_root(const struct heap *heap, uint32_t index)
{
    return is_there(heap, index) && is_held_outside(&heap->hot[index]);
}

/* 0: go on. */
static int find_roots(struct why *why, unsigned *units)
{
    const struct heap *heap = &why->pool->heap;
    uint32_t target = id_index(why->id);
    if (is_root(heap, target)) /* the shortest chain of all */
        why->at = target;
    for (; *units > 0 && why->at < heap->sb->index_top; why->at++, --*units) {
        if (is_root(heap, why->at) && !see(why, why->at, why->at, 0))
            return -HF_E_OOM;
        if (why->at == target && is_root(heap, target))
            break;
    }
    if (*units == 0 && why->at < heap->sb->index_top)
        return 0;
    bool held = is_root(heap, target) && seen_of(why, target)->from == target;
    why->phase = held ? WHY_BACK : WHY_SPREAD;
    why->at = held ? target : 0;
    return 0;
}

#define QUEUE_AHEAD 16u

static void bring_near(const struct why *why)
{
    const struct heap *heap = &why->pool->heap;
    if (why->head + QUEUE_AHEAD >= why->tail)
        return;
    bits_prefetch(&heap->hot[queued(why, why->head + QUEUE_AHEAD)]);
    bits_prefetch(&heap->warm[queued(why, why->head + QUEUE_AHEAD)]);
}

/* The next object of the queue, or some slots of it. 1: the target is found. */
static int spread(struct why *why, unsigned *units)
{
    const struct heap *heap = &why->pool->heap;
    uint32_t index = queued(why, why->head), count = 0;
    uint32_t slots = is_there(heap, index) ? slots_count(heap, index) : 0;
    if (why->slot == 0)
        bring_near(why);
    for (; why->slot<slots && * units> 0; *units -= count) {
        const uint32_t *span = slots_span(heap, index, why->slot, &count);
        count = count < *units ? count : *units;
        for (uint32_t k = 0; k < count; k++, why->slot++) {
            uint32_t target = span[k] & SLOT_TARGET;
            if (target != 0 && !see(why, target, index, why->slot))
                return -HF_E_OOM;
            if (target == id_index(why->id))
                return 1;
        }
    }
    if (why->slot < slots)
        return 0;
    why->head++;
    why->slot = 0;
    *units -= *units > 0;
    return 0;
}

/* The chain is kept in the order from the target; of a long one the two ends. */
static void note_link(struct why *why, uint64_t id)
{
    if (why->back < POOL_CHAIN_MOST - NEAR_ROOT)
        why->chain[why->back] = id;
    else
        why->chain[POOL_CHAIN_MOST - NEAR_ROOT + (why->back - (POOL_CHAIN_MOST - NEAR_ROOT)) % NEAR_ROOT] =
            id;
    why->back++;
}

/* One link back. 1: the root is reached. -HF_E_CONFLICT: a link is no longer there. */
static int go_back(struct why *why)
{
    const struct heap *heap = &why->pool->heap;
    const struct seen *seen = seen_of(why, why->at);
    if (!is_there(heap, why->at))
        return -HF_E_CONFLICT;
    note_link(why, heap_id(heap, why->at));
    if (seen->from == why->at)
        return is_root(heap, why->at) ? 1 : -HF_E_CONFLICT;
    if (!is_there(heap, seen->from) || seen->slot >= slots_count(heap, seen->from) ||
        slots_get(heap, seen->from, seen->slot) != why->at)
        return -HF_E_CONFLICT;
    why->at = seen->from;
    return 0;
}

static uint64_t chain_get(const struct why *why, uint64_t place)
{
    uint64_t from_target = why->back - 1 - place;
    if (from_target < POOL_CHAIN_MOST - NEAR_ROOT)
        return why->chain[from_target];
    return why
        ->chain[POOL_CHAIN_MOST - NEAR_ROOT + (from_target - (POOL_CHAIN_MOST - NEAR_ROOT)) % NEAR_ROOT];
}

static int tell(struct why *why, struct why_result *ret)
{
    unsigned rows, told = why->back < POOL_CHAIN_MOST ? (unsigned)why->back : POOL_CHAIN_MOST;
    if (pool_holders(why->pool, chain_get(why, 0), &ret->holder, 1, &rows) != 0 || rows == 0)
        return -HF_E_CONFLICT;
    ret->is_held = true;
    ret->length = why->back;
    ret->count = told;
    for (unsigned k = 0; k < told; k++)
        ret->ids[k] = chain_get(why, k < NEAR_ROOT ? k : why->back - told + k);
    return 1;
}

/* What was found is no longer so. */
static int again(struct why *why)
{
    if (++why->tries == TRIES)
        return pool_fail(why->pool, HF_E_BUSY,
                         "what keeps the object changes faster than it is found; ask again");
    return begin_search(why);
}

static int step_once(struct why *why, unsigned *units, struct why_result *ret)
{
    int r;
    switch (why->phase) {
    case WHY_ROOTS: return find_roots(why, units);
    case WHY_SPREAD:
        if (why->head == why->tail) {
            ret->is_held = false;
            return 1;
        }
        r = spread(why, units);
        if (r != 1)
            return r;
        why->phase = WHY_BACK;
        why->at = id_index(why->id);
        return 0;
    case WHY_BACK: break;
    }
    --*units;
    r = go_back(why);
    if (r == 1)
        r = tell(why, ret);
    return r == -HF_E_CONFLICT ? again(why) : r;
}

int pool_why_step(struct why *why, unsigned units, struct why_result *ret)
{
    struct pool *pool = why->pool;
    unsigned left = units;
    int r = 0;
    if (heap_find(&pool->heap, why->id) == NULL)
        return pool_fail_gone(pool, why->id);
    while (r == 0 && left > 0)
        r = step_once(why, &left, ret);
    pool->heap.work += units - left;
    if (r == -HF_E_OOM)
        return pool_fail_oom(pool, (uint64_t)why->tail * (sizeof(struct seen) + sizeof(uint32_t)));
    return r;
}
