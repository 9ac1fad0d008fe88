// The maximum that softmax subtracts; 0 for rows without a visible key, whose maximum is -∞: -∞ - (-∞) would be NaN.
float visibleReference(float largest) {
  return floatBitsToInt(largest) == floatBitsToInt(-infinity().x) ? 0.0 : largest;
}

// 1 / total, or 0 where no key is visible.
vec4 inverseOf(float total) {
  return select(equal(vec4(total), vec4(0.0)), vec4(0.0), vec4(1.0 / total));
}
