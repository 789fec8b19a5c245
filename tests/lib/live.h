/* SPDX-License-Identifier: BSD-3-Clause */
/* A real daemon, $HOLDFASTD or build/holdfastd, and clients of it, for libcheck programs in C. */
#ifndef HF_TESTS_LIB_LIVE_H
#define HF_TESTS_LIB_LIVE_H

#include "client/holdfast.h"

#include <sys/types.h>

struct live {
    char folder[32];
    char unix_address[80];
    char tcp_address[80];
    pid_t pid;
    bool files;     /* its pools are in files */
    bool saves;     /* it can save them, to the folder `saves` in its own */
    bool no_replay; /* of sessions opened from now on: a broken connection is not resumed by itself */
};

void live_start(struct live *live);
/* The same with pools in files, and with saves of them; live_restart() kills the daemon and starts another one on
 * them, at the same unix address. */
void live_start_files(struct live *live);
void live_start_saves(struct live *live);
void live_restart(struct live *live);

/* Kills it; of one without files. */
void live_kill(const struct live *live);

/* A connection with a session of that name and a lease of a minute. */
void live_open(const struct live *live, hf_conn **ret, const char *name);

/* Both sessions end: nothing but what is named or held by tickets may be left, and every invariant must hold. Then the
 * daemon ends, which must go well. */
void live_end(const struct live *live, hf_conn *conn, hf_conn *other);

#endif
