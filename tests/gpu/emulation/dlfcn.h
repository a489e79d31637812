/* In place of the system's header in files that load libraries of CUDA: those that stand in for
 * them are linked into the program (libraries.cc). */
#ifndef TDBG_TESTS_GPU_EMULATION_DLFCN_H
#define TDBG_TESTS_GPU_EMULATION_DLFCN_H

#ifdef __cplusplus
extern "C" {
#endif

#define RTLD_LOCAL 0
#define RTLD_NOW   2
void *tdbg_emulated_dlopen(const char *file, int mode);
void *tdbg_emulated_dlsym(void *library, const char *name);
const char *tdbg_emulated_dlerror(void);
#define dlopen  tdbg_emulated_dlopen
#define dlsym   tdbg_emulated_dlsym
#define dlerror tdbg_emulated_dlerror

#ifdef __cplusplus
}
#endif
#endif
