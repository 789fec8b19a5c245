/* SPDX-License-Identifier: BSD-3-Clause */
/* Requests that are sent again after an answer was lost: the server's part in replay windows (pool/replay.h).
 *
 * A request is known by its msgid and a hash of its method and params. The hash of what fits POOL_COPY_MAX is XXH3,
 * taken at once; that of a larger frame is XXH64, taken as its bytes come (stash.c) or in turns (staging.c). Both
 * are over the same bytes, and which it is follows from the size, so a request has the same hash however it comes. */
#ifndef SERVER_REPLAY_H
#define SERVER_REPLAY_H

#include "daemon/pool/replay.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

struct conn;
struct request;
struct call;

enum conn_replay {
    CONN_REPLAY_OFF,   /* its session has no window */
    CONN_REPLAY_ON,    /* what it changes is recorded */
    CONN_REPLAY_MATCH, /* the same, and it may be sending again what was done already */
};

/* Of a frame of a bounded size. */
static inline uint64_t replay_hash(const uint8_t *at, size_t size)
{
    uint64_t hash = XXH3_64bits(at, size);
    return hash != REPLAY_ANY ? hash : 1;
}

/* Whether the answer of this request belongs into its session's window. */
bool replay_wanted(const struct conn *conn, const struct request *request);
/* Answers it from the window if it was done before. False: it is to be executed, and so is all that follows. */
bool replay_answer(struct conn *conn, const struct request *request, uint64_t hash);
/* Records that it was refused before a handler saw it. */
void replay_refused(struct conn *conn, const struct request *request, uint64_t hash, int code);

/* Around the handler of a call that replays: after `r` it is over, or (CALL_AGAIN) goes on in another turn. The reply
 * is complete, behind call->result_at. */
void replay_begin(struct call *call);
void replay_pause(struct call *call);
void replay_finish(struct call *call, int r);

#endif
