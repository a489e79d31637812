/* Libraries of CUDA that are loaded at run time: for files that call them. */
#ifndef TDBG_KERNELS_BLAS_LOAD_H
#define TDBG_KERNELS_BLAS_LOAD_H

#include <dlfcn.h>
#include <string.h>

#include "base/status.h"

/* The library of the first name that there is; TDBG_DEVICE without any. It stays loaded: such a
 * library does not like to be taken away from a driver that knows it. */
static inline enum tdbg_status tdbg_blas_load(const char *const *names, void **library,
                                              struct tdbg_err *err)
{
    *library = NULL;
    for (; *names && !*library; names++)
        *library = dlopen(*names, RTLD_NOW | RTLD_LOCAL);
    if (*library)
        return TDBG_OK;
    return TDBG_RAISE(err, DEVICE,
                      "engine.math = \"fast\" needs cuBLAS: %s\n"
                      "hint: install CUDA's libraries, or take engine.math = \"strict\"",
                      dlerror());
}

/* Sets to->function for X(function) lists of functions; inside of a function with `err`. */
#define TDBG_BLAS_LOAD(to, library, function)                                                      \
    do {                                                                                           \
        void *symbol = dlsym((library), #function);                                                \
        if (!symbol)                                                                               \
            return TDBG_RAISE(err, DEVICE, "cuBLAS has no " #function);                            \
        memcpy(&(to)->function, &symbol, sizeof symbol);                                           \
    } while (0)

#endif
