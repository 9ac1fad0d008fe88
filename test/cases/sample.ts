/** The elements of a result that the PyTorch fixtures contain; the same selection as in fixtures/make_cases.py. */

const most = 48;

/** Every k-th element, at most `most` of them unless `all`; k is odd so that it walks across rows. */
export function sample(values: ArrayLike<number>, all = false): number[] {
  let step = all ? 1 : Math.ceil(values.length / most);
  if (step > 1 && step % 2 === 0) step++;
  const result: number[] = [];
  for (let i = 0; i < values.length; i += Math.max(step, 1)) result.push(values[i]);
  return result;
}
