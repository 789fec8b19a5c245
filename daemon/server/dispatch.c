/* SPDX-License-Identifier: BSD-3-Clause */
/* From a scanned frame to its handler, and from the handler's result to the reply. */
#include "daemon/pool/hot.h"
#include "daemon/server/handlers.h"
#include "daemon/server/worker.h"
#include "proto/rpc.h"

#include <stdlib.h>
#include <string.h>

void dispatch_error(struct worker *worker, uint32_t msgid, int code, const char *text, size_t size)
{
    struct output *out = &worker->out;
    output_mark(out);
    uint8_t *at = output_room(out, HFP_ERROR_MAX);
    if (at == NULL)
        return; /* CALL_REPLY_SURE bytes are free before every request */
    out->used = (size_t)(hfp_put_error(at, msgid, text, size) - out->data);
    worker->counters.errors[code]++;
}

void dispatch_fail(struct worker *worker, uint32_t msgid, int code)
{
    char text[CALL_ERROR_MAX];
    size_t size = hfp_error_format(text, sizeof text, code, NULL, NULL);
    dispatch_error(worker, msgid, code, text, size);
}

/* What stands in a large value's way that no handler ever took or no pool function consumed. */
static void drop_stages(struct call *call, bool done)
{
    for (uint32_t i = 0; i < call->staged_count; i++) {
        struct staged *staged = &call->staged[i];
        if (!(done && staged->taken))
            pool_stage_drop(call->pool, staged->stage);
    }
    call->staged_count = 0;
}

static void answer_error(struct call *call, int code)
{
    char text[CALL_ERROR_MAX];
    size_t size = call->error_size;
    if (size == 0)
        size = hfp_error_format(text, sizeof text, code, NULL, NULL);
    dispatch_error(call->worker, call->msgid, code, call->error_size != 0 ? call->error : text, size);
}

/* The handler has run; `pool` is the one its stages are in, which hello may have left. */
static void finish(struct call *call, int r)
{
    struct output *out = &call->worker->out;
    drop_stages(call, r == 0);
    if (r == 0 && (r = output_error(out)) != 0)
        call->error_size = 0;
    if (call->is_notification || r != 0)
        output_rewind(out);
    if (call->replays)
        replay_finish(call, r);
    int code = r <= 0 && r > -HF_E_COUNT ? -r : HF_E_INTERNAL;
    if (code != 0 && !call->is_notification)
        answer_error(call, code);
    book_leave(&call->worker->book, (enum hf_method)call->method);
    book_done(&call->worker->book, (enum hf_method)call->method, code);
}

void dispatch_begin(struct call *call)
{
    struct output *out = &call->worker->out;
    output_mark(out);
    uint8_t *at = output_room(out, HFP_REPLY_HEAD_MAX);
    if (at != NULL)
        out->used = (size_t)(hfp_put_reply_head(at, call->msgid) - out->data);
    call->result_at = out->used;
}

/* Keeps the call for later turns. */
static int keep_pending(struct conn *conn, const struct call *call, const struct hfp_frame *frame)
{
    struct worker *worker = conn->worker;
    conn->pending = worker->spare_pending;
    worker->spare_pending = NULL;
    if (conn->pending == NULL)
        conn->pending = mem_alloc(worker->mem, sizeof *conn->pending);
    if (conn->pending == NULL)
        return -HF_E_OOM;
    conn->pending->call = *call;
    conn->pending->frame = *frame;
    conn->pending->call.params = conn->pending->frame.param;
    conn->pending->patience = (struct patience){0};
    brief_params(conn->pending->args, (enum hf_method)call->method, call->frame, frame);
    return 0;
}

/* One is kept for the next. */
static void drop_pending(struct conn *conn)
{
    struct worker *worker = conn->worker;
    if (worker->spare_pending == NULL)
        worker->spare_pending = conn->pending;
    else
        mem_free(worker->mem, conn->pending, sizeof *conn->pending);
    conn->pending = NULL;
}

static void free_state(struct call *call)
{
    if (call->state_free != NULL)
        call->state_free(call, call->state);
    call->state_free = NULL;
}

/* While `default` is being recovered. The session, which it has no pool for, comes later. */
static int admit_early(struct call *call, enum hf_method method)
{
    if (method == HF_METHOD_hello || method == HF_METHOD_ping || method == HF_METHOD_methods)
        return 0;
    int r = server_busy(call, call->conn->entry->number);
    return r != 0 ? r : -HF_E_BUSY; /* the pool is on its way here */
}

/* Checks that come before every handler. */
static int admit(struct call *call, enum hf_method method, uint32_t param_count)
{
    struct conn *conn = call->conn;
    if (param_count > HFP_PARAMS_KEPT)
        return call_fail(call, HF_E_BADARG, "too many arguments; see `methods`", "params=%u", param_count);
    if (conn->worker->draining && (hfp_method_info(method)->flags & HF_M_CHANGES) != 0)
        return -HF_E_DRAINING;
    if (unlikely(conn->entry->loading))
        return admit_early(call, method);
    if (method == HF_METHOD_hello || conn->session != NULL)
        return 0;
    int r = conn_open_session(conn);
    call->session = conn->session;
    return r == 0 ? 0 : call_pool_error(call, r);
}

static void dispatch_unknown(struct conn *conn, const struct request *request)
{
    const struct hfp_frame *frame = &request->frame;
    struct worker *worker = conn->worker;
    if (frame->kind == HFP_NOTIFICATION) {
        worker->counters.notifications_ignored++;
        return;
    }
    worker->counters.requests_unknown++;
    book_done(&worker->book, HF_METHOD_NONE, HF_E_NOMETHOD);
    char text[CALL_ERROR_MAX], name[LOG_QUOTED_SIZE];
    const uint8_t *at = request->at + frame->method_at;
    bool later = hfp_method_is_later(at, frame->method_size);
    log_quote(name, at, frame->method_size > 40 ? 40 : frame->method_size);
    size_t size = hfp_error_format(text, sizeof text, HF_E_NOMETHOD, NULL, "%s %s; see `methods`", name,
                                   later ? "is not in this version" : "is no method");
    dispatch_error(worker, frame->msgid, HF_E_NOMETHOD, text, size);
}

/* ---- memory nearly full: a request waits for what is being freed, and is then executed again ---- */

static void frame_free(struct call *call, void *frame)
{
    (void)call;
    free(frame);
}

/* It failed for want of memory and has changed nothing. The handler may go on as a call of its own. */
static int try_again(struct call *call, void *frame)
{
    call->params_read = 0;
    for (uint32_t i = 0; i < call->staged_count; i++)
        call->staged[i].taken = false;
    int r = handlers[call->method](call);
    if (r == CALL_AGAIN)
        free(frame);
    return r;
}

/* CALL_AGAIN; -HF_E_OOM: there is nothing to wait for. A frame with staged values, or a large one, stays where it is
 * until the call is done; of any other a copy is kept. */
static int wait_for_memory(struct call *call, const struct hfp_frame *frame)
{
    bool changes = (hfp_method_info((enum hf_method)call->method)->flags & HF_M_CHANGES) != 0;
    bool stays = call->staged_count != 0 || frame->size > CALL_KEPT_MIN;
    if (!changes || call->pool == NULL || !pool_has_work(call->pool))
        return -HF_E_OOM;
    uint8_t *copy = stays ? NULL : malloc(frame->size);
    if (copy == NULL && !stays)
        return -HF_E_OOM;
    if (!stays)
        call->frame = memcpy(copy, call->frame, frame->size);
    return call_later_patient(call, try_again, copy, frame_free);
}

/* Whether the answer is to be recorded, and under which hash. One that is too large to be hashed at once comes hashed,
 * but when it will be refused because the daemon drains. */
static bool replays(const struct conn *conn, const struct request *request, const struct prepared *prepared,
                    uint64_t *ret_hash)
{
    const struct hfp_frame *frame = &request->frame;
    if (likely(conn->replay == CONN_REPLAY_OFF) || !replay_wanted(conn, request))
        return false;
    if (prepared->hashed)
        *ret_hash = prepared->hash;
    else if (frame->size <= POOL_COPY_MAX)
        *ret_hash = replay_hash(request->at + frame->method_at, frame->size - frame->method_at);
    else
        return false;
    return true;
}

static struct call call_of(struct conn *conn, const struct request *request, const struct prepared *prepared)
{
    struct worker *worker = conn->worker;
    const struct hfp_frame *frame = &request->frame;
    return (struct call){
        .server = worker->server,
        .worker = worker,
        .conn = conn,
        .pool = conn->entry->pool,
        .session = conn->session,
        .conn_number = conn->number,
        .msgid = frame->msgid,
        .method = request->method,
        .is_notification = frame->kind == HFP_NOTIFICATION,
        .frame = request->at,
        .params = frame->param,
        .params_count = frame->param_count,
        .staged = prepared->staged,
        .staged_count = prepared->count,
        .error = worker->error,
    };
}

void dispatch(struct conn *conn, const struct request *request, const struct prepared *prepared)
{
    static const struct prepared nothing;
    const struct hfp_frame *frame = &request->frame;
    struct worker *worker = conn->worker;
    enum hf_method method = (enum hf_method)request->method;
    bool is_notification = frame->kind == HFP_NOTIFICATION;
    if (frame->kind == HFP_RESPONSE) {
        worker->counters.responses_ignored++;
        return;
    }
    worker->counters.notifications += is_notification;
    if (method == HF_METHOD_NONE) {
        conn->requested |= !is_notification;
        dispatch_unknown(conn, request);
        return;
    }
    prepared = prepared == NULL ? &nothing : prepared;
    struct call call = call_of(conn, request, prepared);
    call.replays = replays(conn, request, prepared, &call.hash);
    if (call.replays && replay_answer(conn, request, call.hash)) {
        drop_stages(&call, false);
        return;
    }
    book_begin(&worker->book, method);
    dispatch_begin(&call);
    if (call.replays)
        replay_begin(&call);
    int r = admit(&call, method, frame->param_count);
    if (r == 0)
        r = handlers[method](&call);
    bool starves = r == -HF_E_OOM;
    if (unlikely(starves))
        r = wait_for_memory(&call, frame);
    if (r == CALL_MOVED) {
        output_rewind(&worker->out);
        book_leave(&worker->book, method); /* it counts where it is executed */
        return;
    }
    if (r == CALL_AGAIN && (r = keep_pending(conn, &call, frame)) == 0) {
        if (starves)
            (void)patience_wait(&conn->pending->patience, worker, call.pool);
        output_rewind(&worker->out);
        if (call.replays)
            replay_pause(&call);
        conn->requested |= !is_notification;
        return;
    }
    if (r != 0)
        free_state(&call);
    finish(&call, r);
    /* A hello that failed may be tried again, or left: then all goes on in `default`. */
    conn->requested |= !is_notification && (method != HF_METHOD_hello || r == 0) && !conn->entry->loading;
    if (unlikely(method == HF_METHOD_hello && r != 0 && !conn->greeted && conn->entry != worker->first))
        move_home(conn);
}

bool dispatch_waits(const struct conn *conn)
{
    return conn->pending != NULL && conn->pending->call.waits;
}

void dispatch_answered(struct conn *conn)
{
    conn->pending->call.waits = false;
    conn_make_runnable(conn);
}

void dispatch_resume(struct conn *conn)
{
    struct call *call = &conn->pending->call;
    struct patience *patience = &conn->pending->patience;
    if (!patience_try(patience, conn->worker, call->pool))
        return;
    call->error_size = 0;
    dispatch_begin(call);
    if (call->replays)
        replay_begin(call);
    int r = call->resume(call, call->state);
    if (r == -HF_E_OOM && call->repeats && patience_wait(patience, conn->worker, call->pool))
        r = CALL_AGAIN;
    else
        patience_end(patience, conn->worker);
    if (r == CALL_AGAIN) {
        if (call->replays)
            replay_pause(call);
        output_rewind(&conn->worker->out);
        return;
    }
    free_state(call);
    finish(call, r);
    if (unlikely(pool_wants_ops(conn->entry->pool)))
        trace_resumed(conn);
    book_resumed(conn->worker, (enum hf_method)call->method, conn->pending->args);
    drop_pending(conn);
}

void dispatch_drop_pending(struct conn *conn)
{
    if (conn->pending == NULL)
        return;
    free_state(&conn->pending->call);
    drop_stages(&conn->pending->call, false);
    book_leave(&conn->worker->book, (enum hf_method)conn->pending->call.method);
    book_given_up(&conn->worker->book, (enum hf_method)conn->pending->call.method);
    drop_pending(conn);
}
