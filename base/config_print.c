/* The tree as canonical libconfig text, and the texts of single values that messages use. */
#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/config_internal.h"
#include "base/status.h"

enum { COMMENT_COLUMN = 44, INDENT = 4 };

/* The shortest digits that read back to the same bits, always with a point: libconfig tells floats
 * from integers by it. */
static void put_double(struct tdbg_strbuf *sb, double value)
{
    char digits[40];
    for (int precision = DBL_DIG; precision <= DBL_DECIMAL_DIG; precision++) {
        snprintf(digits, sizeof digits, "%.*g", precision, value);
        if (strtod(digits, NULL) == value)
            break;
    }
    size_t mantissa = strcspn(digits, "e");
    tdbg_strbuf_add(sb, digits, mantissa);
    if (!memchr(digits, '.', mantissa))
        tdbg_strbuf_puts(sb, ".0");
    tdbg_strbuf_puts(sb, digits + mantissa);
}

/* At most `most` bytes of content; what is cut off shows as "...". */
static void put_string(struct tdbg_strbuf *sb, const char *text, size_t most)
{
    static const char escapes[] = "\n\t\r\f\\\"", names[] = "ntrf\\\"";
    size_t n = strlen(text), i = 0;
    tdbg_strbuf_putc(sb, '"');
    while (i < n && i < most) {
        size_t length = tdbg_utf8_length(text + i, n - i);
        unsigned char c = (unsigned char)text[i];
        const char *escape = strchr(escapes, text[i]);
        bool c1 = length == 2 && c == 0xc2 && (unsigned char)text[i + 1] < 0xa0;
        if (escape)
            tdbg_strbuf_printf(sb, "\\%c", names[escape - escapes]);
        else if (length == 0 || c < 0x20 || c == 0x7f || c1) /* terminals obey some of these */
            tdbg_strbuf_printf(sb, "\\x%02x", c);
        else
            tdbg_strbuf_add(sb, text + i, length);
        i += length == 0 || c1 ? 1 : length;
    }
    tdbg_strbuf_puts(sb, i < n ? "...\"" : "\"");
}

void tdbg_config_put_quoted(struct tdbg_strbuf *sb, const char *text, size_t most)
{
    put_string(sb, text, most);
}

void tdbg_config_put_scalar(struct tdbg_strbuf *sb, const struct tdbg_cfg_node *node,
                            bool long_suffix)
{
    switch (node->type) {
    case TDBG_CFG_INT:
        tdbg_strbuf_printf(sb, "%" PRId64 "%s", node->i, long_suffix ? "L" : "");
        break;
    case TDBG_CFG_FLOAT:
        put_double(sb, node->f);
        break;
    case TDBG_CFG_BOOL:
        tdbg_strbuf_puts(sb, node->i ? "true" : "false");
        break;
    case TDBG_CFG_STRING:
        put_string(sb, node->s, SIZE_MAX);
        break;
    case TDBG_CFG_GROUP:
    case TDBG_CFG_LIST:
        TDBG_BUG("a group or list is not a scalar");
    }
}

static bool is_scalar(const struct tdbg_cfg_node *node)
{
    return node->type != TDBG_CFG_GROUP && node->type != TDBG_CFG_LIST;
}

static bool needs_long(const struct tdbg_cfg_node *node)
{
    return node->type == TDBG_CFG_INT && (node->i > INT32_MAX || node->i < INT32_MIN);
}

/* Lists of scalars go on one line: in [ ] when all have one type, as other programs expect it. */
static bool is_flat(const struct tdbg_cfg_node *list, bool *one_type, bool *long_suffix)
{
    *one_type = true;
    *long_suffix = false;
    for (int i = 0; i < list->n_child; i++) {
        if (!is_scalar(list->child[i]))
            return false;
        *one_type = *one_type && list->child[i]->type == list->child[0]->type;
        *long_suffix = *long_suffix || needs_long(list->child[i]);
    }
    return true;
}

static void put_flat_list(struct tdbg_strbuf *sb, const struct tdbg_cfg_node *list, bool one_type,
                          bool long_suffix)
{
    tdbg_strbuf_putc(sb, one_type ? '[' : '(');
    for (int i = 0; i < list->n_child; i++) {
        if (i > 0)
            tdbg_strbuf_puts(sb, ", ");
        tdbg_config_put_scalar(sb, list->child[i],
                               one_type ? long_suffix : needs_long(list->child[i]));
    }
    tdbg_strbuf_putc(sb, one_type ? ']' : ')');
}

/* Column of the line that is being written. */
static size_t column(const struct tdbg_strbuf *sb)
{
    size_t n = 0;
    while (n < sb->n_bytes && sb->text[sb->n_bytes - n - 1] != '\n')
        n++;
    return n;
}

/* Ends the line, with the node's origin as a comment where asked for. */
static void end_line(struct tdbg_strbuf *sb, const struct tdbg_cfg_node *node, bool with_origins)
{
    if (with_origins) {
        size_t at = column(sb);
        tdbg_strbuf_pad(sb, ' ', at < COMMENT_COLUMN ? COMMENT_COLUMN - at : 1);
        tdbg_strbuf_puts(sb, "# ");
        if (node->origin == TDBG_CFG_FROM_FILE) {
            tdbg_config_put_clean(sb, node->file, strlen(node->file), 200);
            tdbg_strbuf_printf(sb, ":%d", node->line);
        } else {
            tdbg_strbuf_puts(sb, node->origin == TDBG_CFG_FROM_SET ? "--set" : "default");
        }
    }
    tdbg_strbuf_putc(sb, '\n');
}

/* "key = value;" or, in a list, "value,". Recursion is as deep as the tree: config_text.c and
 * config_set.c bound it. */
static void put_node(struct tdbg_strbuf *sb, const struct tdbg_cfg_node *node, int level,
                     const char *after, bool with_origins)
{
    bool one_type = false, long_suffix = false;
    tdbg_strbuf_pad(sb, ' ', (size_t)(level * INDENT));
    if (node->key)
        tdbg_strbuf_printf(sb, "%s = ", node->key);
    if (is_scalar(node)) {
        tdbg_config_put_scalar(sb, node, needs_long(node));
    } else if (node->type == TDBG_CFG_GROUP && node->n_child == 0) {
        tdbg_strbuf_puts(sb, "{}");
    } else if (node->type == TDBG_CFG_LIST && is_flat(node, &one_type, &long_suffix)) {
        put_flat_list(sb, node, one_type, long_suffix);
    } else {
        bool group = node->type == TDBG_CFG_GROUP;
        tdbg_strbuf_putc(sb, group ? '{' : '(');
        end_line(sb, node, with_origins);
        for (int i = 0; i < node->n_child; i++)
            put_node(sb, node->child[i], level + 1,
                     group                   ? ";"
                     : i + 1 < node->n_child ? ","
                                             : "",
                     with_origins);
        tdbg_strbuf_pad(sb, ' ', (size_t)(level * INDENT));
        tdbg_strbuf_printf(sb, "%c%s\n", group ? '}' : ')', after);
        return;
    }
    tdbg_strbuf_puts(sb, after);
    end_line(sb, node, with_origins);
}

char *tdbg_config_print(const struct tdbg_cfg_node *node, bool with_origins)
{
    struct tdbg_strbuf sb = {0};
    if (node->type != TDBG_CFG_GROUP)
        put_node(&sb, node, 0, node->key ? ";" : "", with_origins);
    for (int i = 0; node->type == TDBG_CFG_GROUP && i < node->n_child; i++)
        put_node(&sb, node->child[i], 0, ";", with_origins);
    return tdbg_strbuf_take(&sb);
}
