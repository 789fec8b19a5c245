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
    const char *fix;  /* what would be a value */
    const char *help; /* lines of --help */
};

extern const struct option_row option_rows[OPTIONS_COUNT];

#endif
