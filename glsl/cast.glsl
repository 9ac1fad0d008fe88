// Floats to integers: towards zero, saturating, NaN to 0.
ivec4 toInteger(vec4 x, float least, float most) {
  // 2^31 is not an int32: what is not below it is set by its bits.
  vec4 bounded = select(isNotNumber(x), vec4(0.0), clamp(x, vec4(least), vec4(most)));
  bvec4 over = greaterThanEqual(bounded, vec4(2147483648.0));
  bvec4 under = lessThanEqual(bounded, vec4(-2147483648.0));
  ivec4 inside = ivec4(select(either(over, under), vec4(0.0), bounded));
  return select(over, ivec4(0x7fffffff), select(under, ivec4(1 << 31), inside));
}

ivec4 isNotZero(vec4 x) {
  return ivec4(notEqual(floatBitsToInt(x) & 0x7fffffff, ivec4(0)));
}
