// How products read texel `at + step` of A and of B. `line` is lineA(at), the middle of texel `at` in the coordinates of
// samplers, scaleA is texelSize(a), and shiftA is log2 of the width of a. Drivers are quicker at sampling than at texelFetch, by half on software rasterisers;
// lines are powers of two long, so that coordinates along them are exact. STRAIGHT_A and STRAIGHT_B say that `at + step` is
// never on another line of the texture than `at`.
vec2 texelSize(FLOAT_SAMPLER s) {
  return 1.0 / vec2(textureSize(s, 0));
}

vec2 middle(int shift, int t, vec2 scale) {
  return (vec2(texelPosition(shift, t)) + 0.5) * scale;
}

// Whole lines in x move on to the lines that follow.
vec4 folded(FLOAT_SAMPLER s, vec2 line, float step, vec2 scale) {
  float x = line.x + step * scale.x;
  float lines = floor(x);
  return toFloats(texture(s, vec2(x - lines, line.y + lines * scale.y)));
}

#define lineA(at) middle(shiftA, at, scaleA)
#define lineB(at) middle(shiftB, at, scaleB)
#ifdef STRAIGHT_A
#define texelA(s, line, step) toFloats(texture(s, vec2((line).x + float(step) * scaleA.x, (line).y)))
#else
#define texelA(s, line, step) folded(s, line, float(step), scaleA)
#endif
#ifdef STRAIGHT_B
#define texelB(s, line, step) toFloats(texture(s, vec2((line).x + float(step) * scaleB.x, (line).y)))
#else
#define texelB(s, line, step) folded(s, line, float(step), scaleB)
#endif
