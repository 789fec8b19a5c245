/* SPDX-License-Identifier: BSD-3-Clause */
#include <math.h>
#include <string.h>

#include "client/bench/report.h"

/* One figure of both results. Rows and differences are gathered as JSON first, so that both forms of output say the
 * same. */

static const struct {
    const char *key; /* of a row's JSON */
    const char *head;
    bool time; /* in microseconds */
} figures[] = {
    {"rate", "PER SECOND", false},
#define FIGURE(key, head, share) {#key, head, true},
    BENCH_PERCENTILES(FIGURE)
#undef FIGURE
        {"max", "MAX", true},
};
#define FIGURES (sizeof figures / sizeof figures[0])

static bool is_result(const json_t *json)
{
    return json_integer_value(json_object_get(json, "bench")) == BENCH_FORMAT &&
           json_is_object(json_object_get(json, "options")) &&
           json_is_object(json_object_get(json, "latency_us")) &&
           json_is_array(json_object_get(json, "steps")) && json_is_number(json_object_get(json, "rate"));
}

/* ---- What differs -------------------------------------------------------------------------------------- */

static void note_difference(json_t *list, const char *what, const json_t *before, const json_t *after)
{
    if (before != NULL && after != NULL && json_equal(before, after))
        return;
    json_array_append_new(list,
                          json_pack("{s:s, s:O?, s:O?}", "what", what, "before", before, "after", after));
}

/* The members of two maps that are not equal. */
static void note_members(json_t *list, json_t *before, json_t *after)
{
    for (void *at = json_object_iter(before); at != NULL; at = json_object_iter_next(before, at)) {
        const char *key = json_object_iter_key(at);
        note_difference(list, key, json_object_iter_value(at), json_object_get(after, key));
    }
    for (void *at = json_object_iter(after); at != NULL; at = json_object_iter_next(after, at)) {
        const char *key = json_object_iter_key(at);
        if (json_object_get(before, key) == NULL)
            note_difference(list, key, NULL, json_object_iter_value(at));
    }
}

/* Options, and what else was not the same. */
static json_t *differences(const json_t *before, const json_t *after)
{
    static const char *const servers[] = {"name", "version"};
    json_t *list = json_array();
    note_members(list, json_object_get(before, "options"), json_object_get(after, "options"));
    note_members(list, json_object_get(before, "machine"), json_object_get(after, "machine"));
    for (size_t i = 0; i < sizeof servers / sizeof servers[0]; i++) {
        char what[32];
        snprintf(what, sizeof what, "server %s", servers[i]);
        note_difference(list, what, json_object_get(json_object_get(before, "server"), servers[i]),
                        json_object_get(json_object_get(after, "server"), servers[i]));
    }
    note_difference(list, "interrupted", json_object_get(before, "interrupted"),
                    json_object_get(after, "interrupted"));
    return list;
}

/* ---- Rows ---------------------------------------------------------------------------------------------- */

static json_t *pair(const json_t *before, const json_t *after)
{
    double a = json_number_value(before), b = json_number_value(after);
    if (!json_is_number(before) || !json_is_number(after))
        return json_null();
    json_t *map = json_pack("{s:f, s:f}", "before", a, "after", b);
    json_object_set_new(map, "change_percent",
                        a != 0 ? json_real(round((b - a) / a * 1000) / 10) : json_null());
    return map;
}

/* A row of two maps that have `rate` and `latency_us`. */
static json_t *make_row(const char *name, const json_t *before, const json_t *after)
{
    json_t *row = json_pack("{s:s}", "request", name);
    for (size_t i = 0; i < FIGURES; i++) {
        const json_t *a = figures[i].time ? json_object_get(before, "latency_us") : before;
        const json_t *b = figures[i].time ? json_object_get(after, "latency_us") : after;
        json_object_set_new(row, figures[i].key,
                            pair(json_object_get(a, figures[i].key), json_object_get(b, figures[i].key)));
    }
    return row;
}

static bool same_text(const json_t *a, const json_t *b, const char *key)
{
    const char *x = json_string_value(json_object_get(a, key));
    const char *y = json_string_value(json_object_get(b, key));
    return x != NULL && y != NULL && strcmp(x, y) == 0;
}

static const json_t *find_step(const json_t *steps, const json_t *like)
{
    for (size_t i = 0; i < json_array_size(steps); i++) {
        const json_t *step = json_array_get(steps, i);
        if (same_text(step, like, "operation") && same_text(step, like, "method"))
            return step;
    }
    return NULL;
}

static json_t *make_rows(const json_t *before, const json_t *after)
{
    json_t *rows = json_array();
    const json_t *steps = json_object_get(before, "steps");
    for (size_t i = 0; i < json_array_size(steps); i++) {
        const json_t *step = json_array_get(steps, i);
        const json_t *other = find_step(json_object_get(after, "steps"), step);
        const char *operation = json_string_value(json_object_get(step, "operation"));
        const char *method = json_string_value(json_object_get(step, "method"));
        char name[80];
        if (other == NULL || operation == NULL || method == NULL)
            continue;
        snprintf(name, sizeof name, strcmp(operation, method) == 0 ? "%.30s" : "%.30s: %.30s", operation,
                 method);
        json_array_append_new(rows, make_row(name, step, other));
    }
    json_array_append_new(rows, make_row("all", before, after));
    return rows;
}

static json_t *cpu_row(const json_t *before, const json_t *after, const char *who)
{
    return pair(json_object_get(json_object_get(before, who), "cpu_ns_per_request"),
                json_object_get(json_object_get(after, who), "cpu_ns_per_request"));
}

/* ---- Output -------------------------------------------------------------------------------------------- */

static void print_short(FILE *out, const json_t *value)
{
    char *text =
        value != NULL ? json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(6)) : NULL;
    fputs(text != NULL ? text : "nothing", out);
    free(text);
}

static void print_differences(FILE *out, const json_t *list)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *difference = json_array_get(list, i);
        fprintf(out, "%s %s: ", i == 0 ? "NOT THE SAME:" : "             ",
                json_string_value(json_object_get(difference, "what")));
        print_short(out, json_object_get(difference, "before"));
        fputs(" before, ", out);
        print_short(out, json_object_get(difference, "after"));
        fputs(" after\n", out);
    }
    if (json_array_size(list) != 0)
        putc('\n', out);
}

static void print_figure(FILE *out, const char *request, const char *head, bool time, const json_t *figure)
{
    char before[24], after[24], change[24] = "-";
    double a = json_number_value(json_object_get(figure, "before"));
    double b = json_number_value(json_object_get(figure, "after"));
    const json_t *percent = json_object_get(figure, "change_percent");
    if (!json_is_object(figure))
        return;
    if (time) {
        bench_format_us(a, before);
        bench_format_us(b, after);
    } else {
        snprintf(before, sizeof before, "%.0f", a);
        snprintf(after, sizeof after, "%.0f", b);
    }
    if (json_is_number(percent))
        snprintf(change, sizeof change, "%+.1f %%", json_number_value(percent));
    fprintf(out, "%-26s%-12s%14s%14s%12s\n", request, head, before, after, change);
}

static void print_comparison(FILE *out, const json_t *comparison)
{
    static const char *const who[] = {"server", "generator"};
    const json_t *rows = json_object_get(comparison, "rows");
    print_differences(out, json_object_get(comparison, "differences"));
    fprintf(out, "%-26s%-12s%14s%14s%12s\n", "REQUEST", "FIGURE", "BEFORE", "AFTER", "CHANGE");
    for (size_t i = 0; i < json_array_size(rows); i++) {
        const json_t *row = json_array_get(rows, i);
        const char *request = json_string_value(json_object_get(row, "request"));
        for (size_t j = 0; j < FIGURES; j++)
            print_figure(out, j == 0 ? request : "", figures[j].head, figures[j].time,
                         json_object_get(row, figures[j].key));
    }
    for (size_t i = 0; i < sizeof who / sizeof who[0]; i++)
        print_figure(out, who[i], "CPU ns", false,
                     json_object_get(json_object_get(comparison, "cpu"), who[i]));
}

bool bench_compare(FILE *out, const json_t *before, const json_t *after, bool as_json,
                   struct bench_problem *problem)
{
    if (!is_result(before) || !is_result(after))
        return bench_fail(problem, HF_ERR_ARGUMENT,
                          "the %s file is no result of `holdfast --json bench`, or of "
                          "another version of it",
                          is_result(before) ? "second" : "first");
    json_t *comparison =
        json_pack("{s:o, s:o, s:{s:o, s:o}}", "differences", differences(before, after), "rows",
                  make_rows(before, after), "cpu", "server", cpu_row(before, after, "server"), "generator",
                  cpu_row(before, after, "generator"));
    if (comparison == NULL)
        return bench_fail_memory(problem);
    if (as_json) {
        json_dumpf(comparison, out, JSON_INDENT(2));
        putc('\n', out);
    } else {
        print_comparison(out, comparison);
    }
    json_decref(comparison);
    return true;
}
