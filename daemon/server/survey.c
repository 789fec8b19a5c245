/* SPDX-License-Identifier: BSD-3-Clause */
#include "daemon/server/survey.h"

#include "daemon/server/worker.h"

#include <string.h>

#define POOLS_FIRST 8u

static void deliver(struct worker *worker, struct message *message);
static void discard(struct message *message);

static const struct message_kind kind = {.deliver = deliver, .discard = discard};

/* ---- memory: charged to the server, whichever thread it is in ---- */

static void *get(struct survey *survey, size_t size)
{
    struct mem *mem = &survey->server->mem;
    if (!mem_charge(mem, size))
        return NULL;
    void *p = malloc(size);
    if (p == NULL)
        mem_uncharge(mem, size);
    return p;
}

static void give(struct survey *survey, void *p, size_t size)
{
    if (p != NULL)
        mem_uncharge(&survey->server->mem, size);
    free(p);
}

void survey_free(struct survey *survey)
{
    give(survey, survey->pool_rows, survey->pools_cap * sizeof *survey->pool_rows);
    give(survey, survey->session_rows, survey->sessions_most * sizeof *survey->session_rows);
    mem_uncharge(&survey->server->mem, sizeof *survey);
    free(survey);
}

/* ---- pools ---- */

static struct survey_pool *next_pool_row(struct survey *survey)
{
    if (survey->pools_count < survey->pools_cap)
        return &survey->pool_rows[survey->pools_count++];
    unsigned cap = survey->pools_cap == 0 ? POOLS_FIRST : 2 * survey->pools_cap;
    struct survey_pool *rows = get(survey, cap * sizeof *rows);
    survey->oom |= rows == NULL;
    if (rows == NULL)
        return NULL;
    if (survey->pools_count > 0)
        memcpy(rows, survey->pool_rows, survey->pools_count * sizeof *rows);
    give(survey, survey->pool_rows, survey->pools_cap * sizeof *rows);
    survey->pool_rows = rows;
    survey->pools_cap = cap;
    return &survey->pool_rows[survey->pools_count++];
}

static void add_pool(struct survey *survey, const struct pool_entry *entry)
{
    struct survey_pool *row = next_pool_row(survey);
    pool_add_sizes(entry->pool, &survey->sizes);
    if (row == NULL)
        return;
    *row = (struct survey_pool){.epoch = pool_epoch(entry->pool),
                                .worker = entry->worker->index,
                                .gc_enabled = pool_gc_config(entry->pool)->enabled,
                                .saves_done = entry->saved.done,
                                .saves_failed = entry->saved.failed};
    memcpy(row->name, pool_name(entry->pool), strlen(pool_name(entry->pool)) + 1);
    pool_stats(entry->pool, &row->stats);
    pool_event_stats(entry->pool, &row->events);
    pool_gc_stats(entry->pool, &row->gc);
}

/* ---- sessions: the first ones of the order, in a heap with the last of them on top ---- */

/* Whether a comes behind b. */
static bool is_behind(const struct survey *survey, const struct survey_session *a,
                      const struct survey_session *b)
{
    if (a->key == b->key)
        return a->sid > b->sid;
    return survey->ascending ? a->key > b->key : a->key < b->key;
}

static void sift_up(struct survey *survey, unsigned at)
{
    struct survey_session *rows = survey->session_rows, row = rows[at];
    while (at > 0 && is_behind(survey, &row, &rows[(at - 1) / 2])) {
        rows[at] = rows[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    rows[at] = row;
}

static void sift_down(struct survey *survey, unsigned at, unsigned count)
{
    struct survey_session *rows = survey->session_rows, row = rows[at];
    for (unsigned child; (child = 2 * at + 1) < count; at = child) {
        if (child + 1 < count && is_behind(survey, &rows[child + 1], &rows[child]))
            child++;
        if (!is_behind(survey, &rows[child], &row))
            break;
        rows[at] = rows[child];
    }
    rows[at] = row;
}

void survey_sort(struct survey *survey)
{
    for (unsigned count = survey->sessions_count; count > 1; count--) {
        struct survey_session last = survey->session_rows[0];
        survey->session_rows[0] = survey->session_rows[count - 1];
        sift_down(survey, 0, count - 1);
        survey->session_rows[count - 1] = last;
    }
}

static uint64_t key_of(enum survey_sort sort, const struct survey_session *row)
{
    switch (sort) {
    case SORT_HELD: return row->held;
    case SORT_BYTES: return row->bytes;
    case SORT_QUEUED: return row->queued;
    case SORT_IDLE: return row->idle_ms;
    case SORT_SINCE: return row->since_ms;
    default: return row->sid;
    }
}

static void fill(struct survey_session *to, const struct worker *worker, const struct session_row *row)
{
    const struct conn *conn = row->owner;
    *to = (struct survey_session){.sid = row->sid,
                                  .held = row->held,
                                  .bytes = row->held_bytes,
                                  .since_ms = row->since_ms,
                                  .pid = row->pid,
                                  .anonymous = row->anonymous,
                                  .grace = row->grace};
    if (conn == NULL)
        return;
    to->conn = conn->number;
    to->queued = conn->queued;
    if (conn->read_ns != 0 && conn->read_ns < worker->turn_ns)
        to->idle_ms = (worker->turn_ns - conn->read_ns) / 1000000;
}

/* What costs more, for a row that is kept. */
static void fill_rest(struct survey_session *to, const struct pool *pool, const struct session_row *row)
{
    const struct conn *conn = row->owner;
    size_t size = row->name_size;
    uv_os_fd_t fd;
    if (size > sizeof to->name)
        for (size = sizeof to->name; size > 0 && (row->name[size] & 0xc0) == 0x80;)
            size--;
    to->name_size = (uint8_t)size;
    if (size > 0)
        memcpy(to->name, row->name, size);
    memcpy(to->pool, pool_name(pool), strlen(pool_name(pool)) + 1);
    if (conn != NULL && uv_fileno((const uv_handle_t *)&conn->stream.handle, &fd) == 0)
        transport_peer(fd, to->peer, sizeof to->peer);
}

static void add_session(struct survey *survey, const struct worker *worker, const struct pool *pool,
                        const struct session_row *row)
{
    struct survey_session found;
    fill(&found, worker, row);
    found.key = key_of(survey->sort, &found);
    survey->sessions_seen++;
    bool full = survey->sessions_count == survey->sessions_most;
    if (full && !is_behind(survey, &survey->session_rows[0], &found))
        return;
    fill_rest(&found, pool, row);
    if (full) {
        survey->session_rows[0] = found;
        sift_down(survey, 0, survey->sessions_count);
    } else {
        survey->session_rows[survey->sessions_count++] = found;
        sift_up(survey, survey->sessions_count - 1);
    }
}

/* The latest of the sessions looked at last that is still there: from one that has ended the pool would have to go
 * through all of them. */
static uint64_t latest(const struct survey *survey, struct pool *pool)
{
    unsigned oldest = survey->recent_count > SURVEY_RECENT ? survey->recent_count - SURVEY_RECENT : 0;
    for (unsigned i = survey->recent_count; i-- > oldest;) {
        uint64_t sid = survey->recent[i % SURVEY_RECENT];
        if (pool_session_by_sid(pool, sid) != NULL)
            return sid;
    }
    return survey->after_sid;
}

/* Some sessions of the pool. False: there are no more. */
static bool add_sessions(struct survey *survey, struct worker *worker, struct pool *pool)
{
    struct session_row rows[SURVEY_SESSIONS];
    uint64_t after_sid = survey->after_sid;
    unsigned count = pool_sessions(pool, latest(survey, pool), rows, SURVEY_SESSIONS);
    for (unsigned i = 0; i < count; i++) {
        survey->recent[survey->recent_count++ % SURVEY_RECENT] = rows[i].sid;
        if (rows[i].sid > after_sid)
            add_session(survey, worker, pool, &rows[i]);
        survey->after_sid = rows[i].sid;
    }
    return count == SURVEY_SESSIONS;
}

/* ---- the way ---- */

/* A piece of what is to be done at this worker. False: that was all. */
static bool piece(struct survey *survey, struct worker *worker)
{
    if (!survey->counted) {
        struct call call = {.worker = worker};
        call_add_counters(&call, &survey->counters);
        book_add_to(&worker->book, &survey->book);
        survey->counted = true;
    }
    bool rows = survey->pools || survey->sessions_most > 0;
    if (!rows || survey->pool >= worker->pace.count)
        return false;
    struct pool_entry *entry = worker->pace.slots[survey->pool];
    worker_clock(worker, entry);
    if (survey->pools && survey->after_sid == 0)
        add_pool(survey, entry);
    if (survey->sessions_most > 0 && add_sessions(survey, worker, entry->pool))
        return true;
    survey->pool++;
    survey->after_sid = 0;
    survey->recent_count = 0;
    return true;
}

static void arrive(struct survey *survey)
{
    struct server *server = survey->server;
    /* release: all that was gathered is the main thread's, which may free it at once */
    atomic_store_explicit(&survey->home, true, memory_order_release);
    uv_async_send(&server->wake);
}

static void deliver(struct worker *worker, struct message *message)
{
    struct survey *survey = list_entry(message, struct survey, message);
    uint64_t begin_ns = uv_hrtime(), begin_cpu_ns = thread_cpu_ns();
    bool more = true;
    while (more && uv_hrtime() - begin_ns < SURVEY_STEP_US * 1000)
        more = piece(survey, worker);
    uint64_t step_ns = thread_cpu_ns() - begin_cpu_ns;
    if (step_ns > survey->step_ns_max)
        survey->step_ns_max = step_ns;
    if (more) {
        mailbox_post(&worker->mailbox, message, &kind);
        return;
    }
    survey->counted = false;
    survey->pool = 0;
    if (++survey->worker < survey->server->workers_count)
        mailbox_post(&survey->server->workers[survey->worker]->mailbox, message, &kind);
    else
        arrive(survey);
}

/* On the main thread: the worker has ended. */
static void discard(struct message *message)
{
    struct survey *survey = list_entry(message, struct survey, message);
    atomic_store_explicit(&survey->home, true, memory_order_relaxed);
}

/* ---- the main thread's side ---- */

struct survey *server_survey(struct server *server, const struct survey *asked, survey_done *done, void *data)
{
    if (server->surveys_count >= SURVEYS_MAX || !mem_charge(&server->mem, sizeof *asked))
        return NULL;
    struct survey *survey = calloc(1, sizeof *survey);
    if (survey == NULL) {
        mem_uncharge(&server->mem, sizeof *survey);
        return NULL;
    }
    survey->server = server;
    survey->pools = asked->pools;
    survey->sort = asked->sort;
    survey->ascending = asked->ascending;
    survey->done = done;
    survey->data = data;
    if (asked->sessions_most > 0) {
        survey->session_rows = get(survey, asked->sessions_most * sizeof *survey->session_rows);
        survey->oom = survey->session_rows == NULL;
        survey->sessions_most = survey->oom ? 0 : asked->sessions_most;
    }
    list_append(&server->surveys, &survey->link);
    server->surveys_count++;
    mailbox_post(&server->workers[0]->mailbox, &survey->message, &kind);
    return survey;
}

void survey_cancel(struct survey *survey)
{
    survey->done = NULL;
}

static void take_off(struct server *server, struct survey *survey)
{
    list_remove(&survey->link);
    server->surveys_count--;
}

void surveys_home(struct server *server)
{
    struct list *at, *after;
    list_each(at, after, &server->surveys)
    {
        struct survey *survey = list_entry(at, struct survey, link);
        if (!atomic_load_explicit(&survey->home, memory_order_acquire))
            continue;
        take_off(server, survey);
        if (survey->done != NULL)
            survey->done(survey, survey->data);
        else
            survey_free(survey);
    }
}

void surveys_close(struct server *server)
{
    struct list *at, *after;
    list_each(at, after, &server->surveys)
    {
        struct survey *survey = list_entry(at, struct survey, link);
        take_off(server, survey);
        survey_free(survey);
    }
}

/* ---- facts ---- */

uint64_t server_memory_used(const struct server *server)
{
    return atomic_load_explicit(&server->mem.used, memory_order_relaxed);
}

uint64_t server_uptime_ms(const struct server *server)
{
    return (uv_hrtime() - server->opened_ns) / 1000000;
}

bool server_draining(const struct server *server)
{
    return server->draining;
}

struct slowlog *server_slowlog(struct server *server)
{
    return &server->slowlog;
}

struct mem *server_mem(struct server *server)
{
    return &server->mem;
}
