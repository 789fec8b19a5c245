/* SPDX-License-Identifier: BSD-3-Clause */
/* A worker's turn:
 *
 *   prepare   a new turn begins: the clock is not known yet
 *   I/O       connections are read and served; the first one that needs the time takes it
 *   check     connections with leftover input, in a ring; then background work of the pools, for TURN_US in
 *   all
 *
 * While there is work that does not wait for I/O an idle handle keeps the loop from sleeping. Otherwise it
 * sleeps until I/O, or until a pool has something due: an idle daemon uses no processor time. */
#include "daemon/server/worker.h"

#include <stdlib.h>
#include <time.h>

#define LEASE_STEP_MS 1000u /* the loop clock advances by no more than this a turn */
#define LEASE_WAKE_MS 500u  /* so a loop that waits for a lease must not sleep longer */
#define WATCH_MS      1000u

/* ---- clocks ---- */

static uint64_t clock_ms(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* Time to live counts with the machine's running time including suspend, whatever is done to the time of
 * day; a lease stands still while the machine or the process does. */
static void take_time(struct worker *worker)
{
    uint64_t ns = uv_hrtime();
    uint64_t passed_ms = (ns - worker->clock_ns) / 1000000;
    worker->turn_ns = ns;
    worker->clock_ns += passed_ms * 1000000;
    worker->lease_ms += passed_ms < LEASE_STEP_MS ? passed_ms : LEASE_STEP_MS;
    worker->now_ms = clock_ms(CLOCK_BOOTTIME) + worker->now_offset_ms;
    worker->clocked = true;
}

void worker_clock(struct worker *worker, struct pool_entry *entry)
{
    if (!worker->clocked)
        take_time(worker);
    if (entry == NULL || entry->ticked == worker->turn || entry->dropped)
        return;
    entry->ticked = worker->turn;
    pool_tick(entry->pool, worker->now_ms, worker->lease_ms);
}

/* ---- background work ---- */

static void on_idle(uv_idle_t *idle)
{
    (void)idle; /* its being active is what counts: the loop does not sleep */
}

void worker_wake(struct worker *worker)
{
    if (!uv_is_active((uv_handle_t *)&worker->busy) && !uv_is_closing((uv_handle_t *)&worker->busy))
        uv_idle_start(&worker->busy, on_idle);
}

/* Background work of all pools, in rounds, for at most TURN_US and TURN_UNITS. True while there is more. */
static bool step_pools(struct worker *worker)
{
    struct list *at, *after;
    uint64_t until = 0;
    unsigned spent = 0;
    for (bool more = true; more;) {
        more = false;
        list_each(at, after, &worker->pools)
        {
            struct pool_entry *entry = list_entry(at, struct pool_entry, link);
            if (!pool_has_work(entry->pool))
                continue;
            worker_clock(worker, entry);
            uint64_t now = uv_hrtime();
            until = until == 0 ? now + TURN_US * 1000 : until;
            if (now >= until || spent >= TURN_UNITS)
                return true;
            unsigned units = pool_step(entry->pool, STEP_UNITS);
            spent += units;
            more |= units >= STEP_UNITS;
        }
    }
    return false;
}

/* Timers run before a turn begins and could be followed by a long sleep, so the time is told at its end. */
static void on_due(uv_timer_t *timer)
{
    struct worker *worker = timer->data;
    worker->due_ms = 0;
    worker->due_fired = true;
    worker_wake(worker);
}

static void tell_time(struct worker *worker)
{
    struct list *at, *after;
    worker->due_fired = false;
    list_each(at, after, &worker->pools)
    {
        worker_clock(worker, list_entry(at, struct pool_entry, link));
    }
}

/* Sleeps until the first thing that is due in a pool. */
static void arm(struct worker *worker)
{
    struct list *at, *after;
    uint64_t wait_ms = UINT64_MAX;
    list_each(at, after, &worker->pools)
    {
        uint64_t now_due, lease_due;
        pool_next_due(list_entry(at, struct pool_entry, link)->pool, &now_due, &lease_due);
        uint64_t now_wait = now_due == UINT64_MAX      ? UINT64_MAX
                            : now_due > worker->now_ms ? now_due - worker->now_ms
                                                       : 0;
        uint64_t lease_wait = lease_due > worker->lease_ms ? lease_due - worker->lease_ms : 0;
        lease_wait = lease_due == UINT64_MAX      ? UINT64_MAX
                     : lease_wait > LEASE_WAKE_MS ? LEASE_WAKE_MS
                                                  : lease_wait;
        wait_ms = now_wait < wait_ms ? now_wait : wait_ms;
        wait_ms = lease_wait < wait_ms ? lease_wait : wait_ms;
    }
    uint64_t due_ms = wait_ms == UINT64_MAX ? 0 : uv_now(&worker->loop) + wait_ms + 1;
    /* An earlier one is left as it is: to fire in vain does no harm, to be put off by every turn would. */
    if (due_ms == worker->due_ms || (due_ms != 0 && worker->due_ms != 0 && worker->due_ms <= due_ms))
        return;
    worker->due_ms = due_ms;
    if (due_ms == 0)
        uv_timer_stop(&worker->due);
    else
        uv_timer_start(&worker->due, on_due, wait_ms + 1, 0);
}

/* ---- the turn ---- */

static void on_prepare(uv_prepare_t *prepare)
{
    struct worker *worker = prepare->data;
    worker->turn++;
    worker->clocked = false;
    worker->active = false;
}

static void run_connections(struct worker *worker)
{
    struct list ready;
    list_take(&ready, &worker->runnable);
    while (!list_empty(&ready)) {
        struct conn *conn = list_entry(ready.next, struct conn, in_runnable);
        list_remove(&conn->in_runnable);
        conn_run(conn);
    }
}

void worker_count_units(struct worker *worker, struct pool_entry *entry)
{
    uint64_t work = pool_work(entry->pool);
    worker->turn_units += work - entry->worked;
    entry->worked = work;
}

static void count_units(struct worker *worker)
{
    struct list *at, *after;
    list_each(at, after, &worker->pools)
    {
        worker_count_units(worker, list_entry(at, struct pool_entry, link));
    }
    worker->counters.units += worker->turn_units;
    if (worker->turn_units > worker->counters.turn_units_max)
        worker->counters.turn_units_max = worker->turn_units;
    worker->turn_units = 0;
}

static void count_turn(struct worker *worker)
{
    worker->counters.turns++;
    count_units(worker);
    if (!worker->clocked)
        return;
    uint64_t us = (uv_hrtime() - worker->turn_ns) / 1000;
    if (us > worker->counters.turn_us_max)
        worker->counters.turn_us_max = us;
}

static void on_check(uv_check_t *check)
{
    struct worker *worker = check->data;
    run_connections(worker);
    if (worker->due_fired)
        tell_time(worker);
    bool more = step_pools(worker);
    more |= directory_dispose(worker);
    more |= stash_dispose(worker);
    more |= !list_empty(&worker->runnable);
    if (worker->server->draining)
        more |= server_drained(worker->server);
    count_turn(worker);
    if (worker->server->closed)
        return;
    if (more)
        worker_wake(worker);
    else if (uv_is_active((uv_handle_t *)&worker->busy))
        uv_idle_stop(&worker->busy);
    worker_clock(worker, NULL);
    arm(worker);
}

static void on_watch(uv_timer_t *timer)
{
    struct worker *worker = timer->data;
    struct list *at, *after;
    uint64_t now_ms = uv_now(&worker->loop);
    list_each(at, after, &worker->watched)
    {
        conn_look(list_entry(at, struct conn, in_watched), now_ms);
    }
    if (list_empty(&worker->watched))
        uv_timer_stop(timer);
}

void worker_watch(struct worker *worker)
{
    if (!uv_is_active((uv_handle_t *)&worker->watch))
        uv_timer_start(&worker->watch, on_watch, WATCH_MS, WATCH_MS);
}

bool worker_quiet(const struct worker *worker)
{
    struct list *at, *after;
    if (worker->active || !list_empty(&worker->runnable))
        return false;
    list_each(at, after, &worker->conns)
    {
        const struct conn *conn = list_entry(at, struct conn, link);
        if (conn->state != CONN_CLOSING &&
            (conn->queued > 0 || conn->pending != NULL || conn->staging != NULL))
            return false;
    }
    return true;
}

/* ---- life cycle ---- */

static void init_handles(struct worker *worker)
{
    uv_prepare_init(&worker->loop, &worker->prepare);
    uv_check_init(&worker->loop, &worker->check);
    uv_idle_init(&worker->loop, &worker->busy);
    uv_timer_init(&worker->loop, &worker->due);
    uv_timer_init(&worker->loop, &worker->watch);
    worker->prepare.data = worker->check.data = worker->busy.data = worker->due.data = worker->watch.data =
        worker;
    uv_prepare_start(&worker->prepare, on_prepare);
    uv_check_start(&worker->check, on_check);
}

int worker_open(struct worker *worker, struct server *server)
{
    worker->server = server;
    worker->log = server->log;
    worker->mem = &server->mem;
    worker->turn = 1;
    worker->clock_ns = uv_hrtime();
    worker->now_offset_ms = clock_ms(CLOCK_REALTIME) - clock_ms(CLOCK_BOOTTIME);
    list_init(&worker->pools);
    list_init(&worker->disposals);
    list_init(&worker->conns);
    list_init(&worker->runnable);
    list_init(&worker->watched);
    if (uv_loop_init(&worker->loop) != 0)
        return -HF_E_INTERNAL;
    init_handles(worker);
    worker->input = malloc(INPUT_SIZE);
    worker->scratch = malloc(sizeof *worker->scratch);
    if (output_init(&worker->out) != 0 || worker->input == NULL || worker->scratch == NULL)
        return -HF_E_OOM;
    return 0;
}

void worker_close_handles(struct worker *worker)
{
    uv_close((uv_handle_t *)&worker->prepare, NULL);
    uv_close((uv_handle_t *)&worker->check, NULL);
    uv_close((uv_handle_t *)&worker->busy, NULL);
    uv_close((uv_handle_t *)&worker->due, NULL);
    uv_close((uv_handle_t *)&worker->watch, NULL);
}

void worker_close(struct worker *worker)
{
    directory_close(worker);
    stash_free_spares(worker);
    output_done(&worker->out);
    free(worker->input);
    free(worker->scratch);
    uv_loop_close(&worker->loop);
}
