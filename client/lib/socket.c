/* SPDX-License-Identifier: BSD-3-Clause */
#include "client/lib/socket.h"

#include <errno.h>
#include <limits.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

int64_t hf__now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void hf__pause(int64_t ms)
{
    const struct timespec pause = {.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000};
    nanosleep(&pause, NULL);
}

static int poll_time(int64_t deadline_ms)
{
    if (deadline_ms == HF__FOREVER)
        return -1;
    int64_t left = deadline_ms - hf__now_ms();
    return left <= 0 ? 0 : left > INT_MAX ? INT_MAX : (int)left;
}

bool hf__socket_wait(int fd, bool output, int64_t deadline_ms)
{
    struct pollfd wait = {.fd = fd, .events = (short)(POLLIN | (output ? POLLOUT : 0))};
    for (;;) {
        int ready = poll(&wait, 1, poll_time(deadline_ms));
        if (ready > 0 || (ready < 0 && errno != EINTR && errno != EAGAIN))
            return true; /* a broken descriptor shows itself when it is used */
        if (deadline_ms != HF__FOREVER && hf__now_ms() >= deadline_ms)
            return false;
    }
}

/* Waits for the end of connect(). 0 or an errno. */
static int connect_wait(int fd, int64_t deadline_ms)
{
    struct pollfd wait = {.fd = fd, .events = POLLOUT};
    int ready;
    do {
        ready = poll(&wait, 1, poll_time(deadline_ms));
    } while (ready < 0 && errno == EINTR);
    if (ready == 0)
        return ETIMEDOUT;
    int error = 0;
    socklen_t size = sizeof error;
    if (ready < 0 || getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0)
        return errno;
    return error;
}

static void tune_tcp(int fd)
{
    /* Small requests must not wait for each other; a peer that has vanished must show itself some day. Both
     * are wishes: the connection works without them. */
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
}

/* One attempt: the descriptor, or -1 and errno. */
static int connect_to(int family, const struct sockaddr *to, socklen_t size, int64_t deadline_ms)
{
    int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    int error = connect(fd, to, size) == 0 ? 0 : errno;
    if (error == EINPROGRESS || error == EINTR)
        error = connect_wait(fd, deadline_ms);
    if (error != 0) {
        close(fd);
        errno = error;
        return -1;
    }
    if (family != AF_UNIX)
        tune_tcp(fd);
    return fd;
}

static int open_unix(const struct hf__address *address, int64_t deadline_ms)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    memcpy(to.sun_path, address->path, sizeof to.sun_path);
    /* A full queue of the listener answers EAGAIN at once instead of letting a non-blocking socket wait. */
    for (long pause_ns = 1000000;; pause_ns *= 2) {
        int fd = connect_to(AF_UNIX, (const struct sockaddr *)&to, sizeof to, deadline_ms);
        if (fd >= 0 || errno != EAGAIN || hf__now_ms() >= deadline_ms)
            return fd;
        struct timespec pause = {.tv_nsec = pause_ns > 50000000 ? 50000000 : pause_ns};
        nanosleep(&pause, NULL);
    }
}

static int open_tcp(const struct hf__address *address, int64_t deadline_ms, const char **ret_reason)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG};
    struct addrinfo *found = NULL;
    int failed = getaddrinfo(address->host, address->port, &hints, &found);
    if (failed != 0) {
        *ret_reason = failed == EAI_SYSTEM ? strerror(errno) : gai_strerror(failed);
        return -1;
    }
    int fd = -1;
    for (const struct addrinfo *at = found; at != NULL && fd < 0; at = at->ai_next)
        fd = connect_to(at->ai_family, at->ai_addr, at->ai_addrlen, deadline_ms);
    if (fd < 0)
        *ret_reason = strerror(errno);
    freeaddrinfo(found);
    return fd;
}

int hf__socket_open(const struct hf__address *address, int64_t deadline_ms, const char **ret_reason)
{
    if (address->tcp)
        return open_tcp(address, deadline_ms, ret_reason);
    int fd = open_unix(address, deadline_ms);
    if (fd < 0)
        *ret_reason = strerror(errno);
    return fd;
}

long hf__socket_send(int fd, const void *bytes, size_t size, const char **ret_reason)
{
    ssize_t moved;
    do {
        moved = send(fd, bytes, size, MSG_NOSIGNAL);
    } while (moved < 0 && errno == EINTR);
    if (moved >= 0)
        return moved;
    if (errno == EAGAIN || errno == EWOULDBLOCK)
        return 0;
    *ret_reason = strerror(errno);
    return -1;
}

long hf__socket_receive(int fd, void *bytes, size_t size, const char **ret_reason)
{
    ssize_t moved;
    do {
        moved = recv(fd, bytes, size, 0);
    } while (moved < 0 && errno == EINTR);
    if (moved > 0)
        return moved;
    if (moved < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
        return 0;
    *ret_reason = moved == 0 ? "the daemon closed the connection" : strerror(errno);
    return -1;
}
