/* SPDX-License-Identifier: BSD-3-Clause */
#include "daemon/system/command.h"

#include "daemon/base/nearest.h"
#include "daemon/system/option_table.h"
#include "proto/version.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

#define HELP_COLUMN 23
#define NAMES_MORE  10 /* options that are no values */
#define NAMES_COUNT (OPTIONS_COUNT + NAMES_MORE)

enum {
    COMMAND_CONFIG = OPTIONS_COUNT + 1,
    COMMAND_CHECK,
    COMMAND_PRINT,
    COMMAND_VERIFY,
    COMMAND_INSPECT,
    COMMAND_RESCUE,
    COMMAND_OUTPUT,
    COMMAND_JSON
};

static void print_row(const char *left, const char *help)
{
    printf("%-*s", HELP_COLUMN, left);
    for (; *help != '\0'; help++) {
        putchar(*help);
        if (*help == '\n')
            printf("%*s", HELP_COLUMN, "");
    }
    putchar('\n');
}

static void print_help(void)
{
    char left[64];
    puts("Usage: holdfastd [OPTION]...\n"
         "Keeps reference-counted objects for many processes and serves them over MessagePack-RPC.\n");
    for (unsigned id = 0; id < OPTIONS_COUNT; id++) {
        snprintf(left, sizeof left, "  --%s %s", option_rows[id].name, option_rows[id].argument);
        print_row(left, option_rows[id].help);
    }
    print_row("  --config FILE",
              "takes the options above from a file, too, as `key = value` below [sections]\n"
              "(see holdfast.conf(5)); what stands on the command line wins");
    print_row("  --check-config", "tell whether they are right, and exit: 0, or 2 with all that is wrong");
    print_row("  --print-config", "print all values in the form of a file, each with its source, and exit");
    print_row("  --verify PATH",
              "check the pools in a folder (or one: FOLDER/NAME) while no daemon works\n"
              "there, and exit: 0 sound, 1 damaged, 2 usage, 5 not checked; changes nothing");
    print_row("  --inspect PATH", "tell what is in the file of a save, checking every byte of it, or in the\n"
                                  "pools of a folder, and exit: as --verify");
    print_row("  --rescue PATH",
              "write all objects and names that can be read of a pool (FOLDER/NAME, or the\n"
              "file of a save), be it damaged, to --output, and exit: 0 all, 1 not all,\n"
              "5 nothing");
    print_row("  --output FILE", "with --rescue: a new file, for a stream of MessagePack maps");
    print_row("  --json", "with --verify and --inspect: the result as JSON");
    print_row("  -V, --version", "print the version and exit");
    print_row("  -h, --help", "print this and exit");
    puts("\nSIGTERM and SIGINT end it: replies are flushed for at most 5 seconds; a second one ends it at "
         "once.\n"
         "SIGHUP reads the file again and takes over what can change while it runs.");
}

static enum command_result wrong(const char *what, const char *value, const char *fix)
{
    fprintf(stderr, "holdfastd: %s '%s'; %s\n", what, value, fix);
    return COMMAND_WRONG;
}

static enum command_result take_option(struct command *command, enum option_id id, const char *text)
{
    if (command->given_count == OPTIONS_GIVEN_MAX)
        return wrong("one option too many", text, "give fewer, or put them into a file (--config)");
    command->given[command->given_count].id = id;
    command->given[command->given_count++].text = text;
    return COMMAND_RUN;
}

static const char *name_of(const void *names, size_t i)
{
    return ((const struct option *)names)[i].name;
}

/* getopt_long() has said what is wrong with `word`. */
static enum command_result hint(const struct option *names, const char *word)
{
    char name[NEAREST_WORD_MAX + 2];
    snprintf(name, sizeof name, "%.*s", (int)strcspn(word, "="), word);
    size_t i = strncmp(name, "--", 2) == 0 ? nearest_of(name + 2, name_of, names, NAMES_COUNT) : NAMES_COUNT;
    if (i < NAMES_COUNT && strcmp(names[i].name, name + 2) != 0)
        fprintf(stderr, "Did you mean --%s? ", names[i].name);
    fputs("Try 'holdfastd --help'.\n", stderr);
    return COMMAND_WRONG;
}

static enum command_result take_path(const char **ret, const char *option)
{
    if (*ret != NULL || optarg[0] == '\0')
        return wrong(option, optarg, "give it once, with a path");
    *ret = optarg;
    return COMMAND_RUN;
}

static enum command_result take(struct command *command, int option)
{
    switch (option) {
    case COMMAND_CONFIG:
        if (command->file != NULL)
            return wrong("a second --config", optarg, "one file is all there can be");
        command->file = optarg;
        return COMMAND_RUN;
    case COMMAND_CHECK: command->check = true; return COMMAND_RUN;
    case COMMAND_PRINT: command->print = true; return COMMAND_RUN;
    case COMMAND_VERIFY: return take_path(&command->verify, "--verify");
    case COMMAND_INSPECT: return take_path(&command->inspect, "--inspect");
    case COMMAND_RESCUE: return take_path(&command->rescue, "--rescue");
    case COMMAND_OUTPUT: return take_path(&command->output, "--output");
    case COMMAND_JSON: command->json = true; return COMMAND_RUN;
    case 'V': printf("holdfastd %s\n", HF_VERSION); return COMMAND_DONE;
    case 'h': print_help(); return COMMAND_DONE;
    default: return take_option(command, (enum option_id)(option - 1), optarg);
    }
}

enum command_result command_parse(struct command *command, int argc, char **argv)
{
    struct option names[NAMES_COUNT + 1] = {
        {"config", required_argument, NULL, COMMAND_CONFIG},
        {"check-config", no_argument, NULL, COMMAND_CHECK},
        {"print-config", no_argument, NULL, COMMAND_PRINT},
        {"verify", required_argument, NULL, COMMAND_VERIFY},
        {"inspect", required_argument, NULL, COMMAND_INSPECT},
        {"rescue", required_argument, NULL, COMMAND_RESCUE},
        {"output", required_argument, NULL, COMMAND_OUTPUT},
        {"json", no_argument, NULL, COMMAND_JSON},
        {"version", no_argument, NULL, 'V'},
        {"help", no_argument, NULL, 'h'},
    };
    for (unsigned id = 0; id < OPTIONS_COUNT; id++) /* 0 would be a flag's */
        names[NAMES_MORE + id] = (struct option){option_rows[id].name, required_argument, NULL, (int)id + 1};
    *command = (struct command){.file = NULL};
    for (int option; (option = getopt_long(argc, argv, "hV", names, NULL)) != -1;) {
        enum command_result result = option == '?' ? hint(names, argv[optind - 1]) : take(command, option);
        if (result != COMMAND_RUN)
            return result;
    }
    if (optind < argc)
        return wrong("unexpected argument", argv[optind], "options begin with --; try 'holdfastd --help'");
    if (command->json && command->verify == NULL && command->inspect == NULL)
        return wrong("option", "--json", "it goes with --verify and --inspect");
    if ((command->rescue != NULL) != (command->output != NULL))
        return wrong("option", command->rescue != NULL ? "--rescue" : "--output",
                     "--rescue and --output go together");
    return COMMAND_RUN;
}
