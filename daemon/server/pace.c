/* SPDX-License-Identifier: BSD-3-Clause */
/* Which pools have something to do, and when: what a turn costs depends on the pools that are used in it or have work,
 * not on how many there are.
 *
 * Whatever happens to a pool begins with pace_touch(). At the turn's end the touched ones are looked at: they
 * get their steps, their units are counted, and what they wait for is noted. One with work left stays touched. */
#include "daemon/server/worker.h"

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

bool pace_step(struct worker *worker)
{
    struct list *at, *after;
    uint64_t until = 0; /* the turn's end */
    uint64_t begun = 0; /* of the step before */
    unsigned spent = 0;
    for (bool more = true; more;) {
        more = false;
        list_each(at, after, &worker->pace.touched)
        {
            struct pool_entry *entry = list_entry(at, struct pool_entry, in_touched);
            if (!pool_has_work(entry->pool))
                continue;
            worker_clock(worker, entry);
            uint64_t now = uv_hrtime();
            uint64_t last = begun == 0 ? 0 : now - begun;
            until = until == 0 ? now + TURN_US * 1000 : until;
            /* another one, though longer than the last, is to end within the turn: to give memory back takes long */
            if (now + 2 * last >= until || spent >= TURN_UNITS)
                return true;
            begun = now;
            unsigned units = pool_step(entry->pool, STEP_UNITS);
            spent += units;
            more |= units >= STEP_UNITS;
        }
    }
    return false;
}

void pace_settle(struct worker *worker)
{
    struct list *at, *after;
    list_each(at, after, &worker->pace.touched)
    {
        struct pool_entry *entry = list_entry(at, struct pool_entry, in_touched);
        uint64_t now_due, lease_due;
        worker_count_units(worker, entry);
        pool_next_due(entry->pool, &now_due, &lease_due);
        note_due(&worker->pace, entry, now_due, lease_due);
        if (!pool_has_work(entry->pool))
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
