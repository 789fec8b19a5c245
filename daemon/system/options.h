/* SPDX-License-Identifier: BSD-3-Clause */
/* What the daemon is told: by its command line, by a configuration file, or by nobody (defaults).
 *
 * One list (option_table.h) has all options; the command line, the file, --help, --print-config and reloading follow from
 * it. An option has the same name in the file as on the command line, below its section, and takes the same values.
 *
 * What always holds: a value on the command line wins over one in the file, that over the default; addresses given on the
 * command line take the place of all in the file, of either the place of the default. On the command line the last one
 * of several wins. Nothing is in force before all of it has been found right. */
#ifndef SYSTEM_OPTIONS_H
#define SYSTEM_OPTIONS_H

#include "daemon/base/log.h"
#include "daemon/system/config.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define OPTIONS_LISTEN_MAX  16
#define OPTIONS_STATS_MAX   8
#define OPTIONS_OFF         "off" /* in place of an address of OPTION_STATS: none */
#define OPTIONS_WORKERS_MAX 64
#define OPTIONS_GIVEN_MAX   64 /* values on a command line */
#define OPTIONS_MEANING_MAX 24
#define OPTIONS_SHOWN_MAX   (CONFIG_VALUE_MAX + OPTIONS_MEANING_MAX + 8)

enum option_id {
    OPTION_LISTEN, /* this one and the next may be given several times; each other one once in a file */
    OPTION_STATS,
    OPTION_HEAP,
    OPTION_SET_ASIDE,
    OPTION_LOAD,
    OPTION_WORKERS,
    OPTION_MAX_MEMORY,
    OPTION_EVACUATE_PERCENT,
    OPTION_SAVE_DIR,
    OPTION_SAVE_EVERY,
    OPTION_SAVE_KEEP,
    OPTION_SLOWLOG_US,
    OPTION_LOG_LEVEL,
    OPTIONS_COUNT
};

enum option_source { SOURCE_DEFAULT, SOURCE_FILE, SOURCE_COMMAND };

struct option_value {
    char *text; /* owned; NULL: not given */
    char
        meaning[OPTIONS_MEANING_MAX]; /* of it here and now: bytes for a percentage; empty: the text is all */
    enum option_source source;
    unsigned line; /* in the file */
    bool failed;   /* an address that could not be opened */
};

/* The values in force. */
struct options {
    const char *file;                          /* of the command line; NULL: none */
    struct option_value values[OPTIONS_COUNT]; /* but those of OPTION_LISTEN and OPTION_STATS */
    struct option_value listen[OPTIONS_LISTEN_MAX];
    unsigned listen_count;
    struct option_value stats[OPTIONS_STATS_MAX];
    unsigned stats_count;
    /* The same, understood. */
    const char *heap_dir;        /* of values[OPTION_HEAP]; NULL: memfds */
    const char *load, *save_dir; /* the same; NULL: none */
    const char *set_aside;       /* of values[OPTION_SET_ASIDE]; NULL: nothing is set aside */
    uint64_t save_every_ms;      /* 0: not */
    unsigned save_keep;
    uint64_t max_memory;       /* bytes */
    uint64_t slowlog_us;       /* 0: off */
    unsigned evacuate_percent; /* 0: never */
    unsigned workers;
    enum log_level log_level;
};

/* What the command line says (command.h); its texts are argv's. */
struct command {
    const char *file; /* --config; NULL: none */
    struct {
        enum option_id id;
        const char *text;
    } given[OPTIONS_GIVEN_MAX];
    unsigned given_count;
    bool check, print;            /* --check-config, --print-config */
    const char *verify;           /* --verify: what to check instead of running; NULL: it was not asked for */
    const char *inspect, *rescue; /* --inspect, --rescue: the same */
    const char *output;           /* --output: where --rescue writes to */
    bool json;                    /* --json */
};

/* Whether an address of that option can be one: 0, or -1 with a text that begins with it. */
typedef int options_address_check(enum option_id id, const char *address, char *error, size_t error_size);

/* Puts together what the command line, its file and the defaults say. Returns the number of complaints; if there are any,
 * `*ret` has nothing to be freed. What is wrong on the command line is complained of with file NULL. */
unsigned options_load(struct options *ret, const struct command *command, options_address_check *check,
                      config_complaint *complain, void *data);
void options_free(struct options *options);

/* Makes the folder of the default address, if it listens there. 0, or -1 with a text for a person in `error`. */
int options_make_folder(const struct options *options, char *error, size_t error_size);
/* For a daemon that is given sockets to listen at. */
void options_drop_default_listen(struct options *options);

/* Prints all values in the form of a file, each with its source. What it prints is a file that means the same. */
void options_print(FILE *to, const struct options *options);

/* Tells each value that means something else, of OPTION_LISTEN and OPTION_STATS the addresses that go (new NULL), then
 * those that come (old NULL): also those that could not be opened before. Both texts are for a person, an address is
 * just that. */
typedef void options_change(void *data, enum option_id id, const char *old, const char *new);
void options_compare(const struct options *old, const struct options *new, options_change *change,
                     void *data);
/* Whether a running daemon can change it. */
bool option_is_live(enum option_id id);
const char *option_name(enum option_id id);
/* Whether it is a list of addresses. */
bool option_is_list(enum option_id id);
/* Exchanges a value (not of a list) of two, so that `next` goes on with the one of `now`. */
void options_keep(struct options *next, struct options *now, enum option_id id);
/* `address` could not be opened: the next options_compare() tells it again. */
void options_listen_failed(struct options *options, enum option_id id, const char *address);

#endif
