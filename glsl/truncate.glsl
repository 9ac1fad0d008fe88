// floor, ceil and trunc with the sign of zeros, and NaN and infinities as they are.
vec4 keepSign(vec4 y, vec4 x) {
  return select(lessThan(abs(x), vec4(8388608.0)), copySign(y, x), x);
}

vec4 truncated(vec4 x) {
  return keepSign(floor(abs(x)), x);
}

// Of magnitudes: llvmpipe gives |x| for ceil(x) here where all four lanes are one number of (-1, 0).
vec4 ceiling(vec4 x) {
  return keepSign(select(lessThan(x, vec4(0.0)), floor(abs(x)), ceil(abs(x))), x);
}
