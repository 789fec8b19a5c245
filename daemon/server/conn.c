/* SPDX-License-Identifier: BSD-3-Clause */
/* A connection, from accept to close, and its part in sessions.
 *
 *   OPEN -> FINISHING -> CLOSING -> freed
 *
 * OPEN reads and executes. FINISHING executes nothing more: what is queued is written, then our side is
 * shut down, and what the client still sends is thrown away until it closes too (closing at once could
 * destroy the last reply on its way) or LINGER_MS are over. CLOSING: uv_close() was called; its callback
 * frees the connection. Lifetime rules:
 *  1. conn_close() may be called at any point; the memory stays until the loop's close callback.
 *  2. So whoever calls what may close (dispatch, output_flush) looks at conn->state before it goes on.
 *  3. The session is detached, the stages are dropped and the pool's entry is left within conn_close():
 *     nothing of a connection that is closing refers to its pool but the pins of its queue, which the entry
 *     counts. */
#include "daemon/server/worker.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- life cycle ---- */

static void on_closed(uv_handle_t *handle)
{
    struct conn *conn = handle->data;
    struct worker *worker = conn->worker;
    list_remove(&conn->link);
    worker->counters.connections--;
    mem_free(worker->mem, conn, sizeof *conn);
}

static void leave_pool(struct conn *conn)
{
    struct pool *pool = conn->entry->pool;
    move_cancel(conn);
    staging_free(conn);
    dispatch_drop_pending(conn);
    stash_free(conn);
    worker_clock(conn->worker, conn->entry); /* a lease begins now */
    if (conn->session != NULL)
        pool_session_detach(pool, conn->session);
    conn->session = NULL;
    list_remove(&conn->in_entry);
    worker_wake(conn->worker);
}

void conn_close(struct conn *conn, const char *reason)
{
    if (conn->state == CONN_CLOSING)
        return;
    log_client(conn->worker->log, LOG_LEVEL_DEBUG, LOG_CONNECTION, "closed", "conn=%llu reason=\"%s\"",
               (unsigned long long)conn->number, reason);
    leave_pool(conn);
    conn->state = CONN_CLOSING;
    list_remove(&conn->in_runnable);
    list_remove(&conn->in_watched);
    uv_close(&conn->stream.handle, on_closed);
}

void conn_cut(struct conn *conn, const char *reason)
{
    if (conn->state == CONN_CLOSING)
        return;
    conn->worker->counters.connections_cut++;
    log_client(conn->worker->log, LOG_LEVEL_WARN, LOG_CUT, "cut_off", "conn=%llu queued=%llu reason=\"%s\"",
               (unsigned long long)conn->number, (unsigned long long)conn->queued, reason);
    conn_close(conn, reason);
}

static void set_reading(struct conn *conn, bool reading);

static void on_shut(uv_shutdown_t *shutdown, int status)
{
    struct conn *conn = list_entry(shutdown, struct conn, shutdown);
    if (status != 0)
        conn_close(conn, "its client is gone");
}

/* All is written: says so to the client and waits for it to close. */
static void shut(struct conn *conn)
{
    if (conn->shut || conn->queued > 0)
        return;
    conn->shut = true;
    if (conn->eof || uv_shutdown(&conn->shutdown, &conn->stream.stream, on_shut) != 0) {
        conn_close(conn, "done");
        return;
    }
    conn_watch(conn);
    conn->watched_ms = uv_now(&conn->worker->loop);
    set_reading(conn, true);
}

void conn_finish(struct conn *conn, const char *reason)
{
    if (conn->state != CONN_OPEN)
        return;
    log_client(conn->worker->log, LOG_LEVEL_DEBUG, LOG_CONNECTION, "finishing", "conn=%llu reason=\"%s\"",
               (unsigned long long)conn->number, reason);
    events_farewell(conn);
    if (conn->state != CONN_OPEN)
        return;
    conn->state = CONN_FINISHING;
    set_reading(conn, false);
    leave_pool(conn);
    list_append(&conn->entry->conns, &conn->in_entry); /* until it is closed: see pool_drop */
    list_remove(&conn->in_runnable);
    shut(conn);
}

/* ---- reading ---- */

bool conn_blocked(const struct conn *conn)
{
    return conn->pending != NULL || conn->staging != NULL || conn->leaving != NULL ||
           conn->state != CONN_OPEN || conn->finish || conn->queued > HF_QUEUE_SOFT;
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *ret)
{
    struct conn *conn = handle->data;
    (void)suggested;
    if (conn->state == CONN_OPEN)
        stash_buffer(conn, ret);
    else
        *ret = uv_buf_init((char *)conn->worker->input, INPUT_SIZE);
}

static void begin_turn(struct conn *conn)
{
    if (conn->turn == conn->worker->turn)
        return;
    conn->turn = conn->worker->turn;
    conn->turn_work = pool_work(conn->entry->pool);
    conn->turn_made = pool_made(conn->entry->pool);
    conn->turn_requests = 0;
    conn->turn_bytes = 0;
    if (likely(!conn->owes) || conn->entry->dropped)
        return;
    pool_pay(conn->entry->pool); /* a turn's work, if more is owed than that */
    conn->owes = pool_owes(conn->entry->pool);
}

/* Requests were executed. Who makes objects by the thousand pays for a collection for some turns, in which it waits and
 * others do not. */
static void end_requests(struct conn *conn)
{
    const struct pool *pool = conn->entry->pool;
    if (unlikely(pool_owes(pool)) && pool_made(pool) != conn->turn_made)
        conn->owes = true;
}

/* What is to be done next: read, run again on the next turn, wait for the queue or an answer, leave, or finish. */
static void settle(struct conn *conn)
{
    if (conn->state != CONN_OPEN)
        return;
    if (conn->finish) {
        conn_finish(conn, "by its request or the daemon's");
        return;
    }
    if (conn->leaving != NULL && conn->queued == 0) {
        move_depart(conn);
        return;
    }
    if (conn->leaving != NULL || dispatch_waits(conn)) {
        set_reading(conn, false); /* until its replies are written, or the answer comes */
        return;
    }
    bool busy = conn->pending != NULL || conn->staging != NULL;
    bool full = conn->queued > HF_QUEUE_SOFT;
    bool again = busy || (!full && (stash_ready(conn) || stash_starves(conn)));
    bool paused = conn->turn_bytes >= TURN_BYTES;
    if (again || (paused && !full && !conn->eof))
        conn_make_runnable(conn);
    if (conn->eof && !again && !full) {
        conn_finish(conn, "its client sends no more");
        return;
    }
    set_reading(conn, !again && !paused && !full && !conn->eof);
}

static void on_end(struct conn *conn, ssize_t error)
{
    conn->reading = false;
    if (error == UV_ENOBUFS) {
        conn_cut(conn, "no memory for its request");
    } else if (error != UV_EOF) {
        conn_close(conn, "its client is gone");
    } else {
        conn->eof = true;
        if (conn->state == CONN_FINISHING && conn->shut)
            conn_close(conn, "done");
        else
            settle(conn);
    }
}

static void on_read(uv_stream_t *stream, ssize_t count, const uv_buf_t *buf)
{
    struct conn *conn = stream->data;
    struct worker *worker = conn->worker;
    if (count == 0)
        return;
    if (count < 0) {
        on_end(conn, count);
        return;
    }
    worker->active = true;
    worker->counters.bytes_in += (uint64_t)count;
    if (conn->state != CONN_OPEN)
        return;
    worker_clock(worker, conn->entry);
    begin_turn(conn);
    conn->read_ns = worker->turn_ns;
    conn->turn_bytes += (uint32_t)count;
    uint64_t begin_ns = conn->stash == NULL && (size_t)count <= PARKED_MAX ? 0 : uv_hrtime();
    if (begin_ns != 0)
        book_settle(&worker->book);
    stash_arrived(conn, (uint8_t *)buf->base, (size_t)count);
    end_requests(conn);
    /* Large frames may consist of so many values that to look at one read of them is most of a turn's work. */
    if (begin_ns != 0 && uv_hrtime() - begin_ns > TURN_US * 1000 / 2)
        conn->turn_bytes = TURN_BYTES;
    output_flush(conn);
    if (unlikely(worker->traced_count != 0))
        trace_flushed(conn);
    book_answered(&worker->book, conn);
    if (likely(conn->stash == NULL && conn->reading && !conn_blocked(conn) && conn->turn_bytes < TURN_BYTES))
        return;
    settle(conn);
}

static void set_reading(struct conn *conn, bool reading)
{
    if (conn->reading == reading)
        return;
    conn->reading = reading;
    if (!reading)
        uv_read_stop(&conn->stream.stream);
    else if (uv_read_start(&conn->stream.stream, on_alloc, on_read) != 0)
        conn_close(conn, "its client is gone");
}

void conn_make_runnable(struct conn *conn)
{
    if (list_empty(&conn->in_runnable))
        list_append(&conn->worker->runnable, &conn->in_runnable);
    worker_wake(conn->worker);
}

void conn_run(struct conn *conn)
{
    struct worker *worker = conn->worker;
    if (conn->state != CONN_OPEN)
        return;
    worker->active = true;
    worker_clock(worker, conn->entry);
    begin_turn(conn);
    bool held = conn->staging != NULL || conn->pending != NULL;
    if (conn->entry->dropped)
        conn->finish = true; /* and nothing else is done */
    else if (conn->staging != NULL)
        staging_step(conn);
    else if (conn->pending != NULL)
        dispatch_resume(conn);
    if (held && conn->state == CONN_OPEN && conn->staging == NULL && conn->pending == NULL)
        stash_release(conn);
    if (!conn_blocked(conn))
        stash_run(conn);
    end_requests(conn);
    output_flush(conn);
    if (unlikely(worker->traced_count != 0))
        trace_flushed(conn);
    book_flushed(conn);
    settle(conn);
}

/* ---- writing ---- */

void conn_written(struct conn *conn, int status, bool events)
{
    if (conn->state == CONN_CLOSING)
        return;
    if (status != 0) {
        conn_close(conn, "its client is gone");
        return;
    }
    conn->watched_ms = uv_now(&conn->worker->loop);
    if (conn->queued == 0)
        list_remove(&conn->in_watched);
    if (events)
        events_written(conn);
    else
        events_resume(conn);
    if (conn->state == CONN_FINISHING)
        shut(conn);
    else
        settle(conn);
}

void conn_watch(struct conn *conn)
{
    struct worker *worker = conn->worker;
    if (!list_empty(&conn->in_watched))
        return;
    conn->watched_ms = uv_now(&worker->loop);
    conn->watched_size = uv_stream_get_write_queue_size(&conn->stream.stream);
    list_append(&worker->watched, &conn->in_watched);
    worker_watch(worker);
}

void conn_look(struct conn *conn, uint64_t now_ms)
{
    uint64_t waited_ms = now_ms - conn->watched_ms;
    size_t size = uv_stream_get_write_queue_size(&conn->stream.stream);
    if (conn->shut) {
        if (waited_ms >= LINGER_MS)
            conn_close(conn, "its client did not close");
        return;
    }
    if (conn->state == CONN_OPEN && conn->queued == conn->queued_events) {
        /* only events, for which nobody is cut off; or none for want of memory, which is tried again */
        conn->watched_ms = now_ms;
        events_resume(conn);
        if (conn->queued == 0)
            list_remove(&conn->in_watched);
    } else if (size != conn->watched_size) {
        conn->watched_size = size;
        conn->watched_ms = now_ms;
    } else if (waited_ms >= PROGRESS_MS) {
        conn_cut(conn, "it took none of its replies for 30 s");
    }
}

/* ---- opening ---- */

static struct conn *create(struct worker *worker, struct pool_entry *entry, const struct arrival *arrival)
{
    struct conn *conn = mem_zalloc(worker->mem, sizeof *conn);
    if (conn == NULL)
        return NULL;
    conn->worker = worker;
    conn->entry = entry;
    conn->transport = arrival->transport;
    conn->number = arrival->number;
    conn->read_ns = arrival->read_ns;
    list_append(&worker->conns, &conn->link);
    list_append(&entry->conns, &conn->in_entry);
    list_init(&conn->in_runnable);
    list_init(&conn->in_watched);
    return conn;
}

void conn_open(struct worker *worker, struct pool_entry *entry, const struct arrival *arrival)
{
    struct conn *conn = create(worker, entry, arrival);
    if (conn == NULL) {
        server_refuse(worker->server, arrival->fd, HF_E_OOM,
                      "no memory for another connection; release something or raise --max-memory");
        if (arrival->stash != NULL)
            stash_discard(worker->server, arrival->stash, arrival->stash_size);
        return;
    }
    if (arrival->stash != NULL)
        stash_give(conn, arrival->stash, arrival->stash_size);
    worker->counters.connections++;
    if (arrival->fresh)
        worker->counters.connections_made++;
    int r = arrival->transport->open(&worker->loop, &conn->stream, arrival->fd);
    conn->stream.handle.data = conn;
    conn->fd = arrival->fd;
    log_client(worker->log, LOG_LEVEL_DEBUG, LOG_CONNECTION, "opened", "conn=%llu transport=%s worker=%u",
               (unsigned long long)conn->number, arrival->transport->scheme, worker->index);
    if (r != 0) {
        close(arrival->fd);
        conn_close(conn, "its socket cannot be used");
        return;
    }
    if (conn->stash != NULL)
        conn_make_runnable(conn);
    else
        set_reading(conn, true);
}

/* ---- sessions ---- */

int conn_open_session(struct conn *conn)
{
    struct session_spec spec = {.anonymous = true, .owner = conn};
    return pool_session_open(conn->entry->pool, &spec, &conn->session);
}

int conn_hello_allowed(struct call *call)
{
    const struct conn *conn = call->conn;
    if (conn->greeted)
        return call_fail(call, HF_E_BADARG, "hello comes once in a connection; open another one", "%s", "");
    if (conn->requested)
        return call_fail(call, HF_E_BADARG, "hello must be the first request of a connection", "%s", "");
    return 0;
}

/* The connection works in `entry` from now on, in `session`. */
static void enter(struct call *call, struct pool_entry *entry, struct session *session)
{
    struct conn *conn = call->conn;
    if (conn->session != NULL)
        pool_session_end(conn->entry->pool, conn->session, REASON_SESSION_END);
    list_remove(&conn->in_entry);
    list_append(&entry->conns, &conn->in_entry);
    conn->entry = entry;
    conn->turn_work = pool_work(entry->pool);
    conn->turn_made = pool_made(entry->pool);
    conn->session = call->session = session;
    conn->replay = session_replays(session) ? CONN_REPLAY_ON : CONN_REPLAY_OFF;
    conn->greeted = true;
    call->pool = entry->pool;
}

int conn_session_open(struct call *call, struct pool *pool, struct session_spec *spec)
{
    struct pool_entry *entry = pools_entry(call->worker, pool);
    struct session *session;
    worker_clock(call->worker, entry);
    spec->owner = call->conn;
    int r = pool_session_open(pool, spec, &session);
    if (r != 0) {
        call->pool = pool; /* for the particulars of the error */
        return call_pool_error(call, r);
    }
    enter(call, entry, session);
    return 0;
}

int conn_session_resume(struct call *call, struct pool *pool, struct session *session, bool replay)
{
    struct pool_entry *entry = pools_entry(call->worker, pool);
    struct conn *old = session_owner(session);
    worker_clock(call->worker, entry);
    if (old != NULL) {
        log_client(call->worker->log, LOG_LEVEL_INFO, LOG_SESSION, "session_taken",
                   "sid=%llu conn=%llu by=%llu msg=\"a newcomer has the session's key\"",
                   (unsigned long long)session_sid(session), (unsigned long long)old->number,
                   (unsigned long long)call->conn->number);
        old->session = NULL; /* attached to the newcomer, not detached */
    }
    pool_session_attach(pool, session, call->conn);
    enter(call, entry, session);
    if (replay)
        call->conn->replay = CONN_REPLAY_MATCH;
    if (old != NULL)
        conn_close(old, "a newcomer took its session");
    return 0;
}

void conn_session_bye(struct call *call, enum reason reason)
{
    struct conn *conn = call->conn;
    conn->finish = true;
    if (conn->session != NULL)
        pool_session_end(conn->entry->pool, conn->session, reason);
    conn->session = call->session = NULL;
}

void conn_session_kill(struct call *call, struct pool *pool, struct session *session, enum reason reason)
{
    struct conn *conn = session_owner(session);
    log_client(call->worker->log, LOG_LEVEL_INFO, LOG_SESSION, "session_killed", "sid=%llu by=%llu",
               (unsigned long long)session_sid(session), (unsigned long long)call->conn_number);
    if (conn != NULL && conn == call->conn) {
        conn_session_bye(call, reason);
        return;
    }
    if (conn != NULL)
        conn->session = NULL;
    pool_session_end(pool, session, reason);
    if (conn != NULL)
        conn_close(conn, "its session was killed");
}
