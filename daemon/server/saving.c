/* SPDX-License-Identifier: BSD-3-Clause */
#include "daemon/server/saving.h"

#include "daemon/server/handlers.h"
#include "daemon/server/worker.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define THROWN_MOST 8u        /* buffers freed in a turn: 10 to 20 us each */
#define GENTLE      16u       /* beside requests the thread uses that part of a processor */
#define REST_MOST   20000000u /* ns */
#define GENTLE_MS   600000u   /* a save that takes longer has to come to its end */
#define NO_MEMORY   "no memory or no thread for a save"
#define RUNNING     "a save of this pool is running; try again when it is done"

/* What the thread is to do, or has done. */
enum job { JOB_CREATE, JOB_WRITE, JOB_PUBLISH, JOB_DISCARD };

struct saving {
    struct list link; /* in worker.savings */
    struct pool_entry *entry;
    struct save *save; /* NULL: there is no file yet, or all is written */
    struct saves_file file;
    char name[HF_SAVE_FILE_MAX + 1];
    bool periodic;
    uint64_t at_ms, began_ns; /* the instant */
    struct save_facts facts;
    struct list waiting; /* struct wait */
    const char *abort;   /* why it is to come to nothing; NULL: it goes on */
    int code;            /* it has come to nothing: -HF_E_..., and `error` says why */

    /* The thread's while `out` (but for entry and worker, which it leaves alone). */
    bool out;
    struct chore chore; /* hurries: buffers are few */
    bool gentle;        /* requests are served meanwhile */
    uint64_t bytes_in;  /* that the worker had read when the thread was given something last */
    uint64_t cpu_ns;    /* processor time of the thread at its last rest */
    enum job job;
    struct save_buffer *chain;
    int err; /* of a write: -errno */
    enum saves_result result;
    unsigned removed; /* old periodic ones */
    char folder[RULES_FOLDER_MAX];
    const char *pool;
    unsigned keep;
    char error[SAVES_ERROR_MAX];
};

/* A call that waits for the end of one. */
struct wait {
    struct list link; /* in saving.waiting, or nowhere */
    struct conn *conn;
    bool done;
    int code;
    char error[SAVES_ERROR_MAX];
    struct save_figures figures;
};

/* ---- the thread ---- */

/* Beside requests a save takes its time: what it uses of a processor (the system's writing most of all, which is not
 * interrupted when a worker wakes up) they wait for, and the busier the processor is the longer it takes to catch up.
 * A thread like any other rests for a moment at least, so that a worker may run. */
static void rest(void *data)
{
    struct saving *saving = data;
    uint64_t cpu_ns = thread_cpu_ns(),
             rest_ns = saving->gentle ? (cpu_ns - saving->cpu_ns) * (GENTLE - 1) : 1;
    const struct timespec moment = {.tv_nsec = (long)(rest_ns < REST_MOST ? rest_ns : REST_MOST)};
    saving->cpu_ns = cpu_ns;
    (void)nanosleep(&moment, NULL);
}

static void write_chain(struct saving *saving)
{
    saving->cpu_ns = thread_cpu_ns();
    saving->err = save_write(saving->chain, saving->gentle || saving->chore.rests ? rest : NULL, saving);
}

static void publish(struct saving *saving)
{
    saving->result = saves_publish(&saving->file, saving->error, sizeof saving->error);
    if (saving->result == SAVES_FINE && saving->periodic)
        saving->removed = saves_prune(saving->folder, saving->pool, saving->keep);
}

static void run(struct chore *chore)
{
    struct saving *saving = list_entry(chore, struct saving, chore);
    switch (saving->job) {
    case JOB_CREATE:
        saving->result =
            saves_create(saving->folder, saving->name, &saving->file, saving->error, sizeof saving->error);
        break;
    case JOB_WRITE: write_chain(saving); break;
    case JOB_PUBLISH: publish(saving); break;
    case JOB_DISCARD: saves_discard(&saving->file); break;
    }
}

/* ---- the end of one ---- */

static int code_of(enum saves_result result)
{
    switch (result) {
    case SAVES_FINE: return 0;
    case SAVES_BUSY: return -HF_E_BUSY;
    default: return -HF_E_INTERNAL;
    }
}

static void answer(struct saving *saving)
{
    struct list *at, *after;
    list_each(at, after, &saving->waiting)
    {
        struct wait *wait = list_entry(at, struct wait, link);
        list_remove(&wait->link);
        list_init(&wait->link);
        wait->done = true;
        wait->code = saving->code;
        memcpy(wait->error, saving->error, sizeof wait->error);
        wait->figures = saving->entry->saved;
        dispatch_answered(wait->conn);
    }
}

static void note_good(struct saving *saving)
{
    struct save_figures *figures = &saving->entry->saved;
    figures->done++;
    figures->at_ms = saving->at_ms;
    figures->bytes = saving->facts.file_bytes;
    figures->took_ms = (uv_hrtime() - saving->began_ns) / 1000000;
    figures->pieces = saving->facts.copied;
    figures->urgent = saving->facts.urgent;
    figures->direct = saving->facts.direct;
    snprintf(figures->file, sizeof figures->file, "%s", saving->name);
    log_write(saving->entry->worker->log, LOG_LEVEL_INFO, "saved",
              "pool=%s file=%s bytes=%" PRIu64 " ms=%" PRIu64 " pieces=%" PRIu64 " urgent=%" PRIu64
              " direct=%" PRIu64 " removed=%u",
              saving->pool, saving->name, figures->bytes, figures->took_ms, figures->pieces, figures->urgent,
              figures->direct, saving->removed);
}

static void note_failed(struct pool_entry *entry, const char *name, uint64_t at_ms, const char *error)
{
    entry->saved.failed++;
    entry->saved.error_at_ms = at_ms;
    snprintf(entry->saved.error, sizeof entry->saved.error, "%s", error);
    log_client(entry->worker->log, LOG_LEVEL_ERROR, LOG_POOL, "save_failed",
               "pool=%s file=%s msg=\"%s; the pool goes on, and an older save is as it was\"",
               pool_name(entry->pool), name, error);
}

/* BUSY is told to whoever asked; it is no failure of the pool's saves. */
static void finish(struct saving *saving)
{
    struct pool_entry *entry = saving->entry;
    struct worker *worker = entry->worker;
    if (saving->code == 0)
        note_good(saving);
    else if (saving->code != -HF_E_BUSY || saving->periodic)
        note_failed(entry, saving->name, saving->at_ms, saving->error);
    answer(saving);
    list_remove(&saving->link);
    entry->saving = NULL;
    mem_free(worker->mem, saving, sizeof *saving);
    worker_wake(worker); /* a dropped pool may go now */
    saving_schedule(worker);
}

/* ---- its way: JOB_CREATE, the instant, JOB_WRITE for each chain, JOB_PUBLISH; or JOB_DISCARD at any point ---- */

/* A periodic one must not take the time of the next. */
static bool has_time(const struct saving *saving)
{
    uint64_t most_ms = saving->periodic ? saving->entry->worker->save_every_ms / 2 : GENTLE_MS;
    return uv_hrtime() - saving->began_ns < (most_ms < GENTLE_MS ? most_ms : GENTLE_MS) * 1000000;
}

/* False: there is no thread; never but for the first job. */
static bool give_out(struct saving *saving, enum job job)
{
    uint64_t bytes_in = saving->entry->worker->counters.bytes_in;
    bool serves = bytes_in != saving->bytes_in;
    saving->bytes_in = bytes_in;
    saving->job = job;
    saving->chore.hurries = job == JOB_WRITE && save_hurries(saving->save);
    saving->gentle = job == JOB_WRITE && serves && has_time(saving) && !save_is_short(saving->save);
    saving->out = runners_do(&saving->entry->worker->runners, &saving->chore);
    return saving->out;
}

/* Its file is there. */
static void take_instant(struct saving *saving)
{
    struct pool_entry *entry = saving->entry;
    worker_clock(entry->worker, entry);
    saving->at_ms = entry->worker->now_ms;
    saving->code = pool_save_begin(entry->pool, saving->file.fd, saving->file.fd_past, &saving->save);
    if (saving->code != 0)
        snprintf(saving->error, sizeof saving->error, "%s", pool_fault(entry->pool)->text);
}

/* Notes why it comes to nothing, if it does. */
static void judge(struct saving *saving)
{
    if (saving->code != 0)
        return;
    if (saving->abort != NULL) {
        saving->code = -HF_E_DRAINING;
        snprintf(saving->error, sizeof saving->error, "%s", saving->abort);
    } else if (saving->save != NULL && save_error(saving->save) != 0) {
        saving->code = -HF_E_INTERNAL;
        (void)saves_explain(&saving->file, -save_error(saving->save), saving->error, sizeof saving->error);
    }
}

/* False: it still has buffers; some of them are freed in each turn, unless there will be none. */
static bool end_save(struct saving *saving)
{
    if (saving->save == NULL)
        return true;
    if (!saving->entry->worker->closed && save_throw(saving->save, THROWN_MOST))
        return false;
    save_facts(saving->save, &saving->facts);
    pool_save_end(saving->entry->pool);
    saving->save = NULL;
    return true;
}

/* True: the next turn has to go on with it, whatever else there is. */
static bool advance(struct saving *saving)
{
    if (saving->out)
        return false;
    judge(saving);
    if (saving->code != 0 || save_is_done(saving->save)) {
        bool ended = end_save(saving);
        if (ended)
            give_out(saving, saving->code != 0 ? JOB_DISCARD : JOB_PUBLISH);
        return !ended;
    }
    saving->chain = save_take(saving->save);
    if (saving->chain != NULL)
        give_out(saving, JOB_WRITE);
    return false;
}

static void come_back(struct chore *chore)
{
    struct saving *saving = list_entry(chore, struct saving, chore);
    struct pool_entry *entry = saving->entry;
    saving->out = false;
    pace_touch(entry); /* it has room for more pieces */
    worker_wake(entry->worker);
    if (saving->job == JOB_WRITE)
        save_given_back(saving->save, saving->chain, saving->err);
    if (saving->job == JOB_CREATE || saving->job == JOB_PUBLISH)
        saving->code = code_of(saving->result);
    if (saving->job == JOB_CREATE && saving->code == 0 && saving->abort == NULL)
        take_instant(saving);
    if (saving->job == JOB_PUBLISH || saving->job == JOB_DISCARD)
        finish(saving);
    else
        (void)advance(saving); /* and saving_turn() behind it, in this turn */
}

bool saving_turn(struct worker *worker)
{
    struct list *at, *after;
    bool more = false;
    if (!list_empty(&worker->savings))
        book_settle(&worker->book);
    list_each(at, after, &worker->savings)
    {
        more |= advance(list_entry(at, struct saving, link));
    }
    return more;
}

void saving_abort(struct pool_entry *entry, const char *why)
{
    if (entry->saving == NULL)
        return;
    entry->saving->abort = why;
    if (advance(entry->saving))
        worker_wake(entry->worker);
}

void saving_abort_all(struct worker *worker, const char *why)
{
    struct list *at, *after;
    list_each(at, after, &worker->savings)
    {
        saving_abort(list_entry(at, struct saving, link)->entry, why);
    }
}

/* ---- beginning ---- */

/* -HF_E_BUSY: one is running, -HF_E_OOM: no memory or no thread. */
static int begin_save(struct pool_entry *entry, const char *folder, const char *name, bool periodic)
{
    struct worker *worker = entry->worker;
    if (entry->saving != NULL)
        return -HF_E_BUSY;
    struct saving *saving = mem_zalloc(worker->mem, sizeof *saving);
    if (saving == NULL)
        return -HF_E_OOM;
    worker_clock(worker, entry);
    saving->entry = entry;
    saving->periodic = periodic;
    saving->at_ms = worker->now_ms;
    saving->began_ns = uv_hrtime();
    saving->chore = (struct chore){.run = run, .done = come_back};
    snprintf(saving->folder, sizeof saving->folder, "%s", folder);
    saving->keep = rules_keep(&worker->server->rules);
    saving->pool = pool_name(entry->pool);
    snprintf(saving->name, sizeof saving->name, "%s", name);
    list_init(&saving->waiting);
    if (!give_out(saving, JOB_CREATE)) {
        mem_free(worker->mem, saving, sizeof *saving);
        return -HF_E_OOM;
    }
    list_append(&worker->savings, &saving->link);
    entry->saving = saving;
    return 0;
}

/* ---- periodic ones ---- */

static uint64_t now_ms(void)
{
    return uv_hrtime() / 1000000;
}

/* Within the next period. Multiples of the golden ratio lie evenly in it, however many pools there are. */
static void set_due(struct pool_entry *entry)
{
    uint64_t every = entry->worker->save_every_ms, part = entry->number * 0x9e3779b9u % 65536 + 1;
    entry->save_due_ms = now_ms() + every / 65536 * part + every % 65536 * part / 65536;
}

void saving_add(struct pool_entry *entry)
{
    if (entry->worker->save_every_ms == 0)
        return;
    set_due(entry);
    saving_schedule(entry->worker);
}

void saving_retime(struct worker *worker)
{
    struct list *at, *after;
    uint64_t every = rules_period_ms(&worker->server->rules);
    bool changed = every != worker->save_every_ms;
    worker->save_every_ms = every;
    list_each(at, after, &worker->pools)
    {
        if (changed)
            set_due(list_entry(at, struct pool_entry, link));
    }
    saving_schedule(worker); /* always: on_due() leaves it to this when it finds no folder */
}

static struct pool_entry *next_due(const struct worker *worker)
{
    struct list *at, *after;
    struct pool_entry *first = NULL;
    list_each(at, after, &worker->pools)
    {
        struct pool_entry *entry = list_entry(at, struct pool_entry, link);
        if (entry->loading)
            continue; /* it stands in for a pool that will be added */
        if (first == NULL || entry->save_due_ms < first->save_due_ms)
            first = entry;
    }
    return first;
}

static void on_due(uv_timer_t *timer)
{
    struct worker *worker = timer->data;
    struct pool_entry *entry = next_due(worker);
    char name[HF_SAVE_FILE_MAX + 1], folder[RULES_FOLDER_MAX];
    if (!rules_folder(&worker->server->rules, folder))
        return; /* a message that there is none any more is under way */
    if (entry != NULL && entry->save_due_ms <= now_ms() && list_empty(&worker->savings)) {
        uint64_t every = worker->save_every_ms, late = now_ms() - entry->save_due_ms;
        entry->save_due_ms += (late / every + 1) * every;
        worker_clock(worker, entry);
        saves_name_at(pool_name(entry->pool), worker->now_ms, name);
        if (begin_save(entry, folder, name, true) != 0)
            note_failed(entry, name, worker->now_ms, NO_MEMORY);
    }
    saving_schedule(worker);
}

/* The next one waits for the end of one that is running, which calls this again. */
void saving_schedule(struct worker *worker)
{
    const struct pool_entry *entry = worker->save_every_ms == 0 ? NULL : next_due(worker);
    if (entry == NULL || worker->draining || worker->closed || !list_empty(&worker->savings)) {
        if (!worker->closed)
            uv_timer_stop(&worker->save_due);
        return;
    }
    uint64_t now = now_ms();
    uv_update_time(&worker->loop);
    uv_timer_start(&worker->save_due, on_due, entry->save_due_ms > now ? entry->save_due_ms - now : 0, 0);
}

/* ---- for handlers ---- */

void call_save_figures(const struct call *call, struct save_figures *ret)
{
    const struct pool_entry *entry = call->conn->entry;
    const struct saving *saving = entry->saving;
    struct save_facts facts = {.bytes_most = 1};
    *ret = entry->saved;
    ret->running = saving != NULL;
    if (saving != NULL && saving->save != NULL)
        save_facts(saving->save, &facts);
    bool written = saving != NULL && saving->job == JOB_PUBLISH;
    double share = written ? 0.99 : (double)facts.bytes / (double)(facts.bytes_most + 1);
    ret->percent = !ret->running ? 0 : share > 0.99 ? 99 : (unsigned)(share * 100);
}

static void wait_free(struct call *call, void *state)
{
    struct wait *wait = state;
    (void)call;
    list_remove(&wait->link);
    free(wait);
}

static int wait_resume(struct call *call, void *state)
{
    const struct wait *wait = state;
    if (!wait->done)
        return CALL_AGAIN;
    if (wait->code != 0)
        return call_fail(call, -wait->code, wait->error, "pool=%s", pool_name(call->pool));
    reply_saved(call, &wait->figures);
    return 0;
}

int call_save(struct call *call, struct name_in file)
{
    struct pool_entry *entry = call->conn->entry;
    char name[HF_SAVE_FILE_MAX + 1], folder[RULES_FOLDER_MAX];
    if (!rules_folder(&call->server->rules, folder))
        return call_fail(call, HF_E_NOPERM, SAVING_NOWHERE, "%s", "");
    if (file.size != 0 && !saves_name_fits(file.data, file.size))
        return call_badarg(call, "file", -1, "a name of letters, digits, '.', '_' and '-', without a folder");
    if (call->worker->draining)
        return -HF_E_DRAINING;
    if (file.size != 0)
        snprintf(name, sizeof name, "%.*s", (int)file.size, (const char *)file.data);
    else
        saves_name_of(pool_name(call->pool), name);
    struct wait *wait = calloc(1, sizeof *wait);
    if (wait == NULL)
        return -HF_E_OOM;
    int r = begin_save(entry, folder, name, false);
    if (r != 0) {
        free(wait);
        if (r != -HF_E_BUSY)
            note_failed(entry, name, call->worker->now_ms, NO_MEMORY);
        return call_fail(call, -r, r == -HF_E_BUSY ? RUNNING : NO_MEMORY, "pool=%s", pool_name(call->pool));
    }
    wait->conn = call->conn;
    list_append(&entry->saving->waiting, &wait->link);
    call->waits = true;
    return call_later(call, wait_resume, wait, wait_free);
}
