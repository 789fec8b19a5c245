/* SPDX-License-Identifier: BSD-3-Clause */
/* The command line's words: options, lines, numbers. */
#include "client/cli/args.h"
#include "client/cli/cli.h"
#include "proto/methods.h"
#include "tests/lib/suite.h"

#include <string.h>

static struct cli_args args;
static char problem[160];
static unsigned used;

static void teardown(void)
{
    cli_args_done(&args);
}

#define EVERY ((UINT64_C(1) << CLI_OPTION_COUNT) - 1)

/* Parses words up to the NULL, each of which is a literal: the parser does not write to them. */
static const char *parse(uint64_t allowed, bool stop, const char *const *words)
{
    static char copy[16][64];
    char *list[16];
    unsigned count = 0;
    for (; words[count] != NULL; count++) {
        strcpy(copy[count], words[count]);
        list[count] = copy[count];
    }
    return cli_args_parse(list, count, allowed, stop, &args, &used, problem);
}
#define PARSE(...) parse(EVERY, false, (const char *const[]){__VA_ARGS__, NULL})

/* ---- Options ---- */

START_TEST(options_and_positionals_in_any_order)
{
    ck_assert_ptr_null(PARSE("a", "--tag", "t", "b", "--seal", "--limit=5"));
    ck_assert_uint_eq(args.count, 2);
    ck_assert_str_eq(args.positional[0], "a");
    ck_assert_str_eq(args.positional[1], "b");
    ck_assert_str_eq(args.value[CLI_OPT_TAG], "t");
    ck_assert_str_eq(args.value[CLI_OPT_LIMIT], "5");
    ck_assert(cli_given(&args, CLI_OPT_SEAL));
    ck_assert(!cli_given(&args, CLI_OPT_JSON));
}
END_TEST

START_TEST(dashes_that_are_no_options)
{
    ck_assert_ptr_null(PARSE("-", "-5", "--", "--tag", "-q"));
    ck_assert_uint_eq(args.count, 4);
    ck_assert_str_eq(args.positional[0], "-");
    ck_assert_str_eq(args.positional[1], "-5");
    ck_assert_str_eq(args.positional[2], "--tag");
    ck_assert(!cli_given(&args, CLI_OPT_QUIET));
}
END_TEST

START_TEST(short_options)
{
    ck_assert_ptr_null(PARSE("-s", "unix:/x", "-q", "-n", "3", "-h"));
    ck_assert_str_eq(args.value[CLI_OPT_ADDRESS], "unix:/x");
    ck_assert_str_eq(args.value[CLI_OPT_N], "3");
    ck_assert(cli_given(&args, CLI_OPT_QUIET) && cli_given(&args, CLI_OPT_HELP));
}
END_TEST

START_TEST(an_option_may_take_a_word_that_looks_like_one)
{
    ck_assert_ptr_null(PARSE("--tag", "--seal"));
    ck_assert_str_eq(args.value[CLI_OPT_TAG], "--seal");
    ck_assert(!cli_given(&args, CLI_OPT_SEAL));
}
END_TEST

START_TEST(an_option_may_have_an_empty_value)
{
    ck_assert_ptr_null(PARSE("--tag="));
    ck_assert_str_eq(args.value[CLI_OPT_TAG], "");
}
END_TEST

START_TEST(wrong_options_are_told)
{
    ck_assert_str_eq(PARSE("--nonsense"), "unknown option --nonsense");
    cli_args_done(&args);
    ck_assert_str_eq(PARSE("-x"), "unknown option -x");
    cli_args_done(&args);
    ck_assert_str_eq(PARSE("--tag"), "--tag needs TAG");
    cli_args_done(&args);
    ck_assert_str_eq(PARSE("--seal=yes"), "--seal takes no value");
    cli_args_done(&args);
    ck_assert_str_eq(PARSE("--ta", "x"), "unknown option --ta");
}
END_TEST

START_TEST(options_of_other_commands_are_unknown)
{
    ck_assert_ptr_nonnull(parse(CLI_GENERAL_BITS, false, (const char *const[]){"--tag", "t", NULL}));
}
END_TEST

START_TEST(parsing_stops_behind_the_command)
{
    ck_assert_ptr_null(parse(CLI_GENERAL_BITS, true, (const char *const[]){"-q", "put", "--tag", "t", NULL}));
    ck_assert_str_eq(args.command, "put");
    ck_assert_uint_eq(used, 2);
    ck_assert(cli_given(&args, CLI_OPT_QUIET));
}
END_TEST

/* ---- Commands ---- */

START_TEST(every_method_has_a_command)
{
#define HAS(name, params, options, flags, since)                                                             \
    ck_assert_msg(cli_command_find(#name) != NULL, "no command " #name);
    HF_METHODS(HAS)
#undef HAS
}
END_TEST

START_TEST(commands_are_found_with_dash_or_underscore)
{
    ck_assert_ptr_nonnull(cli_command_find("pool_create"));
    ck_assert_ptr_eq(cli_command_find("pool-create"), cli_command_find("pool_create"));
    ck_assert_ptr_null(cli_command_find("pool"));
    ck_assert_ptr_null(cli_command_find("pool_created"));
    ck_assert_ptr_null(cli_command_find(""));
}
END_TEST

/* ---- Lines ---- */

static char line[256];
static char *words[8];

static int split(const char *text)
{
    strcpy(line, text);
    return cli_split(line, words, 8);
}

START_TEST(words_are_split_at_blanks)
{
    ck_assert_int_eq(split("  put\thello  --tag x \n"), 4);
    ck_assert_str_eq(words[0], "put");
    ck_assert_str_eq(words[1], "hello");
    ck_assert_str_eq(words[3], "x");
}
END_TEST

START_TEST(quotes_keep_blanks)
{
    ck_assert_int_eq(split("put 'a b' \"c 'd' \\\"e\\\"\" f\\ g '' a'b'\"c\""), 6);
    ck_assert_str_eq(words[1], "a b");
    ck_assert_str_eq(words[2], "c 'd' \"e\"");
    ck_assert_str_eq(words[3], "f g");
    ck_assert_str_eq(words[4], "");
    ck_assert_str_eq(words[5], "abc");
}
END_TEST

START_TEST(json_in_single_quotes_stays_as_it_is)
{
    ck_assert_int_eq(split("put --json '{\"a\": \"b\\n\"}'"), 3);
    ck_assert_str_eq(words[2], "{\"a\": \"b\\n\"}");
}
END_TEST

START_TEST(comments_and_empty_lines_have_no_words)
{
    ck_assert_int_eq(split(""), 0);
    ck_assert_int_eq(split(" \t\n"), 0);
    ck_assert_int_eq(split("# put x"), 0);
    ck_assert_int_eq(split("get 1 # one"), 2);
    ck_assert_int_eq(split("put a#b"), 2);
}
END_TEST

START_TEST(open_quotes_and_too_many_words_are_told)
{
    ck_assert_int_eq(split("put 'a"), -1);
    ck_assert_int_eq(split("put \"a\\\""), -1);
    ck_assert_int_eq(split("1 2 3 4 5 6 7 8"), 8);
    ck_assert_int_eq(split("1 2 3 4 5 6 7 8 9"), -2);
}
END_TEST

/* ---- Numbers ---- */

START_TEST(ids_have_a_range)
{
    hf_id id;
    ck_assert(cli_parse_id("9007199254740991", &id));
    ck_assert_int_eq(id, 9007199254740991);
    ck_assert(!cli_parse_id("9007199254740992", &id));
    ck_assert(!cli_parse_id("0", &id));
    ck_assert(!cli_parse_id("-1", &id));
    ck_assert(!cli_parse_id("", &id));
    ck_assert(!cli_parse_id("1x", &id));
    ck_assert(!cli_parse_id(" 1", &id));
    ck_assert(!cli_parse_id("99999999999999999999", &id));
}
END_TEST

START_TEST(sizes_have_units)
{
    uint64_t size;
    ck_assert(cli_parse_size("4096", &size) && size == 4096);
    ck_assert(cli_parse_size("64M", &size) && size == 64u << 20);
    ck_assert(cli_parse_size("2k", &size) && size == 2048);
    ck_assert(cli_parse_size("3GiB", &size) && size == 3ull << 30);
    ck_assert(cli_parse_size("16777215T", &size) && size == 16777215ull << 40);
    ck_assert(!cli_parse_size("16777216T", &size));
    ck_assert(!cli_parse_size("M", &size));
    ck_assert(!cli_parse_size("1X", &size));
    ck_assert(!cli_parse_size("1KX", &size));
    ck_assert(!cli_parse_size("-1", &size));
    ck_assert(!cli_parse_size("", &size));
}
END_TEST

START_TEST(refs_are_ids_and_nils)
{
    size_t count = 0;
    hf_id *refs = cli_parse_refs("7,nil,9007199254740991", &count);
    ck_assert_ptr_nonnull(refs);
    ck_assert_uint_eq(count, 3);
    ck_assert_int_eq(refs[0], 7);
    ck_assert_int_eq(refs[1], 0);
    ck_assert_int_eq(refs[2], 9007199254740991);
    free(refs);
    ck_assert_ptr_null(cli_parse_refs("", &count));
    ck_assert_ptr_null(cli_parse_refs("1,", &count));
    ck_assert_ptr_null(cli_parse_refs(",1", &count));
    ck_assert_ptr_null(cli_parse_refs("1;2", &count));
}
END_TEST

START_TEST(tickets_are_32_digits)
{
    uint8_t ticket[HF_KEY_BYTES];
    ck_assert(cli_parse_ticket("000102030405060708090a0b0c0d0eFf", ticket));
    ck_assert_uint_eq(ticket[1], 1);
    ck_assert_uint_eq(ticket[15], 0xff);
    ck_assert(!cli_parse_ticket("000102030405060708090a0b0c0d0ef", ticket));
    ck_assert(!cli_parse_ticket("000102030405060708090a0b0c0d0e0g", ticket));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("client args");
    TCase *options = suite_case(suite, "options", NULL, teardown);
    tcase_add_test(options, options_and_positionals_in_any_order);
    tcase_add_test(options, dashes_that_are_no_options);
    tcase_add_test(options, short_options);
    tcase_add_test(options, an_option_may_take_a_word_that_looks_like_one);
    tcase_add_test(options, an_option_may_have_an_empty_value);
    tcase_add_test(options, wrong_options_are_told);
    tcase_add_test(options, options_of_other_commands_are_unknown);
    tcase_add_test(options, parsing_stops_behind_the_command);
    TCase *commands = suite_case(suite, "commands", NULL, NULL);
    tcase_add_test(commands, every_method_has_a_command);
    tcase_add_test(commands, commands_are_found_with_dash_or_underscore);
    TCase *lines = suite_case(suite, "lines", NULL, NULL);
    tcase_add_test(lines, words_are_split_at_blanks);
    tcase_add_test(lines, quotes_keep_blanks);
    tcase_add_test(lines, json_in_single_quotes_stays_as_it_is);
    tcase_add_test(lines, comments_and_empty_lines_have_no_words);
    tcase_add_test(lines, open_quotes_and_too_many_words_are_told);
    TCase *numbers = suite_case(suite, "numbers", NULL, NULL);
    tcase_add_test(numbers, ids_have_a_range);
    tcase_add_test(numbers, sizes_have_units);
    tcase_add_test(numbers, refs_are_ids_and_nils);
    tcase_add_test(numbers, tickets_are_32_digits);
    return suite_run(suite);
}
