// ROWS rows of A times four columns of B, stored as [n, k]: texels of both have four k.
// Positions are in texels; `from`, `to` and `by` count four k at a time.
void multiply(
  SAMPLER_A a, int shiftA, ivec3 rows, SAMPLER_B b, int shiftB, ivec4 columns, int stepB,
  int from, int to, int by,
  inout vec4 s0, inout vec4 s1, inout vec4 s2
) {
  vec2 scaleA = texelSize(a), scaleB = texelSize(b);
  int maskA = (1 << shiftA) - 1, maskB = (1 << shiftB) - 1;
  vec2 row0 = lineA(rows.x), row1 = lineA(rows.y), row2 = lineA(rows.z);
  vec2 column0 = lineB(columns.x), column1 = lineB(columns.y);
  vec2 column2 = lineB(columns.z), column3 = lineB(columns.w);
  for (int k = from; k < to; k += by) {
    float alongA = float(k) * scaleA.x, alongB = float(k) * scaleB.x;
    mat4 y = mat4(
      texelB(b, column0, alongB), texelB(b, column1, alongB),
      texelB(b, column2, alongB), texelB(b, column3, alongB)
    );
    // A vector times a matrix is its dot products with the columns.
    s0 += texelA(a, row0, alongA) * y;
#if ROWS > 1
    s1 += texelA(a, row1, alongA) * y;
#endif
#if ROWS > 2
    s2 += texelA(a, row2, alongA) * y;
#endif
  }
}
