/* SPDX-License-Identifier: BSD-3-Clause */
/* What a fuzzer gives: one function that takes an input and aborts if a promise is broken, and inputs to start from.
 * libFuzzer calls the first one for minutes (`make check-all`); driver.c, without libFuzzer, for seconds in `make check`. */
#ifndef HF_TESTS_FUZZ_FUZZ_H
#define HF_TESTS_FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>

struct fuzz_seed {
    const void *bytes;
    size_t size;
};

/* Named by libFuzzer. Returns 0. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Inputs that reach deep: `*count` of them, at least 1; static. */
const struct fuzz_seed *fuzz_seeds(size_t *count);

#endif
