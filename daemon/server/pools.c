/* SPDX-License-Identifier: BSD-3-Clause */
/* A worker's pools, made and dropped while it runs; on its thread (at the start: before there are threads).
 *
 * A dropped pool is out of the directory at once (its name is free again). Its memory goes back in steps,
 * once the last connection in it is closed and the last value of it is sent. */
#include "daemon/pool/events.h"
#include "daemon/pool/memfds.h"
#include "daemon/server/handlers.h"
#include "daemon/server/worker.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#define POOL_DESCRIPTORS 2      /* its two files */
#define DISPOSE_PIECES   1      /* between two looks at the clock: giving back 256 KiB takes about 43 us */
#define DISPOSE_NS       80000u /* in one turn; the last piece may take longer */

struct pool_entry *pools_entry(struct worker *worker, const struct pool *pool)
{
    struct list *at, *after;
    if (worker->found != NULL && worker->found->pool == pool)
        return worker->found;
    list_each(at, after, &worker->pools)
    {
        struct pool_entry *entry = list_entry(at, struct pool_entry, link);
        if (entry->pool == pool)
            return entry;
    }
    return NULL;
}

struct pool_entry *pools_numbered(struct worker *worker, uint32_t number)
{
    struct list *at, *after;
    list_each(at, after, &worker->pools)
    {
        struct pool_entry *entry = list_entry(at, struct pool_entry, link);
        if (entry->number == number)
            return entry;
    }
    return NULL;
}

/* ---- making ---- */

/* Whether a pool's descriptors can still be had. */
static bool descriptors_left(void)
{
    int fds[POOL_DESCRIPTORS];
    unsigned count = 0;
    while (count < POOL_DESCRIPTORS && (fds[count] = open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0)
        count++;
    bool left = count == POOL_DESCRIPTORS;
    while (count > 0)
        close(fds[--count]);
    return left;
}

static void kernel_random(uint8_t *out, size_t size)
{
    while (getrandom(out, size, 0) != (ssize_t)size) {
        /* only a signal before the kernel's pool is filled can cut so short a read */
    }
}

void pools_config(struct server *server, const char *name, struct pool_config *ret)
{
    *ret = (struct pool_config){
        .name = name,
        .max_bytes = server_memory_limit(server),
        .random = kernel_random,
        .now_ms = server_now_ms(server),
        .parent = &server->pools_mem,
        .fd_meta = -1,
        .fd_values = -1,
    };
}

/* The code for a client of what images.h refused. */
static int code_of(enum images_result result)
{
    switch (result) {
    case IMAGES_FINE: return 0;
    case IMAGES_FULL: return -HF_E_OOM;
    case IMAGES_DOUBTFUL: return -HF_E_EXISTS;
    default: return -HF_E_INTERNAL;
    }
}

int pools_make_files(const struct server *server, const char *name, struct pool_config *config, char *error,
                     size_t error_size)
{
    const struct images *images = &server->images;
    enum images_result result =
        images->path != NULL
            ? images_create(images, name, &config->fd_meta, &config->fd_values, error, error_size)
            : memfds_create(name, &config->fd_meta, &config->fd_values, error, error_size);
    return code_of(result);
}

int pools_publish(const struct server *server, const char *name, const struct pool_config *config,
                  char *error, size_t error_size)
{
    const struct server_keeper *keeper = &server->keeper;
    if (server->images.path != NULL)
        return code_of(images_publish(&server->images, name, error, error_size));
    if (keeper->keep == NULL)
        return 0;
    int r = keeper->keep(keeper->data, name, config->fd_meta, config->fd_values);
    if (r != 0)
        log_write(server->log, LOG_LEVEL_WARN, "not_kept",
                  "pool=%s error=\"%s\" msg=\"its memory will be gone with this process\"", name,
                  strerror(-r));
    return 0;
}

void pools_discard(const struct server *server, const char *name)
{
    if (server->images.path != NULL)
        images_discard(&server->images, name);
}

int pools_unpublish(const struct server *server, const char *name, bool *ret_left, char *error,
                    size_t error_size)
{
    const struct server_keeper *keeper = &server->keeper;
    *ret_left = false;
    if (server->images.path != NULL)
        return code_of(images_remove(&server->images, name, ret_left, error, error_size));
    int r = keeper->forget == NULL ? 0 : keeper->forget(keeper->data, name);
    if (r != 0)
        snprintf(error, error_size, "who keeps its memory cannot be told: %s", strerror(-r));
    return r == 0 ? 0 : -HF_E_INTERNAL;
}

/* Sids are unique in the daemon, so that `sessions` of all pools and `kill` speak of the same one: each pool has
 * a range of 2^32 of them, the first pool the small numbers. */
void pools_identity(struct pool_config *config, uint32_t number)
{
    struct {
        uint64_t epoch;
        uint32_t serial;
    } random;
    kernel_random((uint8_t *)&random, sizeof random);
    config->epoch = random.epoch % (HF_ID_MAX) + 1;
    config->serial_base = random.serial % ((1u << HF_SERIAL_BITS) - 1) + 1;
    config->first_sid = (uint64_t)number << POOL_SID_BITS | 1;
}

static int open_pool(struct worker *worker, uint32_t number, const char *name, uint64_t max_bytes,
                     struct pool_config *config, struct pool **ret, char *error, size_t error_size)
{
    struct server *server = worker->server;
    pools_config(server, name, config);
    pools_identity(config, number);
    worker_clock(worker, NULL);
    config->lease_ms = worker->lease_ms;
    config->limited = max_bytes != 0 && max_bytes < config->max_bytes;
    config->max_bytes = config->limited ? max_bytes : config->max_bytes;
    config->create = true;
    int r = pools_make_files(server, name, config, error, error_size);
    if (r != 0)
        return r;
    r = pool_open(ret, config, error, error_size);
    if (r == 0)
        return 0;
    close(config->fd_meta);
    close(config->fd_values);
    pools_discard(server, name);
    return r;
}

/* All of it but its place in the directory. */
static int make(struct worker *worker, struct pool_entry *entry, const char *name, uint64_t max_bytes,
                char *error, size_t error_size)
{
    struct pool_config config;
    int r = open_pool(worker, entry->number, name, max_bytes, &config, &entry->pool, error, error_size);
    if (r != 0)
        return r;
    if (!pace_add(&worker->pace, entry))
        r = -HF_E_OOM;
    else if ((r = pools_publish(worker->server, name, &config, error, error_size)) != 0)
        pace_remove(&worker->pace, entry);
    if (r == 0)
        return 0;
    pool_close(entry->pool);
    pools_discard(worker->server, name);
    return r;
}

static struct pool_entry *entry_new(struct worker *worker, uint32_t number)
{
    struct pool_entry *entry = mem_zalloc(worker->mem, sizeof *entry);
    if (entry == NULL)
        return NULL;
    entry->worker = worker;
    entry->number = number;
    list_init(&entry->conns);
    list_init(&entry->in_touched);
    return entry;
}

struct pool_entry *pools_create(struct worker *worker, const char *name, uint32_t number, uint64_t max_bytes,
                                char *error, size_t error_size, int *ret_code)
{
    struct pool_entry *entry = entry_new(worker, number);
    snprintf(error, error_size, "no memory for another pool");
    *ret_code = entry == NULL ? -HF_E_OOM : make(worker, entry, name, max_bytes, error, error_size);
    if (*ret_code != 0 && !descriptors_left()) {
        *ret_code = -HF_E_LIMIT;
        snprintf(error, error_size,
                 "the daemon has no file descriptors left for another pool; raise its limit");
    }
    if (*ret_code != 0) {
        mem_free(worker->mem, entry, sizeof *entry);
        directory_remove(worker->server, number);
        return NULL;
    }
    list_append(&worker->pools, &entry->link);
    directory_ready(worker->server, number);
    saving_add(entry);
    return entry;
}

static struct pool_entry *enter(struct worker *worker, struct pool *pool, uint32_t number)
{
    struct pool_entry *entry = entry_new(worker, number);
    if (entry == NULL)
        return NULL;
    entry->pool = pool;
    entry->worked = pool_work(pool);
    if (!pace_add(&worker->pace, entry)) {
        mem_free(worker->mem, entry, sizeof *entry);
        return NULL;
    }
    list_append(&worker->pools, &entry->link);
    return entry;
}

struct pool_entry *pools_stand_in(struct worker *worker, struct pool *pool, uint32_t number)
{
    struct pool_entry *entry = enter(worker, pool, number);
    if (entry != NULL)
        entry->loading = true;
    return entry;
}

/* In place of the stand-in: its connections have no sessions, and have begun nothing in it. */
static void replace(struct pool_entry *entry, struct pool *pool)
{
    struct worker *worker = entry->worker;
    struct list *at, *after;
    pool_close(entry->pool);
    pace_remove(&worker->pace, entry);
    entry->pool = pool;
    entry->loading = false;
    entry->ticked = 0;
    entry->worked = pool_work(pool);
    (void)pace_add(&worker->pace, entry); /* there is the memory of the one that was removed */
    list_each(at, after, &entry->conns)
    {
        list_entry(at, struct conn, in_entry)->turn = 0; /* what it has done was counted by the other */
    }
}

struct pool_entry *pools_adopt(struct worker *worker, struct pool *pool, uint32_t number)
{
    struct pool_entry *entry = pools_numbered(worker, number);
    worker_clock(worker, NULL);
    pool_start_leases(pool, worker->lease_ms);
    if (entry != NULL)
        replace(entry, pool);
    else if ((entry = enter(worker, pool, number)) == NULL)
        return NULL;
    directory_ready(worker->server, number);
    saving_add(entry);
    return entry;
}

bool pools_begin(struct worker *worker, uint32_t number, char *error, size_t error_size, int *ret_code)
{
    struct pool_config config;
    struct pool *pool;
    *ret_code = open_pool(worker, number, POOL_DEFAULT, 0, &config, &pool, error, error_size);
    if (*ret_code != 0)
        return false;
    (void)pools_publish(worker->server, POOL_DEFAULT, &config, error,
                        error_size); /* memory: it does not fail */
    replace(pools_numbered(worker, number), pool);
    directory_ready(worker->server, number);
    saving_add(pools_numbered(worker, number));
    return true;
}

int worker_pool_create(struct call *call, const char *name, uint32_t number, uint64_t max_bytes)
{
    char error[IMAGES_ERROR_MAX];
    int r;
    if (pools_create(call->worker, name, number, max_bytes, error, sizeof error, &r) == NULL)
        return call_fail(call, -r, error, "pool=%s", name);
    log_client(call->worker->log, LOG_LEVEL_INFO, LOG_POOL, "pool_created", "pool=%s worker=%u conn=%llu",
               name, call->worker->index, (unsigned long long)call->conn_number);
    return 0;
}

/* ---- dropping ---- */

/* Takes the pool out of the directory and closes its connections, the caller's own after its reply. */
static void drop(struct call *call, struct pool_entry *entry)
{
    struct worker *worker = entry->worker;
    struct list *at, *after;
    worker_count_units(worker, entry);
    worker->found = NULL;
    list_remove(&entry->link);
    list_append(&worker->disposals, &entry->link);
    pace_remove(&worker->pace, entry);
    entry->dropped = true;
    directory_remove(worker->server, entry->number);
    list_each(at, after, &entry->conns)
    {
        struct conn *conn = list_entry(at, struct conn, in_entry);
        bool told = conn->session != NULL && pool_events_drop(entry->pool, conn->session);
        if (told || conn == call->conn)
            conn->finish = true;
        if (told && conn != call->conn)
            conn_make_runnable(conn); /* which finishes it, when the output is free for its events */
        else if (conn != call->conn)
            conn_close(conn, "its pool was dropped");
    }
    saving_abort(entry, "its pool was dropped");
    worker_wake(worker);
}

/* The files of a pool that is dropped go at once, its name with them; memory and disk go back in steps, as those of any
 * pool. 0 or the error. */
static int remove_files(struct call *call, const char *name)
{
    char error[IMAGES_ERROR_MAX];
    bool left;
    if (pools_unpublish(call->server, name, &left, error, sizeof error) != 0)
        return call_fail(call, HF_E_INTERNAL, error, "pool=%s", name);
    if (left)
        log_client(
            call->worker->log, LOG_LEVEL_WARN, LOG_POOL, "leftover",
            "pool=%s msg=\"a file of this dropped pool cannot be removed; the next start tries again\"",
            name);
    return 0;
}

int worker_pool_drop(struct call *call, struct pool *pool, bool force)
{
    struct worker *worker = call->worker;
    struct pool_entry *entry = pools_entry(worker, pool);
    struct pool_stats stats;
    if (entry == worker->first)
        return call_fail(call, HF_E_NOPERM, "the pool `default` stays", "pool=default");
    pool_stats(pool, &stats);
    bool own = call->conn != NULL && call->conn->entry == entry;
    uint64_t others = stats.sessions_open + stats.sessions_grace - (own ? 1 : 0);
    if (others > 0 && !force)
        return call_fail(call, HF_E_BUSY, "others have sessions in it; `force` ends them",
                         "pool=%s sessions=%llu", pool_name(pool), (unsigned long long)others);
    int r = remove_files(call, pool_name(pool));
    if (r != 0)
        return r;
    log_client(worker->log, LOG_LEVEL_INFO, LOG_POOL, "pool_dropped",
               "pool=%s worker=%u conn=%llu sessions=%llu", pool_name(pool), worker->index,
               (unsigned long long)call->conn_number, (unsigned long long)others);
    drop(call, entry);
    return 0;
}

static void destroy(struct worker *worker, struct pool_entry *entry)
{
    list_remove(&entry->link);
    pool_close(entry->pool);
    mem_free(worker->mem, entry, sizeof *entry);
}

/* True: there is more of it. */
static bool dispose(struct worker *worker, struct pool_entry *entry, uint64_t until_ns)
{
    do {
        if (!pool_dispose_step(entry->pool, DISPOSE_PIECES)) {
            destroy(worker, entry);
            return false;
        }
    } while (uv_hrtime() < until_ns);
    return true;
}

/* Where few turns are made, those who drop pools are served in few as well. */
bool pools_dispose(struct worker *worker)
{
    if (list_empty(&worker->disposals))
        return false;
    uint64_t now_ns = uv_hrtime(), until_ns = now_ns + DISPOSE_NS;
    book_turn(worker, now_ns - worker->turn_ns);
    struct list *at, *after;
    bool more = false;
    list_each(at, after, &worker->disposals)
    {
        struct pool_entry *entry = list_entry(at, struct pool_entry, link);
        if (entry->pins > 0 || !list_empty(&entry->conns) || entry->errand.running || entry->saving != NULL)
            continue; /* the last of them wakes the worker */
        more = true;
        if (dispose(worker, entry, until_ns) || uv_hrtime() >= until_ns)
            break;
    }
    return more;
}

void pools_close(struct worker *worker)
{
    struct list *lists[] = {&worker->pools, &worker->disposals};
    struct list *at, *after;
    for (unsigned i = 0; i < 2; i++) {
        list_each(at, after, lists[i])
        {
            destroy(worker, list_entry(at, struct pool_entry, link));
        }
    }
}

/* ---- for handlers ---- */

struct pool *worker_pool(struct worker *worker, uint32_t number)
{
    struct pool_entry *entry = pools_numbered(worker, number);
    if (entry == NULL || entry->loading)
        return NULL;
    worker_clock(worker, entry);
    return entry->pool;
}

struct pool *worker_pool_next(struct worker *worker, const struct pool *pool)
{
    struct pool_entry *entry = pool == NULL ? NULL : pools_entry(worker, pool);
    struct list *next = entry == NULL ? worker->pools.next : entry->link.next;
    while (next != &worker->pools && list_entry(next, struct pool_entry, link)->loading)
        next = next->next;
    worker->found = next == &worker->pools ? NULL : list_entry(next, struct pool_entry, link);
    return worker->found == NULL ? NULL : worker->found->pool;
}
