/* SPDX-License-Identifier: BSD-3-Clause */
/* daemon/base/mem.h: budgets, those above them, calls that fail when told, and reserves. */
#include "daemon/base/mem.h"
#include "tests/lib/random.h"
#include "tests/lib/suite.h"

#include <string.h>

static struct mem top, middle, leaf, other;

static uint64_t used(struct mem *mem)
{
    return atomic_load_explicit(&mem->used, memory_order_relaxed); /* one thread */
}

static void setup(void)
{
    mem_init(&top, NULL, 100000);
    mem_init(&middle, &top, 60000);
    mem_init(&leaf, &middle, 50000);
    mem_init(&other, &top, 90000);
}

static void teardown(void)
{
    struct mem *all[] = {&top, &middle, &leaf, &other};
    for (size_t k = 0; k < sizeof all / sizeof all[0]; k++) {
        ck_assert_uint_eq(used(all[k]), 0);
        ck_assert_uint_eq(all[k]->private_bytes, 0);
    }
}

START_TEST(a_charge_is_taken_from_every_budget_above)
{
    ck_assert(mem_charge(&leaf, 1000));
    ck_assert(mem_charge(&other, 10));
    ck_assert_uint_eq(used(&leaf), 1000);
    ck_assert_uint_eq(used(&middle), 1000);
    ck_assert_uint_eq(used(&top), 1010);
    mem_uncharge(&leaf, 1000);
    mem_uncharge(&other, 10);
}
END_TEST

START_TEST(a_budget_may_be_used_to_its_last_byte)
{
    ck_assert(mem_charge(&leaf, 50000));
    ck_assert(!mem_charge(&leaf, 1));
    ck_assert(mem_charge(&leaf, 0));
    mem_uncharge(&leaf, 1);
    ck_assert(mem_charge(&leaf, 1));
    mem_uncharge(&leaf, 50000);
}
END_TEST

/* Whichever budget is spent, none of them keeps anything of what failed. */
START_TEST(a_charge_that_fails_takes_nothing)
{
    ck_assert(mem_charge(&middle, 20000));
    ck_assert(!mem_charge(&leaf, 50001)); /* its own */
    ck_assert(!mem_charge(&leaf, 45000)); /* the next */
    ck_assert(mem_charge(&other, 75000));
    ck_assert(!mem_charge(&leaf, 6000)); /* the first of all */
    ck_assert_uint_eq(used(&leaf), 0);
    ck_assert_uint_eq(used(&middle), 20000);
    ck_assert_uint_eq(used(&top), 95000);
    mem_uncharge(&middle, 20000);
    mem_uncharge(&other, 75000);
}
END_TEST

START_TEST(allocations_are_charged_and_given_back)
{
    uint8_t *p = mem_alloc(&leaf, 300);
    ck_assert_ptr_nonnull(p);
    ck_assert_uint_eq(used(&top), 300);
    ck_assert_uint_eq(leaf.private_bytes, 300);
    memset(p, 7, 300);
    p = mem_realloc(&leaf, p, 300, 4000);
    ck_assert_ptr_nonnull(p);
    ck_assert(p[0] == 7 && p[299] == 7);
    ck_assert_uint_eq(used(&leaf), 4000);
    ck_assert_uint_eq(used(&middle), 4000);
    p = mem_realloc(&leaf, p, 4000, 10);
    ck_assert_uint_eq(leaf.private_bytes, 10);
    mem_free(&leaf, p, 10);
    mem_free(&leaf, NULL, 10);
    uint8_t *zeros = mem_zalloc(&leaf, 1000);
    for (size_t k = 0; k < 1000; k++)
        ck_assert_uint_eq(zeros[k], 0);
    mem_free(&leaf, zeros, 1000);
}
END_TEST

START_TEST(an_allocation_that_fails_leaves_the_old_one)
{
    uint8_t *p = mem_alloc(&leaf, 30000);
    p[29999] = 9;
    ck_assert_ptr_null(mem_alloc(&leaf, 20001));
    ck_assert_ptr_null(mem_zalloc(&leaf, 20001));
    /* both blocks exist for a moment, so both are charged */
    ck_assert_ptr_null(mem_realloc(&leaf, p, 30000, 30001));
    ck_assert_uint_eq(p[29999], 9);
    ck_assert_uint_eq(used(&leaf), 30000);
    ck_assert_uint_eq(leaf.private_bytes, 30000);
    mem_free(&leaf, p, 30000);
}
END_TEST

START_TEST(the_call_of_that_number_fails_and_no_other)
{
    leaf.fail_at = leaf.calls + 3;
    void *p[5];
    for (unsigned k = 0; k < 5; k++) {
        p[k] = mem_alloc(&leaf, 100);
        ck_assert_int_eq(p[k] == NULL, k == 2);
    }
    ck_assert_uint_eq(leaf.calls, 5);
    ck_assert_uint_eq(used(&leaf), 400);
    for (unsigned k = 0; k < 5; k++)
        mem_free(&leaf, p[k], 100);
    leaf.fail_at = leaf.calls + 1;
    ck_assert(mem_must_fail(&leaf));
    ck_assert(!mem_must_fail(&leaf));
}
END_TEST

START_TEST(a_reserve_grows_in_place)
{
    struct reserve reserve;
    ck_assert(reserve_init(&reserve, 1ull << 30));
    const uint8_t *base = reserve.base;
    ck_assert_uint_eq(used(&leaf), 0);
    ck_assert(reserve_grow(&reserve, &leaf, 1));
    ck_assert_uint_eq(leaf.private_bytes, reserve.charged);
    ck_assert(reserve.charged >= 1);
    reserve.base[0] = 1;
    uint64_t calls = leaf.calls;
    ck_assert(reserve_grow(&reserve, &leaf, reserve.charged));
    ck_assert_uint_eq(leaf.calls, calls); /* there was room already */
    ck_assert(reserve_grow(&reserve, &leaf, 40000));
    ck_assert_ptr_eq(reserve.base, base);
    ck_assert_uint_eq(reserve.base[0], 1);
    for (size_t k = 1; k < 40000; k++)
        ck_assert_uint_eq(reserve.base[k], 0);
    uint64_t charged = reserve.charged;
    ck_assert(!reserve_grow(&reserve, &leaf, 60000)); /* the budget */
    ck_assert_uint_eq(reserve.charged, charged);
    ck_assert_uint_eq(used(&top), charged);
    reserve_done(&reserve, &leaf);
    ck_assert_ptr_null(reserve.base);
    reserve_done(&reserve, &leaf);
}
END_TEST

START_TEST(a_reserve_ends_at_its_range)
{
    struct reserve reserve;
    ck_assert(reserve_init(&reserve, 5000));
    ck_assert(reserve.size >= 5000);
    ck_assert(reserve_grow(&reserve, &leaf, reserve.size));
    reserve.base[reserve.size - 1] = 1;
    ck_assert(!reserve_grow(&reserve, &leaf, reserve.size + 1));
    reserve_done(&reserve, &leaf);
}
END_TEST

START_TEST(a_reserve_is_trimmed_in_steps)
{
    struct mem mem;
    struct reserve reserve;
    mem_init(&mem, NULL, UINT64_MAX);
    ck_assert(reserve_init(&reserve, 8ull << 20));
    ck_assert(reserve_grow(&reserve, &mem, 2 * RESERVE_TRIM));
    memset(reserve.base, 1, 2 * RESERVE_TRIM);
    reserve_trim(&reserve, &mem, 2 * RESERVE_TRIM - RESERVE_SLACK + 1); /* so little is not worth it */
    ck_assert_uint_eq(mem.private_bytes, 2 * RESERVE_TRIM);
    reserve_trim(&reserve, &mem, 10000);
    ck_assert_uint_eq(mem.private_bytes, RESERVE_TRIM);
    reserve_trim(&reserve, &mem, 10000);
    ck_assert_uint_eq(mem.private_bytes, 3 * MEM_PAGE);
    ck_assert_uint_eq(reserve.base[9999], 1);
    ck_assert(reserve_grow(&reserve, &mem, RESERVE_TRIM));
    ck_assert_uint_eq(reserve.base[3 * MEM_PAGE], 0);
    reserve_done(&reserve, &mem);
    ck_assert_uint_eq(mem.private_bytes, 0);
}
END_TEST

START_TEST(a_reserve_in_pieces_is_charged_and_cleared_by_piece)
{
    struct reserve reserve;
    ck_assert(reserve_init(&reserve, 64 * MEM_PAGE));
    for (unsigned k = 0; k < 3; k++) {
        ck_assert(reserve_take(&reserve, &leaf, MEM_PAGE));
        reserve.base[(10 + 7 * k) * MEM_PAGE] = 1;
    }
    ck_assert_uint_eq(leaf.private_bytes, 3 * MEM_PAGE);
    leaf.fail_at = leaf.calls + 1;
    ck_assert(!reserve_take(&reserve, &leaf, MEM_PAGE));
    ck_assert_uint_eq(used(&top), 3 * MEM_PAGE);
    reserve_give(&reserve, &leaf, 17 * MEM_PAGE, MEM_PAGE);
    ck_assert_uint_eq(used(&top), 2 * MEM_PAGE);
    ck_assert_uint_eq(reserve.base[10 * MEM_PAGE], 1);
    ck_assert_uint_eq(reserve.base[17 * MEM_PAGE], 0);
    ck_assert_uint_eq(reserve.base[24 * MEM_PAGE], 1);
    reserve_done(&reserve, &leaf);
    ck_assert_uint_eq(leaf.private_bytes, 0);
}
END_TEST

/* Random charges by three budgets against plain sums. */
START_TEST(sums_agree_with_a_model)
{
    struct random random = {.state = 11};
    struct mem *at[3] = {&middle, &leaf, &other};
    uint64_t has[3] = {0};
    unsigned refused = 0;
    for (unsigned k = 0; k < 20000; k++) {
        unsigned n = (unsigned)random_below(&random, 3);
        uint64_t bytes = random_below(&random, 20000);
        if (random_once_in(&random, 2)) {
            bytes = bytes < has[n] ? bytes : has[n];
            mem_uncharge(at[n], bytes);
            has[n] -= bytes;
            continue;
        }
        bool fits = has[0] + has[1] + has[2] + bytes <= 100000 &&
                    (n == 2 ? has[2] + bytes <= 90000 : has[0] + has[1] + bytes <= 60000) &&
                    (n != 1 || has[1] + bytes <= 50000);
        ck_assert_int_eq(mem_charge(at[n], bytes), fits);
        has[n] += fits ? bytes : 0;
        refused += !fits;
        ck_assert_uint_eq(used(&top), has[0] + has[1] + has[2]);
        ck_assert_uint_eq(used(&middle), has[0] + has[1]);
        ck_assert_uint_eq(used(&leaf), has[1]);
    }
    ck_assert_uint_gt(refused, 100);
    for (unsigned n = 0; n < 3; n++)
        mem_uncharge(at[n], has[n]);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("mem");
    TCase *tc = suite_case(suite, "mem", setup, teardown);
    tcase_add_test(tc, a_charge_is_taken_from_every_budget_above);
    tcase_add_test(tc, a_budget_may_be_used_to_its_last_byte);
    tcase_add_test(tc, a_charge_that_fails_takes_nothing);
    tcase_add_test(tc, allocations_are_charged_and_given_back);
    tcase_add_test(tc, an_allocation_that_fails_leaves_the_old_one);
    tcase_add_test(tc, the_call_of_that_number_fails_and_no_other);
    tcase_add_test(tc, a_reserve_grows_in_place);
    tcase_add_test(tc, a_reserve_ends_at_its_range);
    tcase_add_test(tc, a_reserve_is_trimmed_in_steps);
    tcase_add_test(tc, a_reserve_in_pieces_is_charged_and_cleared_by_piece);
    tcase_add_test(tc, sums_agree_with_a_model);
    return suite_run(suite);
}
