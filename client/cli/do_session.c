/* SPDX-License-Identifier: BSD-3-Clause */
/* Commands that keep a session open, and the help. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/cli/params.h"

#define WORDS_MAX 4096

/* ---- hold ---------------------------------------------------------------------------------------------- */

/* True when stdin has ended; what comes before its end is read and dropped. */
static bool stdin_ended(void)
{
    char dropped[4096];
    ssize_t size = read(STDIN_FILENO, dropped, sizeof dropped);
    return size == 0 || (size < 0 && errno != EINTR && errno != EAGAIN);
}

/* A script gives /dev/null to what it starts with `&`: that end says nothing. */
static bool stdin_is_nothing(void)
{
    struct stat in, nothing;
    return fstat(STDIN_FILENO, &in) == 0 && stat("/dev/null", &nothing) == 0 && S_ISCHR(in.st_mode) &&
           in.st_rdev == nothing.st_rdev;
}

/* Waits for the end of stdin or a signal (CLI_OK), or of the connection. */
static int wait_end(struct cli *cli, int signals)
{
    struct pollfd wait[3] = {{.fd = stdin_is_nothing() ? -1 : STDIN_FILENO, .events = POLLIN},
                             {.fd = hf_fd(cli->conn), .events = POLLIN},
                             {.fd = signals, .events = POLLIN}};
    for (;;) {
        if (poll(wait, 3, -1) < 0 && errno != EINTR)
            return cli_error(cli, CLI_LOCAL, "poll: %s", strerror(errno));
        if (wait[2].revents != 0)
            return CLI_OK;
        if (wait[0].revents != 0 && stdin_ended())
            return CLI_OK;
        /* Nothing comes unasked but the end of the connection: a call finds out. */
        if (wait[1].revents != 0) {
            int code = hf_ping(cli->conn, NULL);
            if (code != 0)
                return cli_fail(cli, code);
        }
    }
}

/* Blocked before there is something to hold or to watch, so that a signal never skips the orderly end. */
int cli_signals(struct cli *cli, int *ret_fd)
{
    sigset_t ends;
    sigemptyset(&ends);
    sigaddset(&ends, SIGINT);
    sigaddset(&ends, SIGTERM);
    sigaddset(&ends, SIGHUP);
    *ret_fd = signalfd(-1, &ends, SFD_CLOEXEC);
    if (*ret_fd < 0 || sigprocmask(SIG_BLOCK, &ends, NULL) != 0)
        return cli_error(cli, CLI_LOCAL, "signalfd: %s", strerror(errno));
    return CLI_OK;
}

int cli_hold(struct cli *cli, const struct cli_args *args)
{
    struct cli_params params;
    hf_reply *reply = NULL;
    int signals, exit_code = cli_signals(cli, &signals);
    if (exit_code != CLI_OK)
        return exit_code;
    cli_params_init(&params, cli, 1);
    cli_pack_ids(&params, args);
    exit_code = cli_params_call(&params, "retain", &reply);
    hf_reply_free(reply);
    if (exit_code == CLI_OK) {
        puts("held");
        fflush(stdout);
        cli_hint(cli, "the references end with stdin or a signal");
        exit_code = wait_end(cli, signals);
    }
    close(signals);
    return exit_code;
}

/* ---- shell --------------------------------------------------------------------------------------------- */

static int run_words(struct cli *cli, char **words, int count)
{
    char problem[160];
    struct cli_args args;
    unsigned used;
    struct cli local = *cli; /* options of one line are for that line only */
    const struct cli_command *command = cli_command_find(words[0]);
    if (strcmp(words[0], "quit") == 0 || strcmp(words[0], "exit") == 0) {
        cli->quit = true;
        return CLI_OK;
    }
    if (command == NULL)
        return cli_error(cli, CLI_USAGE, "unknown command %s; `help` lists them", words[0]);
    if (command->run == cli_shell || command->run == cli_hold || command->run == cli_bench ||
        command->run == cli_stat || command->run == cli_trace || command->run == cli_top)
        return cli_error(cli, CLI_USAGE, "%s: not in a shell, which is a session already", words[0]);
    int exit_code = CLI_USAGE;
    const char *wrong = cli_args_parse(words + 1, (unsigned)(count - 1), CLI_GENERAL_BITS | command->options,
                                       false, &args, &used, problem);
    if (wrong != NULL)
        cli_error(cli, CLI_USAGE, "%s: %s", words[0], wrong);
    else
        exit_code = cli_run(&local, command, &args);
    cli_args_done(&args);
    cli->quit |= local.quit;
    return exit_code;
}

static int run_line(struct cli *cli, char *line)
{
    char **words = calloc(WORDS_MAX, sizeof *words);
    if (words == NULL)
        return cli_error(cli, CLI_LOCAL, "no memory");
    int count = cli_split(line, words, WORDS_MAX);
    int exit_code = CLI_OK;
    if (count < 0)
        exit_code = cli_error(cli, CLI_USAGE, count == -1 ? "a quote is not closed" : "too many words");
    else if (count != 0)
        exit_code = run_words(cli, words, count);
    free(words);
    return exit_code;
}

/* The exit code is that of the first command that failed, unless a person types: who has seen it. */
int cli_shell(struct cli *cli, const struct cli_args *args)
{
    bool person = isatty(STDIN_FILENO) != 0;
    char *line = NULL;
    size_t capacity = 0;
    int first = CLI_OK;
    (void)args;
    cli->shell = true;
    if (person)
        cli_hint(cli, "one session: what you put and retain is held until you leave; `help`, `quit`");
    while (!cli->quit && hf_connected(cli->conn)) {
        if (person)
            fputs("holdfast> ", stdout);
        fflush(stdout);
        if (getline(&line, &capacity, stdin) < 0)
            break;
        int exit_code = run_line(cli, line);
        first = first != CLI_OK ? first : exit_code;
    }
    free(line);
    if (person)
        putchar('\n');
    return person && hf_connected(cli->conn) ? CLI_OK : first;
}

/* In a shell its end; as a command of its own there is nothing to end. */
int cli_bye(struct cli *cli, const struct cli_args *args)
{
    (void)args;
    cli->quit = true;
    return CLI_OK;
}

/* ---- help ---------------------------------------------------------------------------------------------- */

int cli_help_command(struct cli *cli, const struct cli_args *args)
{
    const struct cli_command *command = NULL;
    if (args->count != 0 && (command = cli_command_find(args->positional[0])) == NULL)
        return cli_error(cli, CLI_USAGE, "unknown command %s; `holdfast help` lists them",
                         args->positional[0]);
    cli_help(stdout, command);
    return CLI_OK;
}
