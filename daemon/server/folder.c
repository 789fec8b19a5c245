/* SPDX-License-Identifier: BSD-3-Clause */
/* The start of a daemon whose pools are in files: the folder is locked, what deaths have left is removed, and each
 * image becomes a pool again. Whatever cannot be understood ends the start, and stays as it is. */
#include "daemon/server/worker.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define ROOM_UNITS 4096u /* of work between two looks at what is left */

/* ---- leftovers ---- */

static void log_removed(void *data, const char *file)
{
    struct server *server = data;
    log_write(server->log, LOG_LEVEL_WARN, "leftover_removed",
              "file=%s/%s msg=\"of a pool whose making or dropping was interrupted; it held nothing\"",
              server->images.path, file);
}

/* First all are looked at, then leftovers are removed: a start that is refused has changed nothing. */
static int clear(struct server *server, const struct image_list *list, char *error, size_t error_size)
{
    for (size_t k = 0; k < list->count; k++) {
        enum image_state state = image_state(&list->images[k]);
        if (state != IMAGE_NO_META && state != IMAGE_NO_VALUES)
            continue;
        char why[IMAGES_ERROR_MAX];
        image_explain(&server->images, &list->images[k], why, sizeof why);
        snprintf(error, error_size, "pool %s: %s", list->images[k].name, why);
        return -1;
    }
    for (size_t k = 0; k < list->count; k++)
        if (images_clear(&server->images, &list->images[k], log_removed, server, error, error_size) !=
            IMAGES_FINE)
            return -1;
    if (list->odd[0] != '\0')
        log_write(server->log, LOG_LEVEL_WARN, "odd_file",
                  "file=%s/%s msg=\"no pool can have this name, so it is left alone\"", server->images.path,
                  list->odd);
    return 0;
}

/* ---- pools ---- */

/* What pool_open() refuses, with what to do about it. */
static int explain(const struct server *server, const char *name, int code, const char *why, char *error,
                   size_t error_size)
{
    const char *path = server->images.path;
    if (code == -HF_E_INTERNAL)
        snprintf(error, error_size,
                 "pool %s in %s is damaged: %s; its files are kept as they are: `holdfast verify %s` tells "
                 "more; to "
                 "start without it, move %s.meta and %s.values to another folder",
                 name, path, why, path, name, name);
    else
        snprintf(error, error_size, "pool %s in %s cannot be opened: %s; nothing of it was changed or lost",
                 name, path, why);
    return -1;
}

static int adopt(struct server *server, struct pool *pool, uint64_t began_ns, char *error, size_t error_size)
{
    const char *name = pool_name(pool);
    uint32_t number = pool_number(pool);
    struct place place;
    struct pool_stats stats;
    if (directory_reserve_number(server, name, number, &place) != 0) {
        snprintf(error, error_size, "no memory for the list of pools");
        return -1;
    }
    if (place.number != number) {
        uint64_t ended = pool_renumber(pool, (uint64_t)place.number << POOL_SID_BITS | 1);
        log_write(server->log, LOG_LEVEL_WARN, "renumbered",
                  "pool=%s from=%u to=%u sessions_ended=%" PRIu64
                  " msg=\"another pool here has its number: was it copied from another folder?\"",
                  name, number, place.number, ended);
    }
    struct pool_entry *entry = pools_adopt(place.worker, pool, place.number);
    if (entry == NULL) {
        snprintf(error, error_size, "no memory for pool %s", name);
        directory_remove(server, place.number);
        return -1;
    }
    if (strcmp(name, POOL_DEFAULT) == 0)
        place.worker->first = entry;
    pool_stats(pool, &stats);
    log_write(server->log, LOG_LEVEL_INFO, "recovered",
              "pool=%s worker=%u objects=%" PRIu64 " names=%" PRIu64 " sessions=%" PRIu64 " ms=%" PRIu64,
              name, place.worker->index, stats.objects, stats.names, stats.sessions_grace,
              (uv_hrtime() - began_ns) / 1000000);
    return 0;
}

/* A copy may have pages where the image had holes, even more than there is memory for: those go before the pool begins
 * to work; fewer are given back while it works. */
static void give_back(struct server *server, struct pool *pool)
{
    while (mem_left(&server->pools_mem) == 0 && pool_step(pool, ROOM_UNITS) > 0)
        continue;
}

static int recover(struct server *server, const char *name, char *error, size_t error_size)
{
    char why[IMAGES_ERROR_MAX];
    struct pool_config config;
    struct pool *pool;
    uint64_t began_ns = uv_hrtime();
    pools_config(server->workers[0], name, &config);
    if (images_files(&server->images, name, &config.fd_meta, &config.fd_values, error, error_size) !=
        IMAGES_FINE)
        return -1;
    int code = pool_open(&pool, &config, why, sizeof why);
    if (code != 0) {
        close(config.fd_meta);
        close(config.fd_values);
        return explain(server, name, code, why, error, error_size);
    }
    give_back(server, pool);
    if (adopt(server, pool, began_ns, error, error_size) == 0)
        return 0;
    pool_close(pool);
    return -1;
}

static int recover_all(struct server *server, const struct image_list *list, char *error, size_t error_size)
{
    size_t pools = 1; /* `default` is made if it is missing */
    for (size_t k = 0; k < list->count; k++)
        pools +=
            image_state(&list->images[k]) == IMAGE_WHOLE && strcmp(list->images[k].name, POOL_DEFAULT) != 0;
    if (pools > HF_POOLS_MAX) {
        snprintf(error, error_size, "%s has %zu pools, more than the %u of one daemon; move some away",
                 server->images.path, pools, HF_POOLS_MAX);
        return -1;
    }
    for (size_t k = 0; k < list->count; k++)
        if (image_state(&list->images[k]) == IMAGE_WHOLE &&
            recover(server, list->images[k].name, error, error_size) != 0)
            return -1;
    return 0;
}

int folder_open(struct server *server, const char *path, char *error, size_t error_size)
{
    struct image_list list;
    bool made;
    if (images_open(&server->images, path, server_name(server), &made, error, error_size) != IMAGES_FINE)
        return -1;
    if (made)
        log_write(server->log, LOG_LEVEL_INFO, "heap_made", "folder=%s msg=\"it was missing\"", path);
    if (images_list(&server->images, &list, error, error_size) != IMAGES_FINE)
        return -1;
    int r = clear(server, &list, error, error_size);
    if (r == 0)
        r = recover_all(server, &list, error, error_size);
    image_list_done(&list);
    return r;
}
