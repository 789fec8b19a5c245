/* SPDX-License-Identifier: BSD-3-Clause */
/* Addresses: `unix:PATH`, `tcp:HOST:PORT`, `tcp:[HOST]:PORT`. */
#ifndef HF_CLIENT_ADDRESS_H
#define HF_CLIENT_ADDRESS_H

#include <stdbool.h>

#define HF__PATH_SIZE 108 /* sun_path of Linux, with the terminating zero */
#define HF__HOST_SIZE 256
#define HF__PORT_SIZE 8

struct hf__address {
    bool tcp;
    char path[HF__PATH_SIZE];
    char host[HF__HOST_SIZE];
    char port[HF__PORT_SIZE]; /* decimal, 1 ... 65535 */
};

/* Takes `text` apart. NULL, or a static sentence that says what is wrong. */
const char *hf__address_parse(const char *text, struct hf__address *ret);

#endif
