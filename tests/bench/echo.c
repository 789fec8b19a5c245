/* SPDX-License-Identifier: BSD-3-Clause */
/* The floor under every server in `make bench`: libuv that sends back what it received, and nothing else.
 *
 *   echo unix:PATH | tcp:HOST:PORT
 *
 * prints "listening on ADDRESS" on stderr, with the real port where 0 was asked for, and runs until
 * killed. One read and one write for each turn of a connection, as holdfastd does: the kernel is asked to
 * take the bytes at once and only what it refuses is copied and waits, with reading stopped until it is
 * out. */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#define READ_BYTES 65536

/* All connections read into one buffer: it is written out or copied before the next read. */
struct server {
    uv_loop_t loop;
    union {
        uv_stream_t stream;
        uv_tcp_t tcp;
        uv_pipe_t pipe;
    } listener;
    bool is_tcp;
    char buffer[READ_BYTES];
};

struct peer {
    union {
        uv_stream_t stream;
        uv_tcp_t tcp;
        uv_pipe_t pipe;
    } handle;
    struct server *server;
};

struct rest {
    uv_write_t request;
    struct peer *peer;
    char bytes[];
};

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buffer);

static void on_closed(uv_handle_t *handle)
{
    free(handle->data);
}

static void give_buffer(uv_handle_t *handle, size_t suggested, uv_buf_t *buffer)
{
    (void)suggested;
    struct peer *peer = handle->data;
    *buffer = uv_buf_init(peer->server->buffer, READ_BYTES);
}

static void on_written(uv_write_t *request, int status)
{
    struct rest *rest = request->data;
    if (status == 0)
        uv_read_start(&rest->peer->handle.stream, give_buffer, on_read);
    free(rest);
}

static void write_later(struct peer *peer, const char *bytes, size_t count)
{
    struct rest *rest = malloc(sizeof *rest + count);
    if (!rest)
        abort();
    memcpy(rest->bytes, bytes, count);
    rest->peer = peer;
    rest->request.data = rest;
    uv_buf_t buffer = uv_buf_init(rest->bytes, (unsigned)count);
    uv_read_stop(&peer->handle.stream);
    uv_write(&rest->request, &peer->handle.stream, &buffer, 1, on_written);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buffer)
{
    if (n < 0)
        uv_close((uv_handle_t *)stream, on_closed);
    if (n <= 0)
        return;
    uv_buf_t out = uv_buf_init(buffer->base, (unsigned)n);
    int sent = uv_try_write(stream, &out, 1);
    if (sent < 0)
        sent = 0;
    if (sent < n)
        write_later(stream->data, buffer->base + sent, (size_t)(n - sent));
}

static void on_connection(uv_stream_t *listener, int status)
{
    struct server *server = listener->data;
    struct peer *peer = calloc(1, sizeof *peer);
    if (status < 0 || !peer)
        abort();
    peer->server = server;
    if (server->is_tcp)
        uv_tcp_init(&server->loop, &peer->handle.tcp);
    else
        uv_pipe_init(&server->loop, &peer->handle.pipe, 0);
    peer->handle.stream.data = peer;
    if (uv_accept(listener, &peer->handle.stream) < 0) {
        uv_close((uv_handle_t *)&peer->handle.stream, on_closed);
        return;
    }
    if (server->is_tcp)
        uv_tcp_nodelay(&peer->handle.tcp, 1);
    uv_read_start(&peer->handle.stream, give_buffer, on_read);
}

static int bind_tcp(struct server *server, const char *host_port)
{
    char host[64];
    struct sockaddr_in address;
    const char *colon = strrchr(host_port, ':');
    if (!colon || (size_t)(colon - host_port) >= sizeof host)
        return UV_EINVAL;
    snprintf(host, sizeof host, "%.*s", (int)(colon - host_port), host_port);
    int error = uv_ip4_addr(host, atoi(colon + 1), &address);
    if (error < 0)
        return error;
    uv_tcp_init(&server->loop, &server->listener.tcp);
    return uv_tcp_bind(&server->listener.tcp, (const struct sockaddr *)&address, 0);
}

static int bind_address(struct server *server, const char *address)
{
    server->is_tcp = strncmp(address, "tcp:", 4) == 0;
    if (server->is_tcp)
        return bind_tcp(server, address + 4);
    if (strncmp(address, "unix:", 5) != 0)
        return UV_EINVAL;
    uv_pipe_init(&server->loop, &server->listener.pipe, 0);
    return uv_pipe_bind(&server->listener.pipe, address + 5);
}

static void print_address(struct server *server, const char *address)
{
    struct sockaddr_storage bound;
    struct sockaddr_in port;
    int bytes = sizeof bound;
    char host[64];
    if (!server->is_tcp) {
        fprintf(stderr, "listening on %s\n", address);
        return;
    }
    uv_tcp_getsockname(&server->listener.tcp, (struct sockaddr *)&bound, &bytes);
    memcpy(&port, &bound, sizeof port);
    uv_ip4_name(&port, host, sizeof host);
    fprintf(stderr, "listening on tcp:%s:%d\n", host, ntohs(port.sin_port));
}

int main(int argc, char **argv)
{
    struct server *server = calloc(1, sizeof *server);
    if (argc != 2 || !server || uv_loop_init(&server->loop) < 0) {
        fprintf(stderr, "usage: echo unix:PATH | tcp:HOST:PORT\n");
        return 2;
    }
    int error = bind_address(server, argv[1]);
    server->listener.stream.data = server;
    if (error == 0)
        error = uv_listen(&server->listener.stream, 511, on_connection);
    if (error < 0) {
        fprintf(stderr, "echo: %s: %s\n", argv[1], uv_strerror(error));
        return 1;
    }
    print_address(server, argv[1]);
    return uv_run(&server->loop, UV_RUN_DEFAULT);
}
