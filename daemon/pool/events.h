/* SPDX-License-Identifier: BSD-3-Clause */
/* Events of a pool: what its sessions are told without asking for it each time. A pool never sends: it keeps what
 * there is to tell until the layer above takes it.
 *
 * There are two sources, each with numbers (seq) of its own that rise:
 *  - *Notices* belong to a session, outside the ring. A watch tells once that its object was freed and why, a guard once
 *    that its object has become unreachable and is held by the session now. The memory of the event is reserved when
 *    the watch or guard is made, so an event is never lost and needs no memory when it happens; a session has as many
 *    waiting as it made watches and guards, at most. Watches and guards are truth in the image (cells), as all that a
 *    session has: they outlive a daemon that is killed, until the session ends. What died while no daemon ran is told
 *    with the reason session_end.
 *  - The *ring* of the pool keeps the last events of those topics to which some session is subscribed, within
 *    RING_BYTES. A session has a place in it; what was overwritten before it was taken is told as a `gap`. The ring is
 *    private memory: after a restart it is empty, and its numbers begin above all that were used before.
 *
 * What always holds:
 *  - Nothing is given for a session before its present connection has asked (pool_listen()); events wait.
 *  - An event is taken (pool_events_next()) and then *sent*: only then it is forgotten. What was taken and not sent when
 *    the connection is lost, or the daemon killed, is given again with the same seq (after a kill: a new one).
 *  - No subscriber, no memory and no work: the ring exists while a session is subscribed, a session's part of it from
 *    its first watch, guard or subscription on. */
#ifndef POOL_EVENTS_H
#define POOL_EVENTS_H

#include "daemon/pool/pool.h"
#include "proto/topics.h"

#define RING_BYTES  (256u * 1024) /* of events kept, and */
#define RING_EVENTS 4096u         /* how many at most */
/* Notices of one session that are still told when its pool is dropped. */
#define EVENTS_DROP_MAX 256u

/* ---- watches; guards are in pool.h ---- */

/* From now on the session is told when the objects are freed; one that it watches already stays watched. All or nothing.
 * -HF_E_GONE (fault.index), QUOTA (HF_WATCHES_MAX), OOM. */
int pool_watch(struct pool *pool, struct session *s, const uint64_t *ids, uint32_t count);
/* No longer; one that it does not watch is fine. -HF_E_GONE (fault.index): all are left as they are. */
int pool_unwatch(struct pool *pool, struct session *s, const uint64_t *ids, uint32_t count);

/* ---- the ring ---- */

struct topic_in {
    enum hf_topic topic;   /* of kind HF_T_RING */
    struct name_in prefix; /* of its key field; size 0: all. HF_NAME_MAX bytes at most */
};
/* Adds topics to those of the session (a topic that it has gets the new prefix), and sets its place in the ring: to
 * `from_seq`, or for 0 behind the latest event if it had no topic. *ret_seq is the number of the latest event.
 * -HF_E_BADARG (from_seq is beyond the next event), OOM. */
int pool_subscribe(struct pool *pool, struct session *s, const struct topic_in *topics, uint32_t count,
                   uint64_t from_seq, uint64_t *ret_seq);
void pool_unsubscribe(struct pool *pool, struct session *s, const struct topic_in *topics, uint32_t count);

/* ---- requests as events: the topic `ops`, a sample of them ---- */

/* Subscribers to it are told at most so many a second; the pool keeps the highest wish. Whoever makes the events takes care
 * of it, since a pool has no clock. */
#define POOL_OPS_RATE     100u
#define POOL_OPS_RATE_MAX 10000u

struct op {
    const char *method;
    uint64_t sid; /* 0: none any more */
    const uint8_t *name;
    uint32_t name_size, pid; /* 0: none, not known */
    const char *args;
    uint64_t bytes; /* of the request */
    uint64_t duration_us;
    uint64_t passed; /* requests since the last one told, this one included */
};
/* For a session that is subscribed to `ops`: it wants so many a second. */
void pool_want_ops(struct pool *pool, uint32_t rate);
uint32_t pool_ops_rate(const struct pool *pool);
/* Tells one, if there is room beside what others are still to be told. */
void pool_tell_op(struct pool *pool, const struct op *op);

/* ---- taking events ---- */

enum event_value_kind { EVENT_NIL, EVENT_UINT, EVENT_BOOL, EVENT_TEXT };
struct event_value {
    enum event_value_kind kind;
    uint64_t number;     /* UINT, BOOL */
    const uint8_t *text; /* TEXT; of a taken event valid until the next change of the pool */
    uint32_t size;
};
#define EVENT_VALUES_MAX 16u

struct event {
    enum hf_topic topic;
    uint64_t seq;
    unsigned count; /* of values, in the order of the topic's fields */
    struct event_value values[EVENT_VALUES_MAX];
};

/* The session's present connection has asked for events: from now on they may be taken. Does nothing for a session that
 * never had a watch, guard or topic. */
void pool_listen(struct pool *pool, struct session *s);
/* Whether there is something to be taken for somebody. */
bool pool_has_events(const struct pool *pool);
/* A session for which there is, in turns; NULL: none. It has an owner. */
struct session *pool_events_session(struct pool *pool);
/* Takes the next one. False: there is none now; if the session is given by pool_events_session() again, look again. */
bool pool_events_next(struct pool *pool, struct session *s, struct event *ret);
/* All that was taken is on its way to the client; is not, and will be given again. */
void pool_events_sent(struct pool *pool, struct session *s);
void pool_events_unsent(struct pool *pool, struct session *s);
/* Its connection takes no more for now: pool_events_session() passes it by until resumed (or attached anew). */
void pool_events_pause(struct pool *pool, struct session *s);
void pool_events_resume(struct pool *pool, struct session *s);
/* The pool is being dropped: for a session that listens, what it watches counts as freed (reason pool_drop), the first
 * EVENTS_DROP_MAX of it; the rest is told as a gap. After this only taking is allowed for it. False: there is nothing to
 * be taken. */
bool pool_events_drop(struct pool *pool, struct session *s);

struct event_stats {
    uint64_t watches, guards, waiting; /* made; events of them that wait to be sent */
    uint64_t subscribers;              /* sessions with a topic, those in grace too */
    uint64_t ring_first, ring_next;    /* seq of the oldest event kept and of the next one */
    uint64_t told;                     /* events taken so far */
};
void pool_event_stats(const struct pool *pool, struct event_stats *ret);

#endif
