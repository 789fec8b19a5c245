/* SPDX-License-Identifier: BSD-3-Clause */
#include "daemon/base/utf8.h"

/* Bytes of the character that begins at `at`, 0 if none does. */
static size_t character(const uint8_t *at, size_t left)
{
    uint8_t first = at[0];
    if (first < 0x80)
        return first >= 0x20 && first != 0x7f ? 1 : 0;
    size_t size = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
    if (first < 0xc2 || first > 0xf4 || left < size)
        return 0;
    uint32_t code = first & (0x7fu >> size);
    for (size_t i = 1; i < size; i++) {
        if ((at[i] & 0xc0) != 0x80)
            return 0;
        code = code << 6 | (at[i] & 0x3fu);
    }
    static const uint32_t least[5] = {0, 0, 0xa0, 0x800, 0x10000}; /* U+0080 to U+009F are controls */
    bool surrogate = code >= 0xd800 && code <= 0xdfff;
    return code < least[size] || code > 0x10ffff || surrogate ? 0 : size;
}

bool utf8_printable(const uint8_t *bytes, size_t size)
{
    for (size_t at = 0; at < size;) {
        size_t step = character(bytes + at, size - at);
        if (step == 0)
            return false;
        at += step;
    }
    return true;
}
