// log(1 + x), for small x without computing 1 + x: 2·atanh(s) with s = x/(2 + x), as a series.
vec4 logarithm1p(vec4 x) {
  vec4 s = x / (2.0 + x);
  vec4 z = s * s;
  vec4 p = (((((z / 13.0 + 1.0 / 11.0) * z + 1.0 / 9.0) * z + 1.0 / 7.0) * z + 1.0 / 5.0) * z + 1.0 / 3.0) * z;
  return select(lessThan(abs(x), vec4(0.4)), 2.0 * (s + s * p), logarithm(1.0 + x));
}
