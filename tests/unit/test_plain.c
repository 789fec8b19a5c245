/* SPDX-License-Identifier: BSD-3-Clause */
/* proto/plain.h: what it takes is what the scanner takes, with the same frame, method and id; and it takes the forms it
 * is there for.
 *
 * Bytes are always in an allocation of exactly their size, so that ASan sees a read too far. */
#include "proto/plain.h"

#include <stdlib.h>
#include <string.h>

#include "proto/limits.h"
#include "proto/rpc.h"
#include "tests/lib/checks.h"
#include "tests/lib/random.h"
#include "tests/lib/suite.h"

#define ROOM 512
#define ID   0x0012345600000789ull

static const struct hfp_scan_limits limits = {.frame_max = HF_FRAME_MAX, .depth_max = HF_DEPTH_MAX};

/* One of each encoding of a msgid that a client may use at its shortest, and their limits. */
static const uint32_t msgids[] = {0, 1, 0x7f, 0x80, 0xff, 0x100, 0xffff, 0x10000, UINT32_MAX};
static const char *const methods[] = {"get", "retain", "release", "put"};
static const size_t sizes[] = {0, 1, 7, 8, 64, 254, 255};

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

static size_t write_id_request(uint8_t *to, uint32_t msgid, const char *method)
{
    uint8_t *at = hfp_put_request_head(to, msgid, method, (uint32_t)strlen(method), 1);
    return (size_t)(hfp_put_uint(at, ID) - to);
}

static size_t write_put(uint8_t *to, uint32_t msgid, size_t size)
{
    static const uint8_t value[256];
    uint8_t *at = hfp_put_request_head(to, msgid, "put", 3, 1);
    return (size_t)(hfp_put_bin(at, value, (uint32_t)size) - to);
}

/* Asks for exactly these bytes; what is found must be what the scanner and the readers find. */
static enum hf_method ask(const uint8_t *bytes, size_t count)
{
    struct hfp_frame frame, scanned;
    struct hfp_scan scan = {0};
    uint64_t id = 1, read = 0;
    uint8_t *exact = malloc(count + (count == 0));
    memcpy(exact, bytes, count);
    enum hf_method method = hfp_plain(exact, count, &frame, &id);
    if (method != HF_METHOD_NONE) {
        ck_assert_int_eq(hfp_scan(&scan, &limits, exact, count, &scanned), HFP_FRAME);
        ck_assert_uint_eq(frame.size, scanned.size);
        ck_assert_uint_eq(frame.kind, scanned.kind);
        ck_assert_uint_eq(frame.msgid, scanned.msgid);
        ck_assert_uint_eq(frame.method_at, scanned.method_at);
        ck_assert_uint_eq(frame.method_size, scanned.method_size);
        ck_assert_uint_eq(frame.params_at, scanned.params_at);
        ck_assert_uint_eq(frame.param_count, scanned.param_count);
        ck_assert_uint_eq(frame.param[0].at, scanned.param[0].at);
        ck_assert_uint_eq(frame.param[0].size, scanned.param[0].size);
        ck_assert_int_eq(method, hfp_method_find(exact + frame.method_at, frame.method_size));
        struct hfp_cursor param = {exact + frame.param[0].at, exact + frame.size};
        if (method != HF_METHOD_put)
            ck_assert(hfp_read_uint64(&param, &read));
        ck_assert_uint_eq(id, read);
        ck_assert_uint_le(frame.size, HFP_PLAIN_MAX);
    }
    free(exact);
    return method;
}

START_TEST(plain_requests_are_taken)
{
    uint8_t bytes[ROOM];
    for (size_t m = 0; m < 3; m++) {
        size_t count = write_id_request(bytes, msgids[_i], methods[m]);
        ck_assert_int_eq(ask(bytes, count), hfp_method_find((const uint8_t *)methods[m], strlen(methods[m])));
    }
    for (size_t k = 0; k < COUNT_OF(sizes); k++)
        ck_assert_int_eq(ask(bytes, write_put(bytes, msgids[_i], sizes[k])), HF_METHOD_put);
}
END_TEST

START_TEST(requests_cut_short_are_not)
{
    uint8_t bytes[ROOM];
    for (size_t m = 0; m < COUNT_OF(methods); m++) {
        size_t count =
            m < 3 ? write_id_request(bytes, msgids[_i], methods[m]) : write_put(bytes, msgids[_i], 255);
        for (size_t cut = 0; cut < count; cut++)
            ck_assert_int_eq(ask(bytes, cut), HF_METHOD_NONE);
    }
}
END_TEST

START_TEST(what_follows_does_not_matter)
{
    uint8_t bytes[2 * ROOM];
    for (size_t m = 0; m < 3; m++) {
        size_t count = write_id_request(bytes, msgids[_i], methods[m]);
        memset(bytes + count, 0xc1, 40);
        ck_assert_int_ne(ask(bytes, count + 40), HF_METHOD_NONE);
    }
    memset(bytes, 0xc1, sizeof bytes);
    size_t count = write_put(bytes, msgids[_i], 64);
    ck_assert_int_eq(ask(bytes, count + 300), HF_METHOD_put);
}
END_TEST

/* Other kinds of message, other methods, more params, other types: for the scanner. */
START_TEST(what_is_not_plain_is_left_to_the_scanner)
{
    static const char *const others[] = {"set",    "gets",  "ge",     "retained",
                                         "releas", "fetch", "lookup", "ping"};
    uint8_t bytes[ROOM];
    for (size_t k = 0; k < COUNT_OF(others); k++)
        ck_assert_int_eq(ask(bytes, write_id_request(bytes, 70000, others[k])), HF_METHOD_NONE);
    for (size_t m = 0; m < COUNT_OF(methods); m++) {
        uint32_t size = (uint32_t)strlen(methods[m]);
        uint8_t *two = hfp_put_uint(hfp_put_request_head(bytes, 9, methods[m], size, 2), ID);
        ck_assert_int_eq(ask(bytes, (size_t)(hfp_put_uint(two, 2) - bytes)), HF_METHOD_NONE);
        uint8_t *none = hfp_put_request_head(bytes, 9, methods[m], size, 0);
        ck_assert_int_eq(ask(bytes, (size_t)(none - bytes)), HF_METHOD_NONE);
        uint8_t *text = hfp_put_text(hfp_put_request_head(bytes, 9, methods[m], size, 1), "0123456789");
        ck_assert_int_eq(ask(bytes, (size_t)(text - bytes)), HF_METHOD_NONE);
        uint8_t *silent = hfp_put_uint(hfp_put_notification_head(bytes, methods[m], size, 1), ID);
        ck_assert_int_eq(ask(bytes, (size_t)(silent - bytes)), HF_METHOD_NONE);
    }
}
END_TEST

START_TEST(mutated_requests_keep_every_promise)
{
    struct random r = {.state = 20261126 + (uint64_t)_i};
    unsigned taken = 0;
    for (int round = 0; round < 20000; round++) {
        uint8_t bytes[ROOM];
        size_t m = random_below(&r, COUNT_OF(methods));
        uint32_t msgid = msgids[random_below(&r, COUNT_OF(msgids))];
        size_t count = m < 3 ? write_id_request(bytes, msgid, methods[m])
                             : write_put(bytes, msgid, random_below(&r, 256));
        bytes[random_below(&r, count < 30 ? count : 30)] = (uint8_t)random_next(&r);
        taken += ask(bytes, count) != HF_METHOD_NONE;
    }
    ck_assert_uint_gt(taken, 2000);  /* a changed id or value is as good as another */
    ck_assert_uint_lt(taken, 18000); /* and a changed head is not */
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("plain");
    TCase *tcase = suite_case(suite, "plain requests", NULL, NULL);
    tcase_add_loop_test(tcase, plain_requests_are_taken, 0, COUNT_OF(msgids));
    tcase_add_loop_test(tcase, requests_cut_short_are_not, 0, COUNT_OF(msgids));
    tcase_add_loop_test(tcase, what_follows_does_not_matter, 0, COUNT_OF(msgids));
    tcase_add_test(tcase, what_is_not_plain_is_left_to_the_scanner);
    tcase_add_loop_test(tcase, mutated_requests_keep_every_promise, 0, 4);
    return suite_run(suite);
}
