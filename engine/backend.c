/* Opening a device by its name in the config. See backend.h. */
#include "engine/backend.h"

#include <string.h>

static enum tdbg_status open_cpu(const struct tdbg_backend_choice *choice,
                                 struct tdbg_backend **out, struct tdbg_err *err)
{
    return tdbg_backend_cpu_create(choice->isa, choice->threads, out, err);
}

static enum tdbg_status open_strict(const struct tdbg_backend_choice *choice,
                                    struct tdbg_backend **out, struct tdbg_err *passed_over,
                                    struct tdbg_err *err)
{
    struct tdbg_err fault = {0};
    const bool is_auto = strcmp(choice->device, "auto") == 0;
    int n = 0;
    if (strcmp(choice->device, "cpu") == 0)
        return open_cpu(choice, out, err);
    if (!is_auto && strcmp(choice->device, "cuda") != 0)
        return TDBG_RAISE(err, USAGE, "there is no device '%s': accepted are auto, cpu and cuda",
                          choice->device);
    enum tdbg_status st = tdbg_backend_cuda_count(&n, &fault);
    if (st == TDBG_OK && n == 0 && is_auto)
        return open_cpu(choice, out, err);
    if (st == TDBG_OK)
        st = tdbg_backend_cuda_create(n > 0 && choice->number > 0 ? choice->number % n : 0, out,
                                      &fault);
    if (st != TDBG_OK && is_auto) {
        tdbg_err_set(passed_over, st, fault.file, fault.line, "%s", fault.message);
        st = open_cpu(choice, out, err);
    } else if (st != TDBG_OK) {
        tdbg_err_set(err, st, fault.file, fault.line,
                     "%s\nhint: engine.device = \"cpu\" gives the same bits", fault.message);
    }
    tdbg_err_clear(&fault);
    return st;
}

enum tdbg_status tdbg_backend_open(const struct tdbg_backend_choice *choice,
                                   struct tdbg_backend **out, struct tdbg_err *passed_over,
                                   struct tdbg_err *err)
{
    struct tdbg_backend *backend = NULL;
    enum tdbg_status st = open_strict(choice, &backend, passed_over, err);
    if (st == TDBG_OK && choice->fast)
        st = tdbg_backend_cuda_make_fast(backend, err);
    if (st == TDBG_OK)
        *out = backend;
    else
        tdbg_backend_destroy(backend);
    return st;
}

void tdbg_backend_destroy(struct tdbg_backend *backend)
{
    if (backend)
        backend->destroy(backend);
}
