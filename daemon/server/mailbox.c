/* SPDX-License-Identifier: BSD-3-Clause */
#include "daemon/server/mailbox.h"

#include "daemon/server/worker.h"

#define DELIVER_MAX 64u /* a turn: the longest, a list of 1,024 sessions, takes about 100 us; most take 1 */

/* The first message; NULL: none. */
static struct message *take(struct mailbox *mailbox)
{
    struct message *message = NULL;
    uv_mutex_lock(&mailbox->lock);
    if (!list_empty(&mailbox->messages)) {
        message = list_entry(mailbox->messages.next, struct message, link);
        list_remove(&message->link);
    }
    uv_mutex_unlock(&mailbox->lock);
    return message;
}

static void on_wake(uv_async_t *wake)
{
    struct mailbox *mailbox = wake->data;
    struct worker *worker = mailbox->worker;
    struct message *message;
    uint64_t begin_ns = uv_hrtime();
    worker->active = true;
    book_settle(&worker->book);
    for (unsigned i = 0; i < DELIVER_MAX && (message = take(mailbox)) != NULL; i++) {
        message->kind->deliver(worker, message);
        if (uv_hrtime() - begin_ns > TURN_US * 1000)
            break;
    }
    uv_mutex_lock(&mailbox->lock);
    bool more = !list_empty(&mailbox->messages);
    uv_mutex_unlock(&mailbox->lock);
    if (more && !uv_is_closing((uv_handle_t *)wake))
        uv_async_send(wake);
}

int mailbox_open(struct mailbox *mailbox, struct worker *worker, uv_loop_t *loop)
{
    int r = uv_mutex_init(&mailbox->lock);
    if (r != 0)
        return r;
    list_init(&mailbox->messages);
    mailbox->worker = worker;
    r = uv_async_init(loop, &mailbox->wake, on_wake);
    if (r != 0)
        uv_mutex_destroy(&mailbox->lock);
    mailbox->wake.data = mailbox;
    return r;
}

void mailbox_close_handle(struct mailbox *mailbox)
{
    /* A thread that posts wakes the handle under the lock, or finds it closing. */
    uv_mutex_lock(&mailbox->lock);
    uv_close((uv_handle_t *)&mailbox->wake, NULL);
    uv_mutex_unlock(&mailbox->lock);
}

void mailbox_close(struct mailbox *mailbox)
{
    struct message *message;
    while ((message = take(mailbox)) != NULL) {
        if (message->kind->discard != NULL)
            message->kind->discard(message);
    }
    uv_mutex_destroy(&mailbox->lock);
}

void mailbox_post(struct mailbox *mailbox, struct message *message, const struct message_kind *kind)
{
    message->kind = kind;
    uv_mutex_lock(&mailbox->lock);
    list_append(&mailbox->messages, &message->link);
    if (!uv_is_closing((uv_handle_t *)&mailbox->wake))
        uv_async_send(&mailbox->wake);
    uv_mutex_unlock(&mailbox->lock);
}
