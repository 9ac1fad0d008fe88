/** What SmolLM2-135M-Instruct (Q4_1) answers, recorded from its published weights with numpy in float32. */
export const smollm2 = {
  messages: [{ role: "user", content: "What is the capital of France?" }],
  /** Tokens of the messages in its chat template. */
  promptLength: 37,
  /** Greedy, the end of the turn included. */
  ids: [504, 3575, 282, 4649, 314, 7042, 30, 2],
  text: "The capital of France is Paris.",
} as const;
