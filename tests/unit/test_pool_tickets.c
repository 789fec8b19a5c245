/* SPDX-License-Identifier: BSD-3-Clause */
/* Tickets of a pool: share, claim, unshare, expiry. */
#include "tests/lib/pool_fixture.h"
#include "tests/lib/suite.h"

#include <string.h>

#define TTL_MS 5000u

static struct fixture fx;
static uint8_t key[HF_KEY_SIZE]; /* of the ticket of the running test */

static void setup(void)
{
    fixture_open(&fx);
}

static void teardown(void)
{
    drain(&fx);
    verify_ok(&fx);
    fixture_close(&fx);
}

/* An object that only a ticket keeps. */
static uint64_t ticketed(uint32_t uses)
{
    uint64_t id = put_leaf(&fx, fx.a);
    ck_assert_int_eq(pool_share(fx.pool, fx.a, id, TTL_MS, uses, key), 0);
    release_one(&fx, fx.a, id);
    return id;
}

static int claim(struct session *s, uint64_t *ret_id)
{
    return pool_claim(fx.pool, s, key, ret_id);
}

START_TEST(ticket_keeps_its_object)
{
    uint64_t id = ticketed(1);
    struct inspect_row row = inspect_of(&fx, id);
    ck_assert_uint_eq(row.held_tickets, 1);
    ck_assert_uint_eq(row.held_sessions, 0);
    ck_assert_uint_eq(stats_of(&fx).tickets, 1);
}
END_TEST

START_TEST(ticket_of_several_uses_is_one_reference)
{
    uint64_t id = ticketed(3);
    ck_assert_uint_eq(inspect_of(&fx, id).held_tickets, 1);
}
END_TEST

START_TEST(claim_hands_the_hold_over)
{
    uint64_t id = ticketed(1), got, again;
    ck_assert_int_eq(claim(fx.b, &got), 0);
    ck_assert_uint_eq(got, id);
    struct inspect_row row = inspect_of(&fx, id);
    ck_assert_uint_eq(row.held_tickets, 0);
    ck_assert_uint_eq(row.held_sessions, 1);
    ck_assert_int_eq(claim(fx.b, &again), -HF_E_NOTFOUND);
    ck_assert_uint_eq(stats_of(&fx).tickets, 0);
    ck_assert_uint_eq(release_one(&fx, fx.b, id), 0);
    ck_assert(is_gone(&fx, id));
}
END_TEST

START_TEST(claim_as_often_as_there_are_uses)
{
    uint64_t id = ticketed(3), got;
    ck_assert_int_eq(claim(fx.b, &got), 0);
    ck_assert_int_eq(claim(fx.a, &got), 0);
    ck_assert_uint_eq(inspect_of(&fx, id).held_tickets, 1);
    ck_assert_int_eq(claim(fx.b, &got), 0);
    ck_assert_int_eq(claim(fx.b, &got), -HF_E_NOTFOUND);
    ck_assert_uint_eq(inspect_of(&fx, id).held_sessions, 3);
}
END_TEST

START_TEST(share_of_what_is_not_held_is_NOTHELD)
{
    uint64_t id = put_leaf(&fx, fx.a);
    ck_assert_int_eq(pool_share(fx.pool, fx.b, id, TTL_MS, 1, key), -HF_E_NOTHELD);
    ck_assert_uint_eq(stats_of(&fx).tickets, 0);
    ck_assert_uint_eq(inspect_of(&fx, id).held_tickets, 0);
}
END_TEST

START_TEST(unshare_drops_the_ticket)
{
    uint64_t id = ticketed(2);
    ck_assert_int_eq(pool_unshare(fx.pool, key), 0);
    ck_assert(is_gone(&fx, id));
    ck_assert_int_eq(pool_unshare(fx.pool, key), -HF_E_NOTFOUND);
}
END_TEST

START_TEST(keys_differ_and_a_wrong_one_is_NOTFOUND)
{
    static uint8_t keys[500][HF_KEY_SIZE];
    uint64_t id = put_leaf(&fx, fx.a), got;
    for (unsigned i = 0; i < 500; i++) {
        ck_assert_int_eq(pool_share(fx.pool, fx.a, id, TTL_MS, 1, keys[i]), 0);
        for (unsigned k = 0; k < i; k++)
            ck_assert_mem_ne(keys[k], keys[i], HF_KEY_SIZE);
    }
    memcpy(key, keys[7], HF_KEY_SIZE);
    key[15] ^= 1;
    ck_assert_int_eq(claim(fx.b, &got), -HF_E_NOTFOUND);
    memset(key, 0, sizeof key);
    ck_assert_int_eq(claim(fx.b, &got), -HF_E_NOTFOUND);
    ck_assert_uint_eq(inspect_of(&fx, id).held_tickets, 500);
}
END_TEST

START_TEST(expired_ticket_is_NOTFOUND_at_once)
{
    uint64_t id = ticketed(1), got, now_due, lease_due;
    pool_next_due(fx.pool, &now_due, &lease_due);
    ck_assert_uint_eq(now_due, fx.now_ms + TTL_MS);
    pass_ms(&fx, TTL_MS);
    ck_assert_int_eq(claim(fx.b, &got), -HF_E_NOTFOUND);
    ck_assert_int_eq(pool_unshare(fx.pool, key), -HF_E_NOTFOUND);
    drain(&fx);
    ck_assert(is_gone(&fx, id));
    ck_assert_uint_eq(stats_of(&fx).tickets, 0);
}
END_TEST

START_TEST(ticket_lives_to_its_last_millisecond)
{
    uint64_t id = ticketed(1), got;
    pass_ms(&fx, TTL_MS - 1);
    drain(&fx);
    ck_assert_int_eq(claim(fx.b, &got), 0);
    ck_assert_uint_eq(got, id);
}
END_TEST

START_TEST(ticket_outlives_its_session)
{
    uint64_t id = put_leaf(&fx, fx.a), got;
    ck_assert_int_eq(pool_share(fx.pool, fx.a, id, TTL_MS, 1, key), 0);
    pool_session_end(fx.pool, fx.a, REASON_SESSION_END);
    drain(&fx);
    ck_assert_int_eq(claim(fx.b, &got), 0);
    ck_assert_uint_eq(got, id);
}
END_TEST

START_TEST(tickets_expire_in_order)
{
    uint64_t ids[100];
    uint8_t other[HF_KEY_SIZE];
    for (unsigned i = 0; i < 100; i++) {
        ids[i] = put_leaf(&fx, fx.a);
        ck_assert_int_eq(pool_share(fx.pool, fx.a, ids[i], 100 + (i * 37 % 100), 1, other), 0);
        release_one(&fx, fx.a, ids[i]);
    }
    for (unsigned ms = 0; ms < 100; ms++) {
        pass_ms(&fx, ms == 0 ? 100 : 1);
        drain(&fx);
        for (unsigned i = 0; i < 100; i++)
            ck_assert(is_gone(&fx, ids[i]) == (i * 37 % 100 <= ms));
    }
}
END_TEST

START_TEST(claim_above_the_most_is_LIMIT)
{
    uint64_t id = ticketed(2), got, counts[1];
    ck_assert_int_eq(claim(fx.b, &got), 0);
    ck_assert_int_eq(pool_retain(fx.pool, fx.b, &id, 1, HF_COUNT_MAX - 1, NULL, 0, counts), 0);
    ck_assert_int_eq(claim(fx.b, &got), -HF_E_LIMIT);
    ck_assert_uint_eq(inspect_of(&fx, id).held_tickets, 1);
}
END_TEST

START_TEST(share_without_memory_changes_nothing)
{
    struct mem *mem = pool_mem(fx.pool);
    uint64_t id = put_leaf(&fx, fx.a), failed = 0;
    for (unsigned i = 0; i < 3000; i++) {
        uint64_t before = stats_of(&fx).tickets;
        mem->fail_at = mem->calls + 1;
        int rc = pool_share(fx.pool, fx.a, id, TTL_MS, 1, key);
        mem->fail_at = 0;
        ck_assert(rc == 0 || rc == -HF_E_OOM);
        ck_assert_uint_eq(stats_of(&fx).tickets, before + (rc == 0));
        ck_assert_uint_eq(inspect_of(&fx, id).held_tickets, before + (rc == 0));
        failed += rc != 0;
    }
    ck_assert_uint_gt(failed, 0);
}
END_TEST

START_TEST(claim_without_memory_changes_nothing)
{
    struct mem *mem = pool_mem(fx.pool);
    uint64_t failed = 0;
    for (unsigned i = 0; i < 3000; i++) {
        uint64_t id = put_leaf(&fx, fx.a), got;
        ck_assert_int_eq(pool_share(fx.pool, fx.a, id, TTL_MS, 1, key), 0);
        mem->fail_at = mem->calls + 1;
        int rc = claim(fx.b, &got);
        mem->fail_at = 0;
        ck_assert(rc == 0 || rc == -HF_E_OOM);
        ck_assert_uint_eq(inspect_of(&fx, id).held_tickets, rc != 0);
        ck_assert_uint_eq(inspect_of(&fx, id).held_sessions, 1 + (rc == 0));
        failed += rc != 0;
    }
    ck_assert_uint_gt(failed, 0);
}
END_TEST

START_TEST(holders_tell_tickets)
{
    uint64_t id = ticketed(1);
    struct holder_row rows[2];
    unsigned count;
    pass_ms(&fx, 1000);
    ck_assert_int_eq(pool_holders(fx.pool, id, rows, 2, &count), 0);
    ck_assert_uint_eq(count, 1);
    ck_assert_int_eq(rows[0].kind, HOLDER_TICKET);
    ck_assert_uint_gt(rows[0].number, 0);
    ck_assert_uint_eq(rows[0].ttl_ms, TTL_MS - 1000);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pool tickets");
    TCase *t = suite_case(suite, "tickets", setup, teardown);
    tcase_add_test(t, ticket_keeps_its_object);
    tcase_add_test(t, ticket_of_several_uses_is_one_reference);
    tcase_add_test(t, claim_hands_the_hold_over);
    tcase_add_test(t, claim_as_often_as_there_are_uses);
    tcase_add_test(t, share_of_what_is_not_held_is_NOTHELD);
    tcase_add_test(t, unshare_drops_the_ticket);
    tcase_add_test(t, keys_differ_and_a_wrong_one_is_NOTFOUND);
    tcase_add_test(t, expired_ticket_is_NOTFOUND_at_once);
    tcase_add_test(t, ticket_lives_to_its_last_millisecond);
    tcase_add_test(t, ticket_outlives_its_session);
    tcase_add_test(t, tickets_expire_in_order);
    tcase_add_test(t, claim_above_the_most_is_LIMIT);
    tcase_add_test(t, share_without_memory_changes_nothing);
    tcase_add_test(t, claim_without_memory_changes_nothing);
    tcase_add_test(t, holders_tell_tickets);
    return suite_run(suite);
}
