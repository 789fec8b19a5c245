/* SPDX-License-Identifier: BSD-3-Clause */
/* The collector through the pool: what it finds, when it begins, what it costs, and the rare orders of events that the
 * simulation (tests/sim/sim_gc.c) meets too seldom. */
#include "tests/lib/pool_gc.h"

/* ---- what is found ---- */

START_TEST(a_ring_that_nobody_holds_is_freed)
{
    uint64_t ids[10], leaf = put_filled(&fx, fx.a, 1000, 7);
    ring_of(fx.a, ids, 10);
    link_to(ids[3], 1, leaf);
    release_ids(fx.a, ids, 10);
    ck_assert(!is_gone(&fx, ids[0]));
    struct gc_result result = collect();
    ck_assert_uint_eq(result.candidates, 11);
    ck_assert_uint_eq(result.unreachable, 10);
    ck_assert_uint_eq(result.collected, 10);
    ck_assert_uint_eq(result.bytes, 40);
    for (unsigned k = 0; k < 10; k++)
        ck_assert(is_gone(&fx, ids[k]));
    ck_assert(value_is(&fx, leaf, 1000, 7));
    ck_assert_uint_eq(inspect_of(&fx, leaf).held_slots, 0);
}
END_TEST

START_TEST(a_ring_lives_by_a_hold_a_name_or_a_ticket)
{
    uint64_t ids[4];
    uint8_t key[HF_KEY_SIZE];
    ring_of(fx.a, ids, 4);
    ck_assert_int_eq(pool_share(fx.pool, fx.a, ids[2], 1000000, 1, key), 0);
    (void)bind_name(&fx, "ring", ids[1]);
    release_ids(fx.a, ids + 1, 3);
    ck_assert_uint_eq(collect().unreachable, 0);
    (void)release_one(&fx, fx.a, ids[0]);
    ck_assert_uint_eq(collect().unreachable, 0);
    struct name_in name = name_of("ring");
    ck_assert_int_eq(pool_unname(fx.pool, &name, 1, POOL_ANY_VERSION), 0);
    ck_assert_uint_eq(collect().unreachable, 0);
    ck_assert_int_eq(pool_unshare(fx.pool, key), 0);
    ck_assert_uint_eq(collect().collected, 4);
}
END_TEST

START_TEST(what_only_garbage_kept_dies_with_it)
{
    uint64_t ids[2], chain = chain_of(&fx, fx.a, 100);
    ring_of(fx.a, ids, 2);
    link_to(ids[0], 1, chain);
    (void)release_one(&fx, fx.a, chain);
    release_ids(fx.a, ids, 2);
    ck_assert_uint_eq(collect().collected, 102);
    ck_assert_uint_eq(stats_of(&fx).objects, 0);
}
END_TEST

/* A list in segments, scanned and dropped in steps of one unit. */
START_TEST(a_list_of_ten_thousand_slots_is_followed_and_dropped)
{
    static uint64_t refs[8000];
    uint64_t leaf = put_leaf(&fx, fx.b);
    for (unsigned k = 0; k < 8000; k++)
        refs[k] = leaf;
    uint64_t list = put_refs(&fx, fx.a, refs, 8000), last = put_leaf(&fx, fx.a);
    for (unsigned k = 8000; k < 10000; k++)
        link_to(list, k, k + 1 < 10000 ? leaf : last);
    link_to(last, 0, list);
    (void)release_one(&fx, fx.a, last);
    ck_assert_uint_eq(collect().unreachable, 0);
    ck_assert(!is_gone(&fx, last));
    (void)release_one(&fx, fx.a, list);
    struct gc_ticket ticket;
    struct gc_result result;
    ck_assert_int_eq(pool_collect(fx.pool, false, false, &ticket), 0);
    while (!pool_collect_done(fx.pool, ticket, &result))
        (void)pool_step(fx.pool, 1);
    ck_assert_uint_eq(result.collected, 2);
    ck_assert_uint_eq(inspect_of(&fx, leaf).held_slots, 0);
}
END_TEST

START_TEST(a_dry_run_frees_nothing)
{
    uint64_t ids[5];
    ring_of(fx.a, ids, 5);
    (void)pool_guard(fx.pool, fx.b, ids[1]);
    release_ids(fx.a, ids, 5);
    struct gc_result result = collect_with(true, false);
    ck_assert_uint_eq(result.unreachable, 5);
    ck_assert_uint_eq(result.bytes, 20);
    ck_assert_uint_eq(result.collected, 0);
    ck_assert(pool_is_guarded(fx.pool, ids[1]));
    ck_assert(!is_gone(&fx, ids[4]));
    ck_assert_uint_eq(collect().delivered, 1);
}
END_TEST

/* ---- while it runs ---- */

START_TEST(a_condemned_id_is_gone_at_once)
{
    uint64_t ids[200], kept = put_leaf(&fx, fx.b), seen[8], cursor;
    unsigned count;
    ring_of(fx.a, ids, 200);
    release_ids(fx.a, ids, 200);
    struct gc_ticket ticket;
    ck_assert_int_eq(pool_collect(fx.pool, false, false, &ticket), 0);
    while (fx.pool->gc.phase != GC_SWEEP)
        (void)pool_step(fx.pool, 1);
    ck_assert_uint_gt(stats_of(&fx).objects, 150);
    for (unsigned k = 0; k < 200; k++)
        ck_assert(is_gone(&fx, ids[k]));
    struct scan_filter all = {0};
    ck_assert_int_eq(pool_scan(fx.pool, 0, &all, seen, 8, &count, &cursor), 0);
    ck_assert_uint_eq(count, 1);
    ck_assert_uint_eq(seen[0], kept);
    finish();
}
END_TEST

START_TEST(an_id_revives_what_is_not_condemned_yet)
{
    uint64_t ids[3];
    ring_of(fx.a, ids, 3);
    release_ids(fx.a, ids, 3);
    struct gc_ticket ticket;
    ck_assert_int_eq(pool_collect(fx.pool, false, false, &ticket), 0);
    begin_marking();
    (void)retain_one(&fx, fx.b, ids[1]);
    finish();
    ck_assert(!is_gone(&fx, ids[0]));
    (void)release_one(&fx, fx.b, ids[1]);
    ck_assert_uint_eq(collect().collected, 3);
}
END_TEST

START_TEST(who_asks_while_one_runs_gets_the_next)
{
    uint64_t ids[3];
    struct gc_ticket first, second, third;
    struct gc_result result;
    ring_of(fx.a, ids, 3);
    ck_assert_int_eq(pool_collect(fx.pool, false, false, &first), 0);
    begin_marking();
    while (fx.pool->gc.phase == GC_MARK)
        (void)pool_step(fx.pool, 1);
    release_ids(fx.a, ids, 3);
    ck_assert_int_eq(pool_collect(fx.pool, false, false, &second), 0);
    ck_assert_int_eq(pool_collect(fx.pool, false, false, &third), 0);
    ck_assert_uint_eq(second.number, third.number);
    while (!pool_collect_done(fx.pool, first, &result))
        (void)pool_step(fx.pool, 1);
    ck_assert(!pool_collect_done(fx.pool, second, &result));
    while (!pool_collect_done(fx.pool, third, &result))
        (void)pool_step(fx.pool, 1);
    ck_assert_uint_eq(result.collected, 3);
    ck_assert_uint_eq(collections(), 2);
}
END_TEST

/* What a session held counts no more from its end on, though its holds are cleared in steps. */
START_TEST(a_collection_waits_for_sessions_that_end)
{
    uint64_t ids[50];
    struct session *s = fixture_session(&fx, 9, 1000, &fx);
    ring_of(s, ids, 50);
    pool_session_end(fx.pool, s, REASON_SESSION_END);
    ck_assert_uint_eq(collect().collected, 50);
}
END_TEST

/* Garbage keeps a leaf that was reachable until a moment ago; by its id it gets a slot on itself. The sweep takes away
 * what kept it, and nothing tells that it is a cycle but its first slot. */
START_TEST(a_leaf_that_becomes_a_cycle_late_is_found)
{
    uint64_t garbage = put_leaf(&fx, fx.a), leaf = put_leaf(&fx, fx.a);
    struct gc_ticket ticket;
    link_to(garbage, 0, garbage);
    link_to(garbage, 1, leaf);
    (void)release_one(&fx, fx.a, garbage);
    ck_assert_int_eq(pool_collect(fx.pool, false, false, &ticket), 0);
    begin_marking();
    while (fx.pool->gc.phase == GC_MARK)
        (void)pool_step(fx.pool, 1);
    (void)release_one(&fx, fx.a, leaf);
    link_to(leaf, 0, leaf);
    finish();
    ck_assert(is_gone(&fx, garbage));
    ck_assert(!is_gone(&fx, leaf));
    pass_ms(&fx, GC_FULL_AFTER_MS);
    drain(&fx);
    ck_assert(is_gone(&fx, leaf));
}
END_TEST

/* ---- when it begins by itself ---- */

START_TEST(without_cycles_there_is_no_collection)
{
    uint64_t kept = put_leaf(&fx, fx.a);
    for (unsigned k = 0; k < 50000; k++) {
        uint64_t next = put_refs(&fx, fx.a, &kept, 1);
        (void)release_one(&fx, fx.a, kept);
        if (k % 3 == 0)
            (void)release_one(&fx, fx.a, put_refs(&fx, fx.a, &next, 1)); /* an index that comes again */
        kept = next;
        (void)pool_step(fx.pool, 100);
    }
    pass_ms(&fx, 2 * GC_FULL_AFTER_MS);
    drain(&fx);
    ck_assert_uint_eq(collections(), 0);
    ck_assert_uint_eq(figures().suspects, 0);
}
END_TEST

START_TEST(old_suspects_bring_a_collection_and_then_rest)
{
    uint64_t ids[3], now_due, lease_due;
    full_only();
    ring_of(fx.a, ids, 3);
    pool_next_due(fx.pool, &now_due, &lease_due);
    ck_assert_uint_eq(now_due, UINT64_MAX);
    release_ids(fx.a, ids, 3);
    drain(&fx);
    ck_assert_uint_eq(collect_young(false).collected, 0);
    pool_next_due(fx.pool, &now_due, &lease_due);
    ck_assert_uint_eq(now_due, fx.now_ms + GC_FULL_AFTER_MS);
    pass_ms(&fx, GC_FULL_AFTER_MS - 1);
    ck_assert(!pool_has_work(fx.pool));
    pass_ms(&fx, 1);
    ck_assert(pool_has_work(fx.pool));
    drain(&fx);
    ck_assert(is_gone(&fx, ids[0]));
    ck_assert_uint_eq(figures().full[GC_BY_TIME], 1);
    pool_next_due(fx.pool, &now_due, &lease_due);
    ck_assert_uint_eq(now_due, UINT64_MAX);
    ck_assert(!pool_has_work(fx.pool));
}
END_TEST

START_TEST(switched_off_it_only_runs_when_asked)
{
    struct gc_config config = *pool_gc_config(fx.pool);
    uint64_t ids[3];
    config.enabled = false;
    pool_gc_set_config(fx.pool, &config);
    ring_of(fx.a, ids, 3);
    release_ids(fx.a, ids, 3);
    pass_ms(&fx, 10 * GC_FULL_AFTER_MS);
    drain(&fx);
    ck_assert(!is_gone(&fx, ids[0]));
    ck_assert_uint_eq(collect().collected, 3);
}
END_TEST

START_TEST(small_garbage_is_bounded_by_objects)
{
    uint64_t objects, bytes;
    full_only();
    churn(5, 100000, 16, &objects, &bytes);
    ck_assert_uint_gt(figures().full[GC_BY_OBJECTS], 3);
    ck_assert_uint_le(objects, 2 * GC_OBJECTS_LEAST);
}
END_TEST

START_TEST(large_garbage_is_bounded_by_bytes)
{
    uint64_t objects, bytes;
    full_only();
    churn(1 << 20, 400, 2, &objects, &bytes);
    ck_assert_uint_ge(figures().full[GC_BY_BYTES], 3);
    ck_assert_uint_le(bytes, 2 * GC_BYTES_LEAST);
}
END_TEST

/* ---- explained ---- */

START_TEST(cycles_are_told)
{
    uint64_t ring[3], self = put_leaf(&fx, fx.a), tail = put_leaf(&fx, fx.a);
    struct put_spec spec = {.value = bytes_in("value", 5), .tag = (const uint8_t *)"node", .tag_size = 4};
    for (unsigned k = 0; k < 3; k++)
        ck_assert_int_eq(try_put(&fx, fx.a, &spec, &ring[k]), 0);
    for (unsigned k = 0; k < 3; k++)
        link_to(ring[k], 0, ring[(k + 1) % 3]);
    link_to(self, 0, self);
    link_to(self, 1, tail);
    link_to(ring[1], 1, self);
    uint64_t all[5] = {ring[0], ring[1], ring[2], self, tail};
    release_ids(fx.a, all, 5);
    ck_assert_ptr_null(pool_collect_cycles(fx.pool, true));
    (void)collect_with(true, true);
    const struct gc_cycles *cycles = pool_collect_cycles(fx.pool, true);
    ck_assert_ptr_nonnull(cycles);
    ck_assert(cycles->whole);
    ck_assert_uint_eq(cycles->found, 2);
    ck_assert_uint_eq(cycles->count, 2);
    const struct gc_cycle *one = &cycles->cycles[0], *three = &cycles->cycles[1];
    ck_assert_uint_eq(one->objects, 1);
    ck_assert_uint_eq(one->members[0].id, self);
    ck_assert_uint_eq(one->members[0].tag_size, 0);
    ck_assert_uint_eq(three->objects, 3);
    ck_assert_uint_eq(three->bytes, 15);
    for (unsigned k = 0; k < 3; k++) {
        const struct gc_member *member = &three->members[k];
        ck_assert(member->id == ring[0] || member->id == ring[1] || member->id == ring[2]);
        ck_assert_uint_eq(member->size, 5);
        ck_assert_mem_eq(cycles->tags + member->tag_at, "node", 4);
    }
    ck_assert_uint_eq(collect_with(false, true).collected, 5);
    ck_assert_uint_eq(pool_collect_cycles(fx.pool, false)->found, 2);
}
END_TEST

START_TEST(a_cycle_of_ten_thousand_is_told_in_part)
{
    static uint64_t ids[10000];
    full_only();
    ring_of(fx.a, ids, 10000);
    release_ids(fx.a, ids, 10000);
    ck_assert_uint_eq(collect_with(false, true).collected, 10000);
    const struct gc_cycles *cycles = pool_collect_cycles(fx.pool, false);
    ck_assert(!cycles->whole);
    ck_assert_uint_eq(cycles->found, 0);
}
END_TEST

START_TEST(many_cycles_are_told_up_to_a_number)
{
    uint64_t ids[2];
    for (unsigned k = 0; k < 100; k++) {
        ring_of(fx.a, ids, 2);
        release_ids(fx.a, ids, 2);
    }
    (void)collect_with(false, true);
    const struct gc_cycles *cycles = pool_collect_cycles(fx.pool, false);
    ck_assert_uint_eq(cycles->found, 100);
    ck_assert_uint_eq(cycles->count, GC_CYCLES_MAX);
    for (unsigned k = 0; k < GC_CYCLES_MAX; k++)
        ck_assert_uint_eq(cycles->cycles[k].objects, 2);
}
END_TEST

/* ---- figures ---- */

START_TEST(steps_are_counted_in_buckets)
{
    uint64_t ids[3];
    ring_of(fx.a, ids, 3);
    release_ids(fx.a, ids, 3);
    struct gc_ticket ticket;
    struct gc_result result;
    ck_assert_int_eq(pool_collect(fx.pool, false, false, &ticket), 0);
    begin_marking();
    ck_assert(pool_is_collecting(fx.pool));
    pool_stepped(fx.pool, 1000000, 250000, 190000);
    finish();
    ck_assert(!pool_is_collecting(fx.pool));
    pool_stepped(fx.pool, 1400000, 4000, 3000);
    ck_assert(pool_collect_done(fx.pool, ticket, &result));
    ck_assert_uint_eq(result.steps, 2);
    ck_assert_uint_eq(result.begun_ns, 750000);
    ck_assert_uint_eq(result.ended_ns, 1400000);
    ck_assert_uint_eq(result.step_ns_max, 250000);
    ck_assert_uint_eq(result.cpu_ns, 193000);
    struct gc_stats stats = figures();
    ck_assert_uint_eq(stats.step_wall[6], 1); /* up to 300 us */
    ck_assert_uint_eq(stats.step_cpu[5], 1);  /* up to 200 us */
    ck_assert_uint_eq(stats.step_wall[0], 1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("gc");
    TCase *found = suite_case(suite, "found", setup, teardown);
    tcase_add_test(found, a_ring_that_nobody_holds_is_freed);
    tcase_add_test(found, a_ring_lives_by_a_hold_a_name_or_a_ticket);
    tcase_add_test(found, what_only_garbage_kept_dies_with_it);
    tcase_add_test(found, a_list_of_ten_thousand_slots_is_followed_and_dropped);
    tcase_add_test(found, a_dry_run_frees_nothing);
    TCase *running = suite_case(suite, "running", setup, teardown);
    tcase_add_test(running, a_condemned_id_is_gone_at_once);
    tcase_add_test(running, an_id_revives_what_is_not_condemned_yet);
    tcase_add_test(running, who_asks_while_one_runs_gets_the_next);
    tcase_add_test(running, a_collection_waits_for_sessions_that_end);
    tcase_add_test(running, a_leaf_that_becomes_a_cycle_late_is_found);
    TCase *begins = suite_case(suite, "begins", setup, teardown);
    tcase_add_test(begins, without_cycles_there_is_no_collection);
    tcase_add_test(begins, old_suspects_bring_a_collection_and_then_rest);
    tcase_add_test(begins, switched_off_it_only_runs_when_asked);
    tcase_add_test(begins, small_garbage_is_bounded_by_objects);
    tcase_add_test(begins, large_garbage_is_bounded_by_bytes);
    TCase *explained = suite_case(suite, "explained", setup, teardown);
    tcase_add_test(explained, cycles_are_told);
    tcase_add_test(explained, a_cycle_of_ten_thousand_is_told_in_part);
    tcase_add_test(explained, many_cycles_are_told_up_to_a_number);
    tcase_add_test(explained, steps_are_counted_in_buckets);
    return suite_run(suite);
}
