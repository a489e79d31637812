/* Adam on a GPU. Formula: adam.h. */
#include "kernels/gpu.h"
#include "kernels/gpu_optimizer.h"
extern "C" {
#include "kernels/adam.h"
}

struct adam_step {
    struct tdbg_adam a;

    __device__ void operator()(float grad, float *param, float *state) const
    {
        const float p = *param;
        const float d = a.weight_decay != 0 ? TDBG_STRICT_FMA(a.weight_decay, p, grad) : grad;
        const float m = TDBG_STRICT_FMA(a.beta1, state[0], TDBG_STRICT_MUL(a.one_minus_beta1, d));
        const float square = TDBG_STRICT_MUL(TDBG_STRICT_MUL(a.one_minus_beta2, d), d);
        const float v = TDBG_STRICT_FMA(a.beta2, state[1], square);
        const float denominator =
            TDBG_STRICT_ADD(TDBG_STRICT_DIV(TDBG_STRICT_SQRT(v), a.bias2_sqrt), a.eps);
        *param = TDBG_STRICT_FMA(-a.step_size, TDBG_STRICT_DIV(m, denominator), p);
        state[0] = m;
        state[1] = v;
    }
};

extern "C" void tdbg_cuda_adam(void *gpu, const struct tdbg_ranges *ranges,
                               const struct tdbg_adam *adam, const float *grad, float *param,
                               float *exp_avg, float *exp_avg_sq)
{
    const struct tdbg_optimizer_state<2> state = {
        {
            exp_avg, exp_avg_sq
        }
    };
    tdbg_optimizer_run(gpu, ranges, grad, param, state, adam_step{*adam});
}
