/* When the exponential of a loss is a perplexity. */
#ifndef TDBG_CLI_PERPLEXITY_H
#define TDBG_CLI_PERPLEXITY_H

#include <stdbool.h>

#include "trace/reader.h"

/* Are the samples of a run tokens and its loss a plain cross-entropy (neither label smoothing nor
 * class weights)? Then the exponential of a mean loss, in nats per token that counts, is the
 * perplexity. False for the recordings of other programs, whose loss is nobody's promise. */
bool cli_has_perplexity(struct tdbg_trace *trace);

/* The same of the loss of training steps, which is no mean where loss.reduction is "sum". */
bool cli_has_training_perplexity(struct tdbg_trace *trace);

#endif
