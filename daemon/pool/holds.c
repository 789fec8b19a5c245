/* SPDX-License-Identifier: BSD-3-Clause */
/* Holds: which session holds which object, how often.
 *
 * An object's first holder is a word in its entry; every further one is a cell. A session keeps a vector with
 * one number for each object it holds: the object's index, or the cell's ref with the top bit set; entry (or
 * cell) keeps its place there, so that dropping is "move the last one here". */
#include "daemon/pool/internal.h"

static uint64_t holder_word(const struct session *s, uint64_t count)
{
    return count << 32 | s->ref;
}

static bool is_first(const struct hot *hot, const struct session *s)
{
    return (uint32_t)hot->holder == s->ref && hot->holder >> 32 != 0;
}

struct session *session_of_ref(const struct pool *pool, uint32_t ref)
{
    const struct cell_anon *cell = cell_at(&pool->heap, ref);
    return ((struct session **)(void *)pool->sessions.base)[cell->slot];
}

struct hold {
    uint32_t count; /* 0: the session does not hold the object */
    uint32_t ref;   /* its cell; 0: it is the first holder */
};

static inline struct hold hold_find(const struct pool *pool, const struct session *s, uint32_t index)
{
    const struct hot *hot = &pool->heap.hot[index];
    if (is_first(hot, s))
        return (struct hold){.count = (uint32_t)(hot->holder >> 32)};
    uint32_t ref = links_find_hold(pool, index, s->ref);
    return (struct hold){
        .ref = ref, .count = ref == 0 ? 0 : ((const struct cell_hold *)cell_at(&pool->heap, ref))->count};
}

uint64_t hold_count(const struct pool *pool, const struct session *s, uint32_t index)
{
    return hold_find(pool, s, index).count;
}

/* ---- the session's vector ---- */

static inline void vector_moved(struct pool *pool, uint32_t value, uint32_t place)
{
    if ((value & HOLD_CELL_BIT) != 0)
        ((struct cell_hold *)cell_at(&pool->heap, value & ~HOLD_CELL_BIT))->place = place;
    else
        place_set(pool, value, place);
}

static inline void vector_remove(struct pool *pool, struct session *s, uint32_t place)
{
    uint32_t last = u32vec_pop(&s->holds);
    if (place != s->holds.count) {
        *u32vec_at(&s->holds, place) = last;
        vector_moved(pool, last, place);
    }
    u32vec_trim(&s->holds, &pool->mem);
    pool->holds--;
}

/* ---- first holder ---- */

/* since: a 5 + 11 bit float of the stamps since creation, so that 16 bits reach from 64 ms to centuries. */
static uint16_t since_pack(uint32_t stamps)
{
    unsigned log = stamps < 2048 ? 0 : bits_log2(stamps) - 10;
    return (uint16_t)(log << 11 | (log == 0 ? stamps : (stamps >> log) & 2047));
}

static void first_set(struct pool *pool, struct session *s, uint32_t index, uint32_t n)
{
    struct hot *hot = &pool->heap.hot[index];
    struct warm *warm = &pool->heap.warm[index];
    image_store(&pool->heap, &hot->holder, holder_word(s, n));
    warm->since = since_pack(pool_stamp(pool) - warm->created);
    place_set(pool, index, u32vec_push(&s->holds, index));
    gc_held(&pool->gc, index);
    s->held_bytes += value_size(hot->value);
    s->references += n;
    pool->holds++;
}

__attribute__((always_inline)) static inline void first_clear(struct pool *pool, struct session *s,
                                                              uint32_t index)
{
    struct hot *hot = &pool->heap.hot[index];
    uint32_t place = place_get(pool, index);
    vector_remove(pool, s, place);
    place_set(pool, index, PLACE_NONE);
    s->held_bytes -= value_size(hot->value);
}

/* ---- further holders ---- */

static inline int further_add(struct pool *pool, struct session *s, uint32_t index, uint32_t n,
                              uint16_t label)
{
    if (!links_prepare_hold(pool, index))
        return pool_fail_oom(pool, sizeof(struct tail));
    uint32_t ref = cell_take(&pool->heap, CELL_HOLD);
    if (ref == 0)
        return pool_fail_oom(pool, ARENA_BYTES);
    struct cell_hold *cell = cell_at(&pool->heap, ref);
    cell->count = n;
    cell->since = pool_stamp(pool);
    cell->label = label;
    image_store(&pool->heap, (uint64_t *)(void *)cell, (uint64_t)s->ref << 32 | index);
    cell->place = u32vec_push(&s->holds, ref | HOLD_CELL_BIT);
    links_add(pool, index, ref);
    s->references += n;
    pool->holds++;
    pool->hold_cells++;
    return 0;
}

static inline void further_clear(struct pool *pool, struct session *s, uint32_t index, uint32_t ref)
{
    struct cell_hold *cell = cell_at(&pool->heap, ref);
    vector_remove(pool, s, cell->place);
    links_remove(pool, index, ref);
    s->references -= cell->count;
    pool->hold_cells--;
}

static void further_store(struct pool *pool, struct cell_hold *cell, uint32_t index, int64_t change)
{
    uint64_t *word = (uint64_t *)(void *)&cell->count;
    links_held(pool, index, change);
    image_store(&pool->heap, word, *word + (uint64_t)change);
}

/* ---- adding and dropping ---- */

int hold_add(struct pool *pool, struct session *s, uint32_t index, uint32_t n, uint16_t label,
             uint64_t *ret_count)
{
    struct hot *hot = &pool->heap.hot[index];
    struct hold hold = hold_find(pool, s, index);
    *ret_count = (uint64_t)hold.count + n;
    if (*ret_count > HF_COUNT_MAX)
        return pool_fail_id(pool, HF_E_LIMIT, heap_id(&pool->heap, index),
                            "a session may count at most 1000000000 references to one object");
    if (hold.count != 0) {
        pool_after_label(pool, label); /* the site of a hold is where it began */
        s->references += n;
        if (hold.ref == 0)
            image_store(&pool->heap, &hot->holder, holder_word(s, *ret_count));
        else
            further_store(pool, cell_at(&pool->heap, hold.ref), index, n);
        return 0;
    }
    if (!u32vec_prepare(&s->holds, &pool->mem, 1))
        return pool_fail_oom(pool, U32VEC_CHUNK * 4);
    /* a hold with a site is a cell: the entry has no room for it */
    if (hot->holder >> 32 != 0 || label != 0)
        return further_add(pool, s, index, n, label);
    if (w0_link(hot->w0) == LINK_CELL && !links_prepare(pool, index))
        return pool_fail_oom(pool, sizeof(struct tail));
    first_set(pool, s, index, n);
    return 0;
}

/* Takes n off a hold that was just found. Returns what is left; if that is 0, a cell of it is to be given back after
 * the commit. (Inline wherever it is called: calls were a tenth of what a release costs.) */
__attribute__((always_inline)) static inline uint32_t hold_take(struct pool *pool, struct session *s,
                                                                uint32_t index, struct hold hold, uint32_t n)
{
    uint32_t left = hold.count - n;
    if (hold.ref == 0) {
        image_store(&pool->heap, &pool->heap.hot[index].holder, left == 0 ? 0 : holder_word(s, left));
        s->references -= n;
        if (left == 0)
            first_clear(pool, s, index);
        return left;
    }
    struct cell_hold *cell = cell_at(&pool->heap, hold.ref);
    if (left > 0) {
        s->references -= n;
        further_store(pool, cell, index, -(int64_t)n);
        return left;
    }
    further_clear(pool, s, index, hold.ref);
    image_store(&pool->heap, (uint64_t *)(void *)cell, 0);
    return 0;
}

/* The same within an operation of many. */
static uint32_t hold_take_one(struct pool *pool, struct session *s, uint32_t index, struct hold hold,
                              uint32_t n)
{
    uint32_t left = hold_take(pool, s, index, hold, n);
    if (left == 0 && hold.ref != 0) {
        pool_after_label(pool, (uint16_t)((const struct cell_hold *)cell_at(&pool->heap, hold.ref))->label);
        pool_after_cell(pool, hold.ref);
    }
    return left;
}

void hold_drop(struct pool *pool, struct session *s, uint32_t index, uint32_t n)
{
    struct hold hold = hold_find(pool, s, index);
    assert(hold.count >= n);
    (void)hold_take_one(pool, s, index, hold, n);
}

/* The session's cell says DYING already, which voids all its holds: each is cleared by a store of its own. */
static void further_drop_last(struct pool *pool, struct session *s, uint32_t ref)
{
    struct cell_hold *cell = cell_at(&pool->heap, ref);
    uint16_t label = (uint16_t)cell->label;
    further_clear(pool, s, cell->object, ref);
    image_set(&pool->heap, (uint64_t *)(void *)cell, 0);
    cell_give(&pool->heap, ref);
    label_drop(pool, label);
}

static void first_drop_last(struct pool *pool, struct session *s, uint32_t index)
{
    struct hot *hot = &pool->heap.hot[index];
    s->references -= hot->holder >> 32;
    s->held_bytes -= value_size(hot->value);
    image_set(&pool->heap, &hot->holder, 0);
    vector_remove(pool, s, s->holds.count - 1);
    place_set(pool, index, PLACE_NONE);
}

void hold_drop_last(struct pool *pool, struct session *s)
{
    uint32_t value = *u32vec_at(&s->holds, s->holds.count - 1), index = value;
    if (likely((value & HOLD_CELL_BIT) == 0)) {
        first_drop_last(pool, s, index);
    } else {
        index = ((const struct cell_hold *)cell_at(&pool->heap, value & ~HOLD_CELL_BIT))->object;
        further_drop_last(pool, s, value & ~HOLD_CELL_BIT);
    }
    gc_drop(&pool->gc, index);
}

/* ---- retain and release ---- */

/* Finds which id was bad: the fault's index, when there was an array. */
static int fault_at(struct pool *pool, uint32_t k, int err)
{
    pool->fault.index = k;
    return err;
}

static inline int retain_one(struct pool *pool, struct session *s, uint64_t id, uint32_t n,
                             const uint8_t *site, uint32_t site_size, uint64_t *ret_count)
{
    uint16_t label = 0;
    if (pool_find(pool, id) == NULL)
        return -pool->fault.code;
    int err = site_size == 0 ? 0 : label_take(pool, NULL, 0, site, site_size, &label);
    if (err == 0)
        err = hold_add(pool, s, id_index(id), n, label, ret_count);
    if (err != 0)
        pool_after_label(pool, label);
    return err;
}

/* All or nothing: what was done is taken back by its inverse, which needs no memory. */
static int retain_all(struct pool *pool, struct session *s, const uint64_t *ids, uint32_t count, uint32_t n,
                      const uint8_t *site, uint32_t site_size, uint64_t *ret_counts)
{
    uint32_t k = 0;
    int err = 0;
    pool->heap.work += count;
    err = replay_reserve(pool, count);
    if (err != 0)
        return err;
    for (; k < count && err == 0; k++)
        err = retain_one(pool, s, ids[k], n, site, site_size, &ret_counts[k]);
    if (err != 0) {
        (void)fault_at(pool, --k, err);
        while (k-- > 0)
            hold_drop(pool, s, id_index(ids[k]), n);
    } else {
        replay_words(pool, ret_counts, NULL, count);
    }
    pool_commit(pool);
    return err;
}

int pool_retain(struct pool *pool, struct session *s, const uint64_t *ids, uint32_t count, uint32_t n,
                const uint8_t *site, uint32_t site_size, uint64_t *ret_counts)
{
    int err;
    if (likely(count == 1 && site_size == 0)) {
        err = retain_one(pool, s, ids[0], n, NULL, 0, ret_counts);
        if (likely(err == 0))
            replay_words(pool, ret_counts, NULL, 1);
        image_commit(&pool->heap); /* nothing to give back, nothing can die of a retain */
        pool->fault.index = 0;
    } else {
        err = retain_all(pool, s, ids, count, n, site, site_size, ret_counts);
    }
    if (unlikely(err == -HF_E_OOM) && pool_make_room(pool))
        err = retain_all(pool, s, ids, count, n, site, site_size, ret_counts);
    return err;
}

/* A small open-addressed table of (index, taken so far) for one call, so that duplicates in an array count
 * separately. As much of it is used as the call needs, a power of two; only `index` needs clearing. */
#define TAKEN_SLOTS (4u * HF_IDS_MAX)

struct taken {
    uint32_t index, n;
};

static uint64_t taken_add(struct taken *table, uint32_t slots, uint32_t index, uint32_t n)
{
    uint32_t at = (uint32_t)bits_mix(index) & (slots - 1);
    while (table[at].index != 0 && table[at].index != index)
        at = (at + 1) & (slots - 1);
    uint64_t sum = (table[at].index == 0 ? 0 : (uint64_t)table[at].n) + n;
    table[at] = (struct taken){.index = index, .n = (uint32_t)(sum > HF_COUNT_MAX ? HF_COUNT_MAX + 1u : sum)};
    return sum;
}

static int not_held(struct pool *pool, uint32_t k, uint64_t id, bool alive)
{
    return fault_at(pool, k,
                    pool_fail_id(pool, HF_E_NOTHELD, id,
                                 alive ? "this session does not hold that many references"
                                       : "the object has died or never was in this pool"));
}

/* Whether all can be released, and what would be left of each. */
static int check_release(struct pool *pool, struct session *s, const uint64_t *ids, uint32_t count,
                         uint32_t n, uint64_t *ret_counts)
{
    struct taken table[TAKEN_SLOTS];
    uint32_t slots = (uint32_t)bits_power_up(4ull * count);
    for (uint32_t k = 0; k < slots; k++)
        table[k].index = 0;
    for (uint32_t k = 0; k < count; k++) {
        bool alive = heap_find(&pool->heap, ids[k]) != NULL;
        uint64_t held = alive ? hold_count(pool, s, id_index(ids[k])) : 0;
        uint64_t taken = alive ? taken_add(table, slots, id_index(ids[k]), n) : n;
        if (held < taken)
            return not_held(pool, k, ids[k], alive);
        ret_counts[k] = held - taken;
    }
    return replay_reserve_for(pool, ret_counts, count);
}

/* What ended with the last reference of a hold that was a cell. */
static inline void hold_gone(struct pool *pool, uint32_t ref)
{
    uint32_t label = ((const struct cell_hold *)cell_at(&pool->heap, ref))->label;
    cell_give(&pool->heap, ref);
    if (unlikely(label != 0))
        label_drop(pool, (uint16_t)label);
}

bool pool_release_one(struct pool *pool, struct session *s, uint64_t id, uint32_t n, uint64_t *ret_count)
{
    uint32_t index = id_index(id);
    if (unlikely(heap_find(&pool->heap, id) == NULL))
        return false;
    struct hold hold = hold_find(pool, s, index);
    if (unlikely(hold.count < n))
        return false;
    *ret_count = hold_take(pool, s, index, hold, n);
    replay_words(pool, ret_count, NULL, 1);
    image_commit(&pool->heap);
    if (hold.ref != 0 && *ret_count == 0)
        hold_gone(pool, hold.ref);
    gc_drop(&pool->gc, index);
    pool_settle(pool);
    return true;
}

static int release_one(struct pool *pool, struct session *s, uint64_t id, uint32_t n, uint64_t *ret_count)
{
    return likely(pool_release_one(pool, s, id, n, ret_count))
               ? 0
               : not_held(pool, 0, id, heap_find(&pool->heap, id) != NULL);
}

int pool_release(struct pool *pool, struct session *s, const uint64_t *ids, uint32_t count, uint32_t n,
                 uint64_t *ret_counts)
{
    if (likely(count == 1))
        return release_one(pool, s, ids[0], n, ret_counts);
    pool->heap.work += count;
    int err = check_release(pool, s, ids, count, n, ret_counts);
    if (err == -HF_E_OOM) {
        (void)pool_make_room(pool); /* a guard of this session may become a hold */
        pool->mem.over = ANSWERS_OVER;
        err = check_release(pool, s, ids, count, n, ret_counts);
        pool->mem.over = 0;
    }
    if (err != 0)
        return err;
    for (uint32_t k = 0; k < count; k++) {
        uint32_t index = id_index(ids[k]);
        ret_counts[k] = hold_take_one(pool, s, index, hold_find(pool, s, index), n);
        pool_after_drop(pool, index);
    }
    replay_words(pool, ret_counts, NULL, count);
    pool_commit(pool);
    return 0;
}
