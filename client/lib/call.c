/* SPDX-License-Identifier: BSD-3-Clause */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "client/lib/conn.h"
#include "client/lib/errors.h"
#include "proto/rpc.h"

/* ---- Errors -------------------------------------------------------------------------------------------- */

static void succeed(hf_conn *conn, uint64_t request)
{
    conn->failure.error = (struct hf_error){.request = request, .index = -1, .word = "OK", .text = ""};
}

static void fail(hf_conn *conn, uint64_t request, int code, const char *text)
{
    struct hf__failure *failure = &conn->failure;
    succeed(conn, request);
    failure->error.code = code;
    failure->error.word = hf_error_word(code);
    bool why =
        code == HF_ERR_CONNECT || code == HF_ERR_UNSENT || code == HF_ERR_UNKNOWN || code == HF_ERR_PROTOCOL;
    if (text == NULL && why && conn->reason[0] != '\0')
        snprintf(failure->text, sizeof failure->text, "%s (%.500s)", hf_error_text(code), conn->reason);
    else
        snprintf(failure->text, sizeof failure->text, "%s", text != NULL ? text : hf_error_text(code));
    failure->error.text = failure->text;
}

int hf__fail(hf_conn *conn, int code, const char *text)
{
    fail(conn, conn->request, code, text);
    return code;
}

static void copy_text(char *to, size_t room, const char *from, size_t size)
{
    snprintf(to, room, "%.*s", (int)(size < room ? size : room - 1), from);
}

/* What the daemon answered, `CODE key=value ...: text`. */
static void fail_as_told(hf_conn *conn, const struct hf__answer *answer)
{
    struct hf__failure *failure = &conn->failure;
    struct hfp_error told;
    uint64_t index;
    fail(conn, answer->number, HF_ERR_OTHER, NULL);
    if (answer->error == NULL)
        return;
    hfp_error_parse(answer->error, answer->error_size, &told);
    if (told.word_size != 0) {
        copy_text(failure->word, sizeof failure->word, told.word, told.word_size);
        failure->error.word = failure->word;
        failure->error.code = hf__error_code(told.word, told.word_size);
    }
    if (told.keys_size != 0)
        snprintf(failure->text, sizeof failure->text, "%.*s: %.*s", (int)told.keys_size, told.keys,
                 (int)told.text_size, told.text);
    else
        copy_text(failure->text, sizeof failure->text, told.text, told.text_size);
    if (hfp_error_key_uint(&told, "index", &index) && index <= INT64_MAX)
        failure->error.index = (int64_t)index;
}

/* ---- Answers ------------------------------------------------------------------------------------------- */

/* The daemon says why it is about to close the connection. */
static void note_reason(hf_conn *conn, const struct hf__answer *answer)
{
    fail_as_told(conn, answer);
    snprintf(conn->reason, sizeof conn->reason, "%s %.600s", conn->failure.error.word,
             conn->failure.error.text);
    conn->reason_code = conn->failure.error.code;
}

static void fail_or_succeed(hf_conn *conn, const struct hf__answer *answer)
{
    int code = answer->code;
    if (code == HF_ERR_OTHER) {
        fail_as_told(conn, answer);
        return;
    }
    if (code == 0 && answer->sink.take != NULL)
        code = answer->sink.take(&answer->sink, answer->result);
    if (code == HF_ERR_UNKNOWN && conn->reason_code == HF_ERR_PROTOCOL)
        code = HF_ERR_PROTOCOL;
    if (code == 0)
        succeed(conn, answer->number);
    else
        fail(conn, answer->number, code, NULL);
}

void hf__deliver(hf_conn *conn, const struct hf__answer *answer)
{
    if (answer->event.data != NULL) {
        if (!hf__events_add(&conn->events, answer->event))
            conn->engine.notifications++;
        return;
    }
    if (answer->number == 0) {
        note_reason(conn, answer);
        return;
    }
    fail_or_succeed(conn, answer);
    if (answer->number == conn->waiting)
        conn->waiting = 0;
    else
        hf__batch_note(conn, answer->number);
}

/* ---- Calls --------------------------------------------------------------------------------------------- */

msgpack_packer *hf__call(hf_conn *conn, const char *method, uint32_t params)
{
    return hf__engine_begin(&conn->engine, method, params);
}

/* A call that will not be sent: it has a number and a place in the batch all the same. */
static int refuse(hf_conn *conn, int code, const char *text)
{
    struct hf__batch *batch = &conn->batch;
    if ((batch->open && !hf__batch_reserve(batch)) || !hf__engine_skip(&conn->engine)) {
        batch->refused++;
        return hf__fail(conn, HF_ERR_MEMORY, NULL);
    }
    conn->request++;
    hf__fail(conn, code, text);
    if (batch->open)
        hf__batch_add(conn, true);
    return code;
}

int hf__call_refuse(hf_conn *conn, int code, const char *text)
{
    hf__engine_cancel(&conn->engine);
    return refuse(conn, code, text);
}

static int queue(hf_conn *conn)
{
    hf__batch_add(conn, false);
    hf__pump(conn);
    succeed(conn, conn->request);
    return 0;
}

static int wait_answer(hf_conn *conn)
{
    conn->waiting = conn->request;
    if (!hf__run(conn, false, hf__take_timeout(conn))) {
        hf__engine_abandon(&conn->engine, conn->waiting);
        conn->waiting = 0;
        hf__fail(conn, HF_ERR_NOREPLY, NULL);
    }
    return conn->failure.error.code;
}

int hf__call_end(hf_conn *conn, const struct hf__sink *sink)
{
    struct hf__batch *batch = &conn->batch;
    if (conn->fd < 0 && !conn->broken)
        return hf__call_refuse(conn, HF_ERR_UNSENT, NULL);
    if (batch->open && !hf__batch_reserve(batch)) {
        hf__engine_cancel(&conn->engine);
        return refuse(conn, HF_ERR_MEMORY, NULL);
    }
    if (hf__engine_commit(&conn->engine, sink) != 0)
        return refuse(conn, HF_ERR_MEMORY, NULL);
    conn->request++;
    return batch->open ? queue(conn) : wait_answer(conn);
}

int hf__alone(hf_conn *conn)
{
    if (conn->batch.open)
        return hf__fail(conn, HF_ERR_ARGUMENT, "not while a batch is open");
    return 0;
}
