/* SPDX-License-Identifier: BSD-3-Clause */
#include "daemon/transport/transport.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

static const struct transport *const transports[] = {&transport_unix, &transport_tcp};

int transport_listen(struct listening *listening, const char *address, char *error, size_t error_size)
{
    for (size_t i = 0; i < sizeof transports / sizeof transports[0]; i++) {
        size_t size = strlen(transports[i]->scheme);
        if (strncmp(address, transports[i]->scheme, size) != 0 || address[size] != ':')
            continue;
        *listening = (struct listening){.transport = transports[i], .fd = -1};
        return transports[i]->listen(listening, address + size + 1, error, error_size);
    }
    snprintf(error, error_size, "address '%s' is neither unix:PATH nor tcp:HOST:PORT", address);
    return -1;
}

int transport_accept(const struct listening *listening)
{
    int fd;
    do {
        fd = accept4(listening->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    } while (fd < 0 && (errno == EINTR || errno == ECONNABORTED));
    return fd < 0 ? -errno : fd;
}
