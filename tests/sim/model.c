/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/sim/model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *allocate(size_t count, size_t size)
{
    void *p = calloc(count ? count : 1, size);
    if (!p)
        abort();
    return p;
}

static void full(const char *what)
{
    fprintf(stderr, "model: no room for more %s\n", what);
    abort();
}

struct model *model_new(void)
{
    struct model *m = allocate(1, sizeof(*m));
    m->objects = allocate(MODEL_OBJECTS, sizeof(*m->objects));
    m->ids = allocate(MODEL_OBJECTS, sizeof(*m->ids));
    m->living = allocate(MODEL_OBJECTS, sizeof(*m->living));
    m->graves = allocate(MODEL_OBJECTS, sizeof(*m->graves));
    m->sessions = allocate(MODEL_SESSIONS, sizeof(*m->sessions));
    m->holds = allocate(MODEL_HOLDS, sizeof(*m->holds));
    m->names = allocate(MODEL_NAMES, sizeof(*m->names));
    m->tickets = allocate(MODEL_TICKETS, sizeof(*m->tickets));
    return m;
}

static void forget(struct m_object *o)
{
    free(o->data);
    free(o->slots);
    free(o->tag);
    free(o->site);
    o->data = o->tag = o->site = NULL;
    o->slots = NULL;
    o->slots_count = 0;
}

void model_free(struct model *m)
{
    for (int i = 1; i <= m->objects_made; i++)
        forget(&m->objects[i]);
    free(m->objects);
    free(m->ids);
    free(m->living);
    free(m->graves);
    free(m->sessions);
    free(m->holds);
    free(m->names);
    free(m->tickets);
    free(m);
}

static void *duplicate(const void *of, size_t count, size_t size)
{
    void *copy = allocate(count, size);
    if (of != NULL && count > 0)
        memcpy(copy, of, count * size);
    return copy;
}

struct model *model_copy(const struct model *m)
{
    struct model *copy = duplicate(m, 1, sizeof *m);
    copy->objects = duplicate(m->objects, (size_t)m->objects_made + 1, sizeof *m->objects);
    copy->ids = duplicate(m->ids, (size_t)m->objects_made + 1, sizeof *m->ids);
    copy->living = duplicate(m->living, (size_t)m->living_count, sizeof *m->living);
    copy->graves = duplicate(m->graves, (size_t)m->graves_count, sizeof *m->graves);
    copy->sessions = duplicate(m->sessions, (size_t)m->sessions_made + 1, sizeof *m->sessions);
    copy->holds = duplicate(m->holds, (size_t)m->holds_count, sizeof *m->holds);
    copy->names = duplicate(m->names, (size_t)m->names_count, sizeof *m->names);
    copy->tickets = duplicate(m->tickets, (size_t)m->tickets_count, sizeof *m->tickets);
    for (int i = 1; i <= m->objects_made; i++) {
        struct m_object *o = &copy->objects[i];
        if (o->dead)
            continue;
        o->data = duplicate(o->data, o->size, 1);
        o->slots = duplicate(o->slots, o->slots_count, sizeof *o->slots);
        o->tag = duplicate(o->tag, o->tag_size, 1);
        o->site = duplicate(o->site, o->site_size, 1);
    }
    return copy;
}

/* ---- counting ---- */

static void count_outside(struct model *m)
{
    for (int i = 0; i < m->holds_count; i++)
        if (m->sessions[m->holds[i].session].state < M_DUE)
            m->objects[m->holds[i].object].firm += m->holds[i].count;
    for (int i = 0; i < m->names_count; i++)
        m->objects[m->names[i].object].firm++;
    for (int i = 0; i < m->tickets_count; i++)
        m->objects[m->tickets[i].object].firm++;
}

/* Counts what refers to each living object; slots only of those that are `sure`. */
static void count_once(struct model *m)
{
    for (int i = 0; i < m->living_count; i++)
        m->objects[m->living[i]].firm = m->objects[m->living[i]].firm_slots = 0;
    for (int i = 0; i < m->living_count; i++) {
        const struct m_object *o = &m->objects[m->living[i]];
        if (!o->sure)
            continue;
        for (uint32_t k = 0; k < o->slots_count; k++) {
            m->objects[o->slots[k]].firm++;
            m->objects[o->slots[k]].firm_slots++;
        }
    }
    count_outside(m);
}

void model_count(struct model *m)
{
    bool changed;
    for (int i = 0; i < m->living_count; i++)
        m->objects[m->living[i]].sure = true;
    do {
        changed = false;
        count_once(m);
        m->limbo = 0;
        for (int i = 0; i < m->living_count; i++) {
            struct m_object *o = &m->objects[m->living[i]];
            if (o->firm > 0)
                continue;
            m->limbo++;
            changed = changed || o->sure;
            o->sure = false;
        }
    } while (changed);
    m->dirty = false;
}

/* A new reference: it may keep what is in limbo. */
static void came(struct model *m)
{
    m->dirty = m->dirty || m->limbo > 0;
}

static void bury_at(struct model *m, int place)
{
    struct m_object *o = &m->objects[m->living[place]];
    o->dead = true;
    o->sure = false;
    forget(o);
    m->graves[m->graves_count++] = m->living[place];
    m->living[place] = m->living[--m->living_count];
}

int model_strike(struct model *m)
{
    int struck = 0;
    for (int i = 0; i < m->living_count; i++)
        m->objects[m->living[i]].sure = true;
    count_once(m);
    for (int i = m->living_count - 1; i >= 0; i--) {
        if (m->objects[m->living[i]].firm > 0)
            continue;
        bury_at(m, i);
        struck++;
    }
    return struck;
}

static void drop_holds_of(struct model *m, int session)
{
    int kept = 0;
    for (int i = 0; i < m->holds_count; i++)
        if (m->holds[i].session != session)
            m->holds[kept++] = m->holds[i];
    m->dirty = m->dirty || kept != m->holds_count;
    m->holds_count = kept;
}

void model_settle(struct model *m)
{
    for (int s = 1; s <= m->sessions_made; s++)
        if (m->sessions[s].state == M_DUE)
            model_session_end(m, s);
    model_count(m);
    for (int i = m->living_count - 1; i >= 0; i--)
        if (!m->objects[m->living[i]].sure)
            bury_at(m, i);
    m->limbo = 0;
}

int model_reach(struct model *m, const bool *survives)
{
    int reached = 0, before;
    for (int i = 0; i < m->living_count; i++)
        m->objects[m->living[i]].reached = false;
    for (int i = 0; i < m->holds_count; i++)
        if (survives[m->holds[i].session])
            m->objects[m->holds[i].object].reached = true;
    for (int i = 0; i < m->names_count; i++)
        m->objects[m->names[i].object].reached = true;
    for (int i = 0; i < m->tickets_count; i++)
        m->objects[m->tickets[i].object].reached = true;
    do {
        before = reached;
        reached = 0;
        for (int i = 0; i < m->living_count; i++) {
            const struct m_object *o = &m->objects[m->living[i]];
            for (uint32_t k = 0; o->reached && k < o->slots_count; k++)
                if (o->slots[k] != 0)
                    m->objects[o->slots[k]].reached = true;
            reached += o->reached;
        }
    } while (reached != before);
    return reached;
}

void model_bury(struct model *m, int object)
{
    for (int i = 0; i < m->living_count; i++) {
        if (m->living[i] != object)
            continue;
        bury_at(m, i);
        m->limbo--;
        return;
    }
}

/* ---- objects ---- */

int model_object(const struct model *m, uint64_t id)
{
    for (int i = m->objects_made; i > 0; i--)
        if (m->ids[i] == id)
            return i;
    return 0;
}

enum life model_life(const struct model *m, int object)
{
    const struct m_object *o = &m->objects[object];
    if (object == 0 || o->dead)
        return LIFE_GONE;
    return o->sure ? LIFE_SURE : LIFE_LIMBO;
}

static uint8_t *copy_of(const uint8_t *data, uint64_t size)
{
    uint8_t *copy = allocate(size, 1);
    if (data)
        memcpy(copy, data, size);
    return copy;
}

int model_born(struct model *m, uint64_t id, int form, const uint8_t *data, uint64_t size)
{
    if (m->objects_made + 1 == MODEL_OBJECTS)
        full("objects");
    int object = ++m->objects_made;
    m->objects[object] = (struct m_object){.sure = true};
    m->ids[object] = id;
    m->living[m->living_count++] = object;
    model_value(m, object, form, data, size, 1);
    return object;
}

void model_value(struct model *m, int object, int form, const uint8_t *data, uint64_t size, uint64_t version)
{
    struct m_object *o = &m->objects[object];
    free(o->data);
    o->data = copy_of(data, size);
    o->form = form;
    o->size = size;
    o->version = version;
}

void model_label(struct model *m, int object, const uint8_t *tag, uint32_t tag_size, const uint8_t *site,
                 uint32_t site_size)
{
    struct m_object *o = &m->objects[object];
    o->tag = copy_of(tag, tag_size);
    o->tag_size = tag_size;
    o->site = copy_of(site, site_size);
    o->site_size = site_size;
}

void model_slot(struct model *m, int object, uint32_t slot, int target)
{
    struct m_object *o = &m->objects[object];
    if (slot == o->slots_count) {
        /* Doubling: room is made when the count is a power of two. */
        if ((o->slots_count & (o->slots_count - 1)) == 0) {
            o->slots = realloc(o->slots, sizeof(int) * (o->slots_count ? 2ul * o->slots_count : 1));
            if (!o->slots)
                abort();
        }
        o->slots[o->slots_count++] = 0;
    }
    m->dirty = m->dirty || o->slots[slot] != 0;
    o->slots[slot] = target;
    came(m);
}

/* ---- holds ---- */

static struct m_hold *find_hold(const struct model *m, int session, int object)
{
    for (int i = 0; i < m->holds_count; i++)
        if (m->holds[i].session == session && m->holds[i].object == object)
            return &m->holds[i];
    return NULL;
}

uint64_t model_held(const struct model *m, int session, int object)
{
    const struct m_hold *hold = find_hold(m, session, object);
    return hold ? hold->count : 0;
}

uint64_t model_held_objects(const struct model *m, int session)
{
    uint64_t n = 0;
    for (int i = 0; i < m->holds_count; i++)
        n += m->holds[i].session == session;
    return n;
}

void model_hold(struct model *m, int session, int object, uint64_t n)
{
    struct m_hold *hold = find_hold(m, session, object);
    if (!hold) {
        if (m->holds_count == MODEL_HOLDS)
            full("holds");
        hold = &m->holds[m->holds_count++];
        *hold = (struct m_hold){session, object, 0};
    }
    hold->count += n;
    came(m);
}

void model_unhold(struct model *m, int session, int object, uint64_t n)
{
    struct m_hold *hold = find_hold(m, session, object);
    hold->count -= n;
    if (hold->count == 0)
        *hold = m->holds[--m->holds_count];
    m->dirty = true;
}

uint64_t model_held_by_all(const struct model *m, int object)
{
    uint64_t n = 0;
    for (int i = 0; i < m->holds_count; i++)
        if (m->holds[i].object == object && m->sessions[m->holds[i].session].state < M_DUE)
            n += m->holds[i].count;
    return n;
}

/* ---- names ---- */

int model_name(const struct model *m, const uint8_t *bytes, uint32_t size)
{
    for (int i = 0; i < m->names_count; i++)
        if (m->names[i].size == size && memcmp(m->names[i].bytes, bytes, size) == 0)
            return i;
    return -1;
}

void model_bind(struct model *m, const uint8_t *bytes, uint32_t size, int object, uint64_t version)
{
    int name = model_name(m, bytes, size);
    if (name < 0) {
        if (m->names_count == MODEL_NAMES)
            full("names");
        name = m->names_count++;
        m->names[name] = (struct m_name){.size = size};
        memcpy(m->names[name].bytes, bytes, size);
    }
    m->names[name].object = object;
    m->names[name].version = version;
    m->dirty = true;
}

void model_unname(struct model *m, int name)
{
    m->names[name] = m->names[--m->names_count];
    m->dirty = true;
}

uint64_t model_named(const struct model *m, int object)
{
    uint64_t n = 0;
    for (int i = 0; i < m->names_count; i++)
        n += m->names[i].object == object;
    return n;
}

/* ---- tickets ---- */

int model_ticket(const struct model *m, const uint8_t key[16])
{
    for (int i = 0; i < m->tickets_count; i++)
        if (memcmp(m->tickets[i].key, key, 16) == 0)
            return i;
    return -1;
}

void model_share(struct model *m, const uint8_t key[16], int object, uint32_t uses, uint64_t expires_ms)
{
    if (m->tickets_count == MODEL_TICKETS)
        full("tickets");
    struct m_ticket *ticket = &m->tickets[m->tickets_count++];
    *ticket = (struct m_ticket){.object = object, .uses = uses, .expires_ms = expires_ms};
    memcpy(ticket->key, key, 16);
    came(m);
}

void model_unshare(struct model *m, int ticket)
{
    m->tickets[ticket] = m->tickets[--m->tickets_count];
    m->dirty = true;
}

uint64_t model_ticketed(const struct model *m, int object)
{
    uint64_t n = 0;
    for (int i = 0; i < m->tickets_count; i++)
        n += m->tickets[i].object == object;
    return n;
}

/* ---- sessions ---- */

int model_session_open(struct model *m, uint64_t sid)
{
    if (m->sessions_made + 1 == MODEL_SESSIONS)
        full("sessions");
    int session = ++m->sessions_made;
    m->sessions[session] = (struct m_session){.state = M_OPEN, .sid = sid};
    return session;
}

void model_session_end(struct model *m, int session)
{
    m->sessions[session].state = M_ENDED;
    drop_holds_of(m, session);
}

int model_tick(struct model *m, uint64_t now_ms, uint64_t lease_ms)
{
    int due = 0;
    for (int i = m->tickets_count - 1; i >= 0; i--) {
        if (m->tickets[i].expires_ms > now_ms)
            continue;
        model_unshare(m, i);
        due++;
    }
    for (int s = 1; s <= m->sessions_made; s++) {
        if (m->sessions[s].state != M_GRACE || m->sessions[s].lease_ends > lease_ms)
            continue;
        m->sessions[s].state = M_DUE;
        m->dirty = true;
        due++;
    }
    return due;
}
