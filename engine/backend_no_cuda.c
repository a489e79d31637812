/* In place of backend_cuda.c where no CUDA compiler was found. */
#include "engine/backend.h"

enum tdbg_status tdbg_backend_cuda_count(int *n, struct tdbg_err *err)
{
    (void)err;
    *n = 0;
    return TDBG_OK;
}

enum tdbg_status tdbg_backend_cuda_create(int device, struct tdbg_backend **out,
                                          struct tdbg_err *err)
{
    (void)device;
    (void)out;
    return TDBG_RAISE(err, DEVICE, "no GPU can be used: this tdbg was built without CUDA");
}

enum tdbg_status tdbg_backend_cuda_same_gpu(const struct tdbg_backend *backend,
                                            struct tdbg_backend **out, struct tdbg_err *err)
{
    (void)backend;
    return tdbg_backend_cuda_create(0, out, err);
}

void tdbg_backend_cuda_destroy(struct tdbg_backend *backend)
{
    (void)backend;
}
