// x < 0 ? 0 : x keeps NaN and -0.
vec4 rectified(vec4 x) {
  return select(lessThan(x, vec4(0.0)), vec4(0.0), x);
}
