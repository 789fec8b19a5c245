/* SPDX-License-Identifier: BSD-3-Clause */
/* A configuration file: sections of `key = value` lines (INI, read by libinih), with the line of whatever is wrong in it.
 *
 *     # a comment; `;` begins one too, also behind a value and a space
 *     [daemon]
 *     workers = 4
 *
 * What stands in it is not known here: each pair is handed on with its line. Whatever is wrong is told, not only the
 * first thing. */
#ifndef SYSTEM_CONFIG_H
#define SYSTEM_CONFIG_H

#include <stddef.h>

#define CONFIG_SIZE_MAX  (1024 * 1024) /* bytes of a file; nobody writes more by hand */
#define CONFIG_ERROR_MAX 400

/* Takes a pair; 0, or -1 with a text for a person in `error`. */
typedef int config_pair(void *data, unsigned line, const char *section, const char *key, const char *value,
                        char *error, size_t error_size);
/* Is told what is wrong in `file`; line 0: the file as a whole. */
typedef void config_complaint(void *data, const char *file, unsigned line, const char *text);

/* Reads `file`. Returns the number of complaints. */
unsigned config_read(const char *file, config_pair *pair, config_complaint *complain, void *data);

#endif
