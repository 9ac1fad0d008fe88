// Texel t of a grid of integers of this width (src/device/webgl/pass.ts).
ivec4 gridTexel(isampler2D s, int t, int width) {
  int y = t / width;
  return texelFetch(s, ivec2(t - y * width, y), 0);
}
