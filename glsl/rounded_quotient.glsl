// a / b rounded to nearest, halves to even, by long division of the mantissas: the built-in quotient may be a few units of the
// last place off. Operands and results are normal numbers, 0, infinite or NaN.
vec4 roundedQuotient(vec4 a, vec4 b) {
  uvec4 x = floatBitsToUint(a) & 0x7fffffffu;
  uvec4 y = floatBitsToUint(b) & 0x7fffffffu;
  uvec4 sign = (floatBitsToUint(a) ^ floatBitsToUint(b)) & 0x80000000u;
  uvec4 rest = (x & 0x7fffffu) | 0x800000u;
  uvec4 divisor = (y & 0x7fffffu) | 0x800000u;
  uvec4 isSmaller = uvec4(lessThan(rest, divisor));
  ivec4 exponent = ivec4(x >> 23) - ivec4(y >> 23) + 127 - ivec4(isSmaller);
  rest <<= isSmaller;
  // 24 bits of the quotient, the first of which is 1, and one more bit for rounding.
  uvec4 quotient = uvec4(0u);
  for (int i = 0; i < 25; i++) {
    uvec4 fits = uvec4(greaterThanEqual(rest, divisor));
    quotient = (quotient << 1) | fits;
    rest = (rest - fits * divisor) << 1;
  }
  // No quotient of two mantissas of 24 bits lies halfway.
  quotient = (quotient + 1u) >> 1;
  ivec4 bits = (exponent << 23) + ivec4(quotient - 0x800000u);
  bits = select(lessThan(bits, ivec4(0x800000)), ivec4(0), bits);
  bits = select(greaterThan(exponent, ivec4(254)), ivec4(0x7f800000), bits);
  bvec4 isZero = either(lessThan(x, uvec4(0x800000u)), equal(y, uvec4(0x7f800000u)));
  bvec4 isEndless = either(lessThan(y, uvec4(0x800000u)), equal(x, uvec4(0x7f800000u)));
  bits = select(isZero, ivec4(0), select(isEndless, ivec4(0x7f800000), bits));
  bvec4 isOpen = either(both(isZero, isEndless), either(isNotNumber(a), isNotNumber(b)));
  return select(isOpen, notNumber(), intBitsToFloat(bits | ivec4(sign)));
}
