/* SPDX-License-Identifier: BSD-3-Clause */
/* The replay window of a session: a request that was sent again because its answer was lost is answered, not done
 * again.
 *
 * Around each changing request of a session with a window its caller says pool_replay_begin() and pool_replay_end().
 * In between, the operation that has an effect records its result in the commit of that effect, so that exactly one of
 * two is true after a death: done and in the window, or not done. What ends without an effect (an error, a list of
 * nothing) its caller records by pool_replay_note().
 *
 * A session without a window pays one compare an operation, and nothing of memory. */
#ifndef POOL_REPLAY_H
#define POOL_REPLAY_H

#include "daemon/pool/pool.h"

/* How the caller says a result; kept with it. */
enum replay_shape {
    REPLAY_PLAIN = 0,
    REPLAY_ARRAY = 1, /* the argument was an array, so is the result */
};

/* The hash of a request that could not be hashed: its msgid alone tells it. */
#define REPLAY_ANY 0u

/* An answer of the window. */
struct replay_answer {
    enum replay_kind kind;
    uint8_t shape;
    uint32_t count;        /* of words, pairs, trues, bytes or all runs; of an error its code */
    const uint64_t *words; /* until the pool is changed */
};

/* Where a connection that resumed is in the window. All zeros: nothing was sent again yet. */
struct replay_match {
    uint64_t next; /* the record that the next request must be, plus one; 0: any */
};

/* The next run of REPLAY_RUNS: `length` times `number`; false when all were there. All zeros: at the first one. */
struct replay_runs {
    uint32_t at, done;
    uint64_t number, length;
};
bool replay_next_run(const struct replay_answer *answer, struct replay_runs *runs);

bool session_replays(const struct session *session);

/* The next operation is the request `msgid` of this session, which has a window. `hash`: of its method and params. */
void pool_replay_begin(struct pool *pool, struct session *session, uint32_t msgid, uint64_t hash);
/* How its result will be said; nothing if no request was begun. */
void pool_replay_shape(struct pool *pool, unsigned shape);
/* True while a request was begun and nothing of it was recorded. */
bool pool_replay_open(const struct pool *pool);
/* Records an error, or up to 16 bytes of MessagePack, in a commit of its own; nothing if something was recorded. */
void pool_replay_note_error(struct pool *pool, int code);
void pool_replay_note(struct pool *pool, const uint8_t *bytes, uint32_t size);
/* The request is over. */
void pool_replay_end(struct pool *pool);

/* Whether this request, sent again on a new connection, is the next one of the window; then *ret is its answer. False
 * ends the matching: this request and all behind it were not done. */
bool pool_replay_find(struct pool *pool, const struct session *session, struct replay_match *match,
                      uint32_t msgid, uint64_t hash, struct replay_answer *ret);

#endif
