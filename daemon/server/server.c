/* SPDX-License-Identifier: BSD-3-Clause */
/* Listeners, the start and the end of a server. */
#include "daemon/server/server.h"

#include "daemon/server/worker.h"
#include "proto/rpc.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define ACCEPTS_MAX    64 /* a listener and turn */
#define CONN_SHARE_MAX (256ull << 20)
#define QUIET_TURNS    2 /* the one that saw the signal may have been before the last request came */

/* ---- accepting ---- */

void server_refuse(struct server *server, int fd, enum hf_err code, const char *text)
{
    char error[CALL_ERROR_MAX], sink[4096];
    uint8_t response[HFP_ERROR_MAX];
    size_t size = hfp_error_format(error, sizeof error, code, NULL, "%s", text);
    const uint8_t *end = hfp_put_error(response, 0, error, size);
    /* A fresh socket has room for this; if not, the client learns it from the close. */
    ssize_t sent = send(fd, response, (size_t)(end - response), MSG_DONTWAIT | MSG_NOSIGNAL);
    shutdown(fd, SHUT_WR);
    /* Unread bytes would turn the close into a reset, which may overtake the response. */
    while (sent > 0 && recv(fd, sink, sizeof sink, MSG_DONTWAIT) > 0)
        continue;
    close(fd);
    server->worker.counters.connections_refused++;
    log_client(server->log, LOG_LEVEL_WARN, LOG_REFUSED, "refused", "msg=\"%s\"", text);
}

/* No descriptor is left: gives up the reserve for a moment, so that the client can be told. */
static int accept_with_reserve(struct server *server, const struct listening *listening)
{
    if (server->reserve_fd >= 0)
        close(server->reserve_fd);
    int fd = transport_accept(listening);
    if (fd >= 0)
        server_refuse(server, fd, HF_E_LIMIT,
                      "the daemon has no file descriptors left; close connections or raise its limit");
    server->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    return fd;
}

static void on_connection(uv_poll_t *poll, int status, int events)
{
    struct listener *listener = poll->data;
    struct server *server = listener->server;
    (void)status, (void)events;
    for (unsigned i = 0; i < ACCEPTS_MAX; i++) {
        int fd = transport_accept(&listener->listening);
        if (fd == -EMFILE || fd == -ENFILE)
            fd = accept_with_reserve(server, &listener->listening);
        else if (fd >= 0)
            conn_accept(&server->worker, listener->listening.transport, fd);
        if (fd == -EAGAIN)
            return;
        if (fd < 0) {
            log_client(server->log, LOG_LEVEL_ERROR, LOG_REFUSED, "accept_failed", "address=%s error=\"%s\"",
                       listener->listening.address, strerror(-fd));
            return;
        }
    }
}

/* ---- start ---- */

static int open_listener(struct server *server, const char *address, char *error, size_t error_size)
{
    struct listener *listener = &server->listeners[server->listeners_count];
    if (transport_listen(&listener->listening, address, error, error_size) != 0)
        return -1;
    listener->server = server;
    listener->poll.data = listener;
    int r = uv_poll_init(&server->worker.loop, &listener->poll, listener->listening.fd);
    if (r != 0) {
        listener->listening.transport->unlisten(&listener->listening);
        snprintf(error, error_size, "%s: %s", address, uv_strerror(r));
        return -1;
    }
    listener->open = true;
    server->listeners_count++;
    return 0;
}

static int open_parts(struct server *server, const struct server_config *config, char *error,
                      size_t error_size)
{
    int code;
    for (unsigned i = 0; i < config->listen_count; i++) {
        if (open_listener(server, config->listen[i], error, error_size) != 0)
            return -1;
    }
    server->worker.first = directory_create(&server->worker, "default", 0, error, error_size, &code);
    if (server->worker.first == NULL)
        return -1;
    for (unsigned i = 0; i < server->listeners_count; i++)
        uv_poll_start(&server->listeners[i].poll, UV_READABLE, on_connection);
    return 0;
}

static void close_listeners(struct server *server)
{
    for (unsigned i = 0; i < server->listeners_count; i++) {
        struct listener *listener = &server->listeners[i];
        if (!listener->open)
            continue;
        listener->open = false;
        uv_close((uv_handle_t *)&listener->poll, NULL);
        listener->listening.transport->unlisten(&listener->listening);
    }
}

/* What the pools leave to connections: an eighth, at most CONN_SHARE_MAX. */
static uint64_t conn_share(uint64_t max_memory)
{
    return max_memory / 8 < CONN_SHARE_MAX ? max_memory / 8 : CONN_SHARE_MAX;
}

int server_open(struct server **ret, const struct server_config *config, char *error, size_t error_size)
{
    struct server *server = calloc(1, sizeof *server);
    snprintf(error, error_size, "no memory");
    if (server == NULL)
        return -1;
    server->log = config->log;
    server->opened_ns = uv_hrtime();
    server->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    mem_init(&server->mem, NULL, config->max_memory);
    mem_init(&server->pools_mem, &server->mem, config->max_memory - conn_share(config->max_memory));
    if (worker_open(&server->worker, server) != 0) {
        server_close(server);
        return -1;
    }
    uv_timer_init(&server->worker.loop, &server->drain);
    server->drain.data = server;
    if (open_parts(server, config, error, error_size) != 0) {
        close_listeners(server);
        worker_close_handles(&server->worker);
        uv_close((uv_handle_t *)&server->drain, NULL);
        uv_run(&server->worker.loop, UV_RUN_DEFAULT);
        server_close(server);
        return -1;
    }
    *ret = server;
    return 0;
}

/* ---- end ---- */

static void close_all(struct server *server)
{
    struct list *at, *after;
    if (server->closed)
        return;
    server->closed = true;
    list_each(at, after, &server->worker.conns)
    {
        conn_close(list_entry(at, struct conn, link), "the daemon ends");
    }
    worker_close_handles(&server->worker);
    uv_close((uv_handle_t *)&server->drain, NULL);
    if (server->stopped != NULL)
        server->stopped(server->stopped_data);
}

static void on_drain_over(uv_timer_t *timer)
{
    struct server *server = timer->data;
    log_write(server->log, LOG_LEVEL_WARN, "drain_over",
              "msg=\"some clients did not take their replies in %u ms\"", SERVER_DRAIN_MS);
    close_all(server);
}

bool server_drained(struct server *server)
{
    bool quiet = worker_quiet(&server->worker);
    server->quiet_turns = quiet ? server->quiet_turns + 1 : 0;
    if (server->quiet_turns >= QUIET_TURNS)
        close_all(server);
    return quiet || server->worker.active;
}

void server_stop(struct server *server)
{
    if (server->draining)
        return;
    server->draining = true;
    close_listeners(server);
    uv_timer_start(&server->drain, on_drain_over, SERVER_DRAIN_MS, 0);
    worker_wake(&server->worker);
}

int server_run(struct server *server)
{
    return uv_run(&server->worker.loop, UV_RUN_DEFAULT);
}

void server_close(struct server *server)
{
    worker_close(&server->worker);
    if (server->reserve_fd >= 0)
        close(server->reserve_fd);
    free(server);
}

/* ---- facts ---- */

const char *server_address(const struct server *server, unsigned n)
{
    return n < server->listeners_count ? server->listeners[n].listening.address : NULL;
}

uv_loop_t *server_loop(struct server *server)
{
    return &server->worker.loop;
}

void server_on_stopped(struct server *server, void (*stopped)(void *data), void *data)
{
    server->stopped = stopped;
    server->stopped_data = data;
}

const char *server_name(const struct server *server)
{
    (void)server;
    return "holdfastd";
}

uint64_t server_memory_limit(const struct server *server)
{
    return server->mem.limit;
}

bool server_draining(const struct server *server)
{
    return server->draining;
}
