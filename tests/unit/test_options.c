/* SPDX-License-Identifier: BSD-3-Clause */
/* daemon/system/options.h and config.h: what a file, a command line and the defaults say together; each way in which a
 * file can be wrong, with its line. */
#include "daemon/system/command.h"
#include "daemon/system/option_table.h"
#include "tests/lib/suite.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define SAID_MAX 32u

static char path[] = "/tmp/hf-options-XXXXXX";
static struct options options;
static bool loaded;
static struct {
    char text[CONFIG_ERROR_MAX];
    unsigned line;
} said[SAID_MAX];
static unsigned said_count;

static void setup(void)
{
    strcpy(path, "/tmp/hf-options-XXXXXX");
    int fd = mkstemp(path);
    ck_assert_int_ge(fd, 0);
    close(fd);
    said_count = 0;
    loaded = false;
}

static void teardown(void)
{
    if (loaded)
        options_free(&options);
    unlink(path);
}

static void on_complaint(void *data, const char *file, unsigned line, const char *text)
{
    ck_assert_ptr_eq(data, &options);
    ck_assert(file == NULL || strcmp(file, path) == 0);
    ck_assert_uint_lt(said_count, SAID_MAX);
    said[said_count].line = line;
    snprintf(said[said_count++].text, sizeof said[0].text, "%s", text);
}

static int check_address(const char *address, char *error, size_t error_size)
{
    if (strncmp(address, "unix:", 5) == 0 || strncmp(address, "tcp:", 4) == 0)
        return 0;
    snprintf(error, error_size, "%s: no such scheme", address);
    return -1;
}

static void write_bytes(const char *bytes, size_t size)
{
    int fd = open(path, O_WRONLY | O_TRUNC);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, bytes, size), (ssize_t)size);
    close(fd);
}

static unsigned load(struct command *command)
{
    said_count = 0;
    if (loaded)
        options_free(&options);
    unsigned complaints = options_load(&options, command, check_address, on_complaint, &options);
    loaded = complaints == 0;
    return complaints;
}

static unsigned load_text(const char *text)
{
    struct command command = {.file = path};
    write_bytes(text, strlen(text));
    return load(&command);
}

/* One complaint, of this line, with this in it. */
static void refused(const char *text, unsigned line, const char *wanted)
{
    ck_assert_msg(load_text(text) == 1, "%u complaints about: %.60s", said_count, text);
    ck_assert_uint_eq(said[0].line, line);
    ck_assert_msg(strstr(said[0].text, wanted) != NULL, "'%s' is not in: %s", wanted, said[0].text);
}

START_TEST(defaults)
{
    struct command command = {.file = NULL};
    ck_assert_uint_eq(load(&command), 0);
    ck_assert_uint_ge(options.workers, 1);
    ck_assert_uint_gt(options.max_memory, 0);
    ck_assert_int_eq(options.log_level, LOG_LEVEL_INFO);
    ck_assert_uint_eq(options.listen_count, 1);
    ck_assert_int_eq(options.listen[0].source, SOURCE_DEFAULT);
    for (unsigned id = OPTION_LISTEN + 1; id < OPTIONS_COUNT; id++)
        ck_assert_int_eq(options.values[id].source, SOURCE_DEFAULT);
    options_drop_default_listen(&options);
    ck_assert_uint_eq(options.listen_count, 0);
}
END_TEST

START_TEST(a_file)
{
    ck_assert_uint_eq(load_text("# comment\n"
                                "; another\n"
                                "\n"
                                "[daemon]\n"
                                "workers=3\n"
                                "   listen = unix:/a   ; where\n"
                                "listen: tcp:h:1\r\n"
                                "[limits]\n"
                                "max-memory = 100m\n"
                                "[log]\n"
                                "log-level = debug"),
                      0);
    ck_assert_uint_eq(options.workers, 3);
    ck_assert_uint_eq(options.max_memory, 100u << 20);
    ck_assert_int_eq(options.log_level, LOG_LEVEL_DEBUG);
    ck_assert_uint_eq(options.listen_count, 2);
    ck_assert_str_eq(options.listen[0].text, "unix:/a");
    ck_assert_str_eq(options.listen[1].text, "tcp:h:1");
    ck_assert_int_eq(options.listen[1].source, SOURCE_FILE);
    ck_assert_uint_eq(options.listen[1].line, 7);
    options_drop_default_listen(&options);
    ck_assert_uint_eq(options.listen_count, 2);
}
END_TEST

START_TEST(the_command_line_wins)
{
    struct command command = {
        .file = path,
        .given = {{OPTION_WORKERS, "5"}, {OPTION_LISTEN, "unix:/c"}, {OPTION_WORKERS, "6"}},
        .given_count = 3};
    const char text[] = "[daemon]\nlisten=unix:/a\nlisten=unix:/b\nworkers=3\n";
    write_bytes(text, strlen(text));
    ck_assert_uint_eq(load(&command), 0);
    ck_assert_uint_eq(options.workers, 6);
    ck_assert_int_eq(options.values[OPTION_WORKERS].source, SOURCE_COMMAND);
    ck_assert_uint_eq(options.listen_count, 1);
    ck_assert_str_eq(options.listen[0].text, "unix:/c");
}
END_TEST

START_TEST(what_is_wrong_is_told_with_its_line)
{
    refused("[daemon]\nworker = 3\n", 2, "did you mean 'workers'");
    refused("[daemon]\n\nmax-memory = 3g\n", 3, "put it below [limits]");
    refused("[deamon]\nworkers = 3\n", 2, "put it below [daemon]");
    refused("[log]\nnonsense-key = 1\n", 2, "--print-config");
    refused("workers = 3\n", 1, "before any section");
    refused("[daemon]\nworkers = 65\n", 2, "1 to 64");
    refused("[daemon]\nworkers = 3x\n", 2, "1 to 64");
    refused("[daemon]\nworkers =\n", 2, "1 to 64");
    refused("[daemon]\nworkers = 18446744073709551617\n", 2, "1 to 64");
    refused("[daemon]\nworkers = 2\nworkers = 2\n", 3, "first in line 2");
    refused("[daemon]\nlisten = udp:x\n", 2, "no such scheme");
    refused("[log\n", 1, "']' is missing");
    refused("[daemon]\nworkers\n", 2, "key = value");
    refused("[limits]\nmax-memory = 1k\n", 2, "at least 16m");
    refused("[log]\nlog-level = loud\n", 2, "error, warn, info and debug");
}
END_TEST

/* An indented line would be a continuation of the value before, for libinih alone. */
START_TEST(indentation_means_nothing)
{
    ck_assert_uint_eq(load_text("[daemon]\nlisten = unix:/a\n\tworkers = 4\n  ; comment\n  # comment\n"), 0);
    ck_assert_uint_eq(options.workers, 4);
    ck_assert_uint_eq(options.listen_count, 1);
}
END_TEST

START_TEST(everything_wrong_is_told)
{
    ck_assert_uint_eq(load_text("[daemon]\nworkers=0\nfoo\nlog-level=info\n[log]\nlog-level=x\n"), 4);
    for (unsigned i = 0; i < said_count; i++)
        ck_assert_uint_eq(said[i].line, i < 3 ? i + 2 : 6);
}
END_TEST

START_TEST(a_wrong_command_line_and_a_wrong_file_are_both_told)
{
    struct command command = {.file = path, .given = {{OPTION_LOG_LEVEL, "x"}}, .given_count = 1};
    write_bytes("[daemon]\nworkers=0\n", 19);
    ck_assert_uint_eq(load(&command), 2);
}
END_TEST

START_TEST(no_text_file)
{
    char line[4096];
    struct command command = {.file = path};
    write_bytes("[daemon]\nwork\0ers=2\n", 20);
    ck_assert_uint_eq(load(&command), 1);
    ck_assert_uint_eq(said[0].line, 2);
    ck_assert_ptr_nonnull(strstr(said[0].text, "no text file"));
    memset(line, 'a', sizeof line);
    memcpy(line, "workers=", 8);
    line[sizeof line - 1] = '\0';
    refused(line, 1, "too long");
}
END_TEST

static unsigned ignored_complaints;

static void ignore(void *data, const char *file, unsigned line, const char *text)
{
    (void)data, (void)file, (void)line, (void)text;
    ignored_complaints++;
}

START_TEST(files_that_cannot_be_one)
{
    static const char *const paths[] = {"/tmp", "/nowhere/at/all", "/dev/zero"};
    for (unsigned i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        struct command command = {.file = paths[i]};
        ignored_complaints = 0;
        ck_assert_uint_eq(options_load(&options, &command, check_address, ignore, NULL), 1);
        ck_assert_uint_eq(ignored_complaints, 1);
    }
}
END_TEST

START_TEST(a_huge_file_is_given_up_early)
{
    size_t size = CONFIG_SIZE_MAX + 4096;
    char *text = malloc(size + 1);
    ck_assert_ptr_nonnull(text);
    memset(text, '\n', size);
    text[size] = '\0';
    refused(text, 0, "larger than 1 MiB");
    memset(text, 'a', size);
    ck_assert_uint_ge(load_text(text), 1);
    ck_assert_ptr_nonnull(strstr(said[0].text, "larger than 1 MiB"));
    for (size_t i = 1; i < size; i += 2)
        text[i] = '\n';
    ck_assert_uint_le(load_text(text), 20);
    ck_assert_ptr_nonnull(strstr(said[said_count - 1].text, "the rest is not looked at"));
    free(text);
}
END_TEST

/* ---- comparing ---- */

static char changes[256];

static void on_change(void *data, enum option_id id, const char *old, const char *new)
{
    (void)data;
    size_t used = strlen(changes);
    snprintf(changes + used, sizeof changes - used, "%s:%s>%s ", option_name(id), old == NULL ? "" : old,
             new == NULL ? "" : new);
}

START_TEST(differences)
{
    struct options old;
    ck_assert_uint_eq(load_text("[daemon]\nlisten=unix:/a\nlisten=unix:/b\nworkers=3\n"), 0);
    old = options;
    loaded = false;
    ck_assert_uint_eq(
        load_text("[daemon]\nlisten=unix:/b\nlisten=unix:/c\nworkers=4\n[log]\nlog-level=warn\n"), 0);
    changes[0] = '\0';
    options_compare(&old, &options, on_change, NULL);
    ck_assert_str_eq(changes, "listen:unix:/a> listen:>unix:/c workers:3>4 log-level:info>warn ");
    ck_assert(!option_is_live(OPTION_WORKERS));
    ck_assert(option_is_live(OPTION_LISTEN));
    options_keep(&options, &old, OPTION_WORKERS);
    ck_assert_uint_eq(options.workers, 3);
    changes[0] = '\0';
    options_compare(&options, &options, on_change, NULL);
    ck_assert_str_eq(changes, "");
    options_free(&old);
}
END_TEST

START_TEST(sizes)
{
    ck_assert_uint_eq(options_size("0", 100), 0);
    ck_assert_uint_eq(options_size("17", 100), 17);
    ck_assert_uint_eq(options_size("2K", 100), 2048);
    ck_assert_uint_eq(options_size("3t", 100), 3ull << 40);
    ck_assert_uint_eq(options_size("50%", 100), 50);
    ck_assert_uint_eq(options_size("101%", 100), 0);
    ck_assert_uint_eq(options_size("16777216t", 100), 0);
    ck_assert_uint_eq(options_size(" 1", 100), 0);
    ck_assert_uint_eq(options_size("-1", 100), 0);
    ck_assert_uint_eq(options_size("1kk", 100), 0);
    ck_assert_uint_eq(options_size("", 100), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("options");
    TCase *tcase = suite_case(suite, "options", setup, teardown);
    tcase_add_test(tcase, defaults);
    tcase_add_test(tcase, a_file);
    tcase_add_test(tcase, the_command_line_wins);
    tcase_add_test(tcase, what_is_wrong_is_told_with_its_line);
    tcase_add_test(tcase, indentation_means_nothing);
    tcase_add_test(tcase, everything_wrong_is_told);
    tcase_add_test(tcase, a_wrong_command_line_and_a_wrong_file_are_both_told);
    tcase_add_test(tcase, no_text_file);
    tcase_add_test(tcase, files_that_cannot_be_one);
    tcase_add_test(tcase, a_huge_file_is_given_up_early);
    tcase_add_test(tcase, differences);
    tcase_add_test(tcase, sizes);
    return suite_run(suite);
}
