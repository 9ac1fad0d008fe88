// A 4 × 4 tile: texels of A, which lies as [k, m], hold four rows, those of B, which lies as [n, k], four k.
// Positions and steps are in texels; `from` and `to` count four k at a time.
void multiply(
  FLOAT_SAMPLER a, ivec4 rows, int stepA, FLOAT_SAMPLER b, ivec4 columns, int stepB, int from, int to,
  inout vec4 s0, inout vec4 s1, inout vec4 s2, inout vec4 s3
) {
  int at = rows.x + 4 * from * stepA;
  for (int k = from; k < to; k++) {
    mat4 y = transpose(mat4(
      floatTexel(b, columns.x + k),
      floatTexel(b, columns.y + k),
      floatTexel(b, columns.z + k),
      floatTexel(b, columns.w + k)
    ));
    for (int i = 0; i < 4; i++) {
      vec4 x = floatTexel(a, at);
      at += stepA;
      s0 += x.x * y[i];
      s1 += x.y * y[i];
      s2 += x.z * y[i];
      s3 += x.w * y[i];
    }
  }
}
