// Selection on bits, because drivers compile conditional expressions of floats to max and min, which lose NaN. NaN is also detected by its
// bits, because compilers may assume that floats are numbers.
vec4 select(bvec4 condition, vec4 a, vec4 b) {
  ivec4 mask = -ivec4(condition);
  return intBitsToFloat((floatBitsToInt(a) & mask) | (floatBitsToInt(b) & ~mask));
}

ivec4 select(bvec4 condition, ivec4 a, ivec4 b) {
  return ivec4(condition.x ? a.x : b.x, condition.y ? a.y : b.y, condition.z ? a.z : b.z, condition.w ? a.w : b.w);
}

bvec4 either(bvec4 a, bvec4 b) {
  return bvec4(ivec4(a) | ivec4(b));
}

bvec4 both(bvec4 a, bvec4 b) {
  return bvec4(ivec4(a) & ivec4(b));
}

bvec4 isNotNumber(vec4 x) {
  return greaterThan(floatBitsToUint(x) & 0x7fffffffu, uvec4(0x7f800000u));
}

vec4 infinity() {
  return intBitsToFloat(ivec4(0x7f800000));
}

vec4 notNumber() {
  return intBitsToFloat(ivec4(0x7fc00000));
}

vec4 copySign(vec4 magnitude, vec4 sign) {
  return intBitsToFloat((floatBitsToInt(magnitude) & 0x7fffffff) | (floatBitsToInt(sign) & ivec4(1 << 31)));
}
