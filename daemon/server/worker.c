/* SPDX-License-Identifier: BSD-3-Clause */
/* A worker's turn:
 *
 *   prepare   a new turn begins: the clock is not known yet
 *   I/O       connections are read and served; the first one that needs the time takes it
 *   check     connections with leftover input, in a ring; then background work of the pools, for TURN_US in
 *             all; then events that the pools have to tell
 *
 * While there is work that does not wait for I/O an idle handle keeps the loop from sleeping. Otherwise it
 * sleeps until I/O, or until a pool has something due: an idle daemon uses no processor time. */
#include "daemon/server/worker.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define LEASE_STEP_MS 1000u /* the loop clock advances by no more than this a turn */
#define WATCH_MS      1000u
#define QUIET_TURNS   2 /* the one that saw the signal may have been before the last request came */

/* ---- clocks ---- */

/* Time to live counts with the machine's running time including suspend, whatever is done to the time of
 * day; a lease stands still while the machine or the process does. */
static void take_time(struct worker *worker)
{
    uint64_t ns = uv_hrtime();
    uint64_t passed_ms = (ns - worker->clock_ns) / 1000000;
    worker->turn_ns = worker->book.seen_ns = ns;
    worker->clock_ns += passed_ms * 1000000;
    if (atomic_load_explicit(&worker->server->accepting, memory_order_relaxed)) /* a turn more or less */
        worker->lease_ms += passed_ms < LEASE_STEP_MS ? passed_ms : LEASE_STEP_MS;
    worker->now_ms = server_now_ms(worker->server);
    worker->clocked = true;
}

uint64_t thread_cpu_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

void worker_clock(struct worker *worker, struct pool_entry *entry)
{
    if (!worker->clocked)
        take_time(worker);
    if (entry == NULL || entry->ticked == worker->turn || entry->dropped)
        return;
    entry->ticked = worker->turn;
    pace_touch(entry);
    pool_tick(entry->pool, worker->now_ms, worker->lease_ms);
    pool_evacuate_at(entry->pool,
                     atomic_load_explicit(&worker->server->evacuate_percent, memory_order_relaxed));
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

/* Timers run before a turn begins and could be followed by a long sleep, so the time is told at its end. */
static void on_due(uv_timer_t *timer)
{
    struct worker *worker = timer->data;
    worker->due_ms = 0;
    worker->due_fired = true;
    worker_wake(worker);
}

/* Sleeps until the first thing that is due in a pool. */
static void arm(struct worker *worker)
{
    uint64_t wait_ms = pace_wait_ms(worker);
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

/* ---- the end ---- */

/* Connections that have something left to be done or written. */
static unsigned unfinished(const struct worker *worker)
{
    struct list *at, *after;
    unsigned count = 0;
    list_each(at, after, &worker->conns)
    {
        const struct conn *conn = list_entry(at, struct conn, link);
        count +=
            conn->state != CONN_CLOSING && (conn->queued > conn->queued_events || conn->pending != NULL ||
                                            conn->staging != NULL || conn->leaving != NULL);
    }
    return count;
}

static void close_handles(struct worker *worker)
{
    uv_close((uv_handle_t *)&worker->prepare, NULL);
    uv_close((uv_handle_t *)&worker->check, NULL);
    uv_close((uv_handle_t *)&worker->busy, NULL);
    uv_close((uv_handle_t *)&worker->due, NULL);
    uv_close((uv_handle_t *)&worker->watch, NULL);
    uv_close((uv_handle_t *)&worker->save_due, NULL);
    runners_close_handle(&worker->runners);
    mailbox_close_handle(&worker->mailbox);
}

/* The loop ends when all of this is closed, and its thread with it. */
static void close_all(struct worker *worker)
{
    struct list *at, *after;
    if (worker->closed)
        return;
    worker->closed = true;
    list_each(at, after, &worker->conns)
    {
        conn_close(list_entry(at, struct conn, link), "the daemon ends");
    }
    saving_abort_all(worker, "the daemon ends");
    loads_abort(worker);
    close_handles(worker);
}

/* At the end of each turn while draining: tells the main thread once all is quiet, and closes once it wants that.
 * True: another turn is needed to know. */
static bool drain(struct worker *worker)
{
    unsigned waiting = unfinished(worker);
    bool quiet = waiting == 0 && !worker->active && list_empty(&worker->runnable);
    atomic_store_explicit(&worker->published.waiting, waiting, memory_order_relaxed);
    worker->quiet_turns = quiet ? worker->quiet_turns + 1 : 0;
    if (worker->quiet_turns < QUIET_TURNS)
        return quiet || worker->active;
    if (!atomic_exchange(&worker->drained, true))
        uv_async_send(&worker->server->wake);
    if (worker->closing)
        close_all(worker);
    return false;
}

static void on_drain(struct worker *worker, struct message *message)
{
    (void)message;
    worker->draining = true;
    saving_abort_all(worker, "the daemon goes down");
    loads_abort(worker);
    worker_wake(worker);
}

/* What the drain was over for, for whoever reads the log. */
static void tell_left(struct worker *worker)
{
    struct list *at, *after;
    unsigned unsent = 0, calls = 0, moving = 0, runnable = 0;
    list_each(at, after, &worker->conns)
    {
        const struct conn *conn = list_entry(at, struct conn, link);
        bool open = conn->state != CONN_CLOSING;
        unsent += open && conn->queued > 0;
        calls += open && (conn->pending != NULL || conn->staging != NULL);
        moving += open && conn->leaving != NULL;
        runnable += open && !list_empty(&conn->in_runnable);
    }
    if (unsent + calls + moving + runnable > 0)
        log_write(worker->log, LOG_LEVEL_WARN, "left",
                  "worker=%u unsent=%u calls=%u moving=%u waiting=%u msg=\"connections cut off at the end\"",
                  worker->index, unsent, calls, moving, runnable);
}

static void on_close(struct worker *worker, struct message *message)
{
    worker->closing = true;
    if (message == &worker->close_at_once && !worker->closed)
        tell_left(worker);
    if (message == &worker->close_at_once)
        close_all(worker);
    else
        worker_wake(worker);
}

/* ---- for the main thread ---- */

void worker_tell_drain(struct worker *worker)
{
    static const struct message_kind kind = {.deliver = on_drain};
    mailbox_post(&worker->mailbox, &worker->drain, &kind);
}

void worker_tell_close(struct worker *worker, bool at_once)
{
    static const struct message_kind kind = {.deliver = on_close};
    mailbox_post(&worker->mailbox, at_once ? &worker->close_at_once : &worker->close, &kind);
}

static void on_rules(struct worker *worker, struct message *message)
{
    (void)message;
    atomic_store(&worker->told, false); /* what changes from here on is another message */
    saving_retime(worker);
}

/* One that is under way already tells of this change, too: it has not been looked at yet. */
void worker_tell_rules(struct worker *worker)
{
    static const struct message_kind kind = {.deliver = on_rules};
    if (!atomic_exchange(&worker->told, true))
        mailbox_post(&worker->mailbox, &worker->rules, &kind);
}

void worker_publish(struct worker *worker)
{
    struct list *at, *after;
    uint64_t pools = 0, objects = 0, bytes = 0, sessions = 0, memory = 0;
    list_each(at, after, &worker->pools)
    {
        struct pool_entry *entry = list_entry(at, struct pool_entry, link);
        struct pool_stats stats;
        if (entry->loading)
            continue;
        pool_stats(entry->pool, &stats);
        pools++;
        objects += stats.objects;
        bytes += stats.object_bytes;
        sessions += stats.sessions_open + stats.sessions_grace;
        memory += stats.memory_used;
    }
    /* relaxed: each figure stands for itself, nothing is reached through it */
    atomic_store_explicit(&worker->published.pools, pools, memory_order_relaxed);
    atomic_store_explicit(&worker->published.objects, objects, memory_order_relaxed);
    atomic_store_explicit(&worker->published.object_bytes, bytes, memory_order_relaxed);
    atomic_store_explicit(&worker->published.sessions, sessions, memory_order_relaxed);
    atomic_store_explicit(&worker->published.memory_used, memory, memory_order_relaxed);
}

static void on_alive(struct worker *worker, struct message *message)
{
    (void)message;
    worker_publish(worker);
    /* release: the message is the main thread's again */
    atomic_store_explicit(&worker->answered, true, memory_order_release);
}

bool worker_alive(struct worker *worker)
{
    static const struct message_kind kind = {.deliver = on_alive};
    bool alive = !worker->asked || atomic_load_explicit(&worker->answered, memory_order_acquire);
    if (!alive)
        return false;
    atomic_store_explicit(&worker->answered, false, memory_order_relaxed);
    worker->asked = true;
    mailbox_post(&worker->mailbox, &worker->alive, &kind);
    return true;
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
    if (!list_empty(&ready))
        book_settle(&worker->book);
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
    uint64_t ns = uv_hrtime() - worker->turn_ns;
    if (ns / 1000 > worker->counters.turn_us_max)
        worker->counters.turn_us_max = ns / 1000;
    book_turn(worker, ns);
}

static void on_check(uv_check_t *check)
{
    struct worker *worker = check->data;
    run_connections(worker);
    if (worker->due_fired) {
        book_settle(&worker->book);
        pace_tell_time(worker);
    }
    worker->due_fired = false;
    bool more = pace_step(worker);
    more |= events_send(worker);
    pace_settle(worker);
    more |= saving_turn(worker);
    more |= pools_dispose(worker);
    more |= stash_dispose(worker);
    more |= !list_empty(&worker->runnable);
    if (worker->draining)
        more |= drain(worker);
    count_turn(worker);
    if (worker->closed)
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

/* ---- life cycle ---- */

static void init_handles(struct worker *worker)
{
    uv_prepare_init(&worker->loop, &worker->prepare);
    uv_check_init(&worker->loop, &worker->check);
    uv_idle_init(&worker->loop, &worker->busy);
    uv_timer_init(&worker->loop, &worker->due);
    uv_timer_init(&worker->loop, &worker->watch);
    uv_timer_init(&worker->loop, &worker->save_due);
    worker->prepare.data = worker->check.data = worker->busy.data = worker->due.data = worker->watch.data =
        worker->save_due.data = worker;
    uv_prepare_start(&worker->prepare, on_prepare);
    uv_check_start(&worker->check, on_check);
}

/* What is to be done about the chores that runners have done may take long. */
static void on_runners(struct runners *runners)
{
    struct worker *worker = list_entry(runners, struct worker, runners);
    book_settle(&worker->book);
}

int worker_open(struct worker **ret, struct server *server, unsigned index)
{
    /* In lines of its own: no other thread's writes slow this one down. */
    size_t size = bits_round_up(sizeof(struct worker), CACHE_LINE);
    struct worker *worker = aligned_alloc(CACHE_LINE, size);
    if (worker == NULL)
        return -HF_E_OOM;
    memset(worker, 0, size);
    *ret = worker;
    worker->server = server;
    worker->index = index;
    worker->log = server->log;
    worker->mem = &worker->own;
    mem_init(&worker->own, &server->mem, UINT64_MAX);
    worker->turn = 1;
    worker->clock_ns = uv_hrtime();
    list_init(&worker->pools);
    list_init(&worker->disposals);
    list_init(&worker->conns);
    list_init(&worker->runnable);
    list_init(&worker->watched);
    list_init(&worker->savings);
    worker->save_every_ms = rules_period_ms(&server->rules);
    worker->input = malloc(INPUT_SIZE);
    worker->scratch = malloc(sizeof *worker->scratch);
    if (!pace_open(&worker->pace, worker->mem) || output_init(&worker->out) != 0 || worker->input == NULL ||
        worker->scratch == NULL)
        return -HF_E_OOM;
    if (uv_loop_init(&worker->loop) != 0)
        return -HF_E_INTERNAL;
    worker->has_loop = true;
    if (runners_open(&worker->runners, worker->mem, &worker->loop) != 0)
        return -HF_E_INTERNAL;
    worker->runners.woken = on_runners;
    if (mailbox_open(&worker->mailbox, worker, &worker->loop) != 0) {
        runners_close_handle(&worker->runners);
        uv_run(&worker->loop, UV_RUN_DEFAULT);
        return -HF_E_INTERNAL;
    }
    worker->has_mailbox = true;
    init_handles(worker);
    return 0;
}

/* Nobody cancels threads here. In a process of several threads the C library changes the kind of cancellation, by two
 * atomic operations, around each read, write and wait, unless it is the asynchronous one already. What that saves:
 * output.c, write_now(). */
static void spare_cancellation(void)
{
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
    pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL);
}

static void serve(void *data)
{
    struct worker *worker = data;
    char name[16]; /* the system's limit */
    snprintf(name, sizeof name, "worker-%u", worker->index);
    pthread_setname_np(pthread_self(), name);
    spare_cancellation();
    uv_run(&worker->loop, UV_RUN_DEFAULT);
    atomic_store(&worker->ended, true);
    uv_async_send(&worker->server->wake);
}

/* Signals are the main thread's: a worker is never interrupted by one. */
int worker_start(struct worker *worker)
{
    sigset_t all, before;
    worker_publish(worker);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int r = uv_thread_create(&worker->thread, serve, worker);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return r == 0 ? 0 : -1;
}

/* Its thread was never started: what it would have closed at its end. */
static void close_unstarted(struct worker *worker)
{
    if (worker->closed || !worker->has_mailbox)
        return;
    close_all(worker);
    uv_run(&worker->loop, UV_RUN_DEFAULT);
}

void worker_close(struct worker *worker)
{
    close_unstarted(worker);
    runners_close(&worker->runners);
    if (worker->has_mailbox)
        mailbox_close(&worker->mailbox);
    pools_close(worker);
    pace_close(&worker->pace);
    stash_free_spares(worker);
    ask_free_spares(worker);
    mem_free(worker->mem, worker->spare_pending, sizeof *worker->spare_pending);
    output_done(&worker->out);
    book_close(&worker->book);
    free(worker->input);
    free(worker->scratch);
    if (worker->has_loop)
        uv_loop_close(&worker->loop);
    mem_done(&worker->own);
    free(worker);
}
