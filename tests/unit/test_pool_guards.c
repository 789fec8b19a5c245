/* SPDX-License-Identifier: BSD-3-Clause */
/* Guards of a pool: what is unreachable becomes a hold of the guard's session, once, and that is announced. */
#include "daemon/pool/internal.h"
#include "tests/lib/event_fixture.h"
#include "tests/lib/suite.h"

static struct fixture fx;

static void setup(void)
{
    fixture_open(&fx);
}

static void teardown(void)
{
    fixture_end(&fx);
}

static void collect(void)
{
    struct gc_ticket ticket;
    ck_assert_int_eq(pool_collect(fx.pool, false, false, &ticket), 0);
}

static void guard(struct session *s, uint64_t id)
{
    ck_assert_int_eq(pool_guard(fx.pool, s, id), 0);
    pool_listen(fx.pool, s);
}

/* An object that a holds and b guards. */
static uint64_t guarded(void)
{
    uint64_t id = put_leaf(&fx, fx.a);
    guard(fx.b, id);
    return id;
}

static uint64_t held_by(struct session *s, uint64_t id)
{
    return hold_count(fx.pool, s, (uint32_t)id);
}

/* ---- delivery ---- */

START_TEST(an_unreachable_object_becomes_a_hold)
{
    uint64_t id = guarded();
    ck_assert_uint_eq(inspect_of(&fx, id).held_sessions, 1);
    expect_nothing(&fx, fx.b);
    release_one(&fx, fx.a, id);
    ck_assert_uint_eq(held_by(fx.b, id), 1);
    ck_assert_uint_eq(inspect_of(&fx, id).held_sessions, 1);
    ck_assert_uint_eq(expect_unreachable(&fx, fx.b, id), 1);
    expect_nothing(&fx, fx.b);
    ck_assert_uint_eq(events_of(&fx).guards + events_of(&fx).waiting, 0);
    ck_assert_uint_eq(release_one(&fx, fx.b, id), 0); /* an ordinary hold, and the guard is used up */
    ck_assert(is_gone(&fx, id));
    expect_nothing(&fx, fx.b);
}
END_TEST

START_TEST(what_it_refers_to_stays_too)
{
    uint64_t leaf = put_leaf(&fx, fx.a), top = put_refs(&fx, fx.a, &leaf, 1);
    release_one(&fx, fx.a, leaf);
    guard(fx.b, top);
    release_one(&fx, fx.a, top);
    expect_unreachable(&fx, fx.b, top);
    ck_assert(!is_gone(&fx, leaf));
    release_one(&fx, fx.b, top);
    ck_assert(is_gone(&fx, leaf));
}
END_TEST

START_TEST(below_what_dies_a_guard_stops_the_cascade)
{
    uint64_t leaf = put_leaf(&fx, fx.a), middle = put_refs(&fx, fx.a, &leaf, 1),
             top = put_refs(&fx, fx.a, &middle, 1);
    release_one(&fx, fx.a, leaf);
    release_one(&fx, fx.a, middle);
    guard(fx.b, middle);
    guard(fx.b, leaf);
    release_one(&fx, fx.a, top);
    ck_assert(is_gone(&fx, top));
    expect_unreachable(&fx, fx.b, middle);
    expect_nothing(&fx, fx.b); /* the leaf is still reachable */
    release_one(&fx, fx.b, middle);
    expect_unreachable(&fx, fx.b, leaf);
}
END_TEST

START_TEST(each_way_to_become_unreachable)
{
    uint64_t parent = put_refs(&fx, fx.a, (uint64_t[]){0}, 1), id = guarded(), previous;
    struct name_in name = name_of("n");
    uint8_t key[HF_KEY_SIZE];
    ck_assert_int_eq(pool_link(fx.pool, parent, 0, id, &previous), 0);
    release_one(&fx, fx.a, id);
    expect_nothing(&fx, fx.b);
    ck_assert_int_eq(pool_link(fx.pool, parent, 0, 0, &previous), 0);
    expect_unreachable(&fx, fx.b, id);
    bind_name(&fx, "n", id);
    guard(fx.b, id); /* anew: the old one is used up */
    release_one(&fx, fx.b, id);
    expect_nothing(&fx, fx.b);
    ck_assert_int_eq(pool_unname(fx.pool, &name, 1, POOL_ANY_VERSION), 0);
    expect_unreachable(&fx, fx.b, id);
    ck_assert_int_eq(pool_share(fx.pool, fx.b, id, 1000, 1, key), 0);
    guard(fx.b, id);
    release_one(&fx, fx.b, id);
    expect_nothing(&fx, fx.b);
    pass_ms(&fx, 1000);
    drain(&fx);
    expect_unreachable(&fx, fx.b, id);
}
END_TEST

START_TEST(a_cycle_is_delivered_whole)
{
    uint64_t refs[2][1] = {{POOL_ITEM(1)}, {POOL_ITEM(0)}}, ids[2], counts[2];
    struct put_spec specs[2] = {{.value = bytes_in("x", 1), .refs = refs[0], .refs_count = 1},
                                {.value = bytes_in("y", 1), .refs = refs[1], .refs_count = 1}};
    ck_assert_int_eq(pool_put_many(fx.pool, fx.a, specs, 2, ids), 0);
    guard(fx.b, ids[1]);
    watch(&fx, fx.b, ids[0]);
    ck_assert_int_eq(pool_release(fx.pool, fx.a, ids, 2, 1, counts), 0);
    drain(&fx);
    expect_nothing(&fx, fx.b);
    collect();
    drain(&fx);
    expect_unreachable(&fx, fx.b, ids[1]);
    expect_nothing(&fx, fx.b);
    ck_assert(!is_gone(&fx, ids[0]));
    ck_assert_uint_eq(held_by(fx.b, ids[1]), 1);
    release_one(&fx, fx.b, ids[1]);
    collect();
    drain(&fx);
    expect_freed(&fx, fx.b, ids[0], "cycle");
    ck_assert(is_gone(&fx, ids[1]));
}
END_TEST

START_TEST(a_watch_beside_a_guard_tells_of_the_real_death)
{
    uint64_t id = guarded();
    watch(&fx, fx.b, id);
    release_one(&fx, fx.a, id);
    expect_unreachable(&fx, fx.b, id);
    expect_nothing(&fx, fx.b);
    release_one(&fx, fx.b, id);
    expect_freed(&fx, fx.b, id, "release");
}
END_TEST

/* ---- arguments ---- */

START_TEST(one_guard_an_object)
{
    uint64_t id = guarded();
    ck_assert_int_eq(pool_guard(fx.pool, fx.a, id), -HF_E_CONFLICT);
    ck_assert_int_eq(pool_guard(fx.pool, fx.b, id), -HF_E_CONFLICT);
    ck_assert_int_eq(pool_unguard(fx.pool, fx.a, id), -HF_E_CONFLICT);
    ck_assert_int_eq(pool_unguard(fx.pool, fx.b, id), 0);
    ck_assert_int_eq(pool_unguard(fx.pool, fx.b, id), -HF_E_CONFLICT);
    guard(fx.a, id);
    release_one(&fx, fx.a, id);
    expect_nothing(&fx, fx.b);
    expect_unreachable(&fx, fx.a, id);
}
END_TEST

START_TEST(gone_and_unsealed)
{
    uint64_t id = put_leaf(&fx, fx.a), open = put_open(&fx, fx.a, 4);
    release_one(&fx, fx.a, id);
    ck_assert_int_eq(pool_guard(fx.pool, fx.b, id), -HF_E_GONE);
    ck_assert_int_eq(pool_unguard(fx.pool, fx.b, id), -HF_E_GONE);
    ck_assert_int_eq(pool_guard(fx.pool, fx.a, open), -HF_E_UNSEALED);
    ck_assert_uint_eq(events_of(&fx).guards, 0);
}
END_TEST

START_TEST(no_memory_leaves_no_guard)
{
    enum { MANY = 30000 };
    struct mem *mem = pool_mem(fx.pool);
    uint64_t limit = mem_limit(mem), cells = 0;
    static uint64_t ids[MANY];
    unsigned failed = 0;
    for (unsigned k = 0; k < MANY; k++)
        ids[k] = put_leaf(&fx, fx.a);
    drain(&fx);
    for (unsigned k = 0; k < MANY && failed < 20; k++) {
        mem_set_limit(mem, mem->used + failed * 1000);
        cells = fx.pool->heap.cells.live_bytes - fx.pool->heap.spare_count * 32ull;
        int rc = pool_guard(fx.pool, fx.b, ids[k]);
        mem_set_limit(mem, limit);
        if (rc == 0)
            continue;
        ck_assert_int_eq(rc, -HF_E_OOM);
        ck_assert(!pool_is_guarded(fx.pool, ids[k]));
        ck_assert_uint_eq(fx.pool->heap.cells.live_bytes - fx.pool->heap.spare_count * 32ull, cells);
        ck_assert_int_eq(pool_guard(fx.pool, fx.b, ids[k]), 0);
        failed++;
    }
    ck_assert_uint_gt(failed, 3);
}
END_TEST

/* ---- sessions ---- */

START_TEST(in_grace_the_event_waits_and_the_object_lives)
{
    uint64_t id = guarded();
    pool_session_detach(fx.pool, fx.b);
    release_one(&fx, fx.a, id);
    drain(&fx);
    ck_assert(!pool_has_events(fx.pool));
    ck_assert(!is_gone(&fx, id));
    pool_session_attach(fx.pool, fx.b, &fx.owner_b);
    ck_assert(!pool_has_events(fx.pool));
    pool_listen(fx.pool, fx.b);
    expect_unreachable(&fx, fx.b, id);
    expect_nothing(&fx, fx.b);
    ck_assert_uint_eq(held_by(fx.b, id), 1);
}
END_TEST

START_TEST(the_end_of_the_session_lets_it_die)
{
    uint64_t delivered = guarded(), held = guarded(), other = guarded();
    watch(&fx, fx.a, delivered);
    watch(&fx, fx.a, held);
    pool_session_detach(fx.pool, fx.b);
    release_one(&fx, fx.a, delivered);
    pass_ms(&fx, FIXTURE_LEASE_MS);
    drain(&fx);
    expect_freed(&fx, fx.a, delivered, "session_end");
    ck_assert_uint_eq(events_of(&fx).guards + events_of(&fx).waiting, 0);
    release_one(&fx, fx.a, held); /* its guard is cancelled */
    expect_freed(&fx, fx.a, held, "release");
    ck_assert(!is_gone(&fx, other));
}
END_TEST

/* A session guards what only it holds. */
START_TEST(a_session_that_ends_gets_no_delivery)
{
    struct session *s = fixture_session(&fx, 9, 1000, &fx.owner_a);
    uint64_t id = put_leaf(&fx, s);
    guard(s, id);
    watch(&fx, fx.a, id);
    pool_session_end(fx.pool, s, REASON_KILL);
    drain(&fx);
    expect_freed(&fx, fx.a, id, "kill");
    ck_assert_uint_eq(stats_of(&fx).sessions_dying, 0);
}
END_TEST

/* The holder ends, and the guard's session has ended before, whose guards are taken back in steps. */
START_TEST(a_guard_of_an_ending_session_delivers_nothing)
{
    uint64_t id = guarded();
    watch(&fx, fx.a, id);
    pool_session_end(fx.pool, fx.b, REASON_SESSION_END);
    release_one(&fx, fx.a, id); /* before any step */
    ck_assert(is_gone(&fx, id));
    drain(&fx);
    expect_freed(&fx, fx.a, id, "release");
}
END_TEST

/* An object that nothing but its guard keeps, since there was no memory for the delivery. *ret_limit: what the pool has
 * when there is some again. */
static uint64_t undelivered(uint64_t *ret_limit)
{
    uint64_t id = guarded();
    /* so that the vector of holds has no room */
    while (fx.b->holds.room != fx.b->holds.count)
        (void)put_leaf(&fx, fx.b);
    *ret_limit = mem_limit(pool_mem(fx.pool));
    mem_set_limit(pool_mem(fx.pool), 0);
    release_one(&fx, fx.a, id);
    ck_assert(!is_gone(&fx, id));
    ck_assert_uint_eq(held_by(fx.b, id), 0);
    expect_nothing(&fx, fx.b);
    verify_ok(&fx);
    return id;
}

/* Found by the oracle (HF_SEED=13878 of d74d6bb). */
START_TEST(without_its_guard_what_could_not_be_delivered_dies)
{
    uint64_t limit, id = undelivered(&limit);
    ck_assert_int_eq(pool_unguard(fx.pool, fx.b, id), 0);
    ck_assert(is_gone(&fx, id));
    mem_set_limit(pool_mem(fx.pool), limit);
    drain(&fx);
    expect_nothing(&fx, fx.b);
}
END_TEST

START_TEST(a_delivery_without_memory_is_made_later)
{
    uint64_t limit, id = undelivered(&limit);
    mem_set_limit(pool_mem(fx.pool), limit);
    pass_ms(&fx, 1);
    drain(&fx);
    ck_assert_uint_eq(held_by(fx.b, id), 1);
    expect_unreachable(&fx, fx.b, id);
}
END_TEST

/* ---- after a restart ---- */

START_TEST(guards_outlive_the_process)
{
    uint64_t id = guarded();
    fixture_restart(&fx);
    ck_assert(pool_is_guarded(fx.pool, id));
    pool_session_attach(fx.pool, fx.a, &fx.owner_a);
    pool_session_attach(fx.pool, fx.b, &fx.owner_b);
    pool_listen(fx.pool, fx.b);
    ck_assert(!pool_has_events(fx.pool));
    release_one(&fx, fx.a, id);
    expect_unreachable(&fx, fx.b, id);
    expect_nothing(&fx, fx.b);
}
END_TEST

START_TEST(recovery_delivers_what_only_a_guard_is_left_on)
{
    struct session *anonymous = fixture_anonymous(&fx, &fx.owner_a);
    uint64_t leaf = put_leaf(&fx, anonymous), id = put_refs(&fx, anonymous, &leaf, 1);
    guard(fx.b, id);
    fixture_restart(&fx); /* ends the anonymous one */
    ck_assert(!is_gone(&fx, leaf));
    pool_session_attach(fx.pool, fx.b, &fx.owner_b);
    ck_assert_uint_eq(held_by(fx.b, id), 1);
    ck_assert(!pool_is_guarded(fx.pool, id));
    pool_listen(fx.pool, fx.b);
    expect_unreachable(&fx, fx.b, id);
    expect_nothing(&fx, fx.b);
    fixture_restart(&fx);
    ck_assert_uint_eq(events_of(&fx).waiting, 0); /* it was told */
}
END_TEST

START_TEST(a_delivery_that_was_not_told_is_told_after_a_restart)
{
    uint64_t id = guarded();
    struct event event;
    release_one(&fx, fx.a, id);
    ck_assert(peek_event(&fx, fx.b, &event)); /* taken, and the process dies before it is sent */
    fixture_restart(&fx);
    pool_session_attach(fx.pool, fx.b, &fx.owner_b);
    pool_listen(fx.pool, fx.b);
    expect_unreachable(&fx, fx.b, id);
    ck_assert_uint_eq(held_by(fx.b, id), 1);
}
END_TEST

/* The hold is there and the notice does not say so yet: the process died between the two stores. */
START_TEST(a_restart_between_delivery_and_announcement)
{
    uint64_t id = guarded();
    release_one(&fx, fx.a, id);
    struct cell_notice *notice = cell_at(&fx.pool->heap, fx.b->outbox->first);
    ck_assert_uint_eq(notice->what & NOTICE_FIRED, NOTICE_FIRED);
    notice->what &= ~NOTICE_FIRED;
    fixture_restart(&fx);
    pool_session_attach(fx.pool, fx.b, &fx.owner_b);
    pool_listen(fx.pool, fx.b);
    expect_unreachable(&fx, fx.b, id);
    expect_nothing(&fx, fx.b);
}
END_TEST

/* Damaged images: a notice that is of no guard, or of one that has another, tells by itself and leaves the guard alone.
 * Before, the guard took it for its own and gave its cell back a second time. */

static struct cell_notice *notice_of(uint64_t id)
{
    uint32_t index = (uint32_t)id, guard = index_find(&fx.pool->guards, bits_mix(index), &index);
    return cell_at(&fx.pool->heap, ((const struct cell_hold *)cell_at(&fx.pool->heap, guard))->first_place);
}

/* The guard still does what it is for, but nothing announces it. */
static void guard_works_silently(uint64_t id)
{
    ck_assert(pool_is_guarded(fx.pool, id));
    release_one(&fx, fx.a, id);
    drain(&fx);
    ck_assert_uint_eq(held_by(fx.b, id), 1);
    expect_nothing(&fx, fx.b);
    ck_assert_uint_eq(release_one(&fx, fx.b, id), 0);
}

static void restart_and_listen(void)
{
    fixture_restart(&fx);
    pool_session_attach(fx.pool, fx.a, &fx.owner_a);
    pool_session_attach(fx.pool, fx.b, &fx.owner_b);
    pool_listen(fx.pool, fx.a);
    pool_listen(fx.pool, fx.b);
}

START_TEST(a_notice_of_another_generation)
{
    uint64_t id = guarded();
    notice_of(id)->what ^= 1;
    restart_and_listen();
    expect_unreachable(&fx, fx.b, id + (1ull << 32));
    guard_works_silently(id);
}
END_TEST

START_TEST(a_notice_of_another_session)
{
    uint64_t id = guarded();
    notice_of(id)->session = fx.a->ref;
    restart_and_listen();
    expect_unreachable(&fx, fx.a, id);
    guard_works_silently(id);
}
END_TEST

START_TEST(a_notice_that_says_it_has_fired)
{
    uint64_t id = guarded();
    notice_of(id)->what |= NOTICE_FIRED;
    restart_and_listen();
    expect_unreachable(&fx, fx.b, id);
    guard_works_silently(id);
}
END_TEST

START_TEST(two_notices_of_one_guard)
{
    uint64_t id = guarded(), other = guarded();
    notice_of(other)->object = (uint32_t)id;
    notice_of(other)->what = notice_of(id)->what;
    restart_and_listen();
    expect_unreachable(&fx, fx.b, id); /* the second one, whose guard has the first */
    expect_nothing(&fx, fx.b);
    release_one(&fx, fx.a, id);
    expect_unreachable(&fx, fx.b, id);
    guard_works_silently(other);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pool guards");
    TCase *delivery = suite_case(suite, "delivery", setup, teardown);
    tcase_add_test(delivery, an_unreachable_object_becomes_a_hold);
    tcase_add_test(delivery, what_it_refers_to_stays_too);
    tcase_add_test(delivery, below_what_dies_a_guard_stops_the_cascade);
    tcase_add_test(delivery, each_way_to_become_unreachable);
    tcase_add_test(delivery, a_cycle_is_delivered_whole);
    tcase_add_test(delivery, a_watch_beside_a_guard_tells_of_the_real_death);
    tcase_add_test(delivery, one_guard_an_object);
    tcase_add_test(delivery, gone_and_unsealed);
    tcase_add_test(delivery, no_memory_leaves_no_guard);
    TCase *sessions = suite_case(suite, "sessions", setup, teardown);
    tcase_add_test(sessions, in_grace_the_event_waits_and_the_object_lives);
    tcase_add_test(sessions, the_end_of_the_session_lets_it_die);
    tcase_add_test(sessions, a_session_that_ends_gets_no_delivery);
    tcase_add_test(sessions, a_guard_of_an_ending_session_delivers_nothing);
    tcase_add_test(sessions, a_delivery_without_memory_is_made_later);
    tcase_add_test(sessions, without_its_guard_what_could_not_be_delivered_dies);
    TCase *restart = suite_case(suite, "restart", setup, teardown);
    tcase_add_test(restart, guards_outlive_the_process);
    tcase_add_test(restart, recovery_delivers_what_only_a_guard_is_left_on);
    tcase_add_test(restart, a_delivery_that_was_not_told_is_told_after_a_restart);
    tcase_add_test(restart, a_restart_between_delivery_and_announcement);
    TCase *damage = suite_case(suite, "damage", setup, teardown);
    tcase_add_test(damage, a_notice_of_another_generation);
    tcase_add_test(damage, a_notice_of_another_session);
    tcase_add_test(damage, a_notice_that_says_it_has_fired);
    tcase_add_test(damage, two_notices_of_one_guard);
    return suite_run(suite);
}
