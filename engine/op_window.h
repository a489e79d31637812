/* What ops that move a window over an image share: their config keys and their rule for shapes. */
#ifndef TDBG_ENGINE_OP_WINDOW_H
#define TDBG_ENGINE_OP_WINDOW_H

#include "engine/op.h"

/* Each pair is of (height, width). */
struct tdbg_window {
    int64_t kernel[2], stride[2], padding[2], dilation[2];
};

enum { TDBG_MAX_WINDOW = 4096 };

/* Rows of an op's option table. */
#define TDBG_WINDOW_KERNEL                                                                         \
    {                                                                                              \
        "kernel", TDBG_OPT_INT_OR_PAIR, "pixels", 1, TDBG_MAX_WINDOW, NULL, NULL,                  \
            TDBG_OPT_REQUIRED, "Size of the window."                                               \
    }
#define TDBG_WINDOW_STRIDE(default_value, default_text)                                            \
    {                                                                                              \
        "stride", TDBG_OPT_INT_OR_PAIR, "pixels", 1, TDBG_MAX_WINDOW, NULL, default_value, 0,      \
            "How far the window moves from one output to the next" default_text "."                \
    }
#define TDBG_WINDOW_PADDING(border)                                                                \
    {                                                                                              \
        "padding", TDBG_OPT_INT_OR_PAIR, "pixels", 0, TDBG_MAX_WINDOW, NULL, "0", 0,               \
            "Border around the image, of " border "."                                              \
    }

/* Reads kernel, stride (as kernel where it is absent), padding (0) and dilation (1). */
struct tdbg_window tdbg_window_read(const struct tdbg_cfg_node *cfg);

/* The node's input as (channels, height, width); (height, width) is one channel. False after a
 * diagnostic: any other shape. */
bool tdbg_window_image(struct tdbg_graph_build *build, const struct tdbg_node *node,
                       int64_t image[3]);

/* Rows and columns of outputs. False after a diagnostic: the window does not fit. */
bool tdbg_window_outputs(struct tdbg_graph_build *build, const struct tdbg_node *node,
                         const struct tdbg_window *window, const int64_t image[3], int64_t out[2]);

#endif
