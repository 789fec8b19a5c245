/* SPDX-License-Identifier: BSD-3-Clause */
/* daemon/server/mailbox.h: messages of several threads arrive, each once, those of one thread in its order. */
#include "daemon/server/worker.h"
#include "tests/lib/suite.h"

#include <pthread.h>
#include <string.h>

#define THREADS  4u
#define MESSAGES 5000u

struct numbered {
    struct message message;
    unsigned thread, number;
};

static struct worker *worker;
static struct numbered messages[THREADS][MESSAGES];
static unsigned next[THREADS], delivered, discarded;
static pthread_t threads[THREADS];

static void deliver(struct worker *at, struct message *message)
{
    struct numbered *numbered = list_entry(message, struct numbered, message);
    ck_assert_ptr_eq(at, worker);
    ck_assert_uint_eq(numbered->number, next[numbered->thread]);
    next[numbered->thread]++;
    delivered++;
}

static void discard(struct message *message)
{
    (void)message;
    discarded++;
}

static const struct message_kind kind = {.deliver = deliver, .discard = discard};

static void setup(void)
{
    worker = aligned_alloc(CACHE_LINE, bits_round_up(sizeof *worker, CACHE_LINE));
    ck_assert_ptr_nonnull(worker);
    memset(worker, 0, sizeof *worker);
    ck_assert_int_eq(uv_loop_init(&worker->loop), 0);
    ck_assert_int_eq(mailbox_open(&worker->mailbox, worker, &worker->loop), 0);
    delivered = discarded = 0;
    for (unsigned t = 0; t < THREADS; t++) {
        next[t] = 0;
        for (unsigned i = 0; i < MESSAGES; i++)
            messages[t][i] = (struct numbered){.thread = t, .number = i};
    }
}

static void teardown(void)
{
    if (!uv_is_closing((uv_handle_t *)&worker->mailbox.wake))
        mailbox_close_handle(&worker->mailbox);
    uv_run(&worker->loop, UV_RUN_DEFAULT);
    mailbox_close(&worker->mailbox);
    ck_assert_int_eq(uv_loop_close(&worker->loop), 0);
    free(worker);
}

static void *post_all(void *data)
{
    struct numbered *own = data;
    for (unsigned i = 0; i < MESSAGES; i++)
        mailbox_post(&worker->mailbox, &own[i].message, &kind);
    return NULL;
}

START_TEST(all_arrive_once_and_in_order)
{
    for (unsigned t = 0; t < THREADS; t++)
        ck_assert_int_eq(pthread_create(&threads[t], NULL, post_all, messages[t]), 0);
    while (delivered < THREADS * MESSAGES)
        uv_run(&worker->loop, UV_RUN_ONCE);
    for (unsigned t = 0; t < THREADS; t++)
        pthread_join(threads[t], NULL);
    ck_assert_int_eq(uv_run(&worker->loop, UV_RUN_NOWAIT), 1); /* the handle is all that is left */
    ck_assert_uint_eq(delivered, THREADS * MESSAGES);
    ck_assert_uint_eq(discarded, 0);
}
END_TEST

/* A turn delivers a bounded number; the rest wakes the next one by itself. */
START_TEST(a_flood_is_delivered_in_turns)
{
    post_all(messages[0]);
    uv_run(&worker->loop, UV_RUN_ONCE);
    ck_assert_uint_gt(delivered, 0);
    ck_assert_uint_lt(delivered, MESSAGES);
    while (delivered < MESSAGES)
        uv_run(&worker->loop, UV_RUN_ONCE);
}
END_TEST

START_TEST(what_is_posted_to_one_that_has_ended_is_discarded)
{
    mailbox_post(&worker->mailbox, &messages[0][0].message, &kind);
    mailbox_close_handle(&worker->mailbox);
    mailbox_post(&worker->mailbox, &messages[0][1].message, &kind);
    uv_run(&worker->loop, UV_RUN_DEFAULT);
    ck_assert_uint_eq(delivered, 0);
    mailbox_close(&worker->mailbox);
    ck_assert_uint_eq(discarded, 2);
    ck_assert_int_eq(uv_mutex_init(&worker->mailbox.lock), 0); /* for teardown() */
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("mailbox");
    TCase *tcase = suite_case(suite, "mailbox", setup, teardown);
    tcase_add_test(tcase, all_arrive_once_and_in_order);
    tcase_add_test(tcase, a_flood_is_delivered_in_turns);
    tcase_add_test(tcase, what_is_posted_to_one_that_has_ended_is_discarded);
    return suite_run(suite);
}
