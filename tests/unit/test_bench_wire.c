/* SPDX-License-Identifier: BSD-3-Clause */
/* Requests of a load, read again with the scanner and the readers that the daemon uses; and the check of replies, of
 * right ones, errors and wrong ones, whole and in pieces. */
#include <string.h>

#include "client/bench/wire.h"
#include "proto/methods.h"
#include "proto/rpc.h"
#include "proto/scan.h"
#include "tests/lib/suite.h"

#define VALUE_MAX 70000u
#define ID        ((UINT64_C(5) << 32) + 77)

static struct bench_wire wire;
static uint8_t bytes[VALUE_MAX + 1024];
static struct hfp_frame frame;
static struct bench_reply reply;

static void setup(void)
{
    ck_assert(bench_wire_init(&wire, 0x0123abcd, VALUE_MAX));
}

static void teardown(void)
{
    bench_wire_done(&wire);
}

/* ---- Requests ---- */

static const struct hfp_scan_limits limits = {.frame_max = 1u << 20, .depth_max = HFP_DEPTH_MIN};

/* Encodes a request, with a value of `size` bytes where the step has one; `frame` describes it. */
static void encode(enum bench_step step, uint32_t msgid, uint64_t patch, uint64_t second, uint32_t object,
                   uint32_t size)
{
    struct hfp_scan scan = {0};
    uint8_t *end = bench_encode(&wire, step, bytes, msgid, patch, second);
    if (wire.template[step].value)
        end = bench_encode_value(&wire, end, object, size);
    ck_assert_int_eq(hfp_scan(&scan, &limits, bytes, (size_t)(end - bytes), &frame), HFP_FRAME);
    ck_assert_uint_eq(frame.size, (size_t)(end - bytes));
    ck_assert_uint_eq(frame.kind, HFP_REQUEST);
    ck_assert_uint_eq(frame.msgid, msgid);
    ck_assert_uint_eq(frame.method_size, strlen(bench_steps[step].method));
    ck_assert_mem_eq(bytes + frame.method_at, bench_steps[step].method, frame.method_size);
}

static struct hfp_cursor param(unsigned index)
{
    ck_assert_uint_lt(index, frame.param_count);
    const uint8_t *at = bytes + frame.param[index].at;
    return (struct hfp_cursor){.at = at, .end = at + frame.param[index].size};
}

static uint64_t uint_param(unsigned index)
{
    struct hfp_cursor cursor = param(index);
    uint64_t number = 0;
    ck_assert(hfp_read_uint64(&cursor, &number));
    return number;
}

static struct hfp_bytes bytes_param(unsigned index)
{
    struct hfp_cursor cursor = param(index);
    struct hfp_bytes found = {0};
    ck_assert(hfp_read_bytes(&cursor, &found));
    return found;
}

START_TEST(every_template_has_room_and_a_known_method)
{
    for (unsigned step = 0; step < BENCH_STEP_COUNT; step++) {
        const char *method = bench_steps[step].method;
        ck_assert_uint_le(wire.template[step].size, BENCH_TEMPLATE_SIZE);
        ck_assert_uint_le(wire.template[step].patch_at, BENCH_TEMPLATE_SIZE - 8);
        ck_assert_uint_le(wire.template[step].second_at, BENCH_TEMPLATE_SIZE - 8);
        ck_assert_int_ne(hfp_method_find((const uint8_t *)method, strlen(method)), HF_METHOD_NONE);
    }
}
END_TEST

START_TEST(requests_about_an_id)
{
    static const enum bench_step steps[] = {
        BENCH_STEP_GET,           BENCH_STEP_PUT_RELEASE,    BENCH_STEP_RETAIN_OWN,
        BENCH_STEP_OWN_RELEASE,   BENCH_STEP_RETAIN_FOREIGN, BENCH_STEP_FOREIGN_RELEASE,
        BENCH_STEP_LOOKUP_RELEASE};
    for (unsigned i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        encode(steps[i], bench_msgid(i), bench_patch_id(ID), 0, 0, 0);
        ck_assert_uint_eq(frame.param_count, 1);
        ck_assert_uint_eq(uint_param(0), ID);
    }
}
END_TEST

START_TEST(requests_about_a_name)
{
    static const enum bench_step steps[] = {BENCH_STEP_FETCH, BENCH_STEP_LOOKUP, BENCH_STEP_STORE};
    char name[BENCH_NAME_SIZE + 1];
    bench_wire_name(&wire, 0xbeef, name);
    ck_assert_str_eq(name, "bench-0123abcd-0000beef");
    for (unsigned i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        encode(steps[i], bench_msgid(i), bench_patch_name(0xbeef), 0, 3, 20);
        ck_assert_uint_eq(frame.param_count, steps[i] == BENCH_STEP_STORE ? 2 : 1);
        ck_assert(hfp_bytes_are(bytes_param(0), name));
    }
}
END_TEST

START_TEST(values_of_every_size_carry_their_object)
{
    static const uint32_t sizes[] = {0, 1, 3, 4, 5, 255, 256, 65535, 65536, VALUE_MAX};
    for (unsigned i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        const uint32_t object = 0x01020304;
        encode(BENCH_STEP_PUT, bench_msgid(9), 0, 0, object, sizes[i]);
        struct hfp_bytes value = bytes_param(0);
        ck_assert(value.bin);
        ck_assert_uint_eq(value.size, sizes[i]);
        if (sizes[i] >= BENCH_STAMP_SIZE)
            ck_assert_mem_eq(value.at, &object, sizeof object);
    }
}
END_TEST

START_TEST(a_link_is_of_two_ids)
{
    encode(BENCH_STEP_LINK, bench_msgid(1), bench_patch_id(ID), bench_patch_id(ID + 1), 0, 0);
    ck_assert_uint_eq(frame.param_count, 3);
    ck_assert_uint_eq(uint_param(0), ID);
    ck_assert_uint_eq(uint_param(1), 0);
    ck_assert_uint_eq(uint_param(2), ID + 1);
}
END_TEST

START_TEST(a_ping_is_of_nothing)
{
    encode(BENCH_STEP_PING, bench_msgid(1), 0, 0, 0, 0);
    ck_assert_uint_eq(frame.param_count, 0);
}
END_TEST

START_TEST(message_ids_always_take_five_bytes)
{
    ck_assert_uint_ne(bench_msgid(0), bench_msgid(1));
    ck_assert_uint_eq(bench_msgid(1u << 30), bench_msgid(0));
    for (unsigned bit = 0; bit < 32; bit++)
        ck_assert_uint_gt(bench_msgid(1u << bit), UINT16_MAX);
}
END_TEST

/* ---- Replies ---- */

#define MSGID bench_msgid(41)

static struct bench_draw request_of(enum bench_step step, uint32_t object, uint32_t size)
{
    return (struct bench_draw){.object = object, .size = size & 0xfffffff, .step = step & 15u};
}

static enum bench_verdict check(enum bench_step step, const uint8_t *end)
{
    const struct bench_draw request = request_of(step, 0, 0);
    return bench_check(&request, MSGID, bytes, (size_t)(end - bytes), &reply);
}

static uint8_t *head(uint32_t msgid)
{
    return hfp_put_reply_head(bytes, msgid);
}

/* A right reply to a get of that size, as the daemon would write it. */
static size_t value_reply(uint32_t object, uint32_t size)
{
    return (size_t)(bench_encode_value(&wire, head(MSGID), object, size) - bytes);
}

START_TEST(a_right_value_is_right)
{
    static const uint32_t sizes[] = {0, 1, 3, 4, 64, 255, 256, 65535, 65536, VALUE_MAX};
    for (unsigned i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        const struct bench_draw request = request_of(BENCH_STEP_GET, 7, sizes[i]);
        size_t size = value_reply(7, sizes[i]);
        bytes[size] = 0x94; /* the next reply */
        ck_assert_int_eq(bench_check(&request, MSGID, bytes, size + 1, &reply), BENCH_RIGHT);
        ck_assert_uint_eq(reply.size, size);
        ck_assert_uint_eq(reply.left, 0);
    }
}
END_TEST

/* However many bytes have come: more, or right with the rest of the value to come; never wrong. */
START_TEST(a_value_in_pieces_is_right)
{
    static const uint32_t sizes[] = {0, 3, 4, 300, 66000};
    for (unsigned i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        const struct bench_draw request = request_of(BENCH_STEP_FETCH, 7, sizes[i]);
        size_t size = value_reply(7, sizes[i]);
        for (size_t count = 0; count < size; count += count < 700 ? 1 : 1000) {
            enum bench_verdict verdict = bench_check(&request, MSGID, bytes, count, &reply);
            if (verdict == BENCH_MORE)
                ck_assert_uint_lt(count, 8 + HFP_HEAD_MAX + BENCH_STAMP_SIZE);
            else
                ck_assert_int_eq(verdict, BENCH_RIGHT);
            if (verdict == BENCH_RIGHT) {
                ck_assert_uint_eq(reply.size, count);
                ck_assert_uint_eq(reply.left, size - count);
            }
        }
    }
}
END_TEST

START_TEST(a_wrong_value_is_wrong)
{
    const struct bench_draw request = request_of(BENCH_STEP_GET, 7, 64);
    size_t size = value_reply(8, 64);
    ck_assert_int_eq(bench_check(&request, MSGID, bytes, size, &reply), BENCH_WRONG);
    size = value_reply(7, 63);
    ck_assert_int_eq(bench_check(&request, MSGID, bytes, size, &reply), BENCH_WRONG);
    size = value_reply(7, 65);
    ck_assert_int_eq(bench_check(&request, MSGID, bytes, size, &reply), BENCH_WRONG);
    size = value_reply(7, VALUE_MAX); /* seen long before its end */
    ck_assert_int_eq(bench_check(&request, MSGID, bytes, BENCH_REPLY_MAX, &reply), BENCH_WRONG);
    size = value_reply(7, 64);
    ck_assert_int_eq(bench_check(&request, bench_msgid(40), bytes, size, &reply), BENCH_WRONG);
    size = (size_t)(hfp_put_nil(head(MSGID)) - bytes);
    ck_assert_int_eq(bench_check(&request, MSGID, bytes, size, &reply), BENCH_WRONG);
}
END_TEST

START_TEST(an_id_is_given_out)
{
    ck_assert_int_eq(check(BENCH_STEP_PUT, hfp_put_uint(head(MSGID), ID)), BENCH_RIGHT);
    ck_assert_uint_eq(reply.id, ID);
    ck_assert_int_eq(check(BENCH_STEP_LOOKUP, hfp_put_uint(head(MSGID), 5)), BENCH_RIGHT);
    ck_assert_uint_eq(reply.id, 5);
    ck_assert_int_eq(check(BENCH_STEP_PUT, hfp_put_uint(head(MSGID), 0)), BENCH_WRONG);
    ck_assert_int_eq(check(BENCH_STEP_PUT, hfp_put_uint(head(MSGID), HFP_INT_EXACT)), BENCH_WRONG);
    ck_assert_int_eq(check(BENCH_STEP_PUT, hfp_put_text(head(MSGID), "5")), BENCH_WRONG);
}
END_TEST

START_TEST(counts_are_held_against_what_they_must_be)
{
    static const struct {
        enum bench_step step;
        bool at_0, at_1, at_300;
    } cases[] = {{BENCH_STEP_PUT_RELEASE, true, false, false},
                 {BENCH_STEP_RETAIN_OWN, false, true, true},
                 {BENCH_STEP_OWN_RELEASE, false, true, true},
                 {BENCH_STEP_RETAIN_FOREIGN, false, true, true},
                 {BENCH_STEP_FOREIGN_RELEASE, true, true, true},
                 {BENCH_STEP_LOOKUP_RELEASE, true, true, true},
                 {BENCH_STEP_PING, true, true, true}};
    for (unsigned i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        enum bench_step step = cases[i].step;
        ck_assert_int_eq(check(step, hfp_put_uint(head(MSGID), 0)),
                         cases[i].at_0 ? BENCH_RIGHT : BENCH_WRONG);
        ck_assert_int_eq(check(step, hfp_put_uint(head(MSGID), 1)),
                         cases[i].at_1 ? BENCH_RIGHT : BENCH_WRONG);
        ck_assert_int_eq(check(step, hfp_put_uint(head(MSGID), 300)),
                         cases[i].at_300 ? BENCH_RIGHT : BENCH_WRONG);
        ck_assert_int_eq(check(step, hfp_put_int(head(MSGID), -1)), BENCH_WRONG);
        ck_assert_int_eq(check(step, hfp_put_bool(head(MSGID), true)), BENCH_WRONG);
    }
}
END_TEST

START_TEST(links_and_stores)
{
    ck_assert_int_eq(check(BENCH_STEP_LINK, hfp_put_nil(head(MSGID))), BENCH_RIGHT);
    ck_assert_int_eq(check(BENCH_STEP_LINK, hfp_put_uint(head(MSGID), ID)), BENCH_RIGHT);
    ck_assert_int_eq(check(BENCH_STEP_LINK, hfp_put_uint(head(MSGID), 0)), BENCH_WRONG);
    uint8_t *at = hfp_put_uint(hfp_put_array_head(head(MSGID), 2), ID);
    ck_assert_int_eq(check(BENCH_STEP_STORE, at), BENCH_MORE);
    ck_assert_int_eq(check(BENCH_STEP_STORE, hfp_put_uint(at, 1)), BENCH_RIGHT);
    ck_assert_int_eq(check(BENCH_STEP_STORE, hfp_put_nil(at)), BENCH_WRONG);
    at = hfp_put_array_head(head(MSGID), 3);
    ck_assert_int_eq(check(BENCH_STEP_STORE, hfp_put_nil(hfp_put_nil(hfp_put_nil(at)))), BENCH_WRONG);
}
END_TEST

START_TEST(every_step_waits_for_the_rest_of_its_reply)
{
    for (unsigned step = 0; step < BENCH_STEP_COUNT; step++) {
        uint8_t *end = head(MSGID);
        switch (bench_steps[step].result) {
        case BENCH_RESULT_VALUE: end = hfp_put_bin(end, "", 0); break;
        case BENCH_RESULT_ZERO: end = hfp_put_uint(end, 0); break;
        case BENCH_RESULT_ID_VERSION:
            end = hfp_put_uint(hfp_put_uint(hfp_put_array_head(end, 2), ID), 1000);
            break;
        default: end = hfp_put_uint(end, ID);
        }
        ck_assert_int_eq(check((enum bench_step)step, end), BENCH_RIGHT);
        ck_assert_uint_eq(reply.size, (size_t)(end - bytes));
        for (const uint8_t *short_of = bytes; short_of < end; short_of++)
            ck_assert_int_eq(check((enum bench_step)step, short_of), BENCH_MORE);
    }
}
END_TEST

START_TEST(an_error_is_an_error_in_pieces_too)
{
    static const char text[] = "GONE id=5: the object has died";
    uint8_t *end = hfp_put_error(bytes, MSGID, text, sizeof text - 1);
    for (unsigned step = 0; step < BENCH_STEP_COUNT; step++) {
        for (const uint8_t *short_of = bytes; short_of < end; short_of++)
            ck_assert_int_eq(check((enum bench_step)step, short_of), BENCH_MORE);
        ck_assert_int_eq(check((enum bench_step)step, end), BENCH_ERROR);
        ck_assert_uint_eq(reply.size, (size_t)(end - bytes));
        ck_assert_uint_eq(reply.error_size, sizeof text - 1);
        ck_assert_mem_eq(reply.error, text, sizeof text - 1);
    }
}
END_TEST

START_TEST(the_longest_error_fits_into_the_room_for_unfinished_replies)
{
    char text[HFP_ERROR_TEXT_MAX];
    memset(text, 'x', sizeof text);
    memcpy(text, "OOM: ", 5);
    uint8_t *end = hfp_put_error(bytes, MSGID, text, sizeof text);
    ck_assert_uint_lt((size_t)(end - bytes), BENCH_REPLY_MAX);
    ck_assert_int_eq(check(BENCH_STEP_PUT, end - 1), BENCH_MORE);
    ck_assert_int_eq(check(BENCH_STEP_PUT, end), BENCH_ERROR);
}
END_TEST

START_TEST(what_is_no_reply_is_wrong)
{
    static const char text[] = "BADFRAME : not MessagePack-RPC";
    uint8_t *end = hfp_put_error(bytes, 0, text, sizeof text - 1);
    ck_assert_int_eq(check(BENCH_STEP_GET, end), BENCH_WRONG); /* of nobody's request, but its text is told */
    ck_assert_uint_eq(reply.error_size, sizeof text - 1);
    memset(bytes, 'H', 100);
    ck_assert_int_eq(check(BENCH_STEP_GET, bytes + 100), BENCH_WRONG);
    ck_assert_int_eq(check(BENCH_STEP_GET, bytes + 2), BENCH_WRONG);
    ck_assert_ptr_null(reply.error);
    end = hfp_put_request_head(bytes, MSGID, "get", 3, 0);
    ck_assert_int_eq(check(BENCH_STEP_GET, end), BENCH_WRONG);
    /* An error beside a result that is not a text. */
    uint8_t *at = hfp_put_array_head(bytes, 4);
    *at++ = 1;
    at = hfp_put_uint(hfp_put_uint(hfp_put_uint(at, MSGID), 5), 6);
    ck_assert_int_eq(check(BENCH_STEP_GET, at), BENCH_WRONG);
    /* Longer than any reply that is not a value, and still not at its end. */
    at = hfp_put_array_head(head(MSGID), 65535);
    memset(at, 0xc0, BENCH_REPLY_MAX);
    ck_assert_int_eq(check(BENCH_STEP_PUT, bytes + BENCH_REPLY_MAX), BENCH_WRONG);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("bench_wire");
    TCase *requests = suite_case(suite, "requests", setup, teardown);
    tcase_add_test(requests, every_template_has_room_and_a_known_method);
    tcase_add_test(requests, requests_about_an_id);
    tcase_add_test(requests, requests_about_a_name);
    tcase_add_test(requests, values_of_every_size_carry_their_object);
    tcase_add_test(requests, a_link_is_of_two_ids);
    tcase_add_test(requests, a_ping_is_of_nothing);
    tcase_add_test(requests, message_ids_always_take_five_bytes);
    TCase *replies = suite_case(suite, "replies", setup, teardown);
    tcase_add_test(replies, a_right_value_is_right);
    tcase_add_test(replies, a_value_in_pieces_is_right);
    tcase_add_test(replies, a_wrong_value_is_wrong);
    tcase_add_test(replies, an_id_is_given_out);
    tcase_add_test(replies, counts_are_held_against_what_they_must_be);
    tcase_add_test(replies, links_and_stores);
    tcase_add_test(replies, every_step_waits_for_the_rest_of_its_reply);
    tcase_add_test(replies, an_error_is_an_error_in_pieces_too);
    tcase_add_test(replies, the_longest_error_fits_into_the_room_for_unfinished_replies);
    tcase_add_test(replies, what_is_no_reply_is_wrong);
    return suite_run(suite);
}
