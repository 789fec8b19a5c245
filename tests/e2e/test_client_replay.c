/* SPDX-License-Identifier: BSD-3-Clause */
/* libholdfast and connections that break: callers see a pause and no error, and all is done exactly once. The daemon is
 * $HOLDFASTD or build/holdfastd. */
#include "tests/lib/live.h"
#include "tests/lib/suite.h"

#include <string.h>
#include <sys/socket.h>

static struct live server;
static hf_conn *conn, *other;

static void setup(void)
{
    live_start_files(&server);
    live_open(&server, &conn, "first");
    live_open(&server, &other, "second");
}

static void teardown(void)
{
    live_end(&server, conn, other);
}

/* As a router would: the stream ends in both directions without a word. */
static void cut(hf_conn *of)
{
    ck_assert_int_eq(shutdown(hf_fd(of), SHUT_RDWR), 0);
}

static int64_t objects(void)
{
    hf_reply *reply;
    int64_t count = -1;
    ck_assert_int_eq(hf_stats(other, "objects", &reply), 0);
    ck_assert(hf_item_int(hf_item_get(hf_reply_item(reply), "count"), &count));
    hf_reply_free(reply);
    return count;
}

static hf_id put(int64_t number)
{
    hf_id id = 0;
    ck_assert_int_eq(hf_put(conn, hf_int(number), NULL, &id), 0);
    return id;
}

START_TEST(calls_go_on_when_the_connection_is_cut)
{
    hf_id id = put(1);
    uint64_t sid = hf_session(conn)->sid, request = hf_request(conn);
    int64_t count;
    for (int64_t k = 2; k < 30; k++) {
        cut(conn);
        ck_assert_int_eq(hf_retain(conn, id, 1, &count), 0);
        ck_assert_int_eq(count, k);
    }
    ck_assert(hf_connected(conn));
    ck_assert_uint_eq(hf_session(conn)->sid, sid);
    ck_assert_uint_eq(hf_request(conn), request + 28);
    ck_assert_int_eq(hf_release(conn, id, 29, NULL), 0);
}
END_TEST

START_TEST(calls_go_on_when_the_daemon_is_killed)
{
    hf_id id = put(1);
    int64_t count;
    for (int64_t k = 2; k < 6; k++) {
        live_restart(&server);
        ck_assert_int_eq(hf_retain(conn, id, 1, &count), 0);
        ck_assert_int_eq(count, k);
    }
    ck_assert_int_eq(hf_release(conn, id, 5, NULL), 0);
}
END_TEST

/* Many more than a window, and the stream ends in the middle of them, again and again. */
START_TEST(a_batch_is_done_once)
{
    enum { CALLS = 2000, CUTS = 4 };
    static hf_id ids[CALLS];
    int64_t counts[2], before = objects();
    hf_id held = put(0);
    ck_assert_int_eq(hf_batch_begin(conn), 0);
    for (int k = 0; k < CALLS; k++) {
        ck_assert_int_eq(hf_put(conn, hf_int(k), NULL, &ids[k]), 0);
        if (k % (CALLS / CUTS) == 7)
            cut(conn);
    }
    ck_assert_int_eq(hf_retain(conn, held, 5, &counts[0]), 0);
    ck_assert_int_eq(hf_release(conn, held, 5, &counts[1]), 0);
    ck_assert_int_eq(hf_batch_end(conn, NULL), 0);
    ck_assert_int_eq(counts[0], 6);
    ck_assert_int_eq(counts[1], 1);
    ck_assert_int_eq(objects(), before + CALLS + 1);
    for (int k = 0; k < CALLS; k++) {
        hf_reply *reply;
        int64_t value = -1;
        ck_assert_int_eq(hf_get(conn, ids[k], &reply), 0);
        ck_assert(hf_item_int(hf_reply_item(reply), &value) && value == k);
        hf_reply_free(reply);
    }
}
END_TEST

START_TEST(errors_are_told_as_they_were)
{
    hf_id id = put(1);
    ck_assert_int_eq(hf_release(conn, id, 1, NULL), 0);
    cut(conn);
    ck_assert_int_eq(hf_retain(conn, id, 1, NULL), HF_ERR_GONE);
    cut(conn);
    ck_assert_int_eq(hf_unname(conn, "nobody", HF_ANY_VERSION), HF_ERR_NOTFOUND);
}
END_TEST

START_TEST(events_go_on_by_themselves)
{
    struct hf_event event;
    hf_id id = 0;
    static const char *const topics[] = {"gc"};
    ck_assert_int_eq(hf_put(other, hf_int(1), NULL, &id), 0);
    ck_assert_int_eq(hf_watch(conn, id), 0);
    ck_assert_int_eq(hf_subscribe(conn, topics, 1, NULL, NULL), 0);
    cut(conn);
    ck_assert_int_eq(hf_next_event(conn, 0, &event), HF_ERR_TIMEOUT); /* asks for them again */
    ck_assert_int_eq(hf_release(other, id, 1, NULL), 0);
    ck_assert_int_eq(hf_next_event(conn, HF_NO_TIMEOUT, &event), 0);
    ck_assert_str_eq(event.topic, "freed");
    ck_assert_int_eq(event.id, id);
    ck_assert_int_eq(hf_gc_collect(other, NULL, NULL), 0);
    ck_assert_int_eq(hf_next_event(conn, HF_NO_TIMEOUT, &event), 0);
    ck_assert_str_eq(event.topic, "gc");
}
END_TEST

/* UNKNOWN, unless it can be told that not a byte of the request has left. */
START_TEST(a_session_that_ended_is_told)
{
    hf_id id = put(1);
    ck_assert_int_eq(hf_kill(other, hf_session(conn)->sid, NULL), 0);
    int code = hf_retain(conn, id, 1, NULL);
    ck_assert_msg(code == HF_ERR_UNKNOWN || code == HF_ERR_UNSENT, "%s", hf_error_word(code));
    ck_assert_ptr_nonnull(strstr(hf_last_error(conn)->text, "EXPIRED"));
    ck_assert(!hf_connected(conn));
    ck_assert_ptr_null(hf_session(conn));
    ck_assert_int_eq(hf_retain(conn, id, 1, NULL), HF_ERR_UNSENT);
    hf_close(conn);
    live_open(&server, &conn, "again");
}
END_TEST

START_TEST(the_time_to_reconnect_is_bounded)
{
    hf_conn *lone;
    const struct hf_hello_options options = {.name = "lone", .lease_ms = 60000};
    struct live gone;
    live_start(&gone);
    ck_assert_int_eq(hf_connect(gone.unix_address, 50, &lone), 0);
    ck_assert_int_eq(hf_hello(lone, &options), 0);
    live_kill(&gone);
    int code = hf_put(lone, hf_int(1), NULL, NULL);
    ck_assert_msg(code == HF_ERR_UNKNOWN || code == HF_ERR_UNSENT, "%s", hf_error_word(code));
    ck_assert(!hf_connected(lone));
    ck_assert_int_eq(hf_ping(lone, NULL), HF_ERR_UNSENT);
    ck_assert_int_eq(hf_reconnect(lone), HF_ERR_CONNECT);
    hf_close(lone);
}
END_TEST

START_TEST(who_does_not_want_it_is_told)
{
    server.no_replay = true;
    hf_conn *plain;
    live_open(&server, &plain, "plain");
    cut(plain);
    int code = hf_put(plain, hf_int(1), NULL, NULL);
    ck_assert_msg(code == HF_ERR_UNKNOWN || code == HF_ERR_UNSENT, "%s", hf_error_word(code));
    ck_assert_int_eq(hf_reconnect(plain), 0);
    ck_assert_int_eq(hf_bye(plain, NULL), 0);
    hf_close(plain);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("client and replay");
    TCase *all = suite_case(suite, "broken", setup, teardown);
    tcase_add_test(all, calls_go_on_when_the_connection_is_cut);
    tcase_add_test(all, calls_go_on_when_the_daemon_is_killed);
    tcase_add_test(all, a_batch_is_done_once);
    tcase_add_test(all, errors_are_told_as_they_were);
    tcase_add_test(all, events_go_on_by_themselves);
    tcase_add_test(all, a_session_that_ended_is_told);
    tcase_add_test(all, the_time_to_reconnect_is_bounded);
    tcase_add_test(all, who_does_not_want_it_is_told);
    return suite_run(suite);
}
