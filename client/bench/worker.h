/* SPDX-License-Identifier: BSD-3-Clause */
/* The load itself. A worker is one thread with an epoll loop and its share of the connections; it shares nothing that is
 * written with others but the order to stop and the series.
 *
 * Closed loop: a connection always has `depth` requests in flight; whenever replies have come, as many requests follow,
 * all that one read has brought with one write. The latency of a request runs from when it was sent.
 *
 * Open loop: requests are due at the times of a schedule (schedule.h), in turn on the worker's connections, and are sent
 * then, unless `depth` requests are in flight on that connection already. The latency runs from when a request was due,
 * sent or not: a stall of the daemon counts for all requests that were due meanwhile, not only for those few that were
 * in flight when it began (no coordinated omission). A second request of an operation takes the place of a new one.
 *
 * Measured are, in a closed loop, the replies that come within the time measured; in an open one, the requests that are
 * due within it, whenever their replies come. */
#ifndef HF_BENCH_WORKER_H
#define HF_BENCH_WORKER_H

#include <pthread.h>
#include <stdatomic.h>

#include "client/bench/clock.h"
#include "client/bench/options.h"
#include "client/bench/record.h"
#include "client/bench/schedule.h"
#include "client/bench/series.h"
#include "client/bench/space.h"
#include "client/bench/wire.h"

#define BENCH_IN_SIZE  (256u << 10) /* bytes read at once */
#define BENCH_OUT_SOFT (256u << 10) /* bytes of requests made before they are sent */

/* A request in flight. */
struct bench_flight {
    uint64_t since_ns; /* sent, or due */
    struct bench_draw draw;
};

/* The second request of an operation, to be sent. */
struct bench_follow {
    uint64_t patch;
    uint32_t step;
};

struct bench_connection {
    int fd;
    bool wants_out;  /* epoll is asked to say when more can be sent */
    uint32_t number; /* among all of the run */
    const struct bench_space *space;
    uint32_t cursor;              /* the next draw of the space's sequence */
    uint32_t sent, answered;      /* requests; their difference is in flight */
    struct bench_flight *flights; /* a ring of `ring` entries, from `answered` to `sent` */
    struct bench_follow *follows; /* a ring too */
    uint32_t follow_first, follow_end;
    uint64_t left;       /* operations still to be begun */
    uint64_t taken;      /* open loop: places of the schedule used */
    uint64_t assigned;   /* open loop: places that have come due */
    uint32_t skip;       /* bytes still to come of the value at `answered` */
    uint32_t stash_size; /* bytes of an unfinished reply in `stash` */
    uint8_t *rest;       /* bytes that the socket did not take; owned */
    size_t rest_at, rest_size;
    hf_id *own;    /* ids of what its session holds itself; owned; NULL: nothing */
    hf_conn *conn; /* who opened the session and will end it; silent in between */
    uint8_t stash[BENCH_REPLY_MAX];
};

/* What all workers of a run read. */
struct bench_shared {
    const struct bench_options *options;
    const struct bench_wire *wire;
    struct bench_series *series;
    uint32_t ring; /* a power of 2, at least the depth */
    uint32_t own_count;
    uint64_t start_ns;   /* when the load begins */
    uint64_t measure_ns; /* when measuring begins: the series starts here */
    uint64_t end_ns;     /* when it ends; UINT64_MAX with --count */
    int server_pid;      /* 0: unknown */
    int wake;            /* an eventfd that is written when `stop` is set */
    int ended;           /* an eventfd to which each worker adds 1 when it ends */
    atomic_bool stop;    /* end early: no further request, and do not wait long for replies */
};

/* Orders all workers to stop early. From any thread. */
void bench_shared_stop(struct bench_shared *shared);

/* Replies of one step that came by one read and belong to requests of one time. */
struct bench_burst {
    uint64_t since_ns;
    uint32_t steps; /* a set: those with a count */
    uint32_t count[BENCH_STEP_COUNT];
};

struct bench_worker {
    struct bench_shared *shared;
    struct bench_connection *connections;
    uint32_t count;
    bool open;      /* loop */
    bool begun;     /* measuring has begun */
    bool measuring; /* closed loop: what comes now counts */
    bool closing;   /* no further requests */
    uint32_t depth, ring_mask;
    uint64_t begin_ns;    /* open loop: what is due from then on counts */
    uint64_t boundary_ns; /* measuring begins, a second of the series is over, or measuring ends */
    uint64_t give_up_ns;  /* after an order to stop: do not wait longer for replies */
    uint64_t in_flight, left, follows; /* sums over the connections */
    uint64_t moved_ns;                 /* when something came last */
    struct bench_burst burst;
    uint8_t *in, *out; /* `in` has room for a stash in front of what is read */
    struct bench_schedule schedule;
    uint64_t due; /* open loop: places of the schedule dealt out */
    int epoll;
    bool coarse;    /* the kernel waits by milliseconds only */
    uint32_t index; /* among the workers */
    size_t second;  /* of the series */
    uint64_t second_errors;
    struct bench_histogram *second_latency;
    struct bench_record *record;

    uint64_t ended_ns;                 /* the end of what is measured */
    uint64_t cpu_begin_ns, cpu_end_ns; /* the time in which CPU time was counted */
    struct bench_thread_time cpu_before, cpu_after;
    struct bench_process_time server_before, server_after; /* worker 0 only */
    struct bench_problem problem;
    pthread_t thread;
    bool running;
};

/* Prepares a worker for `count` connections, which are then to be filled in. False with a problem in it;
 * bench_worker_done in any case. */
bool bench_worker_init(struct bench_worker *worker, struct bench_shared *shared, uint32_t index,
                       uint32_t count);
bool bench_worker_start(struct bench_worker *worker);
void bench_worker_join(struct bench_worker *worker);
void bench_worker_done(struct bench_worker *worker);

/* Readies connection number `number` of the run, whose session is open. */
bool bench_connection_init(struct bench_worker *worker, struct bench_connection *connection, hf_conn *conn,
                           uint32_t number, const struct bench_space *space);
void bench_connection_done(struct bench_connection *connection);

/* ---- Between worker.c and connection.c ---- */

/* Sends what may be sent. False with a problem. */
bool bench_connection_send(struct bench_worker *worker, struct bench_connection *connection, uint64_t now_ns);

/* The socket takes bytes again. */
bool bench_connection_flush(struct bench_worker *worker, struct bench_connection *connection);

/* Reads and checks replies, records them, and sends what may follow. */
bool bench_connection_receive(struct bench_worker *worker, struct bench_connection *connection);

/* `boundary_ns` has passed. False with a problem. */
bool bench_worker_cross(struct bench_worker *worker, uint64_t now_ns);

/* Enters the replies of the current burst, which came at `now_ns`. */
void bench_worker_record(struct bench_worker *worker, uint64_t now_ns);

/* Does a reply that comes now, to a request of `since_ns`, count? */
static inline bool bench_worker_counts(const struct bench_worker *worker, uint64_t since_ns)
{
    return worker->open ? since_ns >= worker->begin_ns : worker->measuring;
}

#endif
