#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Mutants of the collector, of events and of evacuation: each known way to break one must be caught by its oracle (sim_gc.c,
sim_events.c, test_evacuate.c), or the few that only a death shows by the every-store attack.

The idiom is that of tests/crash/mutants.py: a file, a piece of its text that stands there exactly once, and what
replaces it. The unchanged tree must pass, a mutant must fail.

    tests/sim/mutants.py [--only NAME] [--quick] [--seeds N]     (compiler: $CC, default gcc)

--quick is as there, one in twelve.
"""
import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "crash"))
import mutants as crash  # noqa: E402

SOURCES = ["tests/lib/pool_fixture.c"] + [f"tests/sim/{name}.c" for name in ("graph", "judge", "saved_graph", "savefile")]
LIBCHECK = subprocess.run(["pkg-config", "--libs", "check"], capture_output=True, text=True, check=True).stdout.split()

MUTANTS = [
    # ---- barriers
    ("no link barrier", "daemon/gc/gc.h",
     "    if (unlikely(gc->heap->collecting == COLLECT_MARK) && heap_is_marked(gc->heap, from))", "    if (false)"),
    ("the link barrier looks the wrong way", "daemon/gc/gc.h",
     "COLLECT_MARK) && heap_is_marked(gc->heap, from))", "COLLECT_MARK) && !heap_is_marked(gc->heap, from))"),
    ("no retain barrier", "daemon/gc/gc.h",
     "    if (unlikely(gc->heap->collecting == COLLECT_MARK))\n        gc_shade", "    if (false)\n        gc_shade"),
    ("no barrier for a first holder", "daemon/pool/holds.c",
     "    gc_held(&pool->gc, index);\n", ""),
    ("no barrier for names, tickets and further holders", "daemon/pool/links.h",
     "    gc_held(&pool->gc, index);\n", ""),
    ("no link barrier at birth", "daemon/pool/objects.c",
     "            gc_linked(&pool->gc, index, targets[k] & SLOT_TARGET);\n", ""),
    ("born white", "daemon/gc/gc.c", "        heap_mark(gc->heap, index);\n        gc->owed", "        gc->owed"),
    ("born white in the sweep", "daemon/gc/gc.c",
     "        heap_mark(gc->heap, index);\n        gc->owed",
     "        if (gc->phase < GC_SWEEP)\n            heap_mark(gc->heap, index);\n        gc->owed"),
    ("a condemned object can still be named", "daemon/heap/heap.h",
     "    return alive && likely(!heap_is_condemned(heap, index)) ? hot : NULL;", "    return alive ? hot : NULL;"),
    # ---- marking
    ("names are no roots", "daemon/gc/mark.c",
     "outside = at->holder >> 32 | (at->w0 & W0_LINK)", "outside = at->holder >> 32"),
    ("names are no roots of a lazy walk", "daemon/gc/mark.c",
     "((*marks & bit) == 0 && !is_held_outside(hot)))", "((*marks & bit) == 0 && hot->holder >> 32 == 0))"),
    ("the walk passes over a root behind one with a list", "daemon/gc/mark.c",
     "            gc->frontier = index + 1;\n            return spent + walk_large", "            return spent + walk_large"),
    ("the walk passes over what a step had no units for", "daemon/gc/mark.c",
     "    gc->frontier = end;\n", "    gc->frontier = first + 64;\n"),
    ("objects in the last word are passed over", "daemon/gc/internal.h",
     "word & ((1ull << gc->top % 64) - 1) : word;", "word & ((1ull << gc->top % 64) / 2 - 1) : word;"),
    ("the walk passes over the rest of a word", "daemon/gc/mark.c",
     "    if (word != 0)\n        return spent;\n    gc->frontier", "    gc->frontier"),
    ("the sweep passes over the rest of a word", "daemon/gc/sweep.c",
     "    if (word != 0)\n        return spent;\n    gc->cursor", "    gc->cursor"),
    ("what is marked ahead of the walk is not scanned", "daemon/gc/mark.c",
     "((*marks & bit) == 0 && !is_held_outside(hot)))", "((*marks & bit) != 0 || !is_held_outside(hot)))"),
    ("what is marked behind the walk is not scanned", "daemon/gc/mark.c",
     " && target != 0 && target < hand->push_below;", " && target != 0 && target > hand->push_below;"),
    ("a shade behind the walk is not scanned", "daemon/gc/mark.c",
     "    if (gc->lazy && index >= gc->frontier)\n        return;", "    if (gc->lazy)\n        return;"),
    ("what lies ahead of a walk that is not lazy is left to it", "daemon/gc/mark.c",
     "    if (gc->lazy && index >= gc->frontier)\n        return;", "    if (index >= gc->frontier)\n        return;"),
    ("the rest of a list is forgotten", "daemon/gc/mark.c",
     "    gc->scan_slot += count;\n", "    gc->scan = 0;\n"),
    ("the second slot is forgotten", "daemon/gc/mark.c",
     "    for (; slots != 0; slots >>= 32) {", "    for (; slots != 0; slots = 0) {"),
    ("an empty first slot hides the second", "daemon/gc/mark.c",
     "    for (; slots != 0; slots >>= 32) {", "    for (; (uint32_t)slots != 0; slots >>= 32) {"),
    ("what does not fit the stack is forgotten", "daemon/gc/mark.c",
     "        go_back(gc, index);\n    else", "        (void)go_back;\n    else"),
    ("a walk that goes back is not lazy", "daemon/gc/mark.c",
     "    gc->lazy = true;\n", ""),
    ("the ring is forgotten", "daemon/gc/mark.c",
     "    if (gc->ring_count == 0)\n        return 0;", "    if (gc->stack_count == 0)\n        return 0;"),
    ("marks are not cleared", "daemon/gc/gc.c",
     "        memset(marks + gc->cursor / 64, 0, (words < 64 ? words : 64) * 8);\n",
     "        (void)marks;\n        (void)words;\n"),
    # ---- the flip
    ("the flip while the dead wait", "daemon/gc/gc.c",
     "    if (gc->heap->zero_head != 0)\n        return 0;\n    condemn(gc);", "    condemn(gc);"),
    ("the flip while something is grey", "daemon/gc/gc.c",
     "    unsigned spent = mark_grey(gc, units);\n    if (spent != 0)\n        return spent;\n",
     "    unsigned spent = gc->phase == GC_REPORT ? 0 : mark_grey(gc, units);\n    if (spent != 0)\n"
     "        return spent;\n"),
    ("a dry run that sweeps", "daemon/gc/gc.c",
     "    if (gc->dry_run) {\n        gc->heap->collecting = COLLECT_NONE;",
     "    if (false) {\n        gc->heap->collecting = COLLECT_NONE;"),
    ("a dry run that delivers guards", "daemon/gc/gc.c",
     "        gc->phase = gc->dry_run ? GC_REPORT : GC_GUARDS;", "        gc->phase = GC_GUARDS;"),
    # ---- the sweep
    ("no quarantine", "daemon/gc/sweep.c",
     "    index_give_later(heap, first, freed);",
     "    for (; freed != 0; freed &= freed - 1)\n        index_give(heap, first + bits_lowest(freed));"),
    ("no quarantine for objects with a list", "daemon/gc/sweep.c",
     "index_give_later(gc->heap, index - index % 64, 1ull << index % 64);", "index_give(gc->heap, index);"),
    ("the quarantine never ends", "daemon/heap/heap.c",
     "    freeset_move(&heap->free_index, &heap->quarantine, first);", "    (void)heap;\n    (void)first;"),
    ("the sweep counts for condemned neighbours", "daemon/gc/sweep.c",
     "    if (heap_is_marked(gc->heap, target)) {", "    if (true) {"),
    ("the sweep does not count for survivors", "daemon/gc/sweep.c",
     "    if (heap_is_marked(gc->heap, target)) {", "    if (false) {"),
    ("what only garbage kept is left", "daemon/gc/sweep.c",
     "    if (hot->in == 0 && !is_held_outside(hot))\n        object_lost(gc, target);", "    (void)hot;"),
    ("slots between condemned objects stay counted", "daemon/gc/sweep.c",
     "    tally->linked += linked;\n", ""),
    ("the walk's count of a condemned object is kept", "daemon/gc/sweep.c",
     "    if (unlikely(gc->heap->audit != NULL))\n        gc->heap->audit[index] = 0;\n", ""),
    # ---- guards
    ("a guarded object that is held again is delivered", "daemon/gc/gc.c",
     "    if (is_held_outside(&gc->heap->hot[index]))\n        return;\n    if (gc->owner", "    if (gc->owner"),
    ("guards are not looked for", "daemon/gc/gc.c",
     "        uint64_t word = guarded[gc->cursor / 64] & ~marks[gc->cursor / 64];", "        uint64_t word = 0 & guarded[0] & marks[0];"),
    ("all guards are delivered", "daemon/gc/gc.c",
     "        uint64_t word = guarded[gc->cursor / 64] & ~marks[gc->cursor / 64];",
     "        uint64_t word = guarded[gc->cursor / 64] | (0 & marks[0]);"),
    ("only the first guard is delivered", "daemon/gc/gc.c",
     "        deliver(gc, index);\n        return 1;\n    }\n    gc->phase", "        deliver(gc, index);\n    }\n    gc->phase"),
    ("a guard that comes late is not spared", "daemon/gc/gc.c",
     "    freeset_add(&gc->guarded, index);\n    spare(gc, index);\n", "    freeset_add(&gc->guarded, index);\n"),
    ("what is spared is not looked at again", "daemon/gc/gc.c",
     "    gc_shade(gc, index);\n    gc_unresolved(gc, index);\n", "    gc_shade(gc, index);\n"),
    ("the second slot of one of a chain is forgotten", "daemon/gc/reap.c",
     "        uint64_t slots = slots_in_entry(warm, left);", "        uint64_t slots = slots_in_entry(warm, left != 0);"),
    ("a chain goes on through what is held", "daemon/gc/reap.c",
     "    return hot->in == 0 && hot->holder >> 32 == 0 && (w0", "    return hot->in == 0 && (w0"),
    ("a chain goes on through a guard", "daemon/gc/reap.c",
     "\n           (alone || !gc_is_guarded(gc, index));", "\n           (alone || gc != NULL || index != 0);"),
    ("a delivery without memory is forgotten", "daemon/gc/reap.c",
     "        freeset_add(&gc->waiting, index);", "        ;"),
    ("count zero ignores guards", "daemon/gc/reap.c",
     "    if (unlikely(gc_is_guarded(gc, index)) && is", "    if (false && is"),
    ("a guard stays after its delivery", "daemon/pool/guards.c",
     "    gc_unguard(&pool->gc, cell->object);\n", ""),
    # ---- when a collection begins
    ("a collection begins while sessions are ending", "daemon/pool/pool.c",
     "        } else if ((done = session_dying_step(pool, units - spent)) != 0 || (done = due_step(pool)) != 0) {\n"
     "            pool->heap.work += done;\n            spent += done;\n"
     "        } else if ((done = step_background(pool, units - spent, spent == 0)) != 0)\n            spent += done;\n",
     "        } else if ((done = step_background(pool, units - spent, spent == 0)) != 0)\n            spent += done;\n"
     "        else if ((done = session_dying_step(pool, units - spent)) != 0 || (done = due_step(pool)) != 0) {\n"
     "            pool->heap.work += done;\n            spent += done;\n        }\n"),
    ("a call that ends a collection begins the next", "daemon/gc/gc.c",
     " || (gc->phase == GC_IDLE && before != GC_IDLE) ||", " ||"),
    ("who asks joins a collection that is under way", "daemon/gc/gc.c",
     "    runs->wanted = runs->begun + 1;", "    runs->wanted = gc->phase >= GC_MARK ? runs->begun : runs->begun + 1;"),
    ("suspects of the time of the collection are forgotten", "daemon/gc/gc.c",
     "    look_again(gc);\n    add_to_total(gc);", "    look_again(gc);\n    resolve(gc);\n    add_to_total(gc);"),
    ("a dry run resolves", "daemon/gc/gc.c",
     "    if (!gc->dry_run)\n        resolve(gc);", "    resolve(gc);"),
    ("objects with one slot are no suspects", "daemon/gc/gc.h",
     "    if (w0_ns(w0) == 0)\n        return;\n    if (heap_is_marked",
     "    if (w0_ns(w0) <= 1)\n        return;\n    if (heap_is_marked"),
    ("linked slots do not count", "daemon/heap/heap.h",
     "    return heap->slots_linked != 0 && (", "    return heap->slots_linked > 1 && ("),
    ("an object that names itself makes no cycle", "daemon/pool/objects.c",
     "(item >= items->at ? SLOT_LINKED : 0)", "(item > items->at ? SLOT_LINKED : 0)"),
    ("slots made by link are not marked as such", "daemon/pool/objects.c",
     "    uint32_t edge = target == 0 ? 0 : target | SLOT_LINKED;", "    uint32_t edge = target;"),
    ("slots against the order of indexes do not count", "daemon/heap/heap.h",
     "    return heap->slots_linked != 0 && (heap->slots_plain != 0 || heap->slots_against != 0);",
     "    return heap->slots_linked != 0 && heap->slots_plain != 0;"),
    # ---- trials
    ("a trial goes on behind what is held", "daemon/gc/trial.c",
     "    if (is_held_outside(hot))\n        return;\n    if (gc_is_aged", "    if (gc_is_aged"),
    ("a trial does not subtract", "daemon/gc/trial.c", "    t->in[node]--;\n", ""),
    ("a trial subtracts twice", "daemon/gc/trial.c", "    t->in[node]--;\n", "    t->in[node] -= 1 + (node == 0);\n"),
    ("what lives keeps nothing alive", "daemon/gc/trial.c",
     "t->in[node] != 0 && is_condemned(t, node))\n            spread(t, node);",
     "t->in[node] != 0 && is_condemned(t, node))\n            t->is[node] |= NODE_LIVE;"),
    ("what lives keeps only its children alive", "daemon/gc/trial.c",
     "                t->live[waiting++] = (uint16_t)next;\n", ""),
    ("where a trial stops is taken for dead", "daemon/gc/trial.c",
     "    return (t->is[node] & (NODE_SEEN | NODE_LIVE)) == NODE_SEEN;", "    return (t->is[node] & NODE_LIVE) == 0;"),
    ("a stop for want of room is no cut", "daemon/gc/trial.c",
     "    if (node == NO_NODE) {\n        t->cut = true;\n",
     "    if (node == NO_NODE) {\n        t->cut |= heap_is_marked(t->heap, target);\n"),
    ("a stop at an old object is no cut", "daemon/gc/trial.c",
     "slots > t->slots_left) {\n        t->cut = true;\n", "slots > t->slots_left) {\n        t->cut |= !gc_is_aged(hot->w0);\n"),
    ("a closure that was cut counts as seen", "daemon/gc/trial.c",
     "    if ((t->is[node] & NODE_SUSPECT) != 0 && t->is_cut[node])", "    if (false)"),
    ("a suspect for which there is no room is lost", "daemon/gc/trial.c",
     "        if (node == NO_NODE && !has_room(t))\n            break;\n",
     "        if (node == NO_NODE && !has_room(t)) {\n            at++;\n            break;\n        }\n"),
    ("a suspect is taken out of the ring and not looked at", "daemon/gc/trial.c",
     "        if (must_look(t, index, node))\n", "        if (must_look(t, index, node) && t->count == 0)\n"),
    ("a suspect stays one for ever", "daemon/gc/trial.c",
     "    hot->w0 &= ~W0_SUSPECT;\n    if (node", "    if (node"),
    ("a slot is counted off and stays", "daemon/gc/trial.c", "        slots_forget(t->heap, index, slot);\n", ""),
    ("a slot is forgotten and stays counted", "daemon/gc/trial.c",
     "        count_slot(t->heap, index, edge, UINT64_MAX);\n", ""),
    ("slots on what lives are forgotten too", "daemon/gc/trial.c",
     "        if (edge == 0 || !is_condemned_target(t, edge))", "        if (edge == 0)"),
    ("slots between what a trial frees stay counted", "daemon/gc/trial.c",
     "            count_slot(heap, index, edge, UINT64_MAX);\n", "            (void)count_slot;\n"),
    ("a trial counts for condemned neighbours", "daemon/gc/trial.c",
     "        if (edge != 0 && named[slot] != (uint16_t)NO_NODE && is_condemned(t, named[slot])) {", "        if ((void)named, false) {"),
    ("a trial does not count for survivors", "daemon/gc/trial.c",
     "        if (edge != 0 && named[slot] != (uint16_t)NO_NODE && is_condemned(t, named[slot])) {",
     "        if ((void)named, edge != 0) {"),
    ("a trial takes the slots of one object for another's", "daemon/gc/trial.c",
     "    t->edges[node] = (uint16_t)(TRIAL_SLOTS - t->slots_left);\n", "    t->edges[node] = 0;\n"),
    ("a slot that is nil is none for a trial", "daemon/gc/trial.c",
     "left >>= 32, edge++)", "left >>= 32, edge += (uint32_t)left != 0)"),
    ("the walk's count of what a trial frees is kept", "daemon/gc/trial.c",
     "        t->heap->audit[index] = 0;", "        ;"),
    ("a dry trial frees", "daemon/gc/trial.c",
     "        only_tell(t, result);\n        return 0;", "        (void)only_tell;\n        return do_it(t, result);"),
    ("a dry trial loses its suspects", "daemon/gc/trial.c",
     "            young_suspect(t->gc, index);", "            ;"),
    ("a trial ignores guards", "daemon/gc/trial.c",
     "    deliver_guards(t, result);\n    return do_it", "    (void)deliver_guards;\n    return do_it"),
    ("a trial frees what a delivered guard keeps", "daemon/gc/trial.c",
     "        if (stays && is_condemned(t, node))\n            spread(t, node);",
     "        if (stays && is_condemned(t, node))\n            t->is[node] |= NODE_LIVE;"),
    ("a trial frees what could not be delivered", "daemon/gc/trial.c",
     "        bool stays = is_held_outside(&t->heap->hot[index]) || gc_is_guarded(gc, index);",
     "        bool stays = is_held_outside(&t->heap->hot[index]);"),
    ("without memory for a trial its suspects are lost", "daemon/gc/trial.c",
     "        gc_unresolved(gc, young_waiting(young, young->popped));\n", ""),
    # ---- the ring
    ("one that waits is not told of when it is old", "daemon/gc/gc.h",
     "    if (heap_is_marked(gc->heap, index))\n        gc_unresolved_old(gc);\n    else if (", "    if ("),
    ("a young collection forgets its last suspect", "daemon/gc/young.c",
     "    young->until = young->pushed;", "    young->until = young->pushed;\n    young->popped += young->pushed - young->popped > 3;"),
]

# Left out because they change nothing that can be seen:
#  - scanning dead objects too: garbage floats for one collection, as what dies late does anyway;
#  - a suspect for each slot that the sweep drops: collections that find nothing;
#  - a suspect that waits in the ring, is not marked, and is not told of once more while marking goes on: what marks it later
#    was marked before, and is told of when it loses what kept it.
# Too rare for the oracle, so a unit test of its own (tests/unit/test_gc.c):
#  - a first slot that makes no suspect.

# Effects that no graph shows, and sizes that the oracle does not reach: seen by tests/unit/test_gc_young.c.
UNIT_MUTANTS = [
    ("the mark of a dead object is left to the next one", "daemon/gc/internal.h",
     "    heap_unmark(heap, index);", "    (void)heap_unmark;"),
    ("the marks of a chain are left to the next ones", "daemon/gc/internal.h", "[freed->word] &= ~left;", "[freed->word] &= ~0ull;"),
    ("of a chain only the last indexes are given back", "daemon/gc/internal.h",
     "        freed_give(heap, freed);\n        *freed", "        *freed"),
    ("one of a chain that comes to its last generation is given back", "daemon/gc/reap.c",
     "        if (likely(object_end(gc, hot, w0, alone)))\n            freed_add", "        if (object_end(gc, hot, w0, alone) || true)\n"
     "            freed_add"),
    ("tags of a chain stay in use", "daemon/gc/reap.c",
     "        if (unlikely((w0 & W0_LABELLED) != 0))\n            gc->owner.freed(gc->owner.arg, child);\n", ""),
    ("a chain with a guard in the pool is not counted along", "daemon/gc/reap.c", "gc->heap->audit == NULL && ", ""),
    ("survivors do not age", "daemon/gc/trial.c", "        hot->w0 += 1ull << W0_AGE_SHIFT;", "        (void)hot;"),
    ("what only a condemned object kept lives on", "daemon/gc/trial.c",
     "    while (count > 0)\n        gc_drop(t->gc, drops[--count]);\n", "    (void)drops;\n"),
    ("a trial frees what is large at once", "daemon/gc/trial.c",
     "    if (likely(is_simple(hot))) {", "    if (w0_ns(hot->w0) < NS_BLOCK) {"),
    ("what is freed in a trial is no work", "daemon/gc/trial.c", "    f->units += 1 + w0_ns(w0);\n", ""),
    ("the last generation comes again after a trial", "daemon/gc/trial.c",
     "    if (likely(object_end(t->gc, hot, w0, false)))\n", "    if (object_end(t->gc, hot, w0, false) || true)\n"),
    ("tags of what a trial frees stay in use", "daemon/gc/trial.c",
     "    if (unlikely((w0 & W0_LABELLED) != 0))\n        t->gc->owner.freed(t->gc->owner.arg, index);\n", ""),
    ("nobody pays before a collection has begun", "daemon/gc/gc.c", "    } else if (gc_has_work(gc)) {", "    } else if (false) {"),
    ("what a sweep frees is time for it", "daemon/gc/gc.c",
     "    gc->tax = (uint32_t)larger(gc->tax, ", "    gc->tax = (uint32_t)larger(0, "),
    ("what was made while a collection ran is no growth", "daemon/gc/gc.c",
     "    gc->live_objects = objects < alive ? objects : alive;", "    gc->live_objects = alive + 0 * objects;"),
    ("a collection that begins late has as much time as any", "daemon/gc/gc.c",
     "    return larger(live + 2 * growth, now + growth / 2);", "    return now + growth + 0 * live;"),
    ("a young collection is not paid for", "daemon/gc/gc.c",
     "    while (units > 0 && gc_has_work(gc)) {", "    while (units > 0 && (gc->phase != GC_IDLE || trigger_of(gc) != GC_TRIGGERS)) {"),
    ("a stop at a mark is no cut", "daemon/gc/trial.c",
     "    if (node == NO_NODE) {\n        t->cut = true;\n",
     "    if (node == NO_NODE) {\n        t->cut |= !heap_is_marked(t->heap, target);\n"),
    ("a suspect that another one leads to is none", "daemon/gc/trial.c",
     "    if (node != NO_NODE)\n        t->is[node] |= NODE_SUSPECT;\n", ""),
    ("what could not be delivered is forgotten", "daemon/gc/trial.c",
     "        else\n            gc_unresolved(gc, index);\n", ""),
    ("a dry trial delivers guards", "daemon/gc/trial.c",
     "        only_tell(t, result);\n", "        deliver_guards(t, result);\n        only_tell(t, result);\n"),
    ("a closure that was cut cuts no other", "daemon/gc/trial.c",
     "    t->cut |= node < t->first && t->is_cut[node];\n", ""),
    ("marks do not stop a trial", "daemon/gc/trial.c",
     "heap_is_marked(t->heap, target) ? NO_NODE : node_make(t, target);", "node_make(t, target);"),
    ("all that lives is unresolved", "daemon/gc/trial.c",
     "    if (is_held_outside(hot))\n        return;\n    if (gc_is_aged", "    if (is_held_outside(hot)) {\n        t->cut = true;\n"
     "        return;\n    }\n    if (gc_is_aged"),
    ("a suspect for which the ring has no room is lost", "daemon/gc/young.c",
     "        push(gc, index);\n    else\n        gc_unresolved(gc, index);\n}\n\nvoid", "        push(gc, index);\n}\n\nvoid"),
    ("suspects of a running collection wait in the ring", "daemon/gc/young.c",
     "    if (gc->phase >= GC_MARK || gc_is_aged(", "    if (gc_is_aged("),
    ("the ring does not begin again", "daemon/gc/young.c",
     "[young->pushed++ % GC_SUSPECTS] = index;", "[young->pushed < GC_SUSPECTS ? young->pushed : 0] = index;\n    young->pushed++;"),
    ("a search in a trial's table has no end", "daemon/gc/trial.c",
     "probes < TRIAL_PROBES;", "probes < TABLE_MASK;"),
    ("a trial has room for any number of slots", "daemon/gc/trial.c",
     "    t->slots_left -= slots;\n", ""),
    ("want of memory is no reason for a young collection", "daemon/gc/young.c",
     "    if (young->short_of_memory)\n        return GC_YOUNG_BY_MEMORY;\n", ""),
    ("want of room in the ring begins what was called", "daemon/gc/young.c",
     "gc->young.trigger : own_trigger_of(gc));", "gc->young.trigger : trigger_of(gc));"),
    ("young collections that are called go first", "daemon/gc/young.c",
     "(is_called(gc) && gc->young.is_next);", "is_called(gc);"),
    ("full collections that are called go first", "daemon/gc/young.c",
     "(is_called(gc) && gc->young.is_next);", "false;"),
    ("steps of trials are told of the last full collection", "daemon/gc/gc.c",
     "        if (before != GC_IDLE) {", "        if (true) {"),
]

# Seen only by the every-store attack.
STORE_MUTANTS = [
    ("a swept object freed without a new generation", "daemon/gc/internal.h",
     "(w0_gen(w0) + 1) | W0_FREE;", "(w0_gen(w0) + (gc->phase != GC_SWEEP)) | W0_FREE;"),
    ("recovery forgets guards", "daemon/heap/reach.c",
     "    return err != 0 ? err : cells_each(heap, mark_guard, r);", "    return err;"),
    ("recovery delivers every guard", "daemon/heap/reach.c",
     "    if (!recovery_goes_on(r, cell->session) || recovery_is_marked(r, cell->object))\n        return 0;\n    recovery_set_bit",
     "    if (!recovery_goes_on(r, cell->session))\n        return 0;\n    recovery_set_bit"),
    ("a guard born before its cell is whole", "daemon/pool/guards.c",
     "    image_store(&pool->heap, cell_at(&pool->heap, ref), birth);\n    replay_true(pool);\n    image_commit(&pool->heap);\n",
     "    cell->count = 0;\n    image_store(&pool->heap, cell_at(&pool->heap, ref), birth);\n"
     "    image_commit(&pool->heap);\n    region_stored(&pool->heap.meta);\n    cell->count = COUNT_GUARD;\n"),
    ("a cancelled guard's cell given back as it is", "daemon/pool/guards.c",
     "    image_store(&pool->heap, cell_at(&pool->heap, ref), 0);\n    if (announcement", "    if (announcement"),
    ("a delivery that is not stored", "daemon/pool/guards.c",
     "    image_set(&pool->heap, (uint64_t *)(void *)&cell->count, (uint64_t)pool_stamp(pool) << 32 | 1);\n",
     "    cell->label = 0;\n"),
    ("a guard with the site of the hold whose cell it was", "daemon/pool/guards.c",
     "    cell->label = 0; /* the cell may", "    ; /* the cell may"),
]

# Of events, caught by their oracle (sim_events.c). Left out because it changes nothing that can be seen while the ring has
# one topic:
#  - what was not recorded is no gap.
# Too rare for the oracle, so a unit test of its own (tests/unit/test_pool_watches.c):
#  - a list of watches stays half done when memory ends.
EVENT_MUTANTS = [
    ("nobody is told of a death", "daemon/pool/objects.c", "        notices_freed(pool, index);", "        ;"),
    ("only the first who watches is told", "daemon/pool/notices.c",
     "    uint32_t next = cell->chain.next;\n    if (next == 0) {", "    uint32_t next = 0;\n    if (next == 0) {"),
    ("a death has no reason of its own", "daemon/pool/notices.c",
     "    cell->spare = (uint32_t)(condemned ? REASON_CYCLE : w0_reason(pool->heap.hot[index].w0));",
     "    cell->spare = (uint32_t)(condemned ? REASON_CYCLE : REASON_RELEASE);"),
    ("the reason is not that of the root", "daemon/pool/notices.c",
     "    notice(pool, next)->spare = cell->spare;\n", ""),
    ("a delivery is not announced", "daemon/pool/guards.c",
     "    if (announcement != 0)\n        notice_announce(pool, announcement);\n", ""),
    ("what was told stays", "daemon/pool/notices.c", "    end(pool, unfire(pool, o));", "    (void)unfire(pool, o);"),
    ("what is told is not forgotten in the image", "daemon/pool/notices.c",
     "    image_set(&pool->heap, birth_of(pool, ref), 0);\n    cell_give(&pool->heap, ref);\n}\n\nvoid notice_told",
     "    cell_give(&pool->heap, ref);\n}\n\nvoid notice_told"),
    ("what was not sent is not given again", "daemon/pool/events.c",
     "    forget_taken(s->outbox);\n", "    pool_events_sent(pool, s);\n"),
    ("events of the ring that were not sent are passed over", "daemon/pool/events.c", "    o->read = o->sent;\n", ""),
    ("a session in grace is given events", "daemon/pool/events.c",
     "    o->listening = o->paused = false;", "    o->paused = false;"),
    ("a paused session is given events", "daemon/pool/events.c",
     "o->listening && !o->paused && take(", "o->listening && take("),
    ("the end of a session leaves its watches", "daemon/pool/notices.c",
     "    if (o == NULL || (o->armed == 0 && o->first == 0))\n        return false;", "    return false;"),
    ("recovery forgets what has fired", "daemon/pool/notices.c",
     "    if ((cell->what & NOTICE_FIRED) != 0)\n        return true;\n    if ((cell->what & NOTICE_GUARD)",
     "    if ((cell->what & NOTICE_GUARD)"),
    ("recovery does not see what died meanwhile", "daemon/pool/notices.c",
     "    return w0_state(hot->w0) != W0_ALIVE || w0_gen(", "    return w0_state(hot->w0) == W0_ZERO || 0 * w0_gen("),
    ("a gap is passed over in silence", "daemon/pool/ring.c",
     "        event_gap(ret, \"ring\", o->read, from - 1);\n        o->read = from;\n        return true;\n", "        o->read = from;\n"),
    ("a gap one too wide", "daemon/pool/ring.c",
     "o->read, from - 1);\n        o->read = from;", "o->read, from);\n        o->read = from + 1;"),
    ("the prefix is forgotten", "daemon/pool/ring.c", "        if (!matches(o, bytes))\n            continue;\n", ""),
    ("who has caught up is not woken", "daemon/pool/ring.c",
     "    record(&pool->ring, topic, values, count);\n    list_join(&pool->ready, &pool->caught_up);\n",
     "    record(&pool->ring, topic, values, count);\n"),
    ("an unwatched object is watched on", "daemon/pool/notices.c",
     "        if (ref != 0)\n            unwatch_one(pool, s, ref);\n", ""),
]

# Of evacuation, whose stores are on the list of tests/crash/mutants.py; seen by tests/unit/test_evacuate.c.
EVACUATION_MUTANTS = [
    ("blocks are given out where nothing is to stay", "daemon/heap/leave.c",
     "        if (runs(b)[r].free != 0)\n            run_unlist(b, r);\n", ""),
    ("large values are put where nothing is to stay", "daemon/heap/leave.c",
     "    if (arena->listed)\n        arena_unlist(b, n);\n", ""),
    ("an arena that is left is listed when a large value is freed", "daemon/heap/blocks.c",
     "        if (!leaving)\n            arena_relist(b, n);", "        arena_relist(b, n);"),
    ("a run stays marked", "daemon/heap/leave.c", "    run->free &= (uint16_t)~RUN_LEAVING;\n", ""),
    ("a run that is not empty is given back", "daemon/heap/leave.c",
     "    if (run->free == b->class[run->class - 1].count) {", "    if (run->free != 0) {"),
    ("a run without room is listed", "daemon/heap/leave.c", "    } else if (run->free != 0) {", "    } else {"),
    ("an arena that was given back is left", "daemon/heap/blocks.c", "    arena->fill = 0;\n", ""),
    ("what is pinned moves", "daemon/heap/values.c",
     "    if (pin_find(heap, old, versioned) != 0)\n        return 0;\n", ""),
    ("what is open moves", "daemon/heap/evacuate.c", "(hot->w0 & (W0_STATE | W0_OPEN)) != W0_ALIVE", "(hot->w0 & W0_STATE) != W0_ALIVE"),
    ("a version stays behind", "daemon/heap/values.c",
     "value_at(heap, old, versioned), bytes);", "value_at(heap, old, versioned), value_size(old));"),
    ("the last of a list stays", "daemon/heap/slots.c",
     "list_at(heap, position), bytes);", "list_at(heap, position), bytes - 4);"),
    ("a large table is walked for little", "daemon/heap/evacuate.c",
     "    return table / 8 > least ? table / 8 : least;", "    return table / 8 > least ? least : least;"),
    ("lists of slots do not move", "daemon/heap/evacuate.c", "    if (has_list)\n        spent += move_slots(e, index);\n", ""),
    ("it begins where it cannot be told to", "daemon/heap/evacuate.c",
     "    return e->config.percent != 0 && (", "    return (e->config.percent != 0 || e->short_of_memory) && ("),
]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", help="mutants whose name contains this")
    parser.add_argument("--quick", action="store_true", help="one in twelve")
    parser.add_argument("--seeds", type=int, default=40000, help="of the oracle; a mutant is caught by the first that fails")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        tree = scratch / "tree"
        for name in [*crash.FOLDERS, "tests/sim", "tests/unit"]:
            shutil.copytree(crash.ROOT / name, tree / name)
        attacks = [
            crash.Attack("sim_gc", ["-O1", "-DHF_DEBUG=1"], MUTANTS, {"HF_SEEDS": str(options.seeds)}, scratch, tree,
                         folder="tests/sim", sources=SOURCES),
            crash.Attack("test_gc_young", ["-O1", "-DHF_DEBUG=1"], UNIT_MUTANTS, {"CK_FORK": "no"}, scratch, tree, folder="tests/unit",
                         sources=["tests/lib/pool_fixture.c"], libraries=LIBCHECK),
            crash.Attack("test_evacuate", ["-O1", "-DHF_DEBUG=1"], EVACUATION_MUTANTS, {"CK_FORK": "no"}, scratch, tree,
                         folder="tests/unit", sources=["tests/lib/pool_fixture.c"], libraries=LIBCHECK),
            crash.Attack("attack_store", ["-O1", "-DHF_STORE_HOOK=1"], STORE_MUTANTS, {"HF_SEEDS": "80", "HF_OPS": "400"},
                         scratch, tree),
            crash.Attack("sim_events", ["-O1", "-DHF_DEBUG=1"], EVENT_MUTANTS, {"HF_SEEDS": "3000"}, scratch, tree,
                         folder="tests/sim",
                         sources=["tests/lib/pool_fixture.c", "tests/lib/event_fixture.c", "tests/sim/told.c",
                                  "tests/sim/events_graph.c"]),
        ]
        return crash.try_all(attacks, options.only, 12 if options.quick else 1)


if __name__ == "__main__":
    sys.exit(main())
