/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdio.h>

#include "client/cli/cli.h"

#define ADDRESS_SIZE 512

/* ---- The connection ------------------------------------------------------------------------------------ */

static const char *address_in_use(const struct cli *cli, char chosen[ADDRESS_SIZE])
{
    if (cli->address != NULL)
        return cli->address;
    return hf_default_address(chosen, ADDRESS_SIZE) == 0 ? chosen : "the default address";
}

int cli_connect(struct cli *cli)
{
    char chosen[ADDRESS_SIZE];
    int code = hf_connect(cli->address, cli->timeout_ms, &cli->conn);
    if (cli->conn == NULL)
        return cli_error(cli, CLI_LOCAL, "no memory");
    if (code != 0) {
        cli_error(cli, 0, "%s: %s", address_in_use(cli, chosen), hf_last_error(cli->conn)->text);
        return cli_exit_of(code);
    }
    /* Without a lease everything ends with the process, however that ends. */
    struct hf_hello_options options = {.name = "holdfast", .pool = cli->pool, .lease_ms = HF_NO_LEASE};
    code = hf_hello(cli->conn, &options);
    return code != 0 ? cli_fail(cli, code) : CLI_OK;
}

/* Ends the session before the process ends, so that what it held is released when the shell goes on. Who did not
 * answer in time is not asked again: the end of the connection ends the session too. */
static void disconnect(struct cli *cli, int exit_code)
{
    if (cli->conn != NULL && hf_connected(cli->conn) && exit_code != CLI_TIMEOUT)
        hf_bye(cli->conn, NULL);
    hf_close(cli->conn);
    cli->conn = NULL;
}

/* ---- Commands ------------------------------------------------------------------------------------------ */

void cli_apply(struct cli *cli, const struct cli_args *args)
{
    if (cli_given(args, CLI_OPT_ADDRESS))
        cli->address = args->value[CLI_OPT_ADDRESS];
    if (cli_given(args, CLI_OPT_POOL))
        cli->pool = args->value[CLI_OPT_POOL];
    if (cli_given(args, CLI_OPT_JSON))
        cli->output = CLI_JSON;
    if (cli_given(args, CLI_OPT_RAW))
        cli->output = CLI_RAW;
    cli->quiet |= cli_given(args, CLI_OPT_QUIET);
}

/* What cannot be applied just so: a number that may be none, and what makes no sense in a shell. */
static int check_general(struct cli *cli, const struct cli_args *args)
{
    uint64_t timeout_ms;
    if (cli->shell && (cli_given(args, CLI_OPT_ADDRESS) || cli_given(args, CLI_OPT_POOL)))
        return cli_error(cli, CLI_USAGE, "a shell has one connection to one pool");
    if (!cli_given(args, CLI_OPT_TIMEOUT))
        return CLI_OK;
    if (!cli_parse_uint(args->value[CLI_OPT_TIMEOUT], &timeout_ms) || timeout_ms > INT64_MAX / 2)
        return cli_error(cli, CLI_USAGE, "--timeout needs a number of milliseconds");
    cli->timeout_ms = timeout_ms == 0 ? HF_NO_TIMEOUT : (int64_t)timeout_ms;
    return CLI_OK;
}

int cli_online(struct cli *cli, const struct cli_args *args,
               int (*run)(struct cli *cli, const struct cli_args *args))
{
    bool own = cli->conn == NULL;
    int exit_code = CLI_OK;
    if (own)
        exit_code = cli_connect(cli);
    else
        hf_set_timeout(cli->conn, cli->timeout_ms);
    if (exit_code == CLI_OK)
        exit_code = run(cli, args);
    if (own)
        disconnect(cli, exit_code);
    return exit_code;
}

int cli_run(struct cli *cli, const struct cli_command *command, const struct cli_args *args)
{
    if (cli_given(args, CLI_OPT_HELP)) {
        cli_help(stdout, command);
        return CLI_OK;
    }
    int exit_code = check_general(cli, args);
    if (exit_code != CLI_OK)
        return exit_code;
    cli_apply(cli, args);
    if (args->count < command->min || args->count > command->max)
        return cli_error(cli, CLI_USAGE, "%s takes %s; see `holdfast help %s`", command->name,
                         command->params[0] != '\0' ? command->params : "no argument", command->name);
    return command->offline ? command->run(cli, args) : cli_online(cli, args, command->run);
}

static int run_command(struct cli *cli, const char *name, char **words, unsigned count)
{
    struct cli_args args;
    char problem[160];
    unsigned used;
    const struct cli_command *command = cli_command_find(name);
    if (command == NULL)
        return cli_error(cli, CLI_USAGE, "unknown command %s; `holdfast help` lists them", name);
    int exit_code = CLI_USAGE;
    const char *wrong =
        cli_args_parse(words, count, CLI_GENERAL_BITS | command->options, false, &args, &used, problem);
    if (wrong != NULL)
        cli_error(cli, CLI_USAGE, "%s; see `holdfast help %s`", wrong, command->name);
    else
        exit_code = cli_run(cli, command, &args);
    cli_args_done(&args);
    return exit_code;
}

int cli_program(struct cli *cli, char **words, unsigned count)
{
    struct cli_args args;
    char problem[160];
    unsigned used;
    int exit_code = CLI_OK;
    const char *wrong = cli_args_parse(words, count, CLI_GENERAL_BITS, true, &args, &used, problem);
    if (wrong != NULL)
        exit_code = cli_error(cli, CLI_USAGE, "%s; see `holdfast help`", wrong);
    else
        exit_code = check_general(cli, &args);
    if (exit_code == CLI_OK) {
        cli_apply(cli, &args);
        if (cli_given(&args, CLI_OPT_VERSION))
            puts("holdfast " HF_VERSION);
        else if (cli_given(&args, CLI_OPT_HELP))
            cli_help(stdout, args.command != NULL ? cli_command_find(args.command) : NULL);
        else if (args.command != NULL)
            exit_code = run_command(cli, args.command, words + used, count - used);
        else {
            cli_help(stderr, NULL);
            exit_code = CLI_USAGE;
        }
    }
    cli_args_done(&args);
    return exit_code;
}
