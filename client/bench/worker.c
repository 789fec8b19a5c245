/* SPDX-License-Identifier: BSD-3-Clause */
#include "client/bench/worker.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#define EVENTS      64
#define PATIENCE_NS BENCH_SECOND /* for replies, after an order to stop */

static uint64_t sooner(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* ---- Recording ----------------------------------------------------------------------------------------- */

void bench_worker_record(struct bench_worker *worker, uint64_t now_ns)
{
    struct bench_burst *burst = &worker->burst;
    bool counts = bench_worker_counts(worker, burst->since_ns);
    uint64_t latency_ns = now_ns - burst->since_ns;
    uint64_t all = 0;
    for (unsigned step = 0; burst->steps >> step != 0; step++) {
        if (counts && burst->count[step] != 0)
            bench_histogram_add(&worker->record->step[step].latency, latency_ns, burst->count[step]);
        all += burst->count[step];
        burst->count[step] = 0;
    }
    if (all != 0 && counts) {
        bench_histogram_add(worker->second_latency, latency_ns, all);
        worker->record->last_ns = now_ns;
    }
    burst->steps = 0;
}

static bool report_second(struct bench_worker *worker)
{
    bool done = bench_series_report(worker->shared->series, worker->second, worker->second_latency,
                                    worker->second_errors);
    worker->second++;
    worker->second_errors = 0;
    bench_histogram_clear(worker->second_latency);
    return done || bench_fail_memory(&worker->problem);
}

/* ---- Phases -------------------------------------------------------------------------------------------- */

static void count_cpu(const struct bench_worker *worker, uint64_t *ret_ns, struct bench_thread_time *ret_time,
                      struct bench_process_time *ret_server)
{
    if (worker->index == 0 && worker->shared->server_pid != 0)
        bench_process_time(worker->shared->server_pid, ret_server);
    *ret_time = bench_thread_time();
    *ret_ns = bench_now_ns();
}

static void begin_measuring(struct bench_worker *worker)
{
    worker->begun = true;
    worker->measuring = true;
    count_cpu(worker, &worker->cpu_begin_ns, &worker->cpu_before, &worker->server_before);
}

static void end_cpu(struct bench_worker *worker)
{
    if (worker->begun && worker->cpu_end_ns == 0)
        count_cpu(worker, &worker->cpu_end_ns, &worker->cpu_after, &worker->server_after);
}

/* Open loop: hands out the places of the schedule that are due before `end_ns`, and sends. */
static bool deal(struct bench_worker *worker, uint64_t end_ns, uint64_t now_ns)
{
    uint64_t last_ns = worker->shared->end_ns;
    uint64_t end = bench_schedule_before(&worker->schedule, sooner(end_ns, last_ns));
    uint64_t first = worker->due;
    if (worker->count == 0)
        return true; /* nobody to deal to: that is not so in a run, but only its checks of options see to it */
    for (; worker->due < end; worker->due++) {
        uint64_t due_ns = bench_schedule_due(&worker->schedule, worker->due);
        worker->connections[worker->due % worker->count].assigned++;
        if (due_ns >= worker->begin_ns)
            bench_histogram_add(&worker->record->lag, now_ns > due_ns ? now_ns - due_ns : 0, 1);
    }
    for (uint64_t place = first; place < end && place < first + worker->count; place++) {
        if (!bench_connection_send(worker, &worker->connections[place % worker->count], now_ns))
            return false;
    }
    return true;
}

/* No further requests from now on. What was due and could not be sent is counted. */
static bool close_load(struct bench_worker *worker, uint64_t now_ns)
{
    if (worker->open && !deal(worker, now_ns, now_ns))
        return false;
    worker->closing = true;
    worker->measuring = false;
    worker->ended_ns = sooner(now_ns, worker->shared->end_ns);
    for (uint32_t i = 0; i < worker->count; i++) {
        struct bench_connection *connection = &worker->connections[i];
        if (worker->open && connection->left != 0)
            worker->record->unsent += connection->assigned - connection->taken;
        connection->left = 0;
        connection->follow_first = connection->follow_end;
    }
    worker->left = worker->follows = 0;
    if (!worker->open)
        end_cpu(worker);
    return true;
}

bool bench_worker_cross(struct bench_worker *worker, uint64_t now_ns)
{
    const struct bench_shared *shared = worker->shared;
    if (!worker->begun && now_ns >= shared->measure_ns)
        begin_measuring(worker);
    uint64_t next_ns = shared->measure_ns;
    if (worker->begun) {
        while (now_ns >= (next_ns = shared->measure_ns + (worker->second + 1) * BENCH_SECOND)) {
            if (!report_second(worker))
                return false;
        }
    }
    if (!worker->closing && now_ns >= shared->end_ns && !close_load(worker, now_ns))
        return false;
    if (worker->closing)
        worker->boundary_ns = worker->open ? next_ns : UINT64_MAX;
    else
        worker->boundary_ns = sooner(next_ns, shared->end_ns);
    return true;
}

/* Takes the order to stop, and gives up waiting where that is due. False with a problem, or to end at once. */
static bool look_around(struct bench_worker *worker, uint64_t now_ns)
{
    int64_t timeout_ms = worker->shared->options->timeout_ms;
    if (now_ns >= worker->boundary_ns && !bench_worker_cross(worker, now_ns))
        return false;
    if (worker->give_up_ns == 0 && atomic_load(&worker->shared->stop)) {
        worker->give_up_ns = now_ns + PATIENCE_NS;
        if (!worker->closing && !close_load(worker, now_ns))
            return false;
    }
    if (worker->give_up_ns != 0 && now_ns >= worker->give_up_ns)
        return false;
    if (worker->in_flight != 0 && timeout_ms >= 0 &&
        now_ns - worker->moved_ns > (uint64_t)timeout_ms * 1000000)
        return bench_fail(&worker->problem, HF_ERR_NOREPLY,
                          "no answer for %lld ms, with %llu requests on their way", (long long)timeout_ms,
                          (unsigned long long)worker->in_flight);
    return true;
}

/* ---- The loop ------------------------------------------------------------------------------------------ */

static bool is_done(const struct bench_worker *worker)
{
    if (worker->in_flight != 0)
        return false;
    return worker->closing ||
           (worker->shared->options->count != 0 && worker->left == 0 && worker->follows == 0);
}

/* Waits for events, `span_ns` at most. A kernel before Linux 5.11 knows only milliseconds. */
static int poll_events(struct bench_worker *worker, struct epoll_event *events, uint64_t span_ns)
{
    const struct timespec span = {.tv_sec = (time_t)(span_ns / BENCH_SECOND),
                                  .tv_nsec = (long)(span_ns % BENCH_SECOND)};
    if (!worker->coarse) {
        int count = epoll_pwait2(worker->epoll, events, EVENTS, &span, NULL);
        if (count >= 0 || errno != ENOSYS)
            return count;
        worker->coarse = true;
    }
    uint64_t ms = span_ns / 1000000 + (span_ns % 1000000 != 0);
    return epoll_wait(worker->epoll, events, EVENTS, ms < INT_MAX ? (int)ms : INT_MAX);
}

/* Waits for events until there is something else to do. How many, or -1 with a problem. */
static int wait_events(struct bench_worker *worker, struct epoll_event *events)
{
    uint64_t until_ns = worker->boundary_ns, now_ns = bench_now_ns();
    int64_t timeout_ms = worker->shared->options->timeout_ms;
    if (worker->open && !worker->closing)
        until_ns = sooner(until_ns, bench_schedule_due(&worker->schedule, worker->due));
    if (worker->in_flight != 0 && timeout_ms >= 0)
        until_ns = sooner(until_ns, worker->moved_ns + (uint64_t)timeout_ms * 1000000 + 1);
    if (worker->give_up_ns != 0)
        until_ns = sooner(until_ns, worker->give_up_ns);
    int count = poll_events(worker, events, until_ns > now_ns ? until_ns - now_ns : 0);
    if (count < 0 && errno != EINTR) {
        bench_fail(&worker->problem, HF_ERR_MEMORY, "epoll_wait: %s", strerror(errno));
        return -1;
    }
    return count < 0 ? 0 : count;
}

static bool serve(struct bench_worker *worker, const struct epoll_event *event)
{
    struct bench_connection *connection = event->data.ptr;
    if (connection == NULL)
        return true; /* the order to stop, which is looked at in each round */
    if ((event->events & EPOLLOUT) != 0 && !bench_connection_flush(worker, connection))
        return false;
    return (event->events & ~(uint32_t)EPOLLOUT) == 0 || bench_connection_receive(worker, connection);
}

static bool take_turn(struct bench_worker *worker)
{
    struct epoll_event events[EVENTS];
    int count = wait_events(worker, events);
    if (count < 0)
        return false;
    for (int i = 0; i < count; i++) {
        if (!serve(worker, &events[i]))
            return false;
    }
    uint64_t now_ns = bench_now_ns();
    return look_around(worker, now_ns) &&
           (!worker->open || worker->closing || deal(worker, now_ns + 1, now_ns));
}

static bool begin_load(struct bench_worker *worker)
{
    struct timespec start = {.tv_sec = (time_t)(worker->shared->start_ns / BENCH_SECOND),
                             .tv_nsec = (long)(worker->shared->start_ns % BENCH_SECOND)};
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &start, NULL);
    uint64_t now_ns = bench_now_ns();
    worker->moved_ns = now_ns;
    worker->begin_ns = worker->shared->measure_ns;
    if (!bench_worker_cross(worker, now_ns))
        return false;
    for (uint32_t i = 0; i < worker->count && !worker->open; i++) {
        if (!bench_connection_send(worker, &worker->connections[i], now_ns))
            return false;
    }
    return !worker->open || deal(worker, now_ns + 1, now_ns);
}

void bench_shared_stop(struct bench_shared *shared)
{
    const uint64_t one = 1;
    atomic_store(&shared->stop, true);
    /* It cannot be full: it would take 2^64 - 1 orders. */
    if (write(shared->wake, &one, sizeof one) < 0)
        abort();
}

static void *run(void *argument)
{
    struct bench_worker *worker = argument;
    const uint64_t one = 1;
    /* Due times are not to be rounded up to the usual 50 us. A wish: the lag is measured. */
    prctl(PR_SET_TIMERSLACK, 1ul, 0ul, 0ul, 0ul);
    bool going = begin_load(worker);
    while (going && !is_done(worker))
        going = take_turn(worker);
    end_cpu(worker);
    worker->record->unanswered = worker->in_flight;
    if (worker->ended_ns == 0)
        worker->ended_ns = worker->record->last_ns;
    uint64_t reported_ns = worker->shared->measure_ns + worker->second * BENCH_SECOND;
    if (worker->second_latency->count + worker->second_errors != 0 || worker->ended_ns > reported_ns)
        report_second(worker);
    if (worker->problem.code != 0)
        bench_shared_stop(worker->shared);
    if (write(worker->shared->ended, &one, sizeof one) < 0)
        abort(); /* as above */
    return NULL;
}

/* ---- Beginning and end --------------------------------------------------------------------------------- */

bool bench_worker_init(struct bench_worker *worker, struct bench_shared *shared, uint32_t index,
                       uint32_t count)
{
    const struct bench_options *options = shared->options;
    size_t out_size = BENCH_OUT_SOFT + BENCH_REQUEST_MAX + (size_t)shared->wire->value_max;
    *worker = (struct bench_worker){
        .shared = shared,
        .index = index,
        .open = options->rate != 0,
        .depth = options->depth,
        .ring_mask = shared->ring - 1,
        .connections = calloc(count, sizeof *worker->connections),
        .in = malloc(BENCH_REPLY_MAX + BENCH_IN_SIZE),
        .out = malloc(out_size),
        .second_latency = calloc(1, sizeof *worker->second_latency),
        .record = calloc(1, sizeof *worker->record),
        .epoll = epoll_create1(EPOLL_CLOEXEC),
    };
    if (worker->connections == NULL || worker->in == NULL || worker->out == NULL ||
        worker->second_latency == NULL || worker->record == NULL)
        return bench_fail_memory(&worker->problem);
    struct epoll_event wake = {.events = EPOLLIN | EPOLLET, .data.ptr = NULL};
    if (worker->epoll < 0 || epoll_ctl(worker->epoll, EPOLL_CTL_ADD, shared->wake, &wake) != 0)
        return bench_fail(&worker->problem, HF_ERR_MEMORY, "epoll: %s", strerror(errno));
    return true;
}

bool bench_worker_start(struct bench_worker *worker)
{
    const struct bench_shared *shared = worker->shared;
    worker->schedule = (struct bench_schedule){.start_ns = shared->start_ns,
                                               .rate = worker->open ? shared->options->rate : 1,
                                               .thread = worker->index,
                                               .threads = shared->options->threads};
    int error = pthread_create(&worker->thread, NULL, run, worker);
    if (error != 0)
        return bench_fail(&worker->problem, HF_ERR_MEMORY, "no thread: %s", strerror(error));
    worker->running = true;
    return true;
}

void bench_worker_join(struct bench_worker *worker)
{
    if (worker->running)
        pthread_join(worker->thread, NULL);
    worker->running = false;
}

void bench_worker_done(struct bench_worker *worker)
{
    for (uint32_t i = 0; worker->connections != NULL && i < worker->count; i++)
        bench_connection_done(&worker->connections[i]);
    free(worker->connections);
    free(worker->in);
    free(worker->out);
    free(worker->second_latency);
    free(worker->record);
    if (worker->epoll >= 0)
        close(worker->epoll);
    *worker = (struct bench_worker){.epoll = -1};
}
