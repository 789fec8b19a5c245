/* SPDX-License-Identifier: BSD-3-Clause */
/* The client's engine with a replay window: what may be sent at once, what is kept, and what is sent again on a new
 * connection. */
#include "client/lib/engine.h"
#include "proto/mp.h"
#include "proto/rpc.h"
#include "tests/lib/suite.h"

#include <string.h>

#define WINDOW 8u

static struct hf__engine engine, greeter;

static void setup(void)
{
    hf__engine_init(&engine);
    hf__engine_init(&greeter);
    hf__engine_established(&engine);
    hf__engine_window(&engine, WINDOW);
}

static void teardown(void)
{
    hf__engine_done(&engine);
    hf__engine_done(&greeter);
}

/* Queues a request with one param, so that each has bytes of its own. */
static uint64_t ask(const char *method)
{
    struct hf__sink sink = {.count = 7};
    msgpack_packer *packer = hf__engine_begin(&engine, method, 1);
    msgpack_pack_uint64(packer, engine.open.next);
    ck_assert_int_eq(hf__engine_commit(&engine, &sink), 0);
    return engine.open.next - 1;
}

static void feed(struct hf__engine *to, const uint8_t *bytes, size_t size)
{
    size_t room;
    uint8_t *space = hf__engine_space(to, size, &room);
    ck_assert_ptr_nonnull(space);
    memcpy(space, bytes, size);
    hf__engine_received(to, size);
}

static void answer(uint64_t number)
{
    uint8_t frame[32], *end = hfp_put_uint(hfp_put_reply_head(frame, (uint32_t)number), number);
    struct hf__answer got;
    feed(&engine, frame, (size_t)(end - frame));
    ck_assert_int_eq(hf__engine_next(&engine, &got), 1);
    ck_assert_uint_eq(got.number, number);
    ck_assert_int_eq(got.code, 0);
}

/* Sends all that may be sent; the numbers of the requests, in order. */
static unsigned sent(uint64_t *numbers, unsigned most)
{
    const uint8_t *bytes;
    size_t size = hf__engine_output(&engine, &bytes), at = 0;
    unsigned count = 0;
    while (at < size) {
        struct hfp_cursor cursor = {bytes + at, bytes + size};
        struct hfp_bytes method;
        uint64_t kind, msgid, param;
        uint32_t elements;
        ck_assert(hfp_read_array(&cursor, &elements) && hfp_read_uint64(&cursor, &kind) &&
                  hfp_read_uint64(&cursor, &msgid) && hfp_read_bytes(&cursor, &method) &&
                  hfp_read_array(&cursor, &elements) && hfp_read_uint64(&cursor, &param));
        ck_assert_uint_eq(msgid, param);
        ck_assert_uint_lt(count, most);
        numbers[count++] = msgid;
        at = (size_t)(cursor.at - bytes);
    }
    hf__engine_sent(&engine, size);
    return count;
}

static void expect_sent(const uint64_t *numbers, unsigned count)
{
    uint64_t got[64];
    ck_assert_uint_eq(sent(got, 64), count);
    for (unsigned k = 0; k < count; k++)
        ck_assert_uint_eq(got[k], numbers[k]);
}

static void again(void)
{
    hf__engine_again(&engine, &greeter);
}

START_TEST(fewer_than_the_window_are_on_their_way)
{
    uint64_t got[64];
    for (unsigned k = 0; k < 20; k++)
        (void)ask("put");
    ck_assert_uint_eq(sent(got, 64), WINDOW - 1);
    ck_assert_uint_eq(sent(got, 64), 0);
    answer(1);
    expect_sent((uint64_t[]){WINDOW}, 1);
    for (uint64_t k = 2; k <= WINDOW; k++)
        answer(k);
    ck_assert_uint_eq(sent(got, 64), WINDOW - 1);
    ck_assert_uint_eq(got[0], WINDOW + 1);
}
END_TEST

START_TEST(what_is_not_for_the_window_is_not_counted)
{
    uint64_t got[64];
    for (unsigned k = 0; k < 20; k++)
        (void)ask("get");
    ck_assert_uint_eq(sent(got, 64), 20);
    for (unsigned k = 0; k < 20; k++)
        (void)ask(k % 2 == 0 ? "put" : "get");
    ck_assert_uint_eq(sent(got, 64), 2 * (WINDOW - 1)); /* up to the put that is one too many */
}
END_TEST

START_TEST(without_a_window_all_is_sent_and_nothing_kept)
{
    uint64_t got[64];
    hf__engine_window(&engine, 0);
    for (unsigned k = 0; k < 20; k++)
        (void)ask("put");
    ck_assert_uint_eq(sent(got, 64), 20);
    ck_assert_uint_eq(hf__buffer_size(&engine.out), 0);
}
END_TEST

START_TEST(bytes_go_when_they_are_answered)
{
    uint64_t got[64];
    for (unsigned k = 0; k < 3; k++)
        (void)ask("put");
    ck_assert_uint_eq(sent(got, 64), 3);
    ck_assert_uint_gt(hf__buffer_size(&engine.out), 0);
    for (uint64_t k = 1; k <= 3; k++)
        answer(k);
    ck_assert_uint_eq(hf__buffer_size(&engine.out), 0);
    ck_assert_uint_eq(engine.kept, 0);
}
END_TEST

START_TEST(what_is_open_is_sent_again_in_order)
{
    uint64_t got[64];
    for (unsigned k = 0; k < 5; k++)
        (void)ask("put");
    ck_assert_uint_eq(sent(got, 64), 5);
    answer(1);
    answer(2);
    again();
    expect_sent((uint64_t[]){3, 4, 5}, 3);
    answer(3);
    again();
    again(); /* nothing was sent in between */
    expect_sent((uint64_t[]){4, 5}, 2);
    (void)ask("put");
    expect_sent((uint64_t[]){6}, 1);
    for (uint64_t k = 4; k <= 6; k++)
        answer(k);
    ck_assert_uint_eq(hf__buffer_size(&engine.out), 0);
}
END_TEST

START_TEST(an_answered_one_between_open_ones_is_left_out)
{
    uint64_t got[64];
    (void)ask("gc_collect");
    (void)ask("put");
    (void)ask("put");
    ck_assert_uint_eq(sent(got, 64), 3);
    answer(2); /* has overtaken the collection */
    again();
    expect_sent((uint64_t[]){1, 3}, 2);
}
END_TEST

/* Its answer is not wanted any more, but what comes behind it must find it in the window. */
START_TEST(an_abandoned_one_is_sent_again)
{
    uint64_t got[64];
    (void)ask("put");
    (void)ask("put");
    ck_assert_uint_eq(sent(got, 64), 2);
    hf__engine_abandon(&engine, 1);
    again();
    expect_sent((uint64_t[]){1, 2}, 2);
}
END_TEST

START_TEST(half_a_request_is_sent_again_whole)
{
    const uint8_t *bytes;
    (void)ask("put");
    ck_assert_uint_gt(hf__engine_output(&engine, &bytes), 5);
    hf__engine_sent(&engine, 5);
    again();
    expect_sent((uint64_t[]){1}, 1);
}
END_TEST

START_TEST(half_an_answer_is_forgotten)
{
    uint64_t got[64];
    uint8_t frame[32];
    (void)ask("put");
    ck_assert_uint_eq(sent(got, 64), 1);
    (void)hfp_put_uint(hfp_put_reply_head(frame, 1), 99999);
    feed(&engine, frame, 6);
    again();
    expect_sent((uint64_t[]){1}, 1);
    answer(1);
}
END_TEST

/* What came behind the answer to the greeting belongs to the connection. */
START_TEST(what_came_with_the_greeting_is_not_lost)
{
    uint64_t got[64];
    uint8_t frame[32], *end = hfp_put_uint(hfp_put_reply_head(frame, 1), 5);
    struct hf__answer found;
    (void)ask("put");
    ck_assert_uint_eq(sent(got, 64), 1);
    feed(&greeter, frame, (size_t)(end - frame));
    again();
    ck_assert_int_eq(hf__engine_next(&engine, &found), 1);
    ck_assert_uint_eq(found.number, 1);
}
END_TEST

/* The daemon goes down: nothing was done, and the next one is asked again. */
START_TEST(draining_is_no_answer)
{
    uint64_t got[64];
    uint8_t frame[HFP_ERROR_MAX], *end;
    struct hf__answer found;
    (void)ask("put");
    ck_assert_uint_eq(sent(got, 64), 1);
    end = hfp_put_error(frame, 1, "DRAINING: later", 15);
    feed(&engine, frame, (size_t)(end - frame));
    ck_assert_int_eq(hf__engine_next(&engine, &found), 0);
    again();
    expect_sent((uint64_t[]){1}, 1);
    answer(1);
}
END_TEST

/* Unknown is what was ever sent, on whichever connection. */
START_TEST(what_is_given_up_is_told_as_what_it_is)
{
    uint64_t got[64];
    struct hf__answer found;
    (void)ask("put");
    ck_assert_uint_eq(sent(got, 64), 1);
    again();
    (void)ask("put");
    hf__engine_lost(&engine);
    ck_assert_int_eq(hf__engine_next(&engine, &found), 1);
    ck_assert_int_eq(found.code, HF_ERR_UNKNOWN);
    ck_assert_int_eq(hf__engine_next(&engine, &found), 1);
    ck_assert_int_eq(found.code, HF_ERR_UNSENT);
    ck_assert_int_eq(hf__engine_next(&engine, &found), 0);
    ck_assert_uint_eq(hf__engine_unknown(&engine, NULL, 0), 1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("client again");
    TCase *all = suite_case(suite, "window", setup, teardown);
    tcase_add_test(all, fewer_than_the_window_are_on_their_way);
    tcase_add_test(all, what_is_not_for_the_window_is_not_counted);
    tcase_add_test(all, without_a_window_all_is_sent_and_nothing_kept);
    tcase_add_test(all, bytes_go_when_they_are_answered);
    tcase_add_test(all, what_is_open_is_sent_again_in_order);
    tcase_add_test(all, an_answered_one_between_open_ones_is_left_out);
    tcase_add_test(all, an_abandoned_one_is_sent_again);
    tcase_add_test(all, half_a_request_is_sent_again_whole);
    tcase_add_test(all, half_an_answer_is_forgotten);
    tcase_add_test(all, what_came_with_the_greeting_is_not_lost);
    tcase_add_test(all, draining_is_no_answer);
    tcase_add_test(all, what_is_given_up_is_told_as_what_it_is);
    return suite_run(suite);
}
