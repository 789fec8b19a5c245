/* SPDX-License-Identifier: BSD-3-Clause */
/* Referrers and why: what they find, in steps of any size, beside changes, with long lists and long chains. */
#include "daemon/pool/internal.h"
#include "tests/lib/pool_fixture.h"
#include "tests/lib/suite.h"

static struct fixture fx;
static struct why_result answer;

static void setup(void)
{
    fixture_open(&fx);
}

static void teardown(void)
{
    (void)verify_ok(&fx);
    fixture_close(&fx);
}

static void link_to(uint64_t from, uint64_t slot, uint64_t to)
{
    uint64_t previous;
    ck_assert_int_eq(pool_link(fx.pool, from, slot, to, &previous), 0);
}

/* ---- referrers ---- */

/* One page; the steps have `units` units. */
static void find(struct referrers *search, unsigned units)
{
    int r;
    while ((r = pool_referrers_step(fx.pool, search, units)) == 0) {
    }
    ck_assert_int_eq(r, 1);
}

START_TEST(referrers_are_told_once_each)
{
    uint64_t target = put_leaf(&fx, fx.a), refs[3] = {target, 0, target};
    uint64_t one = put_refs(&fx, fx.a, &target, 1), three = put_refs(&fx, fx.a, refs, 3);
    (void)put_refs(&fx, fx.a, &one, 1);
    for (unsigned units = 1; units < 6; units++) {
        struct referrers search = {.id = target, .max = HF_IDS_MAX};
        find(&search, units);
        ck_assert_uint_eq(search.count, 2);
        ck_assert_uint_eq(search.ids[0], one);
        ck_assert_uint_eq(search.ids[1], three);
        ck_assert_uint_eq(search.cursor, 0);
    }
}
END_TEST

START_TEST(referrers_are_told_in_pages)
{
    uint64_t target = put_leaf(&fx, fx.a), ids[10], told = 0;
    for (unsigned k = 0; k < 10; k++)
        ids[k] = put_refs(&fx, fx.a, &target, 1);
    struct referrers search = {.id = target, .max = 3};
    do {
        find(&search, 2);
        for (unsigned k = 0; k < search.count; k++)
            ck_assert_uint_eq(search.ids[k], ids[told++]);
        search = (struct referrers){
            .id = target, .max = 3, .at = (uint32_t)search.cursor, .cursor = search.cursor};
    } while (search.cursor != 0);
    ck_assert_uint_eq(told, 10);
}
END_TEST

START_TEST(a_long_list_is_looked_at_in_steps)
{
    static uint64_t refs[8000];
    uint64_t target = put_leaf(&fx, fx.a);
    refs[7999] = target;
    uint64_t list = put_refs(&fx, fx.a, refs, 8000), before = pool_work(fx.pool);
    struct referrers search = {.id = target, .max = 1};
    ck_assert_int_eq(pool_referrers_step(fx.pool, &search, 1000), 0);
    ck_assert_uint_le(pool_work(fx.pool) - before, 1000);
    find(&search, 1000);
    ck_assert_uint_eq(search.ids[0], list);
}
END_TEST

START_TEST(an_object_that_dies_is_gone_for_a_search)
{
    uint64_t target = put_leaf(&fx, fx.a), holder = put_refs(&fx, fx.a, &target, 1);
    struct referrers search = {.id = target, .max = 1};
    struct why *why = pool_why_new(fx.pool, target);
    (void)release_one(&fx, fx.a, target);
    ck_assert_int_eq(pool_why_step(why, 1, &answer), 0);
    (void)release_one(&fx, fx.a, holder);
    drain(&fx);
    ck_assert_int_eq(pool_referrers_step(fx.pool, &search, 1), -HF_E_GONE);
    ck_assert_int_eq(pool_why_step(why, 1, &answer), -HF_E_GONE);
    pool_why_free(why);
}
END_TEST

/* ---- why ---- */

static int why_in_steps(uint64_t id, unsigned units)
{
    int r;
    struct why *why = pool_why_new(fx.pool, id);
    ck_assert_ptr_nonnull(why);
    while ((r = pool_why_step(why, units, &answer)) == 0) {
    }
    pool_why_free(why);
    return r;
}

START_TEST(what_is_held_needs_no_chain)
{
    uint64_t id = put_leaf(&fx, fx.a);
    ck_assert_int_eq(why_in_steps(id, 1), 1);
    ck_assert(answer.is_held);
    ck_assert_int_eq(answer.holder.kind, HOLDER_SESSION);
    ck_assert_uint_eq(answer.length, 1);
    ck_assert_uint_eq(answer.count, 1);
    ck_assert_uint_eq(answer.ids[0], id);
}
END_TEST

/* Of two chains the shorter one, whatever the sizes of the steps. */
START_TEST(the_shortest_chain_is_found)
{
    uint64_t head = chain_of(&fx, fx.a, 50), refs[2], id = head, named;
    for (unsigned k = 0; k < 49; k++) {
        struct hot *hot = pool_find(fx.pool, id);
        ck_assert_ptr_nonnull(hot);
        id = heap_id(&fx.pool->heap, slots_get(&fx.pool->heap, id_index(id), 0));
    }
    for (unsigned units = 1; units < 200; units += 7) {
        ck_assert_int_eq(why_in_steps(id, units), 1);
        ck_assert_uint_eq(answer.length, 50);
        ck_assert_uint_eq(answer.ids[0], head);
        ck_assert_uint_eq(answer.ids[49], id);
    }
    refs[0] = 0;
    refs[1] = id;
    named = put_refs(&fx, fx.a, refs, 2);
    (void)bind_name(&fx, "short", named);
    (void)release_one(&fx, fx.a, named);
    ck_assert_int_eq(why_in_steps(id, 3), 1);
    ck_assert_int_eq(answer.holder.kind, HOLDER_NAME);
    ck_assert_uint_eq(answer.length, 2);
    ck_assert_uint_eq(answer.ids[0], named);
    ck_assert_uint_eq(answer.ids[1], id);
}
END_TEST

START_TEST(of_a_long_chain_both_ends_are_told)
{
    uint64_t head = chain_of(&fx, fx.a, 5000), id = head;
    for (unsigned k = 0; k < 4999; k++)
        id = heap_id(&fx.pool->heap, slots_get(&fx.pool->heap, id_index(id), 0));
    ck_assert_int_eq(why_in_steps(id, 1000), 1);
    ck_assert_uint_eq(answer.length, 5000);
    ck_assert_uint_eq(answer.count, POOL_CHAIN_MOST);
    ck_assert_uint_eq(answer.ids[0], head);
    ck_assert_uint_eq(answer.ids[POOL_CHAIN_MOST - 1], id);
    for (unsigned k = 0; k + 1 < POOL_CHAIN_MOST; k++) {
        uint64_t next = heap_id(&fx.pool->heap, slots_get(&fx.pool->heap, id_index(answer.ids[k]), 0));
        ck_assert_int_eq(next == answer.ids[k + 1], k != POOL_CHAIN_MOST / 2 - 1);
    }
}
END_TEST

START_TEST(only_a_cycle_keeps_it)
{
    uint64_t a = put_leaf(&fx, fx.a), b = put_leaf(&fx, fx.a);
    link_to(a, 0, b);
    link_to(b, 0, a);
    ck_assert_int_eq(why_in_steps(a, 5), 1);
    ck_assert(answer.is_held);
    (void)release_one(&fx, fx.a, a);
    (void)release_one(&fx, fx.a, b);
    ck_assert_int_eq(why_in_steps(a, 5), 1);
    ck_assert(!answer.is_held);
}
END_TEST

/* The only chain is cut after it was found and before it is told: the search begins anew, and finds the other one. */
START_TEST(a_chain_that_is_cut_is_not_told)
{
    uint64_t id = put_leaf(&fx, fx.a), one = put_refs(&fx, fx.a, &id, 1);
    uint64_t two = put_refs(&fx, fx.a, &one, 1), other;
    (void)release_one(&fx, fx.a, id);
    (void)release_one(&fx, fx.a, one);
    struct why *why = pool_why_new(fx.pool, id);
    uint64_t work = pool_work(fx.pool);
    ck_assert_int_eq(pool_why_step(why, 6, &answer), 0);
    ck_assert_uint_le(pool_work(fx.pool) - work, 6);
    other = put_refs(&fx, fx.a, &id, 1);
    link_to(two, 0, 0);
    drain(&fx);
    while (pool_why_step(why, 1, &answer) == 0) {
    }
    ck_assert(answer.is_held);
    ck_assert_uint_eq(answer.length, 2);
    ck_assert_uint_eq(answer.ids[0], other);
    pool_why_free(why);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pool_search");
    TCase *referrers = suite_case(suite, "referrers", setup, teardown);
    tcase_add_test(referrers, referrers_are_told_once_each);
    tcase_add_test(referrers, referrers_are_told_in_pages);
    tcase_add_test(referrers, a_long_list_is_looked_at_in_steps);
    tcase_add_test(referrers, an_object_that_dies_is_gone_for_a_search);
    TCase *why = suite_case(suite, "why", setup, teardown);
    tcase_add_test(why, what_is_held_needs_no_chain);
    tcase_add_test(why, the_shortest_chain_is_found);
    tcase_add_test(why, of_a_long_chain_both_ends_are_told);
    tcase_add_test(why, only_a_cycle_keeps_it);
    tcase_add_test(why, a_chain_that_is_cut_is_not_told);
    return suite_run(suite);
}
