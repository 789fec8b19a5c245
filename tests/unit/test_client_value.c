/* SPDX-License-Identifier: BSD-3-Clause */
/* JSON to MessagePack and back, tables, reading of items. */
#include "client/cli/print.h"
#include "client/cli/value.h"
#include "tests/lib/suite.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static msgpack_sbuffer packed;
static char problem[160];
static char *text;
static size_t text_size;

static void setup(void)
{
    msgpack_sbuffer_init(&packed);
}

static void teardown(void)
{
    msgpack_sbuffer_destroy(&packed);
    free(text);
    text = NULL;
}

static hf_item item(void)
{
    return (hf_item){(const unsigned char *)packed.data, packed.size};
}

/* The JSON of an item, in `text`. */
static const char *json_of(hf_item of)
{
    free(text);
    FILE *out = open_memstream(&text, &text_size);
    ck_assert_ptr_nonnull(out);
    cli_print_json(out, of);
    fclose(out);
    return text;
}

static hf_item bytes_item(const char *bytes, size_t size)
{
    return (hf_item){(const unsigned char *)bytes, size};
}

/* ---- JSON in ---- */

static const struct {
    const char *json, *packed;
    size_t size;
} forms[] = {
    {"null", "\xc0", 1},
    {"true", "\xc3", 1},
    {"0", "\x00", 1},
    {"-33", "\xd0\xdf", 2},
    {"9007199254740991", "\xcf\x00\x1f\xff\xff\xff\xff\xff\xff", 9},
    {"-9223372036854775808", "\xd3\x80\x00\x00\x00\x00\x00\x00\x00", 9},
    {"1.5", "\xcb\x3f\xf8\x00\x00\x00\x00\x00\x00", 9},
    {"\"\"", "\xa0", 1},
    {"\"a\\u0000b\"",
     "\xa3"
     "a\0b",
     4},
    {"[]", "\x90", 1},
    {"{}", "\x80", 1},
    {"[1,[2,{\"a\":[]}],3]",
     "\x93\x01\x92\x02\x81\xa1"
     "a\x90\x03",
     9},
    {"{\"$bin\":\"AAEC/w==\"}", "\xc4\x04\x00\x01\x02\xff", 6},
    {"{\"$bin\":\"\"}", "\xc4\x00", 2},
    {"{\"$str\":\"/w==\"}", "\xa1\xff", 2},
    {"{\"$ext\":[5,\"AQ==\"]}", "\xd4\x05\x01", 3},
    {"{\"$bin\":\"AA==\",\"b\":1}",
     "\x82\xa4$bin\xa4"
     "AA==\xa1"
     "b\x01",
     14},
};
#define FORMS ((int)(sizeof forms / sizeof forms[0]))

START_TEST(json_becomes_messagepack_and_back)
{
    ck_assert_ptr_null(cli_json_pack(forms[_i].json, strlen(forms[_i].json), &packed, problem));
    ck_assert_uint_eq(packed.size, forms[_i].size);
    ck_assert_mem_eq(packed.data, forms[_i].packed, forms[_i].size);
    ck_assert_str_eq(json_of(item()), forms[_i].json);
}
END_TEST

static const char *const wrong[] = {
    "",
    "nul",
    "[1,]",
    "{\"a\":1,\"a\":2}",
    "1 2",
    "'a'",
    "\"\xff\"",
    "18446744073709551616",
    "{\"$bin\":\"A\"}",
    "{\"$bin\":\"A===\"}",
    "{\"$bin\":\"AA=A\"}",
    "{\"$bin\":5}",
    "{\"$ext\":[200,\"AA==\"]}",
    "{\"$ext\":[1]}",
    "{\"$ext\":[1,\"?\"]}",
};

START_TEST(wrong_json_is_told)
{
    ck_assert_ptr_nonnull(cli_json_pack(wrong[_i], strlen(wrong[_i]), &packed, problem));
}
END_TEST

START_TEST(nesting_has_a_limit_and_needs_no_recursion)
{
    char deep[300];
    memset(deep, '[', 64);
    memset(deep + 64, ']', 64);
    ck_assert_ptr_null(cli_json_pack(deep, 128, &packed, problem));
    json_of(item());
    ck_assert_uint_eq(text_size, 128);
    memset(deep, '[', 65);
    memset(deep + 65, ']', 65);
    ck_assert_ptr_nonnull(cli_json_pack(deep, 130, &packed, problem));
}
END_TEST

/* ---- JSON out ---- */

START_TEST(what_json_cannot_say_has_its_forms)
{
    ck_assert_str_eq(json_of(bytes_item("\xcf\xff\xff\xff\xff\xff\xff\xff\xff", 9)), "18446744073709551615");
    ck_assert_str_eq(json_of(bytes_item("\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00", 9)), "null");
    ck_assert_str_eq(json_of(bytes_item("\xca\x40\x00\x00\x00", 5)), "2.0");
    ck_assert_str_eq(json_of(bytes_item("\xcb\x3f\xb9\x99\x99\x99\x99\x99\x9a", 9)), "0.1");
    ck_assert_str_eq(json_of(bytes_item("\xa3\xed\xa0\x80", 4)), "{\"$str\":\"7aCA\"}");
    ck_assert_str_eq(json_of(bytes_item("\x82\x01\x02\xc0\xc3", 5)), "{\"1\":2,\"null\":true}");
    ck_assert_str_eq(json_of(bytes_item("\xa4\x01\"\\\n", 5)), "\"\\u0001\\\"\\\\\\n\"");
}
END_TEST

START_TEST(a_cut_item_prints_without_reading_beyond)
{
    static const char whole[] = "\x93\x01\xa5hello\x81\xa1"
                                "a\xcb\x3f\xf8\x00\x00\x00\x00\x00\x00";
    for (size_t size = 0; size < sizeof whole; size++) {
        char *exact = malloc(size + 1);
        memcpy(exact, whole, size);
        char *moved = realloc(exact, size == 0 ? 1 : size); /* so that a sanitizer sees a byte too much */
        json_of(bytes_item(moved, size));
        free(moved);
    }
}
END_TEST

/* ---- Terminals and tables ---- */

START_TEST(control_characters_do_not_reach_a_terminal)
{
    FILE *out = open_memstream(&text, &text_size);
    cli_print_safe(out, "a\x1b[31m\nb\xc2\x9b\xff\xc3\xa9", 13);
    fclose(out);
    ck_assert_str_eq(text, "a\\x1b[31m\nb\\xc2\\x9b\\xff\xc3\xa9");
}
END_TEST

START_TEST(sizes_and_times_are_readable)
{
    char to[16];
    ck_assert_str_eq(cli_format_size(0, to), "0 B");
    ck_assert_str_eq(cli_format_size(1023, to), "1023 B");
    ck_assert_str_eq(cli_format_size(1024, to), "1.0 KiB");
    ck_assert_str_eq(cli_format_size(1048575, to), "1.0 MiB");
    ck_assert_str_eq(cli_format_size(UINT64_MAX, to), "16.0 EiB");
    ck_assert_str_eq(cli_format_time(999, to), "999 ms");
    ck_assert_str_eq(cli_format_time(59999, to), "59.9 s");
    ck_assert_str_eq(cli_format_time(61000, to), "1 min 1 s");
    ck_assert_str_eq(cli_format_time(7200000, to), "2 h 0 min");
    ck_assert_str_eq(cli_format_time(90000000, to), "1 d 1 h");
    ck_assert_uint_lt(strlen(cli_format_time(UINT64_MAX, to)), 16);
}
END_TEST

START_TEST(a_table_has_a_column_for_each_key_of_any_row)
{
    const char *rows =
        "[{\"kind\":\"session\",\"sid\":12,\"since_ms\":1500},{\"kind\":\"name\",\"name\":\"x\",\"sid\":3}]";
    ck_assert_ptr_null(cli_json_pack(rows, strlen(rows), &packed, problem));
    FILE *out = open_memstream(&text, &text_size);
    ck_assert(cli_print_table(out, item(), false));
    fclose(out);
    ck_assert_str_eq(text, "KIND     SID  SINCE  NAME\n"
                           "session   12  1.5 s  -\n"
                           "name       3      -  x\n");
}
END_TEST

START_TEST(a_map_prints_as_aligned_lines)
{
    const char *map = "{\"a\":1,\"memory\":{\"used\":2048,\"x\":{\"y\":true}},\"list\":[1,2]}";
    ck_assert_ptr_null(cli_json_pack(map, strlen(map), &packed, problem));
    FILE *out = open_memstream(&text, &text_size);
    cli_print_map(out, item());
    fclose(out);
    ck_assert_str_eq(text, "a            1\n"
                           "memory.used  2.0 KiB\n"
                           "memory.x.y   true\n"
                           "list         [1,2]\n");
}
END_TEST

/* ---- Items ---- */

START_TEST(items_are_read_by_type_and_missing_ones_by_none)
{
    const char *json = "{\"i\":-5,\"u\":7,\"t\":true,\"f\":1.5,\"s\":\"x\",\"a\":[1,null,3],\"n\":null}";
    int64_t i = 0;
    uint64_t u = 0;
    bool t = false;
    double f = 0;
    hf_id ids[3];
    ck_assert_ptr_null(cli_json_pack(json, strlen(json), &packed, problem));
    ck_assert_uint_eq(hf_item_count(item()), 7);
    ck_assert(hf_item_int(hf_item_get(item(), "i"), &i) && i == -5);
    ck_assert(!hf_item_uint(hf_item_get(item(), "i"), &u));
    ck_assert(hf_item_uint(hf_item_get(item(), "u"), &u) && u == 7);
    ck_assert(hf_item_bool(hf_item_get(item(), "t"), &t) && t);
    ck_assert(hf_item_float(hf_item_get(item(), "f"), &f) && f == 1.5);
    ck_assert(!hf_item_int(hf_item_get(item(), "f"), &i));
    ck_assert_int_eq(hf_item_type(hf_item_get(item(), "n")), HF_TYPE_NIL);
    ck_assert_int_eq(hf_item_type(hf_item_get(item(), "missing")), HF_TYPE_NONE);
    ck_assert_int_eq(hf_item_type(hf_item_at(item(), 0)), HF_TYPE_NONE);
    ck_assert_uint_eq(hf_item_ids(hf_item_get(item(), "a"), ids, 3), 3);
    ck_assert(ids[0] == 1 && ids[1] == 0 && ids[2] == 3);
    ck_assert_uint_eq(hf_item_ids(hf_item_get(item(), "a"), ids, 1), 3);
    ck_assert_int_eq(hf_item_type(hf_item_at(hf_item_get(item(), "a"), 3)), HF_TYPE_NONE);
    ck_assert_int_eq(hf_item_type(hf_reply_item(NULL)), HF_TYPE_NONE);
    ck_assert(!hf_item_int((hf_item){0}, &i));
}
END_TEST

/* ---- Sources ---- */

START_TEST(sources_are_text_or_files)
{
    struct cli_bytes bytes;
    char path[] = "/tmp/hf-test-XXXXXX";
    char source[40];
    int fd = mkstemp(path);
    FILE *file = fdopen(fd, "w");
    ck_assert_ptr_nonnull(file);
    for (int i = 0; i < 100000; i++)
        fputc(i % 251, file);
    fclose(file);
    snprintf(source, sizeof source, "@%s", path);
    ck_assert_ptr_null(cli_read_source(source, &bytes));
    ck_assert_uint_eq(bytes.size, 100000);
    ck_assert_int_eq((unsigned char)bytes.data[99999], 99999 % 251);
    free(bytes.data);
    ck_assert_ptr_null(cli_read_source("@@x", &bytes));
    ck_assert_str_eq(bytes.data, "@x");
    free(bytes.data);
    ck_assert_ptr_null(cli_read_source("", &bytes));
    ck_assert_uint_eq(bytes.size, 0);
    free(bytes.data);
    unlink(path);
    ck_assert_ptr_nonnull(cli_read_source(source, &bytes));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("client value");
    TCase *in = suite_case(suite, "json in", setup, teardown);
    tcase_add_loop_test(in, json_becomes_messagepack_and_back, 0, FORMS);
    tcase_add_loop_test(in, wrong_json_is_told, 0, (int)(sizeof wrong / sizeof wrong[0]));
    tcase_add_test(in, nesting_has_a_limit_and_needs_no_recursion);
    TCase *out = suite_case(suite, "json out", setup, teardown);
    tcase_add_test(out, what_json_cannot_say_has_its_forms);
    tcase_add_test(out, a_cut_item_prints_without_reading_beyond);
    TCase *print = suite_case(suite, "print", setup, teardown);
    tcase_add_test(print, control_characters_do_not_reach_a_terminal);
    tcase_add_test(print, sizes_and_times_are_readable);
    tcase_add_test(print, a_table_has_a_column_for_each_key_of_any_row);
    tcase_add_test(print, a_map_prints_as_aligned_lines);
    TCase *items = suite_case(suite, "items", setup, teardown);
    tcase_add_test(items, items_are_read_by_type_and_missing_ones_by_none);
    tcase_add_test(items, sources_are_text_or_files);
    return suite_run(suite);
}
