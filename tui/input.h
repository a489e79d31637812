/* The samples of a step that a rank's file has: for the input screen and main's input pane. */
#ifndef TDBG_TUI_INPUT_H
#define TDBG_TUI_INPUT_H

#include "tui/model.h"
#include "tui/picture.h"
#include "tui/run_config.h"
#include "tui/tokens.h"

enum tdbg_tui_input_kind { TDBG_INPUT_IMAGES, TDBG_INPUT_TOKENS, TDBG_INPUT_NUMBERS };

struct tdbg_tui_input {
    /* The step's batch, */
    bool is_read;
    int64_t step;
    int32_t rank;
    int64_t *ids; /* (n_batch) of all ranks */
    int64_t n_batch;
    int64_t first, n; /* the part of it that is this rank's */
    char *why;        /* there is none to show */

    /* and those of it that are visible. */
    void *x, *y; /* (have_n, ...) from the have_from-th of the rank's part on */
    int64_t have_from, have_n;

    int64_t at, top; /* cursor and first visible, of the rank's part */
    int64_t token;   /* cursor in a sample of tokens */
    enum tdbg_tui_token_view token_view;
    bool is_large, is_after; /* one alone; input/x instead of what the data set holds */

    /* input/x of the lane and micro-batch around the cursor. */
    int32_t after_site;                       /* -1: none was asked for */
    int64_t after_step, after_first, after_n; /* of the rank's part */
    void *after;                              /* (after_n, ...); NULL: it is waited for, or */
    char *after_why;                          /* cannot be had */

    /* By the config, and the trace. */
    bool is_described;
    const struct tdbg_cfg_node *dropped; /* ids whose loss has weight 0, or NULL */
    struct tdbg_tui_token_kind tokens;
};

void tdbg_tui_input_free(struct tdbg_tui_input *input);

enum tdbg_tui_input_kind tdbg_tui_input_kind(const struct tdbg_samples_spec *spec);

/* Reads what does not depend on the step, once: what tokens stand for, say. Before whatever depends
 * on how the samples are shown. */
void tdbg_tui_input_describe(struct tdbg_tui_input *input, struct tdbg_tui_model *model,
                             struct tdbg_tui_run_config *config);

/* Reads the batch of the focus step and, of it, n_visible samples around the cursor. */
void tdbg_tui_input_load(struct tdbg_tui_input *input, const struct tdbg_tui_model *model,
                         int64_t n_visible);

/* Is what is read that of the focus; and are n_visible samples of it there, as far as it has them?
 */
bool tdbg_tui_input_is_of_focus(const struct tdbg_tui_input *input,
                                const struct tdbg_tui_model *model);
bool tdbg_tui_input_is_there(const struct tdbg_tui_input *input, const struct tdbg_tui_model *model,
                             int64_t n_visible);

/* The site input/x of the lane and micro-batch that a sample is in, and the first of its samples
 * and their number in the rank's part; -1: there is none. */
int32_t tdbg_tui_input_site(const struct tdbg_tui_input *input, const struct tdbg_tui_model *model,
                            int64_t at, int64_t *first, int64_t *n);

/* Elements of x, or y, of one sample. */
int64_t tdbg_tui_input_x_elems(const struct tdbg_samples_spec *spec);
int64_t tdbg_tui_input_y_elems(const struct tdbg_samples_spec *spec);

bool tdbg_tui_input_is_dropped(const struct tdbg_tui_input *input, int64_t id);

/* A sample's tokens; false: they are not there. */
bool tdbg_tui_input_tokens(const struct tdbg_tui_input *input, const struct tdbg_tui_model *model,
                           int64_t at, struct tdbg_tui_tokens *out);

/* A sample as an image, before or after the transforms; false: it is none, or not there. */
bool tdbg_tui_input_picture(const struct tdbg_tui_input *input, const struct tdbg_tui_model *model,
                            int64_t at, struct tdbg_tui_picture *out);

#endif
