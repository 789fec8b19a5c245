/* SPDX-License-Identifier: BSD-3-Clause */
#include "daemon/heap/region.h"

#include "daemon/base/bits.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define PAGE  4096u
#define ZEROS 16384u

/* Pages that nobody may touch yet. */
#define PROT_CLOSED (HF_DEBUG ? PROT_NONE : PROT_READ | PROT_WRITE)
#define PROT_OPEN   (PROT_READ | PROT_WRITE)

/* ---- the file ---- */

static int file_back(const struct region_io *io, int fd, uint64_t offset, uint64_t size)
{
    (void)io;
    while (fallocate(fd, 0, (off_t)offset, (off_t)size) != 0)
        if (errno != EINTR)
            return -errno;
    return 0;
}

static int file_punch(const struct region_io *io, int fd, uint64_t offset, uint64_t size)
{
    (void)io;
    while (fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset, (off_t)size) != 0)
        if (errno != EINTR)
            return -errno;
    return 0;
}

static const struct region_io file_io = {.back = file_back, .punch = file_punch};

int region_create(const char *name)
{
    int fd = memfd_create(name, MFD_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

/* ---- the mapping ---- */

int region_map(struct region *region, int fd, uint64_t size, bool is_private, const struct region_io *io,
               struct mem *mem)
{
    int flags = (is_private ? MAP_PRIVATE : MAP_SHARED) | MAP_NORESERVE;
    void *p = mmap(NULL, size, PROT_CLOSED, flags, fd, 0);
    if (p == MAP_FAILED)
        return -errno;
    /* free where the administrator allows huge pages for shared memory, ignored elsewhere */
    (void)madvise(p, size, MADV_HUGEPAGE);
    *region = (struct region){.base = p,
                              .size = size,
                              .fd = fd,
                              .is_private = is_private,
                              .io = io != NULL ? io : &file_io,
                              .mem = mem};
    return 0;
}

void region_unmap(struct region *region)
{
    if (region->base != NULL)
        munmap(region->base, region->size);
    region->base = NULL;
}

void region_close(struct region *region)
{
    if (region->fd >= 0)
        close(region->fd);
    region->fd = -1;
}

/* Debug builds let nobody touch what is not backed. */
static int set_access(const struct region *region, uint64_t offset, uint64_t size, int prot)
{
    if (!HF_DEBUG)
        return 0;
    return mprotect(region->base + offset, size, prot) == 0 ? 0 : -errno;
}

/* Anonymous memory of zeros in place of the file. */
static int cover(const struct region *region, uint64_t from, uint64_t to, int prot)
{
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED;
    if (from >= to)
        return 0;
    return mmap(region->base + from, to - from, prot, flags, -1, 0) == MAP_FAILED ? -errno : 0;
}

/* ---- holes ---- */

/* The first hole in [from, to), which begins at `to` if there is none; behind the file all is a hole. */
static uint64_t next_hole(const struct region *region, uint64_t from, uint64_t to)
{
    off_t hole = lseek(region->fd, (off_t)from, SEEK_HOLE);
    return hole < 0 ? from : (uint64_t)hole < to ? (uint64_t)hole : to;
}

/* The same of data. */
static uint64_t next_data(const struct region *region, uint64_t from, uint64_t to)
{
    off_t data = lseek(region->fd, (off_t)from, SEEK_DATA);
    return data >= 0 && (uint64_t)data < to ? (uint64_t)data : to;
}

static int cover_holes(const struct region *region, uint64_t offset, uint64_t end)
{
    for (uint64_t at = offset; at < end;) {
        /* holes may begin and end within a page where blocks of the file system are smaller */
        uint64_t from = bits_round_up(next_hole(region, at, end), PAGE);
        at = next_data(region, from, end);
        int err = cover(region, from, at == end ? end : at / PAGE * PAGE, PROT_OPEN);
        if (err != 0)
            return err;
        if (at < end)
            at = at / PAGE * PAGE + PAGE;
    }
    return 0;
}

uint64_t region_file_size(const struct region *region)
{
    struct stat status;
    return fstat(region->fd, &status) == 0 ? (uint64_t)status.st_size : 0;
}

bool region_has_data(const struct region *region, uint64_t offset, uint64_t size)
{
    return next_data(region, offset, offset + size) < offset + size;
}

uint64_t region_data_end(const struct region *region, uint64_t from, uint64_t to)
{
    uint64_t end = from;
    for (;;) {
        uint64_t data = next_data(region, end, to);
        if (data == to)
            return end;
        end = next_hole(region, data, to);
    }
}

/* ---- growing and shrinking ---- */

bool region_charge(struct region *region, uint64_t size)
{
    if (!mem_charge(region->mem, size))
        return false;
    region->mem->image_bytes += size;
    return true;
}

void region_uncharge(struct region *region, uint64_t size)
{
    region->mem->image_bytes -= size;
    mem_uncharge(region->mem, size);
}

/* Makes room for a range: in the file, or instead of its holes. */
static int make_room(struct region *region, uint64_t offset, uint64_t size)
{
    int err = region->is_private ? cover_holes(region, offset, offset + size)
                                 : region->io->back(region->io, region->fd, offset, size);
    region->error = -err;
    return err;
}

int region_back(struct region *region, uint64_t offset, uint64_t size, bool charge)
{
    if (offset + size > region->size)
        return -ENOMEM;
    if (charge && !region_charge(region, size))
        return -ENOMEM;
    if (make_room(region, offset, size) == 0 && set_access(region, offset, size, PROT_OPEN) == 0)
        return 0;
    if (charge)
        region_uncharge(region, size);
    return -ENOMEM;
}

int region_admit(struct region *region, uint64_t offset, uint64_t size)
{
    uint64_t file = region_file_size(region), end = offset + size;
    if (file < end)
        end = file;
    if (offset >= end)
        return 0;
    if (next_hole(region, offset, end) < end && make_room(region, offset, end - offset) != 0)
        return -ENOMEM;
    return set_access(region, offset, bits_round_up(end - offset, PAGE), PROT_OPEN) == 0 ? 0 : -ENOMEM;
}

/* Where no hole can be made (a full disk may have no room to note it) the pages stay, to be used again, and are
 * cleared. Writing to what is a hole already may fail for want of room, which is as good. */
static void clear(const struct region *region, uint64_t offset, uint64_t size)
{
    static const uint8_t zeros[ZEROS];
    for (uint64_t done = 0; done < size; done += ZEROS) {
        size_t part = size - done < ZEROS ? (size_t)(size - done) : ZEROS;
        ssize_t written = pwrite(region->fd, zeros, part, (off_t)(offset + done));
        (void)written;
    }
}

void region_punch(struct region *region, uint64_t offset, uint64_t size)
{
    if (region->is_private) {
        (void)cover(region, offset, offset + size, PROT_CLOSED);
        return;
    }
    if (region->io->punch(region->io, region->fd, offset, size) != 0)
        clear(region, offset, size);
    (void)set_access(region, offset, size, PROT_CLOSED);
}
