/* SPDX-License-Identifier: BSD-3-Clause */
#include "client/monitor/page.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "client/cli/print.h"
#include "client/monitor/stat.h"
#include "client/monitor/table.h"
#include "client/monitor/text.h"

#define BAR_WIDTH     30
#define BAR_BYTES     3 /* of each bar of the history */
#define NEARLY_FULL   0.9
#define BUSIEST       6
#define NUMBER(value) monitor_count((double)(value), (char[MONITOR_NUMBER_SIZE]){0})
#define BYTES(value)  monitor_bytes((double)(value), (char[MONITOR_NUMBER_SIZE]){0})

/* ---- lines ---- */

void monitor_page_done(struct monitor_page *page)
{
    for (size_t i = 0; i < page->count; i++)
        free(page->lines[i].text);
    free(page->lines);
    *page = (struct monitor_page){0};
}

static bool make_room(struct monitor_page *page)
{
    if (page->count < page->capacity)
        return true;
    size_t capacity = page->capacity * 2 + 32;
    struct monitor_line *lines = realloc(page->lines, capacity * sizeof *lines);
    if (lines == NULL)
        return false;
    page->lines = lines;
    page->capacity = capacity;
    return true;
}

void monitor_page_add(struct monitor_page *page, enum monitor_style style, const char *format, ...)
{
    va_list list;
    char *text = NULL;
    va_start(list, format);
    if (!make_room(page) || vasprintf(&text, format, list) < 0)
        page->failed = true;
    else
        page->lines[page->count++] = (struct monitor_line){text, style};
    va_end(list);
}

/* ---- history ---- */

void monitor_history_add(struct monitor_history *history, const struct monitor_change *change)
{
    if (history->count == MONITOR_HISTORY)
        memmove(history->requests, history->requests + 1,
                (MONITOR_HISTORY - 1) * sizeof history->requests[0]);
    else
        history->count++;
    history->requests[history->count - 1] = monitor_per_second(change, change->counters.requests);
}

/* A row of bars, the highest as high as a line. */
static void history_bars(const struct monitor_scene *scene, char to[MONITOR_HISTORY * BAR_BYTES + 1])
{
    static const char *const bars[] = {"\u2581", "\u2582", "\u2583", "\u2584",
                                       "\u2585", "\u2586", "\u2587", "\u2588"};
    const struct monitor_history *history = scene->history;
    double most = 1;
    to[0] = '\0';
    if (!scene->unicode || history == NULL)
        return;
    for (unsigned i = 0; i < history->count; i++)
        most = history->requests[i] > most ? history->requests[i] : most;
    for (unsigned i = 0; i < history->count; i++)
        memcpy(to + (size_t)i * BAR_BYTES, bars[(size_t)(history->requests[i] / most * 7.49)], BAR_BYTES + 1);
}

/* ---- the lines above the table ---- */

static void add_title(struct monitor_page *page, const struct monitor_scene *scene)
{
    char clock[16] = "", time[16];
    time_t now = scene->change != NULL ? (time_t)(scene->change->at->unix_ms / 1000) : 0;
    struct tm local;
    if (scene->change == NULL) {
        monitor_page_add(page, MONITOR_TITLE, "holdfast top  %s", scene->address);
        return;
    }
    const struct monitor_sample *at = scene->change->at;
    if (localtime_r(&now, &local) != NULL)
        strftime(clock, sizeof clock, "%H:%M:%S", &local);
    monitor_page_add(page, MONITOR_TITLE, "holdfast top  %s  holdfastd %s  pool %s  up %s  workers %s  %s",
                     scene->address, at->version, at->pool, cli_format_time(at->gauges.uptime_ms, time),
                     NUMBER(at->gauges.workers), clock);
}

static void add_requests(struct monitor_page *page, const struct monitor_scene *scene)
{
    const struct monitor_change *change = scene->change;
    char bars[MONITOR_HISTORY * BAR_BYTES + 1];
    double errors = monitor_per_second(change, change->counters.errors);
    history_bars(scene, bars);
    monitor_page_add(page, MONITOR_PLAIN,
                     "Requests   %5s/s  errors %s/s  in %s/s  out %s/s  connections %s  %s",
                     NUMBER(monitor_per_second(change, change->counters.requests)), NUMBER(errors),
                     BYTES(monitor_per_second(change, change->counters.bytes_in)),
                     BYTES(monitor_per_second(change, change->counters.bytes_out)),
                     NUMBER(change->at->gauges.connections), bars);
}

static void add_latency(struct monitor_page *page, const struct monitor_change *change)
{
    uint64_t counts[MONITOR_BUCKETS];
    char p50[MONITOR_NUMBER_SIZE], p90[MONITOR_NUMBER_SIZE], p99[MONITOR_NUMBER_SIZE];
    if (monitor_durations(change, MONITOR_ALL, counts) == 0)
        return;
    monitor_page_add(
        page, MONITOR_PLAIN, "Latency    %5s us for 50%%  %s for 90%%  %s for 99%%  slow requests %s",
        monitor_us(monitor_percentile(counts, 0.5), p50), monitor_us(monitor_percentile(counts, 0.9), p90),
        monitor_us(monitor_percentile(counts, 0.99), p99), NUMBER(change->counters.slow));
}

struct busy {
    unsigned method;
    uint64_t calls;
};

static int by_calls(const void *a, const void *b)
{
    uint64_t x = ((const struct busy *)a)->calls, y = ((const struct busy *)b)->calls;
    return x > y ? -1 : x < y;
}

static void add_methods(struct monitor_page *page, const struct monitor_change *change)
{
    struct busy busy[MONITOR_METHODS_MAX] = {0};
    char text[512] = "";
    size_t used = 0;
    unsigned count = change->at->method_count;
    for (unsigned i = 0; i < count; i++)
        busy[i] = (struct busy){i, monitor_method_calls(change, i)};
    qsort(busy, count, sizeof busy[0], by_calls);
    for (unsigned i = 0; i < count && i < BUSIEST && busy[i].calls != 0; i++)
        used += (size_t)snprintf(text + used, sizeof text - used, "%s%s %s/s", i != 0 ? "  " : "",
                                 change->at->methods[busy[i].method].name,
                                 NUMBER(monitor_per_second(change, busy[i].calls)));
    monitor_page_add(page, MONITOR_PLAIN, "Methods    %s", text);
}

static void add_objects(struct monitor_page *page, const struct monitor_change *change)
{
    const struct monitor_gauges *g = &change->at->gauges;
    monitor_page_add(
        page, MONITOR_PLAIN, "Objects    %5s  values %s  made %s/s  freed %s/s  names %s  tickets %s",
        NUMBER(g->objects), BYTES(g->object_bytes), NUMBER(monitor_per_second(change, change->counters.made)),
        NUMBER(monitor_per_second(change, change->counters.freed)), NUMBER(g->names), NUMBER(g->tickets));
}

static void add_memory(struct monitor_page *page, const struct monitor_change *change)
{
    const struct monitor_gauges *g = &change->at->gauges;
    double share = g->memory_limit != 0 ? (double)g->memory_used / (double)g->memory_limit : 0;
    char bar[BAR_WIDTH + 1];
    monitor_bar(bar, sizeof bar, share, BAR_WIDTH);
    monitor_page_add(page, share >= NEARLY_FULL ? MONITOR_WARNING : MONITOR_PLAIN,
                     "Memory     %5s [%s] %.0f%% of %s  image %s  private %s", BYTES(g->memory_used), bar,
                     100 * share, BYTES(g->memory_limit), BYTES(g->memory_image), BYTES(g->memory_anon));
}

static void add_sessions(struct monitor_page *page, const struct monitor_change *change)
{
    const struct monitor_gauges *g = &change->at->gauges;
    monitor_page_add(page, MONITOR_PLAIN, "Sessions   %5s  in grace %s  objects held %s",
                     NUMBER(g->sessions_open), NUMBER(g->sessions_grace), NUMBER(g->holds));
}

/* What all pools have together, if there are more than the one that is shown. */
static void add_pools(struct monitor_page *page, const struct monitor_look *look)
{
    uint64_t objects = 0, bytes = 0, used = 0, value;
    hf_item pools = hf_reply_item(look->pools), pool;
    if (hf_item_count(pools) < 2)
        return;
    hf_walk walk = hf_walk_start(pools);
    while (hf_walk_next(&walk, NULL, &pool)) {
        objects += hf_item_uint(hf_item_get(pool, "objects"), &value) ? value : 0;
        bytes += hf_item_uint(hf_item_get(pool, "bytes"), &value) ? value : 0;
        used += hf_item_uint(hf_item_get(pool, "used"), &value) ? value : 0;
    }
    monitor_page_add(page, MONITOR_PLAIN, "All pools  %5s  objects %s  values %s  memory %s",
                     NUMBER(hf_item_count(pools)), NUMBER(objects), BYTES(bytes), BYTES(used));
}

static void add_collector(struct monitor_page *page, const struct monitor_change *change)
{
    const struct monitor_gauges *g = &change->at->gauges;
    uint64_t collected = change->counters.collected + change->counters.young_collected;
    monitor_page_add(
        page, MONITOR_PLAIN, "Collector  %5s  collected %s/s  suspects %s  backlog %s  debt %s  cpu %.1f%%",
        change->at->phase[0] != '\0' ? change->at->phase : "-", NUMBER(monitor_per_second(change, collected)),
        NUMBER(g->gc_suspects), NUMBER(g->gc_backlog), NUMBER(g->gc_debt),
        monitor_per_second(change, change->counters.gc_cpu_us) / 1e4);
}

/* What is sorted how, and what is left out. */
static void add_table_line(struct monitor_page *page, const struct monitor_scene *scene,
                           const struct monitor_choice *choice, size_t rows)
{
    /* Those that hold most may be among the others. */
    bool cut = choice->table == MONITOR_TABLE_SESSIONS && scene->look->sessions_cut;
    const char *column = monitor_table_column(choice->table, choice->sort);
    bool filtered = choice->filter[0] != '\0';
    monitor_page_add(page, cut ? MONITOR_WARNING : MONITOR_PLAIN, "%zu %s%s by %s%s%s%s", rows,
                     monitor_table_name(choice->table), cut ? " of the first that the daemon tells" : "",
                     column, choice->reverse ? ", reversed" : "", filtered ? ", with " : "", choice->filter);
}

void monitor_page_make(struct monitor_page *page, const struct monitor_scene *scene,
                       const struct monitor_choice *choice, size_t rows, size_t *ret_rows)
{
    struct monitor_rows table = {0};
    add_title(page, scene);
    if (scene->problem != NULL)
        monitor_page_add(page, MONITOR_WARNING, "%s", scene->problem);
    if (scene->change != NULL) {
        add_requests(page, scene);
        add_latency(page, scene->change);
        add_methods(page, scene->change);
        add_objects(page, scene->change);
        add_memory(page, scene->change);
        add_sessions(page, scene->change);
        add_collector(page, scene->change);
        add_pools(page, scene->look);
        page->failed |= !monitor_rows_make(&table, scene, choice);
        add_table_line(page, scene, choice, table.count);
        monitor_rows_show(page, &table, choice, rows);
    }
    *ret_rows = table.count;
    monitor_rows_done(&table);
}

/* ---- JSON ---- */

static json_t *json_of(hf_item item)
{
    const void *bytes;
    size_t size;
    int64_t integer;
    bool truth;
    if (hf_item_bool(item, &truth))
        return json_boolean(truth);
    if (hf_item_int(item, &integer))
        return json_integer((json_int_t)integer);
    if (hf_item_bytes(item, &bytes, &size))
        return json_stringn(bytes, size);
    return json_null();
}

static json_t *json_map(hf_item map)
{
    json_t *to = json_object();
    hf_walk pairs = hf_walk_start(map);
    hf_item key, value;
    const void *bytes;
    size_t size;
    while (hf_walk_next(&pairs, &key, &value)) {
        if (hf_item_bytes(key, &bytes, &size))
            json_object_setn_new(to, bytes, size, json_of(value));
    }
    return to;
}

static json_t *json_method(const struct monitor_change *change, unsigned method)
{
    const struct monitor_method *at = &change->at->methods[method];
    uint64_t counts[MONITOR_BUCKETS];
    monitor_durations(change, method, counts);
    return json_pack("{s:s, s:I, s:I, s:f, s:f, s:f}", "name", at->name, "total", (json_int_t)at->total,
                     "calls", (json_int_t)monitor_method_calls(change, method), "per_second",
                     monitor_per_second(change, monitor_method_calls(change, method)), "p50_us",
                     monitor_percentile(counts, 0.5), "p99_us", monitor_percentile(counts, 0.99));
}

/* The rows of one table: the chosen one as it is chosen, another one as it begins. */
static json_t *json_rows(const struct monitor_scene *scene, const struct monitor_choice *choice,
                         enum monitor_table table)
{
    struct monitor_choice own = table == choice->table ? *choice : (struct monitor_choice){.table = table};
    struct monitor_rows rows;
    json_t *list = json_array();
    if (monitor_rows_make(&rows, scene, &own)) {
        for (size_t i = 0; i < rows.count; i++)
            json_array_append_new(list, table == MONITOR_TABLE_METHODS
                                            ? json_method(scene->change, rows.rows[i].method)
                                            : json_map(rows.rows[i].item));
    }
    monitor_rows_done(&rows);
    return list;
}

bool monitor_page_json(FILE *out, const struct monitor_scene *scene, const struct monitor_choice *choice)
{
    json_t *page = monitor_stat_object(scene->change);
    json_object_set_new(page, "address", json_string(scene->address));
    json_object_set_new(page, "version", json_string(scene->change->at->version));
    for (enum monitor_table table = 0; table < MONITOR_TABLE_COUNT; table++)
        json_object_set_new(page, monitor_table_name(table), json_rows(scene, choice, table));
    bool good = json_dumpf(page, out, JSON_COMPACT) == 0;
    json_decref(page);
    putc('\n', out);
    return good;
}
