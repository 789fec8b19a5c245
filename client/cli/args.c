/* SPDX-License-Identifier: BSD-3-Clause */
#include "client/cli/args.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ID_MAX ((INT64_C(1) << 53) - 1)

const struct cli_option_info cli_options[CLI_OPTION_COUNT] = {
#define INFO(symbol, name_, metavariable_, help_)                                                            \
    [CLI_OPT_##symbol] = {.name = (name_), .metavariable = (metavariable_), .help = (help_)},
    CLI_OPTIONS_GENERAL(INFO) CLI_OPTIONS_SPECIAL(INFO)
#undef INFO
};

_Static_assert(CLI_OPTION_COUNT <= 64, "a set of options is one 64-bit word");

/* ---- Options ------------------------------------------------------------------------------------------- */

/* The option a word names, CLI_OPTION_COUNT if none. `*ret_value` is what follows '=', or NULL. */
static unsigned find_option(const char *word, const char **ret_value)
{
    static const struct {
        char letter;
        unsigned char option;
    } letters[] = {{'s', CLI_OPT_ADDRESS},
                   {'q', CLI_OPT_QUIET},
                   {'h', CLI_OPT_HELP},
                   {'n', CLI_OPT_N},
                   {'V', CLI_OPT_VERSION}};
    *ret_value = NULL;
    if (word[1] != '-') {
        for (size_t i = 0; i < sizeof letters / sizeof letters[0]; i++) {
            if (word[1] == letters[i].letter && word[2] == '\0')
                return letters[i].option;
        }
        return CLI_OPTION_COUNT;
    }
    const char *equals = strchr(word, '=');
    size_t size = equals != NULL ? (size_t)(equals - word) : strlen(word);
    for (unsigned i = 0; i < CLI_OPTION_COUNT; i++) {
        const char *name = cli_options[i].name;
        if (strlen(name) == size && memcmp(name, word, size) == 0) {
            *ret_value = equals != NULL ? equals + 1 : NULL;
            return i;
        }
    }
    return CLI_OPTION_COUNT;
}

static bool is_option(const char *word)
{
    return word[0] == '-' && word[1] != '\0' && !isdigit((unsigned char)word[1]);
}

/* Takes one option, and the next word where it needs one: `*at` is the place of the word read last. */
static bool take_option(char *const *words, unsigned count, unsigned *at, uint64_t allowed,
                        struct cli_args *ret, char problem[160])
{
    const char *word = words[*at];
    const char *value;
    unsigned option = find_option(word, &value);
    if (option == CLI_OPTION_COUNT || (allowed >> option & 1) == 0) {
        snprintf(problem, 160, "unknown option %.100s", word);
        return false;
    }
    const struct cli_option_info *info = &cli_options[option];
    if (info->metavariable == NULL && value != NULL) {
        snprintf(problem, 160, "%s takes no value", info->name);
        return false;
    }
    if (info->metavariable != NULL && value == NULL) {
        if (*at + 1 >= count) {
            snprintf(problem, 160, "%s needs %s", info->name, info->metavariable);
            return false;
        }
        value = words[++*at];
    }
    ret->given |= UINT64_C(1) << option;
    ret->value[option] = value;
    return true;
}

const char *cli_args_parse(char *const *words, unsigned count, uint64_t allowed, bool stop_at_command,
                           struct cli_args *ret, unsigned *ret_used, char problem[160])
{
    bool options = true;
    unsigned at;
    *ret = (struct cli_args){.positional = calloc((size_t)count + 1, sizeof *ret->positional)};
    if (ret->positional == NULL)
        return "no memory";
    for (at = 0; at < count; at++) {
        char *word = words[at];
        if (options && strcmp(word, "--") == 0) {
            options = false;
            continue;
        }
        if (options && is_option(word)) {
            if (!take_option(words, count, &at, allowed, ret, problem))
                return problem;
            continue;
        }
        if (stop_at_command) {
            ret->command = word;
            at++;
            break;
        }
        ret->positional[ret->count++] = word;
    }
    *ret_used = at;
    return NULL;
}

void cli_args_done(struct cli_args *args)
{
    free(args->positional);
    *args = (struct cli_args){0};
}

/* ---- Lines --------------------------------------------------------------------------------------------- */

/* Copies one word down to where it starts, without quotes. The place behind it, or NULL: a quote is open. */
static char *take_word(char *at)
{
    char *to = at;
    char quote = '\0';
    for (; *at != '\0'; at++) {
        char c = *at;
        if (quote == '\0' && isspace((unsigned char)c))
            break;
        if (c == '\\' && quote != '\'' && at[1] != '\0') {
            *to++ = *++at;
        } else if (quote == '\0' && (c == '\'' || c == '"')) {
            quote = c;
        } else if (quote != '\0' && c == quote) {
            quote = '\0';
        } else {
            *to++ = c;
        }
    }
    if (quote != '\0')
        return NULL;
    char *behind = *at == '\0' ? at : at + 1;
    *to = '\0';
    return behind;
}

int cli_split(char *line, char **words, int max)
{
    int count = 0;
    for (char *at = line;;) {
        while (isspace((unsigned char)*at))
            at++;
        if (*at == '\0' || *at == '#')
            return count;
        if (count == max)
            return -2;
        words[count++] = at;
        at = take_word(at);
        if (at == NULL)
            return -1;
    }
}

/* ---- Numbers ------------------------------------------------------------------------------------------- */

bool cli_parse_int(const char *text, int64_t *ret)
{
    char *end;
    if (text[0] == '\0' || isspace((unsigned char)text[0]))
        return false;
    errno = 0;
    long long number = strtoll(text, &end, 10);
    if (errno != 0 || *end != '\0')
        return false;
    *ret = number;
    return true;
}

bool cli_parse_uint(const char *text, uint64_t *ret)
{
    char *end;
    if (!isdigit((unsigned char)text[0]))
        return false;
    errno = 0;
    unsigned long long number = strtoull(text, &end, 10);
    if (errno != 0 || *end != '\0')
        return false;
    *ret = number;
    return true;
}

bool cli_parse_id(const char *text, hf_id *ret)
{
    int64_t id;
    if (!cli_parse_int(text, &id) || id < 1 || id > ID_MAX)
        return false;
    *ret = id;
    return true;
}

bool cli_parse_size(const char *text, uint64_t *ret)
{
    static const char units[] = "KMGT";
    char *end;
    if (!isdigit((unsigned char)text[0]))
        return false;
    errno = 0;
    unsigned long long number = strtoull(text, &end, 10);
    unsigned shift = 0;
    if (*end != '\0') {
        const char *unit = strchr(units, toupper((unsigned char)*end));
        if (unit == NULL || (end[1] != '\0' && strcmp(end + 1, "iB") != 0 && strcmp(end + 1, "B") != 0))
            return false;
        shift = 10 * (unsigned)(unit - units + 1);
    }
    if (errno != 0 || number > UINT64_MAX >> shift)
        return false;
    *ret = number << shift;
    return true;
}

static bool parse_ref(const char *text, size_t size, hf_id *ret)
{
    char digits[24];
    if (size == 3 && memcmp(text, "nil", 3) == 0) {
        *ret = 0;
        return true;
    }
    if (size == 0 || size >= sizeof digits)
        return false;
    memcpy(digits, text, size);
    digits[size] = '\0';
    return cli_parse_id(digits, ret);
}

hf_id *cli_parse_refs(const char *text, size_t *ret_count)
{
    size_t count = 0;
    hf_id *refs = calloc(strlen(text) / 2 + 1, sizeof *refs);
    while (refs != NULL) {
        size_t size = strcspn(text, ",");
        if (!parse_ref(text, size, &refs[count])) {
            free(refs);
            return NULL;
        }
        count++;
        if (text[size] == '\0')
            break;
        text += size + 1;
    }
    *ret_count = count;
    return refs;
}

static int hex_digit(char c)
{
    return isdigit((unsigned char)c) ? c - '0'
           : c >= 'a' && c <= 'f'    ? c - 'a' + 10
           : c >= 'A' && c <= 'F'    ? c - 'A' + 10
                                     : -1;
}

bool cli_parse_ticket(const char *text, uint8_t ticket[HF_KEY_BYTES])
{
    if (strlen(text) != 2 * HF_KEY_BYTES)
        return false;
    for (size_t i = 0; i < HF_KEY_BYTES; i++) {
        int high = hex_digit(text[2 * i]);
        int low = hex_digit(text[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        ticket[i] = (uint8_t)(high * 16 + low);
    }
    return true;
}
