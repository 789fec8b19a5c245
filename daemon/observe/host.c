/* SPDX-License-Identifier: BSD-3-Clause */
#include "daemon/observe/host.h"

#include <arpa/inet.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>

void host_of(const char *address, char ret[HOST_MAX])
{
    size_t size = address[0] == '[' ? strcspn(address + 1, "]") : strcspn(address, ":");
    const char *rest = address[0] == '[' ? address + 1 + size : address + size;
    ret[0] = '\0';
    if (address[0] == '[' && *rest++ != ']')
        return;
    /* a port, digits only, or nothing */
    if (size >= HOST_MAX || (rest[0] == ':' && rest[1 + strspn(rest + 1, "0123456789")] != '\0') ||
        (rest[0] != ':' && rest[0] != '\0'))
        return;
    memcpy(ret, address[0] == '[' ? address + 1 : address, size);
    ret[size] = '\0';
}

static bool is_loopback(const char *host)
{
    struct in_addr in;
    struct in6_addr in6;
    static const struct in6_addr loopback = IN6ADDR_LOOPBACK_INIT;
    if (inet_pton(AF_INET, host, &in) == 1)
        return (ntohl(in.s_addr) >> 24) == 127;
    return inet_pton(AF_INET6, host, &in6) == 1 && memcmp(&in6, &loopback, sizeof in6) == 0;
}

bool host_is_ours(const char *header, const char *named, const char *local)
{
    char host[HOST_MAX];
    if (header == NULL)
        return true;
    host_of(header, host);
    if (host[0] == '\0')
        return false;
    return strcasecmp(host, "localhost") == 0 || is_loopback(host) || strcasecmp(host, named) == 0 ||
           strcasecmp(host, local) == 0;
}
