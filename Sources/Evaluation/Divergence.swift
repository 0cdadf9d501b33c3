import Autograd
import Glibc
import Kernels
import Models

/// The divergence of one model's predictions from another's on the same windows.
public enum Divergence {
    /// The mean over scored tokens of KL(parent ‖ child) in nats; both read the same ids and have the same vocabulary.
    ///
    /// Log-softmax in Float32, sums in Float64; logits of a few thousand positions at a time.
    public static func meanKL(
        parent: DecoderLM, child: DecoderLM, _ windows: [EvaluationWindow], batchTokens: Int = 2048,
        progress: (Int) throws -> Void = { _ in }
    ) throws -> Double {
        precondition(parent.config.vocabularySize == child.config.vocabularySize, "meanKL: vocabularies differ")
        var total = 0.0
        var count = 0
        for batch in WindowBatch.batches(windows, tokens: batchTokens) {
            let p = parent.logits(batch.input)
            let q = child.logits(batch.input)
            let divergences = KLDivergence.rows(
                from: p.storage, to: q.storage, rows: batch.targets.count, classes: parent.config.vocabularySize)
            for (position, target) in batch.targets.enumerated() where target >= 0 {
                total += Double(divergences[position])
                count += 1
            }
            try progress(batch.range.upperBound)
        }
        return total / Double(max(count, 1))
    }
}
