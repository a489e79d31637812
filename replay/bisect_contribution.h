/* What ranks contributed to sums other than executing their run gives: a bit that flipped on the
 * way, a bucket of the step before, a contribution that did not arrive. Each is a difference of two
 * runs that a trial takes from one or the other, as keys and samples are.
 *
 *     recorded reduce_in  != executed                            it is put in as it was recorded
 *     recorded reduce_out == executed without rank R's lanes     these are zero behind the recorder
 *     recorded reduce_out != executed, the same on all ranks     the sum itself
 */
#ifndef TDBG_REPLAY_BISECT_CONTRIBUTION_H
#define TDBG_REPLAY_BISECT_CONTRIBUTION_H

#include "engine/engine.h"
#include "replay/bisect_delta.h"

enum tdbg_contribution_how {
    TDBG_CONTRIBUTION_OTHER,
    TDBG_CONTRIBUTION_BIT,     /* one bit of one element is another */
    TDBG_CONTRIBUTION_ZERO,    /* all of it is zero */
    TDBG_CONTRIBUTION_STALE,   /* it is that of the step before */
    TDBG_CONTRIBUTION_SCALED,  /* all of it is multiplied by a number */
    TDBG_CONTRIBUTION_MISSING, /* it is recorded as executing gives it, and is not in the sum */
};

struct tdbg_contribution {
    int side;     /* whose trace has it: 0 good, 1 bad */
    int64_t step; /* in which it was recorded */
    int32_t rank; /* -1: the sum, of which all ranks have the same */
    int32_t site; /* of that side's joined list: of one lane, or the sum */
    enum tdbg_contribution_how how;
    int64_t elems, differ, element; /* how many differ, and the first; MISSING: 0, -1 */
    int bit;                        /* BIT: 0 .. 31 */
    float factor;                   /* SCALED */
    float *value;                   /* (elems) NULL: in the trace; else told from its digest */
    int item;                       /* of the deltas: what takes it from one run or the other;
                                     * -1: it is none yet, and no trial has it */
};

struct tdbg_contributions {
    struct tdbg_contribution *list; /* (n) by rank, step and tensor, once they are joined */
    int n, room;
};
void tdbg_contributions_clear(struct tdbg_contributions *contributions);

enum tdbg_status tdbg_contributions_add(struct tdbg_contributions *contributions,
                                        const struct tdbg_contribution *one, struct tdbg_err *err);

/* What was contributed instead of fresh (n), by its digest alone: zeros, before (n, or NULL: not
 * known), a multiple, or one element that is zero, that of before or has a bit flipped. out (n);
 * false: none of these, and out is undefined. */
bool tdbg_contribution_guess(const float *fresh, const float *before, int64_t n, int32_t world_size,
                             uint64_t digest, float *out);

/* Makes differences of them: for each rank a whole, its parts one tensor in one step each, unless
 * there are too many of these. */
enum tdbg_status tdbg_contributions_join(struct tdbg_contributions *contributions,
                                         const struct tdbg_bisect_side side[2],
                                         struct tdbg_deltas *deltas, struct tdbg_err *err);

/* "bit 22 of [0, 17] is flipped" */
const char *tdbg_contribution_text(const struct tdbg_contribution *one,
                                   const struct tdbg_bisect_side side[2], char *buf,
                                   size_t buf_bytes);

/* Puts some of them into a run: `before` goes in front of a tap that looks, so that it sees what
 * was recorded, `behind` after it. */
struct tdbg_contribution_taps {
    const struct tdbg_bisect_side *side; /* (2) */
    struct tdbg_contribution_place {
        const struct tdbg_contribution *what;
        int32_t site; /* of the engine */
    } * place;        /* (n) by step */
    int n;
    int first, end; /* places of the step that runs */
    float *value;   /* the largest of them */
    struct tdbg_contribution_tap {
        struct tdbg_contribution_taps *all;
        bool is_behind;
    } before, behind;
};

/* chosen (contributions->n): those that are put in. TDBG_CONFIG where the engine has no such
 * tensor. Close in any case. */
enum tdbg_status tdbg_contribution_taps_open(struct tdbg_contribution_taps *taps,
                                             const struct tdbg_bisect_side side[2],
                                             const struct tdbg_contributions *contributions,
                                             const bool *chosen, const struct tdbg_engine *engine,
                                             struct tdbg_err *err);
void tdbg_contribution_taps_close(struct tdbg_contribution_taps *taps);
struct tdbg_tap tdbg_contribution_tap_before(struct tdbg_contribution_taps *taps);
struct tdbg_tap tdbg_contribution_tap_behind(struct tdbg_contribution_taps *taps);

#endif
