/* SPDX-License-Identifier: BSD-3-Clause */
/* What the daemon and systemd tell each other: sd_notify(3), sd_watchdog_enabled(3), sd_listen_fds_with_names(3), and
 * whether the log goes to the journal. Without systemd (no NOTIFY_SOCKET) all of it is silent, and there is no timer.
 *
 * The watchdog is fed by the loops themselves: a timer in the main loop asks `alive`, and only if every other loop has
 * answered does it tell systemd. So a loop that is stuck, whichever it is, is a missed watchdog.
 *
 * One thread, the main one, calls all of it. Nothing here fails: what nobody takes is not told. */
#ifndef SYSTEM_SYSTEMD_H
#define SYSTEM_SYSTEMD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#define SYSTEMD_STATUS_MAX  240   /* bytes of a status line, with the terminating zero */
#define SYSTEMD_STATUS_MS   5000u /* at most this long between two looks at the status */
#define SYSTEMD_STOPPING_MS 250u  /* the same while stopping */

struct systemd_source {
    bool (*alive)(void *data); /* every loop goes on turning; asks them anew */
    /* The line that `systemctl status` shows; after `alive` was false which loop has not answered, " for 3.0 s" follows. */
    void (*describe)(void *data, char *text, size_t size);
    void *data;
};

struct systemd {
    uv_timer_t timer;
    bool told, watched; /* somebody listens to us; and wants to hear that we are alive */
    bool stopping;
    uint64_t alive_ms; /* loop time when all loops were last seen alive */
    struct systemd_source source;
    char status[SYSTEMD_STATUS_MAX]; /* the last one told */
};

/* Sockets that were handed over (socket activation), close-on-exec: their number, 0 if there are none. -1 with a text for
 * a person in `error` if there are more than `max`, or one is not a listening stream socket of the unix or an internet
 * family: none is open then. They are the caller's. To be called once, before there are threads: the variables are
 * removed from the environment, so that children do not take the sockets for theirs. */
int systemd_sockets(int *fds, unsigned max, char *error, size_t error_size);

/* Whether stderr is the journal's, which wants a level before each line and writes the time itself. */
bool systemd_journal(void);

/* Before systemd_start(): the status is "what: text", what is being done, or why it cannot start. */
void systemd_starting(const char *what, const char *text);

/* Serving begins: READY, and from now on STATUS and, if there is a watchdog, WATCHDOG out of the loop. */
void systemd_start(struct systemd *systemd, uv_loop_t *loop, const struct systemd_source *source);

/* Options are being read again; done with that. */
void systemd_reloading(struct systemd *systemd);
void systemd_reloaded(struct systemd *systemd);

/* The end begins: no more WATCHDOG, and STATUS tells what is waited for, as `describe` says it. */
void systemd_stopping(struct systemd *systemd);

/* Closes the timer; the loop has to run once more. `text` is the last status: what happens from here to the exit. */
void systemd_stop(struct systemd *systemd, const char *text);

#endif
