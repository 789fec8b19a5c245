/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/lib/full_io.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

static int write_some(const struct save_io *io, int fd, const void *data, uint64_t size, uint64_t offset)
{
    /* The save hands back the pointer that it was given, which is the first member of a writable full_io. */
    struct full_io *full = (struct full_io *)(uintptr_t)io;
    bool past = fd == full->fd_past;
    if (past && full->refuses)
        return -EINVAL;
    if (past && ((uintptr_t)data | size | offset) % PAGE_BYTES != 0)
        abort();
    if (++full->writes == full->fail_at)
        return -ENOSPC;
    return pwrite(fd, data, size, (off_t)offset) == (ssize_t)size ? 0 : -EIO;
}

void full_io_open(struct full_io *full, int fd, struct random *random)
{
    *full = (struct full_io){.io.write = write_some, .fd_past = -1};
    if (random_once_in(random, 6))
        full->fail_at = random_between(random, 1, 6);
    if (random_once_in(random, 2))
        return;
    full->fd_past = dup(fd);
    full->refuses = random_once_in(random, 4);
    if (full->fd_past < 0)
        abort();
}

void full_io_close(struct full_io *full)
{
    if (full->fd_past >= 0)
        close(full->fd_past);
}
