/* SPDX-License-Identifier: BSD-3-Clause */
#include "daemon/base/log.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LINE_SIZE 1024

static const char *const level_words[] = {"error", "warn", "info", "debug"};

static uint64_t clock_ms(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

void log_init(struct log *log, int fd, enum log_level level)
{
    *log = (struct log){.fd = fd, .level = level, .lock = PTHREAD_MUTEX_INITIALIZER};
    for (unsigned i = 0; i < LOG_KINDS; i++)
        log->buckets[i] = (struct log_bucket){.filled_ms = clock_ms(CLOCK_MONOTONIC), .tokens = LOG_BURST};
}

void log_to_journal(struct log *log)
{
    log->journal = true;
}

void log_set_level(struct log *log, enum log_level level)
{
    /* relaxed: a line more or less at the moment of the change does no harm */
    atomic_store_explicit(&log->level, level, memory_order_relaxed);
}

static bool is_written(const struct log *log, enum log_level level)
{
    return level <= atomic_load_explicit(&log->level, memory_order_relaxed);
}

/* Takes a token; false when there is none. */
static bool bucket_take(struct log_bucket *bucket, uint64_t now_ms)
{
    uint64_t fresh = (now_ms - bucket->filled_ms) / LOG_REFILL_MS;
    bucket->filled_ms += fresh * LOG_REFILL_MS;
    bucket->tokens = fresh + bucket->tokens > LOG_BURST ? LOG_BURST : bucket->tokens + (uint32_t)fresh;
    if (bucket->tokens == 0) {
        bucket->suppressed++;
        return false;
    }
    bucket->tokens--;
    return true;
}

static size_t put_head(const struct log *log, char *line, enum log_level level, const char *event)
{
    static const unsigned priorities[] = {3, 4, 6, 7}; /* of syslog(3): err, warning, info, debug */
    if (log->journal)
        return (size_t)snprintf(line, LINE_SIZE, "<%u>event=%s ", priorities[level], event);
    uint64_t now_ms = clock_ms(CLOCK_REALTIME);
    time_t seconds = (time_t)(now_ms / 1000);
    struct tm utc;
    gmtime_r(&seconds, &utc);
    size_t used = strftime(line, LINE_SIZE, "%Y-%m-%dT%H:%M:%S", &utc);
    int n = snprintf(line + used, LINE_SIZE - used, ".%03uZ level=%s event=%s ", (unsigned)(now_ms % 1000),
                     level_words[level], event);
    return used + (size_t)n;
}

/* Whatever stood in it (a path, a system's message): an event stays one line. */
static void keep_one_line(char *line, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if ((unsigned char)line[i] < 0x20 || line[i] == 0x7f)
            line[i] = '?';
    }
}

__attribute__((format(printf, 5, 0))) /* the compiler checks those who pass the arguments on */
static void
put_line(struct log *log, enum log_level level, const char *event, uint64_t suppressed, const char *format,
         va_list args)
{
    char line[LINE_SIZE + 1];
    size_t used = put_head(log, line, level, event);
    int n = vsnprintf(line + used, LINE_SIZE - used, format, args);
    used += n < 0 ? 0 : (size_t)n;
    if (suppressed != 0 && used < LINE_SIZE) {
        n = snprintf(line + used, LINE_SIZE - used, " suppressed=%llu", (unsigned long long)suppressed);
        used += n < 0 ? 0 : (size_t)n;
    }
    if (used >= LINE_SIZE)
        used = LINE_SIZE - 1;
    keep_one_line(line, used);
    line[used++] = '\n';
    /* A log that cannot be written has nobody to be told. */
    ssize_t written = write(log->fd, line, used);
    (void)written;
}

void log_write(struct log *log, enum log_level level, const char *event, const char *format, ...)
{
    if (!is_written(log, level))
        return;
    va_list args;
    va_start(args, format);
    put_line(log, level, event, 0, format, args);
    va_end(args);
}

void log_client(struct log *log, enum log_level level, enum log_kind kind, const char *event,
                const char *format, ...)
{
    struct log_bucket *bucket = &log->buckets[kind];
    if (!is_written(log, level))
        return;
    pthread_mutex_lock(&log->lock);
    bool passes = bucket_take(bucket, clock_ms(CLOCK_MONOTONIC));
    uint64_t suppressed = passes ? bucket->suppressed : 0;
    bucket->suppressed -= suppressed;
    pthread_mutex_unlock(&log->lock);
    if (!passes)
        return;
    va_list args;
    va_start(args, format);
    put_line(log, level, event, suppressed, format, args);
    va_end(args);
}

const char *log_quote(char *to, const void *bytes, size_t size)
{
    const unsigned char *at = bytes;
    size_t used = 0;
    to[used++] = '"';
    for (size_t i = 0; i < size && used < LOG_QUOTED_SIZE - 2; i++)
        to[used++] = at[i] < 0x20 || at[i] > 0x7e || at[i] == '"' || at[i] == '\\' ? '?' : (char)at[i];
    to[used++] = '"';
    to[used] = '\0';
    return to;
}
