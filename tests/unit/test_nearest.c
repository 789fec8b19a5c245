/* SPDX-License-Identifier: BSD-3-Clause */
/* daemon/base/nearest.h: distances by hand, and what is near enough to be suggested. */
#include "daemon/base/nearest.h"
#include "tests/lib/suite.h"

#include <string.h>

static const char *const words[] = {"listen", "heap", "workers", "max-memory", "log-level"};
#define WORDS (sizeof words / sizeof words[0])

static const char *word_at(const void *data, size_t i)
{
    return ((const char *const *)data)[i];
}

static const char *meant(const char *wanted)
{
    size_t i = nearest_of(wanted, word_at, words, WORDS);
    return i == WORDS ? "" : words[i];
}

START_TEST(distances_are_those_of_the_definition)
{
    static const struct {
        const char *a, *b;
        unsigned distance;
    } cases[] = {
        {"", "", 0},         {"a", "", 1},        {"", "abc", 3},
        {"same", "same", 0}, {"Same", "sAME", 0}, {"kitten", "sitting", 3},
        {"flaw", "lawn", 2}, {"ab", "ba", 2},     {"abc", "xyz", 3},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        ck_assert_uint_eq(nearest_distance(cases[i].a, cases[i].b), cases[i].distance);
        ck_assert_uint_eq(nearest_distance(cases[i].b, cases[i].a), cases[i].distance);
    }
}
END_TEST

START_TEST(long_words_are_near_to_nothing)
{
    char longest[NEAREST_WORD_MAX + 1], longer[NEAREST_WORD_MAX + 2];
    memset(longest, 'x', sizeof longest);
    longest[NEAREST_WORD_MAX] = '\0';
    memset(longer, 'x', sizeof longer);
    longer[NEAREST_WORD_MAX + 1] = '\0';
    ck_assert_uint_eq(nearest_distance(longest, longest), 0);
    ck_assert_uint_eq(nearest_distance(longest, ""), NEAREST_WORD_MAX);
    ck_assert_uint_eq(nearest_distance(longer, longest), NEAREST_WORD_MAX);
    ck_assert_uint_eq(nearest_distance(longest, longer), NEAREST_WORD_MAX);
}
END_TEST

START_TEST(the_nearest_is_found_or_none)
{
    ck_assert_str_eq(meant("workers"), "workers");
    ck_assert_str_eq(meant("wrokers"), "workers");
    ck_assert_str_eq(meant("MAX_MEMORY"), "max-memory");
    ck_assert_str_eq(meant("loglevel"), "log-level");
    ck_assert_str_eq(meant("hepa"), "heap");
    ck_assert_str_eq(meant("max-mem"), "max-memory");
    /* Three letters of four, or four of eleven: that may be anything. */
    ck_assert_str_eq(meant("h"), "");
    ck_assert_str_eq(meant("help"), "heap");
    ck_assert_str_eq(meant("hxyz"), "");
    ck_assert_str_eq(meant("max-memxxx"), "max-memory");
    ck_assert_str_eq(meant("max-memxxxx"), "");
    ck_assert_str_eq(meant(""), "");
    ck_assert_uint_eq(nearest_of("heap", word_at, words, 0), 0);
}
END_TEST

START_TEST(the_first_of_several_wins)
{
    static const char *const alike[] = {"cat", "bat", "rat"};
    ck_assert_uint_eq(nearest_of("hat", word_at, alike, 3), 0);
    ck_assert_uint_eq(nearest_of("rat", word_at, alike, 3), 2);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("nearest");
    TCase *tcase = suite_case(suite, "nearest", NULL, NULL);
    tcase_add_test(tcase, distances_are_those_of_the_definition);
    tcase_add_test(tcase, long_words_are_near_to_nothing);
    tcase_add_test(tcase, the_nearest_is_found_or_none);
    tcase_add_test(tcase, the_first_of_several_wins);
    return suite_run(suite);
}
