/* SPDX-License-Identifier: BSD-3-Clause */
/* TCP over IPv4 and IPv6. A host that vanishes without a word is found by keepalive: a session's lease runs
 * only while no connection is attached, so a dead one must end. */
#include "daemon/transport/transport.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BACKLOG 1024

/* A dead peer is found after IDLE + COUNT * INTERVAL seconds. */
#define KEEPALIVE_IDLE_S     15
#define KEEPALIVE_INTERVAL_S 5
#define KEEPALIVE_COUNT      3

#define HOST_SIZE 256
#define PORT_SIZE 16

static int fail(char *error, size_t error_size, const char *address, const char *what)
{
    snprintf(error, error_size, "tcp:%s: %s", address, what);
    return -1;
}

/* Splits HOST:PORT or [HOST]:PORT. */
static int split(const char *address, char host[HOST_SIZE], char port[PORT_SIZE])
{
    const char *colon = strrchr(address, ':');
    if (colon == NULL || colon == address)
        return -1;
    size_t size = (size_t)(colon - address);
    bool bracketed = address[0] == '[' && colon[-1] == ']';
    if (bracketed) {
        address++;
        size -= 2;
    } else if (memchr(address, ':', size) != NULL) {
        return -1; /* an IPv6 address without brackets */
    }
    size_t port_size = strspn(colon + 1, "0123456789");
    if (size == 0 || size >= HOST_SIZE || port_size == 0 || port_size >= PORT_SIZE ||
        colon[1 + port_size] != '\0')
        return -1;
    memcpy(host, address, size);
    host[size] = '\0';
    memcpy(port, colon + 1, port_size + 1);
    return strtol(port, NULL, 10) > 65535 ? -1 : 0;
}

/* A socket that listens at one of the addresses that the host's name has; -1 with errno of the last. */
static int listen_at(const struct addrinfo *info)
{
    int on = 1;
    int fd = socket(info->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, info->ai_addr, info->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0)
        return fd;
    int saved = errno;
    close(fd);
    errno = saved;
    return -1;
}

static void tcp_describe(struct listening *listening)
{
    struct sockaddr_storage name;
    socklen_t size = sizeof name;
    char host[HOST_SIZE], port[PORT_SIZE];
    if (getsockname(listening->fd, (struct sockaddr *)&name, &size) != 0 ||
        getnameinfo((struct sockaddr *)&name, size, host, sizeof host, port, sizeof port,
                    NI_NUMERICHOST | NI_NUMERICSERV) != 0)
        return;
    snprintf(listening->address, sizeof listening->address, strchr(host, ':') ? "tcp:[%s]:%s" : "tcp:%s:%s",
             host, port);
}

static int tcp_check(const char *address, char *error, size_t error_size)
{
    char host[HOST_SIZE], port[PORT_SIZE];
    if (split(address, host, port) == 0)
        return 0;
    return fail(error, error_size, address,
                "expected HOST:PORT, or [HOST]:PORT for IPv6; port 0 takes a free one");
}

static int tcp_listen(struct listening *listening, const char *address, char *error, size_t error_size)
{
    char host[HOST_SIZE], port[PORT_SIZE];
    if (split(address, host, port) != 0)
        return -1; /* transport_listen() has checked it */
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *found;
    int r = getaddrinfo(host, port, &hints, &found);
    if (r != 0)
        return fail(error, error_size, address, gai_strerror(r));
    for (const struct addrinfo *at = found; at != NULL && listening->fd < 0; at = at->ai_next)
        listening->fd = listen_at(at);
    freeaddrinfo(found);
    if (listening->fd < 0)
        return fail(error, error_size, address,
                    errno == EADDRINUSE     ? "the port is taken; stop who has it or choose another"
                    : errno == EAFNOSUPPORT ? "this process may not open such a socket (under systemd: let "
                                              "ListenStream= of the socket unit open it)"
                                            : strerror(errno));
    snprintf(listening->address, sizeof listening->address, "tcp:%s", address);
    tcp_describe(listening);
    return 0;
}

static void tcp_unlisten(struct listening *listening)
{
    if (listening->fd >= 0)
        close(listening->fd);
    listening->fd = -1;
}

static void set(int fd, int level, int option, int value)
{
    /* Each is an improvement that a connection can live without. */
    setsockopt(fd, level, option, &value, sizeof value);
}

static int tcp_open(uv_loop_t *loop, union transport_stream *stream, int fd)
{
    set(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    set(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
    set(fd, IPPROTO_TCP, TCP_KEEPIDLE, KEEPALIVE_IDLE_S);
    set(fd, IPPROTO_TCP, TCP_KEEPINTVL, KEEPALIVE_INTERVAL_S);
    set(fd, IPPROTO_TCP, TCP_KEEPCNT, KEEPALIVE_COUNT);
    int r = uv_tcp_init(loop, &stream->tcp);
    return r != 0 ? r : uv_tcp_open(&stream->tcp, fd);
}

const struct transport transport_tcp = {
    .scheme = "tcp",
    .check = tcp_check,
    .listen = tcp_listen,
    .unlisten = tcp_unlisten,
    .describe = tcp_describe,
    .open = tcp_open,
};
