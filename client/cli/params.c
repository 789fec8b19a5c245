/* SPDX-License-Identifier: BSD-3-Clause */
#include "client/cli/params.h"

#include <stdlib.h>
#include <string.h>

#include "client/cli/print.h"

/* ---- Values -------------------------------------------------------------------------------------------- */

static int read_source(struct cli *cli, const struct cli_args *args, unsigned index, struct cli_bytes *ret)
{
    const char *file = args->value[CLI_OPT_FILE];
    bool given = index < args->count;
    if (given == (file != NULL))
        return cli_error(cli, CLI_USAGE, given ? "a value and --file: which of them?" : "VALUE is missing");
    const char *source = given ? args->positional[index] : file;
    const char *wrong = given ? cli_read_source(source, ret) : cli_read_file(source, ret);
    if (wrong != NULL)
        return cli_error(cli, CLI_LOCAL, "%s: %s", source, wrong);
    return CLI_OK;
}

static int read_int(struct cli *cli, struct cli_value *ret)
{
    int64_t number;
    ret->bytes.data[strcspn(ret->bytes.data, "\r\n")] = '\0'; /* a file of one line */
    if (!cli_parse_int(ret->bytes.data, &number))
        return cli_error(cli, CLI_USAGE, "--int needs a number from -2^63 to 2^63-1");
    ret->value = hf_int(number);
    return CLI_OK;
}

static int read_json(struct cli *cli, struct cli_value *ret)
{
    char problem[160];
    msgpack_sbuffer_init(&ret->packed);
    const char *wrong = cli_json_pack(ret->bytes.data, ret->bytes.size, &ret->packed, problem);
    if (wrong != NULL)
        return cli_error(cli, CLI_USAGE, "%s", wrong);
    ret->value = hf_packed(ret->packed.data, ret->packed.size);
    return CLI_OK;
}

int cli_value_read(struct cli *cli, const struct cli_args *args, unsigned index, struct cli_value *ret)
{
    /* Said after the command, --json is the type of the value; said before it, only the form of the
     * output. */
    bool json = cli_given(args, CLI_OPT_JSON);
    unsigned types = cli_given(args, CLI_OPT_STR) + cli_given(args, CLI_OPT_BIN) +
                     cli_given(args, CLI_OPT_INT) + cli_given(args, CLI_OPT_MSGPACK);
    *ret = (struct cli_value){0};
    if (types > 1)
        return cli_error(cli, CLI_USAGE, "--str, --bin, --int or --msgpack: which of them?");
    int exit_code = read_source(cli, args, index, &ret->bytes);
    if (exit_code != CLI_OK)
        return exit_code;
    if (cli_given(args, CLI_OPT_INT))
        return read_int(cli, ret);
    if (cli_given(args, CLI_OPT_BIN))
        ret->value = hf_bin(ret->bytes.data, ret->bytes.size);
    else if (cli_given(args, CLI_OPT_MSGPACK))
        ret->value = hf_packed(ret->bytes.data, ret->bytes.size);
    else if (json && types == 0)
        return read_json(cli, ret);
    else
        ret->value = hf_str(ret->bytes.data, ret->bytes.size);
    return CLI_OK;
}

void cli_value_done(struct cli_value *value)
{
    free(value->bytes.data);
    msgpack_sbuffer_destroy(&value->packed);
    *value = (struct cli_value){0};
}

/* ---- Numbers ------------------------------------------------------------------------------------------- */

bool cli_positional_id(struct cli *cli, const struct cli_args *args, unsigned index, hf_id *ret)
{
    if (cli_parse_id(args->positional[index], ret))
        return true;
    cli_error(cli, CLI_USAGE, "%s is no id: a number from 1 to 2^53-1", args->positional[index]);
    return false;
}

bool cli_positional_uint(struct cli *cli, const struct cli_args *args, unsigned index, const char *what,
                         uint64_t *ret)
{
    if (cli_parse_uint(args->positional[index], ret))
        return true;
    cli_error(cli, CLI_USAGE, "%s is no %s: a number is needed", args->positional[index], what);
    return false;
}

bool cli_option_uint(struct cli *cli, const struct cli_args *args, enum cli_option option, uint64_t *ret)
{
    if (!cli_given(args, option) || cli_parse_uint(args->value[option], ret))
        return true;
    cli_error(cli, CLI_USAGE, "%s needs a number", cli_options[option].name);
    return false;
}

bool cli_option_size(struct cli *cli, const struct cli_args *args, enum cli_option option, uint64_t *ret)
{
    if (!cli_given(args, option) || cli_parse_size(args->value[option], ret))
        return true;
    cli_error(cli, CLI_USAGE, "%s needs a number of bytes, such as 4096 or 64M", cli_options[option].name);
    return false;
}

bool cli_if_version(struct cli *cli, const struct cli_args *args, int64_t *ret)
{
    uint64_t version;
    if (!cli_given(args, CLI_OPT_IF_VERSION))
        return true;
    if (!cli_option_uint(cli, args, CLI_OPT_IF_VERSION, &version))
        return false;
    *ret = version > INT64_MAX ? INT64_MAX : (int64_t)version;
    return true;
}

/* ---- Params -------------------------------------------------------------------------------------------- */

static int write_params(void *data, const char *bytes, size_t size)
{
    struct cli_params *params = data;
    if (params->exit_code != CLI_OK)
        return -1;
    if (msgpack_sbuffer_write(&params->buffer, bytes, size) != 0) {
        params->exit_code = cli_error(params->cli, CLI_LOCAL, "no memory");
        return -1;
    }
    return 0;
}

void cli_params_init(struct cli_params *params, struct cli *cli, uint32_t count)
{
    *params = (struct cli_params){.cli = cli};
    msgpack_sbuffer_init(&params->buffer);
    msgpack_packer_init(&params->packer, params, write_params);
    msgpack_pack_array(&params->packer, count);
}

void cli_pack_ids(struct cli_params *params, const struct cli_args *args)
{
    hf_id id = 0;
    if (args->count > 1)
        msgpack_pack_array(&params->packer, args->count);
    for (unsigned i = 0; i < args->count && params->exit_code == CLI_OK; i++) {
        if (!cli_positional_id(params->cli, args, i, &id))
            params->exit_code = CLI_USAGE;
        msgpack_pack_int64(&params->packer, id);
    }
}

void cli_pack_names(struct cli_params *params, const struct cli_args *args)
{
    if (args->count > 1)
        msgpack_pack_array(&params->packer, args->count);
    for (unsigned i = 0; i < args->count; i++)
        cli_pack_text(params, args->positional[i]);
}

void cli_pack_text(struct cli_params *params, const char *text)
{
    msgpack_pack_str_with_body(&params->packer, text, strlen(text));
}

void cli_pack_uint(struct cli_params *params, const struct cli_args *args, enum cli_option option,
                   const char *key)
{
    uint64_t number = 0;
    if (!cli_given(args, option))
        return;
    if (!cli_option_uint(params->cli, args, option, &number))
        params->exit_code = CLI_USAGE;
    cli_pack_text(params, key);
    msgpack_pack_uint64(&params->packer, number);
}

int cli_params_call(struct cli_params *params, const char *method, hf_reply **ret)
{
    int exit_code = params->exit_code;
    *ret = NULL;
    if (exit_code == CLI_OK) {
        int code = hf_call(params->cli->conn, method, params->buffer.data, params->buffer.size, ret);
        exit_code = code != 0 ? cli_fail(params->cli, code) : CLI_OK;
    }
    msgpack_sbuffer_destroy(&params->buffer);
    return exit_code;
}

/* `[item]` when JSON is the only param; the JSON itself when it is the array of all. */
static const char *pack_json_params(struct cli_bytes text, bool as_item, msgpack_sbuffer *out,
                                    char problem[160])
{
    if (as_item && msgpack_sbuffer_write(out, "\x91", 1) != 0)
        return "no memory";
    return cli_json_pack(text.data, text.size, out, problem);
}

int cli_call_json(struct cli *cli, const char *method, const char *text, bool as_item)
{
    struct cli_bytes source = {0};
    msgpack_sbuffer params;
    char problem[160];
    hf_reply *reply = NULL;
    const char *wrong = cli_read_source(text, &source);
    if (wrong != NULL)
        return cli_error(cli, CLI_LOCAL, "%s: %s", text, wrong);
    msgpack_sbuffer_init(&params);
    int exit_code = CLI_OK;
    wrong = pack_json_params(source, as_item, &params, problem);
    if (wrong != NULL)
        exit_code = cli_error(cli, CLI_USAGE, "%s", wrong);
    if (exit_code == CLI_OK) {
        int code = hf_call(cli->conn, method, params.data, params.size, &reply);
        exit_code = code == HF_ERR_ARGUMENT ? cli_error(cli, CLI_USAGE, "the params must be one JSON array")
                    : code != 0             ? cli_fail(cli, code)
                                            : CLI_OK;
    }
    if (exit_code == CLI_OK)
        cli_show_list(cli, hf_reply_item(reply));
    hf_reply_free(reply);
    msgpack_sbuffer_destroy(&params);
    free(source.data);
    return exit_code;
}

/* ---- Results ------------------------------------------------------------------------------------------- */

void cli_show(struct cli *cli, hf_item item)
{
    if (cli->output == CLI_RAW) {
        cli_print_raw(stdout, item);
        return;
    }
    if (cli->output == CLI_JSON)
        cli_print_json(stdout, item);
    else
        cli_print_value(stdout, item, cli->terminal);
    putchar('\n');
}

void cli_show_values(struct cli *cli, hf_item item, unsigned asked)
{
    hf_walk walk = hf_walk_start(item);
    hf_item value;
    if (asked < 2 || cli->output == CLI_JSON) {
        cli_show(cli, item);
        return;
    }
    while (hf_walk_next(&walk, NULL, &value))
        cli_show(cli, value);
}

void cli_show_list(struct cli *cli, hf_item item)
{
    hf_walk walk = hf_walk_start(item);
    hf_item value;
    if (cli->output != CLI_HUMAN || hf_item_type(item) != HF_TYPE_ARRAY) {
        cli_show(cli, item);
        return;
    }
    while (hf_walk_next(&walk, NULL, &value)) {
        if (hf_item_type(value) == HF_TYPE_NIL)
            puts("nil");
        else
            cli_show(cli, value);
    }
}

int cli_show_rows(struct cli *cli, hf_item rows)
{
    if (cli->output != CLI_HUMAN)
        cli_show(cli, rows);
    else if (!cli_print_table(stdout, rows, cli->colour))
        return cli_error(cli, CLI_LOCAL, "no memory");
    return CLI_OK;
}
