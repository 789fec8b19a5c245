/* SPDX-License-Identifier: BSD-3-Clause */
/* Operations on sessions and clocks. */
#include "tests/sim/driver.h"

#include <string.h>

static int living_sessions(const struct model *m)
{
    int n = 0;
    for (int s = 1; s <= m->sessions_made; s++)
        n += m->sessions[s].state != M_ENDED;
    return n;
}

int sim_session_open(struct sim *sim)
{
    static const uint8_t lengths[] = {0, 0, 1, 8, 12, 255};
    struct model *m = sim->model;
    struct session *handle = NULL;
    int number = m->sessions_made + 1;
    struct session_spec spec = {
        .name = sim->names[random_below(&sim->random, 20)],
        .name_size = lengths[random_below(&sim->random, sizeof lengths)],
        .pid = (uint32_t)random_below(&sim->random, 100000),
        .lease_ms = chance(sim, 10) ? 0 : (uint32_t)random_between(&sim->random, 1, 8000),
        .anonymous = chance(sim, 20),
        .owner = &sim->owner[number],
    };
    struct verdict v = {0};
    if (spec.anonymous)
        spec.name_size = spec.pid = spec.lease_ms = 0;
    for (unsigned i = 0; i < sizeof spec.key && !spec.anonymous; i++)
        spec.key[i] = (uint8_t)random_next(&sim->random);
    spec.replay = !spec.anonymous && spec.lease_ms > 0 && random_once_in(&sim->aside, 2);
    int rc = pool_session_open(sim->pool, &spec, &handle);
    if (!sim_judge(sim, &v, rc))
        return 0;
    uint64_t sid = session_sid(handle);
    for (int s = 1; s <= m->sessions_made; s++)
        sim_check(sim, m->sessions[s].sid < sid);
    int session = model_session_open(m, sid);
    struct m_session *made = &m->sessions[session];
    memcpy(made->key, spec.key, sizeof spec.key);
    memcpy(made->name, spec.name, spec.name_size);
    made->name_size = spec.name_size;
    made->pid = spec.pid;
    made->lease_ms = spec.lease_ms;
    made->anonymous = spec.anonymous;
    made->since_ms = sim->now_ms;
    made->replays = spec.replay;
    made->first_msgid = (uint32_t)random_next(&sim->aside);
    sim->handle[session] = handle;
    sim_trace(sim, "-> session %d lease %u anonymous %d", session, spec.lease_ms, spec.anonymous);
    sim_check(sim, session_owner(handle) == spec.owner && session_held(handle) == 0);
    sim_check(sim, session_anonymous(handle) == spec.anonymous);
    sim_check(sim, session_references(handle) == 0);
    return session;
}

static void run_open(struct sim *sim)
{
    if ((unsigned)living_sessions(sim->model) < sim->sessions_most)
        sim_session_open(sim);
}

static void ended(struct sim *sim, int session)
{
    model_session_end(sim->model, session);
    sim->handle[session] = NULL;
    sim->indirect = true;
    sim->pending = true;
}

static void run_detach(struct sim *sim)
{
    int session = pick_session(sim);
    if (session == 0)
        return;
    struct m_session *s = &sim->model->sessions[session];
    sim_trace(sim, "session %d", session);
    pool_session_detach(sim->pool, sim->handle[session]);
    if (s->anonymous || s->lease_ms == 0) {
        ended(sim, session);
        return;
    }
    s->state = M_GRACE;
    s->lease_ends = sim->lease_ms + s->lease_ms;
    sim_check(sim, session_owner(sim->handle[session]) == NULL);
}

/* A key comes back: of a session that is attached, in grace, due or ended. */
static void run_resume(struct sim *sim)
{
    struct model *m = sim->model;
    if (m->sessions_made == 0)
        return;
    int session = (int)random_between(&sim->random, 1, (uint64_t)m->sessions_made);
    for (int tries = 0; tries < 10 && m->sessions[session].state == M_ENDED; tries++)
        session = (int)random_between(&sim->random, 1, (uint64_t)m->sessions_made);
    struct m_session *s = &m->sessions[session];
    if (s->anonymous)
        return;
    struct session *handle = pool_session_by_key(sim->pool, s->key);
    sim_trace(sim, "session %d state %d: %s", session, (int)s->state, handle ? "there" : "not there");
    if (!handle) {
        sim_check(sim, s->state == M_DUE || s->state == M_ENDED);
        if (s->state == M_DUE)
            ended(sim, session);
        return;
    }
    sim_check(sim, s->state != M_ENDED && handle == sim->handle[session] && session_sid(handle) == s->sid);
    pool_session_attach(sim->pool, handle, &sim->owner[session]);
    sim_check(sim, session_owner(handle) == &sim->owner[session]);
    s->state = M_OPEN;
    m->dirty = true;
}

void sim_session_end(struct sim *sim, int session)
{
    sim_trace(sim, "session %d with %llu objects", session,
              (unsigned long long)model_held_objects(sim->model, session));
    pool_session_end(sim->pool, sim->handle[session], chance(sim, 50) ? REASON_SESSION_END : REASON_KILL);
    ended(sim, session);
}

static void run_end(struct sim *sim)
{
    struct model *m = sim->model;
    int session = pick_session(sim);
    for (int s = 1; s <= m->sessions_made; s++)
        if (m->sessions[s].state == M_GRACE && chance(sim, 20))
            session = s;
    if (session != 0)
        sim_session_end(sim, session);
}

static void run_by_sid(struct sim *sim)
{
    struct model *m = sim->model;
    for (int s = 1; s <= m->sessions_made; s++) {
        if (m->sessions[s].state == M_DUE)
            continue;
        struct session *found = pool_session_by_sid(sim->pool, m->sessions[s].sid);
        sim_check(sim, found == (m->sessions[s].state == M_ENDED ? NULL : sim->handle[s]));
    }
    sim_check(sim, pool_session_by_sid(sim->pool, HF_ID_MAX) == NULL);
}

/* ---- clocks ---- */

/* Whatever is due next must be announced for that moment or an earlier one. */
static void check_next_due(struct sim *sim)
{
    const struct model *m = sim->model;
    uint64_t now_due, lease_due;
    pool_next_due(sim->pool, &now_due, &lease_due);
    for (int i = 0; i < m->tickets_count; i++)
        sim_check(sim, now_due <= m->tickets[i].expires_ms);
    for (int s = 1; s <= m->sessions_made; s++)
        sim_check(sim, m->sessions[s].state != M_GRACE || lease_due <= m->sessions[s].lease_ends);
}

static void run_tick(struct sim *sim)
{
    uint64_t ms = random_below(&sim->random, chance(sim, 90) ? 300 : 5000);
    check_next_due(sim);
    if (chance(sim, 5)) {
        /* A clock that goes back is one that stands still. */
        pool_tick(sim->pool, sim->now_ms - ms, sim->lease_ms - (ms < sim->lease_ms ? ms : 0));
    } else if (sim->model->tickets_count > 0 && chance(sim, 10)) {
        /* Exactly the moment before a ticket expires, or that moment. */
        uint64_t at = sim->model->tickets[0].expires_ms - random_below(&sim->random, 2);
        sim->now_ms = at > sim->now_ms ? at : sim->now_ms;
        pool_tick(sim->pool, sim->now_ms, sim->lease_ms);
    } else {
        sim->now_ms += ms;
        sim->lease_ms += ms < 1000 ? ms : 1000;
        pool_tick(sim->pool, sim->now_ms, sim->lease_ms);
    }
    sim_trace(sim, "now %llu lease %llu", (unsigned long long)sim->now_ms, (unsigned long long)sim->lease_ms);
    for (int i = 0; i < sim->model->tickets_count; i++)
        if (sim->model->tickets[i].expires_ms <= sim->now_ms)
            sim_ticket_spent(sim, i);
    if (model_tick(sim->model, sim->now_ms, sim->lease_ms) > 0) {
        sim->due = sim->pending = true;
        sim->indirect = true;
    }
}

/* ---- memory ---- */

/* The daemon's memory is nearly spent, for a while. */
static void run_squeeze(struct sim *sim)
{
    sim->squeezed = chance(sim, 30);
    sim->budget.limit =
        sim->squeezed ? sim->budget.used + random_below(&sim->random, 1u << 20) : UINT64_MAX / 2;
}

const struct operation session_operations[] = {
    {"session_open", 2, run_open}, {"detach", 2, run_detach},
    {"resume", 3, run_resume},     {"end", 1, run_end},
    {"by_sid", 1, run_by_sid},     {"tick", 6, run_tick},
    {"squeeze", 1, run_squeeze},   {0},
};
