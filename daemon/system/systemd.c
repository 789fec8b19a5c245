/* SPDX-License-Identifier: BSD-3-Clause */
#include "daemon/system/systemd.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>
#include <time.h>
#include <unistd.h>

#define VARIABLES_MAX  96 /* bytes of what stands before the status in a message */
#define STORE_PREFIX   "pool-"
#define STORE_TEXT_MAX 160 /* bytes of a message about a pool */

/* ---- sockets that are handed over ---- */

/* What is wrong with a socket, and what to do about it; NULL: nothing. */
static const char *flaw_of(int fd)
{
    if (sd_is_socket(fd, AF_UNSPEC, 0, -1) <= 0)
        return "is no socket; remove it from the unit";
    if (sd_is_socket(fd, AF_UNIX, 0, -1) <= 0 && sd_is_socket_inet(fd, AF_UNSPEC, 0, -1, 0) <= 0)
        return "is neither a unix nor an internet socket; use ListenStream= with a path or an address";
    if (sd_is_socket(fd, AF_UNSPEC, SOCK_STREAM, -1) <= 0)
        return "is not a stream socket; use ListenStream=";
    if (sd_is_socket(fd, AF_UNSPEC, SOCK_STREAM, 1) <= 0)
        return "does not listen; the daemon accepts connections itself, use Accept=no";
    return NULL;
}

static void free_names(char **names, int count)
{
    for (int i = 0; i < count; i++)
        free(names[i]);
    free(names);
}

/* False with a text for the first one that is of no use. */
static bool is_fit(int fd, const char *name, char *error, size_t error_size)
{
    const char *flaw = flaw_of(fd);
    if (flaw == NULL)
        return true;
    snprintf(error, error_size, "descriptor %d ('%s'), which was handed over to listen at, %s", fd, name,
             flaw);
    return false;
}

static bool is_plain_file(int fd)
{
    struct stat status;
    return fstat(fd, &status) == 0 && S_ISREG(status.st_mode);
}

/* Takes over the name. */
static void add_kept(struct systemd_store *store, int fd, char **name)
{
    struct systemd_kept *kept = &store->kept[store->count++];
    bool of_pool = strncmp(*name, STORE_PREFIX, strlen(STORE_PREFIX)) == 0;
    *kept =
        (struct systemd_kept){.fd = fd, .name = *name, .pool = of_pool ? *name + strlen(STORE_PREFIX) : NULL};
    *name = NULL;
}

void systemd_store_done(struct systemd_store *store)
{
    for (unsigned k = 0; k < store->count; k++) {
        if (store->kept[k].fd >= 0)
            close(store->kept[k].fd);
        free(store->kept[k].name);
    }
    for (unsigned k = 0; k < store->stats_count; k++) {
        if (store->stats[k] >= 0)
            close(store->stats[k]);
    }
    free(store->kept);
    *store = (struct systemd_store){.count = 0};
}

/* Sorts them; the number of sockets, or -1. */
static int sort(char **names, int count, int *fds, unsigned max, struct systemd_store *store, char *error,
                size_t error_size)
{
    unsigned sockets = 0;
    for (int i = 0; i < count; i++) {
        int fd = SD_LISTEN_FDS_START + i;
        if (is_plain_file(fd))
            add_kept(store, fd, &names[i]);
        else if (!is_fit(fd, names[i], error, error_size))
            return -1;
        else if (strcmp(names[i], SYSTEMD_STATS) == 0 && store->stats_count < SYSTEMD_STATS_MAX)
            store->stats[store->stats_count++] = fd;
        else if (sockets++ < max)
            fds[sockets - 1] = fd;
    }
    if (sockets <= max)
        return (int)sockets;
    snprintf(error, error_size, "%u sockets were handed over, %u is the most; remove some from the unit",
             sockets, max);
    return -1;
}

/* All that was handed over, when it cannot be used. */
static int give_up(char **names, int count)
{
    for (int i = 0; i < count; i++)
        close(SD_LISTEN_FDS_START + i);
    free_names(names, count);
    return -1;
}

int systemd_sockets(int *fds, unsigned max, struct systemd_store *store, char *error, size_t error_size)
{
    char **names = NULL;
    int count = sd_listen_fds_with_names(1, &names);
    *store = (struct systemd_store){.count = 0};
    if (count < 0) {
        snprintf(error, error_size, "LISTEN_FDS or LISTEN_FDNAMES cannot be understood: %s; unset both",
                 strerror(-count));
        return -1;
    }
    if (names == NULL)
        return 0;
    store->kept = calloc((size_t)count + 1, sizeof *store->kept);
    if (store->kept == NULL) {
        snprintf(error, error_size, "no memory");
        return give_up(names, count);
    }
    int sockets = sort(names, count, fds, max, store, error, error_size);
    if (sockets < 0) {
        for (unsigned k = 0; k < store->count; k++)
            free(store->kept[k].name);
        free(store->kept);
        *store = (struct systemd_store){.count = 0};
        return give_up(names, count);
    }
    free_names(names, count);
    return sockets;
}

/* ---- the fd store ---- */

bool systemd_stores(unsigned *ret_max)
{
    const char *max = getenv("FDSTORE");
    *ret_max = max == NULL ? 0 : (unsigned)strtoul(max, NULL, 10);
    return getenv("NOTIFY_SOCKET") != NULL;
}

/* It polls what it keeps, to let go of what has ended; files never do. */
int systemd_keep(const char *pool, int fd_meta, int fd_values)
{
    const int fds[] = {fd_meta, fd_values};
    char text[STORE_TEXT_MAX];
    snprintf(text, sizeof text, "FDSTORE=1\nFDPOLL=0\nFDNAME=" STORE_PREFIX "%s", pool);
    int r = sd_pid_notify_with_fds(0, 0, text, fds, 2);
    return r < 0 ? r : 0;
}

int systemd_forget(const char *pool)
{
    int r = sd_notifyf(0, "FDSTOREREMOVE=1\nFDNAME=" STORE_PREFIX "%s", pool);
    return r < 0 ? r : 0;
}

bool systemd_wait(unsigned ms)
{
    int r = sd_notify_barrier(0, ms * 1000ull);
    return r >= 0;
}

/* ---- the journal ---- */

/* JOURNAL_STREAM is device:inode of the journal's stream (systemd.exec(5)); stderr may have been redirected since. */
bool systemd_journal(void)
{
    const char *stream = getenv("JOURNAL_STREAM");
    unsigned long long device, inode;
    struct stat stat;
    return stream != NULL && sscanf(stream, "%llu:%llu", &device, &inode) == 2 &&
           fstat(STDERR_FILENO, &stat) == 0 && stat.st_dev == device && stat.st_ino == inode;
}

/* ---- telling ---- */

/* `variables` and, if it differs from the last one, the status: one message, so that they take effect together. */
static void tell(struct systemd *systemd, const char *variables, const char *status)
{
    char text[VARIABLES_MAX + sizeof "STATUS=" + SYSTEMD_STATUS_MAX];
    bool news = strncmp(status, systemd->status, sizeof systemd->status - 1) != 0;
    if (!systemd->told || (!news && variables[0] == '\0'))
        return;
    snprintf(systemd->status, sizeof systemd->status, "%s", status);
    snprintf(text, sizeof text, "%s%s%s", variables, news ? "STATUS=" : "", news ? systemd->status : "");
    (void)sd_notify(0, text); /* a moment in which nobody takes it must not end the daemon */
}

static void tell_state(struct systemd *systemd, const char *variables)
{
    char status[SYSTEMD_STATUS_MAX];
    systemd->source.describe(systemd->source.data, status, sizeof status);
    tell(systemd, variables, status);
}

static void tell_stuck(struct systemd *systemd, uint64_t now_ms)
{
    char who[SYSTEMD_STATUS_MAX / 2], status[SYSTEMD_STATUS_MAX];
    systemd->source.describe(systemd->source.data, who, sizeof who);
    snprintf(status, sizeof status, "%s for %.1f s%s", who, (double)(now_ms - systemd->alive_ms) / 1000,
             systemd->watched ? "; the watchdog will end the daemon" : "");
    tell(systemd, "", status);
}

/* A start that gets on may take as long as it takes. */
static void tell_start(struct systemd *systemd)
{
    char variables[VARIABLES_MAX];
    uint64_t before = systemd->progress;
    systemd->progress = systemd->source.progress(systemd->source.data);
    if (systemd->progress != before)
        snprintf(variables, sizeof variables, "EXTEND_TIMEOUT_USEC=%u\n%s", SYSTEMD_EXTEND_S * 1000000,
                 systemd->watched ? "WATCHDOG=1\n" : "");
    else
        snprintf(variables, sizeof variables, "%s", systemd->watched ? "WATCHDOG=1\n" : "");
    tell_state(systemd, variables);
}

static void on_timer(uv_timer_t *timer)
{
    struct systemd *systemd = timer->data;
    uint64_t now_ms = uv_now(timer->loop);
    if (systemd->stopping) {
        tell_state(systemd, "");
    } else if (systemd->source.alive(systemd->source.data)) {
        systemd->alive_ms = now_ms;
        if (systemd->starting)
            tell_start(systemd);
        else
            tell_state(systemd, systemd->watched ? "WATCHDOG=1\n" : "");
    } else {
        tell_stuck(systemd, now_ms);
    }
}

static void look_every(struct systemd *systemd, uint64_t ms)
{
    if (systemd->told)
        uv_timer_start(&systemd->timer, on_timer, ms, ms);
}

void systemd_starting(const char *what, const char *text)
{
    (void)sd_notifyf(0, "STATUS=%s: %s", what, text);
}

void systemd_start(struct systemd *systemd, uv_loop_t *loop, const struct systemd_source *source)
{
    uint64_t watchdog_us = 0;
    *systemd = (struct systemd){.source = *source, .told = getenv("NOTIFY_SOCKET") != NULL};
    systemd->starting = source->progress != NULL;
    systemd->progress = UINT64_MAX;
    uv_timer_init(loop, &systemd->timer);
    systemd->timer.data = systemd;
    if (!systemd->told)
        return;
    uv_update_time(loop); /* it has not run yet */
    systemd->alive_ms = uv_now(loop);
    systemd->watched = sd_watchdog_enabled(0, &watchdog_us) > 0;
    systemd->source.alive(systemd->source.data); /* asks for the first time */
    /* Twice in the time that systemd waits, as sd_watchdog_enabled(3) recommends; a watchdog of less than two
     * milliseconds is beyond what a timer can do. */
    uint64_t half_ms = systemd->watched ? watchdog_us / 2000 : SYSTEMD_STATUS_MS;
    systemd->every_ms = half_ms == 0 ? 1 : half_ms < SYSTEMD_STATUS_MS ? half_ms : SYSTEMD_STATUS_MS;
    if (!systemd->starting) {
        systemd_ready(systemd);
        return;
    }
    tell_start(systemd);
    look_every(systemd, systemd->every_ms < SYSTEMD_STARTING_MS ? systemd->every_ms : SYSTEMD_STARTING_MS);
}

void systemd_ready(struct systemd *systemd)
{
    systemd->starting = false;
    tell_state(systemd, "READY=1\n");
    look_every(systemd, systemd->every_ms);
}

void systemd_reloading(struct systemd *systemd)
{
    char variables[VARIABLES_MAX];
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    snprintf(variables, sizeof variables, "RELOADING=1\nMONOTONIC_USEC=%llu\n",
             (unsigned long long)now.tv_sec * 1000000 + (unsigned long long)now.tv_nsec / 1000);
    tell(systemd, variables, "reading the configuration again");
}

void systemd_reloaded(struct systemd *systemd)
{
    tell_state(systemd, "READY=1\n");
}

void systemd_stopping(struct systemd *systemd)
{
    systemd->stopping = true;
    tell_state(systemd, "STOPPING=1\n");
    look_every(systemd, SYSTEMD_STOPPING_MS);
}

void systemd_stop(struct systemd *systemd, const char *text)
{
    tell(systemd, "", text);
    uv_close((uv_handle_t *)&systemd->timer, NULL);
}
