/* The op-case table: every model op with its varieties, as a piece of config. One table drives all
 * tests of ops (tests/op/test_ops.c): the same bits on every instruction set and number of threads,
 * golden hashes, finite differences, and the comparison with PyTorch (tests/op/compare_torch.py).
 * To test an op: add rows. */
#ifndef TDBG_TESTS_OP_CASES_H
#define TDBG_TESTS_OP_CASES_H

#include <stdbool.h>
#include <stdint.h>

struct op_case {
    const char *name;  /* unique: a test's and a file's name */
    const char *model; /* items of `model`; the last node's output is the result */
    int32_t ndim;      /* of a sample */
    int64_t dims[4];
    int64_t rows;   /* samples */
    int64_t vocab;  /* > 0: samples are token numbers below it */
    bool evaluates; /* the forward of evaluation; no backward then */
    /* Python over float64 tensors: x, parameters p["name"], buffers b["name"], torch and F; sets y,
     * and after["name"] to what buffers hold afterwards. NULL: PyTorch has no such thing, and
     * `reason` says so. */
    const char *torch;
    const char *reason;
    double max_ulp;  /* largest error against that, see compare_torch.py; 0: 32 */
    uint64_t golden; /* digest over result, gradients and buffers */
};

extern const struct op_case op_cases[];
extern const int n_op_cases;

#endif
