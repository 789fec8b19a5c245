/* SPDX-License-Identifier: BSD-3-Clause */
/* The start of a daemon whose pools are in files: the folder is locked, what deaths have left is removed, and each
 * image is opened, to become a pool again (loading.c). Whatever cannot be understood ends the start, and stays as it
 * is. */
#include "daemon/server/worker.h"

#include <stdio.h>

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

static int open_files(struct server *server, const struct image_list *list, char *error, size_t error_size)
{
    int fd_meta, fd_values;
    for (size_t k = 0; k < list->count; k++) {
        const char *name = list->images[k].name;
        if (image_state(&list->images[k]) != IMAGE_WHOLE)
            continue;
        if (images_files(&server->images, name, &fd_meta, &fd_values, error, error_size) != IMAGES_FINE)
            return -1;
        if (!loading_add(server, name, fd_meta, fd_values)) {
            snprintf(error, error_size, "no memory for the list of pools");
            return -1;
        }
    }
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
        r = open_files(server, &list, error, error_size);
    image_list_done(&list);
    return r;
}
