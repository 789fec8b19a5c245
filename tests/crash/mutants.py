#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Mutants of the heap's store orders: each known way to break them must be caught by the every-store attack, or by
the single steps through the optimised build.

A mutant is a file, a piece of its text that stands there exactly once, and what replaces it. It is compiled
into a copy of the tree and attacked; the attack must fail. The unchanged tree must pass. A piece of text that
is no longer found is an error: the list follows the code.

    tests/crash/mutants.py [--only NAME]... [--quick] [--jobs N]     (compiler: $CC, default gcc)

--quick is for `make check`: one in eight, of those in a single source, changed in what was built for its attacks
(build/obj/hook), which `make check` has run on the sound tree.
"""
import argparse
import os
import queue
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FLAGS = ["-std=c17", "-D_GNU_SOURCE", "-I.", "-w"]
HOOKED = ROOT / "build" / "obj" / "hook"
HOOK_FLAGS = ["-O1", "-DHF_DEBUG=1", "-DHF_STORE_HOOK=1"]
FOLDERS = ["daemon/base", "daemon/heap", "daemon/gc", "daemon/pool", "proto", "tests/crash", "tests/lib"]
SOURCES = ["tests/lib/pool_fixture.c", "tests/lib/full_io.c", "tests/crash/copy.c", "tests/crash/digest.c", "tests/crash/workload.c"]
GLOBS = ["daemon/base/*.c", "daemon/heap/*.c", "daemon/gc/*.c", "daemon/pool/*.c", "proto/topics.c"]

MUTANTS = [
    ("log count before the record", "daemon/heap/heap.h",
     """    log->record[n].offset = (uint64_t)((uint8_t *)word - heap->meta.base);
    log->record[n].old = *word;
    region_stored(&heap->meta);
    log->n = n + 1;
    region_stored(&heap->meta);
""",
     """    log->n = n + 1;
    region_stored(&heap->meta);
    log->record[n].offset = (uint64_t)((uint8_t *)word - heap->meta.base);
    log->record[n].old = *word;
    region_stored(&heap->meta);
"""),
    ("store before the log count", "daemon/heap/heap.h",
     """    log->n = n + 1;
    region_stored(&heap->meta);
    *word = value;
""",
     """    *word = value;
    region_stored(&heap->meta);
    log->n = n + 1;
"""),
    ("log cleared before the undo", "daemon/heap/heap.c",
     "    for (uint64_t n = log->n; n-- > 0;) {", "    uint64_t all = log->n;\n    image_commit(heap);\n"
     "    for (uint64_t n = all; n-- > 0;) {"),
    ("undo from the first record to the last", "daemon/heap/heap.c",
     """    for (uint64_t n = log->n; n-- > 0;) {""",
     """    for (uint64_t n = 0; n < log->n; n++) {"""),
    ("birth without the log", "daemon/pool/objects.c",
     "    image_store(heap, &hot->w0, w0);\n    heap->alive++;", "    image_set(heap, &hot->w0, w0);\n    heap->alive++;"),
    ("birth before the entry is filled", "daemon/pool/objects.c",
     "    hot->value = payload.value;\n    hot->holder",
     "    hot->w0 = w0_gen(hot->w0) | W0_ALIVE | payload.w0 | ns;\n    hot->holder = s == NULL ? 0 : 1ull << 32 | s->ref;\n"
     "    region_stored(&heap->meta);\n    hot->value = payload.value;\n    hot->holder"),
    ("free without a new generation", "daemon/gc/internal.h",
     "(w0_gen(w0) + 1) | W0_FREE;", "w0_gen(w0) | W0_FREE;"),
    ("recovery frees without a new generation", "daemon/heap/recover.c",
     "(w0_gen(hot->w0) + 1) | W0_FREE);", "w0_gen(hot->w0) | W0_FREE);"),
    ("recovery keeps all that is alive", "daemon/heap/recover.c",
     "        if (recovery_is_marked(r, index)) {",
     "        if (recovery_is_marked(r, index) || w0_state(hot->w0) == W0_ALIVE) {"),
    ("recovery counts on top of old counts", "daemon/heap/recover.c",
     "        hot->in = counts[index];", "        hot->in += counts[index];"),
    ("recovery keeps the holds of sessions that end", "daemon/heap/recover.c",
     "    return cell->state == SESSION_OPEN &&\n", "    return cell->state != SESSION_FREE &&\n"),
    ("a value replaced in place", "daemon/pool/objects.c",
     "    (void)pool_next_version(pool);\n    image_store(heap, &hot->value",
     "    if (value->size > 8 && (old_w0 & W0_INLINE) == 0 && value_size(old_value) == value->size) {\n"
     "        memcpy(value_at(heap, old_value, (old_w0 & W0_VERSIONED) != 0), value->data, value->size);\n"
     "        region_stored(&heap->values);\n    }\n"
     "    (void)pool_next_version(pool);\n    image_store(heap, &hot->value"),
    ("the new value outside the log", "daemon/pool/objects.c",
     "    image_store(heap, &hot->value, payload.value);", "    image_set(heap, &hot->value, payload.value);"),
    ("the old value freed inside the operation", "daemon/pool/objects.c",
     "    int err = payload_make(pool, value, version, &payload);\n    if (err != 0)\n        return err;\n    (void)pool_next",
     "    if ((old_w0 & W0_INLINE) == 0) {\n        value_free(heap, old_value, (old_w0 & W0_VERSIONED) != 0);\n"
     "        old_w0 |= W0_INLINE;\n    }\n"
     "    int err = payload_make(pool, value, version, &payload);\n    if (err != 0)\n        return err;\n    (void)pool_next"),
    ("cells given back inside the operation", "daemon/pool/internal.h",
     "    pool->after.cells[pool->after.cells_count++] = ref;", "    cell_give(&pool->heap, ref);"),
    ("a commit for each id of a list", "daemon/pool/holds.c",
     "n);\n        pool_after_drop(pool, index);\n    }",
     "n);\n        image_commit(&pool->heap);\n        pool_after_drop(pool, index);\n    }"),
    ("a commit for each item of put_many", "daemon/pool/objects.c",
     "        object_birth(pool, s, batch.index[k], batch.w0[k]);",
     "    {\n        object_birth(pool, s, batch.index[k], batch.w0[k]);\n        image_commit(&pool->heap);\n    }"),
    ("a ticket's end outside the log", "daemon/pool/tickets.c",
     "    forget(pool, ref);\n    image_store(&pool->heap, (uint64_t *)(void *)cell, 0);",
     "    forget(pool, ref);\n    image_set(&pool->heap, (uint64_t *)(void *)cell, 0);\n    image_commit(&pool->heap);"),
    ("a ticket's use counted in a second commit", "daemon/pool/tickets.c",
     "    if (cell->uses > 1)\n", "    image_commit(&pool->heap);\n    if (cell->uses > 1)\n"),
    ("a hold's count written after its birth", "daemon/pool/holds.c",
     "    cell->count = n;\n    cell->since = pool_stamp(pool);\n    cell->label = label;\n"
     "    image_store(&pool->heap, (uint64_t *)(void *)cell, (uint64_t)s->ref << 32 | index);",
     "    cell->since = pool_stamp(pool);\n    cell->label = label;\n"
     "    image_store(&pool->heap, (uint64_t *)(void *)cell, (uint64_t)s->ref << 32 | index);\n"
     "    image_commit(&pool->heap);\n    cell->count = n;"),
    ("a name's version written after its birth", "daemon/pool/names.c",
     "    cell->version_high = (uint16_t)(version >> 32);\n"
     "    image_store(&pool->heap, (uint64_t *)(void *)cell, version << 32 | index);\n",
     "    image_store(&pool->heap, (uint64_t *)(void *)cell, version << 32 | index);\n    image_commit(&pool->heap);\n"
     "    cell->version_high = (uint16_t)(version >> 32);\n"),
    ("a list grown outside the log", "daemon/heap/slots.c",
     "    image_store(heap, &heap->warm[index].slots, list_word(offset, 3));",
     "    image_set(heap, &heap->warm[index].slots, list_word(offset, 3));"),
    ("a slot appended before it is written", "daemon/heap/slots.c",
     "        *at = target;\n        region_stored(&heap->meta);\n        store_w0_ns(heap, index, count + 1);",
     "        store_w0_ns(heap, index, count + 1);\n        image_commit(heap);\n        *at = target;\n"
     "        region_stored(&heap->meta);"),
    ("a session that ends without the word", "daemon/pool/sessions.c",
     "    image_set(&pool->heap, cell_at(&pool->heap, s->ref), (uint64_t)s->slot << 32 | SESSION_DYING);", "    ;"),
    ("a dying session's cell freed before its holds", "daemon/pool/sessions.c",
     "    unsigned dropped = drop_last(pool, s, units",
     "    if (s->holds.count > 0)\n        image_set(&pool->heap, cell_at(&pool->heap, s->ref), 0);\n"
     "    unsigned dropped = drop_last(pool, s, units"),
    ("cells of a new class over old bytes", "daemon/heap/blocks.c",
     "        memset(b->region->base + b->at + (uint64_t)r * RUN_BYTES, 0, RUN_BYTES);", "        ;"),
    ("an entry admitted before it is touched", "daemon/heap/heap.c",
     "    image_set(heap, &heap->hot[index].w0, 0);\n    image_set(heap, &heap->sb->index_top, index + 1ull);\n",
     "    image_set(heap, &heap->sb->index_top, index + 1ull);\n    image_set(heap, &heap->hot[index].w0, 0);\n"),
    ("the log kept after the undo", "daemon/heap/heap.c",
     "        region_stored(&heap->meta);\n    }\n    image_commit(heap);\n}", "        region_stored(&heap->meta);\n    }\n}"),
    ("labels given back inside the operation", "daemon/pool/internal.h",
     "        pool->after.labels[pool->after.labels_count++] = label;", "        label_drop(pool, label);"),
    ("death inside the operation", "daemon/pool/internal.h",
     "    pool->after.drops[pool->after.drops_count++] = index;", "    gc_drop(&pool->gc, index);"),
    ("a first holder's birth outside the log", "daemon/pool/holds.c",
     "    image_store(&pool->heap, &hot->holder, holder_word(s, n));", "    image_set(&pool->heap, &hot->holder, holder_word(s, n));"),
    ("a first holder's count outside the log", "daemon/pool/holds.c",
     "            image_store(&pool->heap, &hot->holder, holder_word(s, *ret_count));",
     "            image_set(&pool->heap, &hot->holder, holder_word(s, *ret_count));"),
    ("a first holder's release outside the log", "daemon/pool/holds.c",
     "        image_store(&pool->heap, &pool->heap.hot[index].holder, left == 0",
     "        image_set(&pool->heap, &pool->heap.hot[index].holder, left == 0"),
    ("a further hold's birth outside the log", "daemon/pool/holds.c",
     "    image_store(&pool->heap, (uint64_t *)(void *)cell, (uint64_t)s->ref << 32 | index);",
     "    image_set(&pool->heap, (uint64_t *)(void *)cell, (uint64_t)s->ref << 32 | index);"),
    ("a further hold's count outside the log", "daemon/pool/holds.c",
     "    image_store(&pool->heap, word, *word + (uint64_t)change);", "    image_set(&pool->heap, word, *word + (uint64_t)change);"),
    ("a further hold's end outside the log", "daemon/pool/holds.c",
     "    image_store(&pool->heap, (uint64_t *)(void *)cell, 0);", "    image_set(&pool->heap, (uint64_t *)(void *)cell, 0);"),
    ("a dying session's hold cell given back as it is", "daemon/pool/holds.c",
     "    image_set(&pool->heap, (uint64_t *)(void *)cell, 0);\n", ""),
    ("a dying session stays the first holder", "daemon/pool/holds.c",
     "    image_set(&pool->heap, &hot->holder, 0);\n", ""),
    ("a retain that is not committed", "daemon/pool/holds.c",
     "        image_commit(&pool->heap); /* nothing to give back", "        ; /* nothing to give back"),
    ("a session's birth that is not committed", "daemon/pool/sessions.c",
     "        window_born(pool, s);\n    image_commit(&pool->heap);\n", "        window_born(pool, s);\n"),
    ("a sid admitted after its use", "daemon/pool/sessions.c",
     "    image_set(&pool->heap, &pool->heap.sb->next_sid, sid_after(pool, s->sid));\n"
     "    image_store(&pool->heap, cell_at(&pool->heap, ref), (uint64_t)s->slot << 32 | SESSION_OPEN);\n",
     "    image_store(&pool->heap, cell_at(&pool->heap, ref), (uint64_t)s->slot << 32 | SESSION_OPEN);\n    image_commit(&pool->heap);\n"
     "    image_set(&pool->heap, &pool->heap.sb->next_sid, sid_after(pool, s->sid));\n"),
    ("a ticket's number that is not admitted", "daemon/pool/tickets.c",
     "    image_set(&pool->heap, &pool->heap.sb->next_ticket, number + 1);\n", ""),
    ("a version that is not admitted", "daemon/pool/pool.c",
     "    image_set(&pool->heap, &pool->heap.sb->next_version, version + 1);\n", "    static uint64_t steps;\n    version += steps++;\n"),
    ("a ticket's use outside the log", "daemon/pool/tickets.c",
     "        image_store(&pool->heap, (uint64_t *)(void *)cell, (uint64_t)(cell->uses - 1) << 32 | index);",
     "        image_set(&pool->heap, (uint64_t *)(void *)cell, (uint64_t)(cell->uses - 1) << 32 | index);"),
    ("a name bound anew outside the log", "daemon/pool/names.c",
     "    image_store(&pool->heap, &words[0], version << 32 | index);", "    image_set(&pool->heap, &words[0], version << 32 | index);"),
    ("a name's high version outside the log", "daemon/pool/names.c",
     "        image_store(&pool->heap, &words[1],", "        image_set(&pool->heap, &words[1],"),
    ("a name's end outside the log", "daemon/pool/names.c",
     "    image_store(&pool->heap, (uint64_t *)(void *)cell, 0);", "    image_set(&pool->heap, (uint64_t *)(void *)cell, 0);"),
    ("the form of a new value outside the log", "daemon/pool/objects.c",
     "    image_store(heap, &hot->w0, (hot->w0 & ~(W0_FORM", "    image_set(heap, &hot->w0, (hot->w0 & ~(W0_FORM"),
    ("slots that go into segments outside the log", "daemon/heap/slots.c",
     "    *list_at(heap, directory[1]) = target;\n    image_store(heap,", "    *list_at(heap, directory[1]) = target;\n"
     "    image_set(heap,"),
    ("the type of a run before its cells are cleared", "daemon/heap/blocks.c",
     "        memset(b->region->base + b->at + (uint64_t)r * RUN_BYTES, 0, RUN_BYTES);\n        region_stored(b->region);\n"
     "        b->types[r] = (uint8_t)(class + 1);\n        region_stored(b->region);\n",
     "        b->types[r] = (uint8_t)(class + 1);\n        region_stored(b->region);\n"
     "        memset(b->region->base + b->at + (uint64_t)r * RUN_BYTES, 0, RUN_BYTES);\n        region_stored(b->region);\n"),
    ("a value moved before its bytes", "daemon/heap/values.c",
     "    memcpy(value_at(heap, value, versioned), value_at(heap, old, versioned), bytes);\n    region_stored(&heap->values);\n"
     "    image_store(heap, &hot->value, value);\n    image_commit(heap);\n",
     "    image_store(heap, &hot->value, value);\n    image_commit(heap);\n"
     "    memcpy(value_at(heap, value, versioned), value_at(heap, old, versioned), bytes);\n    region_stored(&heap->values);\n"),
    ("the old block of a moved value freed before the commit", "daemon/heap/values.c",
     "    image_store(heap, &hot->value, value);\n    image_commit(heap);\n    block_free(heap, old, versioned);",
     "    block_free(heap, old, versioned);\n    image_store(heap, &hot->value, value);\n    image_commit(heap);"),
    ("a moved value without its version", "daemon/heap/values.c",
     "value_at(heap, old, versioned), bytes);", "value_at(heap, old, versioned), value_size(old));"),
    ("a list moved before its slots", "daemon/heap/slots.c",
     "    int moved = move_list(heap, from, room, count * 4, at_once, &to);\n    if (moved <= 0)\n        return moved;\n"
     "    image_store(heap, word, (*word & ~0xffffffffull) | to);\n    image_commit(heap);\n",
     "    int moved = move_list(heap, from, room, 0, at_once, &to);\n    if (moved <= 0)\n        return moved;\n"
     "    image_store(heap, word, (*word & ~0xffffffffull) | to);\n    image_commit(heap);\n"
     "    memcpy(list_at(heap, to), list_at(heap, from), count * 4);\n"),
    ("recovery keeps derived flags", "daemon/heap/recover.c",
     "        hot->w0 &= ~W0_DERIVED;\n", ""),
    ("recovery ends sessions before it voids their holds", "daemon/heap/recover.c",
     "    (void)cells_each(heap, settle_hold, r);\n", "    (void)cells_each(heap, end_session, r);\n"
     "    (void)cells_each(heap, settle_hold, r);\n"),
    ("a window's head outside the log", "daemon/pool/replay.c",
     "    image_store(&pool->heap, &window->head, window->head + 1);", "    image_set(&pool->heap, &window->head, window->head + 1);"),
    ("a record in a second commit", "daemon/pool/replay.c",
     "    image_store(&pool->heap, &window->head, window->head + 1);",
     "    image_commit(&pool->heap);\n    image_store(&pool->heap, &window->head, window->head + 1);"),
    ("the record before its effect, in a commit of its own", "daemon/pool/objects.c",
     "    image_store(heap, &hot->value, payload.value);\n",
     "    replay_uint(pool, version);\n    image_commit(heap);\n    image_store(heap, &hot->value, payload.value);\n"),
    ("a window of all its slots", "daemon/heap/heap.h",
     "    return window->head < REPLAY_SLOTS ? 0 : window->head - (REPLAY_SLOTS - 1);",
     "    return window->head < REPLAY_SLOTS ? 0 : window->head - REPLAY_SLOTS;"),
    ("a window's head before its record", "daemon/pool/replay.c",
     "    struct cell_window *window = next->in_force;\n",
     "    struct cell_window *window = next->in_force;\n    image_store(&pool->heap, &window->head, window->head + 1);\n"
     "    image_commit(&pool->heap);\n    window->head--;\n"),
    ("an answer's block written after its record", "daemon/pool/replay.c",
     "    replay_put(pool, second == NULL ? REPLAY_UINTS : REPLAY_PAIRS, count, inside[0], inside[1]);",
     "    replay_put(pool, second == NULL ? REPLAY_UINTS : REPLAY_PAIRS, count, inside[0], inside[1]);\n    if (outside) {\n"
     "        uint64_t kept = words[0];\n        words[0] = 0;\n        image_commit(&pool->heap);\n        words[0] = kept;\n    }"),
    ("an answer's block given back inside the operation", "daemon/pool/replay.c",
     "    if (record_block_alloc(&pool->heap, words * 8, &next->block) != 0)",
     "    struct replay_record *oldest = window_at(next->window, window_first(next->window));\n"
     "    if (record_block_bytes(oldest) != 0) {\n        record_block_free(&pool->heap, record_block_bytes(oldest), oldest->word[0]);\n"
     "        oldest->kind = REPLAY_NIL;\n    }\n"
     "    if (record_block_alloc(&pool->heap, words * 8, &next->block) != 0)"),
    ("a window born without its session", "daemon/pool/replay.c",
     "    image_store(&pool->heap, (uint64_t *)(void *)window_of(pool, s), 1ull << 32 | s->ref);",
     "    image_set(&pool->heap, (uint64_t *)(void *)window_of(pool, s), 1ull << 32 | s->ref);"),
    ("a dying session's cell freed before its window", "daemon/pool/sessions.c",
     "    if (s->window != 0) {\n        window_drop(pool, s);",
     "    if (s->window != 0) {\n        image_set(&pool->heap, cell_at(&pool->heap, s->ref), 0);\n        window_drop(pool, s);"),
    ("recovery keeps the windows of sessions that end", "daemon/heap/recover.c",
     "    if (recovery_goes_on(r, window->session)) {\n        window_at", "    if (true) {\n        window_at"),
    ("recovery claims no blocks of answers", "daemon/heap/recover.c",
     "        err = cells_each(heap, claim_window, r);", "        err = 0;"),
    ("recovery keeps first holders that end", "daemon/heap/recover.c",
     "                image_set(heap, &hot->holder, 0);\n", "                ;\n"),
]

# Left out because they change nothing that a death could show:
#  - a single word stored without the log, where the operation has no other (seal, an appended slot, a new ticket, a value or a
#    list that has moved);
#  - a pinned or open value that moves: its old block stays until the last unpin, and who writes looks for the new one
#    (it gains nothing, so tests/unit/test_evacuate.c does not allow it);
#  - old lists of slots freed before the commit: nothing is allocated between the two, so nobody writes there;
#  - store's object committed before its name: without a name it is garbage, and a dead operation leaves nothing;
#  - a label outside the log: one that nobody uses is dropped by the next recovery;
#  - recovery that frees objects before it voids the holds on them: it does all of it again, and no operation
#    runs in between that could use a freed index;
#  - no copy for a save before a run of cells gets a type: a run too many, and empty;
#  - pages that come during a save copied into its file: nothing leads there;
#  - no compiler barriers at all: today's gcc and clang keep the order of these stores without them, even at -O3
#    with link-time optimisation, so there is nothing to see; the barriers stay, for what compilers may do tomorrow.

# For the single-step attack on the optimised build without hooks: orders of plain stores, where no hook stands.
STEP_MUTANTS = [
    ("step: store before the log count", "daemon/heap/heap.h",
     """    log->n = n + 1;
    region_stored(&heap->meta);
    *word = value;
""",
     """    *word = value;
    region_stored(&heap->meta);
    log->n = n + 1;
"""),
    ("step: death before the commit", "daemon/pool/pool.c",
     "    struct after *after = &pool->after;\n    image_commit(&pool->heap);\n",
     "    struct after *after = &pool->after;\n    for (uint32_t k = 0; k < after->drops_count; k++)\n"
     "        gc_drop(&pool->gc, after->drops[k]);\n    image_commit(&pool->heap);\n"),
    ("step: a cell's place given to the log before its value", "daemon/heap/heap.h",
     """    log->record[n].old = *word;
    region_stored(&heap->meta);
    log->n = n + 1;
""",
     """    log->n = n + 1;
    atomic_signal_fence(memory_order_seq_cst);
    log->record[n].old = *word;
    region_stored(&heap->meta);
"""),
]

# For saves: who must copy a piece before it changes, and does not.
SAVE_MUTANTS = [
    ("save: no copy before a store of its own", "daemon/heap/heap.h",
     "    image_touch(heap, word);\n    atomic_signal_fence", "    atomic_signal_fence"),
    ("save: no copy before a store that is logged", "daemon/heap/heap.h",
     "    assert(n < UNDO_MAX);\n    image_touch(heap, word);\n", "    assert(n < UNDO_MAX);\n"),
    ("save: a copy after the store", "daemon/heap/heap.h",
     "    assert(n < UNDO_MAX);\n    image_touch(heap, word);\n    log->record[n].offset",
     "    assert(n < UNDO_MAX);\n    uint64_t old = *word;\n    *word = value;\n    image_touch(heap, word);\n    *word = old;\n"
     "    log->record[n].offset"),
    ("save: no copy before the slots of an entry are filled", "daemon/heap/heap.h",
     "    image_touch(heap, &heap->warm[index]);\n", ""),
    ("save: no copy before a block is written", "daemon/heap/blocks.c",
     "    region_touch(b->region, b->at + *ret_offset, b->class[class].size);\n", ""),
    ("save: no copy before a spare block is written", "daemon/heap/blocks.h",
     "    region_touch(blocks->region, blocks->at + offset, (class + 1) * 8u);\n", ""),
    ("save: only the first page of a block is copied", "daemon/heap/save.c",
     "page * PAGE_BYTES < offset + size && save->attached;", "page * PAGE_BYTES <= offset && save->attached;"),
    ("save: what follows a page is copied again", "daemon/heap/save.c",
     "    while (offset + pages * PAGE_BYTES < end && !is_done(save, number, offset / PAGE_BYTES + pages))\n",
     "    while (offset + pages * PAGE_BYTES < end)\n"),
    ("save: no copy before large values are written", "daemon/heap/blocks.c",
     "    region_touch(b->region, b->at + *ret_offset, pages * PAGE_BYTES);\n", ""),
    ("save: no copy before a run loses its type", "daemon/heap/blocks.c",
     "        region_touch(b->region, b->types_at + r, 1);\n        b->types[r] = 0;\n", "        b->types[r] = 0;\n"),
    ("save: pages given back without a copy", "daemon/heap/region.c",
     "    region_touch(region, offset, size);\n    reserve_done(", "    reserve_done("),
    ("save: no copy before a death", "daemon/gc/internal.h",
     "    image_touch(heap, hot);\n", ""),
    ("save: zeros of meta are left out", "daemon/heap/save.c",
     "!(number == 1 && is_zero(bytes, size))", "!is_zero(bytes, size)"),
    ("save: a piece without a buffer is taken for copied", "daemon/heap/save.c",
     "        if (record == NULL && !urgent)\n            return false;\n",
     "        if (record == NULL && !urgent) {\n            set_done(save, number, offset / PAGE_BYTES, offset / PAGE_BYTES + pages);\n"
     "            return true;\n        }\n"),
    ("save: a piece that must be copied at once and finds no buffer waits", "daemon/heap/save.c",
     "            write_directly(save, &head, bytes);\n", "            return false;\n"),
    ("save: it ends before all buffers are back", "daemon/heap/save.c",
     "    if (save->out != 0 || save->error != 0)\n        return NULL;\n    if (!save->attached && save->full == NULL",
     "    if (save->out != 0 || save->error != 0)\n        return NULL;\n    if (!save->attached"),
    ("load: the end is not compared", "daemon/heap/load.c",
     "    if (r->scan->whole || r->tolerate)\n", "    if (true)\n"),
    ("load: pieces are not compared with their checksums", "daemon/heap/load.c",
     "    return saved_checksum(&r->record, r->bytes, r->at) == r->record.checksum ? LOAD_FINE : LOAD_DAMAGED;",
     "    return LOAD_FINE;"),
]

# Caught late, after ten seconds and more.
SLOW = {"a value replaced in place", "recovery forgets guards", "recovery ends sessions before it voids their holds"}


# A mutant that works for so long without an end is caught: the sound tree ends in half of that. It is no time by the clock, which
# a busy machine uses up for others.
CPU_S = 300


def run(command, **options):
    return subprocess.run(command, capture_output=True, text=True, **options)


class Workshop:
    """A copy of the sources, in which one mutant at a time is made."""

    def __init__(self, folder, names):
        self.tree, self.objects, self.program = folder / "tree", folder / "objects", folder / "attack"
        for name in names:
            shutil.copytree(ROOT / name, self.tree / name)


class Attack:
    """One attack program, how it is compiled, and the objects of the sound tree (below `scratch`)."""

    def __init__(self, name, flags, mutants, environment, scratch, folder="tests/crash", sources=SOURCES, libraries=()):
        self.name, self.flags, self.mutants, self.environment, self.folder = name, FLAGS + flags, mutants, environment, folder
        self.objects, self.libraries = scratch / f"{name}-sound", libraries
        self.sources = [*sources, f"{folder}/{name}.c", *sorted(str(p.relative_to(ROOT)) for g in GLOBS for p in ROOT.glob(g))]
        self.compiler = shlex.split(os.environ.get("CC") or "gcc")
        self.built = None

    def use_built(self):
        """Takes objects that make has compiled with HOOK_FLAGS, where there are some, and the sound tree for sound."""
        self.built, self.flags = HOOKED, FLAGS + HOOK_FLAGS

    def compile(self, tree, objects, source):
        target = objects / (source.replace("/", "_") + ".o")
        target.unlink(missing_ok=True)
        done = run([*self.compiler, *self.flags, "-c", source, "-o", str(target)], cwd=tree)
        if done.returncode != 0:
            raise RuntimeError(f"{source} does not compile:\n{done.stderr}")

    def affected(self, tree, changed):
        """Sources that must be compiled again when `changed` is another."""
        if changed.endswith(".c"):
            return [changed]
        heads, grown = {changed}, True
        while grown:
            grown = False
            for folder in {*FOLDERS, self.folder}:
                for head in (tree / folder).glob("*.h"):
                    name = str(head.relative_to(tree))
                    text = head.read_text()
                    if name not in heads and any(f'#include "{known}"' in text for known in heads):
                        heads.add(name)
                        grown = True
        return [s for s in self.sources if any(f'#include "{head}"' in (tree / s).read_text() for head in heads)]

    def run(self, objects, program, environment):
        """(exit code, last line) of the attack linked from these objects."""
        done = run([*self.compiler, *[str(o) for o in sorted(objects.glob("*.o"))], "-o", str(program), *self.libraries])
        if done.returncode != 0:
            raise RuntimeError(done.stderr)
        try:
            done = run(["prlimit", f"--cpu={CPU_S}:{CPU_S + 9}", str(program)], timeout=3600,
                       env={**os.environ, "HF_SEED": "", "HF_TEST_LONG": "", **environment})
        except subprocess.TimeoutExpired:
            return 1, "did not end in an hour"
        if done.returncode == -signal.SIGXCPU:
            return 1, f"did not end in {CPU_S} s of processor time"
        lines = (done.stderr + done.stdout).strip().splitlines()
        return done.returncode, lines[-1] if lines else f"ended with {done.returncode}"

    def sound(self, pool, workshop):
        """None, or how the unchanged tree fails."""
        self.objects.mkdir()
        there = [s for s in self.sources if (self.built / s).with_suffix(".o").exists()] if self.built else []
        for source in there:
            os.symlink((self.built / source).with_suffix(".o"), self.objects / (source.replace("/", "_") + ".o"))
        missing = sorted(set(self.sources) - set(there))
        list(pool.map(lambda source: self.compile(workshop.tree, self.objects, source), missing))
        if self.built:
            return None
        code, line = self.run(self.objects, workshop.program, {**self.environment, "HF_SEEDS": "3"})
        return None if code == 0 else line

    def try_mutant(self, mutant, workshop):
        """(whether it was caught, what there is to say)."""
        _, path, old, new = mutant
        text = (workshop.tree / path).read_text()
        if text.count(old) != 1:
            return False, f"the text to change stands {text.count(old)} times in {path}: bring the list in step with the code"
        shutil.rmtree(workshop.objects, ignore_errors=True)
        shutil.copytree(self.objects, workshop.objects, symlinks=True)
        try:
            (workshop.tree / path).write_text(text.replace(old, new))
            for source in self.affected(workshop.tree, path):
                self.compile(workshop.tree, workshop.objects, source)
        finally:
            (workshop.tree / path).write_text(text)
        code, line = self.run(workshop.objects, workshop.program, self.environment)
        return (False, "SURVIVED: the attack does not see it") if code == 0 else (True, line[:150])


def choose(attack, options, stride):
    """Those of its mutants that are asked for; a stride also means objects that are built already, and none of the mutants for
    which all would be compiled."""
    chosen = [m for m in attack.mutants if not options.only or any(word in m[0] for word in options.only)]
    if stride > 1:
        attack.use_built()
        chosen = [m for m in chosen if m[1].endswith(".c") and m[0] not in SLOW][::stride]
    return chosen


def try_all(attacks, options, stride, folders, scratch):
    """Tries the mutants that are asked for, one in `stride` of them. The exit code."""
    tried = failed = 0
    workshops = queue.SimpleQueue()
    for number in range(options.jobs):
        workshops.put(Workshop(scratch / str(number), folders))

    def in_a_workshop(work, *arguments):
        workshop = workshops.get()
        begin = time.monotonic()
        try:
            return (*work(*arguments, workshop), time.monotonic() - begin)
        finally:
            workshops.put(workshop)

    with ThreadPoolExecutor(options.jobs) as pool:
        for attack in attacks:
            chosen = choose(attack, options, stride)
            if not chosen:
                continue
            workshop = workshops.get()
            wrong = attack.sound(pool, workshop)
            workshops.put(workshop)
            if wrong is not None:
                print(f"the unchanged tree fails: {wrong}")
                return 1
            under_way = {pool.submit(in_a_workshop, attack.try_mutant, mutant): mutant[0] for mutant in chosen}
            for done in as_completed(under_way):
                caught, line, seconds = done.result()
                tried += 1
                failed += not caught
                print(f"  {'caught' if caught else 'FAILED'} {seconds:6.1f} s  {under_way[done]}: {line}", flush=True)
    print(f"{tried - failed} passed, {failed} failed")
    return 1 if failed or not tried else 0


def read_options(doc, seeds):
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    parser.add_argument("--only", action="append", help="mutants whose name contains this; again for others")
    parser.add_argument("--quick", action="store_true", help="a few, as `make check` tries them")
    parser.add_argument("--seeds", type=int, default=seeds, help="of the first attack; a mutant is caught by the first that fails")
    parser.add_argument("--jobs", type=int, help="how many are tried at a time; default: one for each processor, with --quick 1")
    options = parser.parse_args()
    options.jobs = options.jobs or (1 if options.quick else os.cpu_count())
    return options


def main():
    options = read_options(__doc__, 16)
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        attacks = [
            Attack("attack_store", HOOK_FLAGS, MUTANTS, {"HF_SEEDS": str(options.seeds), "HF_OPS": "400"}, scratch),
            Attack("test_save", ["-O1"], SAVE_MUTANTS, {"HF_SEEDS": "40"}, scratch),
        ]
        if not options.quick:  # the optimised build, whose attack is not in `make check` either
            attacks.append(Attack("attack_step", ["-O2"], STEP_MUTANTS, {"HF_SEEDS": "8", "HF_OPS": "40"}, scratch))
        return try_all(attacks, options, 8 if options.quick else 1, FOLDERS, scratch)


if __name__ == "__main__":
    sys.exit(main())
