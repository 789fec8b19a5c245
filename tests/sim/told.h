/* SPDX-License-Identifier: BSD-3-Clause */
/* The oracle of events: a naive model of what each session has yet to be told, and by which events.
 *
 * It shares no code with the pool and knows nothing of cells, chains or records: a list of notices for each session, one
 * list of all events that the ring was ever given. It is told what has happened, and judges each event that is
 * taken: every notice comes exactly once with increasing numbers, every event of the ring once and in its order or
 * within a gap, and a gap only covers what may have been overwritten or was not recorded. What was taken and is then
 * unsent is expected again. */
#ifndef HF_TESTS_SIM_TOLD_H
#define HF_TESTS_SIM_TOLD_H

#include "daemon/pool/events.h"

#define TOLD_SESSIONS 4

/* A freed object, or a guard that has become a hold. */
struct told_notice {
    uint64_t id;
    enum hf_topic topic;
    uint32_t reasons; /* that it may have died of, as bits */
    bool taken;       /* and not sent yet */
};

struct told_session {
    struct told_notice *notices; /* that are not sent yet; in no order */
    uint32_t count, room;
    uint64_t seq; /* of the last one that was taken */
    uint64_t seq_sent;
    bool subscribed;
    char prefix[8];
    uint64_t place, place_sent; /* in the ring: the next number to be told */
    uint64_t loose; /* events before this number may have been passed over, by the prefix that it had then */
};

/* An event that the ring was given. */
struct told_record {
    uint64_t seq;
    char text[8];    /* its first value, what the prefix looks at; empty: told to nobody */
    uint64_t number; /* its fourth; UINT64_MAX: not known */
    uint32_t size;   /* of its text in the event, filled with '.' */
};

struct told {
    struct told_session sessions[TOLD_SESSIONS];
    struct told_record *records; /* all since the pool began, or began anew */
    uint32_t count, room;
    uint64_t next;        /* number of the next event of the ring */
    uint64_t forgotten;   /* events before this number may be lost: nobody was subscribed then */
    uint32_t subscribers; /* how many sessions */
    uint64_t notices, events, gaps, again; /* taken so far: of the four kinds; `again` for what was unsent */
};

void told_done(struct told *t);

/* ---- what has happened ---- */

/* The session is to be told this, once. `reasons` 0: that it is unreachable. */
void told_expect(struct told *t, unsigned session, uint64_t id, uint32_t reasons);
/* The ring is given an event; it has a subscriber. */
void told_record(struct told *t, const char *text, uint32_t size, uint64_t number);
/* The session has subscribed. from_seq 0: not given. */
void told_subscribe(struct told *t, unsigned session, const char *prefix, uint64_t from_seq);
void told_unsubscribe(struct told *t, unsigned session);
/* All that was taken is sent; is not. */
void told_sent(struct told *t, unsigned session);
void told_unsent(struct told *t, unsigned session);
/* It ends, and another one takes its place. */
void told_forget(struct told *t, unsigned session);
/* The process dies and comes back: the ring is empty and has no subscribers, its next number is `next`. What was freed
 * and not told may have been forgotten to be so: then it ended with the process. */
void told_restart(struct told *t, uint64_t next);

/* ---- what is told ---- */

/* An event was taken for the session. NULL: as it should be. */
const char *told_take(struct told *t, unsigned session, const struct event *event);
/* NULL: the session has been told everything. */
const char *told_all(const struct told *t, unsigned session);

#endif
