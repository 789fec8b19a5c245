/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "client/bench/worker.h"

#define SHOWN 40 /* bytes of a wrong reply that its report quotes */

/* ---- Beginning and end --------------------------------------------------------------------------------- */

/* Operations of connection `number`, when --count is dealt out evenly. */
static uint64_t share_of(const struct bench_options *options, uint32_t number)
{
    if (options->count == 0)
        return UINT64_MAX;
    return options->count / options->connections + (number < options->count % options->connections);
}

bool bench_connection_init(struct bench_worker *worker, struct bench_connection *connection, hf_conn *conn,
                           uint32_t number, const struct bench_space *space)
{
    const struct bench_shared *shared = worker->shared;
    *connection = (struct bench_connection){
        .fd = hf_fd(conn), /* the library has nothing to send or receive from here on until hf_close */
        .conn = conn,
        .number = number,
        .space = space,
        .cursor = (uint32_t)((uint64_t)number * space->sequence.count / shared->options->connections),
        .left = share_of(shared->options, number),
        .flights = calloc(shared->ring, sizeof *connection->flights),
        .follows = calloc(shared->ring, sizeof *connection->follows),
    };
    if (connection->flights == NULL || connection->follows == NULL)
        return bench_fail_memory(&worker->problem);
    worker->left += shared->options->count != 0 ? connection->left : 0;
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = connection};
    if (epoll_ctl(worker->epoll, EPOLL_CTL_ADD, connection->fd, &event) != 0)
        return bench_fail(&worker->problem, HF_ERR_MEMORY, "epoll_ctl: %s", strerror(errno));
    return true;
}

void bench_connection_done(struct bench_connection *connection)
{
    hf_close(connection->conn);
    free(connection->flights);
    free(connection->follows);
    free(connection->rest);
    free(connection->own);
    *connection = (struct bench_connection){.fd = -1};
}

/* ---- Sending ------------------------------------------------------------------------------------------- */

static bool want_out(struct bench_worker *worker, struct bench_connection *connection, bool wanted)
{
    struct epoll_event event = {.events = EPOLLIN | (wanted ? (uint32_t)EPOLLOUT : 0u),
                                .data.ptr = connection};
    if (connection->wants_out == wanted)
        return true;
    connection->wants_out = wanted;
    if (epoll_ctl(worker->epoll, EPOLL_CTL_MOD, connection->fd, &event) != 0)
        return bench_fail(&worker->problem, HF_ERR_MEMORY, "epoll_ctl: %s", strerror(errno));
    return true;
}

static bool lost(struct bench_worker *worker, const struct bench_connection *connection, const char *why)
{
    return bench_fail(&worker->problem, HF_ERR_UNKNOWN, "connection %u of %u broke: %s",
                      connection->number + 1, worker->shared->options->connections, why);
}

/* Sends as much as the socket takes: how many bytes, or -1 with a problem. */
static ssize_t push(struct bench_worker *worker, const struct bench_connection *connection,
                    const uint8_t *bytes, size_t size)
{
    size_t done = 0;
    while (done < size) {
        ssize_t moved = send(connection->fd, bytes + done, size - done, MSG_NOSIGNAL);
        if (moved < 0 && errno == EINTR)
            continue;
        if (moved < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            break;
        if (moved < 0) {
            lost(worker, connection, strerror(errno));
            return -1;
        }
        done += (size_t)moved;
    }
    return (ssize_t)done;
}

/* Sends `size` bytes of worker->out, and keeps what the socket does not take. */
static bool push_all(struct bench_worker *worker, struct bench_connection *connection, size_t size)
{
    ssize_t done = push(worker, connection, worker->out, size);
    if (done < 0)
        return false;
    size_t rest = size - (size_t)done;
    if (rest == 0)
        return true;
    connection->rest = malloc(rest);
    if (connection->rest == NULL)
        return bench_fail_memory(&worker->problem);
    memcpy(connection->rest, worker->out + done, rest);
    connection->rest_at = 0;
    connection->rest_size = rest;
    return want_out(worker, connection, true);
}

/* May a request be sent on this connection? */
static inline bool may_send(const struct bench_worker *worker, const struct bench_connection *connection)
{
    if (connection->sent - connection->answered >= worker->depth)
        return false;
    if (worker->open && connection->left != 0 && connection->taken >= connection->assigned)
        return false;
    return connection->follow_first != connection->follow_end || connection->left != 0;
}

/* The time from which the latency of the next request runs. */
static inline uint64_t take_time(struct bench_worker *worker, struct bench_connection *connection,
                                 uint64_t now_ns)
{
    /* When no operation is left to be begun, the last releases are not on the schedule any more. */
    if (!worker->open || connection->left == 0)
        return now_ns;
    uint64_t place = connection->taken++ * worker->count + (uint64_t)(connection - worker->connections);
    return bench_schedule_due(&worker->schedule, place);
}

static inline void take_off(struct bench_worker *worker, struct bench_connection *connection,
                            const struct bench_flight *flight)
{
    connection->flights[connection->sent++ & worker->ring_mask] = *flight;
    worker->in_flight++;
}

static uint8_t *put_follow(struct bench_worker *worker, struct bench_connection *connection, uint8_t *at,
                           uint64_t since_ns)
{
    const struct bench_follow *follow = &connection->follows[connection->follow_first++ & worker->ring_mask];
    const struct bench_flight flight = {
        .since_ns = since_ns, .patch = follow->patch, .step = follow->step & 15u};
    at = bench_encode(worker->shared->wire, (enum bench_step)follow->step, at, bench_msgid(connection->sent),
                      follow->patch, 0);
    worker->follows--;
    take_off(worker, connection, &flight);
    return at;
}

static const struct bench_draw *next_draw(struct bench_connection *connection)
{
    const struct bench_sequence *sequence = &connection->space->sequence;
    const struct bench_draw *draw = &sequence->draws[connection->cursor];
    connection->cursor = connection->cursor + 1 == sequence->count ? 0 : connection->cursor + 1;
    return draw;
}

static uint8_t *put_draw(struct bench_worker *worker, struct bench_connection *connection, uint8_t *at,
                         uint64_t since_ns)
{
    const struct bench_wire *wire = worker->shared->wire;
    const struct bench_draw *draw = next_draw(connection);
    enum bench_step step = bench_operations[draw->operation].first;
    struct bench_flight flight = {.since_ns = since_ns,
                                  .patch = draw->patch,
                                  .object = draw->object,
                                  .size = draw->size,
                                  .step = step & 15u};
    uint64_t second = 0;
    if (step == BENCH_STEP_RETAIN_OWN)
        flight.patch = bench_patch_id((uint64_t)connection->own[draw->object]);
    else if (step == BENCH_STEP_LINK)
        second = bench_patch_id((uint64_t)connection->space->ids[draw->object]);
    at = bench_encode(wire, step, at, bench_msgid(connection->sent), flight.patch, second);
    if (wire->template[step].value)
        at = bench_encode_value(wire, at, draw->object, draw->size);
    if (worker->shared->options->count != 0) {
        connection->left--;
        worker->left--;
    }
    take_off(worker, connection, &flight);
    return at;
}

bool bench_connection_send(struct bench_worker *worker, struct bench_connection *connection, uint64_t now_ns)
{
    if (worker->in_flight == 0)
        worker->moved_ns = now_ns; /* waiting begins now */
    while (connection->rest_size == 0 && may_send(worker, connection)) {
        uint8_t *at = worker->out;
        while (may_send(worker, connection) && at - worker->out < (ptrdiff_t)BENCH_OUT_SOFT) {
            uint64_t since_ns = take_time(worker, connection, now_ns);
            if (connection->follow_first != connection->follow_end)
                at = put_follow(worker, connection, at, since_ns);
            else
                at = put_draw(worker, connection, at, since_ns);
        }
        if (!push_all(worker, connection, (size_t)(at - worker->out)))
            return false;
    }
    return true;
}

bool bench_connection_flush(struct bench_worker *worker, struct bench_connection *connection)
{
    ssize_t done = push(worker, connection, connection->rest + connection->rest_at,
                        connection->rest_size - connection->rest_at);
    if (done < 0)
        return false;
    connection->rest_at += (size_t)done;
    if (connection->rest_at < connection->rest_size)
        return true;
    free(connection->rest);
    connection->rest = NULL;
    connection->rest_at = connection->rest_size = 0;
    return want_out(worker, connection, false) && bench_connection_send(worker, connection, bench_now_ns());
}

/* ---- Receiving ----------------------------------------------------------------------------------------- */

static bool fail_reply(struct bench_worker *worker, const struct bench_flight *flight,
                       const struct bench_reply *reply, const uint8_t *at, size_t count)
{
    char quoted[4 * SHOWN + 1] = "";
    size_t end = 0;
    const char *method = bench_steps[flight->step].method;
    if (reply->error != NULL)
        return bench_fail(&worker->problem, HF_ERR_PROTOCOL, "instead of an answer to %s there came: %.*s",
                          method, (int)(reply->error_size < 300 ? reply->error_size : 300), reply->error);
    for (size_t i = 0; i < count && i < SHOWN; i++)
        end += (size_t)snprintf(quoted + end, sizeof quoted - end,
                                at[i] >= 32 && at[i] < 127 && at[i] != '\\' ? "%c" : "\\x%02x", at[i]);
    return bench_fail(&worker->problem, HF_ERR_PROTOCOL, "a wrong answer to %s: %s%s", method, quoted,
                      count > SHOWN ? "..." : "");
}

/* The reply of the oldest request in flight has come to its end. */
static inline void land(struct bench_worker *worker, struct bench_connection *connection, uint64_t now_ns)
{
    const struct bench_flight *flight = &connection->flights[connection->answered++ & worker->ring_mask];
    struct bench_burst *burst = &worker->burst;
    if (flight->since_ns != burst->since_ns) {
        bench_worker_record(worker, now_ns);
        burst->since_ns = flight->since_ns;
    }
    burst->count[flight->step]++;
    burst->steps |= 1u << flight->step;
    worker->in_flight--;
}

static inline void follow(struct bench_worker *worker, struct bench_connection *connection,
                          const struct bench_flight *flight, const struct bench_reply *reply)
{
    const struct bench_step_info *step = &bench_steps[flight->step];
    if (step->next == BENCH_STEP_NONE || worker->closing)
        return;
    connection->follows[connection->follow_end++ & worker->ring_mask] = (struct bench_follow){
        .patch = step->result == BENCH_RESULT_ID ? bench_patch_id(reply->id) : flight->patch,
        .step = step->next};
    worker->follows++;
}

static void land_error(struct bench_worker *worker, struct bench_connection *connection,
                       const struct bench_reply *reply, uint64_t now_ns)
{
    const struct bench_flight *flight = &connection->flights[connection->answered++ & worker->ring_mask];
    worker->in_flight--;
    if (!bench_worker_counts(worker, flight->since_ns))
        return;
    bench_record_error(&worker->record->step[flight->step], reply->error, reply->error_size);
    worker->second_errors++;
    worker->record->last_ns = now_ns;
}

/* Takes replies from `at` to `end`. How many bytes were used, or -1 with a problem. */
static ptrdiff_t take_replies(struct bench_worker *worker, struct bench_connection *connection,
                              const uint8_t *at, const uint8_t *end, uint64_t now_ns)
{
    const uint8_t *start = at;
    struct bench_reply reply;
    while (at < end) {
        const struct bench_flight *flight = &connection->flights[connection->answered & worker->ring_mask];
        if (connection->answered == connection->sent) {
            bench_fail(&worker->problem, HF_ERR_PROTOCOL, "%zu bytes came that nobody had asked for",
                       (size_t)(end - at));
            return -1;
        }
        const struct bench_expected expected = {.msgid = bench_msgid(connection->answered),
                                                .object = flight->object,
                                                .size = flight->size,
                                                .step = (enum bench_step)flight->step};
        enum bench_verdict verdict = bench_check(&expected, at, (size_t)(end - at), &reply);
        if (verdict == BENCH_MORE)
            break;
        if (verdict == BENCH_WRONG) {
            fail_reply(worker, flight, &reply, at, (size_t)(end - at));
            return -1;
        }
        at += reply.size;
        connection->skip = reply.left;
        if (verdict == BENCH_ERROR) {
            land_error(worker, connection, &reply, now_ns);
        } else if (reply.left == 0) {
            follow(worker, connection, flight, &reply);
            land(worker, connection, now_ns);
        }
    }
    return at - start;
}

/* Passes over bytes of a value whose reply has been checked. How many. */
static size_t skip_value(struct bench_worker *worker, struct bench_connection *connection, size_t size,
                         uint64_t now_ns)
{
    size_t skipped = connection->skip < size ? connection->skip : size;
    if (skipped == 0)
        return 0;
    connection->skip -= (uint32_t)skipped;
    if (connection->skip == 0)
        land(worker, connection, now_ns); /* no value is followed by a second request */
    return skipped;
}

/* Goes through what has been read: `size` bytes at worker->in + BENCH_REPLY_MAX. */
static bool digest(struct bench_worker *worker, struct bench_connection *connection, size_t size,
                   uint64_t now_ns)
{
    uint8_t *at = worker->in + BENCH_REPLY_MAX;
    const uint8_t *end = at + size;
    if (connection->stash_size != 0) {
        at -= connection->stash_size;
        memcpy(at, connection->stash, connection->stash_size);
        connection->stash_size = 0;
    }
    at += skip_value(worker, connection, size, now_ns);
    ptrdiff_t used = take_replies(worker, connection, at, end, now_ns);
    if (used < 0)
        return false;
    /* An unfinished reply is shorter than BENCH_REPLY_MAX: bench_check sees to it. */
    connection->stash_size = (uint32_t)(end - (at + used));
    memcpy(connection->stash, at + used, connection->stash_size);
    bench_worker_record(worker, now_ns);
    return true;
}

bool bench_connection_receive(struct bench_worker *worker, struct bench_connection *connection)
{
    ssize_t size;
    do {
        size = recv(connection->fd, worker->in + BENCH_REPLY_MAX, BENCH_IN_SIZE, 0);
    } while (size < 0 && errno == EINTR);
    if (size < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
        return true;
    if (size <= 0)
        return lost(worker, connection, size == 0 ? "the daemon closed it" : strerror(errno));
    uint64_t now_ns = bench_now_ns();
    worker->moved_ns = now_ns;
    if (now_ns >= worker->boundary_ns && !bench_worker_cross(worker, now_ns))
        return false;
    return digest(worker, connection, (size_t)size, now_ns) &&
           bench_connection_send(worker, connection, now_ns);
}
