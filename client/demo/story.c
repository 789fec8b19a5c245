/* SPDX-License-Identifier: BSD-3-Clause */
#include "client/demo/story.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define POLL_MAX  100000 /* round trips until something that must happen is given up */
#define EVENT_MS  10000  /* how long an event may take that must come */
#define WHY_WIDTH 80     /* columns of a chain, about */

/* ---- Printing ----------------------------------------------------------------------------------------- */

const char *ink(const struct story *story, enum ink wanted)
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

void say(const struct story *story, const char *title, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    printf("%s%-11s%s", ink(story, INK_TITLE), title, ink(story, INK_PLAIN));
    vprintf(format, arguments);
    putchar('\n');
    va_end(arguments);
}

void give_up(const char *format, ...)
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

void must(const struct story *story, int error, const char *what)
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

void story_begin(struct story *story, const char *program)
{
    story->colour = colour_wanted();
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

void story_end(struct story *story)
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

uint64_t number_of(hf_item map, const char *key)
{
    uint64_t number = 0;
    hf_item_uint(hf_item_get(map, key), &number);
    return number;
}

uint64_t statistic(struct story *story, const char *section, const char *key)
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

void wait_until_freed(struct story *story)
{
    for (int i = 0; statistic(story, "gc", "backlog") != 0; i++) {
        if (i == POLL_MAX) {
            give_up("the daemon does not finish freeing");
        }
    }
}

const char *text_of(hf_item map, const char *key, char *buffer, size_t size)
{
    const void *bytes = "";
    size_t length = 0;
    hf_item_bytes(hf_item_get(map, key), &bytes, &length);
    snprintf(buffer, size, "%.*s", (int)length, (const char *)bytes);
    return buffer;
}

uint64_t session_of(struct story *story, const char *name)
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

void wait_until_ended(struct story *story, const char *name)
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

void print_state(struct story *story, uint64_t put)
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

void print_holders(struct story *story, const char *name, hf_id id)
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

const char *tag_of(struct story *story, hf_id id, char *buffer, size_t size)
{
    hf_reply *reply;
    must(story, hf_inspect(story->conn, id, &reply), "inspect");
    text_of(hf_reply_item(reply), "tag", buffer, size);
    hf_reply_free(reply);
    return buffer;
}

/* The tags of objects that refer to each other, on as many lines as they need. */
static void print_chain(struct story *story, hf_item path)
{
    hf_item link;
    int64_t id = 0;
    char tag[256];
    size_t printed = 0, width = WHY_WIDTH / 2; /* the first line has begun */
    for (hf_walk walk = hf_walk_start(path); hf_walk_next(&walk, NULL, &link); printed++) {
        hf_item_int(link, &id);
        tag_of(story, id, tag, sizeof tag);
        width += strlen(" -> ") + strlen(tag);
        if (width > WHY_WIDTH) {
            printf("\n%11s|  ", "");
            width = strlen(" -> ") + strlen(tag);
        }
        printf("%s%s", printed == 0 ? "" : " -> ", tag);
    }
}

void print_why(struct story *story, hf_id id)
{
    hf_reply *reply;
    char kind[16], who[64], tag[256];
    must(story, hf_why(story->conn, id, &reply), "why");
    hf_item map = hf_reply_item(reply), holder = hf_item_get(map, "holder");
    printf("%11s%s| why does %s live? ", "", ink(story, INK_DAEMON), tag_of(story, id, tag, sizeof tag));
    printf("%s %s holds ", text_of(holder, "kind", kind, sizeof kind),
           text_of(holder, "name", who, sizeof who));
    print_chain(story, hf_item_get(map, "path"));
    printf("%s\n", ink(story, INK_PLAIN));
    hf_reply_free(reply);
}

void print_event(struct story *story, const char *tag)
{
    struct hf_event event;
    must(story, hf_next_event(story->conn, EVENT_MS, &event), "event");
    printf("%11s%s| event for those who watch %s: %s, reason %s%s\n", "", ink(story, INK_DAEMON), tag,
           event.topic, event.reason == NULL ? "-" : event.reason, ink(story, INK_PLAIN));
}
