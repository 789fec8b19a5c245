/* SPDX-License-Identifier: BSD-3-Clause */
/* The blocking face: moves bytes between the engine and a socket, and waits. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/lib/conn.h"
#include "client/lib/socket.h"

#define READ_SIZE   (64 * 1024)
#define SEND_AT     (64 * 1024)       /* a batch is sent in pieces of about this size */
#define QUEUED_MAX  (8 * 1024 * 1024) /* above it a batch waits for the daemon */
#define ADDRESS_MAX 512

#define PAUSE_MOST_MS 64 /* between attempts to resume */

/* ---- Loss ---------------------------------------------------------------------------------------------- */

static void set_reason(hf_conn *conn, const char *reason)
{
    snprintf(conn->reason, sizeof conn->reason, "%s", reason);
}

static void deliver_all(hf_conn *conn)
{
    struct hf__answer answer;
    int got;
    while ((got = hf__engine_next(&conn->engine, &answer)) == 1)
        hf__deliver(conn, &answer);
    if (got != 0) {
        conn->reason_code = HF_ERR_PROTOCOL;
        hf__lose(conn, conn->engine.fault);
    }
}

static void hang_up(hf_conn *conn, const char *reason)
{
    if (conn->fd >= 0)
        close(conn->fd);
    conn->fd = -1;
    if (reason != NULL && (conn->reason_code == 0 || conn->reason_code == HF_ERR_PROTOCOL))
        set_reason(conn, reason);
}

void hf__lose(hf_conn *conn, const char *reason)
{
    if (conn->fd < 0 && !conn->broken)
        return;
    hang_up(conn, reason);
    conn->broken = false;
    hf__engine_lost(&conn->engine);
    struct hf__answer answer;
    while (hf__engine_next(&conn->engine, &answer) == 1)
        hf__deliver(conn, &answer);
}

/* The stream has ended. With a replay window that is no loss yet; unless the daemon said that it is. */
static void broke(hf_conn *conn, const char *reason)
{
    if (!conn->replay || conn->resuming || conn->reason_code != 0) {
        hf__lose(conn, reason);
        return;
    }
    hang_up(conn, reason);
    conn->broken = true;
}

/* What another attempt cannot change. */
static bool is_final(int code)
{
    return code == HF_ERR_EXPIRED || code == HF_ERR_NOTFOUND || code == HF_ERR_NOAUTH ||
           code == HF_ERR_NOPERM || code == HF_ERR_BADARG || code == HF_ERR_BADFRAME ||
           code == HF_ERR_PROTOCOL || code == HF_ERR_MEMORY;
}

bool hf__recover(hf_conn *conn, int64_t deadline_ms, bool give_up)
{
    for (int64_t pause_ms = 1;; pause_ms = pause_ms < PAUSE_MOST_MS ? pause_ms * 2 : pause_ms) {
        int code = hf__resume(conn, deadline_ms);
        if (code == 0)
            return true;
        bool final = is_final(code);
        if (final || (give_up && hf__now_ms() >= deadline_ms))
            hf__lose(conn, NULL);
        if (final && (code == HF_ERR_EXPIRED || code == HF_ERR_NOTFOUND))
            hf__session_done(conn);
        if (final || hf__now_ms() >= deadline_ms)
            return false;
        hf__pause(pause_ms);
    }
}

/* ---- Bytes --------------------------------------------------------------------------------------------- */

/* Receives what is there. True if something came. */
static bool receive(hf_conn *conn)
{
    bool moved = false;
    size_t room = 0;
    long size = 1;
    while (conn->fd >= 0 && size > 0) {
        const char *reason = NULL;
        uint8_t *space = hf__engine_space(&conn->engine, READ_SIZE, &room);
        if (space == NULL) {
            hf__lose(conn, "no memory for an answer");
            break;
        }
        size = hf__socket_receive(conn->fd, space, room, &reason);
        if (size < 0) {
            broke(conn, reason);
            break;
        }
        moved |= size > 0;
        hf__engine_received(&conn->engine, (size_t)size);
        deliver_all(conn);
        if ((size_t)size < room)
            break;
    }
    return moved;
}

/* Sends what can be sent. True if something went. */
static bool flush(hf_conn *conn)
{
    const uint8_t *bytes;
    bool moved = false;
    size_t size;
    while (conn->fd >= 0 && (size = hf__engine_output(&conn->engine, &bytes)) != 0) {
        const char *reason = NULL;
        long sent = hf__socket_send(conn->fd, bytes, size, &reason);
        if (sent == 0)
            break;
        if (sent < 0) {
            /* A daemon that closes says why before: that may still be waiting to be read. */
            while (receive(conn))
                continue;
            if (conn->fd >= 0)
                broke(conn, reason);
            break;
        }
        hf__engine_sent(&conn->engine, (size_t)sent);
        moved = true;
    }
    return moved;
}

static size_t queued(const hf_conn *conn)
{
    const uint8_t *bytes;
    return hf__engine_output(&conn->engine, &bytes);
}

static int64_t deadline_of(int64_t timeout_ms)
{
    return timeout_ms < 0 ? HF__FOREVER : hf__now_ms() + timeout_ms;
}

bool hf__run(hf_conn *conn, bool batch, int64_t timeout_ms)
{
    int64_t deadline = deadline_of(timeout_ms);
    while ((conn->fd >= 0 || conn->broken) && (conn->waiting != 0 || (batch && conn->batch.pending != 0))) {
        if (conn->broken && !hf__recover(conn, deadline, true))
            break;
        bool moved = flush(conn);
        if (conn->fd < 0)
            continue;
        if (!hf__socket_wait(conn->fd, queued(conn) != 0, deadline))
            return false;
        moved |= receive(conn);
        if (moved)
            deadline = deadline_of(timeout_ms);
    }
    return true;
}

bool hf__run_events(hf_conn *conn, int64_t timeout_ms)
{
    int64_t deadline = deadline_of(timeout_ms);
    while ((conn->fd >= 0 || conn->broken) && !hf__events_any(&conn->events)) {
        if (conn->broken && !hf__recover(conn, deadline, false))
            return !conn->broken;
        flush(conn);
        if (conn->fd >= 0 && !hf__socket_wait(conn->fd, queued(conn) != 0, deadline))
            return false;
        receive(conn);
    }
    return true;
}

void hf__pump(hf_conn *conn)
{
    if (hf__engine_queued(&conn->engine) < SEND_AT)
        return;
    flush(conn);
    if (conn->fd >= 0)
        receive(conn);
    while ((conn->fd >= 0 || conn->broken) && hf__engine_queued(&conn->engine) > QUEUED_MAX) {
        if (conn->broken && !hf__recover(conn, deadline_of(conn->timeout_ms), true))
            return;
        if (!hf__socket_wait(conn->fd, queued(conn) != 0, deadline_of(conn->timeout_ms)))
            return; /* hf_batch_end will find the same, and tell */
        receive(conn);
        flush(conn);
    }
}

/* ---- Connections --------------------------------------------------------------------------------------- */

int hf__open(hf_conn *conn, int64_t deadline_ms)
{
    const char *reason = NULL;
    int fd = hf__socket_open(&conn->address, deadline_ms, &reason);
    if (fd < 0) {
        set_reason(conn, reason);
        return hf__fail(conn, HF_ERR_CONNECT, NULL);
    }
    conn->fd = fd;
    conn->reason[0] = '\0';
    conn->reason_code = 0;
    return 0;
}

static hf_conn *conn_new(void)
{
    hf_conn *conn = calloc(1, sizeof *conn);
    if (conn == NULL)
        return NULL;
    conn->fd = -1;
    hf__engine_init(&conn->engine);
    hf__fail(conn, 0, NULL);
    return conn;
}

int hf_connect(const char *address, int64_t timeout_ms, hf_conn **ret_conn)
{
    char chosen[ADDRESS_MAX];
    hf_conn *conn = conn_new();
    *ret_conn = conn;
    if (conn == NULL)
        return HF_ERR_MEMORY;
    hf_set_timeout(conn, timeout_ms);
    if (address == NULL) {
        if (hf_default_address(chosen, sizeof chosen) != 0)
            return hf__fail(conn, HF_ERR_ADDRESS, "the default address is too long");
        address = chosen;
    }
    const char *wrong = hf__address_parse(address, &conn->address);
    if (wrong != NULL)
        return hf__fail(conn, HF_ERR_ADDRESS, wrong);
    int code = hf__open(conn, deadline_of(conn->timeout_ms));
    if (code == 0)
        hf__engine_established(&conn->engine);
    return code;
}

void hf_close(hf_conn *conn)
{
    if (conn == NULL)
        return;
    if (conn->fd >= 0)
        close(conn->fd);
    hf__batch_done(&conn->batch);
    hf__session_done(conn);
    hf__events_done(&conn->events);
    hf__engine_done(&conn->engine);
    free(conn);
}

static int64_t timeout_or_default(int64_t timeout_ms)
{
    return timeout_ms == 0 ? HF_TIMEOUT_DEFAULT_MS : timeout_ms;
}

void hf_set_timeout(hf_conn *conn, int64_t timeout_ms)
{
    conn->timeout_ms = timeout_or_default(timeout_ms);
}

void hf_set_timeout_once(hf_conn *conn, int64_t timeout_ms)
{
    conn->once_ms = timeout_or_default(timeout_ms);
}

int64_t hf__take_timeout(hf_conn *conn)
{
    int64_t timeout_ms = conn->once_ms != 0 ? conn->once_ms : conn->timeout_ms;
    conn->once_ms = 0;
    return timeout_ms;
}

const struct hf_error *hf_last_error(const hf_conn *conn)
{
    return &conn->failure.error;
}

uint64_t hf_request(const hf_conn *conn)
{
    return conn->request;
}

bool hf_connected(const hf_conn *conn)
{
    return conn->fd >= 0 || conn->broken;
}

int hf_fd(const hf_conn *conn)
{
    return conn->fd;
}

size_t hf_unknown(const hf_conn *conn, struct hf_unknown *rows, size_t capacity)
{
    return hf__engine_unknown(&conn->engine, rows, capacity);
}
