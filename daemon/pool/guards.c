/* SPDX-License-Identifier: BSD-3-Clause */
/* Guards: when nothing else keeps an object, its guard becomes a hold of the guard's session instead of letting it
 * die, once.
 *
 * In the image a guard is a cell of a hold whose count is COUNT_GUARD. It keeps nothing alive and is no link of its
 * object; the delivery is one store, count 1, which makes it an ordinary hold. The session has its guards in a vector
 * of their own until then. Born with it and taken back with it is the notice that will announce the delivery; a guard
 * keeps its notice's ref in `first_place`, which is free until it is a hold (0: there is none, in a damaged image). */
#include "daemon/pool/internal.h"

static struct cell_hold *guard_cell(const struct pool *pool, uint32_t ref)
{
    return cell_at(&pool->heap, ref);
}

static uint64_t hash_of_ref(const void *owner, uint32_t ref)
{
    return bits_mix(guard_cell(owner, ref)->object);
}

static bool same_object(const void *owner, uint32_t ref, const void *key)
{
    return guard_cell(owner, ref)->object == *(const uint32_t *)key;
}

bool guards_init(struct pool *pool)
{
    uint64_t most = pool->heap.sb->cells_bytes / cell_bytes(CELL_HOLD);
    return index_init(&pool->guards, &pool->mem, most, pool, hash_of_ref, same_object);
}

static uint32_t find(const struct pool *pool, uint32_t index)
{
    return gc_is_guarded(&pool->gc, index) ? index_find(&pool->guards, bits_mix(index), &index) : 0;
}

/* Makes room for one more. -HF_E_OOM. */
static int prepare(struct pool *pool, struct session *s, uint32_t index)
{
    bool ready = index_prepare(&pool->guards) && u32vec_prepare(&s->guards, &pool->mem, 1) &&
                 gc_guard(&pool->gc, index) == 0;
    return ready ? 0 : -HF_E_OOM;
}

/* Its cell is in place, and there is room. */
static void enter(struct pool *pool, struct session *s, uint32_t ref)
{
    struct cell_hold *cell = guard_cell(pool, ref);
    index_insert(&pool->guards, bits_mix(cell->object), ref);
    cell->place = u32vec_push(&s->guards, ref);
}

int guard_enter(struct pool *pool, uint32_t ref)
{
    const struct cell_hold *cell = guard_cell(pool, ref);
    struct session *s = session_of_ref(pool, cell->session);
    int err = prepare(pool, s, cell->object);
    if (err != 0)
        return err;
    guard_cell(pool, ref)->first_place = 0; /* until its notice is entered */
    enter(pool, s, ref);
    return 0;
}

/* Out of all that is derived. */
static void forget(struct pool *pool, uint32_t ref)
{
    struct cell_hold *cell = guard_cell(pool, ref);
    struct session *s = session_of_ref(pool, cell->session);
    uint32_t last = u32vec_pop(&s->guards);
    if (last != ref) {
        *u32vec_at(&s->guards, cell->place) = last;
        guard_cell(pool, last)->place = cell->place;
    }
    u32vec_trim(&s->guards, &pool->mem);
    index_remove(&pool->guards, bits_mix(cell->object), ref);
    gc_unguard(&pool->gc, cell->object);
}

/* Cancels it, as an operation of its own, or (asked) as the request under way. */
static void cancel(struct pool *pool, uint32_t ref, bool asked)
{
    uint32_t announcement = guard_cell(pool, ref)->first_place;
    forget(pool, ref);
    image_store(&pool->heap, cell_at(&pool->heap, ref), 0);
    if (announcement != 0)
        image_store(&pool->heap, cell_at(&pool->heap, announcement), 0);
    if (asked)
        replay_true(pool);
    image_commit(&pool->heap);
    cell_give(&pool->heap, ref);
    if (announcement != 0)
        cell_give(&pool->heap, announcement);
}

static int guard_once(struct pool *pool, struct session *s, uint32_t index)
{
    uint64_t birth = (uint64_t)s->ref << 32 | index;
    uint32_t ref = cell_take(&pool->heap, CELL_HOLD);
    uint32_t announcement = ref == 0 ? 0 : notice_make(pool, s, index, NOTICE_GUARD);
    if (announcement == 0 || prepare(pool, s, index) != 0) {
        if (announcement != 0)
            cell_give(&pool->heap, announcement);
        if (ref != 0)
            cell_give(&pool->heap, ref);
        return pool_fail_oom(pool, ARENA_BYTES);
    }
    struct cell_hold *cell = guard_cell(pool, ref);
    cell->count = COUNT_GUARD;
    cell->since = pool_stamp(pool);
    cell->label = 0; /* the cell may have been that of a hold with a site */
    cell->first_place = announcement;
    image_store(&pool->heap, cell_at(&pool->heap, announcement), birth);
    image_store(&pool->heap, cell_at(&pool->heap, ref), birth);
    replay_true(pool);
    image_commit(&pool->heap);
    enter(pool, s, ref);
    return 0;
}

int pool_guard(struct pool *pool, struct session *s, uint64_t id)
{
    if (pool_find(pool, id) == NULL)
        return -pool->fault.code;
    if (find(pool, id_index(id)) != 0)
        return pool_fail_id(pool, HF_E_CONFLICT, id, "the object has a guard already; one is enough for all");
    int err = guard_once(pool, s, id_index(id));
    if (err == -HF_E_OOM && pool_make_room(pool) && pool_find(pool, id) != NULL)
        err = guard_once(pool, s, id_index(id));
    return err;
}

int pool_unguard(struct pool *pool, struct session *s, uint64_t id)
{
    if (pool_find(pool, id) == NULL)
        return -pool->fault.code;
    uint32_t ref = find(pool, id_index(id));
    if (ref == 0 || guard_cell(pool, ref)->session != s->ref)
        return pool_fail_id(pool, HF_E_CONFLICT, id,
                            "this session has no guard on the object; if it had one, it has become a hold");
    cancel(pool, ref, true);
    gc_drop(&pool->gc, id_index(id)); /* it may have lived on because its guard could not be delivered yet */
    pool_settle(pool);
    return 0;
}

bool guard_deliver(void *arg, uint32_t index)
{
    struct pool *pool = arg;
    uint32_t ref = find(pool, index);
    struct cell_hold *cell = guard_cell(pool, ref);
    struct session *s = session_of_ref(pool, cell->session);
    uint32_t announcement = cell->first_place;
    if (((const struct cell_anon *)cell_at(&pool->heap, cell->session))->state != SESSION_OPEN) {
        cancel(pool, ref, false);
        return true;
    }
    if (!u32vec_prepare(&s->holds, &pool->mem, 1))
        return false;
    forget(pool, ref);
    image_set(&pool->heap, (uint64_t *)(void *)&cell->count, (uint64_t)pool_stamp(pool) << 32 | 1);
    cell->place = u32vec_push(&s->holds, ref | HOLD_CELL_BIT);
    links_add(pool, index, ref);
    s->references++;
    pool->holds++;
    pool->hold_cells++;
    pool->guards_delivered++;
    if (announcement != 0)
        notice_announce(pool, announcement);
    return true;
}

bool guard_drop_last(struct pool *pool, struct session *s)
{
    if (s->guards.count == 0)
        return false;
    uint32_t ref = *u32vec_at(&s->guards, s->guards.count - 1), index = guard_cell(pool, ref)->object;
    cancel(pool, ref, false);
    /* it may have lived on because its guard could not be delivered yet */
    gc_drop(&pool->gc, index);
    return true;
}

/* The guard that a notice was born with, by what both say; NULL: there is none any more. */
static struct cell_hold *guard_of(const struct pool *pool, const struct cell_notice *notice)
{
    uint32_t guard = find(pool, notice->object);
    bool same = guard != 0 && guard_cell(pool, guard)->session == notice->session &&
                w0_gen(pool->heap.hot[notice->object].w0) == (notice->what & NOTICE_GEN);
    return same ? guard_cell(pool, guard) : NULL;
}

bool guard_has(const struct pool *pool, const struct cell_notice *notice, uint32_t ref)
{
    const struct cell_hold *guard = guard_of(pool, notice);
    return guard != NULL && guard->first_place == ref;
}

bool guard_claim(struct pool *pool, const struct cell_notice *notice, uint32_t ref)
{
    struct cell_hold *guard = guard_of(pool, notice);
    if (guard == NULL || guard->first_place != 0)
        return false;
    guard->first_place = ref;
    return true;
}

bool pool_is_guarded(const struct pool *pool, uint64_t id)
{
    return heap_find(&pool->heap, id) != NULL && find(pool, id_index(id)) != 0;
}
