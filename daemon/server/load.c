/* SPDX-License-Identifier: BSD-3-Clause */
/* The start of a daemon that shall load a pool from the file of a save. */
#include "daemon/base/human.h"
#include "daemon/pool/saves.h"
#include "daemon/server/worker.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Whether there is something in the image of that name; its descriptors are closed then. 0: nothing; or -1 with a
 * text. */
static int look_into(struct server *server, struct load *load, char *error, size_t error_size)
{
    struct pool_config config;
    struct pool_stats stats;
    struct pool *pool;
    pools_config(server, load->name, &config);
    config.fd_meta = load->fd_meta;
    config.fd_values = load->fd_values;
    if (pool_open(&pool, &config, error, error_size) != 0)
        return -1;
    load->fd_meta = load->fd_values = -1;
    pool_stats(pool, &stats);
    pool_close(pool);
    if (stats.objects == 0 && stats.names == 0 && stats.sessions_grace == 0)
        return 0;
    snprintf(error, error_size,
             "the pool %s is there already, with %" PRIu64 " objects; drop it, or start without --load",
             load->name, stats.objects);
    return -1;
}

/* The pool of that name that is there already, if nothing is in it, gives way; one with something in it does not. */
static int make_way(struct server *server, const char *name, char *error, size_t error_size)
{
    bool left;
    struct load *load = loading_own(server, name);
    if (load == NULL)
        return 0;
    if (look_into(server, load, error, error_size) != 0 ||
        pools_unpublish(server, name, &left, error, error_size) != 0)
        return -1;
    loading_remove(server, load);
    return 0;
}

/* ---- the budget ---- */

#define ROOM_MIN (8ull << 20) /* bytes that a pool shall have to work in */

/* `need`: bytes for pools that are enough. Always -1. */
static int fail_room(const struct server *server, uint64_t takes, uint64_t need, char *error,
                     size_t error_size)
{
    char these[HUMAN_MAX], all[HUMAN_MAX];
    uint64_t share = need / 7 + 1, enough = need + (share < CONN_SHARE_MAX ? share : CONN_SHARE_MAX);
    snprintf(error, error_size,
             "the pool in it takes %s, and all pools may have %s; start with --max-memory %" PRIu64
             "m or more",
             human_bytes(these, sizeof these, takes),
             human_bytes(all, sizeof all, mem_limit(&server->pools_mem)), (enough >> 20) + 1);
    return -1;
}

/* Before it is read: that takes as much memory as there is in the file; what is dead in it is freed only afterwards. */
static int check_size(const struct server *server, int fd, char *error, size_t error_size)
{
    uint64_t bytes = pool_saved_room(fd);
    return bytes <= mem_left(&server->pools_mem)
               ? 0
               : fail_room(server, bytes, bytes + bytes / 16 + ROOM_MIN, error, error_size);
}

/* Afterwards: what was recovered is charged whatever it is, and in a pool without room nobody could as much as begin a
 * session to release something. What sessions held is freed by then or goes now. */
static int check_room(struct server *server, struct pool *pool, char *error, size_t error_size)
{
    struct pool_stats stats;
    loading_give_back(server, pool);
    if (mem_left(&server->pools_mem) > 0)
        return 0;
    pool_stats(pool, &stats);
    return fail_room(server, stats.memory_used, stats.memory_used + ROOM_MIN, error, error_size);
}

/* ---- the pool ---- */

/* Into files of the folder, or into memfds. */
static int load_pool(struct server *server, struct pool **ret, const char *name, uint32_t number, int fd,
                     char *error, size_t error_size)
{
    struct pool_config config;
    pools_config(server, name, &config);
    pools_identity(&config, number);
    if (pools_make_files(server, name, &config, error, error_size) != 0)
        return -1;
    int r = pool_load(ret, &config, fd, error, error_size);
    if (r == 0 && check_room(server, *ret, error, error_size) == 0 &&
        pools_publish(server, name, &config, error, error_size) == 0)
        return 0;
    if (r == 0) {
        pool_close(*ret);
    } else {
        close(config.fd_meta);
        close(config.fd_values);
    }
    pools_discard(server, name);
    return -1;
}

static int load_named(struct server *server, const char *name, int fd, char *error, size_t error_size)
{
    struct place place;
    struct pool *pool;
    snprintf(error, error_size, "no memory for the list of pools");
    if (directory_reserve(server, name, &place) != 0)
        return -1;
    uint64_t began_ns = uv_hrtime();
    if (load_pool(server, &pool, name, place.number, fd, error, error_size) != 0) {
        directory_remove(server, place.number);
        return -1;
    }
    struct pool_entry *entry = pools_adopt(place.worker, pool, place.number);
    if (entry == NULL) {
        snprintf(error, error_size, "no memory for pool %s", name);
        pool_close(pool);
        directory_remove(server, place.number);
        return -1;
    }
    if (strcmp(name, POOL_DEFAULT) == 0)
        place.worker->first = entry;
    struct pool_stats stats;
    pool_stats(pool, &stats);
    log_write(server->log, LOG_LEVEL_INFO, "loaded",
              "pool=%s worker=%u objects=%" PRIu64 " names=%" PRIu64 " ms=%" PRIu64, name,
              place.worker->index, stats.objects, stats.names, (uv_hrtime() - began_ns) / 1000000);
    return 0;
}

/* Does something for the file and the pool it names. */
static int with_file(struct server *server, const char *path,
                     int (*act)(struct server *server, const char *name, int fd, char *error,
                                size_t error_size),
                     char *error, size_t error_size)
{
    char name[HF_POOL_NAME_MAX + 1], why[SAVES_ERROR_MAX];
    int fd;
    if (saves_open(path, &fd, error, error_size) != SAVES_FINE)
        return -1;
    int r = pool_saved_name(fd, name, why, sizeof why);
    if (r == 0)
        r = check_size(server, fd, why, sizeof why);
    if (r == 0)
        r = act(server, name, fd, why, sizeof why);
    if (r != 0)
        snprintf(error, error_size, "%s cannot be loaded: %s; nothing was changed", path, why);
    close(fd);
    return r == 0 ? 0 : -1;
}

static int make_way_for(struct server *server, const char *name, int fd, char *error, size_t error_size)
{
    (void)fd;
    return make_way(server, name, error, error_size);
}

int load_make_way(struct server *server, const char *path, char *error, size_t error_size)
{
    return with_file(server, path, make_way_for, error, error_size);
}

int load_open(struct server *server, const char *path, char *error, size_t error_size)
{
    return with_file(server, path, load_named, error, error_size);
}
