/** Signal-to-noise ratio in decibels. */
export function noiseOf(got: ArrayLike<number>, want: ArrayLike<number>): number {
  let [signal, noise] = [0, 0];
  for (let i = 0; i < want.length; i++) {
    signal += want[i] ** 2;
    noise += (got[i] - want[i]) ** 2;
  }
  return 10 * Math.log10(signal / noise);
}
