/* HDF5 filter 32015 (zstd), as registered with The HDF Group: the same code serves our own process
 * (tdbg_filter_register) and, as the plugin built from plugin.c, any other HDF5 program. */
#ifndef TDBG_TRACE_FILTER_H
#define TDBG_TRACE_FILTER_H

#include <stdbool.h>

/* Largest chunk that the filter will decompress: more than this is taken for hostile. */
#define TDBG_FILTER_MAX_BYTES ((size_t)1 << 30)

extern const struct H5Z_class2_t tdbg_filter_class;

/* Makes the filter known to the HDF5 library of this process. false: HDF5 refused. */
bool tdbg_filter_register(void);

#endif
