/* SPDX-License-Identifier: BSD-3-Clause */
/* holdfastd --verify: checks the images in a folder while no daemon works there, as a start would, and beyond that every
 * invariant. Only reads: what recovery would put in order is put in order in memory. */
#ifndef OFFLINE_VERIFY_H
#define OFFLINE_VERIFY_H

#include <stdbool.h>

/* Exit codes; those of usage are the caller's. */
#define VERIFY_SOUND   0
#define VERIFY_DAMAGED 1
#define VERIFY_FAILED  5 /* nothing was found out: a daemon has the folder, or it cannot be read */

/* `path`: a folder, or one pool in it as FOLDER/NAME or one of its two files. Prints one row for each pool on stdout, as a
 * table or as JSON, and on stderr what kept it from doing so; progress, if stderr is a terminal. Returns the exit code. */
int offline_verify(const char *path, bool json);

#endif
