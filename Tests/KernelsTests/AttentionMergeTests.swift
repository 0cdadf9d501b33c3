import Foundation
import Testing

@testable import Kernels

@Suite struct AttentionMergeTests {
    @Test func `parts weigh as much as their keys' exponentials`() {
        // One key of weight 1 and value 2, three of weight 1 and mean value 6: (1·2 + 3·6) / 4 = 5, of four keys.
        func part(_ output: [Float], _ logSumExp: [Float]) -> (Storage, Storage) {
            (Storage(copying: output), Storage(copying: logSumExp))
        }
        let merged = AttentionMerge.merge([part([2], [0]), part([6], [log(3)])])
        #expect(abs(merged.output.array()[0] - 5) < 1e-6 && abs(merged.logSumExp.array()[0] - log(4)) < 1e-6)
        // Parts without keys, of which one row has nothing but such.
        let empty = AttentionMerge.merge([part([2, 0], [0.5, -.infinity]), part([0, 0], [-.infinity, -.infinity])])
        #expect(empty.output.array() == [2, 0] && empty.logSumExp.array() == [0.5, -.infinity])
    }

    @Test func `attention over keys in two parts, merged, is attention over all of them`() {
        let (tokens, heads, kvHeads, dim) = (40, 4, 2, 12)
        let query = Storage(copying: random(heads * dim, seed: 1, in: -2...2))
        let keys = random(tokens * kvHeads * dim, seed: 2, in: -2...2)
        let values = random(tokens * kvHeads * dim, seed: 3, in: -2...2)
        func attend(_ range: Range<Int>) -> (output: Storage, logSumExp: Storage) {
            let result = (output: Storage(count: heads * dim), logSumExp: Storage(count: heads))
            let elements = range.lowerBound * kvHeads * dim..<range.upperBound * kvHeads * dim
            CachedAttentionKernel(
                queries: 1, heads: heads, kvHeads: kvHeads, keyDim: dim, valueDim: dim, firstPosition: range.count - 1
            ).run(
                rows: query, width: heads * dim, firstRow: 0, keys: Storage(copying: Array(keys[elements])),
                values: Storage(copying: Array(values[elements])), into: result.output, logSumExp: result.logSumExp)
            return result
        }
        let whole = attend(0..<tokens)
        for cuts in [[0, 1, 40], [0, 13, 40], [0, 39, 40], [0, 7, 20, 33, 40]] {
            let merged = AttentionMerge.merge(zip(cuts, cuts.dropFirst()).map { attend($0..<$1) })
            // 40 weights in another order.
            #expect(zip(merged.output.array(), whole.output.array()).allSatisfy { abs($0 - $1) < 2e-6 }, "\(cuts)")
            #expect(zip(merged.logSumExp.array(), whole.logSumExp.array()).allSatisfy { abs($0 - $1) < 2e-6 }, "\(cuts)")
        }
    }
}
