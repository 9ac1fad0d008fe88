// Converts 16-bit floats, as integers 0 to 65535 with their bits, to float32 and back. Both are exact: only representable numbers are
// narrowed. Computed on bits, because devices may flush subnormal numbers.
vec4 widenBfloat16(ivec4 bits) {
  return intBitsToFloat(bits << 16);
}

vec4 widenBinary16(ivec4 bits) {
  ivec4 size = bits & 0x7fff;
  vec4 normal = intBitsToFloat((size << 13) + 0x38000000);
  // Multiples of 2^-24.
  vec4 subnormal = vec4(size) * 5.9604644775390625e-8;
  vec4 x = select(lessThan(size, ivec4(0x400)), subnormal, normal);
  x = select(greaterThanEqual(size, ivec4(0x7c00)), intBitsToFloat((size << 13) | 0x7f800000), x);
  return intBitsToFloat(floatBitsToInt(x) | ((bits & 0x8000) << 16));
}

ivec4 narrowBfloat16(vec4 x) {
  return (floatBitsToInt(x) >> 16) & 0xffff;
}

ivec4 narrowBinary16(vec4 x) {
  ivec4 bits = floatBitsToInt(x);
  ivec4 size = bits & 0x7fffffff;
  ivec4 normal = (size - 0x38000000) >> 13;
  ivec4 subnormal = ivec4(intBitsToFloat(size) * 16777216.0);
  ivec4 result = select(lessThan(size, ivec4(0x38800000)), subnormal, normal);
  ivec4 special = 0x7c00 | ((size >> 13) & 0x3ff);
  result = select(greaterThanEqual(size, ivec4(0x7f800000)), special, result);
  return result | ((bits >> 16) & 0x8000);
}

// The nearest half, ties to even, as float32.
vec4 roundToBfloat16(vec4 x) {
  ivec4 bits = floatBitsToInt(x);
  vec4 rounded = intBitsToFloat((bits + 0x7fff + ((bits >> 16) & 1)) & ~0xffff);
  return select(isNotNumber(x), intBitsToFloat((bits & ~0xffff) | 0x400000), rounded);
}

vec4 roundToBinary16(vec4 x) {
  ivec4 size = floatBitsToInt(x) & 0x7fffffff;
  vec4 normal = intBitsToFloat((size + 0xfff + ((size >> 13) & 1)) & ~0x1fff);
  // The distance of float32 from 0.5 on is 2^-24: the addition rounds.
  vec4 subnormal = vec4(floatBitsToInt(abs(x) + 0.5) - 0x3f000000) * 5.9604644775390625e-8;
  vec4 y = select(lessThan(size, ivec4(0x38800000)), subnormal, normal);
  // From 65520 on, halfway between the largest half and the next power of two.
  y = select(greaterThanEqual(size, ivec4(0x477ff000)), infinity(), y);
  return select(isNotNumber(x), intBitsToFloat((floatBitsToInt(x) & ~0x1fff) | 0x400000), copySign(y, x));
}
