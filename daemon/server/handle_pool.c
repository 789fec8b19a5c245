/* SPDX-License-Identifier: BSD-3-Clause */
/* pools pool_create pool_drop stats: pools as wholes, and figures. */
#include "daemon/pool/events.h"
#include "daemon/server/book.h"
#include "daemon/server/handlers.h"
#include "proto/version.h"

#include <string.h>

/* ---- pools ---- */

static void reply_pool(struct call *call, const struct pool *pool)
{
    struct pool_stats stats;

    pool_stats(pool, &stats);
    reply_map(call, 9);
    reply_pair_text(call, "name", pool_name(pool));
    reply_pair_uint(call, "epoch", pool_epoch(pool));
    reply_pair_uint(call, "objects", stats.objects);
    reply_pair_uint(call, "bytes", stats.object_bytes);
    reply_pair_uint(call, "names", stats.names);
    reply_pair_uint(call, "sessions", stats.sessions_open);
    reply_pair_uint(call, "grace", stats.sessions_grace);
    reply_pair_uint(call, "used", stats.memory_used);
    reply_pair_uint(call, "limit", stats.memory_limit);
}

static int visit_pools(struct call *call, struct question *question)
{
    for (struct pool *pool = worker_pool_next(call->worker, NULL); pool;
         pool = worker_pool_next(call->worker, pool)) {
        reply_pool(call, pool);
        question->rows++;
    }
    return 0;
}

int handle_pools(struct call *call)
{
    int r = call_options(call, NULL, 0);

    return r ? r : call_ask(call, &(struct ask){.visit = visit_pools, .finish = call_rows}, NULL);
}

struct pool_args {
    char name[HF_POOL_NAME_MAX + 1];
    uint32_t number;
    uint64_t max_bytes;
    bool force;
};

static int reply_true(struct call *call, struct question *question)
{
    (void)question;
    reply_bool(call, true);
    return 0;
}

static int visit_create(struct call *call, struct question *question)
{
    const struct pool_args *args = (const void *)question->args;

    return worker_pool_create(call, args->name, args->number, args->max_bytes);
}

int handle_pool_create(struct call *call)
{
    struct pool_args args = {.max_bytes = 0};
    const struct option_spec specs[] = {{"max_bytes", OPTION_UINT, &args.max_bytes, NULL, 1, HF_ID_MAX}};
    struct place place;
    struct name_in name;
    int r;

    if ((r = call_bytes(call, "name", 0, UINT32_MAX, &name)) ||
        (r = call_options(call, specs, COUNT_OF(specs))))
        return r;
    if (!pool_name_fits(name.data, name.size))
        return call_bad_pool_name(call, "arg", "name");
    if ((r = server_reserve(call, name.data, name.size, &place)))
        return r;
    memcpy(args.name, name.data, name.size);
    args.number = place.number;
    r = call_ask(call, &(struct ask){visit_create, reply_true, &args, sizeof(args)}, place.worker);
    if (r == -HF_E_OOM)
        server_unreserve(call, place.number); /* there was no memory even to ask */
    return r;
}

static int no_pool(struct call *call)
{
    return call_fail(call, HF_E_NOTFOUND, "there is no pool of that name; see `pools`", "%s", "");
}

static int visit_drop(struct call *call, struct question *question)
{
    const struct pool_args *args = (const void *)question->args;
    struct pool *pool = worker_pool(call->worker, args->number);

    return pool ? worker_pool_drop(call, pool, args->force) : no_pool(call);
}

int handle_pool_drop(struct call *call)
{
    struct pool_args args = {.force = false};
    const struct option_spec specs[] = {{"force", OPTION_BOOL, &args.force, NULL, 0, 0}};
    struct place place;
    struct name_in name;
    int r;

    if ((r = call_bytes(call, "name", 0, UINT32_MAX, &name)) ||
        (r = call_options(call, specs, COUNT_OF(specs))))
        return r;
    if (!pool_name_fits(name.data, name.size))
        return call_bad_pool_name(call, "arg", "name");
    if ((r = server_busy_named(call, name.data, name.size)))
        return r;
    if (!server_place(call->server, name.data, name.size, &place))
        return no_pool(call);
    args.number = place.number;
    return call_ask(call, &(struct ask){visit_drop, reply_true, &args, sizeof(args)}, place.worker);
}

/* ---- stats: a map of sections, each a map ---- */

struct figures {
    struct pool_stats pool;
    struct event_stats events;
    const struct counters *counters;
    const struct book_sum *book;
};

static void section_pool(struct call *call, const struct figures *f)
{
    reply_map(call, 3);
    reply_pair_text(call, "name", pool_name(call->pool));
    reply_pair_uint(call, "epoch", pool_epoch(call->pool));
    reply_pair_uint(call, "next_version", f->pool.next_version);
}

static void section_objects(struct call *call, const struct figures *f)
{
    reply_map(call, 8);
    reply_pair_uint(call, "count", f->pool.objects);
    reply_pair_uint(call, "bytes", f->pool.object_bytes);
    reply_pair_uint(call, "open", f->pool.objects_open);
    reply_pair_uint(call, "made", f->pool.objects_made);
    reply_pair_uint(call, "freed", f->pool.objects_freed);
    reply_pair_uint(call, "retired", f->pool.retired);
    reply_pair_uint(call, "index_max", f->pool.index_max);
    reply_pair_uint(call, "labels", f->pool.labels);
}

static void section_memory(struct call *call, const struct figures *f)
{
    reply_map(call, 11);
    reply_pair_uint(call, "limit", f->pool.memory_limit);
    reply_pair_uint(call, "used", f->pool.memory_used);
    reply_pair_uint(call, "image", f->pool.memory_image);
    reply_pair_uint(call, "anon", f->pool.memory_private);
    reply_pair_uint(call, "meta", f->pool.meta_bytes);
    reply_pair_uint(call, "values", f->pool.value_bytes);
    reply_pair_uint(call, "values_live", f->pool.value_live_bytes);
    reply_pair_uint(call, "lists", f->pool.list_bytes);
    reply_pair_uint(call, "lists_live", f->pool.list_live_bytes);
    reply_pair_uint(call, "pinned", f->pool.pinned);
    reply_pair_uint(call, "daemon_limit", server_memory_limit(call->server));
}

static void section_evacuation(struct call *call, const struct figures *f)
{
    struct pool_evacuation evacuation;

    (void)f;
    pool_evacuation(call->pool, &evacuation);
    reply_map(call, 7);
    reply_pair_uint(call, "percent", evacuation.percent);
    reply_pair_bool(call, "running", evacuation.running);
    reply_pair_uint(call, "passes", evacuation.passes);
    reply_pair_uint(call, "moved", evacuation.moved);
    reply_pair_uint(call, "moved_bytes", evacuation.moved_bytes);
    reply_pair_uint(call, "returned_bytes", evacuation.returned_bytes);
    reply_pair_uint(call, "cut_short", evacuation.cut_short);
}

static void section_sessions(struct call *call, const struct figures *f)
{
    reply_map(call, 5);
    reply_pair_uint(call, "open", f->pool.sessions_open);
    reply_pair_uint(call, "grace", f->pool.sessions_grace);
    reply_pair_uint(call, "ending", f->pool.sessions_dying);
    reply_pair_uint(call, "holds", f->pool.holds);
    reply_pair_uint(call, "hold_cells", f->pool.hold_cells);
}

static void section_names(struct call *call, const struct figures *f)
{
    reply_map(call, 1);
    reply_pair_uint(call, "count", f->pool.names);
}

static void section_tickets(struct call *call, const struct figures *f)
{
    reply_map(call, 1);
    reply_pair_uint(call, "count", f->pool.tickets);
}

static void section_events(struct call *call, const struct figures *f)
{
    reply_map(call, 7);
    reply_pair_uint(call, "watches", f->events.watches);
    reply_pair_uint(call, "guards", f->events.guards);
    reply_pair_uint(call, "waiting", f->events.waiting);
    reply_pair_uint(call, "subscribers", f->events.subscribers);
    reply_pair_uint(call, "told", f->events.told);
    reply_pair_uint(call, "seq", f->events.ring_next - 1);
    reply_pair_uint(call, "kept", f->events.ring_next - f->events.ring_first);
}

static void section_gc(struct call *call, const struct figures *f)
{
    reply_gc_stats(call, f->pool.backlog);
}

static void section_save(struct call *call, const struct figures *f)
{
    (void)f;
    reply_save_stats(call);
}

static void section_requests(struct call *call, const struct figures *f)
{
    reply_requests(call, f->counters, f->book);
}

static void section_durations(struct call *call, const struct figures *f)
{
    reply_durations(call, f->book);
}

static void section_connections(struct call *call, const struct figures *f)
{
    reply_map(call, 6);
    reply_pair_uint(call, "open", f->counters->connections);
    reply_pair_uint(call, "made", f->counters->connections_made);
    reply_pair_uint(call, "refused", server_refused(call->server));
    reply_pair_uint(call, "cut", f->counters->connections_cut);
    reply_pair_uint(call, "bytes_in", f->counters->bytes_in);
    reply_pair_uint(call, "bytes_out", f->counters->bytes_out);
}

static void section_server(struct call *call, const struct figures *f)
{
    reply_map(call, 9);
    reply_pair_text(call, "name", server_name(call->server));
    reply_pair_text(call, "version", HF_VERSION);
    reply_pair_uint(call, "uptime_ms", call_uptime_ms(call));
    reply_pair_bool(call, "draining", call_draining(call));
    reply_pair_uint(call, "workers", server_workers(call->server));
    reply_pair_uint(call, "turns", f->counters->turns);
    reply_pair_uint(call, "turn_us_max", f->counters->turn_us_max);
    reply_pair_uint(call, "units", f->counters->units);
    reply_pair_uint(call, "turn_units_max", f->counters->turn_units_max);
}

/* Those of the daemon (all its workers) come last; the others are of the caller's pool. */
static const struct section {
    const char *name;
    void (*reply)(struct call *call, const struct figures *figures);
} sections[] = {
    {"pool", section_pool},
    {"objects", section_objects},
    {"memory", section_memory},
    {"evacuation", section_evacuation},
    {"sessions", section_sessions},
    {"names", section_names},
    {"tickets", section_tickets},
    {"events", section_events},
    {"gc", section_gc},
    {"save", section_save},
    {"requests", section_requests},
    {"durations", section_durations},
    {"connections", section_connections},
    {"server", section_server},
};

/* NULL: there is none of that name. */
static const struct section *find_section(struct name_in name)
{
    for (unsigned i = 0; i < COUNT_OF(sections); i++) {
        if (strlen(sections[i].name) == name.size && memcmp(sections[i].name, name.data, name.size) == 0)
            return &sections[i];
    }
    return NULL;
}

struct stats_args {
    const struct section *section; /* NULL: all */
    struct counters counters;      /* of all workers */
};

static int visit_stats(struct call *call, struct question *question)
{
    struct stats_args *args = (void *)question->args;
    struct book_sum *sum = call_sum(question);

    if (sum == NULL)
        return -HF_E_OOM;
    call_add_counters(call, &args->counters);
    book_add_to(call_book(call), sum);
    return 0;
}

static int finish_stats(struct call *call, struct question *question)
{
    const struct stats_args *args = (const void *)question->args;
    struct figures figures = {.counters = &args->counters, .book = call_sum(question)};

    pool_stats(call->pool, &figures.pool);
    pool_event_stats(call->pool, &figures.events);
    if (args->section) {
        args->section->reply(call, &figures);
        return 0;
    }
    reply_map(call, COUNT_OF(sections));
    for (unsigned i = 0; i < COUNT_OF(sections); i++) {
        reply_text(call, sections[i].name);
        sections[i].reply(call, &figures);
    }
    return 0;
}

int handle_stats(struct call *call)
{
    struct stats_args args = {.section = NULL};
    struct name_in name;
    struct span span;
    bool one = call_span(call, &span) && !span_nil(span);
    int r;

    if (one && span_bytes(span, &name))
        return call_badarg(call, "section", -1, "the name of a section, or nil for all");
    if ((r = call_options(call, NULL, 0)))
        return r;
    if (one && (args.section = find_section(name)) == NULL)
        return call_fail(call, HF_E_NOTFOUND, "no such section; `stats` without arguments has all of them",
                         "arg=section");
    return call_ask(call, &(struct ask){visit_stats, finish_stats, &args, sizeof(args)}, NULL);
}
