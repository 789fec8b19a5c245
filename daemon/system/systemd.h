/* SPDX-License-Identifier: BSD-3-Clause */
/* What the daemon and systemd tell each other: sd_notify(3), sd_watchdog_enabled(3), sd_listen_fds(3), and whether the log
 * goes to the journal. Without systemd all of it is silent, and there is no timer.
 *
 * The watchdog is fed by the loops themselves: a timer in the main loop asks `alive`, and only if every loop has
 * answered does it tell systemd. So one that is stuck is a missed watchdog. */
#ifndef SYSTEM_SYSTEMD_H
#define SYSTEM_SYSTEMD_H

#include <stdbool.h>
#include <stddef.h>
#include <uv.h>

#define SYSTEMD_STATUS_MAX 200
#define SYSTEMD_STATUS_MS  5000u /* between two looks at the status, without a watchdog */

struct systemd_source {
    bool (*alive)(void *data);                             /* every loop goes on turning */
    void (*describe)(void *data, char *text, size_t size); /* for `systemctl status` */
    void *data;
};

struct systemd {
    uv_timer_t timer;
    bool told, watched; /* somebody listens to us; and wants to hear that we are alive */
    struct systemd_source source;
    char status[SYSTEMD_STATUS_MAX]; /* the last one sent */
};

/* Sockets that were handed over, at most `max`, close-on-exec: their number, or -1 with a text in `error`. They are the
 * caller's. To be called once, before there are threads: the environment is cleaned for children. */
int systemd_sockets(int *fds, unsigned max, char *error, size_t error_size);

/* Whether stderr is the journal, which wants a level before each line and writes the time itself. */
bool systemd_journal(void);

/* Serving begins: READY, and from now on STATUS and WATCHDOG out of the loop. */
void systemd_start(struct systemd *systemd, uv_loop_t *loop, const struct systemd_source *source);
/* Options are being read again; done with that. */
void systemd_reloading(struct systemd *systemd);
void systemd_reloaded(struct systemd *systemd);
/* The end begins: no more WATCHDOG, `status` is the last word. */
void systemd_stopping(struct systemd *systemd, const char *status);
/* Closes the timer; the loop has to run once more. */
void systemd_stop(struct systemd *systemd);

#endif
