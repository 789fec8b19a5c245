/* SPDX-License-Identifier: BSD-3-Clause */
/* The log: one line an event, key=value words, on one file descriptor.
 *
 *     2026-11-23T00:00:00.123Z level=info event=listening address=unix:/run/x msg="..."
 *
 * Any thread may write: a line is one write(2), so lines of several threads or processes do not mix. Lines that clients can cause
 * go through log_client(): a token bucket for each kind of event, and the next line that passes says how
 * many did not. */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

/* Kinds of events that clients can cause, each with its own bucket. */
enum log_kind {
    LOG_CONNECTION,
    LOG_REFUSED,
    LOG_CUT,
    LOG_FRAME,
    LOG_SESSION,
    LOG_POOL,
    LOG_EVACUATION,
    LOG_KINDS
};

#define LOG_BURST       20   /* lines of one kind at once */
#define LOG_REFILL_MS   1000 /* one more line each */
#define LOG_QUOTED_SIZE 280  /* room for a quoted name of 255 bytes */

struct log_bucket {
    uint64_t filled_ms; /* time up to which tokens were handed out */
    uint32_t tokens;
    uint64_t suppressed;
};

struct log {
    int fd;
    _Atomic enum log_level level; /* what is less important is not written; may change at any time */
    bool journal; /* systemd's journal reads it: a level as it wants it before each line, and no time */
    pthread_mutex_t lock; /* of the buckets */
    struct log_bucket buckets[LOG_KINDS];
};

void log_init(struct log *log, int fd, enum log_level level);
/* From now on the lines are for systemd's journal, see sd-daemon(3). Before there are threads. */
void log_to_journal(struct log *log);
void log_set_level(struct log *log, enum log_level level);

/* Writes a line; `format` yields the words behind event=. A line above 1,024 bytes is cut, a control character
 * becomes a question mark. */
void log_write(struct log *log, enum log_level level, const char *event, const char *format, ...)
    __attribute__((format(printf, 4, 5))); /* gcc and clang check the arguments */

/* The same, rate limited. */
void log_client(struct log *log, enum log_level level, enum log_kind kind, const char *event,
                const char *format, ...) __attribute__((format(printf, 5, 6)));

/* Writes `size` bytes of a client as a quoted word to `to` (LOG_QUOTED_SIZE bytes), with anything but
 * printable ASCII as a question mark. Returns `to`. */
const char *log_quote(char *to, const void *bytes, size_t size);

#endif
