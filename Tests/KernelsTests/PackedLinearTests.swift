import CKernels
import Testing

@testable import Kernels

@Suite struct PackedLinearTests {
    /// What a weight of each element type reads as.
    private func stored(_ x: Float, _ element: Int32) -> Float {
        switch element {
        case 1: Float(bitPattern: ((x.bitPattern + 0x7FFF + (x.bitPattern >> 16 & 1)) >> 16) << 16)
        case 2: Float(Float16(x))
        default: x
        }
    }

    private func bytes(_ values: [Float], _ element: Int32) -> [UInt8] {
        values.flatMap { value -> [UInt8] in
            switch element {
            case 1:
                let bits = UInt16(stored(value, 1).bitPattern >> 16)
                return [UInt8(bits & 0xFF), UInt8(bits >> 8)]
            case 2:
                let bits = Float16(value).bitPattern
                return [UInt8(bits & 0xFF), UInt8(bits >> 8)]
            default:
                let bits = value.bitPattern
                return (0..<4).map { UInt8(bits >> (8 * $0) & 0xFF) }
            }
        }
    }

    @Test(arguments: [(1, 1), (5, 3), (64, 64), (513, 33), (2049, 40), (96, 200)])
    func `products with packed weights agree with the definition, whatever the rows`(inner: Int, outer: Int) {
        let weights = random(outer * inner, seed: 3)
        for level in Level.all {
            for element in 0...2 as ClosedRange<Int32> {
                for epilogue in 0...2 as ClosedRange<Int32> { check(level, inner, outer, element, epilogue, weights) }
            }
        }
    }

    private func check(_ level: Level, _ inner: Int, _ outer: Int, _ element: Int32, _ epilogue: Int32, _ weights: [Float]) {
        let kernel = level.table.panels
        let columns = Int(kernel.columns)
        let isGated = epilogue == 2
        let width = isGated ? (outer + 1) / 2 : outer
        let wide = isGated ? columns / 2 : columns
        let count = (width + wide - 1) / wide
        let panelBytes = Int(kk_panel_bytes(element, Int64(inner), Int64(columns)))
        // What is prefetched past the end is not read.
        var panels = [UInt8](repeating: 0, count: count * panelBytes)
        let source = bytes(weights, element)
        let rowBytes = inner * (element == 0 ? 4 : 2)
        func pack(_ from: Int, _ rows: Int, _ panel: Int, _ column: Int) {
            panels.withUnsafeMutableBufferPointer { panels in
                source.withUnsafeBytes { source in
                    kernel.pack(
                        element, source.baseAddress! + from * rowBytes, Int64(rows), Int64(inner),
                        panels.baseAddress! + panel * panelBytes, Int64(column))
                }
            }
        }
        for panel in 0..<count {
            let rows = min(wide, width - panel * wide)
            pack(panel * wide, rows, panel, 0)
            // Ups are the weights from outer − width on: they may overlap the gates, which changes nothing.
            if isGated { pack(outer - width + panel * wide, rows, panel, wide) }
        }
        var alone: [Float] = []
        for rows in [1, 2, 5, 6, 7, 13, 29] {
            let input = random(rows * inner, seed: 5)
            let words = element == 1 ? (inner + 1) / 2 * 2 / Int(kernel.roundedPerWord) : inner
            var rounded = [UInt32](repeating: 0xFFFF_FFFF, count: rows * words)
            if element == 1 {
                kernel.round(input, Int64(inner), Int64(rows), Int64(inner), &rounded, Int64(words))
            } else {
                rounded = input.map(\.bitPattern)
            }
            var output = [Float](repeating: epilogue == 1 ? 0.5 : .nan, count: rows * width) + [7]
            func multiply(_ output: inout [Float], stride: Int, isRounded: Bool) {
                var scratch = [Float](repeating: .nan, count: rows * columns)
                rounded.withUnsafeBytes { input in
                    panels.withUnsafeBufferPointer { panels in
                        output.withUnsafeMutableBytes { output in
                            var job = kk_panel_product()
                            job.rows = Int64(rows)
                            job.inner = Int64(inner)
                            job.outer = Int64(width)
                            job.input = input.baseAddress!
                            job.inputStride = Int64(words)
                            job.panels = panels.baseAddress!
                            job.element = element
                            job.epilogue = epilogue
                            job.isRounded = isRounded ? 1 : 0
                            job.output = output.baseAddress!
                            job.outputStride = Int64(stride)
                            kernel.multiply(&job, 0, Int64(count), &scratch)
                        }
                    }
                }
            }
            multiply(&output, stride: width, isRounded: false)
            #expect(output.removeLast() == 7)
            func product(_ row: Int, _ weight: Int) -> Double {
                (0..<inner).reduce(0) { sum, k in
                    let x = element == 1 ? stored(input[row * inner + k], 1) : input[row * inner + k]
                    return sum + Double(x) * Double(stored(weights[weight * inner + k], element))
                }
            }
            var wrong = 0
            for row in [0, rows / 2, rows - 1] {
                for column in 0..<width {
                    var expected = product(row, column)
                    if isGated { expected = expected / (1 + Glibc.exp(-expected)) * product(row, outer - width + column) }
                    if epilogue == 1 { expected += 0.5 }
                    // Chains of up to 2049 terms below 1, rounded at each.
                    if !(abs(Double(output[row * width + column]) - expected) < 2e-4 + 1e-5 * abs(expected)) { wrong += 1 }
                }
            }
            #expect(wrong == 0, "\(level) element \(element), epilogue \(epilogue), \(rows)×\(inner)×\(outer)")
            if epilogue != 1 {
                let stride = (width + 1) / 2 * 2 / Int(kernel.roundedPerWord)
                var expected = [UInt32](repeating: 0, count: rows * stride)
                kernel.round(output, Int64(width), Int64(rows), Int64(width), &expected, Int64(stride))
                var results = [Float](repeating: .nan, count: rows * stride) + [7]
                multiply(&results, stride: stride, isRounded: true)
                #expect(results.removeLast() == 7)
                #expect(results.map(\.bitPattern) == expected, "\(level) element \(element), \(rows) rows rounded")
            }
            // The first row's bits are the same however many follow.
            let first = Array(output.prefix(width))
            if alone.isEmpty { alone = first }
            #expect(first == alone, "\(level) element \(element), \(rows) rows")
        }
    }

    @Test(arguments: [ElementType.float32, .bfloat16, .float16], [(1, 1), (7, 33), (40, 64)])
    func `rows that a layer or a norm makes for the next layer give the bits of rows rounded by themselves`(
        type: ElementType, shape: (rows: Int, width: Int)
    ) {
        let (rows, width, inner) = (shape.rows, shape.width, 48)
        let element: Int32 = type == .float32 ? 0 : type == .bfloat16 ? 1 : 2
        func weights(_ outputs: Int, _ inputs: Int, _ seed: Int) -> [UInt8] {
            bytes(random(outputs * inputs, seed: UInt64(seed)), element)
        }
        func linear(_ inputs: Int, _ outputs: Int, _ seed: Int) -> PackedLinear {
            weights(outputs, inputs, seed).withUnsafeBytes {
                PackedLinear(inputs: inputs, elementType: type, parts: [.init(rows: outputs, bytes: $0)])
            }
        }
        let gated = weights(width, inner, 1).withUnsafeBytes { gate in
            weights(width, inner, 2).withUnsafeBytes { up in
                PackedLinear(
                    inputs: inner, elementType: type, gate: .init(rows: width, bytes: gate), up: .init(rows: width, bytes: up))
            }
        }
        let next = linear(width, 24, 3)
        let x = Storage(copying: random(rows * inner, seed: 4))
        func output(_ body: (Storage) -> Void) -> [Float] {
            let storage = Storage(repeating: 0, count: rows * 24)
            body(storage)
            return storage.array()
        }
        for first in [gated, linear(inner, width, 5)] {
            let between = Storage(count: rows * width)
            first.run(x, rows: rows, into: between)
            let expected = output { next.run(between, rows: rows, into: $0) }
            let made = output { next.run(first.run(PackedRows(x, count: rows, width: inner), for: next), into: $0) }
            #expect(made == expected)
        }
        let values = Storage(copying: random(rows * width, seed: 6))
        let (gain, bias) = (Storage(copying: random(width, seed: 7)), Storage(copying: random(width, seed: 8)))
        let (normed, mean, rstd) = (Storage(count: rows * width), Storage(count: rows), Storage(count: rows))
        Normalization.rmsNorm(x: values, weight: gain, into: normed, rstd: rstd, rows: rows, width: width, epsilon: 1e-5)
        let rmsNormed = Normalization.rmsNorm(x: values, weight: gain, rows: rows, epsilon: 1e-5, for: type)
        #expect(output { next.run(rmsNormed, into: $0) } == output { next.run(normed, rows: rows, into: $0) })
        Normalization.layerNorm(
            x: values, weight: gain, bias: bias, into: normed, mean: mean, rstd: rstd, rows: rows, width: width, epsilon: 1e-5)
        let layerNormed = Normalization.layerNorm(x: values, weight: gain, bias: bias, rows: rows, epsilon: 1e-5, for: type)
        #expect(output { next.run(layerNormed, into: $0) } == output { next.run(normed, rows: rows, into: $0) })
    }
}

import Glibc
