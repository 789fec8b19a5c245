/* SPDX-License-Identifier: BSD-3-Clause */
/* The graph of sim_events.c: objects are made, linked, held, named and let go, in every way in which one can die. */
#include "tests/sim/events.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

_Noreturn void events_fail(const struct sim *sim, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fprintf(stderr, "sim_events: HF_SEED=%llu operation %llu (%s): ", (unsigned long long)sim->seed,
            (unsigned long long)sim->number, sim->operation);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    exit(1);
}

bool events_chance(struct sim *sim, unsigned percent)
{
    return random_below(&sim->random, 100) < percent;
}

/* ---- what the pool has done ---- */

/* Collections that have begun or ended became events, if somebody was subscribed; never two at one time. */
void events_count_collections(struct sim *sim)
{
    const struct gc_runs *runs = sim->pool->gc.runs;
    const struct gc_young *young = &sim->pool->gc.young;
    uint64_t begun = runs[0].begun + runs[1].begun + young->begun;
    uint64_t done = runs[0].done + runs[1].done + young->ended;
    while (sim->begun != begun || sim->done != done) {
        bool begins = sim->begun == sim->done;
        *(begins ? &sim->begun : &sim->done) += 1;
        if (sim->told.subscribers != 0)
            told_record(&sim->told, begins ? "start" : "end", 0, UINT64_MAX);
    }
}

static void see_collections(struct sim *sim)
{
    events_count_collections(sim);
    if (sim->told.next != sim->pool->ring.next)
        events_fail(sim, "the ring's next number is %llu, not %llu", (unsigned long long)sim->pool->ring.next,
                    (unsigned long long)sim->told.next);
}

static void see_death(struct sim *sim, struct object *o)
{
    o->gone = true;
    sim->totals->freed++;
    if (o->guard != 0)
        events_fail(sim, "an object died that had a guard");
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
void events_see(struct sim *sim)
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
                events_fail(sim, "object %u: client %u does not hold it as often as it should", n, k);
    }
    see_collections(sim);
    if (sim->pool->dying == NULL && sim->pool->heap.zero_head == 0)
        sim->pending = 0;
}

/* ---- choosing ---- */

struct object *events_pick(struct sim *sim)
{
    for (unsigned tries = 0; sim->made != 0 && tries < 20; tries++) {
        struct object *o = &sim->objects[random_between(&sim->random, 1, sim->made)];
        if (!o->gone)
            return o;
    }
    return NULL;
}

/* One that is attached; NULL: none was met. */
struct client *events_pick_client(struct sim *sim)
{
    struct client *client = &sim->clients[random_below(&sim->random, SESSIONS)];
    return client->attached ? client : NULL;
}

unsigned events_client_number(const struct sim *sim, const struct client *client)
{
    return (unsigned)(client - sim->clients);
}

/* Whether it was done. It may only have failed for want of memory, or because room was made for it by a collection
 * that found an object of it to be garbage; and then nothing has happened. */
bool events_went_well(const struct sim *sim, int rc)
{
    if (rc != 0 && !((rc == -HF_E_OOM || rc == -HF_E_GONE) && sim->fails))
        events_fail(sim, "answered %d: %s", rc, pool_fault(sim->pool)->text);
    return rc == 0;
}

/* ---- operations on the graph ---- */

static void op_put(struct sim *sim)
{
    struct client *client = events_pick_client(sim);
    uint64_t refs[SLOTS] = {0};
    struct put_spec spec = {.value = bytes_in("x", 1), .refs = refs, .refs_count = SLOTS};
    if (client == NULL || sim->made == OBJECTS)
        return;
    for (unsigned k = 0; k < SLOTS; k++) {
        struct object *o = events_chance(sim, 40) ? events_pick(sim) : NULL;
        refs[k] = o == NULL ? 0 : o->id;
    }
    uint64_t id;
    if (!events_went_well(sim, pool_put(sim->pool, client->session, &spec, &id)))
        return;
    struct object *o = &sim->objects[++sim->made];
    *o = (struct object){.id = id};
    o->holds[events_client_number(sim, client)] = 1;
}

static void op_link(struct sim *sim)
{
    struct object *from = events_pick(sim), *to = events_chance(sim, 60) ? events_pick(sim) : NULL;
    uint64_t previous;
    sim->why |= 1u << REASON_UNLINK;
    if (from != NULL)
        (void)events_went_well(sim,
                               pool_link(sim->pool, from->id, (uint32_t)random_below(&sim->random, SLOTS),
                                         to == NULL ? 0 : to->id, &previous));
}

static void op_retain(struct sim *sim)
{
    struct client *client = events_pick_client(sim);
    struct object *o = events_pick(sim);
    uint64_t count;
    if (client != NULL && o != NULL &&
        events_went_well(sim, pool_retain(sim->pool, client->session, &o->id, 1, 1, NULL, 0, &count)))
        o->holds[events_client_number(sim, client)]++;
}

static void op_release(struct sim *sim)
{
    struct client *client = events_pick_client(sim);
    struct object *o = events_pick(sim);
    uint64_t count;
    sim->why |= 1u << REASON_RELEASE;
    if (client == NULL || o == NULL || o->holds[events_client_number(sim, client)] == 0)
        return;
    uint64_t *held = &o->holds[events_client_number(sim, client)];
    uint32_t n = (uint32_t)random_between(&sim->random, 1, *held);
    if (events_went_well(sim, pool_release(sim->pool, client->session, &o->id, 1, n, &count)))
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
    struct object *o = events_pick(sim);
    uint64_t version;
    sim->why |= 1u << REASON_REPLACED;
    if (o != NULL && events_went_well(sim, pool_name_bind(sim->pool, name_of_number(number), o->id,
                                                          POOL_ANY_VERSION, &version)))
        sim->names_bound[number] = true;
}

static void op_unname(struct sim *sim)
{
    unsigned number = (unsigned)random_below(&sim->random, NAMES);
    struct name_in name = name_of_number(number);
    sim->why |= 1u << REASON_UNNAME;
    if (sim->names_bound[number] && events_went_well(sim, pool_unname(sim->pool, &name, 1, POOL_ANY_VERSION)))
        sim->names_bound[number] = false;
}

static void op_collect(struct sim *sim)
{
    struct gc_ticket ticket;
    if (events_chance(sim, 40))
        pool_collect_young(sim->pool, events_chance(sim, 25), &ticket);
    else
        (void)events_went_well(
            sim, pool_collect(sim->pool, events_chance(sim, 25), events_chance(sim, 20), &ticket));
}

void events_tick(struct sim *sim)
{
    sim->fx.now_ms += random_below(&sim->random, 2000);
    pool_tick(sim->pool, sim->fx.now_ms, sim->fx.lease_ms);
}

void events_prune(struct sim *sim)
{
    uint32_t living = 0;
    for (uint32_t n = 1; n <= sim->made; n++)
        living += !sim->objects[n].gone;
    for (; living > sim->living_most; living--) {
        sim->operation = "prune";
        sim->why = 1u << REASON_CYCLE;
        op_release(sim);
        events_see(sim);
    }
}

const struct operation events_graph_operations[] = {
    {"put", 24, op_put},         {"link", 24, op_link},    {"retain", 6, op_retain},
    {"release", 30, op_release}, {"name", 5, op_name},     {"unname", 5, op_unname},
    {"collect", 5, op_collect},  {"tick", 3, events_tick}, {NULL, 0, NULL},
};
