/* SPDX-License-Identifier: BSD-3-Clause */
/* /metrics. Names, units and labels by Prometheus' conventions; no label has an id or anything that a client chose but
 * the names of pools, and of those no more than POOLS_SHOWN: the others are one row, pool="(others)", which no pool can
 * be called. */
#include "daemon/observe/answers.h"
#include "daemon/observe/process.h"
#include "proto/version.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define POOLS_SHOWN 64u

static void head(struct text *text, const char *name, const char *type, const char *help)
{
    text_printf(text, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void plain(struct text *text, const char *name, const char *type, const char *help, uint64_t value)
{
    head(text, name, type, help);
    text_printf(text, "%s %" PRIu64 "\n", name, value);
}

/* The same in seconds. */
static void seconds(struct text *text, const char *name, const char *type, const char *help, uint64_t ns)
{
    head(text, name, type, help);
    text_printf(text, "%s %.9g\n", name, (double)ns / 1e9);
}

/* ---- requests ---- */

static const char *method_word(unsigned method)
{
    return method == HF_METHOD_NONE ? "unknown" : hfp_method_info((enum hf_method)method)->name;
}

static void requests(struct text *text, const struct book_sum *book)
{
    head(text, "holdfast_requests_total", "counter",
         "Requests and notifications that are done, by method and result; code ABANDONED: their client had "
         "gone.");
    for (unsigned method = 0; method < HF_METHOD_COUNT; method++) {
        uint64_t fine = book->done[method];
        for (unsigned code = 0; code < HF_E_COUNT; code++) {
            uint64_t count = book->codes[method][code];
            fine -= count;
            /* what alerts are about is there before it happens: from nothing to 1 is no increase */
            if (count != 0 || code == HF_E_OOM || code == HF_E_INTERNAL)
                text_printf(text, "holdfast_requests_total{method=\"%s\",code=\"%s\"} %" PRIu64 "\n",
                            method_word(method), code == HF_OK ? "ABANDONED" : error_word((int)code), count);
        }
        if (method != HF_METHOD_NONE)
            text_printf(text, "holdfast_requests_total{method=\"%s\",code=\"OK\"} %" PRIu64 "\n",
                        method_word(method), fine);
    }
    uint64_t running = 0;
    for (unsigned method = 0; method < HF_METHOD_COUNT; method++)
        running += book->running[method];
    plain(text, "holdfast_requests_running", "gauge", "Requests that have begun and are not answered.",
          running);
}

/* Bounds at each doubling, from 1 us to 67 s. */
static void durations(struct text *text, const struct book_sum *book)
{
    static const char name[] = "holdfast_request_duration_seconds";
    head(text, name, "histogram",
         "Time from the turn of the loop that read a request until its reply was handed to the socket.");
    for (unsigned method = HF_METHOD_NONE + 1; method < HF_METHOD_COUNT; method++) {
        const struct histogram *histogram = &book->durations[method];
        uint64_t count = histogram_count(histogram), passed = 0;
        for (unsigned b = 0; b < HISTOGRAM_BUCKETS - 1 && count != 0; b++) {
            uint64_t bound = histogram_bound(b);
            passed += histogram->counts[b];
            if ((bound & (bound - 1)) == 0 && bound <= 1u << 26)
                text_printf(text, "%s_bucket{method=\"%s\",le=\"%.9g\"} %" PRIu64 "\n", name,
                            method_word(method), (double)bound / 1e6, passed);
        }
        if (count == 0)
            continue;
        text_printf(text, "%s_bucket{method=\"%s\",le=\"+Inf\"} %" PRIu64 "\n", name, method_word(method),
                    count);
        text_printf(text, "%s_sum{method=\"%s\"} %.9g\n", name, method_word(method),
                    (double)histogram->sum_ns / 1e9);
        text_printf(text, "%s_count{method=\"%s\"} %" PRIu64 "\n", name, method_word(method), count);
    }
}

/* ---- pools ---- */

#define POOL_FIGURES(X)                                                                                      \
    X("holdfast_objects", "gauge", "Objects alive.", "", stats.objects)                                      \
    X("holdfast_object_bytes", "gauge", "Bytes of the values of objects alive.", "", stats.object_bytes)     \
    X("holdfast_objects_made_total", "counter", "Objects made.", "", stats.objects_made)                     \
    X("holdfast_objects_freed_total", "counter", "Objects freed.", "", stats.objects_freed)                  \
    X("holdfast_holds", "gauge", "Holds: pairs of a session and an object that it holds.", "", stats.holds)  \
    X("holdfast_names", "gauge", "Names in force.", "", stats.names)                                         \
    X("holdfast_tickets", "gauge", "Tickets in force.", "", stats.tickets)                                   \
    X("holdfast_sessions", "gauge", "Sessions by state.", ",state=\"open\"", stats.sessions_open)            \
    X(NULL, NULL, NULL, ",state=\"grace\"", stats.sessions_grace)                                            \
    X(NULL, NULL, NULL, ",state=\"ending\"", stats.sessions_dying)                                           \
    X("holdfast_pool_memory_bytes", "gauge", "Memory of pools by what it is for.", ",kind=\"objects\"",      \
      stats.meta_bytes)                                                                                      \
    X(NULL, NULL, NULL, ",kind=\"values\"", stats.value_bytes)                                               \
    X(NULL, NULL, NULL, ",kind=\"private\"", stats.memory_private)                                           \
    X("holdfast_pool_values_used_bytes", "gauge", "Bytes of allocated blocks of values.", "",                \
      stats.value_live_bytes)                                                                                \
    X("holdfast_pool_memory_limit_bytes", "gauge", "Limit of a pool's memory.", "", stats.memory_limit)      \
    X("holdfast_values_pinned", "gauge", "Values kept for being sent.", "", stats.pinned)                    \
    X("holdfast_backlog", "gauge", "Dead objects and holds of ended sessions still to be freed.", "",        \
      stats.backlog)                                                                                         \
    X("holdfast_watches", "gauge", "Watches in force.", "", events.watches)                                  \
    X("holdfast_guards", "gauge", "Guards in force.", "", events.guards)                                     \
    X("holdfast_events_waiting", "gauge", "Events of watches and guards not sent yet.", "", events.waiting)  \
    X("holdfast_subscribers", "gauge", "Sessions with topics.", "", events.subscribers)                      \
    X("holdfast_events_total", "counter", "Events told.", "", events.told)                                   \
    X("holdfast_gc_suspects", "gauge", "Objects that wait for a collection.", "", gc.suspects)               \
    X("holdfast_gc_unresolved", "gauge", "Of them, those that wait for a full one.", "", gc.unresolved)      \
    X("holdfast_gc_debt_units", "gauge", "Units of work that the running collection still needs.", "",       \
      gc.debt)                                                                                               \
    X("holdfast_gc_running", "gauge", "1 while a collection runs.", "", gc.phase != GC_IDLE)                 \
    X("holdfast_gc_collected_total", "counter", "Objects freed by collections.", ",kind=\"full\"",           \
      gc.total.collected)                                                                                    \
    X(NULL, NULL, NULL, ",kind=\"young\"", gc.young_total.collected)                                         \
    X("holdfast_gc_collected_bytes_total", "counter", "Bytes of the values of unreachable objects found.",   \
      ",kind=\"full\"", gc.total.bytes)                                                                      \
    X(NULL, NULL, NULL, ",kind=\"young\"", gc.young_total.bytes)                                             \
    X("holdfast_gc_guards_delivered_total", "counter", "Guards that became holds.", "", gc.delivered)        \
    X("holdfast_gc_work_units_total", "counter", "Units of work of all collecting.", "", gc.total.units)     \
    X("holdfast_saves_total", "counter", "Saves to files that have ended, by result.", ",result=\"done\"",   \
      saves_done)                                                                                            \
    X(NULL, NULL, NULL, ",result=\"failed\"", saves_failed)

/* The values of a row, in the order of the list. */
enum {
#define COUNT(name, type, help, label, value) +1
    FIGURES = 0 POOL_FIGURES(COUNT)
#undef COUNT
};

static void values_of(const struct survey_pool *row, uint64_t values[FIGURES])
{
    unsigned at = 0;
#define VALUE(name, type, help, label, value) values[at++] += row->value;
    POOL_FIGURES(VALUE)
#undef VALUE
}

static const struct {
    const char *name, *type, *help, *label;
} figures[FIGURES] = {
#define LINE(name, type, help, label, value) {name, type, help, label},
    POOL_FIGURES(LINE)
#undef LINE
};

static void pools(struct text *text, const struct survey *survey)
{
    uint64_t rows[POOLS_SHOWN + 1][FIGURES];
    unsigned shown = survey->pools_count < POOLS_SHOWN ? survey->pools_count : POOLS_SHOWN;
    memset(rows, 0, sizeof rows);
    for (unsigned i = 0; i < survey->pools_count; i++)
        values_of(&survey->pool_rows[i], rows[i < shown ? i : POOLS_SHOWN]);
    plain(text, "holdfast_pools", "gauge", "Pools.", survey->pools_count);
    const char *name = NULL;
    for (unsigned k = 0; k < FIGURES; k++) {
        name = figures[k].name != NULL ? figures[k].name : name;
        if (figures[k].name != NULL)
            head(text, name, figures[k].type, figures[k].help);
        for (unsigned i = 0; i < shown; i++)
            text_printf(text, "%s{pool=\"%s\"%s} %" PRIu64 "\n", name, survey->pool_rows[i].name,
                        figures[k].label, rows[i][k]);
        if (survey->pools_count > shown)
            text_printf(text, "%s{pool=\"(others)\"%s} %" PRIu64 "\n", name, figures[k].label,
                        rows[POOLS_SHOWN][k]);
    }
}

/* ---- sizes, of all pools ---- */

bool size_word(const struct size_sum *sum, unsigned k, char ret[SIZE_WORD])
{
    static const char *const words[] = {"pages", "huge", "uncut"};
    if (k >= BLOCK_CLASSES_MAX)
        snprintf(ret, SIZE_WORD, "%s", words[k - BLOCK_CLASSES_MAX]);
    else
        snprintf(ret, SIZE_WORD, "%" PRIu64, sum->size);
    return k >= BLOCK_CLASSES_MAX || sum->size != 0;
}

static void size_bytes(struct text *text, const char *kind, const char *size, const struct size_sum *sum)
{
    static const char name[] = "holdfast_size_class_bytes";
    text_printf(text, "%s{kind=\"%s\",size=\"%s\",state=\"used\"} %" PRIu64 "\n", name, kind, size,
                sum->used_bytes);
    text_printf(text, "%s{kind=\"%s\",size=\"%s\",state=\"free\"} %" PRIu64 "\n", name, kind, size,
                sum->bytes - sum->used_bytes);
}

static void size_blocks(struct text *text, const char *kind, const char *size, const struct size_sum *sum)
{
    static const char name[] = "holdfast_size_class_blocks";
    if (sum->size == 0)
        return;
    text_printf(text, "%s{kind=\"%s\",size=\"%s\",state=\"used\"} %" PRIu64 "\n", name, kind, size,
                sum->used);
    text_printf(text, "%s{kind=\"%s\",size=\"%s\",state=\"free\"} %" PRIu64 "\n", name, kind, size,
                sum->blocks - sum->used);
}

/* As many rows as there are classes in the code. */
static void each_size(struct text *text, const struct pool_sizes *sizes,
                      void (*row)(struct text *text, const char *kind, const char *size,
                                  const struct size_sum *sum))
{
    char word[SIZE_WORD];
    for (unsigned kind = 0; kind < BLOCKS_KINDS; kind++) {
        for (unsigned k = 0; k < SIZES; k++) {
            const struct size_sum *sum = &sizes->of[kind][k];
            if (size_word(sum, k, word))
                row(text, pool_blocks_word(kind, k), word, sum);
        }
    }
}

static void sizes(struct text *text, const struct survey *survey)
{
    head(text, "holdfast_size_class_bytes", "gauge",
         "Memory of blocks by what they are for and by their size in bytes; larger ones are of whole pages "
         "or huge, "
         "uncut is no block's yet.");
    each_size(text, &survey->sizes, size_bytes);
    head(text, "holdfast_size_class_blocks", "gauge",
         "Blocks by what they are for and by their size in bytes.");
    each_size(text, &survey->sizes, size_blocks);
}

/* ---- the collector, of all pools ---- */

static void steps(struct text *text, const char *clock, const uint64_t *counts, uint64_t sum_ns)
{
    static const char name[] = "holdfast_gc_step_seconds";
    static const uint16_t bounds_us[] = GC_STEP_BOUNDS_US;
    uint64_t passed = 0;
    for (unsigned b = 0; b < GC_STEP_BUCKETS; b++) {
        passed += counts[b];
        if (b < GC_STEP_BUCKETS - 1)
            text_printf(text, "%s_bucket{clock=\"%s\",le=\"%.9g\"} %" PRIu64 "\n", name, clock,
                        bounds_us[b] / 1e6, passed);
    }
    text_printf(text, "%s_bucket{clock=\"%s\",le=\"+Inf\"} %" PRIu64 "\n", name, clock, passed);
    text_printf(text, "%s_sum{clock=\"%s\"} %.9g\n", name, clock, (double)sum_ns / 1e9);
    text_printf(text, "%s_count{clock=\"%s\"} %" PRIu64 "\n", name, clock, passed);
}

static void collections(struct text *text, const uint64_t *counts, const char *kind, const char *const *words,
                        unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        text_printf(text, "holdfast_gc_collections_total{kind=\"%s\",trigger=\"%s\"} %" PRIu64 "\n", kind,
                    words[i], counts[i]);
}

static void collector(struct text *text, const struct survey *survey)
{
    static const char *const full_words[] = {"call", "objects", "bytes", "time", "memory"};
    static const char *const young_words[] = {"call", "suspects", "growth", "time", "memory"};
    uint64_t full[GC_TRIGGERS] = {0}, young[GC_YOUNG_TRIGGERS] = {0}, cpu[GC_STEP_BUCKETS] = {0}, cpu_ns = 0;
    for (unsigned i = 0; i < survey->pools_count; i++) {
        const struct gc_stats *gc = &survey->pool_rows[i].gc;
        for (unsigned k = 0; k < GC_TRIGGERS; k++)
            full[k] += gc->full[k];
        for (unsigned k = 0; k < GC_YOUNG_TRIGGERS; k++)
            young[k] += gc->young[k];
        for (unsigned k = 0; k < GC_STEP_BUCKETS; k++)
            cpu[k] += gc->step_cpu[k];
        cpu_ns += gc->total.cpu_ns;
    }
    head(text, "holdfast_gc_collections_total", "counter", "Collections done, by what began them.");
    collections(text, full, "full", full_words, GC_TRIGGERS);
    collections(text, young, "young", young_words, GC_YOUNG_TRIGGERS);
    head(text, "holdfast_gc_step_seconds", "histogram",
         "Processor time of what a pool's collector did in one turn of the loop.");
    steps(text, "cpu", cpu, cpu_ns);
}

/* ---- the daemon, the process ---- */

static void daemon_figures(struct text *text, const struct observe *observe, const struct survey *survey)
{
    const struct counters *c = &survey->counters;
    struct server *server = observe->server;
    head(text, "holdfast_build_info", "gauge", "1, with the version as a label.");
    text_printf(text, "holdfast_build_info{version=\"%s\"} 1\n", HF_VERSION);
    plain(text, "holdfast_workers", "gauge", "Threads that own pools.", server_workers(server));
    struct server_loading loading;
    server_loading(server, &loading);
    plain(text, "holdfast_pools_recovering", "gauge", "Pools that are not served yet.", loading.pools);
    plain(text, "holdfast_draining", "gauge", "1 while the daemon goes down.", server_draining(server));
    plain(text, "holdfast_memory_used_bytes", "gauge",
          "Memory that clients cause, of all pools and connections.", server_memory_used(server));
    plain(text, "holdfast_memory_limit_bytes", "gauge", "Limit of it.", server_memory_limit(server));
    plain(text, "holdfast_connections", "gauge", "Connections open.", c->connections);
    plain(text, "holdfast_connections_total", "counter", "Connections accepted.", c->connections_made);
    plain(text, "holdfast_connections_refused_total", "counter",
          "Connections that were closed at once, for want of descriptors or memory.", server_refused(server));
    plain(text, "holdfast_connections_cut_total", "counter",
          "Connections that were cut off, since they took none of their replies.", c->connections_cut);
    plain(text, "holdfast_received_bytes_total", "counter", "Bytes read from clients.", c->bytes_in);
    plain(text, "holdfast_sent_bytes_total", "counter", "Bytes written to clients.", c->bytes_out);
    plain(text, "holdfast_notifications_total", "counter", "Notifications of clients, ignored ones too.",
          c->notifications);
    plain(text, "holdfast_slow_requests_total", "counter", "Requests that took longer than --slowlog-us.",
          atomic_load_explicit(&server_slowlog(server)->count, memory_order_relaxed));
    plain(text, "holdfast_loop_turns_total", "counter", "Turns of the workers' loops.", c->turns);
    plain(text, "holdfast_work_units_total", "counter", "Units of work of all pools.", c->units);
    seconds(text, "holdfast_turn_max_seconds", "gauge", "The longest work within one turn of a loop.",
            c->turn_us_max * 1000);
    plain(text, "holdfast_scrapes_total", "counter", "Answers of /metrics before this one.",
          observe->scrapes);
    seconds(text, "holdfast_scrape_seconds_total", "counter", "Time that they took.", observe->scrape_ns);
    seconds(text, "holdfast_scrape_step_seconds", "gauge",
            "The longest processor time of a worker in one turn of its loop for this scrape.",
            survey->step_ns_max);
}

static void process(struct text *text, const struct observe *observe)
{
    struct process figures_now;
    process_figures(&figures_now);
    plain(text, "process_resident_memory_bytes", "gauge", "Resident memory size in bytes.",
          figures_now.resident_bytes);
    plain(text, "process_virtual_memory_bytes", "gauge", "Virtual memory size in bytes.",
          figures_now.virtual_bytes);
    seconds(text, "process_cpu_seconds_total", "counter", "Total user and system CPU time spent in seconds.",
            figures_now.cpu_ns);
    plain(text, "process_open_fds", "gauge", "Number of open file descriptors.", figures_now.open_fds);
    plain(text, "process_max_fds", "gauge", "Maximum number of open file descriptors.", figures_now.max_fds);
    plain(text, "process_start_time_seconds", "gauge",
          "Start time of the process since unix epoch in seconds.", observe->started_s);
}

void answer_metrics(struct text *text, const struct observe *observe, const struct survey *survey)
{
    daemon_figures(text, observe, survey);
    requests(text, &survey->book);
    durations(text, &survey->book);
    pools(text, survey);
    sizes(text, survey);
    collector(text, survey);
    process(text, observe);
}
