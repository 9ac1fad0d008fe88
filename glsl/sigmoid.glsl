// 1 / (1 + e^-x), computed from e^-|x|, which does not overflow.
vec4 sigmoid(vec4 x) {
  vec4 e = exp(-abs(x));
  vec4 y = select(lessThan(x, vec4(0.0)), e, vec4(1.0)) / (1.0 + e);
  return select(isNotNumber(x), x, y);
}
