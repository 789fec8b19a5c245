/* SPDX-License-Identifier: BSD-3-Clause */
/* Stream sockets for the load generator: addresses as Holdfast writes them, whole reads and writes.
 * Every function returns -1 with errno set when it fails and prints nothing. */
#ifndef HF_TESTS_BENCH_LIB_NET_H
#define HF_TESTS_BENCH_LIB_NET_H

#include <stddef.h>

/* A connected blocking socket to `address`, "unix:PATH" or "tcp:HOST:PORT" (Nagle's delay off). The caller
 * closes it. EINVAL: not an address. */
int load_connect(const char *address);

int load_set_nonblocking(int fd);

/* All `bytes` bytes, on a blocking socket. Returns 0. */
int load_send_all(int fd, const void *data, size_t bytes);

/* At least one and at most `room` bytes into `data`. Returns how many; the end of the stream is
 * ECONNRESET. */
long load_receive(int fd, void *data, size_t room);

#endif
