/* SPDX-License-Identifier: BSD-3-Clause */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "client/bench/keys.h"
#include "client/bench/report.h"
#include "client/cli/print.h"
#include "proto/rpc.h"

#define BUSY   0.9     /* a thread that uses so much of a core is the limit */
#define WAITED 0.1     /* or one that was kept from its core so much of the time */
#define LAG_NS 1000000 /* or one that turns to one request in a hundred so late */

char *bench_format_us(double us, char to[16])
{
    if (us < 99.95)
        snprintf(to, 16, "%.1f us", us);
    else if (us < 999.5)
        snprintf(to, 16, "%.0f us", us);
    else if (us < 99.95e3)
        snprintf(to, 16, "%.2f ms", us / 1e3);
    else if (us < 999.5e3)
        snprintf(to, 16, "%.0f ms", us / 1e3);
    else
        snprintf(to, 16, "%.2f s", us / 1e6);
    return to;
}

/* ---- Remarks ------------------------------------------------------------------------------------------- */

static bool was_late(const struct bench_options *options, const struct bench_result *result)
{
    return options->rate != 0 && bench_histogram_at(&result->record->lag, 0.99) >= LAG_NS;
}

bool bench_report_limited(const struct bench_options *options, const struct bench_result *result)
{
    return result->own_share >= BUSY || result->own_waited >= WAITED || was_late(options, result);
}

static bool remark_busy(const struct bench_options *options, const struct bench_result *result,
                        char text[256])
{
    (void)options;
    bool both = result->server_known && result->server_share >= BUSY;
    snprintf(
        text, 256,
        both ? "generator and daemon were both at their limit (%.0f %% of a core): the daemon may be able to "
               "do more; try --threads %u"
             : "the generator was the limit (%.0f %% of a core): the daemon can do more; try --threads %u",
        100 * result->own_share, 2 * options->threads);
    return result->own_share >= BUSY;
}

static bool remark_waited(const struct bench_options *options, const struct bench_result *result,
                          char text[256])
{
    (void)options;
    snprintf(
        text, 256,
        "the generator waited %.0f %% of the time for a core, so it was the limit: give it a core of its own "
        "(taskset)",
        100 * result->own_waited);
    return result->own_waited >= WAITED;
}

static bool remark_late(const struct bench_options *options, const struct bench_result *result,
                        char text[256])
{
    char lag[16];
    bench_format_us((double)bench_histogram_at(&result->record->lag, 0.99) / 1e3, lag);
    snprintf(
        text, 256,
        "the generator itself was late: one request in a hundred was turned to %s after it was due, or later",
        lag);
    return was_late(options, result);
}

static bool remark_unsent(const struct bench_options *options, const struct bench_result *result,
                          char text[256])
{
    snprintf(text, 256,
             "the daemon did not keep up with --rate %" PRIu64 ": %" PRIu64
             " requests that were due were not sent; with them all latencies would be higher",
             options->rate, result->record->unsent);
    return result->record->unsent != 0;
}

static bool remark_unanswered(const struct bench_options *options, const struct bench_result *result,
                              char text[256])
{
    (void)options;
    snprintf(text, 256, "%" PRIu64 " requests had no answer yet when the run was given up; they do not count",
             result->record->unanswered);
    return result->record->unanswered != 0;
}

static bool remark_interrupted(const struct bench_options *options, const struct bench_result *result,
                               char text[256])
{
    (void)options;
    snprintf(text, 256, "ended early by a signal, after %.1f s", result->seconds);
    return result->interrupted;
}

bool bench_report_remark(const struct bench_options *options, const struct bench_result *result,
                         unsigned number, char text[256])
{
    static bool (*const remarks[])(const struct bench_options *, const struct bench_result *, char[256]) = {
        remark_interrupted, remark_unanswered, remark_unsent, remark_late, remark_waited, remark_busy,
    };
    for (size_t i = 0; i < sizeof remarks / sizeof remarks[0]; i++) {
        if (remarks[i](options, result, text) && number-- == 0)
            return true;
    }
    return false;
}

/* ---- The table ----------------------------------------------------------------------------------------- */

static void print_head(FILE *out)
{
    fprintf(out, "%-18s%12s%12s%10s", "REQUEST", "COUNT", "PER SECOND", "MEAN");
#define HEAD(key, head, share) fprintf(out, "%10s", head);
    BENCH_PERCENTILES(HEAD)
#undef HEAD
    fprintf(out, "%10s\n", "MAX");
}

static void print_us(FILE *out, double ns)
{
    fprintf(out, "%10s", bench_format_us(ns / 1e3, (char[16]){0}));
}

static void print_row(FILE *out, const char *name, uint64_t requests, double seconds,
                      const struct bench_histogram *histogram)
{
    fprintf(out, "%-18s%12" PRIu64 "%12.0f", name, requests, (double)requests / seconds);
    print_us(out, bench_histogram_mean(histogram));
#define CELL(key, head, share) print_us(out, (double)bench_histogram_at(histogram, share));
    BENCH_PERCENTILES(CELL)
#undef CELL
    print_us(out, (double)histogram->max);
    putc('\n', out);
}

static void print_steps(FILE *out, const struct bench_result *result)
{
    for (unsigned step = 0; step < BENCH_STEP_COUNT; step++) {
        const struct bench_step_record *record = &result->record->step[step];
        const struct bench_operation_info *operation = &bench_operations[bench_steps[step].operation];
        uint64_t requests = record->latency.count + bench_record_step_errors(record);
        char name[32];
        if (requests == 0)
            continue;
        if (operation->first == (enum bench_step)step)
            snprintf(name, sizeof name, "%s", operation->name);
        else
            snprintf(name, sizeof name, "  then %s", bench_steps[step].method);
        print_row(out, name, requests, result->seconds, &record->latency);
    }
}

static void print_errors(FILE *out, const struct bench_result *result)
{
    for (unsigned step = 0; step < BENCH_STEP_COUNT; step++) {
        const struct bench_step_record *record = &result->record->step[step];
        for (int code = 0; code < HF_E_COUNT; code++) {
            if (record->errors[code] != 0)
                fprintf(out, "errors of %s: %" PRIu64 " %s\n", bench_steps[step].method, record->errors[code],
                        code != 0 ? hfp_err_name(code) : "OTHER");
        }
        if (record->error_text[0] != '\0')
            fprintf(out, "  the first one: %s\n", record->error_text);
    }
}

static void print_setting(FILE *out, const struct bench_options *options, const struct bench_result *result)
{
    fprintf(out, "%s %s, pool %s: %" PRIu32 " objects%s, values of %s bytes, %s\n", result->server,
            result->version, result->pool, options->objects, options->pools > 1 ? " in each pool" : "",
            bench_sizes_format(&options->sizes, (char[BENCH_SIZES_TEXT_MAX]){0}),
            bench_skew_format(options->exponent, (char[BENCH_SKEW_TEXT_MAX]){0}));
    if (options->rate != 0)
        fprintf(out, "open loop of %" PRIu64 " requests a second: ", options->rate);
    else
        fputs("closed loop: ", out);
    fprintf(out,
            "%" PRIu32 " connections, depth %" PRIu32 ", %" PRIu32 " thread%s, %" PRIu32
            " pool%s, %.3g s\n\n",
            options->connections, options->depth, options->threads, options->threads == 1 ? "" : "s",
            options->pools, options->pools == 1 ? "" : "s", result->seconds);
}

static void print_cpu(FILE *out, const struct bench_result *result)
{
    fprintf(out, "\ngenerator: %.0f ns a request, busiest thread %.0f %% of a core\n", result->own_ns,
            100 * result->own_share);
    if (result->server_known)
        fprintf(out, "daemon:    %.0f ns a request, busiest thread %.0f %% of a core, %.2f cores in all\n",
                result->server_ns, 100 * result->server_share, result->server_cores);
}

void bench_report_print(FILE *out, const struct bench_options *options, const struct bench_result *result)
{
    struct bench_histogram *overall = bench_result_overall(result->record);
    print_setting(out, options, result);
    print_head(out);
    print_steps(out, result);
    if (overall != NULL)
        print_row(out, "all", bench_record_requests(result->record), result->seconds, overall);
    free(overall);
    print_errors(out, result);
    print_cpu(out, result);
}
