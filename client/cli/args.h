/* SPDX-License-Identifier: BSD-3-Clause */
/* The words of a command: positionals and options in any order. `--option=VALUE` and `--option VALUE` are the
 * same; `--` ends the options; a lone `-` and negative numbers are positionals. */
#ifndef HF_CLI_ARGS_H
#define HF_CLI_ARGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/holdfast.h"

/* X(SYMBOL, "--name", "METAVARIABLE" or NULL for a flag, "help"). The general ones come first. */
#define CLI_OPTIONS_GENERAL(X)                                                                               \
    X(ADDRESS, "--address", "ADDRESS",                                                                       \
      "unix:PATH or tcp:HOST:PORT of the daemon; also -s, $HOLDFAST_ADDRESS")                                \
    X(POOL, "--pool", "NAME", "the pool to work in (default)")                                               \
    X(TIMEOUT, "--timeout", "MS", "how long to wait for the daemon (10000); 0 waits for ever")               \
    X(JSON, "--json", NULL, "JSON out; in put, set and store also JSON in")                                  \
    X(RAW, "--raw", NULL, "values as their bytes alone: str and bin as they are, others as MessagePack")     \
    X(QUIET, "--quiet", NULL, "no remarks on stderr; also -q")                                               \
    X(HELP, "--help", NULL, "this text; also -h")                                                            \
    X(VERSION, "--version", NULL, "version of this program")

#define CLI_OPTIONS_SPECIAL(X)                                                                               \
    X(STR, "--str", NULL, "the value is text, a str (default)")                                              \
    X(BIN, "--bin", NULL, "the value is bytes, a bin")                                                       \
    X(INT, "--int", NULL, "the value is an integer")                                                         \
    X(MSGPACK, "--msgpack", NULL, "the value is packed as MessagePack already")                              \
    X(FILE, "--file", "PATH", "take the value from a file; the same as @PATH")                               \
    X(REFS, "--refs", "ID,...", "slots: ids, or nil for an empty one")                                       \
    X(TAG, "--tag", "TAG", "what kind of object it is")                                                      \
    X(SITE, "--site", "SITE", "where in a program it is made")                                               \
    X(SIZE, "--size", "SIZE", "open a bin of that size, to be filled by write and ended by seal")            \
    X(SEAL, "--seal", NULL, "the object will never change")                                                  \
    X(NAME, "--name", "NAME", "bind a name, so that the object lives on")                                    \
    X(SHARE, "--share", NULL, "print a ticket, so that the object lives on until it is claimed")             \
    X(TTL_MS, "--ttl-ms", "MS", "how long the ticket is valid (60000)")                                      \
    X(USES, "--uses", "N", "how often the ticket can be claimed (1)")                                        \
    X(N, "--n", "N", "how many references (1); also -n")                                                     \
    X(IF_VERSION, "--if-version", "VERSION", "the version that it must have; of a name 0: there is none")    \
    X(OFFSET, "--offset", "BYTES", "start of the part wanted")                                               \
    X(LEN, "--len", "BYTES", "length of the part wanted")                                                    \
    X(WITH_VERSION, "--with-version", NULL, "print the version too")                                         \
    X(LIMIT, "--limit", "N", "at most so many rows")                                                         \
    X(MIN_SIZE, "--min-size", "SIZE", "only objects of at least that many bytes")                            \
    X(SID, "--sid", "SID", "only objects that this session holds")                                           \
    X(ALL, "--all", NULL, "of all pools")                                                                    \
    X(MAX_BYTES, "--max-bytes", "SIZE", "most memory of the pool, such as 512M")                             \
    X(FORCE, "--force", NULL, "also when others have sessions in it")                                        \
    X(MIX, "--mix", "MIX", "what to do: a mix, one operation, or OPERATION=WEIGHT,... (objects)")            \
    X(CONNECTIONS, "--connections", "N", "connections, each with a session of its own (50)")                 \
    X(DEPTH, "--depth", "N", "requests in flight on each connection (1; at most, with --rate: 256)")         \
    X(RATE, "--rate", "N", "so many requests a second: of an open loop; of ops and trace, to be told (100)") \
    X(DURATION, "--duration", "TIME", "how long to measure, such as 30, 500ms, 5m (10 s)")                   \
    X(WARMUP, "--warmup", "TIME", "how long to run before that (1 s)")                                       \
    X(COUNT, "--count", "N", "end after so many operations, events or lines")                                \
    X(INTERVAL, "--interval", "TIME", "how long from one look to the next, such as 500ms, 5, 1m (1 s)")      \
    X(RESET, "--reset", NULL, "forget them")                                                                 \
    X(ONCE, "--once", NULL, "print one page, of one interval, and end")                                      \
    X(SORT, "--sort", "COLUMN", "order of the sessions: bytes, held, sid, name, pid, pool, state, age")      \
    X(FILTER, "--filter", "TEXT", "only rows with this in them, in upper or lower case")                     \
    X(PREFIX, "--prefix", "TEXT", "only events whose key begins so, such as the phase of gc")                \
    X(FROM_SEQ, "--from-seq", "SEQ", "the events from this number on, as far as they are kept")              \
    X(DRY_RUN, "--dry-run", NULL, "free nothing: only say what would be freed")                              \
    X(EXPLAIN, "--explain", NULL, "list the cycles that are found")                                          \
    X(OUTPUT, "--output", "FILE", "a new file to write to")                                                  \
    X(OBJECTS, "--objects", "N", "objects in each pool (100k)")                                              \
    X(VALUE, "--value", "SIZES", "bytes of a value: 64, 16-4K, or 64=80,1K-4K=20 with weights (64)")         \
    X(SKEW, "--skew", "SKEW", "which objects: uniform, zipf or zipf:EXPONENT (uniform)")                     \
    X(POOLS, "--pools", "N", "make so many pools and spread the connections over them (1)")                  \
    X(THREADS, "--threads", "N", "threads that put the load on (1)")                                         \
    X(SEED, "--seed", "N", "of all random choices (1)")

enum cli_option {
#define CLI_OPTION_ENUM(symbol, name, metavariable, help) CLI_OPT_##symbol,
    CLI_OPTIONS_GENERAL(CLI_OPTION_ENUM) CLI_GENERAL_COUNT,
    CLI_OPTION_LAST_GENERAL = CLI_GENERAL_COUNT - 1,
    CLI_OPTIONS_SPECIAL(CLI_OPTION_ENUM)
#undef CLI_OPTION_ENUM
        CLI_OPTION_COUNT
};

#define CLI_BIT(symbol)  (UINT64_C(1) << CLI_OPT_##symbol)
#define CLI_GENERAL_BITS ((UINT64_C(1) << CLI_GENERAL_COUNT) - 1)

struct cli_option_info {
    const char *name;
    const char *metavariable; /* NULL: a flag */
    const char *help;
};

extern const struct cli_option_info cli_options[CLI_OPTION_COUNT];

/* Borrowed from the words parsed. */
struct cli_args {
    const char *command; /* the first positional when `parse` was asked for it; else NULL */
    char **positional;   /* `count` of them; owned by whoever called parse, freed by cli_args_done */
    unsigned count;
    uint64_t given; /* set of options */
    const char *value[CLI_OPTION_COUNT];
};

/* Sorts `count` words. NULL, or what is wrong with them (valid until the next call with the same `problem`).
 * Options outside the set `allowed` are wrong. With `stop_at_command` the first positional becomes `command`
 * and all after it is left: `*ret_used` words were read. cli_args_done in any case. */
const char *cli_args_parse(char *const *words, unsigned count, uint64_t allowed, bool stop_at_command,
                           struct cli_args *ret, unsigned *ret_used, char problem[160]);
void cli_args_done(struct cli_args *args);

static inline bool cli_given(const struct cli_args *args, enum cli_option option)
{
    return (args->given >> option & 1) != 0;
}

/* Splits a line into words, in place: blanks separate, '...' and "..." keep blanks together, \ keeps the next
 * character (in "..." too), # starts a comment at the start of a word. The words (at most `max`) point into
 * `line`. Returns their number, or -1: a quote is open; -2: too many. */
int cli_split(char *line, char **words, int max);

/* Numbers. False if the text is no such number, or out of range. */
bool cli_parse_int(const char *text, int64_t *ret);
bool cli_parse_uint(const char *text, uint64_t *ret);
bool cli_parse_id(const char *text, hf_id *ret);      /* 1 ... 2^53-1 */
bool cli_parse_size(const char *text, uint64_t *ret); /* bytes, or with K, M, G, T for powers of 1024 */

/* "1,nil,3": NULL without memory or with something else in it. Owned by the caller. */
hf_id *cli_parse_refs(const char *text, size_t *ret_count);

/* 32 hexadecimal digits, 16 bytes. */
bool cli_parse_ticket(const char *text, uint8_t ticket[HF_KEY_BYTES]);

#endif
