/* SPDX-License-Identifier: BSD-3-Clause */
/* daemon/server/brief.h: arguments as a short line. */
#include "daemon/server/brief.h"
#include "proto/limits.h"
#include "proto/rpc.h"
#include "tests/lib/suite.h"

#include <string.h>

static uint8_t bytes[4096], *end;
static char line[BRIEF_MAX];

static void nothing(void)
{
}

static void begin(const char *method, uint32_t params)
{
    end = hfp_put_request_head(bytes, 1, method, (uint32_t)strlen(method), params);
}

static const char *shown(void)
{
    struct hfp_scan scan = {0};
    const struct hfp_scan_limits limits = {.frame_max = HF_FRAME_MAX, .depth_max = HF_DEPTH_MAX};
    struct hfp_frame frame;
    ck_assert_int_eq(hfp_scan(&scan, &limits, bytes, (size_t)(end - bytes), &frame), HFP_FRAME);
    memset(line, 'x', sizeof line);
    brief_params(line, hfp_method_find(bytes + frame.method_at, frame.method_size), bytes, &frame);
    ck_assert_ptr_nonnull(memchr(line, '\0', sizeof line));
    return line;
}

START_TEST(nothing_at_all)
{
    begin("ping", 0);
    ck_assert_str_eq(shown(), "");
}
END_TEST

START_TEST(values_of_all_types)
{
    begin("get", 7);
    end = hfp_put_uint(end, 4294967296005);
    end = hfp_put_int(end, -3);
    end = hfp_put_nil(end);
    end = hfp_put_bool(end, true);
    end = hfp_put_f64(end, 1.5);
    end = hfp_put_text(end, "main.c:7");
    end = hfp_put_bin(end, "\1\2", 2);
    ck_assert_str_eq(shown(), "4294967296005, -3, nil, true, 1.5, \"main.c:7\", <2 bytes>");
}
END_TEST

START_TEST(containers)
{
    begin("refs", 3);
    end = hfp_put_array_head(end, 5);
    for (unsigned i = 0; i < 5; i++)
        end = hfp_put_uint(end, i);
    end = hfp_put_map_head(end, 2);
    end = hfp_put_text(end, "tag");
    end = hfp_put_text(end, "a b");
    end = hfp_put_text(end, "n");
    end = hfp_put_array_head(end, 1);
    end = hfp_put_uint(end, 9);
    end = hfp_put_array_head(end, 2);
    end = hfp_put_map_head(end, 0);
    end = hfp_put_uint(end, 9);
    ck_assert_str_eq(shown(), "[0, 1, 2, 3, ...], {tag: \"a b\", n: [1]}, [{0}, ...]");
}
END_TEST

/* What objects have as values, and secrets, are told by their size. */
START_TEST(what_is_not_shown)
{
    begin("store", 2);
    end = hfp_put_text(end, "name");
    end = hfp_put_text(end, "private");
    ck_assert_str_eq(shown(), "\"name\", <7 bytes>");
    begin("put", 2);
    end = hfp_put_text(end, "private");
    end = hfp_put_map_head(end, 1);
    end = hfp_put_text(end, "site");
    end = hfp_put_text(end, "here");
    ck_assert_str_eq(shown(), "<7 bytes>, {site: \"here\"}");
    begin("set", 2);
    end = hfp_put_uint(end, 5);
    end = hfp_put_uint(end, 65536);
    ck_assert_str_eq(shown(), "5, <5 bytes>");
    begin("hello", 1);
    end = hfp_put_map_head(end, 1);
    end = hfp_put_text(end, "session");
    end = hfp_put_text(end, "0123456789abcdef");
    ck_assert_str_eq(shown(), "{session: <16 bytes>}");
    begin("claim", 1);
    end = hfp_put_text(end, "0123456789abcdef");
    ck_assert_str_eq(shown(), "<16 bytes>");
}
END_TEST

START_TEST(what_is_no_text)
{
    begin("lookup", 2);
    end = hfp_put_text(end, "\xff");
    end = hfp_put_text(end, "a\nb");
    ck_assert_str_eq(shown(), "<1 bytes>, <3 bytes>");
}
END_TEST

START_TEST(what_is_long_is_cut)
{
    char text[200];
    memset(text, 'a', sizeof text);
    begin("lookup", 2);
    end = hfp_put_str(end, text, sizeof text);
    memcpy(text + 38, "\xe2\x82\xac", 3); /* a character across the cut */
    end = hfp_put_str(end, text, sizeof text);
    ck_assert_str_eq(shown(), "\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"..., "
                              "\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"...");
    begin("lookup", 6);
    for (unsigned i = 0; i < 6; i++)
        end = hfp_put_str(end, text, 38);
    shown();
    ck_assert_uint_lt(strlen(line), BRIEF_MAX);
    ck_assert_str_eq(line + strlen(line) - 3, "...");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("brief");
    TCase *tcase = suite_case(suite, "brief", nothing, nothing);
    tcase_add_test(tcase, nothing_at_all);
    tcase_add_test(tcase, values_of_all_types);
    tcase_add_test(tcase, containers);
    tcase_add_test(tcase, what_is_not_shown);
    tcase_add_test(tcase, what_is_no_text);
    tcase_add_test(tcase, what_is_long_is_cut);
    return suite_run(suite);
}
