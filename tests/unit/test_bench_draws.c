/* SPDX-License-Identifier: BSD-3-Clause */
/* What a load is drawn from: random numbers, Zipf's law, keys, sizes, mixes, sequences. All seeds are fixed. */
#include <math.h>
#include <string.h>

#include "client/bench/keys.h"
#include "client/bench/operations.h"
#include "client/bench/sequence.h"
#include "client/bench/sizes.h"
#include "client/bench/zipf.h"
#include "tests/lib/suite.h"

#define DRAWS 400000u

/* libcheck keeps a note of each ck_assert that passes: long loops only count what was wrong. */

static struct bench_random random_numbers;

static void setup(void)
{
    bench_random_seed(&random_numbers, 20260101);
}

/* ---- Chi-square ---- */

/* The value that a chi-square of that many degrees of freedom exceeds once in 10,000 times. E. B. Wilson and M. M.
 * Hilferty, "The distribution of chi-square", PNAS 17 (1931). */
static double critical(unsigned freedom)
{
    double k = freedom;
    return k * pow(1 - 2 / (9 * k) + 3.719 * sqrt(2 / (9 * k)), 3);
}

/* Chi-square of counts against probabilities, divided by its critical value: below 1 they agree. Cells of fewer than
 * ten expected counts are put together with their neighbours. */
static double misfit(const uint32_t *counts, const double *probability, unsigned cells, uint32_t draws)
{
    double sum = 0, expected = 0, found = 0;
    unsigned classes = 0;
    for (unsigned i = 0; i < cells; i++) {
        expected += probability[i] * draws;
        found += counts[i];
        if (expected >= 10) {
            sum += (found - expected) * (found - expected) / expected;
            classes++;
            expected = found = 0;
        }
    }
    ck_assert_uint_gt(classes, 2);
    return sum / critical(classes - 1);
}

static void zipf_probabilities(double *probability, unsigned count, double exponent)
{
    double sum = 0;
    for (unsigned i = 0; i < count; i++)
        sum += probability[i] = pow(i + 1, -exponent);
    for (unsigned i = 0; i < count; i++)
        probability[i] /= sum;
}

/* ---- Random numbers ---- */

START_TEST(numbers_are_those_of_the_published_generator)
{
    /* xoshiro256** from the state 1, 2, 3, 4: the first outputs that its authors' code gives. */
    struct bench_random r = {.state = {1, 2, 3, 4}};
    ck_assert_uint_eq(bench_random_next(&r), 11520);
    ck_assert_uint_eq(bench_random_next(&r), 0);
    ck_assert_uint_eq(bench_random_next(&r), 1509978240);
    ck_assert_uint_eq(bench_random_next(&r), 1215971899390074240u);
}
END_TEST

START_TEST(below_is_uniform_and_below)
{
    enum { CELLS = 7 };
    uint32_t counts[CELLS] = {0};
    double probability[CELLS];
    for (unsigned i = 0; i < DRAWS; i++)
        counts[bench_random_below(&random_numbers, CELLS)]++; /* beyond the cells a sanitizer would tell */
    for (unsigned i = 0; i < CELLS; i++)
        probability[i] = 1.0 / CELLS;
    ck_assert_double_lt(misfit(counts, probability, CELLS, DRAWS), 1);
    ck_assert_uint_eq(bench_random_below(&random_numbers, 1), 0);
}
END_TEST

/* Of 2^32 equally likely numbers a third would have to stand for two: drawn without care, every third result were
 * twice as likely as the others. */
START_TEST(below_is_fair_with_large_bounds_too)
{
    uint32_t counts[3] = {0};
    const double probability[3] = {1.0 / 3, 1.0 / 3, 1.0 / 3};
    for (unsigned i = 0; i < DRAWS; i++)
        counts[bench_random_below(&random_numbers, 3u << 30) % 3]++;
    ck_assert_double_lt(misfit(counts, probability, 3, DRAWS), 1);
}
END_TEST

START_TEST(unit_numbers_stay_below_one)
{
    double sum = 0;
    unsigned outside = 0;
    for (unsigned i = 0; i < DRAWS; i++) {
        double x = bench_random_unit(&random_numbers);
        outside += !(x >= 0 && x < 1);
        sum += x;
    }
    ck_assert_uint_eq(outside, 0);
    ck_assert_double_eq_tol(sum / DRAWS, 0.5, 0.003);
}
END_TEST

/* ---- Zipf ---- */

static const double exponents[] = {0.2, 0.5, 0.99, 1.0, 1.2, 2.0, 4.0};
static const unsigned counts_of_ranks[] = {3, 10, 1000, 50000};

static void draw_zipf(uint32_t *counts, unsigned count, double exponent)
{
    struct bench_zipf zipf;
    bench_zipf_init(&zipf, count, exponent);
    unsigned outside = 0;
    memset(counts, 0, count * sizeof *counts);
    for (unsigned i = 0; i < DRAWS; i++) {
        uint32_t rank = bench_zipf_draw(&zipf, &random_numbers);
        if (rank >= 1 && rank <= count)
            counts[rank - 1]++;
        else
            outside++;
    }
    ck_assert_uint_eq(outside, 0);
}

START_TEST(zipf_has_its_exact_probabilities)
{
    for (unsigned i = 0; i < sizeof counts_of_ranks / sizeof counts_of_ranks[0]; i++) {
        unsigned count = counts_of_ranks[i];
        uint32_t *counts = calloc(count, sizeof *counts);
        double *probability = calloc(count, sizeof *probability);
        draw_zipf(counts, count, exponents[_i]);
        zipf_probabilities(probability, count, exponents[_i]);
        ck_assert_msg(misfit(counts, probability, count, DRAWS) < 1,
                      "exponent %g, %u ranks: %g times the limit", exponents[_i], count,
                      misfit(counts, probability, count, DRAWS));
        free(counts);
        free(probability);
    }
}
END_TEST

START_TEST(another_exponent_would_be_seen)
{
    enum { COUNT = 1000 };
    uint32_t counts[COUNT];
    double probability[COUNT];
    draw_zipf(counts, COUNT, 0.99);
    zipf_probabilities(probability, COUNT, 1.01);
    ck_assert_double_gt(misfit(counts, probability, COUNT, DRAWS), 1);
    zipf_probabilities(probability, COUNT, 0.97);
    ck_assert_double_gt(misfit(counts, probability, COUNT, DRAWS), 1);
}
END_TEST

START_TEST(zipf_of_one_rank)
{
    struct bench_zipf zipf;
    bench_zipf_init(&zipf, 1, 0.99);
    for (unsigned i = 0; i < 1000; i++)
        ck_assert_uint_eq(bench_zipf_draw(&zipf, &random_numbers), 1);
}
END_TEST

START_TEST(zipf_of_very_many_ranks_stays_in_range)
{
    struct bench_zipf zipf;
    for (unsigned e = 0; e < sizeof exponents / sizeof exponents[0]; e++) {
        bench_zipf_init(&zipf, UINT32_MAX, exponents[e]);
        for (unsigned i = 0; i < 10000; i++)
            ck_assert_uint_ge(bench_zipf_draw(&zipf, &random_numbers), 1);
    }
}
END_TEST

/* ---- Keys ---- */

START_TEST(each_rank_is_another_object)
{
    static const uint32_t sizes[] = {1, 2, 3, 10, 97, 1000, 65536, 99999};
    for (unsigned i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        struct bench_keys keys;
        uint8_t *seen = calloc(sizes[i], 1);
        bench_keys_init(&keys, sizes[i], 0.99);
        for (uint32_t rank = 1; rank <= sizes[i]; rank++) {
            uint32_t object = bench_keys_object(&keys, rank);
            if (object >= sizes[i] || seen[object]++ != 0)
                ck_abort_msg("%u of %u is none, or comes twice", object, sizes[i]);
        }
        free(seen);
    }
}
END_TEST

START_TEST(uniform_keys_are_uniform)
{
    enum { COUNT = 100 };
    struct bench_keys keys;
    uint32_t counts[COUNT] = {0};
    double probability[COUNT];
    bench_keys_init(&keys, COUNT, 0);
    for (unsigned i = 0; i < DRAWS; i++)
        counts[bench_keys_draw(&keys, &random_numbers)]++;
    for (unsigned i = 0; i < COUNT; i++)
        probability[i] = 1.0 / COUNT;
    ck_assert_double_lt(misfit(counts, probability, COUNT, DRAWS), 1);
}
END_TEST

START_TEST(skews_are_read)
{
    double exponent;
    char text[BENCH_SKEW_TEXT_MAX];
    ck_assert_ptr_null(bench_skew_parse("uniform", &exponent));
    ck_assert_double_eq(exponent, 0);
    ck_assert_str_eq(bench_skew_format(exponent, text), "uniform");
    ck_assert_ptr_null(bench_skew_parse("zipf", &exponent));
    ck_assert_double_eq(exponent, 0.99);
    ck_assert_str_eq(bench_skew_format(exponent, text), "zipf:0.99");
    ck_assert_ptr_null(bench_skew_parse("zipf:1.25", &exponent));
    ck_assert_double_eq(exponent, 1.25);
    static const char *const bad[] = {"",         "zipf:",    "zipf:0",  "zipf:-1", "zipf:x", "zipf:1x",
                                      "zipf:nan", "zipf:inf", "zipf:11", "zipf1",   "zip",    "uniform:1"};
    for (unsigned i = 0; i < sizeof bad / sizeof bad[0]; i++)
        ck_assert_msg(bench_skew_parse(bad[i], &exponent) != NULL, "'%s' was taken", bad[i]);
}
END_TEST

/* ---- Sizes ---- */

static struct bench_sizes sizes_of(const char *text)
{
    struct bench_sizes sizes;
    ck_assert_msg(bench_sizes_parse(text, &sizes) == NULL, "'%s' was refused", text);
    return sizes;
}

START_TEST(sizes_are_read_and_told_again)
{
    char text[BENCH_SIZES_TEXT_MAX];
    struct bench_sizes sizes = sizes_of("64");
    ck_assert(bench_sizes_fixed(&sizes));
    ck_assert_uint_eq(bench_sizes_most(&sizes), 64);
    ck_assert_str_eq(bench_sizes_format(&sizes, text), "64");
    sizes = sizes_of("16-4K");
    ck_assert(!bench_sizes_fixed(&sizes));
    ck_assert_str_eq(bench_sizes_format(&sizes, text), "16-4096");
    ck_assert_double_eq(bench_sizes_mean(&sizes), (16 + 4096) / 2.0);
    sizes = sizes_of("64=80,1K=15,16K-64M=5");
    ck_assert_str_eq(bench_sizes_format(&sizes, text), "64=80,1024=15,16384-67108864=5");
    ck_assert_uint_eq(bench_sizes_most(&sizes), 64u << 20);
    sizes = sizes_of("0");
    ck_assert_uint_eq(bench_sizes_draw(&sizes, &random_numbers), 0);
}
END_TEST

START_TEST(sizes_follow_their_weights)
{
    struct bench_sizes sizes = sizes_of("10-12=3,100=1");
    uint32_t counts[4] = {0};
    const double probability[4] = {0.25, 0.25, 0.25, 0.25};
    for (unsigned i = 0; i < DRAWS; i++) {
        uint32_t size = bench_sizes_draw(&sizes, &random_numbers);
        if (size != 100 && (size < 10 || size > 12))
            ck_abort_msg("%u bytes", size);
        counts[size == 100 ? 3 : size - 10]++;
    }
    ck_assert_double_lt(misfit(counts, probability, 4, DRAWS), 1);
}
END_TEST

START_TEST(wrong_sizes_are_refused)
{
    static const char *const bad[] = {
        "",
        "x",
        "-1",
        "10-5",
        "64M-65M",
        "65M",
        "1=0",
        "1=x",
        "1=1000001",
        "1,,2",
        "1,",
        "1-2-3",
        "5-",
        "1=2=3",
        "1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17",
        "1111111111111111111111111111111111111111111111111111111111111111111111111111"};
    struct bench_sizes sizes;
    for (unsigned i = 0; i < sizeof bad / sizeof bad[0]; i++)
        ck_assert_msg(bench_sizes_parse(bad[i], &sizes) != NULL, "'%s' was taken", bad[i]);
}
END_TEST

/* ---- Mixes ---- */

START_TEST(mixes_are_read)
{
    struct bench_mix mix;
    char problem[200];
    ck_assert_ptr_null(bench_mix_parse("get=80,put=15,link=5", &mix, problem));
    ck_assert_uint_eq(mix.weight[BENCH_OP_GET], 80);
    ck_assert_uint_eq(mix.weight[BENCH_OP_PUT], 15);
    ck_assert_uint_eq(mix.weight[BENCH_OP_LINK], 5);
    ck_assert_uint_eq(mix.weight[BENCH_OP_FETCH], 0);
    ck_assert_uint_eq(bench_mix_needs(&mix), BENCH_NEEDS_IDS | BENCH_NEEDS_SLOTS);
    ck_assert_ptr_null(bench_mix_parse("retain-own,lookup=3", &mix, problem));
    ck_assert_uint_eq(mix.weight[BENCH_OP_RETAIN_OWN], 1);
    ck_assert_uint_eq(mix.weight[BENCH_OP_LOOKUP], 3);
    ck_assert_uint_eq(bench_mix_needs(&mix), BENCH_NEEDS_OWN | BENCH_NEEDS_NAMES);
}
END_TEST

START_TEST(named_mixes_can_be_read)
{
    struct bench_mix mix;
    char problem[200];
    for (const struct bench_named_mix *named = bench_named_mixes; named->name != NULL; named++) {
        ck_assert_msg(bench_mix_parse(named->name, &mix, problem) == NULL, "%s", named->name);
        ck_assert_uint_ne(bench_mix_needs(&mix), 0);
    }
    for (unsigned i = 0; i < BENCH_OPERATION_COUNT; i++)
        ck_assert_ptr_null(bench_mix_parse(bench_operations[i].name, &mix, problem));
}
END_TEST

START_TEST(wrong_mixes_are_refused_with_the_reason)
{
    static const struct {
        const char *text, *reason;
    } bad[] = {{"", "no operation"},
               {"gett", "there are get, put"},
               {"get=0", "weight of get"},
               {"get=", "weight of get"},
               {"get=1x", "weight of get"},
               {"get=-1", "weight of get"},
               {"get,get=2", "twice"},
               {"get=1,", "no operation"},
               {"get=1000001", "weight of get"},
               {"cache,get", "no operation cache"}};
    struct bench_mix mix;
    char problem[200];
    for (unsigned i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        const char *wrong = bench_mix_parse(bad[i].text, &mix, problem);
        ck_assert_msg(wrong != NULL && strstr(wrong, bad[i].reason) != NULL, "'%s': %s", bad[i].text,
                      wrong != NULL ? wrong : "taken");
    }
}
END_TEST

/* ---- Sequences ---- */

enum { OBJECTS = 50, OWN = 5, LENGTH = 100000 };

static int64_t ids[OBJECTS];
static uint32_t object_sizes[OBJECTS];
static struct bench_keys all_keys, own_keys;
static struct bench_mix mix_of_all;
static struct bench_sizes put_sizes;
static struct bench_sequence sequence;

static void sequence_setup(void)
{
    char problem[200];
    setup();
    for (unsigned i = 0; i < OBJECTS; i++) {
        ids[i] = (INT64_C(77) << 32) + i;
        object_sizes[i] = 100 + i;
    }
    bench_keys_init(&all_keys, OBJECTS, 0);
    bench_keys_init(&own_keys, OWN, 0);
    put_sizes = sizes_of("7-9");
    ck_assert_ptr_null(bench_mix_parse(
        "get=20,put=10,retain-own=10,retain-foreign=10,store=10,fetch=10,lookup=10,link=10,ping=10",
        &mix_of_all, problem));
    const struct bench_source source = {&mix_of_all, &put_sizes, &all_keys, &own_keys, ids, object_sizes};
    ck_assert(bench_sequence_make(&sequence, &source, LENGTH, &random_numbers));
}

static void sequence_teardown(void)
{
    bench_sequence_done(&sequence);
}

/* Index of an object by its patch. */
static uint64_t object_of(uint64_t patch)
{
    return be64toh(patch) - (UINT64_C(77) << 32);
}

static bool is_right(const struct bench_draw *draw)
{
    switch ((enum bench_step)draw->step) {
    case BENCH_STEP_GET:
    case BENCH_STEP_RETAIN_FOREIGN:
        return draw->object < OBJECTS && object_of(draw->patch) == draw->object &&
               draw->size == object_sizes[draw->object];
    case BENCH_STEP_STORE:
    case BENCH_STEP_FETCH:
    case BENCH_STEP_LOOKUP:
        return draw->object < OBJECTS && draw->patch == bench_patch_name(draw->object) &&
               draw->size == object_sizes[draw->object];
    case BENCH_STEP_PUT: return draw->size >= 7 && draw->size <= 9;
    case BENCH_STEP_RETAIN_OWN: return draw->object < OWN;
    case BENCH_STEP_LINK: /* always from a lower to a higher one: no cycle can come of it */
        return object_of(draw->patch) < draw->object && draw->object < OBJECTS;
    default: return draw->step == BENCH_STEP_PING;
    }
}

START_TEST(a_draw_is_of_its_object)
{
    for (uint32_t i = 0; i < LENGTH; i++) {
        const struct bench_draw *draw = &sequence.draws[i];
        if (!is_right(draw))
            ck_abort_msg("step %u: object %u, size %u, patch %llx", draw->step, draw->object, draw->size,
                         (unsigned long long)draw->patch);
    }
}
END_TEST

START_TEST(a_sequence_follows_the_weights)
{
    uint32_t counts[BENCH_OPERATION_COUNT] = {0};
    double probability[BENCH_OPERATION_COUNT];
    for (unsigned i = 0; i < BENCH_OPERATION_COUNT; i++)
        probability[i] = mix_of_all.weight[i] / 100.0;
    for (uint32_t i = 0; i < LENGTH; i++)
        counts[bench_steps[sequence.draws[i].step].operation]++;
    ck_assert_double_lt(misfit(counts, probability, BENCH_OPERATION_COUNT, LENGTH), 1);
}
END_TEST

START_TEST(the_same_seed_draws_the_same)
{
    const struct bench_source source = {&mix_of_all, &put_sizes, &all_keys, &own_keys, ids, object_sizes};
    struct bench_sequence again;
    bench_random_seed(&random_numbers, 20260101);
    ck_assert(bench_sequence_make(&again, &source, LENGTH, &random_numbers));
    ck_assert_mem_eq(again.draws, sequence.draws, LENGTH * sizeof *again.draws);
    bench_sequence_done(&again);
    bench_random_seed(&random_numbers, 20260102);
    ck_assert(bench_sequence_make(&again, &source, LENGTH, &random_numbers));
    ck_assert_mem_ne(again.draws, sequence.draws, LENGTH * sizeof *again.draws);
    bench_sequence_done(&again);
}
END_TEST

START_TEST(sequences_have_a_fitting_length)
{
    ck_assert_uint_eq(bench_sequence_length(1, 1), BENCH_SEQUENCE_LEAST);
    ck_assert_uint_eq(bench_sequence_length(1000000, 1), 4000000);
    ck_assert_uint_eq(bench_sequence_length(100000000, 1), BENCH_SEQUENCE_MOST);
    ck_assert_uint_eq(bench_sequence_length(100000000, 4), BENCH_SEQUENCE_MOST / 4);
    ck_assert_uint_ge(bench_sequence_length(1, 256), 1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("bench_draws");
    TCase *numbers = suite_case(suite, "numbers", setup, NULL);
    tcase_add_test(numbers, numbers_are_those_of_the_published_generator);
    tcase_add_test(numbers, below_is_uniform_and_below);
    tcase_add_test(numbers, below_is_fair_with_large_bounds_too);
    tcase_add_test(numbers, unit_numbers_stay_below_one);
    TCase *zipf = suite_case(suite, "zipf", setup, NULL);
    tcase_add_loop_test(zipf, zipf_has_its_exact_probabilities, 0, sizeof exponents / sizeof exponents[0]);
    tcase_add_test(zipf, another_exponent_would_be_seen);
    tcase_add_test(zipf, zipf_of_one_rank);
    tcase_add_test(zipf, zipf_of_very_many_ranks_stays_in_range);
    TCase *keys = suite_case(suite, "keys", setup, NULL);
    tcase_add_test(keys, each_rank_is_another_object);
    tcase_add_test(keys, uniform_keys_are_uniform);
    tcase_add_test(keys, skews_are_read);
    TCase *sizes = suite_case(suite, "sizes", setup, NULL);
    tcase_add_test(sizes, sizes_are_read_and_told_again);
    tcase_add_test(sizes, sizes_follow_their_weights);
    tcase_add_test(sizes, wrong_sizes_are_refused);
    TCase *mixes = suite_case(suite, "mixes", setup, NULL);
    tcase_add_test(mixes, mixes_are_read);
    tcase_add_test(mixes, named_mixes_can_be_read);
    tcase_add_test(mixes, wrong_mixes_are_refused_with_the_reason);
    TCase *sequences = suite_case(suite, "sequences", sequence_setup, sequence_teardown);
    tcase_add_test(sequences, a_draw_is_of_its_object);
    tcase_add_test(sequences, a_sequence_follows_the_weights);
    tcase_add_test(sequences, the_same_seed_draws_the_same);
    tcase_add_test(sequences, sequences_have_a_fitting_length);
    return suite_run(suite);
}
