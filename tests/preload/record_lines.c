/* SPDX-License-Identifier: BSD-3-Clause */
/* Which thread has written and read which cache lines.
 *
 * A program compiled with -fsanitize=thread calls a function at each load and store, each atomic operation, and each
 * function's begin and end. Linked to this library instead of the sanitizer's, it notes them. Beside those it sees
 * what goes through memcpy, memmove and memset of all libraries, the locks (a lock is written), and libuv's handles
 * that wake
 * another loop. It does not see what the kernel, libc and libuv write else.
 *
 * $HF_RECORD_LINES names a file of RECORD_BYTES bytes, mapped shared; all is in the machine's order:
 *
 *     0   open      nothing is noted while it is 0; the test sets it
 *     8   threads   that have noted something; a thread's number is its place in the order of their first notes
 *     16  lost      notes for which there was no place
 *     64  RECORD_LINES entries of 5 words: address / LINE (0: not used), threads that wrote and that read the line
 *         (a bit each), and for a person the code addresses of the first write and of the first by a second thread,
 *         counted from the program's begin */
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define LINE         64u
#define RECORD_LINES (1u << 18)
#define RECORD_BYTES (sizeof(struct record))
#define TRIES        256u
#define CALLER       __builtin_return_address(0) /* extension: there is no other way to know it */

/* Extension: the project hides symbols by default, and these take the place of the sanitizer's and of libc's. */
#define SEEN __attribute__((visibility("default")))

struct entry {
    _Atomic uint64_t line, writers, readers, first_at, second_at;
};

struct record {
    _Atomic uint64_t open, threads, lost;
    uint64_t unused[5];
    struct entry entries[RECORD_LINES];
};

/* State of the process and of each thread, as the sanitizer's is. NULL until the constructor has run. */
static struct record *record;
static _Thread_local uint64_t own_bit;

/* Extension: nothing else runs before main() in a library. */
__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv("HF_RECORD_LINES");
    int fd = path == NULL ? -1 : open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return;
    void *at = mmap(NULL, RECORD_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (at != MAP_FAILED)
        record = at;
}

/* ---- notes ---- */

/* The bit of this thread; after 63 of them all are one. */
static uint64_t bit_of_thread(void)
{
    if (own_bit == 0) {
        uint64_t number = atomic_fetch_add(&record->threads, 1);
        own_bit = 1ull << (number < 63 ? number : 63);
    }
    return own_bit;
}

/* NULL: no place. */
static struct entry *entry_of(uint64_t line)
{
    uint64_t at = line * 0x9e3779b97f4a7c15ull >> 40;
    for (unsigned i = 0; i < TRIES; i++) {
        struct entry *entry = &record->entries[(at + i) % RECORD_LINES];
        uint64_t there = atomic_load_explicit(&entry->line, memory_order_relaxed);
        if (there == 0 && atomic_compare_exchange_strong(&entry->line, &there, line))
            return entry;
        if (there == line)
            return entry;
    }
    atomic_fetch_add(&record->lost, 1);
    return NULL;
}

static void set_bit(_Atomic uint64_t *bits, uint64_t bit)
{
    if ((atomic_load_explicit(bits, memory_order_relaxed) & bit) == 0)
        atomic_fetch_or_explicit(bits, bit, memory_order_relaxed);
}

/* Where in the program, as addr2line wants it: in the call, not behind it. */
static uint64_t place_of(const void *caller)
{
    Dl_info info;
    return dladdr(caller, &info) == 0 ? 0 : (uint64_t)((uintptr_t)caller - 1 - (uintptr_t)info.dli_fbase);
}

static void note_line(uint64_t line, bool write, const void *caller)
{
    uint64_t bit = bit_of_thread(), none = 0;
    struct entry *entry = entry_of(line);
    if (entry == NULL)
        return;
    if (!write) {
        set_bit(&entry->readers, bit);
        return;
    }
    uint64_t before = atomic_load_explicit(&entry->writers, memory_order_relaxed);
    if ((before & bit) != 0)
        return;
    atomic_compare_exchange_strong(before == 0 ? &entry->first_at : &entry->second_at, &none,
                                   place_of(caller));
    set_bit(&entry->writers, bit);
}

static void note(const volatile void *at, size_t size, bool write, const void *caller)
{
    if (record == NULL || size == 0 || atomic_load_explicit(&record->open, memory_order_relaxed) == 0)
        return;
    uint64_t last = ((uintptr_t)at + size - 1) / LINE;
    for (uint64_t line = (uintptr_t)at / LINE; line <= last; line++)
        note_line(line, write, caller);
}

/* ---- what the compiler puts in ---- */

#define ACCESS(name, size, write)                                                                            \
    SEEN void __tsan_##name(void *at);                                                                       \
    SEEN void __tsan_##name(void *at)                                                                        \
    {                                                                                                        \
        note(at, size, write, CALLER);                                                                       \
    }

ACCESS(read1, 1, false)
ACCESS(read2, 2, false)
ACCESS(read4, 4, false)
ACCESS(read8, 8, false)
ACCESS(read16, 16, false)
ACCESS(write1, 1, true)
ACCESS(write2, 2, true)
ACCESS(write4, 4, true)
ACCESS(write8, 8, true)
ACCESS(write16, 16, true)
ACCESS(unaligned_read2, 2, false)
ACCESS(unaligned_read4, 4, false)
ACCESS(unaligned_read8, 8, false)
ACCESS(unaligned_read16, 16, false)
ACCESS(unaligned_write2, 2, true)
ACCESS(unaligned_write4, 4, true)
ACCESS(unaligned_write8, 8, true)
ACCESS(unaligned_write16, 16, true)

#define RANGE(name, write)                                                                                   \
    SEEN void __tsan_##name(void *at, unsigned long size);                                                   \
    SEEN void __tsan_##name(void *at, unsigned long size)                                                    \
    {                                                                                                        \
        note(at, size, write, CALLER);                                                                       \
    }

RANGE(read_range, false)
RANGE(write_range, true)

/* Those that the daemon uses; the linker asks for others. All are done in the strongest order. */
#define ATOMIC_CHANGE(type, name, change)                                                                    \
    SEEN type __tsan_atomic##name(volatile type *at, type v, int order);                                     \
    SEEN type __tsan_atomic##name(volatile type *at, type v, int order)                                      \
    {                                                                                                        \
        (void)order;                                                                                         \
        note(at, sizeof *at, true, CALLER);                                                                  \
        return change((volatile _Atomic type *)at, v);                                                       \
    }

#define ATOMIC_LOAD(type, name)                                                                              \
    SEEN type __tsan_atomic##name(const volatile type *at, int order);                                       \
    SEEN type __tsan_atomic##name(const volatile type *at, int order)                                        \
    {                                                                                                        \
        (void)order;                                                                                         \
        note(at, sizeof *at, false, CALLER);                                                                 \
        return atomic_load((const volatile _Atomic type *)at);                                               \
    }

#define ATOMIC_STORE(type, name)                                                                             \
    SEEN void __tsan_atomic##name(volatile type *at, type v, int order);                                     \
    SEEN void __tsan_atomic##name(volatile type *at, type v, int order)                                      \
    {                                                                                                        \
        (void)order;                                                                                         \
        note(at, sizeof *at, true, CALLER);                                                                  \
        atomic_store((volatile _Atomic type *)at, v);                                                        \
    }

#define ATOMIC_COMPARE(type, name)                                                                           \
    SEEN int __tsan_atomic##name(volatile type *at, type *expected, type v, int order, int otherwise);       \
    SEEN int __tsan_atomic##name(volatile type *at, type *expected, type v, int order, int otherwise)        \
    {                                                                                                        \
        (void)order, (void)otherwise;                                                                        \
        note(at, sizeof *at, true, CALLER);                                                                  \
        return atomic_compare_exchange_strong((volatile _Atomic type *)at, expected, v);                     \
    }

#define ATOMIC(type, bits)                                                                                   \
    ATOMIC_LOAD(type, bits##_load)                                                                           \
    ATOMIC_STORE(type, bits##_store)                                                                         \
    ATOMIC_CHANGE(type, bits##_exchange, atomic_exchange)                                                    \
    ATOMIC_CHANGE(type, bits##_fetch_add, atomic_fetch_add)                                                  \
    ATOMIC_CHANGE(type, bits##_fetch_sub, atomic_fetch_sub)                                                  \
    ATOMIC_COMPARE(type, bits##_compare_exchange_strong)

ATOMIC(uint8_t, 8)
ATOMIC(uint32_t, 32)
ATOMIC(uint64_t, 64)

SEEN void __tsan_init(void);
SEEN void __tsan_func_entry(void *caller);
SEEN void __tsan_func_exit(void);
SEEN void __tsan_atomic_signal_fence(int order);
SEEN void __tsan_atomic_thread_fence(int order);

SEEN void __tsan_init(void)
{
}

SEEN void __tsan_func_entry(void *caller)
{
    (void)caller;
}

SEEN void __tsan_func_exit(void)
{
}

SEEN void __tsan_atomic_signal_fence(int order)
{
    (void)order;
    atomic_signal_fence(memory_order_seq_cst);
}

SEEN void __tsan_atomic_thread_fence(int order)
{
    (void)order;
    atomic_thread_fence(memory_order_seq_cst);
}

/* ---- what the compiler does not see ---- */

/* glibc's own names of them. dlsym(RTLD_NEXT) would call them before there is anything to call. */
extern void *__memcpy_chk(void *to, const void *from, size_t size, size_t room);
extern void *__memmove_chk(void *to, const void *from, size_t size, size_t room);
extern void *__memset_chk(void *to, int byte, size_t size, size_t room);

SEEN void *memcpy(void *restrict to, const void *restrict from, size_t size)
{
    note(from, size, false, CALLER);
    note(to, size, true, CALLER);
    return __memcpy_chk(to, from, size, size);
}

SEEN void *memmove(void *to, const void *from, size_t size)
{
    note(from, size, false, CALLER);
    note(to, size, true, CALLER);
    return __memmove_chk(to, from, size, size);
}

SEEN void *memset(void *to, int byte, size_t size)
{
    note(to, size, true, CALLER);
    return __memset_chk(to, byte, size, size);
}

/* The function of that name behind ours. */
static void *next(const char *name)
{
    void *found = dlsym(RTLD_NEXT, name);
    if (found == NULL)
        abort();
    return found;
}

/* POSIX lets what dlsym() returns be called; ISO C has no conversion for it, so it is copied. */
#define NEXT(name, function)                                                                                 \
    do {                                                                                                     \
        void *found = next(name);                                                                            \
        *(void **)&(function) = found;                                                                       \
    } while (0)

SEEN int pthread_mutex_lock(pthread_mutex_t *lock)
{
    int (*real)(pthread_mutex_t *);
    NEXT("pthread_mutex_lock", real);
    note(lock, sizeof *lock, true, CALLER);
    return real(lock);
}

SEEN int pthread_mutex_unlock(pthread_mutex_t *lock)
{
    int (*real)(pthread_mutex_t *);
    NEXT("pthread_mutex_unlock", real);
    note(lock, sizeof *lock, true, CALLER);
    return real(lock);
}

/* libuv's: marks the handle, which is the other loop's. Only its first bytes are certain to be its own. */
SEEN int uv_async_send(void *handle);

SEEN int uv_async_send(void *handle)
{
    int (*real)(void *);
    NEXT("uv_async_send", real);
    note(handle, 1, true, CALLER);
    return real(handle);
}
