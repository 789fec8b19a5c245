/* SPDX-License-Identifier: BSD-3-Clause */
/* The request loop: from a connection's bytes to replies.
 *
 * Requests are taken in batches of up to BATCH_MAX. Pass 1 finds their bounds and prefetches the entries of
 * the objects they name; pass 1b prefetches the values to be read; pass 2 executes them in order and checks
 * everything anew. Pass 1b is always a part of the batch ahead of pass 2. The hottest methods in their plainest
 * form are executed right here, all else by dispatch().
 *
 * Whatever is not plain (an error, an option, an array of ids) takes the ordinary way: the hot form then has
 * changed nothing, so there is one place only that finds and words an error. */
#include "daemon/pool/hot.h"
#include "daemon/server/value.h"
#include "daemon/server/worker.h"
#include "proto/plain.h"
#include "proto/rpc.h"

#include <string.h>

static const struct hfp_scan_limits default_limits = {.frame_max = HF_FRAME_MAX, .depth_max = HF_DEPTH_MAX};
static_assert(HFP_PLAIN_MAX <= HF_FRAME_MAX, "no plain request is above the limit");

/* ---- the hottest methods ---- */

static struct hfp_cursor param(const struct request *request, unsigned n)
{
    const struct hfp_span *span = &request->frame.param[n];
    const uint8_t *at = request->at + span->at;
    return (struct hfp_cursor){.at = at, .end = at + span->size};
}

/* Before each request CALL_REPLY_SURE bytes are free, so the hot replies need no look at the room. */
static inline uint8_t *reply_begin(struct output *out, uint32_t msgid)
{
    return hfp_put_reply_head(out->data + out->used, msgid);
}

static inline void reply_end(struct output *out, const uint8_t *end)
{
    out->used = (size_t)(end - out->data);
}

static inline uint8_t *put_value(uint8_t *at, const struct value_view *view)
{
    size_t size = (size_t)view->size;
    switch (view->form) {
    case FORM_RAW: break;
    case FORM_BIN8:
        at[0] = 0xc4;
        at[1] = (uint8_t)size;
        at += 2;
        break;
    default: at += value_header(view->form, size, at); break;
    }
    bits_copy(at, view->data, size);
    return at + size;
}

static_assert(BORROW_MIN + HFP_REPLY_HEAD_MAX + VALUE_HEADER_MAX < CALL_REPLY_SURE,
              "a copied value always fits");
static_assert(POOL_HOT_MAX < BORROW_MIN, "what the hot path copies is not borrowed elsewhere");

static inline bool hot_get(struct output *out, struct conn *conn, const struct request *request)
{
    struct value_view view;
    if (!pool_get_hot(conn->entry->pool, request->id, &view))
        return false;
    reply_end(out, put_value(reply_begin(out, request->frame.msgid), &view));
    return true;
}

static inline bool hot_fetch(struct output *out, struct conn *conn, const struct request *request)
{
    struct hfp_cursor cursor = param(request, 0);
    struct hfp_bytes name;
    struct value_view view;
    uint64_t id, version;
    if (request->frame.param_count != 1 || !hfp_read_bytes(&cursor, &name) || name.size > HF_NAME_MAX)
        return false;
    struct name_in in = {.data = name.at, .size = name.size};
    if (pool_fetch(conn->entry->pool, in, &view, &id, &version) != 0 || view.size >= BORROW_MIN)
        return false;
    reply_end(out, put_value(reply_begin(out, request->frame.msgid), &view));
    return true;
}

/* The optional n of retain and release; false if it is not a plain one. */
static inline bool read_n(const struct request *request, uint32_t *n)
{
    *n = 1;
    if (request->frame.param_count == 1)
        return true;
    struct hfp_cursor cursor = param(request, 1);
    uint64_t value;
    if (request->frame.param_count != 2 || !hfp_read_uint64(&cursor, &value) || value < 1 ||
        value > HF_COUNT_MAX)
        return false;
    *n = (uint32_t)value;
    return true;
}

static inline bool hot_retain(struct output *out, struct conn *conn, const struct request *request)
{
    uint64_t count;
    uint32_t n;
    if (!read_n(request, &n) || !pool_retain_hot(conn->entry->pool, conn->session, request->id, n, &count))
        return false;
    reply_end(out, hfp_put_uint(reply_begin(out, request->frame.msgid), count));
    return true;
}

static inline bool hot_release(struct output *out, struct conn *conn, const struct request *request)
{
    uint64_t count;
    uint32_t n;
    if (!read_n(request, &n) || !pool_release_one(conn->entry->pool, conn->session, request->id, n, &count))
        return false;
    reply_end(out, hfp_put_uint(reply_begin(out, request->frame.msgid), count));
    return true;
}

static inline bool hot_lookup(struct output *out, struct conn *conn, const struct request *request)
{
    struct hfp_cursor cursor = param(request, 0);
    struct hfp_bytes name;
    uint64_t id;
    if (request->frame.param_count != 1 || !hfp_read_bytes(&cursor, &name) || name.size > HF_NAME_MAX)
        return false;
    struct name_in in = {.data = name.at, .size = name.size};
    if (pool_lookup(conn->entry->pool, conn->session, &in, 1, &id, NULL) != 0)
        return false;
    reply_end(out, hfp_put_uint(reply_begin(out, request->frame.msgid), id));
    return true;
}

static inline bool hot_put(struct output *out, struct conn *conn, const struct request *request)
{
    struct hfp_cursor cursor = param(request, 0);
    struct value_in value;
    uint64_t id;
    if (request->frame.param_count != 1 || hfp_left(&cursor) > INPUT_SIZE)
        return false;
    value_split(cursor.at, hfp_left(&cursor), &value);
    if (pool_put_value(conn->entry->pool, conn->session, &value, &id) != 0)
        return false;
    reply_end(out, hfp_put_uint(reply_begin(out, request->frame.msgid), id));
    return true;
}

static inline bool change_hot(struct output *out, struct conn *conn, const struct request *request)
{
    switch (request->hot) {
    case HF_METHOD_retain: return hot_retain(out, conn, request);
    case HF_METHOD_release: return hot_release(out, conn, request);
    case HF_METHOD_lookup: return hot_lookup(out, conn, request);
    case HF_METHOD_put: return hot_put(out, conn, request);
    default: return false;
    }
}

/* The request is one of a session with a replay window. False: it may have been done already, which is dispatch()'s. */
static bool record_begin(struct conn *conn, const struct request *request)
{
    const struct hfp_frame *frame = &request->frame;
    if (conn->replay == CONN_REPLAY_MATCH || frame->size > POOL_COPY_MAX)
        return false;
    uint64_t hash = replay_hash(request->at + frame->method_at, frame->size - frame->method_at);
    pool_replay_begin(conn->entry->pool, conn->session, frame->msgid, hash);
    return true;
}

/* Whether hot requests of the connection may be executed at once; asked again after each that was not. */
static inline bool is_open(const struct conn *conn)
{
    return conn->session != NULL && conn->requested;
}

static inline bool execute_hot(struct worker *worker, struct conn *conn, const struct request *request)
{
    struct output *out = &worker->out;
    if (request->hot == HF_METHOD_fetch)
        return hot_fetch(out, conn, request);
    if (request->hot == HF_METHOD_NONE || worker->draining)
        return false;
    bool records = unlikely(conn->replay != CONN_REPLAY_OFF);
    if (records && !record_begin(conn, request))
        return false;
    bool done = change_hot(out, conn, request);
    if (records)
        pool_replay_end(conn->entry->pool);
    return done;
}

/* ---- pass 1 ---- */

static void classify(const struct pool *pool, struct request *request)
{
    const struct hfp_frame *frame = &request->frame;
    request->id = 0;
    request->method = request->hot = HF_METHOD_NONE;
    if (frame->kind == HFP_RESPONSE)
        return;
    request->method = (uint16_t)hfp_method_find(request->at + frame->method_at, frame->method_size);
    if (frame->param_count == 0)
        return;
    if (frame->kind == HFP_REQUEST && (request->method != HF_METHOD_get || frame->param_count == 1))
        request->hot = request->method;
    struct hfp_cursor cursor = param(request, 0);
    struct hfp_bytes name;
    switch (request->method) {
    case HF_METHOD_get:
    case HF_METHOD_retain:
    case HF_METHOD_release:
        if (hfp_read_uint64(&cursor, &request->id))
            pool_prefetch(pool, request->id);
        return;
    case HF_METHOD_fetch:
    case HF_METHOD_lookup:
        if (hfp_read_bytes(&cursor, &name) && name.size <= HF_NAME_MAX)
            pool_prefetch_name(pool, (struct name_in){.data = name.at, .size = name.size});
        return;
    default: return;
    }
}

/* Requests of a batch whose pass 1b is done at a time, one such part ahead of the part that is executed, so that memory
 * does not rest meanwhile. Not one request at a time: a processor looks only so far ahead that prefetches between the
 * instructions of whole requests wait for memory one after the other; those that stand close together wait at the same
 * time. */
#define PART 16u

static inline const struct request *part_end(const struct request *request, const struct request *end)
{
    return (size_t)(end - request) > PART ? request + PART : end;
}

struct batch {
    unsigned count;
    size_t size;            /* bytes of these requests */
    enum hfp_result result; /* of the scan that ended it; HFP_FRAME: it is full, or the bytes are used up */
    struct hfp_frame odd;   /* after HFP_TOOBIG: kind and msgid */
};

static void scan_batch(struct conn *conn, const uint8_t *bytes, size_t count, struct hfp_scan *scan,
                       unsigned max, struct batch *batch)
{
    const struct pool *pool = conn->entry->pool;
    struct request *request = conn->worker->batch, *last = request + max;
    const uint8_t *at = bytes, *end = bytes + count;
    bool begun = scan->at != 0 || scan->state != 0; /* that is over after the first frame */
    batch->result = HFP_FRAME;
    for (; request < last && at < end; request++) {
        size_t left = (size_t)(end - at);
        enum hf_method method =
            unlikely(begun) ? HF_METHOD_NONE : hfp_plain(at, left, &request->frame, &request->id);
        request->at = at;
        if (likely(method != HF_METHOD_NONE)) {
            request->method = request->hot = (uint16_t)method;
            pool_prefetch(pool, request->id);
        } else {
            batch->result = hfp_scan_next(scan, &default_limits, at, left, &request->frame);
            if (unlikely(batch->result != HFP_FRAME)) {
                batch->odd = request->frame;
                break;
            }
            classify(pool, request);
            begun = false;
        }
        at += request->frame.size;
    }
    batch->count = (unsigned)(request - conn->worker->batch);
    batch->size = (size_t)(at - bytes);
}

/* Pass 1b of the next part of a batch, from `request` on: what is behind the entries, which are near by now. Returns
 * where the part ends. */
static inline const struct request *prefetch_part(const struct conn *conn, const struct request *request,
                                                  const struct request *end)
{
    const struct pool *pool = conn->entry->pool;
    for (end = part_end(request, end); request < end; request++) {
        if (request->hot == HF_METHOD_get)
            pool_prefetch_value(pool, request->id);
        else if (request->id != 0 && conn->session != NULL)
            pool_prefetch_hold(pool, conn->session, request->id);
    }
    return end;
}

/* ---- pass 2 ---- */

/* The time since this run of the loop did its first slow request, or finished its first batch. */
static bool time_is_up(struct worker *worker, uint64_t now_ns)
{
    if (worker->run_ns == 0)
        worker->run_ns = now_ns;
    return now_ns - worker->run_ns > TURN_US * 1000;
}

/* The connection's requests (and what others did meanwhile) have had their share of work. Looked at after every
 * request but a get: a release may drop thousands of slots, a put in a full pool makes room first. */
static inline bool units_are_up(const struct conn *conn)
{
    return pool_work_hot(conn->entry->pool) - conn->turn_work >= TURN_UNITS;
}

static inline bool output_is_full(const struct output *out)
{
    return out->used > OUTPUT_TURN || out->borrowed_total > HF_QUEUE_SOFT;
}

/* A request that is not hot. False: the rest of the batch has to wait. */
static bool execute_other(struct conn *conn, const struct request *request)
{
    struct worker *worker = conn->worker;
    if (request->frame.size > POOL_COPY_MAX && staging_begin(conn, request))
        return false;
    book_settle(&worker->book);
    dispatch(conn, request, NULL);
    uint64_t now_ns = uv_hrtime();
    book_executed(worker, request, now_ns);
    return !time_is_up(worker, now_ns) && !conn_blocked(conn) && !units_are_up(conn) &&
           !output_is_full(&worker->out);
}

/* `*open`: is_open(). False: the rest of the batch has to wait. What is hot borrows nothing. */
static inline bool execute(struct worker *worker, struct conn *conn, const struct request *request,
                           bool *open)
{
    bool is_get = request->hot == HF_METHOD_get; /* the hottest: it does no work that units count */
    if (likely(*open) && is_get && likely(hot_get(&worker->out, conn, request))) {
        book_hot(&worker->book, HF_METHOD_get);
        return worker->out.used <= OUTPUT_TURN;
    }
    if (likely(*open) && !is_get && likely(execute_hot(worker, conn, request))) {
        book_hot(&worker->book, request->hot);
        return !units_are_up(conn) && worker->out.used <= OUTPUT_TURN;
    }
    bool more = execute_other(conn, request);
    *open = is_open(conn);
    return more;
}

/* Bytes that are done with after a request that ended the batch: not those of a hello that is executed elsewhere, nor
 * of a call that needs more turns. */
static size_t done_at_end(struct conn *conn, const struct request *request)
{
    if (conn->leaving != NULL && conn->leaving->place != PLACE_HOME)
        return 0;
    if (conn->pending == NULL && conn->staging == NULL)
        return request->frame.size;
    conn->worker->held = request->frame.size;
    return 0;
}

/* Executes a batch; returns the bytes done with. `*stopped`: the turn is over, perhaps before the last of them. */
static size_t execute_batch(struct conn *conn, const struct batch *batch, bool *stopped)
{
    struct worker *worker = conn->worker;
    const struct request *request = worker->batch, *part = request, *end = request + batch->count;
    const struct request *near = batch->count > 1 ? prefetch_part(conn, request, end) : end;
    bool open = is_open(conn);
    while (request == part && request < end) {
        part = part_end(request, end);
        near = prefetch_part(conn, near, end);
        while (request < part && likely(execute(worker, conn, request, &open)))
            request++;
    }
    size_t done = batch->size;
    *stopped = request < end;
    if (unlikely(*stopped)) {
        done = (size_t)(request->at - worker->batch->at) + done_at_end(conn, request);
        request++;
    }
    unsigned count = (unsigned)(request - worker->batch);
    conn->turn_requests += count;
    book_batch(&worker->book, count);
    if (unlikely(pool_wants_ops(conn->entry->pool)))
        trace_batch(conn, count);
    return done;
}

/* ---- what is no frame ---- */

static void answer_bad(struct conn *conn, const struct hfp_scan *scan)
{
    char text[CALL_ERROR_MAX];
    size_t size = hfp_error_format(text, sizeof text, HF_E_BADFRAME, NULL, "%s; the connection is closed",
                                   scan->reason);
    dispatch_error(conn->worker, 0, HF_E_BADFRAME, text, size);
    book_done(&conn->worker->book, HF_METHOD_NONE, HF_E_BADFRAME);
    log_client(conn->worker->log, LOG_LEVEL_INFO, LOG_FRAME, "badframe", "conn=%llu reason=\"%s\"",
               (unsigned long long)conn->number, scan->reason);
    conn->finish = true;
}

static void answer_toobig(struct conn *conn, const struct hfp_scan *scan, const struct hfp_frame *frame)
{
    char text[CALL_ERROR_MAX];
    if (frame->kind != HFP_REQUEST)
        return;
    size_t size =
        hfp_error_format(text, sizeof text, HF_E_TOOBIG, NULL, "%s; see `limits` of hello", scan->reason);
    dispatch_error(conn->worker, frame->msgid, HF_E_TOOBIG, text, size);
    book_done(&conn->worker->book, HF_METHOD_NONE, HF_E_TOOBIG);
    conn->requested = true;
}

size_t loop_odd(struct conn *conn, enum hfp_result result, const struct hfp_frame *frame,
                const uint8_t *bytes, size_t count, struct hfp_scan *scan, enum loop_end *end)
{
    size_t used = count;
    if (result == HFP_TOOBIG) {
        answer_toobig(conn, scan, frame);
        used = scan->used;
        result = hfp_scan_discard(scan, bytes + used, count - used);
        used = result == HFP_FRAME ? used + scan->used : count;
    }
    *end = result == HFP_FRAME ? LOOP_ALL : result == HFP_MORE ? LOOP_DISCARDING : LOOP_BAD;
    if (result == HFP_BAD)
        answer_bad(conn, scan);
    return used;
}

/* ---- the loop ---- */

bool loop_turn_over(const struct conn *conn)
{
    return conn->turn_requests >= TURN_REQUESTS || output_is_full(&conn->worker->out) || units_are_up(conn);
}

size_t loop_run(struct conn *conn, const uint8_t *bytes, size_t count, struct hfp_scan *scan,
                enum loop_end *end)
{
    struct worker *worker = conn->worker;
    size_t done = 0;
    bool stopped = false, scanned = false; /* scanned: `scan` is not of the frame at `done` */
    worker->run_ns = 0;
    worker->held = 0;
    *end = LOOP_ALL;
    while (done < count) {
        if (stopped || loop_turn_over(conn) || conn_blocked(conn)) {
            if (scanned)
                hfp_scan_reset(scan);
            *end = LOOP_STOPPED;
            return done;
        }
        unsigned left = TURN_REQUESTS - conn->turn_requests;
        struct batch batch;
        scan_batch(conn, bytes + done, count - done, scan, left < BATCH_MAX ? left : BATCH_MAX, &batch);
        size_t before = done;
        done += execute_batch(conn, &batch, &stopped);
        /* What was scanned of an unfinished frame is kept: to look at all of it again in each turn that was
         * over before it began would cost the more the longer the frame is. */
        scanned = done - before != batch.size || batch.result != HFP_MORE;
        if (worker->held != 0 || stopped)
            continue;
        if (batch.result == HFP_MORE) {
            *end = LOOP_MORE;
            return done;
        }
        if (unlikely(batch.result != HFP_FRAME)) {
            done += loop_odd(conn, batch.result, &batch.odd, bytes + done, count - done, scan, end);
            if (*end != LOOP_ALL)
                return done;
        }
        stopped = done < count && time_is_up(worker, uv_hrtime());
    }
    return done;
}
