/* SPDX-License-Identifier: BSD-3-Clause */
#include "daemon/server/value.h"

#include <assert.h>

/* First bytes of the headers that are followed by a length; MessagePack's own table. */
enum { FIXSTR = 0xa0, FIXSTR_LAST = 0xbf, BIN8 = 0xc4, BIN16, BIN32, STR8 = 0xd9, STR16, STR32 };

static enum form form_of(uint8_t first)
{
    if (first >= FIXSTR && first <= FIXSTR_LAST)
        return FORM_FIXSTR;
    switch (first) {
    case STR8: return FORM_STR8;
    case STR16: return FORM_STR16;
    case STR32: return FORM_STR32;
    case BIN8: return FORM_BIN8;
    case BIN16: return FORM_BIN16;
    case BIN32: return FORM_BIN32;
    default: return FORM_RAW;
    }
}

void value_split_any(const uint8_t *at, uint64_t size, struct value_in *ret)
{
    enum form form = form_of(at[0]);
    unsigned header = value_header_size(form);

    assert(size > 0 && size >= header);
    *ret = (struct value_in){.form = form, .data = at + header, .size = size - header};
}

unsigned value_header_size(enum form form)
{
    switch (form) {
    case FORM_FIXSTR: return 1;
    case FORM_STR8:
    case FORM_BIN8: return 2;
    case FORM_STR16:
    case FORM_BIN16: return 3;
    case FORM_STR32:
    case FORM_BIN32: return 5;
    default: return 0;
    }
}

unsigned value_header(enum form form, uint64_t size, uint8_t ret[VALUE_HEADER_MAX])
{
    static const uint8_t first[FORM_COUNT] = {
        [FORM_FIXSTR] = FIXSTR, [FORM_STR8] = STR8,   [FORM_STR16] = STR16, [FORM_STR32] = STR32,
        [FORM_BIN8] = BIN8,     [FORM_BIN16] = BIN16, [FORM_BIN32] = BIN32,
    };
    unsigned length = value_header_size(form);

    if (length == 0)
        return 0;
    ret[0] = first[form];
    if (length == 1)
        ret[0] |= (uint8_t)size;
    for (unsigned i = 1; i < length; i++)
        ret[i] = (uint8_t)(size >> 8 * (length - 1 - i));
    return length;
}

enum form value_bin_form(uint64_t size)
{
    if (size <= 0xff)
        return FORM_BIN8;
    return size <= 0xffff ? FORM_BIN16 : FORM_BIN32;
}

bool value_has_bytes(enum form form)
{
    return form != FORM_RAW;
}

/* MessagePack's first bytes from 0xc0 on, up to the negative fixints. */
static const char *const types_c0[0x20] = {
    "nil",   NULL,  "bool", "bool", "bin", "bin", "bin",   "ext",   "ext", "ext", "float",
    "float", "int", "int",  "int",  "int", "int", "int",   "int",   "int", "ext", "ext",
    "ext",   "ext", "ext",  "str",  "str", "str", "array", "array", "map", "map",
};

const char *value_type(enum form form, uint8_t first)
{
    if (form != FORM_RAW)
        return form >= FORM_BIN8 ? "bin" : "str";
    if (first < 0x80 || first >= 0xe0)
        return "int";
    if (first < 0xc0)
        return first < 0x90 ? "map" : first < 0xa0 ? "array" : "str";
    /* 0xc1 is no type; the scan lets none pass. */
    return types_c0[first - 0xc0] ? types_c0[first - 0xc0] : "nil";
}
