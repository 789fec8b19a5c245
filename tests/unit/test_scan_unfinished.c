/* SPDX-License-Identifier: BSD-3-Clause */
/* proto/scan.h: frames that are not whole yet: what is told of a payload that has begun, frames that are given up. */
#include "proto/scan.h"
#include "tests/lib/scan_fixture.h"
#include "tests/lib/suite.h"

/* ---- an unfinished payload ---- */

START_TEST(payload_of_a_param_is_told_while_it_is_incomplete)
{
    uint8_t bytes[512] = {0};
    uint8_t *at = put_envelope(bytes, 2);
    *at++ = 0x05;
    at = hfp_put_bin_head(at, 200);
    size_t payload_at = (size_t)(at - bytes);
    for (size_t size = 1; size < payload_at + 200; size++) {
        struct hfp_scan scan = {0};
        struct hfp_frame frame;
        struct hfp_payload payload;
        ck_assert_int_eq(hfp_scan_next(&scan, &limits, bytes, size, &frame), HFP_MORE);
        ck_assert_int_eq(hfp_scan_payload(&scan, size, &payload), size >= payload_at);
        if (size < payload_at)
            continue;
        ck_assert_uint_eq(payload.at, payload_at);
        ck_assert_uint_eq(payload.size, 200);
        ck_assert_uint_eq(payload.param, 1);
        ck_assert(payload.whole);
        ck_assert(payload.bin);
        ck_assert_uint_eq(hfp_scan_needed(&scan), payload_at + 200);
    }
}
END_TEST

START_TEST(payload_inside_a_container_is_not_the_whole_param)
{
    uint8_t bytes[64] = {0};
    uint8_t *at = put_envelope(bytes, 1);
    at = hfp_put_map_head(at, 1);
    at = hfp_put_text(at, "tag");
    at = hfp_put_str_head(at, 20);
    struct hfp_scan scan = {0};
    struct hfp_frame frame;
    struct hfp_payload payload;
    size_t size = (size_t)(at - bytes) + 3;
    ck_assert_int_eq(hfp_scan_next(&scan, &limits, bytes, size, &frame), HFP_MORE);
    ck_assert(hfp_scan_payload(&scan, size, &payload));
    ck_assert(!payload.whole);
    ck_assert(!payload.bin);
    ck_assert_uint_eq(payload.param, 0);
    ck_assert_uint_eq(payload.size, 20);
}
END_TEST

START_TEST(payload_of_a_method_is_not_told)
{
    struct hfp_scan scan = {0};
    struct hfp_frame frame;
    struct hfp_payload payload;
    ck_assert_int_eq(hfp_scan_next(&scan, &limits, (const uint8_t *)"\x94\x00\x01\xa9m", 5, &frame),
                     HFP_MORE);
    ck_assert(!hfp_scan_payload(&scan, 5, &payload));
}
END_TEST

START_TEST(payload_in_a_response_is_told)
{
    struct hfp_scan scan = {0};
    struct hfp_frame frame;
    struct hfp_payload payload;
    ck_assert_int_eq(hfp_scan_next(&scan, &limits, (const uint8_t *)"\x94\x01\x01\xc0\xc4\x64xyz", 9, &frame),
                     HFP_MORE);
    ck_assert(hfp_scan_payload(&scan, 9, &payload));
    ck_assert_uint_eq(payload.param, 1);
    ck_assert_uint_eq(payload.at, 6);
    ck_assert_uint_eq(payload.size, 100);
    ck_assert(payload.whole);
}
END_TEST

/* ---- frames that are given up ---- */

/* A request of values of all kinds, about 600 bytes. */
static size_t put_mixed(uint8_t *bytes)
{
    uint8_t filler[200] = {0};
    uint8_t *at = put_envelope(bytes, 3);
    at = hfp_put_bin(at, filler, 40);
    at = hfp_put_array_head(at, 40);
    for (unsigned i = 0; i < 10; i++) {
        at = hfp_put_uint(at, 1ull << (6 * i));
        at = hfp_put_map_head(at, 1);
        at = hfp_put_text(at, "key");
        at = hfp_put_array_head(at, 0);
        at = hfp_put_str(at, filler, 5 * i);
        at = hfp_put_nil(at);
    }
    at = hfp_put_array_head(at, 1);
    return (size_t)(hfp_put_str(at, filler, sizeof filler) - bytes);
}

/* Wherever it breaks off, the rest of it is passed over, however that comes, and no byte more. */
START_TEST(frame_given_up_is_discarded_to_its_end)
{
    uint8_t bytes[1024];
    size_t size = put_mixed(bytes);
    memcpy(bytes + size, "\x94\x00\x02\xa4ping\x90", 9);
    for (size_t cut = HFP_FRAME_MIN; cut < size; cut++) {
        for (size_t piece = 1; piece < 100; piece += 33) {
            struct hfp_scan scan = {0};
            struct hfp_frame frame;
            ck_assert_int_eq(hfp_scan(&scan, &limits, bytes, cut, &frame), HFP_MORE);
            ck_assert_int_eq(hfp_scan_abandon(&scan, cut, &frame), HFP_TOOBIG);
            ck_assert_uint_eq(frame.kind, HFP_REQUEST);
            ck_assert_uint_eq(frame.msgid, 9);
            ck_assert_uint_eq(discard(&scan, bytes, cut, size + 9, piece), size);
            ck_assert_int_eq(hfp_scan(&scan, &limits, bytes + size, 9, &frame), HFP_FRAME);
            ck_assert_uint_eq(frame.msgid, 2);
        }
    }
}
END_TEST

START_TEST(frame_that_has_hardly_begun_is_not_given_up)
{
    struct hfp_frame frame;
    for (size_t cut = 0; cut < 3; cut++) {
        struct hfp_scan scan = {0};
        ck_assert_int_eq(hfp_scan(&scan, &limits, (const uint8_t *)"\x94\x00\x05", cut, &frame), HFP_MORE);
        ck_assert_int_eq(hfp_scan_abandon(&scan, cut, &frame), HFP_BAD);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("scan unfinished");

    TCase *payloads = suite_case(suite, "unfinished payload", NULL, NULL);
    tcase_add_test(payloads, payload_of_a_param_is_told_while_it_is_incomplete);
    tcase_add_test(payloads, payload_inside_a_container_is_not_the_whole_param);
    tcase_add_test(payloads, payload_of_a_method_is_not_told);
    tcase_add_test(payloads, payload_in_a_response_is_told);

    TCase *given_up = suite_case(suite, "given up", NULL, NULL);
    tcase_add_test(given_up, frame_given_up_is_discarded_to_its_end);
    tcase_add_test(given_up, frame_that_has_hardly_begun_is_not_given_up);

    return suite_run(suite);
}
