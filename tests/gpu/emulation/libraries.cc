/* Finding the libraries that stand in for those of CUDA. See dlfcn.h and libraries.h. */
#include "libraries.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dlfcn.h"

namespace
{

/* Where the variable of a library says "none", it is not there. */
const struct {
    const char *file, *variable;
    const tdbg_emulated_function *functions;
} libraries[] = {
    {"libcublas.so.13", "TDBG_EMULATED_CUBLAS", tdbg_emulated_cublas},
    {"libcublasLt.so.13", "TDBG_EMULATED_CUBLAS", tdbg_emulated_cublas_lt},
    {"libnccl.so.2", "TDBG_EMULATED_NCCL", tdbg_emulated_nccl},
};

thread_local char error[200];

} // namespace

void *tdbg_emulated_dlopen(const char *file, int)
{
    for (const auto &library : libraries) {
        const char *said = getenv(library.variable);
        if (strcmp(library.file, file) == 0 && !(said && strcmp(said, "none") == 0))
            return (void *)library.functions;
    }
    snprintf(error, sizeof error, "%s: no such emulated library", file);
    return NULL;
}

void *tdbg_emulated_dlsym(void *library, const char *name)
{
    for (const auto *f = (const tdbg_emulated_function *)library; f->name; f++) {
        if (strcmp(f->name, name) == 0)
            return f->function;
    }
    return NULL;
}

const char *tdbg_emulated_dlerror(void)
{
    return error;
}
