/* SPDX-License-Identifier: BSD-3-Clause */
/* Configuration files of any bytes. What must hold: each line that is neither empty nor a comment is told just once, as
 * a section, a pair, or a complaint with its line; and a pair whose value passes as one is read again as it is. */
#include "daemon/system/config.h"
#include "tests/fuzz/fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define SEED(text)                                                                                           \
    {                                                                                                        \
        text, sizeof text - 1                                                                                \
    }

static const struct fuzz_seed seeds[] = {
    SEED("[daemon]\nlisten = unix:/run/x\nlisten = tcp:[::1]:7677 ; why\nworkers = 4\n\n[limits]\nmax-memory "
         "= 60%\n"),
    SEED(
        "# comment\n; comment\n[log] # comment\n  log-level: info\r\n\tkey=value\n=\n[\n]\nword\nkey ;= 4\n"),
    SEED("\xef\xbb\xbf[a]\nb = c # d\ne =\nf = ;\ng = [h]\ni=j=k\n[l]m=n\n"),
    SEED("[s]\nkey = "
         "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
         "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
         "\n"),
};

const struct fuzz_seed *fuzz_seeds(size_t *count)
{
    *count = sizeof seeds / sizeof seeds[0];
    return seeds;
}

static void hold(bool promise)
{
    if (!promise)
        abort();
}

/* What was told of a file. */
struct told {
    unsigned sections, pairs, lines, last_line;
    bool of_the_whole;       /* a complaint, and the rest is not looked at */
    const char *key, *value; /* if there are, the one pair that is to come */
    char section[512];       /* the last one */
};

static int on_section(void *data, const char *section, char *error, size_t error_size)
{
    struct told *told = data;
    (void)error, (void)error_size;
    told->sections++;
    snprintf(told->section, sizeof told->section, "%s", section);
    return 0;
}

static unsigned read_bytes(struct told *told, const void *bytes, size_t size);

/* Reads a file with just this pair in it. */
static void hold_again(const char *key, const char *value)
{
    char text[512];
    struct told told = {.key = key, .value = value};
    int size = snprintf(text, sizeof text, "[s]\n%s = %s\n", key, value);
    if (size > 190)
        return; /* the key is longer than any option's */
    hold(read_bytes(&told, text, (size_t)size) == 0);
    hold(told.sections == 1 && told.pairs == 1 && strcmp(told.section, "s") == 0);
}

static int on_pair(void *data, unsigned line, const char *key, const char *value, char *error,
                   size_t error_size)
{
    struct told *told = data;
    (void)error, (void)error_size;
    hold(line > told->last_line);
    told->last_line = line;
    told->pairs++;
    hold(*key != '\0');
    if (told->key != NULL)
        hold(strcmp(key, told->key) == 0 && strcmp(value, told->value) == 0);
    else if (config_value_fault(value) == NULL)
        hold_again(key, value);
    else
        hold(strchr(value, '#') != NULL || strchr(value, ';') != NULL || strlen(value) > CONFIG_VALUE_MAX);
    return 0;
}

static void on_complaint(void *data, const char *file, unsigned line, const char *text)
{
    struct told *told = data;
    hold(strlen(file) > 0 && strlen(text) > 0);
    told->of_the_whole |= line == 0 || strstr(text, "byte of zero") != NULL;
    hold(line == 0 || line > told->last_line);
    told->last_line = line > 0 ? line : told->last_line;
    told->lines += line > 0;
}

static unsigned read_bytes(struct told *told, const void *bytes, size_t size)
{
    char path[32];
    const struct config_reader reader = {on_section, on_pair, on_complaint, told};
    int fd = memfd_create("config", MFD_CLOEXEC);
    hold(fd >= 0 && write(fd, bytes, size) == (ssize_t)size);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    unsigned complaints = config_read(path, &reader);
    close(fd);
    return complaints;
}

static bool is_white(uint8_t byte)
{
    return byte == ' ' || (byte >= '\t' && byte <= '\r');
}

static size_t end_of(const uint8_t *bytes, size_t at, size_t size, bool white)
{
    while (at < size && bytes[at] != '\n' && (!white || is_white(bytes[at])))
        at++;
    return at;
}

static bool says_something(const uint8_t *bytes, size_t at, size_t size)
{
    return at < size && bytes[at] != '\n' && bytes[at] != '#' && bytes[at] != ';';
}

/* Lines that say something; of them those that are sections with more behind them, which must not get lost. */
static unsigned lines_of(const uint8_t *bytes, size_t size, unsigned *ret_crowded)
{
    unsigned lines = 0;
    size_t at = size >= 3 && memcmp(bytes, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
    *ret_crowded = 0;
    for (; at < size; at++) {
        at = end_of(bytes, at, size, true);
        size_t end = end_of(bytes, at, size, false);
        const uint8_t *close = at < end && bytes[at] == '[' ? memchr(bytes + at, ']', end - at) : NULL;
        lines += says_something(bytes, at, end);
        if (close != NULL)
            *ret_crowded += says_something(bytes, end_of(bytes, (size_t)(close + 1 - bytes), end, true), end);
        at = end;
    }
    return lines;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct told told = {.sections = 0};
    unsigned complaints = read_bytes(&told, data, size);
    hold(told.lines <= complaints && (complaints > 0) == (told.lines > 0 || told.of_the_whole));
    unsigned crowded, lines = lines_of(data, size, &crowded);
    if (!told.of_the_whole)
        hold(told.sections + told.pairs + told.lines == lines && told.lines >= crowded);
    return 0;
}
