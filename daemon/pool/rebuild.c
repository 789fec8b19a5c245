/* SPDX-License-Identifier: BSD-3-Clause */
/* What is private of a pool, made anew from the truth of a recovered heap: labels, sessions (all in grace),
 * the vectors of holds, the indexes of names and tickets, the links of objects. */
#include "daemon/heap/recover.h"
#include "daemon/pool/internal.h"

#include <stdlib.h>
#include <string.h>

/* Damage that recovery cannot see, because only these indexes tell that something stands twice. */
static int twice(struct pool *pool, uint32_t ref, const char *text)
{
    return pool_fail_id(pool, HF_E_INTERNAL, ref, text);
}

static int enter_label(void *owner, uint32_t ref, unsigned type)
{
    struct pool *pool = owner;
    if (type != CELL_LABEL && type != CELL_LABEL_WIDE)
        return 0;
    uint32_t number = ((const struct cell_label *)cell_at(&pool->heap, ref))->number;
    if (number == 0 || label_get(pool, (uint16_t)number) != NULL)
        return twice(pool, ref, "a second label of this number");
    uint64_t end = number + 1ull > pool->labels_top ? number + 1ull : pool->labels_top;
    if (!reserve_grow(&pool->labels, &pool->mem, end * sizeof(struct label)) ||
        !freeset_grow(&pool->label_numbers, &pool->mem, end))
        return -HF_E_OOM;
    for (uint32_t k = pool->labels_top; k < number; k++)
        freeset_add(&pool->label_numbers, k);
    if (number < pool->labels_top)
        freeset_remove(&pool->label_numbers, number);
    pool->labels_top = (uint32_t)end;
    ((struct label *)(void *)pool->labels.base)[number] = (struct label){.ref = ref};
    return 0;
}

/* ---- sessions, in order of sid ---- */

struct found {
    struct pool *pool;
    struct session **sessions;
    size_t count, room;
};

static int find_session(void *owner, uint32_t ref, unsigned type)
{
    struct found *found = owner;
    struct pool *pool = found->pool;
    if (type != CELL_ANON && type != CELL_SESSION)
        return 0;
    if (found->count == found->room) {
        size_t room = found->room == 0 ? 64 : found->room * 2;
        struct session **moved =
            mem_realloc(&pool->mem, found->sessions, found->room * sizeof *moved, room * sizeof *moved);
        if (moved == NULL)
            return -HF_E_OOM;
        found->sessions = moved;
        found->room = room;
    }
    struct session *s = mem_zalloc(&pool->mem, sizeof *s);
    if (s == NULL)
        return -HF_E_OOM;
    const struct cell_session *cell = cell_at(&pool->heap, ref);
    *s = (struct session){
        .ref = ref, .sid = cell->head.sid, .since_ms = cell->head.since_ms, .anonymous = type == CELL_ANON};
    if (!s->anonymous)
        memcpy(s->key, cell->key, HF_KEY_SIZE);
    found->sessions[found->count++] = s;
    return 0;
}

static int by_sid(const void *a, const void *b)
{
    const struct session *const *x = a, *const *y = b;
    return ((*x)->sid > (*y)->sid) - ((*x)->sid < (*y)->sid);
}

static int enter_sessions(struct pool *pool)
{
    struct found found = {.pool = pool};
    int err = cells_each(&pool->heap, find_session, &found);
    if (found.count > 0)
        qsort(found.sessions, found.count, sizeof *found.sessions, by_sid);
    for (size_t k = 0; k < found.count; k++) {
        if (err == 0)
            err = pool_session_by_sid(pool, found.sessions[k]->sid) != NULL
                      ? twice(pool, found.sessions[k]->ref, "a second session of this sid")
                      : session_enter(pool, found.sessions[k]);
        if (err != 0)
            mem_free(&pool->mem, found.sessions[k], sizeof **found.sessions);
    }
    mem_free(&pool->mem, found.sessions, found.room * sizeof *found.sessions);
    return err;
}

/* ---- objects and cells ---- */

/* One more use; 0 if there is no such label any more. */
static uint16_t use_label(struct pool *pool, uint16_t label)
{
    if (label_get(pool, label) == NULL)
        return 0;
    ((struct label *)(void *)pool->labels.base)[label].uses++;
    return label;
}

static int enter_entries(struct pool *pool)
{
    struct heap *heap = &pool->heap;
    for (uint32_t index = 1; index < heap->sb->index_top; index++) {
        struct hot *hot = &heap->hot[index];
        if (w0_state(hot->w0) != W0_ALIVE)
            continue;
        heap->warm[index].label = use_label(pool, heap->warm[index].label);
        heap->open += (hot->w0 & W0_OPEN) != 0;
        if (hot->holder >> 32 == 0)
            continue;
        struct session *s = session_of_ref(pool, (uint32_t)hot->holder);
        if (!u32vec_prepare(&s->holds, &pool->mem, 1))
            return -HF_E_OOM;
        hot->link = u32vec_push(&s->holds, index);
        s->held_bytes += value_size(hot->value);
        s->references += hot->holder >> 32;
        pool->holds++;
    }
    return 0;
}

static int enter_hold(struct pool *pool, uint32_t ref, struct cell_hold *cell)
{
    struct session *s = session_of_ref(pool, cell->session);
    if (hold_count(pool, s, cell->object) != 0)
        return twice(pool, ref, "a second hold of this session on its object");
    cell->label = use_label(pool, (uint16_t)cell->label);
    if (!u32vec_prepare(&s->holds, &pool->mem, 1))
        return -HF_E_OOM;
    cell->place = u32vec_push(&s->holds, ref | HOLD_CELL_BIT);
    s->references += cell->count;
    pool->holds++;
    pool->hold_cells++;
    return 0;
}

static int enter_ticket(struct pool *pool, uint32_t ref, const struct cell_ticket *cell)
{
    if (index_find(&pool->tickets, pool->tickets.hash_of(pool, ref), cell->key) != 0)
        return twice(pool, ref, "a second ticket of this key");
    if (!index_prepare(&pool->tickets) ||
        !deadlines_prepare(&pool->ticket_deadlines, pool->tickets_count + 1))
        return -HF_E_OOM;
    index_insert(&pool->tickets, pool->tickets.hash_of(pool, ref), ref);
    deadlines_add(&pool->ticket_deadlines, cell->expires_ms, ref);
    pool->tickets_count++;
    return 0;
}

static int enter_name(struct pool *pool, uint32_t ref)
{
    const struct cell_name *cell = cell_at(&pool->heap, ref);
    struct name_in name = {.data = cell->bytes, .size = cell->size};
    if (index_find(&pool->names, name_hash(pool, name), &name) != 0)
        return twice(pool, ref, "a second binding of this name");
    if (!index_prepare(&pool->names))
        return -HF_E_OOM;
    ((struct cell_name *)cell_at(&pool->heap, ref))->flags &= (uint8_t)~NAME_SEEN;
    index_insert(&pool->names, pool->names.hash_of(pool, ref), ref);
    pool->names_count++;
    return 0;
}

static int enter_cell(void *owner, uint32_t ref, unsigned type)
{
    struct pool *pool = owner;
    void *cell = cell_at(&pool->heap, ref);
    int err;
    if (type == CELL_HOLD)
        err = enter_hold(pool, ref, cell);
    else if (type == CELL_TICKET)
        err = enter_ticket(pool, ref, cell);
    else if (cell_is_name(type))
        err = enter_name(pool, ref);
    else
        return 0;
    uint32_t index = *(const uint32_t *)cell;
    if (err == 0 && !links_prepare(pool, index))
        err = -HF_E_OOM;
    if (err == 0)
        links_add(pool, index, ref);
    return err;
}

/* Labels that nobody uses any more, and sessions without a lease, end now. */
static int settle(struct pool *pool)
{
    for (uint32_t number = 1; number < pool->labels_top; number++) {
        struct label *label = &((struct label *)(void *)pool->labels.base)[number];
        if (label->ref == 0)
            continue;
        label->uses++;
        index_insert(&pool->label_index, pool->label_index.hash_of(pool, number), number);
        pool->labels_count++;
        label_drop(pool, (uint16_t)number);
        if (!index_prepare(&pool->label_index))
            return -HF_E_OOM;
    }
    for (struct session *s = pool->first, *next; s != NULL; s = next) {
        next = s->next;
        pool_session_detach(pool, s);
    }
    return 0;
}

int pool_rebuild(struct pool *pool)
{
    int err = cells_each(&pool->heap, enter_label, pool);
    if (err == 0)
        err = enter_sessions(pool);
    if (err == 0)
        err = enter_entries(pool);
    if (err == 0)
        err = cells_each(&pool->heap, enter_cell, pool);
    if (err == 0 && !index_prepare(&pool->label_index))
        err = -HF_E_OOM;
    return err == 0 ? settle(pool) : err;
}
