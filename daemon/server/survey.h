/* SPDX-License-Identifier: BSD-3-Clause */
/* Figures of all workers, for the main thread: what an endpoint for monitoring tells.
 *
 * A survey travels: it visits the workers one after the other, each on its own thread, adds up what they have, and comes
 * back to the main thread, where `done` is called. A worker does a part of it in a turn, SURVEY_STEP_US of it or one
 * pool more, and goes on with its clients. So nobody is stopped, and a worker that is stuck keeps the survey, not the
 * main thread: whoever waits for it does so with a limit of time, and cancels it then.
 *
 * A survey is the main thread's before server_survey() and from `done` on; in between only its messages carry it. What
 * it gathers is charged to the server's budget; without memory it tells so (`oom`) and has less. At most SURVEYS_MAX are
 * under way. */
#ifndef SERVER_SURVEY_H
#define SERVER_SURVEY_H

#include "daemon/pool/events.h"
#include "daemon/server/book.h"
#include "daemon/server/call.h"
#include "daemon/server/server.h"
#include "daemon/transport/transport.h"

#define SURVEYS_MAX     64u
#define SURVEY_STEP_US  50u    /* of a worker's turn: then it ends, with what it is at */
#define SURVEY_ROWS_MAX 16384u /* sessions that are kept */
#define SURVEY_SESSIONS                                                                                      \
    8u /* between two looks at the clock: 3 us each, if the socket is asked for its peer */
#define SURVEY_RECENT 32u

struct survey_pool {
    char name[HF_POOL_NAME_MAX + 1];
    uint64_t epoch;
    unsigned worker;
    bool gc_enabled;
    struct pool_stats stats;
    struct event_stats events;
    struct gc_stats gc;
    uint64_t saves_done, saves_failed;
};

enum survey_sort { SORT_SID, SORT_HELD, SORT_BYTES, SORT_QUEUED, SORT_IDLE, SORT_SINCE, SORT_COUNT };

struct survey_session {
    uint64_t key; /* what it is sorted by */
    uint64_t sid, held, bytes, queued, idle_ms, since_ms, conn;
    uint32_t pid;
    bool anonymous, grace;
    uint8_t name_size;
    uint8_t name[SLOWLOG_NAME_MAX]; /* its begin */
    char pool[HF_POOL_NAME_MAX + 1];
    char peer[TRANSPORT_PEER_MAX]; /* empty: none */
};

struct survey;
typedef void survey_done(struct survey *survey, void *data);

struct survey {
    /* Asked for. */
    bool pools;             /* rows of pools, and sizes */
    unsigned sessions_most; /* rows of sessions, 0 ... SURVEY_ROWS_MAX */
    enum survey_sort sort;
    bool ascending; /* the smallest first */

    /* Found. */
    struct counters counters;
    struct book_sum book;
    struct survey_pool *pool_rows;
    unsigned pools_count, pools_cap;
    struct pool_sizes sizes; /* of all pools */
    struct survey_session
        *session_rows; /* the first ones in that order, but without order before survey_sort() */
    unsigned sessions_count;
    uint64_t sessions_seen;
    uint64_t step_ns_max; /* processor time of a worker: of its turn in which it did most for this survey */
    bool oom;

    /* Private. */
    struct message message;
    struct list link; /* in server.surveys; the main thread's */
    struct server *server;
    survey_done *done; /* NULL: nobody waits for it any more */
    void *data;
    _Atomic bool home;
    unsigned worker, pool; /* where it is */
    uint64_t after_sid;
    uint64_t recent[SURVEY_RECENT]; /* a ring: the sessions of the pool that were looked at last */
    unsigned recent_count;          /* that were put into it */
    bool counted;                   /* this worker's counters */
};

/* Begins one; `asked` is copied. NULL: no memory, or SURVEYS_MAX are under way. */
struct survey *server_survey(struct server *server, const struct survey *asked, survey_done *done,
                             void *data);
/* Nobody waits for it any more. It must not be used afterwards. */
void survey_cancel(struct survey *survey);
/* After `done`: frees it. */
void survey_free(struct survey *survey);
/* Puts the rows of sessions in order. */
void survey_sort(struct survey *survey);

/* On the main thread, when it was woken: those that have come back. */
void surveys_home(struct server *server);
/* When the workers have ended. */
void surveys_close(struct server *server);

/* For whoever tells figures without a survey. */
uint64_t server_memory_used(const struct server *server);
uint64_t server_uptime_ms(const struct server *server);
bool server_draining(const struct server *server);
struct slowlog *server_slowlog(struct server *server);
struct mem *server_mem(struct server *server);

#endif
