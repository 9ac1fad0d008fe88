// Rounds float32 to a half float, to nearest, ties to even, as encodeFloat16 (src/core/half.ts). Drivers differ when they store to half-float
// textures: some round, others truncate, and all differ beyond 65504. HALF_INFINITY is the bits of the float32 that this driver stores as
// an infinite half.
vec4 roundToHalf(vec4 x) {
  uvec4 size = floatBitsToUint(x) & 0x7fffffffu;
  vec4 normal = uintBitsToFloat((size + 0xfffu + (size >> 13 & 1u)) & 0xffffe000u);
  // Multiples of 2^-24, the distance of float32 from 0.5 on: the addition rounds.
  vec4 subnormal = vec4(floatBitsToUint(abs(x) + 0.5) - 0x3f000000u) * 5.9604644775390625e-8;
  vec4 y = select(lessThan(size, uvec4(0x38800000u)), subnormal, normal);
  // From 65520 on, halfway between the largest half and the next power of two.
  y = select(greaterThanEqual(size, uvec4(0x477ff000u)), uintBitsToFloat(uvec4(HALF_INFINITY)), y);
  return select(isNotNumber(x), x, copySign(y, x));
}
