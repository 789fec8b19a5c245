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

static uint32_t fewer(uint32_t a, uint64_t b)
{
    return a < b ? a : (uint32_t)b;
}

/* How many requests may be sent now. */
static uint32_t room_of(const struct bench_worker *worker, const struct bench_connection *connection)
{
    uint32_t room = worker->depth - (connection->sent - connection->answered);
    uint32_t follows = connection->follow_end - connection->follow_first;
    if (worker->open && connection->left != 0)
        room = fewer(room, connection->assigned - connection->taken);
    return connection->left < room ? fewer(room, connection->left + follows) : room;
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

/* Writes the second requests of operations, `room` at most. Returns the place behind. */
static uint8_t *put_follows(struct bench_worker *worker, struct bench_connection *connection, uint8_t *at,
                            uint32_t room, uint64_t now_ns)
{
    const struct bench_wire *wire = worker->shared->wire;
    while (room-- > 0 && connection->follow_first != connection->follow_end) {
        const struct bench_follow *follow =
            &connection->follows[connection->follow_first++ & worker->ring_mask];
        struct bench_flight *flight = &connection->flights[connection->sent & worker->ring_mask];
        flight->since_ns = take_time(worker, connection, now_ns);
        flight->draw = (struct bench_draw){.patch = follow->patch, .step = follow->step & 15u};
        at = bench_encode(wire, (enum bench_step)follow->step, at, bench_msgid(connection->sent++),
                          follow->patch, 0);
        worker->follows--;
    }
    return at;
}

/* Begins `count` operations, but stops when enough is written for one send. Returns the place behind.
 *
 * What is read in each round stands in local variables: the compiler has to assume that a byte written to `at` changes
 * any other. */
static uint8_t *put_draws(struct bench_worker *worker, struct bench_connection *connection, uint8_t *at,
                          uint32_t count, uint64_t now_ns)
{
    const struct bench_wire *wire = worker->shared->wire;
    const struct bench_sequence sequence = connection->space->sequence;
    const uint8_t *enough = worker->out + BENCH_OUT_SOFT;
    struct bench_flight *flights = connection->flights;
    uint32_t mask = worker->ring_mask, sent = connection->sent, cursor = connection->cursor;
    bool open = worker->open;
    for (; count > 0 && at < enough; count--) {
        struct bench_flight *flight = &flights[sent & mask];
        struct bench_draw draw = sequence.draws[cursor];
        enum bench_step step = (enum bench_step)draw.step;
        uint64_t second = 0;
        cursor = cursor + 1 == sequence.count ? 0 : cursor + 1;
        if (step == BENCH_STEP_RETAIN_OWN)
            draw.patch = bench_patch_id((uint64_t)connection->own[draw.object]);
        else if (step == BENCH_STEP_LINK)
            second = bench_patch_id((uint64_t)connection->space->ids[draw.object]);
        flight->since_ns = open ? take_time(worker, connection, now_ns) : now_ns;
        flight->draw = draw;
        at = bench_encode(wire, step, at, bench_msgid(sent++), draw.patch, second);
        if (wire->template[step].value)
            at = bench_encode_value(wire, at, draw.object, draw.size);
    }
    connection->sent = sent;
    connection->cursor = cursor;
    return at;
}

/* Takes `begun` operations off what is left of --count. */
static void take_left(struct bench_worker *worker, struct bench_connection *connection, uint32_t begun)
{
    if (worker->shared->options->count == 0)
        return;
    connection->left -= begun;
    worker->left -= begun;
}

bool bench_connection_send(struct bench_worker *worker, struct bench_connection *connection, uint64_t now_ns)
{
    uint32_t room;
    if (worker->in_flight == 0)
        worker->moved_ns = now_ns; /* waiting begins now */
    while (connection->rest_size == 0 && (room = room_of(worker, connection)) != 0) {
        uint32_t before = connection->sent;
        uint8_t *at = put_follows(worker, connection, worker->out, room, now_ns);
        uint32_t follows = connection->sent - before;
        at = put_draws(worker, connection, at, fewer(room - follows, connection->left), now_ns);
        take_left(worker, connection, connection->sent - before - follows);
        worker->in_flight += connection->sent - before;
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

static bool fail_reply(struct bench_worker *worker, const struct bench_draw *request,
                       const struct bench_reply *reply, const uint8_t *at, size_t count)
{
    char quoted[4 * SHOWN + 1] = "";
    size_t end = 0;
    const char *method = bench_steps[request->step].method;
    if (reply->error != NULL)
        return bench_fail(&worker->problem, HF_ERR_PROTOCOL, "instead of an answer to %s there came: %.*s",
                          method, (int)(reply->error_size < 300 ? reply->error_size : 300), reply->error);
    for (size_t i = 0; i < count && i < SHOWN; i++)
        end += (size_t)snprintf(quoted + end, sizeof quoted - end,
                                at[i] >= 32 && at[i] < 127 && at[i] != '\\' ? "%c" : "\\x%02x", at[i]);
    return bench_fail(&worker->problem, HF_ERR_PROTOCOL, "a wrong answer to %s: %s%s", method, quoted,
                      count > SHOWN ? "..." : "");
}

/* A right reply to the oldest request in flight has come to its end. */
static inline void land(struct bench_worker *worker, const struct bench_flight *flight, uint64_t now_ns)
{
    struct bench_burst *burst = &worker->burst;
    if (flight->since_ns != burst->since_ns) {
        bench_worker_record(worker, now_ns);
        burst->since_ns = flight->since_ns;
    }
    burst->count[flight->draw.step]++;
    burst->steps |= 1u << flight->draw.step;
}

/* It is followed by a second request, maybe. */
static inline void follow(struct bench_worker *worker, struct bench_connection *connection,
                          const struct bench_draw *request, const struct bench_reply *reply)
{
    const struct bench_step_info *step = &bench_steps[request->step];
    if (step->next == BENCH_STEP_NONE || worker->closing)
        return;
    connection->follows[connection->follow_end++ & worker->ring_mask] = (struct bench_follow){
        .patch = step->result == BENCH_RESULT_ID ? bench_patch_id(reply->id) : request->patch,
        .step = step->next};
    worker->follows++;
}

static void land_error(struct bench_worker *worker, const struct bench_flight *flight,
                       const struct bench_reply *reply, uint64_t now_ns)
{
    if (!bench_worker_counts(worker, flight->since_ns))
        return;
    bench_record_error(&worker->record->step[flight->draw.step], reply->error, reply->error_size);
    worker->second_errors++;
    worker->record->last_ns = now_ns;
}

/* Takes whole replies, and the begin of a value, from `at` to `end`. Returns the place behind, or NULL with a
 * problem. */
static const uint8_t *take_replies(struct bench_worker *worker, struct bench_connection *connection,
                                   const uint8_t *at, const uint8_t *end, uint64_t now_ns)
{
    uint32_t answered = connection->answered;
    enum bench_verdict verdict = BENCH_MORE;
    struct bench_reply reply = {0};
    for (; at < end && answered != connection->sent; answered++) {
        const struct bench_flight *flight = &connection->flights[answered & worker->ring_mask];
        verdict = bench_check(&flight->draw, bench_msgid(answered), at, (size_t)(end - at), &reply);
        if (verdict == BENCH_RIGHT && reply.left == 0) {
            follow(worker, connection, &flight->draw, &reply);
            land(worker, flight, now_ns);
        } else if (verdict == BENCH_ERROR) {
            land_error(worker, flight, &reply, now_ns);
        } else {
            break;
        }
        at += reply.size;
    }
    worker->in_flight -= answered - connection->answered;
    connection->answered = answered;
    if (at == end)
        return at;
    if (answered == connection->sent) {
        bench_fail(&worker->problem, HF_ERR_PROTOCOL, "%zu bytes came that nobody had asked for",
                   (size_t)(end - at));
        return NULL;
    }
    if (verdict == BENCH_WRONG) {
        fail_reply(worker, &connection->flights[answered & worker->ring_mask].draw, &reply, at,
                   (size_t)(end - at));
        return NULL;
    }
    if (verdict == BENCH_RIGHT) {
        connection->skip = reply.left;
        at += reply.size;
    }
    return at;
}

/* Passes over bytes of a value whose reply has been checked. How many. */
static size_t skip_value(struct bench_worker *worker, struct bench_connection *connection, size_t size,
                         uint64_t now_ns)
{
    size_t skipped = connection->skip < size ? connection->skip : size;
    if (skipped == 0)
        return 0;
    connection->skip -= (uint32_t)skipped;
    if (connection->skip == 0) { /* no value is followed by a second request */
        land(worker, &connection->flights[connection->answered++ & worker->ring_mask], now_ns);
        worker->in_flight--;
    }
    return skipped;
}

/* Goes through what has been read: `size` bytes at worker->in + BENCH_REPLY_MAX. */
static bool digest(struct bench_worker *worker, struct bench_connection *connection, size_t size,
                   uint64_t now_ns)
{
    uint8_t *start = worker->in + BENCH_REPLY_MAX - connection->stash_size;
    const uint8_t *end = worker->in + BENCH_REPLY_MAX + size;
    memcpy(start, connection->stash, connection->stash_size);
    start += skip_value(worker, connection, size, now_ns); /* of which nothing is in the stash */
    const uint8_t *behind = take_replies(worker, connection, start, end, now_ns);
    if (behind == NULL)
        return false;
    /* An unfinished reply is shorter than BENCH_REPLY_MAX: bench_check sees to it. */
    connection->stash_size = (uint32_t)(end - behind);
    memcpy(connection->stash, behind, connection->stash_size);
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
