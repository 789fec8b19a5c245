/* SPDX-License-Identifier: BSD-3-Clause */
/* Connections from thread to thread.
 *
 * A connection begins at the first worker, which has the pool `default`: that is its home. Its `hello` may name a
 * pool of another worker; then it moves there, once, with that hello and whatever was read behind it:
 *
 *   1. The handler finds the pool's worker in the directory and calls conn_move(). The hello counts as not
 *      executed: it stays in front of the stash, and nothing behind it is executed.
 *   2. When the replies before it (of a hello that failed) are written, move_depart() closes the connection here.
 *      The socket lives on in a second descriptor, which is posted with the stash.
 *   3. The other worker makes a connection of it, in the entry of the pool, and executes the stash.
 *
 * If the pool was dropped meanwhile, or the hello fails there (the session has ended, no memory), the connection goes
 * home: what comes next belongs to `default`, as for any connection without a session. */
#include "daemon/server/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

/* ---- the message ---- */

static void free_arrival(struct arrival *arrival)
{
    mem_uncharge(&arrival->server->mem, sizeof *arrival);
    free(arrival);
}

struct arrival *arrival_new(struct server *server, const struct transport *transport, int fd, uint64_t number)
{
    struct arrival *arrival = NULL;
    if (!mem_charge(&server->mem, sizeof *arrival))
        return NULL;
    arrival = malloc(sizeof *arrival);
    if (arrival == NULL)
        mem_uncharge(&server->mem, sizeof *arrival);
    else
        *arrival = (struct arrival){
            .server = server, .transport = transport, .fd = fd, .number = number, .place = PLACE_HOME};
    return arrival;
}

static void discard(struct message *message)
{
    struct arrival *arrival = list_entry(message, struct arrival, message);
    close(arrival->fd);
    if (arrival->stash != NULL)
        stash_discard(arrival->server, arrival->stash, arrival->stash_size);
    free_arrival(arrival);
}

static void deliver(struct worker *worker, struct message *message)
{
    struct arrival *arrival = list_entry(message, struct arrival, message);
    bool home = arrival->place == PLACE_HOME;
    struct pool_entry *entry = home ? worker->first : pools_numbered(worker, arrival->place);
    if (worker->closed) {
        discard(message);
        return;
    }
    if (entry == NULL) { /* the pool was dropped: at home its hello learns that */
        arrival->place = PLACE_HOME;
        arrival_post(arrival, arrival->server->workers[0]);
        return;
    }
    conn_open(worker, entry, arrival);
    free_arrival(arrival);
}

void arrival_post(struct arrival *arrival, struct worker *to)
{
    static const struct message_kind kind = {.deliver = deliver, .discard = discard};
    mailbox_post(&to->mailbox, &arrival->message, &kind);
}

/* ---- leaving ---- */

/* A second descriptor of its socket, ready to be sent; NULL: there is no memory, or no descriptor (errno). */
static struct arrival *prepare(struct conn *conn, uint32_t place)
{
    struct server *server = conn->worker->server;
    uv_os_fd_t fd;
    errno = 0;
    if (uv_fileno(&conn->stream.handle, &fd) != 0)
        return NULL;
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (copy < 0)
        return NULL;
    struct arrival *arrival = arrival_new(server, conn->transport, copy, conn->number);
    if (arrival == NULL)
        close(copy);
    else
        arrival->place = place;
    return arrival;
}

int conn_move(struct call *call, const struct place *place)
{
    struct conn *conn = call->conn;
    if (conn->worker->draining) /* the other worker may have ended */
        return -HF_E_DRAINING;
    conn->leaving = prepare(conn, place->number);
    conn->leaving_to = place->worker;
    if (conn->leaving != NULL)
        return CALL_MOVED;
    if (errno == EMFILE || errno == ENFILE)
        return call_fail(call, HF_E_LIMIT,
                         "the daemon has no file descriptors left; close connections or raise its limit",
                         "%s", "");
    return -HF_E_OOM;
}

void move_home(struct conn *conn)
{
    conn->leaving = prepare(conn, PLACE_HOME);
    conn->leaving_to = conn->worker->server->workers[0];
    if (conn->leaving == NULL)
        conn->finish = true;
}

void move_depart(struct conn *conn)
{
    struct arrival *arrival = conn->leaving;
    conn->leaving = NULL;
    arrival->stash = stash_take(conn, &arrival->stash_size);
    arrival->read_ns = conn->read_ns;
    conn_close(conn, "it moves to the worker of its pool");
    arrival_post(arrival, conn->leaving_to);
}

void move_cancel(struct conn *conn)
{
    if (conn->leaving == NULL)
        return;
    close(conn->leaving->fd);
    free_arrival(conn->leaving);
    conn->leaving = NULL;
}
