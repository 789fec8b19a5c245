/* SPDX-License-Identifier: BSD-3-Clause */
#include "client/bench/operations.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct bench_operation_info bench_operations[BENCH_OPERATION_COUNT] = {
#define INFO(symbol, name_, needs_, first_, help_)                                                           \
    [BENCH_OP_##symbol] = {.name = (name_), .help = (help_), .needs = (needs_), .first = BENCH_STEP_##first_},
    BENCH_OPERATIONS(INFO)
#undef INFO
};

const struct bench_step_info bench_steps[BENCH_STEP_COUNT] = {
#define INFO(symbol, operation_, method_, result_, next_)                                                    \
    [BENCH_STEP_##symbol] = {.method = (method_),                                                            \
                             .operation = BENCH_OP_##operation_,                                             \
                             .result = BENCH_RESULT_##result_,                                               \
                             .next = BENCH_STEP_##next_},
    BENCH_STEPS(INFO)
#undef INFO
};

const struct bench_named_mix bench_named_mixes[] = {
    {"objects", "get=80,put=15,link=5", "objects that are read, made and linked"},
    {"cache", "fetch=90,store=10", "a cache: values by name"},
    {"sessions", "retain-foreign=40,retain-own=40,lookup=20", "references taken and given back"},
    {NULL, NULL, NULL},
};

static unsigned find_operation(const char *name, size_t size)
{
    unsigned i = 0;
    while (i < BENCH_OPERATION_COUNT &&
           (strlen(bench_operations[i].name) != size || memcmp(bench_operations[i].name, name, size) != 0))
        i++;
    return i;
}

static const char *unknown_operation(const char *name, size_t size, char problem[200])
{
    int at = snprintf(problem, 200, "no operation %.*s; there are", size > 30 ? 30 : (int)size, name);
    for (unsigned i = 0; i < BENCH_OPERATION_COUNT && at < 200; i++)
        at += snprintf(problem + at, 200 - (size_t)at, "%s %s", i == 0 ? "" : ",", bench_operations[i].name);
    return problem;
}

/* One "name=weight", or "name", which is "name=1". `size` bytes of text. */
static const char *parse_part(const char *text, size_t size, struct bench_mix *mix, char problem[200])
{
    const char *equals = memchr(text, '=', size);
    size_t name_size = equals != NULL ? (size_t)(equals - text) : size;
    unsigned operation = find_operation(text, name_size);
    if (operation == BENCH_OPERATION_COUNT)
        return unknown_operation(text, name_size, problem);
    uint32_t weight = 1;
    if (equals != NULL) {
        char *end = NULL;
        unsigned long number = isdigit((unsigned char)equals[1]) ? strtoul(equals + 1, &end, 10) : 0;
        if (end != text + size || number == 0 || number > BENCH_WEIGHT_MAX) {
            snprintf(problem, 200, "the weight of %s must be 1 ... %u", bench_operations[operation].name,
                     BENCH_WEIGHT_MAX);
            return problem;
        }
        weight = (uint32_t)number;
    }
    if (mix->weight[operation] != 0) {
        snprintf(problem, 200, "%s stands there twice", bench_operations[operation].name);
        return problem;
    }
    mix->weight[operation] = weight;
    return NULL;
}

const char *bench_mix_parse(const char *text, struct bench_mix *ret, char problem[200])
{
    struct bench_mix mix = {.weight = {0}};
    for (const struct bench_named_mix *named = bench_named_mixes; named->name != NULL; named++) {
        if (strcmp(named->name, text) == 0)
            text = named->text;
    }
    for (;;) {
        size_t size = strcspn(text, ",");
        const char *wrong = parse_part(text, size, &mix, problem);
        if (wrong != NULL)
            return wrong;
        if (text[size] == '\0')
            break;
        text += size + 1;
    }
    *ret = mix;
    return NULL;
}

unsigned bench_mix_needs(const struct bench_mix *mix)
{
    unsigned needs = BENCH_NEEDS_NOTHING;
    for (unsigned i = 0; i < BENCH_OPERATION_COUNT; i++) {
        if (mix->weight[i] != 0)
            needs |= bench_operations[i].needs;
    }
    return needs;
}
