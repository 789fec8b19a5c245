/* SPDX-License-Identifier: BSD-3-Clause */
#include "daemon/server/replay.h"

#include "daemon/pool/events.h"
#include "daemon/server/worker.h"
#include "proto/rpc.h"

bool replay_wanted(const struct conn *conn, const struct request *request)
{
    return conn->replay != CONN_REPLAY_OFF && request->frame.kind == HFP_REQUEST &&
           (hfp_method_info((enum hf_method)request->method)->flags & HF_M_REPLAY) != 0;
}

/* ---- answering from the window ---- */

static void say_words(struct call *call, const struct replay_answer *answer, unsigned step)
{
    if ((answer->shape & REPLAY_ARRAY) != 0)
        reply_array(call, answer->count);
    for (uint32_t k = 0; k < answer->count; k++) {
        if (step == 2)
            reply_array(call, 2);
        for (unsigned n = 0; n < step; n++)
            reply_uint(call, answer->words[k * step + n]);
    }
}

static void say_runs(struct call *call, const struct replay_answer *answer)
{
    struct replay_runs runs = {0};
    if ((answer->shape & REPLAY_ARRAY) != 0)
        reply_array(call, answer->count);
    while (replay_next_run(answer, &runs))
        for (uint64_t k = 0; k < runs.length; k++)
            reply_uint(call, runs.number);
}

static void say_trues(struct call *call, const struct replay_answer *answer)
{
    if ((answer->shape & REPLAY_ARRAY) != 0)
        reply_array(call, answer->count);
    for (uint32_t k = 0; k < answer->count; k++)
        reply_bool(call, true);
}

static void say(struct call *call, const struct replay_answer *answer)
{
    switch (answer->kind) {
    case REPLAY_TRUE: reply_bool(call, true); break;
    case REPLAY_UINT: reply_uint(call, answer->words[0]); break;
    case REPLAY_PAIR:
        reply_array(call, 2);
        reply_uint(call, answer->words[0]);
        reply_uint(call, answer->words[1]);
        break;
    case REPLAY_KEY: reply_bin(call, answer->words, HF_KEY_SIZE); break;
    case REPLAY_BYTES: reply_raw(call, answer->words, answer->count); break;
    case REPLAY_TRUES: say_trues(call, answer); break;
    case REPLAY_UINTS: say_words(call, answer, 1); break;
    case REPLAY_PAIRS: say_words(call, answer, 2); break;
    case REPLAY_RUNS: say_runs(call, answer); break;
    default: reply_nil(call); break;
    }
}

bool replay_answer(struct conn *conn, const struct request *request, uint64_t hash)
{
    struct worker *worker = conn->worker;
    struct pool *pool = conn->entry->pool;
    struct call call = {.worker = worker, .conn = conn, .pool = pool, .msgid = request->frame.msgid};
    struct replay_answer answer;
    if (conn->replay != CONN_REPLAY_MATCH)
        return false;
    if (!pool_replay_find(pool, conn->session, &conn->match, call.msgid, hash, &answer)) {
        conn->replay = CONN_REPLAY_ON;
        return false;
    }
    conn->requested = true;
    if (request->method == HF_METHOD_watch || request->method == HF_METHOD_guard)
        pool_listen(pool, conn->session);
    int code = answer.kind == REPLAY_ERROR ? (int)answer.count : 0;
    if (code == 0) {
        dispatch_begin(&call);
        say(&call, &answer);
        code = -output_error(&worker->out);
        if (code != 0)
            output_rewind(&worker->out);
    }
    if (code != 0)
        dispatch_fail(worker, call.msgid, code);
    book_done(&worker->book, (enum hf_method)request->method, code);
    return true;
}

/* ---- recording ---- */

void replay_begin(struct call *call)
{
    pool_replay_begin(call->pool, call->session, call->msgid, call->hash);
}

void replay_pause(struct call *call)
{
    pool_replay_end(call->pool);
}

void replay_finish(struct call *call, int r)
{
    const struct output *out = &call->worker->out;
    if (pool_replay_open(call->pool) && r == 0)
        pool_replay_note(call->pool, out->data + call->result_at, (uint32_t)(out->used - call->result_at));
    else
        pool_replay_note_error(call->pool, r < 0 && r > -HF_E_COUNT ? -r : HF_E_INTERNAL);
    pool_replay_end(call->pool);
}

void replay_refused(struct conn *conn, const struct request *request, uint64_t hash, int code)
{
    struct pool *pool = conn->entry->pool;
    pool_replay_begin(pool, conn->session, request->frame.msgid, hash);
    pool_replay_note_error(pool, code);
    pool_replay_end(pool);
}
