/* SPDX-License-Identifier: BSD-3-Clause */
/* What the collector tells and is told: plain data, for all layers above. */
#ifndef GC_FACTS_H
#define GC_FACTS_H

#include <stdbool.h>
#include <stdint.h>

enum gc_phase { GC_IDLE, GC_CLEAR, GC_MARK, GC_GUARDS, GC_DELIVER, GC_REPORT, GC_SWEEP, GC_MERGE };

/* What began a collection. */
enum gc_trigger { GC_BY_CALL, GC_BY_OBJECTS, GC_BY_BYTES, GC_BY_TIME, GC_BY_MEMORY, GC_TRIGGERS };
enum gc_young_trigger {
    GC_YOUNG_BY_CALL,
    GC_YOUNG_BY_SUSPECTS,
    GC_YOUNG_BY_GROWTH,
    GC_YOUNG_BY_TIME,
    GC_YOUNG_BY_MEMORY,
    GC_YOUNG_TRIGGERS
};

struct gc_config {
    bool enabled; /* collections begin by themselves; a call works anyway */
    uint32_t
        budget_us; /* of background work in one turn of a loop; kept here for the layer that has a clock */
    uint32_t growth_percent; /* of what was alive at the end of the last full collection */
    uint64_t objects_least;  /* ... but no less than this many objects */
    uint64_t bytes_least;    /* ... and this many bytes */
    uint64_t full_after_ms;  /* the oldest unresolved suspect waits no longer */
    uint64_t young_suspects; /* so many wait: a young collection begins ... */
    uint64_t young_after_ms; /* ... or the oldest has waited for so long */
};
#define GC_BUDGET_US           200u
#define GC_BUDGET_US_LEAST     20u
#define GC_BUDGET_US_MOST      100000u
#define GC_GROWTH_PERCENT      25u
#define GC_OBJECTS_LEAST       16384u
#define GC_BYTES_LEAST         (32ull << 20)
#define GC_FULL_AFTER_MS       30000u
#define GC_YOUNG_SUSPECTS      2000u /* fewer, and structures that are being built are met half done (measured) */
#define GC_YOUNG_SUSPECTS_MOST 8192u
#define GC_YOUNG_AFTER_MS      1000u /* memory is bounded by growth, not by this */

/* How long steps took, in buckets: the first bound that is not exceeded, or the last bucket. A step is what a pool does in
 * one turn of its worker's loop. */
#define GC_STEP_BUCKETS 12u
#define GC_STEP_BOUNDS_US                                                                                    \
    {                                                                                                        \
        5, 10, 20, 50, 100, 200, 300, 500, 1000, 2000, 5000                                                  \
    }

/* What a collection did. */
struct gc_result {
    uint64_t candidates;  /* objects looked at: all that were alive */
    uint64_t unreachable; /* of them */
    uint64_t collected;   /* objects freed; none in a dry run */
    uint64_t bytes;       /* of the values of the unreachable ones */
    uint64_t delivered;   /* guards that became holds */
    uint64_t units;
    uint64_t steps, begun_ns, ended_ns; /* of the clock of gc_stepped(); 0 without it */
    uint64_t step_ns_max, cpu_ns;       /* the longest step; processor time of all */
};

/* Cycles that a collection found, the first ones. */
#define GC_CYCLES_MAX  64u
#define GC_MEMBERS_MAX 16u    /* of one cycle */
#define GC_TAGS_MAX    32768u /* bytes of all tags */
struct gc_member {
    uint64_t id, size;
    uint32_t tag_at, tag_size; /* in gc_cycles.tags */
};
struct gc_cycle {
    uint64_t objects, bytes;
    uint32_t members_count; /* told of them */
    struct gc_member members[GC_MEMBERS_MAX];
};
struct gc_cycles {
    uint64_t found; /* all, told or not, in the part that was looked at */
    bool whole;     /* that part was all */
    uint32_t count;
    struct gc_cycle cycles[GC_CYCLES_MAX];
    uint32_t tags_used;
    uint8_t tags[GC_TAGS_MAX];
};

/* Names a collection that was asked for. */
struct gc_ticket {
    bool young, dry_run;
    uint64_t number;
};

struct gc_stats {
    enum gc_phase phase;
    uint64_t full[GC_TRIGGERS]; /* full collections done, by what began them; dry runs too */
    struct gc_result total;     /* of all that are done and were no dry runs; steps and units: of all */
    uint64_t young[GC_YOUNG_TRIGGERS]; /* young collections done, by what began them; dry runs too */
    struct gc_result young_total;      /* of all that are done and were no dry runs */
    uint64_t suspects;                 /* objects that may be garbage and wait for a collection */
    uint64_t unresolved;               /* of them, those that wait for a full one */
    uint64_t debt;                     /* units that the running collection still needs */
    uint64_t guards, delivered;        /* registered; become holds since the start */
    uint64_t slots, slots_linked;
    uint64_t step_wall[GC_STEP_BUCKETS], step_cpu[GC_STEP_BUCKETS];
};

#endif
