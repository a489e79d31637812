/* In place of backend_cuda_fast.c where there is no CUDA, or an emulated one. */
#include "engine/backend.h"

enum tdbg_status tdbg_backend_cuda_make_fast(struct tdbg_backend *table, struct tdbg_err *err)
{
    return TDBG_RAISE(err, DEVICE,
                      "engine.math = \"fast\" needs a GPU and cuBLAS, which this %s backend lacks\n"
                      "hint: engine.math = \"strict\" runs everywhere",
                      table->name);
}
