/* SPDX-License-Identifier: BSD-3-Clause */
/* daemon/base/histogram.h: buckets and what they tell. */
#include "daemon/base/histogram.h"
#include "tests/lib/suite.h"

#include <string.h>

static struct histogram histogram;

static void setup(void)
{
    memset(&histogram, 0, sizeof histogram);
}

static void nothing(void)
{
}

/* Each bucket begins where the one before it ends, and has its bounds in it as they say. */
START_TEST(buckets_meet)
{
    for (unsigned b = 0; b < HISTOGRAM_BUCKETS - 1; b++) {
        uint64_t end_us = histogram_bound(b);
        ck_assert_uint_eq(histogram_bucket(end_us - 1), b);
        ck_assert_uint_eq(histogram_bucket(end_us), b + 1);
        if (b >= 4)
            ck_assert_uint_le(4 * (histogram_bound(b) - histogram_bound(b - 1)), histogram_bound(b - 1));
    }
    ck_assert_uint_eq(histogram_bucket(0), 0);
    ck_assert_uint_eq(histogram_bound(HISTOGRAM_BUCKETS - 2), 1u << HISTOGRAM_OCTAVES);
    ck_assert_uint_eq(histogram_bucket(UINT64_MAX), HISTOGRAM_BUCKETS - 1);
    ck_assert_uint_eq(histogram_bound(HISTOGRAM_BUCKETS - 1), UINT64_MAX);
}
END_TEST

/* Whoever draws them needs doublings: 1, 2, 4, ... us are bounds. */
START_TEST(doublings_are_bounds)
{
    for (unsigned octave = 0; octave <= HISTOGRAM_OCTAVES; octave++) {
        unsigned b = 0;
        while (histogram_bound(b) < 1ull << octave)
            b++;
        ck_assert_uint_eq(histogram_bound(b), 1ull << octave);
    }
}
END_TEST

START_TEST(quantiles)
{
    ck_assert_uint_eq(histogram_quantile_us(&histogram, 990), 0);
    histogram_add(&histogram, 5100, 98);
    histogram_add(&histogram, 100900, 1);
    histogram_add(&histogram, 90000000, 1);
    ck_assert_uint_eq(histogram_count(&histogram), 100);
    ck_assert_uint_eq(histogram.sum_ns, 98 * 5100 + 100900 + 90000000);
    ck_assert_uint_eq(histogram_quantile_us(&histogram, 0), 6);
    ck_assert_uint_eq(histogram_quantile_us(&histogram, 500), 6);
    ck_assert_uint_eq(histogram_quantile_us(&histogram, 980), 6);
    ck_assert_uint_eq(histogram_quantile_us(&histogram, 990), 112);
    ck_assert_uint_eq(histogram_quantile_us(&histogram, 991), 90000); /* not the end of its bucket */
    ck_assert_uint_eq(histogram_quantile_us(&histogram, 1000), 90000);
}
END_TEST

START_TEST(longest_of_all)
{
    histogram_add(&histogram, 200ull * 1000000000, 3);
    ck_assert_uint_eq(histogram_quantile_us(&histogram, 500), 200000000);
}
END_TEST

START_TEST(sums)
{
    struct histogram other = {.sum_ns = 0};
    histogram_add(&histogram, 5000, 2);
    histogram_add(&other, 5900, 3);
    histogram_add(&other, 1000, 1);
    histogram_merge(&histogram, &other);
    ck_assert_uint_eq(histogram.counts[histogram_bucket(5)], 5);
    ck_assert_uint_eq(histogram_count(&histogram), 6);
    ck_assert_uint_eq(histogram.sum_ns, 2 * 5000 + 3 * 5900 + 1000);
    ck_assert_uint_eq(histogram.max_ns, 5900);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("histogram");
    TCase *tcase = suite_case(suite, "histogram", setup, nothing);
    tcase_add_test(tcase, buckets_meet);
    tcase_add_test(tcase, doublings_are_bounds);
    tcase_add_test(tcase, quantiles);
    tcase_add_test(tcase, longest_of_all);
    tcase_add_test(tcase, sums);
    return suite_run(suite);
}
