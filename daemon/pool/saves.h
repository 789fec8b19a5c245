/* SPDX-License-Identifier: BSD-3-Clause */
/* The folder of saved images: its files as files. What is in them is heap/saved.h's, how they come to be heap/save.h's.
 *
 *     FILE           a whole image of a pool
 *     .FILE.new      one that is being written, locked by who writes it
 *     NAME.20261126T083000Z.save    FILE of a periodic save of pool NAME
 *
 * A file gets its name by a rename, after all of it is on the disk: so what has the name is whole, whenever the
 * process dies or the machine loses power; and an older one of that name stays until then. What nobody has locked is
 * a leftover, removed when the daemon starts and when a file of that name is written again.
 *
 * Two daemons may share a folder. The folder is opened anew for each file, so that one that was exchanged is found. */
#ifndef POOL_SAVES_H
#define POOL_SAVES_H

#include "proto/limits.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SAVES_END       ".save"
#define SAVES_PATH_MAX  (HF_SAVE_FILE_MAX + 8)
#define SAVES_ERROR_MAX 400

enum saves_result {
    SAVES_FINE = 0,
    SAVES_FAILED = -1, /* the system refused */
    SAVES_BUSY = -2,   /* somebody writes a file of that name */
    SAVES_FULL = -3,   /* no room */
    SAVES_MISSING = -4 /* there is no such file to be read */
};

/* Makes the folder (mode 0700) if only its last part is missing, and removes leftovers, telling each to `removed`. On
 * failure `error` says what is wrong and what to do. */
enum saves_result saves_prepare(const char *path, void (*removed)(void *data, const char *file), void *data,
                                char *error, size_t error_size);

/* `[A-Za-z0-9][A-Za-z0-9._-]*` of at most HF_SAVE_FILE_MAX bytes. */
bool saves_name_fits(const uint8_t *name, uint32_t size);
/* NAME.save, what `save` writes if it is not told a name; with a time (ms since 1970) the name of a periodic one. */
void saves_name_of(const char *pool, char ret[HF_SAVE_FILE_MAX + 1]);
void saves_name_at(const char *pool, uint64_t now_ms, char ret[HF_SAVE_FILE_MAX + 1]);

/* One that is being written. */
struct saves_file {
    int folder, fd; /* -1: none */
    int fd_past; /* writes past the system's cache (O_DIRECT), whole pages; -1: that is not to be had there */
    char name[HF_SAVE_FILE_MAX + 1];
};
/* Makes an empty file to be written. */
enum saves_result saves_create(const char *path, const char *name, struct saves_file *ret, char *error,
                               size_t error_size);
/* Brings it to the disk and gives it its name: takes as long as the disk does. Closes it in any case; one that failed
 * is removed. */
enum saves_result saves_publish(struct saves_file *file, char *error, size_t error_size);
void saves_discard(struct saves_file *file);
/* What to tell of an error of a write to it. */
enum saves_result saves_explain(const struct saves_file *file, int err, char *error, size_t error_size);
/* Removes periodic saves of the pool but the newest `keep`. Returns how many were removed. */
unsigned saves_prune(const char *path, const char *pool, unsigned keep);

/* Opens a saved image to be read. */
enum saves_result saves_open(const char *path, int *ret_fd, char *error, size_t error_size);

#endif
