/* SPDX-License-Identifier: BSD-3-Clause */
/* daemon/system/config.h: what of a file is handed on, with which line, and what is refused; each thing that libinih
 * would misread without a word has its case. */
#include "daemon/system/config.h"
#include "tests/lib/config_file.h"
#include "tests/lib/suite.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct config_file file;
static const char *const path = file.path;
static char told[64 * 1024]; /* one line for each section, pair and complaint */

__attribute__((format(printf, 1, 2))) static void tell(const char *format, ...)
{
    size_t used = strlen(told);
    va_list args;
    va_start(args, format);
    vsnprintf(told + used, sizeof told - used, format, args);
    va_end(args);
}

static int on_section(void *data, const char *section, char *error, size_t error_size)
{
    ck_assert_ptr_eq(data, told);
    tell("[%s]\n", section);
    if (strcmp(section, "bad") != 0)
        return 0;
    snprintf(error, error_size, "bad section");
    return -1;
}

static int on_pair(void *data, unsigned line, const char *key, const char *value, char *error,
                   size_t error_size)
{
    ck_assert_ptr_eq(data, told);
    tell("%u: %s = '%s'\n", line, key, value);
    if (strcmp(value, "bad") != 0)
        return 0;
    snprintf(error, error_size, "bad value");
    return -1;
}

static void on_complaint(void *data, const char *name, unsigned line, const char *text)
{
    ck_assert_ptr_eq(data, told);
    ck_assert_str_eq(name, path);
    tell("!%u %s\n", line, text);
}

static const struct config_reader reader = {on_section, on_pair, on_complaint, told};

static void setup(void)
{
    config_file_make(&file);
    told[0] = '\0';
}

static void teardown(void)
{
    config_file_remove(&file);
}

static void write_file(const void *bytes, size_t size)
{
    FILE *to = fopen(path, "we");
    ck_assert_ptr_nonnull(to);
    ck_assert_uint_eq(fwrite(bytes, 1, size, to), size);
    ck_assert_int_eq(fclose(to), 0);
}

static unsigned read_bytes(const void *bytes, size_t size)
{
    write_file(bytes, size);
    told[0] = '\0';
    return config_read(path, &reader);
}

static unsigned read_text(const char *text)
{
    return read_bytes(text, strlen(text));
}

/* A complaint of `line` that has `words` in it, and `count` complaints in all. */
static void refused(const char *text, unsigned count, unsigned line, const char *words)
{
    char head[16];
    ck_assert_uint_eq(read_text(text), count);
    snprintf(head, sizeof head, "!%u ", line);
    const char *at = strstr(told, head);
    ck_assert_msg(at != NULL, "%s: %s", text, told);
    const char *found = strstr(at, words);
    ck_assert_msg(found != NULL && found < at + strcspn(at, "\n"), "%s: %s", text, told);
}

/* ---- what is read ---- */

START_TEST(sections_and_pairs_come_with_their_lines)
{
    ck_assert_uint_eq(read_text("# comment\n\n[one]\nkey = value\n  [two]  \n; comment\n k2=v2\nk3: v3\n"),
                      0);
    ck_assert_str_eq(told, "[one]\n4: key = 'value'\n[two]\n7: k2 = 'v2'\n8: k3 = 'v3'\n");
}
END_TEST

START_TEST(an_empty_file_is_fine)
{
    ck_assert_uint_eq(read_text(""), 0);
    ck_assert_uint_eq(read_text("\n\n# nothing"), 0);
    ck_assert_str_eq(told, "");
}
END_TEST

START_TEST(white_space_is_no_part_of_anything)
{
    ck_assert_uint_eq(read_text("[s]\t\r\n\t key \t=\t two words \r\nlast=line"), 0);
    ck_assert_str_eq(told, "[s]\n2: key = 'two words'\n3: last = 'line'\n");
}
END_TEST

START_TEST(an_indented_line_continues_nothing)
{
    ck_assert_uint_eq(read_text("[s]\na = 1\n  b = 2\n  # c\n    d = 3\n"), 0);
    ck_assert_str_eq(told, "[s]\n2: a = '1'\n3: b = '2'\n5: d = '3'\n");
}
END_TEST

START_TEST(comments_behind_values_and_sections)
{
    ck_assert_uint_eq(read_text("[s] ; one\n[t]# two\na = 1 ; = 2\nb = x;y\nc = 1 # 2\n"), 0);
    ck_assert_str_eq(told, "[s]\n[t]\n3: a = '1'\n4: b = 'x;y'\n5: c = '1 # 2'\n");
}
END_TEST

START_TEST(an_empty_value_is_one)
{
    ck_assert_uint_eq(read_text("[s]\na =\nb = ; c\n"), 0);
    ck_assert_str_eq(told, "[s]\n2: a = ''\n3: b = ''\n");
}
END_TEST

START_TEST(a_value_has_all_that_stands_behind_the_first_sign)
{
    ck_assert_uint_eq(read_text("[s]\na = unix:/x=y\nb: [::1]:5\n"), 0);
    ck_assert_str_eq(told, "[s]\n2: a = 'unix:/x=y'\n3: b = '[::1]:5'\n");
}
END_TEST

START_TEST(a_byte_order_mark_is_passed_over)
{
    ck_assert_uint_eq(read_text("\xef\xbb\xbf[s]\na = 1\n"), 0);
    ck_assert_str_eq(told, "[s]\n2: a = '1'\n");
    ck_assert_uint_eq(read_text("\xef\xbb\xbf# c\n"), 0);
    refused("# c\n\xef\xbb\xbf[s]\n", 1, 2, "expected"); /* only there */
}
END_TEST

/* ---- what is refused ---- */

START_TEST(a_line_that_is_nothing)
{
    refused("[s]\nword\n", 1, 2, "expected 'key = value'");
    refused("[s]\n= 4\n", 1, 2, "expected");
    refused("[s]\nlisten unix:/x\n", 1, 2, "expected"); /* the ':' would make a key of "listen unix" */
    refused("[s]\nkey ;= 4\n", 1, 2, "expected");       /* a comment, for libinih, and so no pair */
}
END_TEST

START_TEST(a_section_that_is_none)
{
    refused("[s\na = 1\n", 1, 1, "']' is missing");
    refused("[s]a = 1\n", 1, 1, "behind the ']'"); /* libinih would read the section and nothing else */
    refused("[s] a\n", 1, 1, "behind the ']'");
    ck_assert_ptr_null(strstr(told, "[s]\n"));
}
END_TEST

START_TEST(what_the_reader_refuses_comes_with_its_line)
{
    refused("\n[bad]\n", 1, 2, "bad section");
    refused("[s]\na = 1\na = bad\n", 1, 3, "bad value");
}
END_TEST

START_TEST(everything_wrong_is_told)
{
    ck_assert_uint_eq(read_text("[bad]\nword\na = bad\n[s\nkey ;= 4\nb = 1\nc = bad"), 6);
    ck_assert_str_eq(told, "[bad]\n!1 bad section\n"
                           "!2 expected 'key = value', '[section]' or a comment\n"
                           "3: a = 'bad'\n!3 bad value\n"
                           "!4 a section is written [name]; the ']' is missing\n"
                           "!5 expected 'key = value', '[section]' or a comment\n"
                           "6: b = '1'\n7: c = 'bad'\n!7 bad value\n");
}
END_TEST

START_TEST(after_twenty_the_rest_is_not_looked_at)
{
    char text[1000] = "";
    for (unsigned i = 0; i < 100; i++)
        strcat(text, "word\n");
    ck_assert_uint_eq(read_text(text), 20);
    ck_assert_ptr_nonnull(strstr(told, "!20 expected"));
    ck_assert_ptr_null(strstr(told, "!21 "));
    ck_assert_ptr_nonnull(strstr(told, "!0 so much is wrong"));
}
END_TEST

START_TEST(control_characters)
{
    refused("[s]\na = \x1b[2J\n", 1, 2, "control character");
    refused("[s]\na\x7f = 1\n", 1, 2, "control character");
    refused("[s\x01]\n", 1, 1, "control character");
    ck_assert_uint_eq(read_text("# \x1b[2J\n[s]\na = tab\there\n"), 0); /* a comment is not looked at */
}
END_TEST

/* Reads [s], a line of `size` bytes that begins with `begin`, and one more pair. */
static unsigned read_line_of(size_t size, const char *begin, char fill)
{
    static char text[1100 * 1000];
    size_t head = strlen("[s]\n");
    memcpy(text, "[s]\n", head);
    memset(text + head, fill, size);
    memcpy(text + head, begin, strlen(begin));
    memcpy(text + head + size, "\nz = 1\n", 7);
    return read_bytes(text, head + size + 7);
}

START_TEST(a_line_of_any_length_is_one_line)
{
    static const size_t sizes[] = {199, 200, 201, 398, 1022, 1023, 1024, 1025, 5000, 1000 * 1000};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        ck_assert_uint_eq(read_line_of(sizes[i], "a = ", 'x'), 1);
        ck_assert_str_eq(told, "[s]\n!2 the line is too long; a value has at most 160 bytes\n3: z = '1'\n");
        ck_assert_uint_eq(read_line_of(sizes[i], "# ", 'x'), 0);
        ck_assert_str_eq(told, "[s]\n3: z = '1'\n");
    }
    ck_assert_uint_eq(read_line_of(198, "a = ", 'x'), 0);
    ck_assert_uint_eq(strlen(strstr(told, "2: a = '")), strlen("2: a = ''\n3: z = '1'\n") + 194);
}
END_TEST

START_TEST(what_stands_behind_much_white_space_is_not_lost)
{
    static char text[3000];
    memset(text, ' ', sizeof text);
    memcpy(text, "[s]\n", 4);
    memcpy(text + 2000, "a = 1\n", 7);
    refused(text, 1, 2, "too long");
    memcpy(text + 504, "a = 1\n", 7);
    ck_assert_uint_eq(read_text(text), 0);
    ck_assert_str_eq(told, "[s]\n2: a = '1'\n");
}
END_TEST

START_TEST(a_byte_of_zero)
{
    static const char text[] = "[s]\na = 1\nb = 2\0 c\nd = bad\n";
    ck_assert_uint_eq(read_bytes(text, sizeof text - 1), 1);
    ck_assert_ptr_nonnull(strstr(told, "!3 there is a byte of zero in it"));
    ck_assert_ptr_null(strstr(told, "b = ")); /* and nothing behind it */
    ck_assert_ptr_null(strstr(told, "d = "));
}
END_TEST

START_TEST(a_file_has_an_end)
{
    write_file("[s]\n", 4);
    FILE *more = fopen(path, "ae");
    for (unsigned i = 4; i < CONFIG_SIZE_MAX; i++)
        putc('\n', more);
    fflush(more);
    told[0] = '\0';
    ck_assert_uint_eq(config_read(path, &reader), 0);
    putc('\n', more);
    fclose(more);
    told[0] = '\0';
    ck_assert_uint_eq(config_read(path, &reader), 1);
    ck_assert_ptr_nonnull(strstr(told, "!0 it is larger than 1 MiB"));
    /* Of a gigabyte no more is read. */
    ck_assert_int_eq(truncate(path, 1 << 30), 0);
    ck_assert_uint_eq(config_read(path, &reader), 1);
}
END_TEST

START_TEST(a_file_that_cannot_be_read)
{
    ck_assert_uint_eq(config_read(path, &reader), 1);
    ck_assert_str_eq(told, "!0 cannot be opened: No such file or directory\n");
    told[0] = '\0';
    ck_assert_int_eq(mkdir(path, 0700), 0);
    ck_assert_uint_eq(config_read(path, &reader), 1);
    ck_assert_str_eq(told, "!0 cannot be read: Is a directory\n");
    ck_assert_int_eq(rmdir(path), 0);
}
END_TEST

START_TEST(only_a_file_is_lasting)
{
    write_file("", 0);
    ck_assert(config_is_lasting(path));
    unlink(path);
    ck_assert(config_is_lasting(path)); /* reading it tells more */
    ck_assert_int_eq(mkfifo(path, 0600), 0);
    ck_assert(!config_is_lasting(path));
    ck_assert(!config_is_lasting("/dev/null"));
}
END_TEST

/* ---- values ---- */

START_TEST(a_value_that_passes_is_read_back_as_it_is)
{
    static const char *const values[] = {"4", "unix:/a=b;c#d", "two words", "a\tb", "[x]", "\"q\"",
                                         "=", ":=:",           "\xc3\xa4",  "x\\",  "-"};
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        char text[256], expected[256];
        ck_assert_ptr_null(config_value_fault(values[i]));
        snprintf(text, sizeof text, "[s]\nkey = %s\n", values[i]);
        snprintf(expected, sizeof expected, "[s]\n2: key = '%s'\n", values[i]);
        ck_assert_uint_eq(read_text(text), 0);
        ck_assert_str_eq(told, expected);
    }
}
END_TEST

START_TEST(the_longest_value_has_room_in_a_line)
{
    char value[CONFIG_VALUE_MAX + 2], text[256];
    memset(value, 'v', sizeof value);
    value[CONFIG_VALUE_MAX + 1] = '\0';
    ck_assert_ptr_nonnull(config_value_fault(value));
    value[CONFIG_VALUE_MAX] = '\0';
    ck_assert_ptr_null(config_value_fault(value));
    snprintf(text, sizeof text, "[s]\n%-30s = %s\n", "a-key-of-up-to-thirty-bytes", value);
    ck_assert_uint_eq(read_text(text), 0);
    ck_assert_ptr_nonnull(strstr(told, value));
}
END_TEST

START_TEST(a_value_that_would_be_read_in_another_way_is_refused)
{
    static const char *const values[] = {" x",  "x ",    "\tx",   "x\n", "a\nb",    "a ; b",
                                         "; b", "a\t;b", "a # b", "#",   "\x1b[0m", "a\x7f"};
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++)
        ck_assert_msg(config_value_fault(values[i]) != NULL, "'%s'", values[i]);
    ck_assert_ptr_null(config_value_fault("")); /* what an option thinks of it is its own */
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("config");
    TCase *tcase = suite_case(suite, "read", setup, teardown);
    tcase_add_test(tcase, sections_and_pairs_come_with_their_lines);
    tcase_add_test(tcase, an_empty_file_is_fine);
    tcase_add_test(tcase, white_space_is_no_part_of_anything);
    tcase_add_test(tcase, an_indented_line_continues_nothing);
    tcase_add_test(tcase, comments_behind_values_and_sections);
    tcase_add_test(tcase, an_empty_value_is_one);
    tcase_add_test(tcase, a_value_has_all_that_stands_behind_the_first_sign);
    tcase_add_test(tcase, a_byte_order_mark_is_passed_over);
    tcase = suite_case(suite, "refused", setup, teardown);
    tcase_add_test(tcase, a_line_that_is_nothing);
    tcase_add_test(tcase, a_section_that_is_none);
    tcase_add_test(tcase, what_the_reader_refuses_comes_with_its_line);
    tcase_add_test(tcase, everything_wrong_is_told);
    tcase_add_test(tcase, after_twenty_the_rest_is_not_looked_at);
    tcase_add_test(tcase, control_characters);
    tcase_add_test(tcase, a_line_of_any_length_is_one_line);
    tcase_add_test(tcase, what_stands_behind_much_white_space_is_not_lost);
    tcase_add_test(tcase, a_byte_of_zero);
    tcase_add_test(tcase, a_file_has_an_end);
    tcase_add_test(tcase, a_file_that_cannot_be_read);
    tcase_add_test(tcase, only_a_file_is_lasting);
    tcase = suite_case(suite, "values", setup, teardown);
    tcase_add_test(tcase, a_value_that_passes_is_read_back_as_it_is);
    tcase_add_test(tcase, the_longest_value_has_room_in_a_line);
    tcase_add_test(tcase, a_value_that_would_be_read_in_another_way_is_refused);
    return suite_run(suite);
}
