/* SPDX-License-Identifier: BSD-3-Clause */
/* A connection from the inside, and the way every call takes:
 *
 *     msgpack_packer *packer = hf__call(conn, "seal", 1);
 *     hf__pack_id(packer, id);
 *     return hf__call_end(conn, &sink);
 *
 * hf__call_end sends and waits, or queues while a batch is open; either way the answer goes through
 * hf__deliver, which fills the caller's results by the sink and notes the error.
 *
 * Always:
 * - `fd` is -1 exactly when there is no connection; then the engine holds no bytes and no open request, unless the
 *   connection is `broken`: the session has a replay window, and whoever waits next resumes it and sends again what is
 *   open.
 * - A request whose answer can still be delivered is either the one that `waiting` names or belongs to the
 *   batch: all others were abandoned in the engine. So no sink is used after its call has returned. */
#ifndef HF_CLIENT_CONN_H
#define HF_CLIENT_CONN_H

#include "client/lib/address.h"
#include "client/lib/engine.h"
#include "client/lib/events.h"

#define HF__TEXT_SIZE 640
#define HF__WORD_SIZE 24

/* An error with the memory of its strings. */
struct hf__failure {
    struct hf_error error;
    char word[HF__WORD_SIZE];
    char text[HF__TEXT_SIZE];
};

struct hf__outcome {
    struct hf_error error;
    char *owned; /* memory of error.word and error.text, or NULL if they are static */
};

struct hf__batch {
    bool open;
    struct hf__outcome *outcomes;
    size_t count, capacity;
    uint64_t first; /* request number of call 0; the others follow */
    size_t refused; /* calls that there was no memory to note */
    size_t pending; /* calls without an outcome */
};

struct hf_conn {
    struct hf__engine engine;
    int fd;
    struct hf__address address;
    char reason[HF__TEXT_SIZE]; /* why there is no connection */
    int reason_code;            /* what the daemon said when it closed the connection, or 0 */
    int64_t timeout_ms;
    int64_t once_ms;  /* of the next call only; 0: timeout_ms */
    uint64_t request; /* the latest call */
    struct hf__failure failure;

    uint64_t waiting; /* the request that a call waits for; 0: none */
    struct hf__batch batch;

    struct hf__events events;
    bool asked; /* for events */

    bool broken;     /* the connection is lost, its session is not given up */
    bool resuming;   /* within hf__resume(): a loss is one of this attempt */
    bool replay;     /* the session has a replay window for the calls of this connection */
    unsigned window; /* limits.replay of the last hello */

    bool greeted; /* `session` is filled */
    struct hf_session session;
    char *strings[3]; /* owned: pool, server, version */
    char *name;       /* of hf_hello, for hf_reconnect; owned, may be NULL */
    char *token;
    int64_t lease_ms;
};

/* ---- One call (call.c) --------------------------------------------------------------------------------- */

/* Begins a call with `params` parameters, which the caller packs. */
msgpack_packer *hf__call(hf_conn *conn, const char *method, uint32_t params);

/* Ends it: 0 or HF_ERR_.... `sink` is copied. */
int hf__call_end(hf_conn *conn, const struct hf__sink *sink);

/* Ends it as one that the library refuses: nothing is sent. `text` is static. Returns `code`. */
int hf__call_refuse(hf_conn *conn, int code, const char *text);

/* Takes the answer to its place. */
void hf__deliver(hf_conn *conn, const struct hf__answer *answer);

/* Sets the error of the connection for its latest call; `text` NULL: the sentence of the code, and why there
 * is no connection where that is the point. Returns `code`. */
int hf__fail(hf_conn *conn, int code, const char *text);

/* Checks what every call outside a batch needs, and begins it. 0 or HF_ERR_ARGUMENT. */
int hf__alone(hf_conn *conn);

/* ---- Moving bytes (blocking.c) ------------------------------------------------------------------------- */

/* Connects to `conn->address`. 0 or HF_ERR_CONNECT. */
int hf__open(hf_conn *conn, int64_t deadline_ms);

/* Drops the connection for good: every open request gets its answer. `reason` NULL keeps the one that is known. */
void hf__lose(hf_conn *conn, const char *reason);

/* A broken connection: resumes its session, as often as it takes until `deadline_ms`. False: it was not done; with
 * `give_up` (or when it never can be) the connection is dropped for good. */
bool hf__recover(hf_conn *conn, int64_t deadline_ms, bool give_up);

/* A batch grows: sends what is worth sending, and waits while too much is queued. */
void hf__pump(hf_conn *conn);

/* Sends and receives until nothing is waited for: neither `waiting` nor, with `batch`, a pending call of the
 * batch. False if `timeout_ms` passed in which nothing moved. */
bool hf__run(hf_conn *conn, bool batch, int64_t timeout_ms);

/* Sends and receives until there is an event to be taken, or no connection any more. False if `timeout_ms` passed; 0 looks
 * at what is there. */
bool hf__run_events(hf_conn *conn, int64_t timeout_ms);

/* The time-out that is in force for one call, which uses up that of hf_set_timeout_once. */
int64_t hf__take_timeout(hf_conn *conn);

/* ---- Batches (batch.c) --------------------------------------------------------------------------------- */

/* Makes room for one more call. False without memory. */
bool hf__batch_reserve(struct hf__batch *batch);

/* The call `conn->request` has its place; with an outcome if it is refused already. */
void hf__batch_add(hf_conn *conn, bool refused);

/* Notes `conn->failure` (which may be a success) as the outcome of request `number`. */
void hf__batch_note(hf_conn *conn, uint64_t number);

void hf__batch_done(struct hf__batch *batch);

/* ---- Events (watch.c) ---------------------------------------------------------------------------------- */

/* On a new connection of the same session: asks for its events if the one before had, and subscribes again, from where
 * the events of that one ended. */
int hf__ask_again(hf_conn *conn);

/* ---- Sessions (session.c) ------------------------------------------------------------------------------ */

void hf__session_done(hf_conn *conn);

/* One attempt to go on with the session of a broken connection: connects, says hello, asks for events again, and has all
 * open requests sent again. 0, or HF_ERR_... with the reason in conn->reason; then it is still broken. */
int hf__resume(hf_conn *conn, int64_t deadline_ms);

#endif
