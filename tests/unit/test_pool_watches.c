/* SPDX-License-Identifier: BSD-3-Clause */
/* Watches of a pool: who is told of which death, why, when, and how often. */
#include "daemon/pool/internal.h"
#include "tests/lib/event_fixture.h"
#include "tests/lib/suite.h"

#include <string.h>

static struct fixture fx;

static void setup(void)
{
    fixture_open(&fx);
}

static void teardown(void)
{
    fixture_end(&fx);
}

/* An object that a holds and b watches. */
static uint64_t watched(void)
{
    uint64_t id = put_leaf(&fx, fx.a);
    watch(&fx, fx.b, id);
    return id;
}

/* ---- once, and only then ---- */

START_TEST(a_death_is_told_once)
{
    uint64_t id = watched();
    expect_nothing(&fx, fx.b);
    release_one(&fx, fx.a, id);
    ck_assert(pool_has_events(fx.pool));
    ck_assert_ptr_eq(pool_events_session(fx.pool), fx.b);
    ck_assert_uint_eq(expect_freed(&fx, fx.b, id, "release"), 1);
    expect_nothing(&fx, fx.b);
    expect_nothing(&fx, fx.a);
    ck_assert(!pool_has_events(fx.pool));
    ck_assert_uint_eq(events_of(&fx).watches + events_of(&fx).waiting, 0);
}
END_TEST

START_TEST(the_holder_itself_may_watch)
{
    uint64_t id = put_leaf(&fx, fx.a);
    watch(&fx, fx.a, id);
    release_one(&fx, fx.a, id);
    expect_freed(&fx, fx.a, id, "release");
}
END_TEST

START_TEST(a_watch_keeps_nothing_alive)
{
    uint64_t id = watched();
    ck_assert_uint_eq(inspect_of(&fx, id).held_sessions, 1);
    release_one(&fx, fx.a, id);
    ck_assert(is_gone(&fx, id));
    expect_freed(&fx, fx.b, id, "release");
}
END_TEST

START_TEST(watching_twice_is_watching_once)
{
    uint64_t id = watched(), twice[3] = {id, id, id};
    ck_assert_int_eq(pool_watch(fx.pool, fx.b, twice, 3), 0);
    ck_assert_uint_eq(events_of(&fx).watches, 1);
    release_one(&fx, fx.a, id);
    expect_freed(&fx, fx.b, id, "release");
    expect_nothing(&fx, fx.b);
}
END_TEST

START_TEST(each_watcher_is_told)
{
    enum { WATCHERS = 200 };
    struct session *s[WATCHERS];
    uint64_t id = put_leaf(&fx, fx.a);
    for (unsigned k = 0; k < WATCHERS; k++) {
        s[k] = fixture_session(&fx, 100 + k, FIXTURE_LEASE_MS, &fx.owner_a);
        watch(&fx, s[k], id);
    }
    ck_assert_int_eq(pool_unwatch(fx.pool, s[0], &id, 1), 0);   /* the first of the chain */
    ck_assert_int_eq(pool_unwatch(fx.pool, s[100], &id, 1), 0); /* from its middle */
    ck_assert_int_eq(pool_unwatch(fx.pool, s[199], &id, 1), 0);
    ck_assert_uint_eq(events_of(&fx).watches, WATCHERS - 3);
    release_one(&fx, fx.a, id);
    ck_assert_uint_lt(events_of(&fx).waiting, WATCHERS - 3); /* the rest waits for steps */
    drain(&fx);
    for (unsigned k = 0; k < WATCHERS; k++) {
        if (k != 0 && k != 100 && k != 199)
            expect_freed(&fx, s[k], id, "release");
        expect_nothing(&fx, s[k]);
    }
}
END_TEST

START_TEST(seq_counts_the_sessions_own_events)
{
    uint64_t ids[4];
    for (unsigned k = 0; k < 4; k++) {
        ids[k] = put_leaf(&fx, fx.a);
        watch(&fx, k % 2 == 0 ? fx.a : fx.b, ids[k]);
    }
    for (unsigned k = 0; k < 4; k++)
        release_one(&fx, fx.a, ids[k]);
    ck_assert_uint_eq(expect_freed(&fx, fx.a, ids[0], "release"), 1);
    ck_assert_uint_eq(expect_freed(&fx, fx.b, ids[1], "release"), 1);
    ck_assert_uint_eq(expect_freed(&fx, fx.b, ids[3], "release"), 2);
    ck_assert_uint_eq(expect_freed(&fx, fx.a, ids[2], "release"), 2);
}
END_TEST

/* ---- arguments ---- */

START_TEST(what_is_gone_cannot_be_watched)
{
    uint64_t ids[3] = {put_leaf(&fx, fx.a), put_leaf(&fx, fx.a), put_leaf(&fx, fx.a)};
    release_one(&fx, fx.a, ids[1]);
    ck_assert_int_eq(pool_watch(fx.pool, fx.b, ids, 3), -HF_E_GONE);
    ck_assert_int_eq(pool_fault(fx.pool)->index, 1);
    ck_assert_uint_eq(pool_fault(fx.pool)->id, ids[1]);
    ck_assert_uint_eq(events_of(&fx).watches, 0); /* none of them */
    ck_assert_int_eq(pool_unwatch(fx.pool, fx.b, ids, 3), -HF_E_GONE);
    ck_assert_int_eq(pool_fault(fx.pool)->index, 1);
}
END_TEST

START_TEST(unwatch_ends_it)
{
    uint64_t ids[2] = {watched(), watched()};
    ck_assert_int_eq(pool_unwatch(fx.pool, fx.b, ids, 1), 0);
    ck_assert_int_eq(pool_unwatch(fx.pool, fx.b, ids, 1), 0);     /* as often as one likes */
    ck_assert_int_eq(pool_unwatch(fx.pool, fx.a, &ids[1], 1), 0); /* not b's */
    release_one(&fx, fx.a, ids[0]);
    release_one(&fx, fx.a, ids[1]);
    expect_freed(&fx, fx.b, ids[1], "release");
    expect_nothing(&fx, fx.b);
}
END_TEST

START_TEST(no_memory_leaves_nothing_behind)
{
    enum { OBJECTS = 60000, CALL = 1000 };
    static uint64_t ids[OBJECTS];
    for (unsigned k = 0; k < OBJECTS; k++)
        ids[k] = put_leaf(&fx, fx.a);
    drain(&fx);
    watch(&fx, fx.b, ids[0]);
    struct mem *mem = pool_mem(fx.pool);
    unsigned midway = 0; /* failures when part of the array was done */
    for (unsigned rounds = 0, at = 1; rounds < 20; rounds++) {
        uint64_t limit = mem_limit(mem);
        mem_set_limit(mem, mem->used + rounds * 3000);
        int rc = 0;
        uint64_t before = 1;
        for (at = 1; rc == 0; at += CALL) {
            ck_assert_uint_lt(at + CALL, OBJECTS);
            before = events_of(&fx).watches;
            rc = pool_watch(fx.pool, fx.b, ids + at, CALL);
        }
        ck_assert_int_eq(rc, -HF_E_OOM);
        midway += pool_fault(fx.pool)->index > 0;
        ck_assert_uint_eq(events_of(&fx).watches, before);
        mem_set_limit(mem, limit);
        verify_ok(&fx);
        for (at = 1; events_of(&fx).watches > 1; at += CALL)
            ck_assert_int_eq(pool_unwatch(fx.pool, fx.b, ids + at, CALL), 0);
    }
    ck_assert_uint_gt(midway, 0);
}
END_TEST

/* ---- reasons ---- */

START_TEST(reason_unlink)
{
    uint64_t leaf = put_leaf(&fx, fx.a), parent = put_refs(&fx, fx.a, &leaf, 1), previous;
    watch(&fx, fx.b, leaf);
    release_one(&fx, fx.a, leaf);
    expect_nothing(&fx, fx.b);
    ck_assert_int_eq(pool_link(fx.pool, parent, 0, 0, &previous), 0);
    expect_freed(&fx, fx.b, leaf, "unlink");
}
END_TEST

START_TEST(reason_unname)
{
    uint64_t id = watched();
    struct name_in name = name_of("n");
    bind_name(&fx, "n", id);
    release_one(&fx, fx.a, id);
    ck_assert_int_eq(pool_unname(fx.pool, &name, 1, POOL_ANY_VERSION), 0);
    expect_freed(&fx, fx.b, id, "unname");
}
END_TEST

START_TEST(reason_replaced)
{
    uint64_t first = watched(), second = watched(), third, version;
    struct value_in value = bytes_in("x", 1);
    bind_name(&fx, "n", first);
    release_one(&fx, fx.a, first);
    bind_name(&fx, "n", second);
    expect_freed(&fx, fx.b, first, "replaced");
    release_one(&fx, fx.a, second);
    ck_assert_int_eq(pool_store(fx.pool, name_of("n"), &value, POOL_ANY_VERSION, NULL, 0, &third, &version),
                     0);
    expect_freed(&fx, fx.b, second, "replaced");
}
END_TEST

START_TEST(reason_ticket)
{
    uint64_t taken_back = watched(), over_time = watched();
    uint8_t key[HF_KEY_SIZE], other[HF_KEY_SIZE];
    ck_assert_int_eq(pool_share(fx.pool, fx.a, taken_back, 1000, 1, key), 0);
    ck_assert_int_eq(pool_share(fx.pool, fx.a, over_time, 1000, 1, other), 0);
    release_one(&fx, fx.a, taken_back);
    release_one(&fx, fx.a, over_time);
    ck_assert_int_eq(pool_unshare(fx.pool, key), 0);
    expect_freed(&fx, fx.b, taken_back, "ticket");
    pass_ms(&fx, 1000);
    drain(&fx);
    expect_freed(&fx, fx.b, over_time, "ticket");
}
END_TEST

START_TEST(reasons_session_end_and_kill)
{
    struct session *ends = fixture_session(&fx, 7, 1000, &fx.owner_a);
    struct session *killed = fixture_session(&fx, 8, 1000, &fx.owner_a);
    uint64_t first = put_leaf(&fx, ends), second = put_leaf(&fx, killed), both = put_leaf(&fx, ends);
    retain_one(&fx, killed, both); /* a further holder's cell */
    watch(&fx, fx.b, first);
    watch(&fx, fx.b, second);
    watch(&fx, fx.b, both);
    pool_session_end(fx.pool, killed, REASON_KILL);
    drain(&fx);
    expect_freed(&fx, fx.b, second, "kill");
    expect_nothing(&fx, fx.b);
    pool_session_detach(fx.pool, ends);
    pass_ms(&fx, 1000);
    drain(&fx);
    uint64_t seq = expect_freed(&fx, fx.b, first, "session_end"); /* no order is promised; this one has it */
    ck_assert_uint_eq(expect_freed(&fx, fx.b, both, "session_end"), seq + 1);
}
END_TEST

START_TEST(reason_abort)
{
    struct session *s = fixture_session(&fx, 7, 1000, &fx.owner_a);
    uint64_t dropped = put_open(&fx, s, 10), released = put_open(&fx, fx.a, 10),
             sealed = put_open(&fx, fx.a, 10);
    watch(&fx, fx.b, dropped);
    watch(&fx, fx.b, released);
    watch(&fx, fx.b, sealed);
    pool_session_end(fx.pool, s, REASON_KILL);
    drain(&fx);
    expect_freed(&fx, fx.b, dropped, "abort");
    release_one(&fx, fx.a, released);
    expect_freed(&fx, fx.b, released, "abort");
    ck_assert_int_eq(pool_seal(fx.pool, fx.a, sealed), 0);
    release_one(&fx, fx.a, sealed);
    expect_freed(&fx, fx.b, sealed, "release");
}
END_TEST

START_TEST(reason_cycle)
{
    uint64_t refs[2][1] = {{POOL_ITEM(1)}, {POOL_ITEM(0)}}, ids[2], counts[2], leaf;
    struct put_spec specs[2] = {{.value = bytes_in("x", 1), .refs = refs[0], .refs_count = 1},
                                {.value = bytes_in("y", 1), .refs = refs[1], .refs_count = 1}};
    struct gc_result result;
    ck_assert_int_eq(pool_put_many(fx.pool, fx.a, specs, 2, ids), 0);
    leaf = put_leaf(&fx, fx.a);
    uint64_t previous;
    ck_assert_int_eq(pool_link(fx.pool, ids[0], 1, leaf, &previous), 0);
    release_one(&fx, fx.a, leaf);
    watch(&fx, fx.b, ids[0]);
    watch(&fx, fx.b, ids[1]);
    watch(&fx, fx.b, leaf);
    ck_assert_int_eq(pool_release(fx.pool, fx.a, ids, 2, 1, counts), 0);
    drain(&fx);
    expect_nothing(&fx, fx.b);
    struct gc_ticket ticket;
    ck_assert_int_eq(pool_collect(fx.pool, false, false, &ticket), 0);
    drain(&fx);
    ck_assert(pool_collect_done(fx.pool, ticket, &result));
    ck_assert_uint_eq(result.collected, 3);
    expect_freed(&fx, fx.b, ids[0], "cycle");
    expect_freed(&fx, fx.b, ids[1], "cycle");
    expect_freed(&fx, fx.b, leaf, "cycle");
    expect_nothing(&fx, fx.b);
}
END_TEST

/* What a collected cycle alone kept by count, and was marked because it was held when marking began. */
START_TEST(what_dies_of_a_sweep_dies_of_the_cycle)
{
    uint64_t leaf = put_leaf(&fx, fx.a), self, previous;
    self = put_refs(&fx, fx.a, &leaf, 1);
    ck_assert_int_eq(pool_link(fx.pool, self, 1, self, &previous), 0);
    watch(&fx, fx.b, leaf);
    release_one(&fx, fx.a, self);
    drain(&fx);
    struct gc_ticket ticket;
    ck_assert_int_eq(pool_collect(fx.pool, false, false, &ticket), 0);
    while (fx.pool->heap.collecting != COLLECT_SWEEP)
        ck_assert_uint_ne(pool_step(fx.pool, 1), 0);
    ck_assert(!is_gone(&fx, leaf));
    release_one(&fx, fx.a, leaf);
    ck_assert(!is_gone(&fx, leaf)); /* the condemned one still has its slot */
    drain(&fx);
    expect_freed(&fx, fx.b, leaf, "cycle");
    release_one(&fx, fx.a, put_leaf(&fx, fx.a));
    uint64_t other = watched();
    release_one(&fx, fx.a, other);
    expect_freed(&fx, fx.b, other, "release"); /* and that was all */
}
END_TEST

START_TEST(a_cascade_has_the_reason_of_its_root)
{
    enum { LENGTH = 300 }; /* far more than dies within a call */
    uint64_t head = chain_of(&fx, fx.a, LENGTH), id = head, next;
    uint64_t ids[LENGTH];
    uint32_t count, total;
    for (unsigned k = 0; k < LENGTH; k++) {
        ids[k] = id;
        watch(&fx, fx.b, id);
        ck_assert_int_eq(pool_refs(fx.pool, id, 0, &next, 1, &count, &total), 0);
        id = next;
    }
    struct name_in name = name_of("head");
    bind_name(&fx, "head", head);
    release_one(&fx, fx.a, head);
    expect_nothing(&fx, fx.b);
    ck_assert_int_eq(pool_unname(fx.pool, &name, 1, POOL_ANY_VERSION), 0);
    ck_assert(!is_gone(&fx, ids[LENGTH - 1]));
    /* something else dies meanwhile, of something else */
    uint64_t other = watched();
    release_one(&fx, fx.a, other);
    drain(&fx);
    unsigned seen = 0, others = 0;
    struct event event;
    while (take_event(&fx, fx.b, &event)) {
        bool is_other = event.values[0].number == other;
        ck_assert(text_is(&event.values[1], is_other ? "release" : "unname"));
        ck_assert(is_other || event.values[0].number == ids[seen]); /* parents first */
        seen += !is_other;
        others += is_other;
    }
    ck_assert_uint_eq(seen, LENGTH);
    ck_assert_uint_eq(others, 1);
}
END_TEST

START_TEST(reason_pool_drop)
{
    enum { WATCHES = EVENTS_DROP_MAX + 10 };
    uint64_t sum = 0, told = 0;
    for (unsigned k = 0; k < WATCHES; k++)
        sum += watched();
    (void)sum;
    uint64_t before = put_leaf(&fx, fx.a);
    watch(&fx, fx.b, before);
    release_one(&fx, fx.a, before); /* in the usual way, and waiting */
    ck_assert(!pool_events_drop(fx.pool, fx.a));
    ck_assert(pool_events_drop(fx.pool, fx.b));
    expect_nothing(&fx, fx.a);
    expect_freed(&fx, fx.b, before, "release");
    struct event event;
    while (take_event(&fx, fx.b, &event) && event.topic == HF_TOPIC_freed) {
        ck_assert(text_is(&event.values[1], "pool_drop"));
        told++;
    }
    ck_assert_uint_eq(told, EVENTS_DROP_MAX);
    ck_assert_int_eq(event.topic, HF_TOPIC_gap);
    ck_assert(text_is(&event.values[0], "session"));
    ck_assert_uint_eq(event.values[1].number, EVENTS_DROP_MAX + 2);
    ck_assert_uint_eq(event.values[2].number, WATCHES + 1);
    ck_assert(!take_event(&fx, fx.b, &event));
    pool_session_detach(fx.pool, fx.b);
    while (pool_dispose_step(fx.pool, 1)) {
    }
    fixture_close(&fx);
    fixture_open(&fx);
}
END_TEST

/* ---- connections and sessions ---- */

START_TEST(nothing_is_given_before_the_connection_asks)
{
    uint64_t id = put_leaf(&fx, fx.a);
    struct event event;
    ck_assert_int_eq(pool_watch(fx.pool, fx.b, &id, 1), 0);
    release_one(&fx, fx.a, id);
    ck_assert(!pool_has_events(fx.pool));
    ck_assert(!pool_events_next(fx.pool, fx.b, &event));
    pool_listen(fx.pool, fx.b);
    expect_freed(&fx, fx.b, id, "release");
}
END_TEST

START_TEST(events_wait_in_grace)
{
    uint64_t before = watched(), meanwhile = watched(), after = watched();
    struct event event;
    release_one(&fx, fx.a, before);
    pool_session_detach(fx.pool, fx.b);
    release_one(&fx, fx.a, meanwhile);
    ck_assert(!pool_has_events(fx.pool));
    pool_session_attach(fx.pool, fx.b, &fx.owner_b);
    release_one(&fx, fx.a, after);
    ck_assert(!pool_has_events(fx.pool)); /* it has not asked yet */
    ck_assert(!pool_events_next(fx.pool, fx.b, &event));
    pool_listen(fx.pool, fx.b);
    ck_assert_uint_eq(expect_freed(&fx, fx.b, before, "release"), 1);
    ck_assert_uint_eq(expect_freed(&fx, fx.b, meanwhile, "release"), 2);
    ck_assert_uint_eq(expect_freed(&fx, fx.b, after, "release"), 3);
    expect_nothing(&fx, fx.b);
}
END_TEST

START_TEST(what_was_taken_and_not_sent_is_given_again)
{
    uint64_t ids[3] = {watched(), watched(), watched()};
    struct event event;
    for (unsigned k = 0; k < 3; k++)
        release_one(&fx, fx.a, ids[k]);
    expect_freed(&fx, fx.b, ids[0], "release");
    ck_assert(peek_event(&fx, fx.b, &event));
    ck_assert(peek_event(&fx, fx.b, &event));
    ck_assert_uint_eq(event.values[0].number, ids[2]);
    ck_assert(!pool_has_events(fx.pool));
    pool_session_detach(fx.pool, fx.b);
    pool_session_attach(fx.pool, fx.b, &fx.owner_a);
    pool_listen(fx.pool, fx.b);
    ck_assert_uint_eq(expect_freed(&fx, fx.b, ids[1], "release"), 2);
    ck_assert(peek_event(&fx, fx.b, &event));
    pool_events_unsent(fx.pool, fx.b);
    ck_assert_uint_eq(expect_freed(&fx, fx.b, ids[2], "release"), 3);
    expect_nothing(&fx, fx.b);
}
END_TEST

START_TEST(a_connection_that_takes_no_more_is_passed_by)
{
    uint64_t ids[2] = {watched(), watched()};
    struct event event;
    release_one(&fx, fx.a, ids[0]);
    pool_events_pause(fx.pool, fx.b);
    ck_assert(!pool_has_events(fx.pool));
    release_one(&fx, fx.a, ids[1]);
    ck_assert(!pool_has_events(fx.pool));
    ck_assert(!pool_events_next(fx.pool, fx.b, &event));
    pool_events_resume(fx.pool, fx.b);
    expect_freed(&fx, fx.b, ids[0], "release");
    expect_freed(&fx, fx.b, ids[1], "release");
    pool_events_resume(fx.pool, fx.b);
    expect_nothing(&fx, fx.b);
}
END_TEST

START_TEST(the_end_of_a_session_ends_its_watches)
{
    enum { MANY = 3000 };
    for (unsigned k = 0; k < MANY; k++) {
        uint64_t id = watched();
        if (k % 3 == 0)
            release_one(&fx, fx.a, id); /* fired and not told */
    }
    ck_assert_uint_eq(events_of(&fx).watches + events_of(&fx).waiting, MANY);
    uint64_t cells = fx.pool->heap.cells.live_bytes;
    pool_session_end(fx.pool, fx.b, REASON_SESSION_END);
    ck_assert(!pool_has_events(fx.pool));
    drain(&fx);
    ck_assert_uint_eq(events_of(&fx).watches + events_of(&fx).waiting, 0);
    ck_assert_uint_eq(stats_of(&fx).sessions_dying, 0);
    ck_assert_uint_ge(cells - fx.pool->heap.cells.live_bytes, MANY * cell_bytes(CELL_NOTICE));
}
END_TEST

/* The object is freed, its watchers wait to be told in steps, and one of them ends before its turn. */
START_TEST(a_session_ends_while_its_watch_is_in_the_queue)
{
    enum { WATCHERS = POOL_INLINE_DEATHS + 20 };
    struct session *s[WATCHERS];
    uint64_t id = put_leaf(&fx, fx.a);
    for (unsigned k = 0; k < WATCHERS; k++) {
        s[k] = fixture_session(&fx, 100 + k, FIXTURE_LEASE_MS, &fx.owner_a);
        watch(&fx, s[k], id);
    }
    release_one(&fx, fx.a, id);
    ck_assert_uint_ne(fx.pool->firing_first, 0);
    for (unsigned k = 0; k < WATCHERS; k += 2) {
        pool_session_end(fx.pool, s[k], REASON_SESSION_END);
        while (session_dying_step(fx.pool, 1) !=
               0) { /* before the queue, whose turn is first in pool_step() */
        }
        verify_ok(&fx);
    }
    uint64_t reused = put_leaf(&fx, fx.a); /* takes the freed index */
    ck_assert_uint_eq(reused & UINT32_MAX, id & UINT32_MAX);
    watch(&fx, s[1], reused);
    drain(&fx);
    for (unsigned k = 1; k < WATCHERS; k += 2)
        expect_freed(&fx, s[k], id, "release");
    expect_nothing(&fx, s[1]);
    release_one(&fx, fx.a, reused);
    expect_freed(&fx, s[1], reused, "release");
}
END_TEST

START_TEST(watchers_of_one_object_leave_in_any_order)
{
    for (unsigned order = 0; order < 6; order++) {
        static const unsigned orders[6][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2},
                                              {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
        struct session *s[3];
        uint64_t id = put_leaf(&fx, fx.a);
        for (unsigned k = 0; k < 3; k++) {
            s[k] = fixture_session(&fx, 50 + order * 3 + k, 1000, &fx.owner_a);
            watch(&fx, s[k], id);
        }
        for (unsigned k = 0; k < 3; k++) {
            struct session *leaves = s[orders[order][k]];
            if (order % 2 == 0)
                ck_assert_int_eq(pool_unwatch(fx.pool, leaves, &id, 1), 0);
            else
                pool_session_end(fx.pool, leaves, REASON_SESSION_END);
            drain(&fx);
            verify_ok(&fx);
        }
        ck_assert_uint_eq(fx.pool->heap.hot[id & UINT32_MAX].w0 & W0_WATCHED, 0);
        release_one(&fx, fx.a, id);
        ck_assert(!pool_has_events(fx.pool));
    }
}
END_TEST

START_TEST(sessions_have_their_turns)
{
    uint64_t ids[4] = {put_leaf(&fx, fx.a), put_leaf(&fx, fx.a), put_leaf(&fx, fx.a), put_leaf(&fx, fx.a)};
    watch(&fx, fx.a, ids[0]);
    watch(&fx, fx.a, ids[1]);
    watch(&fx, fx.b, ids[2]);
    watch(&fx, fx.b, ids[3]);
    for (unsigned k = 0; k < 4; k++)
        release_one(&fx, fx.a, ids[k]);
    for (unsigned k = 0; k < 2; k++) {
        struct session *first = pool_events_session(fx.pool), *second = pool_events_session(fx.pool);
        ck_assert_ptr_ne(first, second);
        ck_assert_ptr_eq(pool_events_session(fx.pool), first);
        ck_assert_ptr_eq(pool_events_session(fx.pool), second);
    }
}
END_TEST

/* ---- cost ---- */

START_TEST(who_asks_for_nothing_pays_nothing)
{
    uint64_t id = put_leaf(&fx, fx.a), calls = pool_mem(fx.pool)->calls;
    ck_assert_ptr_null(fx.a->outbox);
    pool_listen(fx.pool, fx.a);
    release_one(&fx, fx.a, id);
    drain(&fx);
    ck_assert_ptr_null(fx.a->outbox);
    ck_assert_uint_eq(pool_mem(fx.pool)->calls, calls);
    ck_assert(!pool_has_events(fx.pool));
}
END_TEST

START_TEST(an_event_needs_no_memory)
{
    enum { MANY = 100 };
    uint64_t ids[MANY];
    for (unsigned k = 0; k < MANY; k++)
        ids[k] = watched();
    uint64_t calls = pool_mem(fx.pool)->calls;
    for (unsigned k = 0; k < MANY; k++)
        release_one(&fx, fx.a, ids[k]);
    for (unsigned k = 0; k < MANY; k++)
        expect_freed(&fx, fx.b, ids[k], "release");
    ck_assert_uint_eq(pool_mem(fx.pool)->calls, calls);
}
END_TEST

/* ---- after a restart ---- */

START_TEST(watches_outlive_the_process)
{
    uint64_t id = watched(), other = watched();
    fixture_restart(&fx);
    ck_assert_uint_eq(events_of(&fx).watches, 2);
    pool_session_attach(fx.pool, fx.a, &fx.owner_a);
    pool_session_attach(fx.pool, fx.b, &fx.owner_b);
    release_one(&fx, fx.a, id);
    ck_assert(!pool_has_events(fx.pool));
    pool_listen(fx.pool, fx.b);
    uint64_t seq = expect_freed(&fx, fx.b, id, "release");
    ck_assert_uint_gt(seq, 1ull << 32); /* above all of before */
    ck_assert_int_eq(pool_unwatch(fx.pool, fx.b, &other, 1), 0);
    release_one(&fx, fx.a, other);
    expect_nothing(&fx, fx.b);
}
END_TEST

START_TEST(what_died_with_the_process_is_told_after_it)
{
    struct session *anonymous = fixture_anonymous(&fx, &fx.owner_a);
    uint64_t held = put_leaf(&fx, anonymous), child = put_leaf(&fx, anonymous), kept = watched();
    uint64_t parent = put_refs(&fx, anonymous, &child, 1);
    release_one(&fx, anonymous, child);
    watch(&fx, fx.b, held);
    watch(&fx, fx.b, child);
    watch(&fx, fx.b, parent);
    fixture_restart(&fx);
    ck_assert_uint_eq(events_of(&fx).watches, 1);
    ck_assert_uint_eq(events_of(&fx).waiting, 3);
    pool_session_attach(fx.pool, fx.b, &fx.owner_b);
    pool_listen(fx.pool, fx.b);
    struct event event;
    uint64_t seen = 0;
    while (take_event(&fx, fx.b, &event)) {
        ck_assert_int_eq(event.topic, HF_TOPIC_freed);
        ck_assert(text_is(&event.values[1], "session_end"));
        seen += event.values[0].number;
    }
    ck_assert_uint_eq(seen, held + child + parent);
    ck_assert(!is_gone(&fx, kept));
    fixture_restart(&fx); /* and only once */
    ck_assert_uint_eq(events_of(&fx).waiting, 0);
    ck_assert_uint_eq(events_of(&fx).watches, 1);
}
END_TEST

START_TEST(what_was_not_sent_is_told_after_a_restart)
{
    uint64_t sent = watched(), taken = watched(), waiting = watched();
    struct event event;
    release_one(&fx, fx.a, sent);
    expect_freed(&fx, fx.b, sent, "release");
    release_one(&fx, fx.a, taken);
    ck_assert(peek_event(&fx, fx.b, &event));
    pool_session_detach(fx.pool, fx.b);
    release_one(&fx, fx.a, waiting);
    uint64_t reused = put_leaf(&fx, fx.a); /* whose index a notice names */
    ck_assert_uint_eq(reused & UINT32_MAX, waiting & UINT32_MAX);
    fixture_restart(&fx);
    pool_session_attach(fx.pool, fx.b, &fx.owner_b);
    pool_listen(fx.pool, fx.b);
    ck_assert(take_event(&fx, fx.b, &event));
    ck_assert(text_is(&event.values[1], "release")); /* the reason was known before */
    ck_assert(event.values[0].number == taken || event.values[0].number == waiting);
    expect_freed(&fx, fx.b, taken + waiting - event.values[0].number, "release");
    expect_nothing(&fx, fx.b);
    ck_assert(!is_gone(&fx, reused));
}
END_TEST

START_TEST(watches_of_sessions_that_ended_with_the_process_are_gone)
{
    struct session *anonymous = fixture_anonymous(&fx, &fx.owner_a);
    uint64_t id = put_leaf(&fx, fx.a);
    watch(&fx, anonymous, id);
    fixture_restart(&fx);
    ck_assert_uint_eq(events_of(&fx).watches + events_of(&fx).waiting, 0);
    ck_assert_uint_eq(fx.pool->heap.hot[id & UINT32_MAX].w0 & W0_WATCHED, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pool watches");
    TCase *once = suite_case(suite, "once", setup, teardown);
    tcase_add_test(once, a_death_is_told_once);
    tcase_add_test(once, the_holder_itself_may_watch);
    tcase_add_test(once, a_watch_keeps_nothing_alive);
    tcase_add_test(once, watching_twice_is_watching_once);
    tcase_add_test(once, each_watcher_is_told);
    tcase_add_test(once, seq_counts_the_sessions_own_events);
    tcase_add_test(once, what_is_gone_cannot_be_watched);
    tcase_add_test(once, unwatch_ends_it);
    tcase_add_test(once, no_memory_leaves_nothing_behind);
    TCase *why = suite_case(suite, "reasons", setup, teardown);
    tcase_add_test(why, reason_unlink);
    tcase_add_test(why, reason_unname);
    tcase_add_test(why, reason_replaced);
    tcase_add_test(why, reason_ticket);
    tcase_add_test(why, reasons_session_end_and_kill);
    tcase_add_test(why, reason_abort);
    tcase_add_test(why, reason_cycle);
    tcase_add_test(why, what_dies_of_a_sweep_dies_of_the_cycle);
    tcase_add_test(why, a_cascade_has_the_reason_of_its_root);
    tcase_add_test(why, reason_pool_drop);
    TCase *sessions = suite_case(suite, "sessions", setup, teardown);
    tcase_add_test(sessions, nothing_is_given_before_the_connection_asks);
    tcase_add_test(sessions, events_wait_in_grace);
    tcase_add_test(sessions, what_was_taken_and_not_sent_is_given_again);
    tcase_add_test(sessions, a_connection_that_takes_no_more_is_passed_by);
    tcase_add_test(sessions, the_end_of_a_session_ends_its_watches);
    tcase_add_test(sessions, a_session_ends_while_its_watch_is_in_the_queue);
    tcase_add_test(sessions, watchers_of_one_object_leave_in_any_order);
    tcase_add_test(sessions, sessions_have_their_turns);
    tcase_add_test(sessions, who_asks_for_nothing_pays_nothing);
    tcase_add_test(sessions, an_event_needs_no_memory);
    TCase *restart = suite_case(suite, "restart", setup, teardown);
    tcase_add_test(restart, watches_outlive_the_process);
    tcase_add_test(restart, what_died_with_the_process_is_told_after_it);
    tcase_add_test(restart, what_was_not_sent_is_told_after_a_restart);
    tcase_add_test(restart, watches_of_sessions_that_ended_with_the_process_are_gone);
    return suite_run(suite);
}
