import Foundation
import JSON
import TestSupport
import Testing

@testable import Evaluation

/// Cases that the suites' own programs have scored, in the shared data.
@Suite(.enabled(if: SharedData.isPresent, "\(SharedData.skipped)"))
struct OfficialScoreTests {
    static let folder = SharedData.path("longcontext/")

    static func bytes(_ name: String) throws -> [UInt8] {
        [UInt8](try Data(contentsOf: URL(fileURLWithPath: folder + name)))
    }

    static func lines(_ name: String) throws -> [JSONValue] {
        try bytes(name).split(separator: UInt8(ascii: "\n")).map { try JSONValue(parsing: Array($0)) }
    }

    static func value(_ name: String) throws -> JSONValue { try JSONValue(parsing: try bytes(name)) }

    static let jieba = Result { try Jieba(folder: folder + "jieba") }

    /// The scores of JSON values as lines of a file.
    static func report(_ cases: [JSONValue], _ similarity: LineSimilarity = .difflib) throws -> ScoringReport {
        try ScoringReport(
            try ScoringCase.cases(cases.map(\.text).joined(separator: "\n")),
            options: ScoringTask.Options(jieba: try jieba.get(), lineSimilarity: similarity))
    }

    @Test func `LongBench's cases have the scores of its own program`() throws {
        let cases = try Self.lines("longbench-metric-cases.jsonl")
        let report = try Self.report(cases)
        #expect(report.scores.count == 260)
        for (one, (id, score)) in zip(cases, report.scores) {
            #expect(id == one["id"])
            #expect(abs(score.value - (one["score"]?.double ?? .nan)) < 1e-12, "\(one["id"]?.string ?? "")")
        }
        // Each answer by itself.
        for one in cases {
            for (answer, expected) in zip(one["answers"]?.array ?? [], one["per_answer"]?.array ?? []) {
                let alone = try Self.report([one.setting("answers", .array([answer]))])
                #expect(abs(alone.scores[0].score.value - (expected.double ?? .nan)) < 1e-12, "\(one["id"]?.string ?? "")")
            }
        }
    }

    @Test func `lines of code have the scores of fuzzywuzzy with python-Levenshtein where that is asked for`() throws {
        var count = 0
        for one in try Self.lines("longbench-metric-cases.jsonl") {
            for (answer, expected) in zip(one["answers"]?.array ?? [], one["per_answer_indel"]?.array ?? []) {
                let alone = try Self.report([one.setting("answers", .array([answer]))], .indel)
                #expect(abs(alone.scores[0].score.value - (expected.double ?? .nan)) < 1e-12, "\(one["id"]?.string ?? "")")
                count += 1
            }
        }
        #expect(count >= 40)
    }

    @Test func `LongBench's means are rounded as its eval script rounds them, by length too`() throws {
        let cases = try Self.lines("longbench-metric-cases.jsonl")
        let aggregates = try #require(try Self.value("longbench-aggregates.json").array)
        #expect(aggregates.count == 21)
        for aggregate in aggregates {
            let lengths = Dictionary(
                uniqueKeysWithValues: zip(
                    aggregate["ids"]?.array?.compactMap(\.string) ?? [], aggregate["lengths"]?.array ?? []))
            let own = cases.compactMap { one in lengths[one["id"]?.string ?? ""].map { one.setting("length", $0) } }
            let report = try Self.report(own)
            #expect(report.tasks.map(\.name) == [aggregate["dataset"]?.string ?? ""])
            #expect(report.tasks[0].count == lengths.count)
            #expect(report.tasks[0].mean == aggregate["score"]?.double, "\(report.tasks[0].name)")
            for (group, mean) in report.tasks[0].byLength {
                #expect(mean == aggregate["score_e"]?[group]?.double, "\(report.tasks[0].name) \(group)")
            }
            #expect(report.tasks[0].byLength.count == 3)
        }
    }

    @Test func `ROUGE has its value where Python's recursion limit takes it, and counts those cases`() throws {
        let cases = try Self.lines("rouge-recursion-cases.jsonl")
        let report = try Self.report(cases)
        for (one, (_, score)) in zip(cases, report.scores) {
            #expect(abs(score.value - (one["score"]?.double ?? .nan)) < 1e-12)
            #expect(score.isPastRecursionLimit == (one["score_official"] != one["score"]))
        }
        #expect(report.scores.count == 6)
        #expect(report.pastRecursionLimit == 2)
    }

    @Test func `jieba's words are those of the Python package`() throws {
        let cases = try Self.lines("jieba-cases.jsonl")
        #expect(cases.count > 50)
        for one in cases {
            let words = try Self.jieba.get().words(PythonText(one["text"]?.string ?? ""))
            #expect(words.map(\.string) == one["tokens"]?.array?.compactMap(\.string))
        }
    }

    @Test func `BABILong's outputs have the official verdict, not the harness's`() throws {
        let cases = try Self.lines("babilong-metric-cases.jsonl")
        let report = try Self.report(
            cases.map {
                $0.setting("task", .text("babilong:" + ($0["task"]?.string ?? ""))).setting("prediction", $0["output"] ?? .null)
            })
        #expect(report.scores.count == 779)
        for (one, (_, score)) in zip(cases, report.scores) {
            #expect((score.value == 1) == one["correct"]?.bool, "\(one["id"]?.string ?? "")")
        }
        let share = report.scores.reduce(0) { $0 + $1.score.value } / 779
        #expect((1000 * share).rounded() == 472)
        #expect(report.tasks.allSatisfy { (0...100).contains($0.mean) })
    }

    @Test func `RULER's cases and means are those of its own program`() throws {
        let data = try Self.value("ruler-metric-cases.json")
        let cases = try #require(data["cases"]?.array)
        let report = try Self.report(cases.map { $0.setting("task", .text("ruler:" + ($0["task"]?.string ?? ""))) })
        #expect(report.scores.count == 76)
        for (one, (_, score)) in zip(cases, report.scores) {
            // The reference rounds each case as it rounds a mean.
            #expect(PythonRounding.rounded(score.value * 100, digits: 2) == one["score"]?.double, "\(one["id"]?.string ?? "")")
        }
        for task in report.tasks { #expect(task.mean == data["aggregate"]?[String(task.name.dropFirst(6))]?.double) }
        #expect(report.tasks.count == 13)
    }

    @Test(arguments: [("strict", "gsm8k_cot/strict-match"), ("flexible", "flexible-extract")])
    func `GSM8K's answers are extracted and compared as lm-evaluation-harness does`(name: String, key: String) throws {
        let cases = try Self.lines("gsm8k-extract-cases.jsonl")
        let report = try Self.report(cases.map { $0.setting("task", .text("gsm8k:" + name)) })
        #expect(report.scores.count == 143)
        for (one, (_, score)) in zip(cases, report.scores) {
            #expect(score.value == one[key]?["exact_match"]?.double, "\(one["id"]?.string ?? "")")
            let extracted = GSM8K.scoring.extracted(
                one["prediction"]?.string ?? "", filter: name == "strict" ? "strict-match" : "flexible-extract")
            #expect(extracted == one[key]?["extracted"]?.string, "\(one["id"]?.string ?? "")")
        }
    }

    @Test func `LongBench v2's letters are extracted as its own program does`() throws {
        for one in try #require(try Self.value("longbench2-extract-cases.json").array) {
            let letter = AnswerExtraction.choiceLetter(PythonText(one["response"]?.string ?? ""))
            #expect(letter?.string == one["pred"]?.string)
            for answer in ["A", "B", "C", "D"] {
                let scored = JSONValue.object([
                    "id": .int(1), "task": .text("longbench2"), "prediction": one["response"] ?? .null, "answer": .text(answer),
                ])
                #expect(try Self.report([scored]).scores[0].score.value == (letter?.string == answer ? 1 : 0))
            }
        }
    }

    @Test func `passkeys are right as the original's program says`() throws {
        let cases = try #require(try Self.value("passkey-cases.json").array)
        let report = try Self.report(
            cases.map {
                $0.setting("id", .int(1)).setting("task", .text("passkey")).setting("prediction", $0["response"] ?? .null)
            })
        #expect(report.scores.count == 12)
        for (one, (_, score)) in zip(cases, report.scores) { #expect((score.value == 1) == one["correct"]?.bool, "\(one.text)") }
    }
}
