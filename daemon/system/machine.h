/* SPDX-License-Identifier: BSD-3-Clause */
/* What the daemon asks of the machine it runs on. */
#ifndef SYSTEM_MACHINE_H
#define SYSTEM_MACHINE_H

#include <stddef.h>
#include <stdint.h>

/* Bytes of memory there are for this process: the smaller of the machine's and the limits of its cgroups
 * (version 2). */
uint64_t machine_memory(void);

/* Cores that this process may run on, at least 1. */
unsigned machine_cores(void);

/* Raises the soft limit of file descriptors to the hard one; the limit in force. */
uint64_t machine_raise_descriptors(void);

/* The default address, `unix:` and a path; one that is longer than `size` is cut. */
void machine_default_address(char *ret, size_t size);
/* Makes the folder of its path, mode 0750, if there is none. 0, or -1 with a text in `error`. */
int machine_make_default_folder(char *error, size_t error_size);

#endif
