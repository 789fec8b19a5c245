/* SPDX-License-Identifier: BSD-3-Clause */
/* Figures for people: three digits and a unit. */
#ifndef BASE_HUMAN_H
#define BASE_HUMAN_H

#include <stddef.h>
#include <stdint.h>

#define HUMAN_MAX 16 /* bytes that are enough for any */

/* "999", "1.23 k", "12.3 M"; "0 B", "1023 B", "1.00 KiB". Returns `to`. */
const char *human_count(char *to, size_t size, uint64_t count);
const char *human_bytes(char *to, size_t size, uint64_t bytes);

#endif
