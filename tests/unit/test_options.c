/* SPDX-License-Identifier: BSD-3-Clause */
/* daemon/system/options.h: the list itself, which source wins, what is refused, what is printed and read back, what is
 * told of two versions. */
#include "daemon/system/machine.h"
#include "daemon/system/option_table.h"
#include "daemon/system/options.h"
#include "tests/lib/config_file.h"
#include "tests/lib/suite.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define GIB (1ull << 30)

static struct config_file file;
static struct command command;
static struct options options, others;
static char told[16 * 1024]; /* a line for each complaint or change */

__attribute__((format(printf, 1, 2))) static void tell(const char *format, ...)
{
    size_t used = strlen(told);
    va_list args;
    va_start(args, format);
    vsnprintf(told + used, sizeof told - used, format, args);
    va_end(args);
}

static void setup(void)
{
    setenv("XDG_RUNTIME_DIR", "/run/user/7", 1);
    config_file_make(&file);
    command = (struct command){.file = NULL};
    options = others = (struct options){.file = NULL};
    told[0] = '\0';
}

static void teardown(void)
{
    options_free(&options);
    options_free(&others);
    config_file_remove(&file);
}

static int check(enum option_id id, const char *address, char *error, size_t error_size)
{
    (void)id;
    if (strncmp(address, "unix:", 5) == 0 || strncmp(address, "tcp:", 4) == 0)
        return 0;
    snprintf(error, error_size, "%s: what is that?", address);
    return -1;
}

static void on_complaint(void *data, const char *name, unsigned line, const char *text)
{
    ck_assert_ptr_eq(data, told);
    if (name == NULL) {
        tell("command: %s\n", text);
    } else {
        ck_assert_str_eq(name, file.path);
        tell("%u: %s\n", line, text);
    }
}

static void give(enum option_id id, const char *text)
{
    command.given[command.given_count].id = id;
    command.given[command.given_count++].text = text;
}

static unsigned load_into(struct options *ret, const char *text)
{
    if (text != NULL)
        config_file_write(&file, text);
    command.file = text == NULL ? NULL : file.path;
    options_free(ret);
    told[0] = '\0';
    return options_load(ret, &command, check, on_complaint, told);
}

static void load(const char *text)
{
    ck_assert_msg(load_into(&options, text) == 0, "%s", told);
}

/* The file has just this wrong in line 2. */
static void refused(const char *text, const char *words)
{
    ck_assert_uint_eq(load_into(&options, text), 1);
    ck_assert_msg(strncmp(told, "2: ", 3) == 0 && strstr(told, words) != NULL, "%s: %s", text, told);
}

/* ---- the list ---- */

START_TEST(the_list_is_sound)
{
    for (unsigned id = 0; id < OPTIONS_COUNT; id++) {
        const struct option_row *row = &option_rows[id];
        ck_assert_uint_le(strlen(row->name), 30); /* or the longest value would have no room in a line */
        for (const char *at = row->name; *at != '\0'; at++)
            ck_assert(islower((unsigned char)*at) || *at == '-');
        ck_assert(strlen(row->section) > 0 && strlen(row->argument) > 0 && strlen(row->help) > 0);
        ck_assert(strlen(row->fix) > 0);
        for (unsigned k = 0; k < id; k++)
            ck_assert_str_ne(option_rows[k].name, row->name);
        /* A section is one block, so that it is printed once. */
        if (id > 0 && strcmp(option_rows[id - 1].section, row->section) != 0) {
            for (unsigned k = 0; k < id; k++)
                ck_assert_str_ne(option_rows[k].section, row->section);
        }
    }
}
END_TEST

START_TEST(defaults_are_values)
{
    for (unsigned id = OPTION_STATS + 1; id < OPTIONS_COUNT; id++) {
        ck_assert_ptr_nonnull(option_rows[id].standard);
        ck_assert(option_rows[id].set(&options, option_rows[id].standard));
    }
}
END_TEST

/* ---- who wins ---- */

START_TEST(without_anything_there_are_defaults)
{
    load(NULL);
    ck_assert_uint_eq(options.listen_count, 1);
    ck_assert_str_eq(options.listen[0].text, "unix:/run/user/7/holdfast/holdfast.sock");
    ck_assert_int_eq(options.listen[0].source, SOURCE_DEFAULT);
    ck_assert_uint_eq(options.workers, machine_cores() < 64 ? machine_cores() : 64);
    ck_assert_uint_eq(options.max_memory, options_size("60%", machine_memory()));
    ck_assert_uint_eq(options.evacuate_percent, 60);
    ck_assert_int_eq(options.log_level, LOG_LEVEL_INFO);
    ck_assert_uint_eq(options.slowlog_us, 10000);
    unsetenv("XDG_RUNTIME_DIR");
    load(NULL);
    ck_assert_str_eq(options.listen[0].text, "unix:/run/holdfast/holdfast.sock");
}
END_TEST

START_TEST(the_file_wins_over_defaults_and_the_command_line_over_both)
{
    static const char text[] = "[daemon]\nworkers = 3\n[limits]\nmax-memory = 1g\n[log]\nlog-level = debug\n";
    give(OPTION_WORKERS, "5");
    give(OPTION_WORKERS, "6"); /* the last one */
    load(text);
    ck_assert_uint_eq(options.workers, 6);
    ck_assert_int_eq(options.values[OPTION_WORKERS].source, SOURCE_COMMAND);
    ck_assert_uint_eq(options.max_memory, GIB);
    ck_assert_int_eq(options.values[OPTION_MAX_MEMORY].source, SOURCE_FILE);
    ck_assert_uint_eq(options.values[OPTION_MAX_MEMORY].line, 4);
    ck_assert_int_eq(options.log_level, LOG_LEVEL_DEBUG);
    ck_assert_int_eq(options.values[OPTION_HEAP].source, SOURCE_DEFAULT);
    command.given_count = 0;
    load(text);
    ck_assert_uint_eq(options.workers, 3);
}
END_TEST

START_TEST(addresses_take_the_place_of_others)
{
    static const char text[] = "[daemon]\nlisten = unix:/a\nlisten = tcp:h:1\n";
    load(text);
    ck_assert_uint_eq(options.listen_count, 2);
    ck_assert_str_eq(options.listen[0].text, "unix:/a");
    ck_assert_str_eq(options.listen[1].text, "tcp:h:1");
    ck_assert_uint_eq(options.listen[1].line, 3);
    give(OPTION_LISTEN, "unix:/b");
    give(OPTION_LISTEN, "tcp:h:0");
    give(OPTION_LISTEN, "tcp:h:0"); /* two free ports */
    load(text);
    ck_assert_uint_eq(options.listen_count, 3);
    ck_assert_str_eq(options.listen[0].text, "unix:/b");
    ck_assert_int_eq(options.listen[2].source, SOURCE_COMMAND);
}
END_TEST

START_TEST(a_default_address_that_is_not_needed_is_not_looked_at)
{
    char folder[300] = "/";
    memset(folder + 1, 'x', sizeof folder - 2);
    setenv("XDG_RUNTIME_DIR", folder, 1);
    ck_assert_uint_eq(load_into(&options, NULL), 1);
    ck_assert_ptr_nonnull(strstr(told, "at most 160 bytes"));
    load("[daemon]\nlisten = unix:/a\n");
    give(OPTION_LISTEN, "unix:/b");
    load(NULL);
}
END_TEST

START_TEST(the_default_address_is_dropped_for_sockets)
{
    load(NULL);
    options_drop_default_listen(&options);
    ck_assert_uint_eq(options.listen_count, 0);
    load("[daemon]\nlisten = unix:/a\n");
    options_drop_default_listen(&options);
    ck_assert_uint_eq(options.listen_count, 1);
}
END_TEST

/* ---- what is refused ---- */

START_TEST(unknown_keys_and_sections_come_with_what_was_meant)
{
    refused("[daemon]\nworker = 3\n", "unknown key 'worker'; did you mean 'workers' (below [daemon])?");
    refused("[daemon]\nmax_memory = 1g\n", "did you mean 'max-memory' (below [limits])?");
    refused("[daemon]\ncolour = red\n", "unknown key 'colour'; `holdfastd --print-config`");
    refused("[daemon]\nmax-memory = 1g\n",
            "'max-memory' does not belong below [daemon]; put it below [limits]");
    refused("\nmax-memory = 1g\n", "'max-memory' stands before any section; put [limits] above it");
    refused("\n[demon]\nworkers = 3\n", "unknown section [demon]; did you mean [daemon]?");
    refused("\n[colours]\n", "unknown section [colours]; `holdfastd --print-config`");
}
END_TEST

START_TEST(below_an_unknown_section_values_are_looked_at)
{
    ck_assert_uint_eq(load_into(&options, "[demon]\nworkers = 3\nmax-memory = x\ncolour = red\n"), 3);
    ck_assert_ptr_nonnull(strstr(told, "1: unknown section [demon]"));
    ck_assert_ptr_nonnull(strstr(told, "3: max-memory 'x'"));
    ck_assert_ptr_nonnull(strstr(told, "4: unknown key 'colour'"));
    ck_assert_ptr_null(options.values[OPTION_WORKERS].text); /* nothing is left of it */
}
END_TEST

START_TEST(bad_values_come_with_the_fix)
{
    static const struct {
        const char *line, *words;
    } cases[] = {
        {"workers = 0", "workers '0'; give a number from 1 to 64, or auto"},
        {"workers = 65", "'65'"},
        {"workers = 99999999999999999999", "from 1 to 64"},
        {"workers = -1", "from 1 to 64"},
        {"workers = 1.5", "from 1 to 64"},
        {"workers = +1", "from 1 to 64"},
        {"workers =", "workers ''"},
        {"workers = 4 # four", "behind a value that is a space and ';'"},
        {"workers = \"4\"", "from 1 to 64"},
        {"heap = magic", "heap 'magic'"},
        {"listen =", "listen ''"},
        {"listen = unix:/a # b", "behind a value that is a space and ';'"},
        {"listen = udp:x", "udp:x: what is that?"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[100];
        snprintf(text, sizeof text, "[daemon]\n%s\n", cases[i].line);
        refused(text, cases[i].words);
    }
    refused("[limits]\nmax-memory = 15m\n", "give at least 16m");
    refused("[limits]\nmax-memory = 101%\n", "give at least 16m");
    refused("[limits]\nevacuate-percent = 91\n", "from 0 (never) to 90");
    refused("[limits]\nevacuate-percent = 50%\n", "from 0 (never) to 90");
    refused("[log]\nlog-level = loud\n", "levels are error, warn, info and debug");
    refused("[log]\nlog-level = INFO\n", "levels are");
    refused("[log]\nslowlog-us = -1\n", "give microseconds, 0 to");
    refused("[log]\nslowlog-us = 3600000001\n", "give microseconds, 0 to");
    refused("[log]\nslowlog-us = 10ms\n", "give microseconds, 0 to");
}
END_TEST

START_TEST(saves_that_would_go_nowhere)
{
    refused("[save]\nsave-every = 1h\n",
            "save-every '1h' saves nothing without a folder; give save-dir, too");
    load("[save]\nsave-every = 1h\nsave-dir = /x\n");
    load("[save]\nsave-every = never\n");
    load("[save]\nsave-dir = /x\n");
    give(OPTION_SAVE_EVERY, "90s");
    ck_assert_uint_eq(load_into(&options, "[save]\nsave-keep = 3\n"), 1);
    ck_assert_msg(strstr(told, "command: save-every '90s' saves nothing") == told, "%s", told);
    load("[save]\nsave-dir = /x\n");
    /* what is wrong by itself is said alone */
    ck_assert_uint_eq(load_into(&options, "[save]\nsave-dir = x\n"), 1);
    ck_assert_ptr_null(strstr(told, "save-every"));
}
END_TEST

START_TEST(values_given_twice)
{
    ck_assert_uint_eq(load_into(&options, "[daemon]\nworkers = 3\n[log]\n[daemon]\nworkers = 3\n"), 1);
    ck_assert_str_eq(told, "5: workers is given twice, first in line 2; take one away\n");
    ck_assert_uint_eq(load_into(&options, "[daemon]\nlisten = unix:/a\nlisten = unix:/b\nlisten = unix:/a\n"),
                      1);
    ck_assert_str_eq(told, "4: unix:/a is given twice, first in line 2; take one away\n");
}
END_TEST

START_TEST(too_many_addresses)
{
    char text[1000] = "[daemon]\n";
    for (unsigned i = 0; i < OPTIONS_LISTEN_MAX; i++)
        sprintf(text + strlen(text), "listen = tcp:h:%u\n", i + 1);
    load(text);
    strcat(text, "listen = unix:/x\n");
    ck_assert_uint_eq(load_into(&options, text), 1);
    ck_assert_str_eq(told, "18: listen 'unix:/x' is one address too many; give at most 16\n");
}
END_TEST

START_TEST(the_command_line_is_held_to_the_same)
{
    give(OPTION_WORKERS, "none");
    give(OPTION_LISTEN, "unix:/a\nb");
    give(OPTION_LISTEN, "unix:/a ;b");
    give(OPTION_LOG_LEVEL, "info ");
    ck_assert_uint_eq(load_into(&options, "[daemon]\nheap = magic\n"), 5);
    ck_assert_ptr_nonnull(strstr(told, "2: heap 'magic'"));
    ck_assert_ptr_nonnull(strstr(told, "command: workers 'none'; give a number from 1 to 64"));
    ck_assert_ptr_nonnull(strstr(told, "command: log-level 'info '; a value neither begins nor ends"));
}
END_TEST

START_TEST(a_value_of_any_length_comes_with_its_fix)
{
    char value[5000];
    memset(value, 'v', sizeof value);
    value[sizeof value - 1] = '\0';
    give(OPTION_HEAP, value);
    ck_assert_uint_eq(load_into(&options, NULL), 1);
    ck_assert_ptr_nonnull(strstr(told, "; a value has at most 160 bytes\n"));
}
END_TEST

/* ---- sizes ---- */

START_TEST(sizes_mean_what_they_say)
{
    static const struct {
        const char *text;
        uint64_t bytes;
    } cases[] = {
        {"1", 1},
        {"65536K", 64ull << 20},
        {"64m", 64ull << 20},
        {"3G", 3 * GIB},
        {"2t", 2048 * GIB},
        {"50%", 5 * GIB},
        {"100%", 10 * GIB},
        {"18446744073709551615", UINT64_MAX},
        {"16777215t", 16777215ull << 40},
        {"0", 0},
        {"", 0},
        {"m", 0},
        {"-1", 0},
        {" 1", 0},
        {"+1", 0},
        {"1 m", 0},
        {"1mb", 0},
        {"1x", 0},
        {"1.5g", 0},
        {"101%", 0},
        {"5%%", 0},
        {"0x10", 0},
        {"18446744073709551616", 0},
        {"16777216t", 0},
        {"16777217t", 0}, /* 1t after an overflow */
        {"99999999999999999999g", 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        ck_assert_msg(options_size(cases[i].text, 10 * GIB) == cases[i].bytes, "%s: %" PRIu64, cases[i].text,
                      options_size(cases[i].text, 10 * GIB));
}
END_TEST

/* ---- printing ---- */

static char *printed(const struct options *of)
{
    char *text = NULL;
    size_t size;
    FILE *to = open_memstream(&text, &size);
    options_print(to, of);
    fclose(to);
    return text;
}

static void same_values(const struct options *a, const struct options *b)
{
    ck_assert_uint_eq(a->listen_count, b->listen_count);
    for (unsigned i = 0; i < a->listen_count; i++)
        ck_assert_str_eq(a->listen[i].text, b->listen[i].text);
    for (unsigned id = OPTION_STATS + 1; id < OPTIONS_COUNT; id++)
        ck_assert_str_eq(a->values[id].text, b->values[id].text);
    ck_assert_uint_eq(a->workers, b->workers);
    ck_assert_uint_eq(a->max_memory, b->max_memory);
    ck_assert_int_eq(a->log_level, b->log_level);
}

START_TEST(what_is_printed_is_a_file_that_means_the_same)
{
    give(OPTION_LOG_LEVEL, "warn");
    load("[daemon]\nlisten = unix:/a;b\nlisten = tcp:[::1]:5\n[limits]\nmax-memory = 1g\n");
    char *text = printed(&options);
    command.given_count = 0;
    ck_assert_msg(load_into(&others, text) == 0, "%s%s", told, text);
    same_values(&options, &others);
    /* All of it is from the file now, with true lines. */
    for (unsigned id = OPTION_STATS + 1; id < OPTIONS_COUNT; id++)
        ck_assert_int_eq(others.values[id].source, SOURCE_FILE);
    free(text);
}
END_TEST

START_TEST(what_is_printed_has_its_sources)
{
    char expected[200];
    give(OPTION_WORKERS, "6");
    load("[daemon]\nlisten = unix:/a\n[limits]\nmax-memory = 1g\n");
    char *text = printed(&options);
    snprintf(expected, sizeof expected, "[daemon]\n# %s:2\nlisten = unix:/a\n# default\nstats = off\n",
             file.path);
    ck_assert_msg(strncmp(text, expected, strlen(expected)) == 0, "%s", text);
    ck_assert_ptr_nonnull(strstr(text, "# command line\nworkers = 6\n"));
    snprintf(expected, sizeof expected, "\n[limits]\n# %s:4; here and now: 1073741824\nmax-memory = 1g\n",
             file.path);
    ck_assert_msg(strstr(text, expected) != NULL, "%s", text);
    free(text);
}
END_TEST

START_TEST(a_file_of_any_name_is_a_comment)
{
    load("[daemon]\nworkers = 3\n");
    options.file = "a\n[b]\x1b";
    char *text = printed(&options);
    ck_assert_ptr_nonnull(strstr(text, "# a?[b]?:2\nworkers = 3\n"));
    free(text);
}
END_TEST

/* ---- comparing ---- */

START_TEST(some_values_can_change_while_it_runs)
{
    ck_assert(option_is_live(OPTION_LISTEN));
    ck_assert(option_is_live(OPTION_MAX_MEMORY));
    ck_assert(option_is_live(OPTION_LOG_LEVEL));
    ck_assert(!option_is_live(OPTION_WORKERS));
    ck_assert(!option_is_live(OPTION_HEAP));
}
END_TEST

static void on_change(void *data, enum option_id id, const char *old, const char *new)
{
    ck_assert_ptr_eq(data, told);
    tell("%s: %s > %s\n", option_name(id), old == NULL ? "-" : old, new == NULL ? "-" : new);
}

static const char *changes(const char *from, const char *to)
{
    load(from);
    ck_assert_msg(load_into(&others, to) == 0, "%s", told);
    told[0] = '\0';
    options_compare(&options, &others, on_change, told);
    return told;
}

START_TEST(each_value_that_means_something_else_is_told)
{
    char expected[100];
    ck_assert_str_eq(changes("[daemon]\nworkers = 3\n", "[log]\n[daemon]\nworkers = 3\n"), "");
    ck_assert_str_eq(changes("[log]\nlog-level = warn\n", ""), "log-level: warn > info\n");
    ck_assert_str_eq(changes("[limits]\nmax-memory = 1g\n", "[limits]\nmax-memory = 1048576k\n"), "");
    ck_assert_str_eq(changes("[limits]\nmax-memory = 1g\n", "[limits]\nmax-memory = 2147483648\n"),
                     "max-memory: 1g (1073741824) > 2147483648\n");
    unsigned here = machine_cores() < 64 ? machine_cores() : 64;
    snprintf(expected, sizeof expected, "[daemon]\nworkers = %u\n", here);
    ck_assert_str_eq(changes("[daemon]\nworkers = auto\n", expected), "");
}
END_TEST

START_TEST(a_percentage_of_something_else_is_told)
{
    load("[limits]\nmax-memory = 50%\n");
    load_into(&others, "[limits]\nmax-memory = 50%\n");
    strcpy(others.values[OPTION_MAX_MEMORY].meaning,
           "17000000"); /* the limit of its control group has changed */
    snprintf(told, sizeof told, "%s", "");
    options_compare(&options, &others, on_change, told);
    ck_assert_ptr_nonnull(strstr(told, "> 50% (17000000)\n"));
}
END_TEST

START_TEST(addresses_that_go_are_told_before_those_that_come)
{
    ck_assert_str_eq(changes("[daemon]\nlisten = unix:/a\nlisten = unix:/b\nlisten = unix:/c\n",
                             "[daemon]\nlisten = unix:/d\nlisten = unix:/b\nlisten = unix:/e\n"),
                     "listen: unix:/a > -\nlisten: unix:/c > -\nlisten: - > unix:/d\nlisten: - > unix:/e\n");
    ck_assert_str_eq(changes("[daemon]\nlisten = unix:/a\n", ""),
                     "listen: unix:/a > -\nlisten: - > unix:/run/user/7/holdfast/holdfast.sock\n");
    ck_assert_str_eq(changes("[daemon]\nlisten = unix:/a\nlisten = unix:/b\n",
                             "[daemon]\nlisten = unix:/b\nlisten = unix:/a\n"),
                     "");
}
END_TEST

START_TEST(addresses_of_the_command_line_stay)
{
    give(OPTION_LISTEN, "tcp:h:0");
    give(OPTION_LISTEN, "tcp:h:0");
    ck_assert_str_eq(changes("[daemon]\nlisten = unix:/a\n", "[daemon]\nlisten = unix:/b\n"), "");
}
END_TEST

START_TEST(an_address_that_failed_is_told_again)
{
    static const char text[] = "[daemon]\nlisten = unix:/a\nlisten = unix:/b\n";
    load(text);
    options_listen_failed(&options, OPTION_LISTEN, "unix:/b");
    ck_assert_uint_eq(load_into(&others, text), 0);
    options_compare(&options, &others, on_change, told);
    ck_assert_str_eq(told, "listen: - > unix:/b\n");
    ck_assert_uint_eq(load_into(&others, "[daemon]\nlisten = unix:/a\n"), 0);
    options_compare(&options, &others, on_change, told);
    ck_assert_str_eq(told, ""); /* it never was there to be taken away */
}
END_TEST

START_TEST(a_value_that_is_kept_stays_in_force)
{
    load("[daemon]\nworkers = 3\n");
    load_into(&others, "[daemon]\nworkers = 5\n");
    options_keep(&others, &options, OPTION_WORKERS);
    ck_assert_uint_eq(others.workers, 3);
    ck_assert_str_eq(others.values[OPTION_WORKERS].text, "3");
    ck_assert_str_eq(options.values[OPTION_WORKERS].text, "5");
    strcpy(others.values[OPTION_WORKERS].text,
           "x"); /* also what depends on the machine is what it was: its meaning */
    strcpy(others.values[OPTION_WORKERS].meaning, "2");
    options_keep(&options, &others, OPTION_WORKERS);
    ck_assert_uint_eq(options.workers, 2);
}
END_TEST

static void add_tests(Suite *suite)
{
    TCase *tcase = suite_case(suite, "load", setup, teardown);
    tcase_add_test(tcase, the_list_is_sound);
    tcase_add_test(tcase, defaults_are_values);
    tcase_add_test(tcase, without_anything_there_are_defaults);
    tcase_add_test(tcase, the_file_wins_over_defaults_and_the_command_line_over_both);
    tcase_add_test(tcase, addresses_take_the_place_of_others);
    tcase_add_test(tcase, a_default_address_that_is_not_needed_is_not_looked_at);
    tcase_add_test(tcase, the_default_address_is_dropped_for_sockets);
    tcase = suite_case(suite, "refused", setup, teardown);
    tcase_add_test(tcase, unknown_keys_and_sections_come_with_what_was_meant);
    tcase_add_test(tcase, below_an_unknown_section_values_are_looked_at);
    tcase_add_test(tcase, bad_values_come_with_the_fix);
    tcase_add_test(tcase, saves_that_would_go_nowhere);
    tcase_add_test(tcase, values_given_twice);
    tcase_add_test(tcase, too_many_addresses);
    tcase_add_test(tcase, the_command_line_is_held_to_the_same);
    tcase_add_test(tcase, a_value_of_any_length_comes_with_its_fix);
    tcase_add_test(tcase, sizes_mean_what_they_say);
}

int main(void)
{
    Suite *suite = suite_create("options");
    add_tests(suite);
    TCase *tcase = suite_case(suite, "print", setup, teardown);
    tcase_add_test(tcase, what_is_printed_is_a_file_that_means_the_same);
    tcase_add_test(tcase, what_is_printed_has_its_sources);
    tcase_add_test(tcase, a_file_of_any_name_is_a_comment);
    tcase = suite_case(suite, "compare", setup, teardown);
    tcase_add_test(tcase, some_values_can_change_while_it_runs);
    tcase_add_test(tcase, each_value_that_means_something_else_is_told);
    tcase_add_test(tcase, a_percentage_of_something_else_is_told);
    tcase_add_test(tcase, addresses_that_go_are_told_before_those_that_come);
    tcase_add_test(tcase, addresses_of_the_command_line_stay);
    tcase_add_test(tcase, an_address_that_failed_is_told_again);
    tcase_add_test(tcase, a_value_that_is_kept_stays_in_force);
    return suite_run(suite);
}
