/* SPDX-License-Identifier: BSD-3-Clause */
/* MessagePack primitives: writing into memory that is known to suffice, reading within bounds.
 *
 * Writing: each `hfp_put_*` writes one value (or the head of one) at `at` and returns the place behind it.
 * It takes the shortest encoding. The caller guarantees room; the largest number of bytes written stands
 * at each function.
 *
 * Reading: a cursor walks over bytes. Each `hfp_read_*` returns true and moves the cursor behind what it
 * has read, or returns false and leaves cursor and results as they were (another type stands there, it is
 * out of range, or it would reach beyond `end`). No reader ever touches a byte at or after `end`, whatever
 * the bytes say: frames have passed the scanner (scan.h) before, but no reader's safety depends on it.
 *
 * Who owns what: nothing is copied; the `at` of a `struct hfp_bytes` points into the bytes that were read. */
#ifndef HF_PROTO_MP_H
#define HF_PROTO_MP_H

#include <endian.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define HFP_HEAD_MAX 9 /* bytes of the longest head, which is also the longest number */

/* Integers sent to clients stay below this, and floating-point numbers count as integers below it. */
#define HFP_INT_EXACT (1ull << 53)

enum hfp_type {
    HFP_NONE, /* no value: the end of the bytes, or the byte 0xc1 */
    HFP_NIL,
    HFP_BOOL,
    HFP_INT,
    HFP_FLOAT,
    HFP_STR,
    HFP_BIN,
    HFP_ARRAY,
    HFP_MAP,
    HFP_EXT
};

/* The bytes of a str or bin. */
struct hfp_bytes {
    const uint8_t *at;
    uint32_t size;
    bool bin;
};

struct hfp_cursor {
    const uint8_t *at;
    const uint8_t *end;
};

/* ---- numbers in network order ---- */

static inline uint16_t hfp_load16(const uint8_t *at)
{
    uint16_t v;
    memcpy(&v, at, sizeof v);
    return be16toh(v);
}

static inline uint32_t hfp_load32(const uint8_t *at)
{
    uint32_t v;
    memcpy(&v, at, sizeof v);
    return be32toh(v);
}

static inline uint64_t hfp_load64(const uint8_t *at)
{
    uint64_t v;
    memcpy(&v, at, sizeof v);
    return be64toh(v);
}

/* The next three write a type byte and a number behind it. */
static inline uint8_t *hfp_store16(uint8_t *at, uint8_t type, uint16_t v)
{
    v = htobe16(v);
    at[0] = type;
    memcpy(at + 1, &v, sizeof v);
    return at + 3;
}

static inline uint8_t *hfp_store32(uint8_t *at, uint8_t type, uint32_t v)
{
    v = htobe32(v);
    at[0] = type;
    memcpy(at + 1, &v, sizeof v);
    return at + 5;
}

static inline uint8_t *hfp_store64(uint8_t *at, uint8_t type, uint64_t v)
{
    v = htobe64(v);
    at[0] = type;
    memcpy(at + 1, &v, sizeof v);
    return at + 9;
}

/* ---- writing ---- */

/* 1 byte. */
static inline uint8_t *hfp_put_nil(uint8_t *at)
{
    *at = 0xc0;
    return at + 1;
}

/* 1 byte. */
static inline uint8_t *hfp_put_bool(uint8_t *at, bool v)
{
    *at = v ? 0xc3 : 0xc2;
    return at + 1;
}

/* 9 bytes at most. */
static inline uint8_t *hfp_put_uint(uint8_t *at, uint64_t v)
{
    if (v < 0x80) {
        *at = (uint8_t)v;
        return at + 1;
    }
    if (v <= UINT8_MAX) {
        at[0] = 0xcc;
        at[1] = (uint8_t)v;
        return at + 2;
    }
    if (v <= UINT16_MAX)
        return hfp_store16(at, 0xcd, (uint16_t)v);
    if (v <= UINT32_MAX)
        return hfp_store32(at, 0xce, (uint32_t)v);
    return hfp_store64(at, 0xcf, v);
}

/* 9 bytes at most. */
static inline uint8_t *hfp_put_int(uint8_t *at, int64_t v)
{
    if (v >= 0)
        return hfp_put_uint(at, (uint64_t)v);
    if (v >= -32) {
        *at = (uint8_t)v;
        return at + 1;
    }
    if (v >= INT8_MIN) {
        at[0] = 0xd0;
        at[1] = (uint8_t)v;
        return at + 2;
    }
    if (v >= INT16_MIN)
        return hfp_store16(at, 0xd1, (uint16_t)v);
    if (v >= INT32_MIN)
        return hfp_store32(at, 0xd2, (uint32_t)v);
    return hfp_store64(at, 0xd3, (uint64_t)v);
}

/* 9 bytes. */
static inline uint8_t *hfp_put_f64(uint8_t *at, double v)
{
    uint64_t bits;
    memcpy(&bits, &v, sizeof bits);
    return hfp_store64(at, 0xcb, bits);
}

/* 5 bytes at most; `size` bytes of payload are to follow. */
static inline uint8_t *hfp_put_str_head(uint8_t *at, uint32_t size)
{
    if (size < 32) {
        *at = (uint8_t)(0xa0 | size);
        return at + 1;
    }
    if (size <= UINT8_MAX) {
        at[0] = 0xd9;
        at[1] = (uint8_t)size;
        return at + 2;
    }
    if (size <= UINT16_MAX)
        return hfp_store16(at, 0xda, (uint16_t)size);
    return hfp_store32(at, 0xdb, size);
}

/* 5 bytes at most; `size` bytes of payload are to follow. */
static inline uint8_t *hfp_put_bin_head(uint8_t *at, uint32_t size)
{
    if (size <= UINT8_MAX) {
        at[0] = 0xc4;
        at[1] = (uint8_t)size;
        return at + 2;
    }
    if (size <= UINT16_MAX)
        return hfp_store16(at, 0xc5, (uint16_t)size);
    return hfp_store32(at, 0xc6, size);
}

/* 5 bytes at most; `count` values are to follow. */
static inline uint8_t *hfp_put_array_head(uint8_t *at, uint32_t count)
{
    if (count < 16) {
        *at = (uint8_t)(0x90 | count);
        return at + 1;
    }
    if (count <= UINT16_MAX)
        return hfp_store16(at, 0xdc, (uint16_t)count);
    return hfp_store32(at, 0xdd, count);
}

/* 5 bytes at most; `count` pairs of key and value are to follow. */
static inline uint8_t *hfp_put_map_head(uint8_t *at, uint32_t count)
{
    if (count < 16) {
        *at = (uint8_t)(0x80 | count);
        return at + 1;
    }
    if (count <= UINT16_MAX)
        return hfp_store16(at, 0xde, (uint16_t)count);
    return hfp_store32(at, 0xdf, count);
}

/* 5 + size bytes at most. */
static inline uint8_t *hfp_put_str(uint8_t *at, const void *bytes, uint32_t size)
{
    at = hfp_put_str_head(at, size);
    if (size != 0)
        memcpy(at, bytes, size);
    return at + size;
}

/* 5 + size bytes at most. */
static inline uint8_t *hfp_put_bin(uint8_t *at, const void *bytes, uint32_t size)
{
    at = hfp_put_bin_head(at, size);
    if (size != 0)
        memcpy(at, bytes, size);
    return at + size;
}

/* A terminated string, for keys and words of the program's own. 5 + its length at most. */
static inline uint8_t *hfp_put_text(uint8_t *at, const char *text)
{
    return hfp_put_str(at, text, (uint32_t)strlen(text));
}

/* ---- reading ---- */

static inline size_t hfp_left(const struct hfp_cursor *c)
{
    return (size_t)(c->end - c->at);
}

/* The type of the value that stands at the cursor, judged by its first byte alone. */
static inline enum hfp_type hfp_peek_type(const struct hfp_cursor *c)
{
    /* 0xc0 to 0xdf; what lies below and above is decided by ranges. */
    static const uint8_t middle[32] = {
        HFP_NIL, HFP_NONE, HFP_BOOL,  HFP_BOOL,  HFP_BIN,   HFP_BIN,   HFP_BIN, HFP_EXT,
        HFP_EXT, HFP_EXT,  HFP_FLOAT, HFP_FLOAT, HFP_INT,   HFP_INT,   HFP_INT, HFP_INT,
        HFP_INT, HFP_INT,  HFP_INT,   HFP_INT,   HFP_EXT,   HFP_EXT,   HFP_EXT, HFP_EXT,
        HFP_EXT, HFP_STR,  HFP_STR,   HFP_STR,   HFP_ARRAY, HFP_ARRAY, HFP_MAP, HFP_MAP,
    };
    if (c->at >= c->end)
        return HFP_NONE;
    uint8_t b = *c->at;
    if (b < 0x80 || b >= 0xe0)
        return HFP_INT;
    if (b >= 0xc0)
        return (enum hfp_type)middle[b - 0xc0];
    return b < 0x90 ? HFP_MAP : b < 0xa0 ? HFP_ARRAY : HFP_STR;
}

static inline bool hfp_read_nil(struct hfp_cursor *c)
{
    if (c->at >= c->end || *c->at != 0xc0)
        return false;
    c->at++;
    return true;
}

static inline bool hfp_read_bool(struct hfp_cursor *c, bool *ret)
{
    if (c->at >= c->end || (*c->at & 0xfe) != 0xc2)
        return false;
    *ret = *c->at == 0xc3;
    c->at++;
    return true;
}

/* A float of either width, or any integer (which may lose precision). */
static inline bool hfp_read_f64(struct hfp_cursor *c, double *ret);

/* An integer of any encoding, floating point included if its value is exactly integral and below 2^53 in
 * size. The result is sign and magnitude, so that both whole ranges fit: `negative` says that the value is
 * -magnitude. */
static inline bool hfp_read_magnitude(struct hfp_cursor *c, bool *negative, uint64_t *magnitude);

/* An integer from 0 to 2^64-1, in any encoding. */
static inline bool hfp_read_uint64(struct hfp_cursor *c, uint64_t *ret);

/* An integer from -2^63 to 2^63-1, in any encoding. */
static inline bool hfp_read_int64(struct hfp_cursor *c, int64_t *ret);

/* A str or bin; `ret->bin` tells which. */
static inline bool hfp_read_bytes(struct hfp_cursor *c, struct hfp_bytes *ret);

/* An ext: its type and its payload (`ret->bin` is true). */
static inline bool hfp_read_ext(struct hfp_cursor *c, int8_t *type, struct hfp_bytes *ret);

/* The head of an array. False also if fewer bytes are left than elements declared, so that a caller may
 * loop (but not allocate) by `count` without fear. */
static inline bool hfp_read_array(struct hfp_cursor *c, uint32_t *count);

/* The head of a map of `count` pairs; like hfp_read_array. */
static inline bool hfp_read_map(struct hfp_cursor *c, uint32_t *count);

/* Passes one whole value with all it contains. Iterative; time grows with the number of values in it. */
static inline bool hfp_skip(struct hfp_cursor *c);

/* True if `b` holds exactly the bytes of the terminated `text`. */
static inline bool hfp_bytes_are(struct hfp_bytes b, const char *text)
{
    return b.size == strlen(text) && memcmp(b.at, text, b.size) == 0;
}

/* ---- the readers themselves ---- */

/* Sign and magnitude of a two's complement number. */
static inline uint64_t hfp_magnitude(int64_t v, bool *negative)
{
    *negative = v < 0;
    return v < 0 ? 0 - (uint64_t)v : (uint64_t)v;
}

/* A double that is an exact integer below 2^53 as sign and magnitude. */
static inline bool hfp_integral(double v, bool *negative, uint64_t *magnitude)
{
    double size = v < 0 ? -v : v;
    if (!(size < (double)HFP_INT_EXACT)) /* not a number ends here too */
        return false;
    uint64_t whole = (uint64_t)size;
    if ((double)whole != size)
        return false;
    *magnitude = whole;
    *negative = v < 0;
    return true;
}

static inline double hfp_load_f32(const uint8_t *at)
{
    uint32_t bits = hfp_load32(at);
    float v;
    memcpy(&v, &bits, sizeof v);
    return (double)v;
}

static inline double hfp_load_f64(const uint8_t *at)
{
    uint64_t bits = hfp_load64(at);
    double v;
    memcpy(&v, &bits, sizeof v);
    return v;
}

static inline bool hfp_read_magnitude(struct hfp_cursor *c, bool *negative, uint64_t *magnitude)
{
    size_t left = hfp_left(c);
    if (left == 0)
        return false;
    const uint8_t *at = c->at;
    uint8_t b = *at;
    if (b < 0x80 || b >= 0xe0) {
        *magnitude = hfp_magnitude((int8_t)b, negative);
        c->at++;
        return true;
    }
    if (b < 0xca || b > 0xd3)
        return false;
    static const uint8_t widths[10] = {5, 9, 2, 3, 5, 9, 2, 3, 5, 9};
    size_t width = widths[b - 0xca];
    if (left < width)
        return false;
    bool minus = false;
    uint64_t v = 0;
    switch (b) {
    case 0xca:
        if (!hfp_integral(hfp_load_f32(at + 1), &minus, &v))
            return false;
        break;
    case 0xcb:
        if (!hfp_integral(hfp_load_f64(at + 1), &minus, &v))
            return false;
        break;
    case 0xcc: v = at[1]; break;
    case 0xcd: v = hfp_load16(at + 1); break;
    case 0xce: v = hfp_load32(at + 1); break;
    case 0xcf: v = hfp_load64(at + 1); break;
    case 0xd0: v = hfp_magnitude((int8_t)at[1], &minus); break;
    case 0xd1: v = hfp_magnitude((int16_t)hfp_load16(at + 1), &minus); break;
    case 0xd2: v = hfp_magnitude((int32_t)hfp_load32(at + 1), &minus); break;
    case 0xd3: v = hfp_magnitude((int64_t)hfp_load64(at + 1), &minus); break;
    }
    *negative = minus;
    *magnitude = v;
    c->at += width;
    return true;
}

static inline bool hfp_read_uint64(struct hfp_cursor *c, uint64_t *ret)
{
    const uint8_t *before = c->at;
    /* The two encodings of an id that clients use most come first. */
    if (hfp_left(c) >= 9 && *before == 0xcf) {
        *ret = hfp_load64(before + 1);
        c->at += 9;
        return true;
    }
    if (c->at < c->end && *before < 0x80) {
        *ret = *before;
        c->at++;
        return true;
    }
    bool negative;
    uint64_t magnitude;
    if (!hfp_read_magnitude(c, &negative, &magnitude))
        return false;
    if (negative) {
        c->at = before;
        return false;
    }
    *ret = magnitude;
    return true;
}

static inline bool hfp_read_int64(struct hfp_cursor *c, int64_t *ret)
{
    const uint8_t *before = c->at;
    bool negative;
    uint64_t magnitude;
    if (!hfp_read_magnitude(c, &negative, &magnitude))
        return false;
    if (magnitude > (uint64_t)INT64_MAX + (negative ? 1 : 0)) {
        c->at = before;
        return false;
    }
    *ret = negative ? (int64_t)(0 - magnitude) : (int64_t)magnitude;
    return true;
}

static inline bool hfp_read_f64(struct hfp_cursor *c, double *ret)
{
    if (hfp_left(c) >= 9 && *c->at == 0xcb) {
        *ret = hfp_load_f64(c->at + 1);
        c->at += 9;
        return true;
    }
    if (hfp_left(c) >= 5 && *c->at == 0xca) {
        *ret = hfp_load_f32(c->at + 1);
        c->at += 5;
        return true;
    }
    bool negative;
    uint64_t magnitude;
    if (hfp_peek_type(c) != HFP_INT || !hfp_read_magnitude(c, &negative, &magnitude))
        return false;
    *ret = negative ? -(double)magnitude : (double)magnitude;
    return true;
}

/* The length field of `width` bytes behind the type byte at the cursor, which the caller has made sure is
 * there. */
static inline uint32_t hfp_length(const uint8_t *at, size_t width)
{
    return width == 1 ? at[1] : width == 2 ? hfp_load16(at + 1) : hfp_load32(at + 1);
}

static inline bool hfp_read_bytes(struct hfp_cursor *c, struct hfp_bytes *ret)
{
    size_t left = hfp_left(c);
    if (left == 0)
        return false;
    uint8_t b = *c->at;
    size_t head = 1;
    size_t size = b & 0x1f;
    bool bin = b >= 0xc4 && b <= 0xc6;
    if (bin || (b >= 0xd9 && b <= 0xdb)) {
        size_t width = (size_t)1 << (bin ? b - 0xc4 : b - 0xd9);
        head = 1 + width;
        if (left < head)
            return false;
        size = hfp_length(c->at, width);
    } else if ((b & 0xe0) != 0xa0) {
        return false;
    }
    if (left - head < size)
        return false;
    *ret = (struct hfp_bytes){.at = c->at + head, .size = (uint32_t)size, .bin = bin};
    c->at += head + size;
    return true;
}

static inline bool hfp_read_ext(struct hfp_cursor *c, int8_t *type, struct hfp_bytes *ret)
{
    size_t left = hfp_left(c);
    if (left == 0)
        return false;
    uint8_t b = *c->at;
    size_t head = 2; /* the type byte of the value and that of the ext */
    size_t size;
    if (b >= 0xd4 && b <= 0xd8) {
        size = (size_t)1 << (b - 0xd4);
    } else if (b >= 0xc7 && b <= 0xc9) {
        size_t width = (size_t)1 << (b - 0xc7);
        head += width;
        if (left < head)
            return false;
        size = hfp_length(c->at, width);
    } else {
        return false;
    }
    if (left < head || left - head < size)
        return false;
    *type = (int8_t)c->at[head - 1];
    *ret = (struct hfp_bytes){.at = c->at + head, .size = (uint32_t)size, .bin = true};
    c->at += head + size;
    return true;
}

/* The head of a container: `fix` is the first byte of its short form, `wide` of its 16-bit form; each unit
 * of its count stands for `values` values. */
static inline bool hfp_read_container(struct hfp_cursor *c, uint8_t fix, uint8_t wide, size_t values,
                                      uint32_t *count)
{
    size_t left = hfp_left(c);
    if (left == 0)
        return false;
    uint8_t b = *c->at;
    size_t head = 1;
    uint32_t n = b & 0x0f;
    if (b == wide || b == wide + 1) {
        size_t width = b == wide ? 2 : 4;
        head += width;
        if (left < head)
            return false;
        n = hfp_length(c->at, width);
    } else if ((b & 0xf0) != fix) {
        return false;
    }
    if ((left - head) / values < n)
        return false;
    *count = n;
    c->at += head;
    return true;
}

static inline bool hfp_read_array(struct hfp_cursor *c, uint32_t *count)
{
    return hfp_read_container(c, 0x90, 0xdc, 1, count);
}

static inline bool hfp_read_map(struct hfp_cursor *c, uint32_t *count)
{
    return hfp_read_container(c, 0x80, 0xde, 2, count);
}

/* Passes one value or the head of one container, and adds to `more` how many values the container holds. */
static inline bool hfp_skip_head(struct hfp_cursor *c, uint64_t *more)
{
    struct hfp_bytes bytes;
    bool flag;
    int8_t type;
    double number;
    uint32_t count;
    switch (hfp_peek_type(c)) {
    case HFP_NIL: return hfp_read_nil(c);
    case HFP_BOOL: return hfp_read_bool(c, &flag);
    case HFP_INT:
    case HFP_FLOAT: return hfp_read_f64(c, &number);
    case HFP_STR:
    case HFP_BIN: return hfp_read_bytes(c, &bytes);
    case HFP_EXT: return hfp_read_ext(c, &type, &bytes);
    case HFP_ARRAY:
        if (!hfp_read_array(c, &count))
            return false;
        *more += count;
        return true;
    case HFP_MAP:
        if (!hfp_read_map(c, &count))
            return false;
        *more += 2 * (uint64_t)count;
        return true;
    case HFP_NONE: return false;
    }
    return false;
}

static inline bool hfp_skip(struct hfp_cursor *c)
{
    struct hfp_cursor walk = *c;
    for (uint64_t values = 1; values != 0; values--) {
        if (!hfp_skip_head(&walk, &values))
            return false;
    }
    *c = walk;
    return true;
}

#endif
