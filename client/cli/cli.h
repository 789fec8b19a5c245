/* SPDX-License-Identifier: BSD-3-Clause */
/* The command line `holdfast`: what all of its files share.
 *
 *   main.c      the environment and the exit code
 *   run.c       global options, the connection, one command
 *   report.c    errors and remarks
 *   commands.c  the list of commands, their help
 *   args.c      words of a command: positionals and options; splitting a line into words
 *   value.c     values: text, files, JSON <-> MessagePack
 *   print.c     output: values, tables, sizes, ages
 *   do_*.c      the commands, by topic; the work of `bench` is in client/bench, that of `stat` and `top` in
 *               client/monitor
 *   offline.c   what the daemon's program does without a daemon: checking, inspecting, rescuing pools in files
 *
 * A command is a function that returns an exit code (enum cli_exit) and has reported what went wrong. */
#ifndef HF_CLI_H
#define HF_CLI_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "client/cli/args.h"
#include "client/holdfast.h"

enum cli_exit {
    CLI_OK = 0,
    CLI_ANSWER = 1,     /* the daemon answered with an error, or a check found something */
    CLI_USAGE = 2,      /* the command line is wrong */
    CLI_CONNECTION = 3, /* cannot connect, or the connection broke */
    CLI_TIMEOUT = 4,    /* no answer in time */
    CLI_LOCAL = 5       /* a file, memory or output on this side */
};

enum cli_output { CLI_HUMAN, CLI_JSON, CLI_RAW };

struct cli {
    hf_conn *conn; /* open while a command runs that needs it */
    const char *address;
    const char *pool;
    int64_t timeout_ms;
    enum cli_output output;
    bool quiet;
    bool shell;    /* commands come from a shell: what they make lives on until it ends */
    bool terminal; /* stdout is one */
    bool colour;
    bool quit; /* the shell is to end */
};

struct cli_command {
    const char *name;
    const char *params;  /* for the usage line */
    const char *summary; /* one line */
    const char *more;    /* further lines of the help, or NULL */
    uint64_t options;    /* set of enum cli_option, beside the general ones */
    unsigned min, max;   /* number of positionals */
    bool offline;        /* needs no connection */
    int (*run)(struct cli *cli, const struct cli_args *args);
};

/* All commands; ends with a NULL name. */
extern const struct cli_command cli_commands[];

/* A command by its name, in which '-' and '_' are one; NULL if there is none. */
const struct cli_command *cli_command_find(const char *name);

/* Runs one command whose words are parsed: with the connection that is open, or one of its own if it needs one. */
int cli_run(struct cli *cli, const struct cli_command *command, const struct cli_args *args);

/* Runs the words of a whole command line: options, the command, its arguments. Returns the exit code. */
int cli_program(struct cli *cli, char **words, unsigned count);

/* Help: of everything (NULL) or of one command. */
void cli_help(FILE *out, const struct cli_command *command);

/* The part of the help of `bench` that is longer than a line or made from lists. */
void cli_bench_help(FILE *out);

/* Opens the connection and a session that ends with it. Reports. */
int cli_connect(struct cli *cli);

/* Runs what needs a connection: with the one that is open, or with one of its own. */
int cli_online(struct cli *cli, const struct cli_args *args,
               int (*run)(struct cli *cli, const struct cli_args *args));

/* Reports the last error of the connection; `code` is what the call returned. Returns the exit code for
 * it. */
int cli_fail(struct cli *cli, int code);

/* The end of a command whose result says no more than that it is done: `true` if JSON is wanted, else nothing.
 * `code` as above. */
int cli_done(struct cli *cli, int code);

/* The exit code for a HF_ERR_.... */
int cli_exit_of(int code);

/* Reports an error of this side, "holdfast: ...". Returns `exit_code`. */
int cli_error(struct cli *cli, int exit_code, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* A descriptor that can be read once a signal wants the program to end, which is blocked from here on. Returns an exit
 * code; has reported. */
int cli_signals(struct cli *cli, int *ret_fd);

/* A remark on stderr, unless --quiet. */
void cli_hint(struct cli *cli, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Global options that stand anywhere in a command, applied. */
void cli_apply(struct cli *cli, const struct cli_args *args);

/* The commands (do_*.c). */
int cli_put(struct cli *cli, const struct cli_args *args);
int cli_put_many(struct cli *cli, const struct cli_args *args);
int cli_get(struct cli *cli, const struct cli_args *args);
int cli_set(struct cli *cli, const struct cli_args *args);
int cli_write(struct cli *cli, const struct cli_args *args);
int cli_seal(struct cli *cli, const struct cli_args *args);
int cli_refs(struct cli *cli, const struct cli_args *args);
int cli_link(struct cli *cli, const struct cli_args *args);
int cli_retain(struct cli *cli, const struct cli_args *args);
int cli_release(struct cli *cli, const struct cli_args *args);
int cli_share(struct cli *cli, const struct cli_args *args);
int cli_claim(struct cli *cli, const struct cli_args *args);
int cli_unshare(struct cli *cli, const struct cli_args *args);
int cli_name(struct cli *cli, const struct cli_args *args);
int cli_lookup(struct cli *cli, const struct cli_args *args);
int cli_unname(struct cli *cli, const struct cli_args *args);
int cli_names(struct cli *cli, const struct cli_args *args);
int cli_store(struct cli *cli, const struct cli_args *args);
int cli_fetch(struct cli *cli, const struct cli_args *args);
int cli_inspect(struct cli *cli, const struct cli_args *args);
int cli_holders(struct cli *cli, const struct cli_args *args);
int cli_referrers(struct cli *cli, const struct cli_args *args);
int cli_why(struct cli *cli, const struct cli_args *args);
int cli_scan(struct cli *cli, const struct cli_args *args);
int cli_sessions(struct cli *cli, const struct cli_args *args);
int cli_watch(struct cli *cli, const struct cli_args *args);
int cli_unwatch(struct cli *cli, const struct cli_args *args);
int cli_guard(struct cli *cli, const struct cli_args *args);
int cli_unguard(struct cli *cli, const struct cli_args *args);
int cli_subscribe(struct cli *cli, const struct cli_args *args);
int cli_unsubscribe(struct cli *cli, const struct cli_args *args);
int cli_events(struct cli *cli, const struct cli_args *args);
int cli_kill(struct cli *cli, const struct cli_args *args);
int cli_pools(struct cli *cli, const struct cli_args *args);
int cli_pool_create(struct cli *cli, const struct cli_args *args);
int cli_pool_drop(struct cli *cli, const struct cli_args *args);
int cli_stats(struct cli *cli, const struct cli_args *args);
int cli_verify(struct cli *cli, const struct cli_args *args);
int cli_verify_offline(struct cli *cli, const char *path);
int cli_inspect_image(struct cli *cli, const struct cli_args *args);
int cli_rescue(struct cli *cli, const struct cli_args *args);
int cli_save(struct cli *cli, const struct cli_args *args);
int cli_load(struct cli *cli, const struct cli_args *args);
int cli_gc(struct cli *cli, const struct cli_args *args);
int cli_gc_collect(struct cli *cli, const struct cli_args *args);
int cli_slowlog(struct cli *cli, const struct cli_args *args);
int cli_gc_config(struct cli *cli, const struct cli_args *args);
int cli_ping(struct cli *cli, const struct cli_args *args);
int cli_hello(struct cli *cli, const struct cli_args *args);
int cli_bye(struct cli *cli, const struct cli_args *args);
int cli_methods(struct cli *cli, const struct cli_args *args);
int cli_call(struct cli *cli, const struct cli_args *args);
int cli_hold(struct cli *cli, const struct cli_args *args);
int cli_trace(struct cli *cli, const struct cli_args *args);
int cli_stat(struct cli *cli, const struct cli_args *args);
int cli_top(struct cli *cli, const struct cli_args *args);
int cli_bench(struct cli *cli, const struct cli_args *args);
int cli_shell(struct cli *cli, const struct cli_args *args);
int cli_help_command(struct cli *cli, const struct cli_args *args);

#endif
