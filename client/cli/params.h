/* SPDX-License-Identifier: BSD-3-Clause */
/* From the words of a command to the arguments of a call, and from its result to the output: what several
 * commands share. Functions that return bool have reported what is wrong when they return false. */
#ifndef HF_CLI_PARAMS_H
#define HF_CLI_PARAMS_H

#include <msgpack.h>

#include "client/cli/cli.h"
#include "client/cli/value.h"

/* A value from the command line. Zeroed: nil. Ends with cli_value_done. */
struct cli_value {
    hf_value value;
    struct cli_bytes bytes; /* what it was read from */
    msgpack_sbuffer packed; /* what it was packed to */
};

/* Reads positional `index`, or --file, as --str, --bin, --int, --json or --msgpack. Returns an exit code; has
 * reported. */
int cli_value_read(struct cli *cli, const struct cli_args *args, unsigned index, struct cli_value *ret);
void cli_value_done(struct cli_value *value);

bool cli_positional_id(struct cli *cli, const struct cli_args *args, unsigned index, hf_id *ret);
bool cli_positional_uint(struct cli *cli, const struct cli_args *args, unsigned index, const char *what,
                         uint64_t *ret);

/* The number of an option; `*ret` stays as it is when the option is not given. */
bool cli_option_uint(struct cli *cli, const struct cli_args *args, enum cli_option option, uint64_t *ret);
bool cli_option_size(struct cli *cli, const struct cli_args *args, enum cli_option option, uint64_t *ret);
bool cli_if_version(struct cli *cli, const struct cli_args *args, int64_t *ret);

/* Params of a call that has no typed function: init, pack, call. What goes wrong in between is kept for the
 * call. */
struct cli_params {
    struct cli *cli;
    msgpack_sbuffer buffer;
    msgpack_packer packer;
    int exit_code; /* of the first problem, which is reported */
};

void cli_params_init(struct cli_params *params, struct cli *cli, uint32_t count);

/* The positionals as an id, or as an array of ids if there are several. */
void cli_pack_ids(struct cli_params *params, const struct cli_args *args);
/* The same for names. */
void cli_pack_names(struct cli_params *params, const struct cli_args *args);
void cli_pack_text(struct cli_params *params, const char *text);
/* key and number of an option, if it is given. */
void cli_pack_uint(struct cli_params *params, const struct cli_args *args, enum cli_option option,
                   const char *key);

/* Makes the call and ends `params`. Returns an exit code; has reported. */
int cli_params_call(struct cli_params *params, const char *method, hf_reply **ret);

/* Calls `method` with JSON text as its params (`as_item`: as its only param) and shows the result. */
int cli_call_json(struct cli *cli, const char *method, const char *text, bool as_item);

/* Any result in the chosen form. */
void cli_show(struct cli *cli, hf_item item);

/* The result of a method that takes one or many: one value, or each on its own line. */
void cli_show_values(struct cli *cli, hf_item item, unsigned asked);

/* An array, one element a line; anything else as one. JSON: as it is. */
void cli_show_list(struct cli *cli, hf_item item);

/* Rows as a table; JSON: as they are. */
int cli_show_rows(struct cli *cli, hf_item rows);

#endif
