/* SPDX-License-Identifier: BSD-3-Clause */
/* The machine a load ran on. */
#ifndef HF_BENCH_MACHINE_H
#define HF_BENCH_MACHINE_H

#include <stdint.h>

struct bench_machine {
    char system[64], architecture[32]; /* "Linux 6.1.0-13-amd64", "x86_64" */
    char cpu[96];                      /* its model, or "unknown" */
    unsigned cores;                    /* that this process may run on */
    uint64_t memory;                   /* bytes */
};

void bench_machine_look(struct bench_machine *ret);

#endif
