/**
 * LoRA of SmolLM2-135M over its own weights in float32: rank 8 on q_proj and v_proj, 128 tokens a step. The same module runs in Node and
 * in a worker of a page; lora.mjs starts it, lora_torch.py repeats it with PyTorch and peft.
 */

export const settings = { rank: 8, alpha: 16, lr: 2e-3, tokens: 128, steps: 8 };

/** Abraham Lincoln, Gettysburg Address, 1863 (public domain). */
export const text = `Four score and seven years ago our fathers brought forth on this continent, a new nation, conceived in Liberty, and dedicated to the proposition that all men are created equal.
Now we are engaged in a great civil war, testing whether that nation, or any nation so conceived and so dedicated, can long endure. We are met on a great battle-field of that war. We have come to dedicate a portion of that field, as a final resting place for those who here gave their lives that that nation might live. It is altogether fitting and proper that we should do this.
But, in a larger sense, we can not dedicate -- we can not consecrate -- we can not hallow -- this ground. The brave men, living and dead, who struggled here, have consecrated it, far above our poor power to add or detract. The world will little note, nor long remember what we say here, but it can never forget what they did here. It is for us the living, rather, to be dedicated here to the unfinished work which they who fought here have thus far so nobly advanced. It is rather for us to be here dedicated to the great task remaining before us -- that from these honored dead we take increased devotion to that cause for which they gave the last full measure of devotion -- that we here highly resolve that these dead shall not have died in vain -- that this nation, under God, shall have a new birth of freedom -- and that government of the people, by the people, for the people, shall not perish from the earth.
`;

/** Windows of tokens + 1 ids, which begin one after the other through the text. */
export function windows(ids) {
  const last = ids.length - settings.tokens - 1;
  return Array.from({ length: settings.steps }, (_, i) => {
    const start = Math.floor((i * last) / (settings.steps - 1));
    return Array.from(ids.slice(start, start + settings.tokens + 1));
  });
}

/**
 * Trains; `started(adapter)` is called before the first step, `ended` after the last.
 *
 * @param wattgrad The sub-paths `index`, `models`, `optim` and `adapters`.
 * @param batches Those of `windows`.
 */
export async function train(wattgrad, source, device, batches, { started, ended, report = () => {} } = {}) {
  const { index, models, optim, adapters } = wattgrad;
  const { model } = await models.fromPretrained(source, { device });
  report("loaded", device.memory());
  index.manualSeed(1);
  model.train();
  model.gradientCheckpointing = true;
  const adapter = adapters.lora(model, {
    rank: settings.rank,
    alpha: settings.alpha,
    targets: ["q_proj", "v_proj"],
  });
  await started?.(adapter, model);
  const optimizer = new optim.AdamW(adapter.parameters(), { lr: settings.lr, weightDecay: 0 });
  const step = index.jit((inputs, targets) => {
    const logits = model.forward(inputs);
    const loss = index.crossEntropy(logits.reshape([settings.tokens, logits.shape[2]]), targets);
    loss.backward();
    optimizer.step();
    return loss;
  });
  const losses = [];
  const seconds = [];
  for (const ids of batches) {
    const start = performance.now();
    const row = (list) => index.tensor(Int32Array.from(list), { device });
    const loss = step(row(ids.slice(0, -1)).reshape([1, settings.tokens]), row(ids.slice(1)));
    losses.push(await loss.item());
    loss.dispose();
    seconds.push((performance.now() - start) / 1000);
    report(`step ${losses.length}: ${losses.at(-1)}`, device.memory());
  }
  await ended?.(adapter, model);
  const { peakBytes, liveBytes, panelBytes, reservedBytes } = device.memory();
  return { losses, seconds, peakBytes, liveBytes, panelBytes, reservedBytes };
}
