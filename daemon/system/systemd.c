/* SPDX-License-Identifier: BSD-3-Clause */
#include "daemon/system/systemd.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>
#include <time.h>
#include <unistd.h>

/* A moment in which nobody reads the socket must not end the daemon: what cannot be told is not told. */
static void tell(const char *text)
{
    (void)sd_notify(0, text);
}

int systemd_sockets(int *fds, unsigned max, char *error, size_t error_size)
{
    int count = sd_listen_fds(1);
    if (count < 0) {
        snprintf(error, error_size, "LISTEN_FDS cannot be understood: %s", strerror(-count));
        return -1;
    }
    for (int i = 0; i < count; i++) {
        if ((unsigned)i < max)
            fds[i] = SD_LISTEN_FDS_START + i;
    }
    if ((unsigned)count <= max)
        return count;
    snprintf(error, error_size, "%d sockets were handed over, more than %u; remove some from the socket unit",
             count, max);
    return -1;
}

/* JOURNAL_STREAM is device:inode of the journal's stream (systemd.exec(5)); stderr may have been redirected since. */
bool systemd_journal(void)
{
    const char *stream = getenv("JOURNAL_STREAM");
    unsigned long long device, inode;
    struct stat stat;
    return stream != NULL && sscanf(stream, "%llu:%llu", &device, &inode) == 2 &&
           fstat(STDERR_FILENO, &stat) == 0 && stat.st_dev == device && stat.st_ino == inode;
}

static void tell_status(struct systemd *systemd, const char *prefix)
{
    char status[SYSTEMD_STATUS_MAX], text[SYSTEMD_STATUS_MAX + 64];
    systemd->source.describe(systemd->source.data, status, sizeof status);
    if (prefix[0] == '\0' && strcmp(status, systemd->status) == 0)
        return;
    memcpy(systemd->status, status, sizeof status);
    snprintf(text, sizeof text, "%sSTATUS=%s", prefix, status);
    tell(text);
}

static void on_timer(uv_timer_t *timer)
{
    struct systemd *systemd = timer->data;
    bool alive = systemd->source.alive(systemd->source.data);
    if (alive && systemd->watched)
        tell("WATCHDOG=1");
    tell_status(systemd, "");
}

void systemd_start(struct systemd *systemd, uv_loop_t *loop, const struct systemd_source *source)
{
    uint64_t watchdog_us = 0;
    *systemd = (struct systemd){.source = *source, .told = getenv("NOTIFY_SOCKET") != NULL};
    systemd->watched = sd_watchdog_enabled(0, &watchdog_us) > 0;
    uv_timer_init(loop, &systemd->timer);
    systemd->timer.data = systemd;
    if (!systemd->told)
        return;
    systemd->source.alive(systemd->source.data); /* asks for the first time */
    tell_status(systemd, "READY=1\n");
    /* Twice in the time that systemd waits, as sd_watchdog_enabled(3) recommends. */
    uint64_t every_ms = systemd->watched ? watchdog_us / 2000 : SYSTEMD_STATUS_MS;
    every_ms = every_ms == 0 ? 1 : every_ms < SYSTEMD_STATUS_MS ? every_ms : SYSTEMD_STATUS_MS;
    uv_timer_start(&systemd->timer, on_timer, every_ms, every_ms);
}

void systemd_reloading(struct systemd *systemd)
{
    struct timespec now;
    char text[96];
    if (!systemd->told)
        return;
    clock_gettime(CLOCK_MONOTONIC, &now);
    snprintf(text, sizeof text, "RELOADING=1\nMONOTONIC_USEC=%llu\nSTATUS=reading the configuration again",
             (unsigned long long)now.tv_sec * 1000000 + (unsigned long long)now.tv_nsec / 1000);
    tell(text);
}

void systemd_reloaded(struct systemd *systemd)
{
    if (systemd->told)
        tell_status(systemd, "READY=1\n");
}

void systemd_stopping(struct systemd *systemd, const char *status)
{
    char text[SYSTEMD_STATUS_MAX + 32];
    if (!systemd->told)
        return;
    uv_timer_stop(&systemd->timer);
    snprintf(text, sizeof text, "STOPPING=1\nSTATUS=%s", status);
    tell(text);
}

void systemd_stop(struct systemd *systemd)
{
    uv_close((uv_handle_t *)&systemd->timer, NULL);
}
