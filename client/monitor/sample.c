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

static void read_methods(struct monitor_sample *sample, hf_item by_method)
{
    hf_walk walk = hf_walk_start(by_method);
    hf_item key, value;
    while (sample->method_count < MONITOR_METHODS_MAX && hf_walk_next(&walk, &key, &value)) {
        struct monitor_method *method = &sample->methods[sample->method_count++];
        word(method->name, key);
        hf_item_uint(value, &method->total);
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
    read_methods(sample, find(stats, "requests", "by_method"));
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
    static const struct monitor_sample nothing;
    uint64_t uptime_ns = at->gauges.uptime_ms * UINT64_C(1000000);
    bool restarted =
        before != NULL && (at->gauges.uptime_ms < before->gauges.uptime_ms || at->epoch != before->epoch);
    if (before == NULL || restarted)
        before = &nothing;
    uint64_t interval_ns = before == &nothing ? uptime_ns : at->now_ns - before->now_ns;
    *change = (struct monitor_change){.at = at,
                                      .before = before,
                                      .restarted = restarted,
                                      .interval_ns = interval_ns != 0 ? interval_ns : 1};
#define SUBTRACT(member, section, key)                                                                       \
    change->counters.member = difference(before->counters.member, at->counters.member);
    MONITOR_COUNTERS(SUBTRACT)
#undef SUBTRACT
}

double monitor_per_second(const struct monitor_change *change, uint64_t difference_)
{
    return (double)difference_ * 1e9 / (double)change->interval_ns;
}

uint64_t monitor_method_calls(const struct monitor_change *change, unsigned method)
{
    const struct monitor_method *at = &change->at->methods[method];
    for (unsigned i = 0; i < change->before->method_count; i++) {
        const struct monitor_method *before = &change->before->methods[i];
        if (strcmp(before->name, at->name) == 0)
            return difference(before->total, at->total);
    }
    return at->total;
}
