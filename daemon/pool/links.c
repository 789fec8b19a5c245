/* SPDX-License-Identifier: BSD-3-Clause */
#include "daemon/pool/internal.h"

static struct crowd_entry *entries(const struct pool *pool)
{
    return (void *)pool->crowd_store.base;
}

/* What tells the cells of one object apart: the session of a hold, else the cell itself. */
static uint64_t mark_of(const struct pool *pool, uint32_t ref)
{
    const struct cell_hold *cell = cell_at(&pool->heap, ref);
    return cell_type(&pool->heap, ref) == CELL_HOLD ? cell->session : (uint64_t)ref << 32;
}

struct crowd_key {
    uint32_t object;
    uint64_t mark;
};

static uint64_t key_hash(uint32_t object, uint64_t mark)
{
    return bits_mix(bits_mix(mark) + object);
}

static uint64_t crowd_hash(const void *owner, uint32_t entry)
{
    const struct pool *pool = owner;
    uint32_t ref = entries(pool)[entry - 1].ref;
    const struct cell_hold *cell = cell_at(&pool->heap, ref);
    return key_hash(cell->object, mark_of(pool, ref));
}

static bool crowd_same(const void *owner, uint32_t entry, const void *key)
{
    const struct pool *pool = owner;
    const struct crowd_key *wanted = key;
    uint32_t ref = entries(pool)[entry - 1].ref;
    const struct cell_hold *cell = cell_at(&pool->heap, ref);
    return cell->object == wanted->object && mark_of(pool, ref) == wanted->mark;
}

bool links_init(struct pool *pool)
{
    /* as many as can be paid for: an entry stands for a cell, a tail costs more than two of them */
    uint64_t cells = pool->heap.sb->cells_bytes / cell_bytes(CELL_NAME);
    return reserve_init(&pool->tails, cells / 2 * sizeof(struct tail)) &&
           reserve_init(&pool->crowd_store, cells * sizeof(struct crowd_entry)) &&
           index_init(&pool->crowd, &pool->mem, cells, pool, crowd_hash, crowd_same);
}

void links_done(struct pool *pool)
{
    for (uint32_t k = 0; k < pool->tails_used; k++) {
        struct tail *tail = (struct tail *)(void *)pool->tails.base + k;
        if (tail->crowded)
            u32vec_done(&tail->crowd, &pool->mem);
    }
    reserve_done(&pool->tails, &pool->mem);
    reserve_done(&pool->crowd_store, &pool->mem);
    index_done(&pool->crowd);
}

/* ---- tails ---- */

static bool tails_prepare(struct pool *pool)
{
    return pool->tails_free != 0 ||
           reserve_grow(&pool->tails, &pool->mem, (pool->tails_used + 1ull) * sizeof(struct tail));
}

static struct tail *tail_new(struct pool *pool, struct hot *hot, uint32_t place)
{
    uint32_t n = pool->tails_free;
    struct tail *all = (void *)pool->tails.base;
    if (n != 0)
        pool->tails_free = all[n - 1].next_free;
    else
        n = ++pool->tails_used;
    all[n - 1] = (struct tail){.place = place};
    set_link(hot, LINK_TAIL, n);
    return &all[n - 1];
}

static void tail_free(struct pool *pool, struct hot *hot)
{
    struct tail *tail = tail_of(pool, hot);
    if (tail->crowded)
        u32vec_done(&tail->crowd, &pool->mem);
    *tail = (struct tail){.next_free = pool->tails_free};
    pool->tails_free = hot->link;
}

static bool crowd_prepare(struct pool *pool, uint32_t more)
{
    return reserve_grow(&pool->crowd_store, &pool->mem,
                        (pool->crowd_used + (uint64_t)more) * sizeof(struct crowd_entry)) &&
           index_prepare(&pool->crowd);
}

static void entry_free(struct pool *pool, uint32_t entry)
{
    entries(pool)[entry - 1].ref = pool->crowd_free;
    pool->crowd_free = entry;
}

/* Enters one cell into the vector and the index. Needs the memory prepared. */
static void crowd_push(struct pool *pool, uint32_t index, struct tail *tail, uint32_t ref)
{
    uint32_t entry = pool->crowd_free;
    if (entry != 0)
        pool->crowd_free = entries(pool)[entry - 1].ref;
    else
        entry = ++pool->crowd_used;
    entries(pool)[entry - 1] = (struct crowd_entry){.ref = ref, .place = u32vec_push(&tail->crowd, entry)};
    index_insert(&pool->crowd, key_hash(index, mark_of(pool, ref)), entry);
}

/* From the small array to vector and index. false: no memory, nothing has changed. */
static bool make_crowded(struct pool *pool, uint32_t index, struct tail *tail)
{
    struct u32vec vec = {0};
    uint32_t small[TAIL_SMALL];
    if (!u32vec_prepare(&vec, &pool->mem, TAIL_SMALL + 1) || !crowd_prepare(pool, TAIL_SMALL + 1)) {
        u32vec_done(&vec, &pool->mem);
        return false;
    }
    for (uint32_t k = 0; k < tail->count; k++)
        small[k] = tail->small[k];
    tail->crowd = vec;
    tail->crowded = true;
    for (uint32_t k = 0; k < tail->count; k++) {
        /* at most one overflow bucket is prepared at a time; a failure here only makes the next insert's
         * split wait */
        if (!index_prepare(&pool->crowd)) {
            while (k-- > 0) {
                uint32_t entry = *u32vec_at(&tail->crowd, k);
                index_remove(&pool->crowd, key_hash(index, mark_of(pool, small[k])), entry);
                entry_free(pool, entry);
            }
            u32vec_done(&tail->crowd, &pool->mem);
            for (k = 0; k < tail->count; k++)
                tail->small[k] = small[k];
            tail->crowded = false;
            return false;
        }
        crowd_push(pool, index, tail, small[k]);
    }
    return true;
}

bool links_prepare(struct pool *pool, uint32_t index)
{
    struct hot *hot = &pool->heap.hot[index];
    if (w0_link(hot->w0) != LINK_TAIL)
        return tails_prepare(pool);
    struct tail *tail = tail_of(pool, hot);
    if (!tail->crowded && tail->count < TAIL_SMALL)
        return true;
    if (!tail->crowded && !make_crowded(pool, index, tail))
        return false;
    return u32vec_prepare(&tail->crowd, &pool->mem, 1) && crowd_prepare(pool, 1);
}

static void tally(const struct pool *pool, struct tail *tail, uint32_t ref, int sign)
{
    unsigned type = cell_type(&pool->heap, ref);
    if (type == CELL_HOLD)
        tail->held +=
            (uint64_t)((int64_t)sign * ((const struct cell_hold *)cell_at(&pool->heap, ref))->count);
    else if (type == CELL_TICKET)
        tail->tickets += (uint32_t)sign;
    else
        tail->names += (uint32_t)sign;
}

static void tail_push(struct pool *pool, uint32_t index, struct tail *tail, uint32_t ref)
{
    if (tail->crowded)
        crowd_push(pool, index, tail, ref);
    else
        tail->small[tail->count] = ref;
    tail->count++;
    tally(pool, tail, ref, 1);
}

void tail_add(struct pool *pool, uint32_t index, uint32_t ref)
{
    struct hot *hot = &pool->heap.hot[index];
    unsigned kind = w0_link(hot->w0);
    struct tail *tail;
    if (kind == LINK_TAIL) {
        tail = tail_of(pool, hot);
    } else {
        uint32_t before = hot->link;
        tail = tail_new(pool, hot, kind == LINK_CELL ? PLACE_NONE : place_get(pool, index));
        if (kind != LINK_NONE)
            tail_push(pool, index, tail, before);
    }
    tail_push(pool, index, tail, ref);
}

/* Takes a crowded cell out of vector and index; the last entry moves into its place. */
static void crowd_remove(struct pool *pool, uint32_t index, struct tail *tail, uint32_t ref)
{
    struct crowd_key key = {.object = index, .mark = mark_of(pool, ref)};
    uint64_t hash = key_hash(key.object, key.mark);
    uint32_t entry = index_find(&pool->crowd, hash, &key);
    assert(entry != 0);
    index_remove(&pool->crowd, hash, entry);
    uint32_t place = entries(pool)[entry - 1].place, moved = u32vec_pop(&tail->crowd);
    if (moved != entry) {
        *u32vec_at(&tail->crowd, place) = moved;
        entries(pool)[moved - 1].place = place;
    }
    u32vec_trim(&tail->crowd, &pool->mem);
    entry_free(pool, entry);
}

static uint32_t tail_get(const struct pool *pool, const struct tail *tail, uint32_t k)
{
    return tail->crowded ? entries(pool)[*u32vec_at(&tail->crowd, k) - 1].ref : tail->small[k];
}

/* A tail that says no more than a plain link goes. */
static void collapse(struct pool *pool, uint32_t index)
{
    struct hot *hot = &pool->heap.hot[index];
    struct tail *tail = tail_of(pool, hot);
    if (tail->count == 0) {
        uint32_t place = tail->place;
        tail_free(pool, hot);
        set_link(hot, LINK_NONE, place == PLACE_NONE ? 0 : place);
    } else if (tail->count == 1 && (tail->place == PLACE_NONE || is_hold(pool, tail_get(pool, tail, 0)))) {
        uint32_t ref = tail_get(pool, tail, 0), place = tail->place;
        if (tail->crowded)
            crowd_remove(pool, index, tail, ref);
        tail_free(pool, hot);
        set_link(hot, place == PLACE_NONE ? LINK_CELL : LINK_PAIR, ref);
        if (place != PLACE_NONE)
            hold_cell(pool, ref)->first_place = place;
    }
}

void tail_remove(struct pool *pool, uint32_t index, uint32_t ref)
{
    struct tail *tail = tail_of(pool, &pool->heap.hot[index]);
    tally(pool, tail, ref, -1);
    if (tail->crowded) {
        crowd_remove(pool, index, tail, ref);
    } else {
        uint32_t k = 0;
        while (tail->small[k] != ref)
            k++;
        assert(k < tail->count);
        tail->small[k] = tail->small[tail->count - 1];
    }
    tail->count--;
    collapse(pool, index);
}

/* ---- questions ---- */

uint32_t tail_find_hold(const struct pool *pool, uint32_t index, uint32_t session)
{
    const struct tail *tail = tail_of(pool, &pool->heap.hot[index]);
    if (tail->crowded) {
        struct crowd_key key = {.object = index, .mark = session};
        uint32_t entry = index_find(&pool->crowd, key_hash(key.object, key.mark), &key);
        return entry == 0 ? 0 : entries(pool)[entry - 1].ref;
    }
    for (uint32_t k = 0; k < tail->count; k++)
        if (is_hold_of(pool, tail->small[k], session))
            return tail->small[k];
    return 0;
}

uint32_t links_count(const struct pool *pool, uint32_t index)
{
    const struct hot *hot = &pool->heap.hot[index];
    unsigned kind = w0_link(hot->w0);
    return kind == LINK_TAIL ? tail_of(pool, hot)->count : kind == LINK_NONE ? 0 : 1;
}

uint32_t links_get(const struct pool *pool, uint32_t index, uint32_t k)
{
    const struct hot *hot = &pool->heap.hot[index];
    return w0_link(hot->w0) == LINK_TAIL ? tail_get(pool, tail_of(pool, hot), k) : hot->link;
}

void links_held(struct pool *pool, uint32_t index, int64_t change)
{
    const struct hot *hot = &pool->heap.hot[index];
    if (w0_link(hot->w0) == LINK_TAIL)
        tail_of(pool, hot)->held += (uint64_t)change;
}

/* ---- the first holder's place ---- */

uint32_t place_get_beside(const struct pool *pool, uint32_t index)
{
    const struct hot *hot = &pool->heap.hot[index];
    switch (w0_link(hot->w0)) {
    case LINK_PAIR: return hold_cell(pool, hot->link)->first_place;
    case LINK_TAIL: return tail_of(pool, hot)->place;
    default: return hot->link;
    }
}

void place_set_beside(struct pool *pool, uint32_t index, uint32_t place)
{
    struct hot *hot = &pool->heap.hot[index];
    unsigned kind = w0_link(hot->w0);
    if (kind == LINK_PAIR && place == PLACE_NONE) {
        set_link(hot, LINK_CELL, hot->link);
    } else if (kind == LINK_PAIR || (kind == LINK_CELL && is_hold(pool, hot->link))) {
        hold_cell(pool, hot->link)->first_place = place;
        set_link(hot, LINK_PAIR, hot->link);
    } else if (kind == LINK_CELL) {
        uint32_t ref = hot->link;
        struct tail *tail = tail_new(pool, hot, place);
        tail_push(pool, index, tail, ref);
    } else {
        tail_of(pool, hot)->place = place;
        if (place == PLACE_NONE)
            collapse(pool, index);
    }
}
