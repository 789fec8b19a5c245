/* SPDX-License-Identifier: BSD-3-Clause */
#include "daemon/server/brief.h"

#include "daemon/base/utf8.h"
#include "proto/mp.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define TEXT_SHOWN    40u /* bytes of a str */
#define ENTRIES_SHOWN 4u  /* of an array or map */
#define DOTS          "..."

struct line {
    char *at, *end; /* one byte is kept for the zero */
    bool cut;
};

/* Appends all of it or nothing more at all. */
static void put(struct line *line, const char *text, size_t size)
{
    line->cut |= (size_t)(line->end - line->at) < size;
    if (line->cut)
        return;
    memcpy(line->at, text, size);
    line->at += size;
}

__attribute__((format(printf, 2, 3))) static void putf(struct line *line, const char *format, ...)
{
    char text[48];
    va_list args;
    va_start(args, format);
    int size = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    put(line, text, (size_t)size < sizeof text ? (size_t)size : sizeof text - 1);
}

/* A str that may be shown: its begin, up to a whole character. */
static void put_text(struct line *line, struct hfp_bytes bytes)
{
    size_t size = bytes.size;
    if (size > TEXT_SHOWN) {
        for (size = TEXT_SHOWN; size > 0 && (bytes.at[size] & 0xc0) == 0x80;)
            size--;
    }
    if (!utf8_printable(bytes.at, size)) {
        putf(line, "<%u bytes>", bytes.size);
        return;
    }
    char text[TEXT_SHOWN + sizeof "\"\"" DOTS];
    text[0] = '"';
    memcpy(text + 1, bytes.at, size);
    memcpy(text + 1 + size, "\"" DOTS, sizeof "\"" DOTS);
    put(line, text, 2 + size + (size < bytes.size ? sizeof DOTS - 1 : 0));
}

static void put_int(struct line *line, struct hfp_cursor *cursor)
{
    uint64_t number;
    int64_t signed_number;
    struct hfp_cursor again = *cursor;
    if (hfp_read_uint64(cursor, &number))
        putf(line, "%llu", (unsigned long long)number);
    else if (hfp_read_int64(&again, &signed_number))
        putf(line, "%lld", (long long)signed_number);
    *cursor = again.at > cursor->at ? again : *cursor;
}

/* One value that is no array and no map, and passes it. False: it is one, or there is none. */
static bool put_scalar(struct line *line, struct hfp_cursor *cursor, bool shown)
{
    struct hfp_bytes bytes = {.at = (const uint8_t *)"", .size = 0};
    bool truth = false;
    double number = 0;
    int8_t type = 0;
    switch (hfp_peek_type(cursor)) {
    case HFP_NIL: put(line, "nil", 3); return hfp_read_nil(cursor);
    case HFP_BOOL:
        hfp_read_bool(cursor, &truth);
        putf(line, "%s", truth ? "true" : "false");
        return true;
    case HFP_INT: put_int(line, cursor); return true;
    case HFP_FLOAT:
        hfp_read_f64(cursor, &number);
        putf(line, "%g", number);
        return true;
    case HFP_STR:
    case HFP_BIN:
        hfp_read_bytes(cursor, &bytes);
        if (shown && !bytes.bin)
            put_text(line, bytes);
        else
            putf(line, "<%u bytes>", bytes.size);
        return true;
    case HFP_EXT:
        hfp_read_ext(cursor, &type, &bytes);
        putf(line, "<ext of %u bytes>", bytes.size);
        return true;
    default: return false;
    }
}

/* The head of an array or map within another one, which is not gone into. */
static void put_nested(struct line *line, struct hfp_cursor *cursor)
{
    uint32_t count = 0;
    if (hfp_peek_type(cursor) == HFP_ARRAY && hfp_read_array(cursor, &count))
        putf(line, "[%u]", count);
    else if (hfp_read_map(cursor, &count))
        putf(line, "{%u}", count);
}

/* The first entries of an array or map; at the first one that is none itself the rest is told as dots. */
static void put_entries(struct line *line, struct hfp_cursor *cursor, uint32_t count, bool pairs, bool shown)
{
    for (uint32_t i = 0; i < count; i++) {
        put(line, ", ", i == 0 ? 0 : 2);
        if (i == ENTRIES_SHOWN) {
            put(line, DOTS, sizeof DOTS - 1);
            return;
        }
        struct hfp_bytes key;
        if (pairs && hfp_peek_type(cursor) == HFP_STR && hfp_read_bytes(cursor, &key)) {
            size_t size = key.size < TEXT_SHOWN && utf8_printable(key.at, key.size) ? key.size : 0;
            put(line, (const char *)key.at, size);
            put(line, ": ", 2);
        }
        if (put_scalar(line, cursor, shown))
            continue;
        put_nested(line, cursor);
        put(line, ", " DOTS, i + 1 < count ? sizeof ", " DOTS - 1 : 0);
        return;
    }
}

static void put_param(struct line *line, struct hfp_cursor cursor, bool shown)
{
    uint32_t count;
    if (put_scalar(line, &cursor, shown))
        return;
    bool array = hfp_peek_type(&cursor) == HFP_ARRAY;
    if (array ? !hfp_read_array(&cursor, &count) : !hfp_read_map(&cursor, &count))
        return;
    put(line, array ? "[" : "{", 1);
    put_entries(line, &cursor, count, !array, shown);
    put(line, array ? "]" : "}", 1);
}

/* Whether the texts in its params may be read by others: no secrets, no values. */
static bool is_shown(enum hf_method method)
{
    switch (method) {
    case HF_METHOD_hello:
    case HF_METHOD_claim:
    case HF_METHOD_unshare:
    case HF_METHOD_put_many: return false;
    default: return true;
    }
}

/* Whether a param is a value, of which only the size is told. */
static bool is_value(enum hf_method method, uint32_t param)
{
    return method == HF_METHOD_put ? param == 0
                                   : (method == HF_METHOD_set || method == HF_METHOD_store) && param == 1;
}

static void put_size(struct line *line, struct hfp_cursor cursor)
{
    struct hfp_bytes bytes = {.size = (uint32_t)hfp_left(&cursor)};
    if (hfp_peek_type(&cursor) == HFP_STR || hfp_peek_type(&cursor) == HFP_BIN)
        hfp_read_bytes(&cursor, &bytes);
    putf(line, "<%u bytes>", bytes.size);
}

void brief_params(char *to, enum hf_method method, const uint8_t *bytes, const struct hfp_frame *frame)
{
    struct line line = {.at = to, .end = to + BRIEF_MAX - sizeof DOTS};
    uint32_t count = frame->param_count < HFP_PARAMS_KEPT ? frame->param_count : HFP_PARAMS_KEPT;
    for (uint32_t i = 0; i < count; i++) {
        const struct hfp_span *span = &frame->param[i];
        put(&line, ", ", i == 0 ? 0 : 2);
        struct hfp_cursor cursor = {.at = bytes + span->at, .end = bytes + span->at + span->size};
        if (is_value(method, i))
            put_size(&line, cursor);
        else
            put_param(&line, cursor, is_shown(method));
    }
    if (line.cut || count < frame->param_count) {
        memcpy(line.at, DOTS, sizeof DOTS - 1);
        line.at += sizeof DOTS - 1;
    }
    *line.at = '\0';
}
