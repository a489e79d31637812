/* Entry points of the HDF5 filter plugin: what HDF5 looks for in a shared library found through
 * HDF5_PLUGIN_PATH. The filter itself is filter.c. */
#include <hdf5.h>
#include <H5PLextern.h>

#include "trace/filter.h"

H5PL_type_t H5PLget_plugin_type(void)
{
    return H5PL_TYPE_FILTER;
}

const void *H5PLget_plugin_info(void)
{
    return &tdbg_filter_class;
}
