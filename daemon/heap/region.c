/* SPDX-License-Identifier: BSD-3-Clause */
#include "daemon/heap/region.h"

#include "daemon/base/bits.h"
#include "daemon/heap/save.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#define PAGE    4096u
#define ZEROS   16384u
#define EXTENTS 16u /* looked at at once */

/* Pages that nobody may touch yet. */
#define PROT_CLOSED (HF_DEBUG ? PROT_NONE : PROT_READ | PROT_WRITE)
#define PROT_OPEN   (PROT_READ | PROT_WRITE)

/* ---- the file ---- */

static int file_back(const struct region_io *io, int fd, uint64_t offset, uint64_t size, bool keep_size)
{
    (void)io;
    while (fallocate(fd, keep_size ? FALLOC_FL_KEEP_SIZE : 0, (off_t)offset, (off_t)size) != 0)
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

/* Pages of a file in memory (memfd, tmpfs) are what was allocated, no more and no less. */
static bool in_memory(int fd)
{
    struct statfs fs;
    return fstatfs(fd, &fs) == 0 && fs.f_type == TMPFS_MAGIC;
}

/* ---- the mapping ---- */

static uint64_t granules_of(uint64_t bytes)
{
    return (bytes + REGION_GRANULE - 1) / REGION_GRANULE;
}

/* Offsets and addresses have the same place in a granule, which is what huge pages ask for. NULL: errno says why. */
static uint8_t *map_aligned(int fd, uint64_t size, int flags)
{
    uint8_t *room =
        mmap(NULL, size + REGION_GRANULE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (room == MAP_FAILED)
        return NULL;
    uint64_t before = (REGION_GRANULE - (uintptr_t)room % REGION_GRANULE) % REGION_GRANULE;
    uint8_t *p = mmap(room + before, size, PROT_CLOSED, flags | MAP_FIXED, fd, 0);
    if (p == MAP_FAILED) {
        int error = errno;
        munmap(room, size + REGION_GRANULE);
        errno = error;
        return NULL;
    }
    if (before != 0)
        munmap(room, before);
    uint64_t used = bits_round_up(size, PAGE);
    munmap(p + used, size + REGION_GRANULE - before - used);
    return p;
}

int region_map(struct region *region, int fd, uint64_t size, bool is_private, const struct region_io *io,
               struct mem *mem)
{
    int flags = (is_private ? MAP_PRIVATE : MAP_SHARED) | MAP_NORESERVE;
    uint8_t *p = map_aligned(fd, size, flags);
    if (p == NULL)
        return -errno;
    bool memory = in_memory(fd);
    *region = (struct region){.base = p,
                              .size = size,
                              .fd = fd,
                              .is_private = is_private,
                              .granules = !is_private && (!memory || (io != NULL && io->granules)),
                              .io = io != NULL ? io : &file_io,
                              .mem = mem};
    /* free where the administrator allows huge pages for shared memory, ignored elsewhere */
    if (memory)
        (void)madvise(p, size, MADV_HUGEPAGE);
    if (region->granules && !reserve_init(&region->used, granules_of(size) * sizeof(uint16_t))) {
        region_unmap(region);
        return -ENOMEM;
    }
    return 0;
}

void region_unmap(struct region *region)
{
    if (region->base == NULL)
        return;
    munmap(region->base, region->size);
    reserve_done(&region->used, region->mem);
    reserve_done(&region->solid, region->mem);
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

uint64_t region_file_size(const struct region *region)
{
    struct stat status;
    return fstat(region->fd, &status) == 0 ? (uint64_t)status.st_size : 0;
}

/* ---- pieces without a hole ---- */

static uint64_t *solid_word(const struct region *region, uint64_t piece)
{
    return (uint64_t *)(void *)region->solid.base + piece / 64;
}

/* False also where it is not known. */
static bool is_solid(const struct region *region, uint64_t piece)
{
    return piece / 64 * 8 < region->solid.charged && (*solid_word(region, piece) >> (piece % 64) & 1) != 0;
}

/* The first hole in [from, to), which begins at `to` if there is none; behind the file all is a hole. */
static uint64_t next_hole(const struct region *region, uint64_t from, uint64_t to)
{
    while (from < to && is_solid(region, from / REGION_SOLID))
        from = (from / REGION_SOLID + 1) * REGION_SOLID;
    if (from >= to)
        return to;
    off_t hole = lseek(region->fd, (off_t)from, SEEK_HOLE);
    return hole < 0 ? from : (uint64_t)hole < to ? (uint64_t)hole : to;
}

/* The same of data. */
static uint64_t next_data(const struct region *region, uint64_t from, uint64_t to)
{
    off_t data = lseek(region->fd, (off_t)from, SEEK_DATA);
    return data >= 0 && (uint64_t)data < to ? (uint64_t)data : to;
}

/* Looks at all of the file, once: to find the next hole is to look at all the data that lies before it, so whoever
 * asked for one piece after the other, in any order, would look at the same data again and again. */
static int survey(struct region *region)
{
    uint64_t end = region_file_size(region);
    end = end < region->size ? end : region->size;
    uint64_t bytes = (end / REGION_SOLID / 64 + 1) * 8;
    if (!reserve_init(&region->solid, bytes) || !reserve_grow(&region->solid, region->mem, bytes))
        return -ENOMEM;
    for (uint64_t data = next_data(region, 0, end); data < end;) {
        uint64_t hole = next_hole(region, data, end),
                 first = bits_round_up(data, REGION_SOLID) / REGION_SOLID;
        for (uint64_t k = first; k < hole / REGION_SOLID; k++)
            *solid_word(region, k) |= 1ull << (k % 64);
        data = next_data(region, hole, end);
    }
    return 0;
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

/* ---- granules: whole ones are allocated, and no less than whole ones given back ---- */

static uint16_t *used_of(const struct region *region, uint64_t granule)
{
    return (uint16_t *)(void *)region->used.base + granule;
}

/* What a range has of one granule. */
struct part {
    uint64_t granule, offset, size;
};

/* The next part of a range, of which `done` bytes are behind; false: no more. */
static bool next_part(uint64_t offset, uint64_t size, uint64_t *done, struct part *ret)
{
    if (*done >= size)
        return false;
    ret->offset = offset + *done;
    ret->granule = ret->offset / REGION_GRANULE;
    uint64_t end = (ret->granule + 1) * REGION_GRANULE;
    ret->size = end - ret->offset < size - *done ? end - ret->offset : size - *done;
    *done += ret->size;
    return true;
}

static uint64_t granule_bytes(const struct region *region, uint64_t granule)
{
    uint64_t left = region->size - granule * REGION_GRANULE;
    return left < REGION_GRANULE ? left : REGION_GRANULE;
}

/* Whether the file has blocks for all of a range already, written or not: a full disk may refuse to allocate even
 * those. SEEK_HOLE does not tell, since what was never written counts as a hole. */
static bool is_allocated(int fd, uint64_t offset, uint64_t size)
{
    union { /* a map with room for its last member, an array without a length */
        struct fiemap map;
        uint8_t bytes[sizeof(struct fiemap) + EXTENTS * sizeof(struct fiemap_extent)];
    } room;
    struct fiemap *map = &room.map;
    for (uint64_t at = offset; at < offset + size;) {
        *map = (struct fiemap){.fm_start = at, .fm_length = offset + size - at, .fm_extent_count = EXTENTS};
        if (ioctl(fd, FS_IOC_FIEMAP, map) != 0 || map->fm_mapped_extents == 0)
            return false;
        for (uint32_t k = 0; k < map->fm_mapped_extents; k++) {
            const struct fiemap_extent *extent = &map->fm_extents[k];
            if (extent->fe_logical > at)
                return false;
            at = extent->fe_logical + extent->fe_length;
        }
    }
    return true;
}

static int back_granule(const struct region *region, const struct part *part, bool keep_size)
{
    uint64_t at = part->granule * REGION_GRANULE, bytes = granule_bytes(region, part->granule);
    int err = *used_of(region, part->granule) != 0 || is_allocated(region->fd, at, bytes)
                  ? 0
                  : region->io->back(region->io, region->fd, at, bytes, true);
    uint64_t end = part->offset + part->size;
    if (err != 0 || keep_size || end <= region_file_size(region))
        return err;
    return ftruncate(region->fd, (off_t)end) == 0 ? 0 : -errno;
}

static int back_granules(struct region *region, uint64_t offset, uint64_t size, bool keep_size)
{
    struct part part;
    if (!reserve_grow(&region->used, region->mem, granules_of(offset + size) * sizeof(uint16_t)))
        return -ENOMEM;
    for (uint64_t done = 0; next_part(offset, size, &done, &part);) {
        int err = back_granule(region, &part, keep_size);
        if (err != 0)
            return err;
    }
    for (uint64_t done = 0; next_part(offset, size, &done, &part);)
        *used_of(region, part.granule) += (uint16_t)((part.size + PAGE - 1) / PAGE);
    return 0;
}

/* Where no hole is made the pages stay, to be used again, and are cleared. Writing to what is a hole already may fail
 * for want of room, which is as good. */
static void clear(const struct region *region, uint64_t offset, uint64_t size)
{
    static const uint8_t zeros[ZEROS];
    for (uint64_t done = 0; done < size; done += ZEROS) {
        size_t part = size - done < ZEROS ? (size_t)(size - done) : ZEROS;
        ssize_t written = pwrite(region->fd, zeros, part, (off_t)(offset + done));
        (void)written;
    }
}

/* A full disk may have no room to note that there is a hole. */
static void punch_file(const struct region *region, uint64_t offset, uint64_t size)
{
    if (region->io->punch(region->io, region->fd, offset, size) != 0)
        clear(region, offset, size);
}

static void punch_granules(struct region *region, uint64_t offset, uint64_t size, bool backed)
{
    struct part part;
    for (uint64_t done = 0; next_part(offset, size, &done, &part);) {
        uint16_t *used = used_of(region, part.granule);
        if (backed)
            *used -= (uint16_t)((part.size + PAGE - 1) / PAGE);
        if (*used != 0)
            clear(region, part.offset, part.size);
        else if (backed)
            punch_file(region, part.granule * REGION_GRANULE, granule_bytes(region, part.granule));
        else
            punch_file(region, part.offset, part.size);
    }
}

/* ---- backing, for all ---- */

/* Makes room for a range: in the file, or instead of its holes. */
static int make_room(struct region *region, uint64_t offset, uint64_t size, bool keep_size)
{
    int err;
    if (region->is_private)
        err = cover_holes(region, offset, offset + size);
    else if (region->granules)
        err = back_granules(region, offset, size, keep_size);
    else
        err = region->io->back(region->io, region->fd, offset, size, keep_size);
    region->error = -err;
    return err;
}

int region_back(struct region *region, uint64_t offset, uint64_t size, bool charge)
{
    if (offset + size > region->size)
        return -ENOMEM;
    if (charge && !region_charge(region, size))
        return -ENOMEM;
    if (unlikely(region->save != NULL))
        save_backs(region, offset, size);
    if (make_room(region, offset, size, false) == 0 && set_access(region, offset, size, PROT_OPEN) == 0)
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
    if (region->solid.base == NULL && survey(region) != 0)
        return -ENOMEM;
    bool has_room = !region->granules && next_hole(region, offset, end) == end;
    if (!has_room && make_room(region, offset, end - offset, true) != 0)
        return -ENOMEM;
    return set_access(region, offset, bits_round_up(end - offset, PAGE), PROT_OPEN) == 0 ? 0 : -ENOMEM;
}

void region_admitted(struct region *region)
{
    reserve_done(&region->solid, region->mem);
}

void region_punch(struct region *region, uint64_t offset, uint64_t size, bool backed)
{
    region_touch(region, offset, size);
    reserve_done(&region->solid, region->mem);
    if (region->is_private) {
        (void)cover(region, offset, offset + size, PROT_CLOSED);
        return;
    }
    if (region->granules)
        punch_granules(region, offset, size, backed);
    else
        punch_file(region, offset, size);
    (void)set_access(region, offset, size, PROT_CLOSED);
}

void region_drop(struct region *region, uint64_t offset, uint64_t size)
{
    reserve_done(&region->solid, region->mem);
    if (!region->is_private)
        (void)region->io->punch(region->io, region->fd, offset, size);
}
