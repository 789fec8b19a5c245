/* SPDX-License-Identifier: BSD-3-Clause */
/* A server: its listeners, its workers, its pools. Everything hangs from it; any number of them can run in one
 * process.
 *
 * Life cycle: server_open() listens and starts the workers' threads; server_run() accepts until server_stop() has been
 * called and what was under way is done; server_close() frees everything. One thread, the main one, calls all of it.
 * SIGPIPE must be ignored. */
#ifndef SERVER_SERVER_H
#define SERVER_SERVER_H

#include "daemon/base/log.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

struct server;

#define SERVER_LISTEN_MAX  16
#define SERVER_WORKERS_MAX 64
#define SERVER_DRAIN_MS    5000 /* replies are flushed for at most this long after server_stop() */

/* Who keeps the memory of pools while no server runs, for those that are in memory. Functions are called by any thread,
 * not twice at once for one pool; each may be NULL. */
struct server_keeper {
    /* Keeps the two files of a pool: 0 or -errno. From then on the next server gets them, however this process ends. */
    int (*keep)(void *data, const char *pool, int fd_meta, int fd_values);
    /* Keeps nothing of that pool any more. 0 or -errno: it still does. */
    int (*forget)(void *data, const char *pool);
    void *data;
};

/* A descriptor that came back from there. */
struct server_kept {
    const char *pool;
    int fd;
};

struct server_config {
    const char *const *listen; /* addresses; copied */
    unsigned listen_count;     /* with the next: 1 ... SERVER_LISTEN_MAX */
    const int
        *listen_fds; /* sockets that listen already; the server's from server_open() on, also on failure */
    unsigned listen_fds_count;
    uint64_t max_memory; /* bytes for everything that clients cause; > 0 */
    uint64_t slowlog_us; /* requests that take longer are kept for `slowlog`; 0: none */
    unsigned workers;    /* 1 ... SERVER_WORKERS_MAX; 0: 1 */
    unsigned
        evacuate_percent; /* below this share of live bytes pools move values to give memory back; 0: never */
    const char *heap_dir; /* the folder of the pools' files, opened by recovery; NULL: memfds, which are
                                    gone with the process if nobody keeps them */
    struct server_keeper keeper; /* of memfds */
    const struct server_kept
        *kept; /* the server's from server_open() on, also on failure; the names are copied */
    unsigned kept_count;
    const char
        *set_aside; /* a folder for kept memory that is refused; NULL: then the start is refused; stays */
    const char *save_dir;   /* the folder of saves; copied; NULL: there are none */
    uint64_t save_every_ms; /* each pool is saved by itself so often; 0: not */
    unsigned save_keep;     /* so many of these files of each pool are kept, at least 1 */
    const char *load;       /* the file of a save that becomes a pool; NULL: none */
    struct log *log;        /* outlives the server */
};

/* Makes the workers, begins to recover the pools there are, makes `default` if it is missing, and listens. On failure
 * returns -1 with a text for a person in `error`; an image that is refused is left as it was. */
int server_open(struct server **ret, const struct server_config *config, char *error, size_t error_size);

/* What is still being recovered. */
struct server_loading {
    unsigned pools, of; /* not served yet, of so many */
    uint64_t objects;   /* of all, as far as is known */
    unsigned done;      /* thousandths of all */
    const char *name;   /* the first of them; NULL: there is none */
};
void server_loading(const struct server *server, struct server_loading *ret);

/* `loaded(data, NULL)` is called once within server_run() when all pools are served, if server_loading() had some before.
 * With a text for a person instead: one was refused, and server_run() is about to return. */
void server_on_loaded(struct server *server, void (*loaded)(void *data, const char *error), void *data);

/* Serves. Returns 0. */
int server_run(struct server *server);

/* Stops: no new connections, changes answer DRAINING, replies are flushed, then server_run() returns. To be
 * called from within the loop (a signal's callback). */
void server_stop(struct server *server);

void server_close(struct server *server);

/* Listens at one more address, from within the loop; one that it listens at already is fine. 0, or -1 with a text for a
 * person in `error`. */
int server_listen(struct server *server, const char *address, char *error, size_t error_size);

/* No longer listens at `address`, given as it was to server_listen() or as server_address() tells it; connections that
 * came from there stay. False: there is no such listener. */
bool server_unlisten(struct server *server, const char *address);

/* Changes the limit for what clients cause, at once. Pools keep a limit of their own, which is at most what the daemon's
 * was when they were made. */
void server_set_max_memory(struct server *server, uint64_t bytes);

/* Changes from when on a request is slow, in us (0: none is), at once. */
void server_set_slowlog_us(struct server *server, uint64_t us);

/* Changes config.evacuate_percent, for a pool from its next use on. */
void server_set_evacuate_percent(struct server *server, unsigned percent);

/* Changes config.save_dir for saves and loads that begin from now on, and makes the folder ready as the start does; NULL:
 * none. 0, or -1 with a text for a person; then nothing is changed. */
int server_set_save_dir(struct server *server, const char *folder, char *error, size_t error_size);

/* Changes config.save_every_ms; each pool is saved within the new period. Of no effect without a folder. */
void server_set_save_every(struct server *server, uint64_t ms);

/* Changes config.save_keep, at least 1, for saves that begin from now on. */
void server_set_save_keep(struct server *server, unsigned keep);

/* Whether each worker has answered the question that the last call asked it; asks those anew. For a watchdog: false
 * means that a worker, *stuck if there are several the first one, has not finished a turn since. The first call is true. */
bool server_alive(struct server *server, unsigned *stuck);

/* Figures of all workers as they were at about the last server_alive(). */
struct server_summary {
    uint64_t pools, objects, object_bytes, sessions;
    uint64_t memory_used, memory_limit; /* bytes */
    uint64_t waiting;                   /* after server_stop(): connections not finished yet, up to date */
};
void server_summary(const struct server *server, struct server_summary *ret);

/* The real address of the n-th listener, with its scheme. NULL: there are fewer. */
const char *server_address(const struct server *server, unsigned n);

/* The loop that server_run() runs; the caller may add handles before that, and closes them before
 * server_run() can end: give their closing to `server_on_stopped`. */
uv_loop_t *server_loop(struct server *server);

/* `stopped(data)` is called once within server_run(), when the server has closed all it had in the loop. */
void server_on_stopped(struct server *server, void (*stopped)(void *data), void *data);

#endif
