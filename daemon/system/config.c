/* SPDX-License-Identifier: BSD-3-Clause */
/* libinih reads line by line from a function of ours. That function counts the lines (Debian's build does not tell
 * them), and keeps from it what it would misread without a word: a line that is too long for it would become two,
 * an indented one a continuation of the value before, a byte of zero the end of its line, and what stands behind a
 * section's name would be passed over. */
#include "daemon/system/config.h"

#include <ctype.h>
#include <errno.h>
#include <ini.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define COMPLAINTS_MAX 20u
#define LINE_KEPT      1024u /* bytes of a line that are looked at: more than libinih takes */

#define BYTE_ORDER_MARK "\xef\xbb\xbf"

static const char white[] = " \t\r\n\v\f";
static const char expected[] = "expected 'key = value', '[section]' or a comment";

struct reading {
    const char *file;
    const struct config_reader *reader;
    FILE *stream;
    char line[LINE_KEPT];
    unsigned number; /* of that line */
    size_t bytes;    /* read so far */
    bool is_cut;     /* the line is longer than what is kept of it */
    bool is_pair;    /* libinih was given a pair, and has not told it yet */
    bool given_up;   /* what follows makes no sense */
    unsigned complaints;
};

static void complain(struct reading *reading, unsigned line, const char *text)
{
    const struct config_reader *reader = reading->reader;
    if (reading->given_up)
        return;
    reader->complain(reader->data, reading->file, line, text);
    if (++reading->complaints < COMPLAINTS_MAX)
        return;
    reader->complain(reader->data, reading->file, 0, "so much is wrong that the rest is not looked at");
    reading->given_up = true;
}

/* ---- what a line is ---- */

static bool is_comment(const char *text)
{
    return *text == '\0' || *text == '#' || *text == ';';
}

static bool has_control(const char *text)
{
    for (; *text != '\0'; text++) {
        if (iscntrl((unsigned char)*text) && *text != '\t')
            return true;
    }
    return false;
}

static const char *fault_of_section(const char *text)
{
    const char *end = strchr(text, ']');
    if (end == NULL)
        return "a section is written [name]; the ']' is missing";
    return is_comment(end + 1 + strspn(end + 1, white))
               ? NULL
               : "something stands behind the ']'; put it into a line of its own";
}

/* What is wrong with a line, in words; NULL: nothing. */
static const char *fault_of(const struct reading *reading, const char *text, size_t size_max)
{
    if (is_comment(text) && (*text != '\0' || !reading->is_cut))
        return NULL;
    if (reading->is_cut || strlen(text) > size_max)
        return "the line is too long; a value has at most 160 bytes";
    if (has_control(text))
        return "there is a control character in it; take it out";
    if (*text == '[')
        return fault_of_section(text);
    return strpbrk(text, "=:") != NULL ? NULL : expected;
}
_Static_assert(CONFIG_VALUE_MAX == 160, "a text says so");

const char *config_value_fault(const char *value)
{
    size_t size = strlen(value);
    if (size > CONFIG_VALUE_MAX)
        return "a value has at most 160 bytes";
    if (has_control(value))
        return "a value has no control characters";
    if (size > 0 && (strchr(white, value[0]) != NULL || strchr(white, value[size - 1]) != NULL))
        return "a value neither begins nor ends with white space";
    for (size_t i = 0; i < size; i++) {
        if (i > 0 && strchr(white, value[i - 1]) == NULL)
            continue;
        if (value[i] == '#')
            return "'#' begins a comment only at the start of a line; behind a value that is a space and ';'";
        if (value[i] == ';')
            return "a value cannot have a word that begins with ';', which would be a comment in a file";
    }
    return NULL;
}

/* ---- lines ---- */

static void give_up(struct reading *reading, unsigned line, const char *text)
{
    complain(reading, line, text);
    reading->given_up = true;
}

/* The next byte of the line; EOF: it ends here, and maybe the file. It may as well be a device without an end. */
static int read_byte(struct reading *reading)
{
    int c = reading->given_up ? EOF : getc(reading->stream);
    if (c == EOF)
        return EOF;
    if (++reading->bytes > CONFIG_SIZE_MAX)
        give_up(reading, 0, "it is larger than 1 MiB: this is no configuration file");
    else if (c == '\0')
        give_up(reading, reading->number, "there is a byte of zero in it: this is no text file");
    return reading->given_up ? EOF : c;
}

/* Reads a line, of which LINE_KEPT - 1 bytes are kept. False: there is none. */
static bool read_line(struct reading *reading)
{
    size_t size = 0;
    int c;
    reading->number++;
    reading->is_cut = false;
    while ((c = read_byte(reading)) != EOF && c != '\n') {
        if (size < LINE_KEPT - 1)
            reading->line[size++] = (char)c;
        else
            reading->is_cut = true;
    }
    reading->line[size] = '\0';
    return !reading->given_up && (c != EOF || size > 0);
}

/* A line as libinih shall see it: without white space around, and what editors put before the first. */
static char *trimmed(struct reading *reading)
{
    char *line = reading->line;
    if (reading->number == 1 && strncmp(line, BYTE_ORDER_MARK, strlen(BYTE_ORDER_MARK)) == 0)
        line += strlen(BYTE_ORDER_MARK);
    line += strspn(line, white);
    size_t size = strlen(line);
    while (size > 0 && strchr(white, line[size - 1]) != NULL)
        size--;
    line[size] = '\0';
    return line;
}

/* libinih has read the line: a pair has been told by now, or was none in its eyes. */
static void end_line(struct reading *reading)
{
    if (reading->is_pair)
        complain(reading, reading->number, expected);
    reading->is_pair = false;
}

static void begin_section(struct reading *reading, const char *text)
{
    char name[LINE_KEPT], error[CONFIG_ERROR_MAX];
    snprintf(name, sizeof name, "%.*s", (int)strcspn(text + 1, "]"), text + 1);
    if (reading->reader->section(reading->reader->data, name, error, sizeof error) != 0)
        complain(reading, reading->number, error);
}

/* As fgets(), for libinih. */
static char *next_line(char *to, int size, void *data)
{
    struct reading *reading = data;
    end_line(reading);
    if (!read_line(reading))
        return NULL;
    const char *text = trimmed(reading);
    const char *fault = fault_of(reading, text, (size_t)size - strlen("\n") - 1);
    bool is_empty = fault != NULL || is_comment(text);
    if (fault != NULL)
        complain(reading, reading->number, fault);
    else if (*text == '[')
        begin_section(reading, text);
    reading->is_pair = !is_empty && *text != '[';
    snprintf(to, (size_t)size, "%s\n", is_empty ? "" : text);
    return to;
}

static int on_pair(void *data, const char *section, const char *key, const char *value)
{
    struct reading *reading = data;
    const struct config_reader *reader = reading->reader;
    char error[CONFIG_ERROR_MAX];
    (void)section; /* it may be cut */
    reading->is_pair = false;
    if (*key == '\0' || strpbrk(key, white) != NULL)
        complain(reading, reading->number, expected);
    else if (reader->pair(reader->data, reading->number, key, value, error, sizeof error) != 0)
        complain(reading, reading->number, error);
    return 1; /* 0 would be an error of libinih's, which knows no more than the first */
}

/* ---- files ---- */

static void complain_errno(struct reading *reading, const char *what, int number)
{
    char text[CONFIG_ERROR_MAX];
    snprintf(text, sizeof text, "%s: %s", what, strerror(number));
    complain(reading, 0, text);
}

static void read_all(struct reading *reading)
{
    errno = 0;
    int r = ini_parse_stream(next_line, reading, on_pair, reading);
    int number = errno;
    end_line(reading);
    if (ferror(reading->stream))
        complain_errno(reading, "cannot be read", number);
    else if (r != 0 && reading->complaints == 0)
        complain(reading, 0, "libinih cannot read it");
}

unsigned config_read(const char *file, const struct config_reader *reader)
{
    struct reading reading = {.file = file, .reader = reader};
    reading.stream = fopen(file, "re");
    if (reading.stream == NULL) {
        complain_errno(&reading, "cannot be opened", errno);
        return reading.complaints;
    }
    read_all(&reading);
    fclose(reading.stream);
    return reading.complaints;
}

bool config_is_lasting(const char *file)
{
    struct stat stat_of;
    return stat(file, &stat_of) != 0 || S_ISREG(stat_of.st_mode);
}
