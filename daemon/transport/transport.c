/* SPDX-License-Identifier: BSD-3-Clause */
#include "daemon/transport/transport.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static const struct transport *const transports[] = {&transport_unix, &transport_tcp};

/* The transport of an address; *rest is what stands behind the scheme. */
static const struct transport *find(const char *address, const char **rest, char *error, size_t error_size)
{
    for (size_t i = 0; i < sizeof transports / sizeof transports[0]; i++) {
        size_t size = strlen(transports[i]->scheme);
        if (strncmp(address, transports[i]->scheme, size) != 0 || address[size] != ':')
            continue;
        *rest = address + size + 1;
        return transports[i];
    }
    snprintf(error, error_size, "address '%s' is neither unix:PATH nor tcp:HOST:PORT", address);
    return NULL;
}

int transport_check(const char *address, char *error, size_t error_size)
{
    const char *rest;
    const struct transport *transport = find(address, &rest, error, error_size);
    return transport == NULL ? -1 : transport->check(rest, error, error_size);
}

int transport_listen(struct listening *listening, const char *address, char *error, size_t error_size)
{
    const char *rest;
    const struct transport *transport = find(address, &rest, error, error_size);
    if (transport == NULL || transport->check(rest, error, error_size) != 0)
        return -1;
    *listening = (struct listening){.transport = transport, .fd = -1};
    snprintf(listening->asked, sizeof listening->asked, "%s", address);
    return transport->listen(listening, rest, error, error_size);
}

static int option_of(int fd, int option)
{
    int value = -1;
    socklen_t size = sizeof value;
    return getsockopt(fd, SOL_SOCKET, option, &value, &size) == 0 ? value : -1;
}

static const struct transport *of_family(int family)
{
    return family == AF_UNIX                         ? &transport_unix
           : family == AF_INET || family == AF_INET6 ? &transport_tcp
                                                     : NULL;
}

int transport_adopt(struct listening *listening, int fd, char *error, size_t error_size)
{
    const struct transport *transport = of_family(option_of(fd, SO_DOMAIN));
    if (transport != NULL && option_of(fd, SO_TYPE) == SOCK_STREAM && option_of(fd, SO_ACCEPTCONN) == 1 &&
        fcntl(fd, F_SETFD, FD_CLOEXEC) == 0 && fcntl(fd, F_SETFL, O_NONBLOCK) == 0) {
        *listening = (struct listening){.transport = transport, .fd = fd};
        transport->describe(listening);
        return 0;
    }
    snprintf(error, error_size,
             "descriptor %d, which was handed over, is no listening unix or TCP stream socket; look at the "
             "socket unit",
             fd);
    close(fd);
    return -1;
}

void transport_peer(int fd, char *text, size_t size)
{
    char host[INET6_ADDRSTRLEN];
    struct ucred who;
    socklen_t who_size = sizeof who;
    union {
        struct sockaddr any;
        struct sockaddr_in in;
        struct sockaddr_in6 in6;
        struct sockaddr_storage room;
    } peer;
    socklen_t peer_size = sizeof peer;
    text[0] = '\0';
    memset(&peer, 0, sizeof peer);
    if (getpeername(fd, &peer.any, &peer_size) != 0)
        return;
    if (peer.any.sa_family == AF_INET && inet_ntop(AF_INET, &peer.in.sin_addr, host, sizeof host) != NULL)
        snprintf(text, size, "tcp:%s:%u", host, ntohs(peer.in.sin_port));
    else if (peer.any.sa_family == AF_INET6 &&
             inet_ntop(AF_INET6, &peer.in6.sin6_addr, host, sizeof host) != NULL)
        snprintf(text, size, "tcp:[%s]:%u", host, ntohs(peer.in6.sin6_port));
    else if (peer.any.sa_family == AF_UNIX && getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &who_size) == 0)
        snprintf(text, size, "unix:pid=%d uid=%u", (int)who.pid, (unsigned)who.uid);
}

int transport_accept(const struct listening *listening)
{
    int fd;
    do {
        fd = accept4(listening->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    } while (fd < 0 && (errno == EINTR || errno == ECONNABORTED));
    return fd < 0 ? -errno : fd;
}
