/* SPDX-License-Identifier: BSD-3-Clause */
#include "client/bench/options.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/bench/keys.h"
#include "client/bench/schedule.h"

#define TIME_MAX_S 1e6 /* of a run: eleven days */

bool bench_parse_time(const char *text, uint64_t *ret_ns)
{
    static const struct {
        const char *name;
        double ns;
    } units[] = {{"", 1e9}, {"s", 1e9}, {"ms", 1e6}, {"m", 60e9}, {"h", 3600e9}};
    char *end;
    if (!isdigit((unsigned char)text[0]))
        return false;
    double number = strtod(text, &end);
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        if (strcmp(end, units[i].name) == 0 && number * units[i].ns <= TIME_MAX_S * 1e9) {
            *ret_ns = (uint64_t)(number * units[i].ns + 0.5);
            return true;
        }
    }
    return false;
}

bool bench_parse_count(const char *text, uint64_t *ret)
{
    char digits[24];
    uint64_t number, factor = 1;
    size_t size = strlen(text);
    if (size == 0 || size >= sizeof digits)
        return false;
    memcpy(digits, text, size + 1);
    if (digits[size - 1] == 'k' || digits[size - 1] == 'K')
        factor = 1000;
    else if (digits[size - 1] == 'm' || digits[size - 1] == 'M')
        factor = 1000000;
    if (factor != 1)
        digits[size - 1] = '\0';
    if (!cli_parse_uint(digits, &number) || number > UINT64_MAX / factor)
        return false;
    *ret = number * factor;
    return true;
}

/* ---- One option ---------------------------------------------------------------------------------------- */

/* A number of `least` ... `most`; `*ret` stays as it is when the option is not given. */
static const char *take_number(const struct cli_args *args, enum cli_option option, uint64_t least,
                               uint64_t most, uint64_t *ret, char problem[256])
{
    uint64_t number;
    if (!cli_given(args, option))
        return NULL;
    if (bench_parse_count(args->value[option], &number) && number >= least && number <= most) {
        *ret = number;
        return NULL;
    }
    snprintf(problem, 256, "%s must be a number %" PRIu64 " ... %" PRIu64, cli_options[option].name, least,
             most);
    return problem;
}

static const char *take_u32(const struct cli_args *args, enum cli_option option, uint32_t most, uint32_t *ret,
                            char problem[256])
{
    uint64_t number = *ret;
    const char *wrong = take_number(args, option, 1, most, &number, problem);
    *ret = (uint32_t)number;
    return wrong;
}

static const char *take_time(const struct cli_args *args, enum cli_option option, uint64_t least_ns,
                             uint64_t *ret_ns, char problem[256])
{
    if (!cli_given(args, option) || (bench_parse_time(args->value[option], ret_ns) && *ret_ns >= least_ns))
        return NULL;
    snprintf(problem, 256, "%s must be a time such as 10, 2.5s, 500ms or 1m", cli_options[option].name);
    return problem;
}

static const char *take_mix(const struct cli_args *args, struct bench_options *ret, char problem[256])
{
    char reason[200];
    const char *text = cli_given(args, CLI_OPT_MIX) ? args->value[CLI_OPT_MIX] : bench_named_mixes[0].name;
    const char *wrong = bench_mix_parse(text, &ret->mix, reason);
    if (wrong == NULL)
        return NULL;
    snprintf(problem, 256, "--mix: %s", wrong);
    return problem;
}

static const char *take_value_and_skew(const struct cli_args *args, struct bench_options *ret,
                                       char problem[256])
{
    const char *wrong;
    if (cli_given(args, CLI_OPT_VALUE) &&
        (wrong = bench_sizes_parse(args->value[CLI_OPT_VALUE], &ret->sizes)) != NULL) {
        snprintf(problem, 256, "--value: %s", wrong);
        return problem;
    }
    if (cli_given(args, CLI_OPT_SKEW) &&
        (wrong = bench_skew_parse(args->value[CLI_OPT_SKEW], &ret->exponent)) != NULL) {
        snprintf(problem, 256, "--skew: %s", wrong);
        return problem;
    }
    return NULL;
}

/* ---- All of them --------------------------------------------------------------------------------------- */

const char *bench_options_parse(const struct cli_args *args, struct bench_options *ret, char problem[256])
{
    const char *wrong;
    *ret = (struct bench_options){
        .sizes = {.part = {{.least = 64, .most = 64, .weight = 1}}, .count = 1},
        .connections = 50,
        .threads = 1,
        .pools = 1,
        .objects = 100000,
        .duration_ns = 10 * BENCH_SECOND,
        .warmup_ns = BENCH_SECOND,
        .seed = 1,
    };
    if ((wrong = take_mix(args, ret, problem)) != NULL ||
        (wrong = take_value_and_skew(args, ret, problem)) != NULL ||
        (wrong = take_u32(args, CLI_OPT_CONNECTIONS, BENCH_CONNECTIONS_MAX, &ret->connections, problem)) !=
            NULL ||
        (wrong = take_u32(args, CLI_OPT_THREADS, BENCH_THREADS_MAX, &ret->threads, problem)) != NULL ||
        (wrong = take_u32(args, CLI_OPT_POOLS, BENCH_POOLS_MAX, &ret->pools, problem)) != NULL ||
        (wrong = take_u32(args, CLI_OPT_OBJECTS, BENCH_OBJECTS_MAX, &ret->objects, problem)) != NULL ||
        (wrong = take_number(args, CLI_OPT_COUNT, 1, UINT64_MAX / 2, &ret->count, problem)) != NULL ||
        (wrong = take_number(args, CLI_OPT_RATE, 1, BENCH_RATE_MAX, &ret->rate, problem)) != NULL ||
        (wrong = take_number(args, CLI_OPT_SEED, 0, UINT64_MAX, &ret->seed, problem)) != NULL ||
        (wrong = take_time(args, CLI_OPT_DURATION, 1, &ret->duration_ns, problem)) != NULL ||
        (wrong = take_time(args, CLI_OPT_WARMUP, 0, &ret->warmup_ns, problem)) != NULL)
        return wrong;
    ret->depth = ret->rate != 0 ? BENCH_DEPTH_OPEN : BENCH_DEPTH_CLOSED;
    if (cli_given(args, CLI_OPT_COUNT) &&
        (cli_given(args, CLI_OPT_DURATION) || cli_given(args, CLI_OPT_WARMUP)))
        return "--count measures all operations from the first on: it goes without --duration and --warmup";
    return take_u32(args, CLI_OPT_DEPTH, BENCH_DEPTH_MAX, &ret->depth, problem);
}

const char *bench_options_check(const struct bench_options *options, char problem[256])
{
    if (options->threads > options->connections) {
        snprintf(problem, 256, "--threads %u needs as many --connections", options->threads);
        return problem;
    }
    if (options->pools > options->connections) {
        snprintf(problem, 256, "--pools %u needs as many --connections", options->pools);
        return problem;
    }
    if (options->pool != NULL && options->pools != 1)
        return "--pools makes pools of its own: it goes without --pool";
    if (options->mix.weight[BENCH_OP_LINK] != 0 && options->objects < 2)
        return "link needs at least two --objects";
    return NULL;
}
