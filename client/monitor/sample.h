/* SPDX-License-Identifier: BSD-3-Clause */
/* What `stat` and `top` show: one look at a daemon, and what has changed since the look before.
 *
 * Figures are read from what `stats` answers, whatever of it there is: an older daemon tells less, and what it does not
 * tell stays 0, or unknown where that is said. Requests and connections are those of the whole daemon; objects, memory,
 * sessions and the collector are those of the pool that the connection works in, as in `stats`. */
#ifndef HF_MONITOR_SAMPLE_H
#define HF_MONITOR_SAMPLE_H

#include <stdbool.h>
#include <stdint.h>

#include "client/holdfast.h"

/* X(member, section of stats, key): figures that only grow while a daemon runs. */
#define MONITOR_COUNTERS(X)                                                                                  \
    X(requests, "requests", "total")                                                                         \
    X(errors, "requests", "errors")                                                                          \
    X(slow, "requests", "slow")                                                                              \
    X(connections_made, "connections", "made")                                                               \
    X(bytes_in, "connections", "bytes_in")                                                                   \
    X(bytes_out, "connections", "bytes_out")                                                                 \
    X(made, "objects", "made")                                                                               \
    X(freed, "objects", "freed")                                                                             \
    X(collected, "gc", "collected")                                                                          \
    X(young_collected, "gc.young", "collected")                                                              \
    X(gc_cpu_us, "gc", "cpu_us")                                                                             \
    X(gc_steps, "gc", "steps")

/* The same for what goes up and down. */
#define MONITOR_GAUGES(X)                                                                                    \
    X(uptime_ms, "server", "uptime_ms")                                                                      \
    X(workers, "server", "workers")                                                                          \
    X(connections, "connections", "open")                                                                    \
    X(objects, "objects", "count")                                                                           \
    X(object_bytes, "objects", "bytes")                                                                      \
    X(memory_used, "memory", "used")                                                                         \
    X(memory_limit, "memory", "limit")                                                                       \
    X(memory_image, "memory", "image")                                                                       \
    X(memory_anon, "memory", "anon")                                                                         \
    X(sessions_open, "sessions", "open")                                                                     \
    X(sessions_grace, "sessions", "grace")                                                                   \
    X(holds, "sessions", "holds")                                                                            \
    X(names, "names", "count")                                                                               \
    X(tickets, "tickets", "count")                                                                           \
    X(gc_backlog, "gc", "backlog")                                                                           \
    X(gc_debt, "gc", "debt")                                                                                 \
    X(gc_suspects, "gc", "suspects")

#define MONITOR_MEMBER(member, section, key) uint64_t member;
struct monitor_counters {
    MONITOR_COUNTERS(MONITOR_MEMBER)
};
struct monitor_gauges {
    MONITOR_GAUGES(MONITOR_MEMBER)
};
#undef MONITOR_MEMBER

#define MONITOR_WORD_SIZE   64 /* of a pool's or method's name, a version: they are cut there */
#define MONITOR_METHODS_MAX 96

/* Durations by their bounds in us, as section `durations` has them: 1, 2, ..., 8, 10, 12, 14, 16, 20, ..., four to each
 * doubling; the last place has those without a bound. */
#define MONITOR_BUCKETS 112

struct monitor_method {
    char name[MONITOR_WORD_SIZE];
    uint64_t total;
    uint64_t durations[MONITOR_BUCKETS];
};

struct monitor_sample {
    uint64_t now_ns; /* of a clock that only goes forward */
    uint64_t unix_ms;
    uint64_t epoch; /* of the pool */
    char pool[MONITOR_WORD_SIZE];
    char version[MONITOR_WORD_SIZE];
    char phase[MONITOR_WORD_SIZE]; /* of the collector */
    struct monitor_counters counters;
    struct monitor_gauges gauges;
    unsigned method_count;
    struct monitor_method methods[MONITOR_METHODS_MAX]; /* that were called, in the daemon's order */
};

/* Reads the answer of `stats`; the times are the caller's. */
void monitor_sample_read(struct monitor_sample *sample, hf_item stats, uint64_t now_ns, uint64_t unix_ms);

/* What has changed from one sample to a later one. */
struct monitor_change {
    const struct monitor_sample *at;     /* the later one */
    const struct monitor_sample *before; /* NULL: the daemon's start */
    uint64_t interval_ns;                /* never 0 */
    bool restarted; /* another daemon, or another pool of that name: counted from its start */
    struct monitor_counters counters; /* differences */
};

/* `before` may be NULL: the change since the daemon's start. Both samples must outlive the change. */
void monitor_change_make(struct monitor_change *change, const struct monitor_sample *before,
                         const struct monitor_sample *at);

/* A difference as a rate. */
double monitor_per_second(const struct monitor_change *change, uint64_t difference);

/* Durations since the sample before, of one method of change->at or (MONITOR_ALL) of all. Returns how many there were. */
#define MONITOR_ALL MONITOR_METHODS_MAX
uint64_t monitor_durations(const struct monitor_change *change, unsigned method,
                           uint64_t ret_counts[MONITOR_BUCKETS]);

/* What a share (0 ... 1) of these durations did not exceed, in us, up to a quarter above the true figure; negative if
 * there are none. */
double monitor_percentile(const uint64_t counts[MONITOR_BUCKETS], double share);

/* Calls of one method (of change->at) since the sample before. */
uint64_t monitor_method_calls(const struct monitor_change *change, unsigned method);

#endif
