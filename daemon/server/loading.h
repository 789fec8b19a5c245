/* SPDX-License-Identifier: BSD-3-Clause */
/* Images that become pools again while the server serves already. For the files of this folder but the handlers.
 *
 * The main thread makes the list and reserves a place for each (folder.c, kept.c). Threads of their own recover them, one
 * after the other and several at a time, and post each to its worker, which takes it over: from then on it is a pool as
 * any other. Until then its place is not ready, and whoever asks for it is told BUSY. Connections begin in `default`; while
 * that is not there, they are in a stand-in without objects in which nothing is executed that needs a pool.
 *
 * Clients wait at the sockets for a moment first: most starts are over before that is.
 *
 * What always holds: the list does not change once threads run. A load belongs to the main thread until a thread takes it
 * by `next`, then to that one, then, posted, to its worker; `done` and the counts are atomic and anybody's. `pool` and the
 * descriptors belong to whom the load belongs to; what nobody took over is closed by loading_close(), after the threads of
 * all are joined. */
#ifndef SERVER_LOADING_H
#define SERVER_LOADING_H

#include "daemon/pool/images.h"
#include "daemon/server/mailbox.h"
#include "daemon/server/server.h"
#include "proto/errors.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#define LOADING_PATIENCE_MS 1000u /* clients wait at the sockets for so long before they are told BUSY */

struct worker;
struct pool;

struct load {
    struct message message; /* to its worker */
    struct server *server;
    struct worker *worker;
    uint32_t number;                 /* of its place in the directory */
    char name[HF_POOL_NAME_MAX + 1]; /* of the pool */
    int fd_meta, fd_values;          /* -1: a pool's */
    struct pool *pool;               /* recovered; until its worker has it */
    uint64_t objects;                /* as its superblock says; there may be fewer */
    uint64_t began_ns, took_ns;
    _Atomic unsigned done;            /* thousandths */
    _Atomic bool ready;               /* its worker has it */
    char error[2 * IMAGES_ERROR_MAX]; /* why it failed */
};

struct loading {
    struct load *loads;
    unsigned count, room;
    _Atomic unsigned next;         /* the first that no thread has taken */
    _Atomic unsigned ready;        /* how many are served */
    _Atomic bool ending;           /* no thread shall begin another one, or go on */
    _Atomic(struct load *) failed; /* the first to fail */
    uv_thread_t threads[SERVER_WORKERS_MAX];
    unsigned running; /* of them */
    bool over;        /* of the main thread: it was told */
};

/* Takes over the two descriptors, also on failure. False: no memory. */
bool loading_add(struct server *server, const char *name, int fd_meta, int fd_values);
/* A pool that has just been recovered, by the thread that did it: a copy may have pages where the image had holes, even more
 * than there is memory for. Those go before the pool begins to work; fewer are given back while it works. */
void loading_give_back(struct server *server, struct pool *pool);
/* Before that, one of them: NULL if it is none; and takes one whose descriptors are closed off the list. */
struct load *loading_own(struct server *server, const char *name);
void loading_remove(struct server *server, struct load *load);
/* Reserves a place for each; makes the stand-in. 0, or -1 with a text. `where`: from where they come, for that. */
int loading_prepare(struct server *server, const char *where, char *error, size_t error_size);
/* Starts the threads. 0, or -1 with a text. */
int loading_start(struct server *server, char *error, size_t error_size);
/* The image of that pool, NULL if it is not one of them, or is a pool already. */
const struct load *loading_find(const struct server *server, const uint8_t *name, size_t size);
const struct load *loading_numbered(const struct server *server, uint64_t number);
/* The error for who asks for it; returns the bytes of `text`, which has room for CALL_ERROR_MAX. */
size_t loading_busy(const struct load *load, char *text);
/* Ends what is under way and waits for that. Images that are no pools yet stay as they were. */
void loading_end(struct server *server);
void loading_close(struct server *server);

#endif
