/* SPDX-License-Identifier: BSD-3-Clause */
/* Inside of events (events.h): what a session has to do with them, and the ring. For daemon/pool/ only. */
#ifndef POOL_OUTBOX_H
#define POOL_OUTBOX_H

#include "daemon/base/list.h"
#include "daemon/pool/events.h"

struct topic_prefix {
    uint8_t size; /* 0: all */
    uint8_t bytes[HF_NAME_MAX];
};

/* A session's part in events. Notices are named by the refs of their cells, 0: none. */
struct outbox {
    struct list link;    /* in pool->ready, pool->caught_up, or nowhere */
    struct list in_ring; /* in ring->readers while it has topics */
    struct session *session;
    uint32_t armed;       /* its watches, in a list without order */
    uint32_t first, last; /* notices that have fired, in order of seq */
    uint32_t taken;       /* the last of these that was taken and not sent */
    uint64_t watches;     /* how many are armed */
    uint64_t next_seq;    /* of the next notice that fires */
    uint64_t lost;        /* behind the last one: notices that will never be told (of a dropped pool) */
    bool lost_taken;
    bool listening; /* its connection has asked */
    bool paused;
    uint32_t topics;     /* it is subscribed to, as bits */
    uint64_t read;       /* its place in the ring: the next event to look at */
    uint64_t sent;       /* the same without what was taken and not sent */
    uint64_t whole_from; /* a place before this one leads to a gap: not all its topics were recorded */
    struct topic_prefix *prefixes; /* by topic; NULL: there was never one */
};

/* The last events of the pool, contiguous in seq. A record is contiguous in `bytes`; one of topic NONE stands for
 * events that were not recorded. */
struct ring {
    uint8_t *bytes; /* RING_BYTES; NULL: nobody is subscribed */
    uint32_t *at;   /* RING_EVENTS: where the record of a seq is, by its remainder */
    uint32_t end;   /* behind the newest record */
    uint64_t first, next;
    uint64_t since[HF_TOPIC_COUNT]; /* a topic is recorded from this seq on */
    uint64_t subscribers[HF_TOPIC_COUNT], sessions;
    struct list readers; /* outboxes with topics */
    uint32_t
        ops_rate; /* events of topic ops a second, the most that a subscriber asked for; 0: none is subscribed */
};

/* Collections that were made events of. */
struct runs_told {
    uint64_t begun, done;
};

/* ---- events.c ---- */

/* An event of topic gap: those from ... to are lost. */
void event_gap(struct event *ret, const char *of, uint64_t from, uint64_t to);
void events_init(struct pool *pool);
/* The outbox of a session, made when it has none; NULL: no memory. */
struct outbox *outbox_of(struct pool *pool, struct session *s);
/* The session comes to a connection or loses it: nothing is given until that asks. */
void outbox_reset(struct pool *pool, struct session *s);
/* The session ends: no more topics, nothing is given. Its notices are cancelled in steps (notice_drop_last()). */
void outbox_end(struct pool *pool, struct session *s);
void outbox_free(struct pool *pool, struct session *s);
/* There may be something new for it, or it may have changed whether it may be given. */
void outbox_place(struct pool *pool, struct outbox *o);
/* Makes events of collections that have begun or ended since the last call. */
void events_collections(struct pool *pool);

/* ---- notices.c ---- */

bool notices_init(struct pool *pool);
void notices_done(struct pool *pool);
/* The object is freed: those who watch it will be told. */
void notices_freed(struct pool *pool, uint32_t index);
/* Up to `units` watches of freed objects fire. Returns how many did. */
unsigned notices_fire(struct pool *pool, unsigned units);
/* A cell for the announcement of a guard on that object, filled but not born; 0: no memory. */
uint32_t notice_make(struct pool *pool, struct session *s, uint32_t index, uint32_t kind);
/* Its guard has become a hold. */
void notice_announce(struct pool *pool, uint32_t ref);
/* Ends a notice that has fired and was told. */
void notice_told(struct pool *pool, struct outbox *o);
/* One notice less of a session that is ending; false: none is left (but those of its guards). */
bool notice_drop_last(struct pool *pool, struct session *s);
/* Enters a notice of a recovered image, whose guards are entered. -HF_E_OOM. */
int notice_enter(struct pool *pool, uint32_t ref);
/* For the walker; NULL: sound. */
const char *notice_wrong(const struct pool *pool, uint32_t ref);
uint64_t notice_id(const struct pool *pool, uint32_t ref);

/* ---- ring.c ---- */

/* Of a recovered pool: when its start is counted. */
void ring_init(struct pool *pool);
void ring_done(struct pool *pool);
/* Records an event. For those who cannot know whether somebody wants it at less cost than ring_wants(). */
void ring_add(struct pool *pool, enum hf_topic topic, const struct event_value *values, unsigned count);
/* The same for an event that is dropped when it would push out one, of another topic, that a connected subscriber has not been
 * sent. */
void ring_add_spare(struct pool *pool, enum hf_topic topic, const struct event_value *values, unsigned count);
/* Takes the next event of the session's topics, or a gap. False: none, or not found in a bounded number of looks. */
bool ring_next(struct pool *pool, struct outbox *o, struct event *ret);
void ring_leave(struct pool *pool, struct outbox *o, uint32_t topics);

#endif
