import JSON

/// jieba's hidden Markov model, which joins characters into words that the dictionary lacks (`jieba.finalseg`).
///
/// Its states are the places of a character in a word: beginning, end, middle, single.
struct JiebaModel: Sendable {
    /// The states in alphabetical order, by which ties are resolved: the later one is taken.
    private enum State: Int, CaseIterable {
        case beginning, end, middle, single

        /// The key in jieba's tables.
        var key: String { ["B", "E", "M", "S"][rawValue] }

        /// The states that may precede this one.
        var previous: [State] {
            switch self {
            case .beginning, .single: [.end, .single]
            case .end, .middle: [.beginning, .middle]
            }
        }
    }

    private let start: [Double]
    /// Log-probabilities by the state left and the state entered.
    private let transitions: [[Double]]
    private let emissions: [[Unicode.Scalar: Double]]

    /// jieba's log-probability of entries that its tables lack.
    private static let least = -3.14e100

    init(
        start: PythonLiteral.Module, transitions: PythonLiteral.Module, emissions: PythonLiteral.Module
    ) throws(ScoringError) {
        func entry<T>(_ module: PythonLiteral.Module, _ state: State, _ value: (JSONValue) -> T?) throws(ScoringError) -> T {
            guard let entry = module.entries[state.key].flatMap(value) else {
                throw .file(module.path, line: 1, reason: "no table of state '\(state.key)', or one of another form")
            }
            return entry
        }
        var (initial, moves, outputs): ([Double], [[Double]], [[Unicode.Scalar: Double]]) = ([], [], [])
        for origin in State.allCases {
            initial.append(try entry(start, origin) { $0.double })
            let row = try entry(transitions, origin) { $0.members == nil ? nil : $0 }
            moves.append(State.allCases.map { row[$0.key]?.double ?? Self.least })
            let output = try entry(emissions, origin) { $0.members }
            outputs.append(
                Dictionary(
                    output.compactMap { entry in
                        let scalars = entry.name.unicodeScalars
                        guard let scalar = scalars.first, scalars.count == 1 else { return nil }
                        return entry.value.double.map { (scalar, $0) }
                    }, uniquingKeysWith: { _, last in last }))
        }
        (self.start, self.transitions, self.emissions) = (initial, moves, outputs)
    }

    /// The words of characters that the dictionary left single.
    func words(_ run: [Unicode.Scalar]) -> [PythonText] {
        var (words, index): ([PythonText], Int) = ([], 0)
        while index < run.count {
            var end = index
            while end < run.count, Jieba.isHan(run[end]) == Jieba.isHan(run[index]) { end += 1 }
            let part = Array(run[index..<end])
            words += Jieba.isHan(run[index]) ? hanWords(part) : Self.otherWords(part)
            index = end
        }
        return words
    }

    /// Runs of letters and digits with a decimal fraction and a percent sign, and the stretches between them.
    private static func otherWords(_ run: [Unicode.Scalar]) -> [PythonText] {
        var (words, index, start): ([PythonText], Int, Int) = ([], 0, 0)
        func add(_ end: Int) {
            if end > start { words.append(PythonText(scalars: run[start..<end])) }
            start = end
        }
        while index < run.count {
            guard Jieba.isLetterOrDigit(run[index]) else {
                index += 1
                continue
            }
            add(index)
            while index < run.count, Jieba.isLetterOrDigit(run[index]) { index += 1 }
            if index + 1 < run.count, run[index] == ".", PythonText.isDecimal(run[index + 1]) {
                index += 1
                while index < run.count, PythonText.isDecimal(run[index]) { index += 1 }
            }
            if index < run.count, run[index] == "%" { index += 1 }
            add(index)
        }
        add(run.count)
        return words
    }

    /// The words of the most probable sequence of states (Viterbi).
    private func hanWords(_ run: [Unicode.Scalar]) -> [PythonText] {
        let states = likeliestStates(run)
        var (words, begin, next): ([PythonText], Int, Int) = ([], 0, 0)
        for (index, state) in states.enumerated() {
            switch state {
            case .beginning: begin = index
            case .middle: break
            case .end:
                words.append(PythonText(scalars: run[begin...index]))
                next = index + 1
            case .single:
                words.append(PythonText(scalars: [run[index]]))
                next = index + 1
            }
        }
        if next < run.count { words.append(PythonText(scalars: run[next...])) }
        return words
    }

    private func likeliestStates(_ run: [Unicode.Scalar]) -> [State] {
        var values = State.allCases.map { start[$0.rawValue] + (emissions[$0.rawValue][run[0]] ?? Self.least) }
        var origins: [[State]] = []
        for scalar in run.dropFirst() {
            var (nextValues, nextOrigins): ([Double], [State]) = ([], [])
            for state in State.allCases {
                let emission = emissions[state.rawValue][scalar] ?? Self.least
                var best: (value: Double, state: State)?
                for origin in state.previous {
                    let value = values[origin.rawValue] + transitions[origin.rawValue][state.rawValue] + emission
                    if value >= best?.value ?? -.infinity { best = (value, origin) }
                }
                nextValues.append(best?.value ?? -.infinity)
                nextOrigins.append(best?.state ?? .single)
            }
            values = nextValues
            origins.append(nextOrigins)
        }
        var states = [values[State.single.rawValue] >= values[State.end.rawValue] ? State.single : .end]
        for choices in origins.reversed() { states.append(choices[states[states.count - 1].rawValue]) }
        return states.reversed()
    }
}
