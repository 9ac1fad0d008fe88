// The float32 nearest to an int32, halves to even, because GLSL does not define the rounding of conversions beyond 2^24.
vec4 nearestFloat(ivec4 x) {
  uvec4 magnitude = uvec4(select(lessThan(x, ivec4(0)), -x, x));
  // Bits beyond the 24 of a float; the conversion of what is left without the last eight is exact.
  ivec4 exponent = (floatBitsToInt(vec4(magnitude >> 8)) >> 23) - 127;
  ivec4 beyond = max(exponent - 15, ivec4(0));
  uvec4 unit = uvec4(1u) << beyond;
  magnitude += ((unit >> 1) - min(unit >> 1, uvec4(1u))) + ((magnitude >> beyond) & min(unit >> 1, uvec4(1u)));
  vec4 y = vec4(magnitude >> beyond) * vec4(unit);
  return select(lessThan(x, ivec4(0)), -y, y);
}
