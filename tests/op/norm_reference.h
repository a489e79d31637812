/* The norms once more: in binary64 with bounds for the error of a float result, and written out
 * word by word from the headers, for test_norm.c. */
#ifndef TDBG_TESTS_NORM_REFERENCE_H
#define TDBG_TESTS_NORM_REFERENCE_H

#include <stdbool.h>
#include <stdint.h>

enum norm_kind { NORM_LAYER, NORM_RMS, NORM_BATCH, NORM_KINDS };

/* x and dy are (outer, groups, inner), and a group is normalised by itself: row norms are
 * (1, rows, width), batch norm is (samples, channels, inner). */
struct norm_input {
    enum norm_kind kind;
    int64_t outer, groups, inner;
    float eps, momentum;
    bool scaled, shifted;                    /* has a weight, has a bias */
    const float *x, *dy;                     /* (outer, groups, inner) */
    const float *weight, *bias;              /* (norm_width()) */
    const float *running_mean, *running_var; /* (groups) before; batch norm */
};

static inline int64_t norm_elems(const struct norm_input *in)
{
    return in->outer * in->groups * in->inner;
}

/* Elements of weight and bias. */
static inline int64_t norm_width(const struct norm_input *in)
{
    return in->kind == NORM_BATCH ? in->groups : in->inner;
}

enum norm_output {
    NORM_Y,
    NORM_DX,
    NORM_DWEIGHT,
    NORM_DBIAS,
    NORM_RUNNING_MEAN,
    NORM_RUNNING_VAR,
    NORM_OUTPUTS
};

static inline int64_t norm_output_elems(const struct norm_input *in, int k)
{
    if (k <= NORM_DX)
        return norm_elems(in);
    if (k <= NORM_DBIAS)
        return in->scaled ? norm_width(in) : 0;
    return in->kind == NORM_BATCH ? in->groups : 0;
}

/* Exact values, and how far a float result may be away: (norm_output_elems()) each. */
void norm_reference(const struct norm_input *in, double *exact[NORM_OUTPUTS],
                    double *allowed[NORM_OUTPUTS]);

/* The bits, one element at a time; a NaN may have any payload. */
void norm_by_the_word(const struct norm_input *in, float *out[NORM_OUTPUTS]);

#endif
