/* SPDX-License-Identifier: BSD-3-Clause */
/* How long things took, in fixed memory: counts by the logarithm of the duration, four buckets for each doubling of
 * a microsecond, so that a bucket's bounds are at most a quarter apart. Two histograms are added bucket by bucket.
 *
 * Bucket b has the durations from histogram_bound(b - 1) to below histogram_bound(b) (of bucket 0 from 0); the last one
 * has all that are longer. Owned by one thread. */
#ifndef BASE_HISTOGRAM_H
#define BASE_HISTOGRAM_H

#include "daemon/base/bits.h"

#define HISTOGRAM_OCTAVES 27u /* up to 2^27 us, two minutes */
#define HISTOGRAM_BUCKETS (4 * (HISTOGRAM_OCTAVES - 1) + 1)

struct histogram {
    uint64_t counts[HISTOGRAM_BUCKETS];
    uint64_t sum_ns, max_ns;
};

/* The bucket of a duration below 2^HISTOGRAM_OCTAVES us. */
static inline unsigned histogram_bucket_of_short(uint64_t us)
{
    unsigned shift = (63 ^ (unsigned)__builtin_clzll(us | 4)) - 2; /* of 4 us and more it leaves 4 ... 7 */
    return 4 * shift + (unsigned)(us >> shift);
}

/* The bucket of a duration in us. */
static inline unsigned histogram_bucket(uint64_t us)
{
    unsigned bucket = histogram_bucket_of_short(us);
    return likely(bucket < HISTOGRAM_BUCKETS) ? bucket : HISTOGRAM_BUCKETS - 1;
}

/* Where a bucket ends, in us; UINT64_MAX: the last one does not. */
static inline uint64_t histogram_bound(unsigned bucket)
{
    if (bucket < 4)
        return bucket + 1;
    if (bucket >= HISTOGRAM_BUCKETS - 1)
        return UINT64_MAX;
    return (uint64_t)(bucket % 4 + 5) << (bucket / 4 - 1);
}

/* Adds `count` durations of `ns` each, whose bucket is known; there may be none. */
static inline void histogram_add_in(struct histogram *histogram, unsigned bucket, uint64_t ns, uint64_t count)
{
    histogram->counts[bucket] += count;
    histogram->sum_ns += ns * count;
    if (unlikely(ns > histogram->max_ns) && count != 0)
        histogram->max_ns = ns;
}

/* Adds `count` durations of `ns` each. */
static inline void histogram_add(struct histogram *histogram, uint64_t ns, uint64_t count)
{
    histogram_add_in(histogram, histogram_bucket(ns / 1000), ns, count);
}

/* Adds all of `other`. */
void histogram_merge(struct histogram *histogram, const struct histogram *other);

/* How many durations it has. */
uint64_t histogram_count(const struct histogram *histogram);

/* What `permille` thousandths (0 ... 1000) of the durations did not exceed, in us: the end of the bucket in which the last of
 * them is, or the longest duration if that is less. 0: there are none. */
uint64_t histogram_quantile_us(const struct histogram *histogram, unsigned permille);

#endif
