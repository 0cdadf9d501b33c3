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
                kernel.round(input, Int64(rows), Int64(inner), &rounded, Int64(words))
            } else {
                rounded = input.map(\.bitPattern)
            }
            var output = [Float](repeating: epilogue == 1 ? 0.5 : .nan, count: rows * width) + [7]
            var scratch = [Float](repeating: .nan, count: rows * columns)
            rounded.withUnsafeBytes { input in
                panels.withUnsafeBufferPointer { panels in
                    output.withUnsafeMutableBufferPointer { output in
                        var job = kk_panel_product()
                        job.rows = Int64(rows)
                        job.inner = Int64(inner)
                        job.outer = Int64(width)
                        job.input = input.baseAddress!
                        job.inputStride = Int64(words)
                        job.panels = panels.baseAddress!
                        job.element = element
                        job.epilogue = epilogue
                        job.output = output.baseAddress!
                        job.outputStride = Int64(width)
                        kernel.multiply(&job, 0, Int64(count), &scratch)
                    }
                }
            }
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
            // The first row's bits are the same however many follow.
            let first = Array(output.prefix(width))
            if alone.isEmpty { alone = first }
            #expect(first == alone, "\(level) element \(element), \(rows) rows")
        }
    }
}

import Glibc
