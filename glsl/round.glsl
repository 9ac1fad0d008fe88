// Half to even, with the sign of zeros.
vec4 roundHalfEven(vec4 x) {
  vec4 low = floor(x);
  vec4 rest = x - low;
  vec4 isOdd = low - 2.0 * floor(0.5 * low);
  vec4 up = select(greaterThan(rest, vec4(0.5)), vec4(1.0), select(equal(rest, vec4(0.5)), isOdd, vec4(0.0)));
  vec4 y = select(lessThan(abs(x), vec4(8388608.0)), low + up, x);
  return select(isNotNumber(x), x, copySign(y, x));
}
