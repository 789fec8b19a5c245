/* SPDX-License-Identifier: BSD-3-Clause */
/* Tickets: a random key that stands for a reference until it is used up, taken back or over time. */
#include "daemon/pool/internal.h"

#include <string.h>

static struct cell_ticket *ticket_cell(const struct pool *pool, uint32_t ref)
{
    return cell_at(&pool->heap, ref);
}

static uint64_t key_hash(const uint8_t *key)
{
    return XXH3_64bits(key, HF_KEY_SIZE);
}

static uint64_t hash_of_ref(const void *owner, uint32_t ref)
{
    return key_hash(ticket_cell(owner, ref)->key);
}

/* Whole keys are compared in constant time: a ticket is a secret. */
static bool same_key(const void *owner, uint32_t ref, const void *key)
{
    const uint8_t *a = ticket_cell(owner, ref)->key, *b = key;
    uint8_t differs = 0;
    for (unsigned k = 0; k < HF_KEY_SIZE; k++)
        differs |= a[k] ^ b[k];
    return differs == 0;
}

static void placed(void *owner, uint32_t ref, uint32_t place)
{
    ticket_cell(owner, ref)->place = place;
}

bool tickets_init(struct pool *pool)
{
    return index_init(&pool->tickets, &pool->mem, HF_TICKETS_MAX, pool, hash_of_ref, same_key) &&
           deadlines_init(&pool->ticket_deadlines, &pool->mem, HF_TICKETS_MAX, pool, placed);
}

/* The ticket of that key that is still good. */
static uint32_t find(const struct pool *pool, const uint8_t *key)
{
    uint32_t ref = index_find(&pool->tickets, key_hash(key), key);
    return ref != 0 && ticket_cell(pool, ref)->expires_ms > pool->now_ms ? ref : 0;
}

static int no_ticket(struct pool *pool)
{
    return pool_fail(pool, HF_E_NOTFOUND, "no such ticket: it was used up, taken back or has expired");
}

static int share_once(struct pool *pool, uint32_t index, uint64_t ttl_ms, uint32_t uses, uint8_t *ret_key)
{
    bool ready = index_prepare(&pool->tickets) &&
                 deadlines_prepare(&pool->ticket_deadlines, pool->tickets_count + 1) &&
                 links_prepare(pool, index);
    uint32_t ref = ready ? cell_take(&pool->heap, CELL_TICKET) : 0;
    if (ref == 0)
        return pool_fail_oom(pool, ARENA_BYTES);
    struct cell_ticket *cell = ticket_cell(pool, ref);
    uint64_t number = pool->heap.sb->next_ticket;
    image_set(&pool->heap, &pool->heap.sb->next_ticket, number + 1);
    cell->expires_ms = pool->now_ms + ttl_ms;
    cell->number = (uint32_t)number;
    pool_random(pool, cell->key, HF_KEY_SIZE);
    image_store(&pool->heap, (uint64_t *)(void *)cell, (uint64_t)uses << 32 | index);
    index_insert(&pool->tickets, key_hash(cell->key), ref);
    deadlines_add(&pool->ticket_deadlines, cell->expires_ms, ref);
    links_add(pool, index, ref);
    pool->tickets_count++;
    memcpy(ret_key, cell->key, HF_KEY_SIZE);
    uint64_t key[2];
    memcpy(key, cell->key, HF_KEY_SIZE);
    replay_pair(pool, REPLAY_KEY, key[0], key[1]);
    pool_commit(pool);
    return 0;
}

int pool_share(struct pool *pool, struct session *s, uint64_t id, uint64_t ttl_ms, uint32_t uses,
               uint8_t ret_key[HF_KEY_SIZE])
{
    const struct hot *hot = heap_find(&pool->heap, id);
    if (hot != NULL && pool_find(pool, id) == NULL)
        return -pool->fault.code;
    if (hot == NULL || hold_count(pool, s, id_index(id)) == 0)
        return pool_fail_id(pool, HF_E_NOTHELD, id,
                            "only an object that this session holds can be shared; retain it first");
    if (pool->tickets_count == HF_TICKETS_MAX)
        return pool_fail(pool, HF_E_QUOTA,
                         "a million tickets are in use; unshare some or give them shorter ttl_ms");
    int err = share_once(pool, id_index(id), ttl_ms, uses, ret_key);
    if (err == -HF_E_OOM && pool_make_room(pool))
        err = share_once(pool, id_index(id), ttl_ms, uses, ret_key);
    return err;
}

/* Out of all that is derived; the cell itself is the caller's to clear. */
static void forget(struct pool *pool, uint32_t ref)
{
    struct cell_ticket *cell = ticket_cell(pool, ref);
    index_remove(&pool->tickets, key_hash(cell->key), ref);
    deadlines_remove(&pool->ticket_deadlines, cell->place);
    links_remove(pool, cell->object, ref);
    pool->tickets_count--;
}

/* Ends the ticket inside an operation. */
static void ticket_end(struct pool *pool, uint32_t ref)
{
    struct cell_ticket *cell = ticket_cell(pool, ref);
    uint32_t index = cell->object;
    forget(pool, ref);
    image_store(&pool->heap, (uint64_t *)(void *)cell, 0);
    pool_after_cell(pool, ref);
    pool_after_drop(pool, index);
}

static int claim_once(struct pool *pool, struct session *s, const uint8_t *key, uint64_t *ret_id)
{
    uint32_t ref = find(pool, key);
    if (ref == 0)
        return no_ticket(pool);
    struct cell_ticket *cell = ticket_cell(pool, ref);
    uint32_t index = cell->object;
    uint64_t held;
    int err = hold_add(pool, s, index, 1, 0, &held);
    if (err != 0) {
        pool_commit(pool);
        return err;
    }
    if (cell->uses > 1)
        image_store(&pool->heap, (uint64_t *)(void *)cell, (uint64_t)(cell->uses - 1) << 32 | index);
    else
        ticket_end(pool, ref);
    *ret_id = heap_id(&pool->heap, index);
    replay_uint(pool, *ret_id);
    pool_commit(pool);
    return 0;
}

int pool_claim(struct pool *pool, struct session *s, const uint8_t key[HF_KEY_SIZE], uint64_t *ret_id)
{
    int err = claim_once(pool, s, key, ret_id);
    if (err == -HF_E_OOM && pool_make_room(pool))
        err = claim_once(pool, s, key, ret_id);
    return err;
}

int pool_unshare(struct pool *pool, const uint8_t key[HF_KEY_SIZE])
{
    uint32_t ref = find(pool, key);
    if (ref == 0)
        return no_ticket(pool);
    ticket_end(pool, ref);
    replay_true(pool);
    pool_commit_as(pool, REASON_TICKET);
    return 0;
}

void tickets_end(struct pool *pool)
{
    for (const struct deadline *first; (first = deadlines_first(&pool->ticket_deadlines)) != NULL;) {
        ticket_end(pool, first->key);
        pool_commit_as(pool, REASON_TICKET);
    }
}

bool ticket_expire(struct pool *pool)
{
    const struct deadline *first = deadlines_first(&pool->ticket_deadlines);
    if (first == NULL || first->at > pool->now_ms)
        return false;
    ticket_end(pool, first->key);
    pool_commit_as(pool, REASON_TICKET);
    return true;
}
