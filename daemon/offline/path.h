/* SPDX-License-Identifier: BSD-3-Clause */
/* What a path given to one of the programs of this folder means, and what they have in common. */
#ifndef OFFLINE_PATH_H
#define OFFLINE_PATH_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

/* Exit codes; those of usage are the caller's. */
#define OFFLINE_FINE    0
#define OFFLINE_DAMAGED 1
#define OFFLINE_FAILED  5 /* nothing was found out: a daemon has the folder, or it cannot be read or written */

/* Parts a path that is no folder into one and the name of a pool, given as FOLDER/NAME or as one of its two files:
 * `*ret_only` points into `folder`; NULL: all of them. */
void offline_part(const char *path, char folder[PATH_MAX], const char **ret_only);
/* A plain file that is none of a pool's two: that of a save. */
bool offline_is_saved(const char *path);
uint64_t offline_now_ms(void); /* since 1970 */
/* Says it on stderr; returns OFFLINE_FAILED. */
int offline_failed(const char *what, const char *why);

#endif
