/* See verdict.h. The texts are those of cli/cmd_bisect.c and cli/bisect_two.c. */
#include "tui/verdict.h"

#include <stdlib.h>
#include <string.h>

#include "replay/rank_split.h"
#include "tui/output.h"

enum { LINE_BYTES = 1024 };

static const char *skip_spaces(const char *line)
{
    return line + strspn(line, " ");
}

static bool begins(const char *line, const char *with)
{
    return strncmp(line, with, strlen(with)) == 0;
}

/* Of runs that are put together from both, and of what it took. */
static bool is_of_trial(const char *line)
{
    static const char *const starts[] = {"changed ",           "all of them changed back",
                                         "executed ",          "judged ",
                                         "it is changed back", "they are changed back"};
    const char *text = skip_spaces(line);
    for (size_t i = 0; i < sizeof starts / sizeof starts[0]; i++) {
        if (begins(text, starts[i]))
            return true;
    }
    return strstr(line, "not true up to step ") != NULL;
}

/* The number behind the last occurrence of a word, which has to be there as a word of its own.
 * Returns what stands behind it; NULL: there is none. */
static const char *last_number(const char *line, const char *word, int64_t *out)
{
    const char *found = NULL;
    const size_t n = strlen(word);
    for (const char *at = strstr(line, word); at; at = strstr(at + 1, word)) {
        char *end;
        if ((at > line && at[-1] != ' ' && at[-1] != ',') || at[n] < '0' || at[n] > '9')
            continue;
        const long long number = strtoll(at + n, &end, 10);
        if (*end == '.' && end[1] >= '0' && end[1] <= '9')
            continue;
        *out = number;
        found = end;
    }
    return found;
}

/* The site that stands in the text as a word of its own, in the lane that stands there. "loss" is a
 * site as well, but more often just a word. */
static int32_t find_site(const char *text, const struct tdbg_tui_data *data)
{
    static const char ends[] = " ,:;()";
    int64_t lane = TDBG_LANE_ALL, micro = -1;
    int32_t any = -1;
    const bool has_lane = last_number(text, "lane ", &lane) != NULL;
    const bool has_micro = last_number(text, "micro ", &micro) != NULL;
    for (const char *word = text; *word; word += *word ? 1 : 0) {
        word += strspn(word, ends);
        const size_t n = strcspn(word, ends);
        const bool may_be = memchr(word, '/', n) != NULL;
        for (int32_t i = 0; may_be && i < data->n_sites; i++) {
            const struct tdbg_site *s = &data->sites[i];
            if (strlen(s->name) != n || strncmp(s->name, word, n) != 0)
                continue;
            if ((!has_lane || s->lane == lane) && (!has_micro || s->micro == micro))
                return i;
            any = any < 0 ? i : any;
        }
        word += n;
        if (!*word)
            break;
    }
    return any;
}

bool tdbg_tui_line_place(const char *line, const struct tdbg_tui_data *data,
                         struct tdbg_tui_line_place *out)
{
    int64_t number;
    const char *behind = last_number(line, "step ", &out->step);
    if (is_of_trial(line) || !behind || out->step < data->first_step ||
        out->step >= data->first_step + data->n_steps)
        return false;
    out->site = find_site(behind, data);
    out->rank = -1;
    if (last_number(line, "rank ", &number) && number < data->info->world_size)
        out->rank = (int32_t)number;
    else if (last_number(behind, "lane ", &number) && data->info->world_size > 1)
        out->rank = tdbg_rank_of_lane(data->info, number);
    return true;
}

/* Line by line what stands at its beginning; a line that is further in belongs to the one before.
 */
bool tdbg_tui_line_is_verdict(const char *line)
{
    static const char *const starts[] = {"cause", "fault: ", "same: ", "origin: "};
    for (size_t i = 0; i < sizeof starts / sizeof starts[0]; i++) {
        if (begins(line, starts[i]))
            return true;
    }
    const char *text = skip_spaces(line);
    return begins(text, "changed in the good run") || begins(text, "changed back in the bad run") ||
           begins(text, "all of them changed back") || begins(text, "its inputs were recorded") ||
           (*line != ' ' && (strstr(line, ": false at step ") || strstr(line, ": true at step ") ||
                             strstr(line, ": not true at any step ")));
}

int64_t tdbg_tui_verdict_line(const char *text, const struct tdbg_tui_data *data, int64_t *answer)
{
    char line[LINE_BYTES];
    struct tdbg_tui_line_place place;
    int64_t before = -1, within = -1;
    *answer = -1;
    for (int64_t i = 0; tdbg_tui_output_line(&text, line, sizeof line); i++) {
        if (*answer < 0 && tdbg_tui_line_is_verdict(line))
            *answer = i;
        if (!tdbg_tui_line_place(line, data, &place))
            continue;
        if (*answer >= 0 && place.site >= 0)
            return i;
        if (*answer >= 0 && within < 0)
            within = i;
        else if (*answer < 0)
            before = i;
    }
    *answer = *answer < 0 ? 0 : *answer;
    return within >= 0 ? within : before >= 0 ? before : *answer;
}
