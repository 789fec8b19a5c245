/* SPDX-License-Identifier: BSD-3-Clause */
/* A histogram of durations with a relative error below 1/32: 32 linear steps to each power of two. */
#ifndef HF_TESTS_BENCH_LIB_HISTOGRAM_H
#define HF_TESTS_BENCH_LIB_HISTOGRAM_H

#include <stdint.h>

#define LOAD_HISTOGRAM_STEPS 32u

struct load_histogram {
    uint64_t count;                            /* durations entered */
    uint64_t max_ns;                           /* the longest of them */
    uint64_t cells[60 * LOAD_HISTOGRAM_STEPS]; /* by load_histogram_cell */
};

void load_histogram_clear(struct load_histogram *histogram);

void load_histogram_add(struct load_histogram *histogram, uint64_t ns);

/* The duration in ns that a share of `share` (0 to 1) of all entered ones does not exceed; 0 when empty. */
uint64_t load_histogram_at(const struct load_histogram *histogram, double share);

#endif
