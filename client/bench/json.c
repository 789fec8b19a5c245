/* SPDX-License-Identifier: BSD-3-Clause */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "client/bench/keys.h"
#include "client/bench/machine.h"
#include "client/bench/report.h"
#include "proto/rpc.h"
#include "proto/version.h"

/* Members that could not be made are missing in the end; then there was no memory, and json_dump fails too. */

static json_t *number(uint64_t value)
{
    return json_integer((json_int_t)value);
}

/* A fraction with so many decimals. */
static json_t *fraction(double value, int decimals)
{
    double scale = pow(10, decimals);
    return json_real(round(value * scale) / scale);
}

static json_t *latency(const struct bench_histogram *histogram)
{
    json_t *map = json_object();
    json_object_set_new(map, "mean", fraction(bench_histogram_mean(histogram) / 1e3, 3));
#define SET(key, head, share)                                                                                \
    json_object_set_new(map, #key, fraction((double)bench_histogram_at(histogram, share) / 1e3, 3));
    BENCH_PERCENTILES(SET)
#undef SET
    json_object_set_new(map, "max", fraction((double)histogram->max / 1e3, 3));
    return map;
}

/* [[longest duration of the cell in us, how many], ...] of the cells that are not empty. */
static json_t *cells(const struct bench_histogram *histogram)
{
    json_t *list = json_array();
    for (unsigned cell = 0; cell < BENCH_HISTOGRAM_CELLS; cell++) {
        if (histogram->cells[cell] != 0)
            json_array_append_new(list, json_pack("[o, o]",
                                                  fraction((double)bench_histogram_highest(cell) / 1e3, 3),
                                                  number(histogram->cells[cell])));
    }
    return list;
}

static json_t *errors(const uint64_t *counts)
{
    json_t *map = json_object();
    for (int code = 0; code < HF_E_COUNT; code++) {
        if (counts[code] != 0)
            json_object_set_new(map, code != 0 ? hfp_err_name(code) : "OTHER", number(counts[code]));
    }
    return map;
}

static json_t *step_json(const struct bench_result *result, enum bench_step step)
{
    const struct bench_step_record *record = &result->record->step[step];
    uint64_t requests = record->latency.count + bench_record_step_errors(record);
    json_t *map = json_object();
    json_object_set_new(map, "operation", json_string(bench_operations[bench_steps[step].operation].name));
    json_object_set_new(map, "method", json_string(bench_steps[step].method));
    json_object_set_new(map, "requests", number(requests));
    json_object_set_new(map, "rate", fraction((double)requests / result->seconds, 1));
    json_object_set_new(map, "errors", errors(record->errors));
    json_object_set_new(map, "latency_us", latency(&record->latency));
    json_object_set_new(map, "histogram_us", cells(&record->latency));
    return map;
}

static json_t *steps_json(const struct bench_result *result)
{
    json_t *list = json_array();
    for (unsigned step = 0; step < BENCH_STEP_COUNT; step++) {
        const struct bench_step_record *record = &result->record->step[step];
        if (record->latency.count + bench_record_step_errors(record) != 0)
            json_array_append_new(list, step_json(result, (enum bench_step)step));
    }
    return list;
}

static json_t *series_json(const struct bench_series *series)
{
    json_t *list = json_array();
    for (size_t i = 0; i < series->count; i++) {
        const struct bench_second *second = &series->seconds[i];
        json_t *map = json_object();
        json_object_set_new(map, "second", number(i + 1));
        json_object_set_new(map, "requests", number(second->requests));
        json_object_set_new(map, "errors", number(second->errors));
        json_object_set_new(map, "p50_us", fraction((double)second->p50_ns / 1e3, 3));
        json_object_set_new(map, "p99_us", fraction((double)second->p99_ns / 1e3, 3));
        json_object_set_new(map, "max_us", fraction((double)second->max_ns / 1e3, 3));
        json_array_append_new(list, map);
    }
    return list;
}

static json_t *machine_json(void)
{
    struct bench_machine machine;
    json_t *map = json_object();
    bench_machine_look(&machine);
    json_object_set_new(map, "system", json_string(machine.system));
    json_object_set_new(map, "architecture", json_string(machine.architecture));
    json_object_set_new(map, "cpu", json_string(machine.cpu));
    json_object_set_new(map, "cores", number(machine.cores));
    json_object_set_new(map, "memory_bytes", number(machine.memory));
    return map;
}

static json_t *mix_json(const struct bench_mix *mix)
{
    json_t *map = json_object();
    for (unsigned i = 0; i < BENCH_OPERATION_COUNT; i++) {
        if (mix->weight[i] != 0)
            json_object_set_new(map, bench_operations[i].name, number(mix->weight[i]));
    }
    return map;
}

/* What must be equal for two results to be comparable. What does not apply is null. */
static json_t *options_json(const struct bench_options *options)
{
    json_t *map = json_object();
    bool timed = options->count == 0;
    json_object_set_new(map, "mix", mix_json(&options->mix));
    json_object_set_new(map, "connections", number(options->connections));
    json_object_set_new(map, "depth", number(options->depth));
    json_object_set_new(map, "rate", options->rate != 0 ? number(options->rate) : json_null());
    json_object_set_new(map, "duration_s",
                        timed ? fraction((double)options->duration_ns / 1e9, 3) : json_null());
    json_object_set_new(map, "warmup_s", timed ? fraction((double)options->warmup_ns / 1e9, 3) : json_null());
    json_object_set_new(map, "count", timed ? json_null() : number(options->count));
    json_object_set_new(map, "objects", number(options->objects));
    json_object_set_new(map, "value",
                        json_string(bench_sizes_format(&options->sizes, (char[BENCH_SIZES_TEXT_MAX]){0})));
    json_object_set_new(map, "skew",
                        json_string(bench_skew_format(options->exponent, (char[BENCH_SKEW_TEXT_MAX]){0})));
    json_object_set_new(map, "own_pools", options->pool == NULL ? number(options->pools) : json_null());
    json_object_set_new(map, "threads", number(options->threads));
    json_object_set_new(map, "seed", number(options->seed));
    return map;
}

static json_t *generator_json(const struct bench_options *options, const struct bench_result *result)
{
    json_t *map = json_object();
    json_object_set_new(map, "busiest_thread", fraction(result->own_share, 4));
    json_object_set_new(map, "waited_for_core", fraction(result->own_waited, 4));
    json_object_set_new(map, "cpu_ns_per_request", fraction(result->own_ns, 1));
    json_object_set_new(map, "lag_us", options->rate != 0 ? latency(&result->record->lag) : json_null());
    json_object_set_new(map, "limit", json_boolean(bench_report_limited(options, result)));
    return map;
}

static json_t *server_json(const struct bench_options *options, const struct bench_result *result)
{
    char address[512];
    bool known = options->address != NULL || hf_default_address(address, sizeof address) == 0;
    json_t *map = json_object();
    json_object_set_new(map, "name", json_string(result->server));
    json_object_set_new(map, "version", json_string(result->version));
    json_object_set_new(map, "address",
                        known ? json_string(options->address != NULL ? options->address : address)
                              : json_null());
    json_object_set_new(map, "pool", json_string(result->pool));
    json_object_set_new(map, "cpu_ns_per_request",
                        result->server_known ? fraction(result->server_ns, 1) : json_null());
    json_object_set_new(map, "busiest_thread",
                        result->server_known ? fraction(result->server_share, 4) : json_null());
    json_object_set_new(map, "cores", result->server_known ? fraction(result->server_cores, 4) : json_null());
    return map;
}

static json_t *date_json(struct timespec date)
{
    struct tm utc;
    char text[32] = "";
    if (gmtime_r(&date.tv_sec, &utc) != NULL)
        strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &utc);
    return json_string(text);
}

json_t *bench_report_json(const struct bench_options *options, const struct bench_result *result,
                          const char *failure)
{
    const struct bench_record *record = result->record;
    uint64_t requests = bench_record_requests(record);
    struct bench_histogram *overall = bench_result_overall(record);
    json_t *map = json_object();
    if (overall == NULL || map == NULL) {
        free(overall);
        json_decref(map);
        return NULL;
    }
    json_object_set_new(map, "bench", number(BENCH_FORMAT));
    json_object_set_new(map, "version", json_string(HF_VERSION));
    json_object_set_new(map, "date", date_json(result->date));
    json_object_set_new(map, "machine", machine_json());
    json_object_set_new(map, "server", server_json(options, result));
    json_object_set_new(map, "options", options_json(options));
    json_object_set_new(map, "sequence", number(result->sequence));
    json_object_set_new(map, "interrupted", json_boolean(result->interrupted));
    json_object_set_new(map, "failure", failure != NULL ? json_string(failure) : json_null());
    json_object_set_new(map, "seconds", fraction(result->seconds, 6));
    json_object_set_new(map, "requests", number(requests));
    json_object_set_new(map, "rate", fraction((double)requests / result->seconds, 1));
    json_object_set_new(map, "errors", number(bench_record_errors(record)));
    json_object_set_new(map, "unsent", number(record->unsent));
    json_object_set_new(map, "unanswered", number(record->unanswered));
    json_object_set_new(map, "latency_us", latency(overall));
    json_object_set_new(map, "histogram_us", cells(overall));
    json_object_set_new(map, "steps", steps_json(result));
    json_object_set_new(map, "generator", generator_json(options, result));
    json_object_set_new(map, "series", series_json(&result->series));
    free(overall);
    return map;
}
