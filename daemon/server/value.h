/* SPDX-License-Identifier: BSD-3-Clause */
/* Values: between their MessagePack bytes on the wire and what the pool keeps.
 *
 * A str or bin loses its header on the way in (the pool keeps the payload and says in `form` which header
 * it was, even if a shorter one would have done) and gets it back on the way out, byte for byte. Everything
 * else is kept whole as FORM_RAW. So for every value: header(form, size) + payload = the bytes that came.
 *
 * Nothing here owns memory: pointers lead into the bytes given. */
#ifndef SERVER_VALUE_H
#define SERVER_VALUE_H

#include "daemon/pool/pool.h"

#include <stdbool.h>
#include <stdint.h>

#define VALUE_HEADER_MAX 5u

/* Describes the MessagePack value in the `size` bytes (> 0) at `at`, which a scan has found to be exactly
 * one. Looks at the header only (at most VALUE_HEADER_MAX bytes), so the payload may still be on its way.
 * *ret points into `at`; it has no stage. */
void value_split_any(const uint8_t *at, uint64_t size, struct value_in *ret);
static inline void value_split(const uint8_t *at, uint64_t size, struct value_in *ret)
{
    if (at[0] == 0xc4) /* nearly all: a bin of up to 255 bytes */
        *ret = (struct value_in){.form = FORM_BIN8, .data = at + 2, .size = size - 2};
    else
        value_split_any(at, size, ret);
}

/* Writes the header that stood before a payload of `size` bytes; returns its length, 0 for FORM_RAW.
 * `size` fits the form, as it does in all that value_split() and value_bin_form() made. */
unsigned value_header(enum form form, uint64_t size, uint8_t ret[VALUE_HEADER_MAX]);

/* Length of that header. */
unsigned value_header_size(enum form form);

/* The shortest bin for `size` bytes (at most HF_OBJECT_MAX): parts of values, and objects put with `size`. */
enum form value_bin_form(uint64_t size);

/* True for str and bin: those have bytes of which `get` can give a part. */
bool value_has_bytes(enum form form);

/* "nil" "bool" "int" "float" "str" "bin" "array" "map" "ext"; `first` is the value's first byte, used for
 * FORM_RAW. */
const char *value_type(enum form form, uint8_t first);

#endif
