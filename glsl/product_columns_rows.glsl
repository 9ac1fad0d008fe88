// A 4 × 4 tile of outer products: texels of A, which lies as [k, m], hold four rows, those of B four columns.
// Positions and steps are in texels; `from` and `to` count k one by one.
void multiply(
  FLOAT_SAMPLER a, ivec4 rows, int stepA, FLOAT_SAMPLER b, ivec4 columns, int stepB, int from, int to,
  inout vec4 s0, inout vec4 s1, inout vec4 s2, inout vec4 s3
) {
  vec2 scaleA = texelSize(a), scaleB = texelSize(b);
  int atA = rows.x + from * stepA;
  int atB = columns.x + from * stepB;
  int k = from;
  // Four steps at a time, as a step alone is hardly more than its loop.
  for (; k + 4 <= to; k += 4) {
    vec2 along = lineA(atA), below = lineB(atB);
    mat4 x = transpose(mat4(
      texelA(a, along, 0), texelA(a, along, stepA), texelA(a, along, 2 * stepA), texelA(a, along, 3 * stepA)
    ));
    mat4 y = mat4(
      texelB(b, below, 0), texelB(b, below, stepB), texelB(b, below, 2 * stepB), texelB(b, below, 3 * stepB)
    );
    atA += 4 * stepA;
    atB += 4 * stepB;
    s0 += y * x[0];
    s1 += y * x[1];
    s2 += y * x[2];
    s3 += y * x[3];
  }
  for (; k < to; k++) {
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
