// Combines the parts of one row of attention, each over a range of keys. Layers before `statistics` have weighted sums of values; layer
// `statistics` has each part's maximum score and its sum of weights relative to that score. `place` is the texel of the first part, `step`
// the distance to the next. Without a visible key the maximum is -Infinity, and the result is 0.
vec4 joinedParts(FLOAT_LAYERS parts, int place, int step, int count, int layer, int statistics, int width) {
  float largest = -infinity().x;
  for (int i = 0; i < count; i++) largest = max(largest, targetTexel(parts, place + i * step, statistics, width).x);
  float reference = visibleReference(largest);
  vec4 sum = vec4(0.0);
  float total = 0.0;
  for (int i = 0; i < count; i++) {
    vec4 own = targetTexel(parts, place + i * step, statistics, width);
    float weight = exponential(vec4(own.x - reference)).x;
    sum += weight * targetTexel(parts, place + i * step, layer, width);
    total += weight * own.y;
  }
  return sum * inverseOf(total);
}
