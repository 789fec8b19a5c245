/* SPDX-License-Identifier: BSD-3-Clause */
/* The load itself: one thread, epoll, connections that each have one batch on its way at any time.
 *
 * A connection sends a batch, reads until the replies to all its units are there, checks them and sends
 * the next. The clock is read once for each batch; the time from one reading to the next is the batch's
 * latency. */
#ifndef HF_TESTS_BENCH_LIB_ENGINE_H
#define HF_TESTS_BENCH_LIB_ENGINE_H

#include "tests/bench/lib/histogram.h"
#include "tests/bench/lib/plan.h"

struct load_run {
    const char *address;
    uint32_t connections;
    uint64_t warmup_ns;  /* not measured */
    uint64_t measure_ns; /* measured */
    uint64_t max_units;  /* not 0: stop after this many units, measure from the first; times are ignored */
    int server_pid;      /* whose CPU time to read; 0 for none */
};

struct load_result {
    uint64_t units;         /* whose replies were all right, in the measured time */
    uint64_t wall_ns;       /* the measured time */
    uint64_t server_cpu_ns; /* on-CPU time of all threads of the server in it */
    uint64_t own_cpu_ns;    /* and of this thread */
    struct load_histogram latency;
    char failure[240]; /* why the run is void; empty when it is good */
};

/* Runs the plan and fills *result. Returns 0, or -1 with result->failure set. */
int load_engine_run(const struct load_plan *plan, const struct load_run *run, struct load_result *result);

#endif
