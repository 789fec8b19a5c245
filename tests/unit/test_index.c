/* SPDX-License-Identifier: BSD-3-Clause */
/* daemon/base/index.h: a linear hash against a naive map, with good hashes and with terrible ones. */
#include "daemon/base/bits.h"
#include "daemon/base/index.h"
#include "tests/lib/random.h"
#include "tests/lib/suite.h"

#define VALUES 20000u

/* The key of a value is a number; how it is hashed is the test's choice. */
enum hashing { GOOD, TERRIBLE, FEW, ONE_TAG };

static struct mem mem;
static struct index table;
static uint64_t key_of[VALUES + 1];
static bool in[VALUES + 1];
static enum hashing hashing;

static uint64_t hash_key(uint64_t key)
{
    switch (hashing) {
    case TERRIBLE: return 0x4242424242424242ull;                /* one chain of all */
    case FEW: return bits_mix(key % 7);                         /* seven chains */
    case ONE_TAG: return bits_mix(key) & 0x00ffffffffffffffull; /* candidates must be compared */
    case GOOD: break;
    }
    return bits_mix(key);
}

static uint64_t hash_of(const void *owner, uint32_t value)
{
    ck_assert_ptr_eq(owner, &table);
    ck_assert(value >= 1 && value <= VALUES);
    return hash_key(key_of[value]);
}

static bool same(const void *owner, uint32_t value, const void *key)
{
    (void)owner;
    return key_of[value] == *(const uint64_t *)key;
}

static void open_table(enum hashing how)
{
    hashing = how;
    ck_assert(index_init(&table, &mem, VALUES, &table, hash_of, same));
    for (uint32_t value = 1; value <= VALUES; value++) {
        key_of[value] = value * 1000003ull;
        in[value] = false;
    }
}

static void setup(void)
{
    mem_init(&mem, NULL, UINT64_MAX);
}

static void teardown(void)
{
    index_done(&table);
    ck_assert_uint_eq(mem.private_bytes, 0);
}

static uint32_t find(uint64_t key)
{
    index_prefetch(&table, hash_key(key));
    return index_find(&table, hash_key(key), &key);
}

static void insert(uint32_t value)
{
    ck_assert(index_prepare(&table));
    index_insert(&table, hash_key(key_of[value]), value);
    in[value] = true;
}

static void drop(uint32_t value)
{
    index_remove(&table, hash_key(key_of[value]), value);
    in[value] = false;
}

static void check_all(uint32_t end)
{
    uint64_t count = 0;
    for (uint32_t value = 1; value <= end; value++) {
        ck_assert_uint_eq(find(key_of[value]), in[value] ? value : 0);
        count += in[value];
    }
    ck_assert_uint_eq(table.count, count);
}

/* header's invariants: all full places of a chain before the first empty one, no empty bucket but a first. */
static void check_chains(void)
{
    const struct index_bucket *home = (const void *)table.home.base,
                              *overflow = (const void *)table.overflow.base;
    uint64_t count = 0;
    for (uint32_t n = 0; n < table.buckets; n++) {
        bool ended = false;
        for (const struct index_bucket *bucket = &home[n];; bucket = &overflow[bucket->next - 1]) {
            for (unsigned k = 0; k < INDEX_SLOTS; k++) {
                ck_assert(!ended || bucket->value[k] == 0);
                ended = bucket->value[k] == 0;
                count += bucket->value[k] != 0;
            }
            ck_assert(bucket == &home[n] || bucket->value[0] != 0);
            if (bucket->next == 0)
                break;
        }
    }
    ck_assert_uint_eq(count, table.count);
}

START_TEST(an_empty_one_finds_nothing)
{
    open_table(GOOD);
    ck_assert_uint_eq(find(5), 0);
    insert(7);
    ck_assert_uint_eq(find(key_of[7]), 7);
    ck_assert_uint_eq(find(key_of[8]), 0);
    drop(7);
    ck_assert_uint_eq(find(key_of[7]), 0);
}
END_TEST

START_TEST(it_grows_by_one_bucket_at_a_time)
{
    open_table(GOOD);
    for (uint32_t value = 1; value <= VALUES; value++) {
        uint32_t buckets = table.buckets;
        insert(value);
        ck_assert_uint_le(table.buckets, buckets + 1);
        ck_assert_uint_eq(find(key_of[value]), value);
    }
    ck_assert_uint_ge((uint64_t)table.buckets * INDEX_SLOTS, VALUES);
    /* with a good hash few buckets are too small */
    ck_assert_uint_lt(table.overflow_used, table.buckets / 3);
    check_all(VALUES);
    check_chains();
}
END_TEST

/* As it came, and down to what it was. */
START_TEST(it_shrinks_by_one_bucket_at_a_time)
{
    open_table(GOOD);
    uint64_t begun = mem.private_bytes;
    uint32_t first = table.buckets;
    for (unsigned round = 0; round < 3; round++) {
        for (uint32_t value = 1; value <= VALUES; value++)
            insert(value);
        uint64_t most = mem.private_bytes;
        ck_assert_uint_gt(most, begun + 100000);
        for (uint32_t value = 1; value <= VALUES; value++) {
            uint32_t buckets = table.buckets;
            drop(value);
            ck_assert_uint_ge(table.buckets + 1, buckets);
            if (value == VALUES / 2) /* not yet: what has just been removed may come back */
                ck_assert_uint_eq(mem.private_bytes, most);
            if (value % 1000 == 0) {
                check_all(VALUES);
                check_chains();
            }
        }
        ck_assert_uint_eq(table.buckets, first);
        ck_assert_uint_le(mem.private_bytes, begun + 2 * RESERVE_SLACK);
    }
}
END_TEST

/* One that comes and goes at either border neither grows nor shrinks it each time. */
START_TEST(it_does_not_flap)
{
    open_table(GOOD);
    uint32_t value = 1;
    for (; value <= 5000; value++)
        insert(value);
    for (uint32_t buckets = table.buckets; value > 1; buckets = table.buckets) {
        while (value > 1 && table.buckets == buckets)
            drop(--value);
        buckets = table.buckets;
        for (unsigned k = 0; k < 10; k++) {
            insert(value);
            ck_assert_uint_eq(table.buckets, buckets);
            drop(value);
            ck_assert_uint_ge(table.buckets + 1, buckets);
            buckets = table.buckets;
        }
    }
    check_chains();
}
END_TEST

START_TEST(it_agrees_with_a_map)
{
    struct random random = {.state = 29};
    open_table((enum hashing)_i);
    uint32_t end =
        hashing == GOOD || hashing == ONE_TAG ? 5000 : 300; /* one chain is searched from its start */
    for (unsigned k = 0; k < 60000; k++) {
        uint32_t value = (uint32_t)random_between(&random, 1, end);
        ck_assert_uint_eq(find(key_of[value]), in[value] ? value : 0);
        if (in[value])
            drop(value);
        else if (random_below(&random, 60000) > k)
            insert(value);
        if (k % 10000 == 0) {
            check_all(end);
            check_chains();
        }
    }
    check_all(end);
    for (uint32_t value = 1; value <= end; value++)
        if (in[value])
            drop(value);
    check_all(end);
    check_chains();
}
END_TEST

START_TEST(removing_in_any_order_from_one_long_chain)
{
    open_table(TERRIBLE);
    for (uint32_t step = 1; step < 200; step += 2) {
        for (uint32_t value = 1; value <= 200; value++)
            insert(value);
        check_all(200);
        for (uint32_t k = 0, value = 0; k < 200; k++) {
            do
                value = value % 200 + 1; /* every step-th of those left */
            while (!in[value]);
            for (uint32_t skip = 1; skip < step % 7; skip++)
                do
                    value = value % 200 + 1;
                while (!in[value]);
            drop(value);
        }
        check_all(200);
        check_chains();
    }
    /* overflow buckets are used again */
    ck_assert_uint_le(table.overflow_used, 2 * 200 / INDEX_SLOTS + 4);
}
END_TEST

/* Growth of either part may fail at any call: then chains are longer, and nothing is lost. */
START_TEST(memory_that_fails_loses_nothing)
{
    for (uint64_t fail_at = 1; fail_at < 60; fail_at++) {
        open_table(fail_at % 2 == 0 ? GOOD : FEW);
        mem.fail_at = mem.calls + fail_at;
        unsigned refused = 0;
        for (uint32_t value = 1; value <= 700; value++) {
            if (!index_prepare(&table)) {
                refused++;
                ck_assert(index_prepare(&table));
            }
            index_insert(&table, hash_key(key_of[value]), value);
            in[value] = true;
        }
        mem.fail_at = 0;
        ck_assert_uint_le(refused, 1);
        check_all(700);
        check_chains();
        index_done(&table);
        ck_assert_uint_eq(mem.private_bytes, 0);
    }
}
END_TEST

START_TEST(a_spent_budget_is_told_before_the_insert)
{
    open_table(GOOD);
    uint32_t value = 1;
    mem.limit = mem.private_bytes + 3 * 4096;
    for (; value <= VALUES && index_prepare(&table); value++) {
        index_insert(&table, hash_key(key_of[value]), value);
        in[value] = true;
    }
    ck_assert_uint_lt(value, VALUES);
    check_all(VALUES);
    check_chains();
    mem.limit = UINT64_MAX;
    for (; value <= VALUES; value++)
        insert(value);
    check_all(VALUES);
    check_chains();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("index");
    TCase *tc = suite_case(suite, "index", setup, teardown);
    tcase_add_test(tc, an_empty_one_finds_nothing);
    tcase_add_test(tc, it_grows_by_one_bucket_at_a_time);
    tcase_add_test(tc, it_shrinks_by_one_bucket_at_a_time);
    tcase_add_test(tc, it_does_not_flap);
    tcase_add_loop_test(tc, it_agrees_with_a_map, GOOD, ONE_TAG + 1);
    tcase_add_test(tc, removing_in_any_order_from_one_long_chain);
    tcase_add_test(tc, memory_that_fails_loses_nothing);
    tcase_add_test(tc, a_spent_budget_is_told_before_the_insert);
    return suite_run(suite);
}
