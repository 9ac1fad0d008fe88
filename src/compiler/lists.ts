/** Many short lists, most of them of one element or none: one that is filled by `push` has room for 17 from its first element on. */
export class Lists<T = number> {
  readonly #lists: (T[] | undefined)[];

  constructor(count: number) {
    this.#lists = new Array(count);
  }

  of(i: number): readonly T[] {
    return this.#lists[i] ?? [];
  }

  append(i: number, value: T): void {
    const list = this.#lists[i];
    if (list === undefined) this.#lists[i] = [value];
    else list.push(value);
  }
}
