/* SPDX-License-Identifier: BSD-3-Clause */
/* The collector against its oracle (graph.h): random operations, and between any two of them steps of a few units, so
 * that every interleaving of clients and collector is met.
 *
 * After each operation and each step: whatever can be reached is alive, with the right slots, holds and guard; what is
 * gone stays gone; counts are those that a recount of all slots gives; the invariants I1 to I4 of gc.h hold for every
 * object. At the end of a collection all that was garbage when it began, and ever since, is gone. A guarded object is
 * delivered instead, once, and only if it was garbage. At the end of a run, without any reference from outside, two
 * collections leave nothing.
 *
 * HF_SEED  the first seed; a failure prints the seed of its run      HF_SEEDS  how many
 * HF_TEST_LONG=1  five times as many; `make soak` tries them by the million */
#include "tests/lib/environment.h"
#include "tests/sim/judge.h"
#include "tests/sim/saved_graph.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SEEDS        2000u
#define SEEDS_LONG   10000u
#define SLOTS_MOST   10u
#define SAVES_ONE_IN 10u /* runs without guards */

static bool chance(struct sim *sim, unsigned percent)
{
    return random_below(&sim->random, 100) < percent;
}

/* ---- choosing ---- */

/* An object that is not gone; mostly one that can be reached. 0: there is none. */
static uint32_t pick(struct sim *sim)
{
    const struct graph *g = &sim->graph;
    for (unsigned tries = 0; g->made > 0 && tries < 40; tries++) {
        uint32_t object = g->made - (uint32_t)random_below(&sim->random, g->made);
        const struct g_object *o = &g->objects[object];
        if (!o->gone && (o->reachable || (sim->weak && chance(sim, 30))))
            return object;
    }
    return 0;
}

static int pick_session(struct sim *sim)
{
    return (int)random_below(&sim->random, GRAPH_SESSIONS);
}

/* Did it succeed? Nothing may fail but for want of memory; and what cannot be reached may be freed to make room. */
static bool went_well(struct sim *sim, int rc, uint32_t object)
{
    if (rc == 0) {
        sim->totals->revived += object != 0 && !sim->graph.objects[object].reachable;
        return true;
    }
    if (sim->fails && rc == -HF_E_OOM)
        return false;
    if (sim->fails && rc == -HF_E_GONE && !sim->graph.objects[object].reachable)
        return false;
    judge_fail(sim, "answered %d: %s", rc, pool_fault(sim->pool)->text);
}

/* ---- operations ---- */

static void op_put(struct sim *sim)
{
    uint64_t refs[SLOTS_MOST], id;
    uint32_t objects[SLOTS_MOST],
        count = (uint32_t)random_below(&sim->random, chance(sim, 20) ? SLOTS_MOST + 1 : 3);
    int session = pick_session(sim);
    count = sim->tiny && chance(sim, 80) ? 0 : count;
    bool unreachable = false;
    for (uint32_t k = 0; k < count; k++) {
        objects[k] = chance(sim, 20) ? 0 : pick(sim);
        refs[k] = sim->graph.objects[objects[k]].id;
        unreachable |= objects[k] != 0 && !sim->graph.objects[objects[k]].reachable;
    }
    struct put_spec spec = {.value = bytes_in("value-of-an-object", random_below(&sim->random, 18)),
                            .refs = refs,
                            .refs_count = count};
    int rc = pool_put(sim->pool, sim->session[session], &spec, &id);
    if (rc != 0 && sim->fails && (rc == -HF_E_OOM || (rc == -HF_E_GONE && unreachable)))
        return;
    if (rc != 0)
        judge_fail(sim, "answered %d: %s", rc, pool_fault(sim->pool)->text);
    uint32_t object = graph_born(&sim->graph, id, count);
    for (uint32_t k = 0; k < count; k++)
        graph_link(&sim->graph, object, k, objects[k]);
    sim->graph.holds[object][session] = 1;
}

/* Items that name each other and themselves: rings, made in one operation. */
static void op_put_many(struct sim *sim)
{
    uint64_t refs[5][2], ids[5];
    struct put_spec specs[5];
    uint32_t count = (uint32_t)random_between(&sim->random, 1, 5), objects[5];
    int session = pick_session(sim);
    uint32_t outside = pick(sim), number[5][2];
    for (uint32_t k = 0; k < count; k++) {
        number[k][0] = chance(sim, 60) ? (k + 1) % count : (uint32_t)random_below(&sim->random, count);
        refs[k][0] = POOL_ITEM(number[k][0]);
        refs[k][1] = sim->graph.objects[outside].id;
        specs[k] = (struct put_spec){.value = bytes_in("item", 4), .refs = refs[k], .refs_count = 2};
    }
    int rc = pool_put_many(sim->pool, sim->session[session], specs, count, ids);
    if (!went_well(sim, rc, outside))
        return;
    for (uint32_t k = 0; k < count; k++) {
        objects[k] = graph_born(&sim->graph, ids[k], 2);
        sim->graph.holds[objects[k]][session] = 1;
    }
    for (uint32_t k = 0; k < count; k++) {
        graph_link(&sim->graph, objects[k], 0, objects[number[k][0]]);
        graph_link(&sim->graph, objects[k], 1, outside);
    }
}

static void op_link(struct sim *sim)
{
    uint32_t object = pick(sim), target = chance(sim, 25) ? 0 : pick(sim);
    if (object == 0)
        return;
    const struct g_object *o = &sim->graph.objects[object];
    uint32_t slot = (uint32_t)random_below(&sim->random, o->count + (o->count < SLOTS_MOST));
    if (slot == o->count && o->count == SLOTS_MOST)
        return;
    uint64_t previous;
    int rc = pool_link(sim->pool, o->id, slot, sim->graph.objects[target].id, &previous);
    if (rc == -HF_E_GONE && sim->fails && target != 0 && !sim->graph.objects[target].reachable)
        return;
    if (!went_well(sim, rc, object))
        return;
    if (slot < o->count && previous != sim->graph.objects[o->slots[slot]].id)
        judge_fail(sim, "link tells a wrong previous target");
    graph_link(&sim->graph, object, slot, target);
    if (!sim->graph.objects[object].reachable)
        graph_spare(&sim->graph, target); /* from an object that was reachable when it was marked */
}

static void op_retain(struct sim *sim)
{
    uint32_t object = pick(sim);
    int session = pick_session(sim);
    uint64_t count;
    if (object == 0)
        return;
    int rc =
        pool_retain(sim->pool, sim->session[session], &sim->graph.objects[object].id, 1, 1, NULL, 0, &count);
    if (went_well(sim, rc, object))
        sim->graph.holds[object][session]++;
}

static void op_release(struct sim *sim)
{
    uint32_t object = pick(sim);
    int session = pick_session(sim);
    uint64_t count;
    if (object == 0 || sim->graph.holds[object][session] == 0)
        return;
    uint32_t n = (uint32_t)random_between(&sim->random, 1, sim->graph.holds[object][session]);
    int rc = pool_release(sim->pool, sim->session[session], &sim->graph.objects[object].id, 1, n, &count);
    if (went_well(sim, rc, object))
        sim->graph.holds[object][session] -= n;
}

/* All that a session holds of some objects, so that structures are let go whole. */
static void op_release_many(struct sim *sim)
{
    for (unsigned k = 0; k < 12; k++)
        op_release(sim);
}

static struct name_in name_of_number(unsigned number)
{
    static const char *const names[GRAPH_NAMES] = {"a", "b", "c", "d",
                                                   "a-rather-long-name-that-needs-a-larger-cell"};
    return name_of(names[number]);
}

static void op_name(struct sim *sim)
{
    unsigned number = (unsigned)random_below(&sim->random, GRAPH_NAMES);
    uint32_t object = pick(sim);
    uint64_t version;
    if (object == 0)
        return;
    int rc = pool_name_bind(sim->pool, name_of_number(number), sim->graph.objects[object].id,
                            POOL_ANY_VERSION, &version);
    if (went_well(sim, rc, object))
        sim->graph.names[number] = object;
}

static void op_unname(struct sim *sim)
{
    unsigned number = (unsigned)random_below(&sim->random, GRAPH_NAMES);
    struct name_in name = name_of_number(number);
    int rc = pool_unname(sim->pool, &name, 1, POOL_ANY_VERSION);
    if (sim->graph.names[number] == 0 && rc == -HF_E_NOTFOUND)
        return;
    if (went_well(sim, rc, 0))
        sim->graph.names[number] = 0;
}

static void op_lookup(struct sim *sim)
{
    unsigned number = (unsigned)random_below(&sim->random, GRAPH_NAMES);
    struct name_in name = name_of_number(number);
    int session = pick_session(sim);
    uint64_t id;
    int rc = pool_lookup(sim->pool, sim->session[session], &name, 1, &id, NULL);
    if (sim->graph.names[number] == 0 && rc == -HF_E_NOTFOUND)
        return;
    if (went_well(sim, rc, 0))
        sim->graph.holds[sim->graph.names[number]][session]++;
}

static void op_share(struct sim *sim)
{
    unsigned k = (unsigned)random_below(&sim->random, GRAPH_TICKETS);
    uint32_t object = pick(sim);
    int session = pick_session(sim);
    if (sim->graph.tickets[k] != 0 || object == 0 || sim->graph.holds[object][session] == 0)
        return;
    int rc = pool_share(sim->pool, sim->session[session], sim->graph.objects[object].id, 3600000, 1,
                        sim->ticket[k]);
    if (went_well(sim, rc, object))
        sim->graph.tickets[k] = object;
}

static void op_claim(struct sim *sim)
{
    unsigned k = (unsigned)random_below(&sim->random, GRAPH_TICKETS);
    int session = pick_session(sim);
    uint64_t id;
    if (sim->graph.tickets[k] == 0)
        return;
    bool claims = chance(sim, 50);
    int rc = claims ? pool_claim(sim->pool, sim->session[session], sim->ticket[k], &id)
                    : pool_unshare(sim->pool, sim->ticket[k]);
    if (!went_well(sim, rc, 0))
        return;
    sim->graph.holds[sim->graph.tickets[k]][session] += claims;
    sim->graph.tickets[k] = 0;
}

static void op_session(struct sim *sim)
{
    int session = pick_session(sim);
    struct mem *mem = pool_mem(sim->pool);
    judge_spare_guarded(sim);
    pool_session_end(sim->pool, sim->session[session], REASON_SESSION_END);
    graph_end_session(&sim->graph, session);
    uint64_t fail_at = mem->fail_at;
    mem->fail_at = 0;
    sim->session[session] = fixture_session(&sim->fx, 100 + sim->keys_used++, 1000, sim);
    mem->fail_at = fail_at;
}

static void guard(struct sim *sim, uint32_t object, int session)
{
    struct g_object *o = &sim->graph.objects[object];
    if (!went_well(sim, pool_guard(sim->pool, sim->session[session], o->id), object))
        return;
    o->guard = session + 1;
    graph_spare(&sim->graph, object); /* the running collection leaves it to the next one */
}

static void op_guard(struct sim *sim)
{
    uint32_t object = pick(sim);
    int session = pick_session(sim);
    struct g_object *o = &sim->graph.objects[object];
    if (object == 0 || !sim->guards || sim->pool->dying != NULL)
        return;
    if (o->guard == 0) {
        guard(sim, object, session);
        return;
    }
    if (pool_guard(sim->pool, sim->session[session], o->id) != -HF_E_CONFLICT)
        judge_fail(sim, "a second guard on object %u", object);
    int rc = pool_unguard(sim->pool, sim->session[session], o->id);
    if (rc != (o->guard == session + 1 ? 0 : -HF_E_CONFLICT))
        judge_fail(sim, "unguard answered %d", rc);
    if (rc == 0)
        o->guard = 0;
}

static void op_collect(struct sim *sim)
{
    int rc = 0;
    if (chance(sim, 50))
        pool_collect_young(sim->pool, chance(sim, 25), &sim->asked);
    else
        rc = pool_collect(sim->pool, chance(sim, 25), chance(sim, 20), &sim->asked);
    sim->asking = went_well(sim, rc, 0);
}

static void op_tick(struct sim *sim)
{
    sim->fx.now_ms += random_below(&sim->random, 2000);
    pool_tick(sim->pool, sim->fx.now_ms, sim->fx.lease_ms);
}

static const struct operation {
    const char *name;
    unsigned weight;
    void (*run)(struct sim *sim);
} operations[] = {
    {"put", 20, op_put},       {"put_many", 10, op_put_many}, {"link", 40, op_link},
    {"retain", 10, op_retain}, {"release", 20, op_release},   {"release_many", 12, op_release_many},
    {"name", 4, op_name},      {"unname", 4, op_unname},      {"lookup", 4, op_lookup},
    {"share", 3, op_share},    {"claim", 3, op_claim},        {"session", 2, op_session},
    {"guard", 6, op_guard},    {"collect", 6, op_collect},    {"tick", 3, op_tick},
};
#define OPERATIONS (sizeof operations / sizeof operations[0])

static void operate(struct sim *sim)
{
    unsigned total = 0, k = 0;
    for (unsigned n = 0; n < OPERATIONS; n++)
        total += operations[n].weight;
    for (unsigned dice = (unsigned)random_below(&sim->random, total); dice >= operations[k].weight; k++)
        dice -= operations[k].weight;
    sim->operation = operations[k].name;
    struct mem *mem = pool_mem(sim->pool);
    mem->fail_at = sim->fails && chance(sim, 30) ? mem->calls + random_between(&sim->random, 1, 4) : 0;
    operations[k].run(sim);
    mem->fail_at = 0;
    sim->totals->operations++;
    judge_changed(sim);
}

/* ---- steps ---- */

/* Mostly the pool's own step; sometimes the collector's alone, so that the flip is tried while the dead wait. */
static void step(struct sim *sim)
{
    struct pool *pool = sim->pool;
    unsigned units = (unsigned)random_between(&sim->random, 1, 6),
             dice = (unsigned)random_below(&sim->random, 100);
    struct mem *mem = pool_mem(pool);
    mem->fail_at = sim->fails && chance(sim, sim->guards ? 50 : 20)
                       ? mem->calls + random_between(&sim->random, 1, 3)
                       : 0;
    sim->operation = "step";
    if (dice < sim->alone && pool->gc.phase >= GC_MARK)
        (void)gc_step(&pool->gc, units);
    else if (sim->alone > 50 && chance(sim, 70) && pool->dying != NULL)
        (void)session_dying_step(pool, units);
    else if (chance(sim, 10) && pool->heap.zero_head != 0)
        (void)gc_reap(&pool->gc, 1, 1);
    else
        (void)pool_step(pool, dice > 97 ? units * 100 : units);
    mem->fail_at = 0;
    if (sim->small_stack && pool->gc.stack_count == 0)
        pool->gc.stack_room = (uint32_t)random_below(&sim->random, 4);
    judge(sim);
}

static void release_all(struct sim *sim, uint32_t object, int session)
{
    uint64_t *held = &sim->graph.holds[object][session], count;
    if (sim->graph.objects[object].gone || *held == 0)
        return;
    int rc = pool_release(sim->pool, sim->session[session], &sim->graph.objects[object].id, 1,
                          (uint32_t)*held, &count);
    if (rc != 0)
        judge_fail(sim, "answered %d", rc);
    *held = 0;
    judge_changed(sim);
}

static uint32_t find_object(const struct graph *g, bool (*fits)(const struct sim *sim, uint32_t object),
                            const struct sim *sim)
{
    for (uint32_t k = g->made; k > 0; k--)
        if (!g->objects[k].gone && fits(sim, k))
            return k;
    return 0;
}

static bool waits_for_delivery(const struct sim *sim, uint32_t object)
{
    return freeset_has(&sim->pool->gc.waiting, id_index(sim->graph.objects[object].id));
}

/* Somebody takes hold of a guarded object between the search for guards and its delivery. */
static void retain_before_delivery(struct sim *sim)
{
    uint32_t object = find_object(&sim->graph, waits_for_delivery, sim);
    int session = pick_session(sim);
    uint64_t count;
    sim->operation = "retain before a delivery";
    if (object == 0)
        return;
    int rc =
        pool_retain(sim->pool, sim->session[session], &sim->graph.objects[object].id, 1, 1, NULL, 0, &count);
    if (went_well(sim, rc, object))
        sim->graph.holds[object][session]++;
    judge_changed(sim);
}

/* Nor is there memory for its delivery, and its guard goes. */
static void unguard_undelivered(struct sim *sim)
{
    uint32_t object = find_object(&sim->graph, waits_for_delivery, sim);
    sim->operation = "unguard before a delivery";
    if (object == 0)
        return;
    struct g_object *o = &sim->graph.objects[object];
    int rc = pool_unguard(sim->pool, sim->session[o->guard - 1], o->id);
    if (rc != 0)
        judge_fail(sim, "answered %d", rc);
    o->guard = 0;
    judge_changed(sim);
}

static bool is_garbage(const struct sim *sim, uint32_t object)
{
    return !sim->graph.objects[object].reachable && sim->graph.objects[object].guard == 0;
}

/* Somebody guards what the running collection would have found. */
static void guard_garbage(struct sim *sim)
{
    uint32_t object = find_object(&sim->graph, is_garbage, sim);
    sim->operation = "guard amid marking";
    if (object == 0)
        return;
    guard(sim, object, pick_session(sim));
    judge_changed(sim);
}

static bool is_kept_by_garbage(const struct sim *sim, uint32_t object)
{
    const struct graph *g = &sim->graph;
    bool by_garbage = false;
    if (graph_held(g, object) == 0)
        return false;
    for (uint32_t k = 1; k <= g->made; k++)
        for (uint32_t slot = 0; !g->objects[k].gone && slot < g->objects[k].count; slot++) {
            if (g->objects[k].slots[slot] != object)
                continue;
            if (g->objects[k].reachable)
                return false;
            by_garbage = true;
        }
    return by_garbage;
}

/* What is marked because it was held loses that while marking goes on: only garbage keeps it then. */
static void release_what_garbage_names(struct sim *sim)
{
    uint32_t object = find_object(&sim->graph, is_kept_by_garbage, sim);
    sim->operation = "release amid marking";
    for (int session = 0; object != 0 && session < GRAPH_SESSIONS; session++)
        release_all(sim, object, session);
}

/* A session ends while marking goes on, and the collector comes to the flip before anything of it is freed. */
static void end_amid_marking(struct sim *sim)
{
    struct pool *pool = sim->pool;
    sim->operation = "the end of a session amid marking";
    op_session(sim);
    sim->totals->operations++;
    judge_changed(sim);
    while (pool->dying != NULL && session_dying_step(pool, 1) != 0)
        judge(sim);
    while (pool->gc.phase >= GC_MARK && pool->gc.phase < GC_SWEEP &&
           gc_step(&pool->gc, (unsigned)random_between(&sim->random, 1, 6)) != 0)
        judge(sim);
}

/* What must happen in one certain phase to be seen at all, so that it is met early. */
static void rare_moment(struct sim *sim)
{
    enum gc_phase phase = sim->pool->gc.phase;
    if (phase == GC_MARK && sim->alone > 50 && chance(sim, 5))
        end_amid_marking(sim);
    else if (phase == GC_MARK && chance(sim, 5))
        release_what_garbage_names(sim);
    else if (phase == GC_DELIVER && sim->weak && chance(sim, 30))
        retain_before_delivery(sim);
    else if (phase == GC_IDLE && sim->fails && sim->pool->gc.waiting.count != 0 && sim->pool->dying == NULL &&
             chance(sim, 20))
        unguard_undelivered(sim);
    else if (phase >= GC_MARK && phase < GC_SWEEP && sim->guards && sim->weak && sim->pool->dying == NULL &&
             chance(sim, 5))
        guard_garbage(sim);
}

/* A step of the walk of all invariants; the pool changes between two of them. */
static void verify_step(struct sim *sim)
{
    struct verify_result result;
    if (!sim->verifying)
        sim->verifying = pool_verify_begin(sim->pool) == 0;
    if (!sim->verifying ||
        !pool_verify_step(sim->pool, (unsigned)random_between(&sim->random, 1, 100), &result))
        return;
    sim->verifying = false;
    if (result.findings_count != 0)
        judge_fail(sim, "verify: %s", result.findings[0].text);
}

/* ---- a run ---- */

static void begin(struct sim *sim)
{
    struct fixture_options options = {.max_bytes = 16u << 20, .seed = sim->seed + 1};
    sim->operation = "begin";
    graph_init(&sim->graph);
    fixture_open_with(&sim->fx, &options);
    sim->pool = sim->fx.pool;
    sim->session[0] = sim->fx.a;
    sim->session[1] = sim->fx.b;
    for (unsigned k = 2; k < GRAPH_SESSIONS; k++)
        sim->session[k] = fixture_session(&sim->fx, 50 + k, 1000, sim);
    sim->living_most = (uint32_t)random_between(&sim->random, 5, chance(sim, 20) ? 200 : 40);
    sim->tiny = chance(sim, 25);
    if (sim->tiny)
        sim->living_most = (uint32_t)random_between(&sim->random, 2, 4);
    sim->weak = sim->tiny || chance(sim, 50);
    sim->guards = chance(sim, 50);
    sim->small_stack = chance(sim, 25);
    sim->fails = chance(sim, 20);
    sim->verifies = chance(sim, 30);
    sim->alone = chance(sim, 30) ? 90 : 20;
    struct gc_config gc = *pool_gc_config(sim->pool);
    gc.enabled = chance(sim, 70);
    gc.objects_least = random_between(&sim->random, 1, 40);
    gc.full_after_ms = random_below(&sim->random, 5000);
    gc.young_suspects = random_between(&sim->random, 1, chance(sim, 30) ? 100 : 10);
    gc.young_after_ms = random_below(&sim->random, 2000);
    if (chance(sim, 30)) { /* full collections by call alone: what trials resolve must be all there is */
        gc.objects_least = 1u << 20;
        gc.full_after_ms = 1u << 30;
    }
    pool_gc_set_config(sim->pool, &gc);
    if (chance(sim, 70))
        sim->pool->gc.young.nodes_most = (uint32_t)random_between(&sim->random, 1, 60);
    if (sim->small_stack)
        sim->pool->gc.stack.size = sim->pool->gc.stack.charged; /* it cannot grow */
}

static uint32_t living(const struct sim *sim)
{
    uint32_t count = 0;
    for (uint32_t k = 1; k <= sim->graph.made; k++)
        count += !sim->graph.objects[k].gone;
    return count;
}

/* All outside references go; then nothing may be left. What is delivered meanwhile is released too. */
static void end(struct sim *sim)
{
    const struct graph *g = &sim->graph;
    sim->fails = false;
    for (unsigned rounds = 0; rounds < 2 * GRAPH_OBJECTS && living(sim) > 0; rounds++) {
        sim->operation = "end: release";
        for (uint32_t k = 1; k <= g->made; k++)
            for (int s = 0; s < GRAPH_SESSIONS; s++)
                release_all(sim, k, s);
        for (unsigned n = 0; n < GRAPH_NAMES + GRAPH_TICKETS; n++) {
            op_unname(sim);
            judge_changed(sim);
            op_claim(sim);
            judge_changed(sim);
        }
        struct gc_result result;
        struct gc_ticket ticket;
        if (pool_collect(sim->pool, false, false, &ticket) != 0)
            judge_fail(sim, "no memory");
        while (!pool_collect_done(sim->pool, ticket, &result)) {
            sim->operation = "end: step";
            op_tick(sim);
            (void)pool_step(sim->pool, 50);
            judge(sim);
        }
    }
    while (pool_step(sim->pool, 50) != 0)
        judge(sim);
    if (living(sim) != 0 || sim->pool->heap.alive != 0)
        judge_fail(sim, "%u objects are left when nothing refers to them", living(sim));
    const struct heap *heap = &sim->pool->heap;
    if (heap->slots_plain + heap->slots_linked != 0)
        judge_fail(sim, "slots are counted and there are none");
    if (heap->free_index.count + heap->spare_index_count + heap->retired != heap->sb->index_top - 1)
        judge_fail(sim, "an index is neither used nor free");
    if (heap->payloads.live_bytes + heap->lists.live_bytes != 0)
        judge_fail(sim, "blocks are allocated and there are no objects");
    if (sim->verifying)
        pool_verify_abort(sim->pool);
    verify_ok(&sim->fx);
}

static void run(struct sim *sim, uint64_t seed, struct totals *totals)
{
    *sim = (struct sim){.seed = seed, .totals = totals, .random = {seed * 0x2545f4914f6cdd1dull}};
    begin(sim);
    uint64_t operations_most = random_between(&sim->random, 30, 200);
    unsigned step_percent = (unsigned)random_between(&sim->random, 30, 95);
    sim->aside.state = seed * 77 + 5;
    sim->saves = !sim->guards && random_once_in(&sim->aside, SAVES_ONE_IN);
    for (sim->number = 1; sim->number <= operations_most;) {
        graph_saves_go_on(sim);
        if (sim->graph.made + 10 > GRAPH_OBJECTS)
            break;
        rare_moment(sim);
        if (chance(sim, step_percent)) {
            step(sim);
            continue;
        }
        operate(sim);
        sim->number++;
        while (sim->graph.made > 0 && living(sim) > sim->living_most && chance(sim, 90)) {
            sim->operation = "prune";
            op_release_many(sim);
            judge_changed(sim);
        }
        if (sim->verifies && chance(sim, 30))
            verify_step(sim);
    }
    graph_saves_end(sim);
    end(sim);
    for (unsigned k = 0; k < GC_YOUNG_TRIGGERS; k++)
        totals->young += sim->pool->gc.young.done[k];
    totals->young_collected += sim->pool->gc.young.total.collected;
    fixture_close(&sim->fx);
    graph_done(&sim->graph);
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
    printf("sim_gc: %llu runs, %llu operations, %llu collections freed %llu, %llu delivered, %llu dry runs, "
           "%llu revived, %llu young ones freed %llu, I4 checked %llu times, %llu saved\n",
           (unsigned long long)seeds, (unsigned long long)totals.operations,
           (unsigned long long)totals.collections, (unsigned long long)totals.collected,
           (unsigned long long)totals.delivered, (unsigned long long)totals.dry_runs,
           (unsigned long long)totals.revived, (unsigned long long)totals.young,
           (unsigned long long)totals.young_collected, (unsigned long long)totals.idle_checks,
           (unsigned long long)totals.saved);
    bool enough = totals.collections > seeds && totals.collected > seeds && totals.idle_checks > 0 &&
                  (seeds < 100 || totals.young_collected > seeds);
    return enough ? 0 : 1;
}
