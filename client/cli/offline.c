/* SPDX-License-Identifier: BSD-3-Clause */
/* Images in files are the daemon's business: `holdfastd --verify` looks at them, and this runs it. */
#include <errno.h>
#include <limits.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client/cli/cli.h"

#define DAEMON "holdfastd"

extern char **environ; /* POSIX declares it in no header */

/* The daemon beside this program, as both are installed; else the one in $PATH. */
static void find_daemon(char ret[PATH_MAX])
{
    ssize_t size = readlink("/proc/self/exe", ret, PATH_MAX - sizeof DAEMON);
    char *slash = size <= 0 ? NULL : memrchr(ret, '/', (size_t)size);
    if (slash != NULL) {
        memcpy(slash + 1, DAEMON, sizeof DAEMON);
        if (access(ret, X_OK) == 0)
            return;
    }
    memcpy(ret, DAEMON, sizeof DAEMON);
}

static bool is_folder(const char *path)
{
    struct stat status;
    return stat(path, &status) == 0 && S_ISDIR(status.st_mode);
}

static int run(struct cli *cli, const char *program, char *const words[])
{
    pid_t pid;
    int status;
    fflush(stdout);
    int err = posix_spawnp(&pid, program, NULL, NULL, words, environ);
    if (err != 0)
        return cli_error(cli, CLI_LOCAL,
                         "%s: %s; it checks images, and has to be beside this program or in $PATH", program,
                         strerror(err));
    while (waitpid(pid, &status, 0) != pid)
        if (errno != EINTR)
            return cli_error(cli, CLI_LOCAL, "%s: %s", program, strerror(errno));
    if (WIFEXITED(status))
        return WEXITSTATUS(status);
    return cli_error(cli, CLI_LOCAL, "%s was ended by signal %d", program, WTERMSIG(status));
}

/* Of the pool that --pool names, if the path is a folder. */
static int with_pool(struct cli *cli, const char *path, char ret[PATH_MAX])
{
    int size = cli->pool != NULL && is_folder(path) ? snprintf(ret, PATH_MAX, "%s/%s", path, cli->pool)
                                                    : snprintf(ret, PATH_MAX, "%s", path);
    if (size < 0 || size >= PATH_MAX)
        return cli_error(cli, CLI_USAGE, "the path is too long");
    return CLI_OK;
}

int cli_verify_offline(struct cli *cli, const char *path)
{
    char program[PATH_MAX], one[PATH_MAX], verify[] = "--verify", json[] = "--json";
    if (strchr(path, '/') == NULL && !is_folder(path))
        return cli_error(cli, CLI_USAGE,
                         "there is no folder %s; for a pool of a running daemon: holdfast --pool %s verify",
                         path, path);
    int exit_code = with_pool(cli, path, one);
    if (exit_code != CLI_OK)
        return exit_code;
    find_daemon(program);
    char *const words[] = {program, verify, one, cli->output == CLI_JSON ? json : NULL, NULL};
    return run(cli, program, words);
}

int cli_inspect_image(struct cli *cli, const struct cli_args *args)
{
    char program[PATH_MAX], one[PATH_MAX], inspect[] = "--inspect", json[] = "--json";
    int exit_code = with_pool(cli, args->positional[0], one);
    if (exit_code != CLI_OK)
        return exit_code;
    find_daemon(program);
    char *const words[] = {program, inspect, one, cli->output == CLI_JSON ? json : NULL, NULL};
    return run(cli, program, words);
}

int cli_rescue(struct cli *cli, const struct cli_args *args)
{
    char program[PATH_MAX], one[PATH_MAX], to[PATH_MAX], rescue[] = "--rescue", output[] = "--output";
    const char *file = args->value[CLI_OPT_OUTPUT];
    if (file == NULL)
        return cli_error(cli, CLI_USAGE, "rescue writes to a new file: give --output FILE");
    int exit_code = with_pool(cli, args->positional[0], one);
    if (exit_code != CLI_OK)
        return exit_code;
    snprintf(to, sizeof to, "%s", file);
    find_daemon(program);
    char *const words[] = {program, rescue, one, output, to, NULL};
    return run(cli, program, words);
}
