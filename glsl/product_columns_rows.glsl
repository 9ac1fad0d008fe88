// A 4 × 4 tile of outer products: texels of A, which lies as [k, m], hold four rows, those of B four columns.
// Positions and steps are in texels; `from` and `to` count k one by one.
void multiply(
  FLOAT_SAMPLER a, ivec4 rows, int stepA, FLOAT_SAMPLER b, ivec4 columns, int stepB, int from, int to,
  inout vec4 s0, inout vec4 s1, inout vec4 s2, inout vec4 s3
) {
  int atA = rows.x + from * stepA;
  int atB = columns.x + from * stepB;
  for (int k = from; k < to; k++) {
    vec4 x = floatTexel(a, atA);
    vec4 y = floatTexel(b, atB);
    atA += stepA;
    atB += stepB;
    s0 += x.x * y;
    s1 += x.y * y;
    s2 += x.z * y;
    s3 += x.w * y;
  }
}
