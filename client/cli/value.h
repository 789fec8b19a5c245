/* SPDX-License-Identifier: BSD-3-Clause */
/* Values on their way in: text, files and JSON become MessagePack.
 *
 * JSON is strict (UTF-8, no duplicate keys). What JSON cannot say is an object with one key:
 * {"$bin": "BASE64"}, {"$str": "BASE64"} (a str that is not UTF-8), {"$ext": [TYPE, "BASE64"]}. print.h
 * writes the same forms. */
#ifndef HF_CLI_VALUE_H
#define HF_CLI_VALUE_H

#include <msgpack.h>
#include <stdbool.h>
#include <stddef.h>

/* Bytes that a function has made; freed with free. `data` has a terminating zero behind `size`. */
struct cli_bytes {
    char *data;
    size_t size;
};

/* Reads PATH ("-": stdin) to its end. NULL, or what is wrong (static or of strerror). */
const char *cli_read_file(const char *path, struct cli_bytes *ret);

/* What a positional or --file stands for: the text itself, the file of @PATH, stdin for -, and @@TEXT is
 * @TEXT. */
const char *cli_read_source(const char *text, struct cli_bytes *ret);

/* Packs one JSON text behind what is in `out`. NULL, or what is wrong in `problem`. */
const char *cli_json_pack(const char *text, size_t size, msgpack_sbuffer *out, char problem[160]);

#endif
