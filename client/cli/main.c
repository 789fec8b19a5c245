/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/cli/cli.h"

int main(int argc, char **argv)
{
    const char *no_color = getenv("NO_COLOR");
    struct cli cli = {.timeout_ms = HF_TIMEOUT_DEFAULT_MS, .terminal = isatty(STDOUT_FILENO) != 0};
    cli.colour = cli.terminal && (no_color == NULL || no_color[0] == '\0');
    int exit_code = cli_program(&cli, argv + 1, argc > 0 ? (unsigned)(argc - 1) : 0);
    if (fflush(stdout) != 0 || ferror(stdout)) {
        cli_error(&cli, 0, "output: %s", strerror(errno));
        return exit_code != CLI_OK ? exit_code : CLI_LOCAL;
    }
    return exit_code;
}
