/* "Did you mean": the nearest of some candidates by edit distance. See config.h. */
#include "base/config.h"

#include <string.h>

enum { LONGEST_WORD = 64 }; /* longer words get no suggestion; keys are short */

/* Letters in either case and both dashes count as equal: "Batch-Size" is "batch_size". */
static char fold(char c)
{
    if (c >= 'A' && c <= 'Z')
        return (char)(c - 'A' + 'a');
    return c == '-' ? '_' : c;
}

/* Damerau-Levenshtein distance in its restricted form (optimal string alignment): insert, delete,
 * replace, swap two neighbours. Three rows of the table are enough. */
static size_t edit_distance(const char *a, size_t n, const char *b, size_t m)
{
    size_t rows[3][LONGEST_WORD + 1];
    size_t *before = rows[0], *last = rows[1], *now = rows[2];
    for (size_t j = 0; j <= m; j++)
        last[j] = j;
    for (size_t i = 1; i <= n; i++) {
        now[0] = i;
        for (size_t j = 1; j <= m; j++) {
            size_t best = last[j - 1] + (fold(a[i - 1]) != fold(b[j - 1]));
            if (last[j] + 1 < best)
                best = last[j] + 1;
            if (now[j - 1] + 1 < best)
                best = now[j - 1] + 1;
            if (i > 1 && j > 1 && fold(a[i - 1]) == fold(b[j - 2]) &&
                fold(a[i - 2]) == fold(b[j - 1]) && before[j - 2] + 1 < best)
                best = before[j - 2] + 1;
            now[j] = best;
        }
        size_t *free_row = before;
        before = last;
        last = now;
        now = free_row;
    }
    return last[m];
}

const char *tdbg_suggest(const char *word, const char *const *candidates, int n)
{
    size_t length = strlen(word);
    if (length == 0 || length > LONGEST_WORD)
        return NULL;
    size_t limit = length / 3 > 1 ? length / 3 : 1;
    const char *nearest = NULL;
    for (int i = 0; i < n; i++) {
        size_t m = candidates[i] ? strlen(candidates[i]) : 0;
        if (m == 0 || m > LONGEST_WORD || m > length + limit || length > m + limit)
            continue;
        size_t d = edit_distance(word, length, candidates[i], m);
        /* A one-letter word is one edit away from every other one-letter word. */
        if (d > limit || d >= (length > m ? length : m))
            continue;
        nearest = candidates[i];
        if (d == 0)
            break;
        limit = d - 1; /* only something nearer replaces it: the first of equals wins */
    }
    return nearest;
}
