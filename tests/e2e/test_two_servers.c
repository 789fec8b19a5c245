/* SPDX-License-Identifier: BSD-3-Clause */
/* Two servers in one process, each with its own loop in its own thread, used at once by clients of both. What
 * one of them has, says or does the other knows nothing of: everything hangs from a server, nothing is global. */
#include "client/holdfast.h"
#include "daemon/server/server.h"
#include "tests/lib/suite.h"

#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define SERVERS 2u
#define CLIENTS 3u /* threads a server */
#define ROUNDS  300u
#define MEMORY  (128ull << 20)

struct instance {
    char address[80];
    struct log log;
    struct server *server;
    uv_async_t stop;
    pthread_t thread;
    sem_t ready;
    bool running;
    char error[512];
};

/* A client thread; asserting is for the main one, so it notes what went wrong. */
struct client {
    const struct instance *instance;
    unsigned number;
    pthread_t thread;
    char failed[256];
    uint64_t made;
};

static char folder[32];
static struct instance instances[SERVERS];

/* ---- servers ---- */

static void on_stop(uv_async_t *stop)
{
    struct instance *instance = stop->data;
    server_stop(instance->server);
}

static void on_stopped(void *data)
{
    struct instance *instance = data;
    uv_close((uv_handle_t *)&instance->stop, NULL);
}

/* One thread calls all of a server. */
static void *serve(void *data)
{
    struct instance *instance = data;
    const char *listen[] = {instance->address};
    const struct server_config config = {
        .listen = listen, .listen_count = 1, .max_memory = MEMORY, .log = &instance->log};
    bool opened = server_open(&instance->server, &config, instance->error, sizeof instance->error) == 0;
    if (opened) {
        uv_async_init(server_loop(instance->server), &instance->stop, on_stop);
        instance->stop.data = instance;
        server_on_stopped(instance->server, on_stopped, instance);
        instance->error[0] = '\0';
    }
    sem_post(&instance->ready);
    if (!opened)
        return NULL;
    server_run(instance->server);
    server_close(instance->server);
    return NULL;
}

static void start(struct instance *instance)
{
    sem_init(&instance->ready, 0, 0);
    log_init(&instance->log, STDERR_FILENO, LOG_LEVEL_ERROR);
    ck_assert_int_eq(pthread_create(&instance->thread, NULL, serve, instance), 0);
    while (sem_wait(&instance->ready) != 0)
        continue;
    sem_destroy(&instance->ready);
    ck_assert_str_eq(instance->error, "");
    instance->running = true;
}

static void stop(struct instance *instance)
{
    if (!instance->running)
        return;
    instance->running = false;
    ck_assert_int_eq(uv_async_send(&instance->stop), 0);
    ck_assert_int_eq(pthread_join(instance->thread, NULL), 0);
    ck_assert_int_ne(access(instance->address + strlen("unix:"), F_OK), 0); /* its socket file is gone */
}

static void setup(void)
{
    signal(SIGPIPE, SIG_IGN);
    strcpy(folder, "/tmp/hf-test-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    for (unsigned i = 0; i < SERVERS; i++) {
        struct instance *instance = &instances[i];
        *instance = (struct instance){.running = false};
        snprintf(instance->address, sizeof instance->address, "unix:%s/%u", folder, i);
        start(instance);
    }
}

static void teardown(void)
{
    for (unsigned i = 0; i < SERVERS; i++)
        stop(&instances[i]);
    ck_assert_int_eq(rmdir(folder), 0);
}

static hf_conn *dial(const struct instance *instance, const struct hf_hello_options *hello)
{
    hf_conn *conn;
    ck_assert_int_eq(hf_connect(instance->address, HF_NO_TIMEOUT, &conn), 0);
    if (hello != NULL)
        ck_assert_int_eq(hf_hello(conn, hello), 0);
    return conn;
}

/* ---- figures ---- */

static int64_t figure(hf_conn *conn, const char *section, const char *key)
{
    hf_reply *reply;
    int64_t value = -1;
    ck_assert_int_eq(hf_stats(conn, section, &reply), 0);
    ck_assert(hf_item_int(hf_item_get(hf_reply_item(reply), key), &value));
    hf_reply_free(reply);
    return value;
}

static size_t pools(hf_conn *conn)
{
    hf_reply *reply;
    ck_assert_int_eq(hf_pools(conn, &reply), 0);
    size_t count = hf_item_count(hf_reply_item(reply));
    hf_reply_free(reply);
    return count;
}

/* ---- clients in threads ---- */

static bool is_text(hf_conn *conn, hf_id id, const char *expected)
{
    hf_reply *reply;
    const void *data;
    size_t size;
    if (hf_get(conn, id, &reply) != 0)
        return false;
    bool same = hf_item_bytes(hf_reply_item(reply), &data, &size) && size == strlen(expected) &&
                memcmp(data, expected, size) == 0;
    hf_reply_free(reply);
    return same;
}

/* Puts, names, reads and releases; all values say whose they are. */
static const char *use(struct client *client, hf_conn *conn, unsigned round)
{
    char text[160], name[32];
    hf_id id, found;
    snprintf(text, sizeof text, "%s client %u round %u", client->instance->address, client->number, round);
    snprintf(name, sizeof name, "client-%u", client->number);
    if (hf_put(conn, hf_str(text, strlen(text)), NULL, &id) != 0)
        return "put";
    client->made++;
    if (hf_name(conn, name, id, -1, NULL) != 0)
        return "name";
    if (hf_lookup(conn, name, &found) != 0 || found != id)
        return "lookup";
    if (!is_text(conn, id, text))
        return "get";
    if (hf_release(conn, id, 2, NULL) != 0)
        return "release";
    return is_text(conn, id, text) ? NULL : "get of what the name keeps";
}

static void *run_client(void *data)
{
    struct client *client = data;
    hf_conn *conn;
    const char *failed = NULL;
    if (hf_connect(client->instance->address, HF_NO_TIMEOUT, &conn) != 0)
        failed = "connect";
    for (unsigned round = 0; failed == NULL && round < ROUNDS; round++)
        failed = use(client, conn, round);
    if (failed != NULL)
        snprintf(client->failed, sizeof client->failed, "%s: %s", failed, hf_last_error(conn)->text);
    hf_close(conn);
    return NULL;
}

START_TEST(clients_of_both_at_once)
{
    static struct client clients[SERVERS][CLIENTS];
    memset(clients, 0, sizeof clients);
    for (unsigned i = 0; i < SERVERS; i++) {
        for (unsigned k = 0; k < CLIENTS - i; k++) { /* one fewer at the second */
            clients[i][k].instance = &instances[i];
            clients[i][k].number = k;
            ck_assert_int_eq(pthread_create(&clients[i][k].thread, NULL, run_client, &clients[i][k]), 0);
        }
    }
    for (unsigned i = 0; i < SERVERS; i++) {
        uint64_t made = 0;
        for (unsigned k = 0; k < CLIENTS - i; k++) {
            ck_assert_int_eq(pthread_join(clients[i][k].thread, NULL), 0);
            ck_assert_str_eq(clients[i][k].failed, "");
            made += clients[i][k].made;
        }
        hf_conn *conn = dial(&instances[i], NULL);
        ck_assert_int_eq(figure(conn, "objects", "made"), (int64_t)made);
        ck_assert_int_eq(figure(conn, "names", "count"), CLIENTS - i);
        ck_assert_int_eq(figure(conn, "connections", "made"), CLIENTS - i + 1);
        hf_close(conn);
    }
}
END_TEST

/* ---- what one has the other knows nothing of ---- */

START_TEST(objects_names_and_pools_are_separate)
{
    const struct hf_hello_options hello = {.name = "both", .no_replay = true};
    hf_conn *a = dial(&instances[0], &hello), *b = dial(&instances[1], &hello);
    hf_id id, other;
    ck_assert_uint_ne(hf_session(a)->epoch, hf_session(b)->epoch);
    ck_assert_int_eq(hf_put(a, hf_int(1), NULL, &id), 0);
    ck_assert_int_eq(hf_name(a, "n", id, -1, NULL), 0);
    ck_assert_int_eq(hf_get(b, id, NULL), HF_ERR_GONE);
    ck_assert_int_eq(hf_lookup(b, "n", &other), HF_ERR_NOTFOUND);
    ck_assert_int_eq(hf_pool_create(a, "only-a", 0), 0);
    ck_assert_uint_eq(pools(a), 2);
    ck_assert_uint_eq(pools(b), 1);
    ck_assert_int_eq(hf_pool_create(b, "only-a", 0), 0); /* so the name is free there */
    ck_assert_int_eq(figure(a, "objects", "count"), 1);
    ck_assert_int_eq(figure(b, "objects", "count"), 0);
    ck_assert_int_eq(figure(b, "requests", "errors"), 2);
    ck_assert_int_eq(figure(a, "requests", "errors"), 0);
    hf_close(a);
    hf_close(b);
}
END_TEST

START_TEST(a_session_is_known_to_its_server_alone)
{
    const struct hf_hello_options hello = {.name = "one", .no_replay = true};
    hf_conn *a = dial(&instances[0], &hello);
    const struct hf_hello_options resume = {.session = hf_session(a)->key};
    hf_conn *b = dial(&instances[1], NULL);
    ck_assert_int_eq(hf_hello(b, &resume), HF_ERR_EXPIRED);
    hf_close(b);
    b = dial(&instances[0], &resume);
    ck_assert_uint_eq(hf_session(b)->sid, hf_session(a)->sid);
    hf_close(a);
    hf_close(b);
}
END_TEST

/* ---- the end of one ---- */

START_TEST(stopping_one_leaves_the_other)
{
    const struct hf_hello_options hello = {.name = "stays", .no_replay = true};
    hf_conn *a = dial(&instances[0], &hello), *b = dial(&instances[1], &hello);
    uint64_t epoch = hf_session(a)->epoch;
    hf_id in_a, in_b;
    ck_assert_int_eq(hf_put(a, hf_str("a", 1), NULL, &in_a), 0);
    ck_assert_int_eq(hf_put(b, hf_str("b", 1), NULL, &in_b), 0);
    stop(&instances[0]);
    ck_assert_int_ne(hf_get(a, in_a, NULL), 0);
    ck_assert(!hf_connected(a));
    ck_assert(is_text(b, in_b, "b"));
    ck_assert_int_eq(hf_put(b, hf_str("after", 5), NULL, NULL), 0);
    /* A new one in its place is a new incarnation. */
    start(&instances[0]);
    ck_assert_int_eq(hf_reconnect(a), HF_ERR_EXPIRED);
    hf_close(a);
    a = dial(&instances[0], &hello);
    ck_assert_uint_ne(hf_session(a)->epoch, epoch);
    ck_assert_int_eq(figure(a, "objects", "count"), 0);
    ck_assert_int_eq(figure(b, "objects", "count"), 2);
    ck_assert(is_text(b, in_b, "b"));
    hf_close(a);
    hf_close(b);
}
END_TEST

START_TEST(one_path_serves_one_server)
{
    struct instance second = instances[0];
    char error[512];
    const char *listen[] = {instances[0].address};
    const struct server_config config = {
        .listen = listen, .listen_count = 1, .max_memory = MEMORY, .log = &second.log};
    ck_assert_int_eq(server_open(&second.server, &config, error, sizeof error), -1);
    ck_assert_ptr_nonnull(strstr(error, "a daemon is listening there already"));
    hf_conn *a = dial(&instances[0], NULL);
    ck_assert_int_eq(hf_put(a, hf_nil(), NULL, NULL), 0);
    hf_close(a);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("two servers");
    TCase *tcase = suite_case(suite, "both", setup, teardown);
    tcase_add_test(tcase, clients_of_both_at_once);
    tcase_add_test(tcase, objects_names_and_pools_are_separate);
    tcase_add_test(tcase, a_session_is_known_to_its_server_alone);
    tcase_add_test(tcase, stopping_one_leaves_the_other);
    tcase_add_test(tcase, one_path_serves_one_server);
    return suite_run(suite);
}
