/* SPDX-License-Identifier: BSD-3-Clause */
/* holdfast-demo HOLDFASTD [STATUS]: the packages of this Debian machine as a graph of shared objects.
 *
 * Starts a daemon of its own in a temporary folder, lets several processes work on one graph, and shows after each
 * step what the daemon itself says: what lives, who holds it, what died at once, and in the end what only cycles
 * keep alive. Every number comes from the daemon or from walking its graph, none from what the program hopes. */
#include "client/demo/actors.h"
#include "client/demo/dpkg.h"
#include "client/demo/graph.h"
#include "client/holdfast.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define STATUS_FILE  "/var/lib/dpkg/status"
#define RESULT_COUNT 200
#define WITH_MAX     3      /* names shown of what a cycle refers to */
#define POLL_MAX     100000 /* round trips until something that must happen is given up */

struct story {
    hf_conn *conn;
    bool colour;
    uint64_t live; /* objects at the end of the last step */
    char folder[64], socket[80], address[96];
    pid_t daemon;
};

/* ---- Printing: titles on the left, text in a column, what the daemon says behind a bar ---------------- */

enum ink { INK_PLAIN, INK_TITLE, INK_DAEMON, INK_NUMBER };

static const char *ink(const struct story *story, enum ink wanted)
{
    static const char *const codes[] = {[INK_PLAIN] = "\033[0m",
                                        [INK_TITLE] = "\033[1m",
                                        [INK_DAEMON] = "\033[36m",
                                        [INK_NUMBER] = "\033[1;33m"};
    return story->colour ? codes[wanted] : "";
}

static bool colour_wanted(void)
{
    const char *no_color = getenv("NO_COLOR");
    return isatty(STDOUT_FILENO) && (no_color == NULL || no_color[0] == '\0');
}

__attribute__((format(printf, 3, 4))) /* lets the compiler check the arguments */
static void
say(const struct story *story, const char *title, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    printf("%s%-11s%s", ink(story, INK_TITLE), title, ink(story, INK_PLAIN));
    vprintf(format, arguments);
    putchar('\n');
    va_end(arguments);
}

/* Ends the program; the daemon sees its parent's end. */
__attribute__((format(printf, 1, 2), noreturn)) /* as above; and no path goes on behind it */
static void
give_up(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fflush(stdout);
    fputs("holdfast-demo: ", stderr);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    exit(1);
}

static void must(const struct story *story, int error, const char *what)
{
    if (error != 0) {
        const struct hf_error *last = story->conn == NULL ? NULL : hf_last_error(story->conn);
        give_up("%s: %s", what, last != NULL && last->code != 0 ? last->text : hf_error_text(error));
    }
}

/* ---- The daemon --------------------------------------------------------------------------------------- */

/* Reads the log of the daemon until it says that it listens. */
static void wait_until_listening(int log)
{
    char text[4096];
    size_t size = 0;
    while (size < sizeof text - 1) {
        ssize_t got = read(log, text + size, sizeof text - 1 - size);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            break;
        }
        size += (size_t)got;
        text[size] = '\0';
        if (strstr(text, "listening on") != NULL) {
            return;
        }
    }
    give_up("the daemon did not start:\n%.*s", (int)size, text);
}

static void daemon_start(struct story *story, const char *program)
{
    int log[2];
    const char *parent = getenv("TMPDIR");
    snprintf(story->folder, sizeof story->folder, "%.40s/hf-demo-XXXXXX", parent == NULL ? "/tmp" : parent);
    if (mkdtemp(story->folder) == NULL || pipe2(log, O_CLOEXEC) != 0) {
        give_up("%s: %s", story->folder, strerror(errno));
    }
    snprintf(story->socket, sizeof story->socket, "%s/socket", story->folder);
    snprintf(story->address, sizeof story->address, "unix:%s", story->socket);
    fflush(NULL);
    story->daemon = fork();
    if (story->daemon == 0) {
        prctl(PR_SET_PDEATHSIG, SIGTERM);
        dup2(log[1], STDERR_FILENO);
        execl(program, program, "--listen", story->address, (char *)NULL);
        _exit(127);
    }
    close(log[1]);
    wait_until_listening(log[0]);
    /* The pipe stays open, unread: the few lines that follow fit into it. */
    must(story, hf_connect(story->address, 0, &story->conn), "connect");
}

static void daemon_end(struct story *story)
{
    int status = 0;
    hf_close(story->conn);
    kill(story->daemon, SIGTERM);
    waitpid(story->daemon, &status, 0);
    unlink(story->socket);
    rmdir(story->folder);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        give_up("the daemon ended with status %d", status);
    }
}

/* ---- What the daemon says ----------------------------------------------------------------------------- */

static uint64_t statistic(struct story *story, const char *section, const char *key)
{
    hf_reply *reply;
    uint64_t number;
    must(story, hf_stats(story->conn, section, &reply), "stats");
    if (!hf_item_uint(hf_item_get(hf_reply_item(reply), key), &number)) {
        give_up("the daemon has no statistic %s.%s", section, key);
    }
    hf_reply_free(reply);
    return number;
}

/* What only cycles keep is there to be shown in the end: no collection begins by itself. */
static void switch_collector_off(struct story *story)
{
    static const unsigned char params[] = "\x91\x81\xa7"
                                          "enabled\xc2"; /* [{"enabled": false}] */
    hf_reply *reply;
    must(story, hf_call(story->conn, "gc_config", params, sizeof params - 1, &reply), "gc_config");
    hf_reply_free(reply);
}

/* Waits until what is dead has been freed: a large death goes on in small steps while others are served. */
static void wait_until_freed(struct story *story)
{
    for (int i = 0; statistic(story, "gc", "backlog") != 0; i++) {
        if (i == POLL_MAX) {
            give_up("the daemon does not finish freeing");
        }
    }
}

/* Text of a str in a map, "" if it is not there. */
static const char *text_of(hf_item map, const char *key, char *buffer, size_t size)
{
    const void *bytes = "";
    size_t length = 0;
    hf_item_bytes(hf_item_get(map, key), &bytes, &length);
    snprintf(buffer, size, "%.*s", (int)length, (const char *)bytes);
    return buffer;
}

/* The sid of the session called `name`, 0 if there is none. */
static uint64_t session_of(struct story *story, const char *name)
{
    hf_reply *reply;
    hf_item row;
    char buffer[64];
    uint64_t sid = 0;
    must(story, hf_sessions(story->conn, NULL, 0, &reply), "sessions");
    hf_walk walk = hf_walk_start(hf_reply_item(reply));
    while (sid == 0 && hf_walk_next(&walk, NULL, &row)) {
        if (strcmp(text_of(row, "name", buffer, sizeof buffer), name) == 0) {
            hf_item_uint(hf_item_get(row, "sid"), &sid);
        }
    }
    hf_reply_free(reply);
    return sid;
}

static void wait_until_ended(struct story *story, const char *name)
{
    for (int i = 0; session_of(story, name) != 0; i++) {
        if (i == POLL_MAX) {
            give_up("the session of %s does not end", name);
        }
    }
}

static void print_sessions(struct story *story)
{
    hf_reply *reply;
    hf_item row;
    char name[64];
    int printed = 0;
    must(story, hf_sessions(story->conn, NULL, 0, &reply), "sessions");
    hf_walk walk = hf_walk_start(hf_reply_item(reply));
    while (hf_walk_next(&walk, NULL, &row)) {
        uint64_t held = 0;
        hf_item_uint(hf_item_get(row, "held"), &held);
        if (*text_of(row, "name", name, sizeof name) != '\0' && held > 0) {
            printf("%s%s %llu", printed++ == 0 ? "" : ", ", name, (unsigned long long)held);
        }
    }
    fputs(printed == 0 ? "nobody" : "", stdout);
    hf_reply_free(reply);
}

/* The line that ends a step. `put` objects were new in it; the others that are missing have died. */
static void print_state(struct story *story, uint64_t put)
{
    wait_until_freed(story);
    uint64_t live = statistic(story, "objects", "count");
    printf("%11s%s| objects %s%llu%s, died now %s%llu%s, names %llu, held by sessions: ", "",
           ink(story, INK_DAEMON), ink(story, INK_NUMBER), (unsigned long long)live, ink(story, INK_DAEMON),
           ink(story, INK_NUMBER), (unsigned long long)(story->live + put - live), ink(story, INK_DAEMON),
           (unsigned long long)statistic(story, "names", "count"));
    print_sessions(story);
    printf("%s\n\n", ink(story, INK_PLAIN));
    story->live = live;
}

/* Answers "who holds it?" from outside, in one line. */
static void print_holders(struct story *story, const char *name, hf_id id)
{
    hf_reply *reply;
    hf_item row;
    char kind[16], who[64];
    must(story, hf_holders(story->conn, id, 0, &reply), "holders");
    printf("%11s%s| who holds %s? ", "", ink(story, INK_DAEMON), name);
    hf_walk walk = hf_walk_start(hf_reply_item(reply));
    for (int i = 0; hf_walk_next(&walk, NULL, &row); i++) {
        int64_t pid = 0;
        text_of(row, "name", who, sizeof who);
        text_of(row, "kind", kind, sizeof kind);
        printf("%s%s %s", i == 0 ? "" : ", ", kind, who);
        if (hf_item_int(hf_item_get(row, "pid"), &pid) && pid != 0) {
            printf(" (pid %lld)", (long long)pid);
        }
    }
    printf("%s\n", ink(story, INK_PLAIN));
    hf_reply_free(reply);
}

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

static void step_unname(struct story *story, const struct packages *packages)
{
    uint64_t names = statistic(story, "names", "count");
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
        "All %llu names are dropped. What loses its last reference dies at once, and so does",
        (unsigned long long)names);
    say(story, "", "what only that held. Left: %zu that keeper holds, %zu below those, %llu kept by cycles.",
        held, kept.count - held, (unsigned long long)(statistic(story, "objects", "count") - kept.count));
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

static bool first_word(const char **at, size_t *size)
{
    *at += strspn(*at, " ");
    *size = strcspn(*at, " ");
    return *size > 0;
}

/* The members of cycle `number`, and what else is reachable from there and from no earlier one. */
static void print_cycle(const struct story *story, const struct graph *all, size_t number, hf_conn *conn,
                        bool *seen)
{
    struct graph reach = {0};
    size_t size, printed = 0;
    char text[160] = "";
    const char *word;
    for (size_t i = 0; i < all->count; i++) {
        if (all->nodes[i].component == number) {
            must(story, graph_add(&reach, all->nodes[i].id, &size), "memory");
            word = all->nodes[i].text;
            if (word != NULL && first_word(&word, &size)) {
                size_t used = strlen(text);
                snprintf(text + used, sizeof text - used, "%s%.*s", printed++ == 0 ? "" : " <-> ", (int)size,
                         word);
            }
            seen[i] = true;
        }
    }
    must(story, graph_walk(&reach, conn), "refs");
    say(story, "", "  %s%s%s", ink(story, INK_NUMBER), text, ink(story, INK_PLAIN));
    printf("%11s    and with them:", "");
    printed = 0;
    for (size_t i = 0; i < all->count; i++) {
        for (size_t k = 0; k < reach.count && !seen[i]; k++) {
            if (reach.nodes[k].id == all->nodes[i].id) {
                seen[i] = true;
                if (printed++ < WITH_MAX) {
                    printf("%s %s", printed == 1 ? "" : ",", all->nodes[i].text);
                }
            }
        }
    }
    if (printed > WITH_MAX) {
        printf(" and %zu more", printed - WITH_MAX);
    }
    puts(printed == 0 ? " nothing else" : "");
    graph_free(&reach);
}

static void step_cycles(struct story *story)
{
    struct graph all = {0};
    size_t cycles;
    must(story, graph_scan(&all, story->conn, 0), "scan");
    must(story, graph_walk(&all, story->conn), "refs");
    must(story, graph_texts(&all, story->conn), "get");
    must(story, graph_cycles(&all, &cycles), "cycles");
    bool *seen = calloc(all.count + 1, sizeof *seen);
    if (seen == NULL) {
        give_up("no memory");
    }
    say(story, "6 CYCLES", "%zu objects still live: %zu cycle%s, and what %s to.", all.count, cycles,
        cycles == 1 ? "" : "s", cycles == 1 ? "it refers" : "they refer");
    for (size_t number = 1; number <= cycles; number++) {
        print_cycle(story, &all, number, story->conn, seen);
    }
    say(story, "",
        "Counts alone never free these; that is the work of the collector, which is switched off here.");
    free(seen);
    graph_free(&all);
}

static void step_verify(struct story *story)
{
    hf_reply *reply;
    bool ok = false;
    uint64_t objects = 0;
    must(story, hf_verify(story->conn, &reply), "verify");
    hf_item result = hf_reply_item(reply);
    hf_item_uint(hf_item_get(result, "objects"), &objects);
    hf_item_bool(hf_item_get(result, "ok"), &ok);
    size_t findings = hf_item_count(hf_item_get(result, "findings"));
    printf("%11s%s| verify walked %llu objects and every invariant of the heap: %zu findings%s\n", "",
           ink(story, INK_DAEMON), (unsigned long long)objects, findings, ink(story, INK_PLAIN));
    hf_reply_free(reply);
    if (!ok) {
        give_up("verify is not content");
    }
}

int main(int argc, char **argv)
{
    const char *status = argc > 2 ? argv[2] : STATUS_FILE;
    struct packages packages;
    struct story story = {.colour = colour_wanted()};
    struct actor builder, keeper;
    hf_id shared;
    if (argc < 2) {
        give_up("usage: holdfast-demo HOLDFASTD [STATUS]");
    }
    if (packages_read(status, &packages) != 0) {
        give_up("%s: %s", status, strerror(errno));
    }
    daemon_start(&story, argv[1]);
    switch_collector_off(&story);
    putchar('\n');
    step_load(&story, &packages, status);
    step_use(&story, &packages, &builder, &keeper, &shared);
    step_kill(&story, &packages, &builder, shared);
    step_unname(&story, &packages);
    step_leave(&story, &keeper);
    step_cycles(&story);
    step_verify(&story);
    putchar('\n');
    daemon_end(&story);
    packages_free(&packages);
    return 0;
}
