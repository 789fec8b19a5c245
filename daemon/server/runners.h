/* SPDX-License-Identifier: BSD-3-Clause */
/* Threads of a worker for what takes milliseconds: errands of its pools, the files of saves.
 *
 * They get a processor when nobody else wants it: a worker that wakes up on the same one has it at once, not when their
 * share of time is used up. A chore that hurries is given to a thread of the ordinary priority, once there is one of a low
 * one.
 *
 * What always holds:
 *  - a worker never waits for a runner, and a runner holds no lock of the daemon's: one of low priority that is interrupted
 *    while it has something that a worker needs would keep it waiting behind all others. (uv_async_send() is such a thing:
 *    the loop spins until the sender is through. What is left is what the system locks for both: the address space, and the
 *    file of a save when a worker has to write to it.) So a runner is handed its chore before its semaphore is posted,
 *    and tells by a flag and an eventfd that it is done; chores that find no free runner wait at the worker;
 *  - a chore is its runner's from `run` to `done`, which is called in the worker's loop, once;
 *  - the loop does not end before all chores are done.
 *
 * Runners are made when they are needed and stay until the worker ends. All functions are the worker's. */
#ifndef SERVER_RUNNERS_H
#define SERVER_RUNNERS_H

#include "daemon/base/list.h"

#include <stdbool.h>
#include <uv.h>

#define RUNNERS_MOST 4u /* of either kind */

struct mem;

struct chore {
    struct list link;                  /* in runners.waiting, or nowhere */
    void (*run)(struct chore *chore);  /* in a thread of its own */
    void (*done)(struct chore *chore); /* in the worker's loop; the chore may be given again */
    bool hurries;
    bool
        rests; /* set for `run`: its thread has the ordinary priority, and lets others have the processor in between */
};

struct runners {
    struct mem *mem;
    struct list all;                        /* struct runner */
    struct list waiting;                    /* chores */
    unsigned counts[2];                     /* runners; those for what hurries */
    unsigned busy;                          /* chores that are not done */
    void (*woken)(struct runners *runners); /* before chores are done in the loop; NULL: nothing */
    int fd;                                 /* tells that some are done */
    uv_poll_t poll;
    bool open, ends;
};

/* 0 or -errno; then nothing has to be closed. */
int runners_open(struct runners *runners, struct mem *mem, uv_loop_t *loop);
/* Closes the handle in the loop, when all chores are done. */
void runners_close_handle(struct runners *runners);
/* When the loop has ended: ends the threads. */
void runners_close(struct runners *runners);

/* False: the system gives no thread, and there is none yet. Never once that has succeeded. */
bool runners_do(struct runners *runners, struct chore *chore);

#endif
