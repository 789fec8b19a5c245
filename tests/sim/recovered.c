/* SPDX-License-Identifier: BSD-3-Clause */
/* The pool's image, recovered beside the running pool, against the model. */
#include "daemon/pool/internal.h"
#include "tests/sim/driver.h"

#include <string.h>

/* Sessions with a key and a lease go on. One that is due does if the pool has not come to ending it. */
static void survivors(struct sim *sim, bool *survives)
{
    const struct model *m = sim->model;
    for (int s = 1; s <= m->sessions_made; s++) {
        const struct m_session *session = &m->sessions[s];
        survives[s] = !session->anonymous && session->lease_ms > 0 && session->state != M_ENDED;
        if (session->state == M_DUE)
            survives[s] = survives[s] && pool_session_by_sid(sim->pool, session->sid) != NULL;
    }
}

struct pool *survival_open(struct sim *sim, const struct survival *survival, int fd_meta, int fd_values)
{
    struct pool_config config = {
        .name = "recovered",
        .max_bytes = UINT64_MAX / 4,
        .random_seed = 1,
        .now_ms = survival->now_ms,
        .fd_meta = fd_meta,
        .fd_values = fd_values,
        .look_only = true,
    };
    struct pool *pool = NULL;
    char error[256] = "";
    int rc = pool_open(&pool, &config, error, sizeof error);
    if (rc != 0)
        sim_fail(sim, "recovery answered %d: %s", rc, error);
    /* What was over time, or without a lease, ends now; leases begin anew. */
    while (pool_step(pool, 1000) == 1000) {
    }
    return pool;
}

static uint64_t slots_on(const struct model *m, int object)
{
    uint64_t n = 0;
    for (int i = 0; i < m->living_count; i++) {
        const struct m_object *o = &m->objects[m->living[i]];
        for (uint32_t k = 0; o->reached && k < o->slots_count; k++)
            n += o->slots[k] == object;
    }
    return n;
}

static void recovered_slots(struct sim *sim, const struct model *m, struct pool *pool, int object)
{
    const struct m_object *o = &m->objects[object];
    uint64_t page[256];
    uint32_t offset = 0, got = 0, total = 0;
    do {
        sim_check(sim, pool_refs(pool, m->ids[object], offset, page, 256, &got, &total) == 0);
        sim_check(sim, total == o->slots_count && (got > 0 || total == 0));
        for (uint32_t i = 0; i < got; i++)
            sim_check(sim, page[i] == m->ids[o->slots[offset + i]]);
        offset += got;
    } while (offset < total);
}

static void recovered_object(struct sim *sim, const struct survival *survival, struct pool *pool, int object)
{
    const struct model *m = survival->model;
    const bool *survives = survival->survives;
    const struct m_object *o = &m->objects[object];
    struct value_view view;
    struct inspect_row row;
    int rc = pool_inspect(pool, m->ids[object], &row);
    if (rc != (o->reached ? 0 : -HF_E_GONE))
        sim_fail(sim, "after recovery inspect of object %d, which %s reached, answers %d", object,
                 o->reached ? "can be" : "cannot be", rc);
    if (!o->reached)
        return;
    uint64_t held = 0;
    for (int i = 0; i < m->holds_count; i++)
        held += m->holds[i].object == object && survives[m->holds[i].session] ? m->holds[i].count : 0;
    sim_check(sim, row.held_sessions == held && row.held_names == model_named(m, object));
    sim_check(sim, row.held_tickets == model_ticketed(m, object) && row.held_slots == slots_on(m, object));
    sim_check(sim, row.size == o->size && row.open == o->open && row.sealed == o->sealed);
    sim_check(sim, row.tag_size == o->tag_size && row.site_size == o->site_size);
    sim_check(sim, o->tag_size == 0 || memcmp(row.tag, o->tag, o->tag_size) == 0);
    if (o->open)
        return;
    sim_check(sim, pool_get(pool, m->ids[object], &view) == 0);
    sim_check(sim, view.version == o->version && (int)view.form == o->form && view.size == o->size);
    sim_check(sim, o->size == 0 || memcmp(view.data, o->data, o->size) == 0);
    recovered_slots(sim, m, pool, object);
}

static void recovered_outside(struct sim *sim, const struct survival *survival, struct pool *pool)
{
    const struct model *m = survival->model;
    const bool *survives = survival->survives;
    for (int s = 1; s <= m->sessions_made; s++) {
        struct session *found = pool_session_by_sid(pool, m->sessions[s].sid);
        sim_check(sim, (found != NULL) == survives[s]);
        if (!found)
            continue;
        sim_check(sim,
                  pool_session_by_key(pool, m->sessions[s].key) == found && session_owner(found) == NULL);
        sim_check(sim, session_held(found) == model_held_objects(m, s));
        sim_check(sim, session_replays(found) == m->sessions[s].replays);
        if (m->sessions[s].replays)
            resend(sim, &m->sessions[s], pool, found);
    }
    for (int i = 0; i < m->names_count; i++) {
        const struct m_name *name = &m->names[i];
        struct value_view view;
        uint64_t id = 0, version = 0;
        struct name_in in = {name->bytes, name->size};
        sim_check(sim, pool_fetch(pool, in, &view, &id, &version) == 0);
        sim_check(sim, id == m->ids[name->object] && version == name->version);
    }
}

/* A session without lease ends, and a ticket over time goes, after all was marked: cycles of what only they held
 * stay as garbage. This is not what is compared here. */
static bool ends_after_marking(const struct sim *sim)
{
    const struct model *m = sim->model;
    for (int s = 1; s <= m->sessions_made; s++)
        if (m->sessions[s].state == M_OPEN && !m->sessions[s].anonymous && m->sessions[s].lease_ms == 0)
            return true;
    return sim->due;
}

/* A session that does not survive holds something. */
static bool holds_end(const struct model *m, const bool *survives)
{
    for (int i = 0; i < m->holds_count; i++)
        if (!survives[m->holds[i].session])
            return true;
    return false;
}

/* The first cell of the area, of whatever type, is in use or not. */
#define CELL_MOST 520u

static uint64_t cells_in_use(const struct pool *pool)
{
    return pool->heap.cells.live_bytes - (uint64_t)pool->heap.spare_count * cell_bytes(CELL_HOLD);
}

/* When nothing was garbage, the running pool has no more in use than the recovered one: it has leaked nothing. */
static void recovered_leaks(struct sim *sim, const struct pool *pool, const struct pool_stats *recovered)
{
    struct pool_stats stats;
    pool_stats(sim->pool, &stats);
    sim_check(sim, stats.value_live_bytes == recovered->value_live_bytes);
    sim_check(sim, sim->pool->heap.lists.live_bytes == pool->heap.lists.live_bytes);
    uint64_t ended = stats.sessions_open + stats.sessions_grace - recovered->sessions_grace;
    uint64_t cells = cells_in_use(sim->pool), expected = cells_in_use(pool) + ended * cell_bytes(CELL_ANON);
    if (stats.sessions_dying == 0) /* all that ended is anonymous, see ends_after_marking() */
        sim_check(sim, cells <= expected + CELL_MOST && expected <= cells + CELL_MOST);
    sim_check(sim, stats.labels == recovered->labels && stats.holds == recovered->holds);
    sim_check(sim, stats.object_bytes == recovered->object_bytes && stats.index_max == recovered->index_max);
}

bool survival_now(struct sim *sim, struct survival *ret)
{
    if (ends_after_marking(sim))
        return false;
    *ret = (struct survival){.model = sim->model, .random = &sim->random, .now_ms = sim->now_ms};
    survivors(sim, ret->survives);
    ret->reached = model_reach(sim->model, ret->survives);
    return true;
}

void survival_check(struct sim *sim, const struct survival *survival, struct pool *pool)
{
    const struct model *m = survival->model;
    struct pool_stats stats;
    struct verify_result result;
    pool_stats(pool, &stats);
    if (stats.objects != (uint64_t)survival->reached)
        sim_fail(sim, "after recovery %llu objects live, %d can be reached",
                 (unsigned long long)stats.objects, survival->reached);
    sim_check(sim, stats.names == (uint64_t)m->names_count && stats.tickets == (uint64_t)m->tickets_count);
    for (int i = 0; i < m->living_count; i++)
        recovered_object(sim, survival, pool, m->living[i]);
    recovered_outside(sim, survival, pool);
    for (int i = 0; i < 16 && m->graves_count > 0; i++) {
        struct value_view view;
        int object = m->graves[random_below(survival->random, (uint64_t)m->graves_count)];
        sim_check(sim, pool_get(pool, m->ids[object], &view) == -HF_E_GONE);
    }
    sim_check(sim, pool_verify_begin(pool) == 0);
    while (!pool_verify_step(pool, 10000, &result)) {
    }
    if (result.findings_count != 0)
        sim_fail(sim, "after recovery verify found %u faults, first: %s", result.findings_count,
                 result.findings[0].text);
}

void compare_recovered(struct sim *sim)
{
    const struct model *m = sim->model;
    struct survival survival;
    struct pool_stats stats;
    if (!survival_now(sim, &survival))
        return;
    struct pool *pool = survival_open(sim, &survival, sim->pool->heap.meta.fd, sim->pool->heap.values.fd);
    pool_stats(pool, &stats);
    if (!sim->pending && survival.reached == m->living_count && sim->pins_count == 0 &&
        !holds_end(m, survival.survives))
        recovered_leaks(sim, pool, &stats);
    survival_check(sim, &survival, pool);
    pool_close(pool);
    sim->recovered++;
}
