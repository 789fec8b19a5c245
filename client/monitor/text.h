/* SPDX-License-Identifier: BSD-3-Clause */
/* Figures and names in as few columns as they are told in. */
#ifndef HF_MONITOR_TEXT_H
#define HF_MONITOR_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MONITOR_NUMBER_SIZE 16

/* A number in at most five columns: "12", "9999", "12.3k", "4.5M"; powers of 1000. Into `to`, which is returned. */
char *monitor_count(double number, char to[MONITOR_NUMBER_SIZE]);

/* Bytes in at most five columns: "812", "12.3K", "1.2G"; powers of 1024. */
char *monitor_bytes(double bytes, char to[MONITOR_NUMBER_SIZE]);

/* Microseconds in at most five columns: "0.3", "12", "4.5m" (ms), "1.2s". */
char *monitor_us(double us, char to[MONITOR_NUMBER_SIZE]);

/* Columns that a text in the locale's encoding takes. */
unsigned monitor_width(const char *text);

/* Copies `length` bytes of UTF-8 so that they take exactly `columns` columns, cut or filled with blanks; what cannot be
 * shown in this locale, and what a terminal would obey, becomes '?'. `right`: blanks stand to the left. At most `size`
 * bytes with the terminating zero are written, whatever they then show. */
void monitor_fit(char *to, size_t size, const char *bytes, size_t length, unsigned columns, bool right);

/* A bar of `columns` columns, a `share` (0 ... 1) of it filled. */
void monitor_bar(char *to, size_t size, double share, unsigned columns);

#endif
