/* SPDX-License-Identifier: BSD-3-Clause */
#include "client/monitor/stat.h"

#include <string.h>

#include "client/monitor/text.h"

typedef void cell_fn(const struct monitor_change *change, char to[MONITOR_NUMBER_SIZE]);

static void rate(const struct monitor_change *change, uint64_t difference, char to[MONITOR_NUMBER_SIZE])
{
    monitor_count(monitor_per_second(change, difference), to);
}

static void cell_requests(const struct monitor_change *change, char to[MONITOR_NUMBER_SIZE])
{
    rate(change, change->counters.requests, to);
}

static void cell_errors(const struct monitor_change *change, char to[MONITOR_NUMBER_SIZE])
{
    rate(change, change->counters.errors, to);
}

static void percentile(const struct monitor_change *change, double share, char to[MONITOR_NUMBER_SIZE])
{
    uint64_t counts[MONITOR_BUCKETS];
    if (monitor_durations(change, MONITOR_ALL, counts) != 0)
        monitor_us(monitor_percentile(counts, share), to);
    else
        snprintf(to, MONITOR_NUMBER_SIZE, "-");
}

static void cell_p50(const struct monitor_change *change, char to[MONITOR_NUMBER_SIZE])
{
    percentile(change, 0.5, to);
}

static void cell_p99(const struct monitor_change *change, char to[MONITOR_NUMBER_SIZE])
{
    percentile(change, 0.99, to);
}

static void cell_in(const struct monitor_change *change, char to[MONITOR_NUMBER_SIZE])
{
    monitor_bytes(monitor_per_second(change, change->counters.bytes_in), to);
}

static void cell_out(const struct monitor_change *change, char to[MONITOR_NUMBER_SIZE])
{
    monitor_bytes(monitor_per_second(change, change->counters.bytes_out), to);
}

static void cell_objects(const struct monitor_change *change, char to[MONITOR_NUMBER_SIZE])
{
    monitor_count((double)change->at->gauges.objects, to);
}

static void cell_made(const struct monitor_change *change, char to[MONITOR_NUMBER_SIZE])
{
    rate(change, change->counters.made, to);
}

static void cell_freed(const struct monitor_change *change, char to[MONITOR_NUMBER_SIZE])
{
    rate(change, change->counters.freed, to);
}

static void cell_values(const struct monitor_change *change, char to[MONITOR_NUMBER_SIZE])
{
    monitor_bytes((double)change->at->gauges.object_bytes, to);
}

static void cell_used(const struct monitor_change *change, char to[MONITOR_NUMBER_SIZE])
{
    monitor_bytes((double)change->at->gauges.memory_used, to);
}

static void cell_full(const struct monitor_change *change, char to[MONITOR_NUMBER_SIZE])
{
    const struct monitor_gauges *g = &change->at->gauges;
    double limit = g->memory_limit != 0 ? (double)g->memory_limit : 1;
    snprintf(to, MONITOR_NUMBER_SIZE, "%.0f", 100 * (double)g->memory_used / limit);
}

static void cell_open(const struct monitor_change *change, char to[MONITOR_NUMBER_SIZE])
{
    monitor_count((double)change->at->gauges.sessions_open, to);
}

static void cell_grace(const struct monitor_change *change, char to[MONITOR_NUMBER_SIZE])
{
    monitor_count((double)change->at->gauges.sessions_grace, to);
}

static void cell_phase(const struct monitor_change *change, char to[MONITOR_NUMBER_SIZE])
{
    const char *phase = change->at->phase;
    snprintf(to, MONITOR_NUMBER_SIZE, "%.6s", phase[0] != '\0' ? phase : "-");
}

static void cell_collected(const struct monitor_change *change, char to[MONITOR_NUMBER_SIZE])
{
    rate(change, change->counters.collected + change->counters.young_collected, to);
}

static void cell_backlog(const struct monitor_change *change, char to[MONITOR_NUMBER_SIZE])
{
    monitor_count((double)change->at->gauges.gc_backlog, to);
}

static void cell_gc_cpu(const struct monitor_change *change, char to[MONITOR_NUMBER_SIZE])
{
    snprintf(to, MONITOR_NUMBER_SIZE, "%.1f", monitor_per_second(change, change->counters.gc_cpu_us) / 1e4);
}

/* Columns of one group stand together, below its name. */
static const struct column {
    const char *group, *name;
    int width;
    cell_fn *cell;
} columns[] = {
    {"requests", "req/s", 6, cell_requests},   {"requests", "err/s", 5, cell_errors},
    {"requests", "in/s", 5, cell_in},          {"requests", "out/s", 5, cell_out},
    {"latency us", "p50", 5, cell_p50},        {"latency us", "p99", 5, cell_p99},
    {"objects", "count", 6, cell_objects},     {"objects", "made/s", 6, cell_made},
    {"objects", "freed/s", 7, cell_freed},     {"memory", "values", 6, cell_values},
    {"memory", "used", 5, cell_used},          {"memory", "full%", 5, cell_full},
    {"sessions", "open", 5, cell_open},        {"sessions", "grace", 5, cell_grace},
    {"collector", "phase", 6, cell_phase},     {"collector", "coll/s", 6, cell_collected},
    {"collector", "backlog", 7, cell_backlog}, {"collector", "cpu%", 4, cell_gc_cpu},
};

#define COLUMN_COUNT (sizeof columns / sizeof columns[0])

/* "--requests--" over the columns from `first` on that belong together; returns the first that does not. */
static size_t print_group(FILE *out, size_t first)
{
    size_t end = first;
    int width = -1;
    for (; end < COLUMN_COUNT && strcmp(columns[end].group, columns[first].group) == 0; end++)
        width += columns[end].width + 1;
    int dashes = width - (int)strlen(columns[first].group);
    for (int i = 0; i < dashes / 2; i++)
        putc('-', out);
    fputs(columns[first].group, out);
    for (int i = dashes / 2; i < dashes; i++)
        putc('-', out);
    putc(end == COLUMN_COUNT ? '\n' : ' ', out);
    return end;
}

void monitor_stat_heading(FILE *out)
{
    for (size_t i = 0; i < COLUMN_COUNT;)
        i = print_group(out, i);
    for (size_t i = 0; i < COLUMN_COUNT; i++)
        fprintf(out, "%*s%c", columns[i].width, columns[i].name, i + 1 == COLUMN_COUNT ? '\n' : ' ');
}

void monitor_stat_line(FILE *out, const struct monitor_change *change)
{
    char text[MONITOR_NUMBER_SIZE];
    for (size_t i = 0; i < COLUMN_COUNT; i++) {
        columns[i].cell(change, text);
        fprintf(out, "%*s%c", columns[i].width, text, i + 1 == COLUMN_COUNT ? '\n' : ' ');
    }
}

/* ---- JSON ---- */

static void put_number(json_t *to, const char *key, uint64_t value)
{
    json_object_set_new(to, key, json_integer((json_int_t)value));
}

static json_t *json_percentiles(const struct monitor_change *change)
{
    uint64_t counts[MONITOR_BUCKETS];
    if (monitor_durations(change, MONITOR_ALL, counts) == 0)
        return json_null();
    return json_pack("{s:f, s:f, s:f}", "p50", monitor_percentile(counts, 0.5), "p90",
                     monitor_percentile(counts, 0.9), "p99", monitor_percentile(counts, 0.99));
}

json_t *monitor_stat_object(const struct monitor_change *change)
{
    json_t *line = json_object(), *counted = json_object(), *now = json_object();
    put_number(line, "time_ms", change->at->unix_ms);
    put_number(line, "interval_ms", change->interval_ns / 1000000);
    json_object_set_new(line, "restarted", json_boolean(change->restarted));
    json_object_set_new(line, "pool", json_string(change->at->pool));
#define PUT(member, section, key) put_number(counted, #member, change->counters.member);
    MONITOR_COUNTERS(PUT)
#undef PUT
#define PUT(member, section, key) put_number(now, #member, change->at->gauges.member);
    MONITOR_GAUGES(PUT)
#undef PUT
    json_object_set_new(now, "gc_phase", json_string(change->at->phase));
    json_object_set_new(line, "counted", counted);
    json_object_set_new(line, "latency_us", json_percentiles(change));
    json_object_set_new(line, "now", now);
    return line;
}

bool monitor_stat_json(FILE *out, const struct monitor_change *change)
{
    json_t *line = monitor_stat_object(change);
    bool good = json_dumpf(line, out, JSON_COMPACT) == 0;
    json_decref(line);
    putc('\n', out);
    return good;
}
