/* SPDX-License-Identifier: BSD-3-Clause */
/* Which object a request is about: numbers 0 ... count - 1, all equally likely or by Zipf's law. */
#ifndef HF_BENCH_KEYS_H
#define HF_BENCH_KEYS_H

#include <stdint.h>

#include "client/bench/random.h"
#include "client/bench/zipf.h"

#define BENCH_EXPONENT_DEFAULT 0.99 /* that of YCSB, which many others use */
#define BENCH_EXPONENT_MAX     10.0
#define BENCH_SKEW_TEXT_MAX    32

/* 0: uniform; else the exponent of Zipf's law. Reads "uniform", "zipf" or "zipf:EXPONENT". NULL, or what is wrong
 * (static). */
const char *bench_skew_parse(const char *text, double *ret_exponent);

/* The same as text, equal for equal exponents. Returns `to`. */
char *bench_skew_format(double exponent, char to[BENCH_SKEW_TEXT_MAX]);

struct bench_keys {
    uint32_t count;
    double exponent;
    struct bench_zipf zipf;
    uint32_t stride; /* has no factor in common with `count` */
};

/* `count` > 0. */
void bench_keys_init(struct bench_keys *keys, uint32_t count, double exponent);

/* The object of a rank 1 ... count, another one for each: popular objects do not lie side by side. */
static inline uint32_t bench_keys_object(const struct bench_keys *keys, uint32_t rank)
{
    return (uint32_t)((uint64_t)rank * keys->stride % keys->count);
}

uint32_t bench_keys_draw(const struct bench_keys *keys, struct bench_random *random);

#endif
