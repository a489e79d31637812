/* Words for options: types, ranges, and the printout of --help-config. Checking is in option.c. */
#include <math.h>
#include <string.h>

#include "base/config_internal.h"

enum { HELP_COLUMNS = 80 };

static const struct {
    const char *name, *wanted;
} type_texts[] = {
    [TDBG_OPT_INT] = {"integer", "an integer"},
    [TDBG_OPT_FLOAT] = {"float", "a number"},
    [TDBG_OPT_BOOL] = {"bool", "true or false"},
    [TDBG_OPT_STRING] = {"string", "a string"},
    [TDBG_OPT_ENUM] = {"one of", "one of"},
    [TDBG_OPT_PATH] = {"path", "a path in quotes"},
    [TDBG_OPT_PATHS] = {"path or list of paths", "a path in quotes or a list of them"},
    [TDBG_OPT_FLOATS] = {"list of floats", "a list of numbers"},
    [TDBG_OPT_INTS] = {"list of integers", "a list of integers"},
    [TDBG_OPT_GLOBS] = {"list of patterns", "a list of strings"},
    [TDBG_OPT_LIST] = {"list", "a list ( ... )"},
    [TDBG_OPT_GROUP] = {"group", "a group { ... }"},
    [TDBG_OPT_INT_OR_PAIR] = {"integer or pair", "an integer or a pair [height, width]"},
    [TDBG_OPT_INT_OR_SIZE] = {"integer or size", "an integer or a size like \"256MiB\""},
};

const char *tdbg_option_type_text(enum tdbg_option_type type)
{
    return type_texts[type].name;
}

const char *tdbg_option_type_wanted(enum tdbg_option_type type)
{
    return type_texts[type].wanted;
}

static void put_bound(struct tdbg_strbuf *sb, double bound)
{
    /* 2^63 is how a table written in doubles says INT64_MAX. */
    if (bound >= 0x1p63 && bound < 0x1p64)
        tdbg_strbuf_puts(sb, "9223372036854775807");
    else if (bound == trunc(bound) && fabs(bound) < 1e19)
        tdbg_strbuf_printf(sb, "%.0f", bound);
    else
        tdbg_strbuf_printf(sb, "%.15g", bound);
}

void tdbg_option_put_range(struct tdbg_strbuf *sb, const struct tdbg_option *o, bool with_unit)
{
    bool above = o->flags & TDBG_OPT_ABOVE_MIN;
    if (o->min < o->max) {
        bool has_min = isfinite(o->min), has_max = isfinite(o->max);
        if (has_min && has_max && !above) {
            put_bound(sb, o->min);
            tdbg_strbuf_puts(sb, "..");
            put_bound(sb, o->max);
        } else {
            if (has_min) {
                tdbg_strbuf_puts(sb, above ? "> " : ">= ");
                put_bound(sb, o->min);
            }
            if (has_max) {
                tdbg_strbuf_puts(sb, has_min ? " and <= " : "<= ");
                put_bound(sb, o->max);
            }
        }
    }
    if (with_unit && o->unit && *o->unit)
        tdbg_strbuf_printf(sb, "%s%s", sb->n_bytes ? " " : "", o->unit);
}

/* Text word by word, new lines indented, so that a line fits into HELP_COLUMNS. */
static void print_wrapped(FILE *out, const char *text, int indent, int column)
{
    for (bool first = true; *text; first = false) {
        int n = (int)strcspn(text, " ");
        if (!first && column + 1 + n > HELP_COLUMNS) {
            fprintf(out, "\n%*s", indent, "");
            column = indent;
        } else if (!first) {
            fputc(' ', out);
            column++;
        }
        fprintf(out, "%.*s", n, text);
        column += n;
        text += n;
        text += strspn(text, " ");
    }
    fputc('\n', out);
}

static void print_option(FILE *out, const struct tdbg_option *o)
{
    struct tdbg_strbuf head = {0}, range = {0};
    tdbg_option_put_range(&range, o, true);
    tdbg_strbuf_printf(&head, "%s (%s", o->key, tdbg_option_type_text(o->type));
    for (const char *c = o->type == TDBG_OPT_ENUM ? o->choices : ""; *c;) {
        size_t n = strcspn(c, "|");
        tdbg_strbuf_printf(&head, " \"%.*s\"%s", (int)n, c, c[n] ? "," : "");
        c += n + (c[n] == '|');
    }
    if (range.n_bytes)
        tdbg_strbuf_printf(&head, ", %s", range.text);
    if (o->flags & TDBG_OPT_REQUIRED)
        tdbg_strbuf_puts(&head, ", required");
    else if (o->default_value)
        tdbg_strbuf_printf(&head, ", default %s", o->default_value);
    tdbg_strbuf_putc(&head, ')');
    print_wrapped(out, head.text, 4, 0);
    if (o->help) {
        fputs("    ", out);
        print_wrapped(out, o->help, 4, 4);
    }
    tdbg_strbuf_free(&head);
    tdbg_strbuf_free(&range);
}

void tdbg_option_print_help(const struct tdbg_option_table *tables, int n_tables, FILE *out)
{
    for (int i = 0; i < n_tables; i++) {
        if (i > 0)
            fputc('\n', out);
        for (int k = 0; k < tables[i].n; k++)
            print_option(out, &tables[i].options[k]);
    }
}
