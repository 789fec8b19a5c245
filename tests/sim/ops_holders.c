/* SPDX-License-Identifier: BSD-3-Clause */
/* Operations on what keeps objects alive: retain and release, tickets, names. */
#include "tests/sim/driver.h"

#include <string.h>

/* ---- holds ---- */

/* Mostly one object, sometimes many, and then with duplicates. */
static uint32_t pick_ids(struct sim *sim, uint64_t *ids, int *objects)
{
    uint32_t count = chance(sim, 70) ? 1 : (uint32_t)random_between(&sim->random, 1, sim->ids_most);
    bool all_good = chance(sim, 70);
    for (uint32_t i = 0; i < count; i++) {
        if (i > 0 && chance(sim, 20)) {
            uint64_t k = random_below(&sim->random, i);
            ids[i] = ids[k];
            objects[i] = objects[k];
            continue;
        }
        objects[i] = all_good ? pick_living(sim) : 0;
        ids[i] = objects[i] ? sim->model->ids[objects[i]] : pick_id(sim, &objects[i]);
    }
    return count;
}

/* How often objects[i] stands among the first i. */
static uint64_t times_before(const int *objects, uint32_t i)
{
    uint64_t n = 0;
    for (uint32_t k = 0; k < i; k++)
        n += objects[k] == objects[i];
    return n;
}

static void verdict_retain(struct sim *sim, struct verdict *v, int session, int object, uint64_t more)
{
    verdict_referent(sim, v, object);
    if (object != 0 && model_held(sim->model, session, object) + more > HF_COUNT_MAX)
        verdict_fail(v, HF_E_LIMIT);
}

static void run_retain(struct sim *sim)
{
    uint64_t ids[SIM_IDS], counts[SIM_IDS];
    int objects[SIM_IDS], session = pick_session(sim);
    struct verdict v[SIM_IDS] = {{0}};
    uint32_t n = chance(sim, 98) ? (uint32_t)random_between(&sim->random, 1, 3) : HF_COUNT_MAX;
    const uint8_t *site;
    uint32_t site_size = pick_label(sim, &site);
    if (session == 0)
        return;
    uint32_t count = pick_ids(sim, ids, objects);
    for (uint32_t i = 0; i < count; i++)
        verdict_retain(sim, &v[i], session, objects[i], (times_before(objects, i) + 1) * n);
    int rc;
    SIM_REQUEST(sim, session, rc,
                pool_retain(sim->pool, sim->handle[session], ids, count, n, site, site_size, counts));
    sim_answer(sim, rc, counts, count);
    sim_trace(sim, "%u ids, first object %d, n %u session %d: %d", count, objects[0], n, session, rc);
    if (!sim_judge_array(sim, v, count, rc))
        return;
    for (uint32_t i = 0; i < count; i++) {
        model_hold(sim->model, session, objects[i], n);
        sim_check(sim, counts[i] == model_held(sim->model, session, objects[i]));
    }
}

/* An object that the session holds, if one can be found. */
static int pick_held(struct sim *sim, int session)
{
    const struct model *m = sim->model;
    if (m->holds_count > 0) {
        int start = (int)random_below(&sim->random, (uint64_t)m->holds_count);
        for (int i = 0; i < m->holds_count; i++) {
            const struct m_hold *hold = &m->holds[(start + i) % m->holds_count];
            if (hold->session == session)
                return hold->object;
        }
    }
    return pick_living(sim);
}

static void verdict_release(struct sim *sim, struct verdict *v, int session, int object, uint64_t fewer)
{
    if (object == 0 || model_held(sim->model, session, object) < fewer)
        verdict_fail(v, HF_E_NOTHELD);
    if (!sim_alive(sim, object))
        verdict_fail(v, HF_E_GONE);
}

static void release(struct sim *sim, int session, const uint64_t *ids, const int *objects, uint32_t count,
                    uint32_t n)
{
    uint64_t counts[SIM_IDS];
    struct verdict v[SIM_IDS] = {{0}};
    for (uint32_t i = 0; i < count; i++)
        verdict_release(sim, &v[i], session, objects[i], (times_before(objects, i) + 1) * n);
    int rc;
    SIM_REQUEST(sim, session, rc, pool_release(sim->pool, sim->handle[session], ids, count, n, counts));
    sim_answer(sim, rc, counts, count);
    sim_trace(sim, "%u ids, first object %d, n %u session %d: %d", count, objects[0], n, session, rc);
    if (!sim_judge_array(sim, v, count, rc))
        return;
    for (uint32_t i = 0; i < count; i++) {
        model_unhold(sim->model, session, objects[i], n);
        sim_check(sim, counts[i] == model_held(sim->model, session, objects[i]));
    }
}

static void run_release(struct sim *sim)
{
    uint64_t ids[SIM_IDS];
    int objects[SIM_IDS], session = pick_session(sim);
    if (session == 0)
        return;
    uint32_t count = pick_ids(sim, ids, objects);
    uint32_t n = (uint32_t)random_between(&sim->random, 1, chance(sim, 80) ? 1 : 4);
    if (chance(sim, 85))
        for (uint32_t i = 0; i < count; i++) {
            objects[i] = pick_held(sim, session);
            ids[i] = objects[i] ? sim->model->ids[objects[i]] : HF_ID_MAX;
        }
    release(sim, session, ids, objects, count, n);
}

/* ---- tickets ---- */

static void run_share(struct sim *sim)
{
    int object, session = pick_session(sim);
    uint64_t ttl_ms = random_between(&sim->random, 1, chance(sim, 80) ? 20000 : 10);
    uint32_t uses = (uint32_t)random_between(&sim->random, 1, 3);
    uint8_t key[16] = {0};
    struct verdict v = {0};
    if (session == 0 || sim->model->tickets_count + 2 > MODEL_TICKETS)
        return;
    object = pick_held(sim, session);
    uint64_t id = object && chance(sim, 90) ? sim->model->ids[object] : pick_id(sim, &object);
    verdict_referent(sim, &v, object);
    if (model_held(sim->model, session, object) == 0)
        verdict_fail(&v, HF_E_NOTHELD);
    int rc;
    SIM_REQUEST(sim, session, rc, pool_share(sim->pool, sim->handle[session], id, ttl_ms, uses, key));
    uint64_t words[2];
    memcpy(words, key, sizeof words);
    sim_answer(sim, rc, words, 2);
    sim_trace(sim, "object %d ttl %llu uses %u: %d", object, (unsigned long long)ttl_ms, uses, rc);
    if (!sim_judge(sim, &v, rc))
        return;
    sim_check(sim, model_ticket(sim->model, key) < 0);
    model_share(sim->model, key, object, uses, sim->now_ms + ttl_ms);
}

/* Mostly one that lives (its place is returned), else one that is spent or never was (-1). */
static int pick_ticket(struct sim *sim, uint8_t key[16])
{
    const struct model *m = sim->model;
    if (m->tickets_count > 0 && chance(sim, 85)) {
        int ticket = (int)random_below(&sim->random, (uint64_t)m->tickets_count);
        memcpy(key, m->tickets[ticket].key, 16);
        return ticket;
    }
    memset(key, (int)random_below(&sim->random, 256), 16);
    if (sim->old_tickets_count > 0 && chance(sim, 50))
        memcpy(key, sim->old_tickets[(sim->old_tickets_count - 1) % SIM_OLD], 16);
    else if (sim->old_tickets_count > 0 && chance(sim, 80))
        memcpy(key, sim->old_tickets[random_below(&sim->random, sim->old_tickets_count) % SIM_OLD], 16);
    return model_ticket(m, key);
}

void sim_ticket_spent(struct sim *sim, int ticket)
{
    memcpy(sim->old_tickets[sim->old_tickets_count++ % SIM_OLD], sim->model->tickets[ticket].key, 16);
}

static void spend_ticket(struct sim *sim, int ticket)
{
    sim_ticket_spent(sim, ticket);
    model_unshare(sim->model, ticket);
}

static void run_claim(struct sim *sim)
{
    uint8_t key[16];
    int session = pick_session(sim), ticket = pick_ticket(sim, key);
    uint64_t id = 0;
    struct verdict v = {0};
    if (session == 0)
        return;
    if (ticket < 0)
        verdict_fail(&v, HF_E_NOTFOUND);
    else
        verdict_retain(sim, &v, session, sim->model->tickets[ticket].object, 1);
    int rc;
    SIM_REQUEST(sim, session, rc, pool_claim(sim->pool, sim->handle[session], key, &id));
    sim_answer(sim, rc, &id, 1);
    sim_trace(sim, "ticket %d session %d: %d", ticket, session, rc);
    if (!sim_judge(sim, &v, rc))
        return;
    struct m_ticket *t = &sim->model->tickets[ticket];
    sim_check(sim, id == sim->model->ids[t->object]);
    model_hold(sim->model, session, t->object, 1);
    if (--t->uses == 0)
        spend_ticket(sim, ticket);
}

static void run_unshare(struct sim *sim)
{
    uint8_t key[16];
    int ticket = pick_ticket(sim, key);
    struct verdict v = {0};
    if (ticket < 0)
        verdict_fail(&v, HF_E_NOTFOUND);
    int rc;
    SIM_REQUEST(sim, sim_requester(sim), rc, pool_unshare(sim->pool, key));
    sim_answer(sim, rc, NULL, 0);
    sim_trace(sim, "ticket %d: %d", ticket, rc);
    if (sim_judge(sim, &v, rc))
        spend_ticket(sim, ticket);
}

/* ---- names ---- */

static void run_name(struct sim *sim)
{
    int object;
    uint64_t id = pick_id(sim, &object), version = 0, if_version = POOL_ANY_VERSION;
    struct name_in name = pick_name(sim);
    struct verdict v = {0};
    verdict_referent(sim, &v, object);
    int bound = model_name(sim->model, name.data, name.size);
    uint64_t now = bound < 0 ? 0 : sim->model->names[bound].version;
    if (chance(sim, 40)) {
        if_version = now + random_below(&sim->random, 4) / 3;
        if (if_version != now)
            verdict_fail(&v, HF_E_CONFLICT);
    }
    int rc;
    SIM_REQUEST(sim, sim_requester(sim), rc, pool_name_bind(sim->pool, name, id, if_version, &version));
    sim_answer(sim, rc, &version, 1);
    sim_trace(sim, "name %c object %d: %d", name.data[0], object, rc);
    if (!sim_judge(sim, &v, rc))
        return;
    sim_version(sim, version);
    model_bind(sim->model, name.data, name.size, object, version);
}

/* Names of one call; mostly bound ones. */
static uint32_t pick_names(struct sim *sim, struct name_in *names, int *bound)
{
    const struct model *m = sim->model;
    uint32_t count = chance(sim, 75) ? 1 : (uint32_t)random_between(&sim->random, 1, 6);
    for (uint32_t i = 0; i < count; i++) {
        names[i] = pick_name(sim);
        if (m->names_count > 0 && chance(sim, 80)) {
            const struct m_name *n = &m->names[random_below(&sim->random, (uint64_t)m->names_count)];
            names[i] = (struct name_in){sim->names[n->bytes[0] - 'a' + 20 * (n->bytes[1] - 'a')], n->size};
        }
        bound[i] = model_name(m, names[i].data, names[i].size);
    }
    return count;
}

static void run_lookup(struct sim *sim)
{
    struct name_in names[6];
    struct verdict v[6] = {{0}};
    uint64_t ids[6], versions[6], words[12];
    int bound[6], objects[6], session = pick_session(sim);
    if (session == 0)
        return;
    uint32_t count = pick_names(sim, names, bound);
    for (uint32_t i = 0; i < count; i++) {
        objects[i] = bound[i] < 0 ? 0 : sim->model->names[bound[i]].object;
        if (bound[i] < 0)
            verdict_fail(&v[i], HF_E_NOTFOUND);
        else
            verdict_retain(sim, &v[i], session, objects[i], times_before(objects, i) + 1);
    }
    bool versioned = chance(sim, 50);
    int rc;
    SIM_REQUEST(sim, session, rc,
                pool_lookup(sim->pool, sim->handle[session], names, count, ids, versioned ? versions : NULL));
    for (uint32_t i = 0; rc == 0 && i < count && versioned; i++) {
        words[2 * i] = ids[i];
        words[2 * i + 1] = versions[i];
    }
    sim_answer(sim, rc, versioned ? words : ids, versioned ? 2 * count : count);
    sim_trace(sim, "%u names, first %c session %d: %d", count, names[0].data[0], session, rc);
    if (!sim_judge_array(sim, v, count, rc))
        return;
    for (uint32_t i = 0; i < count; i++) {
        sim_check(sim, ids[i] == sim->model->ids[objects[i]]);
        model_hold(sim->model, session, objects[i], 1);
    }
}

static void run_unname(struct sim *sim)
{
    struct name_in names[6];
    struct verdict v[6] = {{0}};
    int bound[6];
    uint32_t count = pick_names(sim, names, bound);
    uint64_t if_version = POOL_ANY_VERSION;
    if (chance(sim, 30))
        if_version = bound[0] < 0 ? 1 : sim->model->names[bound[0]].version;
    for (uint32_t i = 0; i < count; i++) {
        if (bound[i] < 0)
            verdict_fail(&v[i], HF_E_NOTFOUND);
        else if (times_before(bound, i) > 0)
            verdict_fail(&v[i], HF_E_NOTFOUND);
        else if (if_version != POOL_ANY_VERSION && if_version != sim->model->names[bound[i]].version)
            verdict_fail(&v[i], HF_E_CONFLICT);
    }
    int rc;
    SIM_REQUEST(sim, sim_requester(sim), rc, pool_unname(sim->pool, names, count, if_version));
    sim_answer(sim, rc, NULL, 0);
    sim_trace(sim, "%u names, first %c: %d", count, names[0].data[0], rc);
    if (!sim_judge_array(sim, v, count, rc))
        return;
    for (uint32_t i = 0; i < count; i++)
        model_unname(sim->model, model_name(sim->model, names[i].data, names[i].size));
}

/* ---- pruning ---- */

static void prune_hold(struct sim *sim)
{
    struct model *m = sim->model;
    const struct m_hold *hold = &m->holds[random_below(&sim->random, (uint64_t)m->holds_count)];
    struct m_session *s = &m->sessions[hold->session];
    if (s->state == M_OPEN)
        release(sim, hold->session, &m->ids[hold->object], &(int){hold->object}, 1, (uint32_t)hold->count);
    else if (s->state == M_GRACE)
        sim_session_end(sim, hold->session);
}

static void prune_ticket(struct sim *sim)
{
    struct verdict v = {0};
    int ticket = (int)random_below(&sim->random, (uint64_t)sim->model->tickets_count);
    int rc = pool_unshare(sim->pool, sim->model->tickets[ticket].key);
    if (sim_judge(sim, &v, rc))
        spend_ticket(sim, ticket);
}

static void prune_name(struct sim *sim)
{
    struct model *m = sim->model;
    const struct m_name *n = &m->names[random_below(&sim->random, (uint64_t)m->names_count)];
    struct name_in name = {n->bytes, n->size};
    struct verdict v = {0};
    int rc = pool_unname(sim->pool, &name, 1, POOL_ANY_VERSION);
    if (sim_judge(sim, &v, rc))
        model_unname(m, model_name(m, name.data, name.size));
}

static bool cut(struct sim *sim, int object, uint32_t slot)
{
    struct model *m = sim->model;
    struct verdict v = {0};
    uint64_t previous = 0;
    verdict_object(sim, &v, object);
    int rc = pool_link(sim->pool, m->ids[object], slot, 0, &previous);
    if (!sim_judge(sim, &v, rc))
        return false;
    sim_check(sim, previous == m->ids[m->objects[object].slots[slot]]);
    model_slot(m, object, slot, 0);
    return true;
}

/* The slot that was cut was what kept the object itself, by a cycle. */
static bool cut_to_death(struct sim *sim, int object)
{
    struct inspect_row row;
    if (pool_inspect(sim->pool, sim->model->ids[object], &row) == 0)
        return false;
    model_count(sim->model);
    sim_check(sim, model_life(sim->model, object) == LIFE_LIMBO && !sim_alive(sim, object));
    return true;
}

/* Cuts what keeps garbage cycles alive: there is no collector in this version. */
static void prune_slots(struct sim *sim)
{
    const struct model *m = sim->model;
    int object = pick_living(sim);
    const struct m_object *o = &m->objects[object];
    if (object == 0 || !sim_alive(sim, object) || o->sealed || o->open || o->slots_count == 0)
        return;
    uint32_t start = (uint32_t)random_below(&sim->random, o->slots_count), count = o->slots_count;
    bool all = count > 20;
    sim->indirect = sim->indirect || all;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t slot = (start + i) % count;
        if (o->slots[slot] == 0)
            continue;
        if (!cut(sim, object, slot) || !all || cut_to_death(sim, object))
            return;
    }
}

void sim_prune(struct sim *sim)
{
    const struct model *m = sim->model;
    uint64_t dice = random_below(&sim->random, 8);
    if (dice < 3 && m->holds_count > 0)
        prune_hold(sim);
    else if (dice == 3 && m->names_count > 0)
        prune_name(sim);
    else if (dice == 4 && m->tickets_count > 0)
        prune_ticket(sim);
    else
        prune_slots(sim);
}

const struct operation holder_operations[] = {
    {"retain", 6, run_retain}, {"release", 12, run_release}, {"share", 3, run_share},
    {"claim", 4, run_claim},   {"unshare", 1, run_unshare},  {"name", 4, run_name},
    {"lookup", 4, run_lookup}, {"unname", 3, run_unname},    {0},
};
