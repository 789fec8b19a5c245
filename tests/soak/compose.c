/* SPDX-License-Identifier: BSD-3-Clause */
/* What a client does next: requests made up by chance, of what its model has.
 *
 * Requests of one batch are made up before the first of them is answered; the model says at each answer what had to
 * come of it, so most may be as they like. But what becomes of a loose thing that this client lets go is up to others.
 * So in one batch each of those is named once, and nothing is named behind the request that makes it loose. And a
 * shared name that is looked up before may have given one hold more on it: so no more is released than what is known to
 * be held, which succeeds either way. */
#include "tests/soak/client.h"

#include <stdio.h>
#include <string.h>

#define LARGE_MAX   (8u * 1024 * 1024)
#define LARGE_TOTAL (192ull << 20) /* of all clients */
#define TICKET_MS   1000u
#define PART_MAX    1024u
#define ITEM_MAX    65536u

/* ---- choosing ---- */

static const struct {
    enum op_kind kind;
    unsigned weight;
} wishes[] = {
    {OP_PUT, 14},         {OP_PUT_OPEN, 2},      {OP_PUT_MANY, 4},      {OP_GET, 16},
    {OP_GET_MANY, 4},     {OP_GET_PART, 4},      {OP_SET, 8},           {OP_WRITE, 4},
    {OP_SEAL, 2},         {OP_REFS, 3},          {OP_LINK, 9},          {OP_RETAIN, 8},
    {OP_RETAIN_MANY, 3},  {OP_RELEASE, 16},      {OP_RELEASE_MANY, 5},  {OP_SHARE, 3},
    {OP_CLAIM, 3},        {OP_NAME, 6},          {OP_STORE, 5},         {OP_FETCH, 6},
    {OP_LOOKUP, 4},       {OP_UNNAME, 5},        {OP_NAMES, 1},         {OP_SHARED_STORE, 3},
    {OP_SHARED_FETCH, 4}, {OP_SHARED_LOOKUP, 3}, {OP_SHARED_UNNAME, 1}, {OP_INSPECT, 4},
    {OP_HOLDERS, 2},      {OP_SCAN, 2},          {OP_SESSIONS, 1},      {OP_POOLS, 1},
    {OP_STATS, 2},        {OP_VERIFY, 1},        {OP_PING, 2},          {OP_METHODS, 1},
};
#define WISHES (sizeof wishes / sizeof *wishes)

static enum op_kind wish(struct random *random)
{
    unsigned total = 0, at = 0;
    for (unsigned i = 0; i < WISHES; i++)
        total += wishes[i].weight;
    for (uint64_t left = random_below(random, total); left >= wishes[at].weight; at++)
        left -= wishes[at].weight;
    return wishes[at].kind;
}

static bool is_shut(const struct client *client, uint64_t id)
{
    for (unsigned i = 0; i < client->shut_count; i++) {
        if (client->shut[i] == id)
            return true;
    }
    return false;
}

/* Whether a request of this batch names the object. */
static bool is_mentioned(const struct client *client, uint64_t id)
{
    for (unsigned i = 0; i < client->ops_count; i++) {
        const struct op *op = &client->ops[i];
        bool found = op->id == id || op->target == id;
        for (unsigned k = 0; k < op->count; k++)
            found |= op->ids[k] == id;
        if (found)
            return true;
    }
    return false;
}

static bool may_be_named(const struct client *client, const struct thing *thing)
{
    if (!thing->used || thing->id == 0 || is_shut(client, thing->id))
        return false;
    return !thing->loose || (thing->held > 0 && !is_mentioned(client, thing->id));
}

/* A thing for which `fits` is true (NULL: any); NULL: there is none. */
static struct thing *pick(struct client *client, bool (*fits)(const struct thing *thing))
{
    struct thing *found = NULL;
    unsigned count = 0;
    for (unsigned i = 0; i < MODEL_THINGS; i++) {
        struct thing *thing = &client->model.things[i];
        if (may_be_named(client, thing) && (fits == NULL || fits(thing)) &&
            random_once_in(&client->random, ++count))
            found = thing;
    }
    return found;
}

static bool is_private(const struct thing *thing)
{
    return !thing->loose;
}

static bool can_be_shared(const struct thing *thing)
{
    return thing->held > 0 && !thing->open && thing->slots_count == 0 && thing->known;
}

static bool is_open(const struct thing *thing)
{
    return thing->open;
}

static bool is_not_open(const struct thing *thing)
{
    return !thing->open && !thing->loose;
}

/* Things that the requests of this batch may add to the model. */
static unsigned promised(const struct client *client)
{
    unsigned count = 0;
    for (unsigned i = 0; i < client->ops_count; i++) {
        switch (client->ops[i].kind) {
        case OP_PUT:
        case OP_PUT_OPEN:
        case OP_STORE:
        case OP_CLAIM:
        case OP_SHARED_LOOKUP: count++; break;
        case OP_PUT_MANY: count += client->ops[i].count; break;
        default: break;
        }
    }
    return count;
}

static bool has_room(const struct client *client, unsigned count)
{
    return model_free_places(&client->model) >= promised(client) + count;
}

static uint32_t size_by_chance(struct client *client)
{
    struct random *random = &client->random;
    uint64_t dice = random_below(random, 1000);
    if (dice < 150)
        return 0;
    if (dice < 750)
        return (uint32_t)random_between(random, VALUE_MIN, 200);
    if (dice < 930)
        return (uint32_t)random_between(random, 200, 4096);
    if (dice < 990)
        return (uint32_t)random_between(random, 4096, 65536);
    if (dice < 996 || client->soak->large_bytes > LARGE_TOTAL)
        return (uint32_t)random_between(random, 65536, LARGE_MIN);
    soak_count(client->soak, TALLY_LARGE, 1);
    return (uint32_t)random_between(random, LARGE_MIN, random_once_in(random, 3) ? LARGE_MAX : LARGE_MAX / 8);
}

/* `count` values in a row. */
static struct value fresh_value(struct client *client, unsigned count)
{
    uint64_t number = (uint64_t)client->number << 28 | client->next_value;
    client->next_value += count;
    return value_make(client->home->tag, number, size_by_chance(client));
}

/* ---- requests: false: the model has nothing for this one ---- */

static bool compose_put(struct client *client, struct op *op)
{
    struct random *random = &client->random;
    if (!has_room(client, op->kind == OP_PUT_MANY ? OP_IDS : 1))
        return false;
    if (op->kind == OP_PUT_MANY)
        op->count = (unsigned)random_between(random, 2, OP_IDS / 2);
    op->value = fresh_value(client, OP_IDS);
    if (op->kind == OP_PUT_MANY && op->value.size > ITEM_MAX)
        op->value.size = ITEM_MAX;
    if (op->kind == OP_PUT_OPEN && op->value.size < VALUE_MIN * 2)
        op->value.size = (uint32_t)random_between(random, VALUE_MIN * 2, 300);
    if (op->kind != OP_PUT)
        return true;
    op->seal = random_once_in(random, 12);
    for (uint64_t wanted = random_once_in(random, 3) ? random_between(random, 1, 3) : 0; wanted > 0;
         wanted--) {
        const struct thing *thing = pick(client, is_private);
        if (thing != NULL)
            op->ids[op->count++] = thing->id;
    }
    return true;
}

static bool compose_on_one(struct client *client, struct op *op)
{
    const struct thing *thing = pick(client, op->kind == OP_SEAL ? is_not_open : NULL);
    unsigned graves = client->model.graves_count < MODEL_GRAVES ? client->model.graves_count : MODEL_GRAVES;
    if (op->kind == OP_GET && graves > 0 && random_once_in(&client->random, 8)) {
        op->id = client->model.graves[random_below(&client->random, graves)];
        return true;
    }
    if (thing == NULL)
        return false;
    op->id = thing->id;
    return true;
}

static bool compose_get_part(struct client *client, struct op *op)
{
    const struct thing *thing = pick(client, is_private);
    if (thing == NULL)
        return false;
    op->id = thing->id;
    op->offset = (uint32_t)random_below(&client->random, thing->value.size / 8 + 1) * 8;
    op->n = (uint32_t)random_between(&client->random, 1, PART_MAX);
    return true;
}

static bool compose_many(struct client *client, struct op *op)
{
    for (uint64_t wanted = random_between(&client->random, 1, OP_IDS); wanted > 0; wanted--) {
        const struct thing *thing = pick(client, is_private);
        if (thing != NULL)
            op->ids[op->count++] = thing->id;
    }
    op->n = random_once_in(&client->random, 4) ? 2 : 1;
    return op->count > 0;
}

static bool compose_set(struct client *client, struct op *op)
{
    const struct thing *thing = pick(client, is_private);
    if (thing == NULL)
        return false;
    op->id = thing->id;
    op->value = fresh_value(client, 1);
    return true;
}

static bool compose_link(struct client *client, struct op *op)
{
    const struct thing *thing = pick(client, is_private), *target = pick(client, NULL);
    if (thing == NULL)
        return false;
    op->id = thing->id;
    op->slot = (uint32_t)random_below(&client->random, thing->slots_count + 1);
    if (op->slot == MODEL_SLOTS)
        op->slot--;
    if (target != NULL && target->order < thing->order && !random_once_in(&client->random, 4))
        op->target = target->id;
    return true;
}

static bool compose_count(struct client *client, struct op *op)
{
    const struct thing *thing = pick(client, NULL);
    if (thing == NULL)
        return false;
    op->ids[op->count++] = thing->id;
    op->id = thing->id;
    op->n = random_once_in(&client->random, 3) ? (uint32_t)random_between(&client->random, 1, 3) : 1;
    bool all = random_once_in(&client->random, 3) && thing->held > 0;
    if (op->kind == OP_RELEASE && (all || (thing->loose && op->n > thing->held)))
        op->n = thing->held;
    return true;
}

static bool compose_share(struct client *client, struct op *op)
{
    const struct thing *thing = pick(client, can_be_shared);
    if (thing == NULL || is_mentioned(client, thing->id))
        return false;
    op->id = thing->id;
    op->ticket_ends_ms = soak_now_ms() + TICKET_MS;
    client->shut[client->shut_count++] = thing->id;
    return true;
}

static bool compose_claim(struct client *client, struct op *op)
{
    struct ticket ticket;
    if (!has_room(client, 1) || !ledger_take(client->home, &ticket))
        return false;
    memcpy(op->ticket, ticket.key, sizeof op->ticket);
    op->id = ticket.id;
    op->value = ticket.value;
    op->ticket_ends_ms = ticket.ends_ms;
    return true;
}

static bool compose_name(struct client *client, struct op *op)
{
    op->name = (unsigned)random_below(&client->random, MODEL_NAMES);
    if (op->kind == OP_NAME)
        return compose_on_one(client, op);
    if (op->kind != OP_STORE)
        return true;
    op->value = fresh_value(client, 1);
    return has_room(client, 1);
}

static bool compose_shared(struct client *client, struct op *op)
{
    op->name = (unsigned)random_below(&client->random, LEDGER_SHARED);
    if (op->kind == OP_SHARED_STORE)
        op->value = fresh_value(client, 1);
    return op->kind != OP_SHARED_LOOKUP || has_room(client, 1);
}

static bool compose(struct client *client, struct op *op)
{
    switch (op->kind) {
    case OP_PUT:
    case OP_PUT_OPEN:
    case OP_PUT_MANY: return compose_put(client, op);
    case OP_GET:
    case OP_SEAL:
    case OP_REFS:
    case OP_INSPECT:
    case OP_HOLDERS: return compose_on_one(client, op);
    case OP_GET_PART: return compose_get_part(client, op);
    case OP_GET_MANY:
    case OP_RETAIN_MANY:
    case OP_RELEASE_MANY: return compose_many(client, op);
    case OP_SET: return compose_set(client, op);
    case OP_LINK: return compose_link(client, op);
    case OP_RETAIN:
    case OP_RELEASE: return compose_count(client, op);
    case OP_SHARE: return compose_share(client, op);
    case OP_CLAIM: return compose_claim(client, op);
    case OP_NAME:
    case OP_STORE:
    case OP_FETCH:
    case OP_LOOKUP:
    case OP_UNNAME: return compose_name(client, op);
    case OP_SHARED_STORE:
    case OP_SHARED_FETCH:
    case OP_SHARED_LOOKUP:
    case OP_SHARED_UNNAME: return compose_shared(client, op);
    case OP_SCAN: return client->sid != 0;
    case OP_METHODS: return random_once_in(&client->random, 10); /* a long reply that never changes */
    default: return true;
    }
}

/* ---- as bytes ---- */

static void pack_ids(struct wire *wire, const struct op *op)
{
    wire_array(wire, op->count);
    for (unsigned i = 0; i < op->count; i++)
        wire_uint(wire, op->ids[i]);
}

static void pack_put(struct wire *wire, const struct op *op)
{
    wire_request(wire, op->msgid, "put", 2);
    if (op->kind == OP_PUT_OPEN) {
        wire_nil(wire);
        wire_map(wire, 1);
        wire_text(wire, "size");
        wire_uint(wire, op->value.size);
        return;
    }
    wire_value(wire, op->value);
    wire_map(wire, 3);
    wire_text(wire, "refs");
    pack_ids(wire, op);
    wire_text(wire, "tag");
    wire_text(wire, "soaked");
    wire_text(wire, "seal");
    wire_bool(wire, op->seal);
}

static void pack_put_many(struct wire *wire, const struct op *op)
{
    wire_request(wire, op->msgid, "put_many", 1);
    wire_array(wire, op->count);
    for (unsigned i = 0; i < op->count; i++) {
        wire_array(wire, 2);
        wire_value(wire, (struct value){op->value.seed + i, op->value.size});
        wire_array(wire, i == 0 ? 0 : 1);
        if (i > 0)
            wire_int(wire, -(int64_t)i);
    }
}

static void pack_part(struct wire *wire, const struct op *op)
{
    wire_request(wire, op->msgid, "get", 2);
    wire_uint(wire, op->id);
    wire_map(wire, 2);
    wire_text(wire, "offset");
    wire_uint(wire, op->offset);
    wire_text(wire, "len");
    wire_uint(wire, op->n);
}

/* The first or the second half of an open object. */
static void pack_write(struct wire *wire, const struct op *op)
{
    wire_request(wire, op->msgid, "write", 3);
    wire_uint(wire, op->id);
    wire_uint(wire, op->offset);
    wire_payload(wire, op->value, op->offset, op->n);
}

static void pack_link(struct wire *wire, const struct op *op)
{
    wire_request(wire, op->msgid, "link", 3);
    wire_uint(wire, op->id);
    wire_uint(wire, op->slot);
    if (op->target == 0)
        wire_nil(wire);
    else
        wire_uint(wire, op->target);
}

static void pack_count(struct wire *wire, const struct op *op)
{
    bool retain = op->kind == OP_RETAIN || op->kind == OP_RETAIN_MANY;
    wire_request(wire, op->msgid, retain ? "retain" : "release", 2);
    if (op->kind == OP_RETAIN || op->kind == OP_RELEASE)
        wire_uint(wire, op->ids[0]);
    else
        pack_ids(wire, op);
    wire_uint(wire, op->n);
}

static void pack_share(struct wire *wire, const struct op *op)
{
    wire_request(wire, op->msgid, "share", 2);
    wire_uint(wire, op->id);
    wire_map(wire, 1);
    wire_text(wire, "ttl_ms");
    wire_uint(wire, TICKET_MS);
}

static void pack_named(const struct client *client, struct wire *wire, const struct op *op)
{
    static const char *const methods[OP_KINDS] = {
        [OP_NAME] = "name",          [OP_STORE] = "store",          [OP_FETCH] = "fetch",
        [OP_LOOKUP] = "lookup",      [OP_UNNAME] = "unname",        [OP_SHARED_STORE] = "store",
        [OP_SHARED_FETCH] = "fetch", [OP_SHARED_LOOKUP] = "lookup", [OP_SHARED_UNNAME] = "unname"};
    bool valued = op->kind == OP_STORE || op->kind == OP_SHARED_STORE, shared = op->kind >= OP_SHARED_STORE;
    char name[32];
    if (shared)
        snprintf(name, sizeof name, "shared/%u", op->name);
    else
        client_name_of(client, op->name, name, sizeof name);
    wire_request(wire, op->msgid, methods[op->kind], valued || op->kind == OP_NAME ? 2 : 1);
    wire_text(wire, name);
    if (valued)
        wire_value(wire, op->value);
    else if (op->kind == OP_NAME)
        wire_uint(wire, op->id);
}

static void pack_names(const struct client *client, struct wire *wire, const struct op *op)
{
    char prefix[32];
    snprintf(prefix, sizeof prefix, "c%u/", client->number);
    wire_request(wire, op->msgid, "names", 2);
    wire_uint(wire, 0);
    wire_map(wire, 1);
    wire_text(wire, "prefix");
    wire_text(wire, prefix);
}

static void pack_scan(const struct client *client, struct wire *wire, const struct op *op)
{
    wire_request(wire, op->msgid, "scan", 2);
    wire_uint(wire, 0);
    wire_map(wire, 1);
    wire_text(wire, "sid");
    wire_uint(wire, client->sid);
}

static void pack_sessions(struct wire *wire, const struct op *op)
{
    wire_request(wire, op->msgid, "sessions", 1);
    wire_map(wire, 1);
    wire_text(wire, "pool");
    wire_text(wire, "*");
}

static void pack_on_id(struct wire *wire, const struct op *op, const char *method)
{
    wire_request(wire, op->msgid, method, 1);
    wire_uint(wire, op->id);
}

static void pack_get_many(struct wire *wire, const struct op *op)
{
    wire_request(wire, op->msgid, "get", 1);
    pack_ids(wire, op);
}

static void pack_claim(struct wire *wire, const struct op *op)
{
    wire_request(wire, op->msgid, "claim", 1);
    wire_bin(wire, op->ticket, sizeof op->ticket);
}

static void pack(struct client *client, struct op *op)
{
    struct wire *wire = &client->wire;
    switch (op->kind) {
    case OP_PUT:
    case OP_PUT_OPEN: pack_put(wire, op); return;
    case OP_PUT_MANY: pack_put_many(wire, op); return;
    case OP_GET: pack_on_id(wire, op, "get"); return;
    case OP_GET_MANY: pack_get_many(wire, op); return;
    case OP_GET_PART: pack_part(wire, op); return;
    case OP_SET:
        wire_request(wire, op->msgid, "set", 2);
        wire_uint(wire, op->id);
        wire_value(wire, op->value);
        return;
    case OP_WRITE: pack_write(wire, op); return;
    case OP_SEAL: pack_on_id(wire, op, "seal"); return;
    case OP_REFS: pack_on_id(wire, op, "refs"); return;
    case OP_LINK: pack_link(wire, op); return;
    case OP_RETAIN:
    case OP_RETAIN_MANY:
    case OP_RELEASE:
    case OP_RELEASE_MANY: pack_count(wire, op); return;
    case OP_SHARE: pack_share(wire, op); return;
    case OP_CLAIM: pack_claim(wire, op); return;
    case OP_NAMES: pack_names(client, wire, op); return;
    case OP_INSPECT: pack_on_id(wire, op, "inspect"); return;
    case OP_HOLDERS: pack_on_id(wire, op, "holders"); return;
    case OP_SCAN: pack_scan(client, wire, op); return;
    case OP_SESSIONS: pack_sessions(wire, op); return;
    case OP_POOLS: wire_request(wire, op->msgid, "pools", 0); return;
    case OP_STATS: wire_request(wire, op->msgid, "stats", 0); return;
    case OP_VERIFY: wire_request(wire, op->msgid, "verify", 0); return;
    case OP_PING: wire_request(wire, op->msgid, "ping", 0); return;
    case OP_METHODS: wire_request(wire, op->msgid, "methods", 0); return;
    case OP_HELLO: client_pack_hello(client, wire, op->msgid, false); return;
    default: pack_named(client, wire, op); return;
    }
}

void compose_pack(struct client *client, struct op *op)
{
    op->msgid = client_msgid(client);
    op->begin_at = client->wire.packed;
    pack(client, op);
    op->end_at = client->wire.packed;
}

struct op *compose_op(struct client *client, enum op_kind kind)
{
    struct op *op = &client->ops[client->ops_count++];
    *op = (struct op){.kind = kind};
    return op;
}

/* An open object gets both its halves and is sealed. */
static void compose_filling(struct client *client)
{
    const struct thing *thing = pick(client, is_open);
    if (thing == NULL || client->ops_count + 3 > CLIENT_OPS)
        return;
    uint32_t half = thing->value.size / 2 / 8 * 8;
    struct op about = {.kind = OP_WRITE, .id = thing->id, .value = thing->value, .n = half};
    struct op *op = compose_op(client, OP_WRITE);
    *op = about;
    compose_pack(client, op);
    op = compose_op(client, OP_WRITE);
    *op = about;
    op->part = 1;
    op->offset = half;
    op->n = thing->value.size - half;
    compose_pack(client, op);
    op = compose_op(client, OP_SEAL);
    op->id = about.id;
    compose_pack(client, op);
}

void compose_batch(struct client *client)
{
    unsigned wanted = (unsigned)random_between(&client->random, 1, CLIENT_OPS);
    client->shut_count = 0;
    while (client->ops_count < wanted) {
        enum op_kind kind = wish(&client->random);
        unsigned before = client->ops_count;
        if (kind == OP_WRITE) {
            compose_filling(client);
            continue;
        }
        struct op op = {.kind = kind};
        if (!compose(client, &op))
            op = (struct op){.kind = OP_PING};
        *compose_op(client, kind) = op;
        compose_pack(client, &client->ops[before]);
    }
}
