/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/sim/driver.h"
#include "daemon/pool/internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SIM_MAX_BYTES (256ull << 20)

_Noreturn void sim_fail(struct sim *sim, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fprintf(stderr, "sim_pool: HF_SEED=%llu operation %llu (%s): ", (unsigned long long)sim->seed,
            (unsigned long long)sim->number, sim->operation);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    exit(EXIT_FAILURE);
}

void sim_trace(struct sim *sim, const char *format, ...)
{
    if (!sim->trace)
        return;
    va_list args;
    va_start(args, format);
    fprintf(stderr, "%llu %s ", (unsigned long long)sim->number, sim->operation);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
}

/* ---- verdicts ---- */

static const char *code_name(int code)
{
    static const char *const names[] = {"OK",
#define X(code, text) #code,
                                        HF_ERRORS(X)
#undef X
    };
    return code >= 0 && code < HF_E_COUNT ? names[code] : "no code";
}

static const char *codes_of(const struct verdict *v, char *text, size_t size)
{
    size_t n = (size_t)snprintf(text, size, "%s", v->fails ? "" : "OK ");
    for (int code = 1; code < HF_E_COUNT && n < size; code++)
        if (v->may & 1u << code)
            n += (size_t)snprintf(text + n, size - n, "%s ", code_name(code));
    return text;
}

void verdict_fail(struct verdict *v, int code)
{
    v->may |= 1u << code;
    v->fails = true;
}

void verdict_may(struct verdict *v, int code)
{
    v->may |= 1u << code;
}

bool sim_alive(struct sim *sim, int object)
{
    struct inspect_row row;
    if (model_life(sim->model, object) != LIFE_LIMBO)
        return model_life(sim->model, object) == LIFE_SURE;
    int rc = pool_inspect(sim->pool, sim->model->ids[object], &row);
    if (rc == 0)
        return true;
    if (rc != -HF_E_GONE)
        sim_fail(sim, "inspect of a dying object answered %s", code_name(-rc));
    model_bury(sim->model, object);
    return false;
}

void verdict_object(struct sim *sim, struct verdict *v, int object)
{
    if (!sim_alive(sim, object))
        verdict_fail(v, HF_E_GONE);
    else if (model_life(sim->model, object) == LIFE_LIMBO)
        verdict_may(v, HF_E_GONE);
}

void verdict_referent(struct sim *sim, struct verdict *v, int object)
{
    verdict_object(sim, v, object);
    if (object != 0 && sim->model->objects[object].open)
        verdict_fail(v, HF_E_UNSEALED);
}

static bool judged_oom(struct sim *sim, int rc)
{
    if (rc != -HF_E_OOM || !(sim->may_oom || sim->squeezed))
        return false;
    sim->oom = true;
    sim->ooms++;
    return true;
}

static void check_fault(struct sim *sim, int rc)
{
    const struct fault *fault = pool_fault(sim->pool);
    sim->failures_seen++;
    if (fault->code != -rc)
        sim_fail(sim, "the call answered %s, pool_fault() says %s", code_name(-rc), code_name(fault->code));
    sim_check(sim, fault->text != NULL);
}

bool sim_judge(struct sim *sim, const struct verdict *v, int rc)
{
    char text[256];
    if (rc == 0) {
        if (v->fails)
            sim_fail(sim, "succeeded, expected %s", codes_of(v, text, sizeof text));
        return true;
    }
    sim_check(sim, rc < 0 && -rc < HF_E_COUNT);
    check_fault(sim, rc);
    if (judged_oom(sim, rc))
        return false;
    if (!(v->may & 1u << -rc))
        sim_fail(sim, "answered %s, expected %s", code_name(-rc), codes_of(v, text, sizeof text));
    return false;
}

bool sim_judge_array(struct sim *sim, const struct verdict *v, unsigned count, int rc)
{
    char text[256];
    if (rc == 0) {
        for (unsigned i = 0; i < count; i++)
            if (v[i].fails)
                sim_fail(sim, "succeeded, expected of index %u: %s", i, codes_of(&v[i], text, sizeof text));
        return true;
    }
    sim_check(sim, rc < 0 && -rc < HF_E_COUNT);
    check_fault(sim, rc);
    if (judged_oom(sim, rc))
        return false;
    int64_t index = pool_fault(sim->pool)->index;
    if (index < 0 || index >= count)
        sim_fail(sim, "answered %s for index %lld of %u", code_name(-rc), (long long)index, count);
    for (unsigned i = 0; i < (unsigned)index; i++)
        if (v[i].fails)
            sim_fail(sim, "answered %s for index %lld, but index %u must fail: %s", code_name(-rc),
                     (long long)index, i, codes_of(&v[i], text, sizeof text));
    if (!(v[index].may & 1u << -rc))
        sim_fail(sim, "answered %s for index %lld, expected %s", code_name(-rc), (long long)index,
                 codes_of(&v[index], text, sizeof text));
    return false;
}

/* ---- choosing ---- */

bool chance(struct sim *sim, unsigned percent)
{
    return random_below(&sim->random, 100) < percent;
}

int pick_living(struct sim *sim)
{
    const struct model *m = sim->model;
    return m->living_count == 0 ? 0 : m->living[random_below(&sim->random, (uint64_t)m->living_count)];
}

static uint64_t bogus_id(struct sim *sim)
{
    uint64_t id;
    switch (random_below(&sim->random, 3)) {
    case 0: id = random_next(&sim->random) & HF_ID_MAX; break;
    case 1: id = random_below(&sim->random, 300); break; /* a likely index, some serial */
    default: id = sim->model->ids[pick_living(sim)] ^ 1ull << (32 + random_below(&sim->random, 21)); break;
    }
    return id == 0 || model_object(sim->model, id) ? HF_ID_MAX : id;
}

uint64_t pick_id(struct sim *sim, int *ret_object)
{
    int made = sim->model->objects_made;
    unsigned dice = (unsigned)random_below(&sim->random, 100);
    if (dice < 92 && sim->model->living_count > 0)
        *ret_object = pick_living(sim);
    else if (dice < 97 && made > 0)
        *ret_object = (int)random_between(&sim->random, 1, (uint64_t)made);
    else
        *ret_object = 0;
    return *ret_object ? sim->model->ids[*ret_object] : bogus_id(sim);
}

int pick_session(struct sim *sim)
{
    const struct model *m = sim->model;
    int open[MODEL_SESSIONS], count = 0;
    for (int s = 1; s <= m->sessions_made; s++)
        if (m->sessions[s].state == M_OPEN)
            open[count++] = s;
    if (count > 0)
        return open[random_below(&sim->random, (uint64_t)count)];
    return sim_session_open(sim);
}

struct name_in pick_name(struct sim *sim)
{
    uint64_t number = random_below(&sim->random, sim->names_most);
    return (struct name_in){sim->names[number], sim->name_sizes[number]};
}

uint32_t pick_label(struct sim *sim, const uint8_t **ret)
{
    static const char *const labels[] = {"a", "tag", "weights", "main.c:117",
                                         "a tag that is rather long for one"};
    const char *label = labels[random_below(&sim->random, 5)];
    *ret = (const uint8_t *)label;
    if (chance(sim, 60))
        return 0;
    return (uint32_t)strlen(label);
}

static uint64_t pick_size(struct sim *sim)
{
    static const uint32_t edges[] = {3,     4,     5,     7,     8,     9,     15,    16,    17,
                                     31,    32,    127,   128,   129,   255,   256,   1023,  1024,
                                     4095,  4096,  4097,  8192,  8193,  12289, 16375, 16376, 16377,
                                     16383, 16384, 16385, 20480, 65535, 65536};
    unsigned dice = (unsigned)random_below(&sim->random, 1000);
    if (dice < 650)
        return random_below(&sim->random, 25);
    if (dice < 900)
        return random_below(&sim->random, 600);
    if (dice < 985)
        return edges[random_below(&sim->random, sizeof edges / sizeof *edges)];
    return random_below(&sim->random, dice < 995 ? 20000 : POOL_COPY_MAX + 1);
}

static enum form pick_form(struct sim *sim, uint64_t size)
{
    static const uint64_t limits[FORM_COUNT] = {
        [FORM_RAW] = UINT64_MAX,   [FORM_FIXSTR] = 31, [FORM_STR8] = 255,    [FORM_STR16] = 65535,
        [FORM_STR32] = UINT32_MAX, [FORM_BIN8] = 255,  [FORM_BIN16] = 65535, [FORM_BIN32] = UINT32_MAX,
    };
    for (;;) {
        unsigned form = (unsigned)random_below(&sim->random, FORM_COUNT);
        if (size <= limits[form] && (form != FORM_RAW || size > 0))
            return (enum form)form;
    }
}

struct value_in pick_value(struct sim *sim)
{
    uint64_t size = pick_size(sim);
    enum form form = pick_form(sim, size);
    uint64_t at = random_below(&sim->random, SIM_BUFFER - size);
    return (struct value_in){.form = form, .data = sim->buffer + at, .size = size};
}

uint32_t pick_slots(struct sim *sim)
{
    static const uint32_t wide[] = {7, 8, 9, 15, 16, 17, 255, 257, 1000, 2048, 4095, 4096, 4097, 8191, 8192};
    if (sim->wide && chance(sim, 12))
        return wide[random_below(&sim->random, sizeof wide / sizeof *wide)];
    return (uint32_t)random_below(&sim->random, chance(sim, 8) ? 20 : 4);
}

int sim_born(struct sim *sim, uint64_t id, const struct value_in *value)
{
    if (id == 0 || id > HF_ID_MAX || (id & 0xffffffffu) > HF_INDEX_MAX || (id & 0xffffffffu) == 0)
        sim_fail(sim, "%#llx is no id", (unsigned long long)id);
    if (model_object(sim->model, id))
        sim_fail(sim, "id %#llx was given out before", (unsigned long long)id);
    return model_born(sim->model, id, value->form, value->data, value->size);
}

void sim_version(struct sim *sim, uint64_t version)
{
    if (version <= sim->model->last_version || version > HF_ID_MAX)
        sim_fail(sim, "version %llu after %llu", (unsigned long long)version,
                 (unsigned long long)sim->model->last_version);
    sim->model->last_version = version;
}

/* ---- turns ---- */

void sim_again(struct sim *sim)
{
    struct gc_ticket ticket;
    if (chance(sim, 10)) /* it looks at all suspects, and ages nothing: what a client sees does not change */
        pool_collect_young(sim->pool, true, &ticket);
    unsigned spent = pool_step(sim->pool, POOL_UNITS_PIECE);
    sim_check(sim, spent <= POOL_UNITS_PIECE);
}

/* Lets the n-th allocation or growth from now on fail, in some of the operations. */
static void arm(struct sim *sim)
{
    struct mem *mem = pool_mem(sim->pool);
    sim->may_oom = chance(sim, 8);
    if (!sim->may_oom)
        return;
    if (chance(sim, 50)) {
        mem->fail_at = mem->calls + random_between(&sim->random, 1, 4);
    } else {
        sim->grow.fail_at = sim->grow.calls + 1;
        sim->grow.fail_count = random_between(&sim->random, 1, 3);
    }
}

static void disarm(struct sim *sim)
{
    pool_mem(sim->pool)->fail_at = 0;
    sim->grow.fail_at = 0;
    sim->may_oom = false;
}

/* What has died in the model since the last look is GONE in the pool. */
static void check_graves(struct sim *sim)
{
    const struct model *m = sim->model;
    for (; sim->graves_seen < m->graves_count; sim->graves_seen++) {
        struct inspect_row row;
        int object = m->graves[sim->graves_seen];
        int rc = pool_inspect(sim->pool, m->ids[object], &row);
        if (rc != -HF_E_GONE)
            sim_fail(sim, "object %d (id %#llx) must be GONE, inspect answered %s", object,
                     (unsigned long long)m->ids[object], code_name(-rc));
    }
}

/* Those whose last reference this operation took away are GONE when it returns. With them all that dies of it, if it
 * is little and nothing was waiting. */
static void note_deaths(struct sim *sim, bool was_pending)
{
    struct model *m = sim->model;
    struct pool_stats stats;
    uint64_t deaths = 0, slots = 0;
    if (m->dirty) {
        model_count(m);
        for (int i = 0; i < m->living_count; i++) {
            const struct m_object *o = &m->objects[m->living[i]];
            deaths += !o->sure;
            slots += o->sure ? 0 : o->slots_count;
        }
        if (!was_pending && !sim->indirect && m->limbo > 0) {
            model_strike(m);
            model_count(m);
        }
    }
    if (!was_pending && deaths == 0 && !sim->indirect)
        return;
    pool_stats(sim->pool, &stats);
    if (!was_pending && !sim->indirect && deaths + slots <= POOL_INLINE_DEATHS && stats.backlog != 0)
        sim_fail(sim, "%llu objects died, but %llu wait for a step", (unsigned long long)deaths,
                 (unsigned long long)stats.backlog);
    sim->pending = stats.backlog != 0 || sim->due;
    if (!sim->pending && (was_pending || m->limbo > 0))
        model_settle(m);
}

static void operate(struct sim *sim, const struct operation *operation)
{
    bool was_pending = sim->pending;
    sim->operation = operation->name;
    sim->indirect = sim->oom = false;
    arm(sim);
    operation->run(sim);
    disarm(sim);
    note_deaths(sim, was_pending);
    check_graves(sim);
    if (sim->oom)
        compare_all(sim);
}

/* A step of few units; when it says that nothing is left, nothing may be. */
static void step(struct sim *sim)
{
    unsigned units = (unsigned)random_between(&sim->random, 1, chance(sim, 90) ? 100 : 2000);
    struct pool_stats stats;
    bool was_pending = sim->pending;
    sim->operation = "step";
    unsigned spent = pool_step(sim->pool, units);
    if (spent > units)
        sim_fail(sim, "a step of %u units spent %u", units, spent);
    pool_stats(sim->pool, &stats);
    if (spent < units) {
        if (stats.backlog != 0)
            sim_fail(sim, "a step of %u units stopped at %u, %llu wait", units, spent,
                     (unsigned long long)stats.backlog);
        sim->due = false;
    }
    sim->pending = stats.backlog != 0 || sim->due;
    if (was_pending && !sim->pending)
        model_settle(sim->model);
    check_graves(sim);
}

/* ---- a run ---- */

static const struct operation *const tables[] = {object_operations, holder_operations, session_operations,
                                                 looking_operations};

static const struct operation *pick_operation(struct sim *sim)
{
    unsigned total = 0;
    for (unsigned t = 0; t < 4; t++)
        for (const struct operation *o = tables[t]; o->name; o++)
            total += o->weight;
    unsigned dice = (unsigned)random_below(&sim->random, total);
    for (unsigned t = 0; t < 4; t++)
        for (const struct operation *o = tables[t]; o->name; o++) {
            if (dice < o->weight)
                return o;
            dice -= o->weight;
        }
    return NULL;
}

static void open_pool(struct sim *sim)
{
    struct pool_config config = {
        .name = "sim",
        .max_bytes = SIM_MAX_BYTES,
        .epoch = random_between(&sim->random, 1, HF_ID_MAX),
        .serial_base = (uint32_t)random_between(&sim->random, 1, (1u << HF_SERIAL_BITS) - 1),
        .random_seed = random_next(&sim->random),
        .now_ms = sim->now_ms,
        .parent = &sim->budget,
        .io = &sim->grow.io,
        .fd_meta = -1,
        .fd_values = -1,
    };
    char error[256] = "";
    int rc = pool_open(&sim->pool, &config, error, sizeof error);
    if (rc != 0)
        sim_fail(sim, "pool_open answered %s: %s", code_name(-rc), error);
    sim_check(sim, pool_epoch(sim->pool) == config.epoch);
    pool_tick(sim->pool, sim->now_ms, sim->lease_ms);
    /* the model knows counts, not cycles: young collections are dry ones (sim_again()), and those that free have a
     * simulation of their own (sim_gc.c) */
    struct gc_config gc = *pool_gc_config(sim->pool);
    gc.enabled = false;
    pool_gc_set_config(sim->pool, &gc);
    /* values and lists of slots move nearly always, in most pools */
    if (chance(sim, 75))
        sim->pool->evacuation.config =
            (struct evacuate_config){.percent = 99, .least = 1, .thorough = chance(sim, 60)};
}

static void make_names(struct sim *sim)
{
    static const uint8_t sizes[] = {2, 3, 5, 12, 13, 14, 29, 30, 64, 200, 254, 255};
    for (unsigned i = 0; i < SIM_NAMES; i++) {
        sim->name_sizes[i] = sizes[i % sizeof sizes];
        memset(sim->names[i], 'x', sizeof sim->names[i]);
        sim->names[i][0] = (uint8_t)('a' + i % 20);
        sim->names[i][1] = (uint8_t)('a' + i / 20);
    }
}

/* What kind of pool this run is about. */
static void pick_kind(struct sim *sim)
{
    uint64_t most = chance(sim, 50) ? 30 : 200;
    sim->names_most = 20;
    sim->sessions_most = 6;
    sim->ids_most = 40;
    switch (random_below(&sim->random, 20)) {
    case 0: sim->wide = true; break;
    case 1: sim->large = true; break;
    case 2: /* few objects with very many holders */
        most = 8;
        sim->names_most = SIM_NAMES;
        sim->sessions_most = 60;
        break;
    case 3: /* thousands of objects */
        most = 4000;
        sim->many = true;
        sim->names_most = SIM_NAMES;
        sim->ids_most = SIM_IDS;
        break;
    default: break;
    }
    sim->target = (int)random_between(&sim->random, sim->many ? 1000 : 5, most);
}

static void begin(struct sim *sim)
{
    sim->operation = "begin";
    sim->model = model_new();
    sim->now_ms = FIXTURE_START_MS + random_below(&sim->random, 1ull << 30);
    sim->lease_ms = random_below(&sim->random, 1ull << 30);
    pick_kind(sim);
    grow_io_init(&sim->grow);
    sim->grow.io.granules = sim->seed % 2 == 0; /* as on disk, or as in memory */
    mem_init(&sim->budget, NULL, UINT64_MAX / 2);
    make_names(sim);
    sim->buffer = malloc(SIM_BUFFER);
    sim_check(sim, sim->buffer != NULL);
    for (unsigned i = 0; i + 8 <= SIM_BUFFER; i += 8) {
        uint64_t bytes = random_next(&sim->random);
        memcpy(sim->buffer + i, &bytes, 8);
    }
    open_pool(sim);
}

/* Something is left that a client could take away. */
static bool can_prune(const struct model *m)
{
    if (m->holds_count + m->names_count + m->tickets_count > 0)
        return true;
    for (int i = 0; i < m->living_count; i++) {
        const struct m_object *o = &m->objects[m->living[i]];
        for (uint32_t k = 0; k < o->slots_count && !o->sealed; k++)
            if (o->slots[k] != 0)
                return true;
    }
    return false;
}

/* All outside references go, then all slots. Only cycles of sealed objects may be left: nobody can cut them. */
static void empty_pool(struct sim *sim)
{
    const struct model *m = sim->model;
    sim->operation = "empty";
    sim->budget.limit = UINT64_MAX / 2;
    sim->squeezed = false;
    for (int rounds = 0; sim->pending || can_prune(m); rounds++) {
        if (rounds > 1000000)
            sim_fail(sim, "%d objects do not die", m->living_count);
        bool was_pending = sim->pending;
        sim->indirect = true;
        sim_prune(sim);
        note_deaths(sim, was_pending);
        check_graves(sim);
        step(sim);
        sim->operation = "empty";
    }
    struct pool_stats stats;
    pool_stats(sim->pool, &stats);
    sim_check(sim, stats.objects == (uint64_t)m->living_count && stats.names == 0 && stats.holds == 0);
    sim_check(sim, stats.objects_made == stats.objects_freed + stats.objects);
    /* Nothing has leaked: every index is free, used or retired, and nothing has a block or a label any more. */
    const struct heap *heap = &sim->pool->heap;
    uint64_t free_indexes = heap->free_index.count + heap->spare_index_count;
    sim_check(sim, free_indexes + stats.objects + stats.retired == stats.index_max);
    sim_check(sim, sim->pool->session_slots.count + stats.sessions_open + stats.sessions_grace +
                           stats.sessions_dying ==
                       sim->pool->sessions_top);
    sim_check(sim, m->living_count > 0 || (stats.value_live_bytes == 0 && stats.labels == 0));
}

static void end(struct sim *sim)
{
    saves_end(sim);
    if (sim->verifying)
        pool_verify_abort(sim->pool);
    sim->verifying = false;
    while (sim->pins_count > 0) {
        struct sim_pin *pin = &sim->pins[--sim->pins_count];
        sim_check(sim, memcmp(pin->at, pin->copy, pin->size) == 0);
        pool_unpin(sim->pool, pin->pin);
        free(pin->copy);
    }
    if (chance(sim, 70)) {
        empty_pool(sim);
        compare_all(sim);
        compare_verify(sim);
    } else if (chance(sim, 50)) {
        while (pool_dispose_step(sim->pool, 1)) {
        }
    }
    pool_close(sim->pool);
    sim_check(sim, sim->budget.used == 0);
    model_free(sim->model);
    free(sim->buffer);
}

#define VERIFY_OBJECTS 250u

static void maybe_compare(struct sim *sim)
{
    unsigned objects = (unsigned)sim->model->living_count + 1;
    bool wide = sim->wide || sim->large;
    /* Every invariant after every step; pools of long lists and many objects, where a walk costs more than the
     * step, only now and then. */
    if (sim->verifying)
        compare_verify_on(sim);
    else if (!wide && objects <= VERIFY_OBJECTS)
        compare_verify(sim);
    if (!random_once_in(&sim->random, (objects < 12 ? 8 : objects) * (wide ? 4 : 1)))
        return;
    compare_all(sim);
    if (!sim->verifying && random_once_in(&sim->random, 4))
        compare_verify(sim);
    if (random_once_in(&sim->random, 8))
        compare_recovered(sim);
}

void sim_run(uint64_t seed, uint64_t operations, bool trace, struct sim_totals *totals)
{
    struct sim *sim = calloc(1, sizeof *sim);
    if (!sim)
        abort();
    sim->seed = seed;
    sim->trace = trace;
    sim->random.state = seed * 0x2545f4914f6cdd1dull;
    sim->aside.state = seed * 77 + 5;
    begin(sim);
    if ((sim->wide || sim->many) && operations > 1000)
        operations = 1000;
    for (sim->number = 1; sim->number <= operations; sim->number++) {
        if (sim->model->objects_made + 2 * (int)SIM_IDS > MODEL_OBJECTS ||
            sim->model->sessions_made + 10 > MODEL_SESSIONS)
            break;
        operate(sim, pick_operation(sim));
        if (sim->model->living_count > sim->target)
            operate(sim, &(struct operation){"prune", 1, sim_prune});
        if (chance(sim, 30))
            step(sim);
        maybe_compare(sim);
        saves_go_on(sim);
        resend_some(sim);
    }
    totals->operations += sim->number - 1;
    totals->episodes++;
    totals->objects += (uint64_t)sim->model->objects_made;
    totals->ooms += sim->ooms;
    totals->compared += sim->compared;
    totals->verified += sim->verified;
    totals->recovered += sim->recovered;
    totals->moved += sim->pool->evacuation.stats.moved;
    end(sim);
    totals->saved += sim->saved;
    totals->resent += sim->resent;
    totals->saves_failed += sim->saves_failed;
    free(sim);
}
