/* SPDX-License-Identifier: BSD-3-Clause */
/* proto/mp.h and proto/rpc.h: what is written is the shortest encoding (msgpack-c is the judge) and is read back;
 * every encoding of a value is read; nothing is read that is not whole; envelopes and error texts to the byte. */
#include "proto/mp.h"

#include <float.h>
#include <math.h>
#include <msgpack.h>
#include <stdlib.h>
#include <string.h>

#include "proto/methods.h"
#include "proto/rpc.h"
#include "tests/lib/checks.h"
#include "tests/lib/random.h"
#include "tests/lib/suite.h"

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))
#define S(bytes)        (bytes), sizeof(bytes) - 1

/* ---- helpers ---- */

static void ck_bytes(const uint8_t *bytes, size_t size, const void *expected, size_t expected_size)
{
    ck_assert_uint_eq(size, expected_size);
    ck_assert_mem_eq(bytes, expected, size);
}

/* Bytes in an allocation of their size, for ASan, with a cursor over them. */
static struct hfp_cursor cursor_on(const void *bytes, size_t size)
{
    uint8_t *copy = malloc(size + (size == 0));
    if (size != 0)
        memcpy(copy, bytes, size);
    return (struct hfp_cursor){copy, copy + size};
}

static void cursor_free(struct hfp_cursor c, size_t size)
{
    free((void *)(uintptr_t)(c.end - size));
}

/* ---- numbers ---- */

/* Around every place where an encoding grows. */
static const uint64_t edges[] = {
    0,
    1,
    0x1f,
    0x20,
    0x21,
    0x7f,
    0x80,
    0x81,
    0xff,
    0x100,
    0x7fff,
    0x8000,
    0x8001,
    0xffff,
    0x10000,
    0x7fffffff,
    0x80000000,
    0x80000001,
    0xffffffff,
    0x100000000,
    0x1fffffffffffff,
    0x20000000000000,
    INT64_MAX,
    (uint64_t)INT64_MAX + 1,
    UINT64_MAX,
};

START_TEST(unsigned_is_written_as_msgpack_c_does_and_read_back)
{
    for (size_t i = 0; i < COUNT_OF(edges); i++) {
        uint8_t bytes[HFP_HEAD_MAX];
        uint8_t *end = hfp_put_uint(bytes, edges[i]);
        msgpack_sbuffer judge;
        msgpack_sbuffer_init(&judge);
        msgpack_packer packer;
        msgpack_packer_init(&packer, &judge, msgpack_sbuffer_write);
        msgpack_pack_uint64(&packer, edges[i]);
        ck_bytes(bytes, (size_t)(end - bytes), judge.data, judge.size);
        msgpack_sbuffer_destroy(&judge);

        struct hfp_cursor c = {bytes, end};
        uint64_t back = ~edges[i];
        ck_assert(hfp_read_uint64(&c, &back));
        ck_assert_uint_eq(back, edges[i]);
        ck_assert_ptr_eq(c.at, end);
    }
}
END_TEST

static void ck_signed(int64_t v)
{
    uint8_t bytes[HFP_HEAD_MAX];
    uint8_t *end = hfp_put_int(bytes, v);
    msgpack_sbuffer judge;
    msgpack_sbuffer_init(&judge);
    msgpack_packer packer;
    msgpack_packer_init(&packer, &judge, msgpack_sbuffer_write);
    msgpack_pack_int64(&packer, v);
    ck_bytes(bytes, (size_t)(end - bytes), judge.data, judge.size);
    msgpack_sbuffer_destroy(&judge);

    struct hfp_cursor c = {bytes, end};
    int64_t back = ~v;
    ck_assert(hfp_read_int64(&c, &back));
    ck_assert_int_eq(back, v);
    ck_assert_ptr_eq(c.at, end);
}

START_TEST(signed_is_written_as_msgpack_c_does_and_read_back)
{
    for (size_t i = 0; i < COUNT_OF(edges); i++) {
        ck_signed((int64_t)edges[i]);
        ck_signed((int64_t)(0 - edges[i]));
    }
}
END_TEST

static const struct {
    const char *bytes;
    size_t size;
    int64_t value;
} integers[] = {
    {S("\x00"), 0},
    {S("\x7f"), 127},
    {S("\xff"), -1},
    {S("\xe0"), -32},
    {S("\xcc\x05"), 5},
    {S("\xcd\x00\x05"), 5},
    {S("\xce\x00\x00\x00\x05"), 5},
    {S("\xcf\x00\x00\x00\x00\x00\x00\x00\x05"), 5},
    {S("\xd0\x05"), 5},
    {S("\xd1\x00\x05"), 5},
    {S("\xd2\x00\x00\x00\x05"), 5},
    {S("\xd3\x00\x00\x00\x00\x00\x00\x00\x05"), 5},
    {S("\xd0\xfb"), -5},
    {S("\xd1\xff\xfb"), -5},
    {S("\xd2\xff\xff\xff\xfb"), -5},
    {S("\xd3\xff\xff\xff\xff\xff\xff\xff\xfb"), -5},
    {S("\xd0\x80"), INT8_MIN},
    {S("\xd1\x80\x00"), INT16_MIN},
    {S("\xd2\x80\x00\x00\x00"), INT32_MIN},
    {S("\xd3\x80\x00\x00\x00\x00\x00\x00\x00"), INT64_MIN},
    {S("\xca\x40\xa0\x00\x00"), 5},
    {S("\xca\xc0\xa0\x00\x00"), -5},
    {S("\xca\x80\x00\x00\x00"), 0}, /* minus zero */
    {S("\xca\x58\x00\x00\x00"), 562949953421312},
    {S("\xcb\x40\x14\x00\x00\x00\x00\x00\x00"), 5},
    {S("\xcb\xc0\x14\x00\x00\x00\x00\x00\x00"), -5},
    {S("\xcb\x80\x00\x00\x00\x00\x00\x00\x00"), 0},
    {S("\xcb\x42\x8f\x40\x00\x00\x00\x28\x00"), 4294967296005},
    {S("\xcb\x43\x3f\xff\xff\xff\xff\xff\xff"), 9007199254740991},
    {S("\xcb\xc3\x3f\xff\xff\xff\xff\xff\xff"), -9007199254740991},
};

START_TEST(every_encoding_of_an_integer_is_read)
{
    for (size_t i = 0; i < COUNT_OF(integers); i++) {
        struct hfp_cursor c = cursor_on(integers[i].bytes, integers[i].size);
        struct hfp_cursor u = c;
        int64_t value = 42;
        uint64_t natural = 42;
        ck_assert(hfp_read_int64(&c, &value));
        ck_assert_int_eq(value, integers[i].value);
        ck_assert_ptr_eq(c.at, c.end);
        ck_assert_int_eq(hfp_read_uint64(&u, &natural), integers[i].value >= 0);
        ck_assert_uint_eq(natural, integers[i].value >= 0 ? (uint64_t)integers[i].value : 42);
        cursor_free(c, integers[i].size);
    }
}
END_TEST

static const struct {
    const char *bytes;
    size_t size;
} not_integers[] = {
    {S("")},
    {S("\xc0")},
    {S("\xc1")},
    {S("\xc3")},
    {S("\xa1"
       "5")},
    {S("\xc4\x01"
       "5")},
    {S("\x91\x05")},
    {S("\x81\x05\x05")},
    {S("\xd4\x05\x05")},
    {S("\xca\x3f\x00\x00\x00")},                 /* 0.5 */
    {S("\xca\x7f\x80\x00\x00")},                 /* infinity */
    {S("\xca\x7f\xc0\x00\x00")},                 /* not a number */
    {S("\xca\x5a\x00\x00\x00")},                 /* 2^53 */
    {S("\xcb\x3f\xf8\x00\x00\x00\x00\x00\x00")}, /* 1.5 */
    {S("\xcb\x43\x40\x00\x00\x00\x00\x00\x00")}, /* 2^53 */
    {S("\xcb\xc3\x40\x00\x00\x00\x00\x00\x00")},
    {S("\xcb\x7f\xf0\x00\x00\x00\x00\x00\x00")},
    {S("\xcb\xff\xf8\x00\x00\x00\x00\x00\x00")},
    {S("\xcb\x00\x00\x00\x00\x00\x00\x00\x01")}, /* the smallest number above 0 */
};

START_TEST(what_is_no_integer_is_not_read_as_one)
{
    for (size_t i = 0; i < COUNT_OF(not_integers); i++) {
        struct hfp_cursor c = cursor_on(not_integers[i].bytes, not_integers[i].size);
        const uint8_t *before = c.at;
        uint64_t natural = 42;
        int64_t value = 42;
        ck_assert(!hfp_read_uint64(&c, &natural));
        ck_assert(!hfp_read_int64(&c, &value));
        ck_assert_ptr_eq(c.at, before);
        ck_assert_uint_eq(natural, 42);
        ck_assert_int_eq(value, 42);
        cursor_free(c, not_integers[i].size);
    }
}
END_TEST

START_TEST(numbers_out_of_the_range_asked_for_are_not_read)
{
    uint8_t bytes[HFP_HEAD_MAX];
    struct hfp_cursor c = {bytes, hfp_put_uint(bytes, (uint64_t)INT64_MAX + 1)};
    int64_t value;
    ck_assert(!hfp_read_int64(&c, &value));
    ck_assert_ptr_eq(c.at, bytes);
    c.end = hfp_put_int(bytes, -1);
    uint64_t natural;
    ck_assert(!hfp_read_uint64(&c, &natural));
    ck_assert_ptr_eq(c.at, bytes);
}
END_TEST

START_TEST(floats_are_written_and_read)
{
    static const double values[] = {0.0, -0.0, 1.5, -2.25, DBL_MAX, DBL_MIN, 1e300, INFINITY, -INFINITY};
    for (size_t i = 0; i < COUNT_OF(values); i++) {
        uint8_t bytes[HFP_HEAD_MAX];
        struct hfp_cursor c = {bytes, hfp_put_f64(bytes, values[i])};
        double back;
        ck_assert_uint_eq(hfp_left(&c), 9);
        ck_assert(hfp_read_f64(&c, &back));
        ck_assert_mem_eq(&back, &values[i], sizeof back);
    }
    static const uint8_t bytes[] = {0xca, 0xbf, 0xc0, 0x00, 0x00, 0xd0, 0x85};
    struct hfp_cursor both = {bytes, bytes + sizeof bytes};
    double value;
    ck_assert(hfp_read_f64(&both, &value));
    ck_assert_double_eq(value, -1.5);
    ck_assert(hfp_read_f64(&both, &value));
    ck_assert_double_eq(value, -123);
}
END_TEST

/* ---- str, bin, ext, containers ---- */

static const uint32_t lengths[] = {0, 1, 15, 16, 31, 32, 255, 256, 65535, 65536, 100000};

START_TEST(str_and_bin_are_written_as_msgpack_c_does_and_read_back)
{
    static uint8_t payload[100000], bytes[100005];
    memset(payload, 'x', sizeof payload);
    for (size_t i = 0; i < COUNT_OF(lengths); i++) {
        for (int bin = 0; bin <= 1; bin++) {
            uint8_t *end = (bin ? hfp_put_bin : hfp_put_str)(bytes, payload, lengths[i]);
            msgpack_sbuffer judge;
            msgpack_sbuffer_init(&judge);
            msgpack_packer packer;
            msgpack_packer_init(&packer, &judge, msgpack_sbuffer_write);
            (bin ? msgpack_pack_bin : msgpack_pack_str)(&packer, lengths[i]);
            (bin ? msgpack_pack_bin_body : msgpack_pack_str_body)(&packer, payload, lengths[i]);
            ck_bytes(bytes, (size_t)(end - bytes), judge.data, judge.size);
            msgpack_sbuffer_destroy(&judge);

            struct hfp_cursor c = {bytes, end};
            struct hfp_bytes back;
            ck_assert(hfp_read_bytes(&c, &back));
            ck_assert_ptr_eq(c.at, end);
            ck_assert_uint_eq(back.size, lengths[i]);
            ck_assert_ptr_eq(back.at, end - lengths[i]);
            ck_assert_int_eq(back.bin, bin);
        }
    }
}
END_TEST

START_TEST(container_heads_are_written_as_msgpack_c_does_and_read_back)
{
    static uint8_t bytes[200010];
    for (size_t i = 0; i < COUNT_OF(lengths); i++) {
        for (int map = 0; map <= 1; map++) {
            uint8_t *end = (map ? hfp_put_map_head : hfp_put_array_head)(bytes, lengths[i]);
            msgpack_sbuffer judge;
            msgpack_sbuffer_init(&judge);
            msgpack_packer packer;
            msgpack_packer_init(&packer, &judge, msgpack_sbuffer_write);
            (map ? msgpack_pack_map : msgpack_pack_array)(&packer, lengths[i]);
            ck_bytes(bytes, (size_t)(end - bytes), judge.data, judge.size);
            msgpack_sbuffer_destroy(&judge);

            uint32_t values = lengths[i] * (map ? 2 : 1);
            struct hfp_cursor c = {bytes, end + values};
            uint32_t count;
            ck_assert(!(map ? hfp_read_array : hfp_read_map)(&c, &count));
            ck_assert((map ? hfp_read_map : hfp_read_array)(&c, &count));
            ck_assert_uint_eq(count, lengths[i]);
            ck_assert_ptr_eq(c.at, end);
            /* One byte too few for what is declared. */
            c = (struct hfp_cursor){bytes, end + values - 1};
            ck_assert(!(map ? hfp_read_map : hfp_read_array)(&c, &count));
            ck_assert_ptr_eq(c.at, bytes);
        }
    }
}
END_TEST

/* One value of each first byte's kind, with its type and, for a container, how many values follow. */
static const struct {
    const char *bytes;
    size_t size;
    enum hfp_type type;
} values[] = {
    {S("\x00"), HFP_INT},
    {S("\x7f"), HFP_INT},
    {S("\x80"), HFP_MAP},
    {S("\x81\xa1k\x01"), HFP_MAP},
    {S("\x90"), HFP_ARRAY},
    {S("\x92\x01\x91\xc0"), HFP_ARRAY},
    {S("\xa0"), HFP_STR},
    {S("\xa3xyz"), HFP_STR},
    {S("\xc0"), HFP_NIL},
    {S("\xc2"), HFP_BOOL},
    {S("\xc3"), HFP_BOOL},
    {S("\xc4\x02xy"), HFP_BIN},
    {S("\xc5\x00\x02xy"), HFP_BIN},
    {S("\xc6\x00\x00\x00\x02xy"), HFP_BIN},
    {S("\xc7\x02\x05xy"), HFP_EXT},
    {S("\xc8\x00\x02\x05xy"), HFP_EXT},
    {S("\xc9\x00\x00\x00\x02\x05xy"), HFP_EXT},
    {S("\xca\x3f\x00\x00\x00"), HFP_FLOAT},
    {S("\xcb\x3f\xf8\x00\x00\x00\x00\x00\x00"), HFP_FLOAT},
    {S("\xcc\x80"), HFP_INT},
    {S("\xcd\x80\x00"), HFP_INT},
    {S("\xce\x80\x00\x00\x00"), HFP_INT},
    {S("\xcf\x80\x00\x00\x00\x00\x00\x00\x00"), HFP_INT},
    {S("\xd0\x80"), HFP_INT},
    {S("\xd1\x80\x00"), HFP_INT},
    {S("\xd2\x80\x00\x00\x00"), HFP_INT},
    {S("\xd3\x80\x00\x00\x00\x00\x00\x00\x00"), HFP_INT},
    {S("\xd4\x05x"), HFP_EXT},
    {S("\xd5\x05xx"), HFP_EXT},
    {S("\xd6\x05xxxx"), HFP_EXT},
    {S("\xd7\x05xxxxxxxx"), HFP_EXT},
    {S("\xd8\x05xxxxxxxxxxxxxxxx"), HFP_EXT},
    {S("\xd9\x02xy"), HFP_STR},
    {S("\xda\x00\x02xy"), HFP_STR},
    {S("\xdb\x00\x00\x00\x02xy"), HFP_STR},
    {S("\xdc\x00\x01\x05"), HFP_ARRAY},
    {S("\xdd\x00\x00\x00\x01\x05"), HFP_ARRAY},
    {S("\xde\x00\x01\x05\x06"), HFP_MAP},
    {S("\xdf\x00\x00\x00\x01\x05\x06"), HFP_MAP},
    {S("\xe0"), HFP_INT},
    {S("\xff"), HFP_INT},
};

/* True if the reader made for `type` takes what is at the cursor. */
static bool read_as(enum hfp_type type, struct hfp_cursor *c)
{
    struct hfp_bytes bytes;
    uint64_t natural;
    uint32_t count;
    double number;
    bool flag;
    int8_t ext;
    switch (type) {
    case HFP_NIL: return hfp_read_nil(c);
    case HFP_BOOL: return hfp_read_bool(c, &flag);
    case HFP_INT: return hfp_read_magnitude(c, &flag, &natural);
    case HFP_FLOAT: return hfp_read_f64(c, &number);
    case HFP_STR:
    case HFP_BIN: return hfp_read_bytes(c, &bytes) && bytes.bin == (type == HFP_BIN);
    case HFP_ARRAY: return hfp_read_array(c, &count);
    case HFP_MAP: return hfp_read_map(c, &count);
    case HFP_EXT: return hfp_read_ext(c, &ext, &bytes);
    case HFP_NONE: break;
    }
    return false;
}

START_TEST(each_value_has_one_type_and_is_read_as_no_other)
{
    for (size_t i = 0; i < COUNT_OF(values); i++) {
        struct hfp_cursor c = cursor_on(values[i].bytes, values[i].size);
        ck_assert_int_eq(hfp_peek_type(&c), values[i].type);
        for (int type = HFP_NIL; type <= HFP_EXT; type++) {
            struct hfp_cursor other = c;
            bool number =
                values[i].type == HFP_INT && type == HFP_FLOAT; /* any number may be asked for as one */
            ck_assert_int_eq(read_as((enum hfp_type)type, &other), type == (int)values[i].type || number);
        }
        cursor_free(c, values[i].size);
    }
}
END_TEST

START_TEST(each_value_is_skipped_whole_and_not_at_all_if_cut)
{
    for (size_t i = 0; i < COUNT_OF(values); i++) {
        for (size_t size = 0; size <= values[i].size; size++) {
            struct hfp_cursor c = cursor_on(values[i].bytes, size);
            const uint8_t *before = c.at;
            bool whole = size == values[i].size;
            ck_assert_int_eq(hfp_skip(&c), whole);
            ck_assert_ptr_eq(c.at, whole ? c.end : before);
            cursor_free(c, size);
        }
    }
}
END_TEST

START_TEST(values_cut_short_are_not_read)
{
    for (size_t i = 0; i < COUNT_OF(values); i++) {
        for (size_t size = 0; size < values[i].size; size++) {
            struct hfp_cursor c = cursor_on(values[i].bytes, size);
            const uint8_t *before = c.at;
            ck_assert(!read_as(values[i].type, &c) || values[i].type == HFP_ARRAY ||
                      values[i].type == HFP_MAP);
            if (c.at == before)
                ck_assert(!hfp_skip(&c));
            cursor_free(c, size);
        }
    }
}
END_TEST

START_TEST(first_bytes_of_all_256_values_have_their_type)
{
    size_t found[HFP_EXT + 1] = {0};
    for (unsigned b = 0; b < 256; b++) {
        uint8_t byte = (uint8_t)b;
        struct hfp_cursor c = {&byte, &byte + 1};
        found[hfp_peek_type(&c)]++;
    }
    /* As the specification counts them. */
    ck_assert_uint_eq(found[HFP_NONE], 1);
    ck_assert_uint_eq(found[HFP_NIL], 1);
    ck_assert_uint_eq(found[HFP_BOOL], 2);
    ck_assert_uint_eq(found[HFP_INT], 128 + 32 + 8);
    ck_assert_uint_eq(found[HFP_FLOAT], 2);
    ck_assert_uint_eq(found[HFP_STR], 32 + 3);
    ck_assert_uint_eq(found[HFP_BIN], 3);
    ck_assert_uint_eq(found[HFP_ARRAY], 16 + 2);
    ck_assert_uint_eq(found[HFP_MAP], 16 + 2);
    ck_assert_uint_eq(found[HFP_EXT], 8);
}
END_TEST

START_TEST(nil_and_bool_are_written_and_read)
{
    uint8_t bytes[3];
    uint8_t *end = hfp_put_bool(hfp_put_bool(hfp_put_nil(bytes), true), false);
    ck_bytes(bytes, (size_t)(end - bytes), "\xc0\xc3\xc2", 3);
    struct hfp_cursor c = {bytes, end};
    bool yes, no;
    ck_assert(hfp_read_nil(&c) && hfp_read_bool(&c, &yes) && hfp_read_bool(&c, &no));
    ck_assert(yes && !no);
    ck_assert(!hfp_read_nil(&c) && !hfp_read_bool(&c, &yes));
}
END_TEST

START_TEST(deep_nesting_is_skipped_without_recursion)
{
    enum { DEPTH = 1 << 20 };
    uint8_t *bytes = malloc(DEPTH + 1);
    memset(bytes, 0x91, DEPTH);
    bytes[DEPTH] = 0xc0;
    struct hfp_cursor c = {bytes, bytes + DEPTH + 1};
    ck_assert(hfp_skip(&c));
    ck_assert_ptr_eq(c.at, c.end);
    free(bytes);
}
END_TEST

START_TEST(random_bytes_never_lead_a_reader_astray)
{
    struct random r = {.state = 7};
    for (int round = 0; round < 50000; round++) {
        uint8_t bytes[24];
        size_t size = (size_t)random_below(&r, sizeof bytes + 1);
        for (size_t i = 0; i < size; i++)
            bytes[i] =
                random_once_in(&r, 2) ? (uint8_t)random_between(&r, 0x80, 0xdf) : (uint8_t)random_next(&r);
        struct hfp_cursor c = cursor_on(bytes, size);
        for (int type = HFP_NIL; type <= HFP_EXT; type++) {
            struct hfp_cursor walk = c;
            read_as((enum hfp_type)type, &walk);
            ck_assert(walk.at >= c.at && walk.at <= c.end);
        }
        struct hfp_cursor walk = c;
        ck_assert_int_eq(hfp_skip(&walk), walk.at > c.at);
        ck_assert(walk.at <= c.end);
        cursor_free(c, size);
    }
}
END_TEST

START_TEST(bytes_are_compared_whole)
{
    struct hfp_bytes tag = {.at = (const uint8_t *)"tag", .size = 3};
    ck_assert(hfp_bytes_are(tag, "tag"));
    ck_assert(!hfp_bytes_are(tag, "ta"));
    ck_assert(!hfp_bytes_are(tag, "tags"));
    ck_assert(!hfp_bytes_are(tag, "tax"));
}
END_TEST

/* ---- envelopes ---- */

START_TEST(reply_head_is_what_strict_clients_read)
{
    uint8_t bytes[HFP_REPLY_HEAD_MAX];
    ck_bytes(bytes, (size_t)(hfp_put_reply_head(bytes, 0) - bytes), "\x94\x01\x00\xc0", 4);
    ck_bytes(bytes, (size_t)(hfp_put_reply_head(bytes, UINT32_MAX) - bytes),
             "\x94\x01\xce\xff\xff\xff\xff\xc0", 8);
}
END_TEST

START_TEST(request_notification_and_event_are_written)
{
    uint8_t bytes[64];
    ck_bytes(bytes, (size_t)(hfp_put_request_head(bytes, 7, "ping", 4, 0) - bytes),
             S("\x94\x00\x07\xa4ping\x90"));
    ck_bytes(bytes, (size_t)(hfp_put_notification_head(bytes, "put", 3, 2) - bytes),
             S("\x93\x02\xa3put\x92"));
    ck_bytes(bytes, (size_t)(hfp_put_event_head(bytes, 300, "freed", 5) - bytes),
             S("\x93\x02\xa5"
               "event\x93\xcd\x01\x2c\xa5"
               "freed"));
}
END_TEST

START_TEST(longest_heads_fit_their_bounds)
{
    static char name[70000];
    static uint8_t bytes[70100];
    size_t size = sizeof name;
    ck_assert_uint_le(
        (size_t)(hfp_put_request_head(bytes, UINT32_MAX, name, (uint32_t)size, UINT32_MAX) - bytes),
        HFP_CALL_HEAD_MAX + size);
    ck_assert_uint_le((size_t)(hfp_put_notification_head(bytes, name, (uint32_t)size, UINT32_MAX) - bytes),
                      HFP_CALL_HEAD_MAX + size);
    ck_assert_uint_le((size_t)(hfp_put_event_head(bytes, UINT64_MAX, name, (uint32_t)size) - bytes),
                      HFP_EVENT_HEAD_MAX + size);
    ck_assert_uint_le((size_t)(hfp_put_error(bytes, UINT32_MAX, name, size) - bytes), HFP_ERROR_MAX);
}
END_TEST

START_TEST(error_response_is_a_str_at_every_length)
{
    static char text[HFP_ERROR_TEXT_MAX + 10];
    memset(text, 'x', sizeof text);
    for (size_t size = 1; size <= sizeof text; size++) {
        uint8_t bytes[HFP_ERROR_MAX];
        uint8_t *end = hfp_put_error(bytes, 5, text, size);
        ck_assert_mem_eq(bytes, "\x94\x01\x05", 3);
        struct hfp_cursor c = {bytes + 3, end};
        struct hfp_bytes error;
        ck_assert(hfp_read_bytes(&c, &error));
        ck_assert(!error.bin);
        ck_assert_uint_eq(error.size, size < HFP_ERROR_TEXT_MAX ? size : HFP_ERROR_TEXT_MAX);
        ck_assert(hfp_read_nil(&c));
        ck_assert_ptr_eq(c.at, end);
    }
}
END_TEST

START_TEST(error_response_is_never_empty)
{
    uint8_t bytes[HFP_ERROR_MAX];
    uint8_t *end = hfp_put_error(bytes, 0, "", 0);
    struct hfp_cursor c = {bytes + 3, end};
    struct hfp_bytes error;
    ck_assert(hfp_read_bytes(&c, &error));
    ck_assert_uint_gt(error.size, 8);
    ck_assert_mem_eq(error.at, "INTERNAL", 8);
}
END_TEST

/* ---- errors ---- */

START_TEST(codes_have_words_and_sentences)
{
    for (int code = 1; code < HF_E_COUNT; code++) {
        const char *name = hfp_err_name(code);
        ck_assert_str_eq(hfp_err_name(-code), name);
        ck_assert_str_ne(hfp_err_text(-code), "");
        ck_assert_int_eq(hfp_err_find(name, strlen(name)), code);
        ck_assert_int_eq(hfp_err_find(name, strlen(name) - 1), 0);
    }
    ck_assert_str_eq(hfp_err_name(-HF_E_GONE), "GONE");
    ck_assert_str_eq(hfp_err_name(0), "OK");
    ck_assert_str_eq(hfp_err_text(0), "");
    ck_assert_str_eq(hfp_err_name(HF_E_COUNT), "INTERNAL");
    ck_assert_str_eq(hfp_err_name(INT32_MIN), "INTERNAL");
    ck_assert_int_eq(hfp_err_find("OK", 2), 0);
    ck_assert_int_eq(hfp_err_find("", 0), 0);
}
END_TEST

START_TEST(error_text_has_code_keys_and_text)
{
    char text[HFP_ERROR_TEXT_MAX + 1];
    ck_assert_uint_eq(hfp_error_format(text, sizeof text, -HF_E_GONE, NULL, "%s", "drop it"), 13);
    ck_assert_str_eq(text, "GONE: drop it");
    hfp_error_format(text, sizeof text, HF_E_GONE, "index=3", "object %d", 5);
    ck_assert_str_eq(text, "GONE index=3: object 5");
    size_t size = hfp_error_format(text, sizeof text, -HF_E_NOTHELD, "", NULL);
    ck_assert_uint_eq(strncmp(text, "NOTHELD: ", 9), 0);
    ck_assert_str_eq(text + 9, hfp_err_text(HF_E_NOTHELD));
    ck_assert_uint_eq(size, strlen(text));
}
END_TEST

START_TEST(error_text_is_printable_utf8_whatever_it_quotes)
{
    static const struct {
        const char *quoted, *shown;
    } cases[] = {
        {"plain", "plain"},
        {"a\nb\tc\x7f", "a?b?c?"},
        {"gr\xc3\xbc\xc3\x9f", "gr\xc3\xbc\xc3\x9f"},
        {"\xe2\x82\xac \xf0\x9f\x98\x80.", "\xe2\x82\xac \xf0\x9f\x98\x80."},
        {"\xc2\x85.", "??."},           /* a control character */
        {"\xc0\xaf.", "??."},           /* overlong */
        {"\xe0\x80\xaf.", "???."},      /* overlong */
        {"\xed\xa0\x80.", "???."},      /* half of a surrogate pair */
        {"\xf4\x90\x80\x80.", "????."}, /* above U+10FFFF */
        {"\xff\xfe.", "??."},
        {"\xe2\x82", "??"}, /* ends in the middle */
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char text[HFP_ERROR_TEXT_MAX + 1];
        hfp_error_format(text, sizeof text, HF_E_BADARG, NULL, "%s", cases[i].quoted);
        ck_assert_str_eq(text + strlen("BADARG: "), cases[i].shown);
    }
}
END_TEST

START_TEST(error_text_is_cut_where_a_character_ends)
{
    char *room = malloc(64);
    for (size_t size = 32; size <= 64; size++) {
        size_t n = hfp_error_format(
            room, size, HF_E_GONE, NULL, "%s",
            "\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac"
            "\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac"
            "\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac");
        size_t fits = (size - 1 - 6) / 3; /* "GONE: " */
        ck_assert_uint_eq(n, 6 + 3 * (fits < 19 ? fits : 19));
        ck_assert_uint_eq(strlen(room), n);
        ck_assert_ptr_null(strchr(room, '?'));
    }
    free(room);
}
END_TEST

static struct hfp_error parse(const char *text)
{
    struct hfp_error error;
    hfp_error_parse(text, strlen(text), &error);
    return error;
}

static void ck_part(const char *at, size_t size, const char *expected)
{
    ck_assert_uint_eq(size, strlen(expected));
    ck_assert_mem_eq(at, expected, size);
}

START_TEST(error_text_is_taken_apart)
{
    static const struct {
        const char *text;
        int code;
        const char *word, *keys, *rest;
    } cases[] = {
        {"GONE: the object has died", HF_E_GONE, "GONE", "", "the object has died"},
        {"GONE index=3 id=12: it: has died", HF_E_GONE, "GONE", "index=3 id=12", "it: has died"},
        {"OOM at=unix:/x: full", HF_E_OOM, "OOM", "at=unix:/x", "full"},
        {"GONE", HF_E_GONE, "GONE", "", ""},
        {"GONE:", HF_E_GONE, "GONE", "", ""},
        {"FUTURE x=1: of a later version", 0, "FUTURE", "x=1", "of a later version"},
        {"something went wrong", 0, "", "", "something went wrong"},
        {"Error: no", 0, "", "", "Error: no"},
        {"ERR no such key", 0, "", "", "ERR no such key"},
        {"", 0, "", "", ""},
        {": text", 0, "", "", ": text"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct hfp_error error = parse(cases[i].text);
        ck_assert_int_eq(error.code, cases[i].code);
        ck_part(error.word, error.word_size, cases[i].word);
        ck_part(error.keys, error.keys_size, cases[i].keys);
        ck_part(error.text, error.text_size, cases[i].rest);
    }
}
END_TEST

START_TEST(error_keys_are_found)
{
    struct hfp_error error =
        parse("OOM index=17 in= free=18446744073709551615 far=18446744073709551616 who=me: x=1");
    const char *at;
    size_t size;
    uint64_t number = 5;
    ck_assert(hfp_error_key(&error, "who", &at, &size));
    ck_part(at, size, "me");
    ck_assert(hfp_error_key(&error, "in", &at, &size));
    ck_assert_uint_eq(size, 0);
    ck_assert(!hfp_error_key(&error, "x", &at, &size));
    ck_assert(!hfp_error_key(&error, "inde", &at, &size));
    ck_assert(!hfp_error_key_uint(&error, "in", &number));
    ck_assert(!hfp_error_key_uint(&error, "who", &number));
    ck_assert(!hfp_error_key_uint(&error, "far", &number));
    ck_assert_uint_eq(number, 5);
    ck_assert(hfp_error_key_uint(&error, "index", &number));
    ck_assert_uint_eq(number, 17);
    ck_assert(hfp_error_key_uint(&error, "free", &number));
    ck_assert_uint_eq(number, UINT64_MAX);
}
END_TEST

START_TEST(what_is_formatted_is_parsed_back)
{
    for (int code = 1; code < HF_E_COUNT; code++) {
        char text[HFP_ERROR_TEXT_MAX + 1];
        size_t size = hfp_error_format(text, sizeof text, -code, "index=9", NULL);
        struct hfp_error error;
        uint64_t index;
        hfp_error_parse(text, size, &error);
        ck_assert_int_eq(error.code, code);
        ck_assert(hfp_error_key_uint(&error, "index", &index));
        ck_assert_uint_eq(index, 9);
        ck_part(error.text, error.text_size, hfp_err_text(code));
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pack");
    TCase *numbers = suite_case(suite, "numbers", NULL, NULL);
    tcase_add_test(numbers, unsigned_is_written_as_msgpack_c_does_and_read_back);
    tcase_add_test(numbers, signed_is_written_as_msgpack_c_does_and_read_back);
    tcase_add_test(numbers, every_encoding_of_an_integer_is_read);
    tcase_add_test(numbers, what_is_no_integer_is_not_read_as_one);
    tcase_add_test(numbers, numbers_out_of_the_range_asked_for_are_not_read);
    tcase_add_test(numbers, floats_are_written_and_read);
    TCase *others = suite_case(suite, "other values", NULL, NULL);
    tcase_add_test(others, str_and_bin_are_written_as_msgpack_c_does_and_read_back);
    tcase_add_test(others, container_heads_are_written_as_msgpack_c_does_and_read_back);
    tcase_add_test(others, each_value_has_one_type_and_is_read_as_no_other);
    tcase_add_test(others, each_value_is_skipped_whole_and_not_at_all_if_cut);
    tcase_add_test(others, values_cut_short_are_not_read);
    tcase_add_test(others, first_bytes_of_all_256_values_have_their_type);
    tcase_add_test(others, nil_and_bool_are_written_and_read);
    tcase_add_test(others, deep_nesting_is_skipped_without_recursion);
    tcase_add_test(others, random_bytes_never_lead_a_reader_astray);
    tcase_add_test(others, bytes_are_compared_whole);
    TCase *envelopes = suite_case(suite, "envelopes", NULL, NULL);
    tcase_add_test(envelopes, reply_head_is_what_strict_clients_read);
    tcase_add_test(envelopes, request_notification_and_event_are_written);
    tcase_add_test(envelopes, longest_heads_fit_their_bounds);
    tcase_add_test(envelopes, error_response_is_a_str_at_every_length);
    tcase_add_test(envelopes, error_response_is_never_empty);
    TCase *errors = suite_case(suite, "errors", NULL, NULL);
    tcase_add_test(errors, codes_have_words_and_sentences);
    tcase_add_test(errors, error_text_has_code_keys_and_text);
    tcase_add_test(errors, error_text_is_printable_utf8_whatever_it_quotes);
    tcase_add_test(errors, error_text_is_cut_where_a_character_ends);
    tcase_add_test(errors, error_text_is_taken_apart);
    tcase_add_test(errors, error_keys_are_found);
    tcase_add_test(errors, what_is_formatted_is_parsed_back);
    return suite_run(suite);
}
