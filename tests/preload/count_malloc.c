/* SPDX-License-Identifier: BSD-3-Clause */
/* A library to be preloaded into a program: counts its calls of the allocator.
 *
 * $HF_COUNT_MALLOC names a file of at least COUNT_BYTES bytes. It is mapped shared, so that a test can read the
 * counts at any time: four words of 64 bits in the machine's order, the calls of malloc (aligned ones included),
 * calloc, realloc, and free of anything but NULL. Without the variable nothing is counted. */
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* Extension: the project hides symbols by default, and these have to be seen to take the place of libc's. */
#define SEEN __attribute__((visibility("default")))

enum { COUNT_MALLOC, COUNT_CALLOC, COUNT_REALLOC, COUNT_FREE, COUNT_KINDS };

#define COUNT_BYTES (COUNT_KINDS * sizeof(uint64_t))

/* glibc's own names of its allocator. dlsym(RTLD_NEXT) would allocate before there is anything to allocate with. */
extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *at, size_t size);
extern void *__libc_memalign(size_t alignment, size_t size);
extern void __libc_free(void *at);

SEEN void *memalign(size_t alignment, size_t size);

/* State of the process, as the allocator itself is. NULL until the constructor has run. */
static _Atomic uint64_t *counts;

static void count(unsigned kind)
{
    if (counts != NULL)
        atomic_fetch_add_explicit(&counts[kind], 1, memory_order_relaxed);
}

/* Extension: nothing else runs before main() in a preloaded library. */
__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv("HF_COUNT_MALLOC");
    int fd = path == NULL ? -1 : open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return;
    void *page = mmap(NULL, COUNT_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (page != MAP_FAILED)
        counts = page;
}

SEEN void *malloc(size_t size)
{
    count(COUNT_MALLOC);
    return __libc_malloc(size);
}

SEEN void *calloc(size_t number, size_t size)
{
    count(COUNT_CALLOC);
    return __libc_calloc(number, size);
}

SEEN void *realloc(void *at, size_t size)
{
    count(COUNT_REALLOC);
    return __libc_realloc(at, size);
}

SEEN void free(void *at)
{
    if (at != NULL)
        count(COUNT_FREE);
    __libc_free(at);
}

SEEN void *memalign(size_t alignment, size_t size)
{
    count(COUNT_MALLOC);
    return __libc_memalign(alignment, size);
}

SEEN void *aligned_alloc(size_t alignment, size_t size)
{
    return memalign(alignment, size);
}

SEEN int posix_memalign(void **ret, size_t alignment, size_t size)
{
    void *at = memalign(alignment, size);
    if (at == NULL)
        return ENOMEM;
    *ret = at;
    return 0;
}
