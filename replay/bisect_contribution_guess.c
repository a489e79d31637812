/* What was contributed, where its digest alone was recorded. See bisect_contribution.h. A digest is
 * a sum of one number per element, so that of a tensor which differs in one element is had at once.
 */
#include <math.h>
#include <string.h>

#include "base/digest.h"
#include "replay/bisect_contribution.h"

static uint32_t word_of(float x)
{
    uint32_t w;
    memcpy(&w, &x, sizeof w);
    return w;
}

static bool has_digest(const float *data, int64_t n, uint64_t digest)
{
    return tdbg_digest_fast(data, TDBG_DTYPE_F32, n) == digest;
}

static bool is_scaled(const float *fresh, int64_t n, float by, uint64_t digest, float *out)
{
    for (int64_t i = 0; i < n; i++)
        out[i] = by * fresh[i];
    return has_digest(out, n, digest);
}

/* One element, of which a bit is flipped, or which is zero or that of the step before. */
static bool is_one_element(const float *fresh, const float *before, int64_t n, uint64_t digest,
                           float *out)
{
    const uint64_t sum = tdbg_digest_fast(fresh, TDBG_DTYPE_F32, n);
    for (int64_t i = 0; i < n; i++) {
        const uint32_t w = word_of(fresh[i]);
        const uint64_t rest = sum - tdbg_digest_mix((uint64_t)i, w);
        uint32_t found = w;
        for (int bit = 0; bit < 32; bit++) {
            if (rest + tdbg_digest_mix((uint64_t)i, w ^ UINT32_C(1) << bit) == digest)
                found = w ^ UINT32_C(1) << bit;
        }
        if (rest + tdbg_digest_mix((uint64_t)i, 0) == digest)
            found = 0;
        if (before && rest + tdbg_digest_mix((uint64_t)i, word_of(before[i])) == digest)
            found = word_of(before[i]);
        if (found == w)
            continue;
        memcpy(out, fresh, (size_t)n * sizeof *out);
        memcpy(&out[i], &found, sizeof found);
        return has_digest(out, n, digest);
    }
    return false;
}

bool tdbg_contribution_guess(const float *fresh, const float *before, int64_t n, int32_t world_size,
                             uint64_t digest, float *out)
{
    const float factors[] = {2, 0.5F, (float)world_size, 1 / (float)world_size, -1};
    memset(out, 0, (size_t)n * sizeof *out);
    if (has_digest(out, n, digest))
        return true;
    if (before && has_digest(before, n, digest)) {
        memcpy(out, before, (size_t)n * sizeof *out);
        return true;
    }
    for (size_t i = 0; i < sizeof factors / sizeof factors[0]; i++) {
        if (is_scaled(fresh, n, factors[i], digest, out))
            return true;
    }
    return is_one_element(fresh, before, n, digest, out);
}
