/* SPDX-License-Identifier: BSD-3-Clause */
/* Operations on objects: put, put_many, get, set, write, seal, refs, link. */
#include "tests/sim/driver.h"

#include <stdlib.h>
#include <string.h>

#define LARGE_MAX    (3u * 1024 * 1024)
#define REFS_AT_ONCE 8192

/* ---- values ---- */

static bool same_value(const struct m_object *o, const struct value_view *view)
{
    return (int)view->form == o->form && view->size == o->size && view->version == o->version &&
           (o->size == 0 || memcmp(view->data, o->data, o->size) == 0);
}

/* A value for put or set: copied or, if it is large, staged. false: no memory for its stage. `*ret_bytes` is what
 * the model keeps and is to be freed if it is not in sim->buffer. */
static bool value_for_pool(struct sim *sim, struct value_in *value, bool replaces, uint8_t **ret_bytes)
{
    *ret_bytes = NULL;
    *value = pick_value(sim);
    if (!sim->large || !chance(sim, 4))
        return true;
    uint64_t size = random_between(&sim->random, 1, LARGE_MAX);
    uint8_t *bytes = malloc(size);
    if (!bytes)
        abort();
    for (uint64_t at = 0; at < size; at += SIM_BUFFER)
        memcpy(bytes + at, sim->buffer, size - at < SIM_BUFFER ? size - at : SIM_BUFFER);
    bytes[size - 1] = (uint8_t)random_next(&sim->random);
    *value = (struct value_in){.form = FORM_BIN32, .data = bytes, .size = size};
    struct verdict v = {0};
    struct stage *stage;
    int rc = pool_stage_begin(sim->pool, value->form, size, replaces, &stage);
    if (!sim_judge(sim, &v, rc)) {
        free(bytes);
        return false;
    }
    for (uint64_t at = 0; at < size;) {
        uint64_t part = random_between(&sim->random, 1, POOL_COPY_MAX);
        part = part < size - at ? part : size - at;
        rc = pool_stage_write(sim->pool, stage, at, bytes + at, part);
        if (!sim_judge(sim, &v, rc) || random_once_in(&sim->random, 100)) {
            pool_stage_drop(sim->pool, stage);
            free(bytes);
            return false;
        }
        at += part;
    }
    value->stage = stage;
    *ret_bytes = bytes;
    return true;
}

/* What the pool is given: bytes or a stage, not both. */
static struct value_in given(const struct value_in *value)
{
    struct value_in in = *value;
    if (in.stage)
        in.data = NULL;
    return in;
}

static void value_done(struct sim *sim, const struct value_in *value, uint8_t *bytes, bool consumed)
{
    if (value->stage && !consumed)
        pool_stage_drop(sim->pool, value->stage);
    free(bytes);
}

/* ---- put ---- */

/* Refs: living, open, dead and bogus objects, and nil. Fills what the model has for them and what may come of it. */
static void pick_refs(struct sim *sim, bool all_good, uint64_t *refs, int *objects, uint32_t count,
                      struct verdict *v)
{
    for (uint32_t i = 0; i < count; i++) {
        refs[i] = 0;
        objects[i] = 0;
        if (chance(sim, 10))
            continue;
        if (all_good) {
            objects[i] = pick_living(sim);
            if (model_life(sim->model, objects[i]) != LIFE_SURE || sim->model->objects[objects[i]].open)
                objects[i] = 0;
            refs[i] = sim->model->ids[objects[i]];
            continue;
        } else {
            refs[i] = pick_id(sim, &objects[i]);
        }
        verdict_referent(sim, &v[i], objects[i]);
    }
}

static void pick_spec(struct sim *sim, struct put_spec *spec)
{
    spec->tag_size = pick_label(sim, &spec->tag);
    spec->site_size = pick_label(sim, &spec->site);
    spec->open = chance(sim, 6);
    spec->seal = !spec->open && chance(sim, 5);
}

static int born(struct sim *sim, int session, uint64_t id, const struct put_spec *spec,
                const struct value_in *value)
{
    int object = sim_born(sim, id, value);
    struct m_object *o = &sim->model->objects[object];
    model_label(sim->model, object, spec->tag, spec->tag_size, spec->site, spec->site_size);
    o->open = spec->open;
    o->sealed = spec->seal;
    o->creator = session;
    o->made_ms = sim->now_ms;
    if (session != 0)
        model_hold(sim->model, session, object, 1);
    return object;
}

static void make_open(struct sim *sim, struct value_in *value)
{
    uint64_t size =
        sim->large && chance(sim, 30) ? random_between(&sim->random, 1, LARGE_MAX) : value->size + 1;
    value->form = size < 256 ? FORM_BIN8 : size < 65536 ? FORM_BIN16 : FORM_BIN32;
    value->size = size;
    value->data = NULL;
}

static void run_put(struct sim *sim)
{
    uint64_t refs[REFS_AT_ONCE], id = 0;
    int objects[REFS_AT_ONCE], rc, session = pick_session(sim);
    struct verdict *v = calloc(REFS_AT_ONCE + 1, sizeof *v);
    struct put_spec spec = {.refs = refs};
    struct value_in value;
    uint8_t *bytes;
    if (!v)
        abort();
    if (session == 0 || !value_for_pool(sim, &value, false, &bytes)) {
        free(v);
        return;
    }
    pick_spec(sim, &spec);
    spec.open = spec.open && !value.stage;
    if (spec.open)
        make_open(sim, &value);
    spec.value = given(&value);
    spec.refs_count = pick_slots(sim);
    pick_refs(sim, chance(sim, 80), refs, objects, spec.refs_count, v);
    sim_trace(sim, "size %llu form %d refs %u open %d seal %d session %d", (unsigned long long)value.size,
              (int)value.form, spec.refs_count, spec.open, spec.seal, session);
    SIM_REQUEST(sim, session, rc, pool_put(sim->pool, sim->handle[session], &spec, &id));
    sim_answer(sim, rc, &id, 1);
    bool done = sim_judge_array(sim, v, spec.refs_count, rc);
    if (done) {
        int object = born(sim, session, id, &spec, &value);
        sim_trace(sim, "-> object %d id %#llx", object, (unsigned long long)id);
        for (uint32_t i = 0; i < spec.refs_count; i++)
            model_slot(sim->model, object, i, objects[i]);
    }
    value_done(sim, &value, bytes, done);
    free(v);
}

#define MANY      SIM_IDS
#define MANY_REFS 6

struct many {
    struct put_spec specs[MANY];
    uint64_t refs[MANY][MANY_REFS], ids[MANY];
    int objects[MANY][MANY_REFS]; /* below 0: -1 - the item of this call */
    struct verdict v[MANY];
};

static void merge(struct verdict *into, const struct verdict *v)
{
    into->may |= v->may;
    into->fails = into->fails || v->fails;
}

static void pick_item(struct sim *sim, struct many *many, uint32_t count, uint32_t item, bool all_good)
{
    struct put_spec *spec = &many->specs[item];
    struct verdict v[MANY_REFS] = {{0}};
    *spec = (struct put_spec){.value = pick_value(sim), .refs = many->refs[item]};
    pick_spec(sim, spec);
    spec->open = false; /* another item may refer to it */
    spec->refs_count = (uint32_t)random_below(&sim->random, MANY_REFS + 1);
    pick_refs(sim, all_good, many->refs[item], many->objects[item], spec->refs_count, v);
    for (uint32_t i = 0; i < spec->refs_count; i++) {
        if (chance(sim, 40)) {
            uint64_t k = random_below(&sim->random, count);
            many->refs[item][i] = POOL_ITEM(k);
            many->objects[item][i] = -1 - (int)k;
        } else {
            merge(&many->v[item], &v[i]);
        }
    }
}

static void run_put_many(struct sim *sim)
{
    struct many *many = calloc(1, sizeof *many);
    uint32_t count = (uint32_t)random_between(&sim->random, 1,
                                              sim->many         ? sim->ids_most / 3
                                              : chance(sim, 90) ? 8
                                                                : sim->ids_most);
    int rc, session = pick_session(sim), made[MANY];
    if (!many)
        abort();
    bool all_good = chance(sim, 80);
    for (uint32_t k = 0; k < count; k++)
        pick_item(sim, many, count, k, all_good);
    if (session == 0) {
        free(many);
        return;
    }
    SIM_REQUEST(sim, session, rc,
                pool_put_many(sim->pool, sim->handle[session], many->specs, count, many->ids));
    sim_answer(sim, rc, many->ids, count);
    sim_trace(sim, "%u items session %d: %d", count, session, rc);
    if (sim_judge_array(sim, many->v, count, rc)) {
        for (uint32_t k = 0; k < count; k++)
            made[k] = born(sim, session, many->ids[k], &many->specs[k], &many->specs[k].value);
        for (uint32_t k = 0; k < count; k++)
            for (uint32_t i = 0; i < many->specs[k].refs_count; i++) {
                int target = many->objects[k][i];
                model_slot(sim->model, made[k], i, target < 0 ? made[-1 - target] : target);
            }
    }
    free(many);
}

/* ---- reading and changing ---- */

static void run_get(struct sim *sim)
{
    int object;
    uint64_t id = pick_id(sim, &object);
    struct verdict v = {0};
    struct value_view view;
    verdict_referent(sim, &v, object);
    if (sim_judge(sim, &v, pool_get(sim->pool, id, &view)) &&
        !same_value(&sim->model->objects[object], &view))
        sim_fail(sim, "object %d has another value", object);
}

static void verdict_change(struct sim *sim, struct verdict *v, int object)
{
    verdict_referent(sim, v, object);
    if (object != 0 && sim->model->objects[object].sealed)
        verdict_fail(v, HF_E_SEALED);
}

static uint64_t pick_version(struct sim *sim, uint64_t version)
{
    if (chance(sim, 15))
        return 1;
    return chance(sim, 70) ? version : version + random_between(&sim->random, 1, 3);
}

static void run_set(struct sim *sim)
{
    int object;
    uint64_t id = pick_id(sim, &object), if_version = 0, version = 0;
    struct verdict v = {0};
    struct value_in value;
    uint8_t *bytes;
    if (!value_for_pool(sim, &value, true, &bytes))
        return;
    verdict_change(sim, &v, object);
    const struct m_object *o = &sim->model->objects[object];
    if (chance(sim, 30)) {
        if_version = pick_version(sim, o->version ? o->version : 1);
        if (if_version != o->version)
            verdict_fail(&v, HF_E_CONFLICT);
    }
    struct value_in in = given(&value);
    int rc;
    SIM_REQUEST(sim, sim_requester(sim), rc, pool_set(sim->pool, id, &in, if_version, &version));
    sim_answer(sim, rc, &version, 1);
    sim_trace(sim, "object %d size %llu form %d: %d", object, (unsigned long long)value.size, (int)value.form,
              rc);
    bool done = sim_judge(sim, &v, rc);
    if (done) {
        sim_version(sim, version);
        model_value(sim->model, object, value.form, value.data, value.size, version);
    }
    value_done(sim, &value, bytes, done);
}

/* One that is open, if there is one among some that are tried. */
static int pick_open(struct sim *sim)
{
    int object = 0;
    for (int i = 0; i < 20; i++) {
        object = pick_living(sim);
        if (sim->model->objects[object].open)
            break;
    }
    return object;
}

static void verdict_writer(struct sim *sim, struct verdict *v, int object, int session)
{
    verdict_object(sim, v, object);
    if (object != 0 && sim->model->objects[object].open && sim->model->objects[object].creator != session) {
        verdict_fail(v, HF_E_UNSEALED);
        verdict_may(v, HF_E_UNSEALED);
    }
}

static void run_write(struct sim *sim)
{
    int object = pick_open(sim);
    struct m_object *o = &sim->model->objects[object];
    int session = o->open && chance(sim, 85) ? o->creator : pick_session(sim);
    struct verdict v = {0};
    if (object == 0 || session == 0 || sim->model->sessions[session].state != M_OPEN)
        return;
    uint64_t offset = random_below(&sim->random, o->size + 1);
    uint64_t rest = o->size - offset;
    uint64_t size = random_between(&sim->random, 0, rest < POOL_COPY_MAX ? rest : POOL_COPY_MAX);
    if (chance(sim, 5))
        size = rest + 1 < POOL_COPY_MAX ? rest + 1 : 0;
    verdict_writer(sim, &v, object, session);
    if (!o->open && !o->dead)
        verdict_fail(&v, HF_E_SEALED);
    if (size > rest)
        verdict_fail(&v, HF_E_BADARG);
    int rc;
    SIM_REQUEST(sim, session, rc,
                pool_write(sim->pool, sim->handle[session], sim->model->ids[object], offset, sim->buffer,
                           (uint32_t)size, size));
    sim_answer(sim, rc, NULL, 0);
    sim_trace(sim, "object %d offset %llu size %llu session %d: %d", object, (unsigned long long)offset,
              (unsigned long long)size, session, rc);
    if (sim_judge(sim, &v, rc))
        memcpy(o->data + offset, sim->buffer, size);
}

static void run_seal(struct sim *sim)
{
    int object = chance(sim, 50) ? pick_open(sim) : 0;
    uint64_t id = object ? sim->model->ids[object] : pick_id(sim, &object);
    struct m_object *o = &sim->model->objects[object];
    int session = o->open && chance(sim, 85) ? o->creator : pick_session(sim);
    struct verdict v = {0};
    if (session == 0 || sim->model->sessions[session].state != M_OPEN)
        return;
    verdict_writer(sim, &v, object, session);
    int rc;
    SIM_REQUEST(sim, session, rc, pool_seal(sim->pool, sim->handle[session], id));
    sim_answer(sim, rc, NULL, 0);
    sim_trace(sim, "object %d session %d: %d", object, session, rc);
    if (sim_judge(sim, &v, rc)) {
        o->open = false;
        o->sealed = true;
    }
}

static void run_refs(struct sim *sim)
{
    int object;
    uint64_t id = pick_id(sim, &object), ids[64];
    const struct m_object *o = &sim->model->objects[object];
    uint32_t got = 0, total = 0, max = (uint32_t)random_between(&sim->random, 1, 64);
    uint32_t offset = (uint32_t)random_below(&sim->random, o->slots_count + 2ul);
    struct verdict v = {0};
    verdict_referent(sim, &v, object);
    if (!sim_judge(sim, &v, pool_refs(sim->pool, id, offset, ids, max, &got, &total)))
        return;
    sim_check(sim, total == o->slots_count);
    uint32_t rest = offset < total ? total - offset : 0;
    sim_check(sim, got == (rest < max ? rest : max));
    for (uint32_t i = 0; i < got; i++)
        sim_check(sim, ids[i] == sim->model->ids[o->slots[offset + i]]);
}

static uint64_t pick_slot(struct sim *sim, const struct m_object *o)
{
    if (chance(sim, 4))
        return o->slots_count + random_between(&sim->random, 1, 5000);
    if (o->slots_count == 0 || chance(sim, o->slots_count < 10 || sim->wide ? 40 : 5))
        return o->slots_count;
    return random_below(&sim->random, o->slots_count);
}

static void run_link(struct sim *sim)
{
    int object, target = 0;
    uint64_t id = pick_id(sim, &object), previous = ~0ull;
    uint64_t target_id = chance(sim, 15) ? 0 : pick_id(sim, &target);
    const struct m_object *o = &sim->model->objects[object];
    uint64_t slot = pick_slot(sim, o);
    struct verdict v = {0};
    verdict_change(sim, &v, object);
    if (target_id != 0)
        verdict_referent(sim, &v, target);
    if (slot > o->slots_count)
        verdict_fail(&v, HF_E_BADARG);
    int rc;
    SIM_REQUEST(sim, sim_requester(sim), rc, pool_link(sim->pool, id, slot, target_id, &previous));
    sim_answer(sim, rc, &previous, rc == 0 && previous != 0);
    sim_trace(sim, "object %d slot %llu of %u target %d: %d", object, (unsigned long long)slot,
              o->slots_count, target, rc);
    if (!sim_judge(sim, &v, rc))
        return;
    int was = slot < o->slots_count ? o->slots[slot] : 0;
    sim_check(sim, previous == sim->model->ids[was]);
    model_slot(sim->model, object, (uint32_t)slot, target);
}

/* A new object under a name, which nobody holds. */
static void run_store(struct sim *sim)
{
    struct name_in name = pick_name(sim);
    struct put_spec spec = {0};
    struct verdict v = {0};
    struct value_in value;
    uint64_t id = 0, version = 0, if_version = POOL_ANY_VERSION;
    uint8_t *bytes;
    if (!value_for_pool(sim, &value, false, &bytes))
        return;
    int bound = model_name(sim->model, name.data, name.size);
    uint64_t now = bound < 0 ? 0 : sim->model->names[bound].version;
    if (chance(sim, 40)) {
        if_version = pick_version(sim, now);
        if (if_version != now)
            verdict_fail(&v, HF_E_CONFLICT);
    }
    spec.tag_size = pick_label(sim, &spec.tag);
    struct value_in in = given(&value);
    int rc;
    SIM_REQUEST(sim, sim_requester(sim), rc,
                pool_store(sim->pool, name, &in, if_version, spec.tag, spec.tag_size, &id, &version));
    sim_answer(sim, rc, (uint64_t[]){id, version}, 2);
    sim_trace(sim, "name %c size %llu: %d", name.data[0], (unsigned long long)value.size, rc);
    bool done = sim_judge(sim, &v, rc);
    if (done) {
        int object = born(sim, 0, id, &spec, &value);
        sim_version(sim, version);
        model_bind(sim->model, name.data, name.size, object, version);
    }
    value_done(sim, &value, bytes, done);
}

static void run_fetch(struct sim *sim)
{
    struct name_in name = pick_name(sim);
    int bound = model_name(sim->model, name.data, name.size);
    struct value_view view;
    struct verdict v = {0};
    uint64_t id = 0, version = 0;
    if (bound < 0)
        verdict_fail(&v, HF_E_NOTFOUND);
    if (!sim_judge(sim, &v, pool_fetch(sim->pool, name, &view, &id, &version)))
        return;
    const struct m_name *n = &sim->model->names[bound];
    sim_check(sim, id == sim->model->ids[n->object] && version == n->version);
    sim_check(sim, same_value(&sim->model->objects[n->object], &view));
}

/* A value that is being sent stays where it is, whatever comes. */
static void run_pin(struct sim *sim)
{
    int object = pick_living(sim);
    const struct m_object *o = &sim->model->objects[object];
    struct value_view view;
    struct verdict v = {0};
    if (sim->pins_count == SIM_PINS || object == 0 || o->open || o->size <= BLOCK_MAX ||
        !sim_alive(sim, object))
        return;
    struct sim_pin *pin = &sim->pins[sim->pins_count];
    sim_check(sim, pool_get(sim->pool, sim->model->ids[object], &view) == 0);
    if (!sim_judge(sim, &v, pool_pin(sim->pool, sim->model->ids[object], &pin->pin)))
        return;
    sim->pins_count++;
    pin->at = view.data;
    pin->size = view.size;
    pin->copy = malloc(view.size);
    if (!pin->copy)
        abort();
    memcpy(pin->copy, view.data, view.size);
}

static void run_unpin(struct sim *sim)
{
    if (sim->pins_count == 0)
        return;
    unsigned place = (unsigned)random_below(&sim->random, (uint64_t)sim->pins_count);
    struct sim_pin pin = sim->pins[place];
    if (memcmp(pin.at, pin.copy, pin.size) != 0)
        sim_fail(sim, "a pinned value has changed");
    pool_unpin(sim->pool, pin.pin);
    free(pin.copy);
    sim->pins[place] = sim->pins[--sim->pins_count];
}

const struct operation object_operations[] = {
    {"put", 14, run_put},
    {"put_many", 3, run_put_many},
    {"get", 6, run_get},
    {"set", 7, run_set},
    {"write", 3, run_write},
    {"seal", 2, run_seal},
    {"refs", 2, run_refs},
    {"link", 12, run_link},
    {"store", 4, run_store},
    {"fetch", 2, run_fetch},
    {"pin", 1, run_pin},
    {"unpin", 1, run_unpin},
    {0},
};
