/* SPDX-License-Identifier: BSD-3-Clause */
#include "daemon/system/option_table.h"

#include "daemon/base/nearest.h"
#include "daemon/system/machine.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MEMORY_MIN     (16ull << 20) /* below it not even an empty pool is of use */
#define TIME_MOST      100000u       /* of any unit */
#define SAVE_EVERY_MIN 1000u
#define SAVE_EVERY_MAX (366 * 86400000ull)
#define EVACUATE_MOST  90

/* ---- what values mean ---- */

uint64_t options_size(const char *text, uint64_t whole)
{
    static const char units[] = "kmgt";
    char *end;
    errno = 0;
    unsigned long long number = strtoull(text, &end, 10);
    if (errno != 0 || end == text || !isdigit((unsigned char)text[0]))
        return 0;
    if (strcmp(end, "%") == 0)
        return number <= 100 ? (uint64_t)((double)whole / 100 * (double)number) : 0;
    if (*end == '\0')
        return number;
    const char *unit = strchr(units, tolower((unsigned char)*end));
    if (unit == NULL || end[1] != '\0')
        return 0;
    unsigned shift = 10 * (unsigned)(unit - units + 1);
    return number <= UINT64_MAX >> shift ? number << shift : 0;
}

static bool set_listen(struct options *options, const char *text)
{
    (void)options;
    return text[0] != '\0'; /* the transports look at it before anything is opened */
}

/* A folder is a path with a slash, so that a mistyped word makes none. */
static bool set_heap(struct options *options, const char *text)
{
    options->heap_dir = strcmp(text, "memfd") == 0 ? NULL : text;
    return options->heap_dir == NULL || strchr(text, '/') != NULL;
}

uint64_t options_time(const char *text)
{
    static const struct {
        char unit;
        uint32_t ms;
    } units[] = {{'s', 1000}, {'m', 60000}, {'h', 3600000}, {'d', 86400000}};
    char *end;
    errno = 0;
    unsigned long long number = strtoull(text, &end, 10);
    if (errno != 0 || !isdigit((unsigned char)text[0]) || *end == '\0' || end[1] != '\0' ||
        number > TIME_MOST)
        return 0;
    for (unsigned i = 0; i < sizeof units / sizeof units[0]; i++)
        if (units[i].unit == *end)
            return number * units[i].ms;
    return 0;
}

/* A path with a slash, as above, or NULL for `word`. */
static bool set_path(const char **ret, const char *word, const char *text)
{
    *ret = strcmp(text, word) == 0 ? NULL : text;
    return *ret == NULL || strchr(text, '/') != NULL;
}

static bool set_load(struct options *options, const char *text)
{
    return set_path(&options->load, "none", text);
}

static bool set_save_dir(struct options *options, const char *text)
{
    return set_path(&options->save_dir, "none", text);
}

static bool set_save_every(struct options *options, const char *text)
{
    bool never = strcmp(text, "never") == 0;
    options->save_every_ms = never ? 0 : options_time(text);
    return never || (options->save_every_ms >= SAVE_EVERY_MIN && options->save_every_ms <= SAVE_EVERY_MAX);
}

static bool set_save_keep(struct options *options, const char *text)
{
    char *end;
    errno = 0;
    unsigned long number = strtoul(text, &end, 10);
    options->save_keep = (unsigned)number;
    return errno == 0 && isdigit((unsigned char)text[0]) && *end == '\0' && number >= 1 && number <= 1000;
}

static bool set_set_aside(struct options *options, const char *text)
{
    return set_path(&options->set_aside, "none", text);
}

static bool set_workers(struct options *options, const char *text)
{
    char *end;
    if (strcmp(text, "auto") == 0) {
        unsigned cores = machine_cores();
        options->workers = cores < OPTIONS_WORKERS_MAX ? cores : OPTIONS_WORKERS_MAX;
        return true;
    }
    errno = 0;
    unsigned long number = strtoul(text, &end, 10);
    if (errno != 0 || !isdigit((unsigned char)text[0]) || *end != '\0' || number < 1 ||
        number > OPTIONS_WORKERS_MAX)
        return false;
    options->workers = (unsigned)number;
    return true;
}

static void mean_workers(const struct options *options, char *ret, size_t size)
{
    snprintf(ret, size, "%u", options->workers);
}

static bool set_memory(struct options *options, const char *text)
{
    options->max_memory = options_size(text, machine_memory());
    return options->max_memory >= MEMORY_MIN;
}

static void mean_memory(const struct options *options, char *ret, size_t size)
{
    snprintf(ret, size, "%" PRIu64, options->max_memory);
}

/* Longer than an hour nobody waits. */
#define SLOWLOG_US_MOST 3600000000ull

static bool set_slowlog(struct options *options, const char *text)
{
    char *end;
    errno = 0;
    options->slowlog_us = strtoull(text, &end, 10);
    return errno == 0 && isdigit((unsigned char)text[0]) && *end == '\0' &&
           options->slowlog_us <= SLOWLOG_US_MOST;
}

static void mean_slowlog(const struct options *options, char *ret, size_t size)
{
    snprintf(ret, size, "%" PRIu64, options->slowlog_us);
}

/* At a share that little waste is above, a pool would move its values all the time. */
static bool set_evacuate(struct options *options, const char *text)
{
    char *end;
    errno = 0;
    unsigned long number = strtoul(text, &end, 10);
    if (errno != 0 || !isdigit((unsigned char)text[0]) || *end != '\0' || number > EVACUATE_MOST)
        return false;
    options->evacuate_percent = (unsigned)number;
    return true;
}

static bool set_level(struct options *options, const char *text)
{
    static const char *const levels[] = {"error", "warn", "info", "debug"};
    for (unsigned i = 0; i < sizeof levels / sizeof levels[0]; i++) {
        if (strcmp(text, levels[i]) != 0)
            continue;
        options->log_level = (enum log_level)i;
        return true;
    }
    return false;
}

/* ---- the list ---- */

const struct option_row option_rows[OPTIONS_COUNT] = {
    [OPTION_LISTEN] = {.name = "listen",
                       .section = "daemon",
                       .argument = "ADDRESS",
                       .live = true,
                       .set = set_listen,
                       .fix = "give unix:PATH or tcp:HOST:PORT",
                       .help = "unix:PATH, tcp:HOST:PORT or tcp:[IPV6]:PORT; may be given several times.\n"
                               "Port 0 takes a free one. There is no access control on TCP in this version.\n"
                               "Default: unix:$XDG_RUNTIME_DIR/holdfast/holdfast.sock,\n"
                               "without XDG_RUNTIME_DIR: unix:/run/holdfast/holdfast.sock"},
    [OPTION_STATS] = {.name = "stats",
                      .section = "daemon",
                      .argument = "ADDRESS",
                      .live = true,
                      .standard = OPTIONS_OFF,
                      .set = set_listen,
                      .fix = "give HOST:PORT, [IPV6]:PORT, unix:PATH, or off",
                      .help = "HTTP for monitoring: HOST:PORT, [IPV6]:PORT or unix:PATH; may be given\n"
                              "several times. /metrics for Prometheus, /healthz, /readyz, and JSON. Who may\n"
                              "connect may read. off (default): nowhere"},
    [OPTION_HEAP] = {.name = "heap",
                     .section = "daemon",
                     .argument = "WHERE",
                     .standard = "memfd",
                     .set = set_heap,
                     .fix = "give memfd, or a folder: a path with a slash, as ./heap",
                     .help = "where pools live: memfd (memory that is gone with the daemon, unless systemd\n"
                             "keeps it for the next one; default), or a folder on tmpfs or disk (a path\n"
                             "with a slash), whose pools outlive the daemon; it is made if its last part\n"
                             "is missing"},
    [OPTION_SET_ASIDE] = {.name = "set-aside",
                          .section = "daemon",
                          .argument = "FOLDER",
                          .standard = "none",
                          .set = set_set_aside,
                          .fix = "give none, or a folder: a path with a slash",
                          .help =
                              "where to copy pools that systemd has kept and that are damaged, to start\n"
                              "without them; none (default): then the daemon does not start, and systemd\n"
                              "keeps them on"},
    [OPTION_LOAD] = {.name = "load",
                     .section = "daemon",
                     .argument = "FILE",
                     .standard = "none",
                     .set = set_load,
                     .fix = "give the path of a file that `save` wrote, with a slash, as ./default.save",
                     .help = "makes a pool from a file that `save` wrote, under the name it had; refused if\n"
                             "there is one of that name with something in it (a path with a slash)"},
    [OPTION_WORKERS] = {.name = "workers",
                        .section = "daemon",
                        .argument = "N",
                        .standard = "auto",
                        .set = set_workers,
                        .mean = mean_workers,
                        .fix = "give a number from 1 to 64, or auto",
                        .help = "threads that own the pools, 1 to 64; auto (default): one for each core\n"
                                "that the daemon may run on"},
    [OPTION_MAX_MEMORY] =
        {.name = "max-memory",
         .section = "limits",
         .argument = "SIZE",
         .live = true,
         .standard = "60%",
         .set = set_memory,
         .mean = mean_memory,
         .fix = "give at least 16m: bytes, or with k, m, g, t, or a percentage as 60%",
         .help = "for all that clients cause: bytes, or with k, m, g, t, or % of the machine's\n"
                 "(or its cgroup's) memory; default 60%"},
    [OPTION_SAVE_DIR] = {.name = "save-dir",
                         .section = "save",
                         .argument = "DIR",
                         .live = true,
                         .standard = "none",
                         .set = set_save_dir,
                         .fix = "give a folder: a path with a slash, as ./saves",
                         .help =
                             "folder of the files that `save` writes (a path with a slash); it is made if\n"
                             "its last part is missing. Without it nothing can be saved"},
    [OPTION_SAVE_EVERY] = {.name = "save-every",
                           .section = "save",
                           .argument = "TIME",
                           .live = true,
                           .standard = "never",
                           .set = set_save_every,
                           .fix = "give a number with s, m, h or d, as 1h, or never",
                           .help =
                               "saves each pool so often, to --save-dir: a number with s, m, h or d; never\n"
                               "(default)"},
    [OPTION_SAVE_KEEP] = {.name = "save-keep",
                          .section = "save",
                          .argument = "N",
                          .live = true,
                          .standard = "7",
                          .set = set_save_keep,
                          .fix = "give a number from 1 to 1000",
                          .help =
                              "of the files that --save-every makes of a pool the newest N stay; default 7"},
    [OPTION_SLOWLOG_US] = {.name = "slowlog-us",
                           .section = "log",
                           .argument = "US",
                           .live = true,
                           .standard = "10000",
                           .set = set_slowlog,
                           .mean = mean_slowlog,
                           .fix = "give microseconds, 0 to 3600000000; 0 keeps none",
                           .help =
                               "requests that take so many microseconds or longer are kept for `holdfast\n"
                               "slowlog`, the last 256; default 10000; 0 keeps none"},
    [OPTION_EVACUATE_PERCENT] =
        {.name = "evacuate-percent",
         .section = "limits",
         .argument = "N",
         .live = true,
         .standard = "60",
         .set = set_evacuate,
         .fix = "give a number from 0 (never) to 90",
         .help = "when less than N % of the memory behind values is in use, values are moved\n"
                 "so that the rest can be given back; 0: never; default 60"},
    [OPTION_LOG_LEVEL] = {.name = "log-level",
                          .section = "log",
                          .argument = "LEVEL",
                          .live = true,
                          .standard = "info",
                          .set = set_level,
                          .fix = "levels are error, warn, info and debug",
                          .help = "error, warn, info (default) or debug; the log goes to stderr"},
};

static const char *name_of(const void *rows, size_t i)
{
    return ((const struct option_row *)rows)[i].name;
}

const struct option_row *option_nearest(const char *name)
{
    size_t i = nearest_of(name, name_of, option_rows, OPTIONS_COUNT);
    return i == OPTIONS_COUNT ? NULL : &option_rows[i];
}
