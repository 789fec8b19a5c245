/* SPDX-License-Identifier: BSD-3-Clause */
/* The blocking client against a scripted daemon in a thread: errors, time-outs, batches, reconnects. */
#include "client/holdfast.h"
#include "proto/mp.h"
#include "proto/rpc.h"
#include "proto/scan.h"
#include "tests/lib/suite.h"

#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* ---- A scripted daemon ----
 *
 * It answers by method name: `ping` with 1, 2, 3, ... in order; `hello` with a session; `get` with GONE;
 * `stats` never; `verify` closes the connection without an answer; `seal` answers with bytes that are no
 * MessagePack-RPC; `bye` with 4. Other methods: nil. `refuse` hello: EXPIRED. Its state is set before a
 * connection is made or read after it is closed, so that no lock is needed. */
static struct {
    char folder[32];
    char address[80];
    int listener;
    int stop[2];
    pthread_t thread;
    bool refuse;          /* hello answers EXPIRED */
    bool full;            /* answers LIMIT with msgid 0 and closes, as a daemon out of descriptors */
    unsigned loading;     /* so often hello answers that the pools are being recovered */
    unsigned connections; /* so far */
    unsigned resumed;     /* hello with a session key */
    uint64_t pings;
} fake;

static uint8_t *put_session(uint8_t *at)
{
    at = hfp_put_text(hfp_put_map_head(at, 7), "session");
    at = hfp_put_bin(at, "0123456789abcdef", 16);
    at = hfp_put_uint(hfp_put_text(at, "sid"), 42);
    at = hfp_put_text(hfp_put_text(at, "pool"), "default");
    at = hfp_put_uint(hfp_put_text(at, "epoch"), 99);
    at = hfp_put_uint(hfp_put_text(at, "held"), fake.resumed);
    at = hfp_put_text(hfp_put_text(at, "server"), "fake");
    return hfp_put_text(hfp_put_text(at, "version"), "1");
}

static bool contains(const uint8_t *bytes, size_t size, const char *text)
{
    return memmem(bytes, size, text, strlen(text)) != NULL;
}

/* Answers one request into `at`. NULL: close the connection. */
static uint8_t *answer(const uint8_t *bytes, const struct hfp_frame *frame, uint8_t *at)
{
    static const char gone[] = "GONE index=3 id=9: the object has died";
    static const char loading[] = "BUSY loading=43% pool=default: the pool is being recovered";
    static const char expired[] = "EXPIRED: the session has ended";
    char method[32] = {0};
    memcpy(method, bytes + frame->method_at, frame->method_size < 31 ? frame->method_size : 31);
    if (strcmp(method, "stats") == 0)
        return at;
    if (strcmp(method, "verify") == 0)
        return NULL;
    if (strcmp(method, "get") == 0)
        return hfp_put_error(at, frame->msgid, gone, sizeof gone - 1);
    if (strcmp(method, "seal") == 0) {
        memcpy(at, "HTTP/1.1", 8);
        return at + 8;
    }
    if (strcmp(method, "hello") == 0 && fake.loading > 0) {
        fake.loading--;
        return hfp_put_error(at, frame->msgid, loading, sizeof loading - 1);
    }
    if (strcmp(method, "hello") == 0 && fake.refuse)
        return hfp_put_error(at, frame->msgid, expired, sizeof expired - 1);
    at = hfp_put_reply_head(at, frame->msgid);
    if (strcmp(method, "ping") == 0)
        return hfp_put_uint(at, ++fake.pings);
    if (strcmp(method, "bye") == 0)
        return hfp_put_uint(at, 4);
    if (strcmp(method, "hello") != 0)
        return hfp_put_nil(at);
    fake.resumed += contains(bytes, frame->size, "session");
    return put_session(at);
}

/* Waits for bytes; false if the test ends first. */
static bool wait_input(int fd)
{
    struct pollfd wait[2] = {{.fd = fd, .events = POLLIN}, {.fd = fake.stop[0], .events = POLLIN}};
    while (poll(wait, 2, -1) < 0)
        continue;
    return wait[1].revents == 0;
}

static void send_whole(int fd, const uint8_t *bytes, size_t size)
{
    while (size != 0) {
        ssize_t sent = send(fd, bytes, size, MSG_NOSIGNAL);
        if (sent <= 0)
            return;
        bytes += sent;
        size -= (size_t)sent;
    }
}

static void serve(int fd)
{
    static uint8_t in[1 << 20];
    struct hfp_scan scan = {0};
    const struct hfp_scan_limits limits = {.frame_max = sizeof in, .depth_max = 64};
    size_t size = 0;
    if (fake.full) {
        uint8_t out[HFP_ERROR_MAX];
        static const char text[] = "LIMIT open=9: too many connections";
        send_whole(fd, out, (size_t)(hfp_put_error(out, 0, text, sizeof text - 1) - out));
        return;
    }
    while (wait_input(fd)) {
        ssize_t got = recv(fd, in + size, sizeof in - size, 0);
        if (got <= 0)
            return;
        size += (size_t)got;
        struct hfp_frame frame;
        while (hfp_scan(&scan, &limits, in, size, &frame) == HFP_FRAME) {
            uint8_t out[1024];
            uint8_t *end = answer(in, &frame, out);
            if (end == NULL)
                return;
            send_whole(fd, out, (size_t)(end - out));
            memmove(in, in + frame.size, size - frame.size);
            size -= frame.size;
        }
    }
}

static void *run_fake(void *context)
{
    (void)context;
    while (wait_input(fake.listener)) {
        int fd = accept(fake.listener, NULL, NULL);
        if (fd < 0)
            continue;
        fake.connections++;
        serve(fd);
        close(fd);
    }
    return NULL;
}

static hf_conn *conn;

static void setup(void)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    memset(&fake, 0, sizeof fake);
    strcpy(fake.folder, "/tmp/hf-test-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(fake.folder));
    snprintf(at.sun_path, sizeof at.sun_path, "%s/s", fake.folder);
    snprintf(fake.address, sizeof fake.address, "unix:%s/s", fake.folder);
    fake.listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(bind(fake.listener, (struct sockaddr *)&at, sizeof at), 0);
    ck_assert_int_eq(listen(fake.listener, 8), 0);
    ck_assert_int_eq(pipe(fake.stop), 0);
    ck_assert_int_eq(pthread_create(&fake.thread, NULL, run_fake, NULL), 0);
}

static void teardown(void)
{
    char path[64];
    hf_close(conn);
    conn = NULL;
    ck_assert_int_eq(write(fake.stop[1], "x", 1), 1);
    pthread_join(fake.thread, NULL);
    close(fake.listener);
    close(fake.stop[0]);
    close(fake.stop[1]);
    snprintf(path, sizeof path, "%s/s", fake.folder);
    unlink(path);
    rmdir(fake.folder);
}

static void open_conn(void)
{
    ck_assert_int_eq(hf_connect(fake.address, HF_NO_TIMEOUT, &conn), 0);
}

/* ---- Connecting ---- */

START_TEST(no_listener_is_told)
{
    ck_assert_int_eq(hf_connect("unix:/tmp/hf-no-such-folder/s", 0, &conn), HF_ERR_CONNECT);
    ck_assert_ptr_nonnull(strstr(hf_last_error(conn)->text, "No such file"));
    ck_assert(!hf_connected(conn));
    ck_assert_int_eq(hf_ping(conn, NULL), HF_ERR_UNSENT);
}
END_TEST

START_TEST(bad_address_is_told)
{
    ck_assert_int_eq(hf_connect("nonsense", 0, &conn), HF_ERR_ADDRESS);
    ck_assert_str_eq(hf_last_error(conn)->word, "ADDRESS");
}
END_TEST

START_TEST(closing_nothing_is_allowed)
{
    hf_close(NULL);
    hf_reply_free(NULL);
}
END_TEST

START_TEST(hello_waits_for_a_daemon_that_recovers)
{
    fake.loading = 3;
    ck_assert_int_eq(hf_connect(fake.address, HF_NO_TIMEOUT, &conn), 0);
    ck_assert_int_eq(hf_hello(conn, NULL), 0);
    ck_assert_ptr_nonnull(hf_session(conn));
}
END_TEST

/* No longer than it was given. */
START_TEST(hello_gives_up_when_its_time_is_over)
{
    fake.loading = UINT32_MAX;
    ck_assert_int_eq(hf_connect(fake.address, 100, &conn), 0);
    ck_assert_int_eq(hf_hello(conn, NULL), HF_ERR_BUSY);
}
END_TEST

START_TEST(a_full_daemon_answers_hello)
{
    fake.full = true;
    open_conn();
    ck_assert_int_eq(hf_hello(conn, NULL), HF_ERR_LIMIT);
    ck_assert_ptr_nonnull(strstr(hf_last_error(conn)->text, "too many connections"));
}
END_TEST

/* ---- Calls ---- */

START_TEST(a_call_gets_its_result)
{
    int64_t time_ms = 0;
    open_conn();
    ck_assert_int_eq(hf_ping(conn, &time_ms), 0);
    ck_assert_int_eq(time_ms, 1);
    ck_assert_int_eq(hf_ping(conn, NULL), 0);
    ck_assert_uint_eq(hf_request(conn), 2);
    ck_assert_int_eq(hf_last_error(conn)->code, 0);
    ck_assert_str_eq(hf_last_error(conn)->text, "");
}
END_TEST

START_TEST(an_error_has_code_word_index_and_text)
{
    hf_reply *reply = (hf_reply *)&fake;
    open_conn();
    ck_assert_int_eq(hf_get(conn, 9, &reply), HF_ERR_GONE);
    ck_assert_ptr_null(reply);
    const struct hf_error *error = hf_last_error(conn);
    ck_assert_int_eq(error->code, HF_ERR_GONE);
    ck_assert_uint_eq(error->request, 1);
    ck_assert_int_eq(error->index, 3);
    ck_assert_str_eq(error->word, "GONE");
    ck_assert_str_eq(error->text, "index=3 id=9: the object has died");
    ck_assert_int_eq(hf_ping(conn, NULL), 0);
}
END_TEST

START_TEST(a_result_of_another_kind_is_a_protocol_error_and_the_connection_lives)
{
    hf_id id = 5;
    open_conn();
    ck_assert_int_eq(hf_link(conn, 1, 0, 2, &id), 0); /* nil is an id: none */
    ck_assert_int_eq(id, 0);
    id = 5;
    ck_assert_int_eq(hf_retain(conn, 1, 1, &id), HF_ERR_PROTOCOL);
    ck_assert_int_eq(id, 5);
    ck_assert_int_eq(hf_ping(conn, NULL), 0);
}
END_TEST

START_TEST(arguments_are_refused_before_anything_is_sent)
{
    open_conn();
    ck_assert_int_eq(hf_put(conn, hf_packed("\x92\x01", 2), NULL, NULL), HF_ERR_ARGUMENT);
    ck_assert_int_eq(hf_put(conn, hf_packed("\x01\x01", 2), NULL, NULL), HF_ERR_ARGUMENT);
    ck_assert_int_eq(hf_put(conn, hf_packed("", 0), NULL, NULL), HF_ERR_ARGUMENT);
    ck_assert_int_eq(hf_put(conn, hf_bin(NULL, 3), NULL, NULL), HF_ERR_ARGUMENT);
    ck_assert_int_eq(hf_call(conn, "ping", "\x01", 1, NULL), HF_ERR_ARGUMENT);
    ck_assert_int_eq(hf_ping(conn, NULL), 0);
    ck_assert_uint_eq(fake.pings, 1);
    ck_assert_uint_eq(hf_request(conn), 6);
}
END_TEST

START_TEST(any_method_can_be_called)
{
    hf_reply *reply = NULL;
    uint64_t number = 0;
    open_conn();
    ck_assert_int_eq(hf_call(conn, "ping", "\x92\x01\xc0", 3, &reply), 0);
    ck_assert(hf_item_uint(hf_reply_item(reply), &number));
    ck_assert_uint_eq(number, 1);
    hf_reply_free(reply);
}
END_TEST

/* ---- Time ---- */

START_TEST(no_answer_in_time_and_a_late_one_is_dropped)
{
    hf_reply *reply = NULL;
    int64_t pings = 0;
    open_conn();
    hf_set_timeout_once(conn, 20);
    ck_assert_int_eq(hf_stats(conn, NULL, &reply), HF_ERR_NOREPLY);
    ck_assert_ptr_null(reply);
    ck_assert_int_eq(hf_ping(conn, &pings), 0);
    ck_assert_int_eq(pings, 1);
}
END_TEST

START_TEST(a_batch_in_which_one_call_has_no_answer)
{
    hf_reply *reply;
    int64_t pings[2] = {0};
    size_t failed = 0;
    open_conn();
    hf_batch_begin(conn);
    hf_ping(conn, &pings[0]);
    hf_stats(conn, NULL, &reply);
    hf_ping(conn, &pings[1]);
    hf_set_timeout_once(conn, 50);
    ck_assert_int_eq(hf_batch_end(conn, &failed), HF_ERR_NOREPLY);
    ck_assert_uint_eq(failed, 1);
    ck_assert_int_eq(pings[1], 2);
    ck_assert_int_eq(hf_batch_error(conn, 1)->code, HF_ERR_NOREPLY);
    ck_assert_int_eq(hf_batch_error(conn, 2)->code, 0);
}
END_TEST

/* ---- Batches ---- */

START_TEST(a_batch_collects_results_and_errors_in_order)
{
    int64_t pings[3] = {0};
    hf_reply *reply;
    size_t failed = 0;
    open_conn();
    ck_assert_int_eq(hf_ping(conn, NULL), 0);
    ck_assert_int_eq(hf_batch_begin(conn), 0);
    ck_assert_int_eq(hf_ping(conn, &pings[0]), 0);
    ck_assert_int_eq(hf_get(conn, 9, &reply), 0);
    ck_assert_int_eq(hf_put(conn, hf_packed("", 0), NULL, NULL), HF_ERR_ARGUMENT);
    ck_assert_int_eq(hf_ping(conn, &pings[1]), 0);
    ck_assert_ptr_null(hf_batch_error(conn, 0));
    ck_assert_int_eq(hf_batch_end(conn, &failed), HF_ERR_GONE);
    ck_assert_uint_eq(failed, 2);
    ck_assert_uint_eq(hf_batch_count(conn), 4);
    ck_assert_int_eq(pings[0], 2);
    ck_assert_int_eq(pings[1], 3);
    ck_assert_int_eq(hf_batch_error(conn, 0)->code, 0);
    ck_assert_str_eq(hf_batch_error(conn, 1)->text, "index=3 id=9: the object has died");
    ck_assert_uint_eq(hf_batch_error(conn, 1)->request, 3);
    ck_assert_int_eq(hf_batch_error(conn, 2)->code, HF_ERR_ARGUMENT);
    ck_assert_int_eq(hf_batch_error(conn, 3)->code, 0);
    ck_assert_ptr_null(hf_batch_error(conn, 4));
    ck_assert_str_eq(hf_last_error(conn)->word, "GONE");
}
END_TEST

START_TEST(a_large_batch_neither_blocks_nor_loses)
{
    enum { CALLS = 50000 };
    static int64_t pings[CALLS];
    size_t failed = 1;
    open_conn();
    hf_batch_begin(conn);
    for (size_t i = 0; i < CALLS; i++)
        ck_assert_int_eq(hf_ping(conn, &pings[i]), 0);
    ck_assert_int_eq(hf_batch_end(conn, &failed), 0);
    ck_assert_uint_eq(failed, 0);
    for (size_t i = 0; i < CALLS; i++)
        ck_assert_int_eq(pings[i], (int64_t)i + 1);
}
END_TEST

START_TEST(a_batch_is_not_for_sessions_and_not_nested)
{
    open_conn();
    ck_assert_int_eq(hf_batch_end(conn, NULL), HF_ERR_ARGUMENT);
    hf_batch_begin(conn);
    ck_assert_int_eq(hf_batch_begin(conn), HF_ERR_ARGUMENT);
    ck_assert_int_eq(hf_hello(conn, NULL), HF_ERR_ARGUMENT);
    ck_assert_int_eq(hf_bye(conn, NULL), HF_ERR_ARGUMENT);
    ck_assert_int_eq(hf_reconnect(conn), HF_ERR_ARGUMENT);
    ck_assert_int_eq(hf_batch_end(conn, NULL), 0);
}
END_TEST

START_TEST(a_batch_cut_by_the_daemon_says_what_is_unknown)
{
    hf_reply *reply;
    struct hf_unknown rows[8];
    size_t failed = 0;
    open_conn();
    hf_batch_begin(conn);
    hf_ping(conn, NULL);
    hf_verify(conn, &reply); /* closes the connection */
    hf_ping(conn, NULL);
    ck_assert_int_eq(hf_batch_end(conn, &failed), HF_ERR_UNKNOWN);
    ck_assert_uint_eq(failed, 2);
    ck_assert_int_eq(hf_batch_error(conn, 0)->code, 0);
    ck_assert_int_eq(hf_batch_error(conn, 1)->code, HF_ERR_UNKNOWN);
    ck_assert_int_eq(hf_batch_error(conn, 2)->code, HF_ERR_UNKNOWN);
    ck_assert_uint_eq(hf_unknown(conn, rows, 8), 2);
    ck_assert_uint_eq(rows[0].request, 2);
    ck_assert_str_eq(rows[0].method, "verify");
    ck_assert_str_eq(rows[1].method, "ping");
    hf_batch_begin(conn);
    ck_assert_int_eq(hf_ping(conn, NULL), HF_ERR_UNSENT);
    ck_assert_int_eq(hf_batch_end(conn, &failed), HF_ERR_UNSENT);
    ck_assert_uint_eq(failed, 1);
}
END_TEST

START_TEST(an_open_batch_can_be_closed)
{
    int64_t pings;
    open_conn();
    hf_batch_begin(conn);
    hf_ping(conn, &pings);
}
END_TEST

/* ---- Broken connections ---- */

START_TEST(bad_bytes_are_a_protocol_error_and_close)
{
    open_conn();
    ck_assert_int_eq(hf_seal(conn, 1), HF_ERR_PROTOCOL);
    ck_assert(!hf_connected(conn));
    ck_assert_int_eq(hf_fd(conn), -1);
    ck_assert_int_eq(hf_ping(conn, NULL), HF_ERR_UNSENT);
}
END_TEST

START_TEST(reconnect_resumes_the_session_and_keeps_the_unknown)
{
    hf_reply *reply;
    struct hf_unknown row;
    const struct hf_hello_options options = {.name = "test", .lease_ms = 5000};
    open_conn();
    ck_assert_int_eq(hf_reconnect(conn), HF_ERR_ARGUMENT);
    ck_assert_ptr_null(hf_session(conn));
    ck_assert_int_eq(hf_hello(conn, &options), 0);
    ck_assert_uint_eq(hf_session(conn)->sid, 42);
    ck_assert_str_eq(hf_session(conn)->server, "fake");
    ck_assert_uint_eq(hf_session(conn)->held, 0);
    ck_assert_int_eq(hf_verify(conn, &reply), HF_ERR_UNKNOWN);
    uint64_t lost = hf_request(conn);
    ck_assert_int_eq(hf_reconnect(conn), 0);
    ck_assert(hf_connected(conn));
    ck_assert_uint_eq(hf_session(conn)->held, 1);
    ck_assert_uint_eq(hf_unknown(conn, &row, 1), 1);
    ck_assert_uint_eq(row.request, lost);
    ck_assert_str_eq(row.method, "verify");
    ck_assert_int_eq(hf_ping(conn, NULL), 0);
    ck_assert_uint_gt(hf_request(conn), lost);
    hf_close(conn);
    conn = NULL;
    ck_assert_uint_eq(fake.resumed, 1);
}
END_TEST

START_TEST(a_session_that_has_ended_cannot_be_resumed)
{
    hf_reply *reply;
    open_conn();
    ck_assert_int_eq(hf_hello(conn, NULL), 0);
    ck_assert_int_eq(hf_verify(conn, &reply), HF_ERR_UNKNOWN);
    fake.refuse = true;
    ck_assert_int_eq(hf_reconnect(conn), HF_ERR_EXPIRED);
    ck_assert_str_eq(hf_last_error(conn)->word, "EXPIRED");
    ck_assert(!hf_connected(conn));
    ck_assert_ptr_null(hf_session(conn));
    ck_assert_int_eq(hf_reconnect(conn), HF_ERR_ARGUMENT);
}
END_TEST

START_TEST(bye_ends_the_session)
{
    int64_t dropped = 0;
    open_conn();
    ck_assert_int_eq(hf_hello(conn, NULL), 0);
    ck_assert_int_eq(hf_bye(conn, &dropped), 0);
    ck_assert_int_eq(dropped, 4);
    ck_assert(!hf_connected(conn));
    ck_assert_ptr_null(hf_session(conn));
    ck_assert_int_eq(hf_reconnect(conn), HF_ERR_ARGUMENT);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("client blocking");
    TCase *connecting = suite_case(suite, "connecting", setup, teardown);
    tcase_add_test(connecting, no_listener_is_told);
    tcase_add_test(connecting, bad_address_is_told);
    tcase_add_test(connecting, closing_nothing_is_allowed);
    tcase_add_test(connecting, a_full_daemon_answers_hello);
    tcase_add_test(connecting, hello_waits_for_a_daemon_that_recovers);
    tcase_add_test(connecting, hello_gives_up_when_its_time_is_over);
    TCase *calls = suite_case(suite, "calls", setup, teardown);
    tcase_add_test(calls, a_call_gets_its_result);
    tcase_add_test(calls, an_error_has_code_word_index_and_text);
    tcase_add_test(calls, a_result_of_another_kind_is_a_protocol_error_and_the_connection_lives);
    tcase_add_test(calls, arguments_are_refused_before_anything_is_sent);
    tcase_add_test(calls, any_method_can_be_called);
    TCase *time = suite_case(suite, "time", setup, teardown);
    tcase_add_test(time, no_answer_in_time_and_a_late_one_is_dropped);
    tcase_add_test(time, a_batch_in_which_one_call_has_no_answer);
    TCase *batches = suite_case(suite, "batches", setup, teardown);
    tcase_add_test(batches, a_batch_collects_results_and_errors_in_order);
    tcase_add_test(batches, a_large_batch_neither_blocks_nor_loses);
    tcase_add_test(batches, a_batch_is_not_for_sessions_and_not_nested);
    tcase_add_test(batches, a_batch_cut_by_the_daemon_says_what_is_unknown);
    tcase_add_test(batches, an_open_batch_can_be_closed);
    TCase *broken = suite_case(suite, "broken", setup, teardown);
    tcase_add_test(broken, bad_bytes_are_a_protocol_error_and_close);
    tcase_add_test(broken, reconnect_resumes_the_session_and_keeps_the_unknown);
    tcase_add_test(broken, a_session_that_has_ended_cannot_be_resumed);
    tcase_add_test(broken, bye_ends_the_session);
    return suite_run(suite);
}
