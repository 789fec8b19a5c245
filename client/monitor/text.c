/* SPDX-License-Identifier: BSD-3-Clause */
#include "client/monitor/text.h"

#include <stdio.h>
#include <string.h>
#include <wchar.h>
#include <wctype.h>

/* ---- numbers ---- */

/* Three digits and a unit; `step` is from one unit to the next. */
static char *with_unit(double number, double step, const char *units, char to[MONITOR_NUMBER_SIZE])
{
    while (number >= step * 0.9995 && units[1] != '\0') {
        number /= step;
        units++;
    }
    snprintf(to, MONITOR_NUMBER_SIZE, number < 99.95 ? "%.1f%c" : "%.0f%c", number, units[0]);
    return to;
}

char *monitor_count(double number, char to[MONITOR_NUMBER_SIZE])
{
    if (number < 9999.5) {
        snprintf(to, MONITOR_NUMBER_SIZE, "%.0f", number);
        return to;
    }
    return with_unit(number / 1000, 1000, "kMGTPE", to);
}

char *monitor_bytes(double bytes, char to[MONITOR_NUMBER_SIZE])
{
    if (bytes < 1023.5) {
        snprintf(to, MONITOR_NUMBER_SIZE, "%.0f", bytes);
        return to;
    }
    return with_unit(bytes / 1024, 1024, "KMGTPE", to);
}

char *monitor_us(double us, char to[MONITOR_NUMBER_SIZE])
{
    if (us < 999.5)
        snprintf(to, MONITOR_NUMBER_SIZE, us < 9.95 ? "%.1f" : "%.0f", us);
    else if (us < 999.5e3)
        snprintf(to, MONITOR_NUMBER_SIZE, us < 99.95e3 ? "%.1fm" : "%.0fm", us / 1e3);
    else
        snprintf(to, MONITOR_NUMBER_SIZE, us < 99.95e6 ? "%.1fs" : "%.0fs", us / 1e6);
    return to;
}

/* ---- characters ---- */

/* The character at `bytes`, of `length` bytes: its size there, and what it is. */
static size_t next_character(const char *bytes, size_t length, wchar_t *ret)
{
    const unsigned char *at = (const unsigned char *)bytes;
    size_t size = at[0] < 0x80   ? 1
                  : at[0] < 0xc2 ? 0
                  : at[0] < 0xe0 ? 2
                  : at[0] < 0xf0 ? 3
                  : at[0] < 0xf5 ? 4
                                 : 0;
    *ret = L'?';
    if (size == 0 || size > length)
        return 1;
    uint32_t code = size == 1 ? at[0] : at[0] & (0x7fu >> size);
    for (size_t i = 1; i < size; i++) {
        if ((at[i] & 0xc0) != 0x80)
            return 1;
        code = code << 6 | (at[i] & 0x3f);
    }
    *ret = (wchar_t)code;
    return size;
}

unsigned monitor_width(const char *text)
{
    unsigned width = 0;
    wchar_t c;
    for (size_t length = strlen(text); length != 0;) {
        size_t size = next_character(text, length, &c);
        int own = wcwidth(c);
        width += own > 0 ? (unsigned)own : 0;
        text += size;
        length -= size;
    }
    return width;
}

/* What is left to be written to. */
struct output {
    char *at;
    size_t left; /* with the terminating zero */
};

static void put_bytes(struct output *out, const char *bytes, size_t size)
{
    if (size >= out->left)
        return;
    memcpy(out->at, bytes, size);
    out->at += size;
    out->left -= size;
    *out->at = '\0';
}

static void put_blanks(struct output *out, unsigned count)
{
    while (count-- != 0)
        put_bytes(out, " ", 1);
}

/* Writes what fits; returns the columns used. */
static unsigned put_text(struct output *out, const char *bytes, size_t length, unsigned columns)
{
    unsigned used = 0;
    while (length != 0) {
        wchar_t c;
        size_t size = next_character(bytes, length, &c);
        int width = wcwidth(c);
        bool shown = width > 0 && iswprint((wint_t)c);
        if (used + (shown ? (unsigned)width : 1) > columns)
            break;
        put_bytes(out, shown && c != L'?' ? bytes : "?", shown && c != L'?' ? size : 1);
        used += shown ? (unsigned)width : 1;
        bytes += size;
        length -= size;
    }
    return used;
}

void monitor_fit(char *to, size_t size, const char *bytes, size_t length, unsigned columns, bool right)
{
    struct output out = {to, size};
    char text[512];
    struct output inner = {text, sizeof text};
    if (size == 0)
        return;
    to[0] = text[0] = '\0';
    unsigned used = put_text(&inner, bytes, length, columns);
    if (right)
        put_blanks(&out, columns - used);
    put_bytes(&out, text, strlen(text));
    if (!right)
        put_blanks(&out, columns - used);
}

void monitor_bar(char *to, size_t size, double share, unsigned columns)
{
    struct output out = {to, size};
    unsigned filled = share <= 0 ? 0 : share >= 1 ? columns : (unsigned)(share * columns + 0.5);
    if (size == 0)
        return;
    to[0] = '\0';
    for (unsigned i = 0; i < columns; i++)
        put_bytes(&out, i < filled ? "|" : " ", 1);
}
