/* SPDX-License-Identifier: BSD-3-Clause */
/* `top` on a terminal: draws the page, obeys keys, follows the window's size, and leaves the terminal as it found it,
 * also when a signal ends it. */
#ifndef HF_MONITOR_SCREEN_H
#define HF_MONITOR_SCREEN_H

#include "client/monitor/page.h"

struct monitor_screen_options {
    const char *address;
    struct monitor_choice choice;
    uint64_t interval_ns;
    bool all_pools;
    int signals; /* readable once a signal wants the program to end */
};

/* Whether there is a description of this terminal. (Asked first, since the library's way to begin, when it finds none,
 * leaves memory behind.) */
bool monitor_terminal_known(void);

/* Runs until a key or a signal ends it. Returns NULL, or why it could not begin. */
const char *monitor_screen_run(struct monitor_source *source, struct monitor_screen_options *options);

#endif
