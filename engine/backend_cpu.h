/* Inside of the CPU backend: one file per family of ops hands the table's calls to kernels/ and
 * sets its entries of the table. Memory, digests and creating it are in backend_cpu.c. */
#ifndef TDBG_ENGINE_BACKEND_CPU_H
#define TDBG_ENGINE_BACKEND_CPU_H

#include "engine/backend.h"

struct tdbg_backend_cpu {
    struct tdbg_backend table; /* first, so that one pointer frees both */
    struct tdbg_cpu cpu;
};

/* From the context that every entry of the table is called with. */
static inline const struct tdbg_cpu *tdbg_backend_cpu_of(void *context)
{
    return &((struct tdbg_backend_cpu *)context)->cpu;
}

void tdbg_backend_cpu_set_layer(struct tdbg_backend *table);
void tdbg_backend_cpu_set_loss(struct tdbg_backend *table);
void tdbg_backend_cpu_set_norm(struct tdbg_backend *table);
void tdbg_backend_cpu_set_optimizer(struct tdbg_backend *table);
void tdbg_backend_cpu_set_sequence(struct tdbg_backend *table);
void tdbg_backend_cpu_set_transform(struct tdbg_backend *table);
void tdbg_backend_cpu_set_vector(struct tdbg_backend *table);

#endif
