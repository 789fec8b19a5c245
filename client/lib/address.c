/* SPDX-License-Identifier: BSD-3-Clause */
#include "client/lib/address.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/holdfast.h"

#define SOCKET_OF_SYSTEM "unix:/run/holdfast/holdfast.sock"

static bool copy(char *to, size_t room, const char *from, size_t size)
{
    if (size == 0 || size >= room)
        return false;
    memcpy(to, from, size);
    to[size] = '\0';
    return true;
}

static bool is_port(const char *text)
{
    unsigned port = 0;
    size_t digits = strspn(text, "0123456789");
    if (digits == 0 || digits > 5 || text[digits] != '\0')
        return false;
    for (const char *at = text; *at != '\0'; at++)
        port = port * 10 + (unsigned)(*at - '0');
    return port >= 1 && port <= 65535;
}

static const char *parse_tcp(const char *text, struct hf__address *ret)
{
    static const char wrong[] = "expected tcp:HOST:PORT or tcp:[HOST]:PORT";
    const char *host = text;
    const char *colon = strrchr(text, ':');
    if (colon == NULL)
        return wrong;
    size_t size = (size_t)(colon - host);
    if (size >= 2 && host[0] == '[' && host[size - 1] == ']') {
        host++;
        size -= 2;
    } else if (memchr(host, ':', size) != NULL) {
        return "an IPv6 host must stand in brackets: tcp:[HOST]:PORT";
    }
    if (!copy(ret->host, sizeof ret->host, host, size))
        return wrong;
    if (!is_port(colon + 1))
        return "the port must be a number from 1 to 65535";
    memcpy(ret->port, colon + 1, strlen(colon + 1) + 1);
    ret->tcp = true;
    return NULL;
}

const char *hf__address_parse(const char *text, struct hf__address *ret)
{
    *ret = (struct hf__address){0};
    if (strncmp(text, "tcp:", 4) == 0)
        return parse_tcp(text + 4, ret);
    if (strncmp(text, "unix:", 5) != 0)
        return "expected unix:PATH or tcp:HOST:PORT";
    if (!copy(ret->path, sizeof ret->path, text + 5, strlen(text + 5)))
        return "the path of a unix socket has 1 to 107 bytes";
    return NULL;
}

static bool fits(int length, size_t size)
{
    return length >= 0 && (size_t)length < size;
}

int hf_default_address(char *address, size_t size)
{
    const char *chosen = getenv("HOLDFAST_ADDRESS");
    if (chosen != NULL && chosen[0] != '\0')
        return fits(snprintf(address, size, "%s", chosen), size) ? 0 : HF_ERR_ADDRESS;
    const char *runtime = getenv("XDG_RUNTIME_DIR");
    if (runtime != NULL && runtime[0] != '\0') {
        if (!fits(snprintf(address, size, "unix:%s/holdfast/holdfast.sock", runtime), size))
            return HF_ERR_ADDRESS;
        if (access(address + sizeof "unix:" - 1, F_OK) == 0)
            return 0;
    }
    return fits(snprintf(address, size, "%s", SOCKET_OF_SYSTEM), size) ? 0 : HF_ERR_ADDRESS;
}
