/* SPDX-License-Identifier: BSD-3-Clause */
#include "daemon/base/nearest.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>

#define WRONG_MAX 3u

static bool is_same(char a, char b)
{
    return tolower((unsigned char)a) == tolower((unsigned char)b);
}

static unsigned least(unsigned a, unsigned b, unsigned c)
{
    unsigned ab = a < b ? a : b;
    return ab < c ? ab : c;
}

unsigned nearest_distance(const char *a, const char *b)
{
    unsigned row[NEAREST_WORD_MAX + 1]; /* from the part of `a` so far to each beginning of `b` */
    size_t width = strlen(b);
    if (strlen(a) > NEAREST_WORD_MAX || width > NEAREST_WORD_MAX)
        return NEAREST_WORD_MAX;
    for (unsigned k = 0; k <= width; k++)
        row[k] = k;
    for (unsigned i = 0; a[i] != '\0'; i++) {
        unsigned diagonal = row[0];
        row[0] = i + 1;
        for (unsigned k = 1; k <= width; k++) {
            unsigned changed = diagonal + !is_same(a[i], b[k - 1]);
            diagonal = row[k];
            row[k] = least(row[k] + 1, row[k - 1] + 1, changed);
        }
    }
    return row[width];
}

static bool is_near(const char *word, unsigned distance)
{
    return distance <= WRONG_MAX && 2 * distance <= strlen(word);
}

size_t nearest_of(const char *wanted, const char *(*word)(const void *data, size_t i), const void *data,
                  size_t count)
{
    size_t best = count;
    unsigned best_distance = NEAREST_WORD_MAX;
    for (size_t i = 0; i < count; i++) {
        unsigned distance = nearest_distance(wanted, word(data, i));
        if (distance >= best_distance || !is_near(wanted, distance))
            continue;
        best = i;
        best_distance = distance;
    }
    return best;
}
