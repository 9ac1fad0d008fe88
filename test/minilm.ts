/** What all-MiniLM-L6-v2 (sentence-transformers) computes, recorded from its published weights with numpy in float32. */
export const minilm = {
  texts: [
    "A man is eating food.",
    "A man is eating a piece of bread.",
    "The girl is carrying a baby.",
    "A cheetah chases its prey across a field.",
  ],
  /** Of the first text. */
  ids: [101, 1037, 2158, 2003, 5983, 2833, 1012, 102],
  /** Of its vector, the first ones. */
  components: [0.03324157, 0.00440607, -0.00627695],
  /** Of the first text and each of the others. */
  similarities: [0.7553, -0.105, 0.1152],
};
