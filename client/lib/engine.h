/* SPDX-License-Identifier: BSD-3-Clause */
/* The protocol engine: requests become bytes, bytes become answers. It does no I/O and reads no clock;
 * whoever has a socket (blocking.c, a test) moves the bytes.
 *
 *     begin, pack params, commit -> output, sent          bytes to the daemon
 *     space, received            -> next                   answers and events, in the order in which they arrive
 *     again                      -> output                 a session with a replay window was resumed: all that is open
 *     lost                       -> next                   an answer UNKNOWN or UNSENT for each open request
 *
 * Always:
 * - A request has a number, 1 for the first, rising by one, and never used again, whatever connections come
 *   and go. Its msgid is the lower half of the number. (A daemon that cannot read our bytes answers with
 *   msgid 0; that is taken for request 2^32 only while that one is open.)
 * - The first request in `open` has no answer yet, or there is none in it.
 * - With a window, the bytes of a request stay until it is answered, and fewer than `window` requests of those that the
 *   window is for are on their way: the daemon recognises no more. What is behind these waits in the output.
 * - A request is answered at most once: by the daemon, by `lost`, or (abandoned) not at all.
 * - An answer's pointers go into the input: they are valid until the next call of space, next or lost. */
#ifndef HF_CLIENT_ENGINE_H
#define HF_CLIENT_ENGINE_H

#include <msgpack.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/holdfast.h"
#include "client/lib/buffer.h"
#include "proto/scan.h"

/* What is to be done with a result: `take` reads `result` into what `ret` points to. Returns 0 or HF_ERR_....
 * The engine only carries it. `take` NULL: the result is not wanted. */
struct hf__sink {
    int (*take)(const struct hf__sink *sink, hf_item result);
    void *ret[2];
    size_t count;
};

enum hf__request_state { HF__OPEN, HF__ABANDONED, HF__DONE };

struct hf__request {
    uint64_t number;
    uint64_t at; /* where its bytes begin in all that this connection was ever to send */
    size_t size;
    enum hf__request_state state;
    bool replays; /* its answer is kept in the session's window */
    bool tried;   /* it was sent, at least in part, on a connection before this one */
    char method[24];
    struct hf__sink sink;
};

struct hf__answer {
    uint64_t number; /* of the request; 0: an error of the daemon about the connection as a whole */
    int code; /* 0; HF_ERR_OTHER: the daemon's error, in `error`; TOOBIG, UNKNOWN, UNSENT: found here */
    hf_item result;
    const char *error; /* `error_size` bytes without terminating zero, or NULL */
    size_t error_size;
    struct hf__sink sink;
    hf_item event; /* [seq, topic, map] of an event, which answers nothing: all else is 0; else missing */
};

/* Requests `first` ... `next - 1` in order, number n at items[n mod capacity]. */
struct hf__ring {
    struct hf__request *items;
    size_t capacity; /* a power of two, or 0 */
    uint64_t first, next;
};

struct hf__engine {
    struct hf__buffer out;
    struct hf__buffer in;
    uint64_t sent;    /* bytes sent on this connection */
    size_t kept;      /* of them, those at the front of `out`, for requests that are open still */
    size_t committed; /* bytes of `out` up to the last whole request */
    bool pack_failed;
    msgpack_packer packer;
    char method[24]; /* of the request being packed */

    struct hf__ring open; /* of this connection */

    unsigned window;  /* of the session; 0: none, then all that follows is without meaning */
    uint64_t allowed; /* requests below may be sent */
    unsigned flying;  /* of them, those that are for the window and not answered */

    struct hfp_scan scan;
    struct hfp_scan_limits limits;
    bool discarding;        /* a reply above the limit is passing */
    size_t frame_size;      /* bytes of the frame that the last answer points into */
    uint64_t discarded;     /* number of the request that it answers */
    const char *fault;      /* after HF_ERR_PROTOCOL: what was wrong with the bytes; static */
    uint64_t notifications; /* messages that are no events, ignored */

    /* Requests of lost connections. Attempts to reconnect that fail must not wipe out what became unknown
     * before them: so there are two rings, and `established` says which is next. */
    bool established;
    struct hf__ring unknown; /* the last connection that was established */
    uint64_t unknown_sent;   /* bytes sent on it */
    struct hf__ring attempt; /* the last one that was not */
    uint64_t attempt_sent;
    struct hf__ring *dying; /* the one whose requests are being answered now, from `dying->first` on... */
    uint64_t dying_next;    /* ...this one is next */
};

void hf__engine_init(struct hf__engine *engine);
void hf__engine_done(struct hf__engine *engine);

/* Begins a request with `params` parameters, which the caller packs with the packer returned and then calls
 * commit or cancel. Packing never fails by itself: commit tells. `method` is at most 65,535 bytes. */
msgpack_packer *hf__engine_begin(struct hf__engine *engine, const char *method, uint32_t params);

/* Bytes that are packed already, such as all params of a request. */
void hf__engine_pack_raw(struct hf__engine *engine, const void *bytes, size_t size);

/* Ends the request. 0, and the next number is its; or HF_ERR_MEMORY, and it was never there. */
int hf__engine_commit(struct hf__engine *engine, const struct hf__sink *sink);
void hf__engine_cancel(struct hf__engine *engine);

/* Uses up a number for a request that will never be sent. False without memory; then it is not used up. */
bool hf__engine_skip(struct hf__engine *engine);

/* The session has a replay window of that size (limits.replay); 0: it has none. No request is open. */
void hf__engine_window(struct hf__engine *engine, unsigned window);

/* All bytes that wait to be sent, and those that may be sent now. */
size_t hf__engine_queued(const struct hf__engine *engine);
size_t hf__engine_output(const struct hf__engine *engine, const uint8_t **ret_bytes);
void hf__engine_sent(struct hf__engine *engine, size_t size);

/* Room for at least `room` bytes of input; NULL without memory. */
uint8_t *hf__engine_space(struct hf__engine *engine, size_t room, size_t *ret_room);
void hf__engine_received(struct hf__engine *engine, size_t size);

/* The next answer or event: 1 and it is in `ret`; 0 if there is none yet; HF_ERR_PROTOCOL if the bytes are not those
 * of a daemon (`fault` says why; no further answer can be found, so call lost). */
int hf__engine_next(struct hf__engine *engine, struct hf__answer *ret);

/* Nobody waits for that request any more: its answer will be dropped. It stays among those that can be
 * lost. */
void hf__engine_abandon(struct hf__engine *engine, uint64_t number);

/* From now on, if the connection is lost, its requests are those that hf__engine_unknown tells. */
void hf__engine_established(struct hf__engine *engine);

/* The session of the lost connection goes on in another one: sends all open requests again, in their order. What came
 * on the new connection is taken from `greeter`, which has made its hello. */
void hf__engine_again(struct hf__engine *engine, struct hf__engine *greeter);

/* The connection is gone: forgets all bytes, and each open request will be answered UNKNOWN if one of its
 * bytes was sent, else UNSENT. Requests that come after are those of a new connection, which is not
 * established yet. */
void hf__engine_lost(struct hf__engine *engine);

/* The requests of the last established connection that was lost which are unknown; see hf_unknown. */
size_t hf__engine_unknown(const struct hf__engine *engine, struct hf_unknown *rows, size_t capacity);

#endif
