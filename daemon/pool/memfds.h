/* SPDX-License-Identifier: BSD-3-Clause */
/* A pool's two files in memory, which outlive a daemon when somebody keeps their descriptors for the next one: what
 * pool/images.h is for folders.
 *
 * The two are told apart by the names of the memfds, NAME.meta and NAME.values, which nothing that is written into them
 * can change. The meta of a pool that a process works in is locked by that process: descriptors that are passed on share
 * what flock() locks, so the lock is one of fcntl() (F_SETLK), which belongs to the process and ends with it. Such a lock
 * is lost when the process closes any descriptor of that file: there must be one only.
 *
 * Nothing here logs. Any thread may call, as long as two do not deal with the same name at once. */
#ifndef POOL_MEMFDS_H
#define POOL_MEMFDS_H

#include "daemon/pool/images.h"

/* Makes two empty ones for a new image, and locks them; the caller closes them. FINE, FULL, FAILED. */
enum images_result memfds_create(const char *name, int *ret_meta, int *ret_values, char *error,
                                 size_t error_size);

/* Of the descriptors that were kept for a pool: which is which; they stay the caller's, whatever comes of it. Locks them.
 * BUSY: another process works in them. DOUBTFUL: they are not one pair, or that of another pool; `error` says what there
 * is. */
enum images_result memfds_match(const char *name, const int *fds, unsigned count, int *ret_meta,
                                int *ret_values, char *error, size_t error_size);

/* Copies the n-th of the descriptors that were kept for a pool into the folder, which is made (mode 0700) if only its last
 * part is missing: as NAME.meta or NAME.values, or NAME.other-N if it is neither, or if there is such a file already; never
 * over a file that is there. Holes stay holes. FINE, FULL, FAILED. */
enum images_result memfds_copy(const char *name, int fd, unsigned n, const char *folder, char *error,
                               size_t error_size);

#endif
