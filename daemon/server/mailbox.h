/* SPDX-License-Identifier: BSD-3-Clause */
/* What crosses threads: whole messages, each owned by one thread at a time.
 *
 * What always holds:
 *  - whoever posts a message does not touch it any more until it is delivered back to that thread;
 *  - messages of one thread to one worker are delivered in the order in which they were posted;
 *  - a message is delivered exactly once, or discarded by the worker when it ends;
 *  - posting never fails and a mailbox needs no limit of its own: a connection has at most one message under
 *    way (itself on its way to another worker, or one question), a worker one load, and the rest are a few of the
 *    main thread. So open descriptors bound them all.
 *
 * The lock is held for a few instructions and while nothing else is called. */
#ifndef SERVER_MAILBOX_H
#define SERVER_MAILBOX_H

#include "daemon/base/list.h"

#include <uv.h>

struct worker;
struct message;

struct message_kind {
    /* On the receiving worker's thread. */
    void (*deliver)(struct worker *worker, struct message *message);
    /* The receiving worker has ended, as far as serving goes: gives back what the message carries. NULL: nothing. */
    void (*discard)(struct message *message);
};

struct message {
    struct list link;
    const struct message_kind *kind;
};

struct mailbox {
    uv_mutex_t lock;
    struct list messages; /* under the lock */
    uv_async_t wake;
    struct worker *worker;
};

/* Returns 0 or a uv error; then nothing has to be closed. */
int mailbox_open(struct mailbox *mailbox, struct worker *worker, uv_loop_t *loop);
/* Closes the handle in the loop. Messages may still be posted: nobody is woken. */
void mailbox_close_handle(struct mailbox *mailbox);
/* When nobody can post any more: discards what is left. */
void mailbox_close(struct mailbox *mailbox);

/* From any thread. */
void mailbox_post(struct mailbox *mailbox, struct message *message, const struct message_kind *kind);

#endif
