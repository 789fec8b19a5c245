/* SPDX-License-Identifier: BSD-3-Clause */
/* The daemon's command line. */
#ifndef SYSTEM_COMMAND_H
#define SYSTEM_COMMAND_H

#include "daemon/system/options.h"

enum command_result { COMMAND_RUN, COMMAND_DONE, COMMAND_WRONG };

/* Reads it. DONE: --help or --version was answered on stdout, exit 0. WRONG: what is wrong and what would be right was said
 * on stderr, exit 2. Values are not looked at yet: options_load() does. */
enum command_result command_parse(struct command *command, int argc, char **argv);

#endif
