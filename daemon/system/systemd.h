/* SPDX-License-Identifier: BSD-3-Clause */
/* What the daemon and systemd tell each other: sd_notify(3), sd_watchdog_enabled(3), sd_listen_fds_with_names(3), the fd
 * store (FileDescriptorStoreMax= in systemd.service(5)), and whether the log goes to the journal. Without systemd (no
 * NOTIFY_SOCKET) all of it is silent, and there is no timer.
 *
 * The watchdog is fed by the loops themselves: a timer in the main loop asks `alive`, and only if every other loop has
 * answered does it tell systemd. So a loop that is stuck, whichever it is, is a missed watchdog.
 *
 * One thread, the main one, calls all of it but what says otherwise. Nothing here fails: what nobody takes is not told. */
#ifndef SYSTEM_SYSTEMD_H
#define SYSTEM_SYSTEMD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#define SYSTEMD_STATUS_MAX  240     /* bytes of a status line, with the terminating zero */
#define SYSTEMD_STATS       "stats" /* FileDescriptorName= of its socket unit */
#define SYSTEMD_STATS_MAX   8
#define SYSTEMD_STATUS_MS   5000u /* at most this long between two looks at the status */
#define SYSTEMD_STARTING_MS 1000u /* the same while starting */
#define SYSTEMD_STOPPING_MS 250u  /* the same while stopping */
#define SYSTEMD_EXTEND_S    60u   /* a start that goes on has this long from each look at it on */

struct systemd_source {
    bool (*alive)(void *data); /* every loop goes on turning; asks them anew */
    /* The line that `systemctl status` shows; after `alive` was false which loop has not answered, " for 3.0 s" follows. */
    void (*describe)(void *data, char *text, size_t size);
    /* While it starts: a figure that rises as long as something comes of it. NULL: the start is over. */
    uint64_t (*progress)(void *data);
    void *data;
};

struct systemd {
    uv_timer_t timer;
    bool told, watched; /* somebody listens to us; and wants to hear that we are alive */
    bool starting, stopping;
    uint64_t progress; /* the last one */
    uint64_t every_ms; /* between two looks, once it is ready */
    uint64_t alive_ms; /* loop time when all loops were last seen alive */
    struct systemd_source source;
    char status[SYSTEMD_STATUS_MAX]; /* the last one told */
};

/* ---- what is handed over ---- */

/* A file that came back from the fd store. */
struct systemd_kept {
    int fd;
    char *name; /* under which it was kept */
    char *pool; /* part of `name`: of which pool it is; NULL: of none */
};
struct systemd_store {
    struct systemd_kept *kept;
    unsigned count;
    int stats
        [SYSTEMD_STATS_MAX]; /* sockets called SYSTEMD_STATS, for the endpoint for monitoring; -1: taken */
    unsigned stats_count;
};

/* Sockets that were handed over (socket activation), close-on-exec: their number, 0 if there are none. -1 with a
 * text for a person in `error` if there are more than `max`, or one is not a listening stream socket of the unix
 * or an internet family: none is open then. They are the caller's, and so is what came back from the fd store:
 * plain files, whatever their names are, go into *store, and sockets with the name SYSTEMD_STATS, which do not
 * count. To be called once, before there are threads: the variables are removed from the environment, so that
 * children do not take the descriptors for theirs. */
int systemd_sockets(int *fds, unsigned max, struct systemd_store *store, char *error, size_t error_size);
/* Frees the list; descriptors in it that are not -1 are closed, which takes none of them out of systemd's store. */
void systemd_store_done(struct systemd_store *store);

/* ---- the fd store: any thread ---- */

/* Whether there may be one: somebody listens to us. How many descriptors it takes is told by newer versions only (254):
 * 0 if it is not known. */
bool systemd_stores(unsigned *ret_max);
/* Has systemd keep the two files of a pool, both in one message: it has both, or none. It keeps them from before it
 * hears of our death on, however we die, so nothing has to be waited for. 0 or -errno. */
int systemd_keep(const char *pool, int fd_meta, int fd_values);
/* It keeps none of that pool any more. 0 or -errno. */
int systemd_forget(const char *pool);
/* Waits until systemd has done all that it was told before, for at most so long. False: it has not. */
bool systemd_wait(unsigned ms);

/* Whether stderr is the journal's, which wants a level before each line and writes the time itself. */
bool systemd_journal(void);

/* Before systemd_start(): the status is "what: text", what is being done, or why it cannot start. */
void systemd_starting(const char *what, const char *text);

/* Serving begins: READY, and from now on STATUS and, if there is a watchdog, WATCHDOG out of the loop. With a source that
 * has `progress`, the start goes on in the loop: STATUS, WATCHDOG and, as long as it gets on, EXTEND_TIMEOUT_USEC; READY is
 * said by systemd_ready() then. */
void systemd_start(struct systemd *systemd, uv_loop_t *loop, const struct systemd_source *source);
void systemd_ready(struct systemd *systemd);

/* Options are being read again; done with that. */
void systemd_reloading(struct systemd *systemd);
void systemd_reloaded(struct systemd *systemd);

/* The end begins: no more WATCHDOG, and STATUS tells what is waited for, as `describe` says it. */
void systemd_stopping(struct systemd *systemd);

/* Closes the timer; the loop has to run once more. `text` is the last status: what happens from here to the exit. */
void systemd_stop(struct systemd *systemd, const char *text);

#endif
