// Philox4x32-10 (Salmon et al. 2011), bit for bit equal on every device: counter [block, 0, offset, 0].
uvec4 philox(uint block, ivec3 seedsAndOffset) {
  uvec4 c = uvec4(block, 0u, uint(seedsAndOffset.z), 0u);
  uvec2 k = uvec2(seedsAndOffset.xy);
  for (int i = 0; i < 10; i++) {
    c = uvec4(
      multiplyHigh(0xcd9e8d57u, c.z) ^ c.y ^ k.x,
      0xcd9e8d57u * c.z,
      multiplyHigh(0xd2511f53u, c.x) ^ c.w ^ k.y,
      0xd2511f53u * c.x
    );
    k += uvec2(0x9e3779b9u, 0xbb67ae85u);
  }
  return c;
}

vec4 unitInterval(uvec4 words) {
  return vec4(words >> 8) * exp2(-24.0);
}

vec4 uniforms(ivec4 index, ivec3 seedsAndOffset) {
  return unitInterval(uvec4(
    philox(uint(index.x) >> 2, seedsAndOffset)[index.x & 3],
    philox(uint(index.y) >> 2, seedsAndOffset)[index.y & 3],
    philox(uint(index.z) >> 2, seedsAndOffset)[index.z & 3],
    philox(uint(index.w) >> 2, seedsAndOffset)[index.w & 3]
  ));
}
