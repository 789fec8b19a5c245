/* SPDX-License-Identifier: BSD-3-Clause */
/* Commands about names. */
#include <inttypes.h>

#include "client/cli/params.h"
#include "client/cli/print.h"

int cli_name(struct cli *cli, const struct cli_args *args)
{
    int64_t if_version = HF_ANY_VERSION;
    int64_t version = 0;
    hf_id id;
    if (!cli_positional_id(cli, args, 1, &id) || !cli_if_version(cli, args, &if_version))
        return CLI_USAGE;
    int code = hf_name(cli->conn, args->positional[0], id, if_version, &version);
    if (code != 0)
        return cli_fail(cli, code);
    printf("%" PRId64 "\n", version);
    return CLI_OK;
}

/* lookup and fetch: one name or many, the version too on demand. */
static int read_names(struct cli *cli, const struct cli_args *args, const char *method)
{
    struct cli_params params;
    hf_reply *reply = NULL;
    bool version = cli_given(args, CLI_OPT_WITH_VERSION);
    cli_params_init(&params, cli, 1 + version);
    cli_pack_names(&params, args);
    if (version) {
        msgpack_pack_map(&params.packer, 1);
        cli_pack_text(&params, "version");
        msgpack_pack_true(&params.packer);
    }
    int exit_code = cli_params_call(&params, method, &reply);
    if (exit_code == CLI_OK)
        cli_show_values(cli, hf_reply_item(reply), args->count);
    hf_reply_free(reply);
    return exit_code;
}

int cli_lookup(struct cli *cli, const struct cli_args *args)
{
    return read_names(cli, args, "lookup");
}

int cli_fetch(struct cli *cli, const struct cli_args *args)
{
    return read_names(cli, args, "fetch");
}

int cli_unname(struct cli *cli, const struct cli_args *args)
{
    struct cli_params params;
    hf_reply *reply = NULL;
    bool conditional = cli_given(args, CLI_OPT_IF_VERSION);
    cli_params_init(&params, cli, 1 + conditional);
    cli_pack_names(&params, args);
    if (conditional) {
        msgpack_pack_map(&params.packer, 1);
        cli_pack_uint(&params, args, CLI_OPT_IF_VERSION, "if_version");
    }
    int exit_code = cli_params_call(&params, "unname", &reply);
    if (exit_code == CLI_OK && cli->output == CLI_JSON)
        cli_show(cli, hf_reply_item(reply));
    hf_reply_free(reply);
    return exit_code;
}

/* ---- names --------------------------------------------------------------------------------------------- */

/* One page; `*shown` counts rows. */
static void show_page(struct cli *cli, hf_item rows, uint64_t limit, uint64_t *shown)
{
    hf_walk walk = hf_walk_start(rows);
    hf_item row;
    while (*shown < limit && hf_walk_next(&walk, NULL, &row)) {
        if (cli->output == CLI_JSON) {
            fputs(*shown != 0 ? "," : "", stdout);
            cli_print_json(stdout, row);
        } else {
            hf_id id = 0;
            hf_item_int(hf_item_at(row, 1), &id);
            printf("%16" PRId64 "  ", id);
            cli_print_value(stdout, hf_item_at(row, 0), cli->terminal);
            putchar('\n');
        }
        ++*shown;
    }
}

int cli_names(struct cli *cli, const struct cli_args *args)
{
    const char *prefix = args->count != 0 ? args->positional[0] : NULL;
    uint64_t limit = UINT64_MAX;
    uint64_t cursor = 0;
    uint64_t shown = 0;
    int code = 0;
    if (!cli_option_uint(cli, args, CLI_OPT_LIMIT, &limit))
        return CLI_USAGE;
    if (cli->output == CLI_JSON)
        putchar('[');
    else if (cli->output == CLI_HUMAN)
        printf("%s%16s  NAME%s\n", cli->colour ? "\033[1m" : "", "ID", cli->colour ? "\033[0m" : "");
    do {
        hf_reply *reply;
        code = hf_names(cli->conn, cursor, prefix, 0, &reply);
        cursor = 0;
        hf_item_uint(hf_item_at(hf_reply_item(reply), 0), &cursor);
        show_page(cli, hf_item_at(hf_reply_item(reply), 1), limit, &shown);
        hf_reply_free(reply);
    } while (code == 0 && cursor != 0 && shown < limit);
    if (cli->output == CLI_JSON)
        puts("]");
    return code != 0 ? cli_fail(cli, code) : CLI_OK;
}

int cli_store(struct cli *cli, const struct cli_args *args)
{
    struct hf_store_options options = {.tag = args->value[CLI_OPT_TAG],
                                       .check_version = cli_given(args, CLI_OPT_IF_VERSION)};
    struct cli_value value = {0};
    int64_t version = 0;
    hf_id id = 0;
    if (!cli_if_version(cli, args, &options.if_version))
        return CLI_USAGE;
    int exit_code = cli_value_read(cli, args, 1, &value);
    if (exit_code == CLI_OK) {
        int code = hf_store(cli->conn, args->positional[0], value.value, &options, &id, &version);
        exit_code = code != 0 ? cli_fail(cli, code) : CLI_OK;
    }
    if (exit_code == CLI_OK && cli->output == CLI_JSON)
        printf("[%" PRId64 ",%" PRId64 "]\n", id, version);
    else if (exit_code == CLI_OK)
        printf("%" PRId64 "\n", id);
    cli_value_done(&value);
    return exit_code;
}
