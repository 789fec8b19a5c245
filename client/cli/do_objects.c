/* SPDX-License-Identifier: BSD-3-Clause */
/* Commands about objects: values, slots, references, tickets. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "client/cli/cli.h"
#include "client/cli/params.h"
#include "client/cli/print.h"

/* ---- put ----------------------------------------------------------------------------------------------- */

/* What keeps a new object alive after this command: a name, a ticket, or (with a remark) nothing. */
static int keep(struct cli *cli, const struct cli_args *args, hf_id id)
{
    uint8_t ticket[HF_KEY_BYTES];
    uint64_t ttl_ms = 0;
    uint64_t uses = 0;
    int code;
    if (!cli_option_uint(cli, args, CLI_OPT_TTL_MS, &ttl_ms) ||
        !cli_option_uint(cli, args, CLI_OPT_USES, &uses))
        return CLI_USAGE;
    if (cli_given(args, CLI_OPT_NAME)) {
        code = hf_name(cli->conn, args->value[CLI_OPT_NAME], id, HF_ANY_VERSION, NULL);
        if (code != 0)
            return cli_fail(cli, code);
    }
    if (cli_given(args, CLI_OPT_SHARE)) {
        code = hf_share(cli->conn, id, ttl_ms, uses, ticket);
        if (code != 0)
            return cli_fail(cli, code);
    }
    if (cli->output == CLI_JSON && cli_given(args, CLI_OPT_SHARE))
        printf("{\"id\":%" PRId64 ",\"ticket\":\"", id);
    else
        printf("%" PRId64 "\n", id);
    if (cli_given(args, CLI_OPT_SHARE)) {
        for (size_t i = 0; i < sizeof ticket; i++)
            printf("%02x", ticket[i]);
        puts(cli->output == CLI_JSON ? "\"}" : "");
    }
    if (!cli->shell && cli_given(args, CLI_OPT_SIZE))
        cli_hint(cli,
                 "the open object %" PRId64
                 " dies with this command: put, write, seal and name it in one `holdfast shell`",
                 id);
    else if (!cli->shell && !cli_given(args, CLI_OPT_NAME) && !cli_given(args, CLI_OPT_SHARE))
        cli_hint(cli,
                 "object %" PRId64
                 " dies with this command, whose session held it: keep it with --name NAME, "
                 "hand it on with --share, or use `holdfast shell`",
                 id);
    return CLI_OK;
}

int cli_put(struct cli *cli, const struct cli_args *args)
{
    struct hf_put_options options = {.tag = args->value[CLI_OPT_TAG],
                                     .site = args->value[CLI_OPT_SITE],
                                     .seal = cli_given(args, CLI_OPT_SEAL)};
    struct cli_value value = {0};
    hf_id *refs = NULL;
    uint64_t size = 0;
    hf_id id = 0;
    if (cli_given(args, CLI_OPT_SIZE) &&
        (!cli_parse_size(args->value[CLI_OPT_SIZE], &size) || size == 0 || size > INT64_MAX))
        return cli_error(cli, CLI_USAGE, "--size needs a number of bytes, such as 64M");
    options.size = (int64_t)size;
    if (cli_given(args, CLI_OPT_REFS)) {
        refs = cli_parse_refs(args->value[CLI_OPT_REFS], &options.ref_count);
        if (refs == NULL)
            return cli_error(cli, CLI_USAGE, "--refs needs ids with commas between them, or nil");
        options.refs = refs;
    }
    if (size != 0 && (cli_given(args, CLI_OPT_NAME) || cli_given(args, CLI_OPT_SHARE))) {
        free(refs);
        return cli_error(
            cli, CLI_USAGE,
            "an open object takes a name or a ticket only after seal: in `holdfast shell`, put --size, "
            "write, seal, name");
    }
    bool nothing = size != 0 && args->count == 0 && !cli_given(args, CLI_OPT_FILE);
    int exit_code = nothing ? CLI_OK : cli_value_read(cli, args, 0, &value);
    if (exit_code == CLI_OK) {
        int code = hf_put(cli->conn, value.value, &options, &id);
        exit_code = code != 0 ? cli_fail(cli, code) : keep(cli, args, id);
    }
    cli_value_done(&value);
    free(refs);
    return exit_code;
}

int cli_put_many(struct cli *cli, const struct cli_args *args)
{
    int exit_code = cli_call_json(cli, "put_many", args->positional[0], true);
    if (exit_code == CLI_OK && !cli->shell)
        cli_hint(
            cli,
            "these objects die with this command (all but cycles), whose session held them: use `holdfast "
            "shell` to name one or to work with them");
    return exit_code;
}

/* ---- values -------------------------------------------------------------------------------------------- */

static void pack_options(struct cli_params *params, const struct cli_args *args)
{
    uint32_t count = cli_given(args, CLI_OPT_OFFSET) + cli_given(args, CLI_OPT_LEN) +
                     cli_given(args, CLI_OPT_WITH_VERSION);
    if (count == 0)
        return;
    msgpack_pack_map(&params->packer, count);
    cli_pack_uint(params, args, CLI_OPT_OFFSET, "offset");
    cli_pack_uint(params, args, CLI_OPT_LEN, "len");
    if (cli_given(args, CLI_OPT_WITH_VERSION)) {
        cli_pack_text(params, "version");
        msgpack_pack_true(&params->packer);
    }
}

int cli_get(struct cli *cli, const struct cli_args *args)
{
    struct cli_params params;
    bool options = cli_given(args, CLI_OPT_OFFSET) || cli_given(args, CLI_OPT_LEN) ||
                   cli_given(args, CLI_OPT_WITH_VERSION);
    cli_params_init(&params, cli, 1 + options);
    cli_pack_ids(&params, args);
    pack_options(&params, args);
    hf_reply *reply = NULL;
    int exit_code = cli_params_call(&params, "get", &reply);
    if (exit_code == CLI_OK)
        cli_show_values(cli, hf_reply_item(reply), args->count);
    hf_reply_free(reply);
    return exit_code;
}

int cli_set(struct cli *cli, const struct cli_args *args)
{
    struct cli_value value = {0};
    int64_t if_version = HF_ANY_VERSION;
    int64_t version = 0;
    hf_id id;
    if (!cli_positional_id(cli, args, 0, &id) || !cli_if_version(cli, args, &if_version))
        return CLI_USAGE;
    int exit_code = cli_value_read(cli, args, 1, &value);
    if (exit_code == CLI_OK) {
        int code = hf_set(cli->conn, id, value.value, if_version, &version);
        exit_code = code != 0 ? cli_fail(cli, code) : CLI_OK;
    }
    if (exit_code == CLI_OK)
        printf("%" PRId64 "\n", version);
    cli_value_done(&value);
    return exit_code;
}

int cli_write(struct cli *cli, const struct cli_args *args)
{
    struct cli_value value = {0};
    uint64_t offset;
    hf_id id;
    if (!cli_positional_id(cli, args, 0, &id) || !cli_positional_uint(cli, args, 1, "OFFSET", &offset))
        return CLI_USAGE;
    int exit_code = cli_value_read(cli, args, 2, &value);
    if (exit_code == CLI_OK) {
        int code = hf_write(cli->conn, id, offset, value.bytes.data, value.bytes.size);
        exit_code = code != 0 ? cli_fail(cli, code) : CLI_OK;
    }
    if (exit_code == CLI_OK)
        printf("%zu\n", value.bytes.size);
    cli_value_done(&value);
    return exit_code;
}

int cli_seal(struct cli *cli, const struct cli_args *args)
{
    hf_id id;
    if (!cli_positional_id(cli, args, 0, &id))
        return CLI_USAGE;
    return cli_done(cli, hf_seal(cli->conn, id));
}

/* ---- slots --------------------------------------------------------------------------------------------- */

int cli_refs(struct cli *cli, const struct cli_args *args)
{
    hf_reply *reply;
    hf_id id;
    if (!cli_positional_id(cli, args, 0, &id))
        return CLI_USAGE;
    int code = hf_refs(cli->conn, id, &reply);
    if (code != 0)
        return cli_fail(cli, code);
    cli_show_list(cli, hf_reply_item(reply));
    hf_reply_free(reply);
    return CLI_OK;
}

int cli_link(struct cli *cli, const struct cli_args *args)
{
    uint64_t slot;
    hf_id id;
    hf_id target = 0;
    hf_id previous = 0;
    if (!cli_positional_id(cli, args, 0, &id) || !cli_positional_uint(cli, args, 1, "SLOT", &slot))
        return CLI_USAGE;
    if (strcmp(args->positional[2], "nil") != 0 && !cli_positional_id(cli, args, 2, &target))
        return CLI_USAGE;
    int code = hf_link(cli->conn, id, slot, target, &previous);
    if (code != 0)
        return cli_fail(cli, code);
    if (previous == 0)
        puts(cli->output == CLI_JSON ? "null" : "nil");
    else
        printf("%" PRId64 "\n", previous);
    return CLI_OK;
}

/* ---- references ---------------------------------------------------------------------------------------- */

/* retain and release: one id or many. */
static int change_counts(struct cli *cli, const struct cli_args *args, const char *method)
{
    struct cli_params params;
    hf_reply *reply = NULL;
    bool n = cli_given(args, CLI_OPT_N);
    uint64_t count = 0;
    if (!cli_option_uint(cli, args, CLI_OPT_N, &count))
        return CLI_USAGE;
    cli_params_init(&params, cli, 1 + n);
    cli_pack_ids(&params, args);
    if (n)
        msgpack_pack_uint64(&params.packer, count);
    int exit_code = cli_params_call(&params, method, &reply);
    if (exit_code == CLI_OK)
        cli_show_list(cli, hf_reply_item(reply));
    hf_reply_free(reply);
    return exit_code;
}

int cli_retain(struct cli *cli, const struct cli_args *args)
{
    int exit_code = change_counts(cli, args, "retain");
    if (exit_code == CLI_OK && !cli->shell)
        cli_hint(
            cli,
            "the references end with this command: use `holdfast hold` or `holdfast shell` to keep them");
    return exit_code;
}

int cli_release(struct cli *cli, const struct cli_args *args)
{
    return change_counts(cli, args, "release");
}

/* ---- tickets ------------------------------------------------------------------------------------------- */

/* A command's session holds nothing yet, so it takes a reference for the time of the call. */
static int share_unheld(struct cli *cli, hf_id id, uint64_t ttl_ms, uint64_t uses, uint8_t *ticket)
{
    int code = hf_retain(cli->conn, id, 1, NULL);
    if (code != 0)
        return code;
    code = hf_share(cli->conn, id, ttl_ms, uses, ticket);
    if (code != 0)
        return code;
    return hf_release(cli->conn, id, 1, NULL);
}

int cli_share(struct cli *cli, const struct cli_args *args)
{
    uint8_t ticket[HF_KEY_BYTES];
    uint64_t ttl_ms = 0;
    uint64_t uses = 0;
    hf_id id;
    if (!cli_positional_id(cli, args, 0, &id) || !cli_option_uint(cli, args, CLI_OPT_TTL_MS, &ttl_ms) ||
        !cli_option_uint(cli, args, CLI_OPT_USES, &uses))
        return CLI_USAGE;
    int code = hf_share(cli->conn, id, ttl_ms, uses, ticket);
    if (code == HF_ERR_NOTHELD)
        code = share_unheld(cli, id, ttl_ms, uses, ticket);
    if (code != 0)
        return cli_fail(cli, code);
    if (cli->output == CLI_JSON)
        putchar('"');
    for (size_t i = 0; i < sizeof ticket; i++)
        printf("%02x", ticket[i]);
    puts(cli->output == CLI_JSON ? "\"" : "");
    return CLI_OK;
}

static bool read_ticket(struct cli *cli, const struct cli_args *args, uint8_t *ticket)
{
    if (cli_parse_ticket(args->positional[0], ticket))
        return true;
    cli_error(cli, CLI_USAGE, "a ticket has 32 hexadecimal digits");
    return false;
}

int cli_claim(struct cli *cli, const struct cli_args *args)
{
    uint8_t ticket[HF_KEY_BYTES];
    hf_id id = 0;
    if (!read_ticket(cli, args, ticket))
        return CLI_USAGE;
    int code = hf_claim(cli->conn, ticket, &id);
    if (code == 0 && cli_given(args, CLI_OPT_NAME))
        code = hf_name(cli->conn, args->value[CLI_OPT_NAME], id, HF_ANY_VERSION, NULL);
    if (code != 0)
        return cli_fail(cli, code);
    printf("%" PRId64 "\n", id);
    if (!cli->shell && !cli_given(args, CLI_OPT_NAME))
        cli_hint(cli, "the reference to %" PRId64 " ends with this command: keep the object with --name NAME",
                 id);
    return CLI_OK;
}

int cli_unshare(struct cli *cli, const struct cli_args *args)
{
    uint8_t ticket[HF_KEY_BYTES];
    if (!read_ticket(cli, args, ticket))
        return CLI_USAGE;
    return cli_done(cli, hf_unshare(cli->conn, ticket));
}
