import Files
import Foundation
import Random

/// Makes BABILong's samples: bAbI's facts between the sentences of a book, as its `create_tasks.py` does.
///
/// Sentences of at least ten tokens are taken one behind the other from a random one on, until they and the facts have the length less
/// 300 tokens, which the prompt's other texts take; the last sentence is cut. Facts keep their order, at random places between sentences.
/// Stories of more facts than a line for eight tokens are left out.
///
/// Departures: sentences end where ``NeedleGrid`` ends them, not at NLTK's marks, their white space is folded, and draws are seeded.
public struct BABILongMaker: Sendable {
    /// A question with the facts before it.
    struct Story: Equatable {
        var facts: [String]
        var question: String
        var answer: String
    }

    private let stories: [String: [Story]]
    private let sentences: [String]
    /// The files of bAbI and the haystack.
    let files: [String]
    /// Seeds the draws, which do not depend on the model.
    let seed: UInt64

    /// Reads the files `TASK_…_test.txt` of bAbI in the folder `babi`; `haystack` is the text of `haystackFiles`.
    ///
    /// Throws `FileError`, or ``ScoringError`` naming file and line.
    public init(tasks: [String], babi: String, haystack: String, haystackFiles: [String], seed: UInt64) throws {
        let names = ((try? FileManager.default.contentsOfDirectory(atPath: babi)) ?? []).sorted()
        var (stories, files): ([String: [Story]], [String]) = ([:], [])
        for task in tasks {
            guard let name = names.first(where: { $0.hasPrefix(task + "_") && $0.hasSuffix("_test.txt") }) else {
                throw ScoringError.file(babi, line: 1, reason: "no file \(task)_…_test.txt of bAbI in this folder")
            }
            files.append(babi + "/" + name)
            stories[task] = try Self.stories(files[files.count - 1])
        }
        (self.stories, self.files, self.seed) = (stories, files + haystackFiles, seed)
        sentences = NeedleGrid.sentences(haystack)
    }

    /// The questions of a file of bAbI, each with its story's facts before it.
    static func stories(_ path: String) throws -> [Story] {
        let bytes = try RegularFile.contents(path, links: .followed)
        var (stories, facts): ([Story], [String]) = ([], [])
        for (index, line) in bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false).enumerated() {
            func refused(_ reason: String) -> ScoringError { .file(path, line: index + 1, reason: reason) }
            guard let text = String(validating: line, as: UTF8.self) else { throw refused("not UTF-8") }
            if PythonText(text).stripped.count == 0 { continue }
            let parts = text.split(separator: " ", maxSplits: 1, omittingEmptySubsequences: false)
            guard parts.count == 2, let number = Int(parts[0]), number >= 1 else {
                throw refused("expected a sentence's number and its text")
            }
            if number == 1 { facts = [] }
            let columns = PythonText(String(parts[1])).parts(at: "\t")
            if columns.count == 1 {
                facts.append(columns[0].stripped.string)
            } else {
                guard columns[1].count > 0 else { throw refused("a question without an answer") }
                stories.append(Story(facts: facts, question: columns[0].string, answer: columns[1].stripped.string))
            }
        }
        guard !stories.isEmpty else { throw ScoringError.file(path, line: 1, reason: "no questions") }
        return stories
    }

    /// The stories that fit a length.
    private func stories(_ task: String, _ length: String) -> [Story] {
        let tokens = (BABILongTask.tokens(length) ?? 0) - 300
        return (stories[task] ?? []).filter { tokens <= 0 || $0.facts.count + 1 <= tokens / 8 }
    }

    /// The number of samples of a task at a length, at most `limit`.
    func count(_ task: String, _ length: String, _ limit: Int?) -> Int { min(limit ?? .max, stories(task, length).count) }

    /// The samples, in the order of lengths and tasks.
    ///
    /// Throws ``NeedleGrid/Fault`` where the haystack has fewer tokens than a length needs.
    func samples(
        _ tasks: [String], _ lengths: [String], limit: Int?, _ encoder: PromptEncoder
    ) throws(NeedleGrid.Fault) -> [BABILongTask.Sample] {
        let background = sentences.map { encoder.tokenizer.encode(" " + $0) }.filter { $0.count >= 10 }
        let total = background.reduce(0) { $0 + $1.count }
        var samples: [BABILongTask.Sample] = []
        for length in lengths {
            let tokens = max(0, (BABILongTask.tokens(length) ?? 0) - 300)
            guard tokens <= total else { throw .shortHaystack(length: tokens, tokens: total) }
            for task in tasks {
                var order = SeededGenerator(seed: seed, name: "babilong/\(length)/\(task)")
                for (index, story) in stories(task, length).shuffled(using: &order).prefix(limit ?? .max).enumerated() {
                    var generator = SeededGenerator(seed: seed, name: "babilong/\(length)/\(task)/\(index)")
                    let context = context(story.facts, tokens, background, encoder, &generator)
                    samples.append(
                        .init(task: task, length: length, context: context, question: story.question, target: story.answer))
                }
            }
        }
        return samples
    }

    /// Facts between sentences, `tokens` in all.
    private func context(
        _ facts: [String], _ tokens: Int, _ background: [[Int32]], _ encoder: PromptEncoder,
        _ generator: inout SeededGenerator
    ) -> String {
        let facts = facts.map { encoder.tokenizer.encode(" " + $0) }
        var left = tokens - facts.reduce(0) { $0 + $1.count }
        var sentences: [[Int32]] = []
        if left > 0 {
            var next = Int.random(in: 0..<background.count, using: &generator)
            while left > 0 {
                sentences.append(Array(background[next].prefix(left)))
                left -= background[next].count
                next = (next + 1) % background.count
            }
        }
        let places = facts.map { _ in Int.random(in: 0...sentences.count, using: &generator) }.sorted()
        var ids: [Int32] = []
        for place in 0...sentences.count {
            for (fact, at) in zip(facts, places) where at == place { ids += fact }
            if place < sentences.count { ids += sentences[place] }
        }
        return PythonText(String(decoding: encoder.tokenizer.decode(ids), as: UTF8.self)).stripped.string
    }
}
