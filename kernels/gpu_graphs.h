/* Life and state of what gpu_launch.c keeps, for the files that open a GPU. */
#ifndef TDBG_KERNELS_GPU_GRAPHS_H
#define TDBG_KERNELS_GPU_GRAPHS_H

#include "kernels/gpu.h"

struct tdbg_gpu_request;

/* Without memory there are no graphs. */
void tdbg_gpu_open_launches(struct tdbg_gpu *gpu);
void tdbg_gpu_close_launches(struct tdbg_gpu *gpu); /* of one that is not open is fine */

/* Puts one piece of work on the stream, or holds it back; requests for digests go on waiting. */
void tdbg_gpu_take(struct tdbg_gpu *gpu, const struct tdbg_gpu_request *request);

/* Puts on the stream what is held back. */
void tdbg_gpu_put_held(struct tdbg_gpu *gpu);

/* There is none any more, as in the beginning; counts begin at 0 again. */
void tdbg_gpu_forget_graphs(struct tdbg_gpu *gpu);

/* There will be none for this GPU, and people are to be told why. */
void tdbg_gpu_refuse_graphs(struct tdbg_gpu *gpu, const char *why);

/* Sends off a small graph with other arguments each time and looks whether the numbers are right;
 * refuses graphs if not. Takes a few milliseconds at most. */
void tdbg_gpu_check_graphs(struct tdbg_gpu *gpu);

#endif
