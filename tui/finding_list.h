/* What is wrong in a run, as far as rows and statistics tell: gathered bit by bit by a table of
 * rules (finding_rules.c), each of which knows one thing.
 *
 *     rows of the course, as they are read  --row()---+
 *     statistics of chosen steps            --stats()-+--> findings
 *     whatever else a rule reads            --slice()-+
 */
#ifndef TDBG_TUI_FINDING_LIST_H
#define TDBG_TUI_FINDING_LIST_H

#include "tui/model.h"

enum {
    TDBG_FINDINGS = 256,              /* beyond them only counts go on */
    TDBG_FINDINGS_STATS_STEPS = 1024, /* whose statistics are looked at: all of a short run */
    TDBG_FINDINGS_WANTED = 16,        /* steps that rules want to be looked at first */
    TDBG_FINDINGS_RULES = 16,
    TDBG_FINDING_TEXT = 160,
};

struct tdbg_tui_finding {
    char severity;       /* '!' error, '~' warning */
    int64_t step;        /* first */
    int64_t last, count; /* last step; in how many steps, of those looked at */
    int32_t site;        /* that it is about; -1: none */
    char what[48];
    char where[TDBG_SITE_LABEL_BYTES];
    char why[TDBG_FINDING_TEXT], advice[TDBG_FINDING_TEXT]; /* advice: commands */
    char condition[TDBG_MAX_SITE_NAME + 32];                /* to break on; "": none */
};

struct tdbg_tui_findings;

struct tdbg_tui_rule {
    const char *name;   /* "loss.nonfinite" */
    size_t state_bytes; /* zeroed before the first call */
    /* Rows in the order of steps. Any of the functions may be NULL. */
    void (*row)(struct tdbg_tui_findings *f, void *state, const struct tdbg_step_row *row);
    /* Statistics of a step (n_sites), in any order, none twice. */
    void (*stats)(struct tdbg_tui_findings *f, void *state, int64_t step,
                  const struct tdbg_stats *stats);
    /* After all rows and statistics: reads a bit; true: there is more. */
    bool (*slice)(struct tdbg_tui_findings *f, void *state, struct tdbg_tui_model *model);
    void (*release)(void *state); /* frees what the state holds */
};

/* Ends with a rule without a name. */
extern const struct tdbg_tui_rule tdbg_tui_rules[];

enum tdbg_tui_findings_filter { TDBG_FILTER_ALL, TDBG_FILTER_ERRORS, TDBG_FILTER_WARNINGS };

struct tdbg_tui_findings {
    const struct tdbg_tui_data *data; /* borrowed: sites and steps */
    struct tdbg_tui_finding list[TDBG_FINDINGS];
    int n, n_left_out;
    void *state[TDBG_FINDINGS_RULES];

    int64_t next_row; /* step of the row that comes next */
    /* Those that rules want, and the first in which a tensor of a stage is not finite. */
    int64_t wanted[TDBG_FINDINGS_WANTED + TDBG_STAGE_COUNT];
    int n_wanted, wanted_at;
    int64_t zone_at; /* steps before it were looked through for the latter, zone by zone */
    bool has_fault[TDBG_STAGE_COUNT];
    bool *is_faulty;                              /* (n_sites) in the current zone */
    int64_t stats_done, stats_total, stats_every; /* of the regular ones */
    struct tdbg_stats *stats;                     /* (n_sites) */
    int slice_rule;                               /* whose slices are being done */
    bool is_complete;

    /* The list as it is shown. */
    int order[TDBG_FINDINGS], n_shown;
    bool by_severity;
    enum tdbg_tui_findings_filter filter;
    int at, top;
    int near_order[TDBG_FINDINGS], n_near; /* by their distance from a step */
};

/* Reads nothing. */
void tdbg_tui_findings_init(struct tdbg_tui_findings *f, const struct tdbg_tui_data *data);
void tdbg_tui_findings_free(struct tdbg_tui_findings *f);

/* Rows of the course; those that were seen are passed over. context: the findings. */
void tdbg_tui_findings_see_rows(void *context, const struct tdbg_step_row *rows, int64_t n);

/* Looks at a few more steps' statistics, then at what is left; true: there is more to do. */
bool tdbg_tui_findings_work(struct tdbg_tui_findings *f, struct tdbg_tui_model *model);

/* The data has more steps than before: there is more to look at. */
void tdbg_tui_findings_grow(struct tdbg_tui_findings *f);

/* Sorts and filters into order; into near_order all of them, the nearest to a step first. */
void tdbg_tui_findings_arrange(struct tdbg_tui_findings *f);
void tdbg_tui_findings_arrange_near(struct tdbg_tui_findings *f, int64_t step);
struct tdbg_tui_finding *tdbg_tui_findings_at(struct tdbg_tui_findings *f);

/* For rules: a new finding of a severity at a step, with the texts left to the caller; NULL: there
 * is no room. */
struct tdbg_tui_finding *tdbg_tui_findings_add(struct tdbg_tui_findings *f, char severity,
                                               int64_t step, int32_t site, const char *what);
void tdbg_tui_findings_label(const struct tdbg_tui_findings *f, int32_t site,
                             char buf[TDBG_SITE_LABEL_BYTES]);
/* One more step at which it holds. */
void tdbg_tui_finding_extend(struct tdbg_tui_finding *finding, int64_t step);
/* Has this step's statistics looked at before the regular ones. */
void tdbg_tui_findings_want(struct tdbg_tui_findings *f, int64_t step);

#endif
