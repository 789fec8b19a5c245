/* SPDX-License-Identifier: BSD-3-Clause */
/* Byte streams behind one table of functions: unix sockets and TCP.
 *
 * Listening and accepting are plain system calls on non-blocking sockets, not libuv's: when descriptors run
 * out, libuv accepts and closes silently, while a client here is to be told LIMIT. An accepted socket then
 * becomes a libuv stream.
 *
 * Addresses are written `unix:PATH` and `tcp:HOST:PORT` (`tcp:[::1]:PORT`; port 0: one that is free).
 * Errors are answered as text for a person, in a buffer of the caller: 0 or -1. */
#ifndef TRANSPORT_TRANSPORT_H
#define TRANSPORT_TRANSPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include <uv.h>

#define TRANSPORT_ADDRESS_MAX 320 /* bytes of an address in text, with the terminating zero */
#define TRANSPORT_ERROR_MAX   512
#define TRANSPORT_PEER_MAX    64 /* bytes of a peer in text, likewise */

/* Room for any kind of stream; `handle` and `stream` are its faces. */
union transport_stream {
    uv_handle_t handle;
    uv_stream_t stream;
    uv_pipe_t pipe;
    uv_tcp_t tcp;
};

struct transport;

/* A socket that listens. */
struct listening {
    const struct transport *transport;
    int fd;
    char address[TRANSPORT_ADDRESS_MAX]; /* the real one, with its prefix */
    char asked[TRANSPORT_ADDRESS_MAX];   /* as it was given to transport_listen(); adopted: empty */
    dev_t device;                        /* unix: of the socket file, so that only our own is removed */
    ino_t inode;
};

struct transport {
    const char *scheme; /* "unix", "tcp" */
    /* Whether `address` (without scheme and colon, as below) can be one at all. */
    int (*check)(const char *address, char *error, size_t error_size);
    /* `address` without scheme and colon. Fills fd, address and what the transport needs. */
    int (*listen)(struct listening *listening, const char *address, char *error, size_t error_size);
    /* Ends it, removes what it left in the file system. */
    void (*unlisten)(struct listening *listening);
    /* Fills the address of a socket that listens already. */
    void (*describe)(struct listening *listening);
    /* Prepares a socket just accepted, then makes it a stream of `loop`, which owns the fd from then on.
     * Returns 0 or a uv error: then the fd is still the caller's. In both cases the handle is initialised
     * and has to be closed. */
    int (*open)(uv_loop_t *loop, union transport_stream *stream, int fd);
};

extern const struct transport transport_unix, transport_tcp;

/* Whether `address`, with its scheme, is well-formed; opens nothing. */
int transport_check(const char *address, char *error, size_t error_size);

/* Listens at `address`, with its scheme. */
int transport_listen(struct listening *listening, const char *address, char *error, size_t error_size);

/* Makes a listening of a socket that listens already (socket activation) and takes it over, also on failure. Its file, if
 * it has one, stays when it ends. */
int transport_adopt(struct listening *listening, int fd, char *error, size_t error_size);

/* Who is at the other end of a connected socket: "tcp:ADDRESS:PORT", or "unix:pid=N uid=N"; empty: that is not known. */
void transport_peer(int fd, char *text, size_t size);

/* Accepts one connection: an fd (non-blocking, close-on-exec), or -errno; -EAGAIN when there is none. */
int transport_accept(const struct listening *listening);

#endif
