/* SPDX-License-Identifier: BSD-3-Clause */
/* Requests of sessions with a replay window: each is recorded with its effect, and when it is sent again, to the pool
 * or to one that was recovered from its image or from the file of a save, it is answered as it was. So what the model
 * knows of a session is its last answers, too; a pool that has done what it cannot answer, or the other way round, is
 * found here. */
#include "daemon/pool/internal.h"
#include "tests/sim/driver.h"

#include <string.h>

#define VALID         (REPLAY_SLOTS - 1)
#define RESEND_ONE_IN 60u

int sim_requester(struct sim *sim)
{
    const struct model *m = sim->model;
    int found = 0;
    uint64_t count = 0;
    for (int s = 1; s <= m->sessions_made; s++)
        if (m->sessions[s].state == M_OPEN && m->sessions[s].replays && random_once_in(&sim->aside, ++count))
            found = s;
    return found;
}

/* ---- around a call ---- */

void sim_request(struct sim *sim, int session)
{
    const struct m_session *s = &sim->model->sessions[session];
    if (sim->requester == 0 && session != 0 && s->replays) {
        sim->requester = session;
        sim->request.msgid = s->first_msgid + (uint32_t)s->requests_made;
        sim->request.hash = random_next(&sim->aside) | 1;
    }
    if (sim->requester != 0)
        pool_replay_begin(sim->pool, sim->handle[sim->requester], sim->request.msgid, sim->request.hash);
}

bool sim_request_again(struct sim *sim, int rc)
{
    if (rc != POOL_AGAIN)
        return false;
    if (sim->requester != 0)
        pool_replay_end(sim->pool);
    sim_again(sim);
    return true;
}

static uint64_t digest_of(const uint64_t *words, uint32_t count)
{
    return count == 0 ? 0 : XXH3_64bits(words, count * sizeof *words);
}

void sim_answer(struct sim *sim, int rc, const uint64_t *words, uint32_t count)
{
    static const uint8_t done = 0xc3;
    struct m_request *request = &sim->request;
    if (sim->requester == 0)
        return;
    struct m_session *s = &sim->model->sessions[sim->requester];
    sim_check(sim, rc == 0 || pool_replay_open(sim->pool)); /* what has failed has recorded nothing */
    request->code = (uint32_t)-rc;
    request->count = rc == 0 ? count : 0;
    request->digest = rc == 0 ? digest_of(words, count) : 0;
    if (rc != 0)
        pool_replay_note_error(sim->pool, -rc);
    else
        pool_replay_note(sim->pool, &done, 1); /* if the pool has not said it itself */
    pool_replay_end(sim->pool);
    s->requests[s->requests_made++ % M_REQUESTS] = *request;
    sim->requester = 0;
}

/* ---- sent again ---- */

/* The words of an answer, which is not an error: how many. */
static uint32_t words_of(const struct replay_answer *answer, uint64_t *ret)
{
    struct replay_runs runs = {0};
    uint32_t count = 0;
    switch (answer->kind) {
    case REPLAY_UINT: count = 1; break;
    case REPLAY_PAIR:
    case REPLAY_KEY: count = 2; break;
    case REPLAY_UINTS: count = answer->count; break;
    case REPLAY_PAIRS: count = 2 * answer->count; break;
    case REPLAY_RUNS:
        while (replay_next_run(answer, &runs))
            for (uint64_t k = 0; k < runs.length; k++)
                ret[count++] = runs.number;
        return count;
    default: return 0;
    }
    memcpy(ret, answer->words, count * sizeof *ret);
    return count;
}

static void check_answer(struct sim *sim, const struct m_request *request, const struct replay_answer *answer)
{
    uint64_t words[2 * SIM_IDS];
    if (request->code != 0) {
        sim_check(sim, answer->kind == REPLAY_ERROR && answer->count == request->code);
        return;
    }
    sim_check(sim, answer->kind != REPLAY_ERROR && answer->kind != REPLAY_NONE);
    uint32_t count = words_of(answer, words);
    if (count != request->count || digest_of(words, count) != request->digest)
        sim_fail(sim, "request %u was answered otherwise (%u words, now kind %d of %u)", request->msgid,
                 request->count, (int)answer->kind, count);
}

static const struct m_request *request_at(const struct m_session *s, uint64_t number)
{
    return &s->requests[number % M_REQUESTS];
}

static bool finds(struct pool *pool, const struct session *handle, uint32_t msgid, uint64_t hash)
{
    struct replay_match match = {0};
    struct replay_answer answer;
    return pool_replay_find(pool, handle, &match, msgid, hash, &answer);
}

/* Another request under its msgid; the one before the window, which is over; one that is not the next. */
static void check_strangers(struct sim *sim, const struct m_session *s, struct pool *pool,
                            struct session *handle, uint64_t first)
{
    struct replay_match match = {0};
    struct replay_answer answer;
    const struct m_request *early = request_at(s, first), *late = request_at(s, first + 2);
    const struct m_request *over = first == 0 ? NULL : request_at(s, first - 1);
    sim_check(sim, over == NULL || !finds(pool, handle, over->msgid, over->hash));
    if (s->requests_made - first < 3)
        return;
    sim_check(sim, !finds(pool, handle, early->msgid, early->hash + 2));
    sim_check(sim, pool_replay_find(pool, handle, &match, early->msgid, early->hash, &answer));
    sim_check(sim, !pool_replay_find(pool, handle, &match, late->msgid, late->hash, &answer));
}

void resend(struct sim *sim, const struct m_session *s, struct pool *pool, struct session *handle)
{
    uint64_t made = s->requests_made, first = made > VALID ? made - VALID : 0;
    struct replay_match match = {0};
    struct replay_answer answer;
    for (uint64_t n = random_between(&sim->aside, first, made); n < made; n++) {
        const struct m_request *request = request_at(s, n);
        if (!pool_replay_find(pool, handle, &match, request->msgid, request->hash, &answer))
            sim_fail(sim, "request %llu of %llu is not in the window", (unsigned long long)n,
                     (unsigned long long)made);
        check_answer(sim, request, &answer);
        sim->resent++;
    }
    /* the next one was never sent */
    sim_check(sim, !pool_replay_find(pool, handle, &match, s->first_msgid + (uint32_t)made, 1, &answer));
    check_strangers(sim, s, pool, handle, first);
}

void resend_some(struct sim *sim)
{
    const struct model *m = sim->model;
    if (!random_once_in(&sim->aside, RESEND_ONE_IN))
        return;
    sim->operation = "resend";
    for (int s = 1; s <= m->sessions_made; s++) {
        const struct m_session *session = &m->sessions[s];
        if (session->replays && (session->state == M_OPEN || session->state == M_GRACE))
            resend(sim, session, sim->pool, sim->handle[s]);
    }
}
