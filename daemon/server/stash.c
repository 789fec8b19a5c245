/* SPDX-License-Identifier: BSD-3-Clause */
/* What a connection keeps of its client's bytes because it cannot be executed yet.
 *
 * Nearly always there is nothing: requests are executed from the worker's shared buffer. A stash holds
 *  - an unfinished frame. A short one goes back to the front of the shared buffer when its rest comes; a
 *    long one grows here, by what has come, never by what it declares;
 *  - requests that came, but whose turn is over;
 *  - nothing but the scanner, while the rest of a frame above the limit is thrown away;
 *  - the frame around a large value of put, set or store whose bytes go from the socket straight into the
 *    heap: a nil stands in the value's place. */
#include "daemon/server/value.h"
#include "daemon/server/worker.h"
#include "proto/rpc.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#define WASTE_STEP (512u * 1024) /* bytes given back in a turn: about 20 us */
#define WASTE_PAGE 4096u

static const struct hfp_scan_limits default_limits = {.frame_max = HF_FRAME_MAX, .depth_max = HF_DEPTH_MAX};

/* ---- memory ---- */

static void drop_staged(struct conn *conn)
{
    struct stash *stash = conn->stash;
    for (uint32_t i = 0; i < stash->staged_count; i++)
        pool_stage_drop(conn->entry->pool, stash->staged[i].stage);
    stash->staged_count = 0;
    if (stash->stream.stage != NULL)
        pool_stage_drop(conn->entry->pool, stash->stream.stage);
    stash->stream.stage = NULL;
}

/* A large buffer that is given back in steps; stands at its own begin. */
struct waste {
    struct waste *next;
    size_t size, left; /* allocated; bytes at the begin that still have pages */
};

/* To free 64 MiB at once would take some milliseconds. */
static void free_data(struct worker *worker, struct stash *stash)
{
    struct waste *waste = (void *)stash->data;
    if (stash->cap <= WASTE_STEP) {
        mem_free(worker->mem, stash->data, stash->cap);
        return;
    }
    *waste = (struct waste){.next = worker->waste, .size = stash->cap, .left = stash->cap};
    worker->waste = waste;
    worker_wake(worker);
}

bool stash_dispose(struct worker *worker)
{
    struct waste *waste = worker->waste;
    if (waste == NULL)
        return false;
    book_settle(&worker->book);
    if (waste->left > WASTE_STEP) {
        /* The allocation begins somewhere in a page; whole pages behind it are dropped. */
        uintptr_t end = ((uintptr_t)waste + waste->left) & ~(uintptr_t)(WASTE_PAGE - 1);
        waste->left -= WASTE_STEP;
        uintptr_t begin = ((uintptr_t)waste + waste->left) & ~(uintptr_t)(WASTE_PAGE - 1);
        if (madvise((void *)begin, end - begin, MADV_DONTNEED) == 0)
            return true;
    }
    worker->waste = waste->next;
    mem_free(worker->mem, waste, waste->size);
    return worker->waste != NULL;
}

static void destroy(struct worker *worker, struct stash *stash)
{
    if (stash->data != NULL)
        free_data(worker, stash);
    if (stash->staged != NULL)
        mem_free(worker->mem, stash->staged, stash->staged_cap * sizeof *stash->staged);
    mem_free(worker->mem, stash, sizeof *stash);
}

void stash_free(struct conn *conn)
{
    struct worker *worker = conn->worker;
    struct stash *stash = conn->stash;
    if (stash == NULL)
        return;
    drop_staged(conn);
    conn->stash = NULL;
    if (worker->spares_count == SPARES_KEPT || stash->cap > INPUT_SIZE || stash->staged != NULL)
        destroy(worker, stash);
    else
        worker->spares[worker->spares_count++] = stash;
}

void stash_free_spares(struct worker *worker)
{
    while (worker->spares_count > 0)
        destroy(worker, worker->spares[--worker->spares_count]);
    while (worker->waste != NULL) {
        struct waste *waste = worker->waste;
        worker->waste = waste->next;
        mem_free(worker->mem, waste, waste->size);
    }
}

struct stash *stash_take(struct conn *conn, size_t *ret_size)
{
    struct stash *stash = conn->stash;
    conn->stash = NULL;
    *ret_size = 0;
    if (stash == NULL)
        return NULL;
    *ret_size = sizeof *stash + stash->cap + stash->staged_cap * sizeof *stash->staged;
    mem_hand_out(conn->worker->mem, *ret_size);
    return stash;
}

void stash_give(struct conn *conn, struct stash *stash, size_t size)
{
    mem_hand_in(conn->worker->mem, size);
    conn->stash = stash;
}

void stash_discard(struct server *server, struct stash *stash, size_t size)
{
    free(stash->data);
    free(stash->staged);
    free(stash);
    mem_uncharge(&server->mem, size);
}

/* Room for `more` bytes behind `end`. False: no memory. */
static bool reserve(struct worker *worker, struct stash *stash, size_t more)
{
    if (stash->cap - stash->end >= more)
        return true;
    if (stash->begin > 0) {
        stash->end -= stash->begin;
        memmove(stash->data, stash->data + stash->begin, stash->end);
        stash->begin = 0;
    }
    if (stash->cap - stash->end >= more)
        return true;
    size_t cap = bits_power_up(stash->end + more > STASH_MIN ? stash->end + more : STASH_MIN);
    uint8_t *data = stash->data == NULL ? mem_alloc(worker->mem, cap)
                                        : mem_realloc(worker->mem, stash->data, stash->cap, cap);
    if (data == NULL)
        return false;
    stash->data = data;
    stash->cap = cap;
    return true;
}

/* A fresh stash for a connection that has none; NULL: no memory. */
static struct stash *make(struct conn *conn)
{
    struct worker *worker = conn->worker;
    struct stash *stash;
    if (worker->spares_count > 0) {
        struct stash *spare = worker->spares[--worker->spares_count];
        uint8_t *data = spare->data;
        size_t cap = spare->cap;
        memset(spare, 0, offsetof(struct stash, refusal));
        spare->data = data;
        spare->cap = cap;
        stash = spare;
    } else {
        stash = mem_zalloc(worker->mem, sizeof *stash);
    }
    conn->stash = stash;
    return stash;
}

/* Keeps bytes for a connection that has no stash. */
static bool keep(struct conn *conn, const uint8_t *bytes, size_t count)
{
    struct stash *stash = make(conn);
    if (stash == NULL || !reserve(conn->worker, stash, count)) {
        conn_cut(conn, "no memory for its request");
        return false;
    }
    if (count != 0)
        memcpy(stash->data, bytes, count);
    stash->end = count;
    return true;
}

/* ---- refusals, staged values ---- */

static void refuse_text(struct stash *stash, int code, const char *text, size_t size)
{
    stash->refused = true;
    stash->refusal_code = code;
    stash->refusal_size = (uint32_t)size;
    memcpy(stash->refusal, text, size);
}

void stash_refuse(struct conn *conn, int r)
{
    struct call call = {.pool = conn->entry->pool, .error = conn->worker->error};
    call_pool_error(&call, r);
    refuse_text(conn->stash, -r, call.error, call.error_size);
}

int stash_add_staged(struct conn *conn, const uint8_t *at, enum form form, uint64_t size, struct stage *stage)
{
    struct stash *stash = conn->stash;
    if (stash->staged_count == stash->staged_cap) {
        uint32_t cap = stash->staged_cap == 0 ? 4 : stash->staged_cap * 2;
        struct staged *staged = stash->staged == NULL
                                    ? mem_alloc(conn->worker->mem, cap * sizeof *staged)
                                    : mem_realloc(conn->worker->mem, stash->staged,
                                                  stash->staged_cap * sizeof *staged, cap * sizeof *staged);
        if (staged == NULL) {
            pool_stage_drop(conn->entry->pool, stage);
            return -HF_E_OOM;
        }
        stash->staged = staged;
        stash->staged_cap = cap;
    }
    stash->staged[stash->staged_count++] =
        (struct staged){.at = at, .form = form, .size = size, .stage = stage};
    return 0;
}

void stash_dispatch(struct conn *conn, const struct request *request)
{
    struct stash *stash = conn->stash;
    const struct prepared prepared = {stash->staged, stash->staged_count, stash->hashed, stash->hash};
    stash->hashed = false;
    if (!stash->refused) {
        stash->staged_count = 0; /* dispatch() consumes or drops them */
        dispatch(conn, request, &prepared);
        return;
    }
    stash->refused = false;
    drop_staged(conn);
    if (request->frame.kind != HFP_REQUEST)
        return;
    if (prepared.hashed && replay_answer(conn, request, prepared.hash))
        return;
    if (prepared.hashed)
        replay_refused(conn, request, prepared.hash, stash->refusal_code);
    conn->requested |= !conn->entry->loading;
    dispatch_error(conn->worker, request->frame.msgid, stash->refusal_code, stash->refusal,
                   stash->refusal_size);
    book_done(&conn->worker->book, (enum hf_method)request->method, stash->refusal_code);
}

/* ---- streams ---- */

/* Which param of the method may be streamed; false: none. */
static bool streamed_param(enum hf_method method, uint32_t *ret)
{
    *ret = method == HF_METHOD_put ? 0 : 1;
    return method == HF_METHOD_put || method == HF_METHOD_set || method == HF_METHOD_store;
}

/* The method of an unfinished frame whose params have begun, and where it stands. */
static enum hf_method frame_method(const uint8_t *bytes, size_t count, size_t *ret_at)
{
    struct hfp_cursor cursor = {.at = bytes, .end = bytes + count};
    struct hfp_bytes method;
    uint64_t kind, msgid;
    /* The scanner has seen all of the envelope; only its array's head declares more than has come. */
    cursor.at++;
    if (!hfp_read_uint64(&cursor, &kind) || (kind == HFP_REQUEST && !hfp_read_uint64(&cursor, &msgid)) ||
        !hfp_read_bytes(&cursor, &method))
        return HF_METHOD_NONE;
    *ret_at = (size_t)(method.at - bytes);
    return hfp_method_find(method.at, method.size);
}

/* What has come of the frame is hashed before the place holder is put into it. */
static void begin_hash(struct conn *conn, const uint8_t *frame, size_t method_at, size_t count)
{
    struct stream_in *stream = &conn->stash->stream;
    stream->hashes = conn->replay != CONN_REPLAY_OFF;
    if (!stream->hashes)
        return;
    XXH64_reset(&stream->hash, 0);
    XXH64_update(&stream->hash, frame + method_at, count - method_at);
}

static void hash_more(struct stream_in *stream, const uint8_t *at, size_t count)
{
    if (stream->hashes)
        XXH64_update(&stream->hash, at, count);
}

static void drop_stream(struct conn *conn)
{
    pool_stage_drop(conn->entry->pool, conn->stash->stream.stage);
    conn->stash->stream.stage = NULL;
}

static void refuse_stream(struct conn *conn, int r)
{
    stash_refuse(conn, r);
    drop_stream(conn);
    conn->stash->patience.waits = false;
}

/* It failed. True: for want of memory, and that is worth waiting for. */
static bool stream_waits(struct conn *conn, int r)
{
    return r == -HF_E_OOM && patience_wait(&conn->stash->patience, conn->worker, conn->entry->pool);
}

/* `count` bytes of the stream that stand somewhere else. */
static int copy_to_stream(struct conn *conn, const uint8_t *at, size_t count)
{
    struct stream_in *stream = &conn->stash->stream;
    int r = 0;
    for (size_t done = 0; done < count && r == 0;) {
        size_t part = count - done < POOL_COPY_MAX ? count - done : POOL_COPY_MAX;
        r = pool_stage_write(conn->entry->pool, stream->stage, stream->got + done, at + done, part);
        done += part;
    }
    return r;
}

/* The stage of the stream with its first bytes, or a refusal. False: it waits for memory, and has none of both. */
static bool begin_stage(struct conn *conn, enum hf_method method, const uint8_t *at, size_t count)
{
    struct stash *stash = conn->stash;
    struct stream_in *stream = &stash->stream;
    char text[CALL_ERROR_MAX];
    /* nothing may be staged in a stand-in */
    const struct load *load =
        conn->entry->loading ? loading_numbered(conn->worker->server, conn->entry->number) : NULL;
    int code = 0;
    if (conn->worker->draining)
        code = HF_E_DRAINING;
    else if (load != NULL)
        code = HF_E_BUSY;
    else if (stream->size > HF_VALUE_MAX)
        code = HF_E_TOOBIG;
    if (code != 0) {
        refuse_text(stash, code, text,
                    code == HF_E_BUSY ? loading_busy(load, text)
                                      : hfp_error_format(text, sizeof text, code, NULL, NULL));
        stash->patience.waits = false;
        return true;
    }
    worker_clock(conn->worker, conn->entry);
    int r = pool_stage_begin(conn->entry->pool, stream->form, stream->size, method == HF_METHOD_set,
                             &stream->stage);
    if (r != 0)
        stream->stage = NULL;
    else
        r = copy_to_stream(conn, at, count);
    if (r == 0) {
        patience_end(&stash->patience, conn->worker);
        return true;
    }
    if (!stream_waits(conn, r)) {
        refuse_stream(conn, r);
        return true;
    }
    drop_stream(conn);
    return false;
}

/* Memory for the next bytes of the stream, before libuv asks for it: then there is no way to wait. */
static void make_room(struct conn *conn)
{
    struct stash *stash = conn->stash;
    uint8_t *at;
    uint64_t size;
    if (stash->stream.stage == NULL || !patience_try(&stash->patience, conn->worker, conn->entry->pool))
        return;
    int r = pool_stage_room(conn->entry->pool, stash->stream.stage, stash->stream.got, &at, &size);
    if (r == 0)
        patience_end(&stash->patience, conn->worker);
    else if (!stream_waits(conn, r))
        refuse_stream(conn, r);
}

/* All bytes of the stream are there: the rest of the frame comes into the stash again. */
static void end_stream(struct conn *conn)
{
    struct stash *stash = conn->stash;
    struct stream_in *stream = &stash->stream;
    struct stage *stage = stream->stage;
    stash->streaming = false;
    stream->stage = NULL;
    if (stage != NULL && stash_add_staged(conn, NULL, stream->form, stream->size, stage) != 0)
        stash_refuse(conn, -HF_E_OOM);
}

/* The stash holds one unfinished frame. If a large value has begun in it that may be streamed, begins that; or waits
 * for memory, with the frame as it is. */
static void begin_stream(struct conn *conn)
{
    struct stash *stash = conn->stash;
    uint8_t *frame = stash->data + stash->begin;
    size_t count = stash->end - stash->begin;
    struct hfp_payload payload;
    uint32_t wanted;
    if (stash->streamed || !patience_try(&stash->patience, conn->worker, conn->entry->pool) ||
        !hfp_scan_payload(&stash->scan, count, &payload) || !payload.whole || payload.size < STREAM_MIN)
        return;
    size_t method_at = 0;
    enum hf_method method = frame_method(frame, count, &method_at);
    if (!streamed_param(method, &wanted) || payload.param != wanted)
        return;
    size_t at = payload.at - VALUE_HEADER_MAX;
    if (payload.at < VALUE_HEADER_MAX || (frame[at] != 0xc6 && frame[at] != 0xdb) || payload.at > count)
        return;
    stash->stream =
        (struct stream_in){.form = payload.bin ? FORM_BIN32 : FORM_STR32, .size = payload.size, .at = at};
    if (!begin_stage(conn, method, frame + payload.at, count - payload.at))
        return;
    stash->streamed = stash->streaming = true;
    stash->stream.got = count - payload.at;
    stash->limits = default_limits;
    stash->limits.frame_max -=
        payload.size < HF_FRAME_MAX - HFP_FRAME_MIN ? payload.size : HF_FRAME_MAX - HFP_FRAME_MIN;
    begin_hash(conn, frame, method_at, count);
    frame[at] = 0xc0;
    stash->end = stash->begin + at + 1;
    hfp_scan_reset(&stash->scan);
    if (stash->stream.got == stash->stream.size)
        end_stream(conn);
    else
        make_room(conn);
}

/* ---- running ---- */

/* What a run of the loop left in the stash. */
static void settle(struct conn *conn, enum loop_end end, size_t done)
{
    struct stash *stash = conn->stash;
    stash->begin += done;
    stash->incomplete = end == LOOP_MORE;
    stash->discarding = end == LOOP_DISCARDING;
    stash->hold = end == LOOP_STOPPED ? conn->worker->held : 0;
    if (end == LOOP_DISCARDING || end == LOOP_BAD)
        stash->begin = stash->end = 0;
    if (end == LOOP_MORE)
        begin_stream(conn);
    if (stash->begin == stash->end && stash->hold == 0 && !stash->discarding && conn->state != CONN_CLOSING)
        stash_free(conn);
}

/* The rest of a frame, behind the place holder. */
static void end_hash(struct conn *conn, const struct request *request)
{
    struct stash *stash = conn->stash;
    size_t at = stash->stream.at + 1;
    if (!replay_wanted(conn, request) || !stash->stream.hashes)
        return;
    hash_more(&stash->stream, request->at + at, request->frame.size - at);
    stash->hash = XXH64_digest(&stash->stream.hash);
    stash->hashed = true;
}

/* The first frame has a streamed value. False: it is not whole yet, or not done with. */
static bool run_streamed(struct conn *conn)
{
    struct stash *stash = conn->stash;
    struct request request = {.at = stash->data + stash->begin};
    size_t count = stash->end - stash->begin;
    enum hfp_result result = hfp_scan_next(&stash->scan, &stash->limits, request.at, count, &request.frame);
    if (result == HFP_MORE)
        return false;
    stash->streamed = stash->incomplete = false;
    stash->patience = (struct patience){0};
    if (result == HFP_FRAME) {
        request.method =
            (uint16_t)hfp_method_find(request.at + request.frame.method_at, request.frame.method_size);
        if (stash->staged_count > 0)
            stash->staged[0].at = request.at + stash->stream.at;
        end_hash(conn, &request);
        stash->begin += request.frame.size;
        conn->turn_requests++;
        stash_dispatch(conn, &request);
        if (conn->pending == NULL)
            return true;
        stash->begin -= request.frame.size; /* it goes on with the frame, and with what is staged for it */
        stash->hold = request.frame.size;
        return false;
    }
    enum loop_end end;
    drop_staged(conn);
    stash->refused = false;
    size_t done = loop_odd(conn, result, &request.frame, request.at, count, &stash->scan, &end);
    settle(conn, end, done);
    return conn->stash != NULL && !conn->stash->discarding;
}

void stash_run(struct conn *conn)
{
    struct stash *stash = conn->stash;
    if (stash == NULL || stash->discarding || stash->hold != 0)
        return;
    if (stash->patience.waits && stash->streaming)
        make_room(conn);
    else if (stash->patience.waits)
        begin_stream(conn);
    if (stash->patience.waits || stash->streaming)
        return;
    /* A frame whose value was staged, or a batch: both leave the stash in order. */
    if (stash->streamed && !run_streamed(conn)) {
        if (conn->stash != NULL && !conn->stash->discarding && conn->stash->hold == 0)
            conn->stash->incomplete = true;
        return;
    }
    enum loop_end end;
    size_t done = loop_run(conn, stash->data + stash->begin, stash->end - stash->begin, &stash->scan, &end);
    if (conn->state != CONN_CLOSING)
        settle(conn, end, done);
}

bool stash_ready(const struct conn *conn)
{
    const struct stash *stash = conn->stash;
    return stash != NULL && !stash->streaming && !stash->discarding && !stash->incomplete;
}

bool stash_starves(const struct conn *conn)
{
    return conn->stash != NULL && conn->stash->patience.waits;
}

void stash_release(struct conn *conn)
{
    struct stash *stash = conn->stash;
    if (stash == NULL)
        return;
    stash->begin += stash->hold;
    stash->hold = 0;
    if (stash->begin == stash->end)
        stash_free(conn);
}

/* ---- bytes from the socket ---- */

/* An unfinished frame that is short goes back to the front of the shared buffer. */
static bool is_parked(const struct stash *stash)
{
    return !stash->streamed && !stash->discarding && stash->end - stash->begin <= PARKED_MAX;
}

static void stream_buffer(struct conn *conn, uv_buf_t *ret)
{
    struct stream_in *stream = &conn->stash->stream;
    uint64_t left = stream->size - stream->got;
    if (stream->stage != NULL) {
        uint8_t *at = NULL;
        uint64_t size = 0;
        int r = pool_stage_room(conn->entry->pool, stream->stage, stream->got, &at, &size);
        if (r == 0) {
            *ret = uv_buf_init((char *)at, (unsigned)(size < left ? size : left));
            return;
        }
        refuse_stream(conn, r);
    }
    *ret = uv_buf_init((char *)conn->worker->input, (unsigned)(left < INPUT_SIZE ? left : INPUT_SIZE));
}

/* There is no memory for the rest of an unfinished frame: it will be thrown away, and OOM is owed to its
 * sender. (Nothing can be sent here, within libuv's call for a buffer.) False: that did not work out
 * either. */
static bool starve(struct conn *conn)
{
    struct stash *stash = conn->stash;
    struct worker *worker = conn->worker;
    const uint8_t *bytes = stash->data + stash->begin;
    size_t count = stash->end - stash->begin;
    uint64_t need = hfp_scan_needed(&stash->scan);
    char keys[64];
    struct hfp_frame frame;
    size_t method_at;
    stash->refusal_method = (uint16_t)frame_method(bytes, count, &method_at);
    if (count < HFP_FRAME_MIN || hfp_scan_abandon(&stash->scan, count, &frame) != HFP_TOOBIG ||
        hfp_scan_discard(&stash->scan, bytes + stash->scan.used, count - stash->scan.used) != HFP_MORE)
        return false;
    snprintf(keys, sizeof keys, "need=%llu free=%llu", (unsigned long long)need,
             (unsigned long long)mem_left(worker->mem));
    drop_staged(conn);
    stash->streamed = stash->incomplete = false;
    stash->discarding = true;
    stash->refused = frame.kind == HFP_REQUEST;
    stash->refusal_msgid = frame.msgid;
    stash->refusal_code = HF_E_OOM;
    stash->refusal_size =
        (uint32_t)hfp_error_format(stash->refusal, sizeof stash->refusal, HF_E_OOM, keys, NULL);
    mem_free(worker->mem, stash->data, stash->cap);
    stash->data = NULL;
    stash->begin = stash->end = stash->cap = 0;
    return true;
}

void stash_buffer(struct conn *conn, uv_buf_t *ret)
{
    struct stash *stash = conn->stash;
    uint8_t *input = conn->worker->input;
    if (stash == NULL || stash->discarding) {
        *ret = uv_buf_init((char *)input, INPUT_SIZE);
    } else if (stash->streaming) {
        stream_buffer(conn, ret);
    } else if (is_parked(stash)) {
        size_t size = stash->end - stash->begin;
        *ret = uv_buf_init((char *)input + size, (unsigned)(INPUT_SIZE - size));
    } else if (reserve(conn->worker, stash, INPUT_SIZE)) {
        *ret = uv_buf_init((char *)stash->data + stash->end, INPUT_SIZE);
    } else if (starve(conn)) {
        *ret = uv_buf_init((char *)input, INPUT_SIZE);
    } else {
        *ret = uv_buf_init(NULL, 0);
    }
}

/* Executes what stands in the shared buffer, for a connection without a stash; keeps the rest. */
static void run_shared(struct conn *conn, const uint8_t *bytes, size_t count, struct hfp_scan *scan)
{
    struct worker *worker = conn->worker;
    enum loop_end end;
    size_t done = loop_run(conn, bytes, count, scan, &end);
    if (likely(end == LOOP_ALL) || end == LOOP_BAD || conn->state == CONN_CLOSING)
        return;
    /* A call that needs more turns keeps no byte of the frame, see CALL_KEPT_MIN. */
    done += end == LOOP_STOPPED ? worker->held : 0;
    if ((done == count && end != LOOP_DISCARDING) || !keep(conn, bytes + done, count - done))
        return;
    struct stash *stash = conn->stash;
    stash->scan = *scan;
    stash->incomplete = end == LOOP_MORE;
    stash->discarding = end == LOOP_DISCARDING;
    if (end == LOOP_MORE)
        begin_stream(conn);
}

/* What there was no memory for has no hash. */
static void answer_starved(struct conn *conn)
{
    struct stash *stash = conn->stash;
    const struct request request = {.frame = {.kind = HFP_REQUEST, .msgid = stash->refusal_msgid},
                                    .method = stash->refusal_method};
    bool replays = replay_wanted(conn, &request);
    stash->refused = false;
    conn->requested = true;
    if (replays && replay_answer(conn, &request, REPLAY_ANY))
        return;
    if (replays)
        replay_refused(conn, &request, REPLAY_ANY, stash->refusal_code);
    dispatch_error(conn->worker, stash->refusal_msgid, stash->refusal_code, stash->refusal,
                   stash->refusal_size);
    book_done(&conn->worker->book, HF_METHOD_NONE, stash->refusal_code);
}

static void arrived_discarded(struct conn *conn, const uint8_t *at, size_t count)
{
    struct stash *stash = conn->stash;
    if (stash->refused)
        answer_starved(conn);
    enum hfp_result result = hfp_scan_discard(&stash->scan, at, count);
    if (result == HFP_MORE)
        return;
    size_t used = stash->scan.used;
    if (result == HFP_BAD) {
        const struct hfp_frame none = {0};
        enum loop_end end;
        loop_odd(conn, result, &none, at, count, &stash->scan, &end);
        used = count;
    }
    stash_free(conn);
    hfp_scan_reset(&conn->worker->scan);
    if (used < count)
        run_shared(conn, at + used, count - used, &conn->worker->scan);
}

static void arrived_streamed(struct conn *conn, const uint8_t *at, size_t count)
{
    struct stash *stash = conn->stash;
    bool in_place = at != conn->worker->input;
    hash_more(&stash->stream, at, count);
    int r = stash->stream.stage == NULL || in_place ? 0 : copy_to_stream(conn, at, count);
    if (r != 0)
        refuse_stream(conn, r);
    stash->stream.got += count;
    if (stash->stream.got < stash->stream.size) {
        make_room(conn);
        return;
    }
    end_stream(conn);
    stash_run(conn);
}

void stash_arrived(struct conn *conn, uint8_t *at, size_t count)
{
    struct worker *worker = conn->worker;
    struct stash *stash = conn->stash;
    if (likely(stash == NULL)) {
        hfp_scan_reset(&worker->scan);
        run_shared(conn, at, count, &worker->scan);
    } else if (stash->discarding) {
        arrived_discarded(conn, at, count);
    } else if (stash->streaming) {
        arrived_streamed(conn, at, count);
    } else if (is_parked(stash)) {
        size_t size = stash->end - stash->begin;
        memcpy(worker->input, stash->data + stash->begin, size);
        worker->scan = stash->scan;
        stash_free(conn);
        run_shared(conn, worker->input, size + count, &worker->scan);
    } else {
        stash->end += count;
        stash_run(conn);
    }
}
