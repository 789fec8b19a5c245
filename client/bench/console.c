/* SPDX-License-Identifier: BSD-3-Clause */
#include "client/bench/console.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "client/bench/clock.h"

#define SHOW_NS UINT64_C(100000000)

bool bench_console_open(struct bench_console *console, bool quiet, struct bench_problem *problem)
{
    sigset_t ends;
    *console = (struct bench_console){.terminal = !quiet && isatty(STDERR_FILENO) != 0};
    sigemptyset(&ends);
    sigaddset(&ends, SIGINT);
    sigaddset(&ends, SIGTERM);
    console->signals = signalfd(-1, &ends, SFD_CLOEXEC | SFD_NONBLOCK);
    if (console->signals < 0 || sigprocmask(SIG_BLOCK, &ends, &console->before) != 0)
        return bench_fail(problem, HF_ERR_MEMORY, "signalfd: %s", strerror(errno));
    return true;
}

void bench_console_close(struct bench_console *console)
{
    bench_console_clear(console);
    if (console->signals < 0)
        return;
    close(console->signals);
    console->signals = -1;
    sigprocmask(SIG_SETMASK, &console->before, NULL);
}

bool bench_console_interrupted(struct bench_console *console)
{
    struct signalfd_siginfo info;
    if (console->interrupted == 0 && read(console->signals, &info, sizeof info) == (ssize_t)sizeof info) {
        console->interrupted = (int)info.ssi_signo;
        sigprocmask(SIG_SETMASK, &console->before, NULL);
    }
    return console->interrupted != 0;
}

void bench_console_show(struct bench_console *console, const char *format, ...)
{
    va_list args;
    uint64_t now_ns = bench_now_ns();
    if (!console->terminal || now_ns < console->next_ns)
        return;
    console->next_ns = now_ns + SHOW_NS;
    console->shown = true;
    fputs("\r\033[K", stderr);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fflush(stderr);
}

void bench_console_clear(struct bench_console *console)
{
    if (console->shown)
        fputs("\r\033[K", stderr);
    console->shown = false;
    console->next_ns = 0;
}
