/* SPDX-License-Identifier: BSD-3-Clause */
#include "client/bench/zipf.h"

#include <math.h>

/* The hat is h(x) = x^-e. Its integral is H(x) = (x^(1-e) - 1) / (1 - e), which for e = 1 is ln x. Both
 * functions below reach over that point by way of (exp(t) - 1) / t and ln(1 + t) / t, which have limits. */

static double expm1_over(double t)
{
    return fabs(t) > 1e-8 ? expm1(t) / t : 1 + t / 2;
}

static double log1p_over(double t)
{
    return fabs(t) > 1e-8 ? log1p(t) / t : 1 - t / 2;
}

static double hat(const struct bench_zipf *zipf, double x)
{
    return exp(-zipf->exponent * log(x));
}

static double area(const struct bench_zipf *zipf, double x)
{
    double log_x = log(x);
    return expm1_over((1 - zipf->exponent) * log_x) * log_x;
}

static double inverse_area(const struct bench_zipf *zipf, double y)
{
    double t = y * (1 - zipf->exponent);
    if (t < -1)
        t = -1; /* rounding may bring it below, where there is no logarithm */
    return exp(log1p_over(t) * y);
}

void bench_zipf_init(struct bench_zipf *zipf, uint32_t count, double exponent)
{
    *zipf = (struct bench_zipf){.exponent = exponent, .count = count};
    zipf->low = area(zipf, 1.5) - 1;
    zipf->high = area(zipf, zipf->count + 0.5);
    zipf->accept = 2 - inverse_area(zipf, area(zipf, 2.5) - hat(zipf, 2));
}

uint32_t bench_zipf_draw(const struct bench_zipf *zipf, struct bench_random *random)
{
    for (;;) {
        double y = zipf->high + bench_random_unit(random) * (zipf->low - zipf->high);
        double x = inverse_area(zipf, y);
        double rank = floor(x + 0.5);
        if (rank < 1)
            rank = 1;
        else if (rank > zipf->count)
            rank = zipf->count;
        if (rank - x <= zipf->accept || y >= area(zipf, rank + 0.5) - hat(zipf, rank))
            return (uint32_t)rank;
    }
}
