import Kernels
import Models

/// Times the kernels a training step is made of, one by one, at a shape's sizes.
public enum KernelBenchmark {
    /// One kernel's time and its least work.
    public struct Measurement: Sendable, Encodable {
        /// The kernel's name.
        public var name: String
        /// Median seconds of a call.
        public var seconds: Double
        /// Floating-point operations of a call, attention's causal half counted; 0 where memory is all that matters.
        public var flops: Double
        /// Bytes a call reads and writes at least.
        public var bytes: Double
    }

    /// Every kernel of one layer and of the output, each called `repeats` times after an untimed call.
    public static func run(_ shape: TrainingBenchmark.Shape, _ precision: ComputePrecision, repeats: Int) -> [Measurement] {
        let config = shape.config
        let (rows, width, hidden) = (shape.batch * shape.seq, config.hiddenSize, config.feedForwardSize)
        let (heads, kvHeads, headDim) = (config.heads[0], config.kvHeads[0], config.headDim[0])
        let bench = Bench(rows: rows, precision: precision, repeats: repeats)
        var result: [Measurement] = []
        result += bench.linear("QKV", inputs: width, outputs: (heads + 2 * kvHeads) * headDim)
        result += bench.linear("attention output", inputs: heads * headDim, outputs: width)
        result += bench.linear("gate and up", inputs: width, outputs: 2 * hidden)
        result += bench.linear("down", inputs: hidden, outputs: width)
        let attention = AttentionKernel(
            batch: shape.batch, seq: shape.seq, heads: heads, kvHeads: kvHeads, headDim: headDim,
            rotary: RotaryTable(positions: shape.seq, headDim: headDim, theta: 10_000))
        result += bench.attention(attention)
        result += bench.output(width: width, classes: config.vocabularySize)
        result.append(bench.adamW(count: min(config.vocabularySize * width, 1 << 24)))
        return result
    }
}

private struct Bench {
    let rows: Int
    let precision: ComputePrecision
    let repeats: Int

    func time(_ name: String, flops: Double, floats: Int, _ body: () -> Void) -> KernelBenchmark.Measurement {
        let clock = ContinuousClock()
        body()
        let seconds = (0..<repeats).map { _ in clock.measure(body) / .seconds(1) }.sorted()
        return KernelBenchmark.Measurement(
            name: name, seconds: seconds[seconds.count / 2], flops: flops, bytes: 4 * Double(floats))
    }

    func linear(_ name: String, inputs: Int, outputs: Int) -> [KernelBenchmark.Measurement] {
        let (x, y) = (Storage(repeating: 0.5, count: rows * inputs), Storage(repeating: 0.25, count: rows * outputs))
        let weight = Storage(repeating: 0.125, count: outputs * inputs)
        let kernel = LinearKernel([Matrix(weight, rows: outputs, columns: inputs)], precision: precision)
        let (xMatrix, yMatrix) = (
            Matrix(x, rows: rows, columns: inputs), Matrix(y, rows: rows, columns: outputs)
        )
        let flops = 2 * Double(rows) * Double(inputs) * Double(outputs)
        let floats = x.count + y.count + weight.count
        return [
            time(name, flops: flops, floats: floats) {
                kernel.forward(.matrix(xMatrix), rows: rows, into: .matrix(yMatrix, accumulate: false))
            },
            time(name + ", input gradient", flops: flops, floats: floats) {
                kernel.inputGradient(.matrix(yMatrix), rows: rows, into: .matrix(xMatrix, accumulate: false))
            },
            time(name + ", weight gradient", flops: flops, floats: floats) {
                kernel.weightGradient(
                    0, gradient: yMatrix, input: kernel.packInput(.matrix(xMatrix), rows: rows), into: weight, accumulate: false)
            },
        ]
    }

    func attention(_ kernel: AttentionKernel) -> [KernelBenchmark.Measurement] {
        let qkv = Storage(repeating: 0.5, count: rows * kernel.rowWidth)
        let gradient = Storage(count: qkv.count)
        let output = Storage(repeating: 0.5, count: rows * kernel.heads * kernel.headDim)
        let logSumExp = Storage(count: rows * kernel.heads)
        // Scores and sums, each over half the square of positions.
        let flops = 2 * 2 * Double(rows) * Double(kernel.seq + 1) / 2 * Double(kernel.heads * kernel.headDim)
        return [
            time("attention", flops: flops, floats: qkv.count + output.count) {
                kernel.forward(qkv: qkv, into: output, logSumExp: logSumExp)
            },
            time("attention, gradient", flops: 2.5 * flops, floats: 2 * (qkv.count + output.count)) {
                kernel.backward(qkv: qkv, output: output, logSumExp: logSumExp, gradient: output, into: gradient)
            },
        ]
    }

    func output(width: Int, classes: Int) -> [KernelBenchmark.Measurement] {
        let x = Storage(repeating: 0.5, count: rows * width)
        let weight = Storage(repeating: 0.125, count: classes * width)
        let kernel = LinearCrossEntropyKernel(weight: Matrix(weight, rows: classes, columns: width), precision: precision)
        let gradients = LinearCrossEntropyKernel.Gradients(
            rows: Storage(count: x.count), weight: Storage(count: weight.count), scale: 1)
        let targets = [Int32](repeating: 1, count: rows)
        let teacher = LinearCrossEntropyKernel.Teacher(
            rows: x, weight: Matrix(weight, rows: classes, columns: width), share: 0.9, temperature: 1, precision: precision,
            divergences: Storage(count: rows))
        let flops = 2 * Double(rows) * Double(width) * Double(classes)
        return [
            time("output and cross-entropy", flops: flops, floats: x.count + weight.count) {
                _ = kernel.losses(x, targets: targets)
            },
            time("output and cross-entropy, with gradients", flops: 3 * flops, floats: 2 * (x.count + weight.count)) {
                _ = kernel.losses(x, targets: targets, gradients: gradients)
            },
            time("output and distillation, with gradients", flops: 4 * flops, floats: 2 * x.count + 3 * weight.count) {
                _ = kernel.losses(x, targets: targets, teacher: teacher, gradients: gradients)
            },
        ]
    }

    func adamW(count: Int) -> KernelBenchmark.Measurement {
        let storages = (0..<4).map { _ in Storage(repeating: 0.5, count: count) }
        let step = AdamWKernel.Step(
            learningRate: 1e-3, beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weightDecay: 0.1, count: 10, gradientScale: 1)
        return time("AdamW", flops: 0, floats: 7 * count) {
            AdamWKernel.update(storages[0], gradient: storages[1], m: storages[2], v: storages[3], step)
        }
    }
}
