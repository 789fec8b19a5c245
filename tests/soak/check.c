/* SPDX-License-Identifier: BSD-3-Clause */
/* Each answer against the model, which then does what the request did. */
#include "proto/errors.h"
#include "proto/rpc.h"
#include "tests/soak/client.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static void wrong(struct client *client, const struct op *op, const struct reply *reply, const char *what)
{
    client_fail(client, "%s of %" PRIu64 " was answered %s %.*s (%zu bytes): %s", op_name(op->kind), op->id,
                reply->code == 0 ? "with a result" : "", (int)reply->error_size,
                reply->code == 0 ? "" : reply->error, reply->result.size, what);
}

/* ---- parts of results ---- */

struct value check_value(struct client *client, hf_item item)
{
    struct value value;
    if (!value_read(item.data, item.size, &value))
        client_fail(client, "a value of %zu bytes that nobody has put like that", item.size);
    if (value_tag(value) != client->home->tag)
        client_fail(client, "a value of another pool: tag %u in a pool with tag %u", value_tag(value),
                    client->home->tag);
    soak_count(client->soak, TALLY_BYTES, item.size);
    return value;
}

uint64_t check_new_id(struct client *client, hf_item item)
{
    uint64_t id = 0;
    if (!hf_item_uint(item, &id) || id == 0 || id >= 1ull << 53)
        client_fail(client, "no id: %zu bytes", item.size);
    if (!numbers_add(&client->home->ids, id))
        client_fail(client, "id %" PRIu64 " was given out before", id);
    return id;
}

static void check_version(struct client *client, hf_item item)
{
    uint64_t version = 0;
    if (!hf_item_uint(item, &version) || version <= client->last_version)
        client_fail(client, "version %" PRIu64 " after %" PRIu64, version, client->last_version);
    client->last_version = version;
}

static bool is_uint(hf_item item, uint64_t number)
{
    uint64_t got = 0;
    return hf_item_uint(item, &got) && got == number;
}

static bool is_true(hf_item item)
{
    bool flag = false;
    return hf_item_bool(item, &flag) && flag;
}

/* The value of a thing, which a loose one may teach us. */
static void check_thing(struct client *client, struct thing *thing, hf_item item)
{
    if (!thing->known) {
        thing->value = check_value(client, item);
        thing->known = true;
        return;
    }
    bool right = thing->binary ? value_is_bin(thing->value, item.data, item.size)
                               : value_is(thing->value, item.data, item.size);
    /* a loose one may have been written by its maker: then it is a bin */
    if (!right && !(thing->loose && value_is_bin(thing->value, item.data, item.size)))
        client_fail(client, "object %" PRIu64 " has %zu bytes that are not value %" PRIx64 " of %" PRIu32,
                    thing->id, item.size, thing->value.seed, thing->value.size);
    soak_count(client->soak, TALLY_BYTES, item.size);
}

/* ---- objects ---- */

static void check_part(struct client *client, const struct op *op, const struct reply *reply)
{
    const struct thing *thing = model_find(&client->model, op->id);
    const void *bytes;
    size_t size;
    uint8_t right[1024];
    uint32_t left = thing->value.size - op->offset, want = op->n < left ? op->n : left;
    if (!hf_item_bytes(reply->result, &bytes, &size) || size != want) {
        wrong(client, op, reply, "not as long as it should be");
        return;
    }
    value_payload(thing->value, op->offset, right, want);
    if (memcmp(right, bytes, want) != 0)
        wrong(client, op, reply, "other bytes than those of the value");
}

/* What a part of this value is answered with. */
static int part_code(const struct thing *thing, const struct op *op)
{
    bool parts = thing->binary || value_has_parts(thing->value);
    return parts && op->offset <= thing->value.size ? 0 : HF_E_BADARG;
}

static void check_many(struct client *client, const struct op *op, const struct reply *reply)
{
    hf_walk walk = hf_walk_start(reply->result);
    hf_item item;
    for (unsigned i = 0; i < op->count; i++) {
        if (!hf_walk_next(&walk, NULL, &item))
            wrong(client, op, reply, "too few values");
        check_thing(client, model_find(&client->model, op->ids[i]), item);
    }
}

static void check_refs(struct client *client, const struct op *op, const struct reply *reply)
{
    const struct thing *thing = model_find(&client->model, op->id);
    hf_id ids[MODEL_SLOTS];
    size_t count = hf_item_ids(reply->result, ids, MODEL_SLOTS);
    if (count != thing->slots_count)
        wrong(client, op, reply, "another number of slots");
    for (unsigned i = 0; i < thing->slots_count; i++) {
        int place = thing->slots[i];
        uint64_t want = place == NO_THING ? 0 : client->model.things[place].id;
        if ((uint64_t)ids[i] != want)
            wrong(client, op, reply, "another slot");
    }
}

static void check_counts(struct client *client, const struct op *op, const struct reply *reply,
                         const struct expected *expected)
{
    bool array = op->kind == OP_RETAIN_MANY || op->kind == OP_RELEASE_MANY;
    hf_walk walk = hf_walk_start(reply->result);
    for (unsigned i = 0; i < op->count; i++) {
        hf_item item = reply->result;
        if (array && !hf_walk_next(&walk, NULL, &item))
            wrong(client, op, reply, "too few counts");
        if (!is_uint(item, expected->counts[i]))
            wrong(client, op, reply, "another count");
    }
}

static void check_made(struct client *client, const struct op *op, const struct reply *reply)
{
    struct model *model = &client->model;
    hf_walk walk = hf_walk_start(reply->result);
    for (unsigned i = 0; i < model->made_count; i++) {
        hf_item item = reply->result;
        if (op->kind == OP_PUT_MANY && !hf_walk_next(&walk, NULL, &item))
            wrong(client, op, reply, "too few ids");
        model->things[model->made[i]].id = check_new_id(client, item);
    }
}

static void check_stored(struct client *client, hf_item result)
{
    struct model *model = &client->model;
    uint64_t id = check_new_id(client, hf_item_at(result, 0));
    check_version(client, hf_item_at(result, 1));
    if (model->made_count > 0)
        model->things[model->made[0]].id = id;
}

/* Of a private thing everything that keeps it is known. */
static void check_inspect(struct client *client, const struct op *op, const struct reply *reply)
{
    int place = model_place(&client->model, op->id);
    const struct thing *thing = &client->model.things[place];
    unsigned pointed = model_pointed(&client->model, place);
    uint64_t count = 0, names = 0, slots = 0, all = (uint64_t)thing->held + thing->names + pointed;
    hf_item by = hf_item_get(reply->result, "held_by");
    hf_item_uint(hf_item_get(reply->result, "count"), &count);
    hf_item_uint(hf_item_get(by, "names"), &names);
    hf_item_uint(hf_item_get(by, "slots"), &slots);
    if (thing->loose)
        return;
    if (count != all || names != thing->names || slots != pointed)
        client_fail(client,
                    "object %" PRIu64
                    " is held %u times here, by %u names and %u slots, and inspect tells %" PRIu64
                    " in all, %" PRIu64 " names, %" PRIu64 " slots",
                    thing->id, thing->held, thing->names, pointed, count, names, slots);
}

static void check_holders(struct client *client, const struct op *op, const struct reply *reply)
{
    const struct thing *thing = model_find(&client->model, op->id);
    hf_walk walk = hf_walk_start(reply->result);
    hf_item row;
    uint64_t held = 0;
    while (hf_walk_next(&walk, NULL, &row)) {
        if (is_uint(hf_item_get(row, "sid"), client->sid))
            hf_item_uint(hf_item_get(row, "count"), &held);
    }
    if (held != thing->held)
        wrong(client, op, reply, "holders tell another count of this session");
}

/* ---- names and tickets ---- */

static void check_names(struct client *client, const struct op *op, const struct reply *reply)
{
    const struct model *model = &client->model;
    hf_walk walk = hf_walk_start(hf_item_at(reply->result, 1));
    unsigned seen[MODEL_NAMES] = {0};
    hf_item row;
    while (hf_walk_next(&walk, NULL, &row)) {
        const void *name;
        size_t size;
        unsigned number = MODEL_NAMES;
        if (hf_item_bytes(hf_item_at(row, 0), &name, &size) && size > 0)
            number = (unsigned)(((const char *)name)[size - 1] - '0');
        if (number >= MODEL_NAMES || model->names[number] == NO_THING ||
            !is_uint(hf_item_at(row, 1), model->things[model->names[number]].id))
            wrong(client, op, reply, "a name that is not there, or is bound to another object");
        seen[number]++;
    }
    if (!is_uint(hf_item_at(reply->result, 0), 0))
        return; /* there is a further page */
    for (unsigned i = 0; i < MODEL_NAMES; i++) {
        if (model->names[i] != NO_THING && seen[i] == 0)
            wrong(client, op, reply, "a name is missing");
    }
}

static void offer(struct client *client, const struct op *op, const struct reply *reply)
{
    const struct thing *thing = model_find(&client->model, op->id);
    struct ticket ticket = {.id = op->id, .value = thing->value, .ends_ms = op->ticket_ends_ms}, old;
    const void *key;
    size_t size;
    if (!hf_item_bytes(reply->result, &key, &size) || size != sizeof ticket.key) {
        wrong(client, op, reply, "no ticket");
        return;
    }
    memcpy(ticket.key, key, size);
    ledger_offer(client->home, &ticket, &old); /* one that goes runs out by itself */
}

static void check_claim(struct client *client, const struct op *op, const struct reply *reply)
{
    if (reply->code == HF_E_NOTFOUND && soak_now_ms() >= op->ticket_ends_ms)
        return;
    if (reply->code != 0 || !is_uint(reply->result, op->id))
        wrong(client, op, reply, "the ticket was good");
    if (!model_adopt(&client->model, op->id, 1, &op->value))
        client_fail(client, "no place for a claimed object");
    soak_count(client->soak, TALLY_CLAIMED, 1);
}

static void check_shared(struct client *client, const struct op *op, const struct reply *reply)
{
    uint64_t id = 0;
    if (op->kind == OP_SHARED_STORE && reply->code == 0) {
        client->model.made_count = 0;
        check_stored(client, reply->result);
        return;
    }
    if (reply->code == HF_E_NOTFOUND && op->kind != OP_SHARED_STORE)
        return;
    if (reply->code != 0)
        wrong(client, op, reply, "a shared name is there, or NOTFOUND");
    if (op->kind == OP_SHARED_FETCH)
        check_value(client, reply->result);
    if (op->kind != OP_SHARED_LOOKUP)
        return;
    if (!hf_item_uint(reply->result,
                      &id)) /* who stored it may not have its answer yet: the id may be news to all */
        wrong(client, op, reply, "no id");
    if (!model_adopt(&client->model, id, 1, NULL))
        client_fail(client, "no place for a shared object");
    soak_count(client->soak, TALLY_LOOSE, 1);
}

/* ---- looking around ---- */

static void check_scan(struct client *client, const struct op *op, const struct reply *reply)
{
    const struct model *model = &client->model;
    hf_walk walk = hf_walk_start(hf_item_at(reply->result, 1));
    bool seen[MODEL_THINGS] = {false};
    hf_item item;
    while (hf_walk_next(&walk, NULL, &item)) {
        uint64_t id = 0;
        hf_item_uint(item, &id);
        int place = model_place(model, id);
        if (place == NO_THING || model->things[place].held == 0)
            client_fail(client, "scan tells that this session holds %" PRIu64 ", which it does not", id);
        seen[place] = true;
    }
    if (!is_uint(hf_item_at(reply->result, 0), 0))
        return;
    for (unsigned i = 0; i < MODEL_THINGS; i++) {
        if (model->things[i].used && model->things[i].held > 0 && !seen[i])
            wrong(client, op, reply, "scan misses an object that this session holds");
    }
}

static void check_sessions(struct client *client, const struct op *op, const struct reply *reply)
{
    hf_walk walk = hf_walk_start(reply->result);
    hf_item row;
    while (hf_walk_next(&walk, NULL, &row)) {
        if (!is_uint(hf_item_get(row, "sid"), client->sid))
            continue;
        if (!is_uint(hf_item_get(row, "held"), model_held_objects(&client->model)))
            wrong(client, op, reply, "sessions tell another number of objects held");
        return;
    }
    wrong(client, op, reply, "this session is not among the sessions");
}

static void check_pools(struct client *client, const struct op *op, const struct reply *reply)
{
    hf_walk walk = hf_walk_start(reply->result);
    hf_item row;
    while (hf_walk_next(&walk, NULL, &row)) {
        if (is_uint(hf_item_get(row, "epoch"), client->home->epoch))
            return;
    }
    wrong(client, op, reply, "this pool is not among the pools");
}

static void check_stats(struct client *client, const struct op *op, const struct reply *reply)
{
    uint64_t objects = 0;
    hf_item pool = hf_item_get(reply->result, "pool");
    hf_item_uint(hf_item_get(hf_item_get(reply->result, "objects"), "count"), &objects);
    if (!is_uint(hf_item_get(pool, "epoch"), client->home->epoch) ||
        objects < model_held_objects(&client->model))
        wrong(client, op, reply, "the figures are not of this pool");
}

static void check_verify(struct client *client, const struct op *op, const struct reply *reply)
{
    if (reply->code == HF_E_BUSY)
        return;
    hf_item findings = hf_item_get(reply->result, "findings");
    const void *text = "";
    size_t size = 0;
    hf_item_bytes(hf_item_at(findings, 0), &text, &size);
    if (reply->code != 0 || !is_true(hf_item_get(reply->result, "ok")) || hf_item_count(findings) != 0)
        client_fail(client, "verify: %.*s%.*s", (int)size, (const char *)text, (int)reply->error_size,
                    reply->code == 0 ? "" : reply->error);
    soak_count(client->soak, TALLY_VERIFIED, 1);
    (void)op;
}

/* ---- one answer ---- */

/* The result of a request that has succeeded, as it had to. */
static void check_result(struct client *client, const struct op *op, const struct reply *reply,
                         const struct expected *expected)
{
    struct model *model = &client->model;
    hf_item result = reply->result;
    switch (op->kind) {
    case OP_PUT:
    case OP_PUT_OPEN:
    case OP_PUT_MANY: check_made(client, op, reply); return;
    case OP_GET: check_thing(client, model_find(model, op->id), result); return;
    case OP_GET_MANY: check_many(client, op, reply); return;
    case OP_GET_PART: check_part(client, op, reply); return;
    case OP_SET:
    case OP_NAME: check_version(client, result); return;
    case OP_WRITE:
        if (!is_uint(result, op->n))
            wrong(client, op, reply, "another number of bytes");
        return;
    case OP_REFS: check_refs(client, op, reply); return;
    case OP_LINK:
        if (expected->number == 0 ? hf_item_type(result) != HF_TYPE_NIL : !is_uint(result, expected->number))
            wrong(client, op, reply, "another previous target");
        return;
    case OP_RETAIN:
    case OP_RETAIN_MANY:
    case OP_RELEASE:
    case OP_RELEASE_MANY: check_counts(client, op, reply, expected); return;
    case OP_SHARE: offer(client, op, reply); return;
    case OP_STORE: check_stored(client, result); return;
    case OP_FETCH: check_thing(client, &model->things[model->names[op->name]], result); return;
    case OP_LOOKUP:
        if (!is_uint(result, expected->number))
            wrong(client, op, reply, "the name is bound to another object");
        return;
    case OP_NAMES: check_names(client, op, reply); return;
    case OP_INSPECT: check_inspect(client, op, reply); return;
    case OP_HOLDERS: check_holders(client, op, reply); return;
    case OP_SCAN: check_scan(client, op, reply); return;
    case OP_SESSIONS: check_sessions(client, op, reply); return;
    case OP_POOLS: check_pools(client, op, reply); return;
    case OP_STATS: check_stats(client, op, reply); return;
    case OP_SEAL:
    case OP_UNNAME:
        if (!is_true(result))
            wrong(client, op, reply, "not true");
        return;
    case OP_METHODS:
        if (hf_item_count(result) < 20)
            wrong(client, op, reply, "few methods");
        return;
    default: return;
    }
}

static void remember(struct client *client, const struct op *op, int code)
{
    client->past[client->past_count++ % CLIENT_PAST] = (struct past){op->kind, op->id, code};
}

static bool is_everybodys(enum op_kind kind)
{
    return kind == OP_SHARED_STORE || kind == OP_SHARED_FETCH || kind == OP_SHARED_LOOKUP ||
           kind == OP_SHARED_UNNAME;
}

void check_reply(struct client *client, const struct reply *reply)
{
    const struct op *op = &client->ops[client->acked];
    struct expected expected;
    uint64_t held;
    remember(client, op, reply->code);
    if (reply->code == HF_E_DRAINING)
        client_stop_if_ending(client);
    if (reply->msgid != op->msgid)
        client_fail(client, "an answer to message %" PRIu32 " instead of %" PRIu32, reply->msgid, op->msgid);
    model_apply(&client->model, op, &expected);
    if (op->kind == OP_GET_PART && expected.code == 0)
        expected.code = part_code(model_find(&client->model, op->id), op);
    client->acked++;
    soak_count(client->soak, TALLY_REQUESTS, 1);
    if (op->kind == OP_HELLO) {
        client_read_hello(client, reply, true, &held);
    } else if (op->kind == OP_CLAIM) {
        check_claim(client, op, reply);
    } else if (is_everybodys(op->kind)) {
        check_shared(client, op, reply);
    } else if (op->kind == OP_VERIFY) {
        check_verify(client, op, reply);
    } else if (reply->code != expected.code) {
        client_fail(client, "%s of %" PRIu64 " had to be answered %s, not %s: %.*s", op_name(op->kind),
                    op->id, hfp_err_name(expected.code), hfp_err_name(reply->code), (int)reply->error_size,
                    reply->code == 0 ? "" : reply->error);
    } else if (reply->code == 0) {
        check_result(client, op, reply, &expected);
    } else if (reply->code == HF_E_GONE) {
        soak_count(client->soak, TALLY_GRAVES, 1);
    }
}
