/** Types of the part of onnxruntime-web that the contender uses. */
import type { ElementType } from "./onnx.js";

export interface OrtTensor {
  readonly data: ArrayLike<number>;
}

export interface OrtSession {
  run(feeds: Readonly<Record<string, OrtTensor>>): Promise<Readonly<Record<string, OrtTensor>>>;
  release(): Promise<void>;
}

/** The used part of onnxruntime-web. */
export interface OnnxRuntime {
  readonly env: {
    readonly wasm: { numThreads?: number; wasmPaths?: string };
    readonly webgl: { pack?: boolean };
    logLevel?: string;
  };
  readonly InferenceSession: {
    create(
      model: Uint8Array,
      options: { readonly executionProviders: readonly string[] },
    ): Promise<OrtSession>;
  };
  readonly Tensor: new (type: ElementType, data: ArrayLike<number>, shape: readonly number[]) => OrtTensor;
}
