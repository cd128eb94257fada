#include "lang/number.h"

#include <math.h>

#include "base/json.h"

void number_append(GString *out, double number) {
    g_assert(isfinite(number));
    g_autoptr(Value) value = value_new_float(number);
    json_append(out, value, JSON_COMPACT);
}
