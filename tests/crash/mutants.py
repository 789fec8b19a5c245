#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Mutants of the heap's store orders: each known way to break them must be caught by the every-store attack.

A mutant is a file, a piece of its text that stands there exactly once, and what replaces it. It is compiled
into a copy of the tree and attacked; the attack must fail. The unchanged tree must pass. A piece of text that
is no longer found is an error: the list follows the code.

    tests/crash/mutants.py [--only NAME] [--quick]     (compiler: $CC, default gcc)

--quick takes one in five, for `make check`.
"""
import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FLAGS = ["-std=c17", "-D_GNU_SOURCE", "-I.", "-O1", "-DHF_STORE_HOOK=1", "-w"]
FOLDERS = ["daemon/base", "daemon/heap", "daemon/gc", "daemon/pool", "proto", "tests/crash", "tests/lib"]
SOURCES = ["daemon/base/mem.c", "daemon/base/freeset.c", "daemon/base/index.c", "daemon/base/deadlines.c",
           "daemon/base/u32vec.c", "tests/lib/pool_fixture.c", "tests/crash/copy.c", "tests/crash/digest.c",
           "tests/crash/workload.c", "tests/crash/attack_store.c"]
GLOBS = ["daemon/heap/*.c", "daemon/gc/*.c", "daemon/pool/*.c"]

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
     "    for (uint64_t n = log->n; n-- > 0;) {", "    uint64_t all = log->n;\n    image_commit(heap);\n    for (uint64_t n = all; n-- > 0;) {"),
    ("undo from the first record to the last", "daemon/heap/heap.c",
     """    for (uint64_t n = log->n; n-- > 0;) {""",
     """    for (uint64_t n = 0; n < log->n; n++) {"""),
    ("birth without the log", "daemon/pool/objects.c",
     "    image_store(heap, &hot->w0, w0);\n    heap->alive++;", "    image_set(heap, &hot->w0, w0);\n    heap->alive++;"),
    ("birth before the entry is filled", "daemon/pool/objects.c",
     "    hot->value = payload.value;\n    hot->holder",
     "    hot->w0 = w0_gen(hot->w0) | W0_ALIVE | payload.w0 | ns;\n    hot->holder = s == NULL ? 0 : 1ull << 32 | s->ref;\n"
     "    region_stored(&heap->meta);\n    hot->value = payload.value;\n    hot->holder"),
    ("free without a new generation", "daemon/gc/reap.c",
     "(w0_gen(w0) + 1) | W0_FREE);", "w0_gen(w0) | W0_FREE);"),
    ("recovery frees without a new generation", "daemon/heap/recover.c",
     "(w0_gen(hot->w0) + 1) | W0_FREE);", "w0_gen(hot->w0) | W0_FREE);"),
    ("recovery keeps all that is alive", "daemon/heap/recover.c",
     "        if (is_marked(r, index)) {", "        if (is_marked(r, index) || w0_state(hot->w0) == W0_ALIVE) {"),
    ("recovery counts on top of old counts", "daemon/heap/recover.c",
     "        hot->in = hot->link = 0;", "        hot->link = 0;"),
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
     "    if ((old_w0 & W0_INLINE) == 0) {\n        value_free(heap, old_value, (old_w0 & W0_VERSIONED) != 0);\n        old_w0 |= W0_INLINE;\n    }\n"
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
     "    cell->count = n;\n    cell->since = pool_stamp(pool);\n    cell->label = label;\n    image_store(&pool->heap, (uint64_t *)(void *)cell, (uint64_t)s->ref << 32 | index);",
     "    cell->since = pool_stamp(pool);\n    cell->label = label;\n    image_store(&pool->heap, (uint64_t *)(void *)cell, (uint64_t)s->ref << 32 | index);\n"
     "    image_commit(&pool->heap);\n    cell->count = n;"),
    ("a name's version written after its birth", "daemon/pool/names.c",
     "    cell->version_high = (uint8_t)(version >> 32);\n    image_store(",
     "    cell->size = 0;\n    image_store("),
    ("store's object committed before its name", "daemon/pool/names.c",
     "        pool->fault = fault;\n        return err;\n    }\n    *ret_version",
     "        pool->fault = fault;\n        return err;\n    }\n    image_commit(&pool->heap);\n    *ret_version"),
    ("a list grown outside the log", "daemon/heap/slots.c",
     "    image_store(heap, &heap->warm[index].slots, list_word(offset, 3));",
     "    image_set(heap, &heap->warm[index].slots, list_word(offset, 3));"),
    ("a slot appended before it is written", "daemon/heap/slots.c",
     "        *at = target;\n        region_stored(&heap->meta);\n        store_w0_ns(heap, index, count + 1);",
     "        store_w0_ns(heap, index, count + 1);\n        image_commit(heap);\n        *at = target;\n        region_stored(&heap->meta);"),
    ("a session that ends without the word", "daemon/pool/sessions.c",
     "    image_set(&pool->heap, cell_at(&pool->heap, s->ref), (uint64_t)s->slot << 32 | SESSION_DYING);", "    ;"),
    ("a dying session's cell freed before its holds", "daemon/pool/sessions.c",
     "    if (hold_drop_last(pool, s)) {",
     "    if (s->holds.count > 0)\n        image_set(&pool->heap, cell_at(&pool->heap, s->ref), 0);\n    if (hold_drop_last(pool, s)) {"),
    ("cells of a new class over old bytes", "daemon/heap/blocks.c",
     "        memset(b->region->base + b->at + (uint64_t)r * RUN_BYTES, 0, RUN_BYTES);", "        ;"),
    ("an entry admitted before it is touched", "daemon/heap/heap.c",
     "    image_set(heap, &heap->hot[index].w0, 0);\n    image_set(heap, &heap->sb->index_top, index + 1ull);\n",
     "    image_set(heap, &heap->sb->index_top, index + 1ull);\n    image_set(heap, &heap->hot[index].w0, 0);\n"),
]


def run(command, **options):
    return subprocess.run(command, capture_output=True, text=True, **options)


def compile_tree(tree, objects, sources, compiler):
    for source in sources:
        target = objects / (source.replace("/", "_") + ".o")
        done = run([compiler, *FLAGS, "-c", source, "-o", str(target)], cwd=tree)
        if done.returncode != 0:
            raise RuntimeError(f"{source} does not compile:\n{done.stderr}")


def affected(tree, sources, changed):
    """Sources that must be compiled again when `changed` is another."""
    if changed.endswith(".c"):
        return [changed]
    heads, grown = {changed}, True
    while grown:
        grown = False
        for folder in FOLDERS:
            for head in (tree / folder).glob("*.h"):
                name = str(head.relative_to(tree))
                text = head.read_text()
                if name not in heads and any(f'#include "{known}"' in text for known in heads):
                    heads.add(name)
                    grown = True
    return [s for s in sources if any(f'#include "{head}"' in (tree / s).read_text() for head in heads)]


def attack(objects, program, compiler, seeds, operations):
    done = run([compiler, *[str(o) for o in sorted(objects.glob("*.o"))], "-o", str(program)])
    if done.returncode != 0:
        raise RuntimeError(done.stderr)
    environment = {**os.environ, "HF_SEEDS": str(seeds), "HF_OPS": str(operations), "HF_SEED": "", "HF_TEST_LONG": ""}
    try:
        done = run([str(program)], env=environment, timeout=600)
    except subprocess.TimeoutExpired:
        return 1, "did not end in ten minutes"
    lines = (done.stderr + done.stdout).strip().splitlines()
    return done.returncode, lines[-1] if lines else f"ended with {done.returncode}"


def try_mutant(mutant, tree, objects, sources, compiler, seeds, operations, scratch):
    name, path, old, new = mutant
    text = (tree / path).read_text()
    if text.count(old) != 1:
        return f"the text to change stands {text.count(old)} times in {path}: bring the list in step with the code"
    mine = scratch / "objects"
    shutil.rmtree(mine, ignore_errors=True)
    shutil.copytree(objects, mine)
    try:
        (tree / path).write_text(text.replace(old, new))
        compile_tree(tree, mine, affected(tree, sources, path), compiler)
    finally:
        (tree / path).write_text(text)
    code, line = attack(mine, scratch / "attack", compiler, seeds, operations)
    if code == 0:
        return "SURVIVED: the attack does not see it"
    print(f"  caught  {name}: {line[:150]}", flush=True)
    return None


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", help="mutants whose name contains this")
    parser.add_argument("--quick", action="store_true", help="one in five")
    parser.add_argument("--seeds", type=int, default=12)
    parser.add_argument("--operations", type=int, default=250)
    options = parser.parse_args()
    compiler = os.environ.get("CC") or "gcc"
    chosen = [m for m in MUTANTS if options.only is None or options.only in m[0]]
    if options.quick:
        chosen = chosen[::5]
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        tree, objects = scratch / "tree", scratch / "sound"
        objects.mkdir()
        for name in FOLDERS:
            shutil.copytree(ROOT / name, tree / name)
        sources = SOURCES + sorted(str(p.relative_to(tree)) for g in GLOBS for p in tree.glob(g))
        compile_tree(tree, objects, sources, compiler)
        code, line = attack(objects, scratch / "attack", compiler, 2, options.operations)
        if code != 0:
            print(f"the unchanged tree fails: {line}")
            return 1
        for mutant in chosen:
            wrong = try_mutant(mutant, tree, objects, sources, compiler, options.seeds, options.operations, scratch)
            if wrong is not None:
                failed += 1
                print(f"  FAILED  {mutant[0]}: {wrong}", flush=True)
    print(f"{len(chosen) - failed} passed, {failed} failed")
    return 1 if failed or not chosen else 0


if __name__ == "__main__":
    sys.exit(main())
