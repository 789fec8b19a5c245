/* SPDX-License-Identifier: BSD-3-Clause */
/* Events by libholdfast, from a real daemon, $HOLDFASTD or build/holdfastd. */
#include "client/holdfast.h"
#include "tests/lib/live.h"
#include "tests/lib/suite.h"

#include <string.h>
#include <sys/socket.h>

static struct live server;
static hf_conn *conn, *other;

static void setup(void)
{
    live_start(&server);
    server.no_replay = true; /* these tests connect again by hand */
    live_open(&server, &conn, "first");
    live_open(&server, &other, "second");
}

static void teardown(void)
{
    live_end(&server, conn, other);
}

static hf_id put_text(const char *text)
{
    hf_id id = 0;
    ck_assert_int_eq(hf_put(conn, hf_str(text, strlen(text)), NULL, &id), 0);
    return id;
}

static void expect_event(hf_conn *of, const char *topic, hf_id id, const char *reason)
{
    struct hf_event event;
    ck_assert_int_eq(hf_next_event(of, HF_NO_TIMEOUT, &event), 0);
    ck_assert_str_eq(event.topic, topic);
    ck_assert_int_eq(event.id, id);
    if (reason != NULL)
        ck_assert_str_eq(event.reason, reason);
    else
        ck_assert_ptr_null(event.reason);
}

static void expect_no_event(hf_conn *of)
{
    struct hf_event event;
    ck_assert_int_eq(hf_ping(of, NULL), 0); /* what was to be told is behind the reply before */
    ck_assert_int_eq(hf_ping(of, NULL), 0);
    ck_assert_int_eq(hf_next_event(of, 0, &event), HF_ERR_TIMEOUT);
    ck_assert_int_eq(hf_last_error(of)->code, HF_ERR_TIMEOUT);
    ck_assert_ptr_null(event.topic);
}

START_TEST(a_watch_tells_of_a_death)
{
    hf_id ids[3] = {put_text("a"), put_text("b"), put_text("c")};
    ck_assert_int_eq(hf_watch(other, ids[0]), 0);
    ck_assert_int_eq(hf_watch_many(other, ids + 1, 2), 0);
    ck_assert_int_eq(hf_unwatch(other, ids[1]), 0);
    expect_no_event(other);
    ck_assert_int_eq(hf_release_many(conn, ids, 2, 1, NULL), 0);
    ck_assert_int_eq(hf_name(conn, "c", ids[2], HF_ANY_VERSION, NULL), 0);
    ck_assert_int_eq(hf_release(conn, ids[2], 1, NULL), 0);
    ck_assert_int_eq(hf_unname(conn, "c", HF_ANY_VERSION), 0);
    expect_event(other, "freed", ids[0], "release");
    expect_event(other, "freed", ids[2], "unname");
    expect_no_event(other);
    ck_assert_int_eq(hf_watch_many(other, ids, 3), HF_ERR_GONE);
    ck_assert_int_eq(hf_last_error(other)->index, 0);
    ck_assert_int_eq(hf_unwatch_many(other, ids, 1), HF_ERR_GONE);
}
END_TEST

START_TEST(events_come_between_replies_and_in_batches)
{
    enum { COUNT = 200 };
    hf_id ids[COUNT];
    struct hf_event event;
    for (int i = 0; i < COUNT; i++)
        ids[i] = put_text("x");
    ck_assert_int_eq(hf_watch_many(conn, ids, COUNT), 0);
    hf_batch_begin(conn);
    for (int i = 0; i < COUNT; i++) {
        hf_release(conn, ids[i], 1, NULL);
        hf_ping(conn, NULL);
    }
    ck_assert_int_eq(hf_next_event(conn, 0, &event), HF_ERR_ARGUMENT);
    ck_assert_int_eq(hf_batch_end(conn, NULL), 0);
    for (int i = 0; i < COUNT; i++) {
        ck_assert_int_eq(hf_next_event(conn, HF_NO_TIMEOUT, &event), 0);
        ck_assert_uint_eq(event.seq, (uint64_t)i + 1);
        ck_assert_int_eq(event.id, ids[i]);
    }
    expect_no_event(conn);
}
END_TEST

START_TEST(a_guard_becomes_a_hold)
{
    hf_id id = put_text("guarded");
    int64_t count;
    ck_assert_int_eq(hf_guard(other, id), 0);
    ck_assert_int_eq(hf_guard(conn, id), HF_ERR_CONFLICT);
    ck_assert_int_eq(hf_unguard(conn, id), HF_ERR_CONFLICT);
    ck_assert_int_eq(hf_release(conn, id, 1, NULL), 0);
    expect_event(other, "unreachable", id, NULL);
    ck_assert_int_eq(hf_release(other, id, 1, &count), 0);
    ck_assert_int_eq(count, 0);
    id = put_text("unguarded");
    ck_assert_int_eq(hf_guard(other, id), 0);
    ck_assert_int_eq(hf_unguard(other, id), 0);
    ck_assert_int_eq(hf_release(conn, id, 1, NULL), 0);
    expect_no_event(other);
}
END_TEST

static void collect(void)
{
    hf_reply *reply;
    ck_assert_int_eq(hf_call(conn, "gc_collect", NULL, 0, &reply), 0);
    hf_reply_free(reply);
}

START_TEST(topics_from_now_or_from_a_number)
{
    static const char *const topics[] = {"gc"}, *const unknown[] = {"nonsense"};
    const struct hf_subscribe_options ends = {.prefix = "end"};
    struct hf_subscribe_options from = {0};
    struct hf_event event;
    int64_t seq, again;
    ck_assert_int_eq(hf_subscribe(other, unknown, 1, NULL, &seq), HF_ERR_BADARG);
    ck_assert_int_eq(hf_subscribe(other, topics, 1, &ends, &seq), 0);
    collect();
    ck_assert_int_eq(hf_next_event(other, HF_NO_TIMEOUT, &event), 0);
    ck_assert_str_eq(event.topic, "gc");
    ck_assert_uint_eq(event.seq, (uint64_t)seq + 2);
    from.from_seq = (uint64_t)seq + 1;
    from.prefix = "";
    ck_assert_int_eq(hf_subscribe(other, topics, 1, &from, &again), 0);
    ck_assert_int_eq(again, seq + 2);
    for (int k = 1; k <= 2; k++) {
        ck_assert_int_eq(hf_next_event(other, HF_NO_TIMEOUT, &event), 0);
        ck_assert_uint_eq(event.seq, (uint64_t)(seq + k));
    }
    ck_assert_int_eq(hf_unsubscribe(other, topics, 1), 0);
    collect();
    expect_no_event(other);
}
END_TEST

START_TEST(events_go_on_after_a_reconnection)
{
    struct hf_event event;
    hf_id ids[2] = {put_text("before"), put_text("meanwhile")};
    ck_assert_int_eq(hf_watch_many(other, ids, 2), 0);
    ck_assert_int_eq(hf_release(conn, ids[0], 1, NULL), 0);
    expect_event(other, "freed", ids[0], "release");
    ck_assert_int_eq(shutdown(hf_fd(other), SHUT_RDWR), 0);
    ck_assert_int_eq(hf_next_event(other, HF_NO_TIMEOUT, &event), HF_ERR_UNSENT);
    ck_assert_int_eq(hf_release(conn, ids[1], 1, NULL), 0);
    ck_assert_int_eq(hf_reconnect(other), 0);
    expect_event(other, "freed", ids[1], "release");
    expect_no_event(other);
}
END_TEST

/* The next event of topic gc has that number, counted from `seq`. */
static void expect_gc(hf_conn *of, int64_t seq)
{
    struct hf_event event;
    ck_assert_int_eq(hf_next_event(of, HF_NO_TIMEOUT, &event), 0);
    ck_assert_str_eq(event.topic, "gc");
    ck_assert_uint_eq(event.seq, (uint64_t)seq);
}

/* What happens meanwhile comes then. */
START_TEST(subscriptions_go_on_after_a_reconnection)
{
    static const char *const topics[] = {"gc"};
    int64_t seq;
    ck_assert_int_eq(hf_subscribe(other, topics, 1, NULL, &seq), 0);
    collect();
    expect_gc(other, seq + 1);
    expect_gc(other, seq + 2);
    ck_assert_int_eq(shutdown(hf_fd(other), SHUT_RD), 0); /* from here on nothing arrives */
    collect();
    ck_assert_int_eq(hf_reconnect(other), 0);
    collect();
    for (int64_t k = 3; k <= 6; k++)
        expect_gc(other, seq + k);
    expect_no_event(other);
    ck_assert_int_eq(hf_unsubscribe(other, topics, 1), 0);
    ck_assert_int_eq(hf_reconnect(other), 0);
    collect();
    expect_no_event(other);
}
END_TEST

/* A topic that was refused in a batch does not keep the session from being resumed. */
START_TEST(an_unknown_topic_does_no_harm_later)
{
    static const char *const topics[] = {"gc"}, *const unknown[] = {"nonsense"};
    ck_assert_int_eq(hf_subscribe(other, topics, 1, NULL, NULL), 0);
    hf_batch_begin(other);
    hf_subscribe(other, unknown, 1, NULL, NULL);
    ck_assert_int_eq(hf_batch_end(other, NULL), HF_ERR_BADARG);
    ck_assert_int_eq(hf_reconnect(other), 0);
    ck_assert_int_eq(hf_last_error(other)->code, 0);
    collect();
    struct hf_event event;
    ck_assert_int_eq(hf_next_event(other, HF_NO_TIMEOUT, &event), 0);
    ck_assert_str_eq(event.topic, "gc");
}
END_TEST

/* A number that the ring has not reached, as after the files were put back to an older state: from now on. */
START_TEST(a_place_that_is_none_is_given_up)
{
    static const char *const topics[] = {"gc"};
    const struct hf_subscribe_options beyond = {.from_seq = 1ull << 50};
    int64_t seq;
    ck_assert_int_eq(hf_subscribe(conn, topics, 1, NULL, &seq), 0); /* keeps the ring */
    hf_batch_begin(other);
    hf_subscribe(other, topics, 1, &beyond, NULL);
    ck_assert_int_eq(hf_batch_end(other, NULL), HF_ERR_BADARG);
    ck_assert_int_eq(hf_reconnect(other), 0);
    expect_no_event(other);
    collect();
    expect_gc(other, seq + 1);
    ck_assert_int_eq(hf_subscribe(other, topics, 1, &beyond, NULL), HF_ERR_BADARG); /* changes nothing */
    ck_assert_int_eq(hf_reconnect(other), 0);
    expect_gc(other, seq + 2);
    expect_no_event(other);
}
END_TEST

START_TEST(another_daemon_on_the_same_heap_goes_on)
{
    static const char *const topics[] = {"gc"};
    struct hf_event event;
    int64_t seq;
    hf_id id = put_text("x");
    uint64_t from = 0;
    ck_assert_int_eq(hf_name(conn, "x", id, HF_ANY_VERSION, NULL), 0);
    ck_assert_int_eq(hf_watch(other, id), 0);
    ck_assert_int_eq(hf_subscribe(other, topics, 1, NULL, &seq), 0);
    live_restart(&server);
    ck_assert_int_eq(hf_reconnect(conn), 0);
    ck_assert_int_eq(hf_reconnect(other), 0);
    ck_assert_int_eq(hf_next_event(other, HF_NO_TIMEOUT, &event), 0);
    ck_assert_str_eq(event.topic, "gap"); /* of what the ring of the first daemon may have had */
    ck_assert(hf_item_uint(hf_item_get(event.map, "from"), &from) && from == (uint64_t)seq + 1);
    collect();
    ck_assert_int_eq(hf_next_event(other, HF_NO_TIMEOUT, &event), 0);
    ck_assert_str_eq(event.topic, "gc");
    ck_assert_uint_gt(event.seq, (uint64_t)seq);
    ck_assert_int_eq(hf_next_event(other, HF_NO_TIMEOUT, &event), 0);
    ck_assert_str_eq(event.topic, "gc");
    ck_assert_int_eq(hf_unname(conn, "x", HF_ANY_VERSION), 0);
    ck_assert_int_eq(hf_release(conn, id, 1, NULL), 0);
    expect_event(other, "freed", id, "release");
    expect_no_event(other);
}
END_TEST

static void setup_files(void)
{
    live_start_files(&server);
    server.no_replay = true; /* these tests connect again by hand */
    live_open(&server, &conn, "first");
    live_open(&server, &other, "second");
}

int main(void)
{
    Suite *suite = suite_create("client events and daemon");
    TCase *events = suite_case(suite, "events", setup, teardown);
    tcase_add_test(events, a_watch_tells_of_a_death);
    tcase_add_test(events, events_come_between_replies_and_in_batches);
    tcase_add_test(events, a_guard_becomes_a_hold);
    tcase_add_test(events, topics_from_now_or_from_a_number);
    tcase_add_test(events, events_go_on_after_a_reconnection);
    tcase_add_test(events, subscriptions_go_on_after_a_reconnection);
    tcase_add_test(events, an_unknown_topic_does_no_harm_later);
    tcase_add_test(events, a_place_that_is_none_is_given_up);
    TCase *files = suite_case(suite, "files", setup_files, teardown);
    tcase_add_test(files, another_daemon_on_the_same_heap_goes_on);
    return suite_run(suite);
}
