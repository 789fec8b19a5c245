/* SPDX-License-Identifier: BSD-3-Clause */
/* Listeners, the start and the end of a server. */
#include "daemon/server/server.h"

#include "daemon/server/survey.h"
#include "daemon/server/worker.h"
#include "proto/rpc.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define ACCEPTS_MAX 64 /* a listener and turn */

/* ---- accepting ---- */

void server_refuse(struct server *server, int fd, enum hf_err code, const char *text)
{
    char error[CALL_ERROR_MAX], sink[4096];
    uint8_t response[HFP_ERROR_MAX];
    size_t size = hfp_error_format(error, sizeof error, code, NULL, "%s", text);
    const uint8_t *end = hfp_put_error(response, 0, error, size);
    /* A fresh socket has room for this; if not, the client learns it from the close. */
    ssize_t sent = send(fd, response, (size_t)(end - response), MSG_DONTWAIT | MSG_NOSIGNAL);
    shutdown(fd, SHUT_WR);
    /* Unread bytes would turn the close into a reset, which may overtake the response. */
    while (sent > 0 && recv(fd, sink, sizeof sink, MSG_DONTWAIT) > 0)
        continue;
    close(fd);
    atomic_fetch_add_explicit(&server->refused, 1, memory_order_relaxed); /* a figure */
    log_client(server->log, LOG_LEVEL_WARN, LOG_REFUSED, "refused", "msg=\"%s\"", text);
}

/* No descriptor is left: gives up the reserve for a moment, so that the client can be told. */
static int accept_with_reserve(struct server *server, const struct listening *listening)
{
    if (server->reserve_fd >= 0)
        close(server->reserve_fd);
    int fd = transport_accept(listening);
    if (fd >= 0)
        server_refuse(server, fd, HF_E_LIMIT,
                      "the daemon has no file descriptors left; close connections or raise its limit");
    server->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    return fd;
}

static void begin(struct server *server, const struct transport *transport, int fd)
{
    struct arrival *arrival = arrival_new(server, transport, fd, ++server->next_number);
    if (arrival == NULL) {
        server_refuse(server, fd, HF_E_OOM,
                      "no memory for another connection; release something or raise --max-memory");
        return;
    }
    arrival->fresh = true;
    arrival_post(arrival, server->workers[0]);
}

static void on_connection(uv_poll_t *poll, int status, int events)
{
    struct listener *listener = poll->data;
    struct server *server = listener->server;
    (void)status, (void)events;
    for (unsigned i = 0; i < ACCEPTS_MAX; i++) {
        int fd = transport_accept(&listener->listening);
        if (fd == -EMFILE || fd == -ENFILE)
            fd = accept_with_reserve(server, &listener->listening);
        else if (fd >= 0)
            begin(server, listener->listening.transport, fd);
        if (fd == -EAGAIN)
            return;
        if (fd < 0) {
            log_client(server->log, LOG_LEVEL_ERROR, LOG_REFUSED, "accept_failed", "address=%s error=\"%s\"",
                       listener->listening.address, strerror(-fd));
            return;
        }
    }
}

/* ---- listeners ---- */

static void free_listener(uv_handle_t *handle)
{
    free(list_entry(handle, struct listener, poll));
}

static void close_listener(struct listener *listener)
{
    list_remove(&listener->link);
    listener->server->listeners_count--;
    uv_close((uv_handle_t *)&listener->poll, free_listener);
    listener->listening.transport->unlisten(&listener->listening);
}

/* Serves what comes to a socket that listens; takes it over, also on failure. */
static int add_listener(struct server *server, struct listening *listening, char *error, size_t error_size)
{
    struct listener *listener = calloc(1, sizeof *listener);
    int r = listener == NULL ? UV_ENOMEM : uv_poll_init(&server->loop, &listener->poll, listening->fd);
    if (r != 0) {
        listening->transport->unlisten(listening);
        snprintf(error, error_size, "%s: %s", listening->address, uv_strerror(r));
        free(listener);
        return -1;
    }
    listener->server = server;
    listener->listening = *listening;
    listener->poll.data = listener;
    list_append(&server->listeners, &listener->link);
    server->listeners_count++;
    if (atomic_load(&server->accepting))
        uv_poll_start(&listener->poll, UV_READABLE, on_connection);
    return 0;
}

static void start_accepting(struct server *server)
{
    struct list *at, *after;
    if (server->draining || atomic_exchange(&server->accepting, true))
        return;
    list_each(at, after, &server->listeners)
    {
        uv_poll_start(&list_entry(at, struct listener, link)->poll, UV_READABLE, on_connection);
    }
}

static void on_patience_over(uv_timer_t *timer)
{
    start_accepting(timer->data);
}

static bool has_address(const struct server *server, const char *address)
{
    const char *there;
    for (unsigned i = 0; (there = server_address(server, i)) != NULL; i++) {
        if (strcmp(there, address) == 0)
            return true;
    }
    return false;
}

int server_listen(struct server *server, const char *address, char *error, size_t error_size)
{
    struct listening listening;
    if (has_address(server, address)) /* the options may name what was handed over, too */
        return 0;
    if (server->listeners_count == SERVER_LISTEN_MAX) {
        snprintf(error, error_size, "%s: there are %d listeners already; remove one", address,
                 SERVER_LISTEN_MAX);
        return -1;
    }
    if (transport_listen(&listening, address, error, error_size) != 0)
        return -1;
    return add_listener(server, &listening, error, error_size);
}

static int adopt(struct server *server, int fd, char *error, size_t error_size)
{
    struct listening listening;
    if (transport_adopt(&listening, fd, error, error_size) != 0)
        return -1;
    return add_listener(server, &listening, error, error_size);
}

bool server_unlisten(struct server *server, const char *address)
{
    struct list *at, *after;
    list_each(at, after, &server->listeners)
    {
        struct listener *listener = list_entry(at, struct listener, link);
        if (strcmp(listener->listening.address, address) != 0 &&
            strcmp(listener->listening.asked, address) != 0)
            continue;
        close_listener(listener);
        return true;
    }
    return false;
}

static void close_listeners(struct server *server)
{
    struct list *at, *after;
    list_each(at, after, &server->listeners)
    {
        close_listener(list_entry(at, struct listener, link));
    }
}

/* ---- start ---- */

static int open_listeners(struct server *server, const struct server_config *config, char *error,
                          size_t error_size)
{
    for (unsigned i = 0; i < config->listen_fds_count; i++) {
        if (adopt(server, config->listen_fds[i], error, error_size) == 0)
            continue;
        while (++i < config->listen_fds_count)
            close(config->listen_fds[i]);
        return -1;
    }
    for (unsigned i = 0; i < config->listen_count; i++) {
        if (server_listen(server, config->listen[i], error, error_size) != 0)
            return -1;
    }
    return 0;
}

static int open_default(struct server *server, char *error, size_t error_size)
{
    struct place place;
    struct worker *first = server->workers[0];
    if (first->first != NULL)
        return 0; /* it is being recovered */
    int code = directory_reserve(server, POOL_DEFAULT, &place);
    if (code != 0)
        return -1;
    first->first = pools_create(first, POOL_DEFAULT, place.number, 0, error, error_size, &code);
    return first->first == NULL ? -1 : 0;
}

static int open_workers(struct server *server, unsigned count, char *error, size_t error_size)
{
    while (server->workers_count < count) {
        int r = worker_open(&server->workers[server->workers_count], server, server->workers_count);
        if (server->workers[server->workers_count] != NULL)
            server->workers_count++; /* what there is of it is closed with the others */
        if (r == 0)
            continue;
        snprintf(error, error_size,
                 "no memory, or no file descriptors, for %u workers; give fewer (--workers)", count);
        return -1;
    }
    return 0;
}

static int start_workers(struct server *server, char *error, size_t error_size)
{
    while (server->running < server->workers_count) {
        if (worker_start(server->workers[server->running]) != 0) {
            snprintf(error, error_size, "the system gives no thread for %u workers; give fewer (--workers)",
                     server->workers_count);
            return -1;
        }
        server->running++;
    }
    return 0;
}

static int open_images(struct server *server, const struct server_config *config, char *error,
                       size_t error_size)
{
    const char *folder = config->heap_dir;
    int r = folder == NULL ? 0 : folder_open(server, folder, error, error_size);
    if (r != 0)
        for (unsigned i = 0; i < config->kept_count; i++)
            close(config->kept[i].fd);
    if (r == 0)
        r = kept_open(server, config, error, error_size);
    if (r == 0 && config->load != NULL)
        r = load_make_way(server, config->load, error, error_size);
    if (r == 0)
        r = loading_prepare(server, folder == NULL ? "what was kept" : folder, error, error_size);
    return r == 0 && config->load != NULL ? load_open(server, config->load, error, error_size) : r;
}

static int open_parts(struct server *server, const struct server_config *config, char *error,
                      size_t error_size)
{
    unsigned workers = config->workers == 0 ? 1 : config->workers;
    int r = rules_begin(server, config, error, error_size);
    if (r == 0)
        r = open_workers(server, workers, error, error_size);
    if (r != 0)
        for (unsigned i = 0; i < config->kept_count; i++)
            close(config->kept[i].fd);
    if (r != 0 || open_images(server, config, error, error_size) != 0 ||
        open_default(server, error, error_size) != 0 ||
        open_listeners(server, config, error, error_size) != 0 ||
        start_workers(server, error, error_size) != 0 || loading_start(server, error, error_size) != 0)
        return -1;
    if (server->loading.count == 0)
        start_accepting(server);
    else
        uv_timer_start(&server->patience, on_patience_over, LOADING_PATIENCE_MS, 0);
    return 0;
}

/* What the pools leave to connections: an eighth, at most CONN_SHARE_MAX. */
static uint64_t conn_share(uint64_t max_memory)
{
    return max_memory / 8 < CONN_SHARE_MAX ? max_memory / 8 : CONN_SHARE_MAX;
}

static uint64_t now_offset_ms(void)
{
    struct timespec real, boot;
    clock_gettime(CLOCK_REALTIME, &real);
    clock_gettime(CLOCK_BOOTTIME, &boot);
    return (uint64_t)(real.tv_sec - boot.tv_sec) * 1000 + (uint64_t)((real.tv_nsec - boot.tv_nsec) / 1000000);
}

/* A server without parts yet. NULL: no memory. */
static struct server *create(const struct server_config *config)
{
    struct server *server = aligned_alloc(CACHE_LINE, bits_round_up(sizeof *server, CACHE_LINE));
    if (server == NULL)
        return NULL;
    memset(server, 0, sizeof *server);
    server->log = config->log;
    server->opened_ns = uv_hrtime();
    server->now_offset_ms = now_offset_ms();
    server->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    server->images = (struct images){.folder = -1, .lock = -1};
    server->keeper = config->keeper;
    server->set_aside = config->set_aside;
    list_init(&server->listeners);
    atomic_init(&server->evacuate_percent, config->evacuate_percent);
    list_init(&server->surveys);
    mem_init(&server->mem, NULL, config->max_memory);
    mem_init(&server->pools_mem, &server->mem, config->max_memory - conn_share(config->max_memory));
    if (directory_open(&server->directory) != 0) {
        free(server);
        return NULL;
    }
    if (slowlog_open(&server->slowlog, &server->mem) != 0) {
        directory_close(server);
        free(server);
        return NULL;
    }
    slowlog_set(&server->slowlog, config->slowlog_us);
    if (rules_open(&server->rules) != 0) {
        slowlog_close(&server->slowlog);
        directory_close(server);
        free(server);
        return NULL;
    }
    if (uv_loop_init(&server->loop) != 0) {
        rules_close(&server->rules);
        slowlog_close(&server->slowlog);
        directory_close(server);
        free(server);
        return NULL;
    }
    return server;
}

static void on_wake(uv_async_t *wake);
static void end_workers(struct server *server);

int server_open(struct server **ret, const struct server_config *config, char *error, size_t error_size)
{
    struct server *server = create(config);
    snprintf(error, error_size, "no memory");
    if (server == NULL)
        return -1;
    uv_timer_init(&server->loop, &server->drain);
    uv_timer_init(&server->loop, &server->patience);
    int r = uv_async_init(&server->loop, &server->wake, on_wake);
    server->drain.data = server->patience.data = server->wake.data = server;
    if (r == 0 && open_parts(server, config, error, error_size) == 0) {
        *ret = server;
        return 0;
    }
    loading_end(server);
    close_listeners(server);
    end_workers(server);
    uv_close((uv_handle_t *)&server->drain, NULL);
    uv_close((uv_handle_t *)&server->patience, NULL);
    if (r == 0)
        uv_close((uv_handle_t *)&server->wake, NULL);
    uv_run(&server->loop, UV_RUN_DEFAULT);
    server_close(server);
    return -1;
}

/* ---- the end ---- */

static void tell_close(struct server *server, bool at_once)
{
    for (unsigned i = 0; i < server->workers_count; i++)
        worker_tell_close(server->workers[i], at_once);
}

static void close_handles(struct server *server)
{
    uv_close((uv_handle_t *)&server->drain, NULL);
    uv_close((uv_handle_t *)&server->patience, NULL);
    uv_close((uv_handle_t *)&server->wake, NULL);
    if (server->stopped != NULL)
        server->stopped(server->stopped_data);
}

static void join_workers(struct server *server)
{
    while (server->running > 0)
        uv_thread_join(&server->workers[--server->running]->thread);
}

/* Those whose threads run although the server never did. */
static void end_workers(struct server *server)
{
    for (unsigned i = 0; i < server->running; i++)
        worker_tell_close(server->workers[i], true);
    join_workers(server);
}

/* Something was refused: the server ends, without having served what is in order. */
static void give_up(struct server *server, const char *error)
{
    loading_end(server);
    close_listeners(server);
    server->draining = server->closing = true;
    if (server->loaded != NULL)
        server->loaded(server->loaded_data, error);
    tell_close(server, true);
}

/* Whether all pools are there, or one is not to be had. */
static void look_at_loading(struct server *server)
{
    struct loading *loading = &server->loading;
    const struct load *failed = atomic_load(&loading->failed);
    if (loading->count == 0 || loading->over || server->draining)
        return;
    loading->over = failed != NULL || atomic_load(&loading->ready) == loading->count;
    if (failed != NULL) {
        give_up(server, failed->error);
    } else if (loading->over) {
        loading_end(server);
        start_accepting(server);
        if (server->loaded != NULL)
            server->loaded(server->loaded_data, NULL);
    }
}

/* A worker has something to tell. When all are drained, what one had sent to another before has been delivered: they
 * close once they are quiet again. When all have ended there is nothing left to serve. */
static void on_wake(uv_async_t *wake)
{
    struct server *server = wake->data;
    unsigned drained = 0, ended = 0;
    look_at_loading(server);
    surveys_home(server);
    for (unsigned i = 0; i < server->workers_count; i++) {
        drained += atomic_load(&server->workers[i]->drained);
        ended += atomic_load(&server->workers[i]->ended);
    }
    if (drained == server->workers_count && !server->closing) {
        server->closing = true;
        tell_close(server, false);
    }
    if (ended == server->workers_count && server->running > 0) {
        join_workers(server);
        close_handles(server);
    }
}

static void on_drain_over(uv_timer_t *timer)
{
    struct server *server = timer->data;
    log_write(server->log, LOG_LEVEL_WARN, "drain_over",
              "msg=\"some clients did not take their replies in %u ms\"", SERVER_DRAIN_MS);
    server->closing = true;
    tell_close(server, true);
}

void server_stop(struct server *server)
{
    if (server->draining)
        return;
    loading_end(server);
    server->draining = true;
    close_listeners(server);
    uv_timer_start(&server->drain, on_drain_over, SERVER_DRAIN_MS, 0);
    for (unsigned i = 0; i < server->workers_count; i++)
        worker_tell_drain(server->workers[i]);
}

int server_run(struct server *server)
{
    return uv_run(&server->loop, UV_RUN_DEFAULT);
}

void server_close(struct server *server)
{
    loading_end(server);
    end_workers(server);
    for (unsigned i = 0; i < server->workers_count; i++)
        worker_close(server->workers[i]);
    loading_close(server); /* messages of it may have been in the workers' mailboxes */
    surveys_close(server);
    if (server->images.path != NULL)
        images_close(&server->images); /* when no pool has its files open any more */
    directory_close(server);
    slowlog_close(&server->slowlog);
    rules_close(&server->rules);
    mem_done(&server->pools_mem);
    mem_done(&server->mem);
    uv_loop_close(&server->loop);
    if (server->reserve_fd >= 0)
        close(server->reserve_fd);
    free(server);
}

/* ---- changes and facts ---- */

void server_set_max_memory(struct server *server, uint64_t bytes)
{
    mem_set_limit(&server->mem, bytes);
    mem_set_limit(&server->pools_mem, bytes - conn_share(bytes));
}

void server_set_slowlog_us(struct server *server, uint64_t us)
{
    slowlog_set(&server->slowlog, us);
}

uint64_t server_now_ms(const struct server *server)
{
    struct timespec now;
    clock_gettime(CLOCK_BOOTTIME, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000 + server->now_offset_ms;
}

void server_loading(const struct server *server, struct server_loading *ret)
{
    const struct loading *loading = &server->loading;
    uint64_t done = 0;
    *ret = (struct server_loading){.of = loading->count};
    for (unsigned k = 0; k < loading->count; k++) {
        const struct load *load = &loading->loads[k];
        bool ready = atomic_load(&load->ready);
        ret->objects += load->objects;
        done += (load->objects + 1) * (ready ? 1000 : atomic_load(&load->done));
        ret->pools += !ready;
        if (!ready && ret->name == NULL)
            ret->name = load->name;
    }
    ret->done = (unsigned)(done / (ret->objects + loading->count + (loading->count == 0)));
}

void server_on_loaded(struct server *server, void (*loaded)(void *data, const char *error), void *data)
{
    server->loaded = loaded;
    server->loaded_data = data;
}

void server_set_evacuate_percent(struct server *server, unsigned percent)
{
    atomic_store_explicit(&server->evacuate_percent, percent, memory_order_relaxed); /* a figure on its own */
}

bool server_alive(struct server *server, unsigned *stuck)
{
    bool all = true;
    for (unsigned i = server->workers_count; i-- > 0;) {
        if (worker_alive(server->workers[i]))
            continue;
        all = false;
        *stuck = i;
    }
    return all;
}

void server_summary(const struct server *server, struct server_summary *ret)
{
    *ret = (struct server_summary){.memory_limit = mem_limit(&server->mem)};
    for (unsigned i = 0; i < server->workers_count; i++) {
        const struct published *published = &server->workers[i]->published;
        ret->pools += atomic_load_explicit(&published->pools, memory_order_relaxed);
        ret->objects += atomic_load_explicit(&published->objects, memory_order_relaxed);
        ret->object_bytes += atomic_load_explicit(&published->object_bytes, memory_order_relaxed);
        ret->sessions += atomic_load_explicit(&published->sessions, memory_order_relaxed);
        ret->memory_used += atomic_load_explicit(&published->memory_used, memory_order_relaxed);
        ret->waiting += atomic_load_explicit(&published->waiting, memory_order_relaxed);
    }
}

const char *server_address(const struct server *server, unsigned n)
{
    struct list *at, *after;
    list_each(at, after, &server->listeners)
    {
        if (n-- == 0)
            return list_entry(at, struct listener, link)->listening.address;
    }
    return NULL;
}

uv_loop_t *server_loop(struct server *server)
{
    return &server->loop;
}

void server_on_stopped(struct server *server, void (*stopped)(void *data), void *data)
{
    server->stopped = stopped;
    server->stopped_data = data;
}

const char *server_name(const struct server *server)
{
    (void)server;
    return "holdfastd";
}

unsigned server_workers(const struct server *server)
{
    return server->workers_count;
}

uint64_t server_memory_limit(const struct server *server)
{
    return mem_limit(&server->mem);
}

uint64_t server_refused(const struct server *server)
{
    return atomic_load_explicit(&server->refused, memory_order_relaxed);
}
