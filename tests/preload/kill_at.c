/* SPDX-License-Identifier: BSD-3-Clause */
/* A library to be preloaded into a program: kills it before a certain change of a folder.
 *
 * Changes are the calls that make (openat with O_CREAT), rename and remove a file in whose name $HF_KILL_FILE stands;
 * before the one of number $HF_KILL_AT, counted from 1, the process gets SIGKILL. Each change is one system call, so
 * that all numbers together are all places where it can die. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Extension: the project hides symbols by default, and these have to be seen to take the place of libc's. */
#define SEEN __attribute__((visibility("default")))

/* State of the process, as the folder is. */
static _Atomic unsigned done;

static void change(const char *file)
{
    const char *which = getenv("HF_KILL_FILE"), *at = getenv("HF_KILL_AT");
    if (which == NULL || at == NULL || strstr(file, which) == NULL)
        return;
    if (atomic_fetch_add(&done, 1) + 1 == (unsigned)atoi(at))
        kill(getpid(), SIGKILL);
}

SEEN int openat(int folder, const char *file, int flags, ...)
{
    mode_t mode = 0;
    if ((flags & O_CREAT) != 0) {
        va_list args;
        va_start(args, flags);
        mode = va_arg(args, mode_t);
        va_end(args);
        change(file);
    }
    return (int)syscall(SYS_openat, folder, file, flags, mode);
}

SEEN int renameat2(int from, const char *old, int to, const char *new, unsigned flags)
{
    change(old);
    return (int)syscall(SYS_renameat2, from, old, to, new, flags);
}

SEEN int renameat(int from, const char *old, int to, const char *new)
{
    return renameat2(from, old, to, new, 0);
}

SEEN int unlinkat(int folder, const char *file, int flags)
{
    change(file);
    return (int)syscall(SYS_unlinkat, folder, file, flags);
}
