/* SPDX-License-Identifier: BSD-3-Clause */
/* Taking over, while the daemon runs, what has changed in its file: value by value, each with a line in the log. What is
 * wrong in the file is logged with its line, and nothing is changed. */
#ifndef SYSTEM_RELOAD_H
#define SYSTEM_RELOAD_H

#include "daemon/base/log.h"
#include "daemon/system/options.h"

/* What a new value does. */
struct reload_actions {
    /* Listens at one more address of OPTION_LISTEN or OPTION_STATS: 0, or -1 with a text for a person. */
    int (*listen)(void *data, enum option_id id, const char *address, char *error, size_t error_size);
    void (*unlisten)(void *data, enum option_id id, const char *address);
    void (*set_max_memory)(void *data, uint64_t bytes);
    void (*set_slowlog_us)(void *data, uint64_t us);
    void (*set_evacuate_percent)(void *data, unsigned percent);
    /* The folder of saves, NULL: none. 0, or -1 with a text for a person; then the old one stays. */
    int (*set_save_dir)(void *data, const char *folder, char *error, size_t error_size);
    void (*set_save_every)(void *data, uint64_t ms); /* 0: never */
    void (*set_save_keep)(void *data, unsigned keep);
    void *data;
};

struct reload {
    const struct command *command;
    options_address_check *check;
    bool activated; /* it was given sockets to listen at, in place of the default address */
    struct log *log;
    struct reload_actions actions;
};

/* Reads the file of the command line once more. *now is what is in force, before and afterwards; an address that could
 * not be opened, or a folder that could not be used, is tried again by the next call. False: the file was refused,
 * nothing is changed. */
bool reload_options(struct options *now, const struct reload *reload);

#endif
