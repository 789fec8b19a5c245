/* SPDX-License-Identifier: BSD-3-Clause */
/* Signals, as callbacks in a loop. SIGPIPE and SIGXFSZ are ignored from signals_ignore() on. */
#ifndef SYSTEM_SIGNALS_H
#define SYSTEM_SIGNALS_H

#include <uv.h>

#define SIGNALS_COUNT 3

struct signals {
    uv_signal_t handles[SIGNALS_COUNT]; /* SIGTERM, SIGINT, SIGHUP */
    void (*received)(void *data, int signal);
    void *data;
};

/* Writing to a client that is gone must be an error, not an end; the same for a heap's file at its largest allowed size. */
void signals_ignore(void);

/* From now on `received(data, signal)` is called in the loop. */
void signals_start(struct signals *signals, uv_loop_t *loop, void (*received)(void *data, int signal),
                   void *data);

/* Closes the handles; the loop has to run once more. */
void signals_stop(struct signals *signals);

#endif
