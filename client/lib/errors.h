/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HF_CLIENT_ERRORS_H
#define HF_CLIENT_ERRORS_H

#include <stddef.h>

/* The public code of a word of the wire; HF_ERR_OTHER if it is none of this version's. */
int hf__error_code(const char *word, size_t size);

#endif
