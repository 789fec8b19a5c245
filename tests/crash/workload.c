/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/crash/workload.h"

#include "daemon/pool/internal.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PATTERN_BYTES 202000u
#define OPEN_BYTES    700000u /* three arenas */

static void tell(struct workload *w, uint64_t id)
{
    uint32_t index = id_index(id);
    uint64_t gen = ((id >> 32) - w->fx.pool->heap.sb->serial_base) & W0_GEN;
    if (index < WORKLOAD_TRACKED && gen + 1 > w->told[index])
        w->told[index] = (uint32_t)gen + 1;
    if (w->ids_count < WORKLOAD_OBJECTS)
        w->ids[w->ids_count++] = id;
    else
        w->ids[random_below(&w->random, WORKLOAD_OBJECTS)] = id;
}

static uint64_t any_id(struct workload *w)
{
    return w->ids_count == 0 ? 1 : w->ids[random_below(&w->random, w->ids_count)];
}

/* One that is open; the first is never ended. */
static struct session *any_session(struct workload *w)
{
    unsigned k = (unsigned)random_below(&w->random, WORKLOAD_SESSIONS);
    return w->session[k] != NULL ? w->session[k] : w->session[0];
}

/* ---- requests with a window: what is answered is in it exactly when it was done ---- */

/* A session asks for something; most have a window. */
static struct session *ask(struct workload *w)
{
    struct session *s = any_session(w);
    w->asker = session_replays(s) ? s : NULL;
    w->msgid++;
    if (w->asker != NULL)
        pool_replay_begin(w->fx.pool, s, w->msgid, w->msgid * 0x9e3779b97f4a7c15ull);
    return s;
}

/* The same for an argument that was an array. */
static void ask_array(struct workload *w)
{
    if (w->asker != NULL)
        pool_replay_shape(w->fx.pool, REPLAY_ARRAY);
}

/* It was answered by that code; an answer without an effect is recorded now. Returns the code. */
static int answered(struct workload *w, int rc)
{
    static const uint8_t yes[] = {0xc3};
    struct pool *pool = w->fx.pool;
    struct replay_match match = {0};
    struct replay_answer answer;
    if (w->asker == NULL)
        return rc;
    if (rc != 0)
        pool_replay_note_error(pool, -rc);
    else
        pool_replay_note(pool, yes, sizeof yes);
    pool_replay_end(pool);
    if (!pool_replay_find(pool, w->asker, &match, w->msgid, w->msgid * 0x9e3779b97f4a7c15ull, &answer))
        fixture_die("a request that was answered is not in the window");
    if ((rc != 0) != (answer.kind == REPLAY_ERROR) || (rc != 0 && answer.count != (uint32_t)-rc))
        fixture_die("the window has another answer than the one that was given");
    return rc;
}

/* So many requests that did nothing: the window is soon full. */
static void fill_window(struct workload *w, struct session *s, uint64_t requests)
{
    for (uint64_t k = 0; k < requests; k++) {
        pool_replay_begin(w->fx.pool, s, (uint32_t)k, k);
        pool_replay_note_error(w->fx.pool, HF_E_GONE);
        pool_replay_end(w->fx.pool);
    }
}

#define LONG_NAMES      62u /* two more than a run of the largest class has cells */
#define LONG_NAMES_LAST 59u

static struct name_in long_name(char *buffer, unsigned number)
{
    int size = sprintf(buffer, "%0*u", HF_NAME_MAX, number);
    return (struct name_in){.data = (uint8_t *)buffer, .size = (uint32_t)size};
}

/* Of many classes of cells; sometimes one whose cell is the first or the last of its run. */
static struct name_in any_name(struct workload *w, char *buffer)
{
    static const char tail[] = "-a-name-that-needs-a-cell-of-a-larger-class-than-the-others-do";
    if (w->crowded_names && random_once_in(&w->random, 2))
        return long_name(buffer, (unsigned)random_between(&w->random, LONG_NAMES_LAST, LONG_NAMES - 1));
    unsigned number = (unsigned)random_below(&w->random, WORKLOAD_NAMES);
    int size = sprintf(buffer, "n%u%.*s", number, (int)(number * 5 % sizeof tail), tail);
    return (struct name_in){.data = (uint8_t *)buffer, .size = (uint32_t)size};
}

static struct value_in any_value(struct workload *w)
{
    static const uint32_t sizes[] = {0, 1, 4, 5, 8, 16, 17, 100, 300, 5000, 20000, 200000};
    uint64_t size =
        sizes[random_below(&w->random, w->values_large && random_once_in(&w->random, 10) ? 12 : 9)];
    return bytes_in(w->pattern + random_below(&w->random, 1000), size);
}

static void op_put(struct workload *w)
{
    uint64_t refs[300], id;
    uint32_t count = (uint32_t)random_below(&w->random, random_once_in(&w->random, 8) ? 300 : 5);
    for (uint32_t k = 0; k < count; k++)
        refs[k] = random_once_in(&w->random, 4) ? 0 : any_id(w);
    char tag[8], site[80];
    struct put_spec spec = {.value = any_value(w), .refs = refs, .refs_count = count};
    if (random_once_in(&w->random, 3)) {
        spec.tag = (uint8_t *)tag;
        spec.tag_size = (uint32_t)sprintf(tag, "t%u", (unsigned)random_below(&w->random, 5));
    }
    if (random_once_in(&w->random, 6)) {
        spec.site = (uint8_t *)site;
        spec.site_size = (uint32_t)sprintf(site, "site-%060u", (unsigned)random_below(&w->random, 3));
    }
    spec.seal = random_once_in(&w->random, 9);
    if (random_once_in(&w->random, 9)) {
        spec.open = true;
        spec.value.data = NULL;
        if (w->values_large && random_once_in(&w->random, 3))
            spec.value.size = OPEN_BYTES;
    }
    if (answered(w, pool_put(w->fx.pool, ask(w), &spec, &id)) == 0)
        tell(w, id);
}

static void op_put_many(struct workload *w)
{
    struct put_spec specs[6];
    uint64_t refs[6][3], ids[6];
    uint32_t count = (uint32_t)random_between(&w->random, 1, 6);
    for (uint32_t k = 0; k < count; k++) {
        for (uint32_t j = 0; j < 3; j++)
            refs[k][j] =
                random_once_in(&w->random, 2) ? POOL_ITEM(random_below(&w->random, count)) : any_id(w);
        specs[k] = (struct put_spec){
            .value = any_value(w), .refs = refs[k], .refs_count = (uint32_t)random_below(&w->random, 4)};
    }
    struct session *s = ask(w);
    ask_array(w);
    if (answered(w, pool_put_many(w->fx.pool, s, specs, count, ids)) == 0)
        for (uint32_t k = 0; k < count; k++)
            tell(w, ids[k]);
}

static void op_set(struct workload *w)
{
    uint64_t version;
    struct value_in value = any_value(w);
    uint64_t id = any_id(w);
    (void)ask(w);
    (void)answered(w, pool_set(w->fx.pool, id, &value, 0, &version));
}

/* Large ones are backed as they are written or sealed, an arena at a time. */
static void op_write_seal(struct workload *w)
{
    uint64_t id = any_id(w),
             offset = random_once_in(&w->random, 3) ? random_below(&w->random, OPEN_BYTES) : 0;
    int rc = POOL_AGAIN;
    struct session *s = any_session(w);
    (void)pool_write(w->fx.pool, s, id, offset, w->pattern, 4, 4);
    if (!random_once_in(&w->random, 2))
        return;
    for (s = ask(w); rc == POOL_AGAIN;)
        rc = pool_seal(w->fx.pool, s, id);
    (void)answered(w, rc);
}

/* Replaces, clears or appends; sometimes many times, so that lists grow through their shapes. */
static void op_link(struct workload *w)
{
    uint64_t id = w->long_list != 0 && random_once_in(&w->random, 4) ? w->long_list : any_id(w), previous,
             ids[1];
    uint32_t count = 0, total = 0;
    if (pool_refs(w->fx.pool, id, 0, ids, 1, &count, &total) != 0)
        return;
    uint64_t slot = random_below(&w->random, total + 1ull);
    slot = random_once_in(&w->random, 2) ? total : slot;
    uint64_t target = random_once_in(&w->random, 4) ? 0 : any_id(w);
    (void)ask(w);
    (void)answered(w, pool_link(w->fx.pool, id, slot, target, &previous));
}

static uint32_t any_list(struct workload *w, uint64_t *ids)
{
    uint32_t count = random_once_in(&w->random, 3) ? (uint32_t)random_between(&w->random, 2, 8) : 1;
    for (uint32_t k = 0; k < count; k++)
        ids[k] = any_id(w);
    return count;
}

static void op_retain(struct workload *w)
{
    static const uint8_t site[] = "somewhere";
    uint64_t ids[8], counts[8];
    uint32_t count = any_list(w, ids);
    uint32_t site_size = random_once_in(&w->random, 2) ? (uint32_t)random_between(&w->random, 4, 9) : 0;
    uint32_t n = (uint32_t)random_between(&w->random, 1, 3);
    struct session *s = ask(w);
    if (count > 1)
        ask_array(w);
    (void)answered(w, pool_retain(w->fx.pool, s, ids, count, n, site, site_size, counts));
}

/* Some that the session holds, each once: a list is refused for one that it does not hold. */
static uint32_t held_list(struct workload *w, const struct session *s, uint64_t *ids)
{
    const struct heap *heap = &w->fx.pool->heap;
    uint32_t held = s->holds.count, most = held < 6 ? held : 6;
    uint32_t first = (uint32_t)random_below(&w->random, held + 1ull);
    uint32_t count = most == 0 ? 0 : (uint32_t)random_between(&w->random, 1, most);
    for (uint32_t k = 0; k < count; k++) {
        uint32_t value = *u32vec_at(&s->holds, (first + k) % held);
        if ((value & HOLD_CELL_BIT) != 0)
            value = ((const struct cell_hold *)cell_at(heap, value & ~HOLD_CELL_BIT))->object;
        ids[k] = heap_id(heap, value);
    }
    return count;
}

static void op_release(struct workload *w)
{
    uint64_t ids[8], counts[8];
    struct session *s = ask(w);
    uint32_t count = random_once_in(&w->random, 2) ? held_list(w, s, ids) : any_list(w, ids);
    uint32_t n = random_once_in(&w->random, 4) ? 2 : 1;
    if (count > 1)
        ask_array(w);
    (void)answered(w, count == 0 ? 0 : pool_release(w->fx.pool, s, ids, count, n, counts));
}

static void op_share(struct workload *w)
{
    unsigned k = (unsigned)random_below(&w->random, WORKLOAD_TICKETS);
    uint64_t id = any_id(w), ttl_ms = random_between(&w->random, 1, 5000);
    uint32_t uses = (uint32_t)random_between(&w->random, 1, 3);
    if (answered(w, pool_share(w->fx.pool, ask(w), id, ttl_ms, uses, w->ticket[k])) == 0 &&
        k >= w->tickets_count)
        w->tickets_count = k + 1;
}

static void op_claim(struct workload *w)
{
    uint64_t id;
    const uint8_t *key = w->ticket[random_below(&w->random, WORKLOAD_TICKETS)];
    struct session *s = ask(w);
    (void)answered(w, random_once_in(&w->random, 4) ? pool_unshare(w->fx.pool, key)
                                                    : pool_claim(w->fx.pool, s, key, &id));
}

/* Those of the last run in turn, so that op_unname() often finds all of them. */
static void op_name(struct workload *w)
{
    char buffer[HF_NAME_MAX + 1];
    uint64_t version;
    unsigned number = LONG_NAMES_LAST + w->names_bound % (LONG_NAMES - LONG_NAMES_LAST);
    bool in_turn = w->crowded_names && random_once_in(&w->random, 2);
    struct name_in name = in_turn ? long_name(buffer, number) : any_name(w, buffer);
    uint64_t id = any_id(w);
    (void)ask(w);
    if (answered(w, pool_name_bind(w->fx.pool, name, id, POOL_ANY_VERSION, &version)) == 0 && in_turn)
        w->names_bound++;
}

/* Sometimes all those of a run, so that it is empty before the list is done. */
static void op_unname(struct workload *w)
{
    char buffer[LONG_NAMES - LONG_NAMES_LAST][HF_NAME_MAX + 1];
    struct name_in names[LONG_NAMES - LONG_NAMES_LAST];
    uint32_t most = LONG_NAMES - LONG_NAMES_LAST, count = (uint32_t)random_between(&w->random, 1, most);
    bool together = w->crowded_names && random_once_in(&w->random, 2);
    for (uint32_t k = 0; k < count; k++)
        names[k] = together ? long_name(buffer[k], LONG_NAMES - 1 - k) : any_name(w, buffer[k]);
    (void)ask(w);
    ask_array(w);
    (void)answered(w, pool_unname(w->fx.pool, names, count, POOL_ANY_VERSION));
}

static void op_lookup(struct workload *w)
{
    char buffer[3][HF_NAME_MAX + 1];
    struct name_in names[3];
    uint64_t ids[3], versions[3];
    uint32_t count = random_once_in(&w->random, 2) ? 1 : 3;
    for (uint32_t k = 0; k < count; k++)
        names[k] = any_name(w, buffer[k]);
    uint64_t *told = random_once_in(&w->random, 2) ? versions : NULL;
    struct session *s = ask(w);
    if (count > 1)
        ask_array(w);
    (void)answered(w, pool_lookup(w->fx.pool, s, names, count, ids, told));
}

static void op_store(struct workload *w)
{
    char buffer[HF_NAME_MAX + 1];
    uint64_t id, version;
    struct value_in value = any_value(w);
    struct name_in name = any_name(w, buffer);
    uint32_t tag_size = random_once_in(&w->random, 2) ? 2 : 0;
    (void)ask(w);
    if (answered(w, pool_store(w->fx.pool, name, &value, POOL_ANY_VERSION, (const uint8_t *)"t1", tag_size,
                               &id, &version)) == 0)
        tell(w, id);
}

/* Ends an open one, or opens one in an empty place. */
static void op_session(struct workload *w)
{
    unsigned k = 1 + (unsigned)random_below(&w->random, WORKLOAD_SESSIONS - 1);
    if (w->session[k] == NULL) {
        w->key[k] = 10 + w->keys_used++ % 200;
        w->fx.replay = !random_once_in(&w->random, 4);
        w->session[k] = fixture_session(&w->fx, w->key[k], 1000, w);
    } else if (random_once_in(&w->random, 3)) {
        uint64_t sid = session_sid(w->session[k]);
        pool_session_end(w->fx.pool, w->session[k], REASON_KILL);
        w->ended[w->ended_count++ % WORKLOAD_ENDED] = sid;
        w->session[k] = NULL;
    }
}

/* A ring that refers to something else, held by the first session until op_drop_ring(). */
static void op_ring(struct workload *w)
{
    struct put_spec specs[WORKLOAD_RING];
    uint64_t refs[WORKLOAD_RING][2], other = any_id(w);
    if (w->ring_made)
        return;
    for (uint32_t k = 0; k < WORKLOAD_RING; k++) {
        refs[k][0] = POOL_ITEM((k + 1) % WORKLOAD_RING);
        refs[k][1] = other;
        specs[k] = (struct put_spec){.value = any_value(w), .refs = refs[k], .refs_count = 2};
    }
    if (pool_put_many(w->fx.pool, w->session[0], specs, WORKLOAD_RING, w->ring) != 0)
        return;
    w->ring_made = true;
    for (uint32_t k = 0; k < WORKLOAD_RING; k++)
        tell(w, w->ring[k]);
}

static void op_drop_ring(struct workload *w)
{
    uint64_t counts[WORKLOAD_RING];
    if (w->ring_made)
        (void)pool_release(w->fx.pool, w->session[0], w->ring, WORKLOAD_RING, 1, counts);
    w->ring_made = false;
}

/* Only objects that never name another one: of two guarded ones, of which one names the other, recovery may deliver
 * both where the living pool delivers one. Either is right, but they differ. */
static void op_guard(struct workload *w)
{
    struct inspect_row row;
    uint64_t id = any_id(w);
    for (unsigned tries = 0; tries < 20; tries++, id = any_id(w))
        if (pool_inspect(w->fx.pool, id, &row) == 0 && row.sealed && row.slots == 0)
            break;
    if (pool_inspect(w->fx.pool, id, &row) != 0 || !row.sealed || row.slots != 0)
        return;
    struct session *s = ask(w);
    (void)answered(w, random_once_in(&w->random, 3) ? pool_unguard(w->fx.pool, s, id)
                                                    : pool_guard(w->fx.pool, s, id));
}

/* Collecting has no effect that a client could see, so a good piece of it is one operation; but each delivery of a
 * guard is one of its own. */
static void op_trace(struct workload *w)
{
    struct gc *gc = &w->fx.pool->gc;
    uint64_t units = random_between(&w->random, 1, 200), delivered = w->fx.pool->guards_delivered;
    if (gc->phase < GC_MARK) {
        (void)pool_step(w->fx.pool, 1);
        return;
    }
    w->tracing = true;
    while (units-- > 0 && gc->phase >= GC_MARK && w->fx.pool->guards_delivered == delivered)
        (void)gc_step(gc, 1);
    w->tracing = false;
}

/* The trials of a young collection are one operation: none of them has an effect that a client could see. */
static void op_young(struct workload *w)
{
    struct gc *gc = &w->fx.pool->gc;
    struct gc_ticket ticket;
    if (gc->phase != GC_IDLE || w->fx.pool->heap.zero_head != 0 || w->fx.pool->dying != NULL) {
        (void)pool_step(w->fx.pool, 1);
        return;
    }
    gc->young.nodes_most = (uint32_t)random_between(&w->random, 2, 4 * WORKLOAD_RING);
    pool_collect_young(w->fx.pool, random_once_in(&w->random, 8), &ticket);
    w->trying = true;
    while (gc->phase == GC_IDLE && w->fx.pool->heap.zero_head == 0 && gc_step(gc, 1) != 0)
        continue;
    w->trying = false;
}

/* A good piece of a pass that moves all it can is one operation: nobody can see that. */
static void op_evacuate(struct workload *w)
{
    struct evacuation *e = &w->fx.pool->evacuation;
    w->moving = true;
    e->config = (struct evacuate_config){.percent = 99, .least = 1, .thorough = true};
    for (uint64_t units = random_between(&w->random, 1, 150); units > 0 && evacuate_step(e, 1) != 0; units--)
        continue;
    e->config.percent = 0;
    w->moving = false;
}

static void op_collect(struct workload *w)
{
    struct gc_ticket ticket;
    if (w->only_young)
        op_young(w);
    else
        (void)pool_collect(w->fx.pool, random_once_in(&w->random, 8), random_once_in(&w->random, 4), &ticket);
}

/* A single unit: more of them are several operations, each with an effect of its own. */
static void op_step(struct workload *w)
{
    (void)pool_step(w->fx.pool, 1);
}

static void op_time(struct workload *w)
{
    w->fx.now_ms += random_below(&w->random, 800);
    pool_tick(w->fx.pool, w->fx.now_ms, w->fx.lease_ms);
}

static void (*const operations[])(struct workload *) = {
    op_put,       op_put,     op_put,    op_put_many, op_set,     op_write_seal, op_link,
    op_link,      op_link,    op_retain, op_retain,   op_release, op_release,    op_release,
    op_share,     op_claim,   op_name,   op_unname,   op_lookup,  op_store,      op_session,
    op_step,      op_step,    op_time,   op_step,     op_step,    op_guard,      op_collect,
    op_trace,     op_trace,   op_trace,  op_trace,    op_ring,    op_drop_ring,  op_ring,
    op_drop_ring, op_collect, op_trace,  op_trace,    op_name,    op_ring,       op_drop_ring,
    op_young,     op_young,   op_guard,  op_guard,    op_step,    op_evacuate,   op_evacuate,
};
#define OPERATIONS (sizeof operations / sizeof operations[0])

/* Two runs of one class; then the second one is given back, and what lies there waits for cells of another class. */
static void crowd_names(struct workload *w)
{
    char buffer[HF_NAME_MAX + 1];
    uint64_t id = put_leaf(&w->fx, w->fx.a), version;
    for (unsigned k = 0; k < LONG_NAMES; k++)
        if (pool_name_bind(w->fx.pool, long_name(buffer, k), id, POOL_ANY_VERSION, &version) != 0)
            fixture_die("a name cannot be bound");
    for (unsigned k = LONG_NAMES_LAST; k < LONG_NAMES; k++) {
        struct name_in name = long_name(buffer, k);
        if (pool_unname(w->fx.pool, &name, 1, POOL_ANY_VERSION) != 0)
            fixture_die("a name cannot be unbound");
    }
    w->crowded_names = true;
}

void workload_open(struct workload *w, uint64_t seed, uint64_t max_bytes)
{
    struct fixture_options options = {
        .max_bytes = max_bytes, .serial_base = 7, .seed = seed + 1, .granules = seed % 2 == 0};
    memset(w, 0, sizeof *w);
    w->random.state = seed;
    w->values_large = true;
    w->only_young = seed % 4 == 3;
    w->pattern = malloc(PATTERN_BYTES);
    if (w->pattern == NULL)
        fixture_die("no memory");
    for (size_t k = 0; k < PATTERN_BYTES; k++)
        w->pattern[k] = (uint8_t)(k * 31 + (k >> 8));
    fixture_open_with(&w->fx, &options);
    w->fx.pool->gc.config.young_suspects = 2 * WORKLOAD_RING; /* some begin by themselves */
    w->key[0] = 9;
    w->fx.replay = true;
    w->session[0] = fixture_session(&w->fx, 9, 1000, w);
    fill_window(w, w->session[0], random_below(&w->random, REPLAY_SLOTS));
    /* versions soon take more than 32 bits */
    w->fx.pool->heap.sb->next_version = UINT32_MAX - 20;
    if (seed % 5 < 3)
        crowd_names(w);
    if (seed % 4 == 0) {
        static const uint64_t nils[SEGMENT_SLOTS - 1];
        w->long_list = put_refs(&w->fx, w->fx.a, nils, SEGMENT_SLOTS - 1);
        tell(w, w->long_list);
    }
}

static struct session *resumed(struct workload *w, unsigned number, void *owner)
{
    uint8_t key[HF_KEY_SIZE];
    fixture_key(number, key);
    struct session *s = pool_session_by_key(w->fx.pool, key);
    if (s != NULL)
        pool_session_attach(w->fx.pool, s, owner);
    return s;
}

void workload_restart(struct workload *w)
{
    const struct heap *heap = &w->fx.pool->heap;
    struct pool_config config = {.name = "test",
                                 .max_bytes = w->fx.pool->mem.limit,
                                 .random_seed = w->done + 1,
                                 .now_ms = w->fx.now_ms,
                                 .io = &w->fx.grow.io,
                                 .fd_meta = fcntl(heap->meta.fd, F_DUPFD_CLOEXEC, 0),
                                 .fd_values = fcntl(heap->values.fd, F_DUPFD_CLOEXEC, 0)};
    char error[200];
    pool_close(w->fx.pool);
    if (pool_open(&w->fx.pool, &config, error, sizeof error) != 0)
        fixture_die("the pool does not open again: %s", error);
    pool_tick(w->fx.pool, w->fx.now_ms, w->fx.lease_ms);
    w->fx.a = resumed(w, 1, &w->fx.owner_a);
    w->fx.b = resumed(w, 2, &w->fx.owner_b);
    for (unsigned k = 0; k < WORKLOAD_SESSIONS; k++)
        if (w->session[k] != NULL)
            w->session[k] = resumed(w, w->key[k], w);
}

void workload_step(struct workload *w)
{
    operations[random_below(&w->random, OPERATIONS)](w);
    w->done++;
}

void workload_close(struct workload *w)
{
    fixture_close(&w->fx);
    free(w->pattern);
    w->pattern = NULL;
}
