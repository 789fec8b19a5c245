/* SPDX-License-Identifier: BSD-3-Clause */
/* holdfast-demo HOLDFASTD [STATUS]: the packages of this Debian machine as a graph of shared objects.
 *
 * Starts a daemon of its own in a temporary folder, lets several processes work on one graph, and shows after each
 * step what the daemon itself says: what lives, who holds it and why, what died at once, and in the end which cycles of
 * packages are left, until they are collected. Every number comes from the daemon or from walking its graph, none from
 * what the program hopes. */
#include "client/demo/actors.h"
#include "client/demo/dpkg.h"
#include "client/demo/graph.h"
#include "client/demo/story.h"
#include "client/holdfast.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STATUS_FILE  "/var/lib/dpkg/status"
#define RESULT_COUNT 200
#define CYCLES_MAX   12 /* lines of cycles */
#define CYCLE_WIDTH  70 /* columns of one, about */

/* ---- The steps ---------------------------------------------------------------------------------------- */

static void act(struct actor *actor, const char *name, actor_work *work, const struct task *task,
                struct report *report)
{
    if (actor_start(actor, name, work, task, report) != 0) {
        give_up("process %s: %s", name, strerror(errno));
    }
    if (report->error != 0) {
        give_up("process %s: %s", name, report->what);
    }
}

/* The `rank`-th of the packages that most people know and this machine has. */
static const char *choose(const struct packages *packages, size_t rank)
{
    static const char *const known[] = {"git",  "python3", "gcc",  "curl",      "perl", "openssh-client",
                                        "vim",  "nodejs",  "apt",  "bash",      "tar",  "sed",
                                        "dpkg", "grep",    "gzip", "coreutils", "mawk", "login"};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (packages_find(packages, known[i]) < packages->count && rank-- == 0) {
            return known[i];
        }
    }
    return packages->rows[0].name;
}

static void step_load(struct story *story, const struct packages *packages, const char *status)
{
    struct actor loader;
    struct report report;
    const struct task task = {.address = story->address, .packages = packages};
    act(&loader, "loader", actor_load, &task, &report);
    say(story, "1 LOAD", "Process \"loader\" reads %s: an installed package is an object,", status);
    say(story, "", "its Depends are slots, its name is a name. %zu objects, %zu references,", report.objects,
        report.references);
    say(story, "", "%zu names in %.0f ms and %zu round trips. Then it leaves; the names hold them all.",
        report.objects, report.duration_ms, report.round_trips);
    actor_dismiss(&loader);
    wait_until_ended(story, "loader");
    print_state(story, report.objects);
}

/* Starts walker, builder and keeper; the last two stay. `*ret_shared` is the object that both hold. */
static void step_use(struct story *story, const struct packages *packages, struct actor *builder,
                     struct actor *keeper, hf_id *ret_shared)
{
    const char *shared = choose(packages, 0), *second = choose(packages, 1), *third = choose(packages, 2);
    struct actor walker;
    struct report report;
    const struct task walk = {.address = story->address, .names = {shared, NULL}};
    const struct task build = {
        .address = story->address, .names = {shared, third}, .result_count = RESULT_COUNT};
    const struct task keep = {.address = story->address, .names = {shared, second}};

    act(&walker, "walker", actor_walk, &walk, &report);
    say(story, "2 USE", "walker   looks %s up and follows its slots: %zu packages, %zu steps deep", shared,
        report.objects, report.depth);
    actor_dismiss(&walker);
    wait_until_ended(story, "walker");
    act(builder, "builder", actor_hold, &build, &report);
    say(story, "", "builder  holds %s and %s, and puts %d results of its own that refer to %s", shared, third,
        RESULT_COUNT, shared);
    act(keeper, "keeper", actor_hold, &keep, &report);
    say(story, "", "keeper   holds %s and %s", shared, second);
    must(story, hf_lookup(story->conn, shared, ret_shared), "lookup");
    must(story, hf_release(story->conn, *ret_shared, 1, NULL), "release");
    print_holders(story, shared, *ret_shared);
    print_state(story, RESULT_COUNT);
}

static void step_kill(struct story *story, const struct packages *packages, struct actor *builder,
                      hf_id shared)
{
    actor_kill(builder);
    wait_until_ended(story, "builder");
    say(story, "3 KILL -9",
        "builder dies without a word. Its session ends with its connection, and what only");
    say(story, "", "that session held dies at once. The packages live on: they have names.");
    print_holders(story, choose(packages, 0), shared);
    print_state(story, 0);
}

static void collect_by_itself(struct story *story, bool enabled)
{
    const struct hf_gc_settings changes = {.enabled = enabled ? HF_ON : HF_OFF};
    must(story, hf_gc_config(story->conn, &changes, NULL), "gc_config");
}

/* The object that is most steps away from those that the graph began with. */
static hf_id most_distant(const struct graph *graph)
{
    size_t found = 0;
    for (size_t i = 0; i < graph->count; i++) {
        if (graph->nodes[i].depth > graph->nodes[found].depth) {
            found = i;
        }
    }
    return graph->nodes[found].id;
}

static void step_unname(struct story *story, const struct packages *packages)
{
    uint64_t names = statistic(story, "names", "count");
    collect_by_itself(story, false);
    must(story, hf_batch_begin(story->conn), "batch");
    for (size_t i = 0; i < packages->count; i++) {
        must(story, hf_unname(story->conn, packages->rows[i].name, HF_ANY_VERSION), "unname");
    }
    must(story, hf_batch_end(story->conn, NULL), "unname");
    wait_until_freed(story);

    struct graph kept = {0};
    must(story, graph_scan(&kept, story->conn, session_of(story, "keeper")), "scan");
    size_t held = kept.count;
    must(story, graph_walk(&kept, story->conn), "refs");
    say(story, "4 UNNAME",
        "All %llu names are dropped; the collector of cycles is off (gc_config) for a while.",
        (unsigned long long)names);
    say(story, "", "What loses its last reference dies at once, and so does what only that held.");
    say(story, "", "Left: %zu that keeper holds, %zu below those, %llu kept by cycles.", held,
        kept.count - held, (unsigned long long)(statistic(story, "objects", "count") - kept.count));
    if (kept.count > 0) {
        print_why(story, most_distant(&kept));
    }
    graph_free(&kept);
    print_state(story, 0);
}

static void step_leave(struct story *story, struct actor *keeper)
{
    actor_dismiss(keeper);
    wait_until_ended(story, "keeper");
    say(story, "5 LEAVE", "keeper says bye. Now nothing is held from outside.");
    print_state(story, 0);
}

static void print_verify(struct story *story)
{
    hf_reply *reply;
    bool ok = false;
    must(story, hf_verify(story->conn, &reply), "verify");
    hf_item result = hf_reply_item(reply);
    uint64_t objects = number_of(result, "objects");
    hf_item_bool(hf_item_get(result, "ok"), &ok);
    size_t findings = hf_item_count(hf_item_get(result, "findings"));
    printf("%11s%s| verify walked %llu objects and every invariant of the heap: %zu findings%s\n\n", "",
           ink(story, INK_DAEMON), (unsigned long long)objects, findings, ink(story, INK_PLAIN));
    hf_reply_free(reply);
    if (!ok) {
        give_up("verify is not content");
    }
}

/* ---- Cycles ------------------------------------------------------------------------------------------- */

static void print_cycle(const struct story *story, hf_item cycle)
{
    hf_item member;
    char tag[256];
    uint64_t objects = number_of(cycle, "objects"), printed = 0;
    size_t width = 0;
    printf("%13s%s", "", ink(story, INK_NUMBER));
    hf_walk walk = hf_walk_start(hf_item_get(cycle, "members"));
    while (width < CYCLE_WIDTH && hf_walk_next(&walk, NULL, &member)) {
        text_of(member, "tag", tag, sizeof tag);
        width += (size_t)printf("%s%s", printed++ == 0 ? "" : " <-> ", tag);
    }
    if (objects > printed) {
        printf(" and %llu more", (unsigned long long)(objects - printed));
    }
    printf("%s\n", ink(story, INK_PLAIN));
}

/* The first object of the first cycle, 0 if there is none. */
static hf_id first_member(hf_item cycles)
{
    int64_t id = 0;
    hf_item_int(hf_item_get(hf_item_at(hf_item_get(hf_item_at(cycles, 0), "members"), 0), "id"), &id);
    return id;
}

/* Lets the daemon look without freeing. The result is an object of a cycle, 0 if there is none. */
static hf_id step_cycles(struct story *story)
{
    const struct hf_gc_options look = {.dry_run = true, .explain = true};
    hf_reply *reply;
    hf_item cycle;
    uint64_t printed = 0, in_cycles = 0;
    must(story, hf_gc_collect(story->conn, &look, &reply), "gc_collect");
    hf_item result = hf_reply_item(reply), cycles = hf_item_get(result, "cycles");
    uint64_t unreachable = number_of(result, "unreachable"), found = number_of(result, "cycles_found");
    say(story, "6 CYCLES", "%llu of %llu objects are out of reach: only slots of each other refer to them.",
        (unsigned long long)unreachable, (unsigned long long)number_of(result, "candidates"));
    say(story, "",
        "gc_collect {dry_run, explain} finds %llu cycle%s and frees nothing:", (unsigned long long)found,
        found == 1 ? "" : "s");
    for (hf_walk walk = hf_walk_start(cycles); hf_walk_next(&walk, NULL, &cycle);) {
        in_cycles += number_of(cycle, "objects");
        if (printed < CYCLES_MAX) {
            print_cycle(story, cycle);
            printed++;
        }
    }
    if (found > printed) {
        say(story, "", "  and %llu more", (unsigned long long)(found - printed));
    } else {
        uint64_t rest = unreachable - in_cycles;
        say(story, "", "Only these depend on the rest, %llu object%s.", (unsigned long long)rest,
            rest == 1 ? "" : "s");
    }
    hf_id member = first_member(cycles);
    hf_reply_free(reply);
    print_verify(story);
    return member;
}

/* Collects. `watched` is an object of a cycle, whose end is watched; 0: none. */
static void step_collect(struct story *story, hf_id watched)
{
    hf_reply *reply;
    char tag[256];
    if (watched != 0) {
        tag_of(story, watched, tag, sizeof tag);
        must(story, hf_watch(story->conn, watched), "watch");
    }
    must(story, hf_gc_collect(story->conn, NULL, &reply), "gc_collect");
    hf_item result = hf_reply_item(reply);
    uint64_t steps = number_of(result, "steps");
    say(story, "7 COLLECT",
        "The same in earnest: %s%llu%s objects freed, values of %llu bytes, in %.2f ms and",
        ink(story, INK_NUMBER), (unsigned long long)number_of(result, "collected"), ink(story, INK_PLAIN),
        (unsigned long long)number_of(result, "bytes"), (double)number_of(result, "duration_us") / 1e3);
    say(story, "", "%llu step%s, the longest of %llu us. Between steps others are served.",
        (unsigned long long)steps, steps == 1 ? "" : "s",
        (unsigned long long)number_of(result, "step_us_max"));
    hf_reply_free(reply);
    if (watched != 0) {
        print_event(story, tag);
    }
    collect_by_itself(story, true);
    print_state(story, 0);
}

int main(int argc, char **argv)
{
    const char *status = argc > 2 ? argv[2] : STATUS_FILE;
    struct packages packages;
    struct story story = {0};
    struct actor builder, keeper;
    hf_id shared;
    if (argc < 2) {
        give_up("usage: holdfast-demo HOLDFASTD [STATUS]");
    }
    if (packages_read(status, &packages) != 0) {
        give_up("%s: %s", status, strerror(errno));
    }
    story_begin(&story, argv[1]);
    putchar('\n');
    step_load(&story, &packages, status);
    step_use(&story, &packages, &builder, &keeper, &shared);
    step_kill(&story, &packages, &builder, shared);
    step_unname(&story, &packages);
    step_leave(&story, &keeper);
    step_collect(&story, step_cycles(&story));
    print_verify(&story);
    story_end(&story);
    packages_free(&packages);
    return 0;
}
