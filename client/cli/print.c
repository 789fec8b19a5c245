/* SPDX-License-Identifier: BSD-3-Clause */
#include "client/cli/print.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define DEPTH_MAX   96 /* above what the library lets pass */
#define COLUMNS_MAX 32
#define CELL_SIZE   80

/* ---- JSON ---------------------------------------------------------------------------------------------- */

/* Bytes of the UTF-8 character at `at` (of `size` bytes), 0 if there is none. */
static size_t utf8_character(const unsigned char *at, size_t size)
{
    size_t length = at[0] < 0x80   ? 1
                    : at[0] < 0xc2 ? 0
                    : at[0] < 0xe0 ? 2
                    : at[0] < 0xf0 ? 3
                    : at[0] < 0xf5 ? 4
                                   : 0;
    if (length == 0 || length > size)
        return 0;
    for (size_t i = 1; i < length; i++) {
        if ((at[i] & 0xc0) != 0x80)
            return 0;
    }
    bool overlong = (at[0] == 0xe0 && at[1] < 0xa0) || (at[0] == 0xf0 && at[1] < 0x90);
    bool surrogate = at[0] == 0xed && at[1] >= 0xa0;
    bool beyond = at[0] == 0xf4 && at[1] >= 0x90;
    return overlong || surrogate || beyond ? 0 : length;
}

static bool is_utf8(const unsigned char *bytes, size_t size)
{
    for (size_t at = 0; at < size;) {
        size_t length = utf8_character(bytes + at, size - at);
        if (length == 0)
            return false;
        at += length;
    }
    return true;
}

static void print_base64(FILE *out, const unsigned char *bytes, size_t size)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    putc('"', out);
    for (size_t i = 0; i < size; i += 3) {
        size_t left = size - i;
        uint32_t group = (uint32_t)bytes[i] << 16 | (left > 1 ? (uint32_t)bytes[i + 1] << 8 : 0) |
                         (left > 2 ? bytes[i + 2] : 0);
        putc(digits[group >> 18], out);
        putc(digits[group >> 12 & 63], out);
        putc(left > 1 ? digits[group >> 6 & 63] : '=', out);
        putc(left > 2 ? digits[group & 63] : '=', out);
    }
    putc('"', out);
}

static void print_json_text(FILE *out, const unsigned char *bytes, size_t size)
{
    static const char escaped[] = "\"\\\b\f\n\r\t";
    static const char letters[] = "\"\\bfnrt";
    putc('"', out);
    for (size_t i = 0; i < size; i++) {
        unsigned char c = bytes[i];
        const char *found = c != '\0' ? strchr(escaped, c) : NULL;
        if (found != NULL)
            fprintf(out, "\\%c", letters[found - escaped]);
        else if (c < 0x20 || c == 0x7f)
            fprintf(out, "\\u%04x", c);
        else
            putc(c, out);
    }
    putc('"', out);
}

static void print_special(FILE *out, const char *form, const unsigned char *bytes, size_t size)
{
    fprintf(out, "{\"%s\":", form);
    print_base64(out, bytes, size);
    putc('}', out);
}

static void print_float(FILE *out, double number)
{
    char text[40];
    if (!isfinite(number)) {
        fputs("null", out);
        return;
    }
    /* The fewest digits that read back as the same number. */
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, number);
        if (strtod(text, NULL) == number)
            break;
    }
    fputs(text, out);
    if (strpbrk(text, ".e") == NULL)
        fputs(".0", out);
}

static void print_number(FILE *out, hf_item item)
{
    int64_t number;
    uint64_t large;
    if (hf_item_int(item, &number))
        fprintf(out, "%" PRId64, number);
    else if (hf_item_uint(item, &large))
        fprintf(out, "%" PRIu64, large);
}

/* A value that holds no other. */
static void print_leaf(FILE *out, hf_item item)
{
    const void *bytes = NULL;
    size_t size = 0;
    bool truth = false;
    double number = 0;
    int type = 0;
    hf_item_bytes(item, &bytes, &size);
    switch (hf_item_type(item)) {
    case HF_TYPE_BOOL: fputs(hf_item_bool(item, &truth) && truth ? "true" : "false", out); break;
    case HF_TYPE_INT: print_number(out, item); break;
    case HF_TYPE_FLOAT:
        hf_item_float(item, &number);
        print_float(out, number);
        break;
    case HF_TYPE_STR:
        if (is_utf8(bytes, size))
            print_json_text(out, bytes, size);
        else
            print_special(out, "$str", bytes, size);
        break;
    case HF_TYPE_BIN: print_special(out, "$bin", bytes, size); break;
    case HF_TYPE_EXT:
        hf_item_ext(item, &type);
        fprintf(out, "{\"$ext\":[%d,", type);
        print_base64(out, bytes, size);
        fputs("]}", out);
        break;
    default: fputs("null", out); break;
    }
}

static bool is_container(hf_item item)
{
    enum hf_type type = hf_item_type(item);
    return type == HF_TYPE_ARRAY || type == HF_TYPE_MAP;
}

/* JSON has only strings as keys: any other key becomes one with its JSON text, a container its
 * MessagePack. */
static void print_key(FILE *out, hf_item key)
{
    const void *bytes;
    size_t size;
    if (is_container(key)) {
        print_base64(out, key.data, key.size);
    } else if (hf_item_bytes(key, &bytes, &size)) {
        if (hf_item_type(key) == HF_TYPE_STR && is_utf8(bytes, size))
            print_json_text(out, bytes, size);
        else
            print_base64(out, bytes, size);
    } else {
        putc('"', out);
        print_leaf(out, key);
        putc('"', out);
    }
    putc(':', out);
}

void cli_print_json(FILE *out, hf_item item)
{
    hf_walk stack[DEPTH_MAX];
    size_t depth = 0;
    bool first = true; /* of its container */
    for (;;) {
        if (is_container(item) && depth < DEPTH_MAX) {
            stack[depth] = hf_walk_start(item);
            putc(stack[depth++].map ? '{' : '[', out);
            first = true;
        } else {
            print_leaf(out, item);
            first = false;
        }
        hf_item key;
        while (depth != 0 && !hf_walk_next(&stack[depth - 1], &key, &item)) {
            putc(stack[--depth].map ? '}' : ']', out);
            first = false;
        }
        if (depth == 0)
            return;
        if (!first)
            putc(',', out);
        if (stack[depth - 1].map)
            print_key(out, key);
    }
}

/* ---- Values -------------------------------------------------------------------------------------------- */

void cli_print_safe(FILE *out, const void *bytes, size_t size)
{
    const unsigned char *at = bytes;
    for (size_t i = 0; i < size;) {
        size_t length = utf8_character(at + i, size - i);
        bool control = at[i] == 0x7f || (at[i] < 0x20 && at[i] != '\n' && at[i] != '\t');
        bool c1 = length == 2 && at[i] == 0xc2 && at[i + 1] < 0xa0; /* terminals obey these too */
        if (length == 0 || control || c1) {
            fprintf(out, "\\x%02x", at[i]);
            i++;
            continue;
        }
        fwrite(at + i, 1, length, out);
        i += length;
    }
}

void cli_print_value(FILE *out, hf_item item, bool terminal)
{
    enum hf_type type = hf_item_type(item);
    const void *bytes;
    size_t size;
    if ((type != HF_TYPE_STR && type != HF_TYPE_BIN) || !hf_item_bytes(item, &bytes, &size))
        cli_print_json(out, item);
    else if (terminal)
        cli_print_safe(out, bytes, size);
    else
        fwrite(bytes, 1, size, out);
}

void cli_print_raw(FILE *out, hf_item item)
{
    enum hf_type type = hf_item_type(item);
    const void *bytes = item.data;
    size_t size = item.size;
    if (type == HF_TYPE_STR || type == HF_TYPE_BIN)
        hf_item_bytes(item, &bytes, &size);
    fwrite(bytes, 1, size, out);
}

void cli_print_ticket(FILE *out, const uint8_t *ticket)
{
    for (size_t i = 0; i < HF_KEY_BYTES; i++)
        fprintf(out, "%02x", ticket[i]);
    putc('\n', out);
}

/* ---- Sizes and times ----------------------------------------------------------------------------------- */

char *cli_format_size(uint64_t bytes, char to[16])
{
    static const char *const units[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    if (bytes < 1024) {
        snprintf(to, 16, "%u B", (unsigned)bytes);
        return to;
    }
    double size = (double)bytes / 1024;
    size_t unit = 0;
    while (size >= 1023.95 && unit + 1 < sizeof units / sizeof units[0]) {
        size /= 1024;
        unit++;
    }
    snprintf(to, 16, "%.1f %s", size, units[unit]);
    return to;
}

char *cli_format_time(uint64_t ms, char to[16])
{
    uint64_t s = ms / 1000;
    if (ms < 1000)
        snprintf(to, 16, "%u ms", (unsigned)ms);
    else if (s < 60)
        snprintf(to, 16, "%u.%u s", (unsigned)s, (unsigned)(ms % 1000 / 100));
    else if (s < 3600)
        snprintf(to, 16, "%u min %u s", (unsigned)(s / 60), (unsigned)(s % 60));
    else if (s < 86400)
        snprintf(to, 16, "%u h %u min", (unsigned)(s / 3600), (unsigned)(s / 60 % 60));
    else
        snprintf(to, 16, "%" PRIu64 " d %u h", s / 86400 % 10000000, (unsigned)(s / 3600 % 24));
    return to;
}

/* ---- Tables -------------------------------------------------------------------------------------------- */

struct column {
    char key[40];
    size_t width;
    bool right; /* numbers stand to the right */
};

static bool ends_with(const char *text, const char *end)
{
    size_t size = strlen(text);
    size_t end_size = strlen(end);
    return size >= end_size && strcmp(text + size - end_size, end) == 0;
}

/* By the last part of a key: the daemon counts these in bytes. */
static bool is_size_key(const char *key)
{
    static const char *const keys[] = {"size",        "bytes",      "limit",       "used",
                                       "image",       "anon",       "meta",        "values",
                                       "values_live", "bytes_in",   "bytes_out",   "daemon_limit",
                                       "lists",       "lists_live", "moved_bytes", "returned_bytes"};
    const char *dot = strrchr(key, '.');
    const char *last = dot != NULL ? dot + 1 : key;
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        if (strcmp(last, keys[i]) == 0)
            return true;
    }
    return false;
}

/* The text of one cell for people. */
static void format_cell(const char *key, hf_item item, char to[CELL_SIZE])
{
    uint64_t number;
    const void *bytes;
    size_t size;
    to[0] = '\0';
    FILE *out = fmemopen(to, CELL_SIZE, "w");
    if (out == NULL)
        return;
    if (hf_item_type(item) == HF_TYPE_INT && hf_item_uint(item, &number) && ends_with(key, "_ms"))
        fputs(cli_format_time(number, (char[16]){0}), out);
    else if (hf_item_type(item) == HF_TYPE_INT && hf_item_uint(item, &number) && is_size_key(key))
        fputs(cli_format_size(number, (char[16]){0}), out);
    else if (hf_item_type(item) == HF_TYPE_STR && hf_item_bytes(item, &bytes, &size))
        cli_print_safe(out, bytes, size);
    else if (hf_item_type(item) == HF_TYPE_NIL || item.data == NULL)
        fputs("-", out);
    else
        cli_print_json(out, item);
    fclose(out);
    to[CELL_SIZE - 1] = '\0';
}

/* Characters, not bytes; wide ones are counted as one. */
static size_t width_of(const char *text)
{
    size_t width = 0;
    for (; *text != '\0'; text++)
        width += ((unsigned char)*text & 0xc0) != 0x80;
    return width;
}

static struct column *find_column(struct column *columns, size_t *count, hf_item key)
{
    const void *bytes;
    size_t size;
    if (!hf_item_bytes(key, &bytes, &size) || size >= sizeof columns[0].key)
        return NULL;
    for (size_t i = 0; i < *count; i++) {
        if (strlen(columns[i].key) == size && memcmp(columns[i].key, bytes, size) == 0)
            return &columns[i];
    }
    if (*count == COLUMNS_MAX)
        return NULL;
    struct column *column = &columns[(*count)++];
    *column = (struct column){.right = true};
    memcpy(column->key, bytes, size);
    column->width = size - (ends_with(column->key, "_ms") ? 3 : 0); /* see heading() */
    return column;
}

/* The heading of a column: "_ms" goes, since the cells say their units. */
static void heading(const struct column *column, char to[40])
{
    size_t size = strlen(column->key) - (ends_with(column->key, "_ms") ? 3 : 0);
    for (size_t i = 0; i < size; i++)
        to[i] = column->key[i] >= 'a' && column->key[i] <= 'z' ? (char)(column->key[i] - 'a' + 'A')
                                                               : column->key[i];
    to[size] = '\0';
}

static size_t measure(hf_item rows, struct column *columns)
{
    size_t count = 0;
    char cell[CELL_SIZE];
    hf_walk walk = hf_walk_start(rows);
    hf_item row, key, value;
    while (hf_walk_next(&walk, NULL, &row)) {
        hf_walk pairs = hf_walk_start(row);
        while (pairs.map && hf_walk_next(&pairs, &key, &value)) {
            struct column *column = find_column(columns, &count, key);
            if (column == NULL)
                continue;
            format_cell(column->key, value, cell);
            size_t width = width_of(cell);
            column->width = width > column->width ? width : column->width;
            column->right &= hf_item_type(value) != HF_TYPE_STR;
        }
    }
    return count;
}

static void print_cell(FILE *out, const struct column *column, const char *text, bool last)
{
    int padding = (int)(column->width - width_of(text));
    if (column->right)
        fprintf(out, "%*s%s", padding, "", text);
    else
        fprintf(out, "%s%*s", text, last ? 0 : padding, "");
    fputs(last ? "\n" : "  ", out);
}

bool cli_print_table(FILE *out, hf_item rows, bool colour)
{
    struct column *columns = calloc(COLUMNS_MAX, sizeof *columns);
    char cell[CELL_SIZE];
    if (columns == NULL)
        return false;
    size_t count = measure(rows, columns);
    if (colour && count != 0)
        fputs("\033[1m", out);
    for (size_t i = 0; i < count; i++) {
        heading(&columns[i], cell);
        print_cell(out, &columns[i], cell, i + 1 == count);
    }
    if (colour && count != 0)
        fputs("\033[0m", out);
    hf_walk walk = hf_walk_start(rows);
    hf_item row;
    while (hf_walk_next(&walk, NULL, &row)) {
        for (size_t i = 0; i < count; i++) {
            format_cell(columns[i].key, hf_item_get(row, columns[i].key), cell);
            print_cell(out, &columns[i], cell, i + 1 == count);
        }
    }
    free(columns);
    return true;
}

/* ---- Maps ---------------------------------------------------------------------------------------------- */

/* One pair of a map, its key with the keys of the maps around it. */
struct line {
    char key[120];
    hf_item value;
};

/* Walks the pairs of nested maps. `emit` gets each that is no map with pairs. */
static void walk_map(hf_item map, void (*emit)(void *context, const struct line *line), void *context)
{
    struct {
        hf_walk walk;
        size_t prefix; /* bytes of the key that belong to the maps around */
    } stack[DEPTH_MAX];
    struct line line = {0};
    size_t depth = 1;
    hf_item key;
    stack[0].walk = hf_walk_start(map);
    stack[0].prefix = 0;
    while (depth != 0) {
        size_t prefix = stack[depth - 1].prefix;
        const void *bytes = "?";
        size_t size = 1;
        if (!stack[depth - 1].walk.map || !hf_walk_next(&stack[depth - 1].walk, &key, &line.value)) {
            depth--;
            continue;
        }
        hf_item_bytes(key, &bytes, &size);
        int length = snprintf(line.key + prefix, sizeof line.key - prefix, "%.*s",
                              (int)(size < 100 ? size : 100), (const char *)bytes);
        size_t end = prefix + (size_t)length;
        if (hf_item_type(line.value) == HF_TYPE_MAP && hf_item_count(line.value) != 0 && depth < DEPTH_MAX &&
            end + 2 < sizeof line.key) {
            line.key[end++] = '.';
            stack[depth].walk = hf_walk_start(line.value);
            stack[depth++].prefix = end;
            continue;
        }
        emit(context, &line);
    }
}

static void widen(void *context, const struct line *line)
{
    size_t *width = context;
    size_t own = width_of(line->key);
    *width = own > *width ? own : *width;
}

struct map_printer {
    FILE *out;
    size_t width;
};

static void print_line(void *context, const struct line *line)
{
    const struct map_printer *printer = context;
    char cell[CELL_SIZE];
    format_cell(line->key, line->value, cell);
    fprintf(printer->out, "%s%*s  ", line->key, (int)(printer->width - width_of(line->key)), "");
    if (hf_item_type(line->value) == HF_TYPE_ARRAY)
        cli_print_json(printer->out, line->value);
    else
        fputs(cell, printer->out);
    putc('\n', printer->out);
}

void cli_print_map(FILE *out, hf_item map)
{
    struct map_printer printer = {.out = out};
    walk_map(map, widen, &printer.width);
    walk_map(map, print_line, &printer);
}
