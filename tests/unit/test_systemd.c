/* SPDX-License-Identifier: BSD-3-Clause */
/* daemon/system/systemd.h, with this program in systemd's place: it reads the notifications, is the journal, and hands
 * sockets over to a child. */
#include "daemon/system/systemd.h"
#include "tests/lib/suite.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define FIRST_FD      3 /* of those that are handed over: SD_LISTEN_FDS_START */
#define MESSAGES_MAX  64
#define MESSAGE_SIZE  512
#define WATCHDOG_US   "4000"
#define WATCHDOG_WORD "WATCHDOG=1"

static int notify_fd; /* systemd's end */
static uv_loop_t loop;
static struct systemd systemd_;
static char messages[MESSAGES_MAX][MESSAGE_SIZE];
static unsigned messages_count;
/* What the daemon's parts say. */
static bool is_alive;
static const char *description;
static unsigned asked, described;

static bool alive(void *data)
{
    ck_assert_ptr_eq(data, &loop);
    asked++;
    return is_alive;
}

static void describe(void *data, char *text, size_t size)
{
    ck_assert_ptr_eq(data, &loop);
    ck_assert_uint_ge(size, SYSTEMD_STATUS_MAX / 2);
    described++;
    snprintf(text, size, "%s", description);
}

/* A datagram socket without a file: its name is the test's and the process's. */
static void listen_to_notifications(void)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    int size = snprintf(name.sun_path, sizeof name.sun_path, "@holdfast-test-%d", (int)getpid());
    ck_assert_int_eq(setenv("NOTIFY_SOCKET", name.sun_path, 1), 0);
    name.sun_path[0] = '\0';
    notify_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    socklen_t name_size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + (size_t)size);
    ck_assert_int_eq(bind(notify_fd, (struct sockaddr *)&name, name_size), 0);
}

static void setup(void)
{
    listen_to_notifications();
    unsetenv("WATCHDOG_USEC");
    unsetenv("WATCHDOG_PID");
    ck_assert_int_eq(uv_loop_init(&loop), 0);
    is_alive = true;
    description = "fine";
    asked = described = messages_count = 0;
}

static void teardown(void)
{
    ck_assert_int_eq(uv_run(&loop, UV_RUN_DEFAULT), 0);
    ck_assert_int_eq(uv_loop_close(&loop), 0);
    close(notify_fd);
    unsetenv("NOTIFY_SOCKET");
    unsetenv("WATCHDOG_USEC");
    unsetenv("WATCHDOG_PID");
}

static void start(void)
{
    systemd_start(&systemd_, &loop,
                  &(struct systemd_source){.alive = alive, .describe = describe, .data = &loop});
}

/* What was told since the last time, in `messages`; the number of them. */
static unsigned take(void)
{
    ssize_t size;
    messages_count = 0;
    while ((size = recv(notify_fd, messages[messages_count], MESSAGE_SIZE - 1, 0)) >= 0) {
        messages[messages_count][size] = '\0';
        ck_assert_uint_lt(++messages_count, MESSAGES_MAX);
    }
    ck_assert_int_eq(errno, EAGAIN);
    return messages_count;
}

static void take_only(const char *text)
{
    ck_assert_uint_eq(take(), 1);
    ck_assert_str_eq(messages[0], text);
}

/* Turns the loop until the timer has fired `times` more. */
static void look(unsigned times)
{
    for (unsigned until = asked + times; asked < until;)
        uv_run(&loop, UV_RUN_ONCE);
}

static unsigned count_of(const char *words)
{
    unsigned count = 0;
    for (unsigned i = 0; i < messages_count; i++)
        count += strstr(messages[i], words) != NULL;
    return count;
}

static void watch(void)
{
    ck_assert_int_eq(setenv("WATCHDOG_USEC", WATCHDOG_US, 1), 0);
}

/* ---- without systemd ---- */

START_TEST(silent_without_systemd)
{
    unsetenv("NOTIFY_SOCKET");
    watch();
    start();
    ck_assert(!uv_loop_alive(&loop)); /* no timer */
    systemd_reloading(&systemd_);
    systemd_reloaded(&systemd_);
    systemd_stopping(&systemd_);
    ck_assert(!uv_loop_alive(&loop));
    systemd_stop(&systemd_, "bye");
    systemd_starting("not started", "why");
    ck_assert_uint_eq(asked, 0);
    ck_assert_uint_eq(take(), 0);
}
END_TEST

START_TEST(nobody_at_the_other_end_does_no_harm)
{
    ck_assert_int_eq(setenv("NOTIFY_SOCKET", "@holdfast-test-nobody", 1), 0);
    watch();
    start();
    look(3);
    systemd_reloading(&systemd_);
    systemd_reloaded(&systemd_);
    systemd_stopping(&systemd_);
    systemd_stop(&systemd_, "bye");
    ck_assert_uint_eq(take(), 0);
}
END_TEST

/* ---- states ---- */

START_TEST(ready_with_a_status)
{
    description = "serving";
    start();
    take_only("READY=1\nSTATUS=serving");
    ck_assert_uint_eq(asked, 1); /* so that there is an answer when the timer fires */
    systemd_stop(&systemd_, "bye");
    take_only("STATUS=bye");
}
END_TEST

static uint64_t advance;

static uint64_t progress(void *data)
{
    ck_assert_ptr_eq(data, &loop);
    return advance;
}

START_TEST(a_start_that_takes_long_is_ready_later)
{
    static const char extended[] = "EXTEND_TIMEOUT_USEC=60000000\nWATCHDOG=1\nSTATUS=recovering";
    watch();
    description = "recovering";
    advance = 0;
    systemd_start(
        &systemd_, &loop,
        &(struct systemd_source){.alive = alive, .describe = describe, .progress = progress, .data = &loop});
    take_only(extended);
    look(2);
    (void)take();
    ck_assert_uint_eq(count_of("EXTEND_TIMEOUT_USEC"), 0); /* nothing comes of it: systemd's time runs */
    ck_assert_uint_eq(count_of(WATCHDOG_WORD), messages_count);
    advance = 1;
    look(2);
    (void)take();
    ck_assert_uint_eq(count_of("EXTEND_TIMEOUT_USEC"), 1);
    ck_assert_uint_eq(count_of("READY"), 0);
    description = "serving";
    systemd_ready(&systemd_);
    take_only("READY=1\nSTATUS=serving");
    advance = 2;
    look(2);
    (void)take();
    ck_assert_uint_eq(count_of("EXTEND_TIMEOUT_USEC"), 0);
    systemd_stop(&systemd_, "bye");
}
END_TEST

/* ---- the fd store ---- */

/* One message with its descriptors; how many. */
static unsigned take_with_files(char *text, size_t size, int fds[4])
{
    char control[CMSG_SPACE(4 * sizeof(int))];
    struct iovec into = {.iov_base = text, .iov_len = size - 1};
    struct msghdr message = {
        .msg_iov = &into, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    ssize_t got = recvmsg(notify_fd, &message, 0);
    ck_assert_int_ge(got, 0);
    text[got] = '\0';
    struct cmsghdr *head = CMSG_FIRSTHDR(&message);
    if (head == NULL)
        return 0;
    ck_assert(head->cmsg_level == SOL_SOCKET && head->cmsg_type == SCM_RIGHTS);
    size_t bytes = head->cmsg_len - CMSG_LEN(0);
    memcpy(fds, CMSG_DATA(head), bytes);
    return (unsigned)(bytes / sizeof(int));
}

START_TEST(both_files_of_a_pool_go_in_one_message)
{
    char text[MESSAGE_SIZE];
    int fds[4], meta = memfd_create("meta", 0), values = memfd_create("values", 0);
    struct stat ours, theirs;
    unsigned max;
    unsetenv("FDSTORE");
    ck_assert(systemd_stores(&max) && max == 0);
    setenv("FDSTORE", "12", 1);
    ck_assert(systemd_stores(&max) && max == 12);
    unsetenv("FDSTORE");
    ck_assert_int_eq(systemd_keep("a.b-c", meta, values), 0);
    ck_assert_uint_eq(take_with_files(text, sizeof text, fds), 2);
    ck_assert_str_eq(text, "FDSTORE=1\nFDPOLL=0\nFDNAME=pool-a.b-c");
    for (unsigned k = 0; k < 2; k++) {
        ck_assert(fstat(k == 0 ? meta : values, &ours) == 0 && fstat(fds[k], &theirs) == 0);
        ck_assert(ours.st_ino == theirs.st_ino);
        close(fds[k]);
    }
    ck_assert_int_eq(systemd_forget("a.b-c"), 0);
    take_only("FDSTOREREMOVE=1\nFDNAME=pool-a.b-c");
    close(meta);
    close(values);
}
END_TEST

START_TEST(it_waits_until_systemd_has_done_what_it_was_told)
{
    char text[MESSAGE_SIZE];
    int fds[4];
    ck_assert(!systemd_wait(1)); /* nobody has taken it in */
    ck_assert_uint_eq(take_with_files(text, sizeof text, fds), 1);
    ck_assert_str_eq(text, "BARRIER=1");
    close(fds[0]);
    unsetenv("NOTIFY_SOCKET");
    ck_assert(systemd_wait(1)); /* nobody was told anything */
    ck_assert_int_eq(systemd_keep("a", 0, 1), 0);
    ck_assert_int_eq(systemd_forget("a"), 0);
}
END_TEST

START_TEST(a_keeper_that_is_gone_is_an_error)
{
    ck_assert_int_eq(setenv("NOTIFY_SOCKET", "@holdfast-test-nobody", 1), 0);
    ck_assert_int_lt(systemd_keep("a", 0, 1), 0);
    ck_assert_int_lt(systemd_forget("a"), 0);
}
END_TEST

START_TEST(without_a_watchdog_it_looks_every_few_seconds)
{
    start();
    ck_assert_uint_eq(uv_timer_get_repeat(&systemd_.timer), SYSTEMD_STATUS_MS);
    systemd_stop(&systemd_, "bye");
}
END_TEST

START_TEST(reloading_then_ready_again)
{
    struct timespec before, after;
    unsigned long long us;
    start();
    take();
    clock_gettime(CLOCK_MONOTONIC, &before);
    systemd_reloading(&systemd_);
    clock_gettime(CLOCK_MONOTONIC, &after);
    ck_assert_uint_eq(take(), 1);
    ck_assert_int_eq(sscanf(messages[0], "RELOADING=1\nMONOTONIC_USEC=%llu\nSTATUS=reading", &us), 1);
    ck_assert_uint_ge(us, (unsigned long long)before.tv_sec * 1000000 +
                              (unsigned long long)before.tv_nsec / 1000);
    ck_assert_uint_le(us,
                      (unsigned long long)after.tv_sec * 1000000 + (unsigned long long)after.tv_nsec / 1000);
    systemd_reloaded(&systemd_);
    take_only("READY=1\nSTATUS=fine");
    systemd_stop(&systemd_, "bye");
}
END_TEST

START_TEST(stopping_tells_what_it_waits_for_and_feeds_no_watchdog)
{
    watch();
    start();
    take();
    description = "two clients";
    systemd_stopping(&systemd_);
    take_only("STOPPING=1\nSTATUS=two clients");
    ck_assert_uint_eq(uv_timer_get_repeat(&systemd_.timer), SYSTEMD_STOPPING_MS);
    unsigned asked_before = asked;
    description = "one client";
    for (unsigned until = described + 1; described < until;)
        uv_run(&loop, UV_RUN_ONCE);
    take_only("STATUS=one client");
    ck_assert_uint_eq(asked, asked_before); /* workers may be gone by now */
    systemd_stop(&systemd_, "memory");
    take_only("STATUS=memory");
}
END_TEST

START_TEST(what_it_does_before_it_starts)
{
    systemd_starting("not started", "no room");
    take_only("STATUS=not started: no room");
}
END_TEST

START_TEST(a_long_status_is_cut)
{
    static char words[3 * SYSTEMD_STATUS_MAX];
    memset(words, 'w', sizeof words - 1);
    description = words;
    start();
    ck_assert_uint_eq(take(), 1);
    ck_assert_uint_eq(strlen(messages[0]), strlen("READY=1\nSTATUS=") + SYSTEMD_STATUS_MAX - 1);
    systemd_stop(&systemd_, words);
    ck_assert_uint_eq(take(), 0); /* the same one, as far as it fits */
}
END_TEST

/* ---- the watchdog ---- */

START_TEST(it_is_fed_while_all_are_alive)
{
    watch();
    start();
    ck_assert_uint_eq(uv_timer_get_repeat(&systemd_.timer), 2); /* twice in 4,000 us */
    take();
    look(5);
    ck_assert_uint_eq(take(), 5);
    ck_assert_uint_eq(count_of(WATCHDOG_WORD), 5);
    ck_assert_uint_eq(count_of("STATUS="), 0); /* it has not changed */
    description = "other";
    look(2);
    ck_assert_uint_eq(take(), 2);
    ck_assert_uint_eq(count_of(WATCHDOG_WORD "\nSTATUS=other"), 1);
    systemd_stop(&systemd_, "bye");
}
END_TEST

START_TEST(a_stuck_worker_is_a_missed_watchdog)
{
    watch();
    start();
    look(2);
    take();
    is_alive = false;
    description = "worker 1 has not answered";
    for (unsigned told = 0; told < 3;) { /* the status tells for how long, so it changes */
        look(1);
        take();
        ck_assert_uint_eq(count_of(WATCHDOG_WORD), 0);
        told += count_of("STATUS=worker 1 has not answered for ");
        ck_assert_uint_eq(count_of(" s; the watchdog will end the daemon"), messages_count);
    }
    is_alive = true;
    description = "fine";
    look(1);
    take_only(WATCHDOG_WORD "\nSTATUS=fine");
    systemd_stop(&systemd_, "bye");
}
END_TEST

START_TEST(a_watchdog_of_another_process_is_not_ours)
{
    watch();
    ck_assert_int_eq(setenv("WATCHDOG_PID", "1", 1), 0);
    start();
    ck_assert_uint_eq(uv_timer_get_repeat(&systemd_.timer), SYSTEMD_STATUS_MS);
    systemd_stop(&systemd_, "bye");
    ck_assert_uint_eq(take(), 2);
    ck_assert_uint_eq(count_of("WATCHDOG"), 0);
}
END_TEST

START_TEST(an_odd_watchdog_still_has_a_timer)
{
    static const struct {
        const char *us;
        uint64_t every_ms;
    } cases[] = {
        {"1", 1}, {"30000000", SYSTEMD_STATUS_MS}, {"0", SYSTEMD_STATUS_MS}, {"x", SYSTEMD_STATUS_MS}};
    for (unsigned i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        ck_assert_int_eq(setenv("WATCHDOG_USEC", cases[i].us, 1), 0);
        start();
        ck_assert_uint_eq(uv_timer_get_repeat(&systemd_.timer), cases[i].every_ms);
        systemd_stop(&systemd_, "bye");
        uv_run(&loop, UV_RUN_DEFAULT);
    }
}
END_TEST

/* ---- sockets: in a child, whose descriptors and environment are its own ---- */

/* What the child found, by a pipe. */
struct handed {
    int count;
    int fds[4];
    bool cloexec, variables_gone, closed; /* of all */
    char error[256];
    unsigned kept_count; /* what came back from the fd store */
    struct {
        int fd;
        char name[32], pool[32];
    } kept[4];
};

static struct handed take_sockets(unsigned max, unsigned placed)
{
    struct handed handed = {.cloexec = true, .closed = true};
    struct systemd_store store;
    handed.count = systemd_sockets(handed.fds, max, &store, handed.error, sizeof handed.error);
    for (int fd = FIRST_FD; fd < FIRST_FD + (int)placed; fd++) {
        int flags = fcntl(fd, F_GETFD);
        handed.closed &= flags < 0;
        handed.cloexec &= flags >= 0 && (flags & FD_CLOEXEC) != 0;
    }
    handed.kept_count = store.count;
    for (unsigned k = 0; k < store.count && k < 4; k++) {
        const struct systemd_kept *kept = &store.kept[k];
        handed.kept[k].fd = kept->fd;
        snprintf(handed.kept[k].name, sizeof handed.kept[k].name, "%s", kept->name);
        snprintf(handed.kept[k].pool, sizeof handed.kept[k].pool, "%s",
                 kept->pool != NULL ? kept->pool : "-");
    }
    systemd_store_done(&store);
    handed.variables_gone =
        getenv("LISTEN_FDS") == NULL && getenv("LISTEN_PID") == NULL && getenv("LISTEN_FDNAMES") == NULL;
    return handed;
}

/* The sockets become the child's descriptors 3, 4, ... as systemd hands them over. */
static void place(const int *sockets, unsigned count)
{
    int high[4];
    for (unsigned i = 0; i < count; i++)
        high[i] = fcntl(sockets[i], F_DUPFD, 100);
    for (unsigned i = 0; i < count; i++)
        dup2(high[i], FIRST_FD + (int)i);
}

/* Hands `count` sockets over, closes them here; `number` and `names` are for LISTEN_FDS and LISTEN_FDNAMES. */
static struct handed hand_over(const int *sockets, unsigned count, const char *number, const char *names,
                               bool other_pid, unsigned max)
{
    struct handed handed = {.count = -2};
    int ends[2];
    ck_assert_int_eq(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0) {
        char pid[16];
        int report = fcntl(ends[1], F_DUPFD, 200);
        snprintf(pid, sizeof pid, "%d", other_pid ? 1 : (int)getpid());
        setenv("LISTEN_PID", pid, 1);
        setenv("LISTEN_FDS", number, 1);
        setenv("LISTEN_FDNAMES", names, 1);
        place(sockets, count);
        handed = take_sockets(max, count);
        ssize_t written = write(report, &handed, sizeof handed);
        _exit(written == sizeof handed ? 0 : 1);
    }
    ck_assert_int_gt(child, 0);
    close(ends[1]);
    ck_assert_int_eq(read(ends[0], &handed, sizeof handed), sizeof handed);
    close(ends[0]);
    ck_assert_int_eq(waitpid(child, NULL, 0), child);
    for (unsigned i = 0; i < count; i++)
        close(sockets[i]);
    return handed;
}

static int inet_socket(int type, bool listens)
{
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, type, 0);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&name, sizeof name), 0);
    ck_assert_int_eq(listens ? listen(fd, 1) : 0, 0);
    return fd;
}

static int unix_socket(bool listens)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&name, sizeof name.sun_family), 0); /* any name */
    ck_assert_int_eq(listens ? listen(fd, 1) : 0, 0);
    return fd;
}

static void assert_refused(int socket, const char *words)
{
    const int sockets[] = {unix_socket(true), socket};
    struct handed handed = hand_over(sockets, 2, "2", "good:odd", false, 4);
    ck_assert_int_eq(handed.count, -1);
    ck_assert_ptr_nonnull(strstr(handed.error, "descriptor 4 ('odd'), which was handed over to listen at, "));
    ck_assert_msg(strstr(handed.error, words) != NULL, "%s", handed.error);
    ck_assert(handed.closed); /* the good one too */
    ck_assert(handed.variables_gone);
}

START_TEST(unix_and_tcp_are_taken)
{
    const int sockets[] = {unix_socket(true), inet_socket(SOCK_STREAM, true)};
    struct handed handed = hand_over(sockets, 2, "2", "one:two", false, 4);
    ck_assert_int_eq(handed.count, 2);
    ck_assert_int_eq(handed.fds[0], FIRST_FD);
    ck_assert_int_eq(handed.fds[1], FIRST_FD + 1);
    ck_assert(handed.cloexec);
    ck_assert(handed.variables_gone);
}
END_TEST

START_TEST(files_come_back_with_their_names)
{
    const int given[] = {memfd_create("a", 0), unix_socket(true), memfd_create("b", 0), memfd_create("c", 0)};
    struct handed handed = hand_over(given, 4, "4", "pool-a.b:one:other:pool-", false, 1);
    ck_assert_int_eq(handed.count, 1);
    ck_assert_int_eq(handed.fds[0], FIRST_FD + 1);
    ck_assert_uint_eq(handed.kept_count, 3);
    ck_assert_int_eq(handed.kept[0].fd, FIRST_FD);
    ck_assert_str_eq(handed.kept[0].name, "pool-a.b");
    ck_assert_str_eq(handed.kept[0].pool, "a.b");
    ck_assert_str_eq(handed.kept[1].name, "other");
    ck_assert_str_eq(handed.kept[1].pool, "-");
    ck_assert_str_eq(handed.kept[2].pool, "");
    ck_assert(handed.cloexec && handed.variables_gone);
}
END_TEST

START_TEST(a_bad_socket_closes_the_files_too)
{
    const int given[] = {memfd_create("a", 0), unix_socket(false)};
    struct handed handed = hand_over(given, 2, "2", "pool-a:odd", false, 4);
    ck_assert_int_eq(handed.count, -1);
    ck_assert_uint_eq(handed.kept_count, 0);
    ck_assert(handed.closed);
}
END_TEST

START_TEST(those_of_another_process_are_not_ours)
{
    const int sockets[] = {unix_socket(true)};
    struct handed handed = hand_over(sockets, 1, "1", "one", true, 4);
    ck_assert_int_eq(handed.count, 0);
    ck_assert(!handed.cloexec); /* left alone */
    ck_assert(handed.variables_gone);
}
END_TEST

START_TEST(what_cannot_be_listened_at_is_refused)
{
    int ends[2], pair[2];
    ck_assert_int_eq(pipe(ends), 0);
    close(ends[1]);
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    close(pair[1]);
    assert_refused(ends[0], "is no socket");
    assert_refused(pair[0], "does not listen");
    assert_refused(unix_socket(false), "does not listen");
    assert_refused(inet_socket(SOCK_STREAM, false), "does not listen");
    assert_refused(inet_socket(SOCK_DGRAM, false), "is not a stream socket");
    assert_refused(socket(AF_UNIX, SOCK_SEQPACKET, 0), "is not a stream socket");
    assert_refused(socket(AF_NETLINK, SOCK_RAW, 0), "is neither a unix nor an internet socket");
}
END_TEST

START_TEST(more_than_there_is_room_for_are_refused)
{
    const int sockets[] = {unix_socket(true), unix_socket(true), unix_socket(true)};
    struct handed handed = hand_over(sockets, 3, "3", "a:b:c", false, 2);
    ck_assert_int_eq(handed.count, -1);
    ck_assert_ptr_nonnull(strstr(handed.error, "3 sockets were handed over, 2 is the most"));
    ck_assert(handed.closed);
}
END_TEST

START_TEST(odd_variables_are_refused)
{
    static const char *const numbers[] = {"x", "-1", "99999999999", ""};
    for (unsigned i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        struct handed handed = hand_over(NULL, 0, numbers[i], "", false, 4);
        ck_assert_int_eq(handed.count, -1);
        ck_assert_ptr_nonnull(strstr(handed.error, "LISTEN_FDS"));
    }
    const int sockets[] = {unix_socket(true)};
    struct handed handed = hand_over(sockets, 1, "1", "one:two", false, 4); /* more names than sockets */
    ck_assert_int_eq(handed.count, -1);
    ck_assert_ptr_nonnull(strstr(handed.error, "LISTEN_FDNAMES"));
}
END_TEST

START_TEST(none_without_the_variables)
{
    int fds[1];
    char error[256] = "untouched";
    unsetenv("LISTEN_FDS");
    unsetenv("LISTEN_PID");
    struct systemd_store store;
    ck_assert_int_eq(systemd_sockets(fds, 1, &store, error, sizeof error), 0);
    ck_assert_uint_eq(store.count, 0);
    systemd_store_done(&store);
    ck_assert_str_eq(error, "untouched");
}
END_TEST

/* ---- the journal ---- */

/* Whether a process whose stderr is `fd` takes it for the journal's. */
static bool is_journal(int fd, const char *stream)
{
    pid_t child = fork();
    int status = 0;
    if (child == 0) {
        dup2(fd, STDERR_FILENO);
        if (stream == NULL)
            unsetenv("JOURNAL_STREAM");
        else
            setenv("JOURNAL_STREAM", stream, 1);
        _exit(systemd_journal() ? 10 : 20);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert(WIFEXITED(status) && (WEXITSTATUS(status) == 10 || WEXITSTATUS(status) == 20));
    return WEXITSTATUS(status) == 10;
}

START_TEST(the_journal_is_known_by_device_and_inode)
{
    char stream[64];
    struct stat stat;
    int ends[2];
    ck_assert_int_eq(pipe(ends), 0);
    ck_assert_int_eq(fstat(ends[1], &stat), 0);
    unsigned long long device = stat.st_dev, inode = stat.st_ino;
    snprintf(stream, sizeof stream, "%llu:%llu", device, inode);
    ck_assert(is_journal(ends[1], stream));
    ck_assert(!is_journal(ends[1], NULL));
    snprintf(stream, sizeof stream, "%llu:%llu", device, inode + 1); /* stderr was redirected since */
    ck_assert(!is_journal(ends[1], stream));
    snprintf(stream, sizeof stream, "%llu:%llu", device + 1, inode);
    ck_assert(!is_journal(ends[1], stream));
    ck_assert(!is_journal(ends[1], ""));
    ck_assert(!is_journal(ends[1], "journal"));
    close(ends[0]);
    close(ends[1]);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("systemd");
    TCase *alone = suite_case(suite, "alone", setup, teardown);
    tcase_add_test(alone, silent_without_systemd);
    tcase_add_test(alone, nobody_at_the_other_end_does_no_harm);
    TCase *states = suite_case(suite, "states", setup, teardown);
    tcase_add_test(states, ready_with_a_status);
    tcase_add_test(states, a_start_that_takes_long_is_ready_later);
    tcase_add_test(states, without_a_watchdog_it_looks_every_few_seconds);
    tcase_add_test(states, reloading_then_ready_again);
    tcase_add_test(states, stopping_tells_what_it_waits_for_and_feeds_no_watchdog);
    tcase_add_test(states, what_it_does_before_it_starts);
    tcase_add_test(states, a_long_status_is_cut);
    TCase *store = suite_case(suite, "store", setup, teardown);
    tcase_add_test(store, both_files_of_a_pool_go_in_one_message);
    tcase_add_test(store, it_waits_until_systemd_has_done_what_it_was_told);
    tcase_add_test(store, a_keeper_that_is_gone_is_an_error);
    TCase *watchdog = suite_case(suite, "watchdog", setup, teardown);
    tcase_add_test(watchdog, it_is_fed_while_all_are_alive);
    tcase_add_test(watchdog, a_stuck_worker_is_a_missed_watchdog);
    tcase_add_test(watchdog, a_watchdog_of_another_process_is_not_ours);
    tcase_add_test(watchdog, an_odd_watchdog_still_has_a_timer);
    TCase *sockets = suite_case(suite, "sockets", NULL, NULL);
    tcase_add_test(sockets, unix_and_tcp_are_taken);
    tcase_add_test(sockets, files_come_back_with_their_names);
    tcase_add_test(sockets, a_bad_socket_closes_the_files_too);
    tcase_add_test(sockets, those_of_another_process_are_not_ours);
    tcase_add_test(sockets, what_cannot_be_listened_at_is_refused);
    tcase_add_test(sockets, more_than_there_is_room_for_are_refused);
    tcase_add_test(sockets, odd_variables_are_refused);
    tcase_add_test(sockets, none_without_the_variables);
    TCase *journal = suite_case(suite, "journal", NULL, NULL);
    tcase_add_test(journal, the_journal_is_known_by_device_and_inode);
    return suite_run(suite);
}
