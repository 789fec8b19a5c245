/* SPDX-License-Identifier: BSD-3-Clause */
/* gc_collect gc_config: collections of cycles, and the figures that `stats` tells of them. */
#include "daemon/server/handlers.h"

#include <stdlib.h>
#include <string.h>

/* ---- gc_collect: waits, a look a turn, until a collection is done that began after the call ---- */

struct collect_state {
    struct gc_ticket ticket;
    bool explain;
};

static void collect_free(struct call *call, void *state)
{
    (void)call;
    free(state);
}

static void reply_cycle(struct call *call, const struct gc_cycles *cycles, const struct gc_cycle *cycle)
{
    reply_map(call, 3);
    reply_pair_uint(call, "objects", cycle->objects);
    reply_pair_uint(call, "bytes", cycle->bytes);
    reply_text(call, "members");
    reply_array(call, cycle->members_count);
    for (uint32_t i = 0; i < cycle->members_count; i++) {
        const struct gc_member *member = &cycle->members[i];

        reply_map(call, 3);
        reply_pair_uint(call, "id", member->id);
        reply_pair_uint(call, "size", member->size);
        reply_pair_str(call, "tag", cycles->tags + member->tag_at, member->tag_size);
    }
}

static void reply_collected(struct call *call, const struct gc_result *result, const struct gc_cycles *cycles)
{
    reply_map(call, cycles ? 11 : 8);
    reply_pair_uint(call, "candidates", result->candidates);
    reply_pair_uint(call, "unreachable", result->unreachable);
    reply_pair_uint(call, "collected", result->collected);
    reply_pair_uint(call, "delivered", result->delivered);
    reply_pair_uint(call, "bytes", result->bytes);
    reply_pair_uint(call, "duration_us", (result->ended_ns - result->begun_ns) / 1000);
    reply_pair_uint(call, "step_us_max", result->step_ns_max / 1000);
    reply_pair_uint(call, "steps", result->steps);
    if (cycles == NULL)
        return;
    reply_pair_uint(call, "cycles_found", cycles->found);
    reply_pair_bool(call, "cycles_whole", cycles->whole);
    reply_text(call, "cycles");
    reply_array(call, cycles->count);
    for (uint32_t i = 0; i < cycles->count; i++)
        reply_cycle(call, cycles, &cycles->cycles[i]);
}

static int collect_resume(struct call *call, void *state_of_call)
{
    struct collect_state *state = state_of_call;
    struct gc_result result;

    if (!pool_collect_done(call->pool, state->ticket, &result))
        return CALL_AGAIN;
    reply_collected(call, &result,
                    state->explain ? pool_collect_cycles(call->pool, state->ticket.dry_run) : NULL);
    return 0;
}

static bool is_word(struct name_in given, const char *word)
{
    return given.size == strlen(word) && memcmp(given.data, word, given.size) == 0;
}

int handle_gc_collect(struct call *call)
{
    struct name_in kind = {(const uint8_t *)"full", 4};
    struct collect_state *state;
    bool dry_run = false, explain = false;
    const struct option_spec specs[] = {
        {"kind", OPTION_BYTES, &kind, NULL, 0, UINT32_MAX},
        {"dry_run", OPTION_BOOL, &dry_run, NULL, 0, 0},
        {"explain", OPTION_BOOL, &explain, NULL, 0, 0},
    };
    int r = call_options(call, specs, COUNT_OF(specs));

    if (r)
        return r;
    if (is_word(kind, "young") && explain)
        return call_fail(call, HF_E_BADARG, "only full collections explain what they find", "option=explain");
    if (!is_word(kind, "young") && !is_word(kind, "full"))
        return call_fail(call, HF_E_BADARG, "the kind of a collection is full or young", "option=kind");
    state = calloc(1, sizeof(*state));
    if (state == NULL)
        return -HF_E_OOM;
    state->explain = explain;
    if (is_word(kind, "young"))
        pool_collect_young(call->pool, dry_run, &state->ticket);
    else
        r = pool_collect(call->pool, dry_run, explain, &state->ticket);
    if (r) {
        free(state);
        return call_pool_error(call, r);
    }
    return call_later(call, collect_resume, state, collect_free);
}

/* ---- gc_config ---- */

int handle_gc_config(struct call *call)
{
    struct gc_config config = *pool_gc_config(call->pool);
    uint64_t budget_us = config.budget_us, growth_percent = config.growth_percent;
    const struct option_spec specs[] = {
        {"enabled", OPTION_BOOL, &config.enabled, NULL, 0, 0},
        {"budget_us", OPTION_UINT, &budget_us, NULL, GC_BUDGET_US_LEAST, GC_BUDGET_US_MOST},
        {"growth_percent", OPTION_UINT, &growth_percent, NULL, 1, 1000},
        {"objects_least", OPTION_UINT, &config.objects_least, NULL, 1, HF_INDEX_MAX},
        {"bytes_least", OPTION_UINT, &config.bytes_least, NULL, 1, HF_ID_MAX},
        {"full_after_ms", OPTION_UINT, &config.full_after_ms, NULL, 1, HF_TTL_MAX_MS},
        {"young_suspects", OPTION_UINT, &config.young_suspects, NULL, 1, GC_YOUNG_SUSPECTS_MOST},
        {"young_after_ms", OPTION_UINT, &config.young_after_ms, NULL, 1, HF_TTL_MAX_MS},
    };
    int r = call_options(call, specs, COUNT_OF(specs));

    if (r)
        return r;
    config.budget_us = (uint32_t)budget_us;
    config.growth_percent = (uint32_t)growth_percent;
    pool_gc_set_config(call->pool, &config);
    reply_map(call, COUNT_OF(specs));
    reply_pair_bool(call, "enabled", config.enabled);
    reply_pair_uint(call, "budget_us", config.budget_us);
    reply_pair_uint(call, "growth_percent", config.growth_percent);
    reply_pair_uint(call, "objects_least", config.objects_least);
    reply_pair_uint(call, "bytes_least", config.bytes_least);
    reply_pair_uint(call, "full_after_ms", config.full_after_ms);
    reply_pair_uint(call, "young_suspects", config.young_suspects);
    reply_pair_uint(call, "young_after_ms", config.young_after_ms);
    return 0;
}

/* ---- the section of `stats` ---- */

static void reply_buckets(struct call *call, const char *key, const uint64_t *counts)
{
    reply_text(call, key);
    reply_array(call, GC_STEP_BUCKETS);
    for (unsigned i = 0; i < GC_STEP_BUCKETS; i++)
        reply_uint(call, counts[i]);
}

/* How long steps took: how many up to each bound, and in the last place those above all of them. */
static void reply_steps(struct call *call, const struct gc_stats *stats)
{
    static const uint16_t bounds_us[] = GC_STEP_BOUNDS_US;

    reply_text(call, "step_us");
    reply_map(call, 3);
    reply_text(call, "bounds");
    reply_array(call, COUNT_OF(bounds_us));
    for (unsigned i = 0; i < COUNT_OF(bounds_us); i++)
        reply_uint(call, bounds_us[i]);
    reply_buckets(call, "cpu", stats->step_cpu);
    reply_buckets(call, "wall", stats->step_wall);
}

static const char *phase_word(enum gc_phase phase)
{
    switch (phase) {
    case GC_IDLE: return "idle";
    case GC_CLEAR: return "clear";
    case GC_MARK: return "mark";
    case GC_GUARDS:
    case GC_DELIVER: return "guards";
    case GC_REPORT: return "report";
    case GC_SWEEP: return "sweep";
    case GC_MERGE: break;
    }
    return "merge";
}

static void reply_young(struct call *call, const struct gc_stats *stats)
{
    static const char *const triggers[GC_YOUNG_TRIGGERS] = {"call", "suspects", "growth", "time", "memory"};

    reply_text(call, "young");
    reply_map(call, GC_YOUNG_TRIGGERS + 4);
    for (unsigned i = 0; i < GC_YOUNG_TRIGGERS; i++)
        reply_pair_uint(call, triggers[i], stats->young[i]);
    reply_pair_uint(call, "candidates", stats->young_total.candidates);
    reply_pair_uint(call, "unreachable", stats->young_total.unreachable);
    reply_pair_uint(call, "collected", stats->young_total.collected);
    reply_pair_uint(call, "bytes", stats->young_total.bytes);
}

void reply_gc_stats(struct call *call, uint64_t backlog)
{
    static const char *const triggers[GC_TRIGGERS] = {"call", "objects", "bytes", "time", "memory"};
    struct gc_stats stats;

    pool_gc_stats(call->pool, &stats);
    reply_map(call, 20);
    reply_pair_uint(call, "backlog", backlog);
    reply_pair_bool(call, "enabled", pool_gc_config(call->pool)->enabled);
    reply_pair_text(call, "phase", phase_word(stats.phase));
    reply_text(call, "full");
    reply_map(call, GC_TRIGGERS);
    for (unsigned i = 0; i < GC_TRIGGERS; i++)
        reply_pair_uint(call, triggers[i], stats.full[i]);
    reply_young(call, &stats);
    reply_pair_uint(call, "candidates", stats.total.candidates);
    reply_pair_uint(call, "unreachable", stats.total.unreachable);
    reply_pair_uint(call, "collected", stats.total.collected);
    reply_pair_uint(call, "bytes", stats.total.bytes);
    reply_pair_uint(call, "suspects", stats.suspects);
    reply_pair_uint(call, "unresolved", stats.unresolved);
    reply_pair_uint(call, "debt", stats.debt);
    reply_pair_uint(call, "guards", stats.guards);
    reply_pair_uint(call, "delivered", stats.delivered);
    reply_pair_uint(call, "slots", stats.slots);
    reply_pair_uint(call, "slots_linked", stats.slots_linked);
    reply_pair_uint(call, "steps", stats.total.steps);
    reply_pair_uint(call, "units", stats.total.units);
    reply_pair_uint(call, "cpu_us", stats.total.cpu_ns / 1000);
    reply_steps(call, &stats);
}
