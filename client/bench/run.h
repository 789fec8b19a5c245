/* SPDX-License-Identifier: BSD-3-Clause */
/* A whole run: pools, objects, connections, the load, and all of it taken away again. */
#ifndef HF_BENCH_RUN_H
#define HF_BENCH_RUN_H

#include <time.h>

#include "client/bench/console.h"
#include "client/bench/options.h"
#include "client/bench/record.h"
#include "client/bench/series.h"

/* What the run has found. */
struct bench_result {
    bool measured;        /* there is something: the load was on for a time that counts */
    bool interrupted;     /* by a signal */
    struct timespec date; /* when the load began, of the wall clock */
    double seconds;       /* in which the requests were answered */
    struct bench_record *record;
    struct bench_series series;
    struct bench_problem tidying; /* what went wrong with tidying up afterwards */
    uint32_t sequence;            /* operations drawn in advance for each pool */
    char pool[80];                /* the first one */
    char server[64], version[64];

    /* CPU time: shares of one core, nanoseconds a request. */
    double own_share;  /* of the thread that was busiest */
    double own_waited; /* of the time of one thread, at most: ready to run but without a core */
    double own_ns;
    bool server_known;   /* it runs on this machine and could be found */
    double server_share; /* of its busiest thread */
    double server_cores; /* of all its threads */
    double server_ns;
};

/* Runs. False with a problem, of which part may be that the daemon died in the middle: `result->measured` then says whether
 * there is something to tell. `*result` is to be ended with bench_result_done in any case. */
bool bench_run(const struct bench_options *options, struct bench_console *console,
               struct bench_result *result, struct bench_problem *problem);
void bench_result_done(struct bench_result *result);

/* All right replies of a record as one histogram; to be freed; NULL without memory. */
struct bench_histogram *bench_result_overall(const struct bench_record *record);

#endif
