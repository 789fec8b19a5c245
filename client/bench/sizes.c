/* SPDX-License-Identifier: BSD-3-Clause */
#include "client/bench/sizes.h"

#include <stdio.h>
#include <string.h>

#include "client/bench/operations.h"
#include "client/cli/args.h"

#define PART_SIZE 64

/* "64" or "16-4K". */
static bool parse_range(char *text, uint32_t *ret_least, uint32_t *ret_most)
{
    uint64_t least, most;
    char *dash = strchr(text, '-');
    if (dash != NULL)
        *dash = '\0';
    if (!cli_parse_size(text, &least) || !cli_parse_size(dash != NULL ? dash + 1 : text, &most) ||
        least > most || most > BENCH_VALUE_MAX)
        return false;
    *ret_least = (uint32_t)least;
    *ret_most = (uint32_t)most;
    return true;
}

static const char *parse_part(const char *text, size_t size, struct bench_sizes *sizes)
{
    char copy[PART_SIZE];
    uint64_t weight = 1;
    if (sizes->count == BENCH_SIZES_MAX)
        return "at most 16 sizes";
    if (size == 0 || size >= sizeof copy)
        return "give a size (64), a range (16-4K) or a list with weights (64=80,1K=20)";
    memcpy(copy, text, size);
    copy[size] = '\0';
    char *equals = strchr(copy, '=');
    if (equals != NULL) {
        *equals = '\0';
        if (!cli_parse_uint(equals + 1, &weight) || weight == 0 || weight > BENCH_WEIGHT_MAX)
            return "a weight must be 1 ... 1000000";
    }
    uint32_t least, most;
    if (!parse_range(copy, &least, &most))
        return "a size must be 0 ... 64M, a range LEAST-MOST";
    sizes->part[sizes->count].least = least;
    sizes->part[sizes->count].most = most;
    sizes->part[sizes->count++].weight = (uint32_t)weight;
    return NULL;
}

const char *bench_sizes_parse(const char *text, struct bench_sizes *ret)
{
    struct bench_sizes sizes = {.count = 0};
    for (;;) {
        size_t size = strcspn(text, ",");
        const char *wrong = parse_part(text, size, &sizes);
        if (wrong != NULL)
            return wrong;
        if (text[size] == '\0')
            break;
        text += size + 1;
    }
    *ret = sizes;
    return NULL;
}

char *bench_sizes_format(const struct bench_sizes *sizes, char to[BENCH_SIZES_TEXT_MAX])
{
    size_t at = 0; /* 16 parts of at most 8 + 1 + 8 + 1 + 7 + 1 characters */
    for (unsigned i = 0; i < sizes->count; i++) {
        uint32_t least = sizes->part[i].least, most = sizes->part[i].most;
        at += (size_t)snprintf(to + at, BENCH_SIZES_TEXT_MAX - at, "%s%u", i == 0 ? "" : ",", least);
        if (most != least)
            at += (size_t)snprintf(to + at, BENCH_SIZES_TEXT_MAX - at, "-%u", most);
        if (sizes->count > 1)
            at += (size_t)snprintf(to + at, BENCH_SIZES_TEXT_MAX - at, "=%u", sizes->part[i].weight);
    }
    return to;
}

static uint32_t total_weight(const struct bench_sizes *sizes)
{
    uint32_t total = 0;
    for (unsigned i = 0; i < sizes->count; i++)
        total += sizes->part[i].weight;
    return total;
}

uint32_t bench_sizes_draw(const struct bench_sizes *sizes, struct bench_random *random)
{
    unsigned part = 0;
    if (sizes->count > 1) {
        uint32_t point = bench_random_below(random, total_weight(sizes));
        while (point >= sizes->part[part].weight)
            point -= sizes->part[part++].weight;
    }
    uint32_t least = sizes->part[part].least, most = sizes->part[part].most;
    return least == most ? least : least + bench_random_below(random, most - least + 1);
}

bool bench_sizes_fixed(const struct bench_sizes *sizes)
{
    return sizes->count == 1 && sizes->part[0].least == sizes->part[0].most;
}

uint32_t bench_sizes_most(const struct bench_sizes *sizes)
{
    uint32_t most = 0;
    for (unsigned i = 0; i < sizes->count; i++) {
        if (sizes->part[i].most > most)
            most = sizes->part[i].most;
    }
    return most;
}

double bench_sizes_mean(const struct bench_sizes *sizes)
{
    double sum = 0;
    for (unsigned i = 0; i < sizes->count; i++)
        sum += sizes->part[i].weight * (((double)sizes->part[i].least + sizes->part[i].most) / 2);
    return sum / total_weight(sizes);
}
