/* SPDX-License-Identifier: BSD-3-Clause */
/* UTF-8 as names have it: well-formed (no overlong form, no surrogate, nothing above U+10FFFF), without
 * control characters (U+0000 to U+001F, U+007F to U+009F). */
#ifndef BASE_UTF8_H
#define BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

bool utf8_printable(const uint8_t *bytes, size_t size);

#endif
