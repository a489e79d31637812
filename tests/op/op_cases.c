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
    {.name = "embedding",
     .model = "{ op = \"embedding\"; name = \"e\"; dim = 70; padding_idx = 3; }",
     .ndim = 1,
     .dims = {40},
     .rows = 9,
     .vocab = 11,
     .torch = "y = F.embedding(x, p['e.weight'], padding_idx=3)",
     .golden = 0xcf9bdc31d65a24e7},
    {.name = "embedding_tied",
     .model = "{ op = \"embedding\"; name = \"e\"; dim = 6; vocab = 13; }, { op = \"linear\"; name "
              "= \"l\"; out = 13; tie = \"e\"; bias = false; }",
     .ndim = 1,
     .dims = {5},
     .rows = 3,
     .vocab = 12,
     .torch = "y = F.linear(F.embedding(x, p['e.weight']), p['e.weight'])",
     .golden = 0xbb335ff6b8b18c32},
    {.name = "position_learned",
     .model = "{ op = \"position\"; name = \"t\"; }",
     .ndim = 2,
     .dims = {17, 9},
     .rows = 5,
     .torch = "y = x + p['t.weight']",
     .golden = 0x64a6c650c85ca8a2},
    {.name = "position_sinusoidal",
     .model = "{ op = \"position\"; kind = \"sinusoidal\"; }",
     .ndim = 2,
     .dims = {50, 12},
     .rows = 2,
     .torch = "f = 10000.0 ** (-torch.arange(0, 12, 2, dtype=torch.float64) / 12)\n"
              "a = torch.arange(50, dtype=torch.float64)[:, None] * f\n"
              "y = x + torch.stack((a.sin(), a.cos()), -1).reshape(50, 12).to(x.dtype)",
     .golden = 0xb02344fca8816523},
    {.name = "attention",
     .model = "{ op = \"attention\"; name = \"a\"; heads = 3; }",
     .ndim = 2,
     .dims = {10, 12},
     .rows = 3,
     .torch = "z = x.transpose(0, 1)\n"
              "y, _ = F.multi_head_attention_forward(z, z, z, 12, 3, p['a.in_proj_weight'], "
              "p['a.in_proj_bias'], None, None, False, 0.0, p['a.out_proj.weight'], "
              "p['a.out_proj.bias'])\n"
              "y = y.transpose(0, 1)",
     .golden = 0x2a411226cf3260ae},
    {.name = "attention_causal",
     .model = "{ op = \"attention\"; name = \"a\"; heads = 2; causal = true; bias = false; }",
     .ndim = 2,
     .dims = {80, 8},
     .rows = 2,
     .torch = "z = x.transpose(0, 1)\n"
              "mask = torch.ones(80, 80).triu(1).bool()\n"
              "y, _ = F.multi_head_attention_forward(z, z, z, 8, 2, p['a.in_proj_weight'], None, "
              "None, None, False, 0.0, p['a.out_proj.weight'], None, attn_mask=mask)\n"
              "y = y.transpose(0, 1)",
     .golden = 0x2d89740600a7d1c5},
    {.name = "attention_grouped",
     .model = "{ op = \"attention\"; name = \"a\"; heads = 6; kv_heads = 2; causal = true; scale = "
              "false; }",
     .ndim = 2,
     .dims = {13, 24},
     .rows = 3,
     .torch = "h = F.linear(x, p['a.in_proj_weight'], p['a.in_proj_bias'])\n"
              "h = h.view(3, 13, 10, 4).transpose(1, 2)\n"
              "q, k, v = h[:, :6], h[:, 6:8], h[:, 8:]\n"
              "k, v = k.repeat_interleave(3, 1), v.repeat_interleave(3, 1)\n"
              "s = q @ k.transpose(2, 3)\n"
              "s = s.masked_fill(torch.ones(13, 13).triu(1).bool(), float('-inf'))\n"
              "h = (s.softmax(-1) @ v).transpose(1, 2).reshape(3, 13, 24)\n"
              "y = F.linear(h, p['a.out_proj.weight'], p['a.out_proj.bias'])",
     .golden = 0xca0b0fab1a135f80},
    {.name = "attention_rotary",
     .model =
         "{ op = \"attention\"; name = \"a\"; heads = 2; kv_heads = 1; causal = true; rotary = "
         "true; rotary_base = 500.0; bias = false; }",
     .ndim = 2,
     .dims = {21, 16},
     .rows = 2,
     .torch = "h = F.linear(x, p['a.in_proj_weight']).view(2, 21, 4, 8).transpose(1, 2)\n"
              "f = 500.0 ** (-torch.arange(0, 8, 2, dtype=torch.float64) / 8)\n"
              "t = torch.arange(21, dtype=torch.float64)[:, None] * torch.cat((f, f))\n"
              "z = h[:, :3]\n"
              "z = z * t.cos().to(x.dtype) + torch.cat((-z[..., 4:], z[..., :4]), -1) * t.sin().to("
              "x.dtype)\n"
              "q, k, v = z[:, :2], z[:, 2:], h[:, 3:]\n"
              "s = q @ k.transpose(2, 3) / 8 ** 0.5\n"
              "s = s.masked_fill(torch.ones(21, 21).triu(1).bool(), float('-inf'))\n"
              "h = (s.softmax(-1) @ v).transpose(1, 2).reshape(2, 21, 16)\n"
              "y = F.linear(h, p['a.out_proj.weight'])",
     .golden = 0xe9b5bd921edab375},
    {.name = "batch_norm_features",
     .model = "{ op = \"batch_norm\"; name = \"n\"; }",
     .ndim = 1,
     .dims = {21},
     .rows = 9,
     .torch = "m, v = b['n.running_mean'].clone(), b['n.running_var'].clone()\n"
              "y = F.batch_norm(x, m, v, p['n.weight'], p['n.bias'], training=True)\n"
              "after['n.running_mean'], after['n.running_var'] = m, v",
     .golden = 0x572e9760218417d9},
    {.name = "batch_norm_sequence",
     .model = "{ op = \"batch_norm\"; name = \"n\"; affine = false; track_running_stats = false; }",
     .ndim = 2,
     .dims = {5, 12},
     .rows = 4,
     .torch = "y = F.batch_norm(x, None, None, training=True)",
     .golden = 0xb608c1727fce8f36},
    {.name = "batch_norm_image",
     .model = "{ op = \"batch_norm\"; name = \"n\"; eps = 0.001; momentum = 0.25; }",
     .ndim = 3,
     .dims = {3, 7, 9},
     .rows = 5,
     .torch = "m, v = b['n.running_mean'].clone(), b['n.running_var'].clone()\n"
              "y = F.batch_norm(x, m, v, p['n.weight'], p['n.bias'], True, 0.25, 0.001)\n"
              "after['n.running_mean'], after['n.running_var'] = m, v",
     .golden = 0x946c98dd442c56ab},
    {.name = "batch_norm_evaluates",
     .model = "{ op = \"batch_norm\"; name = \"n\"; }",
     .ndim = 3,
     .dims = {3, 7, 9},
     .rows = 2,
     .evaluates = true,
     .torch = "y = F.batch_norm(x, b['n.running_mean'], b['n.running_var'], p['n.weight'], "
              "p['n.bias'])",
     .golden = 0x5a191c578ef75dae},
    {.name = "layer_norm",
     .model = "{ op = \"layer_norm\"; name = \"n\"; }",
     .ndim = 2,
     .dims = {5, 70},
     .rows = 3,
     .torch = "y = F.layer_norm(x, (70,), p['n.weight'], p['n.bias'])",
     .golden = 0x9002be8a26f78cb1},
    {.name = "layer_norm_dims",
     .model = "{ op = \"layer_norm\"; name = \"n\"; dims = 2; bias = false; eps = 0.01; }",
     .ndim = 3,
     .dims = {2, 5, 11},
     .rows = 3,
     .torch = "y = F.layer_norm(x, (5, 11), p['n.weight'], None, 0.01)",
     .golden = 0x5ce9c52fc9c3463c},
    {.name = "layer_norm_plain",
     .model = "{ op = \"layer_norm\"; name = \"n\"; affine = false; }",
     .ndim = 1,
     .dims = {33},
     .rows = 6,
     .torch = "y = F.layer_norm(x, (33,))",
     .golden = 0x0e17938657f77098},
    {.name = "rms_norm",
     .model = "{ op = \"rms_norm\"; name = \"n\"; }",
     .ndim = 2,
     .dims = {5, 70},
     .rows = 3,
     .torch = "y = x * torch.rsqrt((x * x).mean(-1, keepdim=True) + 2.0 ** -23) * p['n.weight']",
     .golden = 0xfa081714e9e85aef},
    {.name = "rms_norm_dims",
     .model = "{ op = \"rms_norm\"; name = \"n\"; dims = 2; affine = false; eps = 0.01; }",
     .ndim = 2,
     .dims = {4, 9},
     .rows = 3,
     .torch = "y = x * torch.rsqrt((x * x).mean((-2, -1), keepdim=True) + 0.01)",
     .golden = 0x5d08a8ef1c0575d8},
};
const int n_op_cases = (int)(sizeof op_cases / sizeof op_cases[0]);
