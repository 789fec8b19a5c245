/* SPDX-License-Identifier: BSD-3-Clause */
/* The course of a run, second by second. Each thread reports what it has seen in a second when that is over; a second is
 * complete when all have. All functions but init and done may be called from any thread. */
#ifndef HF_BENCH_SERIES_H
#define HF_BENCH_SERIES_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/bench/histogram.h"

struct bench_second {
    uint64_t requests; /* replies, errors included */
    uint64_t errors;
    uint64_t p50_ns, p99_ns, max_ns; /* of replies without error */
    unsigned reports;                /* threads that have reported */
    struct bench_histogram *latency; /* until it is complete */
};

struct bench_series {
    pthread_mutex_t lock;
    unsigned threads;
    struct bench_second *seconds;
    size_t count, capacity;
};

void bench_series_init(struct bench_series *series, unsigned threads);
void bench_series_done(struct bench_series *series);

/* Adds what one thread has seen in the second number `index`, from 0. False without memory. */
bool bench_series_report(struct bench_series *series, size_t index, const struct bench_histogram *latency,
                         uint64_t errors);

/* The latest complete second; false if there is none. */
bool bench_series_latest(struct bench_series *series, size_t *ret_index, struct bench_second *ret);

/* All threads have ended: completes what is left. */
void bench_series_finish(struct bench_series *series);

#endif
