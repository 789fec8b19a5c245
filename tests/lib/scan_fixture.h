/* SPDX-License-Identifier: BSD-3-Clause */
/* What the tests of the scanner (test_scan*.c) share. */
#ifndef HF_TESTS_SCAN_FIXTURE_H
#define HF_TESTS_SCAN_FIXTURE_H

#include "proto/limits.h"
#include "proto/rpc.h"
#include "proto/scan.h"
#include "tests/lib/checks.h"

#include <stdlib.h>
#include <string.h>

static const struct hfp_scan_limits limits = {.frame_max = HF_FRAME_MAX, .depth_max = HF_DEPTH_MAX};

/* In an allocation of exactly that size, so that ASan sees a read too far. */
static inline uint8_t *copy_of(const void *bytes, size_t size)
{
    uint8_t *copy = malloc(size + (size == 0));
    memcpy(copy, bytes, size);
    return copy;
}

/* Discards what follows the first `size` bytes, which the scanner has had, in pieces of `piece` bytes. */
static inline size_t discard(struct hfp_scan *scan, const uint8_t *bytes, size_t size, size_t count,
                             size_t piece)
{
    size_t at = scan->used;
    ck_assert_uint_le(at, size);
    for (;;) {
        size_t n = count - at < piece ? count - at : piece;
        enum hfp_result result = hfp_scan_discard(scan, bytes + at, n);
        at += scan->used;
        if (result == HFP_FRAME)
            return at;
        if (result == HFP_BAD || n == 0)
            return 0;
        ck_assert_uint_eq(scan->used, n);
    }
}

/* `[0, 9, "m", [` as the start of a frame. */
static inline uint8_t *put_envelope(uint8_t *at, uint32_t params)
{
    return hfp_put_request_head(at, 9, "m", 1, params);
}

#endif
