/* SPDX-License-Identifier: BSD-3-Clause */
/* put put_many get set write seal refs link: objects, their values and slots. */
#include "daemon/pool/replay.h"
#include "daemon/server/handlers.h"
#include "daemon/server/value.h"

#include <stdlib.h>

/* ---- put, put_many ---- */

/* Options of one object that is put. */
struct put_options {
    struct span refs;
    struct name_in tag, site;
    uint64_t size;
    bool sized, seal;
};

/* Where refs go, and what they may point at. */
struct refs_in {
    uint64_t *ids; /* in the scratch, HF_REFS_MAX of them for the whole call */
    uint32_t used;
    uint32_t items; /* of put_many: -1 ... -items may be named; 0 in put */
};

static int ref_value(struct span span, uint32_t items, uint64_t *ret)
{
    int64_t number;

    if (span_nil(span)) {
        *ret = 0;
        return 0;
    }
    if (span_int(span, &number) || number == 0 || number > (int64_t)HF_ID_MAX || number < -(int64_t)items)
        return -HF_E_BADARG;
    *ret = number > 0 ? (uint64_t)number : POOL_ITEM(-number - 1);
    return 0;
}

static const char *ref_text(uint32_t items)
{
    return items ? "refs are ids, nil, or -k for the k-th item of this call" : "refs are ids or nil";
}

/* Reads an array of refs; nil or nothing is none. */
static int put_refs(struct call *call, struct span span, struct refs_in *in, struct put_spec *spec)
{
    const uint8_t *at;
    uint32_t count;

    spec->refs = in->ids + in->used;
    spec->refs_count = 0;
    if (span.at == NULL || span_nil(span))
        return 0;
    if (span_array(span, &count, &at))
        return call_fail(call, HF_E_BADARG, ref_text(in->items), "option=refs");
    if (count > HF_REFS_MAX - in->used)
        return call_fail(call, HF_E_LIMIT, "put with fewer refs, then append the others with `link`",
                         "refs=%u", HF_REFS_MAX);
    for (uint32_t i = 0; i < count; i++) {
        int r = ref_value(span_next(&at, span.end), in->items, &in->ids[in->used + i]);

        if (r)
            return call_fail(call, -r, ref_text(in->items), "option=refs ref=%u", i);
    }
    in->used += count;
    spec->refs_count = count;
    return 0;
}

static bool value_is_nil(const struct value_in *value)
{
    return value->form == FORM_RAW && value->stage == NULL && value->size == 1 && value->data[0] == 0xc0;
}

/* `value` becomes the zeroed bytes that `size` asks for. */
static int put_open(struct call *call, const struct put_options *options, struct put_spec *spec)
{
    if (!value_is_nil(&spec->value))
        return call_fail(call, HF_E_BADARG, "with `size` the value is nil: its bytes come by `write`",
                         "option=size");
    if (options->seal)
        return call_fail(call, HF_E_BADARG, "an object put with `size` is sealed by the method `seal`",
                         "option=seal");
    if (options->size > HF_OBJECT_MAX)
        return call_fail(call, HF_E_TOOBIG, "no object can be so large", "size=%llu max=%llu",
                         (unsigned long long)options->size, (unsigned long long)HF_OBJECT_MAX);
    spec->open = true;
    spec->value = (struct value_in){
        .form = value_bin_form(options->size), .data = NULL, .size = options->size, .stage = NULL};
    return 0;
}

/* From options and the value that is in `spec` already. */
static int put_fill(struct call *call, const struct put_options *options, struct refs_in *in,
                    struct put_spec *spec)
{
    int r;

    spec->tag = options->tag.data;
    spec->tag_size = options->tag.size;
    spec->site = options->site.data;
    spec->site_size = options->site.size;
    spec->seal = options->seal;
    spec->open = false;
    r = put_refs(call, options->refs, in, spec);
    if (r == 0 && options->sized)
        r = put_open(call, options, spec);
    return r;
}

int handle_put(struct call *call)
{
    struct scratch *scratch = call_scratch(call);
    struct refs_in in = {.ids = scratch->refs};
    struct put_options options = {.refs = {NULL, NULL}};
    const struct option_spec specs[] = {
        {"refs", OPTION_SPAN, &options.refs, NULL, 0, 0},
        {"tag", OPTION_NAME, &options.tag, NULL, 0, 0},
        {"site", OPTION_NAME, &options.site, NULL, 0, 0},
        {"size", OPTION_UINT, &options.size, &options.sized, 0, HF_ID_MAX},
        {"seal", OPTION_BOOL, &options.seal, NULL, 0, 0},
    };
    struct put_spec spec;
    uint64_t id;
    int r;

    if ((r = call_value(call, "value", &spec.value)) || (r = call_options(call, specs, COUNT_OF(specs))) ||
        (r = put_fill(call, &options, &in, &spec)))
        return r;
    r = pool_put(call->pool, call->session, &spec, &id);
    if (r)
        return call_pool_error(call, r);
    reply_uint(call, id);
    return 0;
}

/* One item of put_many, [value, refs?, {options}?], which begins at *at; moves *at behind it. It is read in
 * place, since passing over it first would double the work for large ones. */
static int put_item(struct call *call, const uint8_t **at, const uint8_t *end, struct refs_in *in,
                    struct put_spec *spec)
{
    struct put_options options = {.refs = {NULL, NULL}};
    const struct option_spec specs[] = {
        {"tag", OPTION_NAME, &options.tag, NULL, 0, 0},
        {"site", OPTION_NAME, &options.site, NULL, 0, 0},
        {"size", OPTION_UINT, &options.size, &options.sized, 0, HF_ID_MAX},
        {"seal", OPTION_BOOL, &options.seal, NULL, 0, 0},
    };
    uint32_t count;
    int r;

    if (span_array((struct span){*at, end}, &count, at) || count < 1 || count > 3)
        return call_badarg(call, "items", -1,
                           "an item is [value], [value, refs] or [value, refs, {options}]");
    r = call_value_in(call, span_next(at, end), &spec->value);
    if (r == 0 && count > 1)
        options.refs = span_next(at, end);
    if (r == 0 && count > 2)
        r = call_options_in(call, span_next(at, end), specs, COUNT_OF(specs));
    return r ? r : put_fill(call, &options, in, spec);
}

int handle_put_many(struct call *call)
{
    struct scratch *scratch = call_scratch(call);
    struct refs_in in = {.ids = scratch->refs};
    struct span items;
    const uint8_t *at;
    uint32_t count;
    int r;

    if (!call_span(call, &items) || span_array(items, &count, &at))
        return call_badarg(call, "items", -1, "an array of [value, refs?, {options}?]");
    if (count > HF_IDS_MAX)
        return call_fail(call, HF_E_LIMIT, "put the rest by another call", "items=%u max=%u", count,
                         HF_IDS_MAX);
    if ((r = call_options(call, NULL, 0)))
        return r;
    in.items = count;
    for (uint32_t i = 0; i < count; i++) {
        r = put_item(call, &at, items.end, &in, &scratch->puts[i]);
        if (r)
            return call_at_index(call, r, i);
    }
    pool_replay_shape(call->pool, REPLAY_ARRAY);
    if (count > 0)
        r = pool_put_many(call->pool, call->session, scratch->puts, count, scratch->results);
    if (r)
        return call_pool_error(call, r);
    reply_uints(call, scratch->results, count, true);
    return 0;
}

/* ---- get ---- */

struct get_options {
    uint64_t offset, len;
    bool has_offset, has_len, version;
};

static int reply_part(struct call *call, uint64_t id, const struct value_view *view,
                      const struct get_options *options)
{
    uint64_t rest;

    if (!value_has_bytes(view->form))
        return call_fail(call, HF_E_BADARG, "only str and bin values have parts; get all of it", "option=%s",
                         options->has_offset ? "offset" : "len");
    if (options->offset > view->size)
        return call_fail(call, HF_E_BADARG, "the value ends before that", "option=offset size=%llu",
                         (unsigned long long)view->size);
    rest = view->size - options->offset;
    reply_value_part(call, id, view, options->offset,
                     options->has_len && options->len < rest ? options->len : rest);
    return 0;
}

static int reply_got(struct call *call, uint64_t id, const struct get_options *options)
{
    struct value_view view;
    int r = pool_get(call->pool, id, &view);

    if (r)
        return call_pool_error(call, r);
    if (options->version)
        reply_array(call, 2);
    if (options->has_offset || options->has_len)
        r = reply_part(call, id, &view, options);
    else
        reply_value(call, id, &view);
    if (options->version)
        reply_uint(call, view.version);
    return r;
}

int handle_get(struct call *call)
{
    struct get_options options = {.offset = 0};
    const struct option_spec specs[] = {
        {"offset", OPTION_UINT, &options.offset, &options.has_offset, 0, HF_ID_MAX},
        {"len", OPTION_UINT, &options.len, &options.has_len, 0, HF_ID_MAX},
        {"version", OPTION_BOOL, &options.version, NULL, 0, 0},
    };
    struct ids ids;
    int r;

    if ((r = call_ids(call, "id", &ids)) || (r = call_options(call, specs, COUNT_OF(specs))))
        return r;
    if (!ids.array)
        return reply_got(call, ids.ids[0], &options);
    reply_array(call, ids.count);
    for (uint32_t i = 0; r == 0 && i < ids.count; i++)
        r = call_at_index(call, reply_got(call, ids.ids[i], &options), i);
    return r;
}

/* ---- set ---- */

int handle_set(struct call *call)
{
    uint64_t id, version, if_version = 0;
    bool conditional = false;
    const struct option_spec specs[] = {
        {"if_version", OPTION_UINT, &if_version, &conditional, 0, VERSION_MAX}};
    struct value_in value;
    int r;

    if ((r = call_id(call, "id", &id)) || (r = call_value(call, "value", &value)) ||
        (r = call_options(call, specs, COUNT_OF(specs))))
        return r;
    /* 0 is "must not exist", which no object that can be set fulfils; for the pool it is "whatever there
     * is". */
    if (conditional && if_version == 0)
        if_version = POOL_ANY_VERSION;
    r = pool_set(call->pool, id, &value, if_version, &version);
    if (r)
        return call_pool_error(call, r);
    reply_uint(call, version);
    return 0;
}

/* ---- write: in steps of POOL_COPY_MAX, one a turn ---- */

struct write_state {
    uint64_t id, offset;
    const uint8_t
        *data; /* in the frame, which is kept until the call is done: it is larger than CALL_KEPT_MIN */
    uint64_t left, written;
};
static_assert(POOL_COPY_MAX > CALL_KEPT_MIN, "what needs more than one step is kept");

static int write_step(struct call *call, struct write_state *state)
{
    uint32_t size = state->left < POOL_COPY_MAX ? (uint32_t)state->left : POOL_COPY_MAX;
    int r = pool_write(call->pool, call->session, state->id, state->offset, state->data, size, state->left);

    if (r == -HF_E_BADARG)
        return call_badarg(call, "offset", -1,
                           "the bytes reach beyond the size that the object was put with");
    if (r)
        return call_pool_error(call, r);
    state->offset += size;
    state->data += size;
    state->left -= size;
    state->written += size;
    if (state->left)
        return CALL_AGAIN;
    reply_uint(call, state->written);
    return 0;
}

static int write_resume(struct call *call, void *state)
{
    return write_step(call, state);
}

static void state_free(struct call *call, void *state)
{
    (void)call; /* as call_later() wants it */
    free(state);
}

int handle_write(struct call *call)
{
    struct write_state state = {.written = 0}, *kept;
    struct name_in bytes;
    int r;

    if ((r = call_id(call, "id", &state.id)) ||
        (r = call_uint(call, "offset", 0, HF_ID_MAX, CALL_REQUIRED, &state.offset)) ||
        (r = call_bytes(call, "bytes", 0, UINT32_MAX, &bytes)) || (r = call_options(call, NULL, 0)))
        return r;
    state.data = bytes.data;
    state.left = bytes.size;
    r = write_step(call, &state);
    if (r != CALL_AGAIN)
        return r;
    kept = malloc(sizeof(*kept));
    if (kept == NULL)
        return -HF_E_OOM;
    *kept = state;
    return call_later_patient(call, write_resume, kept, state_free);
}

/* ---- seal ---- */

static int seal_step(struct call *call, uint64_t id)
{
    int r = pool_seal(call->pool, call->session, id);

    if (r == POOL_AGAIN)
        return CALL_AGAIN;
    if (r)
        return call_pool_error(call, r);
    reply_bool(call, true);
    return 0;
}

static int seal_resume(struct call *call, void *state)
{
    return seal_step(call, *(uint64_t *)state);
}

int handle_seal(struct call *call)
{
    uint64_t id, *kept;
    int r;

    if ((r = call_id(call, "id", &id)) || (r = call_options(call, NULL, 0)))
        return r;
    r = seal_step(call, id);
    if (r != CALL_AGAIN)
        return r;
    kept = malloc(sizeof(*kept));
    if (kept == NULL)
        return -HF_E_OOM;
    *kept = id;
    return call_later_patient(call, seal_resume, kept, state_free);
}

/* ---- slots ---- */

int handle_refs(struct call *call)
{
    uint64_t *ids = call_scratch(call)->results;
    uint32_t count = 0, total = 0;
    uint64_t id;
    int r;

    if ((r = call_id(call, "id", &id)) || (r = call_options(call, NULL, 0)))
        return r;
    r = pool_refs(call->pool, id, 0, ids, HF_IDS_MAX, &count, &total);
    if (r)
        return call_pool_error(call, r);
    if (total > HF_IDS_MAX)
        return call_fail(call, HF_E_TOOBIG, "no reply lists so many slots", "slots=%u max=%u", total,
                         HF_IDS_MAX);
    reply_array(call, count);
    for (uint32_t i = 0; i < count; i++)
        reply_id_or_nil(call, ids[i]);
    return 0;
}

int handle_link(struct call *call)
{
    uint64_t id, slot, target = 0, previous = 0;
    int r;

    if ((r = call_id(call, "id", &id)) || (r = call_uint(call, "slot", 0, HF_ID_MAX, CALL_REQUIRED, &slot)))
        return r;
    /* Forgotten is not nil: it would empty the slot. */
    if (call->params_read == call->params_count)
        return call_badarg(call, "target", -1, "an id, or nil to empty the slot");
    if ((r = call_id_or_nil(call, "target", &target)) || (r = call_options(call, NULL, 0)))
        return r;
    r = pool_link(call->pool, id, slot, target, &previous);
    if (r == -HF_E_BADARG)
        return call_badarg(call, "slot", -1, "beyond the number of slots; that number itself appends");
    if (r)
        return call_pool_error(call, r);
    reply_id_or_nil(call, previous);
    return 0;
}
