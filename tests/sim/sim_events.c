/* SPDX-License-Identifier: BSD-3-Clause */
/* Events against their oracle (told.h): random operations of sessions that watch, guard, subscribe, read at their own
 * pace, lose their connections and end, on a small graph whose objects die in every way; and steps of a few units
 * between them, restarts of the process, and memory that fails.
 *
 * Which objects are gone, and whether a guard has become a hold, is asked of the pool after each operation (sim_gc.c
 * judges that). Here it is judged who is told of it: each notice once, with a reason that fits the operation; each
 * event of the ring once and in order, or within a gap; nothing to those who have not asked, or are in grace. At rest
 * everything has been told, and the hold that was announced is there.
 *
 * HF_SEED  the first seed; a failure prints the seed of its run      HF_SEEDS  how many
 * HF_TEST_LONG=1  a hundred times as many */
#include "daemon/pool/internal.h"
#include "tests/lib/event_fixture.h"
#include "tests/lib/random.h"
#include "tests/sim/told.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SEEDS      1500u
#define SEEDS_LONG 150000u
#define OBJECTS    400u /* ever made in one run */
#define NAMES      3u
#define SLOTS      3u
#define SESSIONS   TOLD_SESSIONS

#define ANY_SESSION_END (1u << REASON_SESSION_END | 1u << REASON_KILL)
#define FIRST_KEY       100u

struct object {
    uint64_t id;
    bool gone;
    bool watched[SESSIONS];
    uint64_t holds[SESSIONS];
    int guard; /* the session whose guard it has, plus 1; 0: none */
};

struct client {
    struct session *session;
    unsigned key;
    int owner; /* stands for its connection: only the address matters */
    bool attached, asked, in_flight;
};

struct totals {
    uint64_t operations, freed, delivered, restarts, notices, events, gaps, again;
};

struct sim {
    uint64_t seed, number; /* of the operation */
    struct totals *totals;
    const char *operation;
    struct random random;
    struct fixture fx;
    struct pool *pool;
    struct told told;
    struct client clients[SESSIONS];
    struct object objects[OBJECTS + 1];
    uint32_t made, living_most;
    unsigned keys_used;
    bool names_bound[NAMES];
    bool fails;           /* private memory fails now and then */
    uint32_t why;         /* what the operation may kill objects of, as bits */
    uint32_t pending;     /* the same of sessions that are ending */
    uint64_t begun, done; /* collections, as told so far */
    uint64_t numbers;     /* of events of the test's own */
};

_Noreturn __attribute__((format(printf, 2, 3))) /* checks arguments */
static void
fail(const struct sim *sim, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fprintf(stderr, "sim_events: HF_SEED=%llu operation %llu (%s): ", (unsigned long long)sim->seed,
            (unsigned long long)sim->number, sim->operation);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    exit(1);
}

static bool chance(struct sim *sim, unsigned percent)
{
    return random_below(&sim->random, 100) < percent;
}

/* ---- what the pool has done ---- */

/* Collections that have begun or ended became events, if somebody was subscribed; never two at one time. */
static void count_collections(struct sim *sim)
{
    const struct gc_runs *runs = sim->pool->gc.runs;
    uint64_t begun = runs[0].begun + runs[1].begun, done = runs[0].done + runs[1].done;
    while (sim->begun != begun || sim->done != done) {
        bool begins = sim->begun == sim->done;
        *(begins ? &sim->begun : &sim->done) += 1;
        if (sim->told.subscribers != 0)
            told_record(&sim->told, begins ? "start" : "end", 0, UINT64_MAX);
    }
}

static void see_collections(struct sim *sim)
{
    count_collections(sim);
    if (sim->told.next != sim->pool->ring.next)
        fail(sim, "the ring's next number is %llu, not %llu", (unsigned long long)sim->pool->ring.next,
             (unsigned long long)sim->told.next);
}

static void see_death(struct sim *sim, struct object *o)
{
    o->gone = true;
    sim->totals->freed++;
    if (o->guard != 0)
        fail(sim, "an object died that had a guard");
    for (unsigned k = 0; k < SESSIONS; k++)
        if (o->watched[k])
            told_expect(&sim->told, k, o->id, sim->why | sim->pending);
}

static void see_delivery(struct sim *sim, struct object *o)
{
    unsigned k = (unsigned)o->guard - 1;
    o->guard = 0;
    o->holds[k]++;
    sim->totals->delivered++;
    told_expect(&sim->told, k, o->id, 0);
}

/* After each operation and step. */
static void see(struct sim *sim)
{
    for (uint32_t n = 1; n <= sim->made; n++) {
        struct object *o = &sim->objects[n];
        if (o->gone)
            continue;
        if (o->guard != 0 && !pool_is_guarded(sim->pool, o->id) && !is_gone(&sim->fx, o->id))
            see_delivery(sim, o);
        if (is_gone(&sim->fx, o->id)) {
            see_death(sim, o);
            continue;
        }
        for (unsigned k = 0; k < SESSIONS; k++)
            if (hold_count(sim->pool, sim->clients[k].session, id_index(o->id)) != o->holds[k])
                fail(sim, "object %u: client %u does not hold it as often as it should", n, k);
    }
    see_collections(sim);
    if (sim->pool->dying == NULL && sim->pool->heap.zero_head == 0)
        sim->pending = 0;
}

/* ---- choosing ---- */

static struct object *pick(struct sim *sim)
{
    for (unsigned tries = 0; sim->made != 0 && tries < 20; tries++) {
        struct object *o = &sim->objects[random_between(&sim->random, 1, sim->made)];
        if (!o->gone)
            return o;
    }
    return NULL;
}

/* One that is attached; NULL: none was met. */
static struct client *pick_client(struct sim *sim)
{
    struct client *client = &sim->clients[random_below(&sim->random, SESSIONS)];
    return client->attached ? client : NULL;
}

static unsigned number_of_client(const struct sim *sim, const struct client *client)
{
    return (unsigned)(client - sim->clients);
}

/* Whether it was done. It may only have failed for want of memory, or because room was made for it by a collection
 * that found an object of it to be garbage; and then nothing has happened. */
static bool went_well(const struct sim *sim, int rc)
{
    if (rc != 0 && !((rc == -HF_E_OOM || rc == -HF_E_GONE) && sim->fails))
        fail(sim, "answered %d: %s", rc, pool_fault(sim->pool)->text);
    return rc == 0;
}

/* ---- operations on the graph ---- */

static void op_put(struct sim *sim)
{
    struct client *client = pick_client(sim);
    uint64_t refs[SLOTS] = {0};
    struct put_spec spec = {.value = bytes_in("x", 1), .refs = refs, .refs_count = SLOTS};
    if (client == NULL || sim->made == OBJECTS)
        return;
    for (unsigned k = 0; k < SLOTS; k++) {
        struct object *o = chance(sim, 40) ? pick(sim) : NULL;
        refs[k] = o == NULL ? 0 : o->id;
    }
    uint64_t id;
    if (!went_well(sim, pool_put(sim->pool, client->session, &spec, &id)))
        return;
    struct object *o = &sim->objects[++sim->made];
    *o = (struct object){.id = id};
    o->holds[number_of_client(sim, client)] = 1;
}

static void op_link(struct sim *sim)
{
    struct object *from = pick(sim), *to = chance(sim, 60) ? pick(sim) : NULL;
    uint64_t previous;
    sim->why |= 1u << REASON_UNLINK;
    if (from != NULL)
        (void)went_well(sim, pool_link(sim->pool, from->id, (uint32_t)random_below(&sim->random, SLOTS),
                                       to == NULL ? 0 : to->id, &previous));
}

static void op_retain(struct sim *sim)
{
    struct client *client = pick_client(sim);
    struct object *o = pick(sim);
    uint64_t count;
    if (client != NULL && o != NULL &&
        went_well(sim, pool_retain(sim->pool, client->session, &o->id, 1, 1, NULL, 0, &count)))
        o->holds[number_of_client(sim, client)]++;
}

static void op_release(struct sim *sim)
{
    struct client *client = pick_client(sim);
    struct object *o = pick(sim);
    uint64_t count;
    sim->why |= 1u << REASON_RELEASE;
    if (client == NULL || o == NULL || o->holds[number_of_client(sim, client)] == 0)
        return;
    uint64_t *held = &o->holds[number_of_client(sim, client)];
    uint32_t n = (uint32_t)random_between(&sim->random, 1, *held);
    if (went_well(sim, pool_release(sim->pool, client->session, &o->id, 1, n, &count)))
        *held -= n;
}

static struct name_in name_of_number(unsigned number)
{
    static const char *const names[NAMES] = {"a", "b", "c"};
    return name_of(names[number]);
}

static void op_name(struct sim *sim)
{
    unsigned number = (unsigned)random_below(&sim->random, NAMES);
    struct object *o = pick(sim);
    uint64_t version;
    sim->why |= 1u << REASON_REPLACED;
    if (o != NULL &&
        went_well(sim, pool_name_bind(sim->pool, name_of_number(number), o->id, POOL_ANY_VERSION, &version)))
        sim->names_bound[number] = true;
}

static void op_unname(struct sim *sim)
{
    unsigned number = (unsigned)random_below(&sim->random, NAMES);
    struct name_in name = name_of_number(number);
    sim->why |= 1u << REASON_UNNAME;
    if (sim->names_bound[number] && went_well(sim, pool_unname(sim->pool, &name, 1, POOL_ANY_VERSION)))
        sim->names_bound[number] = false;
}

static void op_collect(struct sim *sim)
{
    struct gc_ticket ticket;
    (void)went_well(sim, pool_collect(sim->pool, chance(sim, 25), chance(sim, 20), &ticket));
}

static void op_tick(struct sim *sim)
{
    sim->fx.now_ms += random_below(&sim->random, 2000);
    pool_tick(sim->pool, sim->fx.now_ms, sim->fx.lease_ms);
}

/* ---- operations on events ---- */

/* Its connection has asked: a call that failed counts too. */
static void asked(struct sim *sim, struct client *client)
{
    pool_listen(sim->pool, client->session);
    client->asked = client->session->outbox != NULL;
}

/* Several at once, all or none; one may be dead, one may stand there twice. */
static void op_watch(struct sim *sim)
{
    struct client *client = pick_client(sim);
    uint32_t count = (uint32_t)random_between(&sim->random, 1, 3), dead = UINT32_MAX;
    struct object *objects[3];
    uint64_t ids[3];
    if (client == NULL || sim->made == 0)
        return;
    for (uint32_t k = 0; k < count; k++) {
        objects[k] = chance(sim, 90) ? pick(sim) : &sim->objects[random_between(&sim->random, 1, sim->made)];
        if (objects[k] == NULL)
            return;
        ids[k] = objects[k]->id;
        dead = objects[k]->gone && dead == UINT32_MAX ? k : dead;
    }
    bool watches = chance(sim, 70);
    int rc = watches ? pool_watch(sim->pool, client->session, ids, count)
                     : pool_unwatch(sim->pool, client->session, ids, count);
    if (watches)
        asked(sim, client);
    if (dead != UINT32_MAX && (rc != -HF_E_GONE || pool_fault(sim->pool)->index != dead))
        fail(sim, "answered %d of a list with a dead object", rc);
    if (dead == UINT32_MAX && went_well(sim, rc))
        for (uint32_t k = 0; k < count; k++)
            objects[k]->watched[number_of_client(sim, client)] = watches;
}

static void op_guard(struct sim *sim)
{
    struct client *client = pick_client(sim);
    struct object *o = pick(sim);
    if (client == NULL || o == NULL || sim->pool->dying != NULL)
        return;
    int mine = (int)number_of_client(sim, client) + 1;
    if (chance(sim, 70)) {
        int rc = pool_guard(sim->pool, client->session, o->id);
        asked(sim, client);
        if (o->guard != 0 ? rc != -HF_E_CONFLICT : went_well(sim, rc) && (o->guard = mine, false))
            fail(sim, "a second guard answered %d", rc);
        return;
    }
    int rc = pool_unguard(sim->pool, client->session, o->id);
    if (rc != (o->guard == mine ? 0 : -HF_E_CONFLICT))
        fail(sim, "unguard answered %d", rc);
    o->guard = o->guard == mine ? 0 : o->guard;
}

static void op_subscribe(struct sim *sim)
{
    static const char *const prefixes[] = {"", "", "x", "y", "start", "end", "nobody"};
    struct client *client = pick_client(sim);
    if (client == NULL)
        return;
    unsigned k = number_of_client(sim, client);
    const char *prefix = prefixes[random_below(&sim->random, 7)];
    struct topic_in topic = {.topic = HF_TOPIC_gc, .prefix = name_of(prefix)};
    uint64_t next = sim->pool->ring.next, seq, from = 0;
    if (chance(sim, 50))
        from = next - random_below(&sim->random, chance(sim, 70) ? 20 : 5000);
    from = chance(sim, 2) ? 1 : chance(sim, 3) ? next + 1 : from;
    int rc = pool_subscribe(sim->pool, client->session, &topic, 1, from, &seq);
    asked(sim, client);
    count_collections(sim); /* to make room for the ring */
    if (from > next && rc == -HF_E_BADARG)
        return;
    if (!went_well(sim, rc))
        return;
    told_subscribe(&sim->told, k, prefix, from);
    if (seq != sim->told.next - 1)
        fail(sim, "subscribe answered a wrong number of the latest event");
}

static void op_unsubscribe(struct sim *sim)
{
    struct client *client = pick_client(sim);
    if (client == NULL)
        return;
    pool_unsubscribe(sim->pool, client->session, &(struct topic_in){.topic = HF_TOPIC_gc}, 1);
    told_unsubscribe(&sim->told, number_of_client(sim, client));
}

/* Mostly a few; sometimes more than the ring has room for. */
static void op_record(struct sim *sim)
{
    static const char *const words[] = {"x", "xyz", "y", "other"};
    unsigned count = (unsigned)random_between(&sim->random, 1, chance(sim, 90) ? 4 : 6000);
    for (unsigned n = 0; n < count; n++) {
        const char *word = words[random_below(&sim->random, 4)];
        uint32_t size = chance(sim, 50) ? 0 : (uint32_t)random_below(&sim->random, 245);
        uint8_t text[256];
        memcpy(text, word, strlen(word));
        memset(text + strlen(word), '.', size);
        const struct event_value values[] = {
            {.kind = EVENT_TEXT, .text = text, .size = (uint32_t)strlen(word) + size},
            {.kind = EVENT_NIL},
            {.kind = EVENT_TEXT, .text = text, .size = 1},
            {.kind = EVENT_UINT, .number = ++sim->numbers},
        };
        ring_add(sim->pool, HF_TOPIC_gc, values, 4);
        if (sim->told.subscribers != 0)
            told_record(&sim->told, word, size, sim->numbers);
    }
}

/* ---- taking ---- */

static bool take_one(struct sim *sim, struct client *client)
{
    struct event event;
    unsigned k = number_of_client(sim, client);
    bool may = client->attached && client->asked && !client->in_flight;
    if (!pool_events_next(sim->pool, client->session, &event))
        return false;
    if (!may)
        fail(sim, "client %u is given an event that it cannot take now", k);
    const char *wrong = told_take(&sim->told, k, &event);
    if (wrong != NULL)
        fail(sim, "client %u, event %llu of %s (id or text %llu): %s", k, (unsigned long long)event.seq,
             hfp_topic_info(event.topic)->name, (unsigned long long)event.values[0].number, wrong);
    return true;
}

static void all_sent(struct sim *sim, struct client *client)
{
    pool_events_sent(sim->pool, client->session);
    told_sent(&sim->told, number_of_client(sim, client));
}

static void unsent(struct sim *sim, struct client *client)
{
    pool_events_unsent(sim->pool, client->session);
    told_unsent(&sim->told, number_of_client(sim, client));
}

static void op_take(struct sim *sim)
{
    struct client *client = &sim->clients[random_below(&sim->random, SESSIONS)];
    unsigned most = (unsigned)random_between(&sim->random, 1, chance(sim, 80) ? 5 : 3000);
    while (most > 0 && take_one(sim, client))
        most--;
    if (client->in_flight || !client->attached)
        return;
    if (chance(sim, 70)) {
        all_sent(sim, client);
    } else if (chance(sim, 50)) {
        unsent(sim, client);
    } else if (client->asked) { /* on its way, and the client does not read it yet */
        pool_events_pause(sim->pool, client->session);
        client->in_flight = true;
    } else
        all_sent(sim, client);
}

/* What was on its way has arrived. */
static void land(struct sim *sim, struct client *client)
{
    if (!client->in_flight)
        return;
    all_sent(sim, client);
    pool_events_resume(sim->pool, client->session);
    client->in_flight = false;
}

static void op_land(struct sim *sim)
{
    land(sim, &sim->clients[random_below(&sim->random, SESSIONS)]);
}

/* Whoever the pool says has something may be given it. */
static void check_ready(struct sim *sim)
{
    for (unsigned n = 0; n < SESSIONS; n++) {
        const struct session *session = pool_events_session(sim->pool);
        for (unsigned k = 0; session != NULL && k < SESSIONS; k++) {
            const struct client *client = &sim->clients[k];
            if (client->session == session && !(client->attached && client->asked && !client->in_flight))
                fail(sim, "client %u is said to have events, and cannot take any", k);
        }
    }
}

/* ---- sessions, and the process ---- */

static void detach(struct sim *sim, struct client *client)
{
    if (client->in_flight || chance(sim, 50))
        told_unsent(&sim->told, number_of_client(sim, client)); /* the connection broke with it */
    pool_session_detach(sim->pool, client->session);
    client->attached = client->asked = client->in_flight = false;
}

static void attach(struct sim *sim, struct client *client)
{
    pool_session_attach(sim->pool, client->session, &client->owner);
    client->attached = true;
    if (chance(sim, 50))
        asked(sim, client);
}

static void op_connection(struct sim *sim)
{
    struct client *client = &sim->clients[random_below(&sim->random, SESSIONS)];
    if (client->attached)
        detach(sim, client);
    else
        attach(sim, client);
}

static void begin_client(struct sim *sim, struct client *client)
{
    client->key = FIRST_KEY + sim->keys_used++;
    client->session = fixture_session(&sim->fx, client->key, UINT32_MAX, &client->owner);
    client->attached = true;
    client->asked = client->in_flight = false;
}

static void op_end(struct sim *sim)
{
    struct client *client = &sim->clients[random_below(&sim->random, SESSIONS)];
    unsigned k = number_of_client(sim, client);
    struct mem *mem = pool_mem(sim->pool);
    enum reason reason = chance(sim, 50) ? REASON_KILL : REASON_SESSION_END;
    sim->pending |= 1u << reason;
    told_forget(&sim->told, k);
    for (uint32_t n = 1; n <= sim->made; n++) {
        struct object *o = &sim->objects[n];
        o->holds[k] = 0;
        o->watched[k] = false;
        o->guard = o->guard == (int)k + 1 ? 0 : o->guard;
    }
    pool_session_end(sim->pool, client->session, reason);
    mem->fail_at = 0;
    begin_client(sim, client);
}

/* The process dies, and another one recovers the image. What a session that was ending held has gone by then. */
static void op_restart(struct sim *sim)
{
    if (!chance(sim, 20))
        return;
    pool_mem(sim->pool)->fail_at = 0;
    fixture_restart(&sim->fx);
    sim->pool = sim->fx.pool;
    sim->totals->restarts++;
    sim->begun = sim->done = 0;
    told_restart(&sim->told, sim->pool->ring.next);
    sim->why |= 1u << REASON_SESSION_END;
    for (unsigned k = 0; k < SESSIONS; k++) {
        struct client *client = &sim->clients[k];
        uint8_t key[HF_KEY_SIZE];
        fixture_key(client->key, key);
        client->session = pool_session_by_key(sim->pool, key);
        if (client->session == NULL)
            fail(sim, "client %u has no session after the restart", k);
        client->attached = client->asked = client->in_flight = false;
        if (chance(sim, 60))
            attach(sim, client);
    }
}

/* ---- a run ---- */

static const struct operation {
    const char *name;
    unsigned weight;
    void (*run)(struct sim *sim);
} operations[] = {
    {"put", 24, op_put},
    {"link", 24, op_link},
    {"retain", 6, op_retain},
    {"release", 30, op_release},
    {"name", 5, op_name},
    {"unname", 5, op_unname},
    {"collect", 5, op_collect},
    {"tick", 3, op_tick},
    {"watch", 30, op_watch},
    {"guard", 14, op_guard},
    {"subscribe", 6, op_subscribe},
    {"unsubscribe", 2, op_unsubscribe},
    {"record", 6, op_record},
    {"take", 24, op_take},
    {"land", 8, op_land},
    {"connection", 6, op_connection},
    {"end", 2, op_end},
    {"restart", 4, op_restart},
};
#define OPERATIONS (sizeof operations / sizeof operations[0])

/* Collections go on within any operation that allocates or links. */
static void operate(struct sim *sim)
{
    unsigned total = 0, k = 0;
    for (unsigned n = 0; n < OPERATIONS; n++)
        total += operations[n].weight;
    for (unsigned dice = (unsigned)random_below(&sim->random, total); dice >= operations[k].weight; k++)
        dice -= operations[k].weight;
    struct mem *mem = pool_mem(sim->pool);
    sim->operation = operations[k].name;
    sim->why = 1u << REASON_CYCLE;
    mem->fail_at = sim->fails && chance(sim, 20) ? mem->calls + random_between(&sim->random, 1, 4) : 0;
    operations[k].run(sim);
    pool_mem(sim->pool)->fail_at = 0;
    sim->totals->operations++;
    see(sim);
    check_ready(sim);
}

/* Lets go of some while too many live, so that all kinds of objects die. */
static void prune(struct sim *sim)
{
    uint32_t living = 0;
    for (uint32_t n = 1; n <= sim->made; n++)
        living += !sim->objects[n].gone;
    for (; living > sim->living_most; living--) {
        sim->operation = "prune";
        sim->why = 1u << REASON_CYCLE;
        op_release(sim);
        see(sim);
    }
}

static void step(struct sim *sim)
{
    struct mem *mem = pool_mem(sim->pool);
    sim->operation = "step";
    sim->why = 1u << REASON_CYCLE;
    mem->fail_at = sim->fails && chance(sim, 10) ? mem->calls + 1 : 0;
    (void)pool_step(sim->pool, (unsigned)random_between(&sim->random, 1, chance(sim, 90) ? 6 : 600));
    mem->fail_at = 0;
    see(sim);
    check_ready(sim);
}

/* Takes all there is of those that the pool says have something, as the server does. */
static void take_as_told(struct sim *sim)
{
    const struct session *session;
    while ((session = pool_events_session(sim->pool)) != NULL) {
        unsigned k = 0;
        while (k < SESSIONS && sim->clients[k].session != session)
            k++;
        if (k == SESSIONS)
            fail(sim, "a session is said to have events that is not there");
        while (take_one(sim, &sim->clients[k])) {
        }
        all_sent(sim, &sim->clients[k]);
    }
}

/* All work is done; every client is there, takes all, and has been told everything. */
static void rest(struct sim *sim)
{
    sim->operation = "rest";
    sim->why = 1u << REASON_CYCLE;
    op_tick(sim); /* what a delivery lacked memory for is tried again */
    while (pool_step(sim->pool, 100) != 0)
        see(sim);
    see(sim);
    for (unsigned k = 0; k < SESSIONS; k++) {
        struct client *client = &sim->clients[k];
        if (!client->attached)
            attach(sim, client);
        asked(sim, client);
        land(sim, client);
    }
    take_as_told(sim);
    for (unsigned k = 0; k < SESSIONS; k++) {
        const char *wrong = told_all(&sim->told, k);
        if (wrong != NULL)
            fail(sim, "client %u: %s", k, wrong);
    }
}

static void check_figures(struct sim *sim)
{
    struct event_stats stats;
    uint64_t watches = 0, guards = 0;
    for (uint32_t n = 1; n <= sim->made; n++) {
        guards += sim->objects[n].guard != 0;
        for (unsigned k = 0; k < SESSIONS && !sim->objects[n].gone; k++)
            watches += sim->objects[n].watched[k];
    }
    pool_event_stats(sim->pool, &stats);
    if (stats.watches != watches || stats.guards != guards || stats.waiting != 0 ||
        stats.subscribers != sim->told.subscribers)
        fail(sim, "stats tell of %llu watches, %llu guards, %llu waiting, %llu subscribers",
             (unsigned long long)stats.watches, (unsigned long long)stats.guards,
             (unsigned long long)stats.waiting, (unsigned long long)stats.subscribers);
}

static void begin(struct sim *sim)
{
    struct fixture_options options = {.max_bytes = 16u << 20, .seed = sim->seed + 1};
    sim->operation = "begin";
    fixture_open_with(&sim->fx, &options);
    sim->pool = sim->fx.pool;
    sim->told.next = sim->told.forgotten = sim->pool->ring.next;
    for (unsigned k = 0; k < SESSIONS; k++)
        begin_client(sim, &sim->clients[k]);
    sim->living_most = (uint32_t)random_between(&sim->random, 3, 30);
    sim->fails = chance(sim, 20);
    struct gc_config gc = *pool_gc_config(sim->pool);
    gc.enabled = chance(sim, 50);
    gc.objects_least = random_between(&sim->random, 1, 40);
    pool_gc_set_config(sim->pool, &gc);
}

static void run(struct sim *sim, uint64_t seed, struct totals *totals)
{
    *sim = (struct sim){.seed = seed, .totals = totals, .random = {seed * 0x2545f4914f6cdd1dull}};
    begin(sim);
    uint64_t most = random_between(&sim->random, 50, 400);
    unsigned step_percent = (unsigned)random_between(&sim->random, 20, 80);
    for (sim->number = 1; sim->number <= most; sim->number++) {
        if (chance(sim, step_percent))
            step(sim);
        operate(sim);
        prune(sim);
        if (chance(sim, 2)) {
            rest(sim);
            check_figures(sim);
        }
    }
    rest(sim);
    check_figures(sim);
    verify_ok(&sim->fx);
    totals->notices += sim->told.notices;
    totals->events += sim->told.events;
    totals->gaps += sim->told.gaps;
    totals->again += sim->told.again;
    told_done(&sim->told);
    fixture_close(&sim->fx);
}

static uint64_t number_of(const char *variable, uint64_t otherwise)
{
    const char *text = getenv(variable);
    return text != NULL && text[0] != '\0' ? strtoull(text, NULL, 0) : otherwise;
}

int main(void)
{
    uint64_t first = number_of("HF_SEED", 1);
    uint64_t seeds = number_of("HF_SEEDS", number_of("HF_TEST_LONG", 0) ? SEEDS_LONG : SEEDS);
    struct sim *sim = calloc(1, sizeof *sim);
    if (sim == NULL)
        abort();
    struct totals totals = {0};
    for (uint64_t seed = first; seed < first + seeds; seed++)
        run(sim, seed, &totals);
    free(sim);
    printf(
        "sim_events: %llu runs, %llu operations, %llu objects freed, %llu guards delivered, %llu restarts, "
        "%llu notices and %llu events taken, %llu gaps, %llu given again\n",
        (unsigned long long)seeds, (unsigned long long)totals.operations, (unsigned long long)totals.freed,
        (unsigned long long)totals.delivered, (unsigned long long)totals.restarts,
        (unsigned long long)totals.notices, (unsigned long long)totals.events,
        (unsigned long long)totals.gaps, (unsigned long long)totals.again);
    bool enough = totals.notices > seeds && totals.events > seeds && totals.delivered > seeds / 10 &&
                  totals.gaps > 0 && totals.again > 0;
    return enough || seeds < 100 ? 0 : 1;
}
