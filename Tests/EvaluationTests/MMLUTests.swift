import Files
import Foundation
import TestSupport
import Testing

@testable import Evaluation

@Suite struct MMLUTests {
    private let scratch = ScratchDirectory()

    private func write(_ text: String, _ name: String) throws {
        let folder = URL(fileURLWithPath: scratch[name]).deletingLastPathComponent()
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        try scratch.write(Array(text.utf8), to: name)
    }

    @Test func `rows are Python's csv's: quotation marks, line breaks in them, and both line ends`() throws {
        try write("a,\"b \"\"c\"\", d\",e\r\n\"two\nlines\",,x\"y\"\n\nlast,1", "x.csv")
        let rows = try CommaSeparated.rows(scratch["x.csv"])
        #expect(
            rows == [
                .init(line: 1, cells: ["a", "b \"c\", d", "e"]), .init(line: 2, cells: ["two\nlines", "", "x\"y\""]),
                .init(line: 5, cells: ["last", "1"]),
            ])
    }

    @Test func `prompts have the subject, the first examples of dev with their letters, and the question`() throws {
        try write("One?,a,b,c,d,B\n\" Two, or\n2? \",e,f,g,h,D\nThree?,i,j,k,l,A\n", "dev/abstract_algebra_dev.csv")
        try write("Four?,1,2,3,4,C\nFive?,1,2,3,4,A\n", "test/abstract_algebra_test.csv")
        try write("Six?,1,2,3,4,D\n", "test/anatomy_test.csv")
        try write("x,1,2,3,4,A\n", "dev/anatomy_dev.csv")
        let context = """
            The following are multiple choice questions (with answers) about abstract algebra.

            One?
            A. a
            B. b
            C. c
            D. d
            Answer: B

            Two, or
            2?
            A. e
            B. f
            C. g
            D. h
            Answer: D

            Four?
            A. 1
            B. 2
            C. 3
            D. 4
            Answer:
            """
        let beginning = try #require(context.firstRange(of: "Four?"))
        let subject = try #require(try MMLU(["abstract_algebra"], data: scratch.path, shots: 2).subjects.first)
        #expect(
            subject.items[0]
                == ChoiceItem(
                    context: context, choices: [" A", " B", " C", " D"], answer: 2,
                    promptBytes: context[..<beginning.lowerBound].utf8.count))
        let all = try MMLU(nil, data: scratch.path, shots: 1, limit: 1)
        #expect(all.subjects.map(\.name) == ["abstract_algebra", "anatomy"] && all.subjects.map(\.items.count) == [1, 1])
        #expect(
            try MMLU(["anatomy"], data: scratch.path, shots: 0).subjects[0].items[0].context.contains("about anatomy.\n\nSix?"))
        let few = #expect(throws: ScoringError.self) { try MMLU(nil, data: scratch.path, shots: 2) }
        #expect(few?.description.hasSuffix("/dev/anatomy_dev.csv: line 1: 1 examples, expected at least 2") == true)
    }

    @Test(arguments: [
        ("a,b\n", "line 1: 2 columns, expected a question, four choices and a letter"),
        ("a,1,2,3,4,A\nb,1,2,3,4,E", "line 2: the answer 'E', expected A, B, C or D"), ("\n", "line 1: no questions"),
        ("a,\"b", "line 1: a quotation mark that is never closed"),
    ])
    func `a file of another form is named with its line`(text: String, sentence: String) throws {
        try write(text, "test/anatomy_test.csv")
        let error = #expect(throws: ScoringError.self) { try MMLU(nil, data: scratch.path, shots: 0) }
        #expect(error?.description == "\(scratch.path)/test/anatomy_test.csv: \(sentence)")
        #expect(throws: FileError.self) { try MMLU(["other"], data: scratch.path, shots: 0) }
    }
}
