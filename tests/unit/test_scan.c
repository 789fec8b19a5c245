/* SPDX-License-Identifier: BSD-3-Clause */
/* proto/scan.h: bounds of good frames, however they are cut; verdicts on bad, hostile and mutated ones.
 *
 * Bytes are always scanned in an allocation of exactly their size, so that ASan sees a read too far, and in the
 * tests with pieces everything before `scan.at` is spoilt, so that scanning anything twice changes the result. */
#include "proto/scan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/limits.h"
#include "proto/rpc.h"
#include "tests/lib/checks.h"
#include "tests/lib/random.h"
#include "tests/lib/scan_fixture.h"
#include "tests/lib/suite.h"

struct sample {
    const char *bytes;
    size_t size;
    const char *text; /* what a frame says, see describe; or a part of the reason */
};

#define S(bytes) (bytes), sizeof(bytes) - 1

#define NAME_34 "abcdefghijklmnopqrstuvwxyzabcdefgh"

/* Every form of each part of an envelope. */
static const struct sample good[] = {
    {S("\x94\x00\x01\xa4ping\x90"), "0 1 ping 0"},
    {S("\x94\x00\x00\xa3get\x91\x07"), "0 0 get 1 8+1"},
    {S("\x94\x00\x7f\xa3get\x91\xcf\x00\x00\x03\xe8\x00\x00\x00\x05"), "0 127 get 1 8+9"},
    {S("\x94\x00\xcc\xff\xa3get\x91\x07"), "0 255 get 1 9+1"},
    {S("\x94\x00\xcd\xff\xff\xa3get\x91\x07"), "0 65535 get 1 10+1"},
    {S("\x94\x00\xce\xff\xff\xff\xff\xa3get\x91\x07"), "0 4294967295 get 1 12+1"},
    {S("\x94\x00\xcf\x00\x00\x00\x00\xff\xff\xff\xff\xa3get\x91\x07"), "0 4294967295 get 1 16+1"},
    {S("\x94\x00\xd0\x05\xa3get\x91\x07"), "0 5 get 1 9+1"},
    {S("\x94\x00\xd1\x01\x00\xa3get\x91\x07"), "0 256 get 1 10+1"},
    {S("\x94\x00\xd2\x00\x01\x00\x00\xa3get\x91\x07"), "0 65536 get 1 12+1"},
    {S("\x94\x00\xd3\x00\x00\x00\x00\x00\x00\x00\x09\xa3get\x91\x07"), "0 9 get 1 16+1"},
    {S("\x94\x00\xca\x40\xe0\x00\x00\xa3get\x91\x07"), "0 7 get 1 12+1"},
    {S("\x94\x00\xcb\x41\xef\xff\xff\xff\xe0\x00\x00\xa3get\x91\x07"), "0 4294967295 get 1 16+1"},
    {S("\x94\xcc\x00\x01\xa3get\x91\x07"), "0 1 get 1 9+1"},
    {S("\x94\xca\x00\x00\x00\x00\x01\xa3get\x91\x07"), "0 1 get 1 12+1"},
    {S("\xdc\x00\x04\x00\x01\xa3get\x91\x07"), "0 1 get 1 10+1"},
    {S("\xdd\x00\x00\x00\x04\x00\x01\xa3get\x91\x07"), "0 1 get 1 12+1"},
    {S("\x94\x00\x01\xd9\x03get\x91\x07"), "0 1 get 1 9+1"},
    {S("\x94\x00\x01\xda\x00\x03get\x91\x07"), "0 1 get 1 10+1"},
    {S("\x94\x00\x01\xdb\x00\x00\x00\x03get\x91\x07"), "0 1 get 1 12+1"},
    {S("\x94\x00\x01\xc4\x03get\x91\x07"), "0 1 get 1 9+1"},
    {S("\x94\x00\x01\xc5\x00\x03get\x91\x07"), "0 1 get 1 10+1"},
    {S("\x94\x00\x01\xc6\x00\x00\x00\x03get\x91\x07"), "0 1 get 1 12+1"},
    {S("\x94\x00\x01\xa0\x90"), "0 1  0"},
    {S("\x94\x00\x01\xd9\x22" NAME_34 "\x90"), "0 1 " NAME_34 " 0"},
    {S("\x94\x00\x01\xa3get\xdc\x00\x01\x07"), "0 1 get 1 10+1"},
    {S("\x94\x00\x01\xa3get\xdd\x00\x00\x00\x02\x07\xc0"), "0 1 get 2 12+1 13+1"},
    /* values of every kind as params */
    {S("\x94\x00\x01\xa1m\x98\xc0\xc2\xc3\xff\xcc\xff\xcd\x01\x01\xce\x01\x01\x01\x01\xcf\x01\x01\x01\x01\x01"
       "\x01\x01\x01"),
     "0 1 m 8 6+1 7+1 8+1 9+1 10+2 12+3 15+5 20+9"},
    {S("\x94\x00\x01\xa1m\x96\xd0\x80\xd1\x80\x01\xd2\x80\x01\x01\x01\xd3\x80\x01\x01\x01\x01\x01\x01\x01"
       "\xca\x01\x01\x01\x01\xcb\x01\x01\x01\x01\x01\x01\x01\x01"),
     "0 1 m 6 6+2 8+3 11+5 16+9 25+5 30+9"},
    {S("\x94\x00\x01\xa1m\x97\xa0\xa3xyz\xd9\x02xy\xda\x00\x01x\xdb\x00\x00\x00\x01x\xc4\x00\xc5\x00\x01x"),
     "0 1 m 7 6+1 7+4 11+4 15+4 19+6 25+2 27+4"},
    {S("\x94\x00\x01\xa1m\x95\xc6\x00\x00\x00\x01x\xc7\x02\x05xy\xc8\x00\x01\x05x\xc9\x00\x00\x00\x01\x05x"
       "\xd4\x05x"),
     "0 1 m 5 6+6 12+5 17+5 22+7 29+3"},
    {S("\x94\x00\x01\xa1m\x94\xd5\x05xx\xd6\x05xxxx\xd7\x05xxxxxxxx\xd8\x05xxxxxxxxxxxxxxxx"),
     "0 1 m 4 6+4 10+6 16+10 26+18"},
    {S("\x94\x00\x01\xa1m\x97\x80\x90\x81\xa1k\x90\x92\x91\x01\x02\xdc\x00\x01\x07\xde\x00\x01\x07\x08\xdf"
       "\x00\x00\x00\x00"),
     "0 1 m 7 6+1 7+1 8+4 12+4 16+4 20+5 25+5"},
    {S("\x94\x00\x01\xa3put\x93\xc4\x05hello\xc0\x82\xa4seal\xc3\xa4refs\x93\x01\xc0\x91\x91\x91\x02"),
     "0 1 put 3 8+7 15+1 16+19"},
    {S("\x94\x00\x01\xa1m\x9a\x00\x01\x02\x03\x04\x05\x06\x07\x91\x08\x09"),
     "0 1 m 10 6+1 7+1 8+1 9+1 10+1 11+1 12+1 13+1"},
    /* responses and notifications */
    {S("\x94\x01\x05\xc0\x2a"), "1 5  2 3+1 4+1"},
    {S("\x94\x01\x05\xc0\xc4\x06sixsix"), "1 5  2 3+1 4+8"},
    {S("\x94\x01\xce\x01\x00\x00\x00\xa4GONE\xc0"), "1 16777216  2 7+5 12+1"},
    {S("\x94\x01\x05\x91\x91\xc0\x92\x01\x81\x02\x90"), "1 5  2 3+3 6+5"},
    {S("\x93\x02\xa1m\x90"), "2 0 m 0"},
    {S("\x93\x02\xc4\x05"
       "event\x91\x93\x01\xa1t\x80"),
     "2 0 event 1 10+5"},
    {S("\x93\xd3\x00\x00\x00\x00\x00\x00\x00\x02\xa1m\x92\x80\x90"), "2 0 m 2 13+1 14+1"},
};

/* Not MessagePack-RPC. */
static const struct sample bad[] = {
    {S("\xc0"), "array of 3 or 4"},
    {S("GET / HTTP/1.1"), "array of 3 or 4"},
    {S("{\"method\""), "array of 3 or 4"},
    {S("\xa4ping"), "array of 3 or 4"},
    {S("\x84\x00\x01\x02\x03"), "array of 3 or 4"},
    {S("\x90"), "array of 3 or 4"},
    {S("\x91\x00"), "array of 3 or 4"},
    {S("\x95\x00\x01\xa1m\x90\x90"), "array of 3 or 4"},
    {S("\xdd\x00\xff\xff\xff"), "array of 3 or 4"}, /* a stock unpacker reserves half a gigabyte */
    {S("\xdd\x10\x00\x00\x00"), "array of 3 or 4"},
    {S("\xdf\x00\x00\x00\x02"), "array of 3 or 4"},
    {S("\xc1"), "0xc1"},
    {S("\x94\xc1"), "0xc1"},
    {S("\x94\x00\x01\xc1"), "0xc1"},
    {S("\x94\x00\x01\xa1m\x91\xc1"), "0xc1"},
    {S("\x94\x00\x01\xa1m\x91\x93\x01\xc1"), "0xc1"},
    {S("\x94\x03\x01\xa1m\x90"), "message type is"},
    {S("\x94\xff\x01\xa1m\x90"), "message type is"},
    {S("\x94\xc0\x01\xa1m\x90"), "message type is"},
    {S("\x94\xa1x\x01\xa1m\x90"), "message type is"},
    {S("\x94\x90\x01\xa1m\x90"), "message type is"},
    {S("\x94\xca\x3f\x00\x00\x00\x01\xa1m\x90"), "message type is"}, /* 0.5 */
    {S("\x94\x02\xa1m\x90\x90"), "number of elements"},
    {S("\x93\x00\x01\xa1m"), "number of elements"},
    {S("\x93\x01\x01\xc0"), "number of elements"},
    {S("\x94\x00\xff\xa1m\x90"), "msgid"},
    {S("\x94\x00\xc0\xa1m\x90"), "msgid"},
    {S("\x94\x00\xa1x\xa1m\x90"), "msgid"},
    {S("\x94\x00\x90\xa1m\x90"), "msgid"},
    {S("\x94\x00\xcf\x00\x00\x00\x01\x00\x00\x00\x00\xa1m\x90"), "msgid"},
    {S("\x94\x00\xd3\xff\xff\xff\xff\xff\xff\xff\xff\xa1m\x90"), "msgid"},
    {S("\x94\x00\xcb\x3f\xf8\x00\x00\x00\x00\x00\x00\xa1m\x90"), "msgid"}, /* 1.5 */
    {S("\x94\x00\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00\xa1m\x90"), "msgid"}, /* not a number */
    {S("\x94\x01\xc2\xc0\xc0"), "msgid"},
    {S("\x94\x00\x01\xc0\x90"), "method"},
    {S("\x94\x00\x01\xc0" NAME_34 "\x90"), "method"},
    {S("\x94\x00\x01\xc0"
       "abcdefghijklmnopqrstuvwxyzabcdef"
       "\x90"),
     "method"},
    {S("\x94\x00\x01\x05\x90"), "method"},
    {S("\x94\x00\x01\x91\xa1m\x90"), "method"},
    {S("\x94\x00\x01\xd4\x01m\x90"), "method"},
    {S("\x93\x02\x01\x90"), "method"},
    {S("\x94\x00\x01\xa1m\xc0"), "params"},
    {S("\x94\x00\x01\xa1m\x80"), "params"},
    {S("\x94\x00\x01\xa1m\xa1x"), "params"},
    {S("\x93\x02\xa1m\x01"), "params"},
};

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

/* ---- helpers ---- */

/* The frame as "kind msgid method param_count at+size ...". */
static const char *describe(const struct hfp_frame *frame, const uint8_t *bytes, char text[512])
{
    int n = snprintf(text, 512, "%u %u %.*s %u", frame->kind, frame->msgid, (int)frame->method_size,
                     (const char *)bytes + frame->method_at, frame->param_count);
    for (uint32_t i = 0; i < frame->param_count && i < HFP_PARAMS_KEPT; i++)
        n += snprintf(text + n, 512 - (size_t)n, " %u+%u", frame->param[i].at, frame->param[i].size);
    return text;
}

struct verdict {
    enum hfp_result result;
    struct hfp_frame frame;
    const char *reason;
    size_t over; /* after HFP_TOOBIG: all bytes of the frame, or 0 if it did not end */
};

static bool frames_equal(const struct hfp_frame *a, const struct hfp_frame *b)
{
    uint32_t kept = a->param_count < HFP_PARAMS_KEPT ? a->param_count : HFP_PARAMS_KEPT;
    return a->size == b->size && a->kind == b->kind && a->msgid == b->msgid && a->method_at == b->method_at &&
           a->method_size == b->method_size && a->params_at == b->params_at &&
           a->param_count == b->param_count && memcmp(a->param, b->param, kept * sizeof a->param[0]) == 0;
}

static void ck_same_verdict(const struct verdict *a, const struct verdict *b)
{
    ck_assert_int_eq(a->result, b->result);
    if (a->result == HFP_FRAME)
        ck_assert(frames_equal(&a->frame, &b->frame));
    if (a->result == HFP_TOOBIG) {
        ck_assert_uint_eq(a->frame.msgid, b->frame.msgid);
        ck_assert_uint_eq(a->frame.kind, b->frame.kind);
        ck_assert_uint_eq(a->over, b->over);
    }
    if (a->result == HFP_BAD || a->result == HFP_TOOBIG)
        ck_assert_str_eq(a->reason, b->reason);
}

/* Scans `count` bytes that come in pieces of `piece`, the first of `first`. */
static struct verdict scan_pieces(const struct hfp_scan_limits *within, const uint8_t *bytes, size_t count,
                                  size_t first, size_t piece)
{
    struct hfp_scan scan = {0};
    struct verdict v = {.result = HFP_MORE};
    uint8_t *spoilt = copy_of(bytes, count);
    for (size_t size = first < count ? first : count;;) {
        /* Exactly `size` bytes: nothing beyond them may be touched. */
        uint8_t *present = copy_of(spoilt, size);
        v.result = hfp_scan_next(&scan, within, present, size, &v.frame);
        free(present);
        v.reason = scan.reason;
        if (v.result == HFP_TOOBIG)
            v.over = discard(&scan, bytes, size, count, piece);
        if (v.result != HFP_MORE || size == count)
            break;
        ck_assert_uint_gt(hfp_scan_needed(&scan), size);
        memset(spoilt, 0xc1, scan.at < size ? (size_t)scan.at : size);
        size = count - size < piece ? count : size + piece;
    }
    free(spoilt);
    return v;
}

static struct verdict scan_whole(const struct hfp_scan_limits *within, const uint8_t *bytes, size_t count)
{
    return scan_pieces(within, bytes, count, count, count + 1);
}

/* Each way to cut `bytes` in two, and byte by byte, gives what the whole gives. */
static void ck_any_split(const struct hfp_scan_limits *within, const uint8_t *bytes, size_t count)
{
    struct verdict whole = scan_whole(within, bytes, count);
    for (size_t first = 0; first < count; first++) {
        struct verdict halves = scan_pieces(within, bytes, count, first, count);
        ck_same_verdict(&whole, &halves);
    }
    struct verdict bytewise = scan_pieces(within, bytes, count, 0, 1);
    ck_same_verdict(&whole, &bytewise);
}

/* The general scanner on its own. */
static enum hfp_result scan_general(const uint8_t *bytes, size_t count, struct hfp_frame *frame)
{
    struct hfp_scan scan = {0};
    return hfp_scan(&scan, &limits, bytes, count, frame);
}

/* ---- good frames ---- */

START_TEST(good_frame_is_described)
{
    const struct sample *s = &good[_i];
    uint8_t *bytes = copy_of(s->bytes, s->size);
    struct verdict v = scan_whole(&limits, bytes, s->size);
    char text[512];
    ck_assert_int_eq(v.result, HFP_FRAME);
    ck_assert_str_eq(describe(&v.frame, bytes, text), s->text);
    ck_assert_uint_eq(v.frame.size, s->size);
    free(bytes);
}
END_TEST

START_TEST(good_frame_is_the_same_at_any_split)
{
    ck_any_split(&limits, (const uint8_t *)good[_i].bytes, good[_i].size);
}
END_TEST

START_TEST(good_frame_cut_short_is_incomplete)
{
    for (size_t size = 0; size < good[_i].size; size++) {
        struct verdict v = scan_whole(&limits, (const uint8_t *)good[_i].bytes, size);
        ck_assert_int_eq(v.result, HFP_MORE);
    }
}
END_TEST

START_TEST(general_scanner_agrees_with_the_fast_one)
{
    const uint8_t *bytes = (const uint8_t *)good[_i].bytes;
    struct hfp_frame fast, general;
    ck_assert_int_eq(scan_general(bytes, good[_i].size, &general), HFP_FRAME);
    if (hfp_scan_fast(bytes, good[_i].size, limits.frame_max, &fast))
        ck_assert(frames_equal(&fast, &general));
}
END_TEST

START_TEST(usual_requests_take_the_fast_way)
{
    static const char *const usual[] = {"0 127 get 1 8+9", "0 1 put 3 8+7 15+1 16+19", "1 5  2 3+1 4+8",
                                        "0 4294967295 get 1 12+1"};
    size_t found = 0;
    for (size_t i = 0; i < COUNT_OF(good); i++) {
        for (size_t k = 0; k < COUNT_OF(usual); k++) {
            struct hfp_frame frame;
            if (strcmp(good[i].text, usual[k]) == 0 &&
                hfp_scan_fast((const uint8_t *)good[i].bytes, good[i].size, limits.frame_max, &frame))
                found++;
        }
    }
    ck_assert_uint_eq(found, COUNT_OF(usual));
}
END_TEST

START_TEST(frames_follow_each_other)
{
    uint8_t bytes[4096];
    size_t count = 0;
    for (size_t i = 0; i < COUNT_OF(good); i++) {
        memcpy(bytes + count, good[i].bytes, good[i].size);
        count += good[i].size;
    }
    struct hfp_scan scan = {0};
    size_t at = 0;
    for (size_t i = 0; i < COUNT_OF(good); i++) {
        struct hfp_frame frame;
        char text[512];
        ck_assert_int_eq(hfp_scan_next(&scan, &limits, bytes + at, count - at, &frame), HFP_FRAME);
        ck_assert_str_eq(describe(&frame, bytes + at, text), good[i].text);
        at += frame.size;
    }
    ck_assert_uint_eq(at, count);
}
END_TEST

/* ---- bad frames ---- */

START_TEST(bad_frame_is_refused_with_a_reason)
{
    struct verdict v = scan_whole(&limits, (const uint8_t *)bad[_i].bytes, bad[_i].size);
    ck_assert_int_eq(v.result, HFP_BAD);
    ck_assert_ptr_nonnull(strstr(v.reason, bad[_i].text));
}
END_TEST

START_TEST(bad_frame_is_refused_at_any_split)
{
    ck_any_split(&limits, (const uint8_t *)bad[_i].bytes, bad[_i].size);
}
END_TEST

START_TEST(bad_scanner_stays_bad_until_it_is_reset)
{
    struct hfp_scan scan = {0};
    struct hfp_frame frame;
    const uint8_t *ping = (const uint8_t *)good[0].bytes;
    ck_assert_int_eq(hfp_scan_next(&scan, &limits, (const uint8_t *)"\xc0", 1, &frame), HFP_BAD);
    ck_assert_int_eq(hfp_scan_next(&scan, &limits, ping, good[0].size, &frame), HFP_BAD);
    ck_assert_int_eq(hfp_scan_discard(&scan, ping, good[0].size), HFP_BAD);
    hfp_scan_reset(&scan);
    ck_assert_int_eq(hfp_scan_next(&scan, &limits, ping, good[0].size, &frame), HFP_FRAME);
}
END_TEST

/* ---- limits ---- */

/* A request whose one param are arrays in each other, so that the whole is nested `depth` deep. */
static size_t put_nested(uint8_t *bytes, unsigned depth)
{
    uint8_t *at = put_envelope(bytes, 1);
    for (unsigned i = 2; i < depth; i++)
        *at++ = 0x91;
    *at++ = 0x07;
    return (size_t)(at - bytes);
}

START_TEST(nesting_of_64_is_a_frame)
{
    uint8_t bytes[256];
    size_t size = put_nested(bytes, 64);
    struct verdict v = scan_whole(&limits, bytes, size);
    ck_assert_int_eq(v.result, HFP_FRAME);
    ck_assert_uint_eq(v.frame.param[0].size, 63);
    ck_any_split(&limits, bytes, size);
}
END_TEST

START_TEST(nesting_of_65_and_more_is_too_big_and_passed_over)
{
    static const unsigned depths[] = {65, 66, 160};
    uint8_t bytes[256];
    size_t size = put_nested(bytes, depths[_i]);
    struct verdict v = scan_whole(&limits, bytes, size);
    ck_assert_int_eq(v.result, HFP_TOOBIG);
    ck_assert_ptr_nonnull(strstr(v.reason, "limits.depth"));
    ck_assert_uint_eq(v.frame.msgid, 9);
    ck_assert_uint_eq(v.over, size);
    ck_any_split(&limits, bytes, size);
}
END_TEST

START_TEST(empty_containers_count_as_a_level)
{
    uint8_t bytes[256];
    size_t size = put_nested(bytes, 64);
    bytes[size - 1] = 0x80;
    ck_assert_int_eq(scan_whole(&limits, bytes, size).result, HFP_TOOBIG);
    size = put_nested(bytes, 63);
    bytes[size - 1] = 0x80;
    ck_assert_int_eq(scan_whole(&limits, bytes, size).result, HFP_FRAME);
}
END_TEST

START_TEST(depth_limit_is_kept_at_its_smallest_and_largest)
{
    for (unsigned depth_max = HFP_DEPTH_MIN; depth_max <= HFP_DEPTH_STACK; depth_max++) {
        struct hfp_scan_limits within = {.frame_max = 4096, .depth_max = depth_max};
        uint8_t bytes[256];
        size_t size = put_nested(bytes, depth_max);
        ck_assert_int_eq(scan_whole(&within, bytes, size).result, HFP_FRAME);
        size = put_nested(bytes, depth_max + 1);
        ck_assert_int_eq(scan_whole(&within, bytes, size).result, HFP_TOOBIG);
    }
}
END_TEST

START_TEST(nested_bytes_without_an_envelope_are_no_message)
{
    uint8_t bytes[160];
    memset(bytes, 0x91, sizeof bytes);
    ck_assert_int_eq(scan_whole(&limits, bytes, sizeof bytes).result, HFP_BAD);
    memset(bytes, 0x94, sizeof bytes);
    ck_assert_int_eq(scan_whole(&limits, bytes, sizeof bytes).result, HFP_BAD);
}
END_TEST

START_TEST(mebibyte_of_nils_is_no_message_but_may_be_params)
{
    enum { NILS = 1 << 20 };
    uint8_t *bytes = malloc(NILS + 16);
    memset(bytes, 0xc0, NILS);
    ck_assert_int_eq(scan_whole(&limits, bytes, NILS).result, HFP_BAD);

    uint8_t *at = put_envelope(bytes, NILS);
    size_t size = (size_t)(at - bytes) + NILS;
    memset(at, 0xc0, NILS);
    struct verdict whole = scan_whole(&limits, bytes, size);
    ck_assert_int_eq(whole.result, HFP_FRAME);
    ck_assert_uint_eq(whole.frame.param_count, NILS);
    ck_assert_uint_eq(whole.frame.size, size);
    struct verdict pieces = scan_pieces(&limits, bytes, size, 3, 65536);
    ck_same_verdict(&whole, &pieces);
    free(bytes);
}
END_TEST

START_TEST(frame_of_the_limit_is_a_frame_and_one_byte_more_is_not)
{
    struct hfp_scan_limits within = {.frame_max = 1000, .depth_max = 64};
    for (unsigned over = 0; over <= 1; over++) {
        uint8_t bytes[1100] = {0};
        size_t size = 1000 + over;
        uint8_t *at = put_envelope(bytes, 1);
        at = hfp_put_bin_head(at, (uint32_t)(size - (size_t)(at - bytes) - 3));
        struct verdict v = scan_whole(&within, bytes, size);
        ck_assert_int_eq(v.result, over ? HFP_TOOBIG : HFP_FRAME);
        ck_assert_uint_eq(over ? v.over : v.frame.size, size);
        ck_any_split(&within, bytes, size);
    }
}
END_TEST

START_TEST(many_small_values_are_too_big_as_well)
{
    struct hfp_scan_limits within = {.frame_max = 100, .depth_max = 64};
    uint8_t bytes[256];
    uint8_t *at = put_envelope(bytes, 1);
    at = hfp_put_array_head(at, 30);
    for (int i = 0; i < 30; i++)
        at = hfp_put_uint(at, 1u << 20);
    size_t size = (size_t)(at - bytes);
    struct verdict v = scan_whole(&within, bytes, size);
    ck_assert_int_eq(v.result, HFP_TOOBIG);
    ck_assert_uint_eq(v.over, size);
    ck_any_split(&within, bytes, size);
}
END_TEST

START_TEST(declared_elements_below_the_limit_are_only_awaited)
{
    uint8_t bytes[32];
    uint8_t *at = put_envelope(bytes, 0x00ffffff);
    size_t size = (size_t)(at - bytes);
    struct hfp_scan scan = {0};
    struct hfp_frame frame;
    ck_assert_int_eq(hfp_scan_next(&scan, &limits, bytes, size, &frame), HFP_MORE);
    ck_assert_uint_eq(hfp_scan_needed(&scan), size + 0x00ffffff);
}
END_TEST

START_TEST(declared_elements_above_the_limit_are_too_big_at_once)
{
    static const uint8_t heads[] = {0xdd, 0xdf};
    uint8_t bytes[32];
    uint8_t *at = put_envelope(bytes, 1);
    at = hfp_store32(at, heads[_i], UINT32_MAX);
    struct verdict v = scan_whole(&limits, bytes, (size_t)(at - bytes));
    ck_assert_int_eq(v.result, HFP_TOOBIG);
    ck_assert_uint_eq(v.frame.msgid, 9);
    ck_assert_uint_eq(v.over, 0);
}
END_TEST

START_TEST(elements_of_a_frame_too_big_are_discarded_to_the_last)
{
    enum { PIECE = 65536 };
    const uint64_t nils = (uint64_t)HF_FRAME_MAX + 5;
    uint8_t head[32];
    uint8_t *at = put_envelope(head, (uint32_t)nils);
    struct hfp_scan scan = {0};
    struct hfp_frame frame;
    ck_assert_int_eq(hfp_scan_next(&scan, &limits, head, (size_t)(at - head), &frame), HFP_TOOBIG);
    ck_assert_uint_eq(scan.used, (size_t)(at - head));

    uint8_t *piece = malloc(PIECE);
    memset(piece, 0xc0, PIECE);
    uint64_t left = nils;
    for (; left > PIECE; left -= PIECE)
        ck_assert_int_eq(hfp_scan_discard(&scan, piece, PIECE), HFP_MORE);
    ck_assert_int_eq(hfp_scan_discard(&scan, piece, PIECE), HFP_FRAME);
    ck_assert_uint_eq(scan.used, left);
    free(piece);
}
END_TEST

START_TEST(payload_of_4_gib_is_discarded_to_the_last_byte)
{
    enum { PIECE = 65536 };
    uint8_t head[32];
    uint8_t *at = put_envelope(head, 2);
    at = hfp_store32(at, 0xc6, UINT32_MAX);
    struct hfp_scan scan = {0};
    struct hfp_frame frame;
    ck_assert_int_eq(hfp_scan_next(&scan, &limits, head, (size_t)(at - head), &frame), HFP_TOOBIG);

    uint8_t *piece = malloc(PIECE);
    memset(piece, 0xc1, PIECE); /* payload: its bytes mean nothing */
    for (uint64_t left = UINT32_MAX; left > 0; left -= scan.used) {
        size_t n = left < PIECE ? (size_t)left : PIECE;
        ck_assert_int_eq(hfp_scan_discard(&scan, piece, n), HFP_MORE);
        ck_assert_uint_eq(scan.used, n);
    }
    free(piece);
    ck_assert_int_eq(hfp_scan_discard(&scan, (const uint8_t *)"\x07\x94", 2), HFP_FRAME);
    ck_assert_uint_eq(scan.used, 1);
    ck_assert_int_eq(hfp_scan_next(&scan, &limits, (const uint8_t *)good[0].bytes, good[0].size, &frame),
                     HFP_FRAME);
}
END_TEST

START_TEST(frame_in_discarding_with_a_byte_that_is_none_is_bad)
{
    uint8_t bytes[256];
    size_t size = put_nested(bytes, 70);
    bytes[size - 1] = 0xc1;
    struct hfp_scan scan = {0};
    struct hfp_frame frame;
    ck_assert_int_eq(hfp_scan_next(&scan, &limits, bytes, size, &frame), HFP_TOOBIG);
    ck_assert_int_eq(hfp_scan_discard(&scan, bytes + scan.used, size - scan.used), HFP_BAD);
    ck_assert_ptr_nonnull(strstr(scan.reason, "0xc1"));
}
END_TEST

/* ---- sizes of values ---- */

static size_t skipped(const uint8_t *bytes, size_t count)
{
    struct hfp_cursor cursor = {.at = bytes, .end = bytes + count};
    return hfp_skip(&cursor) ? (size_t)(cursor.at - bytes) : 0;
}

START_TEST(size_of_a_value_is_what_skip_passes)
{
    struct hfp_frame frame;
    const uint8_t *bytes = (const uint8_t *)good[_i].bytes;
    ck_assert_int_eq(scan_general(bytes, good[_i].size, &frame), HFP_FRAME);
    for (uint32_t i = 0; i < frame.param_count && i < HFP_PARAMS_KEPT; i++) {
        uint8_t *value = copy_of(bytes + frame.param[i].at, frame.param[i].size);
        ck_assert_uint_eq(hfp_scan_size(value, frame.param[i].size), frame.param[i].size);
        free(value);
        for (uint32_t size = 0; size < frame.param[i].size; size++) {
            value = copy_of(bytes + frame.param[i].at, size);
            ck_assert_uint_eq(hfp_scan_size(value, size), 0);
            free(value);
        }
    }
}
END_TEST

START_TEST(size_of_random_bytes_is_what_skip_passes)
{
    static const uint8_t heads[] = {0x01, 0x80, 0x82, 0x90, 0x91, 0x9f, 0xa3, 0xc0, 0xc1, 0xc4, 0xc6,
                                    0xc7, 0xcb, 0xcd, 0xd3, 0xd4, 0xd8, 0xd9, 0xdc, 0xdd, 0xde, 0xe0};
    struct random r = {.state = (uint64_t)_i + 1};
    unsigned whole = 0;
    for (unsigned round = 0; round < 20000; round++) {
        uint8_t bytes[64];
        size_t count = random_below(&r, sizeof bytes + 1);
        for (size_t i = 0; i < count; i++)
            bytes[i] = heads[random_below(&r, random_once_in(&r, 3) ? 2 : sizeof heads)];
        uint8_t *exact = copy_of(bytes, count);
        size_t size = hfp_scan_size(exact, count);
        ck_assert_uint_eq(size, skipped(exact, count));
        whole += size != 0;
        free(exact);
    }
    ck_assert_uint_gt(whole, 1000); /* not all of it was nonsense */
}
END_TEST

/* ---- mutations ---- */

/* What must be true of any frame: its values are where it says, found again by the readers. */
static void ck_frame_holds(const struct hfp_frame *frame, const uint8_t *bytes, size_t count)
{
    ck_assert_uint_le(frame->size, count);
    struct hfp_cursor whole = {bytes, bytes + count};
    ck_assert(hfp_skip(&whole));
    ck_assert_ptr_eq(whole.at, bytes + frame->size);
    ck_assert_uint_le((uint64_t)frame->method_at + frame->method_size, frame->size);
    struct hfp_cursor param = {bytes + frame->params_at, bytes + frame->size};
    for (uint32_t i = 0; i < frame->param_count; i++) {
        const uint8_t *start = param.at;
        ck_assert(hfp_skip(&param));
        if (i < HFP_PARAMS_KEPT) {
            ck_assert_ptr_eq(start, bytes + frame->param[i].at);
            ck_assert_ptr_eq(param.at, start + frame->param[i].size);
        }
    }
    ck_assert_ptr_eq(param.at, bytes + frame->size);
}

static size_t mutate(struct random *r, uint8_t *bytes, size_t size, size_t room)
{
    static const uint8_t telling[] = {0x00, 0x7f, 0x80, 0x8f, 0x90, 0x94, 0x9f, 0xa0, 0xbf,
                                      0xc0, 0xc1, 0xc4, 0xc6, 0xc7, 0xc9, 0xca, 0xcf, 0xd3,
                                      0xd4, 0xd8, 0xd9, 0xdb, 0xdc, 0xdd, 0xdf, 0xff};
    for (uint64_t n = random_between(r, 1, 4); n > 0; n--) {
        size_t at = (size_t)random_below(r, size);
        if (random_once_in(r, 4) && size < room) {
            memmove(bytes + at + 1, bytes + at, size - at);
            size++;
        }
        bytes[at] = random_once_in(r, 3) ? (uint8_t)random_next(r) : telling[random_below(r, sizeof telling)];
    }
    return size;
}

START_TEST(mutated_frames_keep_every_promise)
{
    struct hfp_scan_limits within = {.frame_max = HFP_FRAME_MIN, .depth_max = HFP_DEPTH_MIN};
    struct random r = {.state = 20261123 + (uint64_t)_i};
    for (int round = 0; round < 20000; round++) {
        const struct sample *s = &good[random_below(&r, COUNT_OF(good))];
        uint8_t room[128];
        memcpy(room, s->bytes, s->size);
        size_t count = mutate(&r, room, s->size, sizeof room);
        uint8_t *bytes = copy_of(room, count);
        struct verdict whole = scan_whole(&within, bytes, count);
        if (whole.result == HFP_FRAME) {
            struct hfp_frame general;
            ck_frame_holds(&whole.frame, bytes, count);
            ck_assert_int_eq(scan_general(bytes, count, &general), HFP_FRAME);
            ck_assert(frames_equal(&whole.frame, &general));
        }
        struct verdict pieces =
            scan_pieces(&within, bytes, count, random_below(&r, count), random_between(&r, 1, count));
        ck_same_verdict(&whole, &pieces);
        free(bytes);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("scan");

    TCase *frames = suite_case(suite, "good frames", NULL, NULL);
    tcase_add_loop_test(frames, good_frame_is_described, 0, COUNT_OF(good));
    tcase_add_loop_test(frames, good_frame_is_the_same_at_any_split, 0, COUNT_OF(good));
    tcase_add_loop_test(frames, good_frame_cut_short_is_incomplete, 0, COUNT_OF(good));
    tcase_add_loop_test(frames, general_scanner_agrees_with_the_fast_one, 0, COUNT_OF(good));
    tcase_add_test(frames, usual_requests_take_the_fast_way);
    tcase_add_test(frames, frames_follow_each_other);

    TCase *refused = suite_case(suite, "bad frames", NULL, NULL);
    tcase_add_loop_test(refused, bad_frame_is_refused_with_a_reason, 0, COUNT_OF(bad));
    tcase_add_loop_test(refused, bad_frame_is_refused_at_any_split, 0, COUNT_OF(bad));
    tcase_add_test(refused, bad_scanner_stays_bad_until_it_is_reset);

    TCase *bounds = suite_case(suite, "limits", NULL, NULL);
    tcase_add_test(bounds, nesting_of_64_is_a_frame);
    tcase_add_loop_test(bounds, nesting_of_65_and_more_is_too_big_and_passed_over, 0, 3);
    tcase_add_test(bounds, empty_containers_count_as_a_level);
    tcase_add_test(bounds, depth_limit_is_kept_at_its_smallest_and_largest);
    tcase_add_test(bounds, nested_bytes_without_an_envelope_are_no_message);
    tcase_add_test(bounds, mebibyte_of_nils_is_no_message_but_may_be_params);
    tcase_add_test(bounds, frame_of_the_limit_is_a_frame_and_one_byte_more_is_not);
    tcase_add_test(bounds, many_small_values_are_too_big_as_well);
    tcase_add_test(bounds, declared_elements_below_the_limit_are_only_awaited);
    tcase_add_loop_test(bounds, declared_elements_above_the_limit_are_too_big_at_once, 0, 2);
    tcase_add_test(bounds, elements_of_a_frame_too_big_are_discarded_to_the_last);
    tcase_add_test(bounds, payload_of_4_gib_is_discarded_to_the_last_byte);
    tcase_add_test(bounds, frame_in_discarding_with_a_byte_that_is_none_is_bad);

    TCase *sizes = suite_case(suite, "sizes of values", NULL, NULL);
    tcase_add_loop_test(sizes, size_of_a_value_is_what_skip_passes, 0, COUNT_OF(good));
    tcase_add_loop_test(sizes, size_of_random_bytes_is_what_skip_passes, 0, 3);

    TCase *mutations = suite_case(suite, "mutations", NULL, NULL);
    tcase_add_loop_test(mutations, mutated_frames_keep_every_promise, 0, 4);

    return suite_run(suite);
}
