/* SPDX-License-Identifier: BSD-3-Clause */
/* A request's arguments as a short line for a person: `4294967296005, {site: "main.c:7"}`. For slowlog and for traces.
 *
 * Values of objects are told by their size alone, and so are bytes, session keys and tickets: what is shown here may be read
 * by whoever may read the log. What is long is cut (`...`), what is nested is told by its number of entries. The line
 * is UTF-8 without control characters, takes no memory, and costs no more than its length. */
#ifndef SERVER_BRIEF_H
#define SERVER_BRIEF_H

#include "proto/methods.h"
#include "proto/scan.h"

#define BRIEF_MAX 160u /* bytes of a line, with its terminating zero */

/* Writes the params of a scanned frame, whose first byte is at `bytes`, to `to` (BRIEF_MAX bytes). */
void brief_params(char *to, enum hf_method method, const uint8_t *bytes, const struct hfp_frame *frame);

#endif
