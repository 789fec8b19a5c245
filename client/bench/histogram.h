/* SPDX-License-Identifier: BSD-3-Clause */
/* A histogram of durations in nanoseconds, log-linear as G. Tene's HdrHistogram: durations below 128 have a cell each,
 * above that each power of two is parted into 128 cells of equal width. A cell answers with its highest duration, so what
 * a percentile tells is never below the true one and at most 1/128 (0.8 %) above; the maximum is exact.
 *
 * (HdrHistogram's C port is not a package of Debian 12.) */
#ifndef HF_BENCH_HISTOGRAM_H
#define HF_BENCH_HISTOGRAM_H

#include <stdint.h>

#define BENCH_HISTOGRAM_STEP_BITS 7u
#define BENCH_HISTOGRAM_STEPS     (1u << BENCH_HISTOGRAM_STEP_BITS)
#define BENCH_HISTOGRAM_CELLS     ((65u - BENCH_HISTOGRAM_STEP_BITS) * BENCH_HISTOGRAM_STEPS)

/* A zeroed one is empty. */
struct bench_histogram {
    uint64_t count;
    uint64_t sum; /* of all durations */
    uint64_t max;
    uint64_t cells[BENCH_HISTOGRAM_CELLS];
};

static inline unsigned bench_histogram_cell(uint64_t ns)
{
    if (ns < BENCH_HISTOGRAM_STEPS)
        return (unsigned)ns;
    unsigned power = 63u - (unsigned)__builtin_clzll(ns); /* no function of C17 finds the highest bit */
    unsigned shift = power - BENCH_HISTOGRAM_STEP_BITS;
    return (shift + 1) * BENCH_HISTOGRAM_STEPS + (unsigned)(ns >> shift & (BENCH_HISTOGRAM_STEPS - 1));
}

/* Enters a duration `times` times. */
static inline void bench_histogram_add(struct bench_histogram *histogram, uint64_t ns, uint64_t times)
{
    histogram->cells[bench_histogram_cell(ns)] += times;
    histogram->count += times;
    histogram->sum += ns * times;
    if (ns > histogram->max && times != 0)
        histogram->max = ns;
}

void bench_histogram_clear(struct bench_histogram *histogram);

/* Adds all of `other`. */
void bench_histogram_merge(struct bench_histogram *histogram, const struct bench_histogram *other);

/* The longest duration of a cell. */
uint64_t bench_histogram_highest(unsigned cell);

/* The least duration that a share of `share` (0 ... 1) of those entered does not exceed: of n durations the
 * ceil(share * n)-th, but at least the first; 0 when there are none. */
uint64_t bench_histogram_at(const struct bench_histogram *histogram, double share);

/* The mean; 0 when there are none. */
double bench_histogram_mean(const struct bench_histogram *histogram);

#endif
