// floor, ceil and trunc with the sign of zeros, and NaN and infinities as they are.
vec4 keepSign(vec4 y, vec4 x) {
  return select(lessThan(abs(x), vec4(8388608.0)), copySign(y, x), x);
}

vec4 truncated(vec4 x) {
  return keepSign(floor(abs(x)), x);
}

// Computed on magnitudes: llvmpipe returns |x| for ceil(x) if all four lanes are the same number in (-1, 0).
vec4 ceiling(vec4 x) {
  return keepSign(select(lessThan(x, vec4(0.0)), floor(abs(x)), ceil(abs(x))), x);
}
