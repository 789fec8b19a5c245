/* SPDX-License-Identifier: BSD-3-Clause */
/* A server: its listeners, its workers (one so far), its pools. Everything hangs from it; any number of
 * them can run in one process.
 *
 * Life cycle: server_open() listens; server_run() serves until server_stop() has been called and what was
 * under way is done; server_close() frees everything. One thread calls all of it. SIGPIPE must be ignored. */
#ifndef SERVER_SERVER_H
#define SERVER_SERVER_H

#include "daemon/base/log.h"

#include <stddef.h>
#include <stdint.h>
#include <uv.h>

struct server;

#define SERVER_LISTEN_MAX 16
#define SERVER_DRAIN_MS   5000 /* replies are flushed for at most this long after server_stop() */

struct server_config {
    const char *const *listen; /* addresses; copied */
    unsigned listen_count;     /* 1 ... SERVER_LISTEN_MAX */
    uint64_t max_memory;       /* bytes for everything that clients cause; > 0 */
    struct log *log;           /* outlives the server */
};

/* Listens and makes the pool `default`. On failure returns -1 with a text for a person in `error`. */
int server_open(struct server **ret, const struct server_config *config, char *error, size_t error_size);

/* Serves. Returns 0. */
int server_run(struct server *server);

/* Stops: no new connections, changes answer DRAINING, replies are flushed, then server_run() returns. To be
 * called from within the loop (a signal's callback). */
void server_stop(struct server *server);

void server_close(struct server *server);

/* The real address of the n-th listener, with its scheme. NULL: there are fewer. */
const char *server_address(const struct server *server, unsigned n);

/* The loop that server_run() runs; the caller may add handles before that, and closes them before
 * server_run() can end: give their closing to `server_on_stopped`. */
uv_loop_t *server_loop(struct server *server);

/* `stopped(data)` is called once within server_run(), when the server has closed all it had in the loop. */
void server_on_stopped(struct server *server, void (*stopped)(void *data), void *data);

#endif
