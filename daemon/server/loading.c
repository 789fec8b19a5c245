/* SPDX-License-Identifier: BSD-3-Clause */
#include "daemon/server/loading.h"

#include "daemon/pool/memfds.h"
#include "daemon/server/worker.h"
#include "proto/rpc.h"

#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ROOM_UNITS    4096u         /* of work between two looks at what is left */
#define STANDIN_BYTES (16ull << 20) /* limit of the stand-in, which uses less than a tenth of it */

/* ---- the list ---- */

bool loading_add(struct server *server, const char *name, int fd_meta, int fd_values)
{
    struct loading *loading = &server->loading;
    if (loading->count == loading->room) {
        unsigned room = loading->room == 0 ? 16 : loading->room * 2;
        struct load *moved = realloc(loading->loads, room * sizeof *moved);
        if (moved == NULL) {
            close(fd_meta);
            close(fd_values);
            return false;
        }
        loading->loads = moved;
        loading->room = room;
    }
    struct load *load = &loading->loads[loading->count++];
    memset(load, 0, sizeof *load);
    load->server = server;
    load->fd_meta = fd_meta;
    load->fd_values = fd_values;
    snprintf(load->name, sizeof load->name, "%s", name);
    return true;
}

struct load *loading_own(struct server *server, const char *name)
{
    struct loading *loading = &server->loading;
    for (unsigned k = 0; k < loading->count; k++)
        if (strcmp(loading->loads[k].name, name) == 0)
            return &loading->loads[k];
    return NULL;
}

void loading_remove(struct server *server, struct load *load)
{
    struct loading *loading = &server->loading;
    unsigned n = (unsigned)(load - loading->loads);
    memmove(load, load + 1, (--loading->count - n) * sizeof *load);
}

static bool is_it(const struct load *load, const uint8_t *name, size_t size)
{
    return memcmp(load->name, name, size) == 0 && load->name[size] == '\0';
}

const struct load *loading_find(const struct server *server, const uint8_t *name, size_t size)
{
    const struct loading *loading = &server->loading;
    for (unsigned k = 0; k < loading->count && size <= HF_POOL_NAME_MAX; k++)
        if (is_it(&loading->loads[k], name, size))
            return atomic_load(&loading->loads[k].ready) ? NULL : &loading->loads[k];
    return NULL;
}

const struct load *loading_numbered(const struct server *server, uint64_t number)
{
    const struct loading *loading = &server->loading;
    for (unsigned k = 0; k < loading->count; k++)
        if (loading->loads[k].number == number)
            return atomic_load(&loading->loads[k].ready) ? NULL : &loading->loads[k];
    return NULL;
}

size_t loading_busy(const struct load *load, char *text)
{
    char keys[128];
    snprintf(keys, sizeof keys, "loading=%u%% pool=%s", atomic_load(&load->done) / 10, load->name);
    return hfp_error_format(text, CALL_ERROR_MAX, HF_E_BUSY, keys,
                            "the pool is being recovered; try again in a moment");
}

/* Where connections are until `default` is there. */
static int make_standin(struct server *server, uint32_t number, char *error, size_t error_size)
{
    struct worker *worker = server->workers[0];
    struct pool_config config;
    struct pool *pool;
    pools_config(server, POOL_DEFAULT, &config);
    config.max_bytes = STANDIN_BYTES;
    config.epoch = config.serial_base = 1;
    int r = pool_open(&pool, &config, error, error_size);
    if (r != 0)
        return -1;
    worker->first = pools_stand_in(worker, pool, number);
    if (worker->first != NULL)
        return 0;
    pool_close(pool);
    snprintf(error, error_size, "no memory for pool " POOL_DEFAULT);
    return -1;
}

int loading_prepare(struct server *server, const char *where, char *error, size_t error_size)
{
    struct loading *loading = &server->loading;
    unsigned pools = loading->count + (loading_find(server, (const uint8_t *)POOL_DEFAULT,
                                                    strlen(POOL_DEFAULT)) == NULL); /* it is made then */
    if (pools > HF_POOLS_MAX) {
        snprintf(error, error_size, "%s has %u pools, more than the %u of one daemon; move some away", where,
                 pools, HF_POOLS_MAX);
        return -1;
    }
    for (unsigned k = 0; k < loading->count; k++) {
        struct load *load = &loading->loads[k];
        struct place place;
        uint32_t number;
        image_peek(load->fd_meta, &number, &load->objects);
        if (directory_reserve_number(server, load->name, number, &place) != 0) {
            snprintf(error, error_size, "no memory for the list of pools");
            return -1;
        }
        load->worker = place.worker;
        load->number = place.number;
        if (strcmp(load->name, POOL_DEFAULT) == 0 &&
            make_standin(server, place.number, error, error_size) != 0)
            return -1;
    }
    return 0;
}

/* ---- recovering: a thread of its own ---- */

static bool on_progress(void *data, unsigned done)
{
    struct load *load = data;
    atomic_store_explicit(&load->done, done, memory_order_relaxed); /* a figure */
    return !atomic_load_explicit(&load->server->loading.ending, memory_order_relaxed);
}

/* What pool_open() refuses, with what to do about it. */
static void explain(struct load *load, int code, const char *why)
{
    const char *path = load->server->images.path, *name = load->name;
    if (path != NULL && code == -HF_E_INTERNAL)
        snprintf(load->error, sizeof load->error,
                 "pool %s in %s is damaged: %s; its files are kept as they are: `holdfast verify %s` tells "
                 "more; to start without it, move %s.meta and %s.values to another folder",
                 name, path, why, path, name, name);
    else if (path != NULL)
        snprintf(load->error, sizeof load->error,
                 "pool %s in %s cannot be opened: %s; nothing of it was changed or lost", name, path, why);
    else
        kept_explain(name, code == -HF_E_INTERNAL, why, load->error, sizeof load->error);
}

static void fail(struct load *load)
{
    struct load *none = NULL;
    (void)atomic_compare_exchange_strong(&load->server->loading.failed, &none, load);
    uv_async_send(&load->server->wake);
}

void loading_give_back(struct server *server, struct pool *pool)
{
    while (mem_left(&server->pools_mem) == 0 && pool_step(pool, ROOM_UNITS) > 0)
        continue;
}

static void post(struct load *load);

static void recover(struct load *load)
{
    char why[IMAGES_ERROR_MAX], thread[16]; /* the system's limit */
    struct pool_config config;
    snprintf(thread, sizeof thread, "load-%.10s", load->name);
    pthread_setname_np(pthread_self(), thread);
    load->began_ns = uv_hrtime();
    pools_config(load->server, load->name, &config);
    config.fd_meta = load->fd_meta;
    config.fd_values = load->fd_values;
    config.progress = on_progress;
    config.progress_data = load;
    int code = pool_open(&load->pool, &config, why, sizeof why);
    if (code == -HF_E_DRAINING)
        return; /* the server ends */
    if (code == -HF_E_INTERNAL && kept_set_aside(load->server, load->name, load->fd_meta, load->fd_values,
                                                 why, load->error, sizeof load->error)) {
        post(load); /* without a pool */
        return;
    }
    if (code != 0) {
        if (load->error[0] == '\0')
            explain(load, code, why);
        fail(load);
        return;
    }
    load->fd_meta = load->fd_values = -1;
    loading_give_back(load->server, load->pool);
    load->took_ns = uv_hrtime() - load->began_ns;
    post(load);
}

static void run(void *data)
{
    struct server *server = data;
    struct loading *loading = &server->loading;
    while (!atomic_load(&loading->ending)) {
        unsigned n = atomic_fetch_add(&loading->next, 1);
        if (n >= loading->count)
            return;
        recover(&loading->loads[n]);
    }
}

/* Signals are the main thread's. */
int loading_start(struct server *server, char *error, size_t error_size)
{
    struct loading *loading = &server->loading;
    unsigned threads = loading->count < server->workers_count ? loading->count : server->workers_count;
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    while (loading->running < threads &&
           uv_thread_create(&loading->threads[loading->running], run, server) == 0)
        loading->running++;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (loading->running > 0 || loading->count == 0)
        return 0;
    snprintf(error, error_size, "the system gives no thread to recover the pools");
    return -1;
}

/* ---- taking over: on the worker's thread ---- */

/* Another pool may have had its number first. */
static void renumber(const struct load *load)
{
    uint32_t had = pool_number(load->pool);
    if (had == load->number)
        return;
    uint64_t ended = pool_renumber(load->pool, (uint64_t)load->number << POOL_SID_BITS | 1);
    log_write(load->server->log, LOG_LEVEL_WARN, "renumbered",
              "pool=%s from=%u to=%u sessions_ended=%" PRIu64
              " msg=\"another pool here has its number: was it copied from another folder?\"",
              load->name, had, load->number, ended);
}

static void tell(const struct load *load)
{
    struct pool_stats stats;
    pool_stats(load->pool, &stats);
    log_write(load->server->log, LOG_LEVEL_INFO, "recovered",
              "pool=%s worker=%u objects=%" PRIu64 " names=%" PRIu64 " sessions=%" PRIu64 " ms=%" PRIu64,
              load->name, load->worker->index, stats.objects, stats.names, stats.sessions_grace,
              load->took_ns / 1000000);
}

static bool adopt(struct worker *worker, struct load *load)
{
    renumber(load);
    tell(load);
    if (pools_adopt(worker, load->pool, load->number) != NULL)
        return true;
    snprintf(load->error, sizeof load->error, "no memory for pool %s", load->name);
    return false;
}

/* What was set aside: its place is free; `default` begins anew. */
static bool begin_anew(struct worker *worker, struct load *load)
{
    int code;
    if (worker->first != NULL && worker->first->number == load->number)
        return pools_begin(worker, load->number, load->error, sizeof load->error, &code);
    directory_remove(worker->server, load->number);
    return true;
}

static void deliver(struct worker *worker, struct message *message)
{
    struct load *load = list_entry(message, struct load, message);
    if (worker->closed)
        return;
    if (!(load->pool != NULL ? adopt(worker, load) : begin_anew(worker, load))) {
        fail(load);
        return;
    }
    load->pool = NULL;
    worker_publish(worker);
    atomic_store(&load->ready, true);
    atomic_fetch_add(&load->server->loading.ready, 1);
    uv_async_send(&load->server->wake);
}

static void post(struct load *load)
{
    static const struct message_kind kind = {.deliver = deliver};
    mailbox_post(&load->worker->mailbox, &load->message, &kind);
}

/* ---- the end ---- */

static void join(struct loading *loading)
{
    while (loading->running > 0)
        uv_thread_join(&loading->threads[--loading->running]);
}

void loading_end(struct server *server)
{
    atomic_store(&server->loading.ending, true);
    join(&server->loading);
}

void loading_close(struct server *server)
{
    struct loading *loading = &server->loading;
    join(loading);
    for (unsigned k = 0; k < loading->count; k++) {
        struct load *load = &loading->loads[k];
        pool_close(load->pool);
        if (load->fd_meta >= 0) {
            close(load->fd_meta);
            close(load->fd_values);
        }
    }
    free(loading->loads);
    *loading = (struct loading){.loads = NULL};
}
