// int32 arithmetic for which GLSL leaves signs or overflow undefined. Division truncates, and is 0 for a divisor of 0; the remainder has the
// divisor's sign.
int divideOf(int a, int b) {
  if (b == 0) return 0;
  uint quotient = uint(a < 0 ? -a : a) / uint(b < 0 ? -b : b);
  return (a < 0) != (b < 0) ? -int(quotient) : int(quotient);
}

ivec4 divide(ivec4 a, ivec4 b) {
  return ivec4(divideOf(a.x, b.x), divideOf(a.y, b.y), divideOf(a.z, b.z), divideOf(a.w, b.w));
}

ivec4 modulo(ivec4 a, ivec4 b) {
  ivec4 rest = a - divide(a, b) * b;
  bvec4 wrong = both(notEqual(rest, ivec4(0)), notEqual(lessThan(rest, ivec4(0)), lessThan(b, ivec4(0))));
  return select(equal(b, ivec4(0)), ivec4(0), select(wrong, rest + b, rest));
}

// By squaring; a negative exponent gives the truncated quotient 1/a^|b|.
int powerOf(int base, int exponent) {
  if (exponent < 0) return base == 1 ? 1 : base == -1 ? ((exponent & 1) == 0 ? 1 : -1) : 0;
  int result = 1;
  for (int i = 0; i < 31; i++) {
    if ((exponent >> i & 1) != 0) result *= base;
    base *= base;
  }
  return result;
}

ivec4 power(ivec4 a, ivec4 b) {
  return ivec4(powerOf(a.x, b.x), powerOf(a.y, b.y), powerOf(a.z, b.z), powerOf(a.w, b.w));
}
