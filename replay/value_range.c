/* Ranges of values. See value_range.h. */
#include "replay/value_range.h"

static bool has_numbers(struct tdbg_value_range r)
{
    return r.low <= r.high;
}

static bool contains(struct tdbg_value_range r, double x)
{
    return r.low <= x && x <= r.high;
}

static bool may_be_infinite(struct tdbg_value_range r)
{
    return has_numbers(r) && (isinf(r.low) || isinf(r.high));
}

bool tdbg_value_may_hold(struct tdbg_value_range r)
{
    return r.may_be_nan || (has_numbers(r) && (r.low < 0 || r.high > 0));
}

bool tdbg_value_may_fail(struct tdbg_value_range r)
{
    return contains(r, 0);
}

struct tdbg_value_range tdbg_value_union(struct tdbg_value_range a, struct tdbg_value_range b)
{
    return (struct tdbg_value_range){
        a.low < b.low ? a.low : b.low, a.high > b.high ? a.high : b.high,
        a.may_be_nan || b.may_be_nan, a.may_be_absent || b.may_be_absent};
}

/* Is one of them NaN while the other has a value? */
static bool meets_nan(struct tdbg_value_range a, struct tdbg_value_range b)
{
    return (a.may_be_nan && (has_numbers(b) || b.may_be_nan)) || (b.may_be_nan && has_numbers(a));
}

/* --- arithmetic --- */

static struct tdbg_value_range add(struct tdbg_value_range a, struct tdbg_value_range b)
{
    double low = a.low + b.low, high = a.high + b.high;
    low = isnan(low) ? -(double)INFINITY : low;
    high = isnan(high) ? (double)INFINITY : high;
    const bool opposite = (contains(a, (double)INFINITY) && contains(b, -(double)INFINITY)) ||
                          (contains(a, -(double)INFINITY) && contains(b, (double)INFINITY));
    return tdbg_value_between(low, high, opposite);
}

static struct tdbg_value_range negate(struct tdbg_value_range r)
{
    return (struct tdbg_value_range){-r.high, -r.low, r.may_be_nan, r.may_be_absent};
}

/* The least and the greatest of four corners. One that is NaN, 0 x inf or inf / inf, has 0 beside
 * it. */
static struct tdbg_value_range hull(const double corners[4], bool may_be_nan)
{
    struct tdbg_value_range out = tdbg_value_no_number(may_be_nan);
    for (int i = 0; i < 4; i++) {
        const double c = isnan(corners[i]) ? 0 : corners[i];
        out.low = c < out.low ? c : out.low;
        out.high = c > out.high ? c : out.high;
    }
    return out;
}

static struct tdbg_value_range multiply(struct tdbg_value_range a, struct tdbg_value_range b)
{
    const double corners[4] = {a.low * b.low, a.low * b.high, a.high * b.low, a.high * b.high};
    return hull(corners,
                (contains(a, 0) && may_be_infinite(b)) || (contains(b, 0) && may_be_infinite(a)));
}

static struct tdbg_value_range divide(struct tdbg_value_range a, struct tdbg_value_range b)
{
    const double corners[4] = {a.low / b.low, a.low / b.high, a.high / b.low, a.high / b.high};
    if (contains(b, 0)) /* of either sign */
        return tdbg_value_between(-(double)INFINITY, (double)INFINITY, true);
    return hull(corners, may_be_infinite(a) && may_be_infinite(b));
}

static struct tdbg_value_range calculate(enum tdbg_expr_code code, struct tdbg_value_range a,
                                         struct tdbg_value_range b)
{
    struct tdbg_value_range out = tdbg_value_no_number(false);
    if (has_numbers(a) && has_numbers(b))
        out = code == TDBG_EXPR_ADD        ? add(a, b)
              : code == TDBG_EXPR_SUBTRACT ? add(a, negate(b))
              : code == TDBG_EXPR_MULTIPLY ? multiply(a, b)
                                           : divide(a, b);
    out.may_be_nan |= meets_nan(a, b);
    out.may_be_absent = a.may_be_absent || b.may_be_absent;
    return out;
}

/* --- truth --- */

static struct tdbg_value_range truth(bool may_hold, bool may_fail, bool may_be_absent)
{
    struct tdbg_value_range out = tdbg_value_no_number(false);
    if (may_hold || may_fail)
        out = tdbg_value_between(!may_fail, may_hold, false);
    out.may_be_absent = may_be_absent;
    return out;
}

/* A comparison by what it is for numbers; with NaN it is `of_nan`. */
static struct tdbg_value_range compare(struct tdbg_value_range a, struct tdbg_value_range b,
                                       bool may_hold, bool may_fail, bool of_nan)
{
    const bool numbers = has_numbers(a) && has_numbers(b), nan = meets_nan(a, b);
    return truth((numbers && may_hold) || (nan && of_nan),
                 (numbers && may_fail) || (nan && !of_nan), a.may_be_absent || b.may_be_absent);
}

static struct tdbg_value_range less(struct tdbg_value_range a, struct tdbg_value_range b)
{
    return compare(a, b, a.low < b.high, a.high >= b.low, false);
}

static struct tdbg_value_range less_equal(struct tdbg_value_range a, struct tdbg_value_range b)
{
    return compare(a, b, a.low <= b.high, a.high > b.low, false);
}

static struct tdbg_value_range equal(struct tdbg_value_range a, struct tdbg_value_range b,
                                     bool is_wanted)
{
    const bool may_be = a.low <= b.high && b.low <= a.high;
    const bool may_differ = !(a.low == a.high && b.low == b.high && a.low == b.low);
    return compare(a, b, is_wanted ? may_be : may_differ, is_wanted ? may_differ : may_be,
                   !is_wanted);
}

/* One that decides alone is enough, whether or not the other has a value. */
static struct tdbg_value_range join(struct tdbg_value_range a, struct tdbg_value_range b,
                                    bool decisive)
{
    const bool a_decides = decisive ? tdbg_value_may_hold(a) : tdbg_value_may_fail(a);
    const bool b_decides = decisive ? tdbg_value_may_hold(b) : tdbg_value_may_fail(b);
    const bool a_leaves = decisive ? tdbg_value_may_fail(a) : tdbg_value_may_hold(a);
    const bool b_leaves = decisive ? tdbg_value_may_fail(b) : tdbg_value_may_hold(b);
    const bool decided = a_decides || b_decides, left = a_leaves && b_leaves;
    return truth(decisive ? decided : left, decisive ? left : decided,
                 (a.may_be_absent && (b.may_be_absent || b_leaves)) ||
                     (b.may_be_absent && a_leaves));
}

struct tdbg_value_range tdbg_value_compute(enum tdbg_expr_code code, struct tdbg_value_range a,
                                           struct tdbg_value_range b)
{
    switch (code) {
    case TDBG_EXPR_NEGATE:
        return negate(a);
    case TDBG_EXPR_NOT:
        return truth(tdbg_value_may_fail(a), tdbg_value_may_hold(a), a.may_be_absent);
    case TDBG_EXPR_LESS:
        return less(a, b);
    case TDBG_EXPR_LESS_EQUAL:
        return less_equal(a, b);
    case TDBG_EXPR_GREATER:
        return less(b, a);
    case TDBG_EXPR_GREATER_EQUAL:
        return less_equal(b, a);
    case TDBG_EXPR_EQUAL:
        return equal(a, b, true);
    case TDBG_EXPR_NOT_EQUAL:
        return equal(a, b, false);
    case TDBG_EXPR_AND:
        return join(a, b, false);
    case TDBG_EXPR_OR:
        return join(a, b, true);
    case TDBG_EXPR_ADD:
    case TDBG_EXPR_SUBTRACT:
    case TDBG_EXPR_MULTIPLY:
    case TDBG_EXPR_DIVIDE:
        return calculate(code, a, b);
    default:
        TDBG_BUG("operator %d of an expression", (int)code);
    }
}
