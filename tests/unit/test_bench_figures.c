/* SPDX-License-Identifier: BSD-3-Clause */
/* What a load is measured with: histograms, the schedule of the open loop, the series; and the options of a run. */
#include <stdio.h>
#include <string.h>

#include "client/bench/histogram.h"
#include "client/bench/options.h"
#include "client/bench/random.h"
#include "client/bench/record.h"
#include "client/bench/report.h"
#include "client/bench/schedule.h"
#include "client/bench/series.h"
#include "tests/lib/suite.h"

/* ---- Histograms ---- */

static struct bench_histogram histogram, other;

static void setup(void)
{
    bench_histogram_clear(&histogram);
    bench_histogram_clear(&other);
}

START_TEST(an_empty_histogram_has_nothing_to_tell)
{
    ck_assert_uint_eq(bench_histogram_at(&histogram, 0.5), 0);
    ck_assert_uint_eq(bench_histogram_at(&histogram, 1), 0);
    ck_assert_double_eq(bench_histogram_mean(&histogram), 0);
    bench_histogram_add(&histogram, 5, 0);
    ck_assert_uint_eq(histogram.max, 0);
}
END_TEST

START_TEST(cells_follow_each_other_without_a_gap)
{
    uint64_t lowest = 0;
    for (unsigned cell = 0; cell < BENCH_HISTOGRAM_CELLS; cell++) {
        uint64_t highest = bench_histogram_highest(cell);
        ck_assert_uint_ge(highest, lowest);
        ck_assert_uint_eq(bench_histogram_cell(lowest), cell);
        ck_assert_uint_eq(bench_histogram_cell(highest), cell);
        /* The promise of the header: at most 1/128 above. */
        ck_assert_uint_le(highest - lowest, lowest / 128);
        lowest = highest + 1;
    }
    ck_assert_uint_eq(lowest, 0); /* 2^64: the last cell ends with the last number */
}
END_TEST

START_TEST(small_percentiles_are_exact)
{
    for (uint64_t ns = 1; ns <= 100; ns++)
        bench_histogram_add(&histogram, ns, 1);
    ck_assert_uint_eq(bench_histogram_at(&histogram, 0), 1);
    ck_assert_uint_eq(bench_histogram_at(&histogram, 0.01), 1);
    ck_assert_uint_eq(bench_histogram_at(&histogram, 0.011), 2);
    ck_assert_uint_eq(bench_histogram_at(&histogram, 0.5), 50);
    ck_assert_uint_eq(bench_histogram_at(&histogram, 0.9), 90);
    ck_assert_uint_eq(bench_histogram_at(&histogram, 0.99), 99);
    ck_assert_uint_eq(bench_histogram_at(&histogram, 0.991), 100);
    ck_assert_uint_eq(bench_histogram_at(&histogram, 0.9999), 100);
    ck_assert_uint_eq(bench_histogram_at(&histogram, 1), 100);
    ck_assert_double_eq(bench_histogram_mean(&histogram), 50.5);
}
END_TEST

static int compare_ns(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

/* Against the sorted list of all durations, over nine powers of ten. */
START_TEST(percentiles_are_within_the_stated_error)
{
    enum { COUNT = 100000 };
    static uint64_t all[COUNT];
    static const double shares[] = {0.001, 0.1, 0.5, 0.9, 0.99, 0.999, 0.9999, 1};
    struct bench_random random;
    bench_random_seed(&random, 7);
    for (unsigned i = 0; i < COUNT; i++) {
        all[i] = bench_random_next(&random) >> (20 + bench_random_below(&random, 34));
        bench_histogram_add(&histogram, all[i], 1);
    }
    qsort(all, COUNT, sizeof all[0], compare_ns);
    for (unsigned i = 0; i < sizeof shares / sizeof shares[0]; i++) {
        uint64_t exact = all[(unsigned)(shares[i] * COUNT + 0.5) - 1];
        uint64_t told = bench_histogram_at(&histogram, shares[i]);
        ck_assert_uint_ge(told, exact);
        ck_assert_uint_le(told - exact, exact / 128);
    }
    ck_assert_uint_eq(bench_histogram_at(&histogram, 1), all[COUNT - 1]);
}
END_TEST

START_TEST(many_at_once_are_as_many_one_by_one)
{
    bench_histogram_add(&histogram, 300, 3);
    bench_histogram_add(&histogram, 5000, 2);
    for (unsigned i = 0; i < 5; i++)
        bench_histogram_add(&other, i < 3 ? 300 : 5000, 1);
    ck_assert_mem_eq(&histogram, &other, sizeof histogram);
}
END_TEST

START_TEST(merged_histograms_are_one_of_both)
{
    struct bench_histogram both = {0};
    for (uint64_t i = 0; i < 1000; i++) {
        bench_histogram_add(i % 3 == 0 ? &histogram : &other, i * i, 1);
        bench_histogram_add(&both, i * i, 1);
    }
    bench_histogram_merge(&histogram, &other);
    ck_assert_mem_eq(&histogram, &both, sizeof both);
}
END_TEST

/* ---- The schedule of the open loop ---- */

START_TEST(requests_are_due_at_an_even_pace_without_drift)
{
    const struct bench_schedule schedule = {.start_ns = 1000, .rate = 3, .threads = 1};
    ck_assert_uint_eq(bench_schedule_due(&schedule, 0), 1000);
    ck_assert_uint_eq(bench_schedule_due(&schedule, 1), 1000 + 333333333);
    ck_assert_uint_eq(bench_schedule_due(&schedule, 2), 1000 + 666666666);
    ck_assert_uint_eq(bench_schedule_due(&schedule, 3), 1000 + BENCH_SECOND);
    /* Ten years on it is exact to the nanosecond. */
    uint64_t seconds = UINT64_C(10) * 365 * 86400;
    ck_assert_uint_eq(bench_schedule_due(&schedule, 3 * seconds), 1000 + seconds * BENCH_SECOND);
}
END_TEST

START_TEST(what_is_due_before_a_time_is_what_has_a_time_before_it)
{
    static const uint64_t rates[] = {1, 3, 7, 1000, 999983, BENCH_RATE_MAX};
    for (unsigned r = 0; r < sizeof rates / sizeof rates[0]; r++) {
        for (uint32_t threads = 1; threads <= 3; threads++) {
            for (uint32_t thread = 0; thread < threads; thread++) {
                const struct bench_schedule schedule = {UINT64_C(5000000000), rates[r], thread, threads};
                ck_assert_uint_eq(bench_schedule_before(&schedule, schedule.start_ns), 0);
                ck_assert_uint_eq(bench_schedule_before(&schedule, 0), 0);
                for (uint64_t place = 0; place < 3000; place++) {
                    uint64_t due = bench_schedule_due(&schedule, place);
                    if (bench_schedule_before(&schedule, due) != place ||
                        bench_schedule_before(&schedule, due + 1) != place + 1)
                        ck_abort_msg("rate %llu, thread %u of %u, place %llu", (unsigned long long)rates[r],
                                     thread, threads, (unsigned long long)place);
                }
            }
        }
    }
}
END_TEST

START_TEST(threads_share_the_schedule_of_one)
{
    enum { THREADS = 4, PLACES = 1000 };
    const struct bench_schedule one = {.start_ns = 77, .rate = 12345, .threads = 1};
    for (uint32_t thread = 0; thread < THREADS; thread++) {
        const struct bench_schedule part = {77, 12345, thread, THREADS};
        for (uint64_t place = 0; place < PLACES; place++)
            ck_assert_uint_eq(bench_schedule_due(&part, place),
                              bench_schedule_due(&one, place * THREADS + thread));
    }
}
END_TEST

START_TEST(a_second_has_as_many_requests_as_the_rate)
{
    static const uint64_t rates[] = {1, 3, 250000, 999983, BENCH_RATE_MAX};
    for (unsigned r = 0; r < sizeof rates / sizeof rates[0]; r++) {
        const struct bench_schedule schedule = {.start_ns = 12, .rate = rates[r], .threads = 1};
        for (uint64_t second = 0; second < 100000; second += 9973) {
            uint64_t from = 12 + second * BENCH_SECOND;
            ck_assert_uint_eq(bench_schedule_before(&schedule, from + BENCH_SECOND) -
                                  bench_schedule_before(&schedule, from),
                              rates[r]);
        }
    }
}
END_TEST

/* ---- The series ---- */

START_TEST(a_second_is_complete_when_all_threads_have_reported)
{
    struct bench_series series;
    struct bench_second second;
    size_t index = 99;
    bench_series_init(&series, 2);
    ck_assert(!bench_series_latest(&series, &index, &second));
    bench_histogram_add(&histogram, 100, 99);
    bench_histogram_add(&other, 1000000, 1);
    ck_assert(bench_series_report(&series, 0, &histogram, 3));
    ck_assert(bench_series_report(&series, 1, &histogram, 0));
    ck_assert(!bench_series_latest(&series, &index, &second));
    ck_assert(bench_series_report(&series, 0, &other, 2));
    ck_assert(bench_series_latest(&series, &index, &second));
    ck_assert_uint_eq(index, 0);
    ck_assert_uint_eq(second.requests, 105);
    ck_assert_uint_eq(second.errors, 5);
    ck_assert_uint_eq(second.p50_ns, 100);
    ck_assert_uint_eq(second.p99_ns, 100);
    ck_assert_uint_eq(second.max_ns, 1000000);
    bench_series_finish(&series);
    ck_assert_uint_eq(series.count, 2);
    ck_assert_uint_eq(series.seconds[1].p50_ns, 100);
    bench_series_done(&series);
}
END_TEST

START_TEST(a_second_that_was_skipped_is_empty)
{
    struct bench_series series;
    bench_series_init(&series, 1);
    bench_histogram_add(&histogram, 100, 1);
    ck_assert(bench_series_report(&series, 200, &histogram, 0));
    bench_series_finish(&series);
    ck_assert_uint_eq(series.count, 201);
    ck_assert_uint_eq(series.seconds[199].requests, 0);
    ck_assert_uint_eq(series.seconds[200].requests, 1);
    bench_series_done(&series);
}
END_TEST

/* ---- Records ---- */

START_TEST(errors_are_counted_by_code)
{
    struct bench_record *record = calloc(1, sizeof *record), *more = calloc(1, sizeof *more);
    struct bench_step_record *step = &record->step[BENCH_STEP_GET];
    bench_record_error(step, "GONE id=5: it is dead", 21);
    bench_record_error(step, "GONE id=6: it is dead", 21);
    bench_record_error(step, "NOSUCHCODE : what", 17);
    ck_assert_uint_eq(step->errors[HF_E_GONE], 2);
    ck_assert_uint_eq(step->errors[0], 1);
    ck_assert_str_eq(step->error_text, "GONE id=5: it is dead");
    bench_histogram_add(&step->latency, 10, 4);
    bench_record_error(&more->step[BENCH_STEP_PING], "BUSY: later", 11);
    more->unsent = 3;
    more->last_ns = 9;
    bench_record_merge(record, more);
    ck_assert_uint_eq(bench_record_errors(record), 4);
    ck_assert_uint_eq(bench_record_requests(record), 8);
    ck_assert_uint_eq(record->unsent, 3);
    ck_assert_uint_eq(record->last_ns, 9);
    ck_assert_str_eq(record->step[BENCH_STEP_PING].error_text, "BUSY: later");
    free(record);
    free(more);
}
END_TEST

START_TEST(a_long_error_text_is_cut)
{
    struct bench_step_record *step = calloc(1, sizeof *step);
    char text[600];
    memset(text, 'x', sizeof text);
    memcpy(text, "OOM: ", 5);
    bench_record_error(step, text, sizeof text);
    ck_assert_uint_eq(strlen(step->error_text), BENCH_ERROR_TEXT - 1);
    ck_assert_uint_eq(step->errors[HF_E_OOM], 1);
    free(step);
}
END_TEST

START_TEST(durations_are_told_with_three_digits)
{
    static const struct {
        double us;
        const char *text;
    } cases[] = {{0, "0.0 us"},       {0.04, "0.0 us"},   {99.94, "99.9 us"},    {99.96, "100 us"},
                 {999.4, "999 us"},   {999.6, "1.00 ms"}, {99.94e3, "99.94 ms"}, {99.96e3, "100 ms"},
                 {999.6e3, "1.00 s"}, {3.4e6, "3.40 s"}};
    char text[16];
    for (unsigned i = 0; i < sizeof cases / sizeof cases[0]; i++)
        ck_assert_str_eq(bench_format_us(cases[i].us, text), cases[i].text);
}
END_TEST

/* ---- Options ---- */

static struct cli_args args;
static struct bench_options options;
static char problem[256];

static void options_teardown(void)
{
    cli_args_done(&args);
}

#define EVERY (UINT64_MAX >> (64 - CLI_OPTION_COUNT))

static const char *parse(const char *const *words)
{
    static char copy[16][64], wrong[160];
    char *list[16];
    unsigned count = 0, used;
    for (; words[count] != NULL; count++) {
        strcpy(copy[count], words[count]);
        list[count] = copy[count];
    }
    const char *refused = cli_args_parse(list, count, EVERY, false, &args, &used, wrong);
    if (refused == NULL)
        refused = bench_options_parse(&args, &options, problem);
    return refused != NULL ? refused : bench_options_check(&options, problem);
}
#define PARSE(...) parse((const char *const[]){__VA_ARGS__, NULL})

START_TEST(without_options_there_are_defaults)
{
    ck_assert_ptr_null(parse((const char *const[]){NULL}));
    ck_assert_uint_eq(options.mix.weight[BENCH_OP_GET], 80);
    ck_assert_uint_eq(options.connections, 50);
    ck_assert_uint_eq(options.depth, 1);
    ck_assert_uint_eq(options.threads, 1);
    ck_assert_uint_eq(options.pools, 1);
    ck_assert_uint_eq(options.objects, 100000);
    ck_assert_uint_eq(bench_sizes_most(&options.sizes), 64);
    ck_assert_double_eq(options.exponent, 0);
    ck_assert_uint_eq(options.duration_ns, 10 * BENCH_SECOND);
    ck_assert_uint_eq(options.warmup_ns, BENCH_SECOND);
    ck_assert_uint_eq(options.count, 0);
    ck_assert_uint_eq(options.rate, 0);
    ck_assert_uint_eq(options.seed, 1);
}
END_TEST

START_TEST(each_option_arrives)
{
    ck_assert_ptr_null(
        PARSE("--mix=cache", "--connections=7", "--rate=250k", "--duration=2.5", "--warmup=0"));
    ck_assert_uint_eq(options.mix.weight[BENCH_OP_FETCH], 90);
    ck_assert_uint_eq(options.connections, 7);
    ck_assert_uint_eq(options.rate, 250000);
    ck_assert_uint_eq(options.depth, BENCH_DEPTH_OPEN);
    ck_assert_uint_eq(options.duration_ns, 2500000000u);
    ck_assert_uint_eq(options.warmup_ns, 0);
    cli_args_done(&args);
    ck_assert_ptr_null(PARSE("--depth=64", "--count=1M", "--objects=10k", "--value=16-4K", "--skew=zipf:1.1",
                             "--pools=3", "--threads=2", "--seed=0"));
    ck_assert_uint_eq(options.depth, 64);
    ck_assert_uint_eq(options.count, 1000000);
    ck_assert_uint_eq(options.objects, 10000);
    ck_assert_uint_eq(bench_sizes_most(&options.sizes), 4096);
    ck_assert_double_eq(options.exponent, 1.1);
    ck_assert_uint_eq(options.pools, 3);
    ck_assert_uint_eq(options.threads, 2);
    ck_assert_uint_eq(options.seed, 0);
}
END_TEST

START_TEST(wrong_options_are_refused_by_name)
{
    static const struct {
        const char *words[4];
        const char *reason;
    } bad[] = {
        {{"--mix=nothing"}, "--mix: no operation nothing"},
        {{"--connections=0"}, "--connections must be a number 1 ... 20000"},
        {{"--connections=20001"}, "--connections must be"},
        {{"--depth=16385"}, "--depth must be"},
        {{"--depth=x"}, "--depth must be"},
        {{"--threads=65"}, "--threads must be"},
        {{"--pools=257"}, "--pools must be"},
        {{"--objects=100000001"}, "--objects must be"},
        {{"--rate=0"}, "--rate must be"},
        {{"--count=0"}, "--count must be"},
        {{"--seed=-1"}, "--seed must be"},
        {{"--value=x"}, "--value: a size"},
        {{"--skew=x"}, "--skew: give uniform"},
        {{"--duration=0"}, "--duration must be a time"},
        {{"--duration=5x"}, "--duration must be a time"},
        {{"--warmup=-1"}, "--warmup must be a time"},
        {{"--count=5", "--duration=1"}, "without --duration"},
        {{"--count=5", "--warmup=1"}, "without --duration and --warmup"},
        {{"--connections=3", "--threads=4"}, "--threads 4 needs as many --connections"},
        {{"--connections=3", "--pools=4"}, "--pools 4 needs as many --connections"},
        {{"--mix=link", "--objects=1"}, "at least two --objects"},
    };
    for (unsigned i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        const char *wrong = parse(bad[i].words);
        ck_assert_msg(wrong != NULL && strstr(wrong, bad[i].reason) != NULL, "%s: %s", bad[i].words[0],
                      wrong != NULL ? wrong : "taken");
        cli_args_done(&args);
    }
}
END_TEST

START_TEST(a_pool_that_exists_is_one)
{
    ck_assert_ptr_null(PARSE("--pools=2"));
    options.pool = "mine";
    ck_assert_ptr_nonnull(bench_options_check(&options, problem));
    options.pools = 1;
    ck_assert_ptr_null(bench_options_check(&options, problem));
}
END_TEST

START_TEST(times_and_counts_are_read)
{
    uint64_t number;
    ck_assert(bench_parse_time("500ms", &number) && number == 500000000);
    ck_assert(bench_parse_time("1m", &number) && number == 60 * BENCH_SECOND);
    ck_assert(bench_parse_time("1h", &number) && number == 3600 * BENCH_SECOND);
    ck_assert(bench_parse_time("0.25s", &number) && number == 250000000);
    ck_assert(!bench_parse_time("", &number));
    ck_assert(!bench_parse_time("s", &number));
    ck_assert(!bench_parse_time("1 s", &number));
    ck_assert(!bench_parse_time("1e30", &number));
    ck_assert(bench_parse_count("12k", &number) && number == 12000);
    ck_assert(bench_parse_count("3M", &number) && number == 3000000);
    ck_assert(!bench_parse_count("k", &number));
    ck_assert(!bench_parse_count("1kk", &number));
    ck_assert(!bench_parse_count("1.5k", &number));
    ck_assert(!bench_parse_count("18446744073709552k", &number));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("bench_figures");
    TCase *histograms = suite_case(suite, "histograms", setup, NULL);
    tcase_add_test(histograms, an_empty_histogram_has_nothing_to_tell);
    tcase_add_test(histograms, cells_follow_each_other_without_a_gap);
    tcase_add_test(histograms, small_percentiles_are_exact);
    tcase_add_test(histograms, percentiles_are_within_the_stated_error);
    tcase_add_test(histograms, many_at_once_are_as_many_one_by_one);
    tcase_add_test(histograms, merged_histograms_are_one_of_both);
    TCase *schedules = suite_case(suite, "schedules", NULL, NULL);
    tcase_add_test(schedules, requests_are_due_at_an_even_pace_without_drift);
    tcase_add_test(schedules, what_is_due_before_a_time_is_what_has_a_time_before_it);
    tcase_add_test(schedules, threads_share_the_schedule_of_one);
    tcase_add_test(schedules, a_second_has_as_many_requests_as_the_rate);
    TCase *series = suite_case(suite, "series", setup, NULL);
    tcase_add_test(series, a_second_is_complete_when_all_threads_have_reported);
    tcase_add_test(series, a_second_that_was_skipped_is_empty);
    TCase *records = suite_case(suite, "records", NULL, NULL);
    tcase_add_test(records, errors_are_counted_by_code);
    tcase_add_test(records, a_long_error_text_is_cut);
    tcase_add_test(records, durations_are_told_with_three_digits);
    TCase *tcase = suite_case(suite, "options", NULL, options_teardown);
    tcase_add_test(tcase, without_options_there_are_defaults);
    tcase_add_test(tcase, each_option_arrives);
    tcase_add_test(tcase, wrong_options_are_refused_by_name);
    tcase_add_test(tcase, a_pool_that_exists_is_one);
    tcase_add_test(tcase, times_and_counts_are_read);
    return suite_run(suite);
}
