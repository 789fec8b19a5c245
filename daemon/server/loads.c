/* SPDX-License-Identifier: BSD-3-Clause */
/* `load`: the file of a save becomes a pool while the server serves.
 *
 * A thread of libuv's reserves a place under the pool's name and makes the pool from the file, then the worker of
 * that place takes it over, then the caller is answered. So a load belongs to the worker that was asked, to the
 * thread, to the worker of the place, and to the first one again, one after the other; each worker has at most one.
 * Until it is taken over it is no pool: its place is not ready, and its files have no names, so that whatever ends it
 * leaves nothing. */
#include "daemon/pool/saves.h"
#include "daemon/server/handlers.h"
#include "daemon/server/worker.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct pool_load {
    struct message message;
    uv_work_t work;
    struct server *server;
    struct worker *home;
    char path[SAVES_PATH_LOAD_MAX];
    _Atomic bool ending; /* it comes to nothing; for the thread */

    /* What comes of it. */
    char name[HF_POOL_NAME_MAX + 1]; /* as asked for; empty: as in the file */
    struct place place;
    struct pool_config config;
    struct pool *pool; /* until it is taken over */
    uint64_t began_ns, took_ms, objects, names;
    int code; /* 0, or -HF_E_... with a text */
    char error[SAVES_ERROR_MAX];

    /* Home's. */
    struct conn *conn; /* that waits; NULL: it has gone */
    bool done;
};

/* ---- the thread ---- */

static bool on_progress(void *data, unsigned done)
{
    const struct pool_load *load = data;
    (void)done;
    return !atomic_load_explicit(&load->ending, memory_order_relaxed);
}

static int reserve(struct pool_load *load)
{
    int code = directory_reserve(load->server, load->name, &load->place);
    if (code == -HF_E_EXISTS)
        snprintf(load->error, sizeof load->error,
                 "there is a pool %s; drop it, or load under another name by `pool`", load->name);
    else if (code != 0)
        snprintf(load->error, sizeof load->error, "no room for another pool; drop one");
    return code;
}

/* The pool, from the file, in files that are made for it. */
static int fill(struct pool_load *load, int fd)
{
    struct server *server = load->server;
    struct pool_config *config = &load->config;
    pools_config(server, load->name, config);
    pools_identity(config, load->place.number);
    config->progress = on_progress;
    config->progress_data = load;
    int code = pools_make_files(server, load->name, config, load->error, sizeof load->error);
    if (code == 0 && (code = pool_load(&load->pool, config, fd, load->error, sizeof load->error)) != 0) {
        close(config->fd_meta);
        close(config->fd_values);
        pools_discard(server, load->name);
    }
    return code;
}

static int fail_room(struct pool_load *load, uint64_t bytes)
{
    snprintf(load->error, sizeof load->error,
             "the pool in it takes %" PRIu64 " bytes, and %" PRIu64
             " are left for pools; drop or release something, or raise --max-memory",
             bytes, mem_left(&load->server->pools_mem));
    return -HF_E_OOM;
}

static void undo(struct pool_load *load)
{
    pool_close(load->pool);
    load->pool = NULL;
    pools_discard(load->server, load->name);
}

/* The same within the budget. What is being recovered is charged at the end and whatever it is, so what is
 * in the file is charged before anything is read. */
static int fill_within(struct pool_load *load, int fd)
{
    struct mem *mem = &load->server->pools_mem;
    uint64_t bytes = pool_saved_room(fd);
    if (!mem_charge(mem, bytes))
        return fail_room(load, bytes);
    int code = fill(load, fd);
    mem_uncharge(mem, bytes);
    if (code == 0 && mem_left(mem) == 0) {
        undo(load);
        code = fail_room(load, bytes);
    }
    return code;
}

static int make(struct pool_load *load)
{
    int fd;
    enum saves_result result = saves_open(load->path, &fd, load->error, sizeof load->error);
    if (result != SAVES_FINE)
        return result == SAVES_MISSING ? -HF_E_NOTFOUND : -HF_E_INTERNAL;
    int code = 0;
    if (load->name[0] == '\0')
        code = pool_saved_name(fd, load->name, load->error, sizeof load->error);
    if (code == 0 && (code = reserve(load)) == 0 && (code = fill_within(load, fd)) != 0)
        directory_remove(load->server, load->place.number);
    close(fd);
    return code;
}

static void work(uv_work_t *request)
{
    struct pool_load *load = request->data;
    load->code = make(load);
}

/* ---- taking over ---- */

static void give_up(struct pool_load *load, int code, const char *why)
{
    load->code = code;
    snprintf(load->error, sizeof load->error, "%s", why);
    undo(load);
    directory_remove(load->server, load->place.number);
}

/* On the thread of the place's worker. */
static void take_over(struct pool_load *load)
{
    struct worker *worker = load->place.worker;
    char error[IMAGES_ERROR_MAX];
    struct pool_stats stats;
    int code = pools_publish(worker->server, load->name, &load->config, error, sizeof error);
    if (code != 0) {
        give_up(load, code, error);
        return;
    }
    if (pools_adopt(worker, load->pool, load->place.number) == NULL) {
        bool left;
        (void)pools_unpublish(worker->server, load->name, &left, error, sizeof error);
        give_up(load, -HF_E_OOM, "no memory for another pool");
        return;
    }
    worker_publish(worker);
    pool_stats(load->pool, &stats);
    load->pool = NULL;
    load->objects = stats.objects;
    load->names = stats.names;
    load->took_ms = (uv_hrtime() - load->began_ns) / 1000000;
    log_client(worker->log, LOG_LEVEL_INFO, LOG_POOL, "loaded",
               "pool=%s worker=%u file=%s objects=%llu names=%llu ms=%llu", load->name, worker->index,
               load->path, (unsigned long long)load->objects, (unsigned long long)load->names,
               (unsigned long long)load->took_ms);
}

/* ---- home again ---- */

/* If nobody waits, nobody asks any more, and the log is told what the caller would have been. */
static void come_home(struct pool_load *load)
{
    load->home->load = NULL;
    load->done = true;
    if (load->conn != NULL) {
        dispatch_answered(load->conn);
        return;
    }
    if (load->code != 0)
        log_client(load->home->log, LOG_LEVEL_WARN, LOG_POOL, "load_failed", "file=%s msg=\"%s\"", load->path,
                   load->error);
    free(load);
}

static void deliver_home(struct worker *worker, struct message *message)
{
    (void)worker;
    come_home(list_entry(message, struct pool_load, message));
}

/* All workers have ended, and with them whoever waited; home may be gone. */
static void discard_home(struct message *message)
{
    free(list_entry(message, struct pool_load, message));
}

static void go_home(struct pool_load *load)
{
    static const struct message_kind kind = {.deliver = deliver_home, .discard = discard_home};
    mailbox_post(&load->home->mailbox, &load->message, &kind);
}

static void deliver_pool(struct worker *worker, struct message *message)
{
    struct pool_load *load = list_entry(message, struct pool_load, message);
    if (worker->draining || worker->closed)
        give_up(load, -HF_E_DRAINING, "the daemon goes down");
    else
        take_over(load);
    go_home(load);
}

static void discard_pool(struct message *message)
{
    struct pool_load *load = list_entry(message, struct pool_load, message);
    give_up(load, -HF_E_DRAINING, "the daemon goes down");
    free(load);
}

static void after_work(uv_work_t *request, int status)
{
    static const struct message_kind kind = {.deliver = deliver_pool, .discard = discard_pool};
    struct pool_load *load = request->data;
    (void)status; /* nobody cancels it */
    if (load->code == 0 && load->home->draining)
        give_up(load, -HF_E_DRAINING, "the daemon goes down");
    if (load->code == 0 && load->place.worker != load->home) {
        mailbox_post(&load->place.worker->mailbox, &load->message, &kind);
        return;
    }
    if (load->code == 0)
        take_over(load);
    come_home(load);
}

void loads_abort(struct worker *worker)
{
    if (worker->load != NULL)
        atomic_store_explicit(&worker->load->ending, true, memory_order_relaxed);
}

/* ---- for the handler ---- */

static void forget(struct call *call, void *state)
{
    struct pool_load *load = state;
    (void)call;
    load->conn = NULL;
    if (load->done)
        free(load);
}

static int resume(struct call *call, void *state)
{
    const struct pool_load *load = state;
    if (!load->done)
        return CALL_AGAIN;
    if (load->code != 0)
        return call_fail(call, -load->code, load->error, "file=%s", strrchr(load->path, '/') + 1);
    reply_map(call, 4);
    reply_pair_text(call, "pool", load->name);
    reply_pair_uint(call, "objects", load->objects);
    reply_pair_uint(call, "names", load->names);
    reply_pair_uint(call, "took_ms", load->took_ms);
    return 0;
}

static int begin(struct call *call, struct pool_load *load)
{
    struct worker *worker = call->worker;
    load->server = call->server;
    load->home = worker;
    load->conn = call->conn;
    load->began_ns = uv_hrtime();
    load->work.data = load;
    if (uv_queue_work(&worker->loop, &load->work, work, after_work) != 0) {
        free(load);
        return call_fail(call, HF_E_INTERNAL, "the system gives no thread to load it", "%s", "");
    }
    worker->load = load;
    call->waits = true;
    return call_later(call, resume, load, forget);
}

int call_load(struct call *call, struct name_in file, struct name_in pool)
{
    char folder[RULES_FOLDER_MAX];
    if (!rules_folder(&call->server->rules, folder))
        return call_fail(call, HF_E_NOPERM, SAVING_NOWHERE, "%s", "");
    if (!saves_name_fits(file.data, file.size))
        return call_badarg(call, "file", -1, "a name of letters, digits, '.', '_' and '-', without a folder");
    if (call->worker->draining)
        return -HF_E_DRAINING;
    if (call->worker->load != NULL)
        return call_fail(call, HF_E_BUSY, "a load is running; try again when it is done", "%s", "");
    struct pool_load *load = calloc(1, sizeof *load);
    if (load == NULL)
        return -HF_E_OOM;
    int size =
        snprintf(load->path, sizeof load->path, "%s/%.*s", folder, (int)file.size, (const char *)file.data);
    if (size < 0 || (size_t)size >= sizeof load->path) {
        free(load);
        return call_badarg(call, "file", -1, "shorter: with its folder it is longer than a path may be");
    }
    if (pool.size != 0)
        memcpy(load->name, pool.data, pool.size);
    return begin(call, load);
}
