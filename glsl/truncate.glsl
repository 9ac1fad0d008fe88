// floor, ceil and trunc with the sign of zeros, and NaN and infinities as they are.
vec4 keepSign(vec4 y, vec4 x) {
  return select(lessThan(abs(x), vec4(8388608.0)), copySign(y, x), x);
}

vec4 truncated(vec4 x) {
  return keepSign(floor(abs(x)), x);
}

vec4 ceiling(vec4 x) {
  vec4 y = ceil(x);
  return select(lessThan(abs(x), vec4(8388608.0)), select(equal(y, vec4(0.0)), copySign(y, x), y), x);
}
