/* SPDX-License-Identifier: BSD-3-Clause */
/* What the collector tells and is told: plain data, for all layers above. */
#ifndef GC_FACTS_H
#define GC_FACTS_H

#include <stdbool.h>
#include <stdint.h>

enum gc_phase { GC_IDLE, GC_CLEAR, GC_MARK, GC_GUARDS, GC_DELIVER, GC_REPORT, GC_SWEEP, GC_MERGE };

/* What began a collection. */
enum gc_trigger { GC_BY_CALL, GC_BY_OBJECTS, GC_BY_BYTES, GC_BY_TIME, GC_BY_MEMORY, GC_TRIGGERS };

struct gc_config {
    bool enabled;            /* collections begin by themselves; a call works anyway */
    uint32_t growth_percent; /* of what was alive at the end of the last full collection */
    uint64_t objects_least;  /* ... but no less than this many objects */
    uint64_t bytes_least;    /* ... and this many bytes */
    uint64_t full_after_ms;  /* the oldest unresolved suspect waits no longer */
};
#define GC_GROWTH_PERCENT 25u
#define GC_OBJECTS_LEAST  16384u
#define GC_BYTES_LEAST    (32ull << 20)
#define GC_FULL_AFTER_MS  30000u

/* What a collection did. */
struct gc_result {
    uint64_t candidates;  /* objects looked at: all that were alive */
    uint64_t unreachable; /* of them */
    uint64_t collected;   /* objects freed; none in a dry run */
    uint64_t bytes;       /* of the values of the unreachable ones */
    uint64_t delivered;   /* guards that became holds */
    uint64_t steps, units;
};

/* Names a collection that was asked for. */
struct gc_ticket {
    bool dry_run;
    uint64_t number;
};

struct gc_stats {
    enum gc_phase phase;
    uint64_t full[GC_TRIGGERS]; /* full collections done, by what began them; dry runs too */
    struct gc_result total;     /* of all that are done and were no dry runs; steps and units: of all */
    uint64_t suspects;          /* objects that may be garbage and wait for a collection */
    uint64_t debt;              /* units that the running collection still needs */
    uint64_t guards, delivered; /* registered; become holds since the start */
    uint64_t slots, slots_linked;
};

#endif
