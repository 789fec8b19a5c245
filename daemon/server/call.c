/* SPDX-License-Identifier: BSD-3-Clause */
/* The arguments of a call, and its errors. The reply is in reply.c. */
#include "daemon/server/call.h"

#include "daemon/base/utf8.h"
#include "daemon/server/value.h"
#include "daemon/server/worker.h"
#include "proto/mp.h"
#include "proto/rpc.h"

#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

/* Values that a map of options may consist of. What a client may nest in one frame would take a
 * third of a second to walk, so walks outside of the scanner are bounded. */
#define WALK_MAX (2u * HF_REFS_MAX)

static const uint8_t nil_byte[1] = {0xc0};
static const struct span nil_span = {nil_byte, nil_byte + 1};

/* ---- single values ---- */

static struct hfp_cursor cursor_of(struct span span)
{
    return (struct hfp_cursor){.at = span.at, .end = span.end};
}

int span_uint(struct span span, uint64_t *ret)
{
    struct hfp_cursor cursor = cursor_of(span);
    return hfp_read_uint64(&cursor, ret) ? 0 : -HF_E_BADARG;
}

int span_int(struct span span, int64_t *ret)
{
    struct hfp_cursor cursor = cursor_of(span);
    return hfp_read_int64(&cursor, ret) ? 0 : -HF_E_BADARG;
}

bool span_nil(struct span span)
{
    return span.at < span.end && *span.at == 0xc0;
}

int span_bool(struct span span, bool *ret)
{
    struct hfp_cursor cursor = cursor_of(span);
    return hfp_read_bool(&cursor, ret) ? 0 : -HF_E_BADARG;
}

int span_bytes(struct span span, struct name_in *ret)
{
    struct hfp_cursor cursor = cursor_of(span);
    struct hfp_bytes bytes;
    if (!hfp_read_bytes(&cursor, &bytes))
        return -HF_E_BADARG;
    *ret = (struct name_in){.data = bytes.at, .size = bytes.size};
    return 0;
}

int span_name(struct span span, struct name_in *ret)
{
    struct name_in name;
    if (span_bytes(span, &name) != 0 || name.size == 0 || name.size > HF_NAME_MAX ||
        !utf8_printable(name.data, name.size))
        return -HF_E_BADARG;
    *ret = name;
    return 0;
}

int span_array(struct span span, uint32_t *ret_count, const uint8_t **ret_at)
{
    struct hfp_cursor cursor = cursor_of(span);
    if (!hfp_read_array(&cursor, ret_count))
        return -HF_E_BADARG;
    *ret_at = cursor.at;
    return 0;
}

int span_map(struct span span, uint32_t *ret_pairs, const uint8_t **ret_at)
{
    struct hfp_cursor cursor = cursor_of(span);
    if (!hfp_read_map(&cursor, ret_pairs))
        return -HF_E_BADARG;
    *ret_at = cursor.at;
    return 0;
}

struct span span_next(const uint8_t **at, const uint8_t *end)
{
    const uint8_t *begin = *at;
    *at += hfp_scan_size(begin, (size_t)(end - begin));
    return (struct span){.at = begin, .end = *at};
}

/* Passes one value; false once `walked`, which counts its parts too, is beyond WALK_MAX. */
static bool skip_bounded(struct hfp_cursor *cursor, unsigned *walked)
{
    for (uint64_t values = 1; values != 0; values--) {
        if ((*walked)++ > WALK_MAX || !hfp_skip_head(cursor, &values))
            return false;
    }
    return true;
}

/* ---- errors ---- */

const char *error_text(int code)
{
    return hfp_err_text(code);
}

const char *error_word(int code)
{
    return hfp_err_name(code);
}

static int note(struct call *call, int code, const char *keys, const char *text)
{
    size_t size = text != NULL ? hfp_error_format(call->error, CALL_ERROR_MAX, code, keys, "%s", text)
                               : hfp_error_format(call->error, CALL_ERROR_MAX, code, keys, NULL);
    call->error_size = (uint32_t)size;
    return code > 0 ? -code : code;
}

int call_fail(struct call *call, int code, const char *text, const char *details, ...)
{
    char keys[256];
    va_list args;
    va_start(args, details);
    vsnprintf(keys, sizeof keys, details, args);
    va_end(args);
    return note(call, code, keys, text);
}

int call_badarg(struct call *call, const char *what, int64_t index, const char *text)
{
    if (index >= 0)
        return call_fail(call, HF_E_BADARG, text, "arg=%s index=%lld", what, (long long)index);
    return call_fail(call, HF_E_BADARG, text, "arg=%s", what);
}

static void describe_bytes(char *to, size_t room, uint64_t bytes)
{
    static const char units[] = "KMGT";
    double value = (double)bytes / 1024;
    unsigned unit = 0;
    for (; value >= 1024 && units[unit + 1] != '\0'; unit++)
        value /= 1024;
    snprintf(to, room, "%.1f %ciB", value, units[unit]);
}

static int note_oom(struct call *call, const struct fault *fault)
{
    char keys[96], text[192], size[32];
    snprintf(keys, sizeof keys, "need=%llu free=%llu evictable=0", (unsigned long long)fault->need,
             (unsigned long long)fault->free);
    if (fault->who[0] == '\0')
        return note(call, HF_E_OOM, keys, fault->text);
    describe_bytes(size, sizeof size, fault->who_bytes);
    snprintf(text, sizeof text, "held by %.64s %s; %s", fault->who, size,
             fault->file_full ? "no room left where the heap is kept: make some there or release something"
                              : "release something or raise --max-memory");
    return note(call, HF_E_OOM, keys, text);
}

int call_pool_error(struct call *call, int r)
{
    const struct fault *fault = pool_fault(call->pool);
    char keys[96];
    int used = 0;
    if (fault->code != -r)
        return note(call, -r, NULL, NULL);
    if (fault->code == HF_E_OOM)
        return note_oom(call, fault);
    keys[0] = '\0';
    if (fault->index >= 0)
        used = snprintf(keys, sizeof keys, "index=%lld", (long long)fault->index);
    if (fault->id != 0)
        snprintf(keys + used, sizeof keys - (size_t)used, "%sid=%llu", used > 0 ? " " : "",
                 (unsigned long long)fault->id);
    return note(call, -r, keys, fault->text);
}

/* ---- positionals ---- */

bool call_span(struct call *call, struct span *ret)
{
    if (call->params_read >= call->params_count)
        return false;
    const struct hfp_span *param = &call->params[call->params_read++];
    *ret = (struct span){call->frame + param->at, call->frame + param->at + param->size};
    return true;
}

static struct span next_or_nil(struct call *call)
{
    struct span span;
    return call_span(call, &span) ? span : nil_span;
}

int call_uint(struct call *call, const char *what, uint64_t min, uint64_t max, uint64_t nil, uint64_t *ret)
{
    struct span span = next_or_nil(call);
    uint64_t value;
    if (span_nil(span)) {
        if (nil == CALL_REQUIRED)
            return call_badarg(call, what, -1, "an integer is missing here");
        *ret = nil;
        return 0;
    }
    if (span_uint(span, &value) != 0)
        return call_badarg(call, what, -1, "expected an integer");
    if (value < min || value > max)
        return call_fail(call, HF_E_BADARG, "out of range", "arg=%s min=%llu max=%llu", what,
                         (unsigned long long)min, (unsigned long long)max);
    *ret = value;
    return 0;
}

static bool read_id(struct span span, uint64_t *ret)
{
    return span_uint(span, ret) == 0 && *ret >= 1 && *ret <= HF_ID_MAX;
}

int call_id(struct call *call, const char *what, uint64_t *ret)
{
    uint64_t id;
    if (!read_id(next_or_nil(call), &id))
        return call_badarg(call, what, -1, "expected an id, an integer from 1 to 2^53-1");
    *ret = id;
    return 0;
}

int call_id_or_nil(struct call *call, const char *what, uint64_t *ret)
{
    struct span span = next_or_nil(call);
    uint64_t id = 0;
    if (!span_nil(span) && !read_id(span, &id))
        return call_badarg(call, what, -1, "expected nil or an id, an integer from 1 to 2^53-1");
    *ret = id;
    return 0;
}

/* The entries of an array argument; -HF_E_LIMIT above HF_IDS_MAX. */
static int list_begin(struct call *call, const char *what, struct span span, uint32_t *count,
                      const uint8_t **at)
{
    if (span_array(span, count, at) != 0)
        return call_badarg(call, what, -1, "expected one or an array of them");
    if (*count > HF_IDS_MAX)
        return call_fail(call, HF_E_LIMIT, "too many in one call; use several", "arg=%s max=%u", what,
                         HF_IDS_MAX);
    return 0;
}

int call_ids(struct call *call, const char *what, struct ids *ret)
{
    uint64_t *ids = call_scratch(call)->ids;
    struct span span = next_or_nil(call);
    *ret = (struct ids){.ids = ids, .count = 1};
    if (read_id(span, &ids[0]))
        return 0;
    struct hfp_cursor cursor = cursor_of(span);
    if (hfp_peek_type(&cursor) != HFP_ARRAY)
        return call_badarg(call, what, -1, "expected an id, an integer from 1 to 2^53-1, or an array of ids");
    ret->array = true;
    int r = list_begin(call, what, span, &ret->count, &cursor.at);
    if (r != 0)
        return r;
    for (uint32_t i = 0; i < ret->count; i++) {
        if (!hfp_read_uint64(&cursor, &ids[i]) || ids[i] < 1 || ids[i] > HF_ID_MAX)
            return call_badarg(call, what, i, "expected an id, an integer from 1 to 2^53-1");
    }
    return 0;
}

#define NAME_TEXT "expected 1 to 255 bytes of UTF-8 without control characters"

int call_name(struct call *call, const char *what, struct name_in *ret)
{
    return span_name(next_or_nil(call), ret) == 0 ? 0 : call_badarg(call, what, -1, NAME_TEXT);
}

int call_names(struct call *call, const char *what, struct names *ret)
{
    struct name_in *names = call_scratch(call)->names;
    struct span span = next_or_nil(call);
    *ret = (struct names){.names = names, .count = 1};
    if (span_name(span, &names[0]) == 0)
        return 0;
    struct hfp_cursor cursor = cursor_of(span);
    if (hfp_peek_type(&cursor) != HFP_ARRAY)
        return call_badarg(call, what, -1, NAME_TEXT);
    ret->array = true;
    int r = list_begin(call, what, span, &ret->count, &cursor.at);
    if (r != 0)
        return r;
    for (uint32_t i = 0; i < ret->count; i++) {
        struct hfp_bytes bytes;
        const uint8_t *at = cursor.at;
        if (!hfp_read_bytes(&cursor, &bytes) || span_name((struct span){at, cursor.at}, &names[i]) != 0)
            return call_badarg(call, what, i, NAME_TEXT);
    }
    return 0;
}

int call_bytes(struct call *call, const char *what, uint32_t min, uint32_t max, struct name_in *ret)
{
    struct name_in bytes;
    if (span_bytes(next_or_nil(call), &bytes) != 0)
        return call_badarg(call, what, -1, "expected a str or bin");
    if (bytes.size < min || bytes.size > max)
        return call_fail(call, HF_E_BADARG, "too short or too long", "arg=%s min=%u max=%u", what, min, max);
    *ret = bytes;
    return 0;
}

int call_key(struct call *call, const char *what, uint8_t ret[HF_KEY_SIZE])
{
    struct name_in bytes;
    if (span_bytes(next_or_nil(call), &bytes) != 0)
        return call_badarg(call, what, -1, "expected a str or bin of 16 bytes");
    if (bytes.size != HF_KEY_SIZE)
        return note(call, HF_E_NOTFOUND, NULL, NULL);
    memcpy(ret, bytes.data, HF_KEY_SIZE);
    return 0;
}

static struct staged *find_staged(struct call *call, const uint8_t *at)
{
    uint32_t low = 0, high = call->staged_count;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (call->staged[middle].at < at)
            low = middle + 1;
        else
            high = middle;
    }
    return low < call->staged_count && call->staged[low].at == at ? &call->staged[low] : NULL;
}

int call_value_in(struct call *call, struct span span, struct value_in *ret)
{
    struct staged *staged = find_staged(call, span.at);
    if (staged != NULL) {
        staged->taken = true;
        *ret = (struct value_in){.form = staged->form, .size = staged->size, .stage = staged->stage};
        return 0;
    }
    value_split(span.at, (uint64_t)(span.end - span.at), ret);
    if (ret->size > HF_VALUE_MAX)
        return call_fail(call, HF_E_TOOBIG, NULL, "size=%llu max=%u", (unsigned long long)ret->size,
                         HF_VALUE_MAX);
    return 0;
}

int call_value(struct call *call, const char *what, struct value_in *ret)
{
    struct span span;
    if (!call_span(call, &span))
        return call_badarg(call, what, -1, "a value is missing here");
    return call_value_in(call, span, ret);
}

/* ---- options ---- */

struct unknown {
    struct span *spans;
    unsigned max, count;
    bool lenient;
    unsigned walked; /* values of the map passed so far */
};

static const struct option_spec *find_option(const struct option_spec *options, unsigned count,
                                             struct hfp_bytes key)
{
    for (unsigned i = 0; i < count; i++) {
        if (hfp_bytes_are(key, options[i].name))
            return &options[i];
    }
    return NULL;
}

static int fail_option(struct call *call, struct hfp_bytes key, const char *text)
{
    char quoted[LOG_QUOTED_SIZE];
    size_t size = key.size > 40 ? 40 : key.size;
    log_quote(quoted, key.at, size);
    for (char *at = quoted; *at != '\0'; at++) {
        if (*at == ' ')
            *at = '?'; /* a value of an error's key holds no blank */
    }
    quoted[size + 1] = '\0'; /* without the quotes */
    return call_fail(call, HF_E_BADARG, text, "option=%s", quoted + 1);
}

static int set_number(struct call *call, const struct option_spec *option, struct span span)
{
    uint64_t value;
    if (span_uint(span, &value) != 0)
        return call_fail(call, HF_E_BADARG, "expected an integer", "option=%s", option->name);
    if (value < option->min || value > option->max)
        return call_fail(call, HF_E_BADARG, "out of range", "option=%s min=%llu max=%llu", option->name,
                         (unsigned long long)option->min, (unsigned long long)option->max);
    *(uint64_t *)option->ret = value;
    return 0;
}

static int set_option(struct call *call, const struct option_spec *option, struct span span)
{
    struct name_in bytes;
    const char *name = option->name;
    switch (option->kind) {
    case OPTION_UINT: return set_number(call, option, span);
    case OPTION_BOOL:
        if (span_bool(span, option->ret) != 0)
            return call_fail(call, HF_E_BADARG, "expected true or false", "option=%s", name);
        return 0;
    case OPTION_NAME:
        if (span_name(span, option->ret) != 0)
            return call_fail(call, HF_E_BADARG, NAME_TEXT, "option=%s", name);
        return 0;
    case OPTION_BYTES:
        if (span_bytes(span, &bytes) != 0 || bytes.size < option->min || bytes.size > option->max)
            return call_fail(call, HF_E_BADARG, "expected a str or bin of a fitting size",
                             "option=%s min=%llu max=%llu", name, (unsigned long long)option->min,
                             (unsigned long long)option->max);
        *(struct name_in *)option->ret = bytes;
        return 0;
    case OPTION_SPAN: *(struct span *)option->ret = span; return 0;
    case OPTION_LATER: break;
    }
    return call_fail(call, HF_E_BADARG, "this option is not in this version", "option=%s", name);
}

/* One pair: key and value. `seen` has a bit for each option given so far. */
static int read_pair(struct call *call, struct hfp_cursor *cursor, const struct option_spec *options,
                     unsigned count, struct unknown *unknown, uint64_t *seen)
{
    struct hfp_bytes key;
    const uint8_t *key_at = cursor->at;
    if (hfp_peek_type(cursor) != HFP_STR || !hfp_read_bytes(cursor, &key))
        return call_fail(call, HF_E_BADARG, "the keys of options are str", "%s", "");
    struct span key_span = {key_at, cursor->at};
    const struct option_spec *option = find_option(options, count, key);
    struct span value = {.at = cursor->at};
    if (option == NULL && !unknown->lenient)
        return fail_option(call, key,
                           hfp_option_is_later((enum hf_method)call->method, key.at, key.size)
                               ? "this option is not in this version"
                               : "unknown option; see `methods`");
    if (!skip_bounded(cursor, &unknown->walked))
        return fail_option(call, key, "too many values in it");
    value.end = cursor->at;
    if (option == NULL) {
        if (unknown->count < unknown->max)
            unknown->spans[unknown->count++] = key_span;
        return 0;
    }
    uint64_t bit = 1ull << (option - options);
    if (*seen & bit)
        return fail_option(call, key, "given twice");
    *seen |= bit;
    if (span_nil(value) && option->kind != OPTION_LATER)
        return 0;
    if (option->given != NULL)
        *option->given = true;
    return set_option(call, option, value);
}

static int read_options(struct call *call, struct span map, const struct option_spec *options, unsigned count,
                        struct unknown *unknown)
{
    struct hfp_cursor cursor = cursor_of(map);
    uint32_t pairs;
    uint64_t seen = 0;
    if (!hfp_read_map(&cursor, &pairs))
        return call_fail(call, HF_E_BADARG, "expected the map of options here; see `methods`", "arg=options");
    for (uint32_t i = 0; i < pairs; i++) {
        if (i >= WALK_MAX)
            return call_fail(call, HF_E_BADARG, "too many options", "arg=options");
        int r = read_pair(call, &cursor, options, count, unknown, &seen);
        if (r != 0)
            return r;
    }
    return 0;
}

static int end_params(struct call *call, const struct option_spec *options, unsigned count,
                      struct unknown *unknown)
{
    struct span map;
    if (!call_span(call, &map))
        return 0;
    if (!span_nil(map)) {
        int r = read_options(call, map, options, count, unknown);
        if (r != 0)
            return r;
    }
    if (call->params_read < call->params_count)
        return call_fail(call, HF_E_BADARG, "too many arguments; see `methods`", "params=%u",
                         call->params_count);
    return 0;
}

int call_options(struct call *call, const struct option_spec *options, unsigned count)
{
    struct unknown unknown = {0};
    return end_params(call, options, count, &unknown);
}

int call_options_in(struct call *call, struct span map, const struct option_spec *options, unsigned count)
{
    struct unknown unknown = {0};
    return span_nil(map) ? 0 : read_options(call, map, options, count, &unknown);
}

int call_options_lenient(struct call *call, const struct option_spec *options, unsigned count,
                         struct span *unknown, unsigned max, unsigned *ret_count)
{
    struct unknown list = {.spans = unknown, .max = max, .lenient = true};
    int r = end_params(call, options, count, &list);
    *ret_count = list.count;
    return r;
}

/* ---- time, randomness, figures ---- */

struct scratch *call_scratch(struct call *call)
{
    return call->worker->scratch;
}

int call_later(struct call *call, call_resume_fn resume, void *state,
               void (*state_free)(struct call *call, void *state))
{
    call->resume = resume;
    call->state = state;
    call->state_free = state_free;
    call->repeats = false;
    return CALL_AGAIN;
}

int call_later_patient(struct call *call, call_resume_fn resume, void *state,
                       void (*state_free)(struct call *call, void *state))
{
    int r = call_later(call, resume, state, state_free);
    call->repeats = true;
    return r;
}

uint64_t call_now_ms(const struct call *call)
{
    (void)call;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

uint64_t call_uptime_ms(const struct call *call)
{
    return (uv_hrtime() - call->server->opened_ns) / 1000000;
}

int call_random(struct call *call, void *ret, size_t size)
{
    if (getrandom(ret, size, 0) == (ssize_t)size)
        return 0;
    return call_fail(call, HF_E_INTERNAL, "the system gives no random bytes", "%s", "");
}

void call_add_counters(const struct call *call, struct counters *sum)
{
    const struct counters *own = &call->worker->counters;
    for (unsigned i = 0; i < HF_E_COUNT; i++)
        sum->errors[i] += own->errors[i];
    sum->requests_unknown += own->requests_unknown;
    sum->notifications += own->notifications;
    sum->notifications_ignored += own->notifications_ignored;
    sum->responses_ignored += own->responses_ignored;
    sum->connections += own->connections;
    sum->connections_made += own->connections_made;
    sum->connections_cut += own->connections_cut;
    sum->bytes_in += own->bytes_in;
    sum->bytes_out += own->bytes_out;
    sum->turns += own->turns;
    sum->units += own->units;
    sum->turn_us_max = own->turn_us_max > sum->turn_us_max ? own->turn_us_max : sum->turn_us_max;
    sum->turn_units_max =
        own->turn_units_max > sum->turn_units_max ? own->turn_units_max : sum->turn_units_max;
}

struct book *call_book(const struct call *call)
{
    return &call->worker->book;
}

struct slowlog *call_slowlog(const struct call *call)
{
    return &call->server->slowlog;
}

bool call_draining(const struct call *call)
{
    return call->worker->draining;
}
