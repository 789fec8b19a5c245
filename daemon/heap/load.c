/* SPDX-License-Identifier: BSD-3-Clause */
#include "daemon/heap/load.h"

#include "daemon/heap/heap.h"
#include "daemon/heap/save.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SERIALS       (W0_GEN + 1)
#define VERSIONS_OVER (1ull << 30) /* more than are given out in the time that a snapshot goes back */
#define STEP          64u          /* records between two calls of `progress`: a megabyte */

__attribute__((format(printf, 4, 5))) /* lets the compiler check the arguments; C has no other way */
static enum load_result
fail(enum load_result result, char *error, size_t error_size, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(error, error_size, format, args);
    va_end(args);
    return result;
}

static enum load_result fail_system(const char *doing, char *error, size_t error_size)
{
    bool full = errno == ENOSPC || errno == EDQUOT || errno == ENOMEM;
    return fail(full ? LOAD_FULL : LOAD_FAILED, error, error_size, "cannot %s: %s", doing, strerror(errno));
}

/* All of it, or fewer bytes where the file ends; -1: errno. */
static ssize_t read_at(int fd, void *to, size_t size, uint64_t at)
{
    size_t done = 0;
    while (done < size) {
        ssize_t n = pread(fd, (uint8_t *)to + done, size - done, (off_t)(at + done));
        if (n == 0 || (n < 0 && errno != EINTR))
            return n < 0 ? -1 : (ssize_t)done;
        done += n < 0 ? 0 : (size_t)n;
    }
    return (ssize_t)done;
}

static bool write_at(int fd, const void *from, size_t size, uint64_t at)
{
    for (size_t done = 0; done < size;) {
        ssize_t n = pwrite(fd, (const uint8_t *)from + done, size - done, (off_t)(at + done));
        if (n < 0 && errno != EINTR)
            return false;
        done += n < 0 ? 0 : (size_t)n;
    }
    return true;
}

/* ---- the header ---- */

static enum load_result judge_header(const struct saved_header *header, char *error, size_t error_size)
{
    if (header->magic != SAVED_MAGIC)
        return fail(LOAD_DAMAGED, error, error_size, "no saved image: the magic number is missing");
    if (header->format < SAVED_FORMAT_FIRST || header->format > SAVED_FORMAT)
        return fail(LOAD_DAMAGED, error, error_size,
                    "it has format %u of saved images, this version reads formats %u to %u", header->format,
                    SAVED_FORMAT_FIRST, SAVED_FORMAT);
    if (header->checksum != saved_header_checksum(header))
        return fail(LOAD_DAMAGED, error, error_size,
                    "the header, at byte 0, is damaged: its checksum is wrong");
    if (header->image_format < IMAGE_FORMAT_FIRST || header->image_format > IMAGE_FORMAT)
        return fail(LOAD_DAMAGED, error, error_size,
                    "the image in it has format %u, this version reads formats %u to %u",
                    header->image_format, IMAGE_FORMAT_FIRST, IMAGE_FORMAT);
    if (header->piece != SAVED_PIECE || header->header != SAVED_HEADER ||
        memchr(header->superblock.name, '\0', sizeof header->superblock.name) == NULL)
        return fail(LOAD_DAMAGED, error, error_size, "the sizes or the superblock in its header are none");
    return LOAD_FINE;
}

enum load_result load_header(int fd, struct saved_header *ret, char *error, size_t error_size)
{
    ssize_t n = read_at(fd, ret, sizeof *ret, 0);
    if (n < 0)
        return fail_system("read", error, error_size);
    if (n < (ssize_t)sizeof *ret)
        return fail(LOAD_DAMAGED, error, error_size, "no saved image: %zd bytes are less than a header", n);
    return judge_header(ret, error, error_size);
}

/* ---- the records ---- */

struct reading {
    int fd, fd_meta, fd_values;
    const struct saved_header *header;
    bool tolerate;
    struct load_scan *scan;
    uint64_t at, size, checksum;
    char *error;
    size_t error_size;
    struct saved_record record;
    uint64_t bytes[SAVED_PIECE / 8];
};

/* Whether a record may have that head. */
static bool is_head(const struct reading *r)
{
    const struct saved_record *record = &r->record;
    if (record->magic == SAVED_LAST)
        return record->size == sizeof(struct saved_end) && record->place == 0;
    bool values = (record->place & SAVED_VALUES) != 0;
    uint64_t offset = record->place & ~SAVED_VALUES;
    uint64_t end = values ? r->header->superblock.values_bytes
                          : r->header->superblock.blocks_at + r->header->superblock.blocks_bytes;
    return record->magic == SAVED_RECORD && record->size > 0 && record->size <= SAVED_PIECE &&
           record->size % PAGE_BYTES == 0 && offset % PAGE_BYTES == 0 && offset < end;
}

/* Whether all is zero from `at` to the next page; at least a word is. */
static bool is_padding(const struct reading *r, uint64_t at)
{
    uint64_t bytes[PAGE_BYTES / 8] = {0}, size = bits_round_up(at, PAGE_BYTES) - at;
    if (r->header->format < SAVED_FORMAT_ZEROS || read_at(r->fd, bytes, size, at) != (ssize_t)size)
        return false;
    for (unsigned k = 0; k < size / 8; k++)
        if (bytes[k] != 0)
            return false;
    return size != 0;
}

/* The head of a record at r->at, or behind the zeros that are there. As read_at(). */
static ssize_t read_head(struct reading *r)
{
    ssize_t n = read_at(r->fd, &r->record, sizeof r->record, r->at);
    if (n < (ssize_t)sizeof r->record || r->record.magic != 0 || !is_padding(r, r->at))
        return n;
    r->at = bits_round_up(r->at, PAGE_BYTES);
    return read_at(r->fd, &r->record, sizeof r->record, r->at);
}

/* The record at r->at, with its bytes. FINE; DAMAGED: `*ret_wrong` says what; FAILED. */
static enum load_result read_record(struct reading *r, const char **ret_wrong)
{
    *ret_wrong = "it is cut off there";
    ssize_t n = read_head(r);
    if (n < 0)
        return fail_system("read", r->error, r->error_size);
    if (n < (ssize_t)sizeof r->record)
        return LOAD_DAMAGED;
    if (!is_head(r)) {
        *ret_wrong = "there is no piece";
        return LOAD_DAMAGED;
    }
    n = read_at(r->fd, r->bytes, r->record.size, r->at + sizeof r->record);
    if (n < 0)
        return fail_system("read", r->error, r->error_size);
    if (n < (ssize_t)r->record.size)
        return LOAD_DAMAGED;
    *ret_wrong = "the checksum is wrong";
    return saved_checksum(&r->record, r->bytes, r->at) == r->record.checksum ? LOAD_FINE : LOAD_DAMAGED;
}

static enum load_result place_piece(struct reading *r)
{
    int fd = (r->record.place & SAVED_VALUES) != 0 ? r->fd_values : r->fd_meta;
    if (fd < 0 || write_at(fd, r->bytes, r->record.size, r->record.place & ~SAVED_VALUES))
        return LOAD_FINE;
    return fail_system("write the image", r->error, r->error_size);
}

static enum load_result read_end(struct reading *r)
{
    struct saved_end end;
    memcpy(&end, r->bytes, sizeof end);
    uint64_t end_at = r->at + sizeof r->record + sizeof end;
    r->scan->whole =
        end.records == r->scan->records && end.checksum == r->checksum && end.bytes == r->size &&
        (end_at == r->size || (bits_round_up(end_at, PAGE_BYTES) == r->size && is_padding(r, end_at)));
    if (r->scan->whole || r->tolerate)
        return LOAD_FINE;
    if (end.bytes > r->size && end.bytes % PAGE_BYTES == 0)
        return fail(LOAD_DAMAGED, r->error, r->error_size,
                    "it is cut off: it has %" PRIu64 " of %" PRIu64 " bytes", r->size, end.bytes);
    return fail(LOAD_DAMAGED, r->error, r->error_size,
                "its end, at byte %" PRIu64 ", does not fit what is before it", r->at);
}

/* Where the next record may begin: the walk goes on there. */
static void skip_damage(struct reading *r)
{
    const char *wrong;
    if (r->scan->bad++ == 0)
        r->scan->bad_at = r->at;
    for (r->at += 8; r->at < r->size; r->at += 8)
        if (read_at(r->fd, &r->record, sizeof r->record, r->at) == (ssize_t)sizeof r->record && is_head(r) &&
            read_record(r, &wrong) == LOAD_FINE)
            return;
}

static bool goes_on(const struct reading *r)
{
    return r->scan->progress == NULL || r->scan->records % STEP != 0 || r->scan->progress(r->scan->data);
}

static enum load_result read_all(struct reading *r)
{
    const char *wrong;
    while (r->at < r->size || !r->tolerate) {
        enum load_result result = read_record(r, &wrong);
        if (result == LOAD_DAMAGED && r->tolerate) {
            skip_damage(r);
            continue;
        }
        if (result == LOAD_DAMAGED)
            return fail(LOAD_DAMAGED, r->error, r->error_size,
                        "damaged at byte %" PRIu64 " of %" PRIu64 ": %s", r->at, r->size, wrong);
        if (result != LOAD_FINE)
            return result;
        if (r->record.magic == SAVED_LAST)
            return read_end(r);
        if ((result = place_piece(r)) != LOAD_FINE)
            return result;
        r->at += sizeof r->record + r->record.size;
        r->checksum += r->record.checksum;
        r->scan->records++;
        r->scan->bytes += r->record.size;
        if (!goes_on(r))
            return fail(LOAD_ENDED, r->error, r->error_size, "reading it was ended");
    }
    return LOAD_FINE;
}

enum load_result load_pieces(int fd, const struct saved_header *header, int fd_meta, int fd_values,
                             bool tolerate, struct load_scan *scan, char *error, size_t error_size)
{
    struct stat status;
    struct reading *r = calloc(1, sizeof *r);
    if (r == NULL || fstat(fd, &status) != 0) {
        free(r);
        return fail_system("read", error, error_size);
    }
    *r = (struct reading){.fd = fd,
                          .fd_meta = fd_meta,
                          .fd_values = fd_values,
                          .header = header,
                          .tolerate = tolerate,
                          .scan = scan,
                          .at = SAVED_DATA_AT,
                          .size = (uint64_t)status.st_size,
                          .error = error,
                          .error_size = error_size};
    enum load_result result = LOAD_FINE;
    if (fd_meta >= 0 && (ftruncate(fd_meta, (off_t)header->meta_bytes) != 0 ||
                         ftruncate(fd_values, (off_t)header->values_bytes) != 0))
        result = fail_system("make the image", error, error_size);
    if (result == LOAD_FINE)
        result = read_all(r);
    free(r);
    return result;
}

/* ---- another incarnation ---- */

enum load_result load_renew(int fd_meta, const struct saved_header *header,
                            const struct load_identity *identity, char *error, size_t error_size)
{
    struct superblock sb = header->superblock;
    uint64_t away = SERIALS / 4 + identity->random % (SERIALS / 2);
    sb.epoch = identity->epoch;
    sb.serial_base = (uint32_t)((sb.serial_base + away) % SERIALS);
    if (sb.serial_base == 0)
        sb.serial_base = 1;
    sb.next_version += VERSIONS_OVER;
    if (identity->name != NULL) {
        memset(sb.name, 0, sizeof sb.name);
        strncpy(sb.name, identity->name, sizeof sb.name - 1);
    }
    sb.checksum = superblock_checksum(&sb);
    return write_at(fd_meta, &sb, sizeof sb, 0) ? LOAD_FINE
                                                : fail_system("write the image", error, error_size);
}
