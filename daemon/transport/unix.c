/* SPDX-License-Identifier: BSD-3-Clause */
/* Unix stream sockets. A socket file outlives its daemon: one that is there already is tried by connecting
 * to it. If nobody answers it is stale and replaced; if somebody does, a daemon lives there and is left
 * alone. */
#include "daemon/transport/transport.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* Large values leave faster through a larger socket buffer (measured: 4.9 to 5.65 GB/s). */
#define SEND_BUFFER (1024 * 1024)
#define BACKLOG     1024
#define PATH_SIZE   sizeof((struct sockaddr_un *)NULL)->sun_path

static int fail(char *error, size_t error_size, const char *path, const char *what)
{
    snprintf(error, error_size, "unix:%s: %s", path, what);
    return -1;
}

static int fail_errno(char *error, size_t error_size, const char *path, const char *doing)
{
    snprintf(error, error_size, "unix:%s: %s: %s", path, doing, strerror(errno));
    return -1;
}

/* True if somebody listens there. A full queue of connections (EAGAIN) means yes. */
static bool is_live(const struct sockaddr_un *name)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return true; /* not known: leave it alone */
    int r = connect(fd, (const struct sockaddr *)name, sizeof *name);
    bool dead = r != 0 && (errno == ECONNREFUSED || errno == ENOENT);
    close(fd);
    return !dead;
}

/* Removes a stale socket file; refuses anything else that stands there. */
static int make_way(const struct sockaddr_un *name, char *error, size_t error_size)
{
    struct stat stat;
    const char *path = name->sun_path;
    if (lstat(path, &stat) != 0)
        return errno == ENOENT ? 0 : fail_errno(error, error_size, path, "cannot look at it");
    if (!S_ISSOCK(stat.st_mode))
        return fail(error, error_size, path, "a file that is not a socket stands there; choose another path");
    if (is_live(name))
        return fail(error, error_size, path,
                    "a daemon is listening there already; stop it or choose another path");
    if (unlink(path) != 0 && errno != ENOENT)
        return fail_errno(error, error_size, path, "cannot remove the stale socket file");
    return 0;
}

/* Binds with mode 0660: nobody can connect before listen(), so there is no moment with another mode. */
static int bind_and_listen(struct listening *listening, const struct sockaddr_un *name, char *error,
                           size_t error_size)
{
    struct stat stat;
    if (bind(listening->fd, (const struct sockaddr *)name, sizeof *name) != 0)
        return fail_errno(error, error_size, name->sun_path, "cannot make the socket file");
    if (lstat(name->sun_path, &stat) == 0) {
        listening->device = stat.st_dev;
        listening->inode = stat.st_ino;
    }
    if (chmod(name->sun_path, 0660) != 0)
        return fail_errno(error, error_size, name->sun_path, "cannot set its mode");
    if (listen(listening->fd, BACKLOG) != 0)
        return fail_errno(error, error_size, name->sun_path, "cannot listen");
    return 0;
}

static void unix_unlisten(struct listening *listening)
{
    struct stat stat;
    const char *path = listening->address + strlen("unix:");
    if (listening->fd >= 0)
        close(listening->fd);
    listening->fd = -1;
    if (listening->inode != 0 && lstat(path, &stat) == 0 && stat.st_ino == listening->inode &&
        stat.st_dev == listening->device)
        unlink(path);
    listening->inode = 0;
}

static int unix_check(const char *path, char *error, size_t error_size)
{
    if (path[0] == '\0')
        return fail(error, error_size, path, "the path is empty");
    if (strlen(path) < PATH_SIZE)
        return 0;
    snprintf(error, error_size,
             "unix:%s: the path has %zu bytes, the system allows %zu; choose a shorter one", path,
             strlen(path), PATH_SIZE - 1);
    return -1;
}

static int unix_listen(struct listening *listening, const char *path, char *error, size_t error_size)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    memcpy(name.sun_path, path, strlen(path) + 1); /* unix_check() has looked at its length */
    snprintf(listening->address, sizeof listening->address, "unix:%s", path);
    if (make_way(&name, error, error_size) != 0)
        return -1;
    listening->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (listening->fd < 0)
        return fail_errno(error, error_size, path, "no socket");
    if (bind_and_listen(listening, &name, error, error_size) == 0)
        return 0;
    unix_unlisten(listening);
    return -1;
}

static void unix_describe(struct listening *listening)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    socklen_t size = sizeof name;
    getsockname(listening->fd, (struct sockaddr *)&name, &size);
    bool is_abstract = name.sun_path[0] == '\0' && size > offsetof(struct sockaddr_un, sun_path);
    int path_size = (int)(size - offsetof(struct sockaddr_un, sun_path));
    snprintf(listening->address, sizeof listening->address, is_abstract ? "unix:@%.*s" : "unix:%.*s",
             is_abstract ? path_size - 1 : path_size, name.sun_path + is_abstract);
}

static int unix_open(uv_loop_t *loop, union transport_stream *stream, int fd)
{
    int size = SEND_BUFFER;
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    int r = uv_pipe_init(loop, &stream->pipe, 0);
    return r != 0 ? r : uv_pipe_open(&stream->pipe, fd);
}

const struct transport transport_unix = {
    .scheme = "unix",
    .check = unix_check,
    .listen = unix_listen,
    .unlisten = unix_unlisten,
    .describe = unix_describe,
    .open = unix_open,
};
