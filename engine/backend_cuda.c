/* The backend of an NVIDIA GPU: memory, copies, and the table of launchers (kernels/gpu.h). All
 * work goes to one stream in the order of calls; what CUDA reports is told by the next call that
 * returns a status. */
#include "engine/backend.h"

#include <stdio.h>
#include <stdlib.h>

#include "kernels/bf16.h"
#include "kernels/clip.h"
#include "kernels/conv2d.h"
#include "kernels/fused_digest.h"
#include "kernels/gemm.h"
#include "kernels/gpu.h"
#include "kernels/gpu_graphs.h"
#include "kernels/gpu_queue.h"
#include "kernels/pool2d.h"
#include "kernels/reduce.h"
#include "kernels/relu.h"
#include "kernels/softmax.h"
#include "kernels/transform.h"
#include "kernels/transform_image.h"
#include "kernels/vector.h"

struct backend_cuda {
    struct tdbg_backend table; /* first, so that one pointer frees both */
    struct tdbg_gpu gpu;
};

static void *cuda_alloc(void *context, size_t bytes)
{
    struct tdbg_gpu *gpu = context;
    void *data = NULL;
    tdbg_gpu_use(gpu);
    if (cudaMalloc(&data, bytes ? bytes : 1) != cudaSuccess) {
        cudaGetLastError(); /* or the next launch tells it */
        return NULL;
    }
    tdbg_gpu_clear(gpu, data, bytes);
    return data;
}

static void cuda_free(void *context, void *data)
{
    tdbg_gpu_use(context);
    tdbg_gpu_before_work(context);
    tdbg_gpu_free(context, data);
}

static enum tdbg_status cuda_to_host(void *context, void *host, const void *device, size_t bytes,
                                     struct tdbg_err *err)
{
    tdbg_gpu_fetch(context, host, device, bytes);
    return tdbg_gpu_report(context, err);
}

static enum tdbg_status cuda_to_device(void *context, void *device, const void *host, size_t bytes,
                                       struct tdbg_err *err)
{
    struct tdbg_gpu *gpu = context;
    tdbg_gpu_use(gpu);
    tdbg_gpu_before_work(gpu);
    /* Pageable memory is read before the call returns, so the caller may change it at once. */
    tdbg_gpu_note(
        gpu, cudaMemcpyAsync(device, host, bytes, cudaMemcpyHostToDevice, tdbg_gpu_stream(gpu)),
        "a copy to the GPU");
    return tdbg_gpu_report(gpu, err);
}

static void cuda_copy(void *context, void *to, const void *from, size_t bytes)
{
    tdbg_gpu_copy(context, to, from, bytes);
}

static void cuda_fill_zero(void *context, void *data, size_t bytes)
{
    tdbg_gpu_clear(context, data, bytes);
}

static void put_version(struct tdbg_json *json, const char *key, int version)
{
    char text[24];
    snprintf(text, sizeof text, "%d.%d", version / 1000, version % 1000 / 10);
    tdbg_json_string(json, key, text);
}

static void cuda_describe(void *context, struct tdbg_json *json)
{
    const struct tdbg_gpu *gpu = context;
    bool is_failure;
    const char *why = tdbg_gpu_why_no_graphs(gpu, &is_failure);
    char text[24];
    snprintf(text, sizeof text, "%d.%d", gpu->capability / 10, gpu->capability % 10);
    tdbg_json_object_begin(json, "gpu");
    tdbg_json_string(json, "name", gpu->name);
    tdbg_json_int(json, "number", gpu->device);
    tdbg_json_string(json, "compute_capability", text);
    tdbg_json_int(json, "multiprocessors", gpu->multiprocessors);
    put_version(json, "cuda_driver", gpu->driver);
    put_version(json, "cuda_runtime", gpu->runtime);
    tdbg_json_string(json, "graphs", why ? why : "yes");
    tdbg_json_object_end(json);
}

static bool cuda_room(void *context, int64_t *available, int64_t *total)
{
    size_t left, all;
    tdbg_gpu_use(context);
    if (cudaMemGetInfo(&left, &all) != cudaSuccess)
        return false;
    *available = (int64_t)left;
    *total = (int64_t)all;
    return true;
}

/* A copy to pinned memory is the GPU's own work, several times as fast. Where that cannot be had,
 * copies work all the same. */
static void cuda_pin(void *context, void *host, size_t bytes)
{
    tdbg_gpu_use(context);
    tdbg_gpu_set_queue_bytes(context, bytes);
    if (cudaHostRegister(host, bytes, cudaHostRegisterDefault) != cudaSuccess)
        cudaGetLastError(); /* is not to come up as another call's */
}

static void cuda_unpin(void *context, void *host)
{
    tdbg_gpu_use(context);
    if (cudaHostUnregister(host) != cudaSuccess)
        cudaGetLastError();
}

static void cuda_begin_step(void *context, bool is_whole)
{
    tdbg_gpu_use(context);
    tdbg_gpu_allow_graphs(context, is_whole);
}

static const char *cuda_why_no_graphs(void *context)
{
    bool is_failure;
    const char *why = tdbg_gpu_why_no_graphs(context, &is_failure);
    return is_failure ? why : NULL;
}

static void cuda_forget_tables(void *context)
{
    tdbg_gpu_use(context);
    tdbg_gpu_forget_tables(context);
}

static void set_kernels(struct tdbg_backend *table)
{
#define SET(entry) table->entry = tdbg_cuda_##entry
    SET(bf16_round);
    SET(bf16_pack);
    SET(bf16_unpack);
    SET(gemm_workspace_bytes);
    SET(gemm);
    SET(reduce_rows);
    SET(reduce_sum);
    SET(relu_forward);
    SET(relu_backward);
    SET(sum_rows);
    SET(transpose);
    SET(activation_backward);
    SET(activation_forward);
    SET(batch_norm_apply);
    SET(batch_norm_backward);
    SET(batch_norm_blocks);
    SET(batch_norm_dx);
    SET(batch_norm_evaluate);
    SET(batch_norm_finish);
    SET(batch_norm_forward);
    SET(batch_norm_spread);
    SET(batch_norm_sum);
    SET(batch_norm_sums);
    SET(batch_norm_track);
    SET(count_correct);
    SET(cross_entropy_backward);
    SET(cross_entropy_forward);
    SET(cross_entropy_weighted_backward);
    SET(cross_entropy_weighted_forward);
    SET(digest);
    SET(digest_later);
    SET(digests_take);
    SET(pointwise_count_correct);
    SET(pointwise_loss_backward);
    SET(pointwise_loss_forward);
    SET(row_norm_backward);
    SET(row_norm_forward);
    SET(target_weights);
    SET(vector_add);
    SET(vector_divide);
    SET(vector_sum);
    SET(conv2d_workspace_bytes);
    SET(conv2d_forward);
    SET(conv2d_backward_input);
    SET(conv2d_backward_weight);
    SET(conv2d_backward_bias);
    SET(max_pool2d_forward);
    SET(max_pool2d_backward);
    SET(avg_pool2d_forward);
    SET(avg_pool2d_backward);
    SET(global_avg_pool_forward);
    SET(global_avg_pool_backward);
    SET(u8_to_f32);
    SET(scale);
    SET(normalize);
    SET(resize);
    SET(channels);
    SET(crop);
    SET(flip);
    SET(attention_workspace_bytes);
    SET(attention_scores);
    SET(attention_scores_backward);
    SET(attention_softmax_forward);
    SET(attention_softmax_backward);
    SET(attention_context);
    SET(attention_context_backward);
    SET(softmax_forward);
    SET(softmax_backward);
    SET(embedding_workspace_bytes);
    SET(embedding_forward);
    SET(embedding_backward);
    SET(position_add);
    SET(position_add_fixed);
    SET(position_rotate);
    SET(dropout_apply);
    SET(clip_square_sum);
    SET(clip_norm);
    SET(clip_scale);
    SET(clip_value);
    SET(sgd);
    SET(adam);
    SET(adamw);
    SET(adadelta);
    SET(adagrad);
    SET(rmsprop);
    SET(lion);
#undef SET
}

enum tdbg_status tdbg_backend_cuda_count(int *n, struct tdbg_err *err)
{
    return tdbg_gpu_count(n, err);
}

enum tdbg_status tdbg_backend_cuda_create(int device, struct tdbg_backend **out,
                                          struct tdbg_err *err)
{
    struct backend_cuda *b = calloc(1, sizeof *b);
    if (!b)
        return TDBG_RAISE(err, NO_MEMORY, "no memory for the CUDA backend");
    const enum tdbg_status st = tdbg_gpu_open(device, &b->gpu, err);
    if (st != TDBG_OK) {
        tdbg_gpu_close(&b->gpu);
        free(b);
        return st;
    }
    b->table.context = &b->gpu;
    b->table.name = "cuda";
    b->table.isa = b->gpu.name;
    b->table.threads = 1;
    b->table.destroy = tdbg_backend_cuda_destroy;
    b->table.describe = cuda_describe;
    b->table.room = cuda_room;
    b->table.forget_tables = cuda_forget_tables;
    b->table.begin_step = cuda_begin_step;
    b->table.why_no_graphs = cuda_why_no_graphs;
    b->table.pin = cuda_pin;
    b->table.unpin = cuda_unpin;
    b->table.alloc = cuda_alloc;
    b->table.free = cuda_free;
    b->table.to_host = cuda_to_host;
    b->table.to_queue = tdbg_cuda_to_queue;
    b->table.queue_reached = tdbg_cuda_queue_reached;
    b->table.to_device = cuda_to_device;
    b->table.copy = cuda_copy;
    b->table.fill_zero = cuda_fill_zero;
    set_kernels(&b->table);
    *out = &b->table;
    return TDBG_OK;
}

enum tdbg_status tdbg_backend_cuda_same_gpu(const struct tdbg_backend *backend,
                                            struct tdbg_backend **out, struct tdbg_err *err)
{
    const struct tdbg_gpu *gpu = backend->context;
    return tdbg_backend_cuda_create(gpu->device, out, err);
}

void tdbg_backend_cuda_destroy(struct tdbg_backend *backend)
{
    struct backend_cuda *b = (struct backend_cuda *)backend;
    if (!b)
        return;
    tdbg_gpu_close(&b->gpu);
    free((void *)(uintptr_t)b->table.bf16);
    free(b);
}
