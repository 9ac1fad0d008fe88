// A tile: texels of A, which lies as [k, m], hold four rows, those of B, which lies as [n, k], four k.
// Positions and steps are in texels; `from` and `to` count four k at a time. The rows behind the first four are in the next
// texel.
void multiply(
  FLOAT_SAMPLER a, ivec4 rows, ivec4 below, int stepA, FLOAT_SAMPLER b, ivec4 columns, int stepB, int from, int to, SUMS
) {
  vec2 scaleA = texelSize(a), scaleB = texelSize(b);
  vec2 column0 = lineB(columns.x), column1 = lineB(columns.y);
  vec2 column2 = lineB(columns.z), column3 = lineB(columns.w);
  int at = rows.x + 4 * from * stepA;
  for (int k = from; k < to; k++) {
    mat4 y = transpose(mat4(
      texelB(b, column0, k), texelB(b, column1, k), texelB(b, column2, k), texelB(b, column3, k)
    ));
    vec2 line = lineA(at);
    mat4 x = transpose(mat4(
      texelA(a, line, 0), texelA(a, line, stepA), texelA(a, line, 2 * stepA), texelA(a, line, 3 * stepA)
    ));
    s0 += y * x[0];
    s1 += y * x[1];
    s2 += y * x[2];
    s3 += y * x[3];
#ifdef EIGHT_ROWS
    x = transpose(mat4(
      texelA(a, line, 1), texelA(a, line, stepA + 1), texelA(a, line, 2 * stepA + 1), texelA(a, line, 3 * stepA + 1)
    ));
    s4 += y * x[0];
    s5 += y * x[1];
    s6 += y * x[2];
    s7 += y * x[3];
#endif
    at += 4 * stepA;
  }
}
