#version 300 es
// cover.vert.glsl, and whether any texel of the run's flag is set.
uniform highp isampler2D FLAG;
flat out highp int failed;
void main() {
  failed = 0;
  for (int i = 0; i < textureSize(FLAG, 0).x; i++) failed |= texelFetch(FLAG, ivec2(i, 0), 0).x;
  vec2 corner = vec2(gl_VertexID == 1 ? 3.0 : -1.0, gl_VertexID == 2 ? 3.0 : -1.0);
  gl_Position = vec4(corner, 0.0, 1.0);
}
