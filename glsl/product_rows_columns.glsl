// A tile of dot products: texels of A and of B, which lies as [n, k], hold four k each.
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
  vec2 column0 = lineB(columns.x), column1 = lineB(columns.y);
  vec2 column2 = lineB(columns.z), column3 = lineB(columns.w);
  for (int k = from; k < to; k++) {
    mat4 y = mat4(texelB(b, column0, k), texelB(b, column1, k), texelB(b, column2, k), texelB(b, column3, k));
    // A vector times a matrix is its dot products with the columns.
    s0 += texelA(a, row0, k) * y;
    s1 += texelA(a, row1, k) * y;
    s2 += texelA(a, row2, k) * y;
    s3 += texelA(a, row3, k) * y;
#ifdef EIGHT_ROWS
    s4 += texelA(a, row4, k) * y;
    s5 += texelA(a, row5, k) * y;
    s6 += texelA(a, row6, k) * y;
    s7 += texelA(a, row7, k) * y;
#endif
  }
}
