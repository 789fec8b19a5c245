/* SPDX-License-Identifier: BSD-3-Clause */
/* A configuration file: sections of `key = value` lines (INI, read by libinih), with the line of whatever is wrong in it.
 *
 *     # a comment; `;` begins one too, also behind a value and a space
 *     [daemon]
 *     workers = 4
 *
 * What stands in it is not known here: each section and pair is handed on. Whatever is wrong is told, not only the
 * first thing. No line is passed over: one that is neither empty, nor a comment, nor a section, nor a pair is wrong. */
#ifndef SYSTEM_CONFIG_H
#define SYSTEM_CONFIG_H

#include <stdbool.h>
#include <stddef.h>

#define CONFIG_SIZE_MAX  (1024 * 1024) /* bytes of a file; nobody writes more by hand */
#define CONFIG_VALUE_MAX 160           /* bytes of a value, so that it has room in a line of libinih's */
#define CONFIG_ERROR_MAX 400

/* Is told what is wrong in `file`; line 0: the file as a whole. */
typedef void config_complaint(void *data, const char *file, unsigned line, const char *text);

/* Who takes what is read. Each answers 0, or -1 with a text for a person in `error`. */
struct config_reader {
    int (*section)(void *data, const char *section, char *error, size_t error_size);
    /* Below the last section; before the first one there was none. */
    int (*pair)(void *data, unsigned line, const char *key, const char *value, char *error,
                size_t error_size);
    config_complaint *complain;
    void *data;
};

/* Reads `file`. Returns the number of complaints. */
unsigned config_read(const char *file, const struct config_reader *reader);

/* Whether `file` will be the same when it is read again, as a pipe or a terminal is not. */
bool config_is_lasting(const char *file);

/* Why a value could not stand in a file, for a person; NULL: it can. */
const char *config_value_fault(const char *value);

#endif
