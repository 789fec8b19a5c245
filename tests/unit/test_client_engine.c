/* SPDX-License-Identifier: BSD-3-Clause */
/* The client's engine, fed by hand: matching, order, split bytes, hostile bytes, loss. */
#include "client/lib/engine.h"
#include "proto/mp.h"
#include "proto/rpc.h"
#include "tests/lib/suite.h"

#include <string.h>

static struct hf__engine engine;

/* What a test has the daemon say. */
static uint8_t said[4096];
static size_t said_size;

static void setup(void)
{
    hf__engine_init(&engine);
    hf__engine_established(&engine);
    said_size = 0;
}

static void teardown(void)
{
    hf__engine_done(&engine);
}

/* ---- Helpers ---- */

/* Queues a `ping` and returns its number. */
static uint64_t ask(void)
{
    struct hf__sink sink = {.count = 7};
    hf__engine_begin(&engine, "ping", 0);
    ck_assert_int_eq(hf__engine_commit(&engine, &sink), 0);
    return engine.open.next - 1;
}

static void send_bytes(size_t size)
{
    const uint8_t *bytes;
    ck_assert_uint_ge(hf__engine_output(&engine, &bytes), size);
    hf__engine_sent(&engine, size);
}

static void send_all(void)
{
    const uint8_t *bytes;
    hf__engine_sent(&engine, hf__engine_output(&engine, &bytes));
}

static void say_bytes(const void *bytes, size_t size)
{
    ck_assert_uint_le(said_size + size, sizeof said);
    memcpy(said + said_size, bytes, size);
    said_size += size;
}

static void say_result(uint32_t msgid, uint64_t result)
{
    uint8_t frame[32];
    uint8_t *end = hfp_put_uint(hfp_put_reply_head(frame, msgid), result);
    say_bytes(frame, (size_t)(end - frame));
}

static void say_error(uint32_t msgid, const char *text)
{
    uint8_t frame[HFP_ERROR_MAX];
    uint8_t *end = hfp_put_error(frame, msgid, text, strlen(text));
    say_bytes(frame, (size_t)(end - frame));
}

static void feed(const uint8_t *bytes, size_t size)
{
    size_t room;
    if (size == 0)
        return;
    uint8_t *space = hf__engine_space(&engine, size, &room);
    ck_assert_ptr_nonnull(space);
    ck_assert_uint_ge(room, size);
    memcpy(space, bytes, size);
    hf__engine_received(&engine, size);
}

static void feed_said(void)
{
    feed(said, said_size);
    said_size = 0;
}

static void expect_result(uint64_t number, uint64_t result)
{
    struct hf__answer answer;
    uint64_t got = 0;
    ck_assert_int_eq(hf__engine_next(&engine, &answer), 1);
    ck_assert_uint_eq(answer.number, number);
    ck_assert_int_eq(answer.code, 0);
    ck_assert_uint_eq(answer.sink.count, 7);
    ck_assert(hf_item_uint(answer.result, &got));
    ck_assert_uint_eq(got, result);
}

static void expect_code(uint64_t number, int code)
{
    struct hf__answer answer;
    ck_assert_int_eq(hf__engine_next(&engine, &answer), 1);
    ck_assert_uint_eq(answer.number, number);
    ck_assert_int_eq(answer.code, code);
}

static void expect_nothing(void)
{
    struct hf__answer answer;
    ck_assert_int_eq(hf__engine_next(&engine, &answer), 0);
}

static void expect_fault(void)
{
    struct hf__answer answer;
    ck_assert_int_eq(hf__engine_next(&engine, &answer), HF_ERR_PROTOCOL);
    ck_assert_ptr_nonnull(engine.fault);
}

/* ---- Requests ---- */

START_TEST(requests_are_whole_frames_in_order)
{
    const uint8_t *bytes;
    struct hfp_scan scan = {0};
    struct hfp_frame frame;
    ask();
    ask();
    size_t size = hf__engine_output(&engine, &bytes);
    for (uint32_t msgid = 1; msgid <= 2; msgid++) {
        ck_assert_int_eq(hfp_scan(&scan, &engine.limits, bytes, size, &frame), HFP_FRAME);
        ck_assert_uint_eq(frame.kind, HFP_REQUEST);
        ck_assert_uint_eq(frame.msgid, msgid);
        ck_assert_uint_eq(frame.method_size, 4);
        ck_assert_mem_eq(bytes + frame.method_at, "ping", 4);
        ck_assert_uint_eq(frame.param_count, 0);
        bytes += frame.size;
        size -= frame.size;
    }
    ck_assert_uint_eq(size, 0);
}
END_TEST

START_TEST(cancelled_request_leaves_no_byte_and_no_number)
{
    const uint8_t *bytes;
    hf__engine_begin(&engine, "put", 1);
    hf__engine_cancel(&engine);
    ck_assert_uint_eq(hf__engine_output(&engine, &bytes), 0);
    ck_assert_uint_eq(ask(), 1);
}
END_TEST

START_TEST(skipped_number_is_never_answered)
{
    ask();
    ck_assert(hf__engine_skip(&engine));
    ck_assert_uint_eq(ask(), 3);
    send_all();
    say_result(1, 11);
    say_result(3, 13);
    feed_said();
    expect_result(1, 11);
    expect_result(3, 13);
    say_result(2, 12);
    feed_said();
    expect_fault();
}
END_TEST

/* ---- Matching ---- */

START_TEST(replies_in_any_order_reach_their_requests)
{
    static const uint32_t order[] = {3, 1, 5, 4, 2};
    for (int i = 0; i < 5; i++)
        ask();
    send_all();
    for (size_t i = 0; i < 5; i++)
        say_result(order[i], 100 + order[i]);
    feed_said();
    for (size_t i = 0; i < 5; i++)
        expect_result(order[i], 100 + order[i]);
    expect_nothing();
    ck_assert_uint_eq(engine.open.first, engine.open.next);
}
END_TEST

START_TEST(many_open_requests_match_across_growth_and_wrap)
{
    uint64_t answered = 1;
    for (int round = 0; round < 50; round++) {
        for (int i = 0; i < 37; i++)
            ask();
        send_all();
        while (engine.open.next - answered > (uint64_t)round) {
            say_result((uint32_t)answered, answered * 3);
            feed_said();
            expect_result(answered, answered * 3);
            answered++;
        }
    }
}
END_TEST

START_TEST(msgid_wraps_around)
{
    engine.open.first = engine.open.next = UINT32_MAX;
    ck_assert_uint_eq(ask(), UINT32_MAX);
    ck_assert_uint_eq(ask(), (uint64_t)UINT32_MAX + 1);
    ck_assert_uint_eq(ask(), (uint64_t)UINT32_MAX + 2);
    send_all();
    say_result(1, 3);
    say_result(0, 2);
    say_result(UINT32_MAX, 1);
    feed_said();
    expect_result((uint64_t)UINT32_MAX + 2, 3);
    expect_result((uint64_t)UINT32_MAX + 1, 2);
    expect_result(UINT32_MAX, 1);
}
END_TEST

START_TEST(error_is_handed_on_as_text)
{
    struct hf__answer answer;
    ask();
    send_all();
    say_error(1, "GONE index=2: the object has died");
    feed_said();
    ck_assert_int_eq(hf__engine_next(&engine, &answer), 1);
    ck_assert_int_eq(answer.code, HF_ERR_OTHER);
    ck_assert_uint_eq(answer.error_size, strlen("GONE index=2: the object has died"));
    ck_assert_mem_eq(answer.error, "GONE index=2", 12);
}
END_TEST

START_TEST(error_that_is_no_text_is_an_error_without_text)
{
    struct hf__answer answer;
    ask();
    send_all();
    say_bytes("\x94\x01\x01\x81\xa1x\x01\xc0", 8);
    feed_said();
    ck_assert_int_eq(hf__engine_next(&engine, &answer), 1);
    ck_assert_int_eq(answer.code, HF_ERR_OTHER);
    ck_assert_ptr_null(answer.error);
}
END_TEST

START_TEST(abandoned_request_swallows_its_answer)
{
    ask();
    ask();
    send_all();
    hf__engine_abandon(&engine, 1);
    say_result(1, 1);
    say_result(2, 2);
    feed_said();
    expect_result(2, 2);
    expect_nothing();
}
END_TEST

START_TEST(events_come_in_between)
{
    uint8_t event[64];
    uint8_t *end = hfp_put_event_head(event, 9, "freed", 5);
    struct hf__answer answer;
    const void *topic;
    uint64_t seq;
    size_t size;
    *end++ = 0x80;
    ask();
    send_all();
    say_bytes(event, (size_t)(end - event));
    say_result(1, 5);
    feed_said();
    ck_assert_int_eq(hf__engine_next(&engine, &answer), 1);
    ck_assert_uint_eq(answer.number, 0);
    ck_assert_int_eq(answer.code, 0);
    ck_assert_uint_eq(hf_item_count(answer.event), 3);
    ck_assert(hf_item_uint(hf_item_at(answer.event, 0), &seq) && seq == 9);
    ck_assert(hf_item_bytes(hf_item_at(answer.event, 1), &topic, &size));
    ck_assert(size == 5 && memcmp(topic, "freed", 5) == 0);
    ck_assert_int_eq(hf_item_type(hf_item_at(answer.event, 2)), HF_TYPE_MAP);
    ck_assert_ptr_eq(answer.event.data + answer.event.size, hf_item_at(answer.event, 2).data + 1);
    expect_result(1, 5);
    ck_assert_uint_eq(engine.notifications, 0);
}
END_TEST

START_TEST(other_notifications_are_counted_and_ignored)
{
    uint8_t frame[64];
    uint8_t *end = hfp_put_notification_head(frame, "events", 6, 0);
    ask();
    send_all();
    say_bytes(frame, (size_t)(end - frame));
    end = hfp_put_notification_head(frame, "EVENT", 5, 1);
    *end++ = 0xc0;
    say_bytes(frame, (size_t)(end - frame));
    say_result(1, 5);
    feed_said();
    expect_result(1, 5);
    ck_assert_uint_eq(engine.notifications, 2);
}
END_TEST

/* ---- Bytes ---- */

/* Three answers and an event, cut in two at every place: _i is the place. */
START_TEST(stream_cut_at_any_byte_gives_the_same_answers)
{
    uint64_t results[3] = {0};
    uint64_t numbers[3] = {0};
    size_t count = 0, events = 0;
    for (int i = 0; i < 3; i++)
        ask();
    send_all();
    say_result(2, 1ull << 40);
    say_error(1, "GONE: it has died");
    say_bytes("\x93\x02\xa5"
              "event"
              "\x93\x01\xa1x\x80",
              13);
    say_result(3, 7);
    size_t cuts[3] = {(size_t)_i < said_size ? (size_t)_i : said_size, said_size, 0};
    size_t at = 0;
    for (size_t i = 0; i < 2; i++) {
        struct hf__answer answer;
        feed(said + at, cuts[i] - at);
        at = cuts[i];
        while (hf__engine_next(&engine, &answer) == 1) {
            if (answer.event.data != NULL) {
                ck_assert_uint_eq(answer.event.size, 5);
                ck_assert_uint_eq(count, 2);
                events++;
                continue;
            }
            ck_assert_uint_lt(count, 3);
            hf_item_uint(answer.result, &results[count]);
            numbers[count++] = answer.number;
        }
    }
    ck_assert_uint_eq(count, 3);
    ck_assert_uint_eq(numbers[0], 2);
    ck_assert_uint_eq(results[0], 1ull << 40);
    ck_assert_uint_eq(numbers[1], 1);
    ck_assert_uint_eq(numbers[2], 3);
    ck_assert_uint_eq(results[2], 7);
    ck_assert_uint_eq(events, 1);
}
END_TEST

START_TEST(stream_of_single_bytes)
{
    int answers = 0;
    for (int i = 0; i < 20; i++)
        ask();
    send_all();
    for (uint32_t msgid = 1; msgid <= 20; msgid++)
        say_result(msgid, msgid);
    for (size_t i = 0; i < said_size; i++) {
        struct hf__answer answer;
        feed(said + i, 1);
        answers += hf__engine_next(&engine, &answer);
    }
    ck_assert_int_eq(answers, 20);
}
END_TEST

/* ---- Hostile bytes ---- */

static const struct {
    const char *bytes;
    size_t size;
} hostile[] = {
    {"HTTP/1.1 400 Bad Request\r\n", 26},
    {"\xc1", 1},                     /* no MessagePack */
    {"\x94\x05\x01\xc0\xc0", 5},     /* no kind of message */
    {"\x93\x01\x01\xc0", 4},         /* a response of three */
    {"\x94\x01\xff\xc0\xc0", 5},     /* a negative msgid */
    {"\x94\x00\x01\xa4ping\x90", 9}, /* a request */
    {"\x94\x01\x02\xc0\xc0", 5},     /* an answer to nothing */
    {"\x94\x01\x00\xc0\xc0", 5},     /* a result of connection as a whole */
    {"\xdd\xff\xff\xff\xff", 5},     /* an array of 4 G elements */
};
#define HOSTILE ((int)(sizeof hostile / sizeof hostile[0]))

START_TEST(hostile_bytes_are_a_fault)
{
    ask();
    send_all();
    feed((const uint8_t *)hostile[_i].bytes, hostile[_i].size);
    expect_fault();
}
END_TEST

START_TEST(second_answer_to_one_request_is_a_fault)
{
    ask();
    ask();
    send_all();
    say_result(1, 1);
    say_result(1, 1);
    feed_said();
    expect_result(1, 1);
    expect_fault();
}
END_TEST

/* Only what has come may cost memory, not what is declared. */
START_TEST(declared_sizes_reserve_nothing)
{
    ask();
    send_all();
    feed((const uint8_t *)"\x94\x01\x01\xc0\xc6\x03\xff\xff\xff", 9);
    expect_nothing();
    ck_assert_uint_lt(engine.in.capacity, 100000);
}
END_TEST

START_TEST(nesting_beyond_the_limit_is_no_crash)
{
    uint8_t deep[4 + 2000];
    struct hf__answer answer;
    memcpy(deep, "\x94\x01\x01\xc0", 4);
    memset(deep + 4, 0x91, 2000);
    ask();
    send_all();
    feed(deep, sizeof deep);
    ck_assert_int_ne(hf__engine_next(&engine, &answer), 1);
}
END_TEST

/* A bin of 64 MiB and more: dropped as it comes, answered TOOBIG, and the next answer is found. */
START_TEST(reply_above_the_limit_fails_alone)
{
    static uint8_t piece[65536];
    uint32_t size = engine.limits.frame_max;
    uint8_t head[9] = {0x94, 0x01, 0x01, 0xc0, 0xc6};
    struct hf__answer answer;
    ask();
    ask();
    send_all();
    for (int i = 0; i < 4; i++)
        head[5 + i] = (uint8_t)(size >> (24 - 8 * i));
    feed(head, sizeof head);
    expect_nothing();
    for (uint32_t left = size; left != 0;) {
        uint32_t part = left < sizeof piece ? left : (uint32_t)sizeof piece;
        feed(piece, part);
        left -= part;
        ck_assert_uint_lt(engine.in.capacity, 1u << 20);
        if (left != 0)
            expect_nothing();
    }
    say_result(2, 22);
    feed_said();
    ck_assert_int_eq(hf__engine_next(&engine, &answer), 1);
    ck_assert_uint_eq(answer.number, 1);
    ck_assert_int_eq(answer.code, HF_ERR_TOOBIG);
    expect_result(2, 22);
}
END_TEST

/* Every single-byte change of a valid stream: an answer or a fault, never a crash or an endless loop. */
START_TEST(damaged_answers_never_crash)
{
    for (size_t at = 0; at < 24; at++) {
        for (unsigned value = 0; value < 256; value++) {
            struct hf__answer answer;
            int got, rounds = 0;
            hf__engine_done(&engine);
            said_size = 0;
            ask();
            ask();
            send_all();
            say_result(1, 1ull << 33);
            say_error(2, "GONE id=1: x");
            if (at < said_size)
                said[at] = (uint8_t)value;
            feed_said();
            while ((got = hf__engine_next(&engine, &answer)) == 1)
                ck_assert_int_lt(++rounds, 4);
            if (got == 0)
                hf__engine_lost(&engine);
        }
    }
}
END_TEST

/* ---- Connection as a whole ---- */

START_TEST(error_with_msgid_0_is_about_the_connection)
{
    struct hf__answer answer;
    ask();
    send_all();
    say_error(0, "BADFRAME: this is not MessagePack-RPC");
    feed_said();
    ck_assert_int_eq(hf__engine_next(&engine, &answer), 1);
    ck_assert_uint_eq(answer.number, 0);
    ck_assert_mem_eq(answer.error, "BADFRAME", 8);
    hf__engine_lost(&engine);
    expect_code(1, HF_ERR_UNKNOWN);
    expect_nothing();
}
END_TEST

/* ---- Loss ---- */

START_TEST(lost_requests_are_unknown_or_unsent_by_their_first_byte)
{
    struct hf_unknown rows[4];
    const uint8_t *bytes;
    ask();
    ask();
    size_t two = hf__engine_output(&engine, &bytes);
    ask();
    ask();
    send_bytes(two + 1); /* the third has begun */
    say_result(1, 1);
    feed_said();
    expect_result(1, 1);
    hf__engine_lost(&engine);
    expect_code(2, HF_ERR_UNKNOWN);
    expect_code(3, HF_ERR_UNKNOWN);
    expect_code(4, HF_ERR_UNSENT);
    expect_nothing();
    ck_assert_uint_eq(hf__engine_unknown(&engine, rows, 4), 2);
    ck_assert_uint_eq(rows[0].request, 2);
    ck_assert_str_eq(rows[0].method, "ping");
    ck_assert_uint_eq(rows[1].request, 3);
    ck_assert_uint_eq(hf__engine_unknown(&engine, rows, 1), 2);
}
END_TEST

START_TEST(request_sent_to_its_last_byte_exactly_leaves_the_next_unsent)
{
    const uint8_t *bytes;
    ask();
    size_t one = hf__engine_output(&engine, &bytes);
    ask();
    send_bytes(one);
    hf__engine_lost(&engine);
    expect_code(1, HF_ERR_UNKNOWN);
    expect_code(2, HF_ERR_UNSENT);
}
END_TEST

START_TEST(abandoned_requests_are_unknown_but_not_answered)
{
    struct hf_unknown rows[2];
    ask();
    send_all();
    hf__engine_abandon(&engine, 1);
    hf__engine_lost(&engine);
    expect_nothing();
    ck_assert_uint_eq(hf__engine_unknown(&engine, rows, 2), 1);
    ck_assert_uint_eq(rows[0].request, 1);
}
END_TEST

START_TEST(numbers_and_bytes_start_afresh_after_a_loss)
{
    const uint8_t *bytes;
    ask();
    send_all();
    feed((const uint8_t *)"\x94\x01", 2);
    expect_nothing();
    hf__engine_lost(&engine);
    expect_code(1, HF_ERR_UNKNOWN);
    ck_assert_uint_eq(hf__engine_output(&engine, &bytes), 0);
    hf__engine_established(&engine);
    ck_assert_uint_eq(ask(), 2);
    send_all();
    say_result(2, 9);
    feed_said();
    expect_result(2, 9);
}
END_TEST

START_TEST(failed_attempts_keep_what_became_unknown)
{
    struct hf_unknown rows[2];
    ask();
    send_all();
    hf__engine_lost(&engine);
    expect_code(1, HF_ERR_UNKNOWN);
    for (uint64_t attempt = 2; attempt < 5; attempt++) {
        ck_assert_uint_eq(ask(), attempt);
        send_all();
        hf__engine_lost(&engine);
        expect_code(attempt, HF_ERR_UNKNOWN);
        ck_assert_uint_eq(hf__engine_unknown(&engine, rows, 2), 1);
        ck_assert_uint_eq(rows[0].request, 1);
    }
    ask();
    hf__engine_established(&engine);
    ck_assert_uint_eq(hf__engine_unknown(&engine, rows, 2), 1);
    hf__engine_lost(&engine);
    expect_code(5, HF_ERR_UNSENT);
    ck_assert_uint_eq(hf__engine_unknown(&engine, rows, 2), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("client engine");
    TCase *requests = suite_case(suite, "requests", setup, teardown);
    tcase_add_test(requests, requests_are_whole_frames_in_order);
    tcase_add_test(requests, cancelled_request_leaves_no_byte_and_no_number);
    tcase_add_test(requests, skipped_number_is_never_answered);
    TCase *matching = suite_case(suite, "matching", setup, teardown);
    tcase_add_test(matching, replies_in_any_order_reach_their_requests);
    tcase_add_test(matching, many_open_requests_match_across_growth_and_wrap);
    tcase_add_test(matching, msgid_wraps_around);
    tcase_add_test(matching, error_is_handed_on_as_text);
    tcase_add_test(matching, error_that_is_no_text_is_an_error_without_text);
    tcase_add_test(matching, abandoned_request_swallows_its_answer);
    tcase_add_test(matching, events_come_in_between);
    tcase_add_test(matching, other_notifications_are_counted_and_ignored);
    TCase *bytes = suite_case(suite, "bytes", setup, teardown);
    tcase_add_loop_test(bytes, stream_cut_at_any_byte_gives_the_same_answers, 0, 60);
    tcase_add_test(bytes, stream_of_single_bytes);
    TCase *enemies = suite_case(suite, "hostile", setup, teardown);
    tcase_add_loop_test(enemies, hostile_bytes_are_a_fault, 0, HOSTILE);
    tcase_add_test(enemies, second_answer_to_one_request_is_a_fault);
    tcase_add_test(enemies, declared_sizes_reserve_nothing);
    tcase_add_test(enemies, nesting_beyond_the_limit_is_no_crash);
    tcase_add_test(enemies, reply_above_the_limit_fails_alone);
    tcase_add_test(enemies, damaged_answers_never_crash);
    TCase *loss = suite_case(suite, "loss", setup, teardown);
    tcase_add_test(loss, error_with_msgid_0_is_about_the_connection);
    tcase_add_test(loss, lost_requests_are_unknown_or_unsent_by_their_first_byte);
    tcase_add_test(loss, request_sent_to_its_last_byte_exactly_leaves_the_next_unsent);
    tcase_add_test(loss, abandoned_requests_are_unknown_but_not_answered);
    tcase_add_test(loss, numbers_and_bytes_start_afresh_after_a_loss);
    tcase_add_test(loss, failed_attempts_keep_what_became_unknown);
    return suite_run(suite);
}
