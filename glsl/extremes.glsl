// max and min that propagate NaN; the built-in ones may return the other operand.
vec4 maximum(vec4 a, vec4 b) {
  return select(either(isNotNumber(a), isNotNumber(b)), a + b, max(a, b));
}

vec4 minimum(vec4 a, vec4 b) {
  return select(either(isNotNumber(a), isNotNumber(b)), a + b, min(a, b));
}
