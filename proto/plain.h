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

/* Bytes of the largest such frame, for callers with a limit of their own. */
#define HFP_PLAIN_MAX (7 + 7 + UINT8_MAX)

/* `literal` is a method, the head of one param, and the first byte of it; at least `more` bytes stand behind. */
#define HFP_IS_PLAIN(at, left, literal, more)                                                                \
    ((left) >= sizeof(literal) - 1 + (more) && memcmp((at), (literal), sizeof(literal) - 1) == 0)

/* Fills the frame of a request to `method` (of that many bytes, its length before it at bytes[at]) with one param. */
static inline enum hf_method hfp_plain_frame(struct hfp_frame *frame, enum hf_method method,
                                             uint32_t method_size, uint32_t at, uint32_t param_size)
{
    frame->kind = HFP_REQUEST;
    frame->method_at = at + 1;
    frame->method_size = method_size;
    frame->params_at = frame->param[0].at = at + 1 + method_size + 1;
    frame->param_count = 1;
    frame->param[0].size = param_size;
    frame->size = frame->param[0].at + param_size;
    return method;
}

/* The method of the plain request that begins at bytes[0] and is whole within `count` bytes: `frame` and `*id` (0 of a
 * put) are filled. HF_METHOD_NONE says nothing, and both are undefined: ask the scanner. Never reads beyond `count`. */
static inline enum hf_method hfp_plain(const uint8_t *bytes, size_t count, struct hfp_frame *frame,
                                       uint64_t *id)
{
    /* The byte behind msgid is the 8th at most. */
    if (count < 8 || bytes[0] != 0x94 || bytes[1] != HFP_REQUEST)
        return HF_METHOD_NONE;
    uint32_t at;
    if (bytes[2] == 0xce) {
        frame->msgid = hfp_load32(bytes + 3);
        at = 7;
    } else if (bytes[2] < 0x80) {
        frame->msgid = bytes[2];
        at = 3;
    } else if (bytes[2] == 0xcd) {
        frame->msgid = hfp_load16(bytes + 3);
        at = 5;
    } else if (bytes[2] == 0xcc) {
        frame->msgid = bytes[3];
        at = 4;
    } else {
        return HF_METHOD_NONE;
    }
    const uint8_t *method = bytes + at;
    size_t left = count - at;
    if (HFP_IS_PLAIN(method, left, "\xa3get\x91\xcf", 8)) {
        *id = hfp_load64(method + 6);
        return hfp_plain_frame(frame, HF_METHOD_get, 3, at, 9);
    }
    if (HFP_IS_PLAIN(method, left, "\xa6retain\x91\xcf", 8)) {
        *id = hfp_load64(method + 9);
        return hfp_plain_frame(frame, HF_METHOD_retain, 6, at, 9);
    }
    if (HFP_IS_PLAIN(method, left, "\xa7release\x91\xcf", 8)) {
        *id = hfp_load64(method + 10);
        return hfp_plain_frame(frame, HF_METHOD_release, 7, at, 9);
    }
    if (HFP_IS_PLAIN(method, left, "\xa3put\x91\xc4", 1) && left - 7 >= method[6]) {
        *id = 0;
        return hfp_plain_frame(frame, HF_METHOD_put, 3, at, 2u + method[6]);
    }
    return HF_METHOD_NONE;
}

#endif
