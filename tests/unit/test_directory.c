/* SPDX-License-Identifier: BSD-3-Clause */
/* daemon/server/directory.c: names and numbers of pools, and which worker has them. */
#include "daemon/server/worker.h"
#include "tests/lib/suite.h"

#include <stdio.h>
#include <string.h>

#define WORKERS 3u

static struct server *server;
static char error[CALL_ERROR_MAX];

static void setup(void)
{
    server = aligned_alloc(CACHE_LINE, bits_round_up(sizeof *server, CACHE_LINE));
    ck_assert_ptr_nonnull(server);
    memset(server, 0, sizeof *server);
    mem_init(&server->mem, NULL, UINT64_MAX);
    ck_assert_int_eq(directory_open(&server->directory), 0);
    for (unsigned i = 0; i < WORKERS; i++) {
        server->workers[i] = calloc(1, sizeof *server->workers[i]);
        ck_assert_ptr_nonnull(server->workers[i]);
        server->workers[i]->index = i;
    }
    server->workers_count = WORKERS;
}

static void teardown(void)
{
    directory_close(server);
    ck_assert_uint_eq(atomic_load(&server->mem.used), 0);
    for (unsigned i = 0; i < WORKERS; i++)
        free(server->workers[i]);
    free(server);
}

static struct place make(const char *name)
{
    struct place place;
    ck_assert_int_eq(directory_reserve(server, name, &place), 0);
    directory_ready(server, place.number);
    return place;
}

static bool find(const char *name, struct place *ret)
{
    return server_place(server, (const uint8_t *)name, (uint32_t)strlen(name), ret);
}

START_TEST(a_reserved_name_is_taken_but_not_found_before_it_is_ready)
{
    struct place place, found;
    ck_assert_int_eq(directory_reserve(server, "a", &place), 0);
    ck_assert(!find("a", &found));
    ck_assert(!server_place_numbered(server, place.number, &found));
    ck_assert_int_eq(directory_reserve(server, "a", &found), -HF_E_EXISTS);
    directory_ready(server, place.number);
    ck_assert(find("a", &found));
    ck_assert_ptr_eq(found.worker, place.worker);
    ck_assert_uint_eq(found.number, place.number);
    ck_assert(server_place_numbered(server, place.number, &found));
    ck_assert_ptr_eq(found.worker, place.worker);
}
END_TEST

START_TEST(a_name_is_found_as_a_whole_only)
{
    struct place found;
    make("abc");
    ck_assert(!find("ab", &found));
    ck_assert(!find("abcd", &found));
    ck_assert(!find("", &found));
    ck_assert(find("abc", &found));
    char longest[HF_POOL_NAME_MAX + 2];
    memset(longest, 'x', sizeof longest);
    longest[HF_POOL_NAME_MAX] = '\0';
    make(longest);
    ck_assert(find(longest, &found));
    ck_assert(!server_place(server, (const uint8_t *)longest, HF_POOL_NAME_MAX + 1, &found));
}
END_TEST

START_TEST(pools_go_to_the_worker_with_the_fewest)
{
    char name[16];
    unsigned counts[WORKERS] = {0};
    struct place places[2 * WORKERS];
    for (unsigned i = 0; i < 2 * WORKERS; i++) {
        snprintf(name, sizeof name, "p%u", i);
        places[i] = make(name);
        counts[places[i].worker->index]++;
    }
    for (unsigned i = 0; i < WORKERS; i++)
        ck_assert_uint_eq(counts[i], 2);
    directory_remove(server, places[4].number);
    ck_assert_ptr_eq(make("next").worker, places[4].worker);
}
END_TEST

START_TEST(a_removed_name_is_free_and_its_number_leads_nowhere)
{
    struct place first = make("a"), found;
    make("b");
    directory_remove(server, first.number);
    ck_assert(!find("a", &found));
    ck_assert(!server_place_numbered(server, first.number, &found));
    ck_assert(find("b", &found));
    ck_assert_uint_ne(make("a").number, first.number);
}
END_TEST

START_TEST(numbers_begin_again_without_those_in_use)
{
    struct place found;
    uint32_t first = make("a").number, second = make("b").number;
    server->directory.next_number = (1u << PLACE_NUMBER_BITS) - 1;
    ck_assert_uint_eq(make("last").number, (1u << PLACE_NUMBER_BITS) - 1);
    uint32_t wrapped = make("wrapped").number;
    ck_assert_uint_ne(wrapped, first);
    ck_assert_uint_ne(wrapped, second);
    ck_assert(!server_place_numbered(server, 1ull << PLACE_NUMBER_BITS, &found));
    ck_assert(!server_place_numbered(server, (1ull << 32) + first, &found));
}
END_TEST

START_TEST(a_recovered_pool_keeps_its_number_if_no_other_has_it)
{
    struct place place;
    ck_assert_int_eq(directory_reserve_number(server, "a", 7, &place), 0);
    ck_assert_uint_eq(place.number, 7);
    ck_assert_int_eq(directory_reserve_number(server, "b", 3, &place), 0);
    ck_assert_uint_eq(place.number, 3);
    ck_assert_int_eq(directory_reserve_number(server, "c", 7, &place), 0);
    ck_assert_uint_eq(place.number, 8);
    ck_assert_int_eq(directory_reserve_number(server, "d", 1u << PLACE_NUMBER_BITS, &place), 0);
    ck_assert_uint_eq(place.number, 9);
    ck_assert_int_eq(directory_reserve_number(server, "a", 20, &place), -HF_E_EXISTS);
    directory_ready(server, 3);
    directory_remove(server, 3);
    ck_assert_uint_eq(make("e").number, 10); /* not one that was in use a moment ago */
}
END_TEST

/* Connections begin there. */
START_TEST(default_is_at_the_first_worker)
{
    make("a");
    make("b");
    ck_assert_ptr_eq(make(POOL_DEFAULT).worker, server->workers[0]);
}
END_TEST

START_TEST(only_a_place_that_is_not_ready_is_given_up)
{
    struct call call = {.server = server, .error = error};
    struct place place, found;
    ck_assert_int_eq(server_reserve(&call, (const uint8_t *)"a", 1, &place), 0);
    ck_assert_int_eq(server_reserve(&call, (const uint8_t *)"a", 1, &found), -HF_E_EXISTS);
    server_unreserve(&call, place.number);
    server_unreserve(&call, place.number);
    place = make("a");
    server_unreserve(&call, place.number);
    ck_assert(find("a", &found));
}
END_TEST

START_TEST(there_is_a_limit_and_an_end_of_memory)
{
    struct place place;
    char name[16];
    for (unsigned i = 0; i < HF_POOLS_MAX; i++) {
        snprintf(name, sizeof name, "p%u", i);
        make(name);
    }
    ck_assert_int_eq(directory_reserve(server, "one-more", &place), -HF_E_LIMIT);
    uint32_t number = server->directory.rows[500].number;
    directory_remove(server, number);
    make("one-more");
}
END_TEST

START_TEST(without_memory_nothing_is_reserved)
{
    struct place place;
    mem_set_limit(&server->mem, 0);
    ck_assert_int_eq(directory_reserve(server, "a", &place), -HF_E_OOM);
    mem_set_limit(&server->mem, UINT64_MAX);
    make("a");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("directory");
    TCase *tcase = suite_case(suite, "directory", setup, teardown);
    tcase_add_test(tcase, a_reserved_name_is_taken_but_not_found_before_it_is_ready);
    tcase_add_test(tcase, a_name_is_found_as_a_whole_only);
    tcase_add_test(tcase, pools_go_to_the_worker_with_the_fewest);
    tcase_add_test(tcase, a_removed_name_is_free_and_its_number_leads_nowhere);
    tcase_add_test(tcase, numbers_begin_again_without_those_in_use);
    tcase_add_test(tcase, a_recovered_pool_keeps_its_number_if_no_other_has_it);
    tcase_add_test(tcase, default_is_at_the_first_worker);
    tcase_add_test(tcase, only_a_place_that_is_not_ready_is_given_up);
    tcase_add_test(tcase, there_is_a_limit_and_an_end_of_memory);
    tcase_add_test(tcase, without_memory_nothing_is_reserved);
    return suite_run(suite);
}
