/* SPDX-License-Identifier: BSD-3-Clause */
/* Figures of this process, from the system. */
#ifndef OBSERVE_PROCESS_H
#define OBSERVE_PROCESS_H

#include <stdint.h>

struct process {
    uint64_t resident_bytes, virtual_bytes;
    uint64_t cpu_ns; /* of all threads, in user and system mode */
    uint64_t open_fds, max_fds;
};

/* What the system does not tell is 0. */
void process_figures(struct process *ret);

#endif
