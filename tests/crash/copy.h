/* SPDX-License-Identifier: BSD-3-Clause */
/* Copies of images, recovered and looked at as the daemon would at its next start. Each function that finds
 * something wrong returns what, else NULL; the text stays valid until the next call. */
#ifndef HF_TESTS_CRASH_COPY_H
#define HF_TESTS_CRASH_COPY_H

#include "tests/crash/workload.h"

/* A new memfd with the same data and holes as `fd`. */
int copy_file(int fd);

/* pool_open() on an image; look_only: on a private copy of its pages. */
int copy_open(struct pool **ret, int fd_meta, int fd_values, uint64_t now_ms, bool look_only, char *error,
              size_t error_size);

/* Walks every invariant. */
const char *copy_sound(struct pool *copy);

/* No id that was told can be given out again. */
const char *copy_generations(const struct pool *copy, const struct workload *w);

/* Recovers a private look at the image, walks it, and gives its digest. `w`: who was told ids; may be NULL. */
const char *copy_look(int fd_meta, int fd_values, uint64_t now_ms, const struct workload *w,
                      uint64_t *ret_digest);

#endif
