/* SPDX-License-Identifier: BSD-3-Clause */
/* The ring of a pool: what is kept, who is told what of it, and what is told to be lost. */
#include "daemon/pool/internal.h"
#include "tests/lib/event_fixture.h"
#include "tests/lib/random.h"
#include "tests/lib/suite.h"

#include <stdio.h>
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

/* The number of the latest event. */
static uint64_t subscribe_from(struct session *s, uint64_t from_seq)
{
    struct topic_in topic = {.topic = HF_TOPIC_gc};
    uint64_t seq = 0;
    ck_assert_int_eq(pool_subscribe(fx.pool, s, &topic, 1, from_seq, &seq), 0);
    pool_listen(fx.pool, s);
    return seq;
}

static uint64_t subscribe(struct session *s)
{
    return subscribe_from(s, 0);
}

static void unsubscribe(struct session *s)
{
    pool_unsubscribe(fx.pool, s, &(struct topic_in){.topic = HF_TOPIC_gc}, 1);
}

/* An event of one number behind a text, which the prefix looks at. */
static void add(const char *text, uint64_t number)
{
    const struct event_value values[] = {
        {.kind = EVENT_TEXT, .text = (const uint8_t *)text, .size = (uint32_t)strlen(text)},
        {.kind = EVENT_NIL},
        {.kind = EVENT_BOOL, .number = number % 2},
        {.kind = EVENT_UINT, .number = number},
    };
    ring_add(fx.pool, HF_TOPIC_gc, values, 4);
}

static void expect(struct session *s, uint64_t seq, const char *text, uint64_t number)
{
    struct event event;
    ck_assert(take_event(&fx, s, &event));
    ck_assert_int_eq(event.topic, HF_TOPIC_gc);
    ck_assert_uint_eq(event.seq, seq);
    ck_assert_uint_eq(event.count, 4);
    ck_assert(text_is(&event.values[0], text));
    ck_assert_int_eq(event.values[1].kind, EVENT_NIL);
    ck_assert_int_eq(event.values[2].kind, EVENT_BOOL);
    ck_assert_uint_eq(event.values[2].number, number % 2);
    ck_assert_int_eq(event.values[3].kind, EVENT_UINT);
    ck_assert_uint_eq(event.values[3].number, number);
}

/* ---- who is told ---- */

START_TEST(subscribers_are_told_in_order)
{
    uint64_t seq = subscribe(fx.a);
    ck_assert_uint_eq(subscribe(fx.b), seq);
    expect_nothing(&fx, fx.a);
    add("x", 1);
    add("y", 2);
    ck_assert(pool_has_events(fx.pool));
    expect(fx.a, seq + 1, "x", 1);
    expect(fx.a, seq + 2, "y", 2);
    expect_nothing(&fx, fx.a);
    expect(fx.b, seq + 1, "x", 1);
    expect(fx.b, seq + 2, "y", 2);
    expect_nothing(&fx, fx.b);
    ck_assert(!pool_has_events(fx.pool));
}
END_TEST

START_TEST(nobody_else_is_told)
{
    subscribe(fx.a);
    watch(&fx, fx.b, put_leaf(&fx, fx.a));
    add("x", 1);
    expect_nothing(&fx, fx.b);
    unsubscribe(fx.a);
    add("y", 2);
    expect_nothing(&fx, fx.a); /* not even of what came before */
}
END_TEST

START_TEST(without_subscribers_there_is_no_ring)
{
    uint64_t before = pool_mem(fx.pool)->private_bytes;
    add("x", 1);
    ck_assert_ptr_null(fx.pool->ring.bytes);
    ck_assert_uint_eq(events_of(&fx).ring_next, events_of(&fx).ring_first);
    subscribe(fx.a);
    subscribe(fx.b);
    ck_assert_uint_ge(pool_mem(fx.pool)->private_bytes - before, RING_BYTES);
    ck_assert_uint_eq(events_of(&fx).subscribers, 2);
    unsubscribe(fx.a);
    ck_assert_ptr_nonnull(fx.pool->ring.bytes);
    unsubscribe(fx.b);
    unsubscribe(fx.b);
    ck_assert_ptr_null(fx.pool->ring.bytes);
    ck_assert_uint_eq(events_of(&fx).subscribers, 0);
    ck_assert_uint_le(pool_mem(fx.pool)->private_bytes - before, 2 * sizeof(struct outbox));
}
END_TEST

START_TEST(no_memory_for_the_ring)
{
    struct topic_in topic = {.topic = HF_TOPIC_gc, .prefix = name_of("x")};
    uint64_t seq;
    /* what is kept of sessions that have ended is there from the first one on */
    pool_session_end(fx.pool, fixture_session(&fx, 9, 1000, &fx.owner_a), REASON_SESSION_END);
    for (unsigned at = 1; at <= 5; at++) {
        struct session *s = fixture_session(&fx, 10 + at, 1000, &fx.owner_a);
        drain(&fx); /* so that there is nothing to make room with */
        uint64_t used = pool_mem(fx.pool)->private_bytes;
        pool_mem(fx.pool)->fail_at = pool_mem(fx.pool)->calls + at;
        int rc = pool_subscribe(fx.pool, s, &topic, 1, 0, &seq);
        pool_mem(fx.pool)->fail_at = 0;
        ck_assert_int_eq(rc, at <= 4 ? -HF_E_OOM : 0); /* outbox, bytes, places, prefixes */
        ck_assert_uint_eq(events_of(&fx).subscribers, rc == 0);
        ck_assert(rc == 0 || fx.pool->ring.bytes == NULL);
        pool_session_end(fx.pool, s, REASON_SESSION_END);
        drain(&fx);
        ck_assert_uint_lt(pool_mem(fx.pool)->private_bytes, used);
    }
}
END_TEST

START_TEST(a_prefix_leaves_holes)
{
    struct topic_in topic = {.topic = HF_TOPIC_gc, .prefix = name_of("ab")};
    uint64_t seq;
    subscribe(fx.b);
    ck_assert_int_eq(pool_subscribe(fx.pool, fx.a, &topic, 1, 0, &seq), 0);
    pool_listen(fx.pool, fx.a);
    add("abc", 1);
    add("a", 2);
    add("xab", 3);
    add("ab", 4);
    expect(fx.a, seq + 1, "abc", 1);
    expect(fx.a, seq + 4, "ab", 4);
    expect_nothing(&fx, fx.a);
    expect(fx.b, seq + 1, "abc", 1); /* the other one hears all of it */
    expect(fx.b, seq + 2, "a", 2);
    subscribe(fx.a); /* replaces the prefix by none, and leaves its place */
    add("q", 5);
    expect(fx.a, seq + 5, "q", 5);
}
END_TEST

START_TEST(many_events_of_others_are_passed_in_steps)
{
    struct topic_in topic = {.topic = HF_TOPIC_gc, .prefix = name_of("rare")};
    uint64_t seq, work;
    struct event event;
    ck_assert_int_eq(pool_subscribe(fx.pool, fx.a, &topic, 1, 0, &seq), 0);
    pool_listen(fx.pool, fx.a);
    for (unsigned k = 0; k < 1000; k++)
        add("frequent", k);
    add("rare", 7);
    work = pool_work(fx.pool);
    ck_assert(!pool_events_next(fx.pool, fx.a, &event));
    ck_assert_uint_lt(pool_work(fx.pool) - work, 300);
    ck_assert(pool_has_events(fx.pool)); /* there may be more */
    pool_events_sent(fx.pool, fx.a);
    expect(fx.a, seq + 1001, "rare", 7);
    expect_nothing(&fx, fx.a);
}
END_TEST

/* ---- replay and loss ---- */

START_TEST(from_seq_replays)
{
    uint64_t seq = subscribe(fx.a);
    for (unsigned k = 1; k <= 5; k++)
        add("x", k);
    ck_assert_uint_eq(subscribe_from(fx.b, seq + 3), seq + 5);
    expect(fx.b, seq + 3, "x", 3);
    expect(fx.b, seq + 4, "x", 4);
    expect(fx.b, seq + 5, "x", 5);
    expect_nothing(&fx, fx.b);
    subscribe_from(fx.b, seq + 5); /* back again */
    expect(fx.b, seq + 5, "x", 5);
    subscribe_from(fx.b, seq + 6); /* the next one */
    expect_nothing(&fx, fx.b);
    add("x", 6);
    expect(fx.b, seq + 6, "x", 6);
}
END_TEST

START_TEST(from_seq_beyond_the_latest_is_refused)
{
    struct topic_in topic = {.topic = HF_TOPIC_gc};
    uint64_t seq = subscribe(fx.a), got;
    ck_assert_int_eq(pool_subscribe(fx.pool, fx.b, &topic, 1, seq + 2, &got), -HF_E_BADARG);
    ck_assert_uint_eq(events_of(&fx).subscribers, 1);
    ck_assert_int_eq(pool_subscribe(fx.pool, fx.b, &topic, 1, seq + 1, &got), 0);
}
END_TEST

START_TEST(what_was_overwritten_is_a_gap)
{
    uint64_t seq = subscribe(fx.a);
    for (unsigned k = 1; k <= RING_EVENTS + 10; k++)
        add("x", k);
    ck_assert_uint_eq(events_of(&fx).ring_next - events_of(&fx).ring_first, RING_EVENTS);
    ck_assert_uint_eq(expect_gap(&fx, fx.a, "ring", seq + 1, seq + 10), seq + 10);
    for (unsigned k = 11; k <= RING_EVENTS + 10; k++)
        expect(fx.a, seq + k, "x", k);
    expect_nothing(&fx, fx.a);
}
END_TEST

START_TEST(a_paused_reader_costs_nothing_and_learns_what_it_missed)
{
    uint64_t seq = subscribe(fx.a);
    add("x", 1);
    expect(fx.a, seq + 1, "x", 1);
    pool_events_pause(fx.pool, fx.a);
    uint64_t used = pool_mem(fx.pool)->private_bytes;
    for (unsigned k = 2; k <= 3 * RING_EVENTS; k++)
        add("x", k);
    ck_assert_uint_eq(pool_mem(fx.pool)->private_bytes, used);
    ck_assert(!pool_has_events(fx.pool));
    pool_events_resume(fx.pool, fx.a);
    expect_gap(&fx, fx.a, "ring", seq + 2, seq + 2 * RING_EVENTS);
    expect(fx.a, seq + 2 * RING_EVENTS + 1, "x", 2 * RING_EVENTS + 1);
}
END_TEST

START_TEST(what_nobody_heard_is_a_gap_for_who_asks_later)
{
    uint64_t seq = subscribe(fx.a);
    add("x", 1);
    expect(fx.a, seq + 1, "x", 1);
    unsubscribe(fx.a);
    add("lost", 2);
    uint64_t latest = subscribe_from(fx.a, seq + 2); /* what comes behind the last one it has seen */
    expect_gap(&fx, fx.a, "ring", seq + 2, latest);
    add("x", 3);
    expect(fx.a, latest + 1, "x", 3);
    expect_nothing(&fx, fx.a);
}
END_TEST

START_TEST(what_was_not_sent_is_given_again)
{
    uint64_t seq = subscribe(fx.a);
    struct event event;
    add("x", 1);
    add("x", 2);
    add("x", 3);
    expect(fx.a, seq + 1, "x", 1);
    ck_assert(peek_event(&fx, fx.a, &event));
    pool_events_unsent(fx.pool, fx.a);
    ck_assert(peek_event(&fx, fx.a, &event));
    ck_assert_uint_eq(event.seq, seq + 2);
    pool_session_detach(fx.pool, fx.a);
    pool_session_attach(fx.pool, fx.a, &fx.owner_a);
    pool_listen(fx.pool, fx.a);
    expect(fx.a, seq + 2, "x", 2);
    expect(fx.a, seq + 3, "x", 3);
}
END_TEST

START_TEST(the_ring_goes_on_in_grace)
{
    uint64_t seq = subscribe(fx.a);
    pool_session_detach(fx.pool, fx.a);
    add("x", 1);
    ck_assert(!pool_has_events(fx.pool));
    pool_session_attach(fx.pool, fx.a, &fx.owner_b);
    add("x", 2);
    ck_assert(!pool_has_events(fx.pool));
    pool_listen(fx.pool, fx.a);
    expect(fx.a, seq + 1, "x", 1);
    expect(fx.a, seq + 2, "x", 2);
    pool_session_detach(fx.pool, fx.a);
    pass_ms(&fx, FIXTURE_LEASE_MS);
    drain(&fx);
    ck_assert_ptr_null(fx.pool->ring.bytes);
    ck_assert_uint_eq(events_of(&fx).subscribers, 0);
}
END_TEST

START_TEST(numbers_of_a_restart_are_above_all_before)
{
    uint64_t seq = subscribe(fx.a);
    add("x", 1);
    fixture_restart(&fx);
    ck_assert_uint_eq(events_of(&fx).subscribers, 0);
    pool_session_attach(fx.pool, fx.a, &fx.owner_a);
    uint64_t latest = subscribe_from(fx.a, seq + 1);
    ck_assert_uint_gt(latest, seq + 1);
    ck_assert_uint_le(latest, HF_ID_MAX);
    expect_gap(&fx, fx.a, "ring", seq + 1, latest);
    expect_nothing(&fx, fx.a);
}
END_TEST

/* Records of all sizes; a reader that stops now and then; a model that keeps all of it. */
START_TEST(whatever_is_kept_is_whole)
{
    enum { EVENTS = 40000 };
    static char texts[EVENTS + 1][HF_NAME_MAX + 1];
    struct random random = {.state = 1};
    uint64_t seq = subscribe(fx.a), read = 1;
    unsigned gaps = 0, longest = 0;
    for (unsigned k = 1; k <= EVENTS; k++) {
        bool large = k / 4096 % 2 == 0;
        uint64_t size = random_below(&random, large ? HF_NAME_MAX + 1 : 9);
        memset(texts[k], 'a' + (int)(k % 26), size);
        add(texts[k], k);
        uint64_t kept = events_of(&fx).ring_next - events_of(&fx).ring_first;
        ck_assert_uint_le(kept, RING_EVENTS);
        longest = kept > longest ? (unsigned)kept : longest;
        while (random_once_in(&random, k / 1000 % 8 == 3 ? 3000 : 2) && read <= k) {
            struct event event;
            ck_assert(peek_event(&fx, fx.a, &event));
            if (event.topic == HF_TOPIC_gap) {
                ck_assert_uint_eq(event.values[1].number, seq + read);
                read = event.values[2].number - seq + 1;
                gaps++;
                continue;
            }
            ck_assert_uint_eq(event.seq, seq + read);
            ck_assert(text_is(&event.values[0], texts[read]));
            ck_assert_uint_eq(event.values[3].number, read);
            pool_events_sent(fx.pool, fx.a);
            read++;
        }
    }
    ck_assert_uint_gt(gaps, 0);
    ck_assert_uint_eq(longest, RING_EVENTS);
    ck_assert_uint_gt(read, EVENTS / 2);
}
END_TEST

/* ---- collections ---- */

static void collect(bool dry_run)
{
    struct gc_ticket ticket;
    ck_assert_int_eq(pool_collect(fx.pool, dry_run, false, &ticket), 0);
}

static void make_garbage(unsigned rings)
{
    for (unsigned k = 0; k < rings; k++) {
        uint64_t previous, id = put_refs(&fx, fx.a, (uint64_t[]){0}, 1);
        ck_assert_int_eq(pool_link(fx.pool, id, 0, id, &previous), 0);
        release_one(&fx, fx.a, id);
    }
}

/* The same of objects that a full collection has seen alive, so that no young one looks at them. */
static void make_old_garbage(unsigned rings)
{
    uint64_t ids[20];
    uint64_t previous;
    for (unsigned k = 0; k < rings; k++) {
        ids[k] = put_refs(&fx, fx.a, (uint64_t[]){0}, 1);
        ck_assert_int_eq(pool_link(fx.pool, ids[k], 0, ids[k], &previous), 0);
    }
    collect(false);
    drain(&fx);
    for (unsigned k = 0; k < rings; k++)
        release_one(&fx, fx.a, ids[k]);
}

static void expect_start(const char *trigger, bool dry_run, uint64_t candidates)
{
    struct event event;
    ck_assert(take_event(&fx, fx.b, &event));
    ck_assert_int_eq(event.topic, HF_TOPIC_gc);
    ck_assert_uint_eq(event.count, 5);
    ck_assert(text_is(&event.values[0], "start") && text_is(&event.values[1], "full"));
    ck_assert(text_is(&event.values[2], trigger));
    ck_assert_uint_eq(event.values[3].number, dry_run);
    ck_assert_uint_eq(event.values[4].number, candidates);
}

static void expect_end(const char *trigger, bool dry_run, uint64_t unreachable, uint64_t collected,
                       uint64_t delivered)
{
    struct event event;
    ck_assert(take_event(&fx, fx.b, &event));
    ck_assert_uint_eq(event.count, 10);
    ck_assert(text_is(&event.values[0], "end") && text_is(&event.values[1], "full"));
    ck_assert(text_is(&event.values[2], trigger));
    ck_assert_uint_eq(event.values[3].number, dry_run);
    ck_assert_uint_eq(event.values[5].number, unreachable);
    ck_assert_uint_eq(event.values[6].number, collected);
    ck_assert_uint_eq(event.values[8].number, delivered);
    ck_assert_uint_gt(event.values[9].number, 0);
}

START_TEST(a_collection_is_told_at_start_and_end)
{
    uint64_t guarded = put_refs(&fx, fx.a, (uint64_t[]){0}, 1), previous;
    subscribe(fx.b);
    ck_assert_int_eq(pool_link(fx.pool, guarded, 0, guarded, &previous), 0);
    ck_assert_int_eq(pool_guard(fx.pool, fx.a, guarded), 0);
    release_one(&fx, fx.a, guarded);
    make_garbage(10);
    collect(true);
    drain(&fx);
    expect_start("call", true, 11);
    expect_end("call", true, 11, 0, 0);
    collect(false);
    drain(&fx);
    expect_start("call", false, 11);
    expect_end("call", false, 10, 10, 1);
    expect_nothing(&fx, fx.b);
}
END_TEST

START_TEST(the_start_is_told_before_the_end_is_near)
{
    subscribe(fx.b);
    make_garbage(1000);
    collect(false);
    while (!pool_has_events(fx.pool))
        ck_assert_uint_ne(pool_step(fx.pool, 1), 0);
    ck_assert_uint_eq(stats_of(&fx).objects, 1000);
    expect_start("call", false, 1000);
    expect_nothing(&fx, fx.b);
    drain(&fx);
    expect_end("call", false, 1000, 1000, 0);
}
END_TEST

START_TEST(a_collection_by_itself_says_why)
{
    make_old_garbage(20);
    subscribe(fx.b);
    drain(&fx);
    expect_nothing(&fx, fx.b);
    pass_ms(&fx, GC_FULL_AFTER_MS);
    drain(&fx);
    expect_start("time", false, 20);
    expect_end("time", false, 20, 20, 0);
    pool_unsubscribe(fx.pool, fx.b, &(struct topic_in){.topic = HF_TOPIC_gc}, 1);
    make_old_garbage(10);
    subscribe(fx.b);
    for (unsigned k = 0; k < GC_OBJECTS_LEAST; k++)
        (void)put_leaf(&fx, fx.a);
    drain(&fx);
    struct event event;
    ck_assert(take_event(&fx, fx.b, &event));
    ck_assert(text_is(&event.values[2], "objects"));
}
END_TEST

START_TEST(a_young_collection_by_itself_says_why)
{
    struct event event;
    subscribe(fx.b);
    make_garbage(20);
    drain(&fx);
    expect_nothing(&fx, fx.b);
    pass_ms(&fx, GC_YOUNG_AFTER_MS);
    drain(&fx);
    for (unsigned k = 0; k < 2; k++) {
        ck_assert(take_event(&fx, fx.b, &event));
        ck_assert(text_is(&event.values[0], k == 0 ? "start" : "end"));
        ck_assert(text_is(&event.values[1], "young") && text_is(&event.values[2], "time"));
    }
    ck_assert_uint_eq(event.values[6].number, 20);
    expect_nothing(&fx, fx.b);
}
END_TEST

/* ---- the topic ops ---- */

static void subscribe_ops(struct session *s, uint32_t rate)
{
    struct topic_in topic = {.topic = HF_TOPIC_ops};
    uint64_t seq;
    ck_assert_int_eq(pool_subscribe(fx.pool, s, &topic, 1, 0, &seq), 0);
    pool_listen(fx.pool, s);
    pool_want_ops(fx.pool, rate);
}

static void tell_ops(unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        pool_tell_op(fx.pool, &(struct op){.method = "get", .args = "5", .bytes = 17, .passed = 1});
}

START_TEST(an_op_is_told)
{
    struct event event;
    subscribe_ops(fx.a, 10);
    tell_ops(1);
    ck_assert(take_event(&fx, fx.a, &event));
    ck_assert_int_eq(event.topic, HF_TOPIC_ops);
    ck_assert(text_is(&event.values[0], "get"));
    ck_assert_int_eq(event.values[1].kind, EVENT_NIL);
    ck_assert(text_is(&event.values[4], "5"));
    ck_assert_uint_eq(event.values[7].number, 1);
}
END_TEST

/* What a connected subscriber of another topic has not been sent stays, however many ops there are. */
START_TEST(ops_push_nothing_out)
{
    uint64_t seq = subscribe(fx.a);
    struct event event;
    subscribe_ops(fx.b, 10);
    add("x", 1);
    tell_ops(3 * RING_EVENTS);
    expect(fx.a, seq + 2, "x", 1); /* behind the begin of ops */
    ck_assert_uint_eq(events_of(&fx).ring_next - events_of(&fx).ring_first, RING_EVENTS);
    for (unsigned i = 0; i < 2 * RING_EVENTS / 256; i++)
        ck_assert(!take_event(&fx, fx.a, &event)); /* it looks at some of the others each time */
    uint64_t next = events_of(&fx).ring_next;
    tell_ops(RING_EVENTS / 2);
    ck_assert_uint_eq(events_of(&fx).ring_next, next + RING_EVENTS / 2);
}
END_TEST

/* Each other's are no reason to be dropped: who is slow is told a gap. */
START_TEST(ops_push_ops_out)
{
    struct event event;
    subscribe_ops(fx.a, 10);
    tell_ops(3 * RING_EVENTS);
    ck_assert(take_event(&fx, fx.a, &event));
    ck_assert_int_eq(event.topic, HF_TOPIC_gap);
}
END_TEST

/* A subscriber that is away does not stop the others. */
START_TEST(who_is_away_may_lose_by_ops)
{
    subscribe(fx.a);
    add("x", 1);
    pool_session_detach(fx.pool, fx.a);
    subscribe_ops(fx.b, 10);
    uint64_t next = events_of(&fx).ring_next;
    tell_ops(3 * RING_EVENTS);
    ck_assert_uint_eq(events_of(&fx).ring_next, next + 3 * RING_EVENTS);
}
END_TEST

START_TEST(the_highest_rate_holds)
{
    struct topic_in topic = {.topic = HF_TOPIC_ops};
    ck_assert_uint_eq(pool_ops_rate(fx.pool), 0);
    pool_want_ops(fx.pool, 7); /* nobody is subscribed */
    ck_assert_uint_eq(pool_ops_rate(fx.pool), 0);
    subscribe_ops(fx.a, 50);
    subscribe_ops(fx.b, 10);
    ck_assert_uint_eq(pool_ops_rate(fx.pool), 50);
    pool_unsubscribe(fx.pool, fx.a, &topic, 1);
    ck_assert_uint_eq(pool_ops_rate(fx.pool), 50);
    pool_unsubscribe(fx.pool, fx.b, &topic, 1);
    ck_assert_uint_eq(pool_ops_rate(fx.pool), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pool ring");
    TCase *told = suite_case(suite, "told", setup, teardown);
    tcase_add_test(told, subscribers_are_told_in_order);
    tcase_add_test(told, nobody_else_is_told);
    tcase_add_test(told, without_subscribers_there_is_no_ring);
    tcase_add_test(told, no_memory_for_the_ring);
    tcase_add_test(told, a_prefix_leaves_holes);
    tcase_add_test(told, many_events_of_others_are_passed_in_steps);
    TCase *loss = suite_case(suite, "loss", setup, teardown);
    tcase_add_test(loss, from_seq_replays);
    tcase_add_test(loss, from_seq_beyond_the_latest_is_refused);
    tcase_add_test(loss, what_was_overwritten_is_a_gap);
    tcase_add_test(loss, a_paused_reader_costs_nothing_and_learns_what_it_missed);
    tcase_add_test(loss, what_nobody_heard_is_a_gap_for_who_asks_later);
    tcase_add_test(loss, what_was_not_sent_is_given_again);
    tcase_add_test(loss, the_ring_goes_on_in_grace);
    tcase_add_test(loss, numbers_of_a_restart_are_above_all_before);
    tcase_add_test(loss, whatever_is_kept_is_whole);
    TCase *gc = suite_case(suite, "collections", setup, teardown);
    tcase_add_test(gc, a_collection_is_told_at_start_and_end);
    tcase_add_test(gc, the_start_is_told_before_the_end_is_near);
    tcase_add_test(gc, a_collection_by_itself_says_why);
    tcase_add_test(gc, a_young_collection_by_itself_says_why);
    TCase *tcase = suite_case(suite, "ops", setup, teardown);
    tcase_add_test(tcase, an_op_is_told);
    tcase_add_test(tcase, ops_push_nothing_out);
    tcase_add_test(tcase, ops_push_ops_out);
    tcase_add_test(tcase, who_is_away_may_lose_by_ops);
    tcase_add_test(tcase, the_highest_rate_holds);
    return suite_run(suite);
}
