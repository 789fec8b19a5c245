/* SPDX-License-Identifier: BSD-3-Clause */
#include "daemon/system/options.h"

#include "daemon/system/machine.h"
#include "proto/version.h"

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MEMORY_PERCENT 60
#define MEMORY_MIN     (16ull << 20) /* below it not even an empty pool is of use */

static const char help_text[] =
    "Usage: holdfastd [OPTION]...\n"
    "Keeps reference-counted objects for many processes and serves them over MessagePack-RPC.\n"
    "\n"
    "  --listen ADDRESS     unix:PATH, tcp:HOST:PORT or tcp:[IPV6]:PORT; may be given several times.\n"
    "                       Port 0 takes a free one. There is no access control on TCP in this version.\n"
    "                       Default: unix:$XDG_RUNTIME_DIR/holdfast/holdfast.sock,\n"
    "                       without XDG_RUNTIME_DIR: unix:/run/holdfast/holdfast.sock\n"
    "  --heap memfd         where heaps live; memfd (memory, gone with the daemon) is all there is so far\n"
    "  --max-memory SIZE    for all that clients cause: bytes, or with k, m, g, t, or % of the machine's\n"
    "                       (or its cgroup's) memory; default 60%\n"
    "  --workers N          threads that own the pools, 1 to 64; default: the cores it may run on\n"
    "  --log-level LEVEL    error, warn, info (default) or debug; the log goes to stderr\n"
    "  -V, --version        print the version and exit\n"
    "  -h, --help           print this and exit\n"
    "\n"
    "SIGTERM and SIGINT end it: replies are flushed for at most 5 seconds; a second one ends it at once.\n";

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

static enum options_result wrong(const char *what, const char *value, const char *fix)
{
    fprintf(stderr, "holdfastd: %s '%s'; %s\n", what, value, fix);
    return OPTIONS_WRONG;
}

static enum options_result set_listen(struct options *options, const char *value)
{
    if (options->listen_count == OPTIONS_LISTEN_MAX)
        return wrong("--listen", value, "more than 16 addresses; give fewer");
    options->listen[options->listen_count++] = value;
    return OPTIONS_RUN;
}

static enum options_result set_memory(struct options *options, const char *value)
{
    options->max_memory = options_size(value, machine_memory());
    if (options->max_memory < MEMORY_MIN)
        return wrong("--max-memory", value,
                     "give at least 16m: bytes, or with k, m, g, t, or a percentage as 60%");
    return OPTIONS_RUN;
}

static enum options_result set_workers(struct options *options, const char *value)
{
    char *end;
    unsigned long number = strtoul(value, &end, 10);
    if (!isdigit((unsigned char)value[0]) || *end != '\0' || number < 1 || number > OPTIONS_WORKERS_MAX)
        return wrong("--workers", value, "give a number from 1 to 64");
    options->workers = (unsigned)number;
    return OPTIONS_RUN;
}

static enum options_result set_level(struct options *options, const char *value)
{
    static const char *const levels[] = {"error", "warn", "info", "debug"};
    for (unsigned i = 0; i < sizeof levels / sizeof levels[0]; i++) {
        if (strcmp(value, levels[i]) != 0)
            continue;
        options->log_level = (enum log_level)i;
        return OPTIONS_RUN;
    }
    return wrong("--log-level", value, "levels are error, warn, info and debug");
}

enum {
    OPTION_LISTEN = 1,
    OPTION_HEAP,
    OPTION_MEMORY,
    OPTION_WORKERS,
    OPTION_LEVEL,
    OPTION_VERSION,
    OPTION_HELP
};

static enum options_result set(struct options *options, int option)
{
    switch (option) {
    case OPTION_LISTEN: return set_listen(options, optarg);
    case OPTION_HEAP:
        return strcmp(optarg, "memfd") == 0 ? OPTIONS_RUN
                                            : wrong("--heap", optarg, "this version has 'memfd' only");
    case OPTION_MEMORY: return set_memory(options, optarg);
    case OPTION_WORKERS: return set_workers(options, optarg);
    case OPTION_LEVEL: return set_level(options, optarg);
    case 'V':
    case OPTION_VERSION: printf("holdfastd %s\n", HF_VERSION); return OPTIONS_DONE;
    case 'h':
    case OPTION_HELP: fputs(help_text, stdout); return OPTIONS_DONE;
    default: fputs("Try 'holdfastd --help'.\n", stderr); return OPTIONS_WRONG; /* getopt_long has said what */
    }
}

enum options_result options_parse(struct options *options, int argc, char **argv)
{
    static const struct option names[] = {
        {"listen", required_argument, NULL, OPTION_LISTEN},
        {"heap", required_argument, NULL, OPTION_HEAP},
        {"max-memory", required_argument, NULL, OPTION_MEMORY},
        {"workers", required_argument, NULL, OPTION_WORKERS},
        {"log-level", required_argument, NULL, OPTION_LEVEL},
        {"version", no_argument, NULL, OPTION_VERSION},
        {"help", no_argument, NULL, OPTION_HELP},
        {NULL, 0, NULL, 0},
    };
    *options = (struct options){.log_level = LOG_LEVEL_INFO, .workers = machine_cores()};
    if (options->workers > OPTIONS_WORKERS_MAX)
        options->workers = OPTIONS_WORKERS_MAX;
    for (int option; (option = getopt_long(argc, argv, "hV", names, NULL)) != -1;) {
        enum options_result result = set(options, option);
        if (result != OPTIONS_RUN)
            return result;
    }
    if (optind < argc)
        return wrong("unexpected argument", argv[optind], "options begin with --; try 'holdfastd --help'");
    if (options->max_memory == 0)
        options->max_memory = machine_memory() / 100 * MEMORY_PERCENT;
    return OPTIONS_RUN;
}
