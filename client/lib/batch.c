/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/lib/conn.h"

#define OUTCOMES_MIN 64

static void forget_outcomes(struct hf__batch *batch)
{
    for (size_t i = 0; i < batch->count; i++)
        free(batch->outcomes[i].owned);
    batch->count = 0;
    batch->refused = 0;
    batch->pending = 0;
}

void hf__batch_done(struct hf__batch *batch)
{
    forget_outcomes(batch);
    free(batch->outcomes);
    *batch = (struct hf__batch){0};
}

bool hf__batch_reserve(struct hf__batch *batch)
{
    if (batch->count < batch->capacity)
        return true;
    size_t capacity = batch->capacity == 0 ? OUTCOMES_MIN : batch->capacity * 2;
    struct hf__outcome *outcomes = realloc(batch->outcomes, capacity * sizeof *outcomes);
    if (outcomes == NULL)
        return false;
    batch->outcomes = outcomes;
    batch->capacity = capacity;
    return true;
}

/* Copies word and text behind each other into memory of the outcome; without memory the static ones must
 * do. */
static void own_strings(struct hf__outcome *outcome, const struct hf_error *error)
{
    size_t word_size = strlen(error->word) + 1;
    size_t text_size = strlen(error->text) + 1;
    outcome->error.word = hf_error_word(error->code);
    outcome->error.text = hf_error_text(error->code);
    outcome->owned = malloc(word_size + text_size);
    if (outcome->owned == NULL)
        return;
    memcpy(outcome->owned, error->word, word_size);
    memcpy(outcome->owned + word_size, error->text, text_size);
    outcome->error.word = outcome->owned;
    outcome->error.text = outcome->owned + word_size;
}

static void set_outcome(hf_conn *conn, struct hf__outcome *outcome)
{
    const struct hf_error *error = &conn->failure.error;
    *outcome = (struct hf__outcome){.error = *error};
    if (error->code != 0)
        own_strings(outcome, error);
}

void hf__batch_add(hf_conn *conn, bool refused)
{
    struct hf__batch *batch = &conn->batch;
    if (batch->count == 0)
        batch->first = conn->request;
    struct hf__outcome *outcome = &batch->outcomes[batch->count++];
    *outcome = (struct hf__outcome){.error = {.request = conn->request}};
    if (refused)
        set_outcome(conn, outcome);
    else
        batch->pending++;
}

void hf__batch_note(hf_conn *conn, uint64_t number)
{
    struct hf__batch *batch = &conn->batch;
    if (!batch->open || number < batch->first || number - batch->first >= batch->count)
        return;
    set_outcome(conn, &batch->outcomes[number - batch->first]);
    batch->pending--;
}

int hf_batch_begin(hf_conn *conn)
{
    int code = hf__alone(conn);
    if (code != 0)
        return code;
    forget_outcomes(&conn->batch);
    conn->batch.open = true;
    return hf__fail(conn, 0, NULL);
}

/* What has no answer in time: an outcome without a word is one that is still pending. */
static void give_up(hf_conn *conn)
{
    struct hf__batch *batch = &conn->batch;
    for (size_t i = 0; i < batch->count && batch->pending != 0; i++) {
        if (batch->outcomes[i].error.word != NULL)
            continue;
        hf__engine_abandon(&conn->engine, batch->first + i);
        hf__fail(conn, HF_ERR_NOREPLY, NULL);
        conn->failure.error.request = batch->first + i;
        hf__batch_note(conn, batch->first + i);
    }
}

/* Counts failures and makes the first one the error of the connection. */
static size_t summarize(hf_conn *conn)
{
    struct hf__batch *batch = &conn->batch;
    struct hf__failure *failure = &conn->failure;
    const struct hf_error *first = NULL;
    size_t failed = batch->refused;
    for (size_t i = 0; i < batch->count; i++) {
        if (batch->outcomes[i].error.code == 0)
            continue;
        failed++;
        if (first == NULL)
            first = &batch->outcomes[i].error;
    }
    hf__fail(conn, first != NULL ? first->code : failed != 0 ? HF_ERR_MEMORY : 0, NULL);
    if (first == NULL)
        return failed;
    snprintf(failure->word, sizeof failure->word, "%s", first->word);
    snprintf(failure->text, sizeof failure->text, "%s", first->text);
    failure->error = *first;
    failure->error.word = failure->word;
    failure->error.text = failure->text;
    return failed;
}

int hf_batch_end(hf_conn *conn, size_t *ret_failed)
{
    if (ret_failed != NULL)
        *ret_failed = 0;
    if (!conn->batch.open)
        return hf__fail(conn, HF_ERR_ARGUMENT, "no batch is open");
    if (!hf__run(conn, true, hf__take_timeout(conn)))
        give_up(conn);
    conn->batch.open = false;
    size_t failed = summarize(conn);
    if (ret_failed != NULL)
        *ret_failed = failed;
    return conn->failure.error.code;
}

size_t hf_batch_count(const hf_conn *conn)
{
    return conn->batch.count;
}

const struct hf_error *hf_batch_error(const hf_conn *conn, size_t index)
{
    if (conn->batch.open || index >= conn->batch.count)
        return NULL;
    return &conn->batch.outcomes[index].error;
}
