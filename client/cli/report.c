/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#include "client/cli/cli.h"

static bool colour_on_stderr(void)
{
    const char *no_color = getenv("NO_COLOR");
    return isatty(STDERR_FILENO) && (no_color == NULL || no_color[0] == '\0');
}

/* What was printed before must come before. */
static void begin_report(void)
{
    fflush(stdout);
    fputs(colour_on_stderr() ? "\033[31mholdfast:\033[0m " : "holdfast: ", stderr);
}

int cli_error(struct cli *cli, int exit_code, const char *format, ...)
{
    va_list list;
    (void)cli;
    begin_report();
    va_start(list, format);
    vfprintf(stderr, format, list);
    va_end(list);
    fputc('\n', stderr);
    return exit_code;
}

void cli_hint(struct cli *cli, const char *format, ...)
{
    va_list list;
    if (cli->quiet)
        return;
    fflush(stdout);
    va_start(list, format);
    fputs("holdfast: note: ", stderr);
    vfprintf(stderr, format, list);
    va_end(list);
    fputc('\n', stderr);
}

int cli_exit_of(int code)
{
    switch (code) {
    case 0: return CLI_OK;
    case HF_ERR_CONNECT:
    case HF_ERR_UNKNOWN:
    case HF_ERR_UNSENT: return CLI_CONNECTION;
    case HF_ERR_ADDRESS: return CLI_USAGE;
    case HF_ERR_NOREPLY:
    case HF_ERR_TIMEOUT: return CLI_TIMEOUT;
    case HF_ERR_MEMORY:
    case HF_ERR_ARGUMENT:
    case HF_ERR_PROTOCOL: return CLI_LOCAL;
    default: return CLI_ANSWER;
    }
}

int cli_fail(struct cli *cli, int code)
{
    const struct hf_error *error = hf_last_error(cli->conn);
    cli_error(cli, 0, "%s: %s", error->word, error->text);
    return cli_exit_of(code);
}

int cli_done(struct cli *cli, int code)
{
    if (code != 0)
        return cli_fail(cli, code);
    if (cli->output == CLI_JSON)
        puts("true");
    return CLI_OK;
}
