/* SPDX-License-Identifier: BSD-3-Clause */
/* What the daemon's command line says. */
#ifndef SYSTEM_OPTIONS_H
#define SYSTEM_OPTIONS_H

#include "daemon/base/log.h"

#include <stddef.h>
#include <stdint.h>

#define OPTIONS_LISTEN_MAX  16
#define OPTIONS_WORKERS_MAX 64

struct options {
    const char *listen[OPTIONS_LISTEN_MAX]; /* of argv; none: the default path */
    unsigned listen_count;
    uint64_t max_memory; /* bytes */
    unsigned workers;
    enum log_level log_level;
};

enum options_result { OPTIONS_RUN, OPTIONS_DONE, OPTIONS_WRONG };

/* Reads the command line. DONE: --help or --version was answered on stdout, exit 0. WRONG: what is wrong
 * and what would be right was said on stderr, exit 2. */
enum options_result options_parse(struct options *options, int argc, char **argv);

/* Bytes that SIZE means: digits with k, m, g, t (of 1024) or % of `whole`. 0: it means none. */
uint64_t options_size(const char *text, uint64_t whole);

#endif
