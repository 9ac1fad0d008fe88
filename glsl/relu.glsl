// x < 0 ? 0 : x, which keeps NaN and -0. Said in integers (negative numbers are the bits 0x80000001 to 0xff800000), as
// drivers make max(x, 0) of the comparison, and with it 0 of NaN.
vec4 rectified(vec4 x) {
  return select(lessThanEqual(floatBitsToUint(x) - 0x80000001u, uvec4(0x7f7fffffu)), vec4(0.0), x);
}
