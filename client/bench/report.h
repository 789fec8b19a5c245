/* SPDX-License-Identifier: BSD-3-Clause */
/* What a run has found, for people and for programs. holdfast-bench(1) describes the JSON. */
#ifndef HF_BENCH_REPORT_H
#define HF_BENCH_REPORT_H

#include <jansson.h>
#include <stdio.h>

#include "client/bench/run.h"

#define BENCH_FORMAT 1 /* of the JSON; higher when a reader has to know */

/* The percentiles that are told. */
#define BENCH_PERCENTILES(X)                                                                                 \
    X(p50, "P50", 0.5)                                                                                       \
    X(p90, "P90", 0.9)                                                                                       \
    X(p99, "P99", 0.99)                                                                                      \
    X(p999, "P99.9", 0.999)                                                                                  \
    X(p9999, "P99.99", 0.9999)

/* All of it; `failure` NULL, or why the run was given up. To be ended with json_decref; NULL without memory. */
json_t *bench_report_json(const struct bench_options *options, const struct bench_result *result,
                          const char *failure);

/* A table. */
void bench_report_print(FILE *out, const struct bench_options *options, const struct bench_result *result);

/* Remarks about what makes the figures doubtful, one after the other, in `text`: number 0, 1, ... False when there are no
 * more. */
bool bench_report_remark(const struct bench_options *options, const struct bench_result *result,
                         unsigned number, char text[256]);

/* Was the generator, not the daemon, what set the pace? */
bool bench_report_limited(const struct bench_options *options, const struct bench_result *result);

/* "85 us", "1.25 ms", "3.4 s" into `to`, which is returned. */
char *bench_format_us(double us, char to[16]);

/* ---- Comparing ---- */

/* Compares two results read from JSON: prints the difference (`out` with JSON if `as_json`). False with what is wrong with
 * one of them in `problem`. */
bool bench_compare(FILE *out, const json_t *before, const json_t *after, bool as_json,
                   struct bench_problem *problem);

#endif
