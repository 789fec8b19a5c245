/* SPDX-License-Identifier: BSD-3-Clause */
/* One client: a session in one pool, a model of all it knows, and the requests under way.
 *
 * In a round it sends a batch of requests, then takes the replies in order: each is held against the model, which then
 * does the same (check.c). Now and then the round ends in a break instead (client.c). Then the client comes back with its
 * key and asks for all it can see; that must be its model after some of the requests without an answer, the first ones,
 * none left out (audit.c).
 *
 * Always: ops[acked ... ops_count) have no answer yet; the model is right up to `acked`. A client belongs to one thread. */
#ifndef HF_TESTS_SOAK_CLIENT_H
#define HF_TESTS_SOAK_CLIENT_H

#include "tests/soak/soak.h"
#include "tests/soak/wire.h"

#define CLIENT_OPS  16u /* in a batch */
#define CLIENT_PAST 48u /* requests that a failure tells of */
#define LARGE_MIN   (256u * 1024)

enum cut {
    CUT_NONE,
    CUT_AT_REPLY,   /* when `cut_at` of the batch have been answered */
    CUT_IN_REPLY,   /* when byte `cut_at` has been received */
    CUT_IN_REQUEST, /* when byte `cut_at` has been sent */
    CUT_HALF,       /* all is sent, we send no more, all is answered */
    CUT_TAKEOVER    /* all is sent; another connection takes the session */
};

struct past {
    enum op_kind kind;
    uint64_t id;
    int code;
};

struct client {
    struct soak *soak;
    unsigned number;
    bool roams; /* in pools that come and go */
    struct random random;
    struct incarnation *home; /* its pool; NULL: none at the moment */
    struct wire wire;         /* no connection: fd -1 */
    bool has_session;
    uint8_t key[16];
    uint64_t sid;
    uint32_t lease_ms;
    uint32_t next_msgid;
    uint64_t next_value;
    uint64_t last_version;
    struct model model;
    struct op ops[CLIENT_OPS];
    unsigned ops_count, acked;
    uint64_t shut[CLIENT_OPS]; /* ids that this batch may not use any more */
    unsigned shut_count;
    enum cut cut;
    uint64_t cut_at;
    int64_t broken_ms;   /* when we broke the connection; 0: we have not */
    bool lost;           /* the daemon closed it, as somebody had asked for */
    uint64_t large;      /* its part of soak->large_bytes */
    int64_t wake_ms;     /* it rests until then */
    int64_t moved_ms;    /* when something came or went last */
    uint32_t slow;       /* bytes that it reads in a round; 0: all there is */
    struct audit *audit; /* of audit.c; owned, NULL before the first */
    struct past past[CLIENT_PAST];
    unsigned past_count;
};

void client_init(struct client *client, struct soak *soak, unsigned number);
void client_free(struct client *client);
/* A cycle begins: a new life. */
void client_begin(struct client *client);
/* A round, in two halves, so that the requests of many clients are under way at once. */
void client_send(struct client *client);
void client_receive(struct client *client);
/* While the daemon ends: reads what comes, whatever it is, and closes what has ended. True: something is open yet. */
bool client_read_out(struct client *client);
/* The cycle ends: takes its names away and leaves, by `bye` or by releasing all. */
void client_leave(struct client *client);

/* client.c, for the others */
_Noreturn void client_fail(struct client *client, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Waits for the next reply: true, or false if the connection has ended. */
bool client_await(struct client *client, struct wire *wire, struct reply *ret);
/* A message number that no request under way has. */
uint32_t client_msgid(struct client *client);
/* One of its own names. */
void client_name_of(const struct client *client, unsigned name, char *ret, size_t ret_size);
/* Packs `hello` of a new session, or with the key. */
void client_pack_hello(struct client *client, struct wire *wire, uint32_t msgid, bool resume);
/* Reads its answer: sid, key, held. `fresh`: a session that was not there before. False: its pool is gone, and so is all
 * that it knew (client_homeless). */
bool client_read_hello(struct client *client, const struct reply *reply, bool fresh, uint64_t *ret_held);
/* Somebody has ended its session, or is about to. */
bool client_was_ended(const struct client *client);
/* The daemon has closed a connection that nobody broke. Fails if nobody had a reason to. */
void client_lose(struct client *client);
/* While the daemon ends, whatever happens is right: then this thread ends, too. */
void client_stop_if_ending(struct client *client);
/* It has no pool any more, and knows nothing. */
void client_homeless(struct client *client);

/* compose.c: packs the next batch. */
void compose_batch(struct client *client);
/* One request by itself. */
struct op *compose_op(struct client *client, enum op_kind kind);
void compose_pack(struct client *client, struct op *op);

/* check.c: takes the answer to ops[acked]. */
void check_reply(struct client *client, const struct reply *reply);
/* A value of somebody's of this pool, whole; fails otherwise. */
struct value check_value(struct client *client, hf_item item);
/* A new id: none that was ever given out. */
uint64_t check_new_id(struct client *client, hf_item item);

/* audit.c: after a break */

/* Comes back with the key, on a connection of its own; an old one that lives is drained when the session has left it.
 * In the end client->wire is a connection with the session, or with a new one if that has ended, or there is none
 * because the pool is gone; the model is what was found. */
void audit_resume(struct client *client);
/* The old connection, while it is there; else NULL. */
struct wire *audit_old_wire(struct client *client);
void audit_free(struct client *client);

#endif
