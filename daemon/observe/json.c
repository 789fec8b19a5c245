/* SPDX-License-Identifier: BSD-3-Clause */
/* /varz /connz /poolz /gcz /slowz. What json_object_set_new() cannot store for want of memory is missing, and then
 * json_dump_callback() has nothing to write: the answer is empty, and told as a failure. */
#include "daemon/observe/answers.h"
#include "daemon/observe/process.h"
#include "proto/version.h"

#include <jansson.h>
#include <string.h>

static int put(const char *data, size_t size, void *text)
{
    text_put(text, data, size);
    return 0;
}

/* Takes the value over. */
static void dump(struct text *text, json_t *value)
{
    text->failed |= value == NULL || json_dump_callback(value, put, text, JSON_INDENT(1)) != 0;
    text_put(text, "\n", 1);
    json_decref(value);
}

static void number(json_t *object, const char *key, uint64_t value)
{
    json_object_set_new(object, key, json_integer((json_int_t)value));
}

static void truth(json_t *object, const char *key, bool value)
{
    json_object_set_new(object, key, json_boolean(value));
}

/* What a worker did at most in one turn for this answer. */
static void survey_step(json_t *object, const struct survey *survey)
{
    number(object, "survey_step_us", survey->step_ns_max / 1000);
}

/* UTF-8, or empty: null. */
static void string(json_t *object, const char *key, const void *text, size_t size)
{
    json_object_set_new(object, key, size == 0 ? json_null() : json_stringn(text, size));
}

static void word(json_t *object, const char *key, const char *text)
{
    string(object, key, text, strlen(text));
}

/* ---- /varz ---- */

static json_t *method_of(const struct book_sum *book, unsigned method)
{
    const struct histogram *durations = &book->durations[method];
    json_t *codes = json_object(), *row = json_object();
    uint64_t failed = 0;
    for (unsigned code = HF_OK + 1; code < HF_E_COUNT; code++) {
        failed += book->codes[method][code];
        if (book->codes[method][code] != 0)
            number(codes, error_word((int)code), book->codes[method][code]);
    }
    number(row, "count", book->done[method]);
    number(row, "running", book->running[method]);
    number(row, "errors", failed);
    number(row, "given_up", book->codes[method][HF_OK]);
    json_object_set_new(row, "by_error", codes);
    number(row, "sum_us", durations->sum_ns / 1000);
    number(row, "p50_us", histogram_quantile_us(durations, 500));
    number(row, "p90_us", histogram_quantile_us(durations, 900));
    number(row, "p99_us", histogram_quantile_us(durations, 990));
    number(row, "p999_us", histogram_quantile_us(durations, 999));
    number(row, "max_us", durations->max_ns / 1000);
    json_t *buckets = json_array();
    for (unsigned b = 0; b < HISTOGRAM_BUCKETS; b++) {
        if (durations->counts[b] == 0)
            continue;
        json_t *bound =
            b == HISTOGRAM_BUCKETS - 1 ? json_null() : json_integer((json_int_t)histogram_bound(b));
        json_t *pair = json_array();
        json_array_append_new(pair, bound);
        json_array_append_new(pair, json_integer((json_int_t)durations->counts[b]));
        json_array_append_new(buckets, pair);
    }
    json_object_set_new(row, "buckets", buckets);
    return row;
}

static json_t *requests_of(const struct survey *survey)
{
    const struct book_sum *book = &survey->book;
    json_t *requests = json_object(), *methods = json_object();
    uint64_t total = survey->counters.requests_unknown, errors = 0;
    for (unsigned method = HF_METHOD_NONE + 1; method < HF_METHOD_COUNT; method++) {
        total += book->done[method] + book->running[method];
        if (book->done[method] + book->running[method] != 0)
            json_object_set_new(methods, hfp_method_info((enum hf_method)method)->name,
                                method_of(book, method));
    }
    for (unsigned code = HF_OK + 1; code < HF_E_COUNT; code++)
        errors += survey->counters.errors[code];
    number(requests, "total", total);
    number(requests, "errors", errors);
    number(requests, "unknown", survey->counters.requests_unknown);
    number(requests, "notifications", survey->counters.notifications);
    json_object_set_new(requests, "methods", methods);
    return requests;
}

static json_t *connections_of(const struct observe *observe, const struct survey *survey)
{
    json_t *connections = json_object();
    number(connections, "open", survey->counters.connections);
    number(connections, "made", survey->counters.connections_made);
    number(connections, "cut", survey->counters.connections_cut);
    number(connections, "refused", server_refused(observe->server));
    number(connections, "bytes_in", survey->counters.bytes_in);
    number(connections, "bytes_out", survey->counters.bytes_out);
    return connections;
}

static json_t *memory_of(const struct observe *observe, const struct survey *survey)
{
    json_t *memory = json_object();
    uint64_t meta = 0, values = 0, live = 0, own = 0;
    for (unsigned i = 0; i < survey->pools_count; i++) {
        meta += survey->pool_rows[i].stats.meta_bytes;
        values += survey->pool_rows[i].stats.value_bytes;
        live += survey->pool_rows[i].stats.value_live_bytes;
        own += survey->pool_rows[i].stats.memory_private;
    }
    uint64_t used = server_memory_used(observe->server);
    number(memory, "limit", server_memory_limit(observe->server));
    number(memory, "used", used);
    number(memory, "objects", meta);
    number(memory, "values", values);
    number(memory, "values_live", live);
    number(memory, "private", own);
    number(memory, "connections", used > meta + values + own ? used - meta - values - own : 0);
    return memory;
}

static json_t *process_of(const struct observe *observe)
{
    struct process figures;
    json_t *process = json_object();
    process_figures(&figures);
    number(process, "resident_bytes", figures.resident_bytes);
    number(process, "cpu_ms", figures.cpu_ns / 1000000);
    number(process, "open_fds", figures.open_fds);
    number(process, "max_fds", figures.max_fds);
    number(process, "start_s", observe->started_s);
    return process;
}

void answer_varz(struct text *text, const struct observe *observe, const struct survey *survey)
{
    json_t *all = json_object();
    uint64_t objects = 0, bytes = 0, sessions = 0, grace = 0, holds = 0, backlog = 0;
    for (unsigned i = 0; i < survey->pools_count; i++) {
        const struct pool_stats *stats = &survey->pool_rows[i].stats;
        objects += stats->objects;
        bytes += stats->object_bytes;
        sessions += stats->sessions_open;
        grace += stats->sessions_grace;
        holds += stats->holds;
        backlog += stats->backlog;
    }
    word(all, "server", server_name(observe->server));
    word(all, "version", HF_VERSION);
    number(all, "uptime_ms", server_uptime_ms(observe->server));
    truth(all, "draining", server_draining(observe->server));
    number(all, "workers", server_workers(observe->server));
    number(all, "pools", survey->pools_count);
    number(all, "objects", objects);
    number(all, "object_bytes", bytes);
    number(all, "sessions", sessions);
    number(all, "grace", grace);
    number(all, "holds", holds);
    number(all, "backlog", backlog);
    number(all, "turns", survey->counters.turns);
    number(all, "turn_us_max", survey->counters.turn_us_max);
    survey_step(all, survey);
    number(all, "slow", atomic_load_explicit(&server_slowlog(observe->server)->count, memory_order_relaxed));
    json_object_set_new(all, "memory", memory_of(observe, survey));
    json_object_set_new(all, "connections", connections_of(observe, survey));
    json_object_set_new(all, "process", process_of(observe));
    json_object_set_new(all, "requests", requests_of(survey));
    dump(text, all);
}

/* ---- /connz ---- */

static json_t *session_of(const struct survey_session *row)
{
    json_t *session = json_object();
    number(session, "sid", row->sid);
    word(session, "pool", row->pool);
    string(session, "name", row->name, row->name_size);
    json_object_set_new(session, "pid", row->pid == 0 ? json_null() : json_integer(row->pid));
    word(session, "state", row->grace ? "grace" : "open");
    truth(session, "anonymous", row->anonymous);
    word(session, "peer", row->peer);
    json_object_set_new(session, "conn", row->conn == 0 ? json_null() : json_integer((json_int_t)row->conn));
    number(session, "held", row->held);
    number(session, "bytes", row->bytes);
    number(session, "queued", row->queued);
    number(session, "idle_ms", row->idle_ms);
    number(session, "since_ms", row->since_ms);
    return session;
}

void answer_connz(struct text *text, struct survey *survey, const struct page_of *page)
{
    json_t *all = json_object(), *rows = json_array();
    survey_sort(survey);
    for (unsigned i = page->offset; i < survey->sessions_count && i < page->offset + page->limit; i++)
        json_array_append_new(rows, session_of(&survey->session_rows[i]));
    number(all, "total", survey->sessions_seen);
    number(all, "connections", survey->counters.connections);
    number(all, "offset", page->offset);
    number(all, "limit", page->limit);
    word(all, "sort", page->sort);
    survey_step(all, survey);
    json_object_set_new(all, "sessions", rows);
    dump(text, all);
}

/* ---- /poolz, /gcz ---- */

static json_t *pool_of(const struct survey_pool *row)
{
    const struct pool_stats *stats = &row->stats;
    json_t *pool = json_object();
    word(pool, "name", row->name);
    number(pool, "epoch", row->epoch);
    number(pool, "worker", row->worker);
    number(pool, "objects", stats->objects);
    number(pool, "bytes", stats->object_bytes);
    number(pool, "open", stats->objects_open);
    number(pool, "made", stats->objects_made);
    number(pool, "freed", stats->objects_freed);
    number(pool, "names", stats->names);
    number(pool, "tickets", stats->tickets);
    number(pool, "holds", stats->holds);
    number(pool, "sessions", stats->sessions_open);
    number(pool, "grace", stats->sessions_grace);
    number(pool, "ending", stats->sessions_dying);
    number(pool, "used", stats->memory_used);
    number(pool, "limit", stats->memory_limit);
    number(pool, "image", stats->memory_image);
    number(pool, "anon", stats->memory_private);
    number(pool, "backlog", stats->backlog);
    number(pool, "pinned", stats->pinned);
    number(pool, "watches", row->events.watches);
    number(pool, "guards", row->events.guards);
    number(pool, "subscribers", row->events.subscribers);
    number(pool, "told", row->events.told);
    number(pool, "saves", row->saves_done);
    number(pool, "saves_failed", row->saves_failed);
    return pool;
}

static json_t *all_pools(const struct survey *survey, json_t *(*row)(const struct survey_pool *pool))
{
    json_t *all = json_object(), *rows = json_array();
    for (unsigned i = 0; i < survey->pools_count; i++)
        json_array_append_new(rows, row(&survey->pool_rows[i]));
    json_object_set_new(all, "pools", rows);
    survey_step(all, survey);
    return all;
}

/* Those in use: most pools use few. */
static json_t *sizes_of(const struct pool_sizes *sizes)
{
    char size[SIZE_WORD];
    json_t *rows = json_array();
    for (unsigned at = 0; at < BLOCKS_KINDS * SIZES; at++) {
        const struct size_sum *sum = &sizes->of[at / SIZES][at % SIZES];
        if (!size_word(sum, at % SIZES, size) || sum->bytes == 0)
            continue;
        json_t *row = json_object();
        word(row, "kind", pool_blocks_word(at / SIZES, at % SIZES));
        word(row, "size", size);
        number(row, "blocks", sum->blocks);
        number(row, "used", sum->used);
        number(row, "bytes", sum->bytes);
        number(row, "used_bytes", sum->used_bytes);
        json_array_append_new(rows, row);
    }
    return rows;
}

void answer_poolz(struct text *text, const struct survey *survey)
{
    json_t *all = all_pools(survey, pool_of);
    json_object_set_new(all, "sizes", sizes_of(&survey->sizes));
    dump(text, all);
}

static json_t *counts_of(const uint64_t *counts, unsigned count)
{
    json_t *array = json_array();
    for (unsigned i = 0; i < count; i++)
        json_array_append_new(array, json_integer((json_int_t)counts[i]));
    return array;
}

static json_t *gc_of(const struct survey_pool *row)
{
    const struct gc_stats *gc = &row->gc;
    uint64_t full = 0, young = 0;
    json_t *pool = json_object();
    for (unsigned i = 0; i < GC_TRIGGERS; i++)
        full += gc->full[i];
    for (unsigned i = 0; i < GC_YOUNG_TRIGGERS; i++)
        young += gc->young[i];
    word(pool, "name", row->name);
    truth(pool, "enabled", row->gc_enabled);
    truth(pool, "running", gc->phase != GC_IDLE);
    number(pool, "debt", gc->debt);
    number(pool, "backlog", row->stats.backlog);
    number(pool, "suspects", gc->suspects);
    number(pool, "unresolved", gc->unresolved);
    number(pool, "full", full);
    number(pool, "young", young);
    number(pool, "collected", gc->total.collected);
    number(pool, "collected_young", gc->young_total.collected);
    number(pool, "bytes", gc->total.bytes);
    number(pool, "bytes_young", gc->young_total.bytes);
    number(pool, "delivered", gc->delivered);
    number(pool, "slots", gc->slots);
    number(pool, "steps", gc->total.steps);
    number(pool, "units", gc->total.units);
    number(pool, "cpu_us", gc->total.cpu_ns / 1000);
    json_object_set_new(pool, "step_wall", counts_of(gc->step_wall, GC_STEP_BUCKETS));
    json_object_set_new(pool, "step_cpu", counts_of(gc->step_cpu, GC_STEP_BUCKETS));
    return pool;
}

void answer_gcz(struct text *text, const struct survey *survey)
{
    static const uint16_t bounds_us[] = GC_STEP_BOUNDS_US;
    json_t *all = all_pools(survey, gc_of), *bounds = json_array();
    for (unsigned i = 0; i < sizeof bounds_us / sizeof bounds_us[0]; i++)
        json_array_append_new(bounds, json_integer(bounds_us[i]));
    json_object_set_new(all, "step_bounds_us", bounds);
    dump(text, all);
}

/* ---- /slowz ---- */

void answer_slowz(struct text *text, const struct observe *observe)
{
    struct slowlog *slowlog = server_slowlog(observe->server);
    struct slow_row rows[64];
    unsigned count = slowlog_read(slowlog, rows, sizeof rows / sizeof rows[0], false);
    json_t *all = json_object(), *list = json_array();
    for (unsigned i = 0; i < count; i++) {
        json_t *row = json_object();
        number(row, "number", rows[i].number);
        number(row, "at_ms", rows[i].at_ms);
        word(row, "method", rows[i].method == HF_METHOD_NONE ? "?" : hfp_method_info(rows[i].method)->name);
        number(row, "duration_us", rows[i].duration_us);
        number(row, "requests", rows[i].requests);
        word(row, "pool", rows[i].pool);
        json_object_set_new(row, "sid",
                            rows[i].sid == 0 ? json_null() : json_integer((json_int_t)rows[i].sid));
        string(row, "name", rows[i].name, rows[i].name_size);
        json_object_set_new(row, "pid", rows[i].pid == 0 ? json_null() : json_integer(rows[i].pid));
        number(row, "conn", rows[i].conn);
        word(row, "args", rows[i].args);
        json_array_append_new(list, row);
    }
    number(all, "threshold_us", slowlog_threshold_us(slowlog));
    number(all, "count", atomic_load_explicit(&slowlog->count, memory_order_relaxed));
    json_object_set_new(all, "rows", list);
    dump(text, all);
}
