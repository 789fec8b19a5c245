/* SPDX-License-Identifier: BSD-3-Clause */
/* The general, resumable scanner. It takes one head at a time: a head says how many bytes of payload and
 * how many values it brings, and that is all that bounds need.
 *
 *   pending   values that have yet to begin, over all open containers: the frame ends when it is 0
 *   left[d]   the same for the d-th open container alone: says when a param ends, and how deep we are
 *   at        the next head; a payload is passed at once by moving `at` behind it, present or not
 *
 * Always, between two heads: pending == sum of left[0 .. depth-1] (1 before the first head), and at +
 * pending, the least size that the frame can have, is at most frame_max. The latter is checked at every
 * head, so each left[d] fits 32 bits and nothing that is only declared costs anything. Once it fails,
 * `left` is of no use any more and only `pending` is kept up: discarding needs no memory for depth.
 *
 * Every verdict depends on whole heads in their order and never on how many bytes happen to be present; so
 * a frame in pieces gets the same answer as in one. */
#include "proto/scan.h"

enum scan_state { SCANNING = 0, DISCARDING, BROKEN };

#define W4(w)  w, w, w, w
#define W16(w) W4(w), W4(w), W4(w), W4(w)

const uint8_t hfp_width[256] = {
    W16(1), W16(1), W16(1), W16(1), W16(1), W16(1), W16(1), W16(1), /* 00 positive fixint */
    W16(0), W16(0),                                                 /* 80 fixmap, 90 fixarray */
    1,      2,      3,      4,      5,      6,      7,      8,      /* a0 fixstr */
    9,      10,     11,     12,     13,     14,     15,     16,     /* a8 */
    17,     18,     19,     20,     21,     22,     23,     24,     /* b0 */
    25,     26,     27,     28,     29,     30,     31,     32,     /* b8 */
    1,      0,      1,      1,      0,      0,      0,      0,  /* c0 nil, none, false, true, bin, ext 8 */
    0,      0,      5,      9,      2,      3,      5,      9,  /* c8 ext, float, uint */
    2,      3,      5,      9,      3,      4,      6,      10, /* d0 int, fixext 1 to 8 */
    18,     0,      0,      0,      0,      0,      0,      0,  /* d8 fixext 16, str, array, map */
    W16(1), W16(1),                                             /* e0 negative fixint */
};

/* What the head of a value says. */
struct head {
    uint32_t size;    /* bytes of the head itself; of a number, all of it */
    bool container;   /* array or map */
    uint64_t payload; /* bytes that follow */
    uint64_t values;  /* values that follow, keys and values of a map counted each */
};

/* The bytes of the head that starts with `b`, or 0 if no value does. */
static inline uint32_t head_size(uint8_t b)
{
    static const uint8_t sizes[32] = {
        1, 0, 1, 1, 2, 3, 5, 3, 4, 6, 5, 9, 2, 3, 5, 9, /* c0 */
        2, 3, 5, 9, 2, 2, 2, 2, 2, 2, 3, 5, 3, 5, 3, 5, /* d0 */
    };
    return (uint8_t)(b - 0xc0) < 32 ? sizes[b - 0xc0] : 1;
}

/* Reads the head of `head_size` bytes at `at`, all of them present. */
static inline struct head read_head(const uint8_t *at, uint32_t size)
{
    struct head head = {.size = size};
    uint8_t b = at[0];
    if (b < 0x80 || b >= 0xe0)
        return head;
    if (b < 0xa0) {
        head.container = true;
        head.values = b < 0x90 ? 2 * (uint64_t)(b & 0x0f) : (uint64_t)(b & 0x0f);
        return head;
    }
    if (b < 0xc0) {
        head.payload = b & 0x1f;
        return head;
    }
    switch (b) {
    case 0xc4:
    case 0xc7:
    case 0xd9: head.payload = at[1]; break;
    case 0xc5:
    case 0xc8:
    case 0xda: head.payload = hfp_load16(at + 1); break;
    case 0xc6:
    case 0xc9:
    case 0xdb: head.payload = hfp_load32(at + 1); break;
    case 0xd4:
    case 0xd5:
    case 0xd6:
    case 0xd7:
    case 0xd8: head.payload = (uint64_t)1 << (b - 0xd4); break;
    case 0xdc: head.values = hfp_load16(at + 1); break;
    case 0xdd: head.values = hfp_load32(at + 1); break;
    case 0xde: head.values = 2 * (uint64_t)hfp_load16(at + 1); break;
    case 0xdf: head.values = 2 * (uint64_t)hfp_load32(at + 1); break;
    default: break;
    }
    head.container = b >= 0xdc;
    return head;
}

/* The offset behind the value at `at`, or 0 if it is not whole; adds to `containers` how many are in it. */
static inline size_t pass_value(const uint8_t *bytes, size_t at, size_t count, size_t *containers)
{
    for (uint64_t pending = 1; pending != 0; pending--) {
        if (at >= count)
            return 0;
        uint8_t b = bytes[at];
        uint32_t width = hfp_width[b];
        if (width != 0) {
            at += width;
            continue;
        }
        if (b < 0xa0) { /* option maps and short arrays */
            ++*containers;
            pending += (uint64_t)(b & 0x0f) << (b < 0x90);
            at++;
            continue;
        }
        uint32_t size = head_size(b);
        if (size == 0 || count - at < size)
            return 0;
        struct head head = read_head(bytes + at, size);
        *containers += head.container;
        at += size + head.payload;
        pending += head.values;
        if (at > count || pending - 1 > count - at)
            return 0;
    }
    return at <= count ? at : 0;
}

size_t hfp_scan_whole(const uint8_t *bytes, size_t at, size_t count)
{
    size_t containers = 0;
    size_t end = pass_value(bytes, at, count, &containers);
    return containers <= HFP_DEPTH_MIN - 2 ? end : 0;
}

size_t hfp_scan_size(const uint8_t *bytes, size_t count)
{
    size_t containers = 0;
    return pass_value(bytes, 0, count, &containers);
}

/* ---- verdicts ---- */

static enum hfp_result bad(struct hfp_scan *scan, const char *reason)
{
    scan->state = BROKEN;
    scan->reason = reason;
    return HFP_BAD;
}

static enum hfp_result more(struct hfp_scan *scan, uint64_t need)
{
    scan->need = need;
    return HFP_MORE;
}

/* From here on `at` is the number of bytes of payload still to pass. */
static enum hfp_result too_big(struct hfp_scan *scan, const char *reason, size_t count)
{
    scan->state = DISCARDING;
    scan->reason = reason;
    scan->used = scan->at < count ? (size_t)scan->at : count;
    scan->at -= scan->used;
    scan->partial = 0;
    return HFP_TOOBIG;
}

/* ---- the envelope ---- */

static void begin_param(struct hfp_scan *scan)
{
    if (scan->param < HFP_PARAMS_KEPT)
        scan->frame.param[scan->param].at = (uint32_t)scan->at;
    scan->param++;
}

/* A value that is a param, or the last one in it, ends at `at`. */
static void end_param(struct hfp_scan *scan)
{
    if (scan->param - 1 < HFP_PARAMS_KEPT) {
        struct hfp_span *span = &scan->frame.param[scan->param - 1];
        span->size = (uint32_t)scan->at - span->at;
    }
}

/* The depth at which values are params. */
static inline uint32_t param_depth(const struct hfp_scan *scan)
{
    return scan->frame.kind == HFP_RESPONSE ? 1 : 2;
}

static const char *take_kind(struct hfp_scan *scan, const uint8_t *value, const struct head *head)
{
    struct hfp_cursor cursor = {value, value + head->size};
    uint64_t kind;
    if (!hfp_read_uint64(&cursor, &kind) || kind > HFP_NOTIFICATION)
        return "the message type is not 0, 1 or 2";
    /* What remains after the type itself: of a notification two values, of the others three. */
    if (scan->pending - 1 != (kind == HFP_NOTIFICATION ? 2 : 3))
        return "a message of this type has another number of elements";
    scan->frame.kind = (uint32_t)kind;
    /* Notifications have no msgid: their element 1 is what is element 2 of a request. */
    if (kind == HFP_NOTIFICATION)
        scan->element++;
    return NULL;
}

static const char *take_msgid(struct hfp_scan *scan, const uint8_t *value, const struct head *head)
{
    struct hfp_cursor cursor = {value, value + head->size};
    uint64_t msgid;
    if (!hfp_read_uint64(&cursor, &msgid) || msgid > UINT32_MAX)
        return "msgid is not an integer from 0 to 2^32-1";
    scan->frame.msgid = (uint32_t)msgid;
    return NULL;
}

static const char *take_method(struct hfp_scan *scan, const uint8_t *value, const struct head *head)
{
    struct hfp_cursor first = {value, value + head->size};
    enum hfp_type type = hfp_peek_type(&first);
    if (type != HFP_STR && type != HFP_BIN)
        return "the method is neither str nor bin";
    /* A method that does not fit is found too big before these are used. */
    scan->frame.method_at = (uint32_t)scan->at + head->size;
    scan->frame.method_size = (uint32_t)head->payload;
    return NULL;
}

static const char *take_params(struct hfp_scan *scan, const uint8_t *value, const struct head *head)
{
    struct hfp_cursor first = {value, value + head->size};
    if (hfp_peek_type(&first) != HFP_ARRAY)
        return "the params are not an array";
    scan->frame.params_at = (uint32_t)scan->at + head->size;
    scan->frame.param_count = (uint32_t)head->values;
    return NULL;
}

/* A value of the frame's own array, or that array. NULL, or why this is no message. */
static const char *take_envelope(struct hfp_scan *scan, const uint8_t *value, const struct head *head)
{
    if (scan->depth == 0) {
        struct hfp_cursor first = {value, value + head->size};
        bool fits = hfp_peek_type(&first) == HFP_ARRAY && (head->values == 3 || head->values == 4);
        return fits ? NULL : "a message is an array of 3 or 4 elements";
    }
    uint32_t element = scan->element++;
    if (element == 0)
        return take_kind(scan, value, head);
    if (element == 1)
        return take_msgid(scan, value, head);
    if (scan->frame.kind != HFP_RESPONSE)
        return element == 2 ? take_method(scan, value, head) : take_params(scan, value, head);
    if (element == 2) {
        scan->frame.params_at = (uint32_t)scan->at;
        scan->frame.param_count = 2;
    }
    begin_param(scan);
    return NULL;
}

/* ---- values ---- */

static void note_payload(struct hfp_scan *scan, uint8_t first, const struct head *head)
{
    scan->payload = (struct hfp_payload){
        .at = (uint32_t)scan->at + head->size,
        .size = (uint32_t)head->payload,
        .param = scan->param - 1,
        .whole = scan->depth == param_depth(scan),
        .bin = first >= 0xc4 && first <= 0xc6,
    };
}

/* Leaves every container whose last value has ended. */
static void close_containers(struct hfp_scan *scan)
{
    uint32_t level = param_depth(scan);
    for (;;) {
        if (scan->depth == level && scan->param != 0)
            end_param(scan);
        if (scan->depth == 0 || scan->left[scan->depth - 1] != 0)
            return;
        scan->depth--;
    }
}

/* The value whose head, all of it present, is at `at`. HFP_MORE: go on with the next one. */
static enum hfp_result take_value(struct hfp_scan *scan, const struct hfp_scan_limits *limits,
                                  const uint8_t *value, uint32_t size, size_t count)
{
    struct head head = read_head(value, size);
    if (scan->depth <= 1) {
        const char *reason = take_envelope(scan, value, &head);
        if (reason != NULL)
            return bad(scan, reason);
    } else if (scan->depth == param_depth(scan)) {
        begin_param(scan);
    }
    if (head.payload != 0 && scan->param != 0)
        note_payload(scan, value[0], &head);
    if (scan->depth != 0)
        scan->left[scan->depth - 1]--;
    scan->at += size + head.payload;
    scan->pending += head.values - 1;
    if (scan->at + scan->pending > limits->frame_max)
        return too_big(scan, "the frame is larger than limits.frame", count);
    if (head.container && (scan->depth >= limits->depth_max || scan->depth >= HFP_DEPTH_STACK))
        return too_big(scan, "the frame is nested deeper than limits.depth", count);
    if (head.values != 0)
        scan->left[scan->depth++] = (uint32_t)head.values;
    else
        close_containers(scan);
    return HFP_MORE;
}

/* Passes values of fixed size inside a param's container, as long as they are neither its last, nor
 * incomplete, nor make the frame too big: the same as take_value does with each, without the ceremony. */
static void skip_plain_values(struct hfp_scan *scan, uint32_t frame_max, const uint8_t *bytes, size_t count)
{
    uint32_t *left = &scan->left[scan->depth - 1];
    uint64_t stop = count < frame_max ? count : frame_max;
    while (*left > 1 && scan->at < stop) {
        uint32_t width = hfp_width[bytes[scan->at]];
        if (width == 0 || scan->at + width > stop || scan->at + width + scan->pending - 1 > frame_max)
            return;
        scan->at += width;
        scan->pending--;
        --*left;
    }
}

static void start_frame(struct hfp_scan *scan)
{
    scan->pending = 1;
    scan->depth = 0;
    scan->element = 0;
    scan->param = 0;
    scan->payload = (struct hfp_payload){0};
    scan->frame = (struct hfp_frame){0};
}

enum hfp_result hfp_scan(struct hfp_scan *scan, const struct hfp_scan_limits *limits, const uint8_t *bytes,
                         size_t count, struct hfp_frame *frame)
{
    if (scan->state != SCANNING)
        return HFP_BAD;
    if (scan->at == 0)
        start_frame(scan);
    while (scan->pending != 0) {
        if (scan->at >= count)
            return more(scan, scan->at + scan->pending);
        uint32_t size = head_size(bytes[scan->at]);
        if (size == 0)
            return bad(scan, "the byte 0xc1 begins no value");
        if (count - scan->at < size)
            return more(scan, scan->at + size + scan->pending - 1);
        enum hfp_result result = take_value(scan, limits, bytes + scan->at, size, count);
        if (result == HFP_TOOBIG)
            *frame = scan->frame;
        if (result != HFP_MORE)
            return result;
        if (scan->depth > 2)
            skip_plain_values(scan, limits->frame_max, bytes, count);
    }
    if (scan->at > count)
        return more(scan, scan->at);
    scan->frame.size = (uint32_t)scan->at;
    *frame = scan->frame;
    hfp_scan_reset(scan);
    return HFP_FRAME;
}

enum hfp_result hfp_scan_abandon(struct hfp_scan *scan, size_t count, struct hfp_frame *frame)
{
    if (scan->state != SCANNING || scan->at == 0 || scan->element < 2)
        return bad(scan, "the frame has only begun");
    *frame = scan->frame;
    return too_big(scan, "the frame is given up", count);
}

uint64_t hfp_scan_needed(const struct hfp_scan *scan)
{
    return scan->need;
}

bool hfp_scan_payload(const struct hfp_scan *scan, size_t count, struct hfp_payload *ret)
{
    /* `at` lies beyond the bytes present only within a payload; that of a method is not noted. */
    if (scan->state != SCANNING || scan->at <= count || scan->param == 0)
        return false;
    *ret = scan->payload;
    return true;
}

/* ---- discarding ---- */

/* The whole head at the next byte to look at, wherever its bytes came from, or NULL if it is not all there
 * yet (the bytes are kept) or no head (state is BROKEN). Moves `pos` behind what it took. */
static const uint8_t *next_head(struct hfp_scan *scan, const uint8_t *bytes, size_t count, size_t *pos,
                                uint32_t *size)
{
    if (*pos == count)
        return NULL;
    *size = head_size(scan->partial != 0 ? scan->head[0] : bytes[*pos]);
    if (*size == 0) {
        bad(scan, "the byte 0xc1 begins no value");
        return NULL;
    }
    const uint8_t *whole = bytes + *pos;
    if (scan->partial == 0 && count - *pos >= *size) {
        *pos += *size;
        return whole;
    }
    size_t wanted = *size - scan->partial;
    size_t taken = count - *pos < wanted ? count - *pos : wanted;
    memcpy(scan->head + scan->partial, whole, taken);
    *pos += taken;
    scan->partial += (uint32_t)taken;
    if (scan->partial < *size)
        return NULL;
    scan->partial = 0;
    return scan->head;
}

enum hfp_result hfp_scan_discard(struct hfp_scan *scan, const uint8_t *bytes, size_t count)
{
    size_t pos = 0;
    scan->used = 0;
    if (scan->state != DISCARDING)
        return HFP_BAD;
    for (;;) {
        size_t passed = scan->at < count - pos ? (size_t)scan->at : count - pos;
        pos += passed;
        scan->at -= passed;
        if (scan->pending == 0 && scan->at == 0) {
            scan->used = pos;
            hfp_scan_reset(scan);
            return HFP_FRAME;
        }
        uint32_t size;
        const uint8_t *value = next_head(scan, bytes, count, &pos, &size);
        if (value == NULL)
            break;
        struct head head = read_head(value, size);
        if (head.values > UINT64_MAX - scan->pending)
            return bad(scan, "more values are declared than can be counted");
        scan->pending += head.values - 1;
        scan->at = head.payload;
    }
    scan->used = pos;
    return scan->state == BROKEN ? HFP_BAD : HFP_MORE;
}
