/* SPDX-License-Identifier: BSD-3-Clause */
/* The frame scanner: finds the bounds of MessagePack-RPC messages in hostile bytes, without allocating.
 *
 * A stock unpacker reserves gigabytes for what five bytes merely declare. So every frame passes here
 * first: nested at most `depth_max` deep, at most `frame_max` bytes, all declared sizes held against both
 * and against the bytes present, before anything else looks at it. What the scanner calls a frame, the
 * readers of mp.h can walk.
 *
 * Words: a *frame* is one message, `[0, msgid, method, params]`, `[1, msgid, error, result]` or `[2,
 * method, params]`. Its *params* are the elements of the params array; of a response, its error and its
 * result. Positions are byte offsets from the frame's first byte.
 *
 * Use. Keep the bytes of an unfinished frame together, from its first byte on, and call with all of them
 * each time:
 *
 *     HFP_FRAME   a whole frame: `frame` describes it, the next one starts `frame->size` bytes further
 *     HFP_MORE    the frame is not whole; at least `hfp_scan_needed` bytes in all are needed. Nothing is
 *                 scanned twice: the work done for a frame is proportional to its bytes, in however many
 *                 pieces they come
 *     HFP_BAD     not MessagePack-RPC: `scan->reason` says why. No frame boundary can be found any more
 *     HFP_TOOBIG  well-formed so far, but above a limit: `scan->reason` says which, `frame` holds kind and
 *                 msgid. Drop the `scan->used` bytes that have been looked at, then pass what follows to
 *                 `hfp_scan_discard` until that answers HFP_FRAME. No memory is needed for what is discarded
 *
 * Always: a zeroed `struct hfp_scan` is fresh, and it is fresh again after HFP_FRAME; it holds no pointer
 * into the bytes, so they may move between calls. */
#ifndef HF_PROTO_SCAN_H
#define HF_PROTO_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/mp.h"

/* Params whose bounds a frame keeps: more than any method has. */
#define HFP_PARAMS_KEPT 8

/* Smallest frame_max: with it, msgid is known before a frame can be too big. */
#define HFP_FRAME_MIN 64

/* Smallest depth_max: hfp_scan_fast passes nothing that is deeper, so it need not know the limit. */
#define HFP_DEPTH_MIN 32

/* Largest depth_max: what a client needs for replies that wrap a value of limits.depth. */
#define HFP_DEPTH_STACK 80

enum hfp_kind { HFP_REQUEST = 0, HFP_RESPONSE = 1, HFP_NOTIFICATION = 2 };

enum hfp_result { HFP_FRAME, HFP_MORE, HFP_BAD, HFP_TOOBIG };

struct hfp_scan_limits {
    uint32_t frame_max; /* bytes, HFP_FRAME_MIN to UINT32_MAX */
    uint32_t depth_max; /* nested containers, the frame itself included; HFP_DEPTH_MIN to HFP_DEPTH_STACK */
};

/* One whole value within a frame. */
struct hfp_span {
    uint32_t at;
    uint32_t size;
};

struct hfp_frame {
    uint32_t size;      /* bytes of the whole frame; the params end where it ends */
    uint32_t kind;      /* enum hfp_kind */
    uint32_t msgid;     /* 0 in a notification */
    uint32_t method_at; /* the method's bytes, without head; nothing in a response */
    uint32_t method_size;
    uint32_t params_at;                     /* the first param, behind the head of the array */
    uint32_t param_count;                   /* how many there are, however many are kept */
    struct hfp_span param[HFP_PARAMS_KEPT]; /* the first ones; undefined beyond param_count */
};

/* The payload of a str, bin or ext that was begun in an unfinished frame. */
struct hfp_payload {
    uint32_t at;    /* its first byte; equal to the number of bytes present if only its head has come */
    uint32_t size;  /* bytes declared */
    uint32_t param; /* index of the param that it is or lies in */
    bool whole;     /* it is that param itself, not a part of it */
    bool bin;       /* bin rather than str or ext */
};

/* All private but `used` and `reason`. */
struct hfp_scan {
    const char *reason; /* after HFP_BAD and HFP_TOOBIG: a static text */
    size_t used;        /* after HFP_TOOBIG and hfp_scan_discard: bytes to drop of those that were passed */
    uint64_t at;        /* the next head; beyond the bytes present while a payload is incomplete */
    uint64_t need;      /* after HFP_MORE: bytes that the frame has at least */
    uint64_t pending;   /* values that have yet to begin, at all levels; each takes a byte at least */
    uint32_t depth;     /* containers open */
    uint32_t element;   /* elements of the frame's own array that have begun */
    uint32_t param;     /* params that have begun */
    uint32_t state;     /* scanning, discarding or bad */
    uint32_t partial;   /* discarding: bytes of an incomplete head kept in `head` */
    uint8_t head[HFP_HEAD_MAX + 3];
    struct hfp_payload payload; /* the last payload that began */
    struct hfp_frame frame;     /* as far as known */
    uint32_t left[HFP_DEPTH_STACK];
};

/* For each first byte: the bytes of a value of fixed size, head included; 0 if the size must be read, if
 * it is a container, and for 0xc1, which is no value. */
extern const uint8_t hfp_width[256];

/* Scans on, see above. `bytes` are all `count` bytes from the frame's first on (those of later frames may
 * follow). `limits` must not change within a frame. `frame` is written after HFP_FRAME and HFP_TOOBIG
 * only. */
enum hfp_result hfp_scan(struct hfp_scan *scan, const struct hfp_scan_limits *limits, const uint8_t *bytes,
                         size_t count, struct hfp_frame *frame);

/* After HFP_TOOBIG: passes over `count` bytes that follow those used before. HFP_FRAME: the frame ended after
 * `scan->used` of them and the scanner is fresh. HFP_MORE: all are used, it goes on. HFP_BAD: as above. */
enum hfp_result hfp_scan_discard(struct hfp_scan *scan, const uint8_t *bytes, size_t count);

/* After HFP_MORE with `count` bytes, at least HFP_FRAME_MIN: gives the frame up, as if it were above a limit.
 * HFP_TOOBIG, with `frame` and what follows as above. */
enum hfp_result hfp_scan_abandon(struct hfp_scan *scan, size_t count, struct hfp_frame *frame);

/* After HFP_MORE: the least number of bytes that the frame can have in all. What it declares, not what has
 * come: allocate by what has come. */
uint64_t hfp_scan_needed(const struct hfp_scan *scan);

/* After HFP_MORE with `count` bytes: true if the frame stands inside the payload of a param's str, bin or
 * ext, which is then in `ret`. */
bool hfp_scan_payload(const struct hfp_scan *scan, size_t count, struct hfp_payload *ret);

/* Leaves the frame begun: a fresh scanner. */
static inline void hfp_scan_reset(struct hfp_scan *scan)
{
    scan->state = 0;
    scan->at = 0;
}

/* The value at `at` of `count` bytes if it is whole: the offset behind it, else 0. Containers are passed
 * by counting them; a value of more than HFP_DEPTH_MIN - 2 containers is left to hfp_scan (0). Used by
 * hfp_scan_fast. */
size_t hfp_scan_whole(const uint8_t *bytes, size_t at, size_t count);

/* The size of the value at bytes[0], 0 if it is not whole within `count`: the same as hfp_skip of mp.h passes,
 * in a fraction of the time where there are many values in it. */
size_t hfp_scan_size(const uint8_t *bytes, size_t count);

/* hfp_scan for what nearly every message is: a whole request or response of few params in the usual
 * encodings. True if it is one, with `frame` filled; false says nothing, and `frame` is undefined: ask
 * hfp_scan. Never reads beyond `count`. */
static inline bool hfp_scan_fast(const uint8_t *bytes, size_t count, uint32_t frame_max,
                                 struct hfp_frame *frame)
{
    /* The envelope up to the byte behind msgid has 4 to 8 bytes, so 8 present need no checks on the way. */
    if (count < 8 || bytes[0] != 0x94)
        return false;
    size_t at;
    if (bytes[2] < 0x80) {
        frame->msgid = bytes[2];
        at = 3;
    } else if (bytes[2] == 0xce) {
        frame->msgid = hfp_load32(bytes + 3);
        at = 7;
    } else if (bytes[2] == 0xcd) {
        frame->msgid = hfp_load16(bytes + 3);
        at = 5;
    } else if (bytes[2] == 0xcc) {
        frame->msgid = bytes[3];
        at = 4;
    } else {
        return false;
    }
    size_t method_at = 0;
    size_t method_size = 0;
    size_t param_count = 2; /* of a response: error and result */
    if (bytes[1] == HFP_REQUEST) {
        method_size = (size_t)bytes[at] - 0xa0;
        method_at = at + 1;
        at = method_at + method_size;
        if (method_size >= 32 || at >= count)
            return false;
        param_count = (size_t)bytes[at] - 0x90;
        if (param_count > HFP_PARAMS_KEPT)
            return false;
        at++;
    } else if (bytes[1] != HFP_RESPONSE) {
        return false;
    }
    frame->kind = bytes[1];
    frame->method_at = (uint32_t)method_at;
    frame->method_size = (uint32_t)method_size;
    frame->params_at = (uint32_t)at;
    frame->param_count = (uint32_t)param_count;
    for (size_t i = 0; i < param_count; i++) {
        if (at >= count)
            return false;
        uint8_t b = bytes[at];
        size_t next = at + hfp_width[b];
        if (next == at) {
            if (b == 0xc4 && at + 1 < count) /* a short value is what is put most */
                next = at + 2 + bytes[at + 1];
            else if ((next = hfp_scan_whole(bytes, at, count)) == 0)
                return false;
        }
        frame->param[i].at = (uint32_t)at;
        frame->param[i].size = (uint32_t)(next - at);
        at = next;
    }
    frame->size = (uint32_t)at;
    return at <= count && at <= frame_max;
}

/* What a loop over messages calls: hfp_scan_fast at the start of a frame, hfp_scan for all else. */
static inline enum hfp_result hfp_scan_next(struct hfp_scan *scan, const struct hfp_scan_limits *limits,
                                            const uint8_t *bytes, size_t count, struct hfp_frame *frame)
{
    if (scan->at == 0 && scan->state == 0 && hfp_scan_fast(bytes, count, limits->frame_max, frame))
        return HFP_FRAME;
    return hfp_scan(scan, limits, bytes, count, frame);
}

#endif
