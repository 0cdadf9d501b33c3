import CKernels
import Threads

/// Softmax and log-softmax over rows, each row shifted by its maximum first.
public enum Softmax {
    /// y = e^x / Σ e^x for each of `rows` rows.
    public static func softmax(_ x: Storage, into y: Storage, rows: Int, width: Int) {
        forRows("softmax", [x, y], rows, width) { start, count in
            unsafe kernels.softmax(x.pointer + start * width, y.pointer + start * width, Int64(count), Int64(width))
        }
    }

    /// y = x − log Σ e^x for each of `rows` rows.
    public static func logSoftmax(_ x: Storage, into y: Storage, rows: Int, width: Int) {
        forRows("logSoftmax", [x, y], rows, width) { start, count in
            unsafe kernels.log_softmax(x.pointer + start * width, y.pointer + start * width, Int64(count), Int64(width))
        }
    }

    /// dx = y · (dy − Σ y·dy), with y = softmax(x).
    public static func softmaxGradient(y: Storage, dy: Storage, into dx: Storage, rows: Int, width: Int) {
        forRows("softmaxGradient", [y, dy, dx], rows, width) { start, count in
            let offset = start * width
            unsafe kernels.softmax_gradient(
                y.pointer + offset, dy.pointer + offset, dx.pointer + offset, Int64(count), Int64(width))
        }
    }

    /// dx = dy − e^y · Σ dy, with y = logSoftmax(x).
    public static func logSoftmaxGradient(y: Storage, dy: Storage, into dx: Storage, rows: Int, width: Int) {
        forRows("logSoftmaxGradient", [y, dy, dx], rows, width) { start, count in
            let offset = start * width
            unsafe kernels.log_softmax_gradient(
                y.pointer + offset, dy.pointer + offset, dx.pointer + offset, Int64(count), Int64(width))
        }
    }

    private static func forRows(
        _ op: StaticString, _ storages: [Storage], _ rows: Int, _ width: Int,
        _ body: @Sendable (_ start: Int, _ count: Int) -> Void
    ) {
        precondition(
            rows >= 0 && width >= 0 && storages.allSatisfy { $0.count == rows * width },
            "\(op): storages of \(storages.map(\.count)) elements for \(rows) rows of \(width)")
        guard width > 0 else { return }
        Parallel.forRanges(rows, grain: max(1, Elementwise.grain / (8 * width))) { body($0.lowerBound, $0.count) }
    }
}
