/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/soak/value.h"

#include "proto/mp.h"
#include "tests/lib/random.h"

#include <string.h>

#define CHUNK   4096u
#define MARK    (1ull << 63) /* in each seed: as an integer it always has 9 bytes */
#define TAG_BIT 48
#define FORMS   3u

enum form { FORM_BIN, FORM_STR, FORM_BOXED };

struct value value_make(unsigned tag, uint64_t number, uint32_t size)
{
    return (struct value){.seed = MARK | (uint64_t)tag << TAG_BIT | number, .size = size};
}

unsigned value_tag(struct value value)
{
    return (unsigned)(value.seed >> TAG_BIT) & VALUE_TAG_MAX;
}

static enum form form_of(struct value value)
{
    return (enum form)(value.seed % FORMS);
}

bool value_has_parts(struct value value)
{
    return value.size != 0 && form_of(value) != FORM_BOXED;
}

/* Writes what stands before the payload; its size. */
static size_t head(struct value value, enum form form, uint8_t at[VALUE_HEAD_MAX])
{
    uint8_t *begin = at;
    if (form == FORM_BOXED)
        at = hfp_put_array_head(at, 1);
    at = form == FORM_STR ? hfp_put_str_head(at, value.size) : hfp_put_bin_head(at, value.size);
    return (size_t)(at - begin);
}

size_t value_encoded_size(struct value value)
{
    uint8_t bytes[VALUE_HEAD_MAX];
    return value.size == 0 ? HFP_HEAD_MAX : head(value, form_of(value), bytes) + value.size;
}

/* Eight bytes of the payload. The first are the seed. */
static uint64_t word(uint64_t seed, uint64_t index)
{
    struct random mix = {.state = seed ^ index << 32};
    return index == 0 ? seed : random_next(&mix);
}

void value_payload(struct value value, uint32_t offset, uint8_t *at, uint32_t count)
{
    uint64_t index = offset / 8, next;
    for (; count >= 8; count -= 8, at += 8) {
        next = word(value.seed, index++);
        memcpy(at, &next, 8);
    }
    next = word(value.seed, index);
    memcpy(at, &next, count);
}

void value_encode(struct value value, uint8_t *at)
{
    if (value.size == 0)
        hfp_put_uint(at, value.seed);
    else
        value_payload(value, 0, at + head(value, form_of(value), at), value.size);
}

static bool payload_is(struct value value, const uint8_t *bytes)
{
    uint8_t right[CHUNK];
    for (uint32_t at = 0; at < value.size; at += CHUNK) {
        uint32_t count = value.size - at < CHUNK ? value.size - at : CHUNK;
        value_payload(value, at, right, count);
        if (memcmp(right, bytes + at, count) != 0)
            return false;
    }
    return true;
}

static bool is_in_form(struct value value, enum form form, const uint8_t *bytes, size_t size)
{
    uint8_t right[VALUE_HEAD_MAX];
    size_t before = head(value, form, right);
    return size == before + value.size && memcmp(right, bytes, before) == 0 &&
           payload_is(value, bytes + before);
}

bool value_is(struct value value, const uint8_t *bytes, size_t size)
{
    uint8_t right[HFP_HEAD_MAX];
    if (value.size != 0)
        return is_in_form(value, form_of(value), bytes, size);
    hfp_put_uint(right, value.seed);
    return size == sizeof right && memcmp(right, bytes, size) == 0;
}

bool value_is_bin(struct value value, const uint8_t *bytes, size_t size)
{
    return is_in_form(value, FORM_BIN, bytes, size);
}

bool value_read(const uint8_t *bytes, size_t size, struct value *ret)
{
    struct hfp_cursor cursor = {bytes, bytes + size};
    struct hfp_bytes payload;
    uint32_t count;
    ret->size = 0;
    if (hfp_read_uint64(&cursor, &ret->seed))
        return value_is(*ret, bytes, size);
    if (hfp_peek_type(&cursor) == HFP_ARRAY && !(hfp_read_array(&cursor, &count) && count == 1))
        return false;
    if (!hfp_read_bytes(&cursor, &payload) || payload.size < VALUE_MIN)
        return false;
    memcpy(&ret->seed, payload.at, sizeof ret->seed);
    ret->size = payload.size;
    return value_is(*ret, bytes, size) || value_is_bin(*ret, bytes, size);
}
