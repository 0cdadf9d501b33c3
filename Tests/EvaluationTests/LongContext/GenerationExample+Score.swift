@testable import Evaluation

extension GenerationExample {
    /// The score that tables show.
    func score(_ output: String) throws -> Double? {
        let scores = try scores(output)
        return scores["accuracy"] ?? scores["score"]
    }
}
