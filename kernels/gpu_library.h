/* Libraries of CUDA that are loaded at run time: for files that call them. */
#ifndef TDBG_KERNELS_GPU_LIBRARY_H
#define TDBG_KERNELS_GPU_LIBRARY_H

#include <dlfcn.h>
#include <string.h>

#include "base/status.h"

struct tdbg_gpu_library {
    const char *const *files; /* names that it may have, NULL behind the last */
    const char *name;         /* for people */
    const char *wanted_by;    /* what needs it */
    const char *otherwise;    /* what to do without it */
};

/* The library of the first name that there is; TDBG_DEVICE without any. It stays loaded: such a
 * library does not like to be taken away from a driver that knows it. */
static inline enum tdbg_status tdbg_gpu_library_load(const struct tdbg_gpu_library *library,
                                                     void **out, struct tdbg_err *err)
{
    *out = NULL;
    for (const char *const *file = library->files; *file && !*out; file++)
        *out = dlopen(*file, RTLD_NOW | RTLD_LOCAL);
    if (*out)
        return TDBG_OK;
    return TDBG_RAISE(err, DEVICE, "%s needs %s: %s\nhint: install CUDA's libraries, or take %s",
                      library->wanted_by, library->name, dlerror(), library->otherwise);
}

/* Sets to->function for X(function) lists of functions; inside of a function with `err`. */
#define TDBG_GPU_LIBRARY_FIND(to, library, handle, function)                                       \
    do {                                                                                           \
        void *symbol = dlsym((handle), #function);                                                 \
        if (!symbol)                                                                               \
            return TDBG_RAISE(err, DEVICE, "%s has no " #function, (library)->name);               \
        memcpy(&(to)->function, &symbol, sizeof symbol);                                           \
    } while (0)

#endif
