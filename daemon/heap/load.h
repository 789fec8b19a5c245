/* SPDX-License-Identifier: BSD-3-Clause */
/* Reading the file of a saved image (saved.h), and making the two files of an image of it.
 *
 * Nothing of the file is taken on trust: each record is checked before its bytes are used. What the bytes mean is
 * recovery's business, which loading is followed by.
 *
 * A loaded image is a new incarnation: what clients were told after the instant of the save would be told twice. So
 * it gets another epoch and another base of serials, and its versions go on far above those it has. The new base lies
 * at least a quarter of the circle of serials away from the old one, both ways: as long as no index has been used a
 * quarter of the times that it can be, every id from before is GONE. */
#ifndef HEAP_LOAD_H
#define HEAP_LOAD_H

#include "daemon/heap/saved.h"

#include <stdbool.h>
#include <stddef.h>

enum load_result {
    LOAD_FINE = 0,
    LOAD_DAMAGED = -1, /* no saved image, of another format, cut off, or a byte of it is another one */
    LOAD_FAILED = -2,  /* the system refused to read or write */
    LOAD_FULL = -3,    /* the same: no room for the image */
    LOAD_ENDED = -4    /* `progress` said so */
};

/* Reads and checks the header. `error` says what is wrong. */
enum load_result load_header(int fd, struct saved_header *ret, char *error, size_t error_size);

struct load_scan {
    uint64_t records, bytes; /* that are sound; bytes of the image in them */
    uint64_t bad;            /* places at which something is damaged; only when `tolerate` */
    uint64_t bad_at;         /* the first of them */
    bool whole;              /* the end is there, and agrees */
    /* Called now and then; false: it is to end. May be NULL. */
    bool (*progress)(void *data);
    void *data;
};

/* Reads and checks all records, and writes their bytes to their places in the two empty files; -1: only checks. Makes
 * them as long as the image's were. `tolerate`: goes on behind damage. */
enum load_result load_pieces(int fd, const struct saved_header *header, int fd_meta, int fd_values,
                             bool tolerate, struct load_scan *scan, char *error, size_t error_size);

struct load_identity {
    const char *name; /* of the pool; NULL: as saved */
    uint64_t epoch;
    uint32_t random; /* for the base of serials */
};
/* Makes the image in `fd_meta` another incarnation; before it is recovered. */
enum load_result load_renew(int fd_meta, const struct saved_header *header,
                            const struct load_identity *identity, char *error, size_t error_size);

#endif
