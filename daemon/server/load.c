/* SPDX-License-Identifier: BSD-3-Clause */
/* The start of a daemon that shall load a pool from the file of a save. */
#include "daemon/pool/saves.h"
#include "daemon/server/worker.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* The pool of that name that is there already, if nothing is in it, gives way; one with something in it does not. */
static int make_way(struct server *server, const char *name, char *error, size_t error_size)
{
    struct place place;
    struct pool_stats stats;
    bool left;
    if (!server_place(server, (const uint8_t *)name, (uint32_t)strlen(name), &place))
        return 0;
    struct pool_entry *entry = pools_numbered(place.worker, place.number);
    pool_stats(entry->pool, &stats);
    if (stats.objects != 0 || stats.names != 0 || stats.sessions_grace != 0) {
        snprintf(error, error_size,
                 "the pool %s is there already, with %" PRIu64 " objects; drop it, or start without --load",
                 name, stats.objects);
        return -1;
    }
    if (server->images.path != NULL &&
        images_remove(&server->images, name, &left, error, error_size) != IMAGES_FINE)
        return -1;
    pools_forget(entry);
    return 0;
}

/* Into files of the folder, or into memfds. */
static int load_pool(struct server *server, struct pool **ret, const char *name, uint32_t number, int fd,
                     char *error, size_t error_size)
{
    const struct images *images = &server->images;
    struct pool_config config;
    pools_config(server->workers[0], name, &config);
    pools_identity(&config, number);
    bool files = images->path != NULL;
    if (files &&
        images_create(images, name, &config.fd_meta, &config.fd_values, error, error_size) != IMAGES_FINE)
        return -1;
    int r = pool_load(ret, &config, fd, error, error_size);
    if (r == 0 && (!files || images_publish(images, name, error, error_size) == IMAGES_FINE))
        return 0;
    if (r == 0) {
        pool_close(*ret);
    } else if (files) {
        close(config.fd_meta);
        close(config.fd_values);
    }
    if (files)
        images_discard(images, name);
    return -1;
}

static int load_named(struct server *server, const char *name, int fd, char *error, size_t error_size)
{
    struct place place;
    struct pool *pool;
    if (make_way(server, name, error, error_size) != 0)
        return -1;
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

int load_open(struct server *server, const char *path, char *error, size_t error_size)
{
    char name[HF_POOL_NAME_MAX + 1], why[SAVES_ERROR_MAX];
    int fd;
    if (saves_open(path, &fd, error, error_size) != SAVES_FINE)
        return -1;
    int r = pool_saved_name(fd, name, why, sizeof why);
    if (r == 0)
        r = load_named(server, name, fd, why, sizeof why);
    if (r != 0)
        snprintf(error, error_size, "%s cannot be loaded: %s; nothing was changed", path, why);
    close(fd);
    return r == 0 ? 0 : -1;
}
