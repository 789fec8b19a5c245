/* SPDX-License-Identifier: BSD-3-Clause */
/* The person in front of a long run: progress on a terminal, and the signals that end it early.
 *
 * SIGINT and SIGTERM are blocked while the console is open, in all threads made meanwhile; the first one is noted and
 * lets the run end in good order, and from then on they are as they were before: a second one ends the process. */
#ifndef HF_BENCH_CONSOLE_H
#define HF_BENCH_CONSOLE_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#include "client/bench/problem.h"

struct bench_console {
    bool terminal;   /* progress is shown on stderr */
    bool shown;      /* a line of progress stands there */
    int signals;     /* a signalfd; -1 when closed */
    int interrupted; /* the signal that came, or 0 */
    uint64_t next_ns;
    sigset_t before; /* the mask as it was */
};

/* False with a problem; bench_console_close in any case. `quiet`: no progress. */
bool bench_console_open(struct bench_console *console, bool quiet, struct bench_problem *problem);
void bench_console_close(struct bench_console *console);

/* Has a signal asked to end? */
bool bench_console_interrupted(struct bench_console *console);

/* Replaces the line of progress, at most ten times a second. */
void bench_console_show(struct bench_console *console, const char *format, ...)
    __attribute__((format(printf, 2, 3))); /* the compiler checks each call's arguments against its format */

/* Takes the line of progress away. */
void bench_console_clear(struct bench_console *console);

#endif
