/* SPDX-License-Identifier: BSD-3-Clause */
/* The daemon's process: started with a folder of its own, looked at from outside, ended by SIGTERM. */
#ifndef HF_TESTS_SOAK_PROCESS_H
#define HF_TESTS_SOAK_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define PROCESS_TEXT 128

struct process {
    char folder[32]; /* its socket and its log */
    char log[64];
    char unix_address[PROCESS_TEXT], tcp_address[PROCESS_TEXT];
    pid_t pid; /* 0: not running */
};

/* Starts it with that many workers and waits until it listens. False, with a text in `error`. */
bool process_start(struct process *process, const char *program, unsigned workers, char *error,
                   size_t error_size);

struct process_figures {
    /* Bytes: its private pages and the blocks of its memory files; and what a sanitizer keeps about them, if it has one
     * (tests/lib/smaps.h). */
    uint64_t own, sanitizer;
    unsigned descriptors, threads;
};
/* False: it has ended. */
bool process_look(const struct process *process, struct process_figures *ret);

/* Whether its log tells of something that must not be: a sanitizer's report, a failed assertion, clients that did not
 * take their replies while it ended. The line goes to `ret`. */
bool process_complains(const struct process *process, char *ret, size_t ret_size);
/* The last lines of its log, to stderr. */
void process_tell(const struct process *process);

/* SIGTERM; its exit code, or -1 if a signal ended it. */
int process_end(struct process *process);
/* SIGKILL, if it runs still; removes the folder. */
void process_remove(struct process *process);

#endif
