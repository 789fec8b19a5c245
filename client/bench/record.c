/* SPDX-License-Identifier: BSD-3-Clause */
#include "client/bench/record.h"

#include <stdio.h>
#include <string.h>

#include "proto/rpc.h"

void bench_record_error(struct bench_step_record *record, const char *text, size_t size)
{
    struct hfp_error error;
    hfp_error_parse(text, size, &error);
    record->errors[error.code]++;
    if (record->error_text[0] == '\0')
        snprintf(record->error_text, sizeof record->error_text, "%.*s",
                 size < BENCH_ERROR_TEXT ? (int)size : BENCH_ERROR_TEXT - 1, text);
}

static void merge_step(struct bench_step_record *record, const struct bench_step_record *other)
{
    bench_histogram_merge(&record->latency, &other->latency);
    for (unsigned code = 0; code < HF_E_COUNT; code++)
        record->errors[code] += other->errors[code];
    if (record->error_text[0] == '\0')
        memcpy(record->error_text, other->error_text, sizeof record->error_text);
}

void bench_record_merge(struct bench_record *record, const struct bench_record *other)
{
    for (unsigned step = 0; step < BENCH_STEP_COUNT; step++)
        merge_step(&record->step[step], &other->step[step]);
    bench_histogram_merge(&record->lag, &other->lag);
    record->unsent += other->unsent;
    record->unanswered += other->unanswered;
    if (other->last_ns > record->last_ns)
        record->last_ns = other->last_ns;
}

uint64_t bench_record_step_errors(const struct bench_step_record *record)
{
    uint64_t sum = 0;
    for (unsigned code = 0; code < HF_E_COUNT; code++)
        sum += record->errors[code];
    return sum;
}

uint64_t bench_record_errors(const struct bench_record *record)
{
    uint64_t sum = 0;
    for (unsigned step = 0; step < BENCH_STEP_COUNT; step++)
        sum += bench_record_step_errors(&record->step[step]);
    return sum;
}

uint64_t bench_record_requests(const struct bench_record *record)
{
    uint64_t sum = bench_record_errors(record);
    for (unsigned step = 0; step < BENCH_STEP_COUNT; step++)
        sum += record->step[step].latency.count;
    return sum;
}
