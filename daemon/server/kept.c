/* SPDX-License-Identifier: BSD-3-Clause */
/* The start of a daemon whose pools are in memory that somebody has kept since the last one ended: descriptors come
 * back, are put together by the names of their pools, and become pools again as files do (folder.c). Whatever cannot be
 * understood ends the start and is kept on, unless it shall be set aside: copied into a folder, and then let go. */
#include "daemon/pool/memfds.h"
#include "daemon/server/worker.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define KEPT_OF_ONE 8u /* descriptors of one pool that are looked at, where two are right */

void kept_explain(const char *name, bool damaged, const char *why, char *error, size_t error_size)
{
    if (!damaged)
        snprintf(error, error_size,
                 "pool %s, whose memory was kept, cannot be opened: %s; nothing of it was changed or lost",
                 name, why);
    else
        snprintf(error, error_size,
                 "pool %s, whose memory was kept, is damaged: %s; it is kept on as it is: give a folder by "
                 "--set-aside to have it copied there and to start without it",
                 name, why);
}

static int copy_all(const char *name, const int *fds, unsigned count, const char *folder, char *error,
                    size_t error_size)
{
    for (unsigned k = 0; k < count; k++)
        if (memfds_copy(name, fds[k], k, folder, error, error_size) != IMAGES_FINE)
            return -1;
    return 0;
}

static bool set_aside(struct server *server, const char *name, const int *fds, unsigned count,
                      const char *why, char *error, size_t error_size)
{
    const char *folder = server->set_aside;
    if (folder == NULL || server->images.path != NULL)
        return false;
    char failed[IMAGES_ERROR_MAX];
    if (copy_all(name, fds, count, folder, failed, sizeof failed) != 0) {
        snprintf(
            error, error_size,
            "pool %s, whose memory was kept, is damaged: %s; it is kept on as it is, since it cannot be set "
            "aside: %s",
            name, why, failed);
        return false;
    }
    if (server->keeper.forget != NULL)
        (void)server->keeper.forget(server->keeper.data, name);
    log_write(server->log, LOG_LEVEL_ERROR, "set_aside",
              "pool=%s folder=%s msg=\"it is not served: %s; `holdfast verify %s` tells more\"", name, folder,
              why, folder);
    return true;
}

bool kept_set_aside(struct server *server, const char *name, int fd_meta, int fd_values, const char *why,
                    char *error, size_t error_size)
{
    const int fds[] = {fd_meta, fd_values};
    error[0] = '\0';
    return set_aside(server, name, fds, 2, why, error, error_size);
}

/* ---- putting together ---- */

static int by_name(const void *a, const void *b)
{
    const struct server_kept *x = a, *y = b;
    bool first = strcmp(x->pool, POOL_DEFAULT) == 0, second = strcmp(y->pool, POOL_DEFAULT) == 0;
    return first != second ? second - first : strcmp(x->pool, y->pool);
}

static void close_all(const struct server_kept *kept, unsigned count)
{
    for (unsigned k = 0; k < count; k++)
        close(kept[k].fd);
}

/* All of one name. Takes the descriptors over. 0, or -1 with a text. */
static int take(struct server *server, const struct server_kept *kept, unsigned count, char *error,
                size_t error_size)
{
    char why[IMAGES_ERROR_MAX];
    const char *name = kept[0].pool;
    int fds[KEPT_OF_ONE], fd_meta, fd_values;
    unsigned used = count < KEPT_OF_ONE ? count : KEPT_OF_ONE;
    for (unsigned k = 0; k < used; k++)
        fds[k] = kept[k].fd;
    enum images_result result = memfds_match(name, fds, used, &fd_meta, &fd_values, why, sizeof why);
    if (result == IMAGES_FINE) {
        if (loading_add(server, name, fd_meta, fd_values))
            return 0;
        snprintf(error, error_size, "no memory for the list of pools");
        return -1;
    }
    error[0] = '\0';
    bool aside = result == IMAGES_DOUBTFUL && used == count &&
                 set_aside(server, name, fds, used, why, error, error_size);
    close_all(kept, count);
    if (!aside && error[0] == '\0')
        kept_explain(name, result == IMAGES_DOUBTFUL, why, error, error_size);
    return aside ? 0 : -1;
}

/* Those of a daemon that has its pools in a folder now, or of one that could give pools other names. */
static bool leave_alone(struct server *server, const struct server_kept *kept)
{
    const char *path = server->images.path;
    if (path == NULL && pool_name_fits((const uint8_t *)kept->pool, (uint32_t)strlen(kept->pool)))
        return false;
    if (path != NULL)
        log_write(
            server->log, LOG_LEVEL_WARN, "kept_not_served",
            "pool=%s msg=\"its memory is kept from a start without --heap %s, and is kept on; this start "
            "does not serve it\"",
            kept->pool, path);
    else
        log_write(server->log, LOG_LEVEL_WARN, "kept_not_served",
                  "msg=\"something is kept under a name that no pool can have; it is left alone\"");
    close(kept->fd);
    return true;
}

int kept_open(struct server *server, const struct server_config *config, char *error, size_t error_size)
{
    unsigned count = 0;
    if (config->kept_count == 0)
        return 0;
    struct server_kept *kept = malloc(config->kept_count * sizeof *kept);
    if (kept == NULL) {
        close_all(config->kept, config->kept_count);
        snprintf(error, error_size, "no memory");
        return -1;
    }
    for (unsigned k = 0; k < config->kept_count; k++)
        if (!leave_alone(server, &config->kept[k]))
            kept[count++] = config->kept[k];
    if (count > 1)
        qsort(kept, count, sizeof *kept, by_name);
    int r = 0;
    for (unsigned begin = 0, end; begin < count; begin = end) {
        for (end = begin + 1; end < count && strcmp(kept[end].pool, kept[begin].pool) == 0;)
            end++;
        if (r == 0)
            r = take(server, kept + begin, end - begin, error, error_size);
        else
            close_all(kept + begin, end - begin);
    }
    free(kept);
    return r;
}
