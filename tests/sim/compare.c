/* SPDX-License-Identifier: BSD-3-Clause */
/* Comparing what the pool tells with the model. */
#include "tests/sim/driver.h"

#include <stdlib.h>
#include <string.h>

#define AGE_SLACK_MS (2 * STAMP_MS)
#define HOLDERS_MAX  1024
#define FINDINGS_MAX 16

static bool same_bytes(const uint8_t *a, uint64_t a_size, const uint8_t *b, uint64_t b_size)
{
    return a_size == b_size && (a_size == 0 || memcmp(a, b, a_size) == 0);
}

/* ---- one object ---- */

static void compare_value(struct sim *sim, int object)
{
    const struct m_object *o = &sim->model->objects[object];
    struct value_view view;
    int rc = pool_get(sim->pool, sim->model->ids[object], &view);
    if (o->open) {
        sim_check(sim, rc == -HF_E_UNSEALED);
        return;
    }
    if (rc != 0)
        sim_fail(sim, "object %d lives, get answered %d", object, rc);
    sim_check(sim, (int)view.form == o->form);
    sim_check(sim, view.version == o->version);
    if (!same_bytes(view.data, view.size, o->data, o->size))
        sim_fail(sim, "object %d has another value (%llu bytes, %llu expected)", object,
                 (unsigned long long)view.size, (unsigned long long)o->size);
}

static void compare_slots(struct sim *sim, int object)
{
    const struct m_object *o = &sim->model->objects[object];
    uint64_t page[128];
    uint32_t offset = 0, got, total;
    if (o->open)
        return;
    do {
        uint32_t max = (uint32_t)random_between(&sim->random, 1, 128);
        sim_check(sim, pool_refs(sim->pool, sim->model->ids[object], offset, page, max, &got, &total) == 0);
        sim_check(sim, total == o->slots_count && offset + got <= total);
        sim_check(sim, got > 0 || total == 0);
        for (uint32_t i = 0; i < got; i++)
            if (page[i] != sim->model->ids[o->slots[offset + i]])
                sim_fail(sim, "object %d slot %u has id %#llx, not that of object %d", object, offset + i,
                         (unsigned long long)page[i], o->slots[offset + i]);
        offset += got;
    } while (offset < total);
}

static void compare_inspect(struct sim *sim, int object)
{
    const struct m_object *o = &sim->model->objects[object];
    const struct model *m = sim->model;
    struct inspect_row row;
    int rc = pool_inspect(sim->pool, m->ids[object], &row);
    if (rc != 0)
        sim_fail(sim, "object %d lives, inspect answered %d", object, rc);
    sim_check(sim, row.id == m->ids[object] && row.size == o->size && (int)row.form == o->form);
    sim_check(sim, o->open || row.version == o->version);
    sim_check(sim, row.slots == o->slots_count && row.open == o->open && row.sealed == o->sealed);
    sim_check(sim, same_bytes(row.tag, row.tag_size, o->tag, o->tag_size));
    sim_check(sim, same_bytes(row.site, row.site_size, o->site, o->site_size));
    sim_check(sim, o->open || o->form != FORM_RAW || row.first_byte == o->data[0]);
    uint64_t age = sim->now_ms - o->made_ms;
    sim_check(sim, row.age_ms <= age + AGE_SLACK_MS && row.age_ms + AGE_SLACK_MS >= age);
    sim_check(sim, row.held_names == model_named(m, object));
    if (sim->pending) {
        /* What is on its way out may still be counted. */
        sim_check(sim, row.held_slots >= o->firm_slots && row.held_tickets >= model_ticketed(m, object));
        sim_check(sim, row.held_sessions >= model_held_by_all(m, object));
        return;
    }
    if (row.held_slots != o->firm_slots)
        sim_fail(sim, "object %d is said to be held by %llu slots, they are %llu", object,
                 (unsigned long long)row.held_slots, (unsigned long long)o->firm_slots);
    sim_check(sim, row.held_sessions == model_held_by_all(m, object));
    sim_check(sim, row.held_tickets == model_ticketed(m, object));
}

static void compare_session_holder(struct sim *sim, int object, const struct holder_row *row)
{
    const struct model *m = sim->model;
    for (int s = 1; s <= m->sessions_made; s++) {
        const struct m_session *session = &m->sessions[s];
        if (session->sid != row->sid || session->state == M_ENDED)
            continue;
        sim_check(sim, row->count == model_held(m, s, object));
        sim_check(sim, same_bytes(row->name, row->name_size, session->name, session->name_size));
        sim_check(sim, row->pid == session->pid);
        return;
    }
    sim_fail(sim, "object %d is said to be held by session %llu, which is not there", object,
             (unsigned long long)row->sid);
}

static void compare_ticket_holder(struct sim *sim, int object, const struct holder_row *row)
{
    const struct model *m = sim->model;
    for (int i = 0; i < m->tickets_count; i++)
        if (m->tickets[i].object == object && m->tickets[i].expires_ms == sim->now_ms + row->ttl_ms)
            return;
    sim_check(sim, sim->pending && row->ttl_ms == 0);
}

static unsigned holders_expected(const struct model *m, int object)
{
    uint64_t n = model_named(m, object) + model_ticketed(m, object);
    for (int i = 0; i < m->holds_count; i++)
        n += m->holds[i].object == object && m->sessions[m->holds[i].session].state < M_DUE;
    return (unsigned)n;
}

static void compare_holders(struct sim *sim, int object)
{
    struct holder_row rows[HOLDERS_MAX];
    unsigned count = 0;
    sim_check(sim, pool_holders(sim->pool, sim->model->ids[object], rows, HOLDERS_MAX, &count) == 0);
    unsigned expected = holders_expected(sim->model, object);
    if (expected >= HOLDERS_MAX)
        return;
    if (count < expected || (count > expected && !sim->pending))
        sim_fail(sim, "object %d is said to have %u holders, they are %u", object, count, expected);
    for (unsigned i = 0; i < count; i++) {
        if (rows[i].kind == HOLDER_SESSION) {
            compare_session_holder(sim, object, &rows[i]);
        } else if (rows[i].kind == HOLDER_TICKET) {
            compare_ticket_holder(sim, object, &rows[i]);
        } else {
            int name = model_name(sim->model, rows[i].name, rows[i].name_size);
            sim_check(sim, name >= 0 && sim->model->names[name].object == object);
        }
        for (unsigned k = 0; k < i; k++)
            sim_check(sim,
                      rows[k].kind != rows[i].kind ||
                          (rows[i].kind == HOLDER_SESSION  ? rows[k].sid != rows[i].sid
                           : rows[i].kind == HOLDER_TICKET ? rows[k].number != rows[i].number
                                                           : !same_bytes(rows[k].name, rows[k].name_size,
                                                                         rows[i].name, rows[i].name_size)));
    }
}

void compare_object(struct sim *sim, int object)
{
    if (model_life(sim->model, object) != LIFE_SURE)
        return;
    compare_value(sim, object);
    compare_slots(sim, object);
    compare_inspect(sim, object);
    compare_holders(sim, object);
}

/* ---- everything ---- */

static void compare_names(struct sim *sim)
{
    struct model *m = sim->model;
    bool seen[MODEL_NAMES] = {false};
    struct name_row rows[16];
    struct name_in prefix = {0};
    uint64_t cursor = 0;
    uint8_t first = (uint8_t)('a' + random_below(&sim->random, 20));
    if (chance(sim, 30))
        prefix = (struct name_in){&first, 1};
    do {
        unsigned max = (unsigned)random_between(&sim->random, 1, 16);
        unsigned count = pool_names(sim->pool, cursor, prefix, rows, max, &cursor);
        sim_check(sim, count <= max);
        for (unsigned i = 0; i < count; i++) {
            int name = model_name(m, rows[i].name, rows[i].name_size);
            sim_check(sim, name >= 0 && rows[i].id == m->ids[m->names[name].object]);
            sim_check(sim, prefix.size == 0 || rows[i].name[0] == first);
            seen[name] = true;
        }
    } while (cursor != 0);
    for (int i = 0; i < m->names_count; i++)
        sim_check(sim, seen[i] || (prefix.size == 1 && m->names[i].bytes[0] != first));
}

static uint64_t references(const struct model *m, int session)
{
    uint64_t n = 0;
    for (int i = 0; i < m->holds_count; i++)
        n += m->holds[i].session == session ? m->holds[i].count : 0;
    return n;
}

static void compare_session(struct sim *sim, int s, const struct session_row *row)
{
    const struct m_session *session = &sim->model->sessions[s];
    sim_check(sim,
              row->sid == session->sid && row->pid == session->pid && row->lease_ms == session->lease_ms);
    sim_check(sim, same_bytes(row->name, row->name_size, session->name, session->name_size));
    sim_check(sim, row->anonymous == session->anonymous && row->grace == (session->state == M_GRACE));
    sim_check(sim, row->held == model_held_objects(sim->model, s));
    sim_check(sim, row->held == session_held(sim->handle[s]));
    sim_check(sim, session_references(sim->handle[s]) == references(sim->model, s));
    sim_check(sim, row->since_ms == sim->now_ms - session->since_ms);
    sim_check(sim, row->owner == (session->state == M_OPEN ? &sim->owner[s] : NULL));
    sim_check(sim, row->idle_left_ms == (row->grace ? session->lease_ends - sim->lease_ms : 0));
}

static void compare_sessions(struct sim *sim)
{
    struct model *m = sim->model;
    struct session_row rows[4];
    uint64_t after = 0;
    int s = 1;
    for (;;) {
        unsigned max = (unsigned)random_between(&sim->random, 1, 4);
        unsigned count = pool_sessions(sim->pool, after, rows, max);
        sim_check(sim, count <= max);
        for (unsigned i = 0; i < count; i++) {
            sim_check(sim, rows[i].sid > after);
            after = rows[i].sid;
            for (; m->sessions[s].sid != after; s++)
                if (s > m->sessions_made || m->sessions[s].state < M_DUE)
                    sim_fail(sim, "sessions tells of %llu, expected is another one",
                             (unsigned long long)after);
            sim_check(sim, m->sessions[s].state != M_ENDED);
            if (m->sessions[s].state != M_DUE)
                compare_session(sim, s, &rows[i]);
            s++;
        }
        if (count == 0)
            break;
    }
    for (; s <= m->sessions_made; s++)
        sim_check(sim, m->sessions[s].state >= M_DUE);
}

/* An object may be answered by a scan: it lives, or may still. */
static int scanned(struct sim *sim, uint64_t id)
{
    int object = model_object(sim->model, id);
    if (object == 0 || sim->model->objects[object].dead)
        sim_fail(sim, "scan tells of id %#llx, which is %s", (unsigned long long)id,
                 object ? "dead" : "unknown");
    return object;
}

static bool passes(const struct sim *sim, int object, const struct scan_filter *filter, int session)
{
    const struct m_object *o = &sim->model->objects[object];
    if (filter->has_tag && !same_bytes(filter->tag, filter->tag_size, o->tag, o->tag_size))
        return false;
    if (session != 0 && model_held(sim->model, session, object) == 0)
        return false;
    return o->size >= filter->min_size;
}

static void compare_scan(struct sim *sim)
{
    struct model *m = sim->model;
    struct scan_filter filter = {0};
    uint64_t ids[64], cursor = 0;
    int session = 0;
    filter.has_tag = chance(sim, 20) && (filter.tag_size = pick_label(sim, &filter.tag)) > 0;
    if (chance(sim, 20))
        filter.min_size = random_below(&sim->random, 40);
    if (chance(sim, 20) && (session = pick_session(sim)) != 0)
        filter.sid = m->sessions[session].sid;
    for (int i = 0; i < m->living_count; i++)
        m->objects[m->living[i]].scan_seen = false;
    do {
        unsigned count = 0, max = (unsigned)random_between(&sim->random, 1, 64);
        sim_check(sim, pool_scan(sim->pool, cursor, &filter, ids, max, &count, &cursor) == 0);
        sim_check(sim, count <= max);
        for (unsigned i = 0; i < count; i++) {
            int object = scanned(sim, ids[i]);
            sim_check(sim, passes(sim, object, &filter, session));
            m->objects[object].scan_seen = true;
        }
    } while (cursor != 0);
    for (int i = 0; i < m->living_count; i++) {
        const struct m_object *o = &m->objects[m->living[i]];
        sim_check(sim, o->scan_seen || !o->sure || !passes(sim, m->living[i], &filter, session));
    }
    sim->scan_walking = false; /* it shares scan_seen */
}

static void compare_dead(struct sim *sim)
{
    const struct model *m = sim->model;
    for (int i = 0; i < 16 && m->graves_count > 0; i++) {
        int object = m->graves[random_below(&sim->random, (uint64_t)m->graves_count)];
        struct value_view view;
        struct inspect_row row;
        if (pool_get(sim->pool, m->ids[object], &view) != -HF_E_GONE ||
            pool_inspect(sim->pool, m->ids[object], &row) != -HF_E_GONE)
            sim_fail(sim, "object %d is dead, but its id %#llx is answered", object,
                     (unsigned long long)m->ids[object]);
    }
}

static uint64_t pinned_values(const struct sim *sim)
{
    uint64_t values = 0;
    for (int i = 0; i < sim->pins_count; i++) {
        bool first = true;
        for (int k = 0; k < i; k++)
            first = first && sim->pins[k].at != sim->pins[i].at;
        values += first;
    }
    return values;
}

static void compare_stats(struct sim *sim)
{
    const struct model *m = sim->model;
    struct pool_stats stats;
    uint64_t bytes = 0, open = 0, sessions_open = 0, grace = 0, due = 0;
    pool_stats(sim->pool, &stats);
    for (int i = 0; i < m->living_count; i++) {
        bytes += m->objects[m->living[i]].size;
        open += m->objects[m->living[i]].open;
    }
    for (int s = 1; s <= m->sessions_made; s++) {
        sessions_open += m->sessions[s].state == M_OPEN;
        grace += m->sessions[s].state == M_GRACE;
        due += m->sessions[s].state == M_DUE;
    }
    sim_check(sim, stats.names == (uint64_t)m->names_count);
    sim_check(sim, stats.sessions_open == sessions_open);
    sim_check(sim, stats.sessions_grace >= grace && stats.sessions_grace <= grace + due);
    /* One that a store made in vain may count as made and freed. */
    sim_check(sim, stats.objects_made >= (uint64_t)m->objects_made);
    sim_check(sim, stats.pinned == pinned_values(sim));
    if (sim->pending)
        return;
    sim_check(sim, stats.objects == (uint64_t)m->living_count);
    sim_check(sim, stats.objects_made - stats.objects_freed == (uint64_t)m->living_count);
    sim_check(sim, stats.object_bytes == bytes);
    sim_check(sim, stats.objects_open == open);
    sim_check(sim, stats.tickets == (uint64_t)m->tickets_count);
    sim_check(sim, stats.holds == (uint64_t)m->holds_count);
    sim_check(sim, stats.memory_used <= stats.memory_limit);
}

void compare_all(struct sim *sim)
{
    struct model *m = sim->model;
    model_count(m);
    for (int i = 0; i < m->living_count; i++)
        compare_object(sim, m->living[i]);
    compare_names(sim);
    compare_sessions(sim);
    compare_scan(sim);
    compare_dead(sim);
    compare_stats(sim);
    sim->compared++;
}

static void check_findings(struct sim *sim, const struct verify_result *result)
{
    sim->verified++;
    if (result->findings_count != 0)
        sim_fail(sim, "verify found %u faults, first: %s", result->findings_count, result->findings[0].text);
}

void compare_verify(struct sim *sim)
{
    struct verify_result result;
    int rc = pool_verify_begin(sim->pool);
    if (rc == -HF_E_OOM && sim->squeezed)
        return;
    sim_check(sim, rc == 0);
    while (!pool_verify_step(sim->pool, (unsigned)random_between(&sim->random, 1000, 100000), &result)) {
    }
    check_findings(sim, &result);
    sim_check(sim, sim->pending || result.objects == (uint64_t)sim->model->living_count);
}

/* A walk that goes on while clients change the pool: one part of it between two operations. */
void compare_verify_on(struct sim *sim)
{
    struct verify_result result;
    if (!pool_verify_step(sim->pool, (unsigned)random_between(&sim->random, 1, 1000), &result))
        return;
    sim->verifying = false;
    check_findings(sim, &result);
}

/* ---- looking that takes many calls, with changes in between ---- */

static void run_compare_one(struct sim *sim)
{
    int object = pick_living(sim);
    if (object == 0)
        return;
    model_count(sim->model);
    compare_object(sim, object);
}

/* What is there throughout is seen at least once. */
static void run_names_walk(struct sim *sim)
{
    struct model *m = sim->model;
    struct name_row rows[4];
    if (!sim->names_walking) {
        sim->names_cursor = 0;
        for (int i = 0; i < m->names_count; i++) {
            m->names[i].walk_started = true;
            m->names[i].walk_seen = false;
        }
    }
    unsigned count =
        pool_names(sim->pool, sim->names_cursor, (struct name_in){0}, rows, 4, &sim->names_cursor);
    for (unsigned i = 0; i < count; i++) {
        int name = model_name(m, rows[i].name, rows[i].name_size);
        sim_check(sim, name >= 0);
        m->names[name].walk_seen = true;
    }
    sim->names_walking = sim->names_cursor != 0;
    if (sim->names_walking)
        return;
    for (int i = 0; i < m->names_count; i++) {
        sim_check(sim, m->names[i].walk_seen || !m->names[i].walk_started);
        m->names[i].walk_started = false;
    }
}

static void run_scan_walk(struct sim *sim)
{
    struct model *m = sim->model;
    struct scan_filter filter = {0};
    uint64_t ids[4];
    unsigned count = 0;
    if (!sim->scan_walking) {
        sim->scan_cursor = 0;
        for (int i = 0; i < m->living_count; i++) {
            m->objects[m->living[i]].scan_started = true;
            m->objects[m->living[i]].scan_seen = false;
        }
    }
    sim_check(sim, pool_scan(sim->pool, sim->scan_cursor, &filter, ids, 4, &count, &sim->scan_cursor) == 0);
    for (unsigned i = 0; i < count; i++)
        m->objects[scanned(sim, ids[i])].scan_seen = true;
    sim->scan_walking = sim->scan_cursor != 0;
    if (sim->scan_walking || m->dirty)
        return;
    for (int i = 0; i < m->living_count; i++) {
        const struct m_object *o = &m->objects[m->living[i]];
        sim_check(sim, o->scan_seen || !o->scan_started || !o->sure);
    }
    for (int i = 0; i < m->living_count; i++)
        m->objects[m->living[i]].scan_started = false;
}

/* A walk over the invariants while the pool goes on. */
static void run_verify(struct sim *sim)
{
    if (!sim->verifying) {
        struct verdict v = {0};
        sim->verifying = sim_judge(sim, &v, pool_verify_begin(sim->pool));
        return;
    }
    sim_check(sim, pool_verify_begin(sim->pool) == -HF_E_BUSY);
    if (random_once_in(&sim->random, 50)) {
        pool_verify_abort(sim->pool);
        sim->verifying = false;
        return;
    }
    compare_verify_on(sim);
}

const struct operation looking_operations[] = {
    {"compare", 4, run_compare_one},
    {"names_walk", 2, run_names_walk},
    {"scan_walk", 2, run_scan_walk},
    {"verify", 3, run_verify},
    {0},
};
