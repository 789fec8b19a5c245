/* SPDX-License-Identifier: BSD-3-Clause */
/* Commands that look inside the daemon, and those about sessions and pools as wholes. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "client/cli/params.h"
#include "client/cli/print.h"

/* Shows a map and frees its reply. */
static int show_map(struct cli *cli, int code, hf_reply *reply)
{
    if (code != 0)
        return cli_fail(cli, code);
    if (cli->output == CLI_HUMAN && hf_item_type(hf_reply_item(reply)) == HF_TYPE_MAP)
        cli_print_map(stdout, hf_reply_item(reply));
    else
        cli_show(cli, hf_reply_item(reply));
    hf_reply_free(reply);
    return CLI_OK;
}

/* Shows rows as a table and frees their reply. */
static int show_rows(struct cli *cli, int code, hf_reply *reply)
{
    if (code != 0)
        return cli_fail(cli, code);
    int exit_code = cli_show_rows(cli, hf_reply_item(reply));
    hf_reply_free(reply);
    return exit_code;
}

/* ---- Objects ------------------------------------------------------------------------------------------- */

int cli_inspect(struct cli *cli, const struct cli_args *args)
{
    hf_reply *reply;
    hf_id id;
    if (!cli_positional_id(cli, args, 0, &id))
        return CLI_USAGE;
    int code = hf_inspect(cli->conn, id, &reply);
    return show_map(cli, code, reply);
}

int cli_holders(struct cli *cli, const struct cli_args *args)
{
    hf_reply *reply;
    uint64_t limit = 0;
    hf_id id;
    if (!cli_positional_id(cli, args, 0, &id) || !cli_option_uint(cli, args, CLI_OPT_LIMIT, &limit))
        return CLI_USAGE;
    int code = hf_holders(cli->conn, id, limit, &reply);
    return show_rows(cli, code, reply);
}

/* The row of the table of `scan` that a reply of `inspect` makes. */
static void pack_row(msgpack_packer *packer, hf_item object)
{
    static const char *const keys[] = {"id", "type", "size", "tag", "state", "slots", "count", "age_ms"};
    size_t count = sizeof keys / sizeof keys[0];
    msgpack_pack_map(packer, count);
    for (size_t i = 0; i < count; i++) {
        hf_item value = hf_item_get(object, keys[i]);
        msgpack_pack_str_with_body(packer, keys[i], strlen(keys[i]));
        if (value.data == NULL)
            msgpack_pack_nil(packer);
        else
            packer->callback(packer->data, (const char *)value.data, value.size);
    }
}

/* Inspects `count` objects in one batch and prints them as a table. Those that have died meanwhile are left
 * out. */
static int show_objects(struct cli *cli, const hf_id *ids, size_t count)
{
    hf_reply **replies = calloc(count, sizeof(hf_reply *));
    struct cli_params rows;
    uint32_t alive = 0;
    if (replies == NULL)
        return cli_error(cli, CLI_LOCAL, "no memory");
    hf_batch_begin(cli->conn);
    for (size_t i = 0; i < count; i++)
        hf_inspect(cli->conn, ids[i], &replies[i]);
    int code = hf_batch_end(cli->conn, NULL);
    for (size_t i = 0; i < count; i++)
        alive += replies[i] != NULL;
    cli_params_init(&rows, cli, alive);
    for (size_t i = 0; i < count; i++) {
        if (replies[i] != NULL)
            pack_row(&rows.packer, hf_reply_item(replies[i]));
        hf_reply_free(replies[i]);
    }
    free(replies);
    int exit_code = rows.exit_code;
    if (exit_code == CLI_OK && code != 0 && code != HF_ERR_GONE)
        exit_code = cli_fail(cli, code);
    hf_item table = {(const unsigned char *)rows.buffer.data, rows.buffer.size};
    if (exit_code == CLI_OK)
        exit_code = cli_show_rows(cli, table);
    msgpack_sbuffer_destroy(&rows.buffer);
    return exit_code;
}

/* One page of ids in the chosen form; `*shown` counts them. */
static int show_page(struct cli *cli, hf_item page, uint64_t limit, uint64_t *shown)
{
    size_t count = hf_item_count(page);
    hf_id *ids = calloc(count + 1, sizeof *ids);
    int exit_code = CLI_OK;
    if (ids == NULL)
        return cli_error(cli, CLI_LOCAL, "no memory");
    count = hf_item_ids(page, ids, count);
    if (count > limit - *shown)
        count = (size_t)(limit - *shown);
    if (cli->output == CLI_HUMAN && count != 0)
        exit_code = show_objects(cli, ids, count);
    for (size_t i = 0; i < count && cli->output != CLI_HUMAN; i++) {
        if (cli->output == CLI_JSON)
            printf("%s%" PRId64, *shown + i != 0 ? "," : "", ids[i]);
        else
            printf("%" PRId64 "\n", ids[i]);
    }
    *shown += count;
    free(ids);
    return exit_code;
}

/* A page [cursor, [id, ...]] in the chosen form; frees the reply. */
static int take_page(struct cli *cli, int code, hf_reply *reply, uint64_t limit, uint64_t *cursor,
                     uint64_t *shown)
{
    *cursor = 0;
    hf_item_uint(hf_item_at(hf_reply_item(reply), 0), cursor);
    int exit_code =
        code != 0 ? cli_fail(cli, code) : show_page(cli, hf_item_at(hf_reply_item(reply), 1), limit, shown);
    hf_reply_free(reply);
    return exit_code;
}

int cli_scan(struct cli *cli, const struct cli_args *args)
{
    struct hf_scan_options options = {.tag = args->value[CLI_OPT_TAG]};
    uint64_t limit = UINT64_MAX;
    uint64_t cursor = 0;
    uint64_t shown = 0;
    int exit_code = CLI_OK;
    if (!cli_option_size(cli, args, CLI_OPT_MIN_SIZE, &options.min_size) ||
        !cli_option_uint(cli, args, CLI_OPT_SID, &options.sid) ||
        !cli_option_uint(cli, args, CLI_OPT_LIMIT, &limit))
        return CLI_USAGE;
    if (cli->output == CLI_JSON)
        putchar('[');
    do {
        hf_reply *reply;
        int code = hf_scan(cli->conn, cursor, &options, &reply);
        exit_code = take_page(cli, code, reply, limit, &cursor, &shown);
    } while (exit_code == CLI_OK && cursor != 0 && shown < limit);
    if (cli->output == CLI_JSON)
        puts("]");
    return exit_code;
}

int cli_referrers(struct cli *cli, const struct cli_args *args)
{
    uint64_t limit = UINT64_MAX, cursor = 0, shown = 0;
    int exit_code = CLI_OK;
    hf_id id;
    if (!cli_positional_id(cli, args, 0, &id) || !cli_option_uint(cli, args, CLI_OPT_LIMIT, &limit))
        return CLI_USAGE;
    if (cli->output == CLI_JSON)
        putchar('[');
    do {
        hf_reply *reply;
        int code = hf_referrers(cli->conn, id, cursor, 0, &reply);
        exit_code = take_page(cli, code, reply, limit, &cursor, &shown);
    } while (exit_code == CLI_OK && cursor != 0 && shown < limit);
    if (cli->output == CLI_JSON)
        puts("]");
    return exit_code;
}

/* ---- Why ----------------------------------------------------------------------------------------------- */

static void print_holder(hf_item holder)
{
    uint64_t number = 0;
    hf_item name = hf_item_get(holder, "name");
    const void *text;
    size_t size;
    if (hf_item_uint(hf_item_get(holder, "sid"), &number))
        printf("held by session %" PRIu64, number);
    else if (hf_item_uint(hf_item_get(holder, "number"), &number))
        printf("held by ticket %" PRIu64, number);
    else
        fputs("held by the name", stdout);
    if (hf_item_bytes(name, &text, &size)) {
        putchar(' ');
        cli_print_safe(stdout, text, size);
    }
    if (hf_item_uint(hf_item_get(holder, "pid"), &number))
        printf(", pid %" PRIu64, number);
    putchar('\n');
}

static int show_why(struct cli *cli, hf_item why)
{
    hf_item holder = hf_item_get(why, "holder"), path = hf_item_get(why, "path");
    uint64_t length = 0, shown = 0, told = hf_item_count(path);
    if (cli->output == CLI_JSON) {
        cli_show(cli, why);
        return CLI_OK;
    }
    if (hf_item_type(holder) != HF_TYPE_MAP) {
        fputs("nothing outside leads to it: only a cycle keeps it, until the next collection\n",
              cli->output == CLI_HUMAN ? stdout : stderr);
        return CLI_OK;
    }
    if (cli->output == CLI_HUMAN)
        print_holder(holder);
    int exit_code = show_page(cli, path, UINT64_MAX, &shown);
    if (hf_item_uint(hf_item_get(why, "length"), &length) && length > told && cli->output == CLI_HUMAN)
        printf("%" PRIu64 " objects in the middle of the chain are left out\n", length - told);
    return exit_code;
}

int cli_why(struct cli *cli, const struct cli_args *args)
{
    hf_reply *reply;
    hf_id id;
    if (!cli_positional_id(cli, args, 0, &id))
        return CLI_USAGE;
    int code = hf_why(cli->conn, id, &reply);
    if (code != 0)
        return cli_fail(cli, code);
    int exit_code = show_why(cli, hf_reply_item(reply));
    hf_reply_free(reply);
    return exit_code;
}

/* ---- Sessions and pools -------------------------------------------------------------------------------- */

int cli_sessions(struct cli *cli, const struct cli_args *args)
{
    hf_reply *reply;
    uint64_t limit = 0;
    if (!cli_option_uint(cli, args, CLI_OPT_LIMIT, &limit))
        return CLI_USAGE;
    int code = hf_sessions(cli->conn, cli_given(args, CLI_OPT_ALL) ? "*" : NULL, limit, &reply);
    return show_rows(cli, code, reply);
}

int cli_kill(struct cli *cli, const struct cli_args *args)
{
    bool list = cli->output == CLI_JSON && args->count > 1;
    int exit_code = CLI_OK;
    uint64_t sid;
    for (unsigned i = 0; i < args->count; i++) {
        if (!cli_positional_uint(cli, args, i, "SID", &sid))
            return CLI_USAGE;
    }
    fputs(list ? "[" : "", stdout);
    for (unsigned i = 0; i < args->count && exit_code == CLI_OK; i++) {
        int64_t dropped = 0;
        cli_parse_uint(args->positional[i], &sid);
        int code = hf_kill(cli->conn, sid, &dropped);
        if (code != 0)
            exit_code = cli_fail(cli, code);
        else
            printf("%s%" PRId64 "%s", list && i != 0 ? "," : "", dropped, list ? "" : "\n");
    }
    fputs(list ? "]\n" : "", stdout);
    return exit_code;
}

int cli_pools(struct cli *cli, const struct cli_args *args)
{
    hf_reply *reply;
    (void)args;
    int code = hf_pools(cli->conn, &reply);
    return show_rows(cli, code, reply);
}

int cli_pool_create(struct cli *cli, const struct cli_args *args)
{
    uint64_t max_bytes = 0;
    if (!cli_option_size(cli, args, CLI_OPT_MAX_BYTES, &max_bytes))
        return CLI_USAGE;
    return cli_done(cli, hf_pool_create(cli->conn, args->positional[0], max_bytes));
}

int cli_pool_drop(struct cli *cli, const struct cli_args *args)
{
    return cli_done(cli, hf_pool_drop(cli->conn, args->positional[0], cli_given(args, CLI_OPT_FORCE)));
}

/* ---- The daemon ---------------------------------------------------------------------------------------- */

int cli_stats(struct cli *cli, const struct cli_args *args)
{
    hf_reply *reply;
    int code = hf_stats(cli->conn, args->count != 0 ? args->positional[0] : NULL, &reply);
    return show_map(cli, code, reply);
}

static int verify_pool(struct cli *cli, const struct cli_args *args)
{
    hf_reply *reply;
    bool ok = false;
    (void)args;
    int code = hf_verify(cli->conn, &reply);
    hf_item_bool(hf_item_get(hf_reply_item(reply), "ok"), &ok);
    int exit_code = show_map(cli, code, reply);
    return exit_code == CLI_OK && !ok ? CLI_ANSWER : exit_code;
}

int cli_gc_collect(struct cli *cli, const struct cli_args *args)
{
    return cli_call_json(cli, "gc_collect", args->count > 0 ? args->positional[0] : "{}", true);
}

int cli_gc_config(struct cli *cli, const struct cli_args *args)
{
    return cli_call_json(cli, "gc_config", args->count > 0 ? args->positional[0] : "{}", true);
}

int cli_save(struct cli *cli, const struct cli_args *args)
{
    hf_reply *reply;
    int code = hf_save(cli->conn, args->count > 0 ? args->positional[0] : NULL, &reply);
    return show_map(cli, code, reply);
}

int cli_load(struct cli *cli, const struct cli_args *args)
{
    hf_reply *reply;
    int code = hf_load(cli->conn, args->positional[0], args->count > 1 ? args->positional[1] : NULL, &reply);
    return show_map(cli, code, reply);
}

int cli_verify(struct cli *cli, const struct cli_args *args)
{
    return args->count > 0 ? cli_verify_offline(cli, args->positional[0])
                           : cli_online(cli, args, verify_pool);
}

int cli_methods(struct cli *cli, const struct cli_args *args)
{
    hf_reply *reply;
    (void)args;
    int code = hf_methods(cli->conn, &reply);
    return show_rows(cli, code, reply);
}

int cli_ping(struct cli *cli, const struct cli_args *args)
{
    struct timespec start, end;
    int64_t time_ms = 0;
    (void)args;
    clock_gettime(CLOCK_MONOTONIC, &start);
    int code = hf_ping(cli->conn, &time_ms);
    clock_gettime(CLOCK_MONOTONIC, &end);
    if (code != 0)
        return cli_fail(cli, code);
    double ms = (double)(end.tv_sec - start.tv_sec) * 1e3 + (double)(end.tv_nsec - start.tv_nsec) / 1e6;
    const struct hf_session *session = hf_session(cli->conn);
    if (cli->output != CLI_HUMAN)
        printf("%" PRId64 "\n", time_ms);
    else
        printf("%s %s answered in %.2f ms (pool %s)\n", session->server, session->version, ms, session->pool);
    return CLI_OK;
}

/* The session's key is not shown: who has it has the session. */
int cli_hello(struct cli *cli, const struct cli_args *args)
{
    const struct hf_session *session = hf_session(cli->conn);
    struct cli_params map;
    (void)args;
    cli_params_init(&map, cli, 1); /* the array around the map is not shown */
    msgpack_packer *packer = &map.packer;
    const struct {
        const char *key;
        uint64_t number;
    } numbers[] = {{"sid", session->sid},
                   {"epoch", session->epoch},
                   {"frame_max", session->frame_max},
                   {"value_max", session->value_max},
                   {"ids_max", session->ids_max}};
    msgpack_pack_map(packer, 3 + sizeof numbers / sizeof numbers[0]);
    cli_pack_text(&map, "server");
    cli_pack_text(&map, session->server);
    cli_pack_text(&map, "version");
    cli_pack_text(&map, session->version);
    cli_pack_text(&map, "pool");
    cli_pack_text(&map, session->pool);
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        cli_pack_text(&map, numbers[i].key);
        msgpack_pack_uint64(packer, numbers[i].number);
    }
    if (map.exit_code == CLI_OK) {
        hf_item item = hf_item_at((hf_item){(const unsigned char *)map.buffer.data, map.buffer.size}, 0);
        if (cli->output == CLI_HUMAN)
            cli_print_map(stdout, item);
        else
            cli_show(cli, item);
    }
    msgpack_sbuffer_destroy(&map.buffer);
    return map.exit_code;
}

int cli_call(struct cli *cli, const struct cli_args *args)
{
    return cli_call_json(cli, args->positional[0], args->count > 1 ? args->positional[1] : "[]", false);
}
