/* SPDX-License-Identifier: BSD-3-Clause */
/* What went wrong, handed up to whoever reports it. */
#ifndef HF_BENCH_PROBLEM_H
#define HF_BENCH_PROBLEM_H

#include <stdbool.h>

#include "client/holdfast.h"

#define BENCH_INTERRUPTED 1 /* a signal ended it; the other codes are HF_ERR_... */

struct bench_problem {
    int code; /* 0: nothing */
    char text[480];
};

/* Notes a problem, unless there is one already. Returns false. */
bool bench_fail(struct bench_problem *problem, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4))); /* the compiler checks each call's arguments against its format */

/* Notes what the latest call on a connection said. `what` was being done. Returns false. */
bool bench_fail_call(struct bench_problem *problem, const hf_conn *conn, const char *what);

/* Notes that there is no memory. Returns false. */
bool bench_fail_memory(struct bench_problem *problem);

#endif
