/* SPDX-License-Identifier: BSD-3-Clause */
/* libholdfast: the blocking client of Holdfast, a service that keeps reference-counted objects for many
 * processes. Three concepts:
 *
 *   connection  `hf_conn`: one stream to the daemon and the session in it. What the session holds lives at
 *               least as long as the session. One thread at a time may use a connection.
 *   reply       `hf_reply`: the result of one call, owned by the caller until hf_reply_free. An `hf_item` is
 *               a place inside it, passed by value, valid as long as its reply.
 *   batch       between hf_batch_begin and hf_batch_end every call is only queued, and its results are filled
 *               in by hf_batch_end: n calls cost one round trip.
 *
 * Rules for all functions:
 * - Those that return int return 0 or one of the negative `HF_ERR_...`. hf_last_error then tells more.
 * - A `ret_...` parameter is written on success only (in a batch: at the latest in hf_batch_end, up to which
 *   it must stay valid), except that a `hf_reply **` is set to NULL first. Each of them may be NULL: the call
 *   is made and the result is not wanted.
 * - All other parameters are read before the call returns, in a batch too, and stay the caller's.
 * - Strings are UTF-8 with a terminating zero, times are milliseconds, sizes are bytes. In option structs a
 *   zero field is the default, so `{0}` asks for nothing; an option struct may be NULL.
 * - The library never aborts, prints, installs a signal handler or raises SIGPIPE. Without memory a call
 *   returns HF_ERR_MEMORY.
 * - Beside the errors of a method (see proto/PROTOCOL.md) each call can return HF_ERR_NOREPLY,
 *   HF_ERR_UNKNOWN, HF_ERR_UNSENT, HF_ERR_PROTOCOL, HF_ERR_MEMORY and HF_ERR_ARGUMENT.
 */
#ifndef HOLDFAST_H
#define HOLDFAST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define HF_VERSION "0.1.0"

#define HF_API __attribute__((visibility("default")))

/* ---- Errors -------------------------------------------------------------------------------------------- */

enum hf_error_code {
    /* Answers of the daemon. Nothing has changed there, but for what the text says. */
    HF_ERR_NOTFOUND = -1,  /* nothing of that name, ticket or number */
    HF_ERR_GONE = -2,      /* the object has died: drop the id */
    HF_ERR_NOTHELD = -3,   /* this session does not hold that many references */
    HF_ERR_EXISTS = -4,    /* it exists already */
    HF_ERR_CONFLICT = -5,  /* the version is another one by now */
    HF_ERR_SEALED = -6,    /* a sealed object cannot change */
    HF_ERR_UNSEALED = -7,  /* the object is still being written by its creator */
    HF_ERR_OOM = -8,       /* no memory left in the pool or the daemon */
    HF_ERR_QUOTA = -9,     /* a limit of this session is reached */
    HF_ERR_LIMIT = -10,    /* a structural maximum is reached */
    HF_ERR_TOOBIG = -11,   /* a value, reply or message is larger than the limits of the daemon */
    HF_ERR_NOAUTH = -12,   /* not authenticated */
    HF_ERR_NOPERM = -13,   /* not allowed for this session */
    HF_ERR_EXPIRED = -14,  /* the session or ticket has ended */
    HF_ERR_TIMEOUT = -15,  /* the daemon waited as long as it was asked to, and it did not happen */
    HF_ERR_BUSY = -16,     /* in use */
    HF_ERR_DRAINING = -17, /* the daemon is going down and takes no changes */
    HF_ERR_BADARG = -18,   /* the daemon refuses the arguments */
    HF_ERR_BADFRAME = -19, /* the daemon could not read what was sent; it closes the connection */
    HF_ERR_NOMETHOD = -20, /* no such method in that daemon */
    HF_ERR_INTERNAL = -21, /* a fault of the daemon */
    HF_ERR_OTHER = -99,    /* an error word that this library does not know; see hf_last_error */

    /* Found on this side. */
    HF_ERR_CONNECT = -101, /* no connection: nobody listens there, or not in the time given */
    HF_ERR_ADDRESS = -102, /* the address cannot be read */
    HF_ERR_NOREPLY =
        -103, /* no answer in the time given; the request may still be done, its answer is dropped */
    HF_ERR_UNKNOWN = -104, /* the connection broke after sending: it may have been done or not */
    HF_ERR_UNSENT = -105,  /* there is no connection (any more) and it has certainly not been done */
    HF_ERR_PROTOCOL =
        -106, /* what came back is not what this version expects; after bad bytes the connection closes */
    HF_ERR_MEMORY = -107,  /* this process has no memory */
    HF_ERR_ARGUMENT = -108 /* the library refuses the arguments, or the call at this moment */
};

/* What is known about a failed call. All pointers are valid as long as the struct is. */
struct hf_error {
    int code;         /* HF_ERR_..., 0 after a success */
    uint64_t request; /* number of the call, see hf_request */
    int64_t index;    /* which element of an array argument was at fault, from 0; -1: not told */
    const char *word; /* "GONE", "UNKNOWN": the code in one word, as the daemon sent it */
    const char *text; /* a sentence for people, never NULL */
};

/* A sentence that explains `code`; static. Any int is allowed. */
HF_API const char *hf_error_text(int code);

/* The code as one word, such as "GONE"; static. Any int is allowed. */
HF_API const char *hf_error_word(int code);

/* ---- Values -------------------------------------------------------------------------------------------- */

/* Number of an object, 1 ... 2^53-1; 0 is "none" (nil). Never used twice in one pool: after the object has
 * died every call with it answers HF_ERR_GONE. */
typedef int64_t hf_id;

/* Types of MessagePack. */
enum hf_type {
    HF_TYPE_NONE = -1, /* no value: what hf_item_type says of a missing item */
    HF_TYPE_NIL,
    HF_TYPE_BOOL,
    HF_TYPE_INT,
    HF_TYPE_FLOAT,
    HF_TYPE_STR,
    HF_TYPE_BIN,
    HF_TYPE_ARRAY,
    HF_TYPE_MAP,
    HF_TYPE_EXT,
    HF_TYPE_PACKED /* only in hf_value: any one value, already packed as MessagePack */
};

/* A value to be sent; made by the functions below. It points to the caller's bytes, which must stay until the
 * call that takes it has returned. */
typedef struct hf_value {
    enum hf_type type; /* NIL, INT, STR, BIN or PACKED */
    const void *data;  /* STR, BIN, PACKED */
    size_t size;
    int64_t integer; /* INT */
} hf_value;

static inline hf_value hf_value_make(enum hf_type type, const void *data, size_t size, int64_t integer)
{
    hf_value value;
    value.type = type;
    value.data = data;
    value.size = size;
    value.integer = integer;
    return value;
}

static inline hf_value hf_nil(void)
{
    return hf_value_make(HF_TYPE_NIL, NULL, 0, 0);
}

static inline hf_value hf_int(int64_t integer)
{
    return hf_value_make(HF_TYPE_INT, NULL, 0, integer);
}

/* `size` bytes of text; what is in them is not checked. */
static inline hf_value hf_str(const char *text, size_t size)
{
    return hf_value_make(HF_TYPE_STR, text, size, 0);
}

static inline hf_value hf_bin(const void *data, size_t size)
{
    return hf_value_make(HF_TYPE_BIN, data, size, 0);
}

/* One value that is MessagePack already. It is checked: HF_ERR_ARGUMENT unless it is exactly one. */
static inline hf_value hf_packed(const void *data, size_t size)
{
    return hf_value_make(HF_TYPE_PACKED, data, size, 0);
}

/* ---- Replies ------------------------------------------------------------------------------------------- */

typedef struct hf_reply hf_reply;

/* One value inside a reply. Both fields are for hf_item_... only, but `data` and `size` may be read: they are
 * the value as MessagePack. Missing: data NULL. */
typedef struct hf_item {
    const unsigned char *data;
    size_t size;
} hf_item;

/* Frees a reply and all that items of it point to. NULL is allowed. */
HF_API void hf_reply_free(hf_reply *reply);

/* The result itself. For NULL it is a missing item. */
HF_API hf_item hf_reply_item(const hf_reply *reply);

/* Type of an item; HF_TYPE_NONE if it is missing. */
HF_API enum hf_type hf_item_type(hf_item item);

/* Read an item as one kind of value; false (and nothing written) when it is of another kind, missing or does
 * not fit. Integers are accepted in each form of MessagePack, also as a float without a fraction below 2^53.
 * Bytes are those of a str, bin or ext, point into the reply and have no terminating zero. */
HF_API bool hf_item_int(hf_item item, int64_t *ret);
HF_API bool hf_item_uint(hf_item item, uint64_t *ret);
HF_API bool hf_item_bool(hf_item item, bool *ret);
HF_API bool hf_item_float(hf_item item, double *ret);
HF_API bool hf_item_bytes(hf_item item, const void **ret_data, size_t *ret_size);

/* The type number of an ext item, -128 ... 127; false for others. */
HF_API bool hf_item_ext(hf_item item, int *ret_type);

/* Elements of an array, pairs of a map; 0 for anything else. */
HF_API size_t hf_item_count(hf_item item);

/* Element `index` of an array; missing if there is none. It takes time in proportion to `index`: to visit all
 * use hf_walk. */
HF_API hf_item hf_item_at(hf_item item, size_t index);

/* The value under the str key `key` of a map; missing if there is none. */
HF_API hf_item hf_item_get(hf_item item, const char *key);

/* A visit of all elements of an array or pairs of a map, one level deep. */
typedef struct hf_walk {
    const unsigned char *at;
    const unsigned char *end;
    size_t left;
    bool map;
} hf_walk;

/* Starts a visit. An item that is no array or map has no elements. */
HF_API hf_walk hf_walk_start(hf_item item);

/* Moves on. `ret_key` is a missing item in an array; it may be NULL. False at the end. */
HF_API bool hf_walk_next(hf_walk *walk, hf_item *ret_key, hf_item *ret_value);

/* ---- Connections --------------------------------------------------------------------------------------- */

typedef struct hf_conn hf_conn;

#define HF_TIMEOUT_DEFAULT_MS 10000
#define HF_NO_TIMEOUT         (-1)

/* Connects to `address`, "unix:PATH" or "tcp:HOST:PORT" (an IPv6 host in brackets), or for NULL to
 * hf_default_address. Until hf_hello the connection has an anonymous session of the pool `default`, which
 * ends with it. `timeout_ms` limits connecting (but not the look-up of a host's name) and becomes the
 * time-out of later calls; 0 is HF_TIMEOUT_DEFAULT_MS, HF_NO_TIMEOUT is for ever.
 *
 * `*ret_conn` is to be closed with hf_close *in case of an error too*: it then carries hf_last_error. It is
 * NULL only after HF_ERR_MEMORY. Errors: HF_ERR_CONNECT, HF_ERR_ADDRESS. */
HF_API int hf_connect(const char *address, int64_t timeout_ms, hf_conn **ret_conn);

/* Closes and frees the connection; NULL is allowed. A session of hf_hello goes on until its lease ends: end
 * it at once with hf_bye before. Calls of an open batch that were not sent are forgotten. Replies stay
 * valid. */
HF_API void hf_close(hf_conn *conn);

/* The address used when none is given: $HOLDFAST_ADDRESS; else $XDG_RUNTIME_DIR/holdfast/holdfast.sock if
 * that exists; else unix:/run/holdfast/holdfast.sock. Writes at most `size` bytes with the terminating zero;
 * returns 0, or HF_ERR_ADDRESS when it does not fit. */
HF_API int hf_default_address(char *address, size_t size);

#define HF_KEY_BYTES 16
#define HF_NO_LEASE  (-1)

struct hf_hello_options {
    const char *name;       /* who is this, for the lists of holders and sessions */
    const char *pool;       /* NULL: `default` */
    const char *token;      /* proof of identity, where the daemon asks for one */
    const uint8_t *session; /* HF_KEY_BYTES bytes of hf_session.key: resume that session; `pool` is ignored */
    int64_t lease_ms;       /* how long the session outlives a broken connection; HF_NO_LEASE: not at all */
    bool no_replay;         /* do not go on by itself when the connection breaks, see hf_hello */
};

/* Opens a session with a lease, or resumes one. It must be the first call on the connection. Resuming takes
 * the session from any other connection that has it. Errors: HF_ERR_NOTFOUND (no such pool or session),
 * HF_ERR_EXPIRED (the session has ended, its holds are released), HF_ERR_NOAUTH, HF_ERR_BADARG.
 *
 * When the connection of a session opened here with a lease breaks, or the daemon is restarted, the call under way (or the
 * next one, hf_batch_end, hf_next_event) connects again, resumes the session and sends again what has no answer; the
 * daemon knows what it has done already, so that all is done exactly once, and the caller sees a pause. Events are asked for
 * again, too. It tries until the time-out of the call is over in which nothing moved: then calls end with HF_ERR_UNKNOWN or
 * HF_ERR_UNSENT, and hf_reconnect is the way on. If the session has ended meanwhile, calls that were sent end with
 * HF_ERR_UNKNOWN, whose text says so: they may have been done or not. Not so with `no_replay`, HF_NO_LEASE, or a session
 * resumed by its key. `hello` waits in the same way for a daemon that recovers its pools. */
HF_API int hf_hello(hf_conn *conn, const struct hf_hello_options *options);

/* What hf_hello answered. Strings live until the next hf_hello, hf_reconnect or hf_close, or a call that connects again. */
struct hf_session {
    uint8_t key[HF_KEY_BYTES]; /* secret: who has it has the session */
    uint64_t sid;              /* its public number */
    uint64_t epoch;            /* incarnation of the pool: ids of another epoch are void */
    uint64_t held;             /* objects held when it answered, 0 for a new session */
    const char *pool;
    const char *server;  /* name and */
    const char *version; /* version of the daemon */
    uint64_t frame_max;  /* bytes of one message */
    uint64_t value_max;  /* bytes of one value in one message; larger ones by `size` and hf_write */
    uint64_t ids_max;    /* elements of an array of ids, names or items */
};

/* The session of hf_hello, NULL before it. */
HF_API const struct hf_session *hf_session(const hf_conn *conn);

/* Time-out of the calls from now on, or of only the next call (in a batch: of hf_batch_end). 0 and
 * HF_NO_TIMEOUT as in hf_connect. It is the time in which nothing moves: bytes that come or go start it
 * anew. */
HF_API void hf_set_timeout(hf_conn *conn, int64_t timeout_ms);
HF_API void hf_set_timeout_once(hf_conn *conn, int64_t timeout_ms);

/* The error of the latest call, with code 0 after a success. Valid until the next call on the connection. */
HF_API const struct hf_error *hf_last_error(const hf_conn *conn);

/* Number of the latest call on this connection: 1 for the first, rising by one with each, also through
 * hf_reconnect. */
HF_API uint64_t hf_request(const hf_conn *conn);

/* False once the connection has broken or was closed by the daemon, and is not resumed by itself; then every call answers
 * HF_ERR_UNSENT until hf_reconnect. Only a call finds out. */
HF_API bool hf_connected(const hf_conn *conn);

/* The descriptor, for poll; -1 when there is no connection. Do not read, write or close it. Any call may change it when it
 * connects again. */
HF_API int hf_fd(const hf_conn *conn);

/* Connects again and resumes the session of hf_hello, with all it holds. A connection that still lives is
 * dropped first. Calls without an answer are not repeated: see hf_unknown. If events were asked for before, they are
 * again, and subscriptions go on behind the last event that came (what is not kept any more is a "gap").
 * Errors: HF_ERR_CONNECT (try again later), HF_ERR_EXPIRED and HF_ERR_NOTFOUND (the session has ended),
 * HF_ERR_ARGUMENT (there is no session to resume: hf_hello has not been called, or hf_bye has; or a batch is open). */
HF_API int hf_reconnect(hf_conn *conn);

struct hf_unknown {
    uint64_t request; /* number of the call, see hf_request */
    char method[24];
};

/* The calls that were sent, at least in part, and had no answer when the connection broke last: each may have
 * been done or not. Oldest first; those that had timed out before are among them. Writes at most `capacity`
 * rows and returns how many there are. */
HF_API size_t hf_unknown(const hf_conn *conn, struct hf_unknown *rows, size_t capacity);

/* ---- Batches ------------------------------------------------------------------------------------------- */

/* Begins a batch. Until hf_batch_end a call does not wait but counts as queued: it returns 0, or an error
 * that is found at once (its place in the batch then has that error). The daemon executes them in order, each
 * for itself: one that fails does not stop the next. Sending may begin before hf_batch_end, and a call may
 * wait until less is queued. hf_hello, hf_bye and hf_reconnect are not allowed in a batch. Error:
 * HF_ERR_ARGUMENT if one is open. */
HF_API int hf_batch_begin(hf_conn *conn);

/* Sends what is queued and waits for all replies. Returns 0 if all calls succeeded, else the code of the
 * first that failed, and its error as hf_last_error. `ret_failed` (may be NULL) gets the number of failed
 * calls, also when it returns an error. The batch is over in any case. */
HF_API int hf_batch_end(hf_conn *conn, size_t *ret_failed);

/* Calls in the open or last batch. */
HF_API size_t hf_batch_count(const hf_conn *conn);

/* How call `index` (from 0, in the order of queueing) of the last batch ended; code 0 is success. NULL if
 * there is no such call or the batch is still open. Valid until the next hf_batch_begin. */
HF_API const struct hf_error *hf_batch_error(const hf_conn *conn, size_t index);

/* ---- Any method ---------------------------------------------------------------------------------------- */

/* Calls `method` with `params`, one MessagePack array of `size` bytes (NULL, 0: no parameters). The result is
 * whatever the method returns. HF_ERR_ARGUMENT if `params` is not exactly one array. */
HF_API int hf_call(hf_conn *conn, const char *method, const void *params, size_t size, hf_reply **ret);

/* ---- Objects ------------------------------------------------------------------------------------------- */

struct hf_put_options {
    const hf_id *refs; /* slots: ids, 0 for an empty slot; in hf_put_many -k is the k-th item of the call */
    size_t ref_count;
    const char *tag;  /* what kind of object, for hf_scan and statistics */
    const char *site; /* where in the program it is made */
    int64_t size;     /* above 0: the object is a bin of that size, value must be nil; see hf_write */
    bool seal;        /* neither value nor slots will ever change */
};

/* Puts a new object; the session holds one reference. Errors: HF_ERR_GONE (a ref; the error tells its index),
 * HF_ERR_OOM, HF_ERR_QUOTA, HF_ERR_TOOBIG, HF_ERR_LIMIT. */
HF_API int hf_put(hf_conn *conn, hf_value value, const struct hf_put_options *options, hf_id *ret_id);

struct hf_put_item {
    hf_value value;
    struct hf_put_options options;
};

/* Puts `count` objects at once, all or none. `ret_ids` has room for `count`. Errors as hf_put; their index is
 * that of the item. */
HF_API int hf_put_many(hf_conn *conn, const struct hf_put_item *items, size_t count, hf_id *ret_ids);

/* The value of an object. Errors: HF_ERR_GONE, HF_ERR_UNSEALED, HF_ERR_TOOBIG (use hf_get_part). */
HF_API int hf_get(hf_conn *conn, hf_id id, hf_reply **ret_value);

/* `size` bytes from `offset` of a str or bin, as bin; fewer at the end of the value. */
HF_API int hf_get_part(hf_conn *conn, hf_id id, uint64_t offset, uint64_t size, hf_reply **ret_value);

/* [value, version], the version to be used as `if_version` of hf_set. */
HF_API int hf_get_version(hf_conn *conn, hf_id id, hf_reply **ret_pair);

/* The values of `count` objects as an array in the same order, or an error with the index of the first bad
 * id. */
HF_API int hf_get_many(hf_conn *conn, const hf_id *ids, size_t count, hf_reply **ret_values);

#define HF_ANY_VERSION (-1)

/* Replaces the value, if the object still has `if_version` (HF_ANY_VERSION: in any case). Errors:
 * HF_ERR_GONE, HF_ERR_SEALED, HF_ERR_UNSEALED, HF_ERR_CONFLICT, HF_ERR_OOM, HF_ERR_TOOBIG. */
HF_API int hf_set(hf_conn *conn, hf_id id, hf_value value, int64_t if_version, int64_t *ret_version);

/* Writes `size` bytes at `offset` of an object put with `size` by this session and not sealed yet. Errors:
 * HF_ERR_GONE, HF_ERR_SEALED. */
HF_API int hf_write(hf_conn *conn, hf_id id, uint64_t offset, const void *data, size_t size);

/* Ends all change of an object. Error: HF_ERR_GONE. */
HF_API int hf_seal(hf_conn *conn, hf_id id);

/* The slots of an object: an array of ids and nils; see hf_item_ids. */
HF_API int hf_refs(hf_conn *conn, hf_id id, hf_reply **ret_ids);

/* Lets slot `slot` refer to `target` (0: to nothing); slot = number of slots appends one. `*ret_previous` is
 * what it referred to, 0 for nothing. Errors: HF_ERR_GONE, HF_ERR_SEALED, HF_ERR_UNSEALED, HF_ERR_LIMIT,
 * HF_ERR_OOM, HF_ERR_QUOTA. */
HF_API int hf_link(hf_conn *conn, hf_id id, uint64_t slot, hf_id target, hf_id *ret_previous);

/* Takes `n` further references (0: one). `*ret_count` is how many the session now holds. Errors: HF_ERR_GONE,
 * HF_ERR_QUOTA, HF_ERR_LIMIT. */
HF_API int hf_retain(hf_conn *conn, hf_id id, uint64_t n, int64_t *ret_count);

/* Gives `n` references back (0: one); without any reference left an object dies. Error: HF_ERR_NOTHELD;
 * nothing is released then. */
HF_API int hf_release(hf_conn *conn, hf_id id, uint64_t n, int64_t *ret_count);

/* The same for `count` ids at once, all or none; `ret_counts` has room for `count`. */
HF_API int hf_retain_many(hf_conn *conn, const hf_id *ids, size_t count, uint64_t n, int64_t *ret_counts);
HF_API int hf_release_many(hf_conn *conn, const hf_id *ids, size_t count, uint64_t n, int64_t *ret_counts);

/* Copies the ids of an array of ids (nil: 0) in a reply. Returns how many there are; writes at most
 * `capacity`. */
HF_API size_t hf_item_ids(hf_item item, hf_id *ids, size_t capacity);

/* ---- Tickets ------------------------------------------------------------------------------------------- */

/* Makes a ticket that lets `uses` (0: one) other sessions claim the object within `ttl_ms` (0: a minute). It
 * holds one reference. `ticket` has HF_KEY_BYTES bytes. Errors: HF_ERR_NOTHELD, HF_ERR_QUOTA. */
HF_API int hf_share(hf_conn *conn, hf_id id, uint64_t ttl_ms, uint64_t uses, uint8_t *ret_ticket);

/* Uses a ticket: the session holds one more reference to `*ret_id`. Errors: HF_ERR_NOTFOUND, HF_ERR_QUOTA. */
HF_API int hf_claim(hf_conn *conn, const uint8_t *ticket, hf_id *ret_id);

/* Ends a ticket. Error: HF_ERR_NOTFOUND. */
HF_API int hf_unshare(hf_conn *conn, const uint8_t *ticket);

/* ---- Names --------------------------------------------------------------------------------------------- */

/* Binds `name` to an object; the name holds a reference, so that the object outlives its makers. With
 * `if_version` only while the binding has that version, 0: only if there is none. Errors: HF_ERR_GONE,
 * HF_ERR_CONFLICT. */
HF_API int hf_name(hf_conn *conn, const char *name, hf_id id, int64_t if_version, int64_t *ret_version);

/* The object of a name; the session holds one more reference. Errors: HF_ERR_NOTFOUND, HF_ERR_QUOTA. */
HF_API int hf_lookup(hf_conn *conn, const char *name, hf_id *ret_id);

/* The same for `count` names, all or none. */
HF_API int hf_lookup_many(hf_conn *conn, const char *const *names, size_t count, hf_id *ret_ids);

/* Drops a binding and its reference. Errors: HF_ERR_NOTFOUND, HF_ERR_CONFLICT. */
HF_API int hf_unname(hf_conn *conn, const char *name, int64_t if_version);

/* One page of names: [cursor, [[name, id], ...]]. Start with cursor 0, go on with the one returned until that
 * is 0. What is there throughout comes at least once. `prefix` may be NULL, limit 0 is the daemon's
 * default. */
HF_API int hf_names(hf_conn *conn, uint64_t cursor, const char *prefix, uint64_t limit, hf_reply **ret_page);

struct hf_store_options {
    const char *tag;
    bool check_version; /* only if the binding has `if_version`, 0: only if there is none */
    int64_t if_version;
};

/* Puts a value and binds `name` to it in one step. The session holds nothing. Errors: HF_ERR_CONFLICT,
 * HF_ERR_OOM, HF_ERR_QUOTA, HF_ERR_TOOBIG; the old binding then stays. */
HF_API int hf_store(hf_conn *conn, const char *name, hf_value value, const struct hf_store_options *options,
                    hf_id *ret_id, int64_t *ret_version);

/* The value under a name; the session holds nothing. Errors: HF_ERR_NOTFOUND, HF_ERR_TOOBIG. */
HF_API int hf_fetch(hf_conn *conn, const char *name, hf_reply **ret_value);

/* ---- Events -------------------------------------------------------------------------------------------- */

/* What the daemon tells by itself, to sessions that have asked. Events come in between the replies of calls and are
 * kept by the connection until hf_next_event takes them, in their order. Topics and their maps: proto/PROTOCOL.md,
 * section 9. */

/* Tells once when the object is freed (topic "freed", with a reason). It keeps nothing alive. Errors: HF_ERR_GONE,
 * HF_ERR_QUOTA, HF_ERR_OOM. The session has its watches until it ends. */
HF_API int hf_watch(hf_conn *conn, hf_id id);
HF_API int hf_unwatch(hf_conn *conn, hf_id id);

/* The same for `count` ids at once, all or none; the error tells the index. */
HF_API int hf_watch_many(hf_conn *conn, const hf_id *ids, size_t count);
HF_API int hf_unwatch_many(hf_conn *conn, const hf_id *ids, size_t count);

/* When nothing else keeps the object it is not freed: the session holds it then, once, as if it had retained it, and
 * topic "unreachable" says so. Errors: HF_ERR_GONE, HF_ERR_UNSEALED, HF_ERR_CONFLICT (it has a guard already),
 * HF_ERR_OOM. hf_unguard: HF_ERR_CONFLICT if this session has no guard on it. */
HF_API int hf_guard(hf_conn *conn, hf_id id);
HF_API int hf_unguard(hf_conn *conn, hf_id id);

struct hf_subscribe_options {
    uint64_t from_seq;  /* from this event of the ring on, as far as they are still kept; 0: from now on */
    const char *prefix; /* only events whose key begins so; NULL: all */
    uint64_t rate;      /* of the topic "ops", and only with it: at most so many events a second; 0: 100 */
};

/* Subscribes to topics of the pool, such as "gc". `*ret_seq` is the number of the latest event. Without topics it only
 * says that this connection wants the events of its session. Errors: HF_ERR_BADARG (no such topic, a from_seq that is not
 * reached yet), HF_ERR_OOM. */
HF_API int hf_subscribe(hf_conn *conn, const char *const *topics, size_t count,
                        const struct hf_subscribe_options *options, int64_t *ret_seq);
HF_API int hf_unsubscribe(hf_conn *conn, const char *const *topics, size_t count);

/* All of it is valid until the next hf_next_event or hf_close. */
struct hf_event {
    uint64_t seq;       /* numbers of the session's own events rise, and so do those of the pool's ring */
    const char *topic;  /* "freed", "unreachable", "gap", "gc", "ops"; others may be added */
    hf_id id;           /* of "freed" and "unreachable"; else 0 */
    const char *reason; /* of "freed"; else NULL */
    hf_item map;        /* all that it tells */
};

/* Takes the next event, waiting for it up to `timeout_ms`; 0 takes what has come already, HF_NO_TIMEOUT waits for ever.
 * (With hf_fd and poll: call it with 0 until it returns HF_ERR_TIMEOUT.) Not within a batch; it is no call with a number.
 *
 * The connection keeps up to 65,536 events, or 8 MiB, that were not taken; what comes then is told as a "gap", as is what
 * the daemon could not keep. An event that comes twice, because a connection broke in between, is given once. After
 * hf_reconnect events go on by themselves, if this connection has asked for any before, even if the daemon was started anew
 * meanwhile. Of the session's own, one that the broken connection had on its way is lost: if in doubt, watch again.
 *
 * Errors: HF_ERR_TIMEOUT (none came), HF_ERR_UNSENT (the connection has ended, and all that had come is taken),
 * HF_ERR_ARGUMENT (a batch is open). */
HF_API int hf_next_event(hf_conn *conn, int64_t timeout_ms, struct hf_event *ret_event);

/* ---- Looking inside ------------------------------------------------------------------------------------ */

/* All about one object: a map {id, size, type, tag, site, state, version, slots, age_ms, count, held_by}. */
HF_API int hf_inspect(hf_conn *conn, hf_id id, hf_reply **ret_map);

/* Who holds an object from outside: an array of maps by `kind` "session", "name" or "ticket". limit 0 is the
 * daemon's default. */
HF_API int hf_holders(hf_conn *conn, hf_id id, uint64_t limit, hf_reply **ret_rows);

/* One page of the objects with a slot on this one: [cursor, [id, ...]]; cursor as in hf_names. What clients change
 * meanwhile may be missed. */
HF_API int hf_referrers(hf_conn *conn, hf_id id, uint64_t cursor, uint64_t limit, hf_reply **ret_page);

/* Why an object lives: a map {holder, path, length}. `path` is a shortest chain of ids from one that `holder` (a row as
 * of hf_holders) holds to the object; of one longer than 1,000 only both ends. {holder: nil}: only a cycle keeps it.
 * Error: HF_ERR_BUSY: what keeps it changes faster than it is found. */
HF_API int hf_why(hf_conn *conn, hf_id id, hf_reply **ret_map);

struct hf_scan_options {
    const char *tag;
    uint64_t min_size; /* bytes of the value */
    uint64_t sid;      /* objects that this session holds */
    uint64_t limit;
};

/* One page of objects: [cursor, [id, ...]]; cursor as in hf_names. */
HF_API int hf_scan(hf_conn *conn, uint64_t cursor, const struct hf_scan_options *options,
                   hf_reply **ret_page);

/* Sessions of this pool, of `pool`, or of all ("*"): an array of maps. */
HF_API int hf_sessions(hf_conn *conn, const char *pool, uint64_t limit, hf_reply **ret_rows);
/* One page of those of this pool, or of `pool`, in no particular order: [cursor, [map, ...]]; cursor as in hf_names. */
HF_API int hf_sessions_page(hf_conn *conn, const char *pool, uint64_t cursor, uint64_t limit,
                            hf_reply **ret_page);

/* Ends a session. `*ret_dropped` is the number of references it held. Error: HF_ERR_NOTFOUND. */
HF_API int hf_kill(hf_conn *conn, uint64_t sid, int64_t *ret_dropped);

/* Pools of the daemon: an array of maps. */
HF_API int hf_pools(hf_conn *conn, hf_reply **ret_rows);

/* Makes a pool; max_bytes 0 is the daemon's default. Errors: HF_ERR_EXISTS, HF_ERR_OOM, HF_ERR_LIMIT. */
HF_API int hf_pool_create(hf_conn *conn, const char *pool, uint64_t max_bytes);

/* Ends a pool with all objects; with `force` also when others have sessions in it (else HF_ERR_BUSY). */
HF_API int hf_pool_drop(hf_conn *conn, const char *pool, bool force);

/* Statistics: a map of sections, or one of them. */
HF_API int hf_stats(hf_conn *conn, const char *section, hf_reply **ret_map);

struct hf_gc_options {
    const char *kind; /* "full", which NULL is too, or another kind of those that the daemon knows */
    bool dry_run;     /* free nothing, only tell */
    bool explain;     /* list the cycles, too: `cycles`, `cycles_found`, `cycles_whole` */
};

/* Lets the daemon collect what only a cycle of references keeps, and waits until a collection that began after the call is
 * done: a map {candidates, unreachable, collected, delivered, bytes, duration_us, step_us_max, steps}. Others are served
 * meanwhile. Errors: HF_ERR_OOM, HF_ERR_BADARG (a kind that the daemon has not). */
HF_API int hf_gc_collect(hf_conn *conn, const struct hf_gc_options *options, hf_reply **ret_map);

enum hf_switch { HF_UNCHANGED, HF_ON, HF_OFF };

/* How the collector of a pool works; 0 changes nothing. */
struct hf_gc_settings {
    enum hf_switch enabled;  /* HF_OFF: it collects only when asked; counts free at once all the same */
    uint64_t budget_us;      /* background work in one turn of the daemon's loop, 20 ... 100,000 */
    uint64_t growth_percent; /* a collection begins when the pool has grown by so much, 1 ... 1000, ... */
    uint64_t objects_least;  /* ... but no less than by so many objects ... */
    uint64_t bytes_least;    /* ... or by so many bytes; */
    uint64_t full_after_ms;  /* or when what may be garbage has waited for so long */
    uint64_t young_suspects; /* a young one when so many objects have lost a reference, 1 ... 8,192, ... */
    uint64_t young_after_ms; /* ... or the first of them has waited for so long */
};

/* Changes how the collector of the pool works, for all who use it, and tells the values in force: a map. `changes` may be
 * NULL. Error: HF_ERR_BADARG. */
HF_API int hf_gc_config(hf_conn *conn, const struct hf_gc_settings *changes, hf_reply **ret_map);

/* Lets the daemon check every invariant of the pool: {objects, ok, findings}. */
HF_API int hf_verify(hf_conn *conn, hf_reply **ret_map);

/* Writes the pool as it is now to a file of the daemon's folder for saves, while it serves others; answers when the file is on
 * the disk: {file, at_ms, bytes, took_ms, ...}. `file`: its name, NULL for one made of the pool's. Errors: HF_ERR_NOPERM (the
 * daemon has no such folder), HF_ERR_BADARG (no name for a file), HF_ERR_BUSY (another one is under way), HF_ERR_INTERNAL (there
 * is no room, and the like). */
HF_API int hf_save(hf_conn *conn, const char *file, hf_reply **ret_map);

/* Makes a new pool from a file of that folder, while others are served: {pool, objects, names, took_ms}. `pool`: its name, NULL
 * for that of the pool that was saved. Errors: HF_ERR_NOPERM and HF_ERR_BADARG as above, HF_ERR_NOTFOUND (no such file),
 * HF_ERR_EXISTS (there is a pool of that name), HF_ERR_BUSY (another load is under way), HF_ERR_OOM, HF_ERR_INTERNAL (the file
 * is damaged, and the like). */
HF_API int hf_load(hf_conn *conn, const char *file, const char *pool, hf_reply **ret_map);

/* The methods of the daemon: [{name, params, options, since}, ...]. */
HF_API int hf_methods(hf_conn *conn, hf_reply **ret_rows);

/* The daemon's time, ms since 1970. */
HF_API int hf_ping(hf_conn *conn, int64_t *ret_time_ms);

/* Ends the session: what it holds is released. `*ret_dropped` is the number of references. The connection is
 * closed. */
HF_API int hf_bye(hf_conn *conn, int64_t *ret_dropped);

#ifdef __cplusplus
}
#endif

#endif
