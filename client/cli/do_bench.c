/* SPDX-License-Identifier: BSD-3-Clause */
/* The load generator as a command. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "client/bench/report.h"
#include "client/bench/run.h"
#include "client/cli/cli.h"

static int exit_of(const struct bench_problem *problem)
{
    return problem->code == BENCH_INTERRUPTED ? CLI_LOCAL : cli_exit_of(problem->code);
}

/* ---- Comparing ----------------------------------------------------------------------------------------- */

static json_t *read_result(struct cli *cli, const char *path)
{
    json_error_t error;
    json_t *json = json_load_file(path, JSON_DECODE_ANY, &error);
    if (json == NULL)
        cli_error(cli, CLI_LOCAL, "%s: %s", path, error.text);
    return json;
}

static int compare(struct cli *cli, const struct cli_args *args)
{
    struct bench_problem problem = {0};
    if (args->count != 3)
        return cli_error(cli, CLI_USAGE, "bench compare takes two files; see `holdfast help bench`");
    json_t *before = read_result(cli, args->positional[1]);
    json_t *after = before != NULL ? read_result(cli, args->positional[2]) : NULL;
    int exit_code = after != NULL ? CLI_OK : CLI_LOCAL;
    if (after != NULL && !bench_compare(stdout, before, after, cli->output == CLI_JSON, &problem))
        exit_code = cli_error(cli, CLI_LOCAL, "%s", problem.text);
    json_decref(before);
    json_decref(after);
    return exit_code;
}

/* ---- A run --------------------------------------------------------------------------------------------- */

static int print_json(struct cli *cli, const struct bench_options *options, const struct bench_result *result,
                      const char *failure)
{
    json_t *report = bench_report_json(options, result, failure);
    int failed = report == NULL ? -1 : json_dumpf(report, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(15));
    json_decref(report);
    if (failed != 0)
        return cli_error(cli, CLI_LOCAL, "the result could not be written");
    putchar('\n');
    return CLI_OK;
}

/* Prints what there is to tell. The exit code for it: 1 if the daemon answered with errors. */
static int show(struct cli *cli, const struct bench_options *options, const struct bench_result *result,
                const char *failure)
{
    char text[256];
    if (cli->output == CLI_JSON) {
        int exit_code = print_json(cli, options, result, failure);
        if (exit_code != CLI_OK)
            return exit_code;
    } else {
        bench_report_print(stdout, options, result);
    }
    for (unsigned i = 0; bench_report_remark(options, result, i, text); i++)
        cli_hint(cli, "%s", text);
    return bench_record_errors(result->record) != 0 ? CLI_ANSWER : CLI_OK;
}

static int run(struct cli *cli, const struct bench_options *options)
{
    struct bench_console console;
    struct bench_result result;
    struct bench_problem problem = {0};
    int exit_code = CLI_OK;
    if (!bench_console_open(&console, cli->quiet, &problem)) {
        exit_code = cli_error(cli, CLI_LOCAL, "%s", problem.text);
        bench_console_close(&console);
        return exit_code;
    }
    bool good = bench_run(options, &console, &result, &problem);
    bench_console_close(&console);
    if (result.measured)
        exit_code = show(cli, options, &result, good ? NULL : problem.text);
    if (!good)
        exit_code = cli_error(cli, exit_of(&problem), "%s", problem.text);
    if (result.tidying.code != 0) {
        cli_error(cli, 0, "%s", result.tidying.text);
        exit_code = exit_code != CLI_OK ? exit_code : exit_of(&result.tidying);
    }
    bench_result_done(&result);
    /* With nothing to show for it, it ends as the signal would have ended it. */
    if (problem.code == BENCH_INTERRUPTED)
        raise(console.interrupted);
    return exit_code;
}

void cli_bench_help(FILE *out)
{
    fputs("\n"
          "Closed loop: each connection has --depth requests in flight and sends the next when a reply\n"
          "has come. This finds out how much the daemon can do. But while it stalls nothing is sent, and\n"
          "so hardly anything is seen to be slow: the latencies are those of a load that gives way.\n"
          "Open loop, --rate N: requests are due at fixed times, N a second in all, and a latency counts\n"
          "from when its request was due, sent or not. A stall of a second is seen in all the requests of\n"
          "that second, as users would see it (no coordinated omission). This finds out how the daemon\n"
          "serves that load.\n",
          out);
    fputs("\nOperations, to be mixed as get=80,put=20, or with equal weights as get,put:\n", out);
    for (unsigned i = 0; i < BENCH_OPERATION_COUNT; i++)
        fprintf(out, "  %-22s %s\n", bench_operations[i].name, bench_operations[i].help);
    fputs("Mixes that have a name:\n", out);
    for (const struct bench_named_mix *mix = bench_named_mixes; mix->name != NULL; mix++)
        fprintf(out, "  %-22s %s: %s\n", mix->name, mix->text, mix->help);
}

int cli_bench(struct cli *cli, const struct cli_args *args)
{
    struct bench_options options;
    char problem[256];
    const char *wrong;
    if (args->count != 0) {
        if (strcmp(args->positional[0], "compare") == 0)
            return compare(cli, args);
        return cli_error(cli, CLI_USAGE,
                         "bench takes options or `compare`, not %s; see `holdfast help bench`",
                         args->positional[0]);
    }
    wrong = bench_options_parse(args, &options, problem);
    options.pool = cli->pool;
    options.address = cli->address;
    options.timeout_ms = cli->timeout_ms;
    if (wrong == NULL)
        wrong = bench_options_check(&options, problem);
    if (wrong != NULL)
        return cli_error(cli, CLI_USAGE, "%s; see `holdfast help bench`", wrong);
    return run(cli, &options);
}
