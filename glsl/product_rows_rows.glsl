// A 4 × 4 tile: four rows of A, whose texels hold four k each, times rows of B, whose texels hold four columns each.
// Positions and steps are in texels; `from` and `to` count four k at a time.
void multiply(
  FLOAT_SAMPLER a, ivec4 rows, int stepA, FLOAT_SAMPLER b, ivec4 columns, int stepB, int from, int to,
  inout vec4 s0, inout vec4 s1, inout vec4 s2, inout vec4 s3
) {
  int at = columns.x + 4 * from * stepB;
  for (int k = from; k < to; k++) {
    vec4 b0 = floatTexel(b, at);
    vec4 b1 = floatTexel(b, at + stepB);
    vec4 b2 = floatTexel(b, at + 2 * stepB);
    vec4 b3 = floatTexel(b, at + 3 * stepB);
    at += 4 * stepB;
    vec4 x = floatTexel(a, rows.x + k);
    s0 += x.x * b0 + x.y * b1 + x.z * b2 + x.w * b3;
    x = floatTexel(a, rows.y + k);
    s1 += x.x * b0 + x.y * b1 + x.z * b2 + x.w * b3;
    x = floatTexel(a, rows.z + k);
    s2 += x.x * b0 + x.y * b1 + x.z * b2 + x.w * b3;
    x = floatTexel(a, rows.w + k);
    s3 += x.x * b0 + x.y * b1 + x.z * b2 + x.w * b3;
  }
}
