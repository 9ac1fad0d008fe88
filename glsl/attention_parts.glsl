// Parts of one row of attention, each over some of the keys, become its result. Layers before `statistics` hold sums of weighted
// values, that layer each part's largest score and its sum of weights, relative to that score. `place` is the first part's texel,
// `step` leads to the next one's. Without a visible key the largest score is -Infinity, and the result is 0.
vec4 joinedParts(FLOAT_LAYERS parts, int place, int step, int count, int layer, int statistics, int width) {
  float largest = -infinity().x;
  for (int i = 0; i < count; i++) largest = max(largest, gridTexel(parts, place + i * step, statistics, width).x);
  float reference = visibleReference(largest);
  vec4 sum = vec4(0.0);
  float total = 0.0;
  for (int i = 0; i < count; i++) {
    vec4 own = gridTexel(parts, place + i * step, statistics, width);
    float weight = exponential(vec4(own.x - reference)).x;
    sum += weight * gridTexel(parts, place + i * step, layer, width);
    total += weight * own.y;
  }
  return sum * inverseOf(total);
}
