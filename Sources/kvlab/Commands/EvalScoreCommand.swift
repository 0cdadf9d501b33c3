import ArgumentParser
import Console
import Evaluation
import Experiments
import Foundation
import JSON

extension LineSimilarity: ExpressibleByArgument {}

/// `kvlab eval score`: published suites' scores of predictions made elsewhere.
struct EvalScoreCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "score", abstract: "Score predictions made elsewhere by the rules of LongBench, BABILong, RULER and others.",
        discussion: """
            A line of the file is a JSON object: "id", the name of its task as "dataset" (LongBench's data sets) or "task" \
            (longbench2, babilong:qa1 to qa20, ruler:NAME, gsm8k:strict, gsm8k:flexible, passkey), "prediction", and the references as \
            "answers" or under the suite's own key ("outputs", "target", "answer", "key"). LongBench's classifications need \
            "all_classes", BABILong the "question"; with "length" in each case LongBench-E's means by length are printed too. Scores agree \
            with those of the suites' own programs, and means are rounded as these round them. --json prints a line with the id and the score from \
            0 to 1 for each case, and a last one with each task's mean.
            """)

    @Argument(help: "The predictions, a JSON object a line.", completion: .file(extensions: ["jsonl"]))
    var cases: String

    @Option(
        help: "The folder of a jieba distribution (dict.txt and its HMM tables), which LongBench's Chinese tasks need.",
        completion: .directory)
    var jieba: String?

    @Option(help: "The ratio that lines of code are compared by: difflib, or indel as with python-Levenshtein installed.")
    var lineSimilarity = LineSimilarity.difflib

    @OptionGroup var results: JSONOptions

    func run() throws {
        let options = ScoringTask.Options(jieba: try jieba.map { try Jieba(folder: $0) }, lineSimilarity: lineSimilarity)
        let report: ScoringReport
        do {
            report = try ScoringReport(try ScoringCase.cases(try TextFile.read(cases)), options: options)
        } catch let error as ScoringError { throw CommandFailure(description: "\(cases): \(error)") }
        if results.isJSON {
            for line in Self.lines(report) { try results.print(line) }
            return
        }
        let width = report.tasks.map(\.name.count).max() ?? 0
        for task in report.tasks {
            let name = task.name.padding(toLength: width, withPad: " ", startingAt: 0)
            let groups = task.byLength.map { "\($0.group) \($0.mean.map { "\($0)" } ?? "–")" }
            let count = task.count == 1 ? "1 case" : "\(task.count) cases"
            try print("\(name)  \(task.mean)  \(count)" + (groups.isEmpty ? "" : "  " + groups.joined(separator: ", ")))
        }
        if report.pastRecursionLimit > 0 {
            note("\(report.pastRecursionLimit) cases are past the recursion limit of rouge 1.0.1, where LongBench gives 0")
        }
    }

    /// A line a case, then the line of means.
    static func lines(_ report: ScoringReport) -> [JSONValue] {
        func number(_ value: Double) -> JSONValue { .number("\(value)") }
        let lines = report.scores.map { id, score in
            JSONValue.object(["id": id, "score": number(score.value)])
        }
        let byLength = report.tasks.filter { !$0.byLength.isEmpty }.map { task in
            (task.name, JSONValue.object(of: task.byLength.map { ($0.group, $0.mean.map(number) ?? .null) }))
        }
        var last: [(String, JSONValue)] = [("aggregate", .object(of: report.tasks.map { ($0.name, number($0.mean)) }))]
        if !byLength.isEmpty { last.append(("byLength", .object(of: byLength))) }
        last.append(("cases", .object(of: report.tasks.map { ($0.name, .int($0.count)) })))
        last.append(("pastRecursionLimit", .int(report.pastRecursionLimit)))
        return lines + [.object(of: last)]
    }
}
