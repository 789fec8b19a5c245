/* SPDX-License-Identifier: BSD-3-Clause */
/* Apart from the screen, and behind our own headers: term.h defines words such as `lines`. */
#include "client/monitor/screen.h"

#include <curses.h>
#include <unistd.h>

#include <term.h>

bool monitor_terminal_known(void)
{
    int problem;
    if (setupterm(NULL, STDOUT_FILENO, &problem) != OK)
        return false;
    del_curterm(cur_term);
    return true;
}
