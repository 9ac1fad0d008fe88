/** Parts of scratch memory of float32 products and convolutions. */

/** Bytes of one 4 × 8 tile of 32-bit numbers. */
export const tileBytes = 128;

/** Bytes of 16-bit floats widened while packing: 8 rows or columns of 256 values, a quarter of the L1 cache. */
export const widenedBytes = 8192;
