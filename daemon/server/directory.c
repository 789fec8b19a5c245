/* SPDX-License-Identifier: BSD-3-Clause */
/* The pools of the daemon: by name, made and dropped while it runs.
 *
 * A dropped pool is out of the directory at once (its name is free again). Its memory goes back in steps,
 * once the last connection in it is closed and the last value of it is sent. */
#include "daemon/server/handlers.h"
#include "daemon/server/worker.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#define POOL_DESCRIPTORS 2 /* its two memfds */
#define DISPOSE_PIECES   1 /* a turn: giving back 256 KiB takes about 43 us */

struct pool_entry *directory_entry(struct worker *worker, const struct pool *pool)
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

static struct pool_entry *find(struct worker *worker, const uint8_t *name, size_t size)
{
    struct list *at, *after;
    list_each(at, after, &worker->pools)
    {
        struct pool_entry *entry = list_entry(at, struct pool_entry, link);
        const char *own = pool_name(entry->pool);
        if (strlen(own) == size && memcmp(own, name, size) == 0)
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

/* Sids are unique in the daemon, so that `sessions` of all pools and `kill` speak of the same one: each pool has
 * a range of 2^32 of them, the first pool the small numbers. */
static uint64_t first_sid(struct worker *worker)
{
    return (worker->pools_made++ % (1u << 20)) << 32 | 1;
}

static void kernel_random(uint8_t *out, size_t size)
{
    while (getrandom(out, size, 0) != (ssize_t)size) {
        /* only a signal before the kernel's pool is filled can cut so short a read */
    }
}

struct pool_entry *directory_create(struct worker *worker, const char *name, uint64_t max_bytes, char *error,
                                    size_t error_size, int *ret_code)
{
    struct {
        uint64_t epoch;
        uint32_t serial;
    } random;
    struct pool_entry *entry = mem_zalloc(worker->mem, sizeof *entry);
    *ret_code = -HF_E_OOM;
    snprintf(error, error_size, "no memory for another pool");
    if (entry == NULL)
        return NULL;
    if (getrandom(&random, sizeof random, 0) != (ssize_t)sizeof random) {
        snprintf(error, error_size, "the system gives no random bytes");
        mem_free(worker->mem, entry, sizeof *entry);
        *ret_code = -HF_E_INTERNAL;
        return NULL;
    }
    worker_clock(worker, NULL);
    struct pool_config config = {
        .name = name,
        .max_bytes = max_bytes != 0 && max_bytes < worker->mem->limit ? max_bytes : worker->mem->limit,
        .epoch = random.epoch % (HF_ID_MAX) + 1,
        .serial_base = random.serial % ((1u << HF_SERIAL_BITS) - 1) + 1,
        .first_sid = first_sid(worker),
        .random = kernel_random,
        .now_ms = worker->now_ms,
        .lease_ms = worker->lease_ms,
        .parent = &worker->server->pools_mem,
        .fd_meta = -1,
        .fd_values = -1,
    };
    entry->worker = worker;
    list_init(&entry->conns);
    *ret_code = pool_open(&entry->pool, &config, error, error_size);
    if (*ret_code != 0) {
        if (!descriptors_left()) {
            *ret_code = -HF_E_LIMIT;
            snprintf(error, error_size,
                     "the daemon has no file descriptors left for another pool; raise its limit");
        }
        mem_free(worker->mem, entry, sizeof *entry);
        return NULL;
    }
    list_append(&worker->pools, &entry->link);
    worker->pool_count++;
    return entry;
}

int server_pool_create(struct call *call, const uint8_t *name, uint32_t name_size, uint64_t max_bytes)
{
    struct worker *worker = call->worker;
    char text[HF_POOL_NAME_MAX + 1], error[256];
    int r;
    if (!pool_name_fits(name, name_size))
        return call_bad_pool_name(call, "arg", "name");
    memcpy(text, name, name_size);
    text[name_size] = '\0';
    if (find(worker, name, name_size) != NULL)
        return call_fail(call, HF_E_EXISTS, "there is a pool of that name", "pool=%s", text);
    if (worker->pool_count >= HF_POOLS_MAX)
        return call_fail(call, HF_E_LIMIT, "too many pools; drop one", "max=%u", HF_POOLS_MAX);
    if (directory_create(worker, text, max_bytes, error, sizeof error, &r) == NULL)
        return call_fail(call, -r, error, "pool=%s", text);
    log_client(worker->log, LOG_LEVEL_INFO, LOG_POOL, "pool_created", "pool=%s conn=%llu", text,
               (unsigned long long)call->conn->number);
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
    entry->dropped = true;
    worker->pool_count--;
    list_each(at, after, &entry->conns)
    {
        struct conn *conn = list_entry(at, struct conn, in_entry);
        if (conn == call->conn)
            conn->finish = true;
        else
            conn_close(conn, "its pool was dropped");
    }
    worker_wake(worker);
}

int server_pool_drop(struct call *call, const uint8_t *name, uint32_t name_size, bool force)
{
    struct worker *worker = call->worker;
    struct pool_entry *entry = find(worker, name, name_size);
    struct pool_stats stats;
    if (entry == NULL)
        return call_fail(call, HF_E_NOTFOUND, "there is no pool of that name; see `pools`", "%s", "");
    if (entry == worker->first)
        return call_fail(call, HF_E_NOPERM, "the pool `default` stays", "pool=default");
    pool_stats(entry->pool, &stats);
    uint64_t others = stats.sessions_open + stats.sessions_grace - (entry == call->conn->entry ? 1 : 0);
    if (others > 0 && !force)
        return call_fail(call, HF_E_BUSY, "others have sessions in it; `force` ends them",
                         "pool=%s sessions=%llu", pool_name(entry->pool), (unsigned long long)others);
    log_client(worker->log, LOG_LEVEL_INFO, LOG_POOL, "pool_dropped", "pool=%s conn=%llu sessions=%llu",
               pool_name(entry->pool), (unsigned long long)call->conn->number, (unsigned long long)others);
    drop(call, entry);
    return 0;
}

static void destroy(struct worker *worker, struct pool_entry *entry)
{
    list_remove(&entry->link);
    pool_close(entry->pool);
    mem_free(worker->mem, entry, sizeof *entry);
}

bool directory_dispose(struct worker *worker)
{
    struct list *at, *after;
    bool more = false;
    list_each(at, after, &worker->disposals)
    {
        struct pool_entry *entry = list_entry(at, struct pool_entry, link);
        if (entry->pins > 0 || !list_empty(&entry->conns))
            continue; /* the last of them wakes the worker */
        more = true;
        if (!pool_dispose_step(entry->pool, DISPOSE_PIECES))
            destroy(worker, entry);
        break;
    }
    return more;
}

void directory_close(struct worker *worker)
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

struct pool *server_pool(struct server *server, const uint8_t *name, uint32_t name_size)
{
    struct pool_entry *entry = find(&server->worker, name, name_size);
    return entry == NULL ? NULL : entry->pool;
}

struct pool *server_pool_default(struct server *server)
{
    return server->worker.first->pool;
}

struct pool *server_pool_next(struct server *server, const struct pool *pool)
{
    struct worker *worker = &server->worker;
    struct pool_entry *entry = pool == NULL ? NULL : directory_entry(worker, pool);
    struct list *next = entry == NULL ? worker->pools.next : entry->link.next;
    worker->found = next == &worker->pools ? NULL : list_entry(next, struct pool_entry, link);
    return worker->found == NULL ? NULL : worker->found->pool;
}

struct session *server_session_by_key(struct server *server, const uint8_t key[HF_KEY_SIZE],
                                      struct pool **ret_pool)
{
    struct list *at, *after;
    list_each(at, after, &server->worker.pools)
    {
        struct pool_entry *entry = list_entry(at, struct pool_entry, link);
        worker_clock(entry->worker, entry);
        struct session *session = pool_session_by_key(entry->pool, key);
        if (session == NULL)
            continue;
        *ret_pool = entry->pool;
        return session;
    }
    return NULL;
}
