/* SPDX-License-Identifier: BSD-3-Clause */
/* daemon/server/value.h: headers are stripped and rebuilt byte for byte. */
#include "daemon/server/value.h"
#include "tests/lib/checks.h"

#include <stdlib.h>
#include <string.h>

struct sample {
    const char *bytes;
    unsigned size;
    enum form form;
    const char *type;
};

#define S(text) (text), sizeof(text) - 1

/* One of every kind of first byte, with shorter lengths than a header could hold where there is a choice. */
static const struct sample samples[] = {
    {S("\x00"), FORM_RAW, "int"},
    {S("\x7f"), FORM_RAW, "int"},
    {S("\x80"), FORM_RAW, "map"},
    {S("\x81\x01\xa1x"), FORM_RAW, "map"},
    {S("\x90"), FORM_RAW, "array"},
    {S("\x92\xa1x\xc4\x01y"), FORM_RAW, "array"},
    {S("\xa0"), FORM_FIXSTR, "str"},
    {S("\xa3"
       "abc"),
     FORM_FIXSTR, "str"},
    {S("\xa2\xff\xfe"), FORM_FIXSTR, "str"},
    {S("\xbf"
       "0123456789012345678901234567890"),
     FORM_FIXSTR, "str"},
    {S("\xc0"), FORM_RAW, "nil"},
    {S("\xc2"), FORM_RAW, "bool"},
    {S("\xc3"), FORM_RAW, "bool"},
    {S("\xc4\x00"), FORM_BIN8, "bin"},
    {S("\xc4\x02"
       "ab"),
     FORM_BIN8, "bin"},
    {S("\xc5\x00\x02"
       "ab"),
     FORM_BIN16, "bin"},
    {S("\xc6\x00\x00\x00\x02"
       "ab"),
     FORM_BIN32, "bin"},
    {S("\xc6\x00\x00\x00\x00"), FORM_BIN32, "bin"},
    {S("\xc7\x01\x05x"), FORM_RAW, "ext"},
    {S("\xc8\x00\x01\x05x"), FORM_RAW, "ext"},
    {S("\xc9\x00\x00\x00\x01\x05x"), FORM_RAW, "ext"},
    {S("\xca\x00\x00\x00\x00"), FORM_RAW, "float"},
    {S("\xcb\x00\x00\x00\x00\x00\x00\x00\x00"), FORM_RAW, "float"},
    {S("\xcc\x01"), FORM_RAW, "int"},
    {S("\xcd\x00\x01"), FORM_RAW, "int"},
    {S("\xce\x00\x00\x00\x01"), FORM_RAW, "int"},
    {S("\xcf\x00\x00\x00\x00\x00\x00\x00\x01"), FORM_RAW, "int"},
    {S("\xd0\xff"), FORM_RAW, "int"},
    {S("\xd1\xff\xff"), FORM_RAW, "int"},
    {S("\xd2\xff\xff\xff\xff"), FORM_RAW, "int"},
    {S("\xd3\xff\xff\xff\xff\xff\xff\xff\xff"), FORM_RAW, "int"},
    {S("\xd4\x05x"), FORM_RAW, "ext"},
    {S("\xd5\x05xy"), FORM_RAW, "ext"},
    {S("\xd6\x05"
       "abcd"),
     FORM_RAW, "ext"},
    {S("\xd7\x05"
       "abcdefgh"),
     FORM_RAW, "ext"},
    {S("\xd8\x05"
       "abcdefghabcdefgh"),
     FORM_RAW, "ext"},
    {S("\xd9\x00"), FORM_STR8, "str"},
    {S("\xd9\x02"
       "ab"),
     FORM_STR8, "str"},
    {S("\xda\x00\x02"
       "ab"),
     FORM_STR16, "str"},
    {S("\xdb\x00\x00\x00\x02"
       "ab"),
     FORM_STR32, "str"},
    {S("\xdc\x00\x00"), FORM_RAW, "array"},
    {S("\xdd\x00\x00\x00\x00"), FORM_RAW, "array"},
    {S("\xde\x00\x00"), FORM_RAW, "map"},
    {S("\xdf\x00\x00\x00\x00"), FORM_RAW, "map"},
    {S("\xe0"), FORM_RAW, "int"},
    {S("\xff"), FORM_RAW, "int"},
};

static const int samples_count = sizeof(samples) / sizeof(samples[0]);

START_TEST(split_then_header_gives_the_same_bytes)
{
    const struct sample *s = &samples[_i];
    const uint8_t *bytes = (const uint8_t *)s->bytes;
    uint8_t header[VALUE_HEADER_MAX];
    struct value_in value;
    unsigned length;

    value_split(bytes, s->size, &value);
    ck_assert_int_eq(value.form, s->form);
    ck_assert_ptr_null(value.stage);
    length = value_header(value.form, value.size, header);
    ck_assert_uint_eq(length, value_header_size(value.form));
    ck_assert_uint_eq(length + value.size, s->size);
    ck_assert_mem_eq(header, bytes, length);
    ck_assert_ptr_eq(value.data, bytes + length);
}
END_TEST

START_TEST(type_is_told_with_and_without_the_form)
{
    const struct sample *s = &samples[_i];
    uint8_t first = (uint8_t)s->bytes[0];

    ck_assert_str_eq(value_type(s->form, s->form == FORM_RAW ? first : 0), s->type);
    ck_assert_str_eq(value_type(FORM_RAW, first), s->type);
    ck_assert_int_eq(value_has_bytes(s->form), strcmp(s->type, "str") == 0 || strcmp(s->type, "bin") == 0);
}
END_TEST

/* A payload at each edge of the lengths, through all forms that can carry it. */
START_TEST(long_payloads_keep_their_header)
{
    static const uint32_t sizes[] = {0, 1, 31, 32, 255, 256, 65535, 65536, 0xffffffff};
    static const uint64_t most[FORM_COUNT] = {
        [FORM_FIXSTR] = 31, [FORM_STR8] = 255,    [FORM_STR16] = 65535,      [FORM_STR32] = 0xffffffff,
        [FORM_BIN8] = 255,  [FORM_BIN16] = 65535, [FORM_BIN32] = 0xffffffff,
    };
    uint32_t size = sizes[_i];

    for (enum form form = FORM_FIXSTR; form < FORM_COUNT; form++) {
        uint8_t header[VALUE_HEADER_MAX];
        struct value_in value;
        unsigned length;

        if (size > most[form])
            continue;
        length = value_header(form, size, header);
        value_split(header, (uint64_t)length + size, &value);
        ck_assert_int_eq(value.form, form);
        ck_assert_uint_eq(value.size, size);
    }
}
END_TEST

START_TEST(bin_form_is_the_shortest)
{
    ck_assert_int_eq(value_bin_form(0), FORM_BIN8);
    ck_assert_int_eq(value_bin_form(255), FORM_BIN8);
    ck_assert_int_eq(value_bin_form(256), FORM_BIN16);
    ck_assert_int_eq(value_bin_form(65535), FORM_BIN16);
    ck_assert_int_eq(value_bin_form(65536), FORM_BIN32);
    ck_assert_int_eq(value_bin_form(HF_OBJECT_MAX), FORM_BIN32);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("value");
    TCase *tc = tcase_create("value");
    SRunner *runner;
    int failed;

    tcase_add_loop_test(tc, split_then_header_gives_the_same_bytes, 0, samples_count);
    tcase_add_loop_test(tc, type_is_told_with_and_without_the_form, 0, samples_count);
    tcase_add_loop_test(tc, long_payloads_keep_their_header, 0, 9);
    tcase_add_test(tc, bin_form_is_the_shortest);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
