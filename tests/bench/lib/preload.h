/* SPDX-License-Identifier: BSD-3-Clause */
/* Filling a server through its own protocol, pipelined, over one connection. */
#ifndef HF_TESTS_BENCH_LIB_PRELOAD_H
#define HF_TESTS_BENCH_LIB_PRELOAD_H

#include "tests/bench/lib/plan.h"

/* Makes objects 0 ... objects - 1 of kind `item` over the blocking socket `fd`; their ids go to ids[]
 * where the protocol has ids (`ids` may be NULL). Returns 0, or -1: the connection failed (errno), memory
 * is short (ENOMEM) or a reply was no success (EPROTO, *bad_reply gets its first bytes as text). */
int load_preload(const struct load_protocol *protocol, int fd, enum load_item item, uint32_t objects,
                 uint32_t value_bytes, uint64_t *ids, char bad_reply[120]);

#endif
