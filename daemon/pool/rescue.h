/* SPDX-License-Identifier: BSD-3-Clause */
/* Reads all that can be read of an image that need not be sound: each object and each name by itself.
 *
 * Not a recovery: nothing is taken on trust, nothing is written, and what does not fit costs that one thing and is
 * told. What nobody can reach any more may still be read. The files are read by pread() alone, so no hole is filled
 * and no byte behind the end is touched. What an operation under way at the death had changed is taken back in what
 * is read. */
#ifndef POOL_RESCUE_H
#define POOL_RESCUE_H

#include "daemon/heap/format.h"

#include <stdbool.h>
#include <stddef.h>

struct rescue_object {
    uint64_t id, version;
    enum form form;
    const uint8_t *value; /* its payload, see heap/format.h */
    uint64_t size;
    const uint64_t *slots; /* ids, 0: nil; so far as they can be read */
    uint32_t slots_count;
    const uint8_t *tag, *site;
    uint32_t tag_size, site_size;
    bool open, sealed;
};

struct rescue_sink {
    /* Each returns false if the value cannot be used, or written; the second stops all. */
    bool (*object)(void *data, const struct rescue_object *object);
    bool (*name)(void *data, const uint8_t *name, uint32_t size, uint64_t id);
    void (*lost)(void *data, const char *text); /* what could not be read */
    void (*progress)(void *data, unsigned percent);
    void *data;
};

struct rescue_source {
    int fd_meta, fd_values;
    bool holes_are_lost; /* what is not in the files was in them once: of a damaged save */
};

/* 0; -1: nothing can be read at all, `error` says why. */
int rescue_image(const struct rescue_source *source, const struct rescue_sink *sink, char *error,
                 size_t error_size);

#endif
