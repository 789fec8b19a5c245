/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/bench/lib/preload.h"

#include "tests/bench/lib/net.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WINDOW       256u     /* requests of one batch */
#define WINDOW_BYTES 1048576u /* and no more bytes than this, except for a single larger request */
#define REPLIES      65536u   /* more than a window's replies */

static void quote(const unsigned char *reply, size_t bytes, char text[120])
{
    size_t shown = bytes < 110 ? bytes : 110;
    for (size_t i = 0; i < shown; i++)
        text[i] = reply[i] >= 32 && reply[i] < 127 ? (char)reply[i] : '.';
    text[shown] = '\0';
}

/* Reads the replies to `count` requests; ids go to ids[0 ... count - 1]. */
static int read_window(const struct load_protocol *protocol, int fd, unsigned char *buffer, uint32_t count,
                       uint64_t *ids, char bad_reply[120])
{
    size_t have = 0, at = 0;
    for (uint32_t done = 0; done < count;) {
        uint64_t id = 0;
        long bytes = protocol->read_item(buffer + at, have - at, &id);
        if (bytes < 0) {
            quote(buffer + at, have - at, bad_reply);
            errno = EPROTO;
            return -1;
        }
        if (bytes > 0) {
            at += (size_t)bytes;
            if (ids)
                ids[done] = id;
            done++;
            continue;
        }
        long n = load_receive(fd, buffer + have, REPLIES - have);
        if (n < 0)
            return -1;
        have += (size_t)n;
    }
    return 0;
}

static int fill(const struct load_protocol *protocol, int fd, enum load_item item, uint32_t objects,
                uint32_t value_bytes, uint64_t *ids, unsigned char *out, unsigned char *in,
                char bad_reply[120])
{
    size_t most = 128 + (size_t)value_bytes;
    uint32_t window = most * WINDOW <= WINDOW_BYTES ? WINDOW : (uint32_t)(1 + WINDOW_BYTES / most);
    for (uint32_t first = 0; first < objects; first += window) {
        uint32_t count = objects - first < window ? objects - first : window;
        size_t bytes = 0;
        for (uint32_t i = 0; i < count; i++)
            bytes += protocol->write_item(item, out + bytes, first + i, value_bytes);
        if (load_send_all(fd, out, bytes) < 0)
            return -1;
        if (read_window(protocol, fd, in, count, ids ? ids + first : NULL, bad_reply) < 0)
            return -1;
    }
    return 0;
}

int load_preload(const struct load_protocol *protocol, int fd, enum load_item item, uint32_t objects,
                 uint32_t value_bytes, uint64_t *ids, char bad_reply[120])
{
    unsigned char *out = malloc(WINDOW_BYTES + 128 + (size_t)value_bytes), *in = malloc(REPLIES);
    int status = -1;
    bad_reply[0] = '\0';
    if (out && in)
        status = fill(protocol, fd, item, objects, value_bytes, ids, out, in, bad_reply);
    else
        errno = ENOMEM;
    free(out);
    free(in);
    return status;
}
