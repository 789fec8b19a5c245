/* SPDX-License-Identifier: BSD-3-Clause */
/* A library to be preloaded into a program: holds threads. One that calls itself by a name that is in $HF_HOLD_NAMES,
 * which are separated by spaces, or makes a file of such a name by openat(), waits there until somebody opens the FIFO
 * $HF_HOLD_FIFO for writing. */
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Extension: the project hides symbols by default, and these have to be seen to take the place of libc's. */
#define SEEN __attribute__((visibility("default")))

static bool is_among(const char *name, const char *names)
{
    size_t size = strlen(name);
    for (const char *at = names; at != NULL && *at != '\0'; at += strcspn(at, " "), at += strspn(at, " "))
        if (strcspn(at, " ") == size && strncmp(at, name, size) == 0)
            return true;
    return false;
}

static void hold(const char *name)
{
    const char *fifo = getenv("HF_HOLD_FIFO");
    if (fifo == NULL || !is_among(name, getenv("HF_HOLD_NAMES")))
        return;
    int fd = open(fifo, O_RDONLY | O_CLOEXEC);
    if (fd >= 0)
        close(fd);
}

SEEN int pthread_setname_np(pthread_t thread, const char *name)
{
    union { /* what dlsym() returns is no function for the language */
        void *found;
        int (*call)(pthread_t, const char *);
    } next = {.found = dlsym(RTLD_NEXT, "pthread_setname_np")};
    int r = next.call(thread, name);
    hold(name);
    return r;
}

SEEN int openat(int folder, const char *path, int flags, ...)
{
    union {
        void *found;
        int (*call)(int, const char *, int, ...);
    } next = {.found = dlsym(RTLD_NEXT, "openat")};
    if ((flags & O_CREAT) == 0)
        return next.call(folder, path, flags);
    va_list args;
    va_start(args, flags);
    mode_t mode = va_arg(args, mode_t);
    va_end(args);
    hold(path);
    return next.call(folder, path, flags, mode);
}
