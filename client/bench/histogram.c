/* SPDX-License-Identifier: BSD-3-Clause */
#include "client/bench/histogram.h"

#include <math.h>
#include <string.h>

void bench_histogram_clear(struct bench_histogram *histogram)
{
    memset(histogram, 0, sizeof *histogram);
}

void bench_histogram_merge(struct bench_histogram *histogram, const struct bench_histogram *other)
{
    histogram->count += other->count;
    histogram->sum += other->sum;
    if (other->max > histogram->max)
        histogram->max = other->max;
    for (unsigned cell = 0; cell < BENCH_HISTOGRAM_CELLS; cell++)
        histogram->cells[cell] += other->cells[cell];
}

uint64_t bench_histogram_highest(unsigned cell)
{
    if (cell < BENCH_HISTOGRAM_STEPS)
        return cell;
    unsigned shift = cell / BENCH_HISTOGRAM_STEPS - 1;
    uint64_t step = BENCH_HISTOGRAM_STEPS + cell % BENCH_HISTOGRAM_STEPS;
    return ((step + 1) << shift) - 1; /* of the last cell 2^64 - 1 */
}

uint64_t bench_histogram_at(const struct bench_histogram *histogram, double share)
{
    /* The margin keeps 0.99 * 100, which is a little more than 99 in binary, from becoming 100. */
    double rank = ceil(share * (double)histogram->count * (1 - 1e-12));
    uint64_t wanted = rank < 1 ? 1 : (uint64_t)rank;
    uint64_t seen = 0;
    for (unsigned cell = 0; cell < BENCH_HISTOGRAM_CELLS; cell++) {
        seen += histogram->cells[cell];
        if (seen >= wanted) {
            uint64_t highest = bench_histogram_highest(cell);
            return highest < histogram->max ? highest : histogram->max;
        }
    }
    return histogram->max;
}

double bench_histogram_mean(const struct bench_histogram *histogram)
{
    return histogram->count == 0 ? 0 : (double)histogram->sum / (double)histogram->count;
}
