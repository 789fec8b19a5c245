/* SPDX-License-Identifier: BSD-3-Clause */
/* Output of values and tables. */
#ifndef HF_CLI_PRINT_H
#define HF_CLI_PRINT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "client/holdfast.h"

/* One value as JSON on one line, without the end of the line; see value.h for what JSON cannot say. */
void cli_print_json(FILE *out, hf_item item);

/* A value for people: a str or bin as it is (on a terminal without control characters), anything else as
 * JSON. */
void cli_print_value(FILE *out, hf_item item, bool terminal);

/* Exactly the bytes of a str or bin, the MessagePack of anything else. */
void cli_print_raw(FILE *out, hf_item item);

/* Bytes on a terminal: what is not printable as \xNN. */
void cli_print_safe(FILE *out, const void *bytes, size_t size);

/* "812 B", "1.2 GiB" and "3.4 s", "2 d 3 h" into `to`, which is returned. */
char *cli_format_size(uint64_t bytes, char to[16]);
char *cli_format_time(uint64_t ms, char to[16]);

/* An array of maps as an aligned table: a column for each key that some row has, in the order of their
 * appearance; times (keys with _ms at the end) and sizes are made readable. False without memory: nothing was
 * printed. */
bool cli_print_table(FILE *out, hf_item rows, bool colour);

/* A map as aligned lines `key value`; a map in it as `key.key value`. */
void cli_print_map(FILE *out, hf_item map);

/* 16 bytes as 32 digits and an end of line. */
void cli_print_ticket(FILE *out, const uint8_t *ticket);

#endif
