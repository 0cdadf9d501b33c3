import Kernels

extension Tensor {
    /// The mean of −log softmax(logits)[target] over the rows scored, a scalar; logits [.., vocab], a target for each row.
    ///
    /// A negative target (−100 by convention) is not scored; without scored rows the loss is 0. The gradient,
    /// softmax − one-hot, is computed along with the loss. ``linearCrossEntropy(_:targets:normalizer:precision:)`` never
    /// materialises the logits.
    public func crossEntropy(_ targets: [Int32]) -> Tensor {
        precondition(shape.rank >= 1, "crossEntropy: \(shape) has no axis of classes")
        let (rows, classes) = rowsAndWidth
        precondition(targets.count == rows, "crossEntropy: \(targets.count) targets for logits \(shape)")
        let scored = targets.count { $0 >= 0 }
        let losses = Storage(count: rows)
        let logits = requiresGradient ? Storage(count: shape.count) : storage
        if requiresGradient { Elementwise.scale(storage, by: 1, into: logits) }
        CrossEntropy.rows(
            logits: logits, targets: targets, rows: rows, classes: classes, into: losses,
            gradientScale: requiresGradient ? 1 / Float(max(scored, 1)) : nil)
        let loss = scored == 0 ? 0 : Float(Elementwise.sum(losses) / Double(scored))
        return .result([], Storage(copying: [loss]), from: [self]) { gradient, sink in
            let dx = Storage(count: logits.count)
            Elementwise.scale(logits, by: gradient[0], into: dx)
            sink.add(0, dx)
        }
    }
}
