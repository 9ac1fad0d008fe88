// x < 0 ? 0 : x, which keeps NaN and -0. Computed on bits (negative numbers are 0x80000001 to 0xff800000), because drivers compile the
// float comparison to max(x, 0), which turns NaN into 0.
vec4 rectified(vec4 x) {
  return select(lessThanEqual(floatBitsToUint(x) - 0x80000001u, uvec4(0x7f7fffffu)), vec4(0.0), x);
}
