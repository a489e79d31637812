/* What a kind of loss is, for loss.c's table. Only engine/loss*.c include this. */
#ifndef TDBG_ENGINE_LOSS_CLASS_H
#define TDBG_ENGINE_LOSS_CLASS_H

#include "engine/kind_table.h"
#include "engine/loss.h"

struct tdbg_loss_class {
    struct tdbg_kind kind;
    const char *unit;
    bool takes_classes, has_accuracy;
    bool is_narrow; /* its calls are also in a backend's table for activations of 16 bits */
    /* See tdbg_loss_takes_stride(); NULL: never. */
    bool (*takes_stride)(const struct tdbg_loss *loss, const struct tdbg_backend *backend);
    void (*read)(const struct tdbg_cfg_node *group, struct tdbg_loss *out); /* NULL: no keys */
    bool (*value_is_valid)(double target);                                  /* NULL: all are */
    void (*forward)(const struct tdbg_loss *loss, const struct tdbg_backend *backend, int64_t rows,
                    const float *output, const void *targets, float *loss_sample, float *workspace);
    void (*backward)(const struct tdbg_loss *loss, const struct tdbg_backend *backend, int64_t rows,
                     const float *output, const void *targets, float *doutput);
    int64_t (*count_correct)(const struct tdbg_loss *loss, const struct tdbg_backend *backend,
                             int64_t rows, const float *output, const void *targets);
};

extern const struct tdbg_loss_class tdbg_loss_cross_entropy, tdbg_loss_bce, tdbg_loss_mse,
    tdbg_loss_l1, tdbg_loss_smooth_l1;

#endif
