extension EvaluationSetting {
    /// The settings of a grid of prompts: lengths, depths, trials.
    static func grid(lengths: [Int], depths: String, trials: Int, maxNew: Int) -> [EvaluationSetting] {
        [
            EvaluationSetting(
                "lengths", .integers(1...10_000_000), "prompt lengths in tokens", default: .integers(lengths),
                example: .integers([2048])),
            EvaluationSetting(
                "depths", .integer(1...1000), "depths of the fact: \(depths)", default: .integer(10), example: .integer(5)),
            EvaluationSetting(
                "trials", .integer(1...100_000),
                "prompts at each length and depth; 10 of 10 right means 72 to 100 %: use 50 a length to call two caches different",
                default: .integer(trials), example: .integer(50)),
            EvaluationSetting(
                "seed", .integer(0...Int.max), "seed of the facts, which are the same for all models and caches",
                default: .integer(1), example: .integer(2)),
            .maxNew(maxNew), .chat, .queryAware,
        ]
    }
}
