/* SPDX-License-Identifier: BSD-3-Clause */
/* What somebody may have meant who mistyped a word. */
#ifndef BASE_NEAREST_H
#define BASE_NEAREST_H

#include <stddef.h>

#define NEAREST_WORD_MAX 32u /* bytes of a word; a longer one is near to nothing */

/* Letters to be changed, added or taken away to make one word of the other, upper and lower case being the same
 * (V. Levenshtein, 1966). At most NEAREST_WORD_MAX. */
unsigned nearest_distance(const char *a, const char *b);

/* Of `count` words, `word(data, i)` each, the first that is nearest to `wanted`; `count` if none is near: then more than
 * three letters of it would be wrong, or more than half. */
size_t nearest_of(const char *wanted, const char *(*word)(const void *data, size_t i), const void *data,
                  size_t count);

#endif
