/* SPDX-License-Identifier: BSD-3-Clause */
#include "daemon/transport/transport.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

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
    return transport->listen(listening, rest, error, error_size);
}

int transport_accept(const struct listening *listening)
{
    int fd;
    do {
        fd = accept4(listening->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    } while (fd < 0 && (errno == EINTR || errno == ECONNABORTED));
    return fd < 0 ? -errno : fd;
}
