/* The table of the inner kernels of one instruction set. Compiled once per set; cpu.c chooses. */
#include "kernels/isa_table.h"

const struct tdbg_isa_table TDBG_KERNEL(tdbg_isa_table) = {
#define KERNEL_ROW(result, name, arguments) .name = TDBG_KERNEL(tdbg_##name),
    TDBG_KERNEL_LIST(KERNEL_ROW)
#undef KERNEL_ROW
};
