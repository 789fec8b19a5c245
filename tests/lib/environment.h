/* SPDX-License-Identifier: BSD-3-Clause */
/* What a test program is told by environment variables. */
#ifndef HF_TESTS_LIB_ENVIRONMENT_H
#define HF_TESTS_LIB_ENVIRONMENT_H

#include <stdint.h>
#include <stdlib.h>

/* The number in the variable; `otherwise` if it is not there, or empty. */
static inline uint64_t number_of(const char *variable, uint64_t otherwise)
{
    const char *text = getenv(variable);
    return text != NULL && text[0] != '\0' ? strtoull(text, NULL, 0) : otherwise;
}

#endif
