/* What a GPU does with CUDA graphs: whether there are any, and how many launches went out in them.
 * They are made and sent off by gpu_launch.c, which says how. No header of CUDA is needed for this.
 */
#ifndef TDBG_KERNELS_GPU_GRAPHS_H
#define TDBG_KERNELS_GPU_GRAPHS_H

#include <stdbool.h>
#include <stdint.h>

struct tdbg_gpu;
struct tdbg_gpu_request;

/* May launches be held back and repeated as graphs? At first yes, where the GPU can. */
void tdbg_gpu_allow_graphs(struct tdbg_gpu *gpu, bool allow);

/* Why there are no graphs; NULL: there are. *is_failure: they should work, and do not. */
const char *tdbg_gpu_why_no_graphs(const struct tdbg_gpu *gpu, bool *is_failure);

/* Since the GPU was opened; "launches" are those of kernels, calls of libraries, copies and clears.
 */
struct tdbg_gpu_launch_counts {
    int64_t one_by_one; /* launches that went out alone */
    int64_t in_graphs;  /* and those that went out in graphs */
    int64_t graphs;     /* that were sent off */
    int64_t built;      /* that were made */
    int64_t changed;    /* launches in graphs that had other arguments than the time before */
    int64_t rebuilt;    /* graphs that would not take other arguments */
    int64_t forgotten;  /* graphs, or what might have become one, for lack of room */
    int32_t held;       /* launches that wait now */
    int32_t kept;       /* what is a graph now or may become one */
};
void tdbg_gpu_count_launches(const struct tdbg_gpu *gpu, struct tdbg_gpu_launch_counts *out);

/* --- for the files that open a GPU or put work on its stream --- */

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
