/* SPDX-License-Identifier: BSD-3-Clause */
/* slowlog, and the sections of `stats` about requests: how many, how long, how they ended. */
#include "daemon/server/book.h"
#include "daemon/server/handlers.h"

#include <string.h>

/* ---- the section `requests` ---- */

static uint64_t begun(const struct book_sum *book, enum hf_method method)
{
    return book->done[method] + book->running[method];
}

/* Those that a client learnt of or would have: not the ones given up. */
static uint64_t failed(const struct book_sum *book, enum hf_method method)
{
    uint64_t total = 0;

    for (int code = HF_OK + 1; code < HF_E_COUNT; code++)
        total += book->codes[method][code];
    return total;
}

static void reply_by_method(struct call *call, const struct book_sum *book)
{
    uint32_t methods = 0;

    for (enum hf_method method = HF_METHOD_NONE + 1; method < HF_METHOD_COUNT; method++)
        methods += begun(book, method) != 0;
    reply_text(call, "by_method");
    reply_map(call, methods);
    for (enum hf_method method = HF_METHOD_NONE + 1; method < HF_METHOD_COUNT; method++) {
        if (begun(book, method) != 0)
            reply_pair_uint(call, hfp_method_info(method)->name, begun(book, method));
    }
}

static void reply_by_error(struct call *call, const uint64_t *errors)
{
    uint32_t codes = 0;

    for (int code = HF_OK + 1; code < HF_E_COUNT; code++)
        codes += errors[code] != 0;
    reply_text(call, "by_error");
    reply_map(call, codes);
    for (int code = HF_OK + 1; code < HF_E_COUNT; code++) {
        if (errors[code])
            reply_pair_uint(call, error_word(code), errors[code]);
    }
}

static void reply_method(struct call *call, const struct book_sum *book, enum hf_method method)
{
    const struct histogram *durations = &book->durations[method];

    reply_map(call, 10);
    reply_pair_uint(call, "count", book->done[method]);
    reply_pair_uint(call, "running", book->running[method]);
    reply_pair_uint(call, "errors", failed(book, method));
    reply_pair_uint(call, "given_up", book->codes[method][HF_OK]);
    reply_pair_uint(call, "sum_us", durations->sum_ns / 1000);
    reply_pair_uint(call, "p50_us", histogram_quantile_us(durations, 500));
    reply_pair_uint(call, "p90_us", histogram_quantile_us(durations, 900));
    reply_pair_uint(call, "p99_us", histogram_quantile_us(durations, 990));
    reply_pair_uint(call, "p999_us", histogram_quantile_us(durations, 999));
    reply_pair_uint(call, "max_us", durations->max_ns / 1000);
}

static void reply_methods(struct call *call, const struct book_sum *book)
{
    uint32_t methods = 0;

    for (enum hf_method method = HF_METHOD_NONE + 1; method < HF_METHOD_COUNT; method++)
        methods += begun(book, method) != 0;
    reply_text(call, "methods");
    reply_map(call, methods);
    for (enum hf_method method = HF_METHOD_NONE + 1; method < HF_METHOD_COUNT; method++) {
        if (begun(book, method) == 0)
            continue;
        reply_text(call, hfp_method_info(method)->name);
        reply_method(call, book, method);
    }
}

void reply_requests(struct call *call, const struct counters *counters, const struct book_sum *book)
{
    uint64_t total = counters->requests_unknown, errors = 0;

    for (enum hf_method method = HF_METHOD_NONE + 1; method < HF_METHOD_COUNT; method++)
        total += begun(book, method);
    for (int code = HF_OK + 1; code < HF_E_COUNT; code++)
        errors += counters->errors[code];
    reply_map(call, 10);
    reply_pair_uint(call, "total", total);
    reply_pair_uint(call, "unknown", counters->requests_unknown);
    reply_pair_uint(call, "errors", errors);
    reply_pair_uint(call, "notifications", counters->notifications);
    reply_pair_uint(call, "notifications_ignored", counters->notifications_ignored);
    reply_pair_uint(call, "responses_ignored", counters->responses_ignored);
    reply_pair_uint(call, "slow", atomic_load_explicit(&call_slowlog(call)->count, memory_order_relaxed));
    reply_by_method(call, book);
    reply_by_error(call, counters->errors);
    reply_methods(call, book);
}

/* ---- the section `durations` ---- */

static void reply_histogram(struct call *call, const struct histogram *histogram)
{
    uint32_t buckets = 0;

    for (unsigned b = 0; b < HISTOGRAM_BUCKETS; b++)
        buckets += histogram->counts[b] != 0;
    reply_map(call, 4);
    reply_pair_uint(call, "count", histogram_count(histogram));
    reply_pair_uint(call, "sum_us", histogram->sum_ns / 1000);
    reply_pair_uint(call, "max_us", histogram->max_ns / 1000);
    reply_text(call, "buckets");
    reply_array(call, buckets);
    for (unsigned b = 0; b < HISTOGRAM_BUCKETS; b++) {
        if (histogram->counts[b] == 0)
            continue;
        reply_array(call, 2);
        reply_id_or_nil(call, histogram_bound(b) == UINT64_MAX ? 0 : histogram_bound(b));
        reply_uint(call, histogram->counts[b]);
    }
}

void reply_durations(struct call *call, const struct book_sum *book)
{
    uint32_t methods = 0;

    for (enum hf_method method = HF_METHOD_NONE + 1; method < HF_METHOD_COUNT; method++)
        methods += book->durations[method].max_ns != 0;
    reply_map(call, methods);
    for (enum hf_method method = HF_METHOD_NONE + 1; method < HF_METHOD_COUNT; method++) {
        if (book->durations[method].max_ns == 0)
            continue;
        reply_text(call, hfp_method_info(method)->name);
        reply_histogram(call, &book->durations[method]);
    }
}

/* ---- slowlog ---- */

static void reply_slow(struct call *call, const struct slow_row *row)
{
    reply_map(call, 11);
    reply_pair_uint(call, "number", row->number);
    reply_pair_uint(call, "at_ms", row->at_ms);
    reply_pair_text(call, "method", row->method == HF_METHOD_NONE ? "?" : hfp_method_info(row->method)->name);
    reply_pair_uint(call, "duration_us", row->duration_us);
    reply_pair_uint(call, "requests", row->requests);
    reply_pair_text(call, "pool", row->pool);
    reply_pair_known(call, "sid", row->sid);
    reply_pair_str(call, "name", row->name, row->name_size);
    reply_pair_known(call, "pid", row->pid);
    reply_pair_uint(call, "conn", row->conn);
    reply_pair_str(call, "args", (const uint8_t *)row->args, (uint32_t)strlen(row->args));
}

int handle_slowlog(struct call *call)
{
    struct slowlog *slowlog = call_slowlog(call);
    uint64_t limit = 32;
    bool reset = false;
    const struct option_spec specs[] = {
        {"limit", OPTION_UINT, &limit, NULL, 0, SLOWLOG_ROWS},
        {"reset", OPTION_BOOL, &reset, NULL, 0, 0},
    };
    int r = call_options(call, specs, COUNT_OF(specs));
    struct slow_row *rows = call_scratch(call)->rows.slow;
    unsigned count;

    if (r)
        return r;
    count = slowlog_read(slowlog, rows, (unsigned)limit, reset);
    reply_map(call, 3);
    reply_pair_uint(call, "threshold_us", slowlog_threshold_us(slowlog));
    reply_pair_uint(call, "count", atomic_load_explicit(&slowlog->count, memory_order_relaxed));
    reply_text(call, "rows");
    reply_array(call, count);
    for (unsigned i = 0; i < count; i++)
        reply_slow(call, &rows[i]);
    return 0;
}
