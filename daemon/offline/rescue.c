/* SPDX-License-Identifier: BSD-3-Clause */
#include "daemon/offline/rescue.h"

#include "daemon/offline/path.h"
#include "daemon/pool/images.h"
#include "daemon/pool/pool.h"
#include "daemon/pool/rescue.h"
#include "daemon/pool/saves.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <msgpack.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define TEXTS_MAX    100u
#define TOLD_MAX     10u /* on stderr */
#define OBJECT_MAP   8u
#define PERCENT_NONE 101u

struct out {
    FILE *file;
    msgpack_packer packer;
    uint64_t objects, names, lost;
    char *texts[TEXTS_MAX];
    unsigned texts_count;
    bool terminal;
    unsigned percent;
};

static int write_packed(void *data, const char *bytes, size_t size)
{
    return fwrite(bytes, 1, size, data) == size ? 0 : -1;
}

static void pack_text(msgpack_packer *packer, const char *text)
{
    msgpack_pack_str(packer, strlen(text));
    msgpack_pack_str_body(packer, text, strlen(text));
}

static void pack_bytes(msgpack_packer *packer, const uint8_t *bytes, uint32_t size)
{
    if (size == 0) {
        msgpack_pack_nil(packer);
        return;
    }
    msgpack_pack_str(packer, size);
    msgpack_pack_str_body(packer, bytes, size);
}

static void pack_uint(msgpack_packer *packer, const char *key, uint64_t value)
{
    pack_text(packer, key);
    msgpack_pack_uint64(packer, value);
}

/* ---- the sink ---- */

/* Whether the bytes are one whole value. */
static bool is_value(const uint8_t *bytes, uint64_t size)
{
    msgpack_unpacked unpacked;
    size_t end = 0;
    msgpack_unpacked_init(&unpacked);
    msgpack_unpack_return result = msgpack_unpack_next(&unpacked, (const char *)bytes, size, &end);
    msgpack_unpacked_destroy(&unpacked);
    return (result == MSGPACK_UNPACK_SUCCESS || result == MSGPACK_UNPACK_EXTRA_BYTES) && end == size;
}

static void pack_value(struct out *out, const struct rescue_object *object)
{
    bool is_text = object->form >= FORM_FIXSTR && object->form <= FORM_STR32;
    if (object->form == FORM_RAW)
        (void)write_packed(out->file, (const char *)object->value, object->size);
    else if (is_text)
        msgpack_pack_str(&out->packer, object->size);
    else
        msgpack_pack_bin(&out->packer, object->size);
    if (object->form != FORM_RAW)
        (void)write_packed(out->file, (const char *)object->value, object->size);
}

static bool take_object(void *data, const struct rescue_object *object)
{
    struct out *out = data;
    /* what is being written has no value yet, only bytes */
    bool raw = object->form == FORM_RAW && !object->open;
    if ((raw && !is_value(object->value, object->size)) || object->size > UINT32_MAX)
        return false;
    struct rescue_object as = *object;
    if (object->open)
        as.form = FORM_BIN32;
    msgpack_packer *packer = &out->packer;
    msgpack_pack_map(packer, OBJECT_MAP);
    pack_uint(packer, "object", object->id);
    pack_text(packer, "value");
    pack_value(out, &as);
    pack_text(packer, "slots");
    msgpack_pack_array(packer, object->slots_count);
    for (uint32_t k = 0; k < object->slots_count; k++) {
        if (object->slots[k] == 0)
            msgpack_pack_nil(packer);
        else
            msgpack_pack_uint64(packer, object->slots[k]);
    }
    pack_uint(packer, "version", object->version);
    pack_text(packer, "tag");
    pack_bytes(packer, object->tag, object->tag_size);
    pack_text(packer, "site");
    pack_bytes(packer, object->site, object->site_size);
    pack_text(packer, "open");
    (void)(object->open ? msgpack_pack_true(packer) : msgpack_pack_false(packer));
    pack_text(packer, "sealed");
    (void)(object->sealed ? msgpack_pack_true(packer) : msgpack_pack_false(packer));
    out->objects++;
    return true;
}

static bool take_name(void *data, const uint8_t *name, uint32_t size, uint64_t id)
{
    struct out *out = data;
    msgpack_pack_map(&out->packer, 2);
    pack_text(&out->packer, "name");
    pack_bytes(&out->packer, name, size);
    pack_uint(&out->packer, "object", id);
    out->names++;
    return true;
}

static void end_progress(const struct out *out)
{
    if (out->terminal)
        fputs("\r\033[K", stderr);
}

static void take_lost(void *data, const char *text)
{
    struct out *out = data;
    if (out->texts_count < TEXTS_MAX && (out->texts[out->texts_count] = strdup(text)) != NULL)
        out->texts_count++;
    out->lost++;
}

static void take_progress(void *data, unsigned percent)
{
    struct out *out = data;
    if (!out->terminal || percent == out->percent)
        return;
    out->percent = percent;
    fprintf(stderr, "\r\033[Krescuing: %u %%", percent);
}

/* ---- one pool ---- */

static void begin(struct out *out, const char *pool, uint64_t epoch)
{
    msgpack_pack_map(&out->packer, 3);
    pack_uint(&out->packer, "rescue", 1);
    pack_text(&out->packer, "pool");
    pack_text(&out->packer, pool);
    pack_uint(&out->packer, "epoch", epoch);
}

static void end(struct out *out)
{
    msgpack_pack_map(&out->packer, 5);
    pack_text(&out->packer, "end");
    msgpack_pack_true(&out->packer);
    pack_uint(&out->packer, "objects", out->objects);
    pack_uint(&out->packer, "names", out->names);
    pack_uint(&out->packer, "lost", out->lost);
    pack_text(&out->packer, "texts");
    msgpack_pack_array(&out->packer, out->texts_count);
    for (unsigned k = 0; k < out->texts_count; k++)
        pack_text(&out->packer, out->texts[k]);
}

static int rescue(struct out *out, const struct rescue_source *source, const char *pool, uint64_t epoch)
{
    char error[IMAGES_ERROR_MAX];
    const struct rescue_sink sink = {take_object, take_name, take_lost, take_progress, out};
    begin(out, pool, epoch);
    int code = rescue_image(source, &sink, error, sizeof error);
    end(out);
    end_progress(out);
    if (code != 0)
        return offline_failed(pool, error);
    for (unsigned k = 0; k < out->texts_count && k < TOLD_MAX; k++)
        fprintf(stderr, "holdfastd: %s: %s\n", pool, out->texts[k]);
    fprintf(stderr,
            "holdfastd: %s: %" PRIu64 " objects and %" PRIu64 " names are read, %" PRIu64
            " things are lost\n",
            pool, out->objects, out->names, out->lost);
    return out->lost != 0 ? OFFLINE_DAMAGED : OFFLINE_FINE;
}

static uint64_t epoch_of(int fd_meta)
{
    struct superblock sb;
    return pread(fd_meta, &sb, sizeof sb, 0) == (ssize_t)sizeof sb ? sb.epoch : 0;
}

/* ---- where it is ---- */

/* The file of a save, as far as its records are sound, as an image in memory. */
static int rescue_saved(struct out *out, const char *path)
{
    char error[SAVES_ERROR_MAX], pool[HF_POOL_NAME_MAX + 1];
    struct pool_unpacked unpacked;
    int fd;
    if (saves_open(path, &fd, error, sizeof error) != SAVES_FINE)
        return offline_failed(error, "");
    int code = pool_unpack(fd, &unpacked, error, sizeof error);
    close(fd);
    if (code != 0)
        return offline_failed(path, error);
    snprintf(pool, sizeof pool, "%.*s", (int)HF_POOL_NAME_MAX, unpacked.name);
    if (!unpacked.whole) {
        char text[160];
        snprintf(text, sizeof text, "the file is damaged at byte %" PRIu64 "%s; what was there is missing",
                 unpacked.bad_at, unpacked.bad > 1 ? ", and at other places" : "");
        take_lost(out, text);
    }
    const struct rescue_source source = {unpacked.fd_meta, unpacked.fd_values, !unpacked.whole};
    code = rescue(out, &source, pool, unpacked.epoch);
    close(unpacked.fd_meta);
    close(unpacked.fd_values);
    return code;
}

/* The name of the only pool of a folder. */
static const char *only_one(const struct image_list *list)
{
    const char *name = NULL;
    for (size_t k = 0; k < list->count; k++) {
        if (image_state(&list->images[k]) == IMAGE_LEFTOVER)
            continue;
        if (name != NULL)
            return NULL;
        name = list->images[k].name;
    }
    return name;
}

static int rescue_files(struct out *out, const struct images *images, const char *only)
{
    char error[IMAGES_ERROR_MAX];
    struct image_list list;
    int fd_meta, fd_values;
    if (images_list(images, &list, error, sizeof error) != IMAGES_FINE)
        return offline_failed(error, "");
    const char *name = only != NULL ? only : only_one(&list);
    int code = OFFLINE_FAILED;
    if (name == NULL)
        (void)offline_failed(images->path, "there is not one pool in it; name it as FOLDER/NAME");
    else if (images_files(images, name, &fd_meta, &fd_values, error, sizeof error) != IMAGES_FINE)
        (void)offline_failed(error, "");
    else {
        const struct rescue_source source = {fd_meta, fd_values, false};
        code = rescue(out, &source, name, epoch_of(fd_meta));
        close(fd_meta);
        close(fd_values);
    }
    image_list_done(&list);
    return code;
}

static int rescue_path(struct out *out, const char *path)
{
    char folder[PATH_MAX], error[IMAGES_ERROR_MAX];
    const char *only;
    struct images images;
    if (offline_is_saved(path))
        return rescue_saved(out, path);
    offline_part(path, folder, &only);
    if (images_look(&images, folder[0] == '\0' ? "/" : folder, error, sizeof error) != IMAGES_FINE)
        return offline_failed(error, "");
    int code = rescue_files(out, &images, only);
    images_close(&images);
    return code;
}

int offline_rescue(const char *path, const char *output)
{
    struct out out = {.terminal = isatty(STDERR_FILENO) != 0, .percent = PERCENT_NONE};
    int fd = open(output, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    out.file = fd < 0 ? NULL : fdopen(fd, "wb");
    if (out.file == NULL)
        return offline_failed(output, strerror(errno));
    msgpack_packer_init(&out.packer, out.file, write_packed);
    int code = rescue_path(&out, path);
    bool written = ferror(out.file) == 0;
    if (fclose(out.file) != 0 || !written)
        code = offline_failed(output, strerror(errno));
    for (unsigned k = 0; k < out.texts_count; k++)
        free(out.texts[k]);
    return code;
}
