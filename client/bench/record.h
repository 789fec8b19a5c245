/* SPDX-License-Identifier: BSD-3-Clause */
/* What is measured: by each thread for itself, added up at the end. */
#ifndef HF_BENCH_RECORD_H
#define HF_BENCH_RECORD_H

#include <stddef.h>
#include <stdint.h>

#include "client/bench/histogram.h"
#include "client/bench/operations.h"
#include "proto/errors.h"

#define BENCH_ERROR_TEXT 160

/* The replies to the requests of one step. */
struct bench_step_record {
    struct bench_histogram latency;    /* of replies without error */
    uint64_t errors[HF_E_COUNT];       /* by code; at 0 those with a word that this version does not know */
    char error_text[BENCH_ERROR_TEXT]; /* of the first error */
};

/* A zeroed one is empty. */
struct bench_record {
    struct bench_step_record step[BENCH_STEP_COUNT];
    struct bench_histogram lag; /* open loop: how long after it was due the generator turned to a request */
    uint64_t unsent;            /* open loop: due, but not sent before the time was over */
    uint64_t unanswered;        /* sent, but without a reply when the run was given up */
    uint64_t last_ns;           /* when the last of the replies came; 0: none did */
};

/* Notes an error; `text` of `size` bytes as the daemon sent it. */
void bench_record_error(struct bench_step_record *record, const char *text, size_t size);

/* Adds all of `other`. */
void bench_record_merge(struct bench_record *record, const struct bench_record *other);

/* Sums over all codes of a step, over all steps. */
uint64_t bench_record_step_errors(const struct bench_step_record *record);
uint64_t bench_record_errors(const struct bench_record *record);

/* Replies, errors included. */
uint64_t bench_record_requests(const struct bench_record *record);

#endif
