/* The engine: runs training steps of a graph on a backend, with a source and a tap as its whole
 * edge. A step is a pure function of the state (parameters, optimizer state), the step number, the
 * config and what the source gives; the same bits come out whenever it is run again. */
#ifndef TDBG_ENGINE_ENGINE_H
#define TDBG_ENGINE_ENGINE_H

#include "base/config.h"
#include "base/json.h"
#include "engine/backend.h"
#include "engine/source.h"
#include "engine/tap.h"

struct tdbg_engine;
struct tdbg_graph;

/* One tensor of the state that goes from step to step. */
struct tdbg_engine_item {
    const char *name; /* "fc1.weight", "fc1.weight.exp_avg" */
    enum tdbg_dtype dtype;
    int32_t ndim;
    int64_t dims[TDBG_MAX_DIMS];
    int64_t elems;
    bool is_buffer; /* running statistics, which each lane has of its own */
};

/* Length and cut of a run, for headers and progress. */
struct tdbg_engine_info {
    int64_t total_steps, steps_per_epoch, batch;
    int32_t lanes, accumulate; /* lanes of all ranks */
    int32_t rank, world_size;
    int32_t first_lane, n_lanes; /* of this rank */
    uint64_t seed;
    int64_t param_elems;
    int32_t n_items;
};

/* Builds the engine for a config whose options were checked without a fault. Faults that need the
 * data's shape become diagnostics of config; *out is NULL then and the result TDBG_OK. config,
 * backend and source are borrowed and have to outlive the engine. Memory for all tensors is taken
 * here: TDBG_NO_MEMORY says for what. */
enum tdbg_status tdbg_engine_create(struct tdbg_config *config, const struct tdbg_backend *backend,
                                    struct tdbg_source source, struct tdbg_engine **out,
                                    struct tdbg_err *err);
void tdbg_engine_destroy(struct tdbg_engine *engine); /* NULL is fine */

/* Sets the taps, called in this order at every site (n <= 4; 0: nobody looks). Their plan() is
 * called here. */
enum { TDBG_MAX_TAPS = 4 };
enum tdbg_status tdbg_engine_set_taps(struct tdbg_engine *engine, const struct tdbg_tap *taps,
                                      int n, struct tdbg_err *err);

/* Borrowed until destroy. */
const struct tdbg_engine_info *tdbg_engine_info(const struct tdbg_engine *engine);
bool tdbg_engine_is_on_host(const struct tdbg_engine *engine); /* where its tensors are */
/* Why a GPU goes without CUDA graphs that should have them, for people; NULL: it has, or needs
 * none. It changes no bit, and may come up in any step. */
const char *tdbg_engine_why_no_graphs(const struct tdbg_engine *engine);
const struct tdbg_site *tdbg_engine_sites(const struct tdbg_engine *engine, int32_t *n_sites);
const struct tdbg_engine_item *tdbg_engine_items(const struct tdbg_engine *engine, int32_t *n);
int64_t tdbg_engine_most_item_elems(const struct tdbg_engine *engine); /* of any of them; >= 1 */
const struct tdbg_graph *tdbg_engine_graph(const struct tdbg_engine *engine);
void tdbg_engine_print_graph(const struct tdbg_engine *engine, struct tdbg_json *json);

/* Sets the state to that before step 0: parameters from the seed, optimizer state zero. */
enum tdbg_status tdbg_engine_init_state(struct tdbg_engine *engine, struct tdbg_err *err);

/* Copies item i out of or into the state. */
enum tdbg_status tdbg_engine_get_item(const struct tdbg_engine *engine, int32_t i, void *host,
                                      struct tdbg_err *err);
enum tdbg_status tdbg_engine_set_item(struct tdbg_engine *engine, int32_t i, const void *host,
                                      struct tdbg_err *err);

/* Runs one step: the state goes from before `step` to after it. TDBG_STOPPED when a tap stopped it;
 * the state is then undefined until it is set again. No memory is allocated. */
enum tdbg_status tdbg_engine_run_step(struct tdbg_engine *engine, int64_t step,
                                      struct tdbg_step_info *info, struct tdbg_err *err);

/* The gradients of a step, for tdbg_engine_run_update: read() puts the value of a site into host,
 * which is `buffer`, with room for the largest parameter. */
struct tdbg_stored_step {
    const int64_t *ids; /* (n_samples) of the step's batch */
    int64_t n_samples;
    bool by_lane; /* sites of stage reduce_in, of all lanes; else of stage grad */
    void *buffer;
    enum tdbg_status (*read)(void *context, int64_t step, int32_t site, void *host,
                             struct tdbg_err *err);
    void *context;
};

/* Is the state after a step a function of the state before it and the gradients? Not where there
 * are running statistics, which forward changes, or other ranks. */
bool tdbg_engine_can_update(const struct tdbg_engine *engine);

/* A step from its gradients on: the state goes from before `step` to after it, as run_step would
 * bring it, without forward and backward. Taps see the sites from there to stage param, but neither
 * begin_step nor end_step. */
enum tdbg_status tdbg_engine_run_update(struct tdbg_engine *engine, int64_t step,
                                        const struct tdbg_stored_step *stored,
                                        struct tdbg_err *err);

/* Version of the strict numerics (docs/numerics.md) that this engine computes with. */
int32_t tdbg_engine_numerics_version(void);

/* Does this step end with an evaluation? */
bool tdbg_engine_evaluates(const struct tdbg_engine *engine, int64_t step);

#endif
