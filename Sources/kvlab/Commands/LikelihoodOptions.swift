import ArgumentParser
import Kernels

/// The options of evaluations by likelihood.
struct LikelihoodOptions: ParsableArguments {
    @Option(help: "A tokenizer.json or tokenizer.bin instead of the checkpoints' own.", completion: .file())
    var tokenizer: String?

    @Option(help: "What the matrix products are multiplied in: fp32, or bf16 (faster; summed in fp32).")
    var dtype = ComputePrecision.fp32

    @OptionGroup var threads: ThreadsOption

    @OptionGroup var results: JSONOptions

    /// The evaluation of `models` with these options.
    func evaluation(of models: [String]) -> LikelihoodEvaluation {
        LikelihoodEvaluation(models: models, tokenizer: tokenizer, dtype: dtype, threads: threads, results: results)
    }
}
