/* SPDX-License-Identifier: BSD-3-Clause */
/* The list of commands, and the help made from it and from proto/methods.h. */
#include <string.h>

#include "client/cli/cli.h"
#include "proto/methods.h"

#define VALUE_BITS (CLI_BIT(STR) | CLI_BIT(BIN) | CLI_BIT(INT) | CLI_BIT(MSGPACK) | CLI_BIT(FILE))
#define KEEP_BITS  (CLI_BIT(NAME) | CLI_BIT(SHARE) | CLI_BIT(TTL_MS) | CLI_BIT(USES))
#define MANY       4096u
#define VALUE_TEXT                                                                                           \
    "VALUE is text; @PATH is what a file holds, - what stdin holds, @@TEXT is @TEXT itself.\n"               \
    "--json after the command takes it as JSON; {\"$bin\": \"BASE64\"} in it is a bin."
#define BENCH_BITS                                                                                           \
    (CLI_BIT(MIX) | CLI_BIT(CONNECTIONS) | CLI_BIT(DEPTH) | CLI_BIT(RATE) | CLI_BIT(DURATION) |              \
     CLI_BIT(WARMUP) | CLI_BIT(COUNT) | CLI_BIT(OBJECTS) | CLI_BIT(VALUE) | CLI_BIT(SKEW) | CLI_BIT(POOLS) | \
     CLI_BIT(THREADS) | CLI_BIT(SEED))
#define BENCH_TEXT                                                                                           \
    "Objects are made in a pool of its own, dropped at the end, or with --pool in one that exists.\n"        \
    "Ctrl-C ends it early and prints what was measured. `bench compare` takes two files written by\n"        \
    "`holdfast --json bench >FILE` and prints what has changed."

#define EVENTS_TEXT                                                                                          \
    "A line an event: SEQ TOPIC KEY=VALUE..., with --json one map. In a shell it only asks for them;\n"      \
    "`events` prints them there.\n"

const struct cli_command cli_commands[] = {
    /* objects */
    {"put", "[VALUE]", "put a new object and print its id",
     VALUE_TEXT "\nThe object dies with this command unless something else refers to it: --name, --share.",
     VALUE_BITS | KEEP_BITS | CLI_BIT(REFS) | CLI_BIT(TAG) | CLI_BIT(SITE) | CLI_BIT(SIZE) | CLI_BIT(SEAL), 0,
     1, false, cli_put},
    {"put_many", "ITEMS", "put several objects at once, a whole graph",
     "ITEMS is JSON, @PATH or -: [[VALUE, [REF, ...], {OPTIONS}], ...]; a REF of -k is the k-th item.", 0, 1,
     1, false, cli_put_many},
    {"get", "ID...", "print values", NULL, CLI_BIT(OFFSET) | CLI_BIT(LEN) | CLI_BIT(WITH_VERSION), 1, MANY,
     false, cli_get},
    {"set", "ID VALUE", "replace a value and print its version", VALUE_TEXT, VALUE_BITS | CLI_BIT(IF_VERSION),
     1, 2, false, cli_set},
    {"write", "ID OFFSET BYTES", "fill an object put with --size in the same shell",
     "BYTES is text; @PATH is what a file holds, - what stdin holds.", CLI_BIT(FILE), 2, 3, false, cli_write},
    {"seal", "ID", "end all change of an object", NULL, 0, 1, 1, false, cli_seal},
    {"refs", "ID", "print the slots of an object", NULL, 0, 1, 1, false, cli_refs},
    {"link", "ID SLOT TARGET", "let a slot refer to TARGET, or to nil; print what it referred to",
     "SLOT = number of slots appends one.", 0, 3, 3, false, cli_link},
    {"retain", "ID...", "take references; print how many the session holds", NULL, CLI_BIT(N), 1, MANY, false,
     cli_retain},
    {"release", "ID...", "give references back; print how many are left", NULL, CLI_BIT(N), 1, MANY, false,
     cli_release},
    {"hold", "ID...", "hold objects until stdin ends or a signal comes",
     "Prints \"held\" when it does.\n"
     "/dev/null as stdin, as scripts give it to what they start with &, is not waited for: only a signal\n"
     "ends it then.",
     0, 1, MANY, false, cli_hold},
    {"share", "ID", "print a ticket for another session to claim", NULL, CLI_BIT(TTL_MS) | CLI_BIT(USES), 1,
     1, false, cli_share},
    {"claim", "TICKET", "use a ticket and print the id", NULL, CLI_BIT(NAME), 1, 1, false, cli_claim},
    {"unshare", "TICKET", "end a ticket", NULL, 0, 1, 1, false, cli_unshare},
    /* names */
    {"name", "NAME ID", "bind a name, which keeps the object alive; print its version", NULL,
     CLI_BIT(IF_VERSION), 2, 2, false, cli_name},
    {"lookup", "NAME...", "print the ids of names", NULL, CLI_BIT(WITH_VERSION), 1, MANY, false, cli_lookup},
    {"unname", "NAME...", "drop names", NULL, CLI_BIT(IF_VERSION), 1, MANY, false, cli_unname},
    {"names", "[PREFIX]", "list names", NULL, CLI_BIT(LIMIT), 0, 1, false, cli_names},
    {"store", "NAME VALUE", "put a value under a name and print its id", VALUE_TEXT,
     VALUE_BITS | CLI_BIT(TAG) | CLI_BIT(IF_VERSION), 1, 2, false, cli_store},
    {"fetch", "NAME...", "print the values of names", NULL, CLI_BIT(WITH_VERSION), 1, MANY, false, cli_fetch},
    /* looking inside */
    {"inspect", "ID", "print all about an object", NULL, 0, 1, 1, false, cli_inspect},
    {"holders", "ID", "list the sessions, names and tickets that hold an object", NULL, CLI_BIT(LIMIT), 1, 1,
     false, cli_holders},
    {"referrers", "ID", "list the objects that refer to an object", "--raw prints only ids.", CLI_BIT(LIMIT),
     1, 1, false, cli_referrers},
    {"why", "ID", "print why an object lives: who holds what leads to it",
     "Prints a shortest chain of references from an object that something outside holds. --raw prints only\n"
     "its ids.",
     0, 1, 1, false, cli_why},
    {"scan", "", "list objects", "--raw prints only ids.",
     CLI_BIT(TAG) | CLI_BIT(MIN_SIZE) | CLI_BIT(SID) | CLI_BIT(LIMIT), 0, 0, false, cli_scan},
    {"sessions", "", "list sessions", NULL, CLI_BIT(ALL) | CLI_BIT(LIMIT), 0, 0, false, cli_sessions},
    {"watch", "ID...", "print when objects are freed, and why",
     EVENTS_TEXT "It ends when all of them are freed, with --count after so many events, or by a signal.",
     CLI_BIT(COUNT), 1, 1024, false, cli_watch},
    {"unwatch", "ID...", "end watches of the same shell", NULL, 0, 1, 1024, false, cli_unwatch},
    {"guard", "ID...", "hold objects as soon as nothing else does, instead of letting them die; print it",
     EVENTS_TEXT
     "It ends with --count after so many events, or by a signal, such as Ctrl-C; what it holds by then it\n"
     "lets go.",
     CLI_BIT(COUNT), 1, 1024, false, cli_guard},
    {"unguard", "ID...", "end guards of the same shell", NULL, 0, 1, 1024, false, cli_unguard},
    {"trace", "[METHOD]", "print requests as clients make them: a sample of them",
     "Only those whose method begins with METHOD, and whose line has the text of --filter. \"1 of 20\" says "
     "that\n"
     "19 others came since the line before. It ends with --count after so many lines, or by a signal, such "
     "as\n"
     "Ctrl-C. With --json a line is a map.",
     CLI_BIT(RATE) | CLI_BIT(FILTER) | CLI_BIT(COUNT), 0, 1, false, cli_trace},
    {"subscribe", "TOPIC...", "print what the pool tells of topics, such as gc and ops",
     EVENTS_TEXT "It ends with --count after so many events, or by a signal, such as Ctrl-C.",
     CLI_BIT(PREFIX) | CLI_BIT(FROM_SEQ) | CLI_BIT(RATE) | CLI_BIT(COUNT), 1, 16, false, cli_subscribe},
    {"unsubscribe", "TOPIC...", "end subscriptions of the same shell", NULL, 0, 1, 16, false,
     cli_unsubscribe},
    {"events", "", "in a shell, print the events that have come",
     "With --count it waits until so many have come, for each as long as --timeout says.", CLI_BIT(COUNT), 0,
     0, false, cli_events},
    {"kill", "SID...", "end sessions; print the references they held", NULL, 0, 1, MANY, false, cli_kill},
    {"pools", "", "list pools", NULL, 0, 0, 0, false, cli_pools},
    {"pool_create", "NAME", "make a pool", NULL, CLI_BIT(MAX_BYTES), 1, 1, false, cli_pool_create},
    {"pool_drop", "NAME", "end a pool and all objects in it", NULL, CLI_BIT(FORCE), 1, 1, false,
     cli_pool_drop},
    {"stats", "[SECTION]", "print figures of the pool and the daemon", NULL, 0, 0, 1, false, cli_stats},
    {"slowlog", "", "print the requests that took long, the latest first",
     "ALIKE is how many were answered together with it. --reset forgets them, after they are printed.",
     CLI_BIT(LIMIT) | CLI_BIT(RESET), 0, 0, false, cli_slowlog},
    {"verify", "[PATH]", "check every invariant of the pool, or of pools in files",
     "Without PATH the daemon checks the pool while it goes on. PATH is the folder of a daemon that does "
     "not\n"
     "run (its --heap), or one pool in it as FOLDER/NAME: `holdfastd --verify` looks at it, and only reads.\n"
     "The exit code is 1 if something is found.",
     0, 0, 1, true, cli_verify},
    {"save", "[FILE]", "write the pool as it is now to a file of the daemon's folder for saves",
     "Others are served meanwhile. FILE is a name in that folder (--save-dir), POOL.save if none is given; "
     "an\n"
     "older one of that name stays until the new one is whole. `load` reads it, and a daemon with --load.",
     0, 0, 1, false, cli_save},
    {"load", "FILE [NAME]", "make a new pool from a file in the daemon's folder for saves",
     "It is called NAME, or as the pool that was saved; there must be none of that name. Names and all they\n"
     "reach are as they were; sessions, holds and tickets are not. Others are served meanwhile.",
     0, 1, 2, false, cli_load},
    {"inspect_image", "PATH", "tell what is in the file of a save, or in pools in files",
     "PATH is the file of a save, of which every byte is checked, the folder of a daemon that does not run,\n"
     "or one pool in it as FOLDER/NAME. The exit code is 1 if something is damaged.",
     0, 1, 1, true, cli_inspect_image},
    {"rescue", "PATH", "write all objects and names that can be read of a pool in files, be it damaged",
     "PATH is FOLDER/NAME or the file of a save; --output a new file, for a stream of MessagePack maps. "
     "What\n"
     "could not be read is told at the end; then the exit code is 1.",
     CLI_BIT(OUTPUT), 1, 1, true, cli_rescue},
    {"gc", "", "collect objects that only refer to each other, and tell what was found",
     "Others are served meanwhile. --json prints all that gc_collect answers.",
     CLI_BIT(DRY_RUN) | CLI_BIT(EXPLAIN), 0, 0, false, cli_gc},
    {"gc_collect", "[OPTIONS]", "collect what only a cycle of references keeps, and print what was found",
     "OPTIONS is JSON: {\"dry_run\": true} frees nothing, {\"explain\": true} lists the cycles.", 0, 0, 1,
     false, cli_gc_collect},
    {"gc_config", "[OPTIONS]", "change how the pool collects by itself; print the values in force",
     "OPTIONS is JSON, for example {\"enabled\": false}; `holdfast methods` lists the keys.", 0, 0, 1, false,
     cli_gc_config},
    {"ping", "", "see whether the daemon answers, and how fast", NULL, 0, 0, 0, false, cli_ping},
    {"hello", "", "print what the daemon says of itself and of this session", NULL, 0, 0, 0, false,
     cli_hello},
    {"methods", "", "list the methods of the daemon", NULL, 0, 0, 0, false, cli_methods},
    {"call", "METHOD [PARAMS]", "call any method; PARAMS is a JSON array, @PATH or -", NULL, 0, 1, 2, false,
     cli_call},
    {"shell", "", "read commands from stdin, all in one session",
     "A line is a command as on the command line, with quotes and \\; # starts a comment.", 0, 0, 0, false,
     cli_shell},
    {"stat", "", "print a line of figures each second",
     "Requests and bytes on the wire are those of the whole daemon, all else is of the pool. The first line\n"
     "comes after the first interval. A daemon that goes away is waited for. With --json a line is a map:\n"
     "`counted` is what was counted in the interval, `now` how things stand at its end.",
     CLI_BIT(INTERVAL) | CLI_BIT(COUNT), 0, 0, true, cli_stat},
    {"top", "", "watch requests, memory, the collector, and who holds how much",
     "On a terminal it goes on until q; h lists its keys. --once prints one page, --json one map for each\n"
     "interval, with the rows of sessions, pools and methods.",
     CLI_BIT(INTERVAL) | CLI_BIT(COUNT) | CLI_BIT(ONCE) | CLI_BIT(SORT) | CLI_BIT(FILTER) | CLI_BIT(ALL), 0,
     0, true, cli_top},
    {"bench", "[compare BEFORE AFTER]", "put load on the daemon and measure it; compare two results",
     BENCH_TEXT, BENCH_BITS, 0, 3, true, cli_bench},
    {"bye", "", "end the session: leave the shell", NULL, 0, 0, 0, false, cli_bye},
    {"help", "[COMMAND]", "this list, or all about a command", NULL, 0, 0, 1, true, cli_help_command},
    {0},
};

/* Equal but for '-' and '_', which people mix up. */
static bool same_name(const char *a, const char *b)
{
    for (; *a != '\0' && *b != '\0'; a++, b++) {
        if (*a != *b && !(strchr("-_", *a) != NULL && strchr("-_", *b) != NULL))
            return false;
    }
    return *a == *b;
}

const struct cli_command *cli_command_find(const char *name)
{
    for (const struct cli_command *command = cli_commands; command->name != NULL; command++) {
        if (same_name(command->name, name))
            return command;
    }
    return NULL;
}

/* ---- Help ---------------------------------------------------------------------------------------------- */

static void print_options(FILE *out, uint64_t options)
{
    for (unsigned i = 0; i < CLI_OPTION_COUNT; i++) {
        if ((options >> i & 1) == 0)
            continue;
        const char *metavariable = cli_options[i].metavariable;
        char left[40];
        snprintf(left, sizeof left, "%s%s%s", cli_options[i].name, metavariable != NULL ? " " : "",
                 metavariable != NULL ? metavariable : "");
        fprintf(out, "  %-22s %s\n", left, cli_options[i].help);
    }
}

static void print_method(FILE *out, const char *name)
{
    enum hf_method method = hfp_method_find((const uint8_t *)name, strlen(name));
    const struct hf_method_info *info = hfp_method_info(method);
    if (method == HF_METHOD_NONE)
        return;
    fprintf(out, "\nMethod: %s(%s%s%s%s)  since %s\n", name, info->params,
            info->params[0] != '\0' && info->options[0] != '\0' ? ", " : "",
            info->options[0] != '\0' ? "options: " : "", info->options, info->since);
}

static void print_all(FILE *out)
{
    fputs(
        "usage: holdfast [-s ADDRESS] [--pool NAME] [OPTION...] COMMAND [ARGUMENT...]\n"
        "\n"
        "Holdfast keeps reference-counted objects for many processes. A command is a short session: what it\n"
        "puts or retains is released when it ends, unless a name, a ticket or another object keeps it.\n"
        "\nCommands:\n",
        out);
    for (const struct cli_command *command = cli_commands; command->name != NULL; command++) {
        char left[48];
        snprintf(left, sizeof left, "%s %s", command->name, command->params);
        fprintf(out, "  %-22s %s\n", left, command->summary);
    }
    fputs("\nOptions of all commands:\n", out);
    print_options(out, CLI_GENERAL_BITS);
    fputs("\n`holdfast help COMMAND` tells more.\n"
          "Exit codes: 0 done; 1 the daemon answered with an error; 2 usage; 3 no connection; 4 no answer in "
          "time;\n"
          "5 a file, memory or output on this side.\n",
          out);
}

void cli_help(FILE *out, const struct cli_command *command)
{
    if (command == NULL) {
        print_all(out);
        return;
    }
    fprintf(out, "usage: holdfast %s%s%s%s\n\n%c%s.\n", command->name, command->params[0] != '\0' ? " " : "",
            command->params, command->options != 0 ? " [OPTION...]" : "", command->summary[0] & ~0x20,
            command->summary + 1);
    if (command->more != NULL)
        fprintf(out, "%s\n", command->more);
    if (command->run == cli_bench)
        cli_bench_help(out);
    if (command->options != 0) {
        fputs("\nOptions (those of all commands: `holdfast help`):\n", out);
        print_options(out, command->options);
    }
    print_method(out, command->name);
}
