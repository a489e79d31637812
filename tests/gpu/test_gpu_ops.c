/* Every case of the op-case table (tests/op/op_cases.h) on the GPU backend: the golden hash, and
 * where it is not met, the first element that differs from the CPU. Built twice, for the emulated
 * GPU and for a real one; without one it says "skipped: no GPU". */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "../op/op_runner.h"
#include "base/convert.h"
#include "gpu_open.h"

static struct tdbg_backend *cpu, *gpu;

static void check_same(const struct op_setup *s, const char *what, const float *want,
                       const float *got, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        if (tdbg_float_bits(want[i]) != tdbg_float_bits(got[i]))
            fail_msg("%s: %s [%lld of %lld] is %a (%08" PRIx32 "), the CPU has %a (%08" PRIx32 ")",
                     s->c->name, what, (long long)i, (long long)n, (double)got[i],
                     tdbg_float_bits(got[i]), (double)want[i], tdbg_float_bits(want[i]));
    }
}

static void test_case(void **state)
{
    struct op_setup s = op_setup_make(*state);
    struct op_result want = op_run(&s, cpu), got = op_run(&s, gpu);
    check_same(&s, "result", want.y, got.y, s.y_elems);
    check_same(&s, "gradient of x", want.dx, got.dx, s.x_elems);
    for (int32_t p = 0; p < s.n_params; p++) {
        const struct tdbg_param *param = &s.graph->params[p];
        check_same(&s, param->name, want.grad + param->offset, got.grad + param->offset,
                   param->elems);
    }
    check_same(&s, "buffers", want.buffer, got.buffer, s.graph->buffer_elems);
    op_result_free(&want);
    op_result_free(&got);
    op_setup_free(&s);
}

int main(int argc, char **argv)
{
    gpu_open_both(&cpu, &gpu);
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    struct CMUnitTest *tests = calloc((size_t)n_op_cases, sizeof *tests);
    for (int i = 0; i < n_op_cases; i++)
        tests[i] = (struct CMUnitTest){.name = op_cases[i].name,
                                       .test_func = test_case,
                                       .initial_state = (void *)&op_cases[i]};
    const int failed = _cmocka_run_group_tests("gpu-ops", tests, (size_t)n_op_cases, NULL, NULL);
    tdbg_backend_cuda_destroy(gpu);
    tdbg_backend_cpu_destroy(cpu);
    free(tests);
    return failed;
}
