/* SPDX-License-Identifier: BSD-3-Clause */
/* Questions: what a handler needs of pools that other threads own.
 *
 * A question travels: it visits the workers it is for one after the other, each on its own thread, gathers what they
 * answer, and comes back to the worker that asked, where the call goes on. The asking connection executes nothing else
 * meanwhile, so its effects keep their order; nobody else waits. When the connection is lost on the way, the
 * question comes home all the same and is freed there. */
#include "daemon/server/worker.h"

#include <assert.h>
#include <string.h>

static void deliver(struct worker *worker, struct message *message);
static void discard(struct message *message);

static const struct message_kind kind = {.deliver = deliver, .discard = discard};

/* ---- memory: charged to the server, whichever thread it is in ---- */

#define BYTES_KEPT (64u * 1024) /* gathered bytes that a spare question keeps */

static void free_sum(struct question *question)
{
    if (question->sum != NULL)
        mem_uncharge(&question->server->mem, sizeof *question->sum);
    free(question->sum);
    question->sum = NULL;
}

struct book_sum *call_sum(struct question *question)
{
    struct mem *mem = &question->server->mem;
    if (question->sum == NULL) {
        if (!mem_charge(mem, sizeof *question->sum))
            return NULL;
        question->sum = malloc(sizeof *question->sum);
        if (question->sum == NULL) {
            mem_uncharge(mem, sizeof *question->sum);
            return NULL;
        }
    }
    if (!question->summed)
        memset(question->sum, 0, sizeof *question->sum);
    question->summed = true;
    return question->sum;
}

static void give_back(struct question *question)
{
    free_sum(question);
    mem_uncharge(&question->server->mem, sizeof *question + question->cap);
    free(question->bytes);
    free(question);
}

/* On the asker's thread. A few are kept, so that asking over and over does not allocate. */
static void destroy(struct question *question)
{
    struct worker *home = question->home;
    if (home->spare_questions_count != 0) /* of the first one it is kept, too */
        free_sum(question);
    if (home->spare_questions_count == SPARES_KEPT || question->cap > BYTES_KEPT) {
        give_back(question);
        return;
    }
    question->spare = home->spare_questions;
    home->spare_questions = question;
    home->spare_questions_count++;
}

void ask_free_spares(struct worker *worker)
{
    while (worker->spare_questions != NULL) {
        struct question *question = worker->spare_questions;
        worker->spare_questions = question->spare;
        give_back(question);
    }
}

static struct question *allocate(struct server *server)
{
    if (!mem_charge(&server->mem, sizeof(struct question)))
        return NULL;
    struct question *question = calloc(1, sizeof *question);
    if (question == NULL)
        mem_uncharge(&server->mem, sizeof *question);
    return question;
}

static struct question *create(const struct call *call, const struct ask *ask, const struct worker *only)
{
    struct worker *home = call->worker;
    struct question *question = home->spare_questions;
    if (question != NULL) {
        home->spare_questions = question->spare;
        home->spare_questions_count--;
    } else if ((question = allocate(call->server)) == NULL) {
        return NULL;
    }
    uint8_t *bytes = question->bytes;
    size_t cap = question->cap;
    struct book_sum *sum = question->sum;
    *question = (struct question){
        .server = call->server,
        .home = home,
        .conn = call->conn,
        .conn_number = call->conn_number,
        .method = call->method,
        .visit = ask->visit,
        .finish = ask->finish,
        .next = only == NULL ? 0 : only->index,
        .end = only == NULL ? call->server->workers_count : only->index + 1,
        .sum = sum,
        .bytes = bytes,
        .cap = cap,
    };
    if (ask->args_size != 0)
        memcpy(question->args, ask->args, ask->args_size);
    return question;
}

/* Appends what a visit has put behind `from` of the worker's output, and takes it off there. */
static int gather(struct question *question, struct output *out, size_t from)
{
    size_t size = out->used - from, cap = bits_power_up(question->used + size);
    out->used = from;
    if (out->error != 0) {
        int r = out->error;
        out->error = 0;
        return r;
    }
    if (size == 0)
        return 0;
    if (cap > question->cap) {
        if (!mem_charge(&question->server->mem, cap - question->cap))
            return -HF_E_OOM;
        uint8_t *bytes = realloc(question->bytes, cap);
        if (bytes == NULL) {
            mem_uncharge(&question->server->mem, cap - question->cap);
            return -HF_E_OOM;
        }
        question->bytes = bytes;
        question->cap = cap;
    }
    memcpy(question->bytes + question->used, out->data + from, size);
    question->used += size;
    return 0;
}

/* ---- the way ---- */

static void visit(struct question *question, struct worker *worker)
{
    struct output *out = &worker->out;
    struct call call = {
        .server = question->server,
        .worker = worker,
        .conn = worker == question->home ? question->conn : NULL,
        .conn_number = question->conn_number,
        .method = question->method,
        .error = worker->error,
    };
    size_t from = out->used;
    int r = question->visit(&call, question);
    int gathered = gather(question, out, from);
    question->code = r != 0 ? r : gathered;
    question->error_size = r != 0 ? call.error_size : 0;
    if (question->error_size != 0)
        memcpy(question->error, call.error, call.error_size);
}

/* Goes on from the worker it is at. True: it is at home, with all visits done. */
static bool travel(struct question *question, struct worker *here)
{
    while (question->code == 0 && question->next < question->end) {
        struct worker *next = question->server->workers[question->next];
        if (next != here) {
            mailbox_post(&next->mailbox, &question->message, &kind);
            return false;
        }
        question->next++;
        visit(question, here);
    }
    if (here == question->home)
        return true;
    mailbox_post(&question->home->mailbox, &question->message, &kind);
    return false;
}

static void deliver(struct worker *worker, struct message *message)
{
    struct question *question = list_entry(message, struct question, message);
    if (!travel(question, worker))
        return;
    question->away = false;
    if (question->conn == NULL)
        destroy(question);
    else
        dispatch_answered(question->conn);
}

/* The worker has ended, and with it the connection that asked. */
static void discard(struct message *message)
{
    give_back(list_entry(message, struct question, message));
}

/* ---- the handler's side ---- */

static int finish(struct call *call, struct question *question)
{
    if (question->code == 0)
        return question->finish(call, question);
    memcpy(call->error, question->error, question->error_size);
    call->error_size = question->error_size;
    return question->code;
}

static int resume(struct call *call, void *state)
{
    return finish(call, state);
}

static void forget(struct call *call, void *state)
{
    struct question *question = state;
    (void)call;
    question->conn = NULL;
    if (!question->away)
        destroy(question);
}

/* Others may have ended once this one drains: a question to them would never come back. */
static bool may_travel(const struct call *call, const struct worker *only)
{
    bool here = only == call->worker || call->server->workers_count == 1;
    return here || !call->worker->draining;
}

int call_ask(struct call *call, const struct ask *ask, struct worker *only)
{
    if (!may_travel(call, only))
        return -HF_E_DRAINING;
    assert(ask->args_size <= ASK_ARGS_MAX);
    struct question *question = create(call, ask, only);
    if (question == NULL)
        return -HF_E_OOM;
    question->away = true;
    if (travel(question, call->worker)) {
        int r = finish(call, question);
        destroy(question);
        return r;
    }
    call->waits = true;
    return call_later(call, resume, question, forget);
}

int call_rows(struct call *call, struct question *question)
{
    reply_array(call, question->rows);
    reply_raw(call, question->bytes, question->used);
    return 0;
}

int call_row(struct call *call, struct question *question)
{
    reply_raw(call, question->bytes, question->used);
    return 0;
}
