/* SPDX-License-Identifier: BSD-3-Clause */
#include "daemon/base/histogram.h"

void histogram_merge(struct histogram *histogram, const struct histogram *other)
{
    for (unsigned b = 0; b < HISTOGRAM_BUCKETS; b++)
        histogram->counts[b] += other->counts[b];
    histogram->sum_ns += other->sum_ns;
    histogram->max_ns = other->max_ns > histogram->max_ns ? other->max_ns : histogram->max_ns;
}

uint64_t histogram_count(const struct histogram *histogram)
{
    uint64_t count = 0;
    for (unsigned b = 0; b < HISTOGRAM_BUCKETS; b++)
        count += histogram->counts[b];
    return count;
}

uint64_t histogram_quantile_us(const struct histogram *histogram, unsigned permille)
{
    uint64_t count = histogram_count(histogram), passed = 0;
    /* in two parts: all of it times 1000 may be too much */
    uint64_t wanted = count / 1000 * permille + (count % 1000 * permille + 999) / 1000;
    uint64_t most_us = (histogram->max_ns + 999) / 1000;
    for (unsigned b = 0; b < HISTOGRAM_BUCKETS && count != 0; b++) {
        passed += histogram->counts[b];
        if (passed < wanted || passed == 0)
            continue;
        return histogram_bound(b) < most_us ? histogram_bound(b) : most_us;
    }
    return 0;
}
