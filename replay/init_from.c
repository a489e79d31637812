/* Traces and HDF5 files are told by what is in them, all else has to be safetensors. */
#include "replay/init_from.h"

#include "engine/weights.h"
#include "replay/init_trace.h"
#include "trace/array_file.h"

static enum tdbg_status read_weights(void *context, const char *path, tdbg_array_visit_fn visit,
                                     void *self, struct tdbg_err *err)
{
    const struct tdbg_cfg_node *group = context;
    if (!tdbg_array_file_is_hdf5(path))
        return tdbg_safetensors_visit(path, visit, self, err);
    if (!tdbg_array_file_is_trace(path))
        return tdbg_array_file_visit(path, visit, self, err);
    return tdbg_init_trace_visit(path, tdbg_cfg_int(group, "step"), visit, self, err);
}

enum tdbg_status tdbg_init_from(struct tdbg_config *config, struct tdbg_engine *engine,
                                struct tdbg_err *err)
{
    const struct tdbg_cfg_node *group = tdbg_cfg_find(tdbg_config_root(config), "init_from");
    if (!group)
        return TDBG_OK;
    enum tdbg_status st =
        tdbg_weights_load(config, engine, read_weights, (void *)(uintptr_t)group, err);
    return st == TDBG_OK ? tdbg_config_result(config, err) : st;
}
