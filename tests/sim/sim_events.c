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
 * HF_TEST_LONG=1  20 times as many */
#include "tests/lib/environment.h"
#include "tests/sim/events.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SEEDS      1500u
#define SEEDS_LONG 30000u

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
    struct client *client = events_pick_client(sim);
    uint32_t count = (uint32_t)random_between(&sim->random, 1, 3), dead = UINT32_MAX;
    struct object *objects[3];
    uint64_t ids[3];
    if (client == NULL || sim->made == 0)
        return;
    for (uint32_t k = 0; k < count; k++) {
        objects[k] = events_chance(sim, 90) ? events_pick(sim)
                                            : &sim->objects[random_between(&sim->random, 1, sim->made)];
        if (objects[k] == NULL)
            return;
        ids[k] = objects[k]->id;
        dead = objects[k]->gone && dead == UINT32_MAX ? k : dead;
    }
    bool watches = events_chance(sim, 70);
    int rc = watches ? pool_watch(sim->pool, client->session, ids, count)
                     : pool_unwatch(sim->pool, client->session, ids, count);
    if (watches)
        asked(sim, client);
    if (dead != UINT32_MAX && (rc != -HF_E_GONE || pool_fault(sim->pool)->index != dead))
        events_fail(sim, "answered %d of a list with a dead object", rc);
    if (dead == UINT32_MAX && events_went_well(sim, rc))
        for (uint32_t k = 0; k < count; k++)
            objects[k]->watched[events_client_number(sim, client)] = watches;
}

static void op_guard(struct sim *sim)
{
    struct client *client = events_pick_client(sim);
    struct object *o = events_pick(sim);
    if (client == NULL || o == NULL || sim->pool->dying != NULL)
        return;
    int mine = (int)events_client_number(sim, client) + 1;
    if (events_chance(sim, 70)) {
        int rc = pool_guard(sim->pool, client->session, o->id);
        asked(sim, client);
        if (o->guard != 0 ? rc != -HF_E_CONFLICT : events_went_well(sim, rc) && (o->guard = mine, false))
            events_fail(sim, "a second guard answered %d", rc);
        return;
    }
    int rc = pool_unguard(sim->pool, client->session, o->id);
    if (rc != (o->guard == mine ? 0 : -HF_E_CONFLICT))
        events_fail(sim, "unguard answered %d", rc);
    o->guard = o->guard == mine ? 0 : o->guard;
}

static void op_subscribe(struct sim *sim)
{
    static const char *const prefixes[] = {"", "", "x", "y", "start", "end", "nobody"};
    struct client *client = events_pick_client(sim);
    if (client == NULL)
        return;
    unsigned k = events_client_number(sim, client);
    const char *prefix = prefixes[random_below(&sim->random, 7)];
    struct topic_in topic = {.topic = HF_TOPIC_gc, .prefix = name_of(prefix)};
    uint64_t next = sim->pool->ring.next, seq, from = 0;
    if (events_chance(sim, 50))
        from = next - random_below(&sim->random, events_chance(sim, 70) ? 20 : 5000);
    from = events_chance(sim, 2) ? 1 : events_chance(sim, 3) ? next + 1 : from;
    int rc = pool_subscribe(sim->pool, client->session, &topic, 1, from, &seq);
    asked(sim, client);
    events_count_collections(sim); /* to make room for the ring */
    if (from > next && rc == -HF_E_BADARG)
        return;
    if (!events_went_well(sim, rc))
        return;
    told_subscribe(&sim->told, k, prefix, from);
    if (seq != sim->told.next - 1)
        events_fail(sim, "subscribe answered a wrong number of the latest event");
}

static void op_unsubscribe(struct sim *sim)
{
    struct client *client = events_pick_client(sim);
    if (client == NULL)
        return;
    pool_unsubscribe(sim->pool, client->session, &(struct topic_in){.topic = HF_TOPIC_gc}, 1);
    told_unsubscribe(&sim->told, events_client_number(sim, client));
}

/* Mostly a few; sometimes more than the ring has room for. */
static void op_record(struct sim *sim)
{
    static const char *const words[] = {"x", "xyz", "y", "other"};
    unsigned count = (unsigned)random_between(&sim->random, 1, events_chance(sim, 90) ? 4 : 6000);
    for (unsigned n = 0; n < count; n++) {
        const char *word = words[random_below(&sim->random, 4)];
        uint32_t size = events_chance(sim, 50) ? 0 : (uint32_t)random_below(&sim->random, 245);
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
    unsigned k = events_client_number(sim, client);
    bool may = client->attached && client->asked && !client->in_flight;
    if (!pool_events_next(sim->pool, client->session, &event))
        return false;
    if (!may)
        events_fail(sim, "client %u is given an event that it cannot take now", k);
    const char *wrong = told_take(&sim->told, k, &event);
    if (wrong != NULL)
        events_fail(sim, "client %u, event %llu of %s (id or text %llu): %s", k,
                    (unsigned long long)event.seq, hfp_topic_info(event.topic)->name,
                    (unsigned long long)event.values[0].number, wrong);
    return true;
}

static void all_sent(struct sim *sim, struct client *client)
{
    pool_events_sent(sim->pool, client->session);
    told_sent(&sim->told, events_client_number(sim, client));
}

static void unsent(struct sim *sim, struct client *client)
{
    pool_events_unsent(sim->pool, client->session);
    told_unsent(&sim->told, events_client_number(sim, client));
}

static void op_take(struct sim *sim)
{
    struct client *client = &sim->clients[random_below(&sim->random, SESSIONS)];
    unsigned most = (unsigned)random_between(&sim->random, 1, events_chance(sim, 80) ? 5 : 3000);
    while (most > 0 && take_one(sim, client))
        most--;
    if (client->in_flight || !client->attached)
        return;
    if (events_chance(sim, 70)) {
        all_sent(sim, client);
    } else if (events_chance(sim, 50)) {
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
                events_fail(sim, "client %u is said to have events, and cannot take any", k);
        }
    }
}

/* ---- sessions, and the process ---- */

static void detach(struct sim *sim, struct client *client)
{
    if (client->in_flight || events_chance(sim, 50))
        told_unsent(&sim->told, events_client_number(sim, client)); /* the connection broke with it */
    pool_session_detach(sim->pool, client->session);
    client->attached = client->asked = client->in_flight = false;
}

static void attach(struct sim *sim, struct client *client)
{
    pool_session_attach(sim->pool, client->session, &client->owner);
    client->attached = true;
    if (events_chance(sim, 50))
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
    unsigned k = events_client_number(sim, client);
    struct mem *mem = pool_mem(sim->pool);
    enum reason reason = events_chance(sim, 50) ? REASON_KILL : REASON_SESSION_END;
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
    if (!events_chance(sim, 20))
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
            events_fail(sim, "client %u has no session after the restart", k);
        client->attached = client->asked = client->in_flight = false;
        if (events_chance(sim, 60))
            attach(sim, client);
    }
}

/* ---- a run ---- */

/* On events, beside those on the graph. */
static const struct operation operations[] = {
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
    {NULL, 0, NULL},
};

static unsigned weight_of(const struct operation *list)
{
    unsigned total = 0;
    for (; list->name != NULL; list++)
        total += list->weight;
    return total;
}

static const struct operation *choose(struct sim *sim)
{
    unsigned graph = weight_of(events_graph_operations);
    unsigned dice = (unsigned)random_below(&sim->random, graph + weight_of(operations));
    const struct operation *at = dice < graph ? events_graph_operations : operations;
    for (dice -= dice < graph ? 0 : graph; dice >= at->weight; at++)
        dice -= at->weight;
    return at;
}

/* Collections go on within any operation that allocates or links. */
static void operate(struct sim *sim)
{
    const struct operation *operation = choose(sim);
    struct mem *mem = pool_mem(sim->pool);
    sim->operation = operation->name;
    sim->why = 1u << REASON_CYCLE;
    mem->fail_at = sim->fails && events_chance(sim, 20) ? mem->calls + random_between(&sim->random, 1, 4) : 0;
    operation->run(sim);
    pool_mem(sim->pool)->fail_at = 0;
    sim->totals->operations++;
    events_see(sim);
    check_ready(sim);
}

/* Lets go of some while too many live, so that all kinds of objects die. */

static void step(struct sim *sim)
{
    struct mem *mem = pool_mem(sim->pool);
    sim->operation = "step";
    sim->why = 1u << REASON_CYCLE;
    mem->fail_at = sim->fails && events_chance(sim, 10) ? mem->calls + 1 : 0;
    (void)pool_step(sim->pool, (unsigned)random_between(&sim->random, 1, events_chance(sim, 90) ? 6 : 600));
    mem->fail_at = 0;
    events_see(sim);
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
            events_fail(sim, "a session is said to have events that is not there");
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
    events_tick(sim); /* what a delivery lacked memory for is tried again */
    while (pool_step(sim->pool, 100) != 0)
        events_see(sim);
    events_see(sim);
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
            events_fail(sim, "client %u: %s", k, wrong);
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
        events_fail(sim, "stats tell of %llu watches, %llu guards, %llu waiting, %llu subscribers",
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
    sim->fails = events_chance(sim, 20);
    struct gc_config gc = *pool_gc_config(sim->pool);
    gc.enabled = events_chance(sim, 50);
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
        if (events_chance(sim, step_percent))
            step(sim);
        operate(sim);
        events_prune(sim);
        if (events_chance(sim, 2)) {
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
