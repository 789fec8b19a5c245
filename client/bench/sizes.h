/* SPDX-License-Identifier: BSD-3-Clause */
/* How large values are: one size, a range, or a list of them with weights. */
#ifndef HF_BENCH_SIZES_H
#define HF_BENCH_SIZES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/bench/random.h"

#define BENCH_SIZES_MAX      16u /* parts of a list */
#define BENCH_SIZES_TEXT_MAX 512u
#define BENCH_VALUE_MAX      (64u * 1024 * 1024) /* bytes: what one message of the wire contract may carry */

struct bench_sizes {
    struct {
        uint32_t least, most; /* all sizes between them are equally likely */
        uint32_t weight;
    } part[BENCH_SIZES_MAX];
    unsigned count; /* at least 1 */
};

/* Reads "64", "16-4K" or "64=80,1K=15,16K-64K=5": sizes of 0 ... BENCH_VALUE_MAX bytes, with K and M for powers of
 * 1024. NULL, or what is wrong (static). */
const char *bench_sizes_parse(const char *text, struct bench_sizes *ret);

/* The same text again, in bytes: equal for equal sizes. Returns `to`. */
char *bench_sizes_format(const struct bench_sizes *sizes, char to[BENCH_SIZES_TEXT_MAX]);

uint32_t bench_sizes_draw(const struct bench_sizes *sizes, struct bench_random *random);

/* Is there only one size? */
bool bench_sizes_fixed(const struct bench_sizes *sizes);

/* The largest one. */
uint32_t bench_sizes_most(const struct bench_sizes *sizes);

/* The mean, in bytes. */
double bench_sizes_mean(const struct bench_sizes *sizes);

#endif
