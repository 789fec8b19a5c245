/* SPDX-License-Identifier: BSD-3-Clause */
/* No call does more than its share, however much there is: units of work and deaths are counted over a million
 * objects (HF_OBJECTS; ten million with HF_TEST_LONG=1). Times are reported, never judged. */
#include "tests/lib/pool_fixture.h"
#include "tests/lib/suite.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define UNITS          500u   /* a step of the daemon */
#define LOOKED_AT_ONCE 10000u /* most objects or names that one call may look at */

static struct fixture fx;
static uint64_t many; /* objects */

static void setup(void)
{
    const char *number = getenv("HF_OBJECTS"), *longer = getenv("HF_TEST_LONG");
    many = number ? strtoull(number, NULL, 0) : longer && strcmp(longer, "0") != 0 ? 10000000 : 1000000;
    fixture_open_with(&fx, &(struct fixture_options){.max_bytes = 16ull << 30});
}

static void teardown(void)
{
    fixture_close(&fx);
}

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* Objects that died while something ran. */
struct deaths {
    uint64_t objects, freed;
};

static struct deaths deaths_begin(void)
{
    struct pool_stats stats = stats_of(&fx);
    return (struct deaths){stats.objects, stats.objects_freed};
}

static void deaths_at_most(struct deaths before, uint64_t most)
{
    struct pool_stats stats = stats_of(&fx);
    ck_assert_uint_le(before.objects - stats.objects, most);
    ck_assert_uint_le(stats.objects_freed - before.freed, most);
}

/* Steps until nothing is left. Each keeps to its units, and frees no more objects than it has units. */
static void step_to_the_end(const char *what)
{
    uint64_t steps = 0, longest = 0, all = 0;
    for (;;) {
        struct deaths before = deaths_begin();
        uint64_t began = now_ns();
        unsigned spent = pool_step(fx.pool, UNITS);
        uint64_t took = now_ns() - began;
        ck_assert_uint_le(spent, UNITS);
        deaths_at_most(before, UNITS);
        longest = took > longest ? took : longest;
        all += took;
        steps++;
        if (spent < UNITS)
            break;
    }
    ck_assert_uint_eq(stats_of(&fx).backlog, 0);
    printf("  %s: %llu steps of %u units, %.1f ms, longest step %.0f us\n", what, (unsigned long long)steps,
           UNITS, (double)all / 1e6, (double)longest / 1e3);
}

START_TEST(release_of_the_head_of_a_long_chain)
{
    uint64_t head = chain_of(&fx, fx.a, many);
    ck_assert_uint_eq(stats_of(&fx).objects, many);
    struct deaths before = deaths_begin();
    release_one(&fx, fx.a, head);
    deaths_at_most(before, POOL_INLINE_DEATHS + 1);
    ck_assert(is_gone(&fx, head));
    ck_assert_uint_gt(stats_of(&fx).backlog, 0);
    step_to_the_end("chain");
    ck_assert_uint_eq(stats_of(&fx).objects, 0);
    verify_ok(&fx);
}
END_TEST

START_TEST(requests_go_on_while_a_chain_dies)
{
    uint64_t other = put_leaf(&fx, fx.b), head = chain_of(&fx, fx.a, many / 10);
    release_one(&fx, fx.a, head);
    while (stats_of(&fx).backlog > 0) {
        struct deaths before = deaths_begin();
        uint64_t id = put_leaf(&fx, fx.b);
        deaths_at_most(before, POOL_INLINE_DEATHS + 1);
        before = deaths_begin();
        release_one(&fx, fx.b, id);
        deaths_at_most(before, POOL_INLINE_DEATHS + 1);
        ck_assert_uint_eq(retain_one(&fx, fx.a, other), 1);
        ck_assert_uint_eq(release_one(&fx, fx.a, other), 0);
        before = deaths_begin();
        ck_assert_uint_le(pool_step(fx.pool, 7), 7);
        deaths_at_most(before, 7);
    }
    ck_assert_uint_eq(stats_of(&fx).objects, 1);
    verify_ok(&fx);
}
END_TEST

START_TEST(end_of_a_session_with_many_holds)
{
    for (uint64_t i = 0; i < many; i++)
        put_leaf(&fx, fx.a);
    ck_assert_uint_eq(session_held(fx.a), many);
    struct deaths before = deaths_begin();
    pool_session_end(fx.pool, fx.a, REASON_SESSION_END);
    deaths_at_most(before, POOL_INLINE_DEATHS + 1);
    step_to_the_end("session end, objects die");
    ck_assert_uint_eq(stats_of(&fx).objects, 0);
    ck_assert_uint_eq(stats_of(&fx).holds, 0);
    verify_ok(&fx);
}
END_TEST

START_TEST(end_of_a_second_holder_of_many)
{
    for (uint64_t i = 0; i < many / 2; i++)
        retain_one(&fx, fx.b, put_leaf(&fx, fx.a));
    pool_session_end(fx.pool, fx.b, REASON_SESSION_END);
    step_to_the_end("session end, second holder");
    ck_assert_uint_eq(stats_of(&fx).objects, many / 2);
    ck_assert_uint_eq(stats_of(&fx).hold_cells, 0);
    pool_session_end(fx.pool, fx.a, REASON_SESSION_END);
    step_to_the_end("session end, last holder");
    ck_assert_uint_eq(stats_of(&fx).objects, 0);
}
END_TEST

START_TEST(lease_of_a_session_with_many_holds)
{
    for (uint64_t i = 0; i < many / 4; i++)
        put_leaf(&fx, fx.a);
    pool_session_detach(fx.pool, fx.a);
    struct deaths before = deaths_begin();
    pass_ms(&fx, FIXTURE_LEASE_MS);
    deaths_at_most(before, POOL_INLINE_DEATHS + 1);
    step_to_the_end("lease");
    ck_assert_uint_eq(stats_of(&fx).objects, 0);
}
END_TEST

START_TEST(release_of_an_object_with_many_slots)
{
    uint64_t leaf = put_leaf(&fx, fx.a), id = put_leaf(&fx, fx.a), previous;
    for (uint64_t i = 0; i < many; i++)
        ck_assert_int_eq(pool_link(fx.pool, id, i, leaf, &previous), 0);
    ck_assert_uint_eq(inspect_of(&fx, leaf).held_slots, many);
    release_one(&fx, fx.a, id);
    /* A slot is a unit: the call may have dropped some, but not many. */
    ck_assert_uint_gt(inspect_of(&fx, leaf).held_slots, many - 5000);
    uint64_t steps = 0, left = inspect_of(&fx, leaf).held_slots;
    for (;; steps++) {
        unsigned spent = pool_step(fx.pool, UNITS);
        uint64_t now = inspect_of(&fx, leaf).held_slots;
        ck_assert_uint_le(spent, UNITS);
        ck_assert_uint_le(left - now, UNITS);
        left = now;
        if (spent < UNITS)
            break;
    }
    ck_assert_uint_eq(left, 0);
    ck_assert_uint_ge(steps, (many - 5000) / UNITS);
    verify_ok(&fx);
}
END_TEST

START_TEST(release_of_many_heads_in_one_call)
{
    static uint64_t heads[HF_IDS_MAX], counts[HF_IDS_MAX];
    for (unsigned i = 0; i < HF_IDS_MAX; i++)
        heads[i] = chain_of(&fx, fx.a, many / 10 / HF_IDS_MAX + 2);
    struct deaths before = deaths_begin();
    ck_assert_int_eq(pool_release(fx.pool, fx.a, heads, HF_IDS_MAX, 1, counts), 0);
    deaths_at_most(before, HF_IDS_MAX + POOL_INLINE_DEATHS);
    for (unsigned i = 0; i < HF_IDS_MAX; i++)
        ck_assert(is_gone(&fx, heads[i]));
    step_to_the_end("1024 heads");
    ck_assert_uint_eq(stats_of(&fx).objects, 0);
}
END_TEST

START_TEST(expiry_of_many_tickets)
{
    uint8_t key[HF_KEY_SIZE];
    uint64_t tickets = many / 10;
    for (uint64_t i = 0; i < tickets; i++) {
        uint64_t id = put_leaf(&fx, fx.a);
        ck_assert_int_eq(pool_share(fx.pool, fx.a, id, 1000, 1, key), 0);
        release_one(&fx, fx.a, id);
    }
    struct deaths before = deaths_begin();
    pass_ms(&fx, 1000);
    deaths_at_most(before, 0);
    step_to_the_end("tickets");
    ck_assert_uint_eq(stats_of(&fx).tickets, 0);
    ck_assert_uint_eq(stats_of(&fx).objects, 0);
}
END_TEST

START_TEST(expiry_of_many_leases)
{
    unsigned sessions = 20000;
    for (unsigned i = 0; i < sessions; i++) {
        struct session *s = fixture_session(&fx, 100 + i, 500, &fx);
        put_leaf(&fx, s);
        pool_session_detach(fx.pool, s);
    }
    struct deaths before = deaths_begin();
    pass_ms(&fx, 500);
    deaths_at_most(before, 0);
    step_to_the_end("leases");
    ck_assert_uint_eq(stats_of(&fx).sessions_grace, 0);
    ck_assert_uint_eq(stats_of(&fx).objects, 0);
}
END_TEST

START_TEST(scan_that_finds_nothing_looks_at_few_a_call)
{
    struct scan_filter filter = {.min_size = 100};
    uint64_t cursor = 0, calls = 0, ids[4];
    unsigned count;
    for (uint64_t i = 0; i < many; i++)
        put_leaf(&fx, fx.a);
    do {
        ck_assert_int_eq(pool_scan(fx.pool, cursor, &filter, ids, 4, &count, &cursor), 0);
        ck_assert_uint_eq(count, 0);
        calls++;
    } while (cursor != 0);
    ck_assert_uint_ge(calls, many / LOOKED_AT_ONCE);
}
END_TEST

START_TEST(names_walk_that_finds_nothing_looks_at_few_a_call)
{
    uint64_t cursor = 0, calls = 0, id = put_leaf(&fx, fx.a), names = many / 4;
    struct name_row rows[4];
    char text[24];
    for (uint64_t i = 0; i < names; i++) {
        snprintf(text, sizeof text, "n%llu", (unsigned long long)i);
        bind(&fx, text, id);
    }
    do {
        ck_assert_uint_eq(pool_names(fx.pool, cursor, name_of("other"), rows, 4, &cursor), 0);
        calls++;
    } while (cursor != 0);
    ck_assert_uint_ge(calls, names / LOOKED_AT_ONCE);
}
END_TEST

START_TEST(verify_keeps_to_its_units)
{
    struct verify_result result;
    uint64_t steps = 0, longest = 0, objects = many / 2;
    for (uint64_t i = 0; i < objects; i++)
        put_leaf(&fx, fx.a);
    ck_assert_int_eq(pool_verify_begin(fx.pool), 0);
    for (bool done = false; !done; steps++) {
        uint64_t began = now_ns();
        done = pool_verify_step(fx.pool, UNITS, &result);
        uint64_t took = now_ns() - began;
        longest = took > longest ? took : longest;
    }
    ck_assert_uint_eq(result.findings_count, 0);
    ck_assert_uint_eq(result.objects, objects);
    ck_assert_uint_ge(steps, objects / UNITS);
    printf("  verify: %llu steps, longest %.0f us\n", (unsigned long long)steps, (double)longest / 1e3);
}
END_TEST

START_TEST(drop_of_a_pool_by_pieces)
{
    uint64_t steps = 0, longest = 0;
    for (uint64_t i = 0; i < many; i++)
        put_leaf(&fx, fx.a);
    uint64_t pieces = stats_of(&fx).memory_image / ARENA_BYTES;
    for (bool more = true; more; steps++) {
        uint64_t punched = fx.grow.punches, began = now_ns();
        more = pool_dispose_step(fx.pool, 2);
        uint64_t took = now_ns() - began;
        longest = took > longest ? took : longest;
        ck_assert_uint_le(fx.grow.punches - punched, 2);
        ck_assert_uint_le(fx.grow.punch_most, ARENA_BYTES);
    }
    ck_assert_uint_ge(steps, pieces / 4);
    printf("  drop: %llu steps of 2 pieces, longest %.0f us\n", (unsigned long long)steps,
           (double)longest / 1e3);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pool units");
    TCase *t = suite_case(suite, "units", setup, teardown);
    tcase_add_test(t, release_of_the_head_of_a_long_chain);
    tcase_add_test(t, requests_go_on_while_a_chain_dies);
    tcase_add_test(t, end_of_a_session_with_many_holds);
    tcase_add_test(t, end_of_a_second_holder_of_many);
    tcase_add_test(t, lease_of_a_session_with_many_holds);
    tcase_add_test(t, release_of_an_object_with_many_slots);
    tcase_add_test(t, release_of_many_heads_in_one_call);
    tcase_add_test(t, expiry_of_many_tickets);
    tcase_add_test(t, expiry_of_many_leases);
    tcase_add_test(t, scan_that_finds_nothing_looks_at_few_a_call);
    tcase_add_test(t, names_walk_that_finds_nothing_looks_at_few_a_call);
    tcase_add_test(t, verify_keeps_to_its_units);
    tcase_add_test(t, drop_of_a_pool_by_pieces);
    return suite_run(suite);
}
