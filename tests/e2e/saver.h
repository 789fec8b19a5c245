/* SPDX-License-Identifier: BSD-3-Clause */
/* Saves one after the other while the daemon is killed again and again, and what must be in the folder after each death: a
 * file under the final name is whole, is never older than one before it, and is there for good from the first answer on. */
#ifndef HF_TESTS_E2E_SAVER_H
#define HF_TESTS_E2E_SAVER_H

#include "tests/lib/live.h"

#include <pthread.h>
#include <stdatomic.h>

struct saver {
    const struct live *live;
    pthread_t thread;
    hf_conn *conn;
    atomic_bool stop;
    atomic_ullong answered; /* saves */
    uint64_t versions;      /* the counter of versions in the file that was found last */
    uint64_t found;         /* looks at the folder that found a file */
    char wrong[300];        /* of its thread */
};

void saver_start(struct saver *saver, const struct live *live);
/* Any time: looks at the file that is there now. */
void saver_look(struct saver *saver);
/* Waits until its thread has ended. */
void saver_end(struct saver *saver);
/* When the daemon has ended: nothing but the file is left, and a daemon could load it. */
void saver_check(struct saver *saver);

#endif
