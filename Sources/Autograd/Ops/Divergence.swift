import Kernels

extension Tensor {
    /// The mean over rows of T²·KL(softmax(teacher/T) ‖ softmax(self/T)) in nats, a scalar; logits [.., vocab] against a
    /// teacher's of the same shape (Hinton et al. 2015, Distilling the Knowledge in a Neural Network).
    ///
    /// Rows with `scored` false are left out; the sum is divided by `normalizer`, by default the number of scored rows (without
    /// any it is 0). T² keeps the gradient, T·(softmax(self/T) − softmax(teacher/T)), of one size at any temperature. The
    /// teacher has no gradient.
    public func divergence(
        fromTeacher teacher: Tensor, temperature: Float = 1, scored: [Bool], normalizer: Int? = nil
    ) -> Tensor {
        let (rows, classes) = rowsAndWidth
        precondition(teacher.shape == shape, "divergence: \(shape) from a teacher's \(teacher.shape)")
        precondition(scored.count == rows, "divergence: \(scored.count) marks for logits \(shape)")
        precondition(temperature > 0, "divergence: temperature \(temperature)")
        let count = normalizer ?? scored.count { $0 }
        let (student, other) = (Storage(count: storage.count), Storage(count: storage.count))
        Elementwise.scale(storage, by: 1 / temperature, into: student)
        Elementwise.scale(teacher.storage, by: 1 / temperature, into: other)
        let divergences = KLDivergence.rows(from: other, to: student, rows: rows, classes: classes)
        let total = zip(divergences, scored).reduce(0.0) { $1.1 ? $0 + Double($1.0) : $0 }
        let square = temperature * temperature
        let loss = count == 0 ? 0 : square * Float(total / Double(count))
        return .result([], Storage(copying: [loss]), from: [self]) { gradient, sink in
            let (p, q) = (Storage(count: other.count), Storage(count: student.count))
            Softmax.softmax(other, into: p, rows: rows, width: classes)
            Softmax.softmax(student, into: q, rows: rows, width: classes)
            Elementwise.add(p, scaledBy: -1, into: q)
            let marks = Storage(copying: scored.map { $0 ? gradient[0] * temperature / Float(max(count, 1)) : 0 })
            sink.add(0, Tensor(shape: [rows, classes], storage: q).rowsScaled(by: marks))
        }
    }

    private func rowsScaled(by factors: Storage) -> Storage {
        (self * Tensor(shape: [factors.count, 1], storage: factors)).storage
    }
}
