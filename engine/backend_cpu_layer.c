/* The CPU backend: linear and convolution layers, pooling, activations, dropout. See backend_cpu.h.
 */
#include "engine/backend_cpu.h"

#include "kernels/relu.h"
#include "kernels/softmax.h"

static size_t cpu_gemm_workspace_bytes(void *context, const struct tdbg_gemm *gemm)
{
    return tdbg_gemm_workspace_bytes(tdbg_backend_cpu_of(context), gemm);
}

static void cpu_gemm(void *context, const struct tdbg_gemm *gemm, void *workspace)
{
    tdbg_gemm_run(tdbg_backend_cpu_of(context), gemm, workspace);
}

static size_t cpu_conv2d_workspace_bytes(void *context, const struct tdbg_conv2d *conv)
{
    return tdbg_conv2d_workspace_bytes(tdbg_backend_cpu_of(context), conv);
}

static void cpu_conv2d_forward(void *context, const struct tdbg_conv2d *conv, const float *x,
                               const float *weight, const float *bias, float *y, void *workspace)
{
    tdbg_conv2d_forward(tdbg_backend_cpu_of(context), conv, x, weight, bias, y, workspace);
}

static void cpu_conv2d_backward_input(void *context, const struct tdbg_conv2d *conv,
                                      const float *dy, const float *weight, float *dx,
                                      void *workspace)
{
    tdbg_conv2d_backward_input(tdbg_backend_cpu_of(context), conv, dy, weight, dx, workspace);
}

static void cpu_conv2d_backward_weight(void *context, const struct tdbg_conv2d *conv,
                                       const float *x, const float *dy, float *dweight,
                                       void *workspace)
{
    tdbg_conv2d_backward_weight(tdbg_backend_cpu_of(context), conv, x, dy, dweight, workspace);
}

static void cpu_conv2d_backward_bias(void *context, const struct tdbg_conv2d *conv, const float *dy,
                                     float *dbias)
{
    tdbg_conv2d_backward_bias(tdbg_backend_cpu_of(context), conv, dy, dbias);
}

static void cpu_max_pool2d_forward(void *context, const struct tdbg_pool2d *pool, const float *x,
                                   float *y, int32_t *index)
{
    tdbg_max_pool2d_forward(tdbg_backend_cpu_of(context), pool, x, y, index);
}

static void cpu_max_pool2d_backward(void *context, const struct tdbg_pool2d *pool,
                                    const int32_t *index, const float *dy, float *dx)
{
    tdbg_max_pool2d_backward(tdbg_backend_cpu_of(context), pool, index, dy, dx);
}

static void cpu_avg_pool2d_forward(void *context, const struct tdbg_pool2d *pool, const float *x,
                                   float *y)
{
    tdbg_avg_pool2d_forward(tdbg_backend_cpu_of(context), pool, x, y);
}

static void cpu_avg_pool2d_backward(void *context, const struct tdbg_pool2d *pool, const float *dy,
                                    float *dx)
{
    tdbg_avg_pool2d_backward(tdbg_backend_cpu_of(context), pool, dy, dx);
}

static void cpu_global_avg_pool_forward(void *context, int64_t planes, int64_t elems,
                                        const float *x, float *y)
{
    tdbg_global_avg_pool_forward(tdbg_backend_cpu_of(context), planes, elems, x, y);
}

static void cpu_global_avg_pool_backward(void *context, int64_t planes, int64_t elems,
                                         const float *dy, float *dx)
{
    tdbg_global_avg_pool_backward(tdbg_backend_cpu_of(context), planes, elems, dy, dx);
}

static void cpu_relu_forward(void *context, int64_t n, const float *x, float *y)
{
    tdbg_relu_forward(tdbg_backend_cpu_of(context), n, x, y);
}

static void cpu_relu_backward(void *context, int64_t n, const float *y, const float *dy, float *dx)
{
    tdbg_relu_backward(tdbg_backend_cpu_of(context), n, y, dy, dx);
}

static void cpu_activation_forward(void *context, enum tdbg_activation kind, int64_t n,
                                   const float *x, float *y)
{
    tdbg_activation_forward(tdbg_backend_cpu_of(context), kind, n, x, y);
}

static void cpu_activation_backward(void *context, enum tdbg_activation kind, int64_t n,
                                    const float *at, const float *dy, float *dx)
{
    tdbg_activation_backward(tdbg_backend_cpu_of(context), kind, n, at, dy, dx);
}

static void cpu_softmax_forward(void *context, int64_t rows, int64_t cols, const float *x, float *y)
{
    tdbg_softmax_forward(tdbg_backend_cpu_of(context), rows, cols, x, y);
}

static void cpu_softmax_backward(void *context, int64_t rows, int64_t cols, const float *y,
                                 const float *dy, float *dx)
{
    tdbg_softmax_backward(tdbg_backend_cpu_of(context), rows, cols, y, dy, dx);
}

static void cpu_dropout_apply(void *context, const struct tdbg_dropout *dropout, int64_t rows,
                              int64_t elems, const float *x, float *y)
{
    tdbg_dropout_apply(tdbg_backend_cpu_of(context), dropout, rows, elems, x, y);
}

void tdbg_backend_cpu_set_layer(struct tdbg_backend *table)
{
    table->gemm_workspace_bytes = cpu_gemm_workspace_bytes;
    table->gemm = cpu_gemm;
    table->conv2d_workspace_bytes = cpu_conv2d_workspace_bytes;
    table->conv2d_forward = cpu_conv2d_forward;
    table->conv2d_backward_input = cpu_conv2d_backward_input;
    table->conv2d_backward_weight = cpu_conv2d_backward_weight;
    table->conv2d_backward_bias = cpu_conv2d_backward_bias;
    table->max_pool2d_forward = cpu_max_pool2d_forward;
    table->max_pool2d_backward = cpu_max_pool2d_backward;
    table->avg_pool2d_forward = cpu_avg_pool2d_forward;
    table->avg_pool2d_backward = cpu_avg_pool2d_backward;
    table->global_avg_pool_forward = cpu_global_avg_pool_forward;
    table->global_avg_pool_backward = cpu_global_avg_pool_backward;
    table->relu_forward = cpu_relu_forward;
    table->relu_backward = cpu_relu_backward;
    table->activation_forward = cpu_activation_forward;
    table->activation_backward = cpu_activation_backward;
    table->softmax_forward = cpu_softmax_forward;
    table->softmax_backward = cpu_softmax_backward;
    table->dropout_apply = cpu_dropout_apply;
}
