/* Text as tokens: bytes, or characters (code points of UTF-8) numbered in ascending order. Sample k
 * is tokens [kT, kT + T) with the tokens behind each as targets, where T is data.tokens.context.
 * See dataset.h. */
#include <stdlib.h>
#include <string.h>

#include "base/strbuf.h"
#include "engine/dataset.h"

enum { CODE_POINTS = 0x110000, MOST_CHARACTERS = 1 << 16, BYTES = 256 };

/* The code point at text, whose length utf8_length gave. */
static uint32_t code_point(const unsigned char *p, size_t length)
{
    if (length == 1)
        return p[0];
    uint32_t c = p[0] & (0xffu >> (length + 1));
    for (size_t i = 1; i < length; i++)
        c = c << 6 | (p[i] & 0x3fu);
    return c;
}

/* Marks every character of a text in number (CODE_POINTS) with 0; *n counts characters. */
static enum tdbg_status mark_characters(const struct tdbg_array *text, int32_t *number, int64_t *n,
                                        struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const size_t end = (size_t)text->dims[0];
    *n = 0;
    for (size_t at = 0; at < end; ++*n) {
        const size_t length = tdbg_utf8_length((const char *)text->data + at, end - at);
        TDBG_FAIL_IF(length == 0, DATA,
                     "byte %zu is not UTF-8; data.tokens.kind = \"byte\" takes any bytes", at);
        number[code_point(text->data + at, length)] = 0;
        at += length;
    }
out:
    return st;
}

/* Numbers what is marked, in ascending order; the vocabulary is the caller's to free. */
static enum tdbg_status number_characters(int32_t *number, uint32_t **vocab, int64_t *n_vocab,
                                          struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    int32_t n = 0;
    uint32_t *list = malloc(MOST_CHARACTERS * sizeof *list);
    TDBG_FAIL_IF(!list, NO_MEMORY, "no memory for a vocabulary");
    for (uint32_t c = 0; c < CODE_POINTS; c++) {
        if (number[c] < 0)
            continue;
        TDBG_FAIL_IF(n == MOST_CHARACTERS, DATA, "it has more than %d different characters",
                     MOST_CHARACTERS);
        number[c] = n;
        list[n++] = c;
    }
    *vocab = list;
    *n_vocab = n;
    list = NULL;
out:
    free(list);
    return st;
}

/* The text as u16 tokens. */
static enum tdbg_status encode(const struct tdbg_array *text, const int32_t *number, int64_t n,
                               struct tdbg_array *out, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    uint16_t *tokens = malloc((size_t)n * sizeof *tokens + 1);
    size_t at = 0;
    TDBG_FAIL_IF(!tokens, NO_MEMORY, "no memory for %lld tokens", (long long)n);
    for (int64_t i = 0; i < n; i++) {
        const size_t length =
            tdbg_utf8_length((const char *)text->data + at, (size_t)text->dims[0] - at);
        const uint32_t c = code_point(text->data + at, length);
        TDBG_FAIL_IF(number[c] < 0, DATA,
                     "character U+%04X at byte %zu is not in the vocabulary, which has the "
                     "characters of the training text",
                     (unsigned)c, at);
        tokens[i] = (uint16_t)number[c];
        at += length;
    }
    *out = (struct tdbg_array){
        .elem = TDBG_ELEM_U16, .ndim = 1, .dims = {n}, .data = (unsigned char *)tokens};
    out->block = tokens;
    tokens = NULL;
out:
    free(tokens);
    return st;
}

/* Characters to tokens; text is freed. The vocabulary is that of the training text, or all
 * characters of the file that data.tokens.vocab names. */
static enum tdbg_status characters(const struct tdbg_dataset_request *r,
                                   const struct tdbg_array *vocab_text, struct tdbg_array *text,
                                   struct tdbg_dataset *out, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    struct tdbg_array tokens = {0};
    int64_t n = 0, ignored, n_vocab = 0;
    int32_t *number = malloc(CODE_POINTS * sizeof *number);
    TDBG_FAIL_IF(!number, NO_MEMORY, "no memory for a vocabulary");
    for (int c = 0; c < CODE_POINTS; c++)
        number[c] = -1;
    TDBG_TRY(mark_characters(text, number, &n, err)); /* is it UTF-8? */
    if (vocab_text || r->train)
        for (int c = 0; c < CODE_POINTS; c++)
            number[c] = -1;
    if (vocab_text)
        TDBG_TRY(mark_characters(vocab_text, number, &ignored, err));
    for (int64_t i = 0; !vocab_text && r->train && i < r->train->shape.vocab; i++)
        number[r->train->vocab[i]] = 0;
    TDBG_TRY(number_characters(number, &out->vocab, &n_vocab, err));
    TDBG_TRY(encode(text, number, n, &tokens, err));
    tdbg_array_free(text);
    *text = tokens;
    out->shape.vocab = out->shape.classes = n_vocab;
out:
    free(number);
    return st;
}

static enum tdbg_status cut(const struct tdbg_cfg_node *root, struct tdbg_array *tokens,
                            struct tdbg_dataset *out, struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const int64_t context = tdbg_cfg_int(root, "data.tokens.context"), n = tokens->dims[0];
    TDBG_FAIL_IF((n - 1) / context < 1, DATA,
                 "%lld tokens are not one sample of data.tokens.context = %lld and the token after "
                 "it",
                 (long long)n, (long long)context);
    struct tdbg_data_shape *s = &out->shape;
    s->x_dtype = TDBG_DTYPE_I32;
    s->y_dtype = TDBG_DTYPE_I64;
    s->x_ndim = s->y_ndim = 1;
    s->x_dims[0] = s->y_dims[0] = context;
    s->count = (n - 1) / context;
    out->x = (struct tdbg_data_side){.array = *tokens, .stride = context};
    out->y = (struct tdbg_data_side){.array = *tokens, .first = 1, .stride = context};
    out->y.array.block = NULL; /* x has it */
    out->y.array.mapped_bytes = 0;
    *tokens = (struct tdbg_array){0};
out:
    return st;
}

static enum tdbg_status read_vocab(const struct tdbg_dataset_request *r, struct tdbg_array *out,
                                   struct tdbg_err *err)
{
    const struct tdbg_cfg_node *root = tdbg_config_root(r->config);
    const struct tdbg_cfg_node *node = tdbg_cfg_find(root, "data.tokens.vocab");
    return node ? tdbg_dataset_read_files(r->config, node, NULL, out, err) : TDBG_OK;
}

static enum tdbg_status load(const struct tdbg_dataset_request *r, struct tdbg_dataset *out,
                             struct tdbg_err *err)
{
    enum tdbg_status st = TDBG_OK;
    const struct tdbg_cfg_node *root = tdbg_config_root(r->config);
    const struct tdbg_cfg_node *node = tdbg_dataset_node(r, "text");
    const char *kind = tdbg_cfg_string(root, "data.tokens.kind");
    const int before = tdbg_config_n_diagnostics(r->config);
    struct tdbg_array text = {0}, vocab = {0};
    struct tdbg_err fault = {0};
    *out = (struct tdbg_dataset){0};
    if (strcmp(kind, "bpe") == 0) {
        tdbg_config_report(r->config, tdbg_cfg_find(root, "data.tokens.kind"),
                           "use \"byte\" or \"char\"",
                           "tokens of kind \"bpe\" are not supported yet");
        return TDBG_OK;
    }
    TDBG_TRY(tdbg_dataset_read_files(r->config, node, NULL, &text, err));
    TDBG_TRY(read_vocab(r, &vocab, err));
    if (tdbg_config_n_diagnostics(r->config) != before)
        goto out;
    out->shape.vocab = out->shape.classes = BYTES;
    if (strcmp(kind, "char") == 0)
        st = characters(r, vocab.data ? &vocab : NULL, &text, out, &fault);
    if (st == TDBG_OK)
        st = cut(root, &text, out, &fault);
    if (st != TDBG_OK)
        tdbg_dataset_clear(out);
    const struct tdbg_cfg_node *first = node->type == TDBG_CFG_LIST ? node->child[0] : node;
    st = tdbg_dataset_fault(r->config, node, first->s, &fault, err);
out:
    tdbg_array_free(&text);
    tdbg_array_free(&vocab);
    return st;
}

static const struct tdbg_option options[] = {
    {"data.train.text", TDBG_OPT_PATHS, "", 0, 0, NULL, NULL, TDBG_OPT_REQUIRED,
     "Training text: one file or several that are joined, plain or .gz."},
    {"data.test.text", TDBG_OPT_PATHS, "", 0, 0, NULL, NULL, 0, "Evaluation text."},
    {"data.tokens.kind", TDBG_OPT_ENUM, "", 0, 0, "byte|char|bpe", "\"byte\"", 0,
     "Tokens are the bytes (0..255), or the characters of UTF-8 text numbered in ascending order; "
     "bpe is not supported yet."},
    {"data.tokens.vocab", TDBG_OPT_PATH, "", 0, 0, NULL, NULL, 0,
     "A file whose characters are the vocabulary of char tokens; without it the training text's."},
    {"data.tokens.context", TDBG_OPT_INT, "tokens", 1, 1 << 24, NULL, NULL, TDBG_OPT_REQUIRED,
     "Tokens of a sample; sample k begins at token k * context, its targets one token later."},
    TDBG_PAD_OPTION,
};

const struct tdbg_dataset_kind tdbg_dataset_text = {
    .name = "text",
    .main_key = "text",
    .options = {options, (int)(sizeof options / sizeof options[0])},
    .load = load,
};
