/* SPDX-License-Identifier: BSD-3-Clause */
/* proto/methods.h: the switch finds each line of the list and nothing else; the lists fit each other. */
#include "proto/methods.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/checks.h"
#include "tests/lib/suite.h"

/* The methods of this version, written out a second time: a line lost from the list is a failure here. */
static const char *const contract[] = {
    "hello",   "ping",       "bye",         "methods", "put",     "put_many",    "get",       "set",
    "write",   "seal",       "refs",        "link",    "retain",  "release",     "share",     "claim",
    "unshare", "name",       "lookup",      "unname",  "names",   "store",       "fetch",     "inspect",
    "holders", "scan",       "sessions",    "kill",    "pools",   "pool_create", "pool_drop", "stats",
    "verify",  "gc_collect", "gc_config",   "watch",   "unwatch", "referrers",   "why",       "guard",
    "unguard", "subscribe",  "unsubscribe", "slowlog", "save",    "load",
};

static const char *const contract_later[] = {
    "top", "census", "doctor", "attach", "view", "drain", "config",
};

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

static enum hf_method find(const char *name, size_t size)
{
    /* No byte beyond the name may be read. */
    uint8_t *exact = malloc(size + (size == 0));
    memcpy(exact, name, size);
    enum hf_method method = hfp_method_find(exact, size);
    free(exact);
    return method;
}

START_TEST(list_is_the_contract)
{
    ck_assert_uint_eq(COUNT_OF(contract), HF_METHOD_COUNT - 1);
    for (size_t i = 0; i < COUNT_OF(contract); i++) {
        enum hf_method method = find(contract[i], strlen(contract[i]));
        ck_assert_int_ne(method, HF_METHOD_NONE);
        ck_assert_str_eq(hfp_method_info(method)->name, contract[i]);
    }
}
END_TEST

START_TEST(every_line_is_found_by_its_own_name)
{
    for (int m = 1; m < HF_METHOD_COUNT; m++) {
        const char *name = hfp_method_info((enum hf_method)m)->name;
        ck_assert_int_eq(find(name, strlen(name)), m);
    }
}
END_TEST

static bool is_listed(const char *name, size_t size)
{
    for (size_t i = 0; i < COUNT_OF(contract); i++) {
        if (strlen(contract[i]) == size && memcmp(contract[i], name, size) == 0)
            return true;
    }
    return false;
}

START_TEST(names_that_are_nearly_one_are_none)
{
    for (size_t i = 0; i < COUNT_OF(contract); i++) {
        char near[32];
        size_t size = strlen(contract[i]);
        for (size_t at = 0; at < size; at++) {
            memcpy(near, contract[i], size);
            near[at] ^= 0x20;
            ck_assert_int_eq(find(near, size), HF_METHOD_NONE);
        }
        for (size_t cut = 0; cut < size; cut++)
            ck_assert_int_eq(find(contract[i], cut) != HF_METHOD_NONE, is_listed(contract[i], cut));
        memcpy(near, contract[i], size);
        near[size] = '\0';
        ck_assert_int_eq(find(near, size + 1), HF_METHOD_NONE);
        near[size] = 's';
        ck_assert_int_eq(find(near, size + 1) != HF_METHOD_NONE, is_listed(near, size + 1));
    }
}
END_TEST

START_TEST(info_of_what_is_none_is_empty)
{
    ck_assert_str_eq(hfp_method_info(HF_METHOD_NONE)->name, "");
    ck_assert_str_eq(hfp_method_info(HF_METHOD_COUNT)->name, "");
    ck_assert_str_eq(hfp_method_info((enum hf_method) - 1)->params, "");
}
END_TEST

/* Calls `each` for the words of a list with ", " between them. */
static void for_words(const char *list, void (*each)(const char *word, size_t size, void *context),
                      void *context)
{
    while (*list != '\0') {
        const char *comma = strstr(list, ", ");
        size_t size = comma != NULL ? (size_t)(comma - list) : strlen(list);
        each(list, size, context);
        list += size + (comma != NULL ? 2 : 0);
        ck_assert(comma == NULL || *list != '\0');
    }
}

static void ck_word(const char *word, size_t size, void *marks)
{
    ck_assert_uint_gt(size, 0);
    for (size_t i = 0; i < size; i++) {
        bool letter = (word[i] >= 'a' && word[i] <= 'z') || word[i] == '_';
        bool mark = i + 1 == size && strchr(marks, word[i]) != NULL && word[i] != '\0';
        ck_assert(letter || mark);
    }
}

START_TEST(params_and_options_are_lists_of_words)
{
    char marks[] = "*?";
    char none[] = "";
    for (int m = 1; m < HF_METHOD_COUNT; m++) {
        const struct hf_method_info *info = hfp_method_info((enum hf_method)m);
        for_words(info->params, ck_word, marks);
        for_words(info->options, ck_word, none);
        ck_assert_str_ne(info->since, "");
    }
}
END_TEST

START_TEST(many_is_flagged_where_the_first_param_has_a_star)
{
    for (int m = 1; m < HF_METHOD_COUNT; m++) {
        const struct hf_method_info *info = hfp_method_info((enum hf_method)m);
        size_t first = strcspn(info->params, ",");
        bool star = first > 0 && info->params[first - 1] == '*';
        ck_assert_int_eq((info->flags & HF_M_MANY) != 0, star);
        ck_assert_ptr_null(strchr(info->params + first, '*'));
    }
}
END_TEST

START_TEST(methods_that_only_look_do_not_change)
{
    static const char *const looking[] = {
        "hello",     "ping", "bye",  "methods",  "get",   "refs",  "names",   "fetch",  "inspect", "holders",
        "referrers", "why",  "scan", "sessions", "pools", "stats", "slowlog", "verify", "save"};
    size_t count = 0;
    for (int m = 1; m < HF_METHOD_COUNT; m++)
        count += (hfp_method_info((enum hf_method)m)->flags & HF_M_CHANGES) == 0;
    ck_assert_uint_eq(count, COUNT_OF(looking));
    for (size_t i = 0; i < COUNT_OF(looking); i++)
        ck_assert_int_eq(hfp_method_info(find(looking[i], strlen(looking[i])))->flags & HF_M_CHANGES, 0);
}
END_TEST

START_TEST(methods_of_later_versions_are_none_yet)
{
    for (size_t i = 0; i < COUNT_OF(contract_later); i++) {
        size_t size = strlen(contract_later[i]);
        ck_assert_int_eq(find(contract_later[i], size), HF_METHOD_NONE);
        ck_assert(hfp_method_is_later(contract_later[i], size));
        ck_assert(!hfp_method_is_later(contract_later[i], size - 1));
    }
    for (size_t i = 0; i < COUNT_OF(contract); i++)
        ck_assert(!hfp_method_is_later(contract[i], strlen(contract[i])));
}
END_TEST

static void ck_not_later(const char *word, size_t size, void *method)
{
    ck_assert(!hfp_option_is_later(*(enum hf_method *)method, word, size));
}

START_TEST(options_of_later_versions_are_not_options_yet)
{
    for (int m = 1; m < HF_METHOD_COUNT; m++) {
        enum hf_method method = (enum hf_method)m;
        for_words(hfp_method_info(method)->options, ck_not_later, &method);
    }
    ck_assert(hfp_option_is_later(HF_METHOD_store, "ttl_ms", 6));
    ck_assert(hfp_option_is_later(HF_METHOD_fetch, "wait_ms", 7));
    ck_assert(!hfp_option_is_later(HF_METHOD_fetch, "wait_m", 6));
    ck_assert(!hfp_option_is_later(HF_METHOD_share, "ttl_ms", 6));
    ck_assert(!hfp_option_is_later(HF_METHOD_NONE, "ttl_ms", 6));
    ck_assert(!hfp_option_is_later(HF_METHOD_store, "", 0));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("methods");
    TCase *found = suite_case(suite, "find", NULL, NULL);
    tcase_add_test(found, list_is_the_contract);
    tcase_add_test(found, every_line_is_found_by_its_own_name);
    tcase_add_test(found, names_that_are_nearly_one_are_none);
    TCase *lists = suite_case(suite, "lists", NULL, NULL);
    tcase_add_test(lists, info_of_what_is_none_is_empty);
    tcase_add_test(lists, params_and_options_are_lists_of_words);
    tcase_add_test(lists, many_is_flagged_where_the_first_param_has_a_star);
    tcase_add_test(lists, methods_that_only_look_do_not_change);
    tcase_add_test(lists, methods_of_later_versions_are_none_yet);
    tcase_add_test(lists, options_of_later_versions_are_not_options_yet);
    return suite_run(suite);
}
