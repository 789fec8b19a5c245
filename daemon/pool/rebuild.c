/* SPDX-License-Identifier: BSD-3-Clause */
/* What is private of a pool, made anew from the truth of a heap: labels, sessions (all in grace), the vectors of
 * holds, the indexes of names and tickets, the links of objects.
 *
 * In two parts. The first finds whatever stands twice, which only the pool's indexes can tell: it runs before recovery
 * has changed anything, so that an image that is refused is left as it was. The second writes, and finds no damage. */
#include "daemon/heap/recover.h"
#include "daemon/pool/internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct found {
    uint64_t sid;
    uint32_t ref;
};

/* Sessions by their cells. */
struct found_list {
    struct found *sessions;
    size_t count, room;
};

struct checking {
    struct pool *pool;
    const struct recover_config *config;
    struct index pairs;         /* cells of holds, by session and object */
    struct index guards;        /* cells of guards, by object */
    struct index windows;       /* cells of windows, by session */
    struct found_list sessions; /* that go on */
    uint32_t twice;             /* the cell that is one too many, and what it is */
    const char *text;
};

static int list_add(struct pool *pool, struct found_list *list, uint32_t ref)
{
    size_t size = sizeof *list->sessions;
    if (list->count == list->room) {
        size_t room = list->room == 0 ? 64 : list->room * 2;
        struct found *moved = mem_realloc(&pool->mem, list->sessions, list->room * size, room * size);
        if (moved == NULL)
            return -ENOMEM;
        list->sessions = moved;
        list->room = room;
    }
    const struct cell_anon *cell = cell_at(&pool->heap, ref);
    list->sessions[list->count++] = (struct found){.sid = cell->sid, .ref = ref};
    return 0;
}

static int by_sid(const void *a, const void *b)
{
    const struct found *x = a, *y = b;
    return (x->sid > y->sid) - (x->sid < y->sid);
}

static void list_sort(struct found_list *list)
{
    if (list->count > 1)
        qsort(list->sessions, list->count, sizeof *list->sessions, by_sid);
}

static void list_done(struct pool *pool, struct found_list *list)
{
    mem_free(&pool->mem, list->sessions, list->room * sizeof *list->sessions);
}

static int twice(struct checking *checking, uint32_t ref, const char *text)
{
    checking->twice = ref;
    checking->text = text;
    return -EINVAL;
}

/* ---- the first part: nothing is written to the image ---- */

static int check_label(struct checking *checking, uint32_t ref)
{
    struct pool *pool = checking->pool;
    uint32_t number = ((const struct cell_label *)cell_at(&pool->heap, ref))->number;
    if (number == 0 || label_get(pool, (uint16_t)number) != NULL)
        return twice(checking, ref, "a second label of this number");
    uint64_t end = number + 1ull > pool->labels_top ? number + 1ull : pool->labels_top;
    if (!reserve_grow(&pool->labels, &pool->mem, end * sizeof(struct label)) ||
        !freeset_grow(&pool->label_numbers, &pool->mem, end))
        return -ENOMEM;
    for (uint32_t k = pool->labels_top; k < number; k++)
        freeset_add(&pool->label_numbers, k);
    if (number < pool->labels_top)
        freeset_remove(&pool->label_numbers, number);
    pool->labels_top = (uint32_t)end;
    ((struct label *)(void *)pool->labels.base)[number] = (struct label){.ref = ref};
    return 0;
}

static uint64_t pair_hash(const void *owner, uint32_t ref)
{
    const struct cell_hold *cell = cell_at(&((const struct pool *)owner)->heap, ref);
    return bits_mix((uint64_t)cell->session << 32 | cell->object);
}

static bool pair_same(const void *owner, uint32_t ref, const void *key)
{
    const struct cell_hold *has = cell_at(&((const struct pool *)owner)->heap, ref), *wanted = key;
    return has->session == wanted->session && has->object == wanted->object;
}

static uint64_t guard_hash(const void *owner, uint32_t ref)
{
    return bits_mix(((const struct cell_hold *)cell_at(&((const struct pool *)owner)->heap, ref))->object);
}

static bool guard_same(const void *owner, uint32_t ref, const void *key)
{
    const struct cell_hold *has = cell_at(&((const struct pool *)owner)->heap, ref), *wanted = key;
    return has->object == wanted->object;
}

static int check_guard(struct checking *checking, uint32_t ref)
{
    struct pool *pool = checking->pool;
    const struct cell_hold *cell = cell_at(&pool->heap, ref);
    if (!recover_goes_on(&pool->heap, checking->config, cell->session))
        return 0;
    if (index_find(&checking->guards, guard_hash(pool, ref), cell) != 0)
        return twice(checking, ref, "a second guard on its object");
    if (!index_prepare(&checking->guards))
        return -ENOMEM;
    index_insert(&checking->guards, guard_hash(pool, ref), ref);
    return 0;
}

static int check_hold(struct checking *checking, uint32_t ref)
{
    struct pool *pool = checking->pool;
    const struct cell_hold *cell = cell_at(&pool->heap, ref);
    uint64_t first = pool->heap.hot[cell->object].holder, hash = pair_hash(pool, ref);
    if (cell->count == COUNT_GUARD)
        return check_guard(checking, ref);
    if (!recover_goes_on(&pool->heap, checking->config, cell->session))
        return 0;
    if ((first >> 32 != 0 && (uint32_t)first == cell->session) ||
        index_find(&checking->pairs, hash, cell) != 0)
        return twice(checking, ref, "a second hold of this session on its object");
    if (!index_prepare(&checking->pairs))
        return -ENOMEM;
    index_insert(&checking->pairs, hash, ref);
    return 0;
}

static int check_ticket(struct checking *checking, uint32_t ref)
{
    struct pool *pool = checking->pool;
    const struct cell_ticket *cell = cell_at(&pool->heap, ref);
    uint64_t hash = pool->tickets.hash_of(pool, ref);
    if (index_find(&pool->tickets, hash, cell->key) != 0)
        return twice(checking, ref, "a second ticket of this key");
    if (!index_prepare(&pool->tickets))
        return -ENOMEM;
    index_insert(&pool->tickets, hash, ref);
    return 0;
}

static int check_name(struct checking *checking, uint32_t ref)
{
    struct pool *pool = checking->pool;
    const struct cell_name *cell = cell_at(&pool->heap, ref);
    struct name_in name = {.data = cell->bytes, .size = cell->size};
    uint64_t hash = name_hash(pool, name);
    if (index_find(&pool->names, hash, &name) != 0)
        return twice(checking, ref, "a second binding of this name");
    if (!index_prepare(&pool->names))
        return -ENOMEM;
    index_insert(&pool->names, hash, ref);
    return 0;
}

static uint64_t window_hash(const void *owner, uint32_t ref)
{
    return bits_mix(((const struct cell_window *)cell_at(&((const struct pool *)owner)->heap, ref))->session);
}

static bool window_same(const void *owner, uint32_t ref, const void *key)
{
    const struct cell_window *has = cell_at(&((const struct pool *)owner)->heap, ref), *wanted = key;
    return has->session == wanted->session;
}

static int check_window(struct checking *checking, uint32_t ref)
{
    struct pool *pool = checking->pool;
    struct cell_window *cell = cell_at(&pool->heap, ref);
    if (!recover_goes_on(&pool->heap, checking->config, cell->session))
        return 0;
    if (index_find(&checking->windows, window_hash(pool, ref), cell) != 0)
        return twice(checking, ref, "a second window of its session");
    for (uint64_t k = window_first(cell); k < cell->head; k++) {
        const struct replay_record *record = window_at(cell, k);
        if (record->kind == REPLAY_ERROR && (record->count == 0 || record->count >= HF_E_COUNT))
            return twice(checking, ref, "a recorded error of no code");
    }
    if (!index_prepare(&checking->windows))
        return -ENOMEM;
    index_insert(&checking->windows, window_hash(pool, ref), ref);
    return 0;
}

static int check_cell(void *owner, uint32_t ref, unsigned type)
{
    struct checking *checking = owner;
    if (cell_is_name(type))
        return check_name(checking, ref);
    switch (type) {
    case CELL_HOLD: return check_hold(checking, ref);
    case CELL_TICKET: return check_ticket(checking, ref);
    case CELL_ANON:
    case CELL_SESSION:
        return recover_goes_on(&checking->pool->heap, checking->config, ref)
                   ? list_add(checking->pool, &checking->sessions, ref)
                   : 0;
    case CELL_NOTICE: return 0; /* two of the same are told twice */
    case CELL_WINDOW: return check_window(checking, ref);
    default: return check_label(checking, ref);
    }
}

static int check_sids(struct checking *checking)
{
    const struct found_list *list = &checking->sessions;
    list_sort(&checking->sessions);
    for (size_t k = 1; k < list->count; k++)
        if (list->sessions[k].sid == list->sessions[k - 1].sid)
            return twice(checking, list->sessions[k].ref, "a second session of this sid");
    return 0;
}

int pool_check(struct pool *pool, const struct recover_config *config, char *error, size_t error_size)
{
    struct checking checking = {.pool = pool, .config = config};
    uint64_t most = pool->heap.sb->index_end * 4ull;
    bool ready = index_init(&checking.pairs, &pool->mem, most, pool, pair_hash, pair_same) &&
                 index_init(&checking.guards, &pool->mem, most, pool, guard_hash, guard_same) &&
                 index_init(&checking.windows, &pool->mem, HF_SESSIONS_MAX, pool, window_hash, window_same);
    int err = ready ? cells_each(&pool->heap, check_cell, &checking) : -ENOMEM;
    if (err == 0)
        err = check_sids(&checking);
    if (err == -EINVAL)
        snprintf(error, error_size, "cell %u: %s", checking.twice, checking.text);
    index_done(&checking.pairs);
    index_done(&checking.guards);
    index_done(&checking.windows);
    list_done(pool, &checking.sessions);
    return err;
}

/* ---- the second part: sessions, in order of sid ---- */

struct lister {
    struct pool *pool;
    struct found_list list;
};

static int find_session(void *owner, uint32_t ref, unsigned type)
{
    struct lister *lister = owner;
    return type == CELL_ANON || type == CELL_SESSION ? list_add(lister->pool, &lister->list, ref) : 0;
}

static int enter_session(struct pool *pool, uint32_t ref)
{
    struct session *s = mem_zalloc(&pool->mem, sizeof *s);
    if (s == NULL)
        return -HF_E_OOM;
    const struct cell_session *cell = cell_at(&pool->heap, ref);
    *s = (struct session){.ref = ref,
                          .sid = cell->head.sid,
                          .since_ms = cell->head.since_ms,
                          .anonymous = cell_type(&pool->heap, ref) == CELL_ANON};
    if (!s->anonymous)
        memcpy(s->key, cell->key, HF_KEY_SIZE);
    int err = session_enter(pool, s);
    if (err != 0)
        mem_free(&pool->mem, s, sizeof *s);
    return err;
}

static int enter_sessions(struct pool *pool)
{
    struct lister lister = {.pool = pool};
    int err = cells_each(&pool->heap, find_session, &lister) == 0 ? 0 : -HF_E_OOM;
    list_sort(&lister.list);
    for (size_t k = 0; k < lister.list.count && err == 0; k++)
        err = enter_session(pool, lister.list.sessions[k].ref);
    list_done(pool, &lister.list);
    return err;
}

/* ---- objects and cells ---- */

#define TELL_EVERY 65536u

static unsigned share_of(uint64_t done, uint64_t all)
{
    return RECOVER_HEAP_SHARE + (unsigned)((RECOVER_ALL - RECOVER_HEAP_SHARE) * done / all);
}

/* One more use; 0 if there is no such label any more. */
static uint16_t use_label(struct pool *pool, uint16_t label)
{
    if (label_get(pool, label) == NULL)
        return 0;
    ((struct label *)(void *)pool->labels.base)[label].uses++;
    return label;
}

static int enter_entries(struct pool *pool, const struct recover_config *config)
{
    struct heap *heap = &pool->heap;
    uint32_t top = (uint32_t)heap->sb->index_top, last = 0;
    struct session *s = NULL; /* of `last`: neighbours mostly have the same holder */
    for (uint32_t index = 1; index < top; index++) {
        struct hot *hot = &heap->hot[index];
        if (index % TELL_EVERY == 0 && config->progress != NULL)
            (void)config->progress(config->owner, share_of(index, top)); /* it is too late to end it */
        if (w0_state(hot->w0) != W0_ALIVE)
            continue;
        uint16_t label = heap->warm[index].label;
        if (label != 0 && use_label(pool, label) != 0)
            hot->w0 |= W0_LABELLED;
        else if (label != 0)
            heap->warm[index].label = 0;
        heap->open += (hot->w0 & W0_OPEN) != 0;
        if (hot->holder >> 32 == 0)
            continue;
        if (last != (uint32_t)hot->holder) {
            last = (uint32_t)hot->holder;
            s = session_of_ref(pool, last);
        }
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
    if (!deadlines_prepare(&pool->ticket_deadlines, pool->tickets_count + 1))
        return -HF_E_OOM;
    deadlines_add(&pool->ticket_deadlines, cell->expires_ms, ref);
    pool->tickets_count++;
    return 0;
}

static void enter_name(struct pool *pool, struct cell_name *cell)
{
    cell->flags &= (uint8_t)~NAME_SEEN;
    pool->names_count++;
}

static int enter_cell(void *owner, uint32_t ref, unsigned type)
{
    struct pool *pool = owner;
    void *cell = cell_at(&pool->heap, ref);
    int err = 0;
    if (type == CELL_HOLD && ((const struct cell_hold *)cell)->count == COUNT_GUARD)
        return guard_enter(pool, ref);
    if (type == CELL_HOLD)
        err = enter_hold(pool, ref, cell);
    else if (type == CELL_TICKET)
        err = enter_ticket(pool, ref, cell);
    else if (cell_is_name(type))
        enter_name(pool, cell);
    else if (type == CELL_WINDOW)
        session_of_ref(pool, ((const struct cell_window *)cell)->session)->window = ref;
    if (type != CELL_HOLD && type != CELL_TICKET && !cell_is_name(type))
        return 0;
    uint32_t index = *(const uint32_t *)cell;
    if (err == 0 && !links_prepare(pool, index))
        err = -HF_E_OOM;
    if (err == 0)
        links_add(pool, index, ref);
    return err;
}

/* Guards are entered: whether one has become a hold tells whether it is to be announced. */
static int enter_notice(void *owner, uint32_t ref, unsigned type)
{
    return type == CELL_NOTICE ? notice_enter(owner, ref) : 0;
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

int pool_rebuild(struct pool *pool, const struct recover_config *config)
{
    gc_recovered(&pool->gc);
    int err = enter_sessions(pool);
    if (err == 0)
        err = enter_entries(pool, config);
    if (err == 0)
        err = cells_each(&pool->heap, enter_cell, pool);
    if (err == 0)
        err = cells_each(&pool->heap, enter_notice, pool);
    if (err == 0 && !index_prepare(&pool->label_index))
        err = -HF_E_OOM;
    return err == 0 ? settle(pool) : err;
}
