/* SPDX-License-Identifier: BSD-3-Clause */
/* Zipf's distribution over the ranks 1 ... count: rank k has a probability proportional to 1 / k^exponent.
 *
 * W. Hörmann and G. Derflinger, "Rejection-inversion to generate variates from monotone discrete distributions", ACM
 * Transactions on Modeling and Computer Simulation 6 (1996): no table, and a draw takes the same time whatever `count`
 * is (at worst about 1.1 attempts each). */
#ifndef HF_BENCH_ZIPF_H
#define HF_BENCH_ZIPF_H

#include <stdint.h>

#include "client/bench/random.h"

struct bench_zipf {
    double exponent;
    double count;
    double low,
        high;      /* the area under the hat: from the left end of rank 1 to the right end of the last rank */
    double accept; /* a rank at most this far right of the point drawn is taken without looking closer */
};

/* `count` > 0, exponent > 0 (1 is allowed). */
void bench_zipf_init(struct bench_zipf *zipf, uint32_t count, double exponent);

/* A rank, 1 ... count. */
uint32_t bench_zipf_draw(const struct bench_zipf *zipf, struct bench_random *random);

#endif
