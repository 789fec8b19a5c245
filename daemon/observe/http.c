/* SPDX-License-Identifier: BSD-3-Clause */
/* The HTTP side: listeners, their clients, and requests on their way through a survey.
 *
 * A request is checked at its head (method, host, no body, path). One that needs figures is suspended until its survey
 * is home, or OBSERVE_WAIT_MS are over; then libmicrohttpd asks again, and the answer is made. */
#include "daemon/observe/answers.h"
#include "daemon/observe/host.h"
#include "daemon/observe/page.h"
#include "daemon/transport/transport.h"

#include <arpa/inet.h>
#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#define SWEEP_MS     250u
#define ROWS_MOST    1024u /* of /connz in one answer */
#define CLIENT_BYTES (sizeof(struct client) + OBSERVE_HEADERS_MAX)

struct stats_listener {
    struct list link; /* in observe.listeners */
    struct observe *observe;
    struct listening listening;
    char shown[TRANSPORT_ADDRESS_MAX + 8];
    char host[HOST_MAX]; /* as configured */
    struct MHD_Daemon *http;
    uv_poll_t poll;
    uv_timer_t run;   /* libmicrohttpd wants to run */
    uv_timer_t sweep; /* active while there are clients */
    unsigned handles; /* not closed yet */
    struct list clients, requests;
    bool again; /* a client has gone: at the limit of clients, it is the next run that accepts others */
    bool closing;
};

/* A connection. */
struct client {
    struct list link;
    struct stats_listener *listener;
    int fd;
    uint64_t since_ms; /* loop time: since when it sends a request, or takes an answer */
    bool answering;
    char local[INET6_ADDRSTRLEN]; /* empty: a unix socket */
};

struct endpoint;

/* A request that waits for a survey, or is being answered from it. */
struct request {
    struct list link; /* in listener.requests while it waits */
    struct stats_listener *listener;
    struct MHD_Connection *connection;
    const struct endpoint *endpoint;
    struct survey *survey; /* NULL: cancelled, or none was to be had */
    bool begun;            /* its survey was asked for, if it needs one */
    bool home;             /* the survey is ours */
    uint64_t begin_ms, begin_ns;
    struct page_of page;
};

/* ---- answers ---- */

static void add_headers(struct MHD_Response *response, const char *type, const char *policy)
{
    MHD_add_response_header(response, "Content-Type", type);
    MHD_add_response_header(response, "Content-Security-Policy", policy);
    MHD_add_response_header(response, "Cache-Control", "no-store");
    MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
    MHD_add_response_header(response, "Referrer-Policy", "no-referrer");
    MHD_add_response_header(response, "Cross-Origin-Resource-Policy", "same-origin");
}

static enum MHD_Result send_response(struct MHD_Connection *connection, unsigned status,
                                     struct MHD_Response *response)
{
    if (response == NULL)
        return MHD_NO;
    enum MHD_Result result = MHD_queue_response(connection, status, response);
    MHD_destroy_response(response);
    return result;
}

static const char no_policy[] = "default-src 'none'; frame-ancestors 'none'";

/* A static text. Refusals end the connection. */
static enum MHD_Result say(struct MHD_Connection *connection, unsigned status, const char *text)
{
    union { /* the library promises not to change what is persistent */
        const char *in;
        void *out;
    } data = {.in = text};
    struct MHD_Response *response =
        MHD_create_response_from_buffer(strlen(text), data.out, MHD_RESPMEM_PERSISTENT);
    if (response == NULL)
        return MHD_NO;
    add_headers(response, "text/plain; charset=utf-8", no_policy);
    if (status == MHD_HTTP_METHOD_NOT_ALLOWED)
        MHD_add_response_header(response, "Allow", "GET, HEAD");
    if (status >= 400)
        MHD_add_response_header(response, "Connection", "close");
    return send_response(connection, status, response);
}

static void free_text(void *data)
{
    struct text *text = data;
    text_done(text);
    free(text);
}

/* A text that was made; taken over. */
static enum MHD_Result send_text(struct MHD_Connection *connection, struct text *text, const char *type)
{
    if (text == NULL || text->failed) {
        if (text != NULL)
            free_text(text);
        return say(connection, MHD_HTTP_SERVICE_UNAVAILABLE, "no memory for this answer\n");
    }
    struct MHD_Response *response =
        MHD_create_response_from_buffer_with_free_callback_cls(text->used, text->data, free_text, text);
    if (response == NULL) {
        free_text(text);
        return MHD_NO;
    }
    add_headers(response, type, no_policy);
    return send_response(connection, MHD_HTTP_OK, response);
}

static struct text *new_text(const struct observe *observe)
{
    struct text *text = malloc(sizeof *text);
    if (text != NULL)
        text_init(text, server_mem(observe->server), OBSERVE_ANSWER_MAX);
    return text;
}

/* ---- endpoints ---- */

static const char json_type[] = "application/json";

static enum MHD_Result send_page(struct MHD_Connection *connection)
{
    union {
        const unsigned char *in;
        void *out;
    } data = {.in = observe_page};
    struct MHD_Response *response =
        MHD_create_response_from_buffer(observe_page_size, data.out, MHD_RESPMEM_PERSISTENT);
    if (response == NULL)
        return MHD_NO;
    add_headers(response, "text/html; charset=utf-8", observe_page_policy);
    return send_response(connection, MHD_HTTP_OK, response);
}

static enum MHD_Result get_page(struct request *request, struct text *text)
{
    (void)text;
    return send_page(request->connection);
}

static enum MHD_Result get_ready(struct request *request, struct text *text)
{
    (void)text;
    struct server_loading loading;
    server_loading(request->listener->observe->server, &loading);
    if (loading.pools > 0)
        return say(request->connection, MHD_HTTP_SERVICE_UNAVAILABLE, "pools are being recovered\n");
    if (server_draining(request->listener->observe->server))
        return say(request->connection, MHD_HTTP_SERVICE_UNAVAILABLE, "the daemon is going down\n");
    return say(request->connection, MHD_HTTP_OK, "ready\n");
}

static enum MHD_Result get_health(struct request *request, struct text *text)
{
    (void)text;
    return say(request->connection, MHD_HTTP_OK, "all workers answer\n");
}

static enum MHD_Result get_slow(struct request *request, struct text *text)
{
    answer_slowz(text, request->listener->observe);
    return send_text(request->connection, text, json_type);
}

static enum MHD_Result get_metrics(struct request *request, struct text *text)
{
    struct observe *observe = request->listener->observe;
    answer_metrics(text, observe, request->survey);
    observe->scrapes++;
    observe->scrape_ns += uv_hrtime() - request->begin_ns;
    return send_text(request->connection, text, "text/plain; version=0.0.4; charset=utf-8");
}

static enum MHD_Result get_var(struct request *request, struct text *text)
{
    answer_varz(text, request->listener->observe, request->survey);
    return send_text(request->connection, text, json_type);
}

static enum MHD_Result get_conn(struct request *request, struct text *text)
{
    answer_connz(text, request->survey, &request->page);
    return send_text(request->connection, text, json_type);
}

static enum MHD_Result get_pool(struct request *request, struct text *text)
{
    answer_poolz(text, request->survey);
    return send_text(request->connection, text, json_type);
}

static enum MHD_Result get_gc(struct request *request, struct text *text)
{
    answer_gcz(text, request->survey);
    return send_text(request->connection, text, json_type);
}

enum needs { NEEDS_NOTHING, NEEDS_TEXT, NEEDS_WORKERS, NEEDS_POOLS, NEEDS_SESSIONS };

/* `get` takes the text over; it is there if the endpoint needs more than nothing, but for NEEDS_WORKERS. */
static const struct endpoint {
    const char *path;
    enum needs needs;
    enum MHD_Result (*get)(struct request *request, struct text *text);
} endpoints[] = {
    {"/", NEEDS_NOTHING, get_page},          {"/metrics", NEEDS_POOLS, get_metrics},
    {"/healthz", NEEDS_WORKERS, get_health}, {"/readyz", NEEDS_NOTHING, get_ready},
    {"/varz", NEEDS_POOLS, get_var},         {"/connz", NEEDS_SESSIONS, get_conn},
    {"/poolz", NEEDS_POOLS, get_pool},       {"/gcz", NEEDS_POOLS, get_gc},
    {"/slowz", NEEDS_TEXT, get_slow},
};

static const struct endpoint *find_endpoint(const char *path)
{
    for (size_t i = 0; i < sizeof endpoints / sizeof endpoints[0]; i++) {
        if (strcmp(endpoints[i].path, path) == 0)
            return &endpoints[i];
    }
    return NULL;
}

static enum MHD_Result answer(struct request *request)
{
    const struct endpoint *endpoint = request->endpoint;
    struct text *text = NULL;
    request->listener->observe->answered++;
    if (endpoint->needs >= NEEDS_WORKERS && (!request->home || request->survey->oom))
        return say(request->connection, MHD_HTTP_SERVICE_UNAVAILABLE,
                   request->home ? "no memory for this answer\n"
                                 : "a worker has not answered in time; the log says which\n");
    if (endpoint->needs != NEEDS_NOTHING && endpoint->needs != NEEDS_WORKERS &&
        (text = new_text(request->listener->observe)) == NULL)
        return say(request->connection, MHD_HTTP_SERVICE_UNAVAILABLE, "no memory for this answer\n");
    return endpoint->get(request, text);
}

/* ---- arguments of /connz ---- */

static const struct {
    const char *word;
    enum survey_sort sort;
    bool ascending;
} sorts[] = {
    {"held", SORT_HELD, false}, {"bytes", SORT_BYTES, false}, {"queued", SORT_QUEUED, false},
    {"idle", SORT_IDLE, false}, {"since", SORT_SINCE, false}, {"sid", SORT_SID, true},
};

/* A number of `least` to `most`; missing: `standard`. */
static bool read_number(struct MHD_Connection *connection, const char *key, unsigned least, unsigned most,
                        unsigned standard, unsigned *ret)
{
    const char *text = MHD_lookup_connection_value(connection, MHD_GET_ARGUMENT_KIND, key);
    *ret = standard;
    if (text == NULL)
        return true;
    if (text[0] == '\0' || strlen(text) > 6 || text[strspn(text, "0123456789")] != '\0')
        return false;
    *ret = (unsigned)strtoul(text, NULL, 10);
    return *ret >= least && *ret <= most;
}

static bool read_page(struct request *request, struct survey *asked)
{
    struct MHD_Connection *connection = request->connection;
    const char *word = MHD_lookup_connection_value(connection, MHD_GET_ARGUMENT_KIND, "sort");
    struct page_of *page = &request->page;
    if (!read_number(connection, "limit", 1, ROWS_MOST, 100, &page->limit) ||
        !read_number(connection, "offset", 0, SURVEY_ROWS_MAX - ROWS_MOST, 0, &page->offset))
        return false;
    asked->sessions_most = page->offset + page->limit;
    for (size_t i = 0; i < sizeof sorts / sizeof sorts[0]; i++) {
        if (strcmp(word == NULL ? "held" : word, sorts[i].word) != 0)
            continue;
        page->sort = sorts[i].word;
        asked->sort = sorts[i].sort;
        asked->ascending = sorts[i].ascending;
        return true;
    }
    return false;
}

/* ---- the way through a survey ---- */

static void run_soon(struct stats_listener *listener);

static void go_on(struct request *request)
{
    list_remove(&request->link);
    MHD_resume_connection(request->connection);
    run_soon(request->listener);
}

static void on_survey(struct survey *survey, void *data)
{
    struct request *request = data;
    (void)survey;
    request->home = true;
    go_on(request);
}

static void give_up(struct request *request)
{
    survey_cancel(request->survey);
    request->survey = NULL;
    go_on(request);
}

/* Begins to wait, or answers at once if nothing has to be waited for. */
static enum MHD_Result begin(struct request *request)
{
    const struct endpoint *endpoint = request->endpoint;
    struct observe *observe = request->listener->observe;
    struct survey asked = {.pools = endpoint->needs == NEEDS_POOLS};
    request->begun = true;
    if (endpoint->needs < NEEDS_WORKERS)
        return answer(request);
    if (endpoint->needs == NEEDS_SESSIONS && !read_page(request, &asked))
        return say(request->connection, MHD_HTTP_BAD_REQUEST,
                   "sort is held, bytes, queued, idle, since or sid; limit 1 ... 1024; offset 0 ... 15360\n");
    request->survey = server_survey(observe->server, &asked, on_survey, request);
    if (request->survey == NULL)
        return say(request->connection, MHD_HTTP_SERVICE_UNAVAILABLE,
                   "no memory, or too many requests that wait for a worker\n");
    list_append(&request->listener->requests, &request->link);
    MHD_suspend_connection(request->connection);
    return MHD_YES;
}

/* ---- requests as they come ---- */

static const char *header(struct MHD_Connection *connection, const char *name)
{
    return MHD_lookup_connection_value(connection, MHD_HEADER_KIND, name);
}

static struct client *client_of(struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    return info == NULL ? NULL : info->socket_context;
}

/* NULL: it may be answered; else why not, with *status. */
static const char *fault(const struct stats_listener *listener, struct MHD_Connection *connection,
                         const struct client *client, const char *method, unsigned *status)
{
    const char *length = header(connection, "Content-Length");
    *status = MHD_HTTP_METHOD_NOT_ALLOWED;
    if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0)
        return "only GET and HEAD\n";
    *status = MHD_HTTP_BAD_REQUEST;
    if ((length != NULL && strcmp(length, "0") != 0) || header(connection, "Transfer-Encoding") != NULL)
        return "a request has no body here\n";
    *status = MHD_HTTP_MISDIRECTED_REQUEST;
    if (!host_is_ours(header(connection, "Host"), listener->host, client->local))
        return "not this host: use localhost, the address, or the name in the configuration\n";
    return NULL;
}

static enum MHD_Result on_request(void *data, struct MHD_Connection *connection, const char *path,
                                  const char *method, const char *version, const char *upload,
                                  size_t *upload_size, void **state)
{
    struct stats_listener *listener = data;
    struct request *request = *state;
    struct client *client = client_of(connection);
    unsigned status;
    (void)version, (void)upload;
    *upload_size = 0;
    if (request != NULL)
        return request->begun ? answer(request) : begin(request);
    if (client == NULL || listener->closing)
        return MHD_NO;
    client->answering = true;
    client->since_ms = uv_now(listener->observe->loop);
    const char *why = fault(listener, connection, client, method, &status);
    const struct endpoint *endpoint = find_endpoint(path);
    listener->observe->refused += why != NULL || endpoint == NULL;
    if (why != NULL)
        return say(connection, status, why);
    if (endpoint == NULL)
        return say(connection, MHD_HTTP_NOT_FOUND,
                   "not found; there are / /metrics /healthz /readyz /varz /connz /poolz /gcz /slowz\n");
    *state = request = calloc(1, sizeof *request);
    if (request == NULL)
        return MHD_NO;
    *request = (struct request){.listener = listener,
                                .connection = connection,
                                .endpoint = endpoint,
                                .begin_ms = uv_now(listener->observe->loop),
                                .begin_ns = uv_hrtime()};
    list_init(&request->link);
    return MHD_YES; /* it is asked for again when all of the request has come: only then the connection can stay */
}

/* The answer is out, or the client gone. */
static void on_completed(void *data, struct MHD_Connection *connection, void **state,
                         enum MHD_RequestTerminationCode code)
{
    struct stats_listener *listener = data;
    struct request *request = *state;
    struct client *client = client_of(connection);
    (void)code;
    *state = NULL;
    if (client != NULL) {
        client->answering = false;
        client->since_ms = uv_now(listener->observe->loop);
    }
    if (request == NULL)
        return;
    list_remove(&request->link);
    if (request->survey != NULL && request->home)
        survey_free(request->survey);
    else if (request->survey != NULL)
        survey_cancel(request->survey);
    free(request);
}

/* ---- clients ---- */

static void tell_local(struct client *client)
{
    union {
        struct sockaddr any;
        struct sockaddr_in in;
        struct sockaddr_in6 in6;
        struct sockaddr_storage room;
    } local;
    socklen_t size = sizeof local;
    char *text = client->local;
    memset(&local, 0, sizeof local);
    if (getsockname(client->fd, &local.any, &size) != 0)
        return;
    if (local.any.sa_family == AF_INET)
        inet_ntop(AF_INET, &local.in.sin_addr, text, sizeof client->local);
    else if (local.any.sa_family == AF_INET6)
        inet_ntop(AF_INET6, &local.in6.sin6_addr, text, sizeof client->local);
    if (strncmp(text, "::ffff:", 7) == 0 && strchr(text, '.') != NULL)
        memmove(text, text + 7, strlen(text + 7) + 1);
}

static void on_sweep(uv_timer_t *timer)
{
    struct stats_listener *listener = timer->data;
    uint64_t now_ms = uv_now(listener->observe->loop);
    struct list *at, *after;
    list_each(at, after, &listener->requests)
    {
        struct request *request = list_entry(at, struct request, link);
        if (now_ms - request->begin_ms >= OBSERVE_WAIT_MS)
            give_up(request);
    }
    list_each(at, after, &listener->clients)
    {
        struct client *client = list_entry(at, struct client, link);
        uint64_t most_ms = 1000 * (client->answering ? OBSERVE_ANSWER_S : OBSERVE_REQUEST_S);
        if (now_ms - client->since_ms >= most_ms)
            shutdown(client->fd, SHUT_RDWR); /* the library finds it closed */
    }
    if (list_empty(&listener->clients))
        uv_timer_stop(timer);
}

static void open_client(struct stats_listener *listener, struct MHD_Connection *connection, void **context)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    struct mem *mem = server_mem(listener->observe->server);
    struct client *client = mem_charge(mem, CLIENT_BYTES) ? calloc(1, sizeof *client) : NULL;
    *context = client;
    if (client == NULL)
        return; /* its request is refused */
    client->listener = listener;
    client->fd = info == NULL ? -1 : info->connect_fd;
    uv_update_time(listener->observe->loop);
    client->since_ms = uv_now(listener->observe->loop);
    tell_local(client);
    list_append(&listener->clients, &client->link);
    if (!uv_is_active((uv_handle_t *)&listener->sweep) && !listener->closing)
        uv_timer_start(&listener->sweep, on_sweep, SWEEP_MS, SWEEP_MS);
}

static void on_connection(void *data, struct MHD_Connection *connection, void **context,
                          enum MHD_ConnectionNotificationCode code)
{
    struct stats_listener *listener = data;
    struct client *client = *context;
    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        open_client(listener, connection, context);
        return;
    }
    *context = NULL;
    listener->again = true;
    if (client == NULL)
        return;
    list_remove(&client->link);
    mem_uncharge(server_mem(listener->observe->server), CLIENT_BYTES);
    free(client);
}

/* ---- the loop ---- */

static void on_run(uv_timer_t *timer);

/* Does what there is to do, and asks when there will be more. */
static void run(struct stats_listener *listener)
{
    MHD_UNSIGNED_LONG_LONG wait_ms;
    if (listener->closing)
        return;
    listener->again = false;
    MHD_run(listener->http);
    if (listener->again)
        uv_timer_start(&listener->run, on_run, 0, 0);
    else if (MHD_get_timeout(listener->http, &wait_ms) == MHD_YES)
        uv_timer_start(&listener->run, on_run, wait_ms, 0);
    else
        uv_timer_stop(&listener->run);
}

static void on_run(uv_timer_t *timer)
{
    run(timer->data);
}

static void on_ready(uv_poll_t *poll, int status, int events)
{
    (void)status, (void)events;
    run(poll->data);
}

static void run_soon(struct stats_listener *listener)
{
    if (!listener->closing)
        uv_timer_start(&listener->run, on_run, 0, 0);
}

/* ---- listeners ---- */

static void on_closed(uv_handle_t *handle)
{
    struct stats_listener *listener = handle->data;
    if (--listener->handles == 0)
        free(listener);
}

static void close_listener(struct stats_listener *listener)
{
    struct list *at, *after;
    listener->closing = true;
    list_remove(&listener->link);
    listener->observe->listeners_count--;
    uv_close((uv_handle_t *)&listener->poll, on_closed);
    uv_close((uv_handle_t *)&listener->run, on_closed);
    uv_close((uv_handle_t *)&listener->sweep, on_closed);
    list_each(at, after, &listener->requests)
    {
        give_up(list_entry(at, struct request, link)); /* none may be suspended at the end */
    }
    MHD_quiesce_daemon(listener->http);
    MHD_stop_daemon(listener->http);
    listener->listening.transport->unlisten(&listener->listening);
}

static void ignore_log(void *data, const char *format, va_list args)
{
    (void)data, (void)format, (void)args; /* what clients do wrong is their business */
}

/* Nothing is unescaped: no path of ours has an escape in it, and an escaped zero would end it. */
static size_t keep_escapes(void *data, struct MHD_Connection *connection, char *text)
{
    (void)data, (void)connection;
    return strlen(text);
}

static struct MHD_Daemon *start_http(struct stats_listener *listener)
{
    return MHD_start_daemon(
        MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG, 0, NULL, NULL, on_request, listener,
        MHD_OPTION_EXTERNAL_LOGGER, ignore_log, NULL, MHD_OPTION_UNESCAPE_CALLBACK, keep_escapes, NULL,
        MHD_OPTION_LISTEN_SOCKET, listener->listening.fd, MHD_OPTION_CONNECTION_LIMIT, OBSERVE_CLIENTS_MAX,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)OBSERVE_HEADERS_MAX, MHD_OPTION_CONNECTION_TIMEOUT,
        OBSERVE_ANSWER_S, MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_NOTIFY_COMPLETED, on_completed,
        listener, MHD_OPTION_NOTIFY_CONNECTION, on_connection, listener, MHD_OPTION_END);
}

/* Its handles in the loop; -1: it has none. */
static int start_handles(struct stats_listener *listener)
{
    uv_loop_t *loop = listener->observe->loop;
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(listener->http, MHD_DAEMON_INFO_EPOLL_FD);
    if (info == NULL || uv_poll_init(loop, &listener->poll, info->epoll_fd) != 0)
        return -1;
    uv_timer_init(loop, &listener->run);
    uv_timer_init(loop, &listener->sweep);
    listener->poll.data = listener->run.data = listener->sweep.data = listener;
    listener->handles = 3;
    uv_poll_start(&listener->poll, UV_READABLE, on_ready);
    return 0;
}

static void name_listener(struct stats_listener *listener, const char *named)
{
    const char *real = listener->listening.address;
    if (strncmp(real, "tcp:", 4) == 0) {
        snprintf(listener->shown, sizeof listener->shown, "http://%s", real + 4);
        host_of(named, listener->host);
    } else {
        snprintf(listener->shown, sizeof listener->shown, "%s", real);
    }
}

/* Takes the listening over, also on failure. `named`: the address as configured. */
static int add(struct observe *observe, const struct listening *listening, const char *named, char *error,
               size_t error_size)
{
    struct stats_listener *listener = calloc(1, sizeof *listener);
    struct listening failed = *listening;
    if (listener != NULL && observe->listeners_count < OBSERVE_LISTEN_MAX) {
        listener->observe = observe;
        listener->listening = *listening;
        list_init(&listener->clients);
        list_init(&listener->requests);
        name_listener(listener, named);
        listener->http = start_http(listener);
        if (listener->http != NULL && start_handles(listener) == 0) {
            list_append(&observe->listeners, &listener->link);
            observe->listeners_count++;
            return 0;
        }
        if (listener->http != NULL) {
            MHD_quiesce_daemon(listener->http);
            MHD_stop_daemon(listener->http);
        }
    }
    free(listener);
    listening->transport->unlisten(&failed);
    snprintf(error, error_size, "%s: the endpoint for monitoring cannot be opened there: %s", named,
             observe->listeners_count < OBSERVE_LISTEN_MAX ? "no memory, or no descriptors"
                                                           : "there are 8 already");
    return -1;
}

/* In the form of a transport's address. */
static void full_address(const char *address, char ret[TRANSPORT_ADDRESS_MAX])
{
    bool is_unix = strncmp(address, "unix:", 5) == 0;
    snprintf(ret, TRANSPORT_ADDRESS_MAX, "%s%s", is_unix ? "" : "tcp:", address);
}

int observe_check(const char *address, char *error, size_t error_size)
{
    char full[TRANSPORT_ADDRESS_MAX];
    if (strncmp(address, "tcp:", 4) == 0 || strncmp(address, "http:", 5) == 0) {
        snprintf(error, error_size, "%s: give HOST:PORT, or unix:PATH", address);
        return -1;
    }
    full_address(address, full);
    return transport_check(full, error, error_size);
}

int observe_listen(struct observe *observe, const char *address, char *error, size_t error_size)
{
    struct listening listening;
    char full[TRANSPORT_ADDRESS_MAX];
    full_address(address, full);
    if (observe_check(address, error, error_size) != 0 ||
        transport_listen(&listening, full, error, error_size) != 0)
        return -1;
    snprintf(listening.asked, sizeof listening.asked, "%s", address);
    return add(observe, &listening, address, error, error_size);
}

int observe_adopt(struct observe *observe, int fd, char *error, size_t error_size)
{
    struct listening listening;
    if (transport_adopt(&listening, fd, error, error_size) != 0)
        return -1;
    return add(observe, &listening, "", error, error_size);
}

bool observe_unlisten(struct observe *observe, const char *address)
{
    struct list *at, *after;
    list_each(at, after, &observe->listeners)
    {
        struct stats_listener *listener = list_entry(at, struct stats_listener, link);
        if (strcmp(listener->listening.asked, address) != 0)
            continue;
        close_listener(listener);
        return true;
    }
    return false;
}

const char *observe_address(const struct observe *observe, unsigned n)
{
    struct list *at, *after;
    list_each(at, after, &observe->listeners)
    {
        if (n-- == 0)
            return list_entry(at, struct stats_listener, link)->shown;
    }
    return NULL;
}

void observe_init(struct observe *observe, struct server *server, uv_loop_t *loop, struct log *log)
{
    *observe =
        (struct observe){.server = server, .loop = loop, .log = log, .started_s = (uint64_t)time(NULL)};
    list_init(&observe->listeners);
}

void observe_stop(struct observe *observe)
{
    struct list *at, *after;
    observe->stopping = true;
    list_each(at, after, &observe->listeners)
    {
        close_listener(list_entry(at, struct stats_listener, link));
    }
}
