/* SPDX-License-Identifier: BSD-3-Clause */
/* Notices: what a session is told of an object, once. A watch tells that it was freed, a guard that it has become
 * unreachable.
 *
 *   armed -> (its object is freed) -> in a chain of pool->firing -> fired -> told, and gone
 *
 * A notice is a cell; all its states can be told from it and from its object (rebuilt by notice_enter()). Armed watches
 * are found by object and session (pool->watches); those of one object are a chain, whose first one is found by the
 * object (pool->watched, and a flag in its entry, so that the death of what nobody watches looks at a bit). When the
 * object is freed its chain goes to the end of a queue, which fires in steps: ten thousand may watch one object. A
 * notice that has fired is in its session's list until it was sent. */
#include "daemon/pool/internal.h"

static struct cell_notice *notice(const struct pool *pool, uint32_t ref)
{
    return cell_at(&pool->heap, ref);
}

static uint64_t *birth_of(const struct pool *pool, uint32_t ref)
{
    return cell_at(&pool->heap, ref);
}

static uint64_t birth_word(const struct session *s, uint32_t index)
{
    return (uint64_t)s->ref << 32 | index;
}

uint64_t notice_id(const struct pool *pool, uint32_t ref)
{
    const struct cell_notice *cell = notice(pool, ref);
    uint64_t serial = ((cell->what & NOTICE_GEN) + pool->heap.sb->serial_base) & W0_GEN;
    return serial << 32 | cell->object;
}

/* ---- finding ---- */

struct watch_key {
    uint32_t object, session, gen;
};

static struct watch_key key_of(const struct cell_notice *cell)
{
    return (struct watch_key){
        .object = cell->object, .session = cell->session, .gen = cell->what & NOTICE_GEN};
}

static uint64_t hash_of_key(const struct watch_key *key)
{
    return bits_mix(bits_mix((uint64_t)key->session << 32 | key->gen) + key->object);
}

static uint64_t hash_of_watch(const void *owner, uint32_t ref)
{
    struct watch_key key = key_of(notice(owner, ref));
    return hash_of_key(&key);
}

static bool same_watch(const void *owner, uint32_t ref, const void *key)
{
    struct watch_key has = key_of(notice(owner, ref));
    const struct watch_key *wanted = key;
    return has.object == wanted->object && has.session == wanted->session && has.gen == wanted->gen;
}

static uint64_t hash_of_object(const void *owner, uint32_t ref)
{
    return bits_mix(notice(owner, ref)->object);
}

static bool same_object(const void *owner, uint32_t ref, const void *key)
{
    return notice(owner, ref)->object == *(const uint32_t *)key;
}

bool notices_init(struct pool *pool)
{
    uint64_t most = pool->heap.sb->cells_bytes / cell_bytes(CELL_NOTICE);
    return index_init(&pool->watches, &pool->mem, most, pool, hash_of_watch, same_watch) &&
           index_init(&pool->watched, &pool->mem, most, pool, hash_of_object, same_object);
}

void notices_done(struct pool *pool)
{
    index_done(&pool->watches);
    index_done(&pool->watched);
}

/* The armed watch of the session on a living object; 0: none. */
static uint32_t find(const struct pool *pool, const struct session *s, uint32_t index)
{
    uint64_t w0 = pool->heap.hot[index].w0;
    struct watch_key key = {.object = index, .session = s->ref, .gen = (uint32_t)w0_gen(w0)};
    return (w0 & W0_WATCHED) != 0 ? index_find(&pool->watches, hash_of_key(&key), &key) : 0;
}

/* The first of those that wait for the object. */
static uint32_t first_of(const struct pool *pool, uint32_t index)
{
    return index_find(&pool->watched, bits_mix(index), &index);
}

/* ---- lists ---- */

static void arm(struct pool *pool, struct outbox *o, uint32_t ref)
{
    struct cell_notice *cell = notice(pool, ref);
    cell->prev = 0;
    cell->next = o->armed;
    if (o->armed != 0)
        notice(pool, o->armed)->prev = ref;
    o->armed = ref;
    o->watches++;
    pool->watches_count++;
}

static void disarm(struct pool *pool, struct outbox *o, uint32_t ref)
{
    const struct cell_notice *cell = notice(pool, ref);
    if (cell->prev != 0)
        notice(pool, cell->prev)->next = cell->next;
    else
        o->armed = cell->next;
    if (cell->next != 0)
        notice(pool, cell->next)->prev = cell->prev;
    o->watches--;
    pool->watches_count--;
}

static void chain_add(struct pool *pool, uint32_t ref)
{
    struct cell_notice *cell = notice(pool, ref);
    struct hot *hot = &pool->heap.hot[cell->object];
    uint32_t first = (hot->w0 & W0_WATCHED) != 0 ? first_of(pool, cell->object) : 0;
    cell->chain.prev = first;
    cell->chain.next = first == 0 ? 0 : notice(pool, first)->chain.next;
    if (first == 0) {
        hot->w0 |= W0_WATCHED;
        index_insert(&pool->watched, bits_mix(cell->object), ref);
        return;
    }
    if (cell->chain.next != 0)
        notice(pool, cell->chain.next)->chain.prev = ref;
    notice(pool, first)->chain.next = ref;
}

static void chain_remove(struct pool *pool, uint32_t ref)
{
    const struct cell_notice *cell = notice(pool, ref);
    uint64_t hash = bits_mix(cell->object);
    if (cell->chain.next != 0)
        notice(pool, cell->chain.next)->chain.prev = cell->chain.prev;
    if (cell->chain.prev != 0) {
        notice(pool, cell->chain.prev)->chain.next = cell->chain.next;
        return;
    }
    index_remove(&pool->watched, hash, ref);
    if (cell->chain.next != 0)
        index_insert(&pool->watched, hash, cell->chain.next); /* the place of the one that was there */
    else
        pool->heap.hot[cell->object].w0 &= ~W0_WATCHED;
}

/* Whether the object of an armed watch is freed: then its chain is in the queue. */
static bool is_firing(const struct pool *pool, const struct cell_notice *cell)
{
    return w0_gen(pool->heap.hot[cell->object].w0) != (cell->what & NOTICE_GEN);
}

/* Behind all that its session shall be told. */
static void fire(struct pool *pool, struct outbox *o, uint32_t ref)
{
    struct cell_notice *cell = notice(pool, ref);
    cell->seq = o->next_seq++;
    cell->next = 0;
    cell->prev = o->last;
    if (o->last != 0)
        notice(pool, o->last)->next = ref;
    else
        o->first = ref;
    o->last = ref;
    pool->events_waiting++;
    outbox_place(pool, o);
}

/* Out of the list of those that have fired: its first one. */
static uint32_t unfire(struct pool *pool, struct outbox *o)
{
    uint32_t ref = o->first;
    o->first = notice(pool, ref)->next;
    if (o->first == 0)
        o->last = 0;
    if (o->taken == ref)
        o->taken = 0;
    pool->events_waiting--;
    return ref;
}

static void store_what(struct pool *pool, struct cell_notice *cell, uint32_t what)
{
    image_set(&pool->heap, (uint64_t *)(void *)&cell->what, (uint64_t)cell->next << 32 | what);
}

/* ---- making ---- */

uint32_t notice_make(struct pool *pool, struct session *s, uint32_t index, uint32_t kind)
{
    uint32_t ref = outbox_of(pool, s) == NULL ? 0 : cell_take(&pool->heap, CELL_NOTICE);
    if (ref == 0)
        return 0;
    struct cell_notice *cell = notice(pool, ref);
    cell->what = (uint32_t)w0_gen(pool->heap.hot[index].w0) | kind;
    cell->next = cell->prev = cell->spare = 0;
    cell->seq = 0;
    region_stored(&pool->heap.meta);
    return ref;
}

static void enter_watch(struct pool *pool, struct session *s, uint32_t ref)
{
    index_insert(&pool->watches, hash_of_watch(pool, ref), ref);
    chain_add(pool, ref);
    arm(pool, s->outbox, ref);
}

static int watch_one(struct pool *pool, struct session *s, uint32_t index)
{
    bool ready = index_prepare(&pool->watches) && index_prepare(&pool->watched);
    uint32_t ref = ready ? notice_make(pool, s, index, 0) : 0;
    if (ref == 0)
        return pool_fail_oom(pool, ARENA_BYTES);
    image_store(&pool->heap, birth_of(pool, ref), birth_word(s, index));
    enter_watch(pool, s, ref);
    return 0;
}

/* Takes an armed watch back inside an operation. */
static void unwatch_one(struct pool *pool, struct session *s, uint32_t ref)
{
    index_remove(&pool->watches, hash_of_watch(pool, ref), ref);
    chain_remove(pool, ref);
    disarm(pool, s->outbox, ref);
    image_store(&pool->heap, birth_of(pool, ref), 0);
    pool_after_cell(pool, ref);
}

static int check_ids(struct pool *pool, const uint64_t *ids, uint32_t count)
{
    pool->heap.work += count;
    for (uint32_t k = 0; k < count; k++) {
        if (heap_find(&pool->heap, ids[k]) != NULL)
            continue;
        (void)pool_fail_gone(pool, ids[k]);
        pool->fault.index = k;
        return -HF_E_GONE;
    }
    return 0;
}

/* All or nothing: what was made is the front of the session's list, and taken back again. */
static int watch_all(struct pool *pool, struct session *s, const uint64_t *ids, uint32_t count)
{
    uint64_t before = s->outbox == NULL ? 0 : s->outbox->watches;
    int err = check_ids(pool, ids, count);
    for (uint32_t k = 0; err == 0 && k < count; k++) {
        if (find(pool, s, id_index(ids[k])) != 0)
            continue;
        err = s->outbox != NULL && s->outbox->watches == HF_WATCHES_MAX
                  ? pool_fail(pool, HF_E_QUOTA, "this session watches a million objects; unwatch some")
                  : watch_one(pool, s, id_index(ids[k]));
        if (err != 0)
            pool->fault.index = k;
    }
    while (err != 0 && s->outbox != NULL && s->outbox->watches > before)
        unwatch_one(pool, s, s->outbox->armed);
    if (err == 0)
        replay_trues(pool, count);
    pool_commit(pool);
    return err;
}

int pool_watch(struct pool *pool, struct session *s, const uint64_t *ids, uint32_t count)
{
    int err = watch_all(pool, s, ids, count);
    if (err == -HF_E_OOM && pool_make_room(pool))
        err = watch_all(pool, s, ids, count);
    return err;
}

int pool_unwatch(struct pool *pool, struct session *s, const uint64_t *ids, uint32_t count)
{
    int err = check_ids(pool, ids, count);
    for (uint32_t k = 0; err == 0 && k < count; k++) {
        uint32_t ref = find(pool, s, id_index(ids[k]));
        if (ref != 0)
            unwatch_one(pool, s, ref);
    }
    if (err == 0)
        replay_trues(pool, count);
    pool_commit(pool);
    return err;
}

/* ---- firing ---- */

void notices_freed(struct pool *pool, uint32_t index)
{
    uint32_t first = first_of(pool, index);
    struct cell_notice *cell = notice(pool, first);
    index_remove(&pool->watched, bits_mix(index), first);
    bool condemned = heap_is_condemned(&pool->heap, index);
    cell->spare = (uint32_t)(condemned ? REASON_CYCLE : w0_reason(pool->heap.hot[index].w0));
    cell->chain.prev = 0; /* from here on: the next chain in the queue */
    if (pool->firing_last != 0)
        notice(pool, pool->firing_last)->chain.prev = first;
    else
        pool->firing_first = first;
    pool->firing_last = first;
}

/* Takes the first one out of the queue; the next of its chain takes its place. */
static uint32_t firing_pop(struct pool *pool)
{
    uint32_t ref = pool->firing_first;
    const struct cell_notice *cell = notice(pool, ref);
    uint32_t next = cell->chain.next;
    if (next == 0) {
        pool->firing_first = cell->chain.prev;
        pool->firing_last = pool->firing_first == 0 ? 0 : pool->firing_last;
        return ref;
    }
    notice(pool, next)->spare = cell->spare;
    notice(pool, next)->chain.prev = cell->chain.prev;
    pool->firing_first = next;
    if (pool->firing_last == ref)
        pool->firing_last = next;
    return ref;
}

static void fire_first(struct pool *pool)
{
    uint32_t ref = firing_pop(pool);
    struct cell_notice *cell = notice(pool, ref);
    if (*birth_of(pool, ref) == 0) { /* cancelled in the queue */
        cell_give(&pool->heap, ref);
        return;
    }
    struct outbox *o = session_of_ref(pool, cell->session)->outbox;
    index_remove(&pool->watches, hash_of_watch(pool, ref), ref);
    disarm(pool, o, ref);
    store_what(pool, cell, cell->what | NOTICE_FIRED | cell->spare << NOTICE_REASON_SHIFT);
    fire(pool, o, ref);
}

unsigned notices_fire(struct pool *pool, unsigned units)
{
    unsigned spent = 0;
    for (; pool->firing_first != 0 && spent < units; spent++)
        fire_first(pool);
    pool->heap.work += spent;
    return spent;
}

void notice_announce(struct pool *pool, uint32_t ref)
{
    struct cell_notice *cell = notice(pool, ref);
    store_what(pool, cell, cell->what | NOTICE_FIRED);
    fire(pool, session_of_ref(pool, cell->session)->outbox, ref);
}

/* ---- ending ---- */

static void end(struct pool *pool, uint32_t ref)
{
    image_set(&pool->heap, birth_of(pool, ref), 0);
    cell_give(&pool->heap, ref);
}

void notice_told(struct pool *pool, struct outbox *o)
{
    end(pool, unfire(pool, o));
}

/* One whose object is freed stays in the queue, which finds that it is cancelled. */
static void drop_armed(struct pool *pool, struct outbox *o)
{
    uint32_t ref = o->armed;
    index_remove(&pool->watches, hash_of_watch(pool, ref), ref);
    disarm(pool, o, ref);
    if (is_firing(pool, notice(pool, ref))) {
        image_set(&pool->heap, birth_of(pool, ref), 0);
        return;
    }
    chain_remove(pool, ref);
    end(pool, ref);
}

bool notice_drop_last(struct pool *pool, struct session *s)
{
    struct outbox *o = s->outbox;
    if (o == NULL || (o->armed == 0 && o->first == 0))
        return false;
    if (o->armed != 0)
        drop_armed(pool, o);
    else
        notice_told(pool, o);
    return true;
}

/* What fired before this has its own reason; what is in the queue behind that may be told as dropped. */
static void drop_queue(struct pool *pool)
{
    if (!pool->dropping)
        (void)notices_fire(pool, EVENTS_DROP_MAX);
    pool->dropping = true; /* from here on the chains are not kept */
}

bool pool_events_drop(struct pool *pool, struct session *s)
{
    struct outbox *o = s->outbox;
    drop_queue(pool);
    if (o == NULL || !o->listening)
        return false;
    uint64_t left = o->watches > EVENTS_DROP_MAX ? o->watches - EVENTS_DROP_MAX : 0;
    while (o->watches > left) {
        uint32_t ref = o->armed;
        struct cell_notice *cell = notice(pool, ref);
        disarm(pool, o, ref);
        store_what(pool, cell, cell->what | NOTICE_FIRED | REASON_POOL_DROP << NOTICE_REASON_SHIFT);
        fire(pool, o, ref);
    }
    o->lost = left;
    o->paused = false;
    outbox_place(pool, o);
    return o->first != 0 || o->lost != 0;
}

/* ---- after a recovery, and the walker ---- */

/* Whether what it tells of has happened. Of a guard: it is no guard any more, whether or not the store that says so
 * came behind. Of a watch: its object is dead, by whatever ended it while nobody looked. */
static bool has_happened(struct pool *pool, const struct cell_notice *cell, uint32_t ref)
{
    if ((cell->what & NOTICE_FIRED) != 0)
        return true;
    if ((cell->what & NOTICE_GUARD) != 0)
        return !guard_claim(pool, cell, ref);
    const struct hot *hot = &pool->heap.hot[cell->object];
    return w0_state(hot->w0) != W0_ALIVE || w0_gen(hot->w0) != (cell->what & NOTICE_GEN);
}

int notice_enter(struct pool *pool, uint32_t ref)
{
    struct cell_notice *cell = notice(pool, ref);
    struct session *s = session_of_ref(pool, cell->session);
    struct outbox *o = outbox_of(pool, s);
    bool guard = (cell->what & NOTICE_GUARD) != 0;
    if (o == NULL || !index_prepare(&pool->watches) || !index_prepare(&pool->watched))
        return -HF_E_OOM;
    cell->next = cell->prev = cell->spare = 0;
    if (has_happened(pool, cell, ref)) {
        if ((cell->what & NOTICE_FIRED) == 0)
            store_what(pool, cell,
                       cell->what | NOTICE_FIRED | (guard ? 0u : REASON_SESSION_END << NOTICE_REASON_SHIFT));
        fire(pool, o, ref);
    } else if (!guard) {
        cell->chain.next = cell->chain.prev = 0;
        enter_watch(pool, s, ref);
    }
    return 0;
}

const char *notice_wrong(const struct pool *pool, uint32_t ref)
{
    const struct cell_notice *cell = notice(pool, ref);
    const struct session *s = session_of_ref(pool, cell->session);
    if (s == NULL || s->ref != cell->session || s->outbox == NULL)
        return "a notice of no session";
    if ((cell->what & NOTICE_FIRED) != 0)
        return s->outbox->first != 0 ? NULL : "it has fired, but its session does not know";
    if ((cell->what & NOTICE_GUARD) != 0)
        return guard_has(pool, cell, ref) ? NULL : "the announcement of a guard that does not know it";
    struct watch_key key = key_of(cell);
    if (index_find(&pool->watches, hash_of_key(&key), &key) != ref)
        return "the watch is not found by its object and session";
    if (is_firing(pool, cell))
        return pool->firing_first != 0 ? NULL : "its object is freed, but it does not fire";
    return (pool->heap.hot[cell->object].w0 & W0_WATCHED) != 0
               ? NULL
               : "its object does not know that it is watched";
}
