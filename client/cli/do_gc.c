/* SPDX-License-Identifier: BSD-3-Clause */
/* The command that collects cycles and tells a person what was found. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "client/cli/params.h"
#include "client/cli/print.h"

static uint64_t number_of(hf_item map, const char *key)
{
    uint64_t number = 0;
    hf_item_uint(hf_item_get(map, key), &number);
    return number;
}

/* ---- the cycles, a row for each member ---- */

static void pack_pair(struct cli_params *rows, const char *key, hf_item value)
{
    cli_pack_text(rows, key);
    if (value.data == NULL || hf_item_type(value) == HF_TYPE_NIL)
        msgpack_pack_nil(&rows->packer);
    else
        rows->packer.callback(rows->packer.data, (const char *)value.data, value.size);
}

static void pack_member(struct cli_params *rows, uint64_t cycle, hf_item objects, hf_item member)
{
    msgpack_pack_map(&rows->packer, 5);
    cli_pack_text(rows, "cycle");
    msgpack_pack_uint64(&rows->packer, cycle);
    pack_pair(rows, "of", objects);
    pack_pair(rows, "id", hf_item_get(member, "id"));
    pack_pair(rows, "size", hf_item_get(member, "size"));
    pack_pair(rows, "tag", hf_item_get(member, "tag"));
}

static uint32_t count_members(hf_item cycles)
{
    hf_item cycle;
    size_t count = 0;
    for (hf_walk walk = hf_walk_start(cycles); hf_walk_next(&walk, NULL, &cycle);)
        count += hf_item_count(hf_item_get(cycle, "members"));
    return (uint32_t)count;
}

static int show_cycles(struct cli *cli, hf_item cycles)
{
    struct cli_params rows;
    hf_item cycle, member;
    uint64_t number = 0;
    cli_params_init(&rows, cli, count_members(cycles));
    for (hf_walk walk = hf_walk_start(cycles); hf_walk_next(&walk, NULL, &cycle);) {
        number++;
        hf_walk members = hf_walk_start(hf_item_get(cycle, "members"));
        while (hf_walk_next(&members, NULL, &member))
            pack_member(&rows, number, hf_item_get(cycle, "objects"), member);
    }
    int exit_code = rows.exit_code;
    if (exit_code == CLI_OK)
        exit_code = cli_show_rows(cli, (hf_item){(const unsigned char *)rows.buffer.data, rows.buffer.size});
    msgpack_sbuffer_destroy(&rows.buffer);
    return exit_code;
}

/* What the table leaves out: further members and further cycles. */
static void tell_rest(struct cli *cli, hf_item result, hf_item cycles)
{
    uint64_t found = number_of(result, "cycles_found"), listed = hf_item_count(cycles);
    bool whole = true;
    hf_item_bool(hf_item_get(result, "cycles_whole"), &whole);
    if (found > listed)
        cli_hint(cli, "%" PRIu64 " of %" PRIu64 " cycles are listed", listed, found);
    if (!whole)
        cli_hint(cli, "not all unreachable objects were looked at for cycles; collect, and ask again");
}

static int explain(struct cli *cli, hf_item result)
{
    hf_item cycles = hf_item_get(result, "cycles");
    if (hf_item_count(cycles) == 0)
        return CLI_OK;
    int exit_code = show_cycles(cli, cycles);
    tell_rest(cli, result, cycles);
    return exit_code;
}

/* ---- the figures ---- */

static const char *objects_word(uint64_t count)
{
    return count == 1 ? "object" : "objects";
}

static void show_summary(hf_item result, bool dry_run)
{
    char bytes[16];
    uint64_t collected = number_of(result, dry_run ? "unreachable" : "collected"),
             delivered = number_of(result, "delivered"), us = number_of(result, "duration_us");
    printf("%s %" PRIu64 " %s of %" PRIu64 " looked at, values of %s, in %.1f ms\n",
           dry_run ? "would free" : "freed", collected, objects_word(collected),
           number_of(result, "candidates"), cli_format_size(number_of(result, "bytes"), bytes),
           (double)us / 1e3);
    if (delivered != 0)
        printf("kept for guards: %" PRIu64 " %s, which their sessions hold now\n", delivered,
               objects_word(delivered));
}

static int collect(struct cli *cli, const struct cli_args *args, hf_reply **ret)
{
    struct cli_params params;
    bool dry_run = cli_given(args, CLI_OPT_DRY_RUN), explains = cli_given(args, CLI_OPT_EXPLAIN);
    cli_params_init(&params, cli, 1);
    msgpack_pack_map(&params.packer, dry_run + explains);
    if (dry_run) {
        cli_pack_text(&params, "dry_run");
        msgpack_pack_true(&params.packer);
    }
    if (explains) {
        cli_pack_text(&params, "explain");
        msgpack_pack_true(&params.packer);
    }
    return cli_params_call(&params, "gc_collect", ret);
}

int cli_gc(struct cli *cli, const struct cli_args *args)
{
    hf_reply *reply = NULL;
    int exit_code = collect(cli, args, &reply);
    hf_item result = hf_reply_item(reply);
    if (exit_code == CLI_OK && cli->output != CLI_HUMAN)
        cli_show(cli, result);
    else if (exit_code == CLI_OK) {
        exit_code = explain(cli, result);
        show_summary(result, cli_given(args, CLI_OPT_DRY_RUN));
    }
    hf_reply_free(reply);
    return exit_code;
}
