/* SPDX-License-Identifier: BSD-3-Clause */
#include "daemon/heap/region.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

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

int region_map(struct region *region, int fd, uint64_t size, bool is_private, const struct region_io *io,
               struct mem *mem)
{
    int flags = (is_private ? MAP_PRIVATE : MAP_SHARED) | MAP_NORESERVE;
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, flags, fd, 0);
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

int region_back(struct region *region, uint64_t offset, uint64_t size, bool charge)
{
    if (offset + size > region->size)
        return -ENOMEM;
    if (charge && !region_charge(region, size))
        return -ENOMEM;
    if (region->is_private || region->io->back(region->io, region->fd, offset, size) == 0)
        return 0;
    if (charge)
        region_uncharge(region, size);
    return -ENOMEM;
}

void region_punch(struct region *region, uint64_t offset, uint64_t size)
{
    /* a hole that cannot be punched stays backed: nothing is lost but the pages, and they are used again */
    if (!region->is_private)
        (void)region->io->punch(region->io, region->fd, offset, size);
}

uint64_t region_file_size(const struct region *region)
{
    struct stat status;
    return fstat(region->fd, &status) == 0 ? (uint64_t)status.st_size : 0;
}

bool region_has_data(const struct region *region, uint64_t offset, uint64_t size)
{
    off_t data = lseek(region->fd, (off_t)offset, SEEK_DATA);
    return data >= 0 && (uint64_t)data < offset + size;
}

uint64_t region_data_end(const struct region *region, uint64_t from, uint64_t to)
{
    uint64_t end = from;
    for (;;) {
        off_t data = lseek(region->fd, (off_t)end, SEEK_DATA);
        if (data < 0 || (uint64_t)data >= to)
            return end;
        off_t hole = lseek(region->fd, data, SEEK_HOLE);
        if (hole < 0)
            return end;
        end = (uint64_t)hole < to ? (uint64_t)hole : to;
    }
}
