import Testing
import Text

@testable import Evaluation

@Suite struct WindowsTests {
    /// Ids 100, 101, … of two bytes each.
    private func windows(_ count: Int, window: Int, stride: Int, bos: WindowPolicy.BOS) -> [EvaluationWindow] {
        let ids = (0..<count).map { Int32(100 + $0) }
        return WindowPolicy(window: window, stride: stride, bos: bos)
            .windows(ids, ends: (1...max(count, 1)).map { 2 * $0 }, start: 0, bosID: bos == .never ? nil : 1)
    }

    @Test func `each token is scored exactly once, but for those that nothing precedes`() {
        for bos in WindowPolicy.BOS.allCases {
            for count in 1...9 {
                for window in 1...5 {
                    for stride in 1...window {
                        let result = windows(count, window: window, stride: stride, bos: bos)
                        let scored = result.flatMap { $0.targets.filter { $0 >= 0 } }.map { Int($0) - 100 }
                        let expected = (0..<count).filter { token in
                            switch bos {
                            case .always: return true
                            case .first: return token == 0 || stride < window || token % window != 0
                            case .never: return stride < window ? token != 0 : token % window != 0
                            }
                        }
                        // Windows of one token without a BOS have nothing that precedes them.
                        #expect(scored == expected, "\(bos) \(count) tokens, window \(window), stride \(stride)")
                        #expect(
                            result.allSatisfy { $0.scoredBytes == 2 * $0.scoredTokens && $0.scoredEnds.count == $0.scoredTokens })
                        for window in result {
                            #expect(window.inputs.count == window.targets.count)
                            for (position, target) in window.targets.enumerated() where target >= 0 {
                                let previous = window.inputs[position]
                                #expect(previous == target - 1 || previous == 1 && bos != .never)
                            }
                        }
                    }
                }
            }
        }
    }

    @Test func `a window with a BOS reads it and all its tokens but the last`() {
        let result = windows(5, window: 3, stride: 3, bos: .always)
        #expect(result.map(\.inputs) == [[1, 100, 101], [1, 103]])
        #expect(result.map(\.targets) == [[100, 101, 102], [103, 104]])
    }

    @Test func `documents are stripped and empty ones left out`() {
        #expect(EvaluationText("  a b \n|| |\tc|", splitOn: "|").documents == ["a b", "c"])
        #expect(EvaluationText(" a ").documents == [" a "])
    }
}
