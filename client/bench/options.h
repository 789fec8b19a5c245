/* SPDX-License-Identifier: BSD-3-Clause */
/* What a run is to do. */
#ifndef HF_BENCH_OPTIONS_H
#define HF_BENCH_OPTIONS_H

#include <stdint.h>

#include "client/bench/operations.h"
#include "client/bench/sizes.h"
#include "client/cli/args.h"

#define BENCH_CONNECTIONS_MAX 20000u
#define BENCH_DEPTH_MAX       16384u
#define BENCH_THREADS_MAX     64u
#define BENCH_POOLS_MAX       256u
#define BENCH_OBJECTS_MAX     100000000u

#define BENCH_DEPTH_CLOSED 1u   /* without --depth: of a closed loop */
#define BENCH_DEPTH_OPEN   256u /* of an open one, in which a server is rarely so far behind */

struct bench_options {
    struct bench_mix mix;
    struct bench_sizes sizes;
    double exponent; /* of Zipf's law; 0: all objects are equally likely */
    uint32_t connections, depth, threads;
    uint32_t pools;                  /* made for the run; 1 if `pool` is given */
    uint32_t objects;                /* in each pool */
    uint64_t count;                  /* operations in all; 0: until the time is over */
    uint64_t duration_ns, warmup_ns; /* without `count` */
    uint64_t rate;                   /* requests a second; 0: a closed loop */
    uint64_t seed;
    const char *pool;    /* that exists and is to be used; NULL: pools of the run's own */
    const char *address; /* NULL: the default one */
    int64_t timeout_ms;  /* as for hf_connect, but never 0 */
};

/* Reads the options of `holdfast bench`, with defaults for those not given; --address, --pool and --timeout are left to
 * the caller. NULL, or what is wrong in `problem`. */
const char *bench_options_parse(const struct cli_args *args, struct bench_options *ret, char problem[256]);

/* What no single option can tell: whether they fit together. After `pool` is set. */
const char *bench_options_check(const struct bench_options *options, char problem[256]);

/* "10", "2.5s", "500ms", "1m", "1h" in nanoseconds; a number alone is seconds. False if it is none. */
bool bench_parse_time(const char *text, uint64_t *ret_ns);

/* "1000", "250k", "2M": powers of 1000. False if it is none. */
bool bench_parse_count(const char *text, uint64_t *ret);

#endif
