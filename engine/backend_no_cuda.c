/* In place of backend_cuda.c where no CUDA compiler was found. */
#include "engine/backend.h"

enum tdbg_status tdbg_backend_cuda_create(int device, struct tdbg_backend **out,
                                          struct tdbg_err *err)
{
    (void)device;
    (void)out;
    return TDBG_RAISE(err, DEVICE,
                      "this tdbg was built without CUDA\n"
                      "hint: engine.device = \"cpu\" gives the same bits");
}

void tdbg_backend_cuda_destroy(struct tdbg_backend *backend)
{
    (void)backend;
}
