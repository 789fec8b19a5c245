/* SPDX-License-Identifier: BSD-3-Clause */
/* holdfastd --inspect: what is in the file of a save, or in the pools of a folder. Only reads. */
#ifndef OFFLINE_INSPECT_H
#define OFFLINE_INSPECT_H

#include <stdbool.h>

/* `path`: as offline_verify(), or the file of a save, whose every byte is checked. Prints `key: value` lines, or with `json`
 * an array of maps, one for each pool. Returns an exit code (path.h). */
int offline_inspect(const char *path, bool json);

#endif
