/* SPDX-License-Identifier: BSD-3-Clause */
/* A client's life: rounds, breaks, the end. */
#include "tests/soak/client.h"

#include "proto/errors.h"
#include "proto/rpc.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define WAIT_MS        1000
#define CUT_ONE_IN     12u
#define LEASE_LONG_MS  60000u
#define LEASE_SHORT_MS 150u
#define REST_MS        300u
#define SLOW_BYTES     (128u * 1024)
#define NAME_SIZE      24

/* ---- begin, end, failure ---- */

void client_init(struct client *client, struct soak *soak, unsigned number)
{
    *client = (struct client){.soak = soak, .number = number, .next_msgid = number};
    client->roams = number % 10 == 9;
    wire_init(&client->wire);
    model_init(&client->model);
}

void client_free(struct client *client)
{
    wire_free(&client->wire);
    audit_free(client);
}

static void forget_session(struct client *client)
{
    client->has_session = false;
    client->sid = 0;
    client->broken_ms = 0;
    client->lost = false;
    client->cut = CUT_NONE;
    client->ops_count = client->acked = 0;
    client->slow = 0;
}

void client_homeless(struct client *client)
{
    wire_free(&client->wire);
    forget_session(client);
    model_forget(&client->model);
    client->last_version = 0;
    client->home = NULL;
}

void client_begin(struct client *client)
{
    client_homeless(client);
    client->random = soak_random(client->soak, "client", client->number);
    client->wake_ms = 0;
    if (!client->roams)
        client->home = &client->soak->ledger.stable[client->number % LEDGER_STABLE];
}

static void tell_op(const struct op *op)
{
    fprintf(stderr,
            "  %-16s %" PRIu64 " (not answered; value %" PRIx64 ", target %" PRIu64
            ", name %u, slot %u, n %u",
            op_name(op->kind), op->id, op->value.seed, op->target, op->name, op->slot, op->n);
    for (unsigned i = 0; i < op->count; i++)
        fprintf(stderr, ", %" PRIu64, op->ids[i]);
    fprintf(stderr, ")\n");
}

static void tell_past(const struct client *client)
{
    unsigned first = client->past_count > CLIENT_PAST ? client->past_count - CLIENT_PAST : 0;
    for (unsigned i = first; i < client->past_count; i++) {
        const struct past *past = &client->past[i % CLIENT_PAST];
        fprintf(stderr, "  %-16s %" PRIu64 " %s\n", op_name(past->kind), past->id, hfp_err_name(past->code));
    }
    for (unsigned i = client->acked; i < client->ops_count; i++)
        tell_op(&client->ops[i]);
}

void client_fail(struct client *client, const char *format, ...)
{
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    pthread_mutex_lock(&client->soak->failing);
    fprintf(stderr, "\nthe last requests of client %u:\n", client->number);
    tell_past(client);
    pthread_mutex_unlock(&client->soak->failing);
    soak_fail(client->soak, "client %u in pool %s, sid %" PRIu64 ", lease %" PRIu32 " ms: %s", client->number,
              client->home == NULL ? "(none)" : client->home->name, client->sid, client->lease_ms, text);
}

void client_stop_if_ending(struct client *client)
{
    if (client->soak->ending)
        pthread_exit(NULL);
}

static bool read_out(struct wire *wire)
{
    struct reply reply;
    if (wire == NULL || wire->fd < 0)
        return false;
    wire->send_max = wire->sent;
    wire->receive_max = UINT64_MAX;
    wire_move(wire, 0);
    while (wire_next(wire, &reply) > 0)
        continue;
    if (wire->ended)
        wire_close(wire);
    return wire->fd >= 0;
}

bool client_read_out(struct client *client)
{
    return read_out(&client->wire) | read_out(audit_old_wire(client));
}

/* ---- messages ---- */

uint32_t client_msgid(struct client *client)
{
    return client->next_msgid++;
}

void client_name_of(const struct client *client, unsigned name, char *ret, size_t ret_size)
{
    snprintf(ret, ret_size, "c%u/%u", client->number, name);
}

bool client_await(struct client *client, struct wire *wire, struct reply *ret)
{
    int64_t since_ms = soak_now_ms();
    for (;;) {
        int got = wire_next(wire, ret);
        if (got < 0)
            client_fail(client, "bad bytes of the daemon: %s", wire->why);
        if (got > 0)
            return true;
        if (wire->ended) {
            client_stop_if_ending(client);
            return false;
        }
        if (wire_move(wire, WAIT_MS))
            since_ms = soak_now_ms();
        else if (soak_now_ms() - since_ms > SOAK_PATIENCE_MS)
            client_fail(client, "no answer for %d ms", SOAK_PATIENCE_MS);
    }
}

void client_pack_hello(struct client *client, struct wire *wire, uint32_t msgid, bool resume)
{
    char name[NAME_SIZE];
    wire_request(wire, msgid, "hello", 1);
    if (resume) {
        wire_map(wire, 1);
        wire_text(wire, "session");
        wire_bin(wire, client->key, sizeof client->key);
        return;
    }
    uint64_t dice = random_below(&client->random, 20);
    client->lease_ms =
        dice == 0 ? 0
                  : (uint32_t)(dice < 5 ? random_between(&client->random, 1, LEASE_SHORT_MS) : LEASE_LONG_MS);
    snprintf(name, sizeof name, "c%u", client->number);
    wire_map(wire, 3);
    wire_text(wire, "name");
    wire_text(wire, name);
    wire_text(wire, "pool");
    wire_text(wire, client->home->name);
    wire_text(wire, "lease_ms");
    wire_uint(wire, client->lease_ms);
}

/* Of a hello that has opened or resumed a session in the right pool. */
static void take_hello(struct client *client, hf_item result, bool fresh, uint64_t *ret_held)
{
    const void *key;
    size_t size;
    uint64_t sid = 0;
    if (!hf_item_uint(hf_item_get(result, "sid"), &sid) ||
        !hf_item_uint(hf_item_get(result, "held"), ret_held) ||
        !hf_item_bytes(hf_item_get(result, "session"), &key, &size) || size != sizeof client->key) {
        client_fail(client, "hello has no sid, no key or no `held`");
        return;
    }
    if (fresh && !numbers_add(&client->soak->ledger.sids, sid))
        client_fail(client, "sid %" PRIu64 " was given to another session before", sid);
    if (!fresh && (sid != client->sid || memcmp(key, client->key, size) != 0))
        client_fail(client, "resumed as %" PRIu64 ", which is another session", sid);
    memcpy(client->key, key, size);
    client->sid = sid;
    client->has_session = true;
    if (fresh)
        soak_count(client->soak, TALLY_SESSIONS, 1);
}

bool client_read_hello(struct client *client, const struct reply *reply, bool fresh, uint64_t *ret_held)
{
    uint64_t epoch = 0;
    hf_item_uint(hf_item_get(reply->result, "epoch"), &epoch);
    if (reply->code == 0 && epoch == client->home->epoch) {
        take_hello(client, reply->result, fresh, ret_held);
        return true;
    }
    if (reply->code == HF_E_DRAINING)
        client_stop_if_ending(client);
    if (!client->home->dropping || (reply->code != 0 && reply->code != HF_E_NOTFOUND))
        client_fail(client, "hello of pool %s: %.*s (epoch %" PRIu64 " instead of %" PRIu64 ")",
                    client->home->name, (int)reply->error_size, reply->code == 0 ? "" : reply->error, epoch,
                    client->home->epoch);
    soak_count(client->soak, TALLY_DROPPED, 1);
    client_homeless(client);
    return false;
}

/* ---- connections that end ---- */

bool client_was_ended(const struct client *client)
{
    return client->home->dropping ||
           (client->sid != 0 && numbers_has(&client->soak->ledger.killed, client->sid));
}

void client_lose(struct client *client)
{
    client_stop_if_ending(client);
    if (!client_was_ended(client))
        client_fail(client,
                    "the daemon closed the connection without a reason (%s), %u of %u answered, cut %d",
                    client->wire.why, client->acked, client->ops_count, (int)client->cut);
    wire_close(&client->wire);
    if (client->sid == 0) { /* the pool went before the answer to hello came */
        soak_count(client->soak, TALLY_DROPPED, 1);
        client_homeless(client);
        return;
    }
    client->lost = true;
}

static void choose_cut(struct client *client, bool first)
{
    struct random *random = &client->random;
    client->cut = CUT_NONE;
    if (first || !random_once_in(random, CUT_ONE_IN))
        return;
    const struct op *last = &client->ops[client->ops_count - 1];
    uint64_t begin = client->ops[0].begin_at;
    client->cut = (enum cut)random_between(random, CUT_AT_REPLY, CUT_TAKEOVER);
    switch (client->cut) {
    case CUT_AT_REPLY: client->cut_at = random_below(random, client->ops_count + 1); break;
    case CUT_IN_REPLY:
        client->cut_at =
            client->wire.received + random_between(random, 1, random_once_in(random, 3) ? 100000 : 300);
        client->wire.receive_max = client->cut_at;
        break;
    case CUT_IN_REQUEST:
        client->cut_at = begin + random_below(random, last->end_at - begin + 1);
        client->wire.send_max = client->cut_at;
        break;
    default: break;
    }
}

/* Whether it is time to break the connection. */
static bool cut_due(const struct client *client)
{
    const struct wire *wire = &client->wire;
    switch (client->cut) {
    case CUT_NONE: return false;
    case CUT_AT_REPLY: return client->acked >= client->cut_at;
    case CUT_IN_REPLY: return wire->received >= client->cut_at || client->acked == client->ops_count;
    case CUT_IN_REQUEST: return wire->sent >= client->cut_at;
    case CUT_HALF:
    case CUT_TAKEOVER: return wire->sent == wire->packed;
    }
    return false;
}

/* Since when its lease may run. */
static void broken(struct client *client, int64_t since_ms)
{
    client->broken_ms = since_ms;
    if (random_once_in(&client->random, 3))
        client->wake_ms = client->broken_ms + (int64_t)random_below(&client->random, REST_MS);
}

/* We send no more; what was sent is answered all the same, then the daemon closes. */
static void cut_half(struct client *client)
{
    struct reply reply;
    int64_t since_ms =
        soak_now_ms(); /* the daemon lets the session go when it has answered, before we have read that */
    wire_half_close(&client->wire);
    while (client_await(client, &client->wire, &reply)) {
        if (client->acked == client->ops_count)
            client_fail(client, "an answer that nobody asked for");
        check_reply(client, &reply);
        if (client->home == NULL)
            return;
    }
    if (client->acked < client->ops_count) {
        client_lose(client);
        return;
    }
    wire_close(&client->wire);
    broken(client, since_ms);
}

static void cut(struct client *client)
{
    static const enum tally tallies[] = {[CUT_AT_REPLY] = TALLY_CUT_REPLY,
                                         [CUT_IN_REPLY] = TALLY_CUT_INSIDE,
                                         [CUT_IN_REQUEST] = TALLY_CUT_REQUEST,
                                         [CUT_HALF] = TALLY_CUT_HALF,
                                         [CUT_TAKEOVER] = TALLY_TAKEN};
    soak_count(client->soak, tallies[client->cut], 1);
    if (client->cut == CUT_HALF) {
        cut_half(client);
        return;
    }
    broken(client, soak_now_ms());
    if (client->cut == CUT_TAKEOVER)
        client->wake_ms = 0;
    else if (random_once_in(&client->random, 2))
        wire_reset(&client->wire);
    else
        wire_close(&client->wire);
}

/* ---- rounds ---- */

static bool find_home(struct client *client)
{
    struct ledger *ledger = &client->soak->ledger;
    if (client->home == NULL)
        client->home = atomic_load(&ledger->now[random_below(&client->random, LEDGER_VOLATILE)]);
    return client->home != NULL;
}

static void count_large(struct client *client)
{
    uint64_t large = 0;
    for (unsigned i = 0; i < MODEL_THINGS; i++) {
        const struct thing *thing = &client->model.things[i];
        large += thing->used && thing->value.size >= LARGE_MIN ? thing->value.size : 0;
    }
    client->soak->large_bytes += large - client->large;
    client->large = large;
}

/* A connection with hello on its way. */
static void connect_anew(struct client *client)
{
    bool tcp = client->number % 2 != 0;
    if (!wire_open(&client->wire, tcp ? &client->soak->tcp_address : &client->soak->unix_address)) {
        client_stop_if_ending(client);
        client_fail(client, "no connection: %s", client->wire.why);
    }
    forget_session(client);
    compose_pack(client, compose_op(client, OP_HELLO));
}

static void begin_batch(struct client *client, bool first)
{
    if (!first)
        client->ops_count = client->acked = 0;
    if (!first || !client->roams) /* behind a hello that fails all would go on in another pool */
        compose_batch(client);
    choose_cut(client, first);
    client->slow = 0;
    if (client->cut == CUT_NONE && random_once_in(&client->random, 40)) {
        client->slow = SLOW_BYTES;
        soak_count(client->soak, TALLY_SLOW, 1);
    }
}

void client_send(struct client *client)
{
    count_large(client);
    if (client->wake_ms > soak_now_ms() || !find_home(client))
        return;
    if (client->broken_ms != 0 || client->lost)
        audit_resume(client);
    if (client->home == NULL)
        return;
    bool first = !client->has_session && client->wire.fd < 0;
    if (first)
        connect_anew(client);
    if (first || client->acked == client->ops_count)
        begin_batch(client, first);
    client->moved_ms = soak_now_ms();
    wire_move(&client->wire, 0);
}

/* Takes the answers that are there. False: the client has lost its pool. */
static bool take_replies(struct client *client)
{
    struct reply reply;
    int got = 0;
    while (!cut_due(client) && client->acked < client->ops_count &&
           (got = wire_next(&client->wire, &reply)) > 0) {
        check_reply(client, &reply);
        if (client->home == NULL)
            return false;
    }
    if (got < 0)
        client_fail(client, "bad bytes of the daemon: %s", client->wire.why);
    return true;
}

static void read_slowly(struct client *client)
{
    client->wire.receive_max = client->wire.received + client->slow;
    if (wire_move(&client->wire, 0))
        client->moved_ms = soak_now_ms();
    client->wire.receive_max = UINT64_MAX;
}

void client_receive(struct client *client)
{
    while (client->wire.fd >= 0 && client->broken_ms == 0 && take_replies(client)) {
        if (cut_due(client)) {
            cut(client);
            return;
        }
        if (client->acked == client->ops_count)
            return;
        if (client->wire.ended) {
            client_lose(client);
            return;
        }
        if (client->slow != 0) {
            read_slowly(client);
            take_replies(client);
            return;
        }
        if (wire_move(&client->wire, WAIT_MS))
            client->moved_ms = soak_now_ms();
        else if (soak_now_ms() - client->moved_ms > SOAK_PATIENCE_MS)
            client_fail(client, "no answer for %d ms", SOAK_PATIENCE_MS);
    }
}

/* ---- the end of a cycle ---- */

/* Until nothing is under way. True: it has a connection with a session. */
static bool settled(struct client *client)
{
    while (client->home != NULL) {
        if (client->broken_ms != 0 || client->lost) {
            audit_resume(client);
            continue;
        }
        if (client->wire.fd < 0)
            return false; /* it has not found a pool in all the cycle */
        if (client->acked == client->ops_count)
            return true;
        client->slow = 0;
        client->moved_ms = soak_now_ms();
        client_receive(client);
    }
    return false;
}

/* One request on what is left: true, it is packed. */
static bool compose_farewell(struct client *client, unsigned *at, bool release)
{
    struct model *model = &client->model;
    unsigned graves = model->graves_count < MODEL_GRAVES ? model->graves_count : MODEL_GRAVES;
    unsigned n = (*at)++;
    struct op *op = NULL;
    if (n < MODEL_NAMES) {
        if (model->names[n] != NO_THING) {
            op = compose_op(client, OP_UNNAME);
            op->name = n;
        }
    } else if (n < MODEL_NAMES + MODEL_THINGS) {
        const struct thing *thing = &model->things[n - MODEL_NAMES];
        if (release && thing->used && thing->held > 0) {
            op = compose_op(client, OP_RELEASE);
            op->ids[op->count++] = op->id = thing->id;
            op->n = thing->held;
        }
    } else if (n < MODEL_NAMES + MODEL_THINGS + graves) {
        op = compose_op(client, OP_GET);
        op->id = model->graves[n - MODEL_NAMES - MODEL_THINGS];
    } else {
        return false;
    }
    if (op != NULL)
        compose_pack(client, op);
    return true;
}

/* All names, and if it shall be by hand all holds, are gone; what has died is seen to be dead. False: something came
 * between. */
static bool let_go(struct client *client, bool release)
{
    unsigned at = 0;
    client->cut = CUT_NONE;
    client->slow = 0;
    for (bool more = true; more;) {
        client->ops_count = client->acked = 0;
        while (client->ops_count < CLIENT_OPS && more)
            more = compose_farewell(client, &at, release);
        client->moved_ms = soak_now_ms();
        client_receive(client);
        if (client->wire.fd < 0)
            return false;
    }
    return true;
}

static void say_bye(struct client *client)
{
    struct reply reply;
    uint64_t dropped = 0;
    if (client->lease_ms <= LEASE_SHORT_MS && random_once_in(&client->random, 2))
        return; /* its lease runs out */
    uint32_t msgid = client_msgid(client);
    wire_request(&client->wire, msgid, "bye", 0);
    if (!client_await(client, &client->wire, &reply)) {
        client_lose(client);
        return;
    }
    if (reply.msgid != msgid || !hf_item_uint(reply.result, &dropped) ||
        dropped != model_references(&client->model))
        client_fail(client, "bye has dropped %" PRIu64 " references instead of %" PRIu64, dropped,
                    model_references(&client->model));
    if (client_await(client, &client->wire, &reply))
        client_fail(client, "an answer behind that to bye");
    soak_count(client->soak, TALLY_BYES, 1);
}

void client_leave(struct client *client)
{
    bool release = random_once_in(&client->random, 2);
    while (settled(client) && !let_go(client, release))
        continue;
    if (client->home != NULL && client->wire.fd >= 0)
        say_bye(client);
    client_homeless(client);
    count_large(client);
}
