/* SPDX-License-Identifier: BSD-3-Clause */
#include "daemon/offline/inspect.h"

#include "daemon/offline/path.h"
#include "daemon/pool/images.h"
#include "daemon/pool/pool.h"
#include "daemon/pool/saves.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define STEP_UNITS 65536u

static json_t *number(uint64_t value)
{
    return json_integer((json_int_t)value);
}

static uint64_t disk_bytes(int fd)
{
    struct stat status;
    return fstat(fd, &status) == 0 ? (uint64_t)status.st_blocks * 512 : 0;
}

/* ---- the file of a save ---- */

static json_t *describe_saved(int fd, const struct saved_header *header, const char *damage)
{
    const struct superblock *sb = &header->superblock;
    struct stat status = {.st_size = 0};
    (void)fstat(fd, &status);
    return json_pack("{s:s, s:s, s:i, s:i, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:b, s:s*}", "kind",
                     "save", "pool", sb->name, "format", (int)header->format, "image_format",
                     (int)header->image_format, "epoch", number(sb->epoch), "starts", number(sb->starts),
                     "saved_ms", number(header->saved_ms), "bytes", number((uint64_t)status.st_size),
                     "objects", number(header->objects), "object_bytes", number(header->object_bytes),
                     "names", number(header->names), "tickets", number(header->tickets), "sessions",
                     number(header->sessions), "ok", damage == NULL, "damage", damage);
}

static int inspect_saved(const char *path, json_t *rows)
{
    char error[SAVES_ERROR_MAX];
    struct saved_header header;
    int fd;
    if (saves_open(path, &fd, error, sizeof error) != SAVES_FINE)
        return offline_failed(error, "");
    int code = pool_saved_header(fd, &header, error, sizeof error);
    if (code != 0) {
        close(fd);
        (void)offline_failed(path, error);
        return OFFLINE_DAMAGED;
    }
    code = pool_saved_check(fd, &header, error, sizeof error);
    json_array_append_new(rows, describe_saved(fd, &header, code == 0 ? NULL : error));
    close(fd);
    return code == 0 ? OFFLINE_FINE : OFFLINE_DAMAGED;
}

/* ---- the pools of a folder ---- */

static json_t *describe_pool(struct pool *pool, int fd_meta, int fd_values)
{
    struct pool_stats stats;
    struct superblock sb = {.format = 0};
    (void)!pread(fd_meta, &sb, sizeof sb, 0);
    do { /* what ends with a start is not counted */
        (void)pool_step(pool, STEP_UNITS);
        pool_stats(pool, &stats);
    } while (stats.backlog != 0 || stats.sessions_dying != 0);
    return json_pack("{s:s, s:s, s:i, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:b}", "kind",
                     "image", "pool", pool_name(pool), "image_format", (int)sb.format, "epoch",
                     number(sb.epoch), "starts", number(sb.starts), "born_ms", number(sb.born_ms),
                     "meta_bytes", number(disk_bytes(fd_meta)), "values_bytes", number(disk_bytes(fd_values)),
                     "objects", number(stats.objects), "object_bytes", number(stats.object_bytes), "names",
                     number(stats.names), "tickets", number(stats.tickets), "sessions",
                     number(stats.sessions_grace), "ok", true);
}

static json_t *describe_damage(const char *name, const char *error)
{
    return json_pack("{s:s, s:s, s:b, s:s}", "kind", "image", "pool", name, "ok", false, "damage", error);
}

static int inspect_pool(const struct images *images, const char *name, json_t *rows)
{
    char error[IMAGES_ERROR_MAX];
    struct pool *pool;
    struct pool_config config = {
        .name = name, .max_bytes = UINT64_MAX / 4, .now_ms = offline_now_ms(), .look_only = true};
    if (images_files(images, name, &config.fd_meta, &config.fd_values, error, sizeof error) != IMAGES_FINE)
        return offline_failed(error, "");
    int code = pool_open(&pool, &config, error, sizeof error);
    if (code == 0) {
        json_array_append_new(rows, describe_pool(pool, config.fd_meta, config.fd_values));
        pool_close(pool);
    } else {
        json_array_append_new(rows, describe_damage(name, error));
    }
    close(config.fd_meta);
    close(config.fd_values);
    return code == 0 ? OFFLINE_FINE : OFFLINE_DAMAGED;
}

static int inspect_folder(const char *path, json_t *rows)
{
    char folder[PATH_MAX], error[IMAGES_ERROR_MAX];
    const char *only;
    struct images images;
    struct image_list list;
    int code = OFFLINE_FINE;
    offline_part(path, folder, &only);
    if (images_look(&images, folder[0] == '\0' ? "/" : folder, error, sizeof error) != IMAGES_FINE)
        return offline_failed(error, "");
    if (images_list(&images, &list, error, sizeof error) != IMAGES_FINE)
        code = offline_failed(error, "");
    for (size_t k = 0; code != OFFLINE_FAILED && k < list.count; k++) {
        const struct image *image = &list.images[k];
        if ((only != NULL && strcmp(only, image->name) != 0) || image_state(image) == IMAGE_LEFTOVER)
            continue;
        int one = inspect_pool(&images, image->name, rows);
        code = one > code ? one : code;
    }
    image_list_done(&list);
    images_close(&images);
    if (code == OFFLINE_FINE && json_array_size(rows) == 0)
        return offline_failed(path, "there is no such file or folder, nor a pool of that name");
    return code;
}

/* ---- printing ---- */

static void print_value(const char *key, const json_t *value)
{
    if (json_is_integer(value))
        printf("%-13s %" JSON_INTEGER_FORMAT "\n", key, json_integer_value(value));
    else
        printf("%-13s %s\n", key,
               json_is_boolean(value) ? (json_is_true(value) ? "yes" : "no") : json_string_value(value));
}

static void print_rows(json_t *rows)
{
    for (size_t k = 0; k < json_array_size(rows); k++) {
        const char *key;
        json_t *value, *row = json_array_get(rows, k);
        if (k > 0)
            putchar('\n');
        json_object_foreach(row, key, value)
        {
            print_value(key, value);
        }
    }
}

int offline_inspect(const char *path, bool json)
{
    json_t *rows = json_array();
    int code = offline_is_saved(path) ? inspect_saved(path, rows) : inspect_folder(path, rows);
    bool ok = code == OFFLINE_FAILED || !json || json_dumpf(rows, stdout, JSON_COMPACT) == 0;
    if (json && code != OFFLINE_FAILED)
        putchar('\n');
    else if (!json)
        print_rows(rows);
    json_decref(rows);
    if (ok && fflush(stdout) == 0)
        return code;
    return offline_failed("the result cannot be written", "");
}
