/* SPDX-License-Identifier: BSD-3-Clause */
/* Sessions: who holds. Ending one is a single word (DYING) that voids all its holds; they are cleared in
 * steps, and its cell is freed last, so that its ref cannot name another session while a hold still does. */
#include "daemon/pool/internal.h"

#include <string.h>

static struct session **table(const struct pool *pool)
{
    return (void *)pool->sessions.base;
}

static const struct cell_session *cell_of(const struct pool *pool, const struct session *s)
{
    return cell_at(&pool->heap, s->ref);
}

static uint64_t key_hash(const uint8_t *key)
{
    return XXH3_64bits(key, HF_KEY_SIZE);
}

static uint64_t hash_by_key(const void *owner, uint32_t slot)
{
    return key_hash(table(owner)[slot - 1]->key);
}

static uint64_t hash_by_sid(const void *owner, uint32_t slot)
{
    return bits_mix(table(owner)[slot - 1]->sid);
}

/* Whole keys are compared in constant time: a key is a secret. */
static bool same_key(const void *owner, uint32_t slot, const void *key)
{
    const uint8_t *has = table(owner)[slot - 1]->key, *wanted = key;
    uint8_t differs = 0;
    for (unsigned k = 0; k < HF_KEY_SIZE; k++)
        differs |= has[k] ^ wanted[k];
    return differs == 0;
}

static bool same_sid(const void *owner, uint32_t slot, const void *key)
{
    uint64_t sid;
    memcpy(&sid, key, sizeof sid);
    return table(owner)[slot - 1]->sid == sid;
}

static void placed(void *owner, uint32_t slot, uint32_t place)
{
    table(owner)[slot]->lease_place = place;
}

bool sessions_init(struct pool *pool)
{
    return reserve_init(&pool->sessions, (HF_SESSIONS_MAX + 1ull) * sizeof(struct session *)) &&
           freeset_init(&pool->session_slots, HF_SESSIONS_MAX + 1ull) &&
           index_init(&pool->by_key, &pool->mem, HF_SESSIONS_MAX, pool, hash_by_key, same_key) &&
           index_init(&pool->by_sid, &pool->mem, HF_SESSIONS_MAX, pool, hash_by_sid, same_sid) &&
           deadlines_init(&pool->leases, &pool->mem, HF_SESSIONS_MAX, pool, placed);
}

static void session_free(struct pool *pool, struct session *s)
{
    u32vec_done(&s->holds, &pool->mem);
    u32vec_done(&s->guards, &pool->mem);
    outbox_free(pool, s);
    mem_free(&pool->mem, s, sizeof *s);
}

void sessions_done(struct pool *pool)
{
    for (struct session *s = pool->first, *next; s != NULL; s = next) {
        next = s->next;
        session_free(pool, s);
    }
    for (struct session *s = pool->dying, *next; s != NULL; s = next) {
        next = s->next_dying;
        session_free(pool, s);
    }
    ended_done(pool);
    reserve_done(&pool->sessions, &pool->mem);
    freeset_done(&pool->session_slots, &pool->mem);
    index_done(&pool->by_key);
    index_done(&pool->by_sid);
    deadlines_done(&pool->leases);
}

bool session_dispose(struct pool *pool)
{
    struct session **list = pool->first != NULL ? &pool->first : &pool->dying, *s = *list;
    if (s == NULL)
        return false;
    struct u32vec *vec = s->holds.room > U32VEC_CHUNK ? &s->holds : &s->guards;
    if (vec->room > U32VEC_CHUNK) {
        vec->count = vec->room - 2 * U32VEC_CHUNK;
        u32vec_trim(vec, &pool->mem);
        return true;
    }
    *list = list == &pool->first ? s->next : s->next_dying;
    session_free(pool, s);
    return true;
}

/* ---- opening ---- */

static bool take_slot(struct pool *pool, uint32_t *ret)
{
    uint32_t slot = freeset_lowest(&pool->session_slots);
    if (slot != FREESET_NONE) {
        freeset_remove(&pool->session_slots, slot);
        *ret = slot;
        return true;
    }
    if (!reserve_grow(&pool->sessions, &pool->mem, (pool->sessions_top + 1ull) * sizeof(struct session *)) ||
        !freeset_grow(&pool->session_slots, &pool->mem, pool->sessions_top + 1ull))
        return false;
    *ret = pool->sessions_top++;
    return true;
}

/* Enters a session whose cell is in place into all that is derived. -HF_E_OOM: nothing entered. */
int session_enter(struct pool *pool, struct session *s)
{
    bool ready = index_prepare(&pool->by_sid) && (s->anonymous || index_prepare(&pool->by_key)) &&
                 deadlines_prepare(&pool->leases, pool->sessions_open + pool->sessions_grace + 1) &&
                 take_slot(pool, &s->slot);
    if (!ready)
        return -HF_E_OOM;
    table(pool)[s->slot] = s;
    ((struct cell_anon *)cell_at(&pool->heap, s->ref))->slot = s->slot;
    index_insert(&pool->by_sid, bits_mix(s->sid), s->slot + 1);
    if (!s->anonymous)
        index_insert(&pool->by_key, key_hash(s->key), s->slot + 1);
    s->lease_place = DEADLINE_NONE;
    s->prev = pool->last;
    s->next = NULL;
    if (pool->last != NULL)
        pool->last->next = s;
    else
        pool->first = s;
    pool->last = s;
    pool->sessions_open++;
    return 0;
}

static void fill_cell(struct pool *pool, const struct session_spec *spec, struct session *s)
{
    struct cell_session *cell = cell_at(&pool->heap, s->ref);
    cell->head.sid = s->sid;
    cell->head.since_ms = s->since_ms;
    if (spec->anonymous)
        return;
    memcpy(cell->key, spec->key, HF_KEY_SIZE);
    cell->lease_ms = spec->lease_ms;
    cell->pid = spec->pid;
    cell->name_size = (uint8_t)spec->name_size;
    if (spec->name_size > 0)
        memcpy(cell->name, spec->name, spec->name_size);
}

/* After 2^32 sessions they begin again, with those that no session has. */
static uint64_t sid_after(struct pool *pool, uint64_t sid)
{
    do {
        sid = (sid & ~(uint64_t)UINT32_MAX) | (uint32_t)(sid + 1);
    } while ((uint32_t)sid == 0 || pool_session_by_sid(pool, sid) != NULL);
    return sid;
}

static int session_open_once(struct pool *pool, const struct session_spec *spec, struct session **ret)
{
    struct session *s = mem_zalloc(&pool->mem, sizeof *s);
    uint32_t ref = s == NULL ? 0 : cell_take(&pool->heap, spec->anonymous ? CELL_ANON : CELL_SESSION);
    uint32_t window = ref == 0 || !spec->replay ? 0 : window_make(pool);
    if (ref == 0 || (spec->replay && window == 0)) {
        if (ref != 0)
            cell_give(&pool->heap, ref);
        mem_free(&pool->mem, s, sizeof *s);
        return pool_fail_oom(pool, sizeof *s);
    }
    *s = (struct session){.ref = ref,
                          .sid = pool->heap.sb->next_sid,
                          .since_ms = pool->now_ms,
                          .anonymous = spec->anonymous,
                          .owner = spec->owner,
                          .window = window};
    if (!spec->anonymous)
        memcpy(s->key, spec->key, HF_KEY_SIZE);
    fill_cell(pool, spec, s);
    if (session_enter(pool, s) != 0) {
        if (window != 0)
            cell_give(&pool->heap, window);
        cell_give(&pool->heap, ref);
        mem_free(&pool->mem, s, sizeof *s);
        return pool_fail_oom(pool, sizeof *s);
    }
    image_set(&pool->heap, &pool->heap.sb->next_sid, sid_after(pool, s->sid));
    image_store(&pool->heap, cell_at(&pool->heap, ref), (uint64_t)s->slot << 32 | SESSION_OPEN);
    if (window != 0)
        window_born(pool, s);
    image_commit(&pool->heap);
    *ret = s;
    return 0;
}

int pool_session_open(struct pool *pool, const struct session_spec *spec, struct session **ret)
{
    if (pool->sessions_open + pool->sessions_grace + pool->sessions_dying >= HF_SESSIONS_MAX)
        return pool_fail(pool, HF_E_LIMIT, "a million sessions are open in this pool; close some");
    int err = session_open_once(pool, spec, ret);
    if (err != 0 && pool_make_room(pool))
        err = session_open_once(pool, spec, ret);
    return err;
}

/* ---- finding and attaching ---- */

struct session *pool_session_by_key(struct pool *pool, const uint8_t key[HF_KEY_SIZE])
{
    uint32_t slot = index_find(&pool->by_key, key_hash(key), key);
    return slot == 0 ? NULL : table(pool)[slot - 1];
}

struct session *pool_session_by_sid(struct pool *pool, uint64_t sid)
{
    uint32_t slot = index_find(&pool->by_sid, bits_mix(sid), &sid);
    return slot == 0 ? NULL : table(pool)[slot - 1];
}

static void leave_grace(struct pool *pool, struct session *s)
{
    if (s->lease_place == DEADLINE_NONE)
        return;
    deadlines_remove(&pool->leases, s->lease_place);
    pool->sessions_grace--;
    pool->sessions_open++;
}

void pool_session_attach(struct pool *pool, struct session *s, void *owner)
{
    leave_grace(pool, s);
    s->owner = owner;
    outbox_reset(pool, s);
}

void pool_session_detach(struct pool *pool, struct session *s)
{
    uint32_t lease_ms = s->anonymous ? 0 : cell_of(pool, s)->lease_ms;
    s->owner = NULL;
    outbox_reset(pool, s);
    if (lease_ms == 0) {
        s->ending = ENDED_CLOSED;
        pool_session_end(pool, s, REASON_SESSION_END);
        return;
    }
    /* session_enter() has made room for a deadline of every session */
    deadlines_add(&pool->leases, pool->lease_ms + lease_ms, s->slot);
    pool->sessions_open--;
    pool->sessions_grace++;
}

/* ---- ending ---- */

static void unlink_session(struct pool *pool, struct session *s)
{
    if (s->prev != NULL)
        s->prev->next = s->next;
    else
        pool->first = s->next;
    if (s->next != NULL)
        s->next->prev = s->prev;
    else
        pool->last = s->prev;
}

void pool_session_end(struct pool *pool, struct session *s, enum reason reason)
{
    ended_note(pool, s, reason == REASON_KILL ? ENDED_KILLED : s->ending);
    leave_grace(pool, s);
    outbox_end(pool, s);
    image_set(&pool->heap, cell_at(&pool->heap, s->ref), (uint64_t)s->slot << 32 | SESSION_DYING);
    index_remove(&pool->by_sid, bits_mix(s->sid), s->slot + 1);
    if (!s->anonymous)
        index_remove(&pool->by_key, key_hash(s->key), s->slot + 1);
    unlink_session(pool, s);
    s->reason = reason;
    s->owner = NULL;
    s->next_dying = pool->dying;
    pool->dying = s;
    pool->dying_holds += s->holds.count;
    pool->sessions_open--;
    pool->sessions_dying++;
}

uint64_t pool_renumber(struct pool *pool, uint64_t first_sid)
{
    uint64_t ended = 0;
    for (; pool->first != NULL; ended++) {
        pool->first->ending = ENDED_RENUMBERED;
        pool_session_end(pool, pool->first, REASON_SESSION_END);
    }
    image_set(&pool->heap, &pool->heap.sb->next_sid, first_sid);
    return ended;
}

/* How far ahead entries, and what freeing their values looks at, are brought near; and how many holds are dropped
 * before the dead among their objects are freed, so that this has time to come. */
#define DYING_AHEAD 24u
#define VALUE_AHEAD 8u
#define DYING_BATCH 32u

/* Of a hold `ahead` of the last one: what dropping it needs. */
static inline void bring_entry(const struct pool *pool, const struct session *s, uint32_t ahead)
{
    uint32_t value = *u32vec_at(&s->holds, s->holds.count - 1 - ahead);
    if ((value & HOLD_CELL_BIT) != 0) {
        bits_prefetch(cell_at(&pool->heap, value & ~HOLD_CELL_BIT));
        return;
    }
    bits_prefetch(&pool->heap.hot[value]);
}

static inline void bring_value(const struct pool *pool, const struct session *s, uint32_t ahead)
{
    uint32_t value = *u32vec_at(&s->holds, s->holds.count - 1 - ahead);
    if ((value & HOLD_CELL_BIT) == 0)
        value_prefetch_free(&pool->heap, &pool->heap.hot[value]);
}

static unsigned drop_holds(struct pool *pool, struct session *s, unsigned most)
{
    unsigned dropped = 0;
    for (; dropped < most && s->holds.count > 0; dropped++) {
        if (s->holds.count > DYING_AHEAD)
            bring_entry(pool, s, DYING_AHEAD);
        if (s->holds.count > VALUE_AHEAD)
            bring_value(pool, s, VALUE_AHEAD);
        hold_drop_last(pool, s);
    }
    pool->dying_holds -= dropped;
    return dropped;
}

/* What it had goes: guards first, so that none is delivered to it, then holds, then what it would have been told. */
static unsigned drop_last(struct pool *pool, struct session *s, unsigned most)
{
    pool->gc.reason = s->reason;
    unsigned dropped = guard_drop_last(pool, s) ? 1 : drop_holds(pool, s, most);
    pool->gc.reason = REASON_RELEASE;
    return dropped != 0 || !notice_drop_last(pool, s) ? dropped : 1;
}

unsigned session_dying_step(struct pool *pool, unsigned units)
{
    struct session *s = pool->dying;
    if (s == NULL)
        return 0;
    unsigned dropped = drop_last(pool, s, units < DYING_BATCH ? units : DYING_BATCH);
    if (dropped != 0)
        return dropped;
    if (s->window != 0) {
        window_drop(pool, s);
        return 1;
    }
    pool->dying = s->next_dying;
    image_set(&pool->heap, cell_at(&pool->heap, s->ref), 0);
    cell_give(&pool->heap, s->ref);
    freeset_add(&pool->session_slots, s->slot);
    pool->sessions_dying--;
    session_free(pool, s);
    return 1;
}

bool lease_expire(struct pool *pool)
{
    const struct deadline *first = deadlines_first(&pool->leases);
    if (first == NULL || first->at > pool->lease_ms)
        return false;
    struct session *s = table(pool)[first->key];
    s->ending = ENDED_LEASE;
    pool_session_end(pool, s, REASON_SESSION_END);
    return true;
}

/* ---- facts ---- */

uint64_t session_sid(const struct session *s)
{
    return s->sid;
}

const uint8_t *session_key(const struct session *s)
{
    return s->key;
}

void *session_owner(const struct session *s)
{
    return s->owner;
}

uint64_t session_held(const struct session *s)
{
    return s->holds.count;
}

uint64_t session_references(const struct session *s)
{
    return s->references;
}

bool session_anonymous(const struct session *s)
{
    return s->anonymous;
}

void pool_session_row(const struct pool *pool, const struct session *s, struct session_row *row)
{
    const struct cell_session *cell = cell_of(pool, s);
    *row = (struct session_row){.sid = s->sid,
                                .held = s->holds.count,
                                .held_bytes = s->held_bytes,
                                .since_ms = pool->now_ms > s->since_ms ? pool->now_ms - s->since_ms : 0,
                                .anonymous = s->anonymous,
                                .grace = s->lease_place != DEADLINE_NONE,
                                .owner = s->owner};
    if (!s->anonymous) {
        row->name = cell->name;
        row->name_size = cell->name_size;
        row->pid = cell->pid;
        row->lease_ms = cell->lease_ms;
    }
    if (row->grace) {
        uint64_t at = ((const struct deadline *)(const void *)pool->leases.store.base)[s->lease_place].at;
        row->idle_left_ms = at > pool->lease_ms ? at - pool->lease_ms : 0;
    }
}

unsigned pool_sessions(struct pool *pool, uint64_t after_sid, struct session_row *rows, unsigned max)
{
    const struct session *s = pool->first;
    uint32_t slot = index_find(&pool->by_sid, bits_mix(after_sid), &after_sid);
    if (slot != 0)
        s = table(pool)[slot - 1]->next;
    unsigned count = 0;
    for (; s != NULL && count < max; s = s->next, pool->heap.work++)
        if (s->sid > after_sid)
            pool_session_row(pool, s, &rows[count++]);
    return count;
}

unsigned pool_sessions_page(struct pool *pool, uint32_t *cursor, struct session_row *rows, unsigned max)
{
    uint32_t slot = *cursor, top = pool->sessions_top;
    uint32_t end = slot >= top || top - slot <= max ? top : slot + max;
    unsigned count = 0;
    for (; slot < end; slot++, pool->heap.work++) {
        /* one that ends keeps its place for a while, but not its number */
        const struct session *s = freeset_has(&pool->session_slots, slot) ? NULL : table(pool)[slot];
        if (s != NULL && index_find(&pool->by_sid, bits_mix(s->sid), &s->sid) == slot + 1)
            pool_session_row(pool, s, &rows[count++]);
    }
    *cursor = end == top ? 0 : end;
    return count;
}
