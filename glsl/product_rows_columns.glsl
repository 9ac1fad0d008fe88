// A 4 × 4 tile of dot products: texels of A and of B, which lies as [n, k], hold four k each.
// Positions are in texels; `from` and `to` count four k at a time.
void multiply(
  FLOAT_SAMPLER a, ivec4 rows, int stepA, FLOAT_SAMPLER b, ivec4 columns, int stepB, int from, int to,
  inout vec4 s0, inout vec4 s1, inout vec4 s2, inout vec4 s3
) {
  for (int k = from; k < to; k++) {
    vec4 b0 = floatTexel(b, columns.x + k);
    vec4 b1 = floatTexel(b, columns.y + k);
    vec4 b2 = floatTexel(b, columns.z + k);
    vec4 b3 = floatTexel(b, columns.w + k);
    vec4 x = floatTexel(a, rows.x + k);
    s0 += vec4(dot(x, b0), dot(x, b1), dot(x, b2), dot(x, b3));
    x = floatTexel(a, rows.y + k);
    s1 += vec4(dot(x, b0), dot(x, b1), dot(x, b2), dot(x, b3));
    x = floatTexel(a, rows.z + k);
    s2 += vec4(dot(x, b0), dot(x, b1), dot(x, b2), dot(x, b3));
    x = floatTexel(a, rows.w + k);
    s3 += vec4(dot(x, b0), dot(x, b1), dot(x, b2), dot(x, b3));
  }
}
