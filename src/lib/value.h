#pragma once
/* A stead_value is a Value; the other name keeps our functions out of the public interface. */
#include "base/value.h"
#include "lib/stead.h"

static inline const Value *value_of(const stead_value *value) {
    return (const Value *)value;
}

static inline Value *value_take(stead_value *value) {
    return (Value *)value;
}

static inline stead_value *value_give(Value *value) {
    return (stead_value *)value;
}
