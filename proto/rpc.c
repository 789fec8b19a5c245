/* SPDX-License-Identifier: BSD-3-Clause */
#include "proto/rpc.h"

#include <stdarg.h>
#include <stdio.h>

static const struct {
    const char *name;
    const char *text;
} errors[HF_E_COUNT] = {[HF_OK] = {"OK", ""},
#define LINE(code, text) [HF_E_##code] = {#code, text},
                        HF_ERRORS(LINE)
#undef LINE
};

/* ---- envelopes ---- */

uint8_t *hfp_put_error(uint8_t *at, uint32_t msgid, const char *text, size_t size)
{
    static const char none[] = "INTERNAL: no reason given";
    if (size == 0) {
        text = none;
        size = sizeof none - 1;
    }
    if (size > HFP_ERROR_TEXT_MAX)
        size = HFP_ERROR_TEXT_MAX;
    at[0] = 0x94;
    at[1] = 0x01;
    at = hfp_put_uint(at + 2, msgid);
    at = hfp_put_str(at, text, (uint32_t)size);
    return hfp_put_nil(at);
}

uint8_t *hfp_put_request_head(uint8_t *at, uint32_t msgid, const char *method, uint32_t size, uint32_t params)
{
    at[0] = 0x94;
    at[1] = 0x00;
    at = hfp_put_uint(at + 2, msgid);
    at = hfp_put_str(at, method, size);
    return hfp_put_array_head(at, params);
}

uint8_t *hfp_put_notification_head(uint8_t *at, const char *method, uint32_t size, uint32_t params)
{
    at[0] = 0x93;
    at[1] = 0x02;
    at = hfp_put_str(at + 2, method, size);
    return hfp_put_array_head(at, params);
}

uint8_t *hfp_put_event_head(uint8_t *at, uint64_t seq, const char *topic, uint32_t size)
{
    at[0] = 0x93;
    at[1] = 0x02;
    at = hfp_put_text(at + 2, "event");
    at = hfp_put_array_head(at, 3);
    at = hfp_put_uint(at, seq);
    return hfp_put_str(at, topic, size);
}

/* ---- errors ---- */

static unsigned error_index(int code)
{
    unsigned index = code < 0 ? 0u - (unsigned)code : (unsigned)code;
    return index < HF_E_COUNT ? index : HF_E_INTERNAL;
}

const char *hfp_err_name(int code)
{
    return errors[error_index(code)].name;
}

const char *hfp_err_text(int code)
{
    return errors[error_index(code)].text;
}

int hfp_err_find(const char *name, size_t size)
{
    for (int code = HF_OK + 1; code < HF_E_COUNT; code++) {
        if (strlen(errors[code].name) == size && memcmp(errors[code].name, name, size) == 0)
            return code;
    }
    return 0;
}

/* The bytes of the UTF-8 character at `at`, or 0 if none that may stand in an error text starts there. */
static size_t character_size(const unsigned char *at, size_t left)
{
    static const struct {
        unsigned char first_min, first_max, second_min, second_max, size;
    } forms[] = {
        {0x20, 0x7e, 0, 0, 1},       {0xc2, 0xc2, 0xa0, 0xbf, 2}, /* U+0080 to U+009f are controls */
        {0xc3, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3}, {0xe1, 0xec, 0x80, 0xbf, 3},
        {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3}, {0xf0, 0xf0, 0x90, 0xbf, 4},
        {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4},
    };
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        if (at[0] < forms[i].first_min || at[0] > forms[i].first_max)
            continue;
        if (forms[i].size > left)
            return 0;
        if (forms[i].size > 1 && (at[1] < forms[i].second_min || at[1] > forms[i].second_max))
            return 0;
        for (size_t k = 2; k < forms[i].size; k++) {
            if ((at[k] & 0xc0) != 0x80)
                return 0;
        }
        return forms[i].size;
    }
    return 0;
}

/* Makes `size` bytes at `to` valid UTF-8 without control characters, in place; returns the size, which is
 * less if `cut` says that the end may have split a character. */
static size_t make_printable(char *to, size_t size, bool cut)
{
    unsigned char *at = (unsigned char *)to;
    for (size_t i = 0; i < size;) {
        size_t step = character_size(at + i, size - i);
        if (step == 0 && cut && size - i < 4 && at[i] >= 0xc2)
            return i;
        if (step == 0) {
            at[i] = '?';
            step = 1;
        }
        i += step;
    }
    return size;
}

size_t hfp_error_format(char *to, size_t room, int code, const char *keys, const char *format, ...)
{
    bool keyed = keys != NULL && keys[0] != '\0';
    size_t used = 0;
    int n = snprintf(to, room, "%s%s%s: ", hfp_err_name(code), keyed ? " " : "", keyed ? keys : "");
    used += n < 0 ? 0 : (size_t)n;
    if (used < room) {
        va_list args;
        va_start(args, format);
        if (format != NULL)
            n = vsnprintf(to + used, room - used, format, args);
        else
            n = snprintf(to + used, room - used, "%s", hfp_err_text(code));
        va_end(args);
        used += n < 0 ? 0 : (size_t)n;
    }
    bool cut = used >= room;
    size_t size = make_printable(to, cut ? room - 1 : used, cut);
    to[size] = '\0';
    return size;
}

/* ---- parsing ---- */

static bool is_code_letter(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

/* The place of the ": " (or of a ':' that ends the text) that ends code and keys, or `size`. */
static size_t find_colon(const char *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (bytes[i] == ':' && (i + 1 == size || bytes[i + 1] == ' '))
            return i;
    }
    return size;
}

void hfp_error_parse(const char *bytes, size_t size, struct hfp_error *ret)
{
    *ret = (struct hfp_error){.word = bytes, .keys = bytes, .text = bytes};
    size_t colon = find_colon(bytes, size);
    size_t word = 0;
    while (word < colon && is_code_letter(bytes[word]))
        word++;
    bool coded = word > 0 && (word == colon || bytes[word] == ' ');
    /* A word without ": " is an error of another server unless it is a code of ours. */
    if (!coded || (colon == size && hfp_err_find(bytes, word) == 0)) {
        ret->text_size = size;
        return;
    }
    ret->code = hfp_err_find(bytes, word);
    ret->word_size = word;
    size_t keys = word < colon ? word + 1 : word;
    ret->keys = bytes + keys;
    ret->keys_size = colon - keys;
    size_t text = colon + 2 < size ? colon + 2 : size;
    ret->text = bytes + text;
    ret->text_size = size - text;
}

bool hfp_error_key(const struct hfp_error *error, const char *key, const char **at, size_t *size)
{
    size_t key_size = strlen(key);
    const char *end = error->keys + error->keys_size;
    for (const char *pair = error->keys; pair < end;) {
        const char *space = memchr(pair, ' ', (size_t)(end - pair));
        const char *stop = space != NULL ? space : end;
        size_t left = (size_t)(stop - pair);
        if (left > key_size && memcmp(pair, key, key_size) == 0 && pair[key_size] == '=') {
            *at = pair + key_size + 1;
            *size = left - key_size - 1;
            return true;
        }
        pair = space != NULL ? space + 1 : end;
    }
    return false;
}

bool hfp_error_key_uint(const struct hfp_error *error, const char *key, uint64_t *ret)
{
    const char *at;
    size_t size;
    if (!hfp_error_key(error, key, &at, &size) || size == 0)
        return false;
    uint64_t value = 0;
    for (size_t i = 0; i < size; i++) {
        unsigned digit = (unsigned char)at[i] - (unsigned)'0';
        if (digit > 9 || value > (UINT64_MAX - digit) / 10)
            return false;
        value = value * 10 + digit;
    }
    *ret = value;
    return true;
}
