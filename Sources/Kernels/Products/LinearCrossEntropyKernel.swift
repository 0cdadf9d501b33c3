/// The output projection fused with cross-entropy, and with the divergence from a teacher's predictions: logits are materialised
/// one chunk of rows at a time.
public struct LinearCrossEntropyKernel: Sendable {
    private let layer: LinearKernel

    /// Logits are rows · weightᵀ, with `weight` [classes, width], multiplied in `precision`.
    public init(weight: Matrix, precision: ComputePrecision = .fp32) {
        layer = LinearKernel([weight], precision: precision)
    }

    /// Destinations of the gradients of the summed losses times `scale`.
    public struct Gradients: Sendable {
        /// The gradient of the rows, [rows, width].
        public let rows: Storage
        /// The gradient of the weight, [classes, width]; nil for a frozen weight, whose gradient is not computed.
        public let weight: Storage?
        /// Factor on each row's loss.
        public let scale: Float

        /// Gradients written to these storages.
        public init(rows: Storage, weight: Storage?, scale: Float) {
            self.rows = rows
            self.weight = weight
            self.scale = scale
        }
    }

    /// A teacher's predictions for the same rows: its logits are its own rows · weightᵀ.
    ///
    /// With a teacher, gradients are those of (1 − share)·loss + share·T²·divergence. T² keeps the divergence's gradient,
    /// T·(softmax(logits/T) − softmax(teacher/T)), of one size at any temperature (Hinton et al. 2015, Distilling the Knowledge in
    /// a Neural Network, section 2).
    public struct Teacher: Sendable {
        let layer: LinearKernel
        let rows: Storage
        let share: Float
        let temperature: Float
        let divergences: Storage

        /// A teacher with `rows` [rows, its width] and `weight` [classes, its width].
        ///
        /// - Parameter divergences: takes each row's KL(softmax(teacher/T) ‖ softmax(logits/T)) in nats, [rows]; 0 for a negative
        ///   target.
        public init(
            rows: Storage, weight: Matrix, share: Float, temperature: Float, precision: ComputePrecision, divergences: Storage
        ) {
            precondition(temperature > 0, "linearCrossEntropy: a teacher at temperature \(temperature)")
            layer = LinearKernel([weight], precision: precision)
            (self.rows, self.share, self.temperature, self.divergences) = (rows, share, temperature, divergences)
        }
    }

    /// Each row's negative log-likelihood in nats of its target, 0 for a negative target; x is [targets.count, width].
    public func losses(_ x: Storage, targets: [Int32], teacher: Teacher? = nil, gradients: Gradients? = nil) -> Storage {
        let (width, classes, rows) = (layer.inputs, layer.outputs, targets.count)
        precondition(x.count == rows * width, "linearCrossEntropy: \(rows) targets for \(x.count) elements of width \(width)")
        check(teacher, rows: rows)
        let losses = Storage(count: rows)
        let chunk = Self.chunkRows(rows, classes: classes)
        let logits = Storage(count: chunk * classes)
        let taught = teacher.map { (teacher: $0, panels: $0.layer.packedForward(), logits: Storage(count: chunk * classes)) }
        let forward = layer.packedForward()
        let backward = gradients == nil ? nil : layer.packedBackward()
        for start in stride(from: 0, to: rows, by: chunk) {
            let count = min(chunk, rows - start)
            let input = RowInput.matrix(Matrix(x, offset: start * width, rows: count, columns: width))
            let scores = Matrix(logits, rows: count, columns: classes)
            let output = RowOutput.crossEntropy(
                logits: scores, targets: targets[start..<start + count], losses: losses, firstLoss: start,
                teacher: taught.map { ($0.teacher, $0.teacher.logits(start, count, $0.panels, into: $0.logits)) },
                gradientScale: gradients?.scale)
            output.check(rows: count, width: classes)
            GEMM.rows(count, input, forward, into: output)
            guard let gradients, let backward else { continue }
            GEMM.rows(
                count, .matrix(scores), backward,
                into: .matrix(Matrix(gradients.rows, offset: start * width, rows: count, columns: width), accumulate: false))
            guard let weight = gradients.weight else { continue }
            layer.weightGradient(
                0, gradient: scores, input: layer.packInput(input, rows: count), into: weight, accumulate: start > 0)
        }
        if rows == 0, let weight = gradients?.weight { Elementwise.fill(weight, with: 0) }
        return losses
    }

    /// Rows whose logits are held at a time, about 16 MiB of them: the weight's gradient is read and written once a chunk.
    private static func chunkRows(_ rows: Int, classes: Int) -> Int {
        max(1, min(rows, max(64, (1 << 22) / max(classes, 1))))
    }

    /// Bytes that ``losses(_:targets:teacher:gradients:)`` with gradients allocates for as long as it runs: a chunk's logits and the
    /// packed projections, with a teacher of width `teacherWidth` its own too.
    public static func scratchBytes(
        rows: Int, width: Int, classes: Int, teacherWidth: Int?, precision: ComputePrecision
    ) -> Int {
        let chunk = chunkRows(rows, classes: classes)
        func packed(_ inner: Int, _ outer: Int) -> Int { GEMMPanels.count(inner: inner, outer: outer, precision: precision) }
        let own = chunk * classes + packed(width, classes) + packed(classes, width) + packed(chunk, width)
        return 4 * (own + (teacherWidth.map { chunk * classes + packed($0, classes) } ?? 0))
    }

    private func check(_ teacher: Teacher?, rows: Int) {
        guard let teacher else { return }
        precondition(
            teacher.layer.outputs == layer.outputs,
            "linearCrossEntropy: \(layer.outputs) classes, the teacher has \(teacher.layer.outputs)")
        precondition(
            teacher.rows.count == rows * teacher.layer.inputs && teacher.divergences.count == rows,
            "linearCrossEntropy: \(rows) targets, a teacher's \(teacher.rows.count) elements of width \(teacher.layer.inputs)")
    }
}

extension LinearCrossEntropyKernel.Teacher {
    /// The logits of `count` rows from `start` on, [count, classes].
    fileprivate func logits(_ start: Int, _ count: Int, _ panels: GEMMPanels, into logits: Storage) -> Matrix {
        let output = Matrix(logits, rows: count, columns: layer.outputs)
        let input = Matrix(rows, offset: start * layer.inputs, rows: count, columns: layer.inputs)
        GEMM.rows(count, .matrix(input), panels, into: .matrix(output, accumulate: false))
        return output
    }
}
