/* The op-case table. See op_cases.h. */
#include "op_cases.h"

#include <stddef.h>

const struct op_case op_cases[] = {
    {.name = "linear",
     .model = "{ op = \"linear\"; name = \"l\"; out = 7; }",
     .ndim = 1,
     .dims = {300},
     .rows = 5,
     .torch = "y = F.linear(x, p['l.weight'], p['l.bias'])",
     .golden = 0x52407f6483bee656},
    {.name = "linear_sequence",
     .model = "{ op = \"linear\"; name = \"l\"; out = 13; bias = false; }",
     .ndim = 2,
     .dims = {6, 17},
     .rows = 4,
     .torch = "y = F.linear(x, p['l.weight'])",
     .golden = 0xd137c2949e143ad0},
    {.name = "relu",
     .model = "{ op = \"relu\"; }",
     .ndim = 2,
     .dims = {9, 31},
     .rows = 3,
     .torch = "y = F.relu(x)",
     .golden = 0x0a592884f2d3f2cc},
    {.name = "flatten",
     .model = "{ op = \"flatten\"; }",
     .ndim = 3,
     .dims = {2, 3, 5},
     .rows = 2,
     .torch = "y = x.flatten(1)",
     .golden = 0x0d50606207458f50},
    {.name = "residual",
     .model =
         "{ op = \"residual\"; name = \"r\"; repeat = 2; body = ( { op = \"linear\"; name = "
         "\"a\"; out = 11; }, { op = \"relu\"; }, { op = \"linear\"; name = \"b\"; out = 19; } "
         "); }",
     .ndim = 1,
     .dims = {19},
     .rows = 6,
     .torch = "y = x\n"
              "for i in ('r1.', 'r2.'):\n"
              "    h = F.relu(F.linear(y, p[i + 'a.weight'], p[i + 'a.bias']))\n"
              "    y = y + F.linear(h, p[i + 'b.weight'], p[i + 'b.bias'])",
     .golden = 0x38c58b6523fa485b},
    {.name = "residual_shortcut",
     .model =
         "{ op = \"residual\"; name = \"r\"; shortcut = ( { op = \"linear\"; name = \"s\"; out "
         "= 5; bias = false; } ); body = ( { op = \"linear\"; name = \"a\"; out = 5; }, { op = "
         "\"relu\"; } ); }",
     .ndim = 1,
     .dims = {12},
     .rows = 4,
     .torch = "y = F.relu(F.linear(x, p['r.a.weight'], p['r.a.bias'])) + F.linear(x, "
              "p['r.s.weight'])",
     .golden = 0x389da035a27b09df},
    {.name = "shared_weight",
     .model =
         "{ op = \"linear\"; name = \"a\"; out = 8; bias = false; }, { op = \"linear\"; name = "
         "\"b\"; out = 8; tie = \"a\"; }, { op = \"linear\"; name = \"c\"; out = 8; tie = "
         "\"a\"; bias = false; }",
     .ndim = 1,
     .dims = {8},
     .rows = 5,
     .torch = "w = p['a.weight']\n"
              "y = F.linear(F.linear(F.linear(x, w), w, p['b.bias']), w)",
     .golden = 0x0493398b7449a451},
};
const int n_op_cases = (int)(sizeof op_cases / sizeof op_cases[0]);
