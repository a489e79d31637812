/* Adadelta on a GPU. Formula: adadelta.h. */
#include "kernels/gpu.h"
#include "kernels/gpu_optimizer.h"
extern "C" {
#include "kernels/adadelta.h"
}

struct adadelta_step {
    struct tdbg_adadelta a;

    __device__ float decay(float average, float value) const
    {
        return TDBG_STRICT_FMA(a.rho, average,
                               TDBG_STRICT_MUL(TDBG_STRICT_MUL(a.one_minus_rho, value), value));
    }

    __device__ void operator()(float grad, float *param, float *state) const
    {
        const float p = *param, u = state[1];
        const float d = a.weight_decay != 0 ? TDBG_STRICT_FMA(a.weight_decay, p, grad) : grad;
        const float v = decay(state[0], d);
        const float ratio = TDBG_STRICT_DIV(TDBG_STRICT_SQRT(TDBG_STRICT_ADD(u, a.eps)),
                                            TDBG_STRICT_SQRT(TDBG_STRICT_ADD(v, a.eps)));
        const float x = TDBG_STRICT_MUL(ratio, d);
        state[0] = v;
        state[1] = decay(u, x);
        *param = TDBG_STRICT_FMA(-a.lr, x, p);
    }
};

extern "C" void tdbg_cuda_adadelta(void *gpu, const struct tdbg_ranges *ranges,
                                   const struct tdbg_adadelta *adadelta, const float *grad,
                                   float *param, float *square_avg, float *acc_delta)
{
    const struct tdbg_optimizer_state<2> state = {
        {
            square_avg, acc_delta
        }
    };
    tdbg_optimizer_run(gpu, ranges, grad, param, state, adadelta_step{*adadelta});
}
