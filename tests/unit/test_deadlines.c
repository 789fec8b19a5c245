/* SPDX-License-Identifier: BSD-3-Clause */
/* daemon/base/deadlines.h: the earliest first, every key told its place, against a plain array. */
#include "daemon/base/deadlines.h"
#include "tests/lib/random.h"
#include "tests/lib/suite.h"

#define KEYS 500u

static struct mem mem;
static struct deadlines deadlines;
static uint32_t place[KEYS];
static uint64_t at[KEYS]; /* 0: not in it */

static void placed(void *owner, uint32_t key, uint32_t now)
{
    ck_assert_ptr_eq(owner, &deadlines);
    ck_assert_uint_lt(key, KEYS);
    place[key] = now;
}

static void setup(void)
{
    mem_init(&mem, NULL, UINT64_MAX);
    ck_assert(deadlines_init(&deadlines, &mem, KEYS, &deadlines, placed));
    for (unsigned k = 0; k < KEYS; k++) {
        place[k] = DEADLINE_NONE;
        at[k] = 0;
    }
}

static void teardown(void)
{
    deadlines_done(&deadlines);
    ck_assert_uint_eq(mem.private_bytes, 0);
}

static void add(uint32_t key, uint64_t when)
{
    ck_assert(deadlines_prepare(&deadlines, deadlines.count + 1ull));
    deadlines_add(&deadlines, when, key);
    at[key] = when;
}

static void remove_key(uint32_t key)
{
    deadlines_remove(&deadlines, place[key]);
    ck_assert_uint_eq(place[key], DEADLINE_NONE);
    at[key] = 0;
}

/* The first is one of the earliest, and each key is where it was told. */
static void check_all(void)
{
    uint64_t earliest = UINT64_MAX;
    uint32_t count = 0;
    const struct deadline *first = deadlines_first(&deadlines);
    for (uint32_t k = 0; k < KEYS; k++) {
        if (at[k] == 0) {
            ck_assert_uint_eq(place[k], DEADLINE_NONE);
            continue;
        }
        count++;
        earliest = at[k] < earliest ? at[k] : earliest;
        ck_assert_uint_lt(place[k], deadlines.count);
        const struct deadline *entry = (const struct deadline *)(const void *)deadlines.store.base + place[k];
        ck_assert_uint_eq(entry->key, k);
        ck_assert_uint_eq(entry->at, at[k]);
    }
    ck_assert_uint_eq(deadlines.count, count);
    if (count == 0)
        ck_assert_ptr_null(first);
    else
        ck_assert_uint_eq(first->at, earliest);
}

START_TEST(none_is_due_when_there_is_none)
{
    ck_assert_ptr_null(deadlines_first(&deadlines));
    add(3, 77);
    ck_assert_uint_eq(deadlines_first(&deadlines)->key, 3);
    remove_key(3);
    check_all();
}
END_TEST

START_TEST(they_come_in_order)
{
    struct random random = {.state = 5};
    for (uint32_t k = 0; k < KEYS; k++)
        add(k, random_between(&random, 1, 300)); /* many at the same time */
    check_all();
    uint64_t before = 0;
    for (uint32_t k = 0; k < KEYS; k++) {
        const struct deadline *first = deadlines_first(&deadlines);
        ck_assert_uint_ge(first->at, before);
        before = first->at;
        remove_key(first->key);
    }
    ck_assert_ptr_null(deadlines_first(&deadlines));
}
END_TEST

/* Rising, falling, equal: the shapes in which a heap goes wrong at its ends. */
START_TEST(any_place_may_be_removed)
{
    for (unsigned shape = 0; shape < 3; shape++) {
        for (uint32_t victim = 0; victim < 60; victim++) {
            for (uint32_t k = 0; k < 60; k++)
                add(k, shape == 0 ? k + 1 : shape == 1 ? 100 - k : 9);
            remove_key(victim);
            check_all();
            for (uint32_t k = 0; k < 60; k++)
                if (at[k] != 0)
                    remove_key(k);
            check_all();
        }
    }
}
END_TEST

START_TEST(they_agree_with_an_array)
{
    struct random random = {.state = 23};
    for (unsigned k = 0; k < 30000; k++) {
        uint32_t key = (uint32_t)random_below(&random, KEYS);
        if (at[key] != 0)
            remove_key(key);
        if (random_below(&random, 10000) >= k % 10000)
            add(key, random_once_in(&random, 50) ? UINT64_MAX : random_between(&random, 1, 1000000));
        if (k % 16 == 0)
            check_all();
    }
    check_all();
}
END_TEST

START_TEST(room_is_made_before_and_may_fail)
{
    mem.fail_at = mem.calls + 1;
    ck_assert(!deadlines_prepare(&deadlines, deadlines.count + 1ull));
    mem.fail_at = 0;
    for (uint32_t k = 0; k < 300; k++)
        add(k, 1000 - k);
    mem.limit = mem.private_bytes;
    uint32_t more = 0;
    while (300 + more < KEYS && deadlines_prepare(&deadlines, deadlines.count + 1ull)) {
        add(300 + more, 5000 + more);
        more++;
    }
    check_all();
    mem.limit = UINT64_MAX;
    while (300 + more < KEYS) {
        add(300 + more, 1 + more);
        more++;
    }
    check_all();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("deadlines");
    TCase *tc = suite_case(suite, "deadlines", setup, teardown);
    tcase_add_test(tc, none_is_due_when_there_is_none);
    tcase_add_test(tc, they_come_in_order);
    tcase_add_test(tc, any_place_may_be_removed);
    tcase_add_test(tc, they_agree_with_an_array);
    tcase_add_test(tc, room_is_made_before_and_may_fail);
    return suite_run(suite);
}
