/* init_from of a config: which reader a file of weights needs. */
#ifndef TDBG_REPLAY_INIT_FROM_H
#define TDBG_REPLAY_INIT_FROM_H

#include "base/config.h"
#include "engine/engine.h"

/* Sets the state of an initialised engine to the weights that init_from names; nothing where there
 * is no such group. TDBG_CONFIG with all that does not fit. */
enum tdbg_status tdbg_init_from(struct tdbg_config *config, struct tdbg_engine *engine,
                                struct tdbg_err *err);

#endif
