import JSON

/// The filters and metrics of a task file of lm-evaluation-harness, for generated outputs.
public struct HarnessScoring: Sendable, Equatable {
    /// A step of a filter.
    private enum Step: Sendable, Equatable {
        case regex(PythonRegex, group: Int, fallback: String)
        case lowercase, uppercase, strip, takeFirst
    }

    /// A named filter.
    private struct Filter: Sendable, Equatable {
        var name: String
        var steps: [Step]
    }

    /// `exact_match` with its options.
    private struct ExactMatch: Sendable, Equatable {
        var ignored: [PythonRegex] = []
        var ignoresCase = false, ignoresPunctuation = false, ignoresNumbers = false
    }

    private let filters: [Filter]
    private let metric: ExactMatch
    /// The two lists as JSON, from which the scoring can be made again.
    public let source: String

    /// The scoring of a task's `filter_list` and `metric_list`, absent ones nil.
    init(filters: JSONValue?, metrics: JSONValue?) throws(Fault) {
        var read: [Filter] = []
        for filter in try Self.list(filters ?? .array([]), "filter_list") {
            guard let name = filter["name"]?.string else { throw Fault(reason: "'filter_list' has a filter without a name") }
            var steps: [Step] = []
            for step in try Self.list(filter["filter"] ?? .null, "filter") { steps.append(try Self.step(step)) }
            read.append(Filter(name: name, steps: steps))
        }
        self.filters = read.isEmpty ? [Filter(name: "none", steps: [.takeFirst])] : read
        metric = try Self.metric(metrics)
        source = JSONValue.object(["filter_list": filters ?? .null, "metric_list": metrics ?? .null]).text
    }

    /// The scoring that ``source`` was made from; nil for another text.
    public init?(source: String) {
        guard let json = try? JSONValue(parsing: Array(source.utf8)) else { return nil }
        guard let made = try? HarnessScoring(filters: json["filter_list"], metrics: json["metric_list"]) else { return nil }
        self = made
    }

    private static func list(_ value: JSONValue, _ key: String) throws(Fault) -> [JSONValue] {
        guard let list = value.array, list.allSatisfy({ $0.members != nil }) else {
            throw Fault(reason: "'\(key)' is no list of objects")
        }
        return list
    }

    private static func step(_ step: JSONValue) throws(Fault) -> Step {
        guard let name = step["function"]?.string else { throw Fault(reason: "a step of 'filter' has no 'function'") }
        let keys = Set((step.members ?? []).map(\.name)).subtracting(["function"])
        let known = name == "regex" ? ["regex_pattern", "group_select", "fallback"] : []
        if let odd = keys.subtracting(known).sorted().first { throw Fault(reason: "the filter '\(name)' has no '\(odd)' here") }
        switch name {
        case "regex":
            let pattern = step["regex_pattern"]?.string ?? #"#### (\-?[0-9\.\,]+)"#
            return .regex(
                try PythonRegex(pattern), group: step["group_select"]?.int ?? 0,
                fallback: step["fallback"]?.string ?? "[invalid]")
        case "lowercase": return .lowercase
        case "uppercase": return .uppercase
        case "remove_whitespace": return .strip
        case "take_first": return .takeFirst
        default:
            throw Fault(reason: "the filter '\(name)' is not one of regex, lowercase, uppercase, remove_whitespace, take_first")
        }
    }

    private static func metric(_ metrics: JSONValue?) throws(Fault) -> ExactMatch {
        let list = try list(metrics ?? .array([]), "metric_list")
        guard list.count == 1, let one = list.first, one["metric"]?.string == "exact_match" else {
            let names = list.map { $0["metric"]?.string ?? "?" }.joined(separator: ", ")
            throw Fault(reason: "'metric_list' has '\(names)', expected exact_match alone for generated outputs")
        }
        guard (one["aggregation"]?.string ?? "mean") == "mean" else { throw Fault(reason: "'aggregation' is not mean") }
        var metric = ExactMatch()
        for member in one.members ?? [] {
            func flag() throws(Fault) -> Bool {
                guard let flag = member.value.bool else { throw Fault(reason: "'\(member.name)' of exact_match is no boolean") }
                return flag
            }
            switch member.name {
            case "metric", "aggregation", "higher_is_better": break
            case "ignore_case": metric.ignoresCase = try flag()
            case "ignore_punctuation": metric.ignoresPunctuation = try flag()
            case "ignore_numbers": metric.ignoresNumbers = try flag()
            case "regexes_to_ignore":
                guard let patterns = member.value.array?.map(\.string) as? [String] else {
                    throw Fault(reason: "'regexes_to_ignore' is no list of strings")
                }
                for pattern in patterns { metric.ignored.append(try PythonRegex(pattern)) }
            default: throw Fault(reason: "exact_match has no '\(member.name)' here")
            }
        }
        return metric
    }

    /// The scores of an output, one a filter, by the harness's names such as "exact_match,strict-match"; the first filter's under `accuracy`.
    ///
    /// Of several references any may be met.
    func scores(_ output: String, references: [String]) -> [String: Double] {
        var scores: [String: Double] = [:]
        for (index, filter) in filters.enumerated() {
            let prediction = comparable(filter.steps.reduce(output) { Self.applied($1, to: $0) })
            let isRight = references.contains { comparable($0) == prediction }
            scores[index == 0 ? "accuracy" : "exact_match,\(filter.name)"] = isRight ? 1 : 0
        }
        return scores
    }

    /// The extract of an output by a filter.
    func extracted(_ output: String, filter name: String) -> String? {
        filters.first { $0.name == name }.map { $0.steps.reduce(output) { Self.applied($1, to: $0) } }
    }

    private static func applied(_ step: Step, to text: String) -> String {
        switch step {
        case .takeFirst: return text
        case .lowercase: return PythonText(text).lowercased.string
        case .uppercase: return text.uppercased()
        case .strip: return PythonText(text).stripped.string
        case .regex(let regex, let group, let fallback):
            let matches = regex.findAll(text)
            let place = group < 0 ? matches.count + group : group
            guard matches.indices.contains(place) else { return fallback }
            let groups = matches[place]
            let match = groups.count == 1 ? groups[0] : groups.first { !$0.isEmpty } ?? fallback
            return PythonText(match).stripped.string
        }
    }

    private func comparable(_ text: String) -> PythonText {
        var result = PythonText(metric.ignored.reduce(text) { $1.removed(from: $0) })
        if metric.ignoresCase { result = result.lowercased }
        if metric.ignoresPunctuation {
            result = PythonText(scalars: result.scalars.filter { !PythonText.isASCIIPunctuation($0) })
        }
        if metric.ignoresNumbers { result = PythonText(scalars: result.scalars.filter { !("0"..."9").contains($0) }) }
        return result
    }
}
