/* SPDX-License-Identifier: BSD-3-Clause */
/* How a save under test writes its file: one that has no room from some write on, and descriptors that want whole pages,
 * as those past the system's cache do, or refuse them. */
#ifndef HF_TESTS_LIB_FULL_IO_H
#define HF_TESTS_LIB_FULL_IO_H

#include "daemon/heap/save.h"
#include "tests/lib/random.h"

struct full_io {
    struct save_io io;
    uint64_t writes, fail_at; /* 0: never */
    int fd_past;              /* -1: none */
    bool refuses;             /* -EINVAL for that */
};

/* For a save to `fd`, at random; ends with full_io_close(). */
void full_io_open(struct full_io *full, int fd, struct random *random);
void full_io_close(struct full_io *full);

#endif
