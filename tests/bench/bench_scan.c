/* SPDX-License-Identifier: BSD-3-Clause */
/* What the frame scanner costs: ns a message for a batch of equal messages that is in the cache, best of some
 * rounds. Beside the bounds alone, what a server adds in its first pass: the method and the id. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "proto/methods.h"
#include "proto/rpc.h"
#include "proto/scan.h"

enum { BATCH = 64, PASSES = 20000, ROUNDS = 7 };

static const struct hfp_scan_limits limits = {.frame_max = 1u << 26, .depth_max = 64};

static uint8_t *write_retain(uint8_t *at, uint32_t i)
{
    at = hfp_put_request_head(at, 70000 + i, "retain", 6, 1);
    return hfp_put_uint(at, ((uint64_t)1000 << 32) + i);
}

static uint8_t *write_put(uint8_t *at, uint32_t i)
{
    uint8_t value[64] = {0};
    at = hfp_put_request_head(at, 70000 + i, "put", 3, 2);
    at = hfp_put_bin(at, value, sizeof value);
    at = hfp_put_map_head(at, 1);
    at = hfp_put_text(at, "tag");
    return hfp_put_text(at, "a");
}

/* The same with the outer array in its 16-bit form, which only the general scanner takes. */
static uint8_t *write_unusual(uint8_t *at, uint32_t i)
{
    at[0] = 0xdc;
    at[1] = 0;
    at[2] = 4;
    uint8_t request[64];
    size_t size = (size_t)(write_retain(request, i) - request) - 1;
    memcpy(at + 3, request + 1, size);
    return at + 3 + size;
}

static double now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static uint64_t scan_batch(const uint8_t *bytes, size_t count)
{
    struct hfp_scan scan = {0};
    struct hfp_frame frame;
    uint64_t sum = 0;
    while (count != 0) {
        if (hfp_scan_next(&scan, &limits, bytes, count, &frame) != HFP_FRAME)
            abort();
        sum += frame.param[0].at + frame.msgid;
        bytes += frame.size;
        count -= frame.size;
    }
    return sum;
}

static uint64_t decode_batch(const uint8_t *bytes, size_t count)
{
    struct hfp_scan scan = {0};
    struct hfp_frame frame;
    uint64_t sum = 0;
    while (count != 0) {
        if (hfp_scan_next(&scan, &limits, bytes, count, &frame) != HFP_FRAME)
            abort();
        struct hfp_cursor param = {bytes + frame.param[0].at, bytes + frame.size};
        uint64_t id = 0;
        hfp_read_uint64(&param, &id);
        sum += id + frame.msgid + (uint64_t)hfp_method_find(bytes + frame.method_at, frame.method_size);
        bytes += frame.size;
        count -= frame.size;
    }
    return sum;
}

static double best_ns(uint64_t (*run)(const uint8_t *, size_t), const uint8_t *bytes, size_t count,
                      uint64_t *sum)
{
    double best = 1e30;
    for (int round = 0; round < ROUNDS; round++) {
        double start = now_ns();
        for (int i = 0; i < PASSES; i++)
            *sum += run(bytes, count);
        double ns = (now_ns() - start) / PASSES / BATCH;
        best = ns < best ? ns : best;
    }
    return best;
}

static void measure(const char *what, uint8_t *(*write)(uint8_t *, uint32_t), uint64_t *sum)
{
    static uint8_t bytes[BATCH * 128];
    uint8_t *end = bytes;
    for (uint32_t i = 0; i < BATCH; i++)
        end = write(end, i);
    size_t count = (size_t)(end - bytes);
    double scan = best_ns(scan_batch, bytes, count, sum);
    double decode = best_ns(decode_batch, bytes, count, sum);
    printf("%-34s %3zu bytes  scan %6.2f ns  with method and id %6.2f ns\n", what, count / BATCH, scan,
           decode);
}

int main(void)
{
    uint64_t sum = 0;
    measure("retain", write_retain, &sum);
    measure("put, 64-byte bin, one option", write_put, &sum);
    measure("retain through the general scanner", write_unusual, &sum);
    /* The sum is told so that no compiler can leave the work out. */
    printf("checksum %llu\n", (unsigned long long)sum);
    return 0;
}
