// A tile of outer products: texels of A, which lies as [k, m], hold four rows, those of B four columns.
// Positions and steps are in texels; `from` and `to` count k one by one. The rows behind the first four are in the next texel.
void multiply(
  FLOAT_SAMPLER a, ivec4 rows, ivec4 below, int stepA, FLOAT_SAMPLER b, ivec4 columns, int stepB, int from, int to, SUMS
) {
  vec2 scaleA = texelSize(a), scaleB = texelSize(b);
  int atA = rows.x + from * stepA;
  int atB = columns.x + from * stepB;
  int k = from;
  // Four steps at a time, as a step alone is hardly more than its loop.
  for (; k + 4 <= to; k += 4) {
    vec2 along = lineA(atA), next = lineB(atB);
    mat4 x = transpose(mat4(
      texelA(a, along, 0), texelA(a, along, stepA), texelA(a, along, 2 * stepA), texelA(a, along, 3 * stepA)
    ));
    mat4 y = mat4(
      texelB(b, next, 0), texelB(b, next, stepB), texelB(b, next, 2 * stepB), texelB(b, next, 3 * stepB)
    );
    s0 += y * x[0];
    s1 += y * x[1];
    s2 += y * x[2];
    s3 += y * x[3];
#ifdef EIGHT_ROWS
    x = transpose(mat4(
      texelA(a, along, 1), texelA(a, along, stepA + 1), texelA(a, along, 2 * stepA + 1), texelA(a, along, 3 * stepA + 1)
    ));
    s4 += y * x[0];
    s5 += y * x[1];
    s6 += y * x[2];
    s7 += y * x[3];
#endif
    atA += 4 * stepA;
    atB += 4 * stepB;
  }
  for (; k < to; k++) {
    vec4 x = floatTexel(a, atA);
    vec4 y = floatTexel(b, atB);
    s0 += x.x * y;
    s1 += x.y * y;
    s2 += x.z * y;
    s3 += x.w * y;
#ifdef EIGHT_ROWS
    x = floatTexel(a, atA + 1);
    s4 += x.x * y;
    s5 += x.y * y;
    s6 += x.z * y;
    s7 += x.w * y;
#endif
    atA += stepA;
    atB += stepB;
  }
}
