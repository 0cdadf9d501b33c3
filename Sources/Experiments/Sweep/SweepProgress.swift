/// The progress of a whole sweep, shown before each run's own.
struct SweepProgress {
    private let reporter: ProgressReporter
    private let total: Int
    private var done = 0
    /// Tokens of the trainings that are not done before, of which `tokens` are now.
    private let tokensToDo: Int
    private var tokens = 0
    private var finished = 0
    private var trainingSeconds = 0.0
    /// The budget in seconds of the whole sweep; nil for none.
    private let budget: Double?
    private let start = ContinuousClock.now

    /// A sweep of `total` steps, `tokensToDo` tokens of which have yet to be trained on.
    init(_ reporter: ProgressReporter, total: Int, tokensToDo: Int, budget: Double? = nil) {
        self.reporter = reporter
        self.total = total
        self.tokensToDo = tokensToDo
        self.budget = budget
        show()
    }

    /// One training step of `count` tokens more.
    mutating func step(_ count: Int, seconds: Double) {
        tokens += count
        trainingSeconds += seconds
        show()
    }

    /// Counts a finished step of the sweep with its planned tokens, 0 for a step of an earlier call.
    mutating func finish(tokens planned: Int) {
        done += 1
        finished += planned
        // A resumed run has trained on part of its tokens before, one that stops early never trains on some.
        tokens = finished
        show()
    }

    private func show() {
        func millions(_ count: Int) -> String { oneDecimal(Double(count) / 1e6) }
        let wall = (ContinuousClock.now - start) / .seconds(1)
        // Conversions and scores, which are no training, keep their share of the time.
        let left = trainingSeconds > 1 && tokens > 0 ? wall / Double(tokens) * Double(max(0, tokensToDo - tokens)) : nil
        let eta = left.map { "  ETA \(ProgressReporter.duration($0))\(Self.excess(wall + $0, budget))" } ?? ""
        reporter.setPrefix("\(done)/\(total) steps  \(millions(tokens))/\(millions(tokensToDo))M tokens\(eta) | ")
    }

    /// The excess of `seconds` over the budget, in words; empty without one.
    static func excess(_ seconds: Double, _ budget: Double?) -> String {
        guard let budget, seconds > budget else { return "" }
        return ", \(ProgressReporter.duration(seconds - budget)) beyond the budget of \(ProgressReporter.duration(budget))"
    }

    private func oneDecimal(_ value: Double) -> String { "\((value * 10).rounded() / 10)" }
}
