/* SPDX-License-Identifier: BSD-3-Clause */
/* Which hosts a request may name: see observe.h. */
#ifndef OBSERVE_HOST_H
#define OBSERVE_HOST_H

#include <stdbool.h>

#define HOST_MAX 256u

/* Whether a Host header is one of ours. `header`: NULL if there is none, which only HTTP/1.0 may do. `named`: the host of
 * the configuration, may be empty. `local`: the address that the connection was made to; empty: it is a unix socket. */
bool host_is_ours(const char *header, const char *named, const char *local);

/* The host in "HOST:PORT" or "[IPV6]:PORT", without brackets; empty if it does not fit. */
void host_of(const char *address, char ret[HOST_MAX]);

#endif
