/* SPDX-License-Identifier: BSD-3-Clause */
/* The requests that are nearly all of the traffic, in the form in which nearly all of them come: `get`, `retain` and
 * `release` of one id, `put` of a short bin, without anything else.
 *
 * Their bytes are known but for msgid, id and value, so a compare or two tell what the scanner (scan.h) and the reader
 * of an id find one value at a time. What is taken here is what hfp_scan_next() would have taken, with the same frame. */
#ifndef HF_PROTO_PLAIN_H
#define HF_PROTO_PLAIN_H

#include "proto/methods.h"
#include "proto/scan.h"

#include <assert.h>

/* Bytes of the largest such frame, for callers with a limit of their own. */
#define HFP_PLAIN_MAX (7 + 7 + UINT8_MAX)

/* `literal` is a method, the head of one param, and the first byte of it; at least `more` bytes stand behind. */
#define HFP_IS_PLAIN(at, left, literal, more)                                                                \
    ((left) >= sizeof(literal) - 1 + (more) && memcmp((at), (literal), sizeof(literal) - 1) == 0)

/* The frame of a request whose method's head is at `at`, but for its msgid. */
#define HFP_PLAIN_FRAME(place, method_bytes, param_bytes)                                                    \
    {                                                                                                        \
        .size = (place) + (method_bytes) + 2 + (param_bytes), .kind = HFP_REQUEST, .method_at = (place) + 1, \
        .method_size = (method_bytes), .params_at = (place) + (method_bytes) + 2, .param_count = 1,          \
        .param[0] = {                                                                                        \
            .at = (place) + (method_bytes) + 2,                                                              \
            .size = (param_bytes)                                                                            \
        }                                                                                                    \
    }
/* For each place that a msgid leaves for it. */
#define HFP_PLAIN_FRAMES(method_bytes, param_bytes)                                                          \
    {                                                                                                        \
        [3] = HFP_PLAIN_FRAME(3, method_bytes, param_bytes),                                                 \
        [4] = HFP_PLAIN_FRAME(4, method_bytes, param_bytes),                                                 \
        [5] = HFP_PLAIN_FRAME(5, method_bytes, param_bytes),                                                 \
        [7] = HFP_PLAIN_FRAME(7, method_bytes, param_bytes)                                                  \
    }
static const struct hfp_frame hfp_plain_get[8] = HFP_PLAIN_FRAMES(3, 9);
static const struct hfp_frame hfp_plain_retain[8] = HFP_PLAIN_FRAMES(6, 9);
static const struct hfp_frame hfp_plain_release[8] = HFP_PLAIN_FRAMES(7, 9);
static const struct hfp_frame hfp_plain_put[8] = HFP_PLAIN_FRAMES(3, 2); /* and the bytes of the value */

static inline enum hf_method hfp_plain_known(struct hfp_frame *frame, const struct hfp_frame *known,
                                             uint32_t msgid, enum hf_method method)
{
    memcpy(frame, known, offsetof(struct hfp_frame, param[1]));
    frame->msgid = msgid;
    return method;
}

/* hfp_plain() from its method on, whose head is bytes[at]. (Inline, since `at` is nearly always the same constant.) */
static inline __attribute__((always_inline)) enum hf_method
hfp_plain_method(const uint8_t *bytes, size_t count, uint32_t at, uint32_t msgid, struct hfp_frame *frame,
                 uint64_t *id)
{
    const uint8_t *from = bytes + at;
    size_t left = count - at;
    if (HFP_IS_PLAIN(from, left, "\xa3get\x91\xcf", 8)) {
        *id = hfp_load64(from + 6);
        return hfp_plain_known(frame, &hfp_plain_get[at], msgid, HF_METHOD_get);
    }
    if (HFP_IS_PLAIN(from, left, "\xa6retain\x91\xcf", 8)) {
        *id = hfp_load64(from + 9);
        return hfp_plain_known(frame, &hfp_plain_retain[at], msgid, HF_METHOD_retain);
    }
    if (HFP_IS_PLAIN(from, left, "\xa7release\x91\xcf", 8)) {
        *id = hfp_load64(from + 10);
        return hfp_plain_known(frame, &hfp_plain_release[at], msgid, HF_METHOD_release);
    }
    if (HFP_IS_PLAIN(from, left, "\xa3put\x91\xc4", 1) && left - 7 >= from[6]) {
        *id = 0;
        hfp_plain_known(frame, &hfp_plain_put[at], msgid, HF_METHOD_put);
        frame->size += from[6];
        frame->param[0].size += from[6];
        return HF_METHOD_put;
    }
    return HF_METHOD_NONE;
}

/* The method of the plain request that begins at bytes[0] and is whole within `count` bytes: `frame` and `*id` (0 of a
 * put) are filled. HF_METHOD_NONE says nothing, and both are undefined: ask the scanner. Never reads beyond `count`. */
static inline enum hf_method hfp_plain(const uint8_t *bytes, size_t count, struct hfp_frame *frame,
                                       uint64_t *id)
{
    /* The byte behind msgid is the 8th at most. */
    static_assert(HFP_REQUEST == 0, "it stands in the literal");
    if (count < 8 || memcmp(bytes, "\x94\x00", 2) != 0)
        return HF_METHOD_NONE;
    if (bytes[2] == 0xce) {
        return hfp_plain_method(bytes, count, 7, hfp_load32(bytes + 3), frame, id);
    }
    uint32_t at, msgid;
    if (bytes[2] < 0x80) {
        msgid = bytes[2];
        at = 3;
    } else if (bytes[2] == 0xcd) {
        msgid = hfp_load16(bytes + 3);
        at = 5;
    } else if (bytes[2] == 0xcc) {
        msgid = bytes[3];
        at = 4;
    } else {
        return HF_METHOD_NONE;
    }
    return hfp_plain_method(bytes, count, at, msgid, frame, id);
}

#endif
