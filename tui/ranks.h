/* What each rank put into an all-reduce and got out of it, beside each other: for the ranks screen
 * and the rank strip of main. */
#ifndef TDBG_TUI_RANKS_H
#define TDBG_TUI_RANKS_H

#include "replay/compare.h"
#include "tui/model.h"

struct tdbg_tui_rank_row {
    bool is_read, is_there;
    const char *why; /* it is not; borrowed */
    bool has_in, has_expected, has_out, has_here;
    double in_norm;                   /* L2; NaN: no statistics */
    uint64_t in, expected, out, here; /* digests; of several lanes their sum */
    bool out_differs, here_differs;   /* from that of most ranks */
    int64_t wait_ns, duration_ns;     /* of the whole step */
};

enum tdbg_tui_fold { TDBG_FOLD_WAITS, TDBG_FOLD_KNOWN, TDBG_FOLD_UNKNOWN };

struct tdbg_tui_rank_table {
    struct tdbg_tui_rank_row *rows; /* (n); NULL: nothing was asked for yet */
    int32_t n, n_read, top;
    int64_t step;                                         /* what they are of */
    int32_t focus_site, in_site, out_site, expected_site; /* in the file's list, or -1 */
    uint64_t *digests;                                    /* (n_sites), while reading */
    enum tdbg_tui_fold fold;
    uint64_t folded; /* digest of what was put in, folded */
    char *fold_why;  /* it is UNKNOWN */

    /* Enter: two ranks' elements. */
    int32_t rank_a, rank_b, site; /* that are compared; -1: none */
    void *values;                 /* of rank_a, while rank_b's are waited for */
    bool has_difference;
    struct tdbg_tensor_difference difference;
    char *difference_why; /* there is none; NULL: it is being computed */
};

void tdbg_tui_rank_table_free(struct tdbg_tui_rank_table *table);

/* The files were opened anew: rows that were not there are asked for again. */
void tdbg_tui_rank_table_renew(struct tdbg_tui_rank_table *table);

/* Reads up to n_rows more rows of what the model's focus is on; true: it read some. Faults become
 * absent values and the model's message. */
bool tdbg_tui_rank_table_load(struct tdbg_tui_rank_table *table, struct tdbg_tui_model *model,
                              int n_rows);

/* Folds what was put in, once all rows are there; true: it did something. */
bool tdbg_tui_rank_table_fold(struct tdbg_tui_rank_table *table,
                              const struct tdbg_tui_model *model);

/* Does anything of a rank differ from what most have, or from what its inputs fold to? */
bool tdbg_tui_rank_is_odd(const struct tdbg_tui_rank_table *table, int32_t rank);
bool tdbg_tui_rank_sum_is_wrong(const struct tdbg_tui_rank_table *table, int32_t rank);

/* A rank that agrees with most others, to compare with; -1: there is none but `rank`. */
int32_t tdbg_tui_rank_reference(const struct tdbg_tui_rank_table *table, int32_t rank);

#endif
