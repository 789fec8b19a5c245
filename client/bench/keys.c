/* SPDX-License-Identifier: BSD-3-Clause */
#include "client/bench/keys.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *bench_skew_parse(const char *text, double *ret_exponent)
{
    static const char wrong[] = "give uniform, zipf or zipf:EXPONENT with an exponent above 0, at most 10";
    if (strcmp(text, "uniform") == 0) {
        *ret_exponent = 0;
        return NULL;
    }
    if (strncmp(text, "zipf", 4) != 0)
        return wrong;
    if (text[4] == '\0') {
        *ret_exponent = BENCH_EXPONENT_DEFAULT;
        return NULL;
    }
    char *end;
    double exponent = strtod(text + 5, &end);
    if (text[4] != ':' || end == text + 5 || *end != '\0' ||
        !(exponent > 0 && exponent <= BENCH_EXPONENT_MAX))
        return wrong;
    *ret_exponent = exponent;
    return NULL;
}

char *bench_skew_format(double exponent, char to[BENCH_SKEW_TEXT_MAX])
{
    if (exponent == 0)
        snprintf(to, BENCH_SKEW_TEXT_MAX, "uniform");
    else
        snprintf(to, BENCH_SKEW_TEXT_MAX, "zipf:%g", exponent);
    return to;
}

static uint32_t common_divisor(uint32_t a, uint32_t b)
{
    while (b != 0) {
        uint32_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

void bench_keys_init(struct bench_keys *keys, uint32_t count, double exponent)
{
    *keys = (struct bench_keys){.count = count, .exponent = exponent};
    if (exponent != 0)
        bench_zipf_init(&keys->zipf, count, exponent);
    /* The golden section: neighbours in rank end up far apart. */
    keys->stride = (uint32_t)(0.6180339887498949 * count) + 1;
    while (common_divisor(keys->stride, count) != 1)
        keys->stride++;
}

uint32_t bench_keys_draw(const struct bench_keys *keys, struct bench_random *random)
{
    if (keys->exponent == 0)
        return bench_random_below(random, keys->count);
    return bench_keys_object(keys, bench_zipf_draw(&keys->zipf, random));
}
