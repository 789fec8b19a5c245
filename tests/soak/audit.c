/* SPDX-License-Identifier: BSD-3-Clause */
/* After a break: what the daemon has must be the model after some of the requests without an answer, the first ones.
 *
 * The candidates are the model after none of them, after the first, ... after all that were sent whole. The facts are
 * everything this client can see: what its session holds and how often, the values, the slots, its names. One of the
 * candidates must be exactly that; if several are (a request may change nothing that can be seen), it is taken to be
 * the last, which claims least about loose things. */
#include "proto/errors.h"
#include "proto/rpc.h"
#include "tests/soak/client.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FACTS_MAX    128u
#define AGAIN_MS     5u /* what a session held that has ended is released in steps, and lives until then */
#define AGAIN_FOR_MS 60000u

/* An object as it is there. */
struct fact {
    uint64_t id;
    bool gone, open, sealed, loose;
    bool listed;          /* scan tells that the session holds it */
    bool retained;        /* this audit has */
    bool told;            /* `value` is; not of an open one */
    bool in_form, binary; /* how it is told: as the seed says, as a bin */
    struct value value;
    uint64_t size, count;
    uint32_t held;
    unsigned slots_count;
    hf_id slots[MODEL_SLOTS];
    bool used; /* a thing of the candidate is this */
};

struct candidate {
    struct model model;
    unsigned surplus; /* requests in it that may have taken a hold on a loose thing each */
};

struct audit {
    struct client *client;
    struct candidate candidates[CLIENT_OPS + 1];
    unsigned candidates_count;
    struct fact facts[FACTS_MAX];
    unsigned facts_count;
    uint64_t bound[MODEL_NAMES]; /* ids; 0: no such name */
    bool alive;                  /* the session is; else these are the facts of its successor */
    uint64_t held;               /* as hello has told */
    char why[256];               /* why the last candidate that was tried does not fit */
    struct wire old;             /* the connection that broke, or lives and is left */
    struct model found;          /* the candidate that fits, with all that was not known before */
};

/* ---- candidates ---- */

static void make_candidates(struct audit *audit)
{
    struct client *client = audit->client;
    struct expected expected;
    audit->candidates[0] = (struct candidate){.model = client->model};
    audit->candidates_count = 1;
    for (unsigned i = client->acked; i < client->ops_count; i++) {
        const struct op *op = &client->ops[i];
        if (op->end_at > audit->old.sent)
            break;
        struct candidate *next = &audit->candidates[audit->candidates_count++];
        *next = next[-1];
        model_apply(&next->model, op, &expected);
        next->surplus += op->kind == OP_CLAIM || op->kind == OP_SHARED_LOOKUP;
    }
    soak_count(client->soak, TALLY_UNKNOWN, audit->candidates_count - 1);
}

static void end_session(struct audit *audit)
{
    audit->alive = false;
    for (unsigned i = 0; i < audit->candidates_count; i++) {
        model_end_session(&audit->candidates[i].model);
        audit->candidates[i].surplus = 0;
    }
}

/* ---- gathering: false: the connection was lost ---- */

static struct fact *fact_of(struct audit *audit, uint64_t id)
{
    for (unsigned i = 0; i < audit->facts_count; i++) {
        if (audit->facts[i].id == id)
            return &audit->facts[i];
    }
    return NULL;
}

static struct fact *add_fact(struct audit *audit, uint64_t id, bool loose)
{
    struct fact *fact = fact_of(audit, id);
    if (fact == NULL) {
        if (audit->facts_count == FACTS_MAX)
            client_fail(audit->client, "more objects than an audit has places for");
        fact = &audit->facts[audit->facts_count++];
        *fact = (struct fact){.id = id};
    }
    fact->loose |= loose;
    return fact;
}

/* All that lives in some candidate, and what is in its graves: of what a session held that has ended the model buries
 * at once what nothing else keeps, the daemon in steps. From here on it must be GONE. */
static void add_known(struct audit *audit)
{
    audit->facts_count = 0;
    for (unsigned c = 0; c < audit->candidates_count; c++) {
        const struct model *model = &audit->candidates[c].model;
        for (unsigned i = 0; i < MODEL_THINGS; i++) {
            const struct thing *thing = &model->things[i];
            if (thing->used && thing->id != 0)
                add_fact(audit, thing->id, thing->loose);
        }
        for (unsigned i = 0; i < model->graves_count && i < MODEL_GRAVES; i++)
            add_fact(audit, model->graves[i], false);
    }
}

static bool await(struct audit *audit, struct reply *ret)
{
    return client_await(audit->client, &audit->client->wire, ret);
}

static void pack_on_id(struct audit *audit, const char *method, uint64_t id)
{
    struct client *client = audit->client;
    wire_request(&client->wire, client_msgid(client), method, 1);
    wire_uint(&client->wire, id);
}

static void unexpected(struct audit *audit, const char *method, uint64_t id, const struct reply *reply)
{
    if (reply->code == HF_E_DRAINING)
        client_stop_if_ending(audit->client);
    client_fail(audit->client, "%s of %" PRIu64 " in an audit: %.*s", method, id, (int)reply->error_size,
                reply->code == 0 ? "" : reply->error);
}

static bool gather_held(struct audit *audit)
{
    struct client *client = audit->client;
    struct reply reply;
    uint64_t cursor = 0, id, listed = 0;
    do {
        wire_request(&client->wire, client_msgid(client), "scan", 2);
        wire_uint(&client->wire, cursor);
        wire_map(&client->wire, 1);
        wire_text(&client->wire, "sid");
        wire_uint(&client->wire, client->sid);
        if (!await(audit, &reply))
            return false;
        if (reply.code != 0 || !hf_item_uint(hf_item_at(reply.result, 0), &cursor))
            unexpected(audit, "scan", cursor, &reply);
        hf_walk walk = hf_walk_start(hf_item_at(reply.result, 1));
        hf_item item;
        while (hf_walk_next(&walk, NULL, &item)) {
            hf_item_uint(item, &id);
            struct fact *fact = add_fact(audit, id, fact_of(audit, id) == NULL);
            listed += !fact->listed;
            fact->listed = true;
        }
    } while (cursor != 0);
    if (listed != audit->held)
        client_fail(client, "hello tells %" PRIu64 " objects held, scan tells %" PRIu64, audit->held, listed);
    return true;
}

/* What its names are bound to; the holds that come with looking them up are given back. */
static bool gather_names(struct audit *audit)
{
    struct client *client = audit->client;
    struct reply reply;
    char name[32];
    for (unsigned i = 0; i < MODEL_NAMES; i++) {
        client_name_of(client, i, name, sizeof name);
        wire_request(&client->wire, client_msgid(client), "lookup", 1);
        wire_text(&client->wire, name);
    }
    for (unsigned i = 0; i < MODEL_NAMES; i++) {
        audit->bound[i] = 0;
        if (!await(audit, &reply))
            return false;
        if (reply.code == 0 && hf_item_uint(reply.result, &audit->bound[i]))
            add_fact(audit, audit->bound[i], false);
        else if (reply.code != HF_E_NOTFOUND)
            unexpected(audit, "lookup", i, &reply);
    }
    for (unsigned i = 0; i < MODEL_NAMES; i++) {
        if (audit->bound[i] != 0)
            pack_on_id(audit, "release", audit->bound[i]);
    }
    for (unsigned i = 0; i < MODEL_NAMES; i++) {
        if (audit->bound[i] == 0)
            continue;
        if (!await(audit, &reply))
            return false;
        if (reply.code != 0)
            unexpected(audit, "release", audit->bound[i], &reply);
    }
    return true;
}

static void take_value(struct audit *audit, struct fact *fact, const struct reply *reply)
{
    fact->gone = reply->code == HF_E_GONE;
    fact->open = reply->code == HF_E_UNSEALED;
    fact->told = reply->code == 0;
    if (!fact->told && !fact->gone && !fact->open)
        unexpected(audit, "get", fact->id, reply);
    if (!fact->told)
        return;
    fact->value = check_value(audit->client, reply->result);
    fact->in_form = value_is(fact->value, reply->result.data, reply->result.size);
    fact->binary = value_is_bin(fact->value, reply->result.data, reply->result.size);
}

/* How often the session holds it: the answer to one `retain` more. */
static void take_count(struct audit *audit, struct fact *fact, const struct reply *reply)
{
    uint64_t count = 0;
    fact->retained = reply->code == 0 && hf_item_uint(reply->result, &count) && count > 0;
    fact->held = fact->retained ? (uint32_t)count - 1 : fact->open ? fact->listed : 0;
    if (fact->retained || fact->open || fact->gone)
        return;
    if (reply->code != HF_E_GONE || !(fact->loose || !audit->alive))
        unexpected(audit, "retain", fact->id, reply);
    fact->gone = true; /* others let it go in this moment, or what its session held is still being released */
}

static void take_state(struct fact *fact, const struct reply *reply)
{
    static const char sealed[] = "sealed";
    const void *state = "";
    size_t size = 0;
    hf_item_bytes(hf_item_get(reply->result, "state"), &state, &size);
    fact->sealed = size == strlen(sealed) && memcmp(state, sealed, size) == 0;
    fact->size = fact->count = 0;
    hf_item_uint(hf_item_get(reply->result, "size"), &fact->size);
    hf_item_uint(hf_item_get(reply->result, "count"), &fact->count);
}

static bool look_at(struct audit *audit, struct fact *fact)
{
    struct reply reply;
    if (!await(audit, &reply))
        return false;
    take_value(audit, fact, &reply);
    if (!await(audit, &reply))
        return false;
    take_count(audit, fact, &reply);
    if (!await(audit, &reply))
        return false;
    fact->slots_count = (unsigned)hf_item_ids(reply.result, fact->slots, MODEL_SLOTS);
    if (!await(audit, &reply))
        return false;
    take_state(fact, &reply);
    return true;
}

static bool give_back(struct audit *audit)
{
    struct reply reply;
    for (unsigned i = 0; i < audit->facts_count; i++) {
        if (audit->facts[i].retained)
            pack_on_id(audit, "release", audit->facts[i].id);
    }
    for (unsigned i = 0; i < audit->facts_count; i++) {
        if (!audit->facts[i].retained)
            continue;
        if (!await(audit, &reply))
            return false;
        if (reply.code != 0)
            unexpected(audit, "release", audit->facts[i].id, &reply);
    }
    return true;
}

static bool gather(struct audit *audit)
{
    static const char *const looks[] = {"get", "retain", "refs", "inspect"};
    add_known(audit);
    if (!gather_held(audit) || !gather_names(audit))
        return false;
    for (unsigned i = 0; i < audit->facts_count; i++) {
        for (unsigned k = 0; k < sizeof looks / sizeof *looks; k++)
            pack_on_id(audit, looks[k], audit->facts[i].id);
    }
    for (unsigned i = 0; i < audit->facts_count; i++) {
        if (!look_at(audit, &audit->facts[i]))
            return false;
    }
    return give_back(audit);
}

/* ---- matching ---- */

static bool value_fits(const struct thing *thing, const struct fact *fact)
{
    if (fact->open || !thing->known)
        return true;
    bool form = thing->binary ? fact->binary : fact->in_form || (thing->loose && fact->binary);
    return form && fact->value.seed == thing->value.seed && fact->value.size == thing->value.size;
}

static bool no(struct audit *audit, uint64_t id, const char *why, uint64_t there, uint64_t here)
{
    snprintf(audit->why, sizeof audit->why, "object %" PRIu64 ": %s (there %" PRIu64 ", here %" PRIu64 ")",
             id, why, there, here);
    return false;
}

static bool fact_fits(struct audit *audit, struct thing *thing, struct fact *fact, unsigned *surplus)
{
    if (fact->gone)
        return no(audit, fact->id, "it is gone", 0, thing->held);
    if (fact->open != thing->open)
        return no(audit, fact->id, "whether it is open", fact->open, thing->open);
    if (fact->sealed != thing->sealed && !thing->loose)
        return no(audit, fact->id, "whether it is sealed", fact->sealed, thing->sealed);
    if (!value_fits(thing, fact))
        return no(audit, fact->id, "its value", fact->value.seed, thing->value.seed);
    if (thing->loose && fact->held > thing->held && fact->held - thing->held <= *surplus) {
        *surplus -= fact->held - thing->held;
        thing->held = fact->held;
    }
    if (fact->held != thing->held)
        return no(audit, fact->id, "how often it is held", fact->held, thing->held);
    if (!thing->known && fact->told) {
        thing->known = true;
        thing->value = fact->value;
    }
    return true;
}

/* A thing whose id was in an answer that never came. */
static struct fact *find_unknown(struct audit *audit, const struct thing *thing)
{
    for (unsigned i = 0; i < audit->facts_count; i++) {
        struct fact *fact = &audit->facts[i];
        if (fact->used || fact->gone || fact->open != thing->open || fact->held != thing->held)
            continue;
        bool known = false;
        for (unsigned c = 0; c < audit->candidates_count; c++)
            known |= model_place(&audit->candidates[c].model, fact->id) != NO_THING;
        if (!known && (thing->open ? fact->size == thing->value.size : value_fits(thing, fact)))
            return fact;
    }
    return NULL;
}

static bool match_things(struct audit *audit, struct model *model, unsigned *surplus)
{
    for (unsigned i = 0; i < MODEL_THINGS; i++) {
        struct thing *thing = &model->things[i];
        if (!thing->used)
            continue;
        struct fact *fact = thing->id != 0 ? fact_of(audit, thing->id) : find_unknown(audit, thing);
        if (fact == NULL)
            return no(audit, 0, "one that was made is not there", 0, thing->value.seed);
        if (!fact_fits(audit, thing, fact, surplus))
            return false;
        thing->id = fact->id;
        fact->used = true;
    }
    return true;
}

/* What is there beside the things of the candidate. */
static bool match_rest(struct audit *audit, struct model *model, unsigned *surplus)
{
    for (unsigned i = 0; i < audit->facts_count; i++) {
        const struct fact *fact = &audit->facts[i];
        if (fact->used || fact->gone)
            continue;
        if (!fact->loose)
            return no(audit, fact->id, "it should be gone", fact->held, 0);
        if (fact->held == 0)
            continue;
        if (fact->held > *surplus)
            return no(audit, fact->id, "it should not be held", fact->held, 0);
        *surplus -= fact->held;
        if (!model_adopt(model, fact->id, fact->held, fact->told ? &fact->value : NULL))
            return no(audit, fact->id, "no place for it", fact->held, 0);
    }
    return true;
}

static bool match_slots(struct audit *audit, const struct model *model)
{
    for (unsigned i = 0; i < MODEL_THINGS; i++) {
        const struct thing *thing = &model->things[i];
        if (!thing->used || thing->open)
            continue;
        const struct fact *fact = fact_of(audit, thing->id);
        if (fact->slots_count != thing->slots_count)
            return no(audit, thing->id, "its number of slots", fact->slots_count, thing->slots_count);
        for (unsigned s = 0; s < thing->slots_count; s++) {
            uint64_t want = thing->slots[s] == NO_THING ? 0 : model->things[thing->slots[s]].id;
            if ((uint64_t)fact->slots[s] != want)
                return no(audit, thing->id, "a slot", (uint64_t)fact->slots[s], want);
        }
    }
    return true;
}

static bool match_names(struct audit *audit, const struct model *model)
{
    for (unsigned i = 0; i < MODEL_NAMES; i++) {
        uint64_t want = model->names[i] == NO_THING ? 0 : model->things[model->names[i]].id;
        if (audit->bound[i] != want)
            return no(audit, want, "what a name is bound to", audit->bound[i], want);
    }
    return true;
}

/* Nobody else has a hold on a private thing, an earlier session of this client neither: what a session held that has
 * ended is released in steps and counts until then (PROTOCOL.md, stats: `backlog`), so that an object which a name kept
 * and loses now might outlive it by a moment. From here on the model knows exactly when each of them dies. */
static bool match_counts(struct audit *audit, const struct model *model)
{
    for (unsigned i = 0; i < MODEL_THINGS; i++) {
        const struct thing *thing = &model->things[i];
        if (!thing->used || thing->loose)
            continue;
        const struct fact *fact = fact_of(audit, thing->id);
        uint64_t want = (uint64_t)thing->held + thing->names + model_pointed(model, (int)i) + fact->retained;
        if (fact->count != want)
            return no(audit, thing->id, "how many references there are", fact->count, want);
    }
    return true;
}

static bool match(struct audit *audit, const struct candidate *candidate, struct model *ret)
{
    unsigned surplus = candidate->surplus;
    *ret = candidate->model;
    for (unsigned i = 0; i < audit->facts_count; i++)
        audit->facts[i].used = false;
    return match_things(audit, ret, &surplus) && match_rest(audit, ret, &surplus) &&
           match_slots(audit, ret) && match_names(audit, ret) && match_counts(audit, ret);
}

/* Ids that only now are known: none of them was ever given out. */
static void take_new_ids(struct audit *audit, const struct candidate *candidate, const struct model *model)
{
    for (unsigned i = 0; i < MODEL_THINGS; i++) {
        const struct thing *before = &candidate->model.things[i], *thing = &model->things[i];
        if (before->used && before->id == 0 && !numbers_add(&audit->client->home->ids, thing->id))
            client_fail(audit->client, "id %" PRIu64 " was given out before", thing->id);
    }
}

static bool adopt_match(struct audit *audit)
{
    struct client *client = audit->client;
    struct model *found = &audit->found;
    bool fits = false;
    for (unsigned c = audit->candidates_count; c > 0 && !fits; c--) {
        const struct candidate *candidate = &audit->candidates[c - 1];
        fits = match(audit, candidate, found);
        if (!fits)
            continue;
        take_new_ids(audit, candidate, found);
        client->model = *found;
        soak_count(client->soak, TALLY_DONE, c - 1);
    }
    for (unsigned i = 0; i < MODEL_THINGS; i++)
        client->model.things[i].filled =
            0; /* what was written of open ones cannot be seen: it is written again */
    return fits;
}

/* ---- what does not fit, in words ---- */

static void tell(const struct audit *audit)
{
    const struct model *first = &audit->candidates[0].model;
    fprintf(stderr, "\nwhat client %u finds:\n", audit->client->number);
    for (unsigned i = 0; i < audit->facts_count; i++) {
        const struct fact *fact = &audit->facts[i];
        fprintf(
            stderr, "  %" PRIu64 "%s%s%s%s value %" PRIx64 " of %" PRIu32 ", held %" PRIu32 ", %u slots\n",
            fact->id, fact->gone ? " gone" : "", fact->open ? " open" : "", fact->loose ? " loose" : "",
            fact->listed ? " listed" : "", fact->value.seed, fact->value.size, fact->held, fact->slots_count);
    }
    fprintf(stderr, "what it knew before the requests without an answer:\n");
    for (unsigned i = 0; i < MODEL_THINGS; i++) {
        const struct thing *thing = &first->things[i];
        if (thing->used)
            fprintf(stderr,
                    "  %" PRIu64 "%s%s value %" PRIx64 " of %" PRIu32 ", held %" PRIu32
                    ", %u slots, %u names\n",
                    thing->id, thing->open ? " open" : "", thing->loose ? " loose" : "", thing->value.seed,
                    thing->value.size, thing->held, thing->slots_count, thing->names);
    }
}

static _Noreturn void fail(struct audit *audit)
{
    const struct client *client = audit->client;
    tell(audit);
    fprintf(stderr, "why none of the candidates is what it finds:\n");
    for (unsigned c = 0; c < audit->candidates_count; c++) {
        match(audit, &audit->candidates[c], &audit->found);
        fprintf(stderr, "  after %2u: %s\n", c, audit->why);
    }
    client_fail(audit->client,
                "after the break nothing fits (%u of %u requests answered, %u candidates, the session %s)",
                client->acked, client->ops_count, audit->candidates_count,
                audit->alive ? "resumed" : "ended");
}

/* ---- coming back ---- */

static void connect_to(struct client *client)
{
    bool tcp = random_once_in(&client->random, 2);
    if (!wire_open(&client->wire, tcp ? &client->soak->tcp_address : &client->soak->unix_address)) {
        client_stop_if_ending(client);
        client_fail(client, "no connection: %s", client->wire.why);
    }
}

static void check_expiry(struct client *client)
{
    int64_t since_ms = soak_now_ms() - client->broken_ms;
    bool over = client->broken_ms != 0 && since_ms + 1 >= client->lease_ms;
    if (!over && !client_was_ended(client))
        client_fail(client, "EXPIRED %" PRId64 " ms after the break", since_ms);
    soak_count(client->soak, client_was_ended(client) ? TALLY_KILLED : TALLY_EXPIRED, 1);
}

/* Says hello with the key. True: the session has ended. */
static bool say_hello_again(struct audit *audit)
{
    struct client *client = audit->client;
    struct reply reply;
    client_pack_hello(client, &client->wire, client_msgid(client), true);
    if (!client_await(client, &client->wire, &reply)) {
        client_lose(client); /* in this moment */
        return true;
    }
    if (reply.code == HF_E_EXPIRED) {
        check_expiry(client);
        return true;
    }
    if (reply.code == HF_E_DRAINING)
        client_stop_if_ending(client);
    if (reply.code != 0)
        client_fail(client, "hello with the key: %.*s", (int)reply.error_size, reply.error);
    if (client->lost)
        client_fail(client, "the session lives, but the daemon has closed its connection");
    client_read_hello(client, &reply, false, &audit->held);
    return false;
}

/* The old connection of a session that was taken: what was answered on it is answered; then the daemon closes it. */
static void drain(struct client *client, struct wire *old)
{
    struct reply reply;
    while (client_await(client, old, &reply)) {
        if (client->acked == client->ops_count)
            client_fail(client, "an answer that nobody asked for");
        check_reply(client, &reply);
    }
    wire_close(old);
}

/* Opens a session after the one that has ended. False: the pool is gone. */
static bool open_next(struct audit *audit)
{
    struct client *client = audit->client;
    struct reply reply;
    for (;;) {
        if (client->home->dropping) {
            soak_count(client->soak, TALLY_DROPPED, 1);
            client_homeless(client);
            return false;
        }
        client->sid = 0;
        connect_to(client);
        client_pack_hello(client, &client->wire, client_msgid(client), false);
        if (client_await(client, &client->wire, &reply))
            return client_read_hello(client, &reply, true, &audit->held);
        client_lose(client);
        if (client->home == NULL)
            return false;
    }
}

/* Facts until one candidate fits: at once if the session lives, else when what it held is released. False: the session
 * was lost on the way. */
static bool examine(struct audit *audit)
{
    int64_t until_ms = soak_now_ms() + AGAIN_FOR_MS;
    for (;;) {
        if (!gather(audit))
            return false;
        if (adopt_match(audit))
            return true;
        if (audit->alive || soak_now_ms() > until_ms)
            fail(audit);
        soak_pause_ms(AGAIN_MS);
    }
}

static void come_back(struct client *client)
{
    client->broken_ms = 0;
    client->lost = false;
    client->cut = CUT_NONE;
    client->ops_count = client->acked = 0;
    soak_count(client->soak, TALLY_AUDITS, 1);
}

/* With a session that has ended: a new one, again and again if that is ended, too. */
static void examine_next(struct audit *audit)
{
    struct client *client = audit->client;
    end_session(audit);
    while (open_next(audit)) {
        if (examine(audit)) {
            come_back(client);
            return;
        }
        client_lose(client);
        if (client->home == NULL)
            return;
    }
}

/* What the client has under way is about the old connection; audits happen on a new one. */
static void part(struct audit *audit)
{
    struct client *client = audit->client;
    audit->old = client->wire;
    wire_init(&client->wire);
    connect_to(client);
    audit->alive = !say_hello_again(audit);
    if (audit->old.fd >= 0)
        drain(client, &audit->old);
    make_candidates(audit);
    wire_free(&audit->old);
}

void audit_resume(struct client *client)
{
    struct audit *audit = client->audit;
    if (audit == NULL)
        audit = client->audit = calloc(1, sizeof *audit);
    if (audit == NULL)
        abort();
    audit->client = client;
    part(audit);
    if (audit->alive && examine(audit)) {
        come_back(client);
        soak_count(client->soak, TALLY_RESUMED, 1);
        return;
    }
    if (audit->alive)
        client_lose(client);
    if (client->home != NULL)
        examine_next(audit);
}

struct wire *audit_old_wire(struct client *client)
{
    return client->audit == NULL ? NULL : &client->audit->old;
}

void audit_free(struct client *client)
{
    if (client->audit == NULL)
        return;
    wire_free(&client->audit->old);
    free(client->audit);
    client->audit = NULL;
}
