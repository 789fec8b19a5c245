/* SPDX-License-Identifier: BSD-3-Clause */
#include "daemon/server/runners.h"

#include "daemon/base/mem.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LOW      10           /* as of nice(2): a tenth of a processor that somebody else always wants */
#define SLICE_NS 100000000ull /* the most that the system takes */

struct runner {
    struct list link;
    struct runners *of;
    uv_thread_t thread;
    uv_sem_t start;
    struct chore *chore; /* at a start NULL: it is to end */
    atomic_bool done;    /* set by the thread, taken back by the worker */
    bool busy, hurries;
};

/* ---- the thread ---- */

/* sched_setattr(2), which glibc has no function for before 2.41, and its structure, whose header does not go with
 * <sched.h>. */
struct scheduling {
    uint32_t size, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime, deadline, period;
};

/* SCHED_IDLE would give less still: it could stand still for as long as the machine is busy, and a save with it. Of two
 * threads the one with the shorter slice interrupts the other when it wakes up, from Linux 6.12 on, and before that by
 * priority alone. False: that is not allowed here. */
static bool give_way(void)
{
    int own = getpriority(PRIO_PROCESS, (id_t)gettid()), nice = own > LOW ? own : LOW;
    const struct scheduling low = {
        .size = sizeof low, .policy = SCHED_BATCH, .nice = nice, .runtime = SLICE_NS};
    return syscall(SYS_sched_setattr, 0, &low, 0u) == 0 ||
           setpriority(PRIO_PROCESS, (id_t)gettid(), nice) == 0;
}

static void serve(void *data)
{
    struct runner *runner = data;
    const uint64_t one = 1;
    pthread_setname_np(pthread_self(), runner->hurries ? "runner-hurries" : "runner");
    bool gives_way = !runner->hurries && give_way();
    for (;;) {
        uv_sem_wait(&runner->start);
        if (runner->chore == NULL)
            return;
        runner->chore->rests = !gives_way;
        runner->chore->run(runner->chore);
        /* release: what the chore has done is seen by whoever sees this */
        atomic_store_explicit(&runner->done, true, memory_order_release);
        ssize_t n = write(runner->of->fd, &one, sizeof one);
        assert(n == sizeof one); /* it would have to be told 2^64 times before it is read */
        (void)n;
    }
}

/* ---- the worker ---- */

/* NULL: no memory, or no thread. It has the worker's signals, which are none. */
static struct runner *make(struct runners *runners, bool hurries)
{
    struct runner *runner = mem_zalloc(runners->mem, sizeof *runner);
    if (runner == NULL)
        return NULL;
    runner->of = runners;
    runner->hurries = hurries;
    if (uv_sem_init(&runner->start, 0) == 0) {
        if (uv_thread_create(&runner->thread, serve, runner) == 0) {
            runners->counts[hurries]++;
            list_append(&runners->all, &runner->link);
            return runner;
        }
        uv_sem_destroy(&runner->start);
    }
    mem_free(runners->mem, runner, sizeof *runner);
    return NULL;
}

static struct runner *find_free(const struct runners *runners, bool hurries)
{
    struct list *at, *after;
    list_each(at, after, &runners->all)
    {
        struct runner *runner = list_entry(at, struct runner, link);
        if (!runner->busy && runner->hurries == hurries)
            return runner;
    }
    return NULL;
}

/* One that has nothing to do; NULL: all have, and there are no more. What hurries takes any one. */
static struct runner *runner_for(struct runners *runners, bool hurries)
{
    hurries = hurries && runners->counts[false] > 0; /* the first one is for all */
    struct runner *runner = find_free(runners, hurries);
    if (runner == NULL && runners->counts[hurries] < RUNNERS_MOST)
        runner = make(runners, hurries);
    return runner != NULL || !hurries ? runner : find_free(runners, false);
}

static void give(struct runner *runner, struct chore *chore)
{
    runner->chore = chore;
    runner->busy = true;
    uv_sem_post(&runner->start);
}

bool runners_do(struct runners *runners, struct chore *chore)
{
    struct runner *runner = runner_for(runners, chore->hurries);
    if (runner == NULL && runners->counts[false] == 0)
        return false;
    runners->busy++;
    if (runner != NULL)
        give(runner, chore);
    else
        list_append(&runners->waiting, &chore->link);
    return true;
}

/* The first one that waits and hurries, or else may be given to this runner. */
static struct chore *next_chore(struct runners *runners, const struct runner *runner)
{
    struct list *at, *after;
    struct chore *found = NULL;
    list_each(at, after, &runners->waiting)
    {
        struct chore *chore = list_entry(at, struct chore, link);
        if (found == NULL && !runner->hurries)
            found = chore;
        if (!chore->hurries)
            continue;
        found = chore;
        break;
    }
    if (found != NULL)
        list_remove(&found->link);
    return found;
}

static void take_back(struct runners *runners, struct runner *runner)
{
    struct chore *chore = runner->chore, *next = next_chore(runners, runner);
    runner->busy = false;
    if (next != NULL)
        give(runner, next);
    chore->done(chore);
    runners->busy--;
}

static void close_handle(struct runners *runners)
{
    if (runners->busy == 0 && !uv_is_closing((uv_handle_t *)&runners->poll))
        uv_close((uv_handle_t *)&runners->poll, NULL);
}

static void on_done(uv_poll_t *poll, int status, int events)
{
    struct runners *runners = poll->data;
    struct list *at, *after;
    uint64_t told;
    (void)status;
    (void)events;
    if (read(runners->fd, &told, sizeof told) != sizeof told)
        return;
    if (runners->woken != NULL)
        runners->woken(runners);
    list_each(at, after, &runners->all)
    {
        struct runner *runner = list_entry(at, struct runner, link);
        if (atomic_exchange_explicit(&runner->done, false, memory_order_acquire))
            take_back(runners, runner);
    }
    if (runners->ends)
        close_handle(runners);
}

/* ---- life cycle ---- */

int runners_open(struct runners *runners, struct mem *mem, uv_loop_t *loop)
{
    *runners = (struct runners){.mem = mem, .fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
    list_init(&runners->all);
    list_init(&runners->waiting);
    if (runners->fd < 0)
        return -errno;
    if (uv_poll_init(loop, &runners->poll, runners->fd) != 0) {
        close(runners->fd);
        return -ENOMEM;
    }
    runners->poll.data = runners;
    uv_poll_start(&runners->poll, UV_READABLE, on_done);
    runners->open = true;
    return 0;
}

void runners_close_handle(struct runners *runners)
{
    runners->ends = true;
    close_handle(runners);
}

void runners_close(struct runners *runners)
{
    struct list *at, *after;
    if (!runners->open)
        return;
    assert(runners->busy == 0);
    list_each(at, after, &runners->all)
    {
        struct runner *runner = list_entry(at, struct runner, link);
        runner->chore = NULL;
        uv_sem_post(&runner->start);
        uv_thread_join(&runner->thread);
        uv_sem_destroy(&runner->start);
        mem_free(runners->mem, runner, sizeof *runner);
    }
    close(runners->fd);
}
