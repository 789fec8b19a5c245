/* SPDX-License-Identifier: BSD-3-Clause */
/* Which pools have something to do, and when: what a turn costs depends on the pools that are used in it or have work,
 * not on how many there are.
 *
 * Whatever happens to a pool begins with pace_touch(). At the turn's end the touched ones are looked at: they
 * get their steps, their units are counted, and what they wait for is noted. One with work left stays touched. */
#include "daemon/pool/events.h"
#include "daemon/server/worker.h"

#include <inttypes.h>

#define LEASE_WAKE_MS                                                                                        \
    500u /* the lease clock advances by LEASE_STEP_MS a turn at most: no longer sleep than that */

/* ---- what pools wait for ---- */

static void now_placed(void *owner, uint32_t slot, uint32_t place)
{
    struct pace *pace = owner;
    pace->slots[slot]->now_place = place;
}

static void lease_placed(void *owner, uint32_t slot, uint32_t place)
{
    struct pace *pace = owner;
    pace->slots[slot]->lease_place = place;
}

static void note(struct deadlines *deadlines, uint32_t slot, uint32_t place, uint64_t *at, uint64_t due)
{
    if (*at == due)
        return;
    if (place != DEADLINE_NONE)
        deadlines_remove(deadlines, place);
    if (due != UINT64_MAX)
        deadlines_add(deadlines, due, slot);
    *at = due;
}

static void note_due(struct pace *pace, struct pool_entry *entry, uint64_t now_due, uint64_t lease_due)
{
    note(&pace->now, entry->slot, entry->now_place, &entry->now_due, now_due);
    note(&pace->lease, entry->slot, entry->lease_place, &entry->lease_due, lease_due);
}

/* ---- pools ---- */

bool pace_open(struct pace *pace, struct mem *mem)
{
    list_init(&pace->touched);
    return deadlines_init(&pace->now, mem, HF_POOLS_MAX, pace, now_placed) &&
           deadlines_init(&pace->lease, mem, HF_POOLS_MAX, pace, lease_placed);
}

void pace_close(struct pace *pace)
{
    deadlines_done(&pace->now);
    deadlines_done(&pace->lease);
}

bool pace_add(struct pace *pace, struct pool_entry *entry)
{
    if (!deadlines_prepare(&pace->now, pace->count + 1) || !deadlines_prepare(&pace->lease, pace->count + 1))
        return false;
    entry->slot = pace->count;
    entry->now_place = entry->lease_place = DEADLINE_NONE;
    entry->now_due = entry->lease_due = UINT64_MAX;
    pace->slots[pace->count++] = entry;
    list_append(&pace->touched, &entry->in_touched);
    return true;
}

void pace_remove(struct pace *pace, struct pool_entry *entry)
{
    note_due(pace, entry, UINT64_MAX, UINT64_MAX);
    list_remove(&entry->in_touched);
    struct pool_entry *last = pace->slots[--pace->count];
    uint64_t now_due = last->now_due, lease_due = last->lease_due;
    if (last == entry)
        return;
    note_due(pace, last, UINT64_MAX, UINT64_MAX);
    last->slot = entry->slot;
    pace->slots[last->slot] = last;
    note_due(pace, last, now_due, lease_due);
}

void pace_touch(struct pool_entry *entry)
{
    if (list_empty(&entry->in_touched) && !entry->dropped)
        list_append(&entry->worker->pace.touched, &entry->in_touched);
}

/* ---- the turn's end ---- */

void pace_tell_time(struct worker *worker)
{
    struct pace *pace = &worker->pace;
    const struct deadline *first;
    worker_clock(worker, NULL);
    while ((first = deadlines_first(&pace->now)) != NULL && first->at <= worker->now_ms) {
        struct pool_entry *entry = pace->slots[first->key];
        worker_clock(worker, entry);
        note(&pace->now, entry->slot, entry->now_place, &entry->now_due, UINT64_MAX);
    }
    while ((first = deadlines_first(&pace->lease)) != NULL && first->at <= worker->lease_ms) {
        struct pool_entry *entry = pace->slots[first->key];
        worker_clock(worker, entry);
        note(&pace->lease, entry->slot, entry->lease_place, &entry->lease_due, UINT64_MAX);
    }
}

/* The steps of one turn. */
struct steps {
    uint64_t begin_ns, now_ns;
    uint64_t last_ns; /* that the last one took */
    uint64_t cpu_ns;  /* processor time when a collection was first stepped; 0: none was */
    uint64_t units;
};

/* Another one, though longer than the last, is to end within 5/8 of the budget: to give memory back takes long, and is
 * no work that units count. The rest is left for what nobody foresees, page faults and interrupts (measured: of the
 * processor time of a loop that does nothing on a virtual machine, gaps of 20 to 90 us, now and then 170). */
static bool is_over(const struct steps *steps, const struct pool_entry *entry)
{
    uint64_t budget_ns = pool_gc_config(entry->pool)->budget_us * 625ull;
    uint64_t used_ns = steps->now_ns - steps->begin_ns + 2 * steps->last_ns;
    return steps->units >= TURN_UNITS || (used_ns >= budget_ns && steps->last_ns != 0);
}

static bool has_work(const struct pool_entry *entry)
{
    return pool_has_work(entry->pool) || pool_save_has_work(entry->pool);
}

/* One step of a pool, and of a save of it if it `saves`, and their time. True: there is more. */
static bool step_pool(struct steps *steps, struct pool_entry *entry, bool saves)
{
    bool collected = pool_is_collecting(entry->pool);
    if (collected && steps->cpu_ns == 0)
        steps->cpu_ns = thread_cpu_ns();
    uint64_t work = pool_work(entry->pool);
    bool more = pool_has_work(entry->pool) && pool_step(entry->pool, STEP_UNITS) >= STEP_UNITS;
    if (saves)
        more |= pool_save_step(entry->pool);
    uint64_t end_ns = uv_hrtime();
    steps->last_ns = end_ns - steps->now_ns;
    if (collected)
        entry->collected_ns += steps->last_ns;
    steps->now_ns = end_ns;
    /* a trial is one piece of more units */
    steps->units += pool_work(entry->pool) - work;
    return more;
}

/* Background work in rounds; where one turn stops, the next one begins: a pool whose every step uses up what a turn has
 * would keep all others waiting else, and what their ended sessions held alive with them. True: there is more.
 *
 * Of a save, a turn that has served somebody does one step: what requests change is copied at once, so the rest may
 * take its time, and those that wait for the next turn need not wait for it. */
static bool step_pools(struct worker *worker, struct steps *steps)
{
    struct list *at, *after;
    bool left = false, saves = true;
    for (bool more = true; more; saves = !worker->active) {
        more = left = false;
        list_each(at, after, &worker->pace.touched)
        {
            struct pool_entry *entry = list_entry(at, struct pool_entry, in_touched);
            if (!has_work(entry))
                continue;
            if (!saves && !pool_has_work(entry->pool)) {
                left = true;
                continue;
            }
            worker_clock(worker, entry);
            if (steps->begin_ns == 0) {
                steps->begin_ns = steps->now_ns = uv_hrtime();
                book_turn(worker, steps->begin_ns - worker->turn_ns);
            }
            if (is_over(steps, entry)) {
                list_begin_with(&worker->pace.touched, at);
                return true;
            }
            more |= step_pool(steps, entry, saves);
            left |= !saves && pool_save_has_work(entry->pool);
        }
    }
    return left;
}

/* Tells collectors how long their steps of this turn took. The processor time is that of the whole turn's background
 * work, in proportion: to ask for it before and after each step would cost as much as the step. */
static void tell_steps(struct worker *worker, const struct steps *steps)
{
    struct list *at, *after;
    uint64_t cpu_ns = thread_cpu_ns() - steps->cpu_ns, all_ns = steps->now_ns - steps->begin_ns;
    list_each(at, after, &worker->pace.touched)
    {
        struct pool_entry *entry = list_entry(at, struct pool_entry, in_touched);
        uint64_t wall_ns = entry->collected_ns;
        if (wall_ns == 0)
            continue;
        entry->collected_ns = 0;
        pool_stepped(entry->pool, steps->now_ns, wall_ns,
                     (uint64_t)((double)cpu_ns * (double)wall_ns / (double)all_ns));
    }
}

bool pace_step(struct worker *worker)
{
    struct steps steps = {0};
    bool more = step_pools(worker, &steps);
    if (steps.cpu_ns != 0)
        tell_steps(worker, &steps);
    return more;
}

/* A line for the passes since the last one, with the sums since the pool was opened. */
static void log_evacuated(struct worker *worker, struct pool_entry *entry)
{
    struct pool_evacuation done;
    entry->evacuated = pool_evacuated(entry->pool);
    pool_evacuation(entry->pool, &done);
    log_client(worker->log, LOG_LEVEL_INFO, LOG_EVACUATION, "evacuated",
               "pool=%s passes=%" PRIu64 " moved_bytes=%" PRIu64 " returned_bytes=%" PRIu64
               " msg=\"values were moved to give memory back\"",
               pool_name(entry->pool), done.passes, done.moved_bytes, done.returned_bytes);
}

void pace_settle(struct worker *worker)
{
    struct list *at, *after;
    list_each(at, after, &worker->pace.touched)
    {
        struct pool_entry *entry = list_entry(at, struct pool_entry, in_touched);
        uint64_t now_due, lease_due;
        worker_count_units(worker, entry);
        errand_send(entry);
        if (unlikely(pool_evacuated(entry->pool) != entry->evacuated))
            log_evacuated(worker, entry);
        pool_next_due(entry->pool, &now_due, &lease_due);
        note_due(&worker->pace, entry, now_due, lease_due);
        if (!has_work(entry) && !pool_has_events(entry->pool))
            list_remove(&entry->in_touched);
    }
}

uint64_t pace_wait_ms(const struct worker *worker)
{
    const struct deadline *now = deadlines_first(&worker->pace.now);
    const struct deadline *lease = deadlines_first(&worker->pace.lease);
    uint64_t wait_ms = UINT64_MAX;
    if (now != NULL)
        wait_ms = now->at > worker->now_ms ? now->at - worker->now_ms : 0;
    if (lease != NULL) {
        uint64_t lease_ms = lease->at > worker->lease_ms ? lease->at - worker->lease_ms : 0;
        lease_ms = lease_ms < LEASE_WAKE_MS ? lease_ms : LEASE_WAKE_MS;
        wait_ms = lease_ms < wait_ms ? lease_ms : wait_ms;
    }
    return wait_ms;
}
