/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/soak/model.h"

#include "proto/errors.h"

#include <assert.h>
#include <string.h>

const char *op_name(enum op_kind kind)
{
    static const char *const names[OP_KINDS] = {
        [OP_PUT] = "put",
        [OP_PUT_OPEN] = "put {size}",
        [OP_PUT_MANY] = "put_many",
        [OP_GET] = "get",
        [OP_GET_MANY] = "get [ids]",
        [OP_GET_PART] = "get {offset}",
        [OP_SET] = "set",
        [OP_WRITE] = "write",
        [OP_SEAL] = "seal",
        [OP_REFS] = "refs",
        [OP_LINK] = "link",
        [OP_RETAIN] = "retain",
        [OP_RETAIN_MANY] = "retain [ids]",
        [OP_RELEASE] = "release",
        [OP_RELEASE_MANY] = "release [ids]",
        [OP_SHARE] = "share",
        [OP_CLAIM] = "claim",
        [OP_NAME] = "name",
        [OP_STORE] = "store",
        [OP_FETCH] = "fetch",
        [OP_LOOKUP] = "lookup",
        [OP_UNNAME] = "unname",
        [OP_NAMES] = "names",
        [OP_SHARED_STORE] = "store (shared)",
        [OP_SHARED_FETCH] = "fetch (shared)",
        [OP_SHARED_LOOKUP] = "lookup (shared)",
        [OP_SHARED_UNNAME] = "unname (shared)",
        [OP_INSPECT] = "inspect",
        [OP_HOLDERS] = "holders",
        [OP_SCAN] = "scan",
        [OP_SESSIONS] = "sessions",
        [OP_POOLS] = "pools",
        [OP_STATS] = "stats",
        [OP_VERIFY] = "verify",
        [OP_PING] = "ping",
        [OP_METHODS] = "methods",
        [OP_HELLO] = "hello",
    };
    return names[kind];
}

void model_init(struct model *model)
{
    *model = (struct model){.next_order = 1};
    for (unsigned i = 0; i < MODEL_NAMES; i++)
        model->names[i] = NO_THING;
}

void model_forget(struct model *model)
{
    model_init(model);
}

/* ---- looking ---- */

int model_place(const struct model *model, uint64_t id)
{
    for (unsigned i = 0; i < MODEL_THINGS; i++) {
        if (id != 0 && model->things[i].used && model->things[i].id == id)
            return (int)i;
    }
    return NO_THING;
}

struct thing *model_find(struct model *model, uint64_t id)
{
    int place = model_place(model, id);
    return place == NO_THING ? NULL : &model->things[place];
}

bool model_buried(const struct model *model, uint64_t id)
{
    unsigned count = model->graves_count < MODEL_GRAVES ? model->graves_count : MODEL_GRAVES;
    for (unsigned i = 0; i < count; i++) {
        if (model->graves[i] == id)
            return true;
    }
    return false;
}

unsigned model_free_places(const struct model *model)
{
    unsigned count = 0;
    for (unsigned i = 0; i < MODEL_THINGS; i++)
        count += !model->things[i].used;
    return count;
}

unsigned model_held_objects(const struct model *model)
{
    unsigned count = 0;
    for (unsigned i = 0; i < MODEL_THINGS; i++)
        count += model->things[i].used && model->things[i].held > 0;
    return count;
}

uint64_t model_references(const struct model *model)
{
    uint64_t count = 0;
    for (unsigned i = 0; i < MODEL_THINGS; i++)
        count += model->things[i].used ? model->things[i].held : 0;
    return count;
}

unsigned model_pointed(const struct model *model, int place)
{
    unsigned count = 0;
    for (unsigned i = 0; i < MODEL_THINGS; i++) {
        const struct thing *thing = &model->things[i];
        for (unsigned s = 0; thing->used && s < thing->slots_count; s++)
            count += thing->slots[s] == place;
    }
    return count;
}

/* ---- births and deaths ---- */

static struct thing *create(struct model *model, struct value value)
{
    for (unsigned i = 0; i < MODEL_THINGS; i++) {
        struct thing *thing = &model->things[i];
        if (thing->used)
            continue;
        *thing = (struct thing){.used = true, .known = true, .value = value, .order = model->next_order++};
        model->made[model->made_count++] = i;
        return thing;
    }
    assert(false && "a request that makes more than there are places for");
    return NULL;
}

static void bury(struct model *model, struct thing *thing)
{
    if (!thing->loose && thing->id != 0)
        model->graves[model->graves_count++ % MODEL_GRAVES] = thing->id;
    *thing = (struct thing){.used = false};
}

/* What nothing keeps any more dies, and so does what only that has kept. */
static void settle(struct model *model)
{
    for (bool again = true; again;) {
        again = false;
        for (unsigned i = 0; i < MODEL_THINGS; i++) {
            struct thing *thing = &model->things[i];
            if (!thing->used || thing->held > 0 || thing->names > 0 || model_pointed(model, (int)i) > 0)
                continue;
            bury(model, thing);
            again = true;
        }
    }
}

static void bind(struct model *model, unsigned name, int place)
{
    int before = model->names[name];
    if (place != NO_THING)
        model->things[place].names++;
    model->names[name] = place;
    if (before != NO_THING)
        model->things[before].names--;
}

bool model_adopt(struct model *model, uint64_t id, uint32_t held, const struct value *value)
{
    struct thing *thing = model_find(model, id);
    if (thing == NULL && model_free_places(model) == 0)
        return false;
    if (thing == NULL) {
        model->made_count = 0;
        thing = create(model, (struct value){0});
        thing->id = id;
        thing->loose = true;
        thing->known = false;
    }
    thing->held += held;
    if (!thing->known && value != NULL) {
        thing->known = true;
        thing->value = *value;
    }
    return true;
}

void model_end_session(struct model *model)
{
    for (unsigned i = 0; i < MODEL_THINGS; i++)
        model->things[i].held = 0;
    settle(model);
}

/* ---- requests ---- */

/* HF_E_GONE, HF_E_UNSEALED or 0. */
static int readable(struct model *model, uint64_t id)
{
    const struct thing *thing = model_find(model, id);
    return thing == NULL ? HF_E_GONE : thing->open ? HF_E_UNSEALED : 0;
}

static int all_readable(struct model *model, const struct op *op)
{
    int code = 0;
    for (unsigned i = 0; i < op->count && code == 0; i++)
        code = readable(model, op->ids[i]);
    return code;
}

static int apply_put(struct model *model, const struct op *op)
{
    int code = all_readable(model, op);
    if (code != 0)
        return code;
    struct thing *thing = create(model, op->value);
    thing->held = 1;
    thing->sealed = op->seal;
    thing->slots_count = op->count;
    for (unsigned i = 0; i < op->count; i++)
        thing->slots[i] = model_place(model, op->ids[i]);
    return 0;
}

static int apply_put_open(struct model *model, const struct op *op)
{
    struct thing *thing = create(model, op->value);
    thing->held = 1;
    thing->open = thing->binary = true;
    return 0;
}

static int apply_put_many(struct model *model, const struct op *op)
{
    for (unsigned i = 0; i < op->count; i++) {
        struct value value = {op->value.seed + i, op->value.size};
        struct thing *thing = create(model, value);
        thing->held = 1;
        if (i > 0) {
            thing->slots_count = 1;
            thing->slots[0] = (int)model->made[i - 1];
        }
    }
    return 0;
}

static int apply_set(struct model *model, const struct op *op)
{
    int code = readable(model, op->id);
    struct thing *thing = model_find(model, op->id);
    if (code == 0 && thing->sealed)
        code = HF_E_SEALED;
    if (code == 0) {
        thing->value = op->value;
        thing->binary = false;
    }
    return code;
}

static int apply_write(struct model *model, const struct op *op)
{
    struct thing *thing = model_find(model, op->id);
    if (thing == NULL)
        return HF_E_GONE;
    if (!thing->open)
        return HF_E_SEALED;
    thing->filled |= (uint8_t)(1u << op->part);
    return 0;
}

static int apply_seal(struct model *model, const struct op *op)
{
    struct thing *thing = model_find(model, op->id);
    if (thing == NULL)
        return HF_E_GONE;
    thing->open = false;
    thing->sealed = true;
    return 0;
}

static int apply_link(struct model *model, const struct op *op, struct expected *ret)
{
    int code = readable(model, op->id), target = model_place(model, op->target);
    struct thing *thing = model_find(model, op->id);
    if (code == 0 && thing->sealed)
        code = HF_E_SEALED;
    if (code == 0 && op->target != 0)
        code = readable(model, op->target);
    if (code == 0 && op->slot > thing->slots_count)
        code = HF_E_BADARG;
    if (code != 0)
        return code;
    if (op->slot == thing->slots_count)
        thing->slots[thing->slots_count++] = NO_THING;
    if (thing->slots[op->slot] != NO_THING)
        ret->number = model->things[thing->slots[op->slot]].id;
    thing->slots[op->slot] = target;
    settle(model);
    return 0;
}

static int apply_retain(struct model *model, const struct op *op, struct expected *ret)
{
    int code = all_readable(model, op);
    for (unsigned i = 0; i < op->count && code == 0; i++) {
        struct thing *thing = model_find(model, op->ids[i]);
        thing->held += op->n;
        ret->counts[i] = thing->held;
    }
    return code;
}

static int apply_release(struct model *model, const struct op *op, struct expected *ret)
{
    for (unsigned i = 0; i < op->count; i++) {
        const struct thing *thing = model_find(model, op->ids[i]);
        uint64_t need = 0;
        for (unsigned k = 0; k <= i; k++)
            need += op->ids[k] == op->ids[i] ? op->n : 0;
        if (thing == NULL || thing->held < need)
            return HF_E_NOTHELD;
    }
    for (unsigned i = 0; i < op->count; i++) {
        struct thing *thing = model_find(model, op->ids[i]);
        thing->held -= op->n;
        ret->counts[i] = thing->held;
    }
    settle(model);
    return 0;
}

static int apply_share(struct model *model, const struct op *op)
{
    struct thing *thing = model_find(model, op->id);
    if (thing == NULL)
        return HF_E_NOTHELD;
    if (thing->open)
        return HF_E_UNSEALED;
    if (thing->held == 0)
        return HF_E_NOTHELD;
    thing->loose = true;
    return 0;
}

static int apply_name(struct model *model, const struct op *op)
{
    int code = readable(model, op->id);
    if (code != 0)
        return code;
    bind(model, op->name, model_place(model, op->id));
    settle(model);
    return 0;
}

static int apply_store(struct model *model, const struct op *op)
{
    create(model, op->value);
    bind(model, op->name, (int)model->made[0]);
    settle(model);
    return 0;
}

static int apply_lookup(struct model *model, const struct op *op, struct expected *ret)
{
    int place = model->names[op->name];
    if (place == NO_THING)
        return HF_E_NOTFOUND;
    model->things[place].held++;
    ret->number = model->things[place].id;
    return 0;
}

static int apply_unname(struct model *model, const struct op *op)
{
    if (model->names[op->name] == NO_THING)
        return HF_E_NOTFOUND;
    bind(model, op->name, NO_THING);
    settle(model);
    return 0;
}

void model_apply(struct model *model, const struct op *op, struct expected *ret)
{
    *ret = (struct expected){0};
    model->made_count = 0;
    switch (op->kind) {
    case OP_PUT: ret->code = apply_put(model, op); break;
    case OP_PUT_OPEN: ret->code = apply_put_open(model, op); break;
    case OP_PUT_MANY: ret->code = apply_put_many(model, op); break;
    case OP_GET:
    case OP_GET_PART:
    case OP_REFS: ret->code = readable(model, op->id); break;
    case OP_GET_MANY: ret->code = all_readable(model, op); break;
    case OP_SET: ret->code = apply_set(model, op); break;
    case OP_WRITE: ret->code = apply_write(model, op); break;
    case OP_SEAL: ret->code = apply_seal(model, op); break;
    case OP_LINK: ret->code = apply_link(model, op, ret); break;
    case OP_RETAIN:
    case OP_RETAIN_MANY: ret->code = apply_retain(model, op, ret); break;
    case OP_RELEASE:
    case OP_RELEASE_MANY: ret->code = apply_release(model, op, ret); break;
    case OP_SHARE: ret->code = apply_share(model, op); break;
    case OP_NAME: ret->code = apply_name(model, op); break;
    case OP_STORE: ret->code = apply_store(model, op); break;
    case OP_FETCH: ret->code = model->names[op->name] == NO_THING ? HF_E_NOTFOUND : 0; break;
    case OP_LOOKUP: ret->code = apply_lookup(model, op, ret); break;
    case OP_UNNAME: ret->code = apply_unname(model, op); break;
    case OP_INSPECT:
    case OP_HOLDERS: ret->code = model_find(model, op->id) == NULL ? HF_E_GONE : 0; break;
    default: break;
    }
}
