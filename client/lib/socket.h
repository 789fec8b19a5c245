/* SPDX-License-Identifier: BSD-3-Clause */
/* Stream sockets: non-blocking, closed on exec, opened with a deadline. Times are those of hf__now_ms. */
#ifndef HF_CLIENT_SOCKET_H
#define HF_CLIENT_SOCKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/lib/address.h"

#define HF__FOREVER INT64_MAX

/* Milliseconds of a clock that only runs forward. */
int64_t hf__now_ms(void);

/* Sleeps, at most so long. */
void hf__pause(int64_t ms);

/* Connects. The descriptor, or -1 with a reason for people (static or of strerror) in `ret_reason`. */
int hf__socket_open(const struct hf__address *address, int64_t deadline_ms, const char **ret_reason);

/* Waits until `fd` can be read, or written if `output`. False when the deadline has passed first. */
bool hf__socket_wait(int fd, bool output, int64_t deadline_ms);

/* Move bytes. How many; 0 if none can be moved now; -1 when the stream has ended or broken, with a reason. */
long hf__socket_send(int fd, const void *bytes, size_t size, const char **ret_reason);
long hf__socket_receive(int fd, void *bytes, size_t size, const char **ret_reason);

#endif
