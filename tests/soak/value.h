/* SPDX-License-Identifier: BSD-3-Clause */
/* Values that prove themselves: all bytes of one follow from its seed and its size, and both can be read from it. So a
 * client that meets a value of somebody else's can tell that it is whole, and which pool it was made for.
 *
 * Size 0 is an integer (the seed itself); above, at least VALUE_MIN, it is `size` bytes as a bin, as a str, or as a bin
 * in an array, by the seed. */
#ifndef HF_TESTS_SOAK_VALUE_H
#define HF_TESTS_SOAK_VALUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VALUE_MIN      8u /* bytes of a payload: the seed */
#define VALUE_HEAD_MAX 6u /* bytes of MessagePack before it */
#define VALUE_TAG_MAX  ((1u << 15) - 1)

struct value {
    uint64_t seed;
    uint32_t size;
};

/* Value number `number` (below 2^40) of the pool with that tag (at most VALUE_TAG_MAX); `size` is 0 or at least
 * VALUE_MIN. */
struct value value_make(unsigned tag, uint64_t number, uint32_t size);
unsigned value_tag(struct value value);

/* It is a bin or a str: a part of it can be had. */
bool value_has_parts(struct value value);

/* Bytes of it as MessagePack, and those. */
size_t value_encoded_size(struct value value);
void value_encode(struct value value, uint8_t *at);

/* `count` bytes from `offset` of its payload (size > 0). `offset` is a multiple of 8. */
void value_payload(struct value value, uint32_t offset, uint8_t *at, uint32_t count);

/* Whether these `size` bytes of MessagePack are that value, to the last bit. */
bool value_is(struct value value, const uint8_t *bytes, size_t size);
/* The same for a payload as a bin, whatever the seed says. */
bool value_is_bin(struct value value, const uint8_t *bytes, size_t size);

/* What value these bytes are; false: none that value_encode() or a bin of value_payload() could have made. */
bool value_read(const uint8_t *bytes, size_t size, struct value *ret);

#endif
