/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/soak/ledger.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NUMBERS_MIN 1024u

/* ---- sets ---- */

void numbers_init(struct numbers *numbers)
{
    *numbers = (struct numbers){.capacity = NUMBERS_MIN};
    numbers->slots = calloc(numbers->capacity, sizeof *numbers->slots);
    if (numbers->slots == NULL)
        abort();
    pthread_mutex_init(&numbers->lock, NULL);
}

void numbers_done(struct numbers *numbers)
{
    free(numbers->slots);
    pthread_mutex_destroy(&numbers->lock);
}

/* Where the number is, or would be. */
static uint64_t *slot_of(const struct numbers *numbers, uint64_t number)
{
    size_t mask = numbers->capacity - 1;
    uint64_t mixed = number * 0x9e3779b97f4a7c15ull;
    size_t at = (size_t)(mixed ^ mixed >> 32) & mask;
    while (numbers->slots[at] != 0 && numbers->slots[at] != number)
        at = (at + 1) & mask;
    return &numbers->slots[at];
}

static void grow(struct numbers *numbers)
{
    struct numbers larger = {.capacity = numbers->capacity * 2};
    larger.slots = calloc(larger.capacity, sizeof *larger.slots);
    if (larger.slots == NULL)
        abort();
    for (size_t i = 0; i < numbers->capacity; i++) {
        if (numbers->slots[i] != 0)
            *slot_of(&larger, numbers->slots[i]) = numbers->slots[i];
    }
    free(numbers->slots);
    numbers->slots = larger.slots;
    numbers->capacity = larger.capacity;
}

bool numbers_add(struct numbers *numbers, uint64_t number)
{
    assert(number != 0);
    pthread_mutex_lock(&numbers->lock);
    if (numbers->count * 2 >= numbers->capacity)
        grow(numbers);
    uint64_t *slot = slot_of(numbers, number);
    bool fresh = *slot == 0;
    *slot = number;
    numbers->count += fresh;
    pthread_mutex_unlock(&numbers->lock);
    return fresh;
}

bool numbers_has(struct numbers *numbers, uint64_t number)
{
    pthread_mutex_lock(&numbers->lock);
    bool has = *slot_of(numbers, number) == number;
    pthread_mutex_unlock(&numbers->lock);
    return has;
}

/* ---- pools ---- */

static void begin(struct ledger *ledger, struct incarnation *incarnation, const char *name, uint64_t epoch)
{
    snprintf(incarnation->name, sizeof incarnation->name, "%s", name);
    incarnation->epoch = epoch;
    incarnation->tag = atomic_fetch_add(&ledger->next_tag, 1);
    assert(incarnation->tag <= VALUE_TAG_MAX);
    numbers_init(&incarnation->ids);
    pthread_mutex_init(&incarnation->lock, NULL);
}

static void end(struct incarnation *incarnation)
{
    numbers_done(&incarnation->ids);
    pthread_mutex_destroy(&incarnation->lock);
}

void ledger_init(struct ledger *ledger)
{
    memset(ledger, 0, sizeof *ledger);
    pthread_mutex_init(&ledger->lock, NULL);
    numbers_init(&ledger->sids);
    numbers_init(&ledger->killed);
    ledger->next_tag = 1;
    for (unsigned i = 0; i < LEDGER_STABLE; i++) {
        char name[24];
        snprintf(name, sizeof name, i == 0 ? "default" : "stable-%u", i);
        begin(ledger, &ledger->stable[i], name, 0);
    }
}

void ledger_done(struct ledger *ledger)
{
    ledger_forget_past(ledger);
    for (unsigned i = 0; i < LEDGER_STABLE; i++)
        end(&ledger->stable[i]);
    numbers_done(&ledger->sids);
    numbers_done(&ledger->killed);
    pthread_mutex_destroy(&ledger->lock);
}

struct incarnation *ledger_born(struct ledger *ledger, unsigned slot, const char *name, uint64_t epoch)
{
    struct incarnation *incarnation = calloc(1, sizeof *incarnation);
    if (incarnation == NULL)
        abort();
    begin(ledger, incarnation, name, epoch);
    pthread_mutex_lock(&ledger->lock);
    incarnation->next =
        ledger->past; /* from its birth on: whoever sees it may keep it until the end of the cycle */
    ledger->past = incarnation;
    pthread_mutex_unlock(&ledger->lock);
    atomic_store(&ledger->now[slot], incarnation);
    return incarnation;
}

void ledger_dropping(struct incarnation *incarnation)
{
    atomic_store(&incarnation->dropping, true);
}

void ledger_dropped(struct ledger *ledger, unsigned slot)
{
    atomic_store(&ledger->now[slot], NULL);
}

void ledger_forget_past(struct ledger *ledger)
{
    while (ledger->past != NULL) {
        struct incarnation *incarnation = ledger->past;
        ledger->past = incarnation->next;
        end(incarnation);
        free(incarnation);
    }
}

/* ---- tickets ---- */

bool ledger_offer(struct incarnation *incarnation, const struct ticket *ticket, struct ticket *ret_old)
{
    pthread_mutex_lock(&incarnation->lock);
    bool full = incarnation->tickets_count == TICKETS_KEPT;
    if (full)
        *ret_old = incarnation->tickets[--incarnation->tickets_count];
    incarnation->tickets[incarnation->tickets_count++] = *ticket;
    pthread_mutex_unlock(&incarnation->lock);
    return full;
}

bool ledger_take(struct incarnation *incarnation, struct ticket *ret)
{
    pthread_mutex_lock(&incarnation->lock);
    bool some = incarnation->tickets_count > 0;
    if (some)
        *ret = incarnation->tickets[--incarnation->tickets_count];
    pthread_mutex_unlock(&incarnation->lock);
    return some;
}
