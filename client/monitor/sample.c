/* SPDX-License-Identifier: BSD-3-Clause */
#include "client/monitor/sample.h"

#include <string.h>

/* `section` may be "gc.young": a map in a map. */
static hf_item find(hf_item stats, const char *section, const char *key)
{
    char first[32];
    const char *dot = strchr(section, '.');
    size_t size = dot != NULL ? (size_t)(dot - section) : strlen(section);
    if (size >= sizeof first)
        return (hf_item){0};
    memcpy(first, section, size);
    first[size] = '\0';
    hf_item map = hf_item_get(stats, first);
    if (dot != NULL)
        map = hf_item_get(map, dot + 1);
    return hf_item_get(map, key);
}

static uint64_t number(hf_item stats, const char *section, const char *key)
{
    uint64_t value = 0;
    hf_item_uint(find(stats, section, key), &value);
    return value;
}

static void word(char to[MONITOR_WORD_SIZE], hf_item item)
{
    const void *bytes;
    size_t size;
    to[0] = '\0';
    if (!hf_item_bytes(item, &bytes, &size))
        return;
    size = size < MONITOR_WORD_SIZE ? size : MONITOR_WORD_SIZE - 1;
    memcpy(to, bytes, size);
    to[size] = '\0';
}

/* ---- durations ---- */

#define LINEAR 8u /* bounds up to here are one apart */

static unsigned bucket_of(uint64_t bound)
{
    if (bound <= LINEAR)
        return bound != 0 ? (unsigned)bound - 1 : 0;
    unsigned power = 63 - (unsigned)__builtin_clzll(bound - 1); /* 2^power < bound <= 2^(power+1) */
    uint64_t quarter = UINT64_C(1) << (power - 2);
    unsigned bucket = LINEAR + (power - 3) * 4 + (unsigned)((bound - (UINT64_C(1) << power)) / quarter) - 1;
    return bucket < MONITOR_BUCKETS ? bucket : MONITOR_BUCKETS - 1;
}

static uint64_t bound_of(unsigned bucket)
{
    if (bucket < LINEAR)
        return bucket + 1;
    unsigned power = 3 + (bucket - LINEAR) / 4;
    return (UINT64_C(1) << power) + (UINT64_C(1) << (power - 2)) * ((bucket - LINEAR) % 4 + 1);
}

static void read_durations(struct monitor_method *method, hf_item buckets)
{
    hf_walk walk = hf_walk_start(buckets);
    hf_item row;
    uint64_t bound, count;
    while (hf_walk_next(&walk, NULL, &row)) {
        if (hf_item_uint(hf_item_at(row, 1), &count))
            method->durations[hf_item_uint(hf_item_at(row, 0), &bound) ? bucket_of(bound)
                                                                       : MONITOR_BUCKETS - 1] += count;
    }
}

static void read_methods(struct monitor_sample *sample, hf_item by_method, hf_item durations)
{
    hf_walk walk = hf_walk_start(by_method);
    hf_item key, value;
    while (sample->method_count < MONITOR_METHODS_MAX && hf_walk_next(&walk, &key, &value)) {
        struct monitor_method *method = &sample->methods[sample->method_count++];
        word(method->name, key);
        hf_item_uint(value, &method->total);
        read_durations(method, hf_item_get(hf_item_get(durations, method->name), "buckets"));
    }
}

void monitor_sample_read(struct monitor_sample *sample, hf_item stats, uint64_t now_ns, uint64_t unix_ms)
{
    *sample = (struct monitor_sample){.now_ns = now_ns, .unix_ms = unix_ms};
#define READ(member, section, key) sample->counters.member = number(stats, section, key);
    MONITOR_COUNTERS(READ)
#undef READ
#define READ(member, section, key) sample->gauges.member = number(stats, section, key);
    MONITOR_GAUGES(READ)
#undef READ
    sample->epoch = number(stats, "pool", "epoch");
    word(sample->pool, find(stats, "pool", "name"));
    word(sample->version, find(stats, "server", "version"));
    word(sample->phase, find(stats, "gc", "phase"));
    read_methods(sample, find(stats, "requests", "by_method"), hf_item_get(stats, "durations"));
}

/* ---- changes ---- */

/* A counter that went down is one that began anew, whatever else says that nothing has. */
static uint64_t difference(uint64_t before, uint64_t at)
{
    return at >= before ? at - before : at;
}

void monitor_change_make(struct monitor_change *change, const struct monitor_sample *before,
                         const struct monitor_sample *at)
{
    static const struct monitor_counters nothing;
    uint64_t uptime_ns = at->gauges.uptime_ms * UINT64_C(1000000);
    bool restarted =
        before != NULL && (at->gauges.uptime_ms < before->gauges.uptime_ms || at->epoch != before->epoch);
    before = restarted ? NULL : before;
    uint64_t interval_ns = before == NULL ? uptime_ns : at->now_ns - before->now_ns;
    const struct monitor_counters *from = before == NULL ? &nothing : &before->counters;
    *change = (struct monitor_change){.at = at,
                                      .before = before,
                                      .restarted = restarted,
                                      .interval_ns = interval_ns != 0 ? interval_ns : 1};
#define SUBTRACT(member, section, key)                                                                       \
    change->counters.member = difference(from->member, at->counters.member);
    MONITOR_COUNTERS(SUBTRACT)
#undef SUBTRACT
}

double monitor_per_second(const struct monitor_change *change, uint64_t difference_)
{
    return (double)difference_ * 1e9 / (double)change->interval_ns;
}

/* The same method in the sample before; NULL: it was not called by then. */
static const struct monitor_method *method_before(const struct monitor_change *change, unsigned method)
{
    for (unsigned i = 0; change->before != NULL && i < change->before->method_count; i++) {
        if (strcmp(change->before->methods[i].name, change->at->methods[method].name) == 0)
            return &change->before->methods[i];
    }
    return NULL;
}

uint64_t monitor_method_calls(const struct monitor_change *change, unsigned method)
{
    const struct monitor_method *before = method_before(change, method);
    return difference(before != NULL ? before->total : 0, change->at->methods[method].total);
}

uint64_t monitor_durations(const struct monitor_change *change, unsigned method,
                           uint64_t ret_counts[MONITOR_BUCKETS])
{
    unsigned first = method == MONITOR_ALL ? 0 : method;
    unsigned end = method == MONITOR_ALL ? change->at->method_count : method + 1;
    uint64_t total = 0;
    memset(ret_counts, 0, MONITOR_BUCKETS * sizeof ret_counts[0]);
    for (unsigned i = first; i < end; i++) {
        const struct monitor_method *before = method_before(change, i);
        for (unsigned k = 0; k < MONITOR_BUCKETS; k++) {
            uint64_t count =
                difference(before != NULL ? before->durations[k] : 0, change->at->methods[i].durations[k]);
            ret_counts[k] += count;
            total += count;
        }
    }
    return total;
}

double monitor_percentile(const uint64_t counts[MONITOR_BUCKETS], double share)
{
    uint64_t total = 0, seen = 0;
    for (unsigned k = 0; k < MONITOR_BUCKETS; k++)
        total += counts[k];
    for (unsigned k = 0; k < MONITOR_BUCKETS; k++) {
        seen += counts[k];
        if (counts[k] != 0 && (double)seen >= share * (double)total)
            return (double)bound_of(k);
    }
    return -1;
}
