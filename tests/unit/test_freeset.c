/* SPDX-License-Identifier: BSD-3-Clause */
/* daemon/base/freeset.h: the lowest member, at every depth of the tree, against a plain array. */
#include "daemon/base/freeset.h"
#include "tests/lib/random.h"
#include "tests/lib/suite.h"

#include <string.h>

static struct mem mem;
static struct freeset set;

static void setup(void)
{
    mem_init(&mem, NULL, UINT64_MAX);
}

static void teardown(void)
{
    ck_assert_uint_eq(mem.private_bytes, 0);
}

static void open_set(uint64_t end)
{
    ck_assert(freeset_init(&set, end));
    ck_assert(freeset_grow(&set, &mem, end));
}

START_TEST(an_empty_set_has_no_lowest)
{
    open_set(1000);
    ck_assert_uint_eq(freeset_lowest(&set), FREESET_NONE);
    ck_assert_uint_eq(freeset_run(&set, 1, 1000), FREESET_NONE);
    freeset_add(&set, 999);
    ck_assert_uint_eq(freeset_lowest(&set), 999);
    freeset_remove(&set, 999);
    ck_assert_uint_eq(freeset_lowest(&set), FREESET_NONE);
    ck_assert_uint_eq(set.count, 0);
    freeset_done(&set, &mem);
}
END_TEST

/* Ends around each power of 64, where a level more is needed. */
START_TEST(every_depth_works_to_its_last_member)
{
    static const uint64_t ends[] = {1,    2,      63,     64,     65,       4095,     4096,
                                    4097, 262143, 262144, 262145, 16777216, 16777217, 0x7fffffff};
    for (size_t k = 0; k < sizeof ends / sizeof ends[0]; k++) {
        open_set(ends[k]);
        uint32_t last = (uint32_t)(ends[k] - 1), middle = last / 2;
        freeset_add(&set, last);
        ck_assert_uint_eq(freeset_lowest(&set), last);
        if (middle != last) {
            freeset_add(&set, middle);
            ck_assert_uint_eq(freeset_lowest(&set), middle);
            ck_assert(freeset_has(&set, middle) && freeset_has(&set, last));
            freeset_remove(&set, middle);
        }
        ck_assert_uint_eq(freeset_lowest(&set), last);
        freeset_remove(&set, last);
        ck_assert(!freeset_has(&set, last));
        freeset_done(&set, &mem);
    }
}
END_TEST

START_TEST(members_come_out_in_order)
{
    struct random random = {.state = 3};
    enum { END = 10000 };
    static bool in[END];
    memset(in, 0, sizeof in);
    open_set(END);
    for (unsigned k = 0; k < 3000; k++) {
        uint32_t member = (uint32_t)random_below(&random, END);
        if (!in[member])
            freeset_add(&set, member);
        in[member] = true;
    }
    for (uint32_t member = 0; member < END; member++) {
        if (!in[member])
            continue;
        ck_assert_uint_eq(freeset_lowest(&set), member);
        freeset_remove(&set, member);
    }
    ck_assert_uint_eq(set.count, 0);
    freeset_done(&set, &mem);
}
END_TEST

START_TEST(several_of_a_word_are_added_at_once)
{
    open_set(10000);
    freeset_add(&set, 130);
    freeset_add_all(&set, 128, 1ull << 63 | 1); /* into a word that has one */
    freeset_add_all(&set, 64, 1ull << 5);       /* into an empty one */
    freeset_add_all(&set, 192, 0);
    freeset_add_all(&set, 9984, 1ull << 3);
    for (uint32_t member = 0; member < 10000; member += 99)
        freeset_touch(&set, member); /* changes nothing */
    const uint32_t members[] = {69, 128, 130, 191, 9987, FREESET_NONE};
    ck_assert_uint_eq(set.count, 5);
    for (unsigned k = 0; k < sizeof members / sizeof *members; k++) {
        ck_assert_uint_eq(freeset_lowest(&set), members[k]);
        if (members[k] != FREESET_NONE)
            freeset_remove(&set, members[k]);
    }
    freeset_done(&set, &mem);
}
END_TEST

static uint32_t naive_run(const bool *in, uint32_t count, uint32_t end)
{
    for (uint32_t start = 0; start + count <= end; start++) {
        uint32_t length = 0;
        while (length < count && in[start + length])
            length++;
        if (length == count)
            return start;
    }
    return FREESET_NONE;
}

START_TEST(it_agrees_with_an_array)
{
    enum { END = 700 };
    bool in[END] = {0};
    struct random random = {.state = 17};
    open_set(END);
    for (unsigned k = 0; k < 60000; k++) {
        uint32_t member = (uint32_t)random_below(&random, END), lowest = 0, count = 0;
        if (in[member])
            freeset_remove(&set, member);
        else if (!random_once_in(&random,
                                 k / 20000 == 1 ? 1 : 3)) /* for a third of the time it only empties */
            freeset_add(&set, member);
        else
            continue;
        in[member] = !in[member];
        for (uint32_t n = 0; n < END; n++)
            count += in[n];
        while (lowest < END && !in[lowest])
            lowest++;
        ck_assert_uint_eq(set.count, count);
        ck_assert_uint_eq(freeset_lowest(&set), lowest == END ? FREESET_NONE : lowest);
        ck_assert_int_eq(freeset_has(&set, member), in[member]);
        uint32_t run = (uint32_t)random_between(&random, 1, 12),
                 end = (uint32_t)random_between(&random, 1, END);
        ck_assert_uint_eq(freeset_run(&set, run, end), naive_run(in, run, end));
    }
    freeset_done(&set, &mem);
}
END_TEST

START_TEST(runs_across_words_and_to_the_end)
{
    open_set(512);
    for (uint32_t n = 60; n < 200; n++)
        freeset_add(&set, n);
    ck_assert_uint_eq(freeset_run(&set, 140, 512), 60);
    ck_assert_uint_eq(freeset_run(&set, 141, 512), FREESET_NONE);
    ck_assert_uint_eq(freeset_run(&set, 140, 199), FREESET_NONE);
    ck_assert_uint_eq(freeset_run(&set, 140, 200), 60);
    freeset_remove(&set, 100);
    ck_assert_uint_eq(freeset_run(&set, 41, 512), 101);
    freeset_done(&set, &mem);
}
END_TEST

START_TEST(growth_is_charged_and_may_fail_at_any_level)
{
    for (uint64_t fail_at = 1; fail_at <= 5; fail_at++) {
        mem_init(&mem, NULL, UINT64_MAX);
        ck_assert(freeset_init(&set, 0x7fffffff));
        ck_assert(freeset_grow(&set, &mem, 100));
        freeset_add(&set, 99);
        mem.fail_at = mem.calls + fail_at;
        bool grown = freeset_grow(&set, &mem, 100000000);
        ck_assert_int_eq(grown, fail_at > 2); /* the upper levels fit their first page */
        ck_assert_uint_eq(freeset_lowest(&set), 99);
        mem.fail_at = 0;
        ck_assert(freeset_grow(&set, &mem, 100000000));
        freeset_add(&set, 99999999);
        freeset_remove(&set, 99);
        ck_assert_uint_eq(freeset_lowest(&set), 99999999);
        freeset_done(&set, &mem);
        ck_assert_uint_eq(mem.private_bytes, 0);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("freeset");
    TCase *tc = suite_case(suite, "freeset", setup, teardown);
    tcase_add_test(tc, an_empty_set_has_no_lowest);
    tcase_add_test(tc, every_depth_works_to_its_last_member);
    tcase_add_test(tc, members_come_out_in_order);
    tcase_add_test(tc, several_of_a_word_are_added_at_once);
    tcase_add_test(tc, it_agrees_with_an_array);
    tcase_add_test(tc, runs_across_words_and_to_the_end);
    tcase_add_test(tc, growth_is_charged_and_may_fail_at_any_level);
    return suite_run(suite);
}
