/* SPDX-License-Identifier: BSD-3-Clause */
#include "client/cli/value.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/limits.h"

#define READ_SIZE 65536
static const char NO_MEMORY[] = "no memory";

/* ---- Sources ------------------------------------------------------------------------------------------- */

static const char *read_stream(FILE *from, struct cli_bytes *ret)
{
    size_t capacity = READ_SIZE;
    char *data = malloc(capacity + 1);
    size_t size = 0;
    while (data != NULL) {
        size += fread(data + size, 1, capacity - size, from);
        if (size < capacity)
            break;
        capacity *= 2;
        char *larger = realloc(data, capacity + 1);
        if (larger == NULL)
            free(data);
        data = larger;
    }
    if (data == NULL)
        return NO_MEMORY;
    if (ferror(from)) {
        free(data);
        return strerror(errno);
    }
    data[size] = '\0';
    *ret = (struct cli_bytes){data, size};
    return NULL;
}

const char *cli_read_file(const char *path, struct cli_bytes *ret)
{
    if (strcmp(path, "-") == 0)
        return read_stream(stdin, ret);
    FILE *file = fopen(path, "rbe");
    if (file == NULL)
        return strerror(errno);
    const char *wrong = read_stream(file, ret);
    fclose(file);
    return wrong;
}

const char *cli_read_source(const char *text, struct cli_bytes *ret)
{
    if (strcmp(text, "-") == 0 || (text[0] == '@' && text[1] != '@' && text[1] != '\0'))
        return cli_read_file(text[0] == '@' ? text + 1 : text, ret);
    if (text[0] == '@' && text[1] == '@')
        text++;
    ret->data = strdup(text);
    if (ret->data == NULL)
        return NO_MEMORY;
    ret->size = strlen(ret->data);
    return NULL;
}

/* ---- Base 64 ------------------------------------------------------------------------------------------- */

static int base64_digit(char c)
{
    return c >= 'A' && c <= 'Z'   ? c - 'A'
           : c >= 'a' && c <= 'z' ? c - 'a' + 26
           : c >= '0' && c <= '9' ? c - '0' + 52
           : c == '+'             ? 62
           : c == '/'             ? 63
                                  : -1;
}

/* Strict: whole groups of four, '=' only at the end. False if it is no base 64, or without memory. */
static bool base64_decode(const char *text, size_t size, struct cli_bytes *ret)
{
    size_t padding = size >= 1 && text[size - 1] == '=' ? (size >= 2 && text[size - 2] == '=' ? 2 : 1) : 0;
    char *data = malloc(size / 4 * 3 + 1);
    size_t count = 0;
    if (data == NULL || size % 4 != 0) {
        free(data);
        return false;
    }
    for (size_t i = 0; i < size; i += 4) {
        uint32_t group = 0;
        for (size_t k = i; k < i + 4; k++) {
            int digit = k >= size - padding ? 0 : base64_digit(text[k]);
            if (digit < 0) {
                free(data);
                return false;
            }
            group = group << 6 | (uint32_t)digit;
        }
        data[count++] = (char)(group >> 16);
        data[count++] = (char)(group >> 8);
        data[count++] = (char)group;
    }
    *ret = (struct cli_bytes){data, count - padding};
    return true;
}

/* ---- JSON ---------------------------------------------------------------------------------------------- */

/* A container being packed. */
struct frame {
    json_t *container;
    size_t index; /* array: the next element */
    void *at;     /* object: the next pair */
};

static const char *say(char problem[160], const char *text)
{
    snprintf(problem, 160, "%s", text);
    return problem;
}

static void pack_text(msgpack_packer *packer, const json_t *string)
{
    msgpack_pack_str_with_body(packer, json_string_value(string), json_string_length(string));
}

static bool decode_string(const json_t *string, struct cli_bytes *ret)
{
    return json_is_string(string) &&
           base64_decode(json_string_value(string), json_string_length(string), ret);
}

/* {"$ext": [TYPE, "BASE64"]} */
static const char *pack_ext(msgpack_packer *packer, const json_t *pair, char problem[160])
{
    struct cli_bytes bytes;
    const json_t *type = json_array_get(pair, 0);
    if (json_array_size(pair) != 2 || !json_is_integer(type) || json_integer_value(type) < -128 ||
        json_integer_value(type) > 127 || !decode_string(json_array_get(pair, 1), &bytes))
        return say(problem, "expected {\"$ext\": [TYPE, \"BASE64\"]}, TYPE from -128 to 127");
    msgpack_pack_ext_with_body(packer, bytes.data, bytes.size, (int8_t)json_integer_value(type));
    free(bytes.data);
    return NULL;
}

/* The one value of an object of one of the forms of value.h, and its key; NULL for any other object. */
static json_t *special_form(json_t *object, const char **ret_key)
{
    void *at = json_object_iter(object);
    if (json_object_size(object) != 1)
        return NULL;
    *ret_key = json_object_iter_key(at);
    if (strcmp(*ret_key, "$bin") != 0 && strcmp(*ret_key, "$str") != 0 && strcmp(*ret_key, "$ext") != 0)
        return NULL;
    return json_object_iter_value(at);
}

static const char *pack_special(msgpack_packer *packer, const char *key, const json_t *value,
                                char problem[160])
{
    struct cli_bytes bytes;
    if (strcmp(key, "$ext") == 0)
        return pack_ext(packer, value, problem);
    if (!decode_string(value, &bytes))
        return say(problem, "expected base 64 in {\"$bin\": ...} or {\"$str\": ...}");
    if (strcmp(key, "$bin") == 0)
        msgpack_pack_bin_with_body(packer, bytes.data, bytes.size);
    else
        msgpack_pack_str_with_body(packer, bytes.data, bytes.size);
    free(bytes.data);
    return NULL;
}

/* A value that holds no other, or the head of one that does: that is then pushed. */
static const char *pack_one(msgpack_packer *packer, json_t *value, struct frame *stack, size_t *depth,
                            char problem[160])
{
    const char *key;
    json_t *special;
    switch (json_typeof(value)) {
    case JSON_NULL: msgpack_pack_nil(packer); return NULL;
    case JSON_TRUE: msgpack_pack_true(packer); return NULL;
    case JSON_FALSE: msgpack_pack_false(packer); return NULL;
    case JSON_INTEGER: msgpack_pack_int64(packer, json_integer_value(value)); return NULL;
    case JSON_REAL: msgpack_pack_double(packer, json_real_value(value)); return NULL;
    case JSON_STRING: pack_text(packer, value); return NULL;
    case JSON_OBJECT:
    case JSON_ARRAY: break;
    }
    if (json_is_object(value) && (special = special_form(value, &key)) != NULL)
        return pack_special(packer, key, special, problem);
    if (*depth == HF_DEPTH_MAX)
        return say(problem, "nested too deep");
    stack[(*depth)++] = (struct frame){.container = value, .at = json_object_iter(value)};
    if (json_is_object(value))
        msgpack_pack_map(packer, json_object_size(value));
    else
        msgpack_pack_array(packer, json_array_size(value));
    return NULL;
}

/* The next value in a container, after its key has been packed; NULL at its end. */
static json_t *next_value(msgpack_packer *packer, struct frame *frame)
{
    if (json_is_array(frame->container))
        return json_array_get(frame->container, frame->index++);
    if (frame->at == NULL)
        return NULL;
    const char *key = json_object_iter_key(frame->at);
    json_t *value = json_object_iter_value(frame->at);
    msgpack_pack_str_with_body(packer, key, strlen(key));
    frame->at = json_object_iter_next(frame->container, frame->at);
    return value;
}

static const char *pack_tree(msgpack_packer *packer, json_t *root, char problem[160])
{
    struct frame stack[HF_DEPTH_MAX];
    size_t depth = 0;
    const char *wrong = pack_one(packer, root, stack, &depth, problem);
    while (wrong == NULL && depth != 0) {
        json_t *value = next_value(packer, &stack[depth - 1]);
        if (value == NULL)
            depth--;
        else
            wrong = pack_one(packer, value, stack, &depth, problem);
    }
    return wrong;
}

/* Remembers that the buffer had no memory: packing goes on, the end result is an error. */
struct checked {
    msgpack_sbuffer *out;
    bool failed;
};

static int write_checked(void *data, const char *bytes, size_t size)
{
    struct checked *to = data;
    if (to->failed || msgpack_sbuffer_write(to->out, bytes, size) != 0)
        to->failed = true;
    return to->failed ? -1 : 0;
}

const char *cli_json_pack(const char *text, size_t size, msgpack_sbuffer *out, char problem[160])
{
    json_error_t error;
    json_t *root = json_loadb(text, size, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);
    if (root == NULL) {
        snprintf(problem, 160, "not JSON: line %d column %d: %.100s", error.line, error.column, error.text);
        return problem;
    }
    struct checked to = {.out = out};
    msgpack_packer packer;
    msgpack_packer_init(&packer, &to, write_checked);
    const char *wrong = pack_tree(&packer, root, problem);
    json_decref(root);
    return wrong == NULL && to.failed ? NO_MEMORY : wrong;
}
