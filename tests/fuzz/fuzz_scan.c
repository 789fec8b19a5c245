/* SPDX-License-Identifier: BSD-3-Clause */
/* The frame scanner under libFuzzer. The first two bytes of an input choose limits and how it is cut; the rest are
 * scanned. Held against each other: whole and cut, fast and general, the scanner, the readers and msgpack-c. */
#include <msgpack.h>
#include <stdlib.h>
#include <string.h>

#include "proto/scan.h"
#include "tests/fuzz/fuzz.h"

#define S(bytes)                                                                                             \
    {                                                                                                        \
        (bytes), sizeof(bytes) - 1                                                                           \
    }

/* "\x80" at the start: no limit of size. */
static const struct fuzz_seed seeds[] = {
    S("\x80\x07\x94\x00\x01\xa4ping\x90"),
    S("\x80\x07\x94\x00\xce\x00\x01\x02\x03\xa6retain\x91\xcf\x00\x00\x03\xe8\x00\x00\x00\x05"),
    S("\x80\x07\x94\x00\x01\xa3put\x93\xc4\x05hello\xc0\x82\xa4seal\xc3\xa4refs\x93\x01\xc0\x91\x91\x91\x02"),
    S("\x80\x07\x94\x01\x05\xc0\xda\x00\x06sixsix"),
    S("\x80\x07\x93\x02\xa1m\x92\xde\x00\x01\x05\xdc\x00\x02\x01\x02\xd6\x05xxxx"),
    S("\x80\x07\xdd\x00\x00\x00\x04\xca\x00\x00\x00\x00\xcb\x3f\xf0\x00\x00\x00\x00\x00\x00\xc6\x00\x00\x00"
      "\x03get\xdf\x00\x00\x00\x00"),
    S("\x00\x03\x94\x00\x09\xa1m\x91\xdc\x00\x20\xce\x01\x01\x01\x01\xce\x01\x01\x01\x01\xce\x01\x01\x01\x01"
      "\xd9\x30xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\xc0\xc0\xc0\xc0\xc0\xc0\xc0\xc0\xc0\xc0\xc0"
      "\xc0\xc0\xc0\xc0\xc0"
      "\xc0\xc0\xc0\xc0\xc0\xc0\xc0\xc0\xc0\xc0\xc0\xc0\xc0"),
    S("\x80\x00\x94\x00\x09\xa1m\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91"
      "\x91\x91\x91\x91"
      "\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x07"),
};

const struct fuzz_seed *fuzz_seeds(size_t *count)
{
    *count = sizeof seeds / sizeof seeds[0];
    return seeds;
}

struct verdict {
    enum hfp_result result;
    struct hfp_frame frame;
    const char *reason;
    size_t over; /* after HFP_TOOBIG: bytes up to the frame's end, 0 if it was not reached */
};

static void hold(bool condition)
{
    if (!condition)
        abort();
}

static size_t discard(struct hfp_scan *scan, const uint8_t *bytes, size_t at, size_t count, size_t piece)
{
    for (;;) {
        size_t n = count - at < piece ? count - at : piece;
        enum hfp_result result = hfp_scan_discard(scan, bytes + at, n);
        hold(scan->used <= n || result == HFP_BAD);
        at += scan->used;
        if (result == HFP_FRAME)
            return at;
        if (result != HFP_MORE || n == 0)
            return 0;
        hold(scan->used == n);
    }
}

/* Scans `count` bytes that come in pieces of `piece`; each is a fresh allocation without a byte to spare, and what the
 * scanner has passed is spoilt in the next. */
static struct verdict scan_in(const struct hfp_scan_limits *limits, const uint8_t *bytes, size_t count,
                              size_t piece)
{
    struct hfp_scan scan = {0};
    struct verdict v = {.result = HFP_MORE};
    for (size_t size = piece < count ? piece : count;; size = count - size < piece ? count : size + piece) {
        uint8_t *present = malloc(size + (size == 0));
        memcpy(present, bytes, size);
        memset(present, 0xc1, scan.at < size ? (size_t)scan.at : size);
        v.result = hfp_scan_next(&scan, limits, present, size, &v.frame);
        free(present);
        v.reason = scan.reason;
        if (v.result == HFP_TOOBIG) {
            hold(scan.used <= size);
            v.over = discard(&scan, bytes, scan.used, count, piece);
        }
        if (v.result == HFP_MORE) {
            /* The last head may be incomplete: only when it is whole can it be found too big. */
            hold(hfp_scan_needed(&scan) > size);
            hold(hfp_scan_needed(&scan) < (uint64_t)limits->frame_max + HFP_HEAD_MAX);
        }
        if (v.result != HFP_MORE || size == count)
            return v;
    }
}

static void hold_equal(const struct verdict *a, const struct verdict *b)
{
    hold(a->result == b->result);
    if (a->result == HFP_BAD || a->result == HFP_TOOBIG)
        hold(strcmp(a->reason, b->reason) == 0);
    if (a->result == HFP_TOOBIG)
        hold(a->over == b->over && a->frame.kind == b->frame.kind && a->frame.msgid == b->frame.msgid);
    if (a->result != HFP_FRAME)
        return;
    uint32_t kept = a->frame.param_count < HFP_PARAMS_KEPT ? a->frame.param_count : HFP_PARAMS_KEPT;
    hold(a->frame.size == b->frame.size && a->frame.kind == b->frame.kind &&
         a->frame.msgid == b->frame.msgid);
    hold(a->frame.method_at == b->frame.method_at && a->frame.method_size == b->frame.method_size);
    hold(a->frame.params_at == b->frame.params_at && a->frame.param_count == b->frame.param_count);
    hold(memcmp(a->frame.param, b->frame.param, kept * sizeof a->frame.param[0]) == 0);
}

/* The readers find the same values in the same places. */
static void hold_positions(const struct hfp_frame *frame, const uint8_t *bytes, size_t count)
{
    struct hfp_cursor whole = {bytes, bytes + count};
    hold(frame->size <= count && hfp_skip(&whole) && whole.at == bytes + frame->size);
    hold((uint64_t)frame->method_at + frame->method_size <= frame->size);
    struct hfp_cursor param = {bytes + frame->params_at, bytes + frame->size};
    for (uint32_t i = 0; i < frame->param_count; i++) {
        const uint8_t *start = param.at;
        hold(hfp_skip(&param));
        if (i < HFP_PARAMS_KEPT)
            hold(start == bytes + frame->param[i].at && param.at == start + frame->param[i].size);
    }
    hold(param.at == bytes + frame->size);
}

/* msgpack-c answers "no memory" for what is nested deeper than 32: allowed if there are that many bytes that could be
 * heads of containers. */
static bool may_be_deep(const uint8_t *bytes, size_t count)
{
    size_t heads = 0;
    for (size_t i = 0; i < count; i++)
        heads += (bytes[i] & 0xe0) == 0x80 || (bytes[i] & 0xfc) == 0xdc;
    return heads >= 32;
}

static void hold_msgpack_c(const struct hfp_frame *frame, const uint8_t *bytes)
{
    msgpack_unpacked unpacked;
    msgpack_unpacked_init(&unpacked);
    size_t end = 0;
    msgpack_unpack_return result = msgpack_unpack_next(&unpacked, (const char *)bytes, frame->size, &end);
    if (result != MSGPACK_UNPACK_NOMEM_ERROR || !may_be_deep(bytes, frame->size)) {
        hold(result == MSGPACK_UNPACK_SUCCESS && end == frame->size);
        const msgpack_object_array *array = &unpacked.data.via.array;
        hold(unpacked.data.type == MSGPACK_OBJECT_ARRAY);
        hold(array->size == (frame->kind == HFP_NOTIFICATION ? 3 : 4));
        if (frame->kind != HFP_RESPONSE)
            hold(array->ptr[array->size - 1].via.array.size == frame->param_count);
    }
    msgpack_unpacked_destroy(&unpacked);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    struct hfp_scan_limits limits = {
        .frame_max = data[0] & 0x80 ? UINT32_MAX : HFP_FRAME_MIN + (uint32_t)data[0],
        .depth_max = HFP_DEPTH_MIN + data[1] % (HFP_DEPTH_STACK - HFP_DEPTH_MIN + 1),
    };
    size_t piece = 1 + data[1] % 64;
    const uint8_t *bytes = data + 2;
    size_t count = size - 2;

    struct verdict whole = scan_in(&limits, bytes, count, count + 1);
    struct verdict pieces = scan_in(&limits, bytes, count, piece);
    hold_equal(&whole, &pieces);

    struct hfp_scan scan = {0};
    struct verdict general = {.over = whole.over};
    general.result = hfp_scan(&scan, &limits, bytes, count, &general.frame);
    general.reason = scan.reason;
    hold_equal(&whole, &general);

    struct hfp_cursor value = {bytes, bytes + count};
    if (whole.result == HFP_MORE)
        hold(!hfp_skip(&value));
    if (whole.result == HFP_TOOBIG && hfp_skip(&value))
        hold(whole.over == (size_t)(value.at - bytes));
    if (whole.result == HFP_FRAME) {
        hold_positions(&whole.frame, bytes, count);
        hold_msgpack_c(&whole.frame, bytes);
    }
    return 0;
}
