// A tile: rows of A, whose texels hold four k each, times rows of B, whose texels hold four columns each.
// Positions and steps are in texels; `from` and `to` count four k at a time. `below` are the rows behind the first four.
void multiply(
  FLOAT_SAMPLER a, ivec4 rows, ivec4 below, int stepA, FLOAT_SAMPLER b, ivec4 columns, int stepB, int from, int to, SUMS
) {
  vec2 scaleA = texelSize(a), scaleB = texelSize(b);
  vec2 row0 = lineA(rows.x), row1 = lineA(rows.y);
  vec2 row2 = lineA(rows.z), row3 = lineA(rows.w);
#ifdef EIGHT_ROWS
  vec2 row4 = lineA(below.x), row5 = lineA(below.y);
  vec2 row6 = lineA(below.z), row7 = lineA(below.w);
#endif
  int at = columns.x + 4 * from * stepB;
  for (int k = from; k < to; k++) {
    vec2 line = lineB(at);
    mat4 y = mat4(
      texelB(b, line, 0), texelB(b, line, stepB), texelB(b, line, 2 * stepB), texelB(b, line, 3 * stepB)
    );
    at += 4 * stepB;
    s0 += y * texelA(a, row0, k);
    s1 += y * texelA(a, row1, k);
    s2 += y * texelA(a, row2, k);
    s3 += y * texelA(a, row3, k);
#ifdef EIGHT_ROWS
    s4 += y * texelA(a, row4, k);
    s5 += y * texelA(a, row5, k);
    s6 += y * texelA(a, row6, k);
    s7 += y * texelA(a, row7, k);
#endif
  }
}
