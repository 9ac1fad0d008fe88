// float32 rounded to a half float, to nearest, ties to even, as encodeFloat16 does (src/formats/f16.ts): what is written to a
// half-float texture some drivers round, others truncate, and beyond 65504 each does something else. HALF_INFINITY are the bits
// of the float32 that this driver stores as an infinite half.
vec4 roundToHalf(vec4 x) {
  uvec4 size = floatBitsToUint(x) & 0x7fffffffu;
  vec4 normal = uintBitsToFloat((size + 0xfffu + (size >> 13 & 1u)) & 0xffffe000u);
  // Multiples of 2^-24.
  vec4 subnormal = roundHalfEven(abs(x) * 16777216.0) / 16777216.0;
  vec4 y = select(lessThan(size, uvec4(0x38800000u)), subnormal, normal);
  // From 65520 on, halfway between the largest half and the next power of two.
  y = select(greaterThanEqual(size, uvec4(0x477ff000u)), uintBitsToFloat(uvec4(HALF_INFINITY)), y);
  return select(isNotNumber(x), x, copySign(y, x));
}
