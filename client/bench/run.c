/* SPDX-License-Identifier: BSD-3-Clause */
#include "client/bench/run.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client/bench/worker.h"

#define LEAD_NS         UINT64_C(2000000) /* between the making of the threads and the first request */
#define PROGRESS_MS     100
#define FILES_SPARE     64
#define TIDY_TIMEOUT_MS 1000 /* to wait for a daemon that has failed to answer already */

/* All that a run has made. */
struct run {
    const struct bench_options *options;
    struct bench_console *console;
    struct bench_result *result;
    struct bench_problem *problem;
    struct bench_progress progress;
    struct bench_random random;
    struct bench_wire wire;
    struct bench_shared shared;
    struct bench_space *spaces;   /* options->pools of them */
    struct bench_worker *workers; /* options->threads of them */
    hf_conn *admin;               /* makes and drops pools; NULL when there are none to make */
    uint32_t tag;
};

/* ---- Pools and objects --------------------------------------------------------------------------------- */

static bool make_pools(struct run *run)
{
    const struct bench_options *options = run->options;
    if (options->pool != NULL) {
        snprintf(run->spaces[0].pool, sizeof run->spaces[0].pool, "%s", options->pool);
        return true;
    }
    if (!bench_session_open(options, NULL, &run->admin, run->problem))
        return false;
    for (uint32_t i = 0; i < options->pools; i++) {
        struct bench_space *space = &run->spaces[i];
        snprintf(space->pool, sizeof space->pool, options->pools == 1 ? "bench-%08x" : "bench-%08x-%u",
                 (unsigned)run->tag, (unsigned)i);
        if (hf_pool_create(run->admin, space->pool, 0) != 0)
            return bench_fail_call(run->problem, run->admin, "making a pool");
        space->made = true;
    }
    return true;
}

static bool fill_spaces(struct run *run)
{
    run->progress = (struct bench_progress){.console = run->console, .total = bench_space_work(run->options)};
    for (uint32_t i = 0; i < run->options->pools; i++) {
        if (!bench_space_fill(&run->spaces[i], run->options, &run->wire, &run->random, &run->progress,
                              run->problem))
            return false;
    }
    const struct hf_session *session = hf_session(run->spaces[0].conn);
    snprintf(run->result->server, sizeof run->result->server, "%s", session->server);
    snprintf(run->result->version, sizeof run->result->version, "%s", session->version);
    snprintf(run->result->pool, sizeof run->result->pool, "%s", run->spaces[0].pool);
    return true;
}

static bool make_sequences(struct run *run)
{
    const struct bench_options *options = run->options;
    struct bench_keys keys, own;
    bench_keys_init(&keys, options->objects, options->exponent);
    bench_keys_init(&own, run->shared.own_count, options->exponent);
    run->result->sequence = bench_sequence_length(options->objects, options->pools);
    for (uint32_t i = 0; i < options->pools; i++) {
        struct bench_space *space = &run->spaces[i];
        const struct bench_source source = {.mix = &options->mix,
                                            .sizes = &options->sizes,
                                            .keys = &keys,
                                            .own = &own,
                                            .ids = space->ids,
                                            .object_sizes = space->sizes};
        bench_console_show(run->console, "drawing operations");
        if (!bench_sequence_make(&space->sequence, &source, run->result->sequence, &run->random))
            return bench_fail_memory(run->problem);
    }
    return true;
}

/* ---- Connections --------------------------------------------------------------------------------------- */

/* Makes sure that so many descriptors may be open. */
static bool raise_limit(struct run *run)
{
    struct rlimit limit;
    rlim_t wanted =
        (rlim_t)run->options->connections + run->options->pools + run->options->threads + FILES_SPARE;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= wanted)
        return true;
    if (limit.rlim_max < wanted)
        return bench_fail(run->problem, HF_ERR_ARGUMENT,
                          "%u connections need %llu descriptors, and %llu are allowed; raise `ulimit -n`",
                          run->options->connections, (unsigned long long)wanted,
                          (unsigned long long)limit.rlim_max);
    limit.rlim_cur = wanted;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
        return bench_fail(run->problem, HF_ERR_MEMORY, "setrlimit: %s", strerror(errno));
    return true;
}

static bool open_connection(struct run *run, struct bench_worker *worker, uint32_t number)
{
    struct bench_space *space = &run->spaces[number % run->options->pools];
    struct bench_connection *connection = &worker->connections[worker->count++];
    hf_conn *conn = NULL;
    hf_id *own = NULL;
    bool opened = bench_session_open(run->options, space->pool, &conn, run->problem);
    if (opened && (bench_mix_needs(&run->options->mix) & BENCH_NEEDS_OWN) != 0) {
        own = calloc(run->shared.own_count, sizeof *own);
        opened = own != NULL ? bench_space_fill_own(conn, run->options, &run->wire, &run->random,
                                                    &run->progress, own, run->problem)
                             : bench_fail_memory(run->problem);
    }
    if (opened && !bench_connection_init(worker, connection, conn, number, space))
        opened = bench_fail(run->problem, worker->problem.code, "%s", worker->problem.text);
    /* The connection is the worker's in any case, which closes it. */
    connection->conn = conn;
    connection->own = own;
    return opened;
}

/* Connection c belongs to worker c modulo threads, so that all of them have their share of every pool. */
static bool open_connections(struct run *run)
{
    const struct bench_options *options = run->options;
    for (uint32_t i = 0; i < options->threads; i++) {
        uint32_t share =
            options->connections / options->threads + (i < options->connections % options->threads);
        if (!bench_worker_init(&run->workers[i], &run->shared, i, share))
            return bench_fail(run->problem, run->workers[i].problem.code, "%s", run->workers[i].problem.text);
    }
    for (uint32_t number = 0, next = 0; number < options->connections; number++) {
        if (!open_connection(run, &run->workers[next], number))
            return false;
        next = next + 1 == options->threads ? 0 : next + 1;
        bench_console_show(run->console, "connecting: %u of %u", number + 1, options->connections);
        if (bench_console_interrupted(run->console))
            return bench_fail(run->problem, BENCH_INTERRUPTED,
                              "ended by a signal before anything was measured");
    }
    return true;
}

/* The process at the other end of a unix socket if that is a holdfastd (and not systemd, which has opened the socket
 * for it); else 0. */
static int find_server(const hf_conn *conn)
{
    struct ucred peer;
    socklen_t size = sizeof peer;
    if (getsockopt(hf_fd(conn), SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0 || peer.pid <= 0)
        return 0;
    return bench_process_is(peer.pid, "holdfastd") ? peer.pid : 0;
}

/* ---- The load ------------------------------------------------------------------------------------------ */

static void show_progress(struct run *run)
{
    struct bench_second second;
    size_t index;
    if (bench_series_latest(&run->result->series, &index, &second))
        bench_console_show(run->console, "second %zu: %llu requests, p99 %.0f us%s", index + 1,
                           (unsigned long long)second.requests, (double)second.p99_ns / 1e3,
                           second.errors != 0 ? ", with errors" : "");
    else
        bench_console_show(run->console, "%s",
                           bench_now_ns() < run->shared.measure_ns ? "warming up" : "measuring");
}

/* Waits until `count` workers have ended. */
static void supervise(struct run *run, uint32_t count)
{
    struct pollfd wait[2] = {{.fd = run->console->signals, .events = POLLIN},
                             {.fd = run->shared.ended, .events = POLLIN}};
    for (uint64_t ended = 0; ended < count;) {
        uint64_t more;
        poll(wait, 2, run->console->terminal ? PROGRESS_MS : -1);
        if (bench_console_interrupted(run->console) && wait[0].fd >= 0) {
            wait[0].fd = -1;
            bench_shared_stop(&run->shared);
        }
        if (wait[1].revents != 0 && read(run->shared.ended, &more, sizeof more) == (ssize_t)sizeof more)
            ended += more;
        show_progress(run);
    }
    bench_console_clear(run->console);
}

static bool put_load_on(struct run *run)
{
    const struct bench_options *options = run->options;
    uint32_t started = 0;
    struct bench_shared *shared = &run->shared;
    shared->server_pid = find_server(run->spaces[0].conn);
    clock_gettime(CLOCK_REALTIME, &run->result->date);
    shared->start_ns = bench_now_ns() + LEAD_NS;
    shared->measure_ns = shared->start_ns + (options->count != 0 ? 0 : options->warmup_ns);
    shared->end_ns = options->count != 0 ? UINT64_MAX : shared->measure_ns + options->duration_ns;
    while (started < options->threads && bench_worker_start(&run->workers[started]))
        started++;
    if (started < options->threads)
        bench_shared_stop(shared);
    supervise(run, started);
    for (uint32_t i = 0; i < options->threads; i++) {
        const struct bench_problem *problem = &run->workers[i].problem;
        bench_worker_join(&run->workers[i]);
        if (problem->code != 0)
            bench_fail(run->problem, problem->code, "%s", problem->text);
    }
    return run->problem->code == 0;
}

/* ---- What came of it ----------------------------------------------------------------------------------- */

static void gather_cpu(const struct run *run, double requests)
{
    struct bench_result *result = run->result;
    const struct bench_worker *first = &run->workers[0];
    uint64_t all = 0, most;
    for (uint32_t i = 0; i < run->options->threads; i++) {
        const struct bench_worker *worker = &run->workers[i];
        double span = (double)(worker->cpu_end_ns - worker->cpu_begin_ns);
        uint64_t cpu = worker->cpu_after.cpu_ns - worker->cpu_before.cpu_ns;
        uint64_t waited = worker->cpu_after.waited_ns - worker->cpu_before.waited_ns;
        if (span <= 0)
            continue;
        all += cpu;
        result->own_share = (double)cpu / span > result->own_share ? (double)cpu / span : result->own_share;
        result->own_waited =
            (double)waited / span > result->own_waited ? (double)waited / span : result->own_waited;
    }
    result->own_ns = requests > 0 ? (double)all / requests : 0;
    result->server_known = first->server_before.count != 0 && first->server_after.count != 0;
    if (!result->server_known)
        return;
    double span = (double)(first->cpu_end_ns - first->cpu_begin_ns);
    bench_process_spent(&first->server_before, &first->server_after, &all, &most);
    result->server_cores = (double)all / span;
    result->server_share = (double)most / span;
    result->server_ns = requests > 0 ? (double)all / requests : 0;
}

static bool gather(struct run *run)
{
    struct bench_result *result = run->result;
    uint64_t end_ns = 0;
    for (uint32_t i = 0; i < run->options->threads; i++) {
        const struct bench_worker *worker = &run->workers[i];
        bench_record_merge(result->record, worker->record);
        end_ns = worker->ended_ns > end_ns ? worker->ended_ns : end_ns;
    }
    /* In an open loop replies may come when the time is over already; they count, and so does that time. */
    if (run->options->rate != 0 && result->record->last_ns > end_ns)
        end_ns = result->record->last_ns;
    bench_series_finish(&result->series);
    result->interrupted = run->console->interrupted != 0;
    result->measured = end_ns > run->shared.measure_ns;
    result->seconds = result->measured ? (double)(end_ns - run->shared.measure_ns) / 1e9 : 0;
    gather_cpu(run, (double)bench_record_requests(result->record));
    if (!result->measured && result->interrupted)
        bench_fail(run->problem, BENCH_INTERRUPTED, "ended by a signal before anything was measured");
    return run->problem->code == 0;
}

/* ---- All of it ----------------------------------------------------------------------------------------- */

static bool prepare(struct run *run)
{
    const struct bench_options *options = run->options;
    run->shared = (struct bench_shared){.options = options,
                                        .wire = &run->wire,
                                        .series = &run->result->series,
                                        .ring = 1,
                                        .own_count = bench_space_own_count(options),
                                        .wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
                                        .ended = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
    while (run->shared.ring < options->depth)
        run->shared.ring *= 2;
    bench_random_seed(&run->random, options->seed);
    if (getrandom(&run->tag, sizeof run->tag, 0) != (ssize_t)sizeof run->tag)
        return bench_fail(run->problem, HF_ERR_MEMORY, "getrandom: %s", strerror(errno));
    run->spaces = calloc(options->pools, sizeof *run->spaces);
    run->workers = calloc(options->threads, sizeof *run->workers);
    for (uint32_t i = 0; run->workers != NULL && i < options->threads; i++)
        run->workers[i].epoll = -1;
    run->result->record = calloc(1, sizeof *run->result->record);
    if (run->shared.wake < 0 || run->shared.ended < 0)
        return bench_fail(run->problem, HF_ERR_MEMORY, "eventfd: %s", strerror(errno));
    if (run->spaces == NULL || run->workers == NULL || run->result->record == NULL ||
        !bench_wire_init(&run->wire, run->tag, bench_sizes_most(&options->sizes)))
        return bench_fail_memory(run->problem);
    return raise_limit(run);
}

/* A daemon that has gone has taken its pools with it; whoever lost it has been told already. */
static void drop_pools(struct run *run)
{
    for (uint32_t i = 0; i < run->options->pools; i++) {
        const struct bench_space *space = &run->spaces[i];
        if (!space->made || hf_pool_drop(run->admin, space->pool, true) == 0 ||
            (run->problem->code != 0 && !hf_connected(run->admin)))
            continue;
        bench_fail(&run->result->tidying, hf_last_error(run->admin)->code,
                   "the pool %s stays behind (%s); drop it with `holdfast pool_drop --force %s`", space->pool,
                   hf_last_error(run->admin)->text, space->pool);
    }
    if (run->admin != NULL && hf_connected(run->admin))
        hf_bye(run->admin, NULL);
    hf_close(run->admin);
}

/* Nobody wants to wait long for a daemon that does not answer, but who has said so. */
static void hurry(const struct run *run, hf_conn *conn)
{
    const struct bench_record *record = run->result->record;
    bool failed = run->problem->code != 0 || (record != NULL && record->unanswered != 0);
    if (failed && conn != NULL && run->options->timeout_ms > TIDY_TIMEOUT_MS)
        hf_set_timeout(conn, TIDY_TIMEOUT_MS);
}

static void tidy_up(struct run *run)
{
    bench_console_show(run->console, "tidying up");
    for (uint32_t i = 0; run->workers != NULL && i < run->options->threads; i++)
        bench_worker_done(&run->workers[i]);
    for (uint32_t i = 0; run->spaces != NULL && i < run->options->pools; i++) {
        hurry(run, run->spaces[i].conn);
        bench_space_done(&run->spaces[i], &run->wire, &run->progress, &run->result->tidying);
    }
    hurry(run, run->admin);
    if (run->spaces != NULL)
        drop_pools(run);
    bench_wire_done(&run->wire);
    free(run->spaces);
    free(run->workers);
    if (run->shared.wake >= 0)
        close(run->shared.wake);
    if (run->shared.ended >= 0)
        close(run->shared.ended);
    bench_console_clear(run->console);
}

bool bench_run(const struct bench_options *options, struct bench_console *console,
               struct bench_result *result, struct bench_problem *problem)
{
    struct run run = {.options = options, .console = console, .result = result, .problem = problem};
    *result = (struct bench_result){.measured = false};
    bench_series_init(&result->series, options->threads);
    /* A run that was given up has something to tell too: gather what there is. */
    if (prepare(&run) && make_pools(&run) && fill_spaces(&run) && make_sequences(&run) &&
        open_connections(&run)) {
        put_load_on(&run);
        gather(&run);
    }
    tidy_up(&run);
    return problem->code == 0;
}

void bench_result_done(struct bench_result *result)
{
    free(result->record);
    result->record = NULL;
    bench_series_done(&result->series);
}

struct bench_histogram *bench_result_overall(const struct bench_record *record)
{
    struct bench_histogram *overall = calloc(1, sizeof *overall);
    for (unsigned step = 0; overall != NULL && step < BENCH_STEP_COUNT; step++)
        bench_histogram_merge(overall, &record->step[step].latency);
    return overall;
}
