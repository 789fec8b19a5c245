/* SPDX-License-Identifier: BSD-3-Clause */
/* What a handler sees of one request: its arguments, its reply, who asks, and where.
 *
 * One handler for each method of proto/methods.h: `int handle_<name>(struct call *call)`. It
 *  1. reads its positionals in order (call_id(), call_ids(), ...), then ends them with call_options(),
 *     which also refuses what is left over: all arguments are checked before any effect;
 *  2. acts, by functions of the pool, or those at the end of this page;
 *  3. appends exactly one MessagePack value (its result) by reply_...() and returns 0;
 *  or returns an error: one of the helpers' results handed through, call_fail(...) with a text of its own,
 *  call_pool_error(call, r) for what a pool function returned, or a plain -HF_E_<CODE> for the standard text.
 *  What it had appended to the reply is then forgotten.
 *
 * What always holds when a handler runs:
 *  - the whole frame was scanned: every span is one well-formed MessagePack value, nested within the limits;
 *  - call->session is open and attached to this connection (not so in handle_hello), call->pool is its pool;
 *  - methods that change something are not called while the daemon drains;
 *  - a notification runs like a request; its reply and its error are thrown away afterwards.
 *
 * A handler that needs more turns calls call_later() and returns CALL_AGAIN. Until it is done its
 * connection reads no further requests (effects keep their order); others go on.
 *
 * Pointers into the frame (spans, names, value_in.data) are valid until the handler returns for the first
 * time, those of values larger than CALL_KEPT_MIN until the call is done. Pointers into the heap: see
 * pool.h. */
#ifndef SERVER_CALL_H
#define SERVER_CALL_H

#include "daemon/pool/pool.h"
#include "daemon/server/mailbox.h"
#include "daemon/server/slowlog.h"
#include "proto/errors.h"
#include "proto/limits.h"

#include <stdalign.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct server;
struct worker;
struct conn;
struct call;
struct hfp_span;
struct place;
struct book;
struct book_sum;

/* Result of a handler that goes on by the function given to call_later(). */
#define CALL_AGAIN 1
/* Result of hello when the connection goes to another worker, which executes it. */
#define CALL_MOVED 2

#define CALL_KEPT_MIN   (64u * 1024)
#define CALL_REPLY_SURE (32u * 1024) /* a reply of up to this many bytes never fails for want of memory */
#define CALL_ERROR_MAX  512u         /* bytes of an error's whole text */

typedef int (*call_resume_fn)(struct call *call, void *state);

/* One whole MessagePack value, as it stands in the frame. */
struct span {
    const uint8_t *at, *end;
};

struct ids {
    const uint64_t *ids; /* in the worker's scratch memory, valid until the handler returns */
    uint32_t count;      /* 0 ... HF_IDS_MAX; 1 unless array */
    bool array;          /* given as an array: the result is one too */
};
struct names {
    const struct name_in *names; /* as above */
    uint32_t count;
    bool array;
};

/* A large value of this call that is in the heap already: `at` is where it begins in the frame. */
struct staged {
    const uint8_t *at;
    enum form form;
    uint64_t size;
    struct stage *stage;
    bool taken; /* by call_value(): a handler that then returns 0 has had it consumed by the pool */
};

struct call {
    struct server *server;
    struct worker *worker;
    struct conn *conn;
    struct pool *pool;
    struct session *session;
    uint64_t conn_number; /* of the connection that asks, whichever worker it is at */
    uint32_t msgid;
    uint16_t method; /* enum hfp_method */
    bool is_notification;
    bool replays;  /* its answer is recorded in its session's window */
    uint64_t hash; /* then, of the request */

    /* The rest is the business of call.c and dispatch.c. */
    const uint8_t *frame;          /* its first byte */
    const struct hfp_span *params; /* places in the frame */
    uint32_t params_count, params_read;
    struct staged *staged; /* ascending by place */
    uint32_t staged_count;
    size_t result_at;    /* where its result begins in the worker's output */
    uint32_t error_size; /* of error[], 0: none */
    char *error;         /* CALL_ERROR_MAX bytes of the worker */
    bool waits;          /* for other workers: no turns until then */
    bool repeats;        /* `resume` may be called again after -HF_E_OOM */
    call_resume_fn resume;
    void *state;
    void (*state_free)(struct call *call, void *state);
};

/* Room for a handler's arrays, one for each worker: valid within one run of one handler, never across turns.
 * call_ids() uses `ids`, call_names() `names`; everything else is free for the handler. */
struct scratch {
    uint64_t ids[HF_IDS_MAX];
    struct name_in names[HF_IDS_MAX];
    uint64_t results[HF_IDS_MAX];
    uint64_t versions[HF_IDS_MAX];
    struct put_spec puts[HF_IDS_MAX];
    uint64_t refs[HF_REFS_MAX];
    union {
        struct session_row sessions[HF_IDS_MAX];
        struct ended_row ended[POOL_ENDED_MAX];
        struct slow_row slow[SLOWLOG_ROWS];
        struct holder_row holders[HF_IDS_MAX];
        struct name_row names[HF_IDS_MAX];
        struct value_view views[HF_IDS_MAX];
    } rows;
};
struct scratch *call_scratch(struct call *call);

/* ---- arguments: positionals, in order ----
 *
 * `what` names the argument in errors. A missing one counts as nil. */

#define CALL_REQUIRED UINT64_MAX /* as a default: nil is BADARG */

/* An integer in any MessagePack encoding (floats with an integral value below 2^53 too), min ... max; nil
 * gives `nil`. */
int call_uint(struct call *call, const char *what, uint64_t min, uint64_t max, uint64_t nil, uint64_t *ret);
/* An id, 1 ... HF_ID_MAX. */
int call_id(struct call *call, const char *what, uint64_t *ret);
/* An id, or nil for 0. */
int call_id_or_nil(struct call *call, const char *what, uint64_t *ret);
/* An id or an array of up to HF_IDS_MAX ids (LIMIT above; BADARG index= for a bad entry). */
int call_ids(struct call *call, const char *what, struct ids *ret);
/* A name: str or bin, 1-255 bytes of UTF-8 without control characters. */
int call_name(struct call *call, const char *what, struct name_in *ret);
int call_names(struct call *call, const char *what, struct names *ret);
/* A str or bin of min ... max bytes, unchecked otherwise. */
int call_bytes(struct call *call, const char *what, uint32_t min, uint32_t max, struct name_in *ret);
/* A ticket or session key: str or bin of HF_KEY_SIZE bytes (NOTFOUND for any other length: it cannot
 * exist). */
int call_key(struct call *call, const char *what, uint8_t ret[HF_KEY_SIZE]);
/* Any value at all, ready for pool_put(), pool_set(), pool_store(). A large one is staged already. */
int call_value(struct call *call, const char *what, struct value_in *ret);
/* Any value, as it stands in the frame; false when no positional is left. A missing one is not nil here.
 * Must not be used for the value of put, set and store (which may be staged). */
bool call_span(struct call *call, struct span *ret);

/* ---- the option map at the end ---- */

enum option_kind {
    OPTION_UINT,  /* uint64_t: min ... max */
    OPTION_BOOL,  /* bool */
    OPTION_NAME,  /* struct name_in: as call_name() */
    OPTION_BYTES, /* struct name_in: str or bin of min ... max bytes */
    OPTION_SPAN,  /* struct span: any value */
    OPTION_LATER, /* refused: "not in this version" */
};
struct option_spec {
    const char *name;
    enum option_kind kind;
    void *ret;   /* untouched unless the option is given; an option given as nil counts as not given */
    bool *given; /* set to true if given; may be NULL */
    uint64_t min, max;
};

/* Reads the option map, if there is one, and ends the parameters: BADARG for an option that is not in
 * `options`, given twice or of a wrong type or range, and for whatever else is left over. options may be
 * NULL with count 0. */
int call_options(struct call *call, const struct option_spec *options, unsigned count);
/* The same for a map within an argument (items of put_many). */
int call_options_in(struct call *call, struct span map, const struct option_spec *options, unsigned count);
/* For hello: unknown keys are not refused; the first `max` of them are stored, *ret_count is how many. */
int call_options_lenient(struct call *call, const struct option_spec *options, unsigned count,
                         struct span *unknown, unsigned max, unsigned *ret_count);

/* ---- single values inside arguments ---- */

int span_uint(struct span span, uint64_t *ret); /* -HF_E_BADARG when it is not an integer from 0 to 2^64-1 */
int span_int(struct span span, int64_t *ret);   /* the same, -2^63 ... 2^63-1 (refs of put_many) */
bool span_nil(struct span span);
int span_bool(struct span span, bool *ret);
int span_bytes(struct span span, struct name_in *ret); /* str or bin */
int span_name(struct span span, struct name_in *ret);  /* as call_name() */
/* An array: *ret_count entries, which begin at *ret_at; walk them with span_next(). -HF_E_BADARG for
 * anything else. */
int span_array(struct span span, uint32_t *ret_count, const uint8_t **ret_at);
int span_map(struct span span, uint32_t *ret_pairs, const uint8_t **ret_at);
/* The value at *at; moves *at behind it. */
struct span span_next(const uint8_t **at, const uint8_t *end);
/* A value within an argument, ready for the pool (put_many); staged if it is large. */
int call_value_in(struct call *call, struct span span, struct value_in *ret);

/* ---- errors ---- */

/* Notes an error for the client: "CODE " + details + ": " + text. `details` is a printf format of key=value
 * words, may be empty; text NULL: the standard one. Returns -code. */
int call_fail(struct call *call, int code, const char *text, const char *details, ...)
    __attribute__((format(printf, 4, 5))); /* gcc and clang check the arguments */
/* The same from pool_fault(): index=, id=, need= free= and the largest holder. Returns r (an error of the
 * pool). */
int call_pool_error(struct call *call, int r);
/* BADARG arg=<what>[ index=<n>]: text. index -1: none. */
int call_badarg(struct call *call, const char *what, int64_t index, const char *text);
/* The standard text of a code, and its word. */
const char *error_text(int code);
const char *error_word(int code);

/* ---- the reply ----
 *
 * Append-only; a failure (TOOBIG, OOM) is kept and answered when the handler returns 0. */

void reply_nil(struct call *call);
void reply_bool(struct call *call, bool value);
void reply_uint(struct call *call, uint64_t value);
void reply_int(struct call *call, int64_t value);
void reply_array(struct call *call, uint32_t count);
void reply_map(struct call *call, uint32_t pairs);
void reply_str(struct call *call, const void *data, size_t size);
void reply_text(struct call *call, const char *text); /* a str, zero-terminated */
void reply_bin(struct call *call, const void *data, size_t size);
/* Bytes that are MessagePack already. */
void reply_raw(struct call *call, const void *data, size_t size);
/* The value of object `id`, as it was put. From 16 KiB on (in a long reply from 1 KiB) it is pinned and sent from the
 * heap, else copied. */
void reply_value(struct call *call, uint64_t id, const struct value_view *view);
/* A part of the payload of a bin or str value, sent as bin. offset + size <= view->size. */
void reply_value_part(struct call *call, uint64_t id, const struct value_view *view, uint64_t offset,
                      uint64_t size);
/* Bytes that a reply may still take: ask before effects when the reply may be large. */
uint64_t reply_room(const struct call *call);

/* ---- more turns ---- */

/* `resume(call, state)` is called once a turn until it returns something other than CALL_AGAIN; its results
 * are those of a handler. It finds no parameters any more, only its state. `state_free` (may be NULL) runs
 * once at the end, also when the connection is lost before. Nothing may have been appended to the reply. */
int call_later(struct call *call, call_resume_fn resume, void *state,
               void (*state_free)(struct call *call, void *state));
/* The same, and it is called once more after -HF_E_OOM, while memory is being freed: it must be able to go on then. */
int call_later_patient(struct call *call, call_resume_fn resume, void *state,
                       void (*state_free)(struct call *call, void *state));

/* ---- questions to other workers (ask.c) ----
 *
 * A pool is only touched by the thread of its worker. A handler that needs another pool than its own asks: `visit`
 * runs once on each worker it is for, on that worker's thread, with a call of its own in which only server, worker,
 * method and conn_number are set (and conn, on the asker's thread). It may append to the reply; what it
 * appends is gathered. A visit that returns an error ends the way. Then `finish` runs on the asker's thread and replies
 * from what was gathered. */

#define ASK_ARGS_MAX 2048u

struct question {
    struct message message;
    struct server *server;
    struct worker *home; /* who asks */
    struct conn *conn;   /* of home's thread: NULL once it is lost */
    uint64_t conn_number;
    uint16_t method;
    bool away;          /* of home's thread */
    unsigned next, end; /* workers still to be visited */
    int (*visit)(struct call *call, struct question *question);
    int (*finish)(struct call *call, struct question *question);
    uint32_t rows;  /* counted by visits */
    uint8_t *bytes; /* gathered */
    size_t used, cap;
    struct book_sum *sum; /* for call_sum(); `summed`: it is of this question */
    bool summed;
    int code; /* of a visit that failed; else 0 */
    uint32_t error_size;
    char error[CALL_ERROR_MAX];
    struct question *spare;                          /* the next one that is not in use */
    alignas(max_align_t) uint8_t args[ASK_ARGS_MAX]; /* the handler's, a copy; visits may change them */
};

struct ask {
    int (*visit)(struct call *call, struct question *question);
    int (*finish)(struct call *call, struct question *question);
    const void *args;
    size_t args_size; /* at most ASK_ARGS_MAX */
};

/* Asks one worker (`only`) or all (NULL). Returns what `finish` returned, CALL_AGAIN while the question is away (to be
 * handed through), -HF_E_OOM, or -HF_E_DRAINING if others had to be asked while the daemon ends. */
int call_ask(struct call *call, const struct ask *ask, struct worker *only);
/* For visits and `finish`: the sum of the workers' books, as far as it is, empty at first. NULL: no memory. */
struct book_sum *call_sum(struct question *question);
/* For `finish`: replies with an array of the rows gathered; with the one value gathered. */
int call_rows(struct call *call, struct question *question);
int call_row(struct call *call, struct question *question);

/* ---- time, randomness, figures ---- */

uint64_t call_now_ms(const struct call *call);              /* ms since 1970, by the system's clock */
int call_random(struct call *call, void *ret, size_t size); /* -HF_E_INTERNAL */

struct counters {
    uint64_t errors[HF_E_COUNT]; /* answered, by code */
    uint64_t requests_unknown;   /* no such method */
    uint64_t notifications, notifications_ignored, responses_ignored;
    uint64_t connections;                       /* open now */
    uint64_t connections_made, connections_cut; /* made: here, be it by moving */
    uint64_t bytes_in, bytes_out;
    uint64_t turns, turn_us_max;    /* loop turns; longest work within one */
    uint64_t units, turn_units_max; /* pool_work() of all pools; most of it within one turn */
};
/* Adds those of the worker that is visited. */
void call_add_counters(const struct call *call, struct counters *sum);
struct book *call_book(const struct call *call);
struct slowlog *call_slowlog(const struct call *call);
uint64_t call_uptime_ms(const struct call *call);

/* ---- sessions and connections (conn.c) ---- */

/* 0 if hello may come now; -HF_E_BADARG when a request came before it or it came already. */
int conn_hello_allowed(struct call *call);
/* Opens a session in `pool` for this connection (its anonymous one, opened by a notification, ends). Sets
 * call->pool and call->session. spec->owner is filled in. */
int conn_session_open(struct call *call, struct pool *pool, struct session_spec *spec);
/* Takes over a session of `pool`, open or in grace: the connection that had it is closed with a reason. `replay`: it has
 * a window, and what comes next may have been done already. */
int conn_session_resume(struct call *call, struct pool *pool, struct session *session, bool replay);
/* Ends this connection's own session; the connection closes after the reply (bye). Sets call->session to
 * NULL. */
void conn_session_bye(struct call *call, enum reason reason);
/* Ends any session of `pool` and closes its connection, this one after its reply (kill). */
void conn_session_kill(struct call *call, struct pool *pool, struct session *session, enum reason reason);

/* The connection goes to the worker of its pool and executes its hello there, see move.c. CALL_MOVED, or an error
 * noted in the call. */
int conn_move(struct call *call, const struct place *place);

/* ---- pools of the daemon ---- */

/* A pool's number in what leads to it: the upper half of a sid, the first bytes of a session's key (the other 108
 * bits are random). */
#define PLACE_NUMBER_BITS 20u

struct place {
    struct worker *worker;
    uint32_t number;
};
/* Where the pool of that name, or number, is (directory.c); false: there is none. */
bool server_place(struct server *server, const uint8_t *name, uint32_t name_size, struct place *ret);
bool server_place_numbered(struct server *server, uint64_t number, struct place *ret);
/* 0, or the error BUSY if the pool of that number, or name, is being recovered. */
int server_busy(struct call *call, uint64_t number);
int server_busy_named(struct call *call, const uint8_t *name, uint32_t name_size);
/* Reserves a place for a new pool. -HF_E_EXISTS, LIMIT (HF_POOLS_MAX), OOM. It is given up when the pool cannot be made,
 * or by server_unreserve(), which does nothing if it is given up or in use. */
int server_reserve(struct call *call, const uint8_t *name, uint32_t name_size, struct place *ret);
void server_unreserve(struct call *call, uint32_t number);

/* Of this worker's own pools (pools.c): by number, NULL if it is not there (any more); one by one, NULL starts and
 * ends. */
struct pool *worker_pool(struct worker *worker, uint32_t number);
struct pool *worker_pool_next(struct worker *worker, const struct pool *pool);
/* Makes the pool of a reserved place; -HF_E_OOM, LIMIT, noted in the call. max_bytes 0: the daemon's limit. */
int worker_pool_create(struct call *call, const char *name, uint32_t number, uint64_t max_bytes);
/* -HF_E_BUSY (other sessions, unless force), NOPERM (`default`); noted in the call. Its connections are closed, the
 * caller's after its reply; the memory goes back in steps. */
int worker_pool_drop(struct call *call, struct pool *pool, bool force);

/* Saves call->pool to a file of that name in the folder for saves; size 0: the pool's. The result to be returned; the reply
 * is reply_saved()'s. -HF_E_NOPERM, BADARG, BUSY, OOM, INTERNAL, noted in the call. */
struct save_figures;
int call_save(struct call *call, struct name_in file);
/* Makes a pool from a file of that folder, under a name that fits; size 0: the one in the file. The result to be returned.
 * -HF_E_NOPERM, BADARG, BUSY, NOTFOUND, EXISTS, LIMIT, OOM, INTERNAL, noted in the call. */
int call_load(struct call *call, struct name_in file, struct name_in pool);
void call_save_figures(const struct call *call, struct save_figures *ret);

/* Facts for `hello` and `stats`. */
const char *server_name(const struct server *server);
unsigned server_workers(const struct server *server);
uint64_t server_memory_limit(const struct server *server);
uint64_t server_refused(const struct server *server); /* connections */
bool call_draining(const struct call *call);

#endif
