import JSON

/// A prediction made elsewhere and its references: a line of JSON.
public struct ScoringCase: Sendable {
    /// The line's `id`, a string or a whole number.
    public let id: JSONValue
    /// The task whose rule scores the prediction.
    public let task: ScoringTask
    /// The line's number in its file, from 1.
    let line: Int
    var prediction: PythonText
    let references: [PythonText]
    let classes: [PythonText]
    let question: PythonText
    /// The words of the context, by which LongBench-E groups; nil where the line has no `length`.
    let length: Int?

    /// The cases of a file's content, a JSON object a line; blank lines are skipped.
    ///
    /// A line has an `id`, the name of its task, `dataset` for LongBench's and else `task`, the `prediction`, and the references, as
    /// `answers` or under its suite's own key; BABILong's have the `question` too, LongBench's classifications `all_classes`. Other
    /// keys are ignored.
    public static func cases(_ text: String) throws(ScoringError) -> [ScoringCase] {
        var cases: [ScoringCase] = []
        // By bytes: Swift takes "\r\n" for one character, which is no newline.
        for (index, line) in Array(text.utf8).split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false).enumerated()
        {
            if line.allSatisfy({ [0x20, 0x09, 0x0D].contains($0) }) { continue }
            let json: JSONValue
            do throws(JSONError) { json = try JSONValue(parsing: Array(line)) } catch {
                throw .line(index + 1, reason: "not valid JSON: \(error)")
            }
            do throws(Fault) { cases.append(try ScoringCase(json, line: index + 1)) } catch {
                throw .line(index + 1, reason: error.reason)
            }
        }
        guard !cases.isEmpty else { throw .empty }
        return cases
    }

    /// A case made in memory.
    init(
        id: JSONValue, task: ScoringTask, prediction: PythonText, references: [PythonText], classes: [PythonText],
        question: PythonText
    ) {
        (self.id, self.task, self.prediction, self.references, self.classes) = (id, task, prediction, references, classes)
        (line, self.question, length) = (0, question, nil)
    }

    private init(_ json: JSONValue, line: Int) throws(Fault) {
        guard json.members != nil else { throw Fault(reason: "expected a JSON object") }
        guard let id = json["id"], id.string != nil || id.int != nil else {
            throw Fault(reason: json.has("id") ? "'id' is no string or whole number" : "'id' is missing")
        }
        let task = try Self.task(json)
        func text(_ key: String) throws(Fault) -> PythonText {
            guard let text = json[key]?.string else {
                throw Fault(reason: json.has(key) ? "'\(key)' is no string" : "'\(key)' is missing, which '\(task.name)' needs")
            }
            return PythonText(text)
        }
        func texts(_ key: String) throws(Fault) -> [PythonText] {
            let elements = json[key]?.array
            guard let texts = elements?.map(\.string) as? [String] else {
                throw Fault(
                    reason: json[key] != nil
                        ? "'\(key)' is no list of strings" : "'\(key)' is missing, which '\(task.name)' needs")
            }
            return texts.map { PythonText($0) }
        }
        self.id = id
        self.task = task
        self.line = line
        prediction = try text("prediction")
        let key = json.has("answers") ? "answers" : task.referenceKey
        // Suites of one reference have it as a string or a number, RULER and LongBench a list.
        if let single = json[key]?.string ?? json[key]?.int.map({ "\($0)" }), key != "answers" || task.hasOneReference {
            references = [PythonText(single)]
        } else {
            references = try texts(key)
        }
        guard !task.hasOneReference || references.count == 1 else {
            throw Fault(reason: "'\(key)' has \(references.count) references, expected 1 for '\(task.name)'")
        }
        classes = task.needsClasses ? try texts("all_classes") : []
        question = task.needsQuestion ? try text("question") : PythonText("")
        guard json["length"] == nil || !task.isDataset || json["length"]?.int != nil else {
            throw Fault(reason: "'length' is no whole number")
        }
        length = json["length"]?.int
    }

    static func task(_ json: JSONValue) throws(Fault) -> ScoringTask {
        guard json.has("dataset") != json.has("task") else {
            throw Fault(reason: json.has("task") ? "both 'dataset' and 'task', expected one" : "neither 'dataset' nor 'task'")
        }
        let key = json.has("dataset") ? "dataset" : "task"
        guard let name = json[key]?.string else { throw Fault(reason: "'\(key)' is no string") }
        guard let task = ScoringTask.named(name, isDataset: key == "dataset") else {
            let names = ScoringTask.all.filter { $0.isDataset == (key == "dataset") }.map(\.name)
            throw Fault(reason: "unknown \(key) '\(name.prefix(60))'; the \(key)s are \(names.joined(separator: ", "))")
        }
        return task
    }
}
