// ROWS rows of A, whose texels have four k, times rows of B, whose texels have four columns.
// Positions and stepB are in texels; `from`, `to` and `by` count four k at a time.
void multiply(
  SAMPLER_A a, int shiftA, ivec3 rows, SAMPLER_B b, int shiftB, ivec4 columns, int stepB,
  int from, int to, int by,
  inout vec4 s0, inout vec4 s1, inout vec4 s2
) {
  vec2 scaleA = texelSize(a), scaleB = texelSize(b);
  int maskA = (1 << shiftA) - 1, maskB = (1 << shiftB) - 1;
  vec2 row0 = lineA(rows.x), row1 = lineA(rows.y), row2 = lineA(rows.z);
  int at = columns.x + 4 * from * stepB;
  float stepAlong = float(stepB) * scaleB.x;
  for (int k = from; k < to; k += by) {
    vec2 line = lineB(at);
    float alongA = float(k) * scaleA.x;
    mat4 y = mat4(
      texelB(b, line, 0.0), texelB(b, line, stepAlong), texelB(b, line, 2.0 * stepAlong), texelB(b, line, 3.0 * stepAlong)
    );
    at += 4 * by * stepB;
    s0 += y * texelA(a, row0, alongA);
#if ROWS > 1
    s1 += y * texelA(a, row1, alongA);
#endif
#if ROWS > 2
    s2 += y * texelA(a, row2, alongA);
#endif
  }
}
