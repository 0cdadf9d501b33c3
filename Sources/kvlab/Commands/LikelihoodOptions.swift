import ArgumentParser
import Kernels

/// The models and the report of an evaluation by likelihood.
struct LikelihoodOptions: ParsableArguments {
    @Argument(help: "Checkpoints; the others are compared with the first.", completion: .file(extensions: ["h5"]))
    var models: [String]

    @Option(help: "A tokenizer.json or tokenizer.bin instead of the checkpoints' own.", completion: .file())
    var tokenizer: String?

    @Option(help: "What the matrix products are multiplied in: fp32, or bf16 (faster; summed in fp32).")
    var dtype = ComputePrecision.fp32

    @OptionGroup var threads: ThreadsOption

    @OptionGroup var results: JSONOptions

    /// The evaluation with these options.
    var evaluation: LikelihoodEvaluation {
        LikelihoodEvaluation(models: models, tokenizer: tokenizer, dtype: dtype, threads: threads, results: results)
    }
}
