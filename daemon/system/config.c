/* SPDX-License-Identifier: BSD-3-Clause */
/* libinih reads line by line from a function of ours. That function counts the lines (Debian's build does not tell
 * them), and keeps from it what it would misread without a word: a line that is too long for it would become two,
 * an indented one a continuation of the value before, a byte of zero the end of its line. */
#include "daemon/system/config.h"

#include <errno.h>
#include <ini.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define COMPLAINTS_MAX 20u
#define LINE_KEPT      1024u /* bytes of a line that are looked at: more than libinih takes */

struct reading {
    const char *file;
    FILE *stream;
    char line[LINE_KEPT];
    unsigned number; /* of that line */
    size_t bytes;    /* read so far */
    unsigned complaints;
    bool given_up; /* what follows makes no sense */
    config_pair *pair;
    config_complaint *complain;
    void *data;
};

static void complain(struct reading *reading, unsigned line, const char *text)
{
    if (reading->given_up)
        return;
    reading->complain(reading->data, reading->file, line, text);
    if (++reading->complaints < COMPLAINTS_MAX)
        return;
    reading->complain(reading->data, reading->file, 0, "so much is wrong that the rest is not looked at");
    reading->given_up = true;
}

static bool is_comment(const char *text)
{
    return *text == '\0' || *text == '#' || *text == ';';
}

/* What is wrong with a line, in words; NULL: nothing. */
static const char *fault_of(const char *text, size_t size_max)
{
    if (is_comment(text))
        return NULL;
    if (strlen(text) >= size_max)
        return "the line is too long; a line has at most 198 bytes";
    if (*text == '[')
        return strchr(text, ']') != NULL ? NULL : "a section is written [name]; the ']' is missing";
    return strpbrk(text, "=:") != NULL ? NULL : "expected 'key = value', '[section]' or a comment";
}

/* A line as libinih shall see it, without white space around. */
static char *trimmed(char *line)
{
    static const char white[] = " \t\r\n\v\f";
    line += strspn(line, white);
    size_t size = strlen(line);
    while (size > 0 && strchr(white, line[size - 1]) != NULL)
        size--;
    line[size] = '\0';
    return line;
}

static void give_up(struct reading *reading, unsigned line, const char *text)
{
    complain(reading, line, text);
    reading->given_up = true;
}

/* Reads a line, of which LINE_KEPT - 1 bytes are kept, and no more of a file than it may have: it may as well be a
 * device without an end. False: there is none. */
static bool read_line(struct reading *reading)
{
    size_t size = 0;
    int c = EOF;
    while (!reading->given_up && (c = getc(reading->stream)) != EOF) {
        if (++reading->bytes > CONFIG_SIZE_MAX)
            give_up(reading, 0, "it is larger than 1 MiB: this is no configuration file");
        else if (c == '\n')
            break;
        else if (c == '\0')
            give_up(reading, reading->number + 1, "there is a byte of zero in it: this is no text file");
        else if (size < LINE_KEPT - 1)
            reading->line[size++] = (char)c;
    }
    reading->line[size] = '\0';
    reading->number++;
    return !reading->given_up && (c != EOF || size > 0);
}

/* As fgets(), for libinih. */
static char *next_line(char *to, int size, void *data)
{
    struct reading *reading = data;
    if (!read_line(reading))
        return NULL;
    const char *text = trimmed(reading->line);
    const char *fault = fault_of(text, (size_t)size - 1);
    if (fault != NULL)
        complain(reading, reading->number, fault);
    snprintf(to, (size_t)size, "%s\n", fault != NULL || is_comment(text) ? "" : text);
    return to;
}

static int on_pair(void *data, const char *section, const char *key, const char *value)
{
    struct reading *reading = data;
    char error[CONFIG_ERROR_MAX];
    if (reading->pair(reading->data, reading->number, section, key, value, error, sizeof error) != 0)
        complain(reading, reading->number, error);
    return 1; /* 0 would be an error of libinih's, which knows no more than the first */
}

static void read_all(struct reading *reading)
{
    char text[CONFIG_ERROR_MAX];
    int r = ini_parse_stream(next_line, reading, on_pair, reading);
    if (ferror(reading->stream)) {
        snprintf(text, sizeof text, "cannot be read: %s", strerror(errno));
        complain(reading, 0, text);
    } else if (r != 0 && reading->complaints == 0) {
        complain(reading, r > 0 ? (unsigned)r : 0, "cannot be understood");
    }
}

unsigned config_read(const char *file, config_pair *pair, config_complaint *complaint, void *data)
{
    struct reading reading = {.file = file, .pair = pair, .complain = complaint, .data = data};
    reading.stream = fopen(file, "re");
    if (reading.stream == NULL) {
        char text[CONFIG_ERROR_MAX];
        snprintf(text, sizeof text, "cannot be opened: %s", strerror(errno));
        complain(&reading, 0, text);
        return reading.complaints;
    }
    read_all(&reading);
    fclose(reading.stream);
    return reading.complaints;
}
