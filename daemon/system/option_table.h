/* SPDX-License-Identifier: BSD-3-Clause */
/* The list of options: what each is called, what its values are, what they mean. Adding one is a line in `enum option_id`, a
 * row here, and its use. */
#ifndef SYSTEM_OPTION_TABLE_H
#define SYSTEM_OPTION_TABLE_H

#include "daemon/system/options.h"

struct option_row {
    const char *name, *section;
    const char *argument; /* in --help */
    bool live;            /* SIGHUP can change it */
    const char *standard; /* the default; NULL: the machine's */
    /* Puts what `text` means into *options; false: it is no such value. */
    bool (*set)(struct options *options, const char *text);
    /* Writes what was set in such a way that the same means the same: NULL, if its text is that already. */
    void (*mean)(const struct options *options, char *ret, size_t size);
    const char *fix;  /* what would be a value */
    const char *help; /* lines of --help */
};

extern const struct option_row option_rows[OPTIONS_COUNT];

/* The option whose name is nearest to a mistyped one; NULL: none is near. */
const struct option_row *option_nearest(const char *name);

/* Bytes that SIZE means: digits with k, m, g, t (of 1024) or % of `whole`. 0: it means none. */
uint64_t options_size(const char *text, uint64_t whole);
/* Milliseconds that TIME means: digits with s, m, h or d. 0: it means none. */
uint64_t options_time(const char *text);

#endif
