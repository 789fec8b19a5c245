/* SPDX-License-Identifier: BSD-3-Clause */
/* Saves of pools to files, while they serve: by `save`, and periodically.
 *
 * Runners (runners.h) do what touches the file, one job a save at a time: make it; then comes the instant, and the pool
 * copies pieces in steps of its background work (pace.c); write them, in small parts; bring it to the
 * disk and give it its name, or remove it. The worker waits for none of that: a busy disk may keep whoever makes a file
 * waiting for long. While requests are served and buffers are not short, writing takes a sixteenth of a processor and no
 * more, and the copying keeps pace with it. At most one save a pool; periodic ones one after the other in each worker.
 *
 * A save that fails, for whatever reason, is logged, shown in `stats`, answered to who waits for it; its file is removed. */
#ifndef SERVER_SAVING_H
#define SERVER_SAVING_H

#include "daemon/base/list.h"
#include "daemon/pool/pool.h"
#include "daemon/pool/saves.h"

#define SAVING_NOWHERE                                                                                       \
    "the daemon has no folder for saves; give it one by --save-dir, or by save-dir in its file and a reload"

struct worker;
struct pool_entry;
struct saving; /* one save under way */

/* What `stats` tells of a pool's saves. */
struct save_figures {
    bool running;
    unsigned percent;                /* of the running one */
    uint64_t done, failed;           /* how many */
    uint64_t at_ms;                  /* of the last good one: its instant, since 1970; 0: there was none */
    uint64_t bytes, took_ms;         /* of its file; from the instant until it had its name */
    uint64_t pieces, urgent, direct; /* of it, see struct save_facts */
    char file[HF_SAVE_FILE_MAX + 1];
    char error[160];      /* of the last one that failed; empty: none has */
    uint64_t error_at_ms; /* its instant */
};

/* Of a pool that is being dropped, or a worker that ends: the save under way comes to nothing. While entry->saving is not
 * NULL the pool must stay. */
void saving_abort(struct pool_entry *entry, const char *why);
void saving_abort_all(struct worker *worker, const char *why);
/* Once a turn: gives away what is to be written. True: there is more for the next turn, even if nobody wakes it. */
bool saving_turn(struct worker *worker);
/* A pool is there: when its first periodic save is due. */
void saving_add(struct pool_entry *entry);
/* The server's rules have changed: if pools are to be saved more or less often, from when on. Those under way go on. */
void saving_retime(struct worker *worker);
/* Arms the worker's timer for the next periodic save. */
void saving_schedule(struct worker *worker);

#endif
