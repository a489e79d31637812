/* init_from: parameters and running statistics out of a file instead of the seed. Whatever the file
 * is, it comes as named arrays; the engine takes those whose names it has. */
#ifndef TDBG_ENGINE_WEIGHTS_H
#define TDBG_ENGINE_WEIGHTS_H

#include "base/array.h"
#include "base/config.h"
#include "engine/engine.h"

/* Checks the group init_from (NULL: there is none), and prints its keys. */
void tdbg_weights_check_options(struct tdbg_config *config, const struct tdbg_cfg_node *group);
void tdbg_weights_print_options(FILE *out);

/* Calls visit for every tensor of a safetensors file (huggingface/safetensors: 8 bytes length, a
 * JSON header, the data), in the order of the header, until it fails. TDBG_DATA for whatever is
 * wrong with the file. */
enum tdbg_status tdbg_safetensors_visit(const char *path, tdbg_array_visit_fn visit, void *self,
                                        struct tdbg_err *err);

/* How to read a file: calls visit for its tensors. context is the caller's. */
typedef enum tdbg_status (*tdbg_weights_read_fn)(void *context, const char *path,
                                                 tdbg_array_visit_fn visit, void *self,
                                                 struct tdbg_err *err);

/* Sets parameters and running statistics (of all lanes) of an initialised engine to the tensors
 * that read() gives, by name; f32, f64, f16, bf16 and integers are converted to f32. What does not
 * fit becomes diagnostics of config at init_from: a tensor of another shape, and with
 * init_from.strict a name that is missing in the file or not in the model. Names that end in
 * ".num_batches_tracked" are nobody's. */
enum tdbg_status tdbg_weights_load(struct tdbg_config *config, struct tdbg_engine *engine,
                                   tdbg_weights_read_fn read, void *context, struct tdbg_err *err);

#endif
