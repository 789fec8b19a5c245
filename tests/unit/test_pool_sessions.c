/* SPDX-License-Identifier: BSD-3-Clause */
/* Sessions of a pool: holds, leases, ends. */
#include "tests/lib/pool_fixture.h"
#include "tests/lib/suite.h"

static struct fixture fx;

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

static uint64_t held_sessions(uint64_t id)
{
    return inspect_of(&fx, id).held_sessions;
}

/* ---- retain and release ---- */

START_TEST(retain_counts_by_session)
{
    uint64_t id = put_leaf(&fx, fx.a), counts[1];
    ck_assert_uint_eq(retain_one(&fx, fx.a, id), 2);
    ck_assert_uint_eq(retain_one(&fx, fx.b, id), 1);
    ck_assert_int_eq(pool_retain(fx.pool, fx.b, &id, 1, 5, NULL, 0, counts), 0);
    ck_assert_uint_eq(counts[0], 6);
    ck_assert_uint_eq(held_sessions(id), 8);
    ck_assert_uint_eq(session_held(fx.a), 1);
    ck_assert_uint_eq(session_held(fx.b), 1);
}
END_TEST

START_TEST(retain_duplicates_count_separately)
{
    uint64_t a = put_leaf(&fx, fx.a), b = put_leaf(&fx, fx.a), ids[] = {a, b, a, a}, counts[4];
    ck_assert_int_eq(pool_retain(fx.pool, fx.b, ids, 4, 2, NULL, 0, counts), 0);
    ck_assert_uint_eq(counts[0], 2);
    ck_assert_uint_eq(counts[1], 2);
    ck_assert_uint_eq(counts[2], 4);
    ck_assert_uint_eq(counts[3], 6);
}
END_TEST

START_TEST(retain_is_all_or_nothing)
{
    uint64_t a = put_leaf(&fx, fx.a), ids[] = {a, a, 777, a}, counts[4];
    ck_assert_int_eq(pool_retain(fx.pool, fx.b, ids, 4, 1, NULL, 0, counts), -HF_E_GONE);
    ck_assert_int_eq(pool_fault(fx.pool)->index, 2);
    ck_assert_uint_eq(session_held(fx.b), 0);
    ck_assert_uint_eq(held_sessions(a), 1);
}
END_TEST

START_TEST(retain_above_the_most_is_LIMIT)
{
    uint64_t id = put_leaf(&fx, fx.a), counts[2];
    ck_assert_int_eq(pool_retain(fx.pool, fx.b, &id, 1, HF_COUNT_MAX, NULL, 0, counts), 0);
    ck_assert_uint_eq(counts[0], HF_COUNT_MAX);
    ck_assert_int_eq(pool_retain(fx.pool, fx.b, &id, 1, 1, NULL, 0, counts), -HF_E_LIMIT);
    ck_assert_int_eq(pool_retain(fx.pool, fx.a, &id, 1, HF_COUNT_MAX, NULL, 0, counts), -HF_E_LIMIT);
    uint64_t twice[] = {id, id};
    ck_assert_int_eq(pool_retain(fx.pool, fx.a, twice, 2, HF_COUNT_MAX / 2, NULL, 0, counts), -HF_E_LIMIT);
    ck_assert_int_eq(pool_fault(fx.pool)->index, 1);
    ck_assert_uint_eq(held_sessions(id), HF_COUNT_MAX + 1ull);
    ck_assert_int_eq(pool_release(fx.pool, fx.b, &id, 1, HF_COUNT_MAX, counts), 0);
    ck_assert_uint_eq(held_sessions(id), 1);
}
END_TEST

START_TEST(release_of_what_is_not_held_is_NOTHELD)
{
    uint64_t id = put_leaf(&fx, fx.a), counts[1];
    ck_assert_int_eq(pool_release(fx.pool, fx.b, &id, 1, 1, counts), -HF_E_NOTHELD);
    ck_assert_int_eq(pool_release(fx.pool, fx.a, &id, 1, 2, counts), -HF_E_NOTHELD);
    ck_assert_uint_eq(held_sessions(id), 1);
}
END_TEST

START_TEST(release_duplicates_may_not_exceed_the_count)
{
    uint64_t id = put_leaf(&fx, fx.a), other = put_leaf(&fx, fx.a), counts[4];
    uint64_t ids[] = {id, other, id, id};
    retain_one(&fx, fx.a, id);
    ck_assert_int_eq(pool_release(fx.pool, fx.a, ids, 4, 1, counts), -HF_E_NOTHELD);
    ck_assert_int_eq(pool_fault(fx.pool)->index, 3);
    ck_assert_uint_eq(held_sessions(id), 2);
    ck_assert(!is_gone(&fx, other));
    ck_assert_int_eq(pool_release(fx.pool, fx.a, ids, 3, 1, counts), 0);
    ck_assert_uint_eq(counts[0], 1);
    ck_assert_uint_eq(counts[1], 0);
    ck_assert_uint_eq(counts[2], 0);
    ck_assert(is_gone(&fx, id));
}
END_TEST

START_TEST(first_holder_leaves_others_stay)
{
    struct session *sessions[20];
    uint64_t id = put_leaf(&fx, fx.a);
    for (unsigned i = 0; i < 20; i++) {
        sessions[i] = fixture_session(&fx, 100 + i, 0, &fx);
        retain_one(&fx, sessions[i], id);
    }
    release_one(&fx, fx.a, id);
    ck_assert_uint_eq(held_sessions(id), 20);
    for (unsigned i = 0; i < 20; i++) {
        ck_assert_uint_eq(session_held(sessions[i]), 1);
        release_one(&fx, sessions[i], id);
        ck_assert_uint_eq(session_held(sessions[i]), 0);
    }
    ck_assert(is_gone(&fx, id));
}
END_TEST

START_TEST(holders_of_one_object_in_thousands)
{
    enum { COUNT = 2000 };
    static struct session *sessions[COUNT];
    static struct holder_row rows[COUNT + 10];
    uint64_t id = put_leaf(&fx, fx.a);
    unsigned count;
    for (unsigned i = 0; i < COUNT; i++) {
        sessions[i] = fixture_session(&fx, 1000 + i, 0, &fx);
        retain_one(&fx, sessions[i], id);
    }
    ck_assert_int_eq(pool_holders(fx.pool, id, rows, COUNT + 10, &count), 0);
    ck_assert_uint_eq(count, COUNT + 1);
    for (unsigned i = 0; i < COUNT; i += 2)
        release_one(&fx, sessions[i], id);
    ck_assert_int_eq(pool_holders(fx.pool, id, rows, COUNT + 10, &count), 0);
    ck_assert_uint_eq(count, COUNT / 2 + 1);
    ck_assert_int_eq(pool_holders(fx.pool, id, rows, 3, &count), 0);
    ck_assert_uint_eq(count, 3);
    for (unsigned i = 1; i < COUNT; i += 2)
        pool_session_end(fx.pool, sessions[i], REASON_SESSION_END);
    drain(&fx);
    ck_assert_uint_eq(held_sessions(id), 1);
}
END_TEST

START_TEST(holders_tell_who_and_where)
{
    uint64_t id = put_leaf(&fx, fx.a), counts[1];
    struct holder_row rows[4];
    unsigned count;
    ck_assert_int_eq(pool_retain(fx.pool, fx.b, &id, 1, 3, (const uint8_t *)"here", 4, counts), 0);
    ck_assert_int_eq(pool_holders(fx.pool, id, rows, 4, &count), 0);
    ck_assert_uint_eq(count, 2);
    const struct holder_row *b = rows[0].sid == session_sid(fx.b) ? &rows[0] : &rows[1];
    ck_assert_int_eq(b->kind, HOLDER_SESSION);
    ck_assert_uint_eq(b->sid, session_sid(fx.b));
    ck_assert_uint_eq(b->count, 3);
    ck_assert_uint_eq(b->pid, 1002);
    ck_assert_uint_eq(b->site_size, 4);
    ck_assert_mem_eq(b->site, "here", 4);
}
END_TEST

START_TEST(retain_without_memory_changes_nothing)
{
    struct mem *mem = pool_mem(fx.pool);
    uint64_t ids[64], counts[64], failed = 0;
    for (unsigned i = 0; i < 64; i++)
        ids[i] = put_leaf(&fx, fx.a);
    for (uint64_t n = 1; n < 100; n++) {
        mem->fail_at = mem->calls + n;
        int rc = pool_retain(fx.pool, fx.b, ids, 64, 1, (const uint8_t *)"site", 4, counts);
        mem->fail_at = 0;
        if (rc == 0)
            break;
        ck_assert_int_eq(rc, -HF_E_OOM);
        ck_assert_uint_eq(session_held(fx.b), 0);
        ck_assert_uint_eq(stats_of(&fx).hold_cells, 0);
        verify_ok(&fx);
        failed++;
    }
    ck_assert_uint_gt(failed, 0);
    ck_assert_uint_eq(session_held(fx.b), 64);
}
END_TEST

/* ---- ends ---- */

START_TEST(end_releases_exactly_what_it_held)
{
    uint64_t mine = put_leaf(&fx, fx.a), shared = put_leaf(&fx, fx.a), named = put_leaf(&fx, fx.a);
    retain_one(&fx, fx.a, shared);
    retain_one(&fx, fx.b, shared);
    bind_name(&fx, "name", named);
    pool_session_end(fx.pool, fx.a, REASON_SESSION_END);
    drain(&fx);
    ck_assert(is_gone(&fx, mine));
    ck_assert_uint_eq(held_sessions(shared), 1);
    ck_assert_uint_eq(held_sessions(named), 0);
    ck_assert_uint_eq(stats_of(&fx).sessions_open, 1);
    ck_assert_uint_eq(stats_of(&fx).sessions_dying, 0);
}
END_TEST

START_TEST(end_voids_all_holds_at_once)
{
    uint64_t ids[300];
    struct holder_row rows[4];
    struct session_row sessions[4];
    unsigned count;
    for (unsigned i = 0; i < 300; i++) {
        ids[i] = put_leaf(&fx, fx.a);
        retain_one(&fx, fx.b, ids[i]);
    }
    pool_session_end(fx.pool, fx.a, REASON_KILL);
    for (unsigned i = 0; i < 300; i++) {
        ck_assert_int_eq(pool_holders(fx.pool, ids[i], rows, 4, &count), 0);
        ck_assert_uint_eq(count, 1);
        ck_assert_uint_eq(rows[0].sid, session_sid(fx.b));
    }
    ck_assert_uint_eq(pool_sessions(fx.pool, 0, sessions, 4), 1);
}
END_TEST

START_TEST(retain_while_the_last_holder_is_ending_keeps_the_object)
{
    uint64_t ids[300], kept = 0;
    for (unsigned i = 0; i < 300; i++)
        ids[i] = put_leaf(&fx, fx.a);
    pool_session_end(fx.pool, fx.a, REASON_SESSION_END);
    for (unsigned i = 0; i < 300; i++) {
        uint64_t counts[1];
        int rc = pool_retain(fx.pool, fx.b, &ids[i], 1, 1, NULL, 0, counts);
        ck_assert(rc == 0 || rc == -HF_E_GONE);
        kept += rc == 0;
        pool_step(fx.pool, 1);
    }
    drain(&fx);
    ck_assert_uint_eq(stats_of(&fx).objects, kept);
    ck_assert_uint_eq(session_held(fx.b), kept);
}
END_TEST

START_TEST(anonymous_session_ends_with_its_connection)
{
    int owner;
    struct session *s = fixture_anonymous(&fx, &owner);
    static const uint8_t zeros[HF_KEY_SIZE];
    uint64_t id = put_leaf(&fx, s);
    ck_assert(session_anonymous(s));
    ck_assert_ptr_null(pool_session_by_key(fx.pool, zeros));
    pool_session_detach(fx.pool, s);
    drain(&fx);
    ck_assert(is_gone(&fx, id));
}
END_TEST

START_TEST(session_without_lease_ends_with_its_connection)
{
    struct session *s = fixture_session(&fx, 9, 0, &fx);
    uint64_t id = put_leaf(&fx, s);
    pool_session_detach(fx.pool, s);
    drain(&fx);
    ck_assert(is_gone(&fx, id));
}
END_TEST

/* ---- leases ---- */

START_TEST(lease_runs_only_without_a_connection)
{
    uint64_t id = put_leaf(&fx, fx.a);
    pass_ms(&fx, 10 * FIXTURE_LEASE_MS);
    drain(&fx);
    ck_assert(!is_gone(&fx, id));
    ck_assert_uint_eq(stats_of(&fx).sessions_open, 2);
}
END_TEST

START_TEST(lease_ends_the_session_in_grace)
{
    uint64_t id = put_leaf(&fx, fx.a), now_due, lease_due;
    pool_session_detach(fx.pool, fx.a);
    ck_assert_uint_eq(stats_of(&fx).sessions_grace, 1);
    pool_next_due(fx.pool, &now_due, &lease_due);
    ck_assert_uint_eq(lease_due, fx.lease_ms + FIXTURE_LEASE_MS);
    pass_ms(&fx, FIXTURE_LEASE_MS - 1);
    drain(&fx);
    ck_assert(!is_gone(&fx, id));
    pass_ms(&fx, 1);
    drain(&fx);
    ck_assert(is_gone(&fx, id));
    ck_assert_uint_eq(stats_of(&fx).sessions_grace, 0);
}
END_TEST

START_TEST(lease_starts_anew_with_each_break)
{
    uint64_t id = put_leaf(&fx, fx.a);
    for (int i = 0; i < 5; i++) {
        pool_session_detach(fx.pool, fx.a);
        pass_ms(&fx, FIXTURE_LEASE_MS - 1);
        drain(&fx);
        pool_session_attach(fx.pool, fx.a, &fx.owner_a);
    }
    ck_assert(!is_gone(&fx, id));
}
END_TEST

START_TEST(key_resumes_a_session_with_its_holds)
{
    uint64_t id = put_leaf(&fx, fx.a), sid = session_sid(fx.a);
    uint8_t key[HF_KEY_SIZE];
    int owner;
    fixture_key(1, key);
    pool_session_detach(fx.pool, fx.a);
    ck_assert_ptr_null(session_owner(fx.a));
    pass_ms(&fx, 500);
    struct session *s = pool_session_by_key(fx.pool, key);
    ck_assert_ptr_nonnull(s);
    pool_session_attach(fx.pool, s, &owner);
    ck_assert_uint_eq(session_sid(s), sid);
    ck_assert_ptr_eq(session_owner(s), &owner);
    pass_ms(&fx, 3 * FIXTURE_LEASE_MS);
    drain(&fx);
    ck_assert_uint_eq(session_held(s), 1);
    ck_assert(!is_gone(&fx, id));
    key[15] ^= 1;
    ck_assert_ptr_null(pool_session_by_key(fx.pool, key));
}
END_TEST

START_TEST(key_of_an_ended_session_is_unknown)
{
    uint8_t key[HF_KEY_SIZE];
    uint64_t sid = session_sid(fx.a);
    fixture_key(1, key);
    pool_session_end(fx.pool, fx.a, REASON_SESSION_END);
    ck_assert_ptr_null(pool_session_by_key(fx.pool, key));
    ck_assert_ptr_null(pool_session_by_sid(fx.pool, sid));
}
END_TEST

START_TEST(clock_that_goes_back_stands_still)
{
    uint64_t id = put_leaf(&fx, fx.a);
    pool_session_detach(fx.pool, fx.a);
    pool_tick(fx.pool, 5, 5);
    pool_tick(fx.pool, fx.now_ms, fx.lease_ms);
    drain(&fx);
    ck_assert(!is_gone(&fx, id));
    ck_assert_uint_lt(inspect_of(&fx, id).age_ms, 1000);
}
END_TEST

/* ---- rows ---- */

START_TEST(sessions_come_in_order_of_sid)
{
    struct session_row rows[4];
    uint64_t after = 0, seen = 0;
    for (unsigned i = 0; i < 50; i++)
        fixture_session(&fx, 50 + i, 0, &fx);
    for (unsigned count; (count = pool_sessions(fx.pool, after, rows, 4)) > 0; seen += count)
        for (unsigned i = 0; i < count; i++) {
            ck_assert_uint_gt(rows[i].sid, after);
            after = rows[i].sid;
        }
    ck_assert_uint_eq(seen, 52);
}
END_TEST

START_TEST(session_row_tells_name_bytes_and_lease)
{
    struct session_row rows[1];
    struct session_spec spec = {
        .name = (const uint8_t *)"worker", .name_size = 6, .pid = 7, .lease_ms = 900, .key = {1}};
    struct session *s;
    ck_assert_int_eq(pool_session_open(fx.pool, &spec, &s), 0);
    put_filled(&fx, s, 1000, 1);
    put_filled(&fx, s, 500, 1);
    pass_ms(&fx, 300);
    pool_session_detach(fx.pool, s);
    pass_ms(&fx, 100);
    ck_assert_uint_eq(pool_sessions(fx.pool, session_sid(s) - 1, rows, 1), 1);
    ck_assert_uint_eq(rows[0].held, 2);
    ck_assert_uint_eq(rows[0].held_bytes, 1500);
    ck_assert_uint_eq(rows[0].pid, 7);
    ck_assert_uint_eq(rows[0].since_ms, 400);
    ck_assert_uint_eq(rows[0].idle_left_ms, 800);
    ck_assert(rows[0].grace);
    ck_assert_uint_eq(rows[0].name_size, 6);
    ck_assert_mem_eq(rows[0].name, "worker", 6);
}
END_TEST

START_TEST(sid_is_never_used_twice)
{
    uint64_t last = session_sid(fx.b);
    for (unsigned i = 0; i < 200; i++) {
        struct session *s = fixture_anonymous(&fx, &fx);
        ck_assert_uint_gt(session_sid(s), last);
        last = session_sid(s);
        pool_session_end(fx.pool, s, REASON_SESSION_END);
        drain(&fx);
    }
}
END_TEST

START_TEST(open_without_memory_makes_no_session)
{
    struct mem *mem = pool_mem(fx.pool);
    unsigned failed = 0;
    for (unsigned i = 0; i < 200; i++) {
        struct session_spec spec = {.key = {9, (uint8_t)i}, .lease_ms = 10};
        struct session *s = NULL;
        uint64_t open = stats_of(&fx).sessions_open;
        mem->fail_at = mem->calls + 1 + i % 3;
        int rc = pool_session_open(fx.pool, &spec, &s);
        mem->fail_at = 0;
        ck_assert(rc == 0 || rc == -HF_E_OOM);
        ck_assert_uint_eq(stats_of(&fx).sessions_open, open + (rc == 0));
        failed += rc != 0;
    }
    ck_assert_uint_gt(failed, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pool sessions");
    TCase *t = suite_case(suite, "holds", setup, teardown);
    tcase_add_test(t, retain_counts_by_session);
    tcase_add_test(t, retain_duplicates_count_separately);
    tcase_add_test(t, retain_is_all_or_nothing);
    tcase_add_test(t, retain_above_the_most_is_LIMIT);
    tcase_add_test(t, release_of_what_is_not_held_is_NOTHELD);
    tcase_add_test(t, release_duplicates_may_not_exceed_the_count);
    tcase_add_test(t, first_holder_leaves_others_stay);
    tcase_add_test(t, holders_of_one_object_in_thousands);
    tcase_add_test(t, holders_tell_who_and_where);
    tcase_add_test(t, retain_without_memory_changes_nothing);
    t = suite_case(suite, "ends", setup, teardown);
    tcase_add_test(t, end_releases_exactly_what_it_held);
    tcase_add_test(t, end_voids_all_holds_at_once);
    tcase_add_test(t, retain_while_the_last_holder_is_ending_keeps_the_object);
    tcase_add_test(t, anonymous_session_ends_with_its_connection);
    tcase_add_test(t, session_without_lease_ends_with_its_connection);
    t = suite_case(suite, "leases", setup, teardown);
    tcase_add_test(t, lease_runs_only_without_a_connection);
    tcase_add_test(t, lease_ends_the_session_in_grace);
    tcase_add_test(t, lease_starts_anew_with_each_break);
    tcase_add_test(t, key_resumes_a_session_with_its_holds);
    tcase_add_test(t, key_of_an_ended_session_is_unknown);
    tcase_add_test(t, clock_that_goes_back_stands_still);
    t = suite_case(suite, "rows", setup, teardown);
    tcase_add_test(t, sessions_come_in_order_of_sid);
    tcase_add_test(t, session_row_tells_name_bytes_and_lease);
    tcase_add_test(t, sid_is_never_used_twice);
    tcase_add_test(t, open_without_memory_makes_no_session);
    return suite_run(suite);
}
