/* SPDX-License-Identifier: BSD-3-Clause */
/* What the endpoint answers: texts made of a survey. */
#ifndef OBSERVE_ANSWERS_H
#define OBSERVE_ANSWERS_H

#include "daemon/observe/observe.h"
#include "daemon/observe/text.h"
#include "daemon/server/survey.h"

/* Prometheus' text format 0.0.4. */
void answer_metrics(struct text *text, const struct observe *observe, const struct survey *survey);

/* The word for a size, in both: bytes of a block, `pages`, `huge` or `uncut`. False: there is no such class. */
#define SIZE_WORD 24u
bool size_word(const struct size_sum *sum, unsigned k, char ret[SIZE_WORD]);

/* JSON. `offset`, `limit`: of the rows of sessions. */
struct page_of {
    unsigned offset, limit;
    const char *sort;
};
void answer_varz(struct text *text, const struct observe *observe, const struct survey *survey);
void answer_connz(struct text *text, struct survey *survey, const struct page_of *page);
void answer_poolz(struct text *text, const struct survey *survey);
void answer_gcz(struct text *text, const struct survey *survey);
void answer_slowz(struct text *text, const struct observe *observe);

#endif
