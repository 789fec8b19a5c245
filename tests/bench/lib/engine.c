/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/bench/lib/engine.h"

#include "tests/bench/lib/clock.h"
#include "tests/bench/lib/net.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define STUCK_MS 10000 /* no reply for so long: the run is void */
#define EVENTS   64
#define SHOWN    48 /* bytes of a wrong reply that the failure quotes */

/* Told once for each arrival: the kernel need not look a second time at a socket that was read. Nothing is missed, for
 * what is left after a read is at most what comes later, and that is told again. */
#define WATCHED (EPOLLIN | (uint32_t)EPOLLET)

struct connection {
    int fd;
    bool wants_out; /* epoll is asked to say when more can be sent */
    struct load_batch batch;
    unsigned char *own;     /* its own batch, or NULL */
    unsigned char *replies; /* room for a batch's replies */
    size_t sent, received;  /* bytes of the batch and of its replies */
    uint32_t checked;       /* units whose replies are right */
    uint64_t started_ns;
};

enum phase { WARMUP, MEASURE, DRAIN };

struct engine {
    const struct load_plan *plan;
    const struct load_run *run;
    struct load_result *result;
    struct connection *connections;
    int epoll;
    enum phase phase;
    uint32_t cursor;                                /* next unit of plan->requests */
    uint32_t busy;                                  /* connections with a batch on its way */
    uint64_t issued;                                /* units sent since the start */
    uint64_t units;                                 /* units completed since the phase began */
    uint64_t started_ns, server_cpu_ns, own_cpu_ns; /* at the start of the phase */
};

static int fail(struct engine *engine, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    if (!engine->result->failure[0])
        vsnprintf(engine->result->failure, sizeof engine->result->failure, format, args);
    va_end(args);
    return -1;
}

/* Quotes a wrong reply. */
static int fail_reply(struct engine *engine, const unsigned char *reply, size_t bytes)
{
    char text[4 * SHOWN + 1] = "";
    size_t at = 0;
    for (size_t i = 0; i < bytes && i < SHOWN; i++)
        at += (size_t)snprintf(text + at, sizeof text - at,
                               reply[i] >= 32 && reply[i] < 127 ? "%c" : "\\x%02x", reply[i]);
    return fail(engine, "wrong reply: %s", text);
}

/* Finds the first wrong one of the units not checked yet. */
static int fail_unit(struct engine *engine, const struct connection *connection)
{
    const struct load_plan *plan = engine->plan;
    uint32_t unit = connection->checked;
    while (plan->protocol->check(plan, &connection->batch, connection->replies, unit, 1))
        unit++;
    size_t at = unit * plan->reply_bytes;
    return fail_reply(engine, connection->replies + at, connection->received - at);
}

static int want_out(struct engine *engine, struct connection *connection, bool wanted)
{
    if (connection->wants_out == wanted)
        return 0;
    struct epoll_event event = {.events = WATCHED | (wanted ? (uint32_t)EPOLLOUT : 0u),
                                .data.ptr = connection};
    connection->wants_out = wanted;
    return epoll_ctl(engine->epoll, EPOLL_CTL_MOD, connection->fd, &event);
}

static int send_some(struct engine *engine, struct connection *connection)
{
    size_t bytes = engine->plan->spec.depth * engine->plan->unit_bytes;
    while (connection->sent < bytes) {
        ssize_t n = send(connection->fd, connection->batch.requests + connection->sent,
                         bytes - connection->sent, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return want_out(engine, connection, true);
        if (n < 0)
            return fail(engine, "send: %s", strerror(errno));
        connection->sent += (size_t)n;
    }
    return want_out(engine, connection, false);
}

static void take_batch(struct engine *engine, struct connection *connection)
{
    const struct load_plan *plan = engine->plan;
    if (connection->own) {
        connection->batch = (struct load_batch){connection->own, plan->objects};
        return;
    }
    connection->batch.requests = plan->requests + engine->cursor * plan->unit_bytes;
    connection->batch.objects = plan->objects + engine->cursor;
    engine->cursor += plan->spec.depth;
    if (engine->cursor == plan->units)
        engine->cursor = 0;
}

static bool enough(const struct engine *engine)
{
    return engine->phase == DRAIN || (engine->run->max_units > 0 && engine->issued >= engine->run->max_units);
}

static int start_batch(struct engine *engine, struct connection *connection, uint64_t now_ns)
{
    if (enough(engine))
        return 0;
    take_batch(engine, connection);
    connection->sent = connection->received = 0;
    connection->checked = 0;
    connection->started_ns = now_ns;
    engine->busy++;
    engine->issued += engine->plan->spec.depth;
    return send_some(engine, connection);
}

static int finish_batch(struct engine *engine, struct connection *connection)
{
    uint64_t now_ns = load_now_ns();
    engine->busy--;
    engine->units += engine->plan->spec.depth;
    load_histogram_add(&engine->result->latency, now_ns - connection->started_ns);
    return start_batch(engine, connection, now_ns);
}

/* Checks the units that have come in since the last call, and the start of an incomplete one. */
static int check_received(struct engine *engine, struct connection *connection)
{
    const struct load_plan *plan = engine->plan;
    if (plan->protocol->even)
        connection->received =
            plan->protocol->even(plan, connection->replies, connection->checked, connection->received,
                                 plan->spec.depth * plan->reply_bytes);
    uint32_t complete = (uint32_t)(connection->received / plan->reply_bytes);
    size_t partial = connection->received % plan->reply_bytes;
    if (!plan->protocol->check(plan, &connection->batch, connection->replies, connection->checked,
                               complete - connection->checked))
        return fail_unit(engine, connection);
    connection->checked = complete;
    const unsigned char *rest = connection->replies + complete * plan->reply_bytes;
    if (partial > plan->probe_offset && rest[plan->probe_offset] != plan->probe_byte)
        return fail_reply(engine, rest, partial);
    return 0;
}

static int receive_some(struct engine *engine, struct connection *connection)
{
    size_t bytes = engine->plan->spec.depth * engine->plan->reply_bytes;
    ssize_t n;
    do
        n = recv(connection->fd, connection->replies + connection->received, bytes - connection->received, 0);
    while (n < 0 && errno == EINTR);
    if (n < 0 && errno == EAGAIN)
        return 0;
    if (n <= 0)
        return fail(engine, "receive: %s", n == 0 ? "closed by the server" : strerror(errno));
    connection->received += (size_t)n;
    if (check_received(engine, connection) < 0)
        return -1;
    return connection->received == bytes ? finish_batch(engine, connection) : 0;
}

static int serve(struct engine *engine, const struct epoll_event *event)
{
    struct connection *connection = event->data.ptr;
    if ((event->events & EPOLLOUT) && send_some(engine, connection) < 0)
        return -1;
    if (event->events & (EPOLLIN | EPOLLHUP | EPOLLERR))
        return receive_some(engine, connection);
    return 0;
}

static void begin_measuring(struct engine *engine)
{
    engine->phase = MEASURE;
    engine->units = 0;
    load_histogram_clear(&engine->result->latency);
    engine->server_cpu_ns = load_process_cpu_ns(engine->run->server_pid);
    engine->own_cpu_ns = load_own_cpu_ns();
    engine->started_ns = load_now_ns();
}

static void end_measuring(struct engine *engine)
{
    struct load_result *result = engine->result;
    result->wall_ns = load_now_ns() - engine->started_ns;
    result->own_cpu_ns = load_own_cpu_ns() - engine->own_cpu_ns;
    result->server_cpu_ns = load_process_cpu_ns(engine->run->server_pid) - engine->server_cpu_ns;
    result->units = engine->units;
    engine->phase = DRAIN;
}

static void change_phase(struct engine *engine)
{
    const struct load_run *run = engine->run;
    if (run->max_units > 0) {
        if (engine->phase == MEASURE && engine->busy == 0)
            end_measuring(engine);
        return;
    }
    uint64_t spent_ns = load_now_ns() - engine->started_ns;
    if (engine->phase == WARMUP && spent_ns >= run->warmup_ns)
        begin_measuring(engine);
    else if (engine->phase == MEASURE && spent_ns >= run->measure_ns)
        end_measuring(engine);
}

/* Ends when the last batch has been answered, so that nothing is left over for the run after this one. */
static int loop(struct engine *engine)
{
    struct epoll_event events[EVENTS];
    while (engine->busy > 0) {
        int n = epoll_wait(engine->epoll, events, EVENTS, STUCK_MS);
        if (n < 0 && errno != EINTR)
            return fail(engine, "epoll_wait: %s", strerror(errno));
        if (n == 0)
            return fail(engine, "no reply for %d s", STUCK_MS / 1000);
        for (int i = 0; i < n; i++)
            if (serve(engine, &events[i]) < 0)
                return -1;
        change_phase(engine);
    }
    return 0;
}

static int open_connection(struct engine *engine, uint32_t number)
{
    const struct load_plan *plan = engine->plan;
    struct connection *connection = &engine->connections[number];
    connection->replies = malloc(plan->spec.depth * plan->reply_bytes);
    connection->own = load_plan_own(plan) ? load_plan_own_batch(plan, number) : NULL;
    if (!connection->replies || (load_plan_own(plan) && !connection->own))
        return fail(engine, "no memory for connection %u", (unsigned)number);
    connection->fd = load_connect(engine->run->address);
    if (connection->fd < 0)
        return fail(engine, "connect to %s: %s", engine->run->address, strerror(errno));
    if (plan->protocol->prime && !plan->protocol->prime(plan, connection->fd, connection->own))
        return fail(engine, "connection %u could not be primed", (unsigned)number);
    struct epoll_event event = {.events = WATCHED, .data.ptr = connection};
    if (load_set_nonblocking(connection->fd) < 0 ||
        epoll_ctl(engine->epoll, EPOLL_CTL_ADD, connection->fd, &event) < 0)
        return fail(engine, "connection %u: %s", (unsigned)number, strerror(errno));
    return 0;
}

static int open_and_run(struct engine *engine)
{
    for (uint32_t i = 0; i < engine->run->connections; i++)
        engine->connections[i].fd = -1;
    for (uint32_t i = 0; i < engine->run->connections; i++)
        if (open_connection(engine, i) < 0)
            return -1;
    engine->started_ns = load_now_ns();
    if (engine->run->max_units > 0)
        begin_measuring(engine);
    for (uint32_t i = 0; i < engine->run->connections; i++)
        if (start_batch(engine, &engine->connections[i], load_now_ns()) < 0)
            return -1;
    return loop(engine);
}

static void close_all(struct engine *engine)
{
    for (uint32_t i = 0; engine->connections && i < engine->run->connections; i++) {
        free(engine->connections[i].replies);
        free(engine->connections[i].own);
        if (engine->connections[i].fd >= 0)
            close(engine->connections[i].fd);
    }
    free(engine->connections);
    if (engine->epoll >= 0)
        close(engine->epoll);
}

int load_engine_run(const struct load_plan *plan, const struct load_run *run, struct load_result *result)
{
    struct engine engine = {.plan = plan, .run = run, .result = result};
    *result = (struct load_result){0};
    engine.epoll = epoll_create1(EPOLL_CLOEXEC);
    engine.connections = calloc(run->connections, sizeof *engine.connections);
    int status = engine.epoll < 0 || !engine.connections ? fail(&engine, "no memory or no file descriptors")
                                                         : open_and_run(&engine);
    close_all(&engine);
    return status;
}
