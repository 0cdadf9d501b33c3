import Files
import Foundation
import JSON
import Random
import TestSupport
import Testing
import Text

@testable import Evaluation

/// RULER's prompts made here, compared with the ones of its own programs: the shared files, and `Fixtures/ruler/make_ruler.py`.
@Suite struct RULERMakerTests {
    private let scratch = ScratchDirectory()
    private static let encoder = PromptEncoder(ByteTokenizer(), bosID: 256)
    private static let fixtures =
        URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .appendingPathComponent("Fixtures").path + "/"
    static let suites = fixtures + "suites/"

    private func texts() throws -> RULERPrompts { try RULERPrompts(path: Self.suites + "constants.py") }

    private static var book: String {
        (0..<900).map { "Sentence \($0) has a few words. \($0 % 7 == 0 ? "Is it? “Yes!” " : "")" }.joined()
    }

    private func sources() throws -> RULERMaker.Sources {
        RULERMaker.Sources(
            texts: try texts(), haystack: Self.book, haystackFiles: ["book.txt"], squad: Self.suites + "squad.json",
            hotpotqa: Self.suites + "hotpotqa.json")
    }

    private func examples(
        _ tasks: [String], _ lengths: [Int], limit: Int = 3, seed: UInt64 = 1, encoder: PromptEncoder = Self.encoder
    ) throws -> [GenerationExample] {
        let maker = try RULERMaker(tasks: tasks, lengths: lengths, try sources(), limit: limit, seed: seed)
        let task = RULERTask(making: maker)
        let examples = try task.examples(encoder)
        #expect(examples.count == task.count)
        return examples
    }

    @Test func `prompts of every task fill their length with haystack, and hold what is asked for`() throws {
        let all = try examples(RULERTask.tasks.filter { !$0.hasPrefix("qa_") }, [2600, 9000])
        #expect(all.count == 11 * 2 * 3 && Set(all.map(\.id)).count == all.count)
        for example in all {
            let length = try #require(example.group.length)
            #expect(example.tokens.count + example.maxTokens <= length, "\(example.id)")
            #expect(example.tokens.count + example.maxTokens > length * 9 / 10, "\(example.id)")
            #expect(try example.score(example.references.joined(separator: " ")) == 1)
            for reference in example.references { #expect(example.prompt.contains(reference), "\(example.id)") }
            #expect(
                example.references.count == ["niah_multivalue": 4, "niah_multiquery": 4, "vt": 5, "cwe": 10, "fwe": 3][
                    example.group.dataset ?? ""] ?? 1)
            // The question is the last line.
            let behind = ByteTokenizer().decode(Array(example.tokens[example.contextTokens...]))
            #expect(example.prompt.utf8.reversed().starts(with: behind.reversed()) && !behind.contains(10))
        }
        // As many as there are questions with answers; one is answered by yes.
        let questions = try examples(["qa_1"], [450], limit: 9) + examples(["qa_2"], [330], limit: 9)
        #expect(questions.map(\.group.dataset) == Array(repeating: "qa_1", count: 5) + Array(repeating: "qa_2", count: 3))
        for example in questions {
            #expect(example.tokens.count + example.maxTokens <= example.group.length ?? 0)
            #expect(example.prompt.contains(example.references[0]) || example.references == ["yes"])
        }
    }

    @Test func `documents about a question's subject are the first to stand beside its own`() throws {
        let rule = try RULERQuestions(squad: Self.suites + "squad.json", try texts())
        for seed in 0..<20 {
            var generator = SeededGenerator(seed: UInt64(seed))
            let two = rule.prompt(0, size: 2, &generator).text
            #expect(two.contains("nine arches. It") && (two.contains("The ferry beside") || two.contains("A toll of")))
            let five = rule.prompt(0, size: 5, &generator).text
            #expect(five.contains("nine arches. It") && five.contains("The ferry beside") && five.contains("A toll of"))
            #expect(five.contains("Document 5:\n") && !five.contains("Document 6:\n"))
        }
    }

    @Test func `the same seed makes the same prompts, another one others, and lengths and numbers their own`() throws {
        let tasks = ["niah_single_1", "niah_multikey_3", "vt", "cwe", "fwe"]
        let first = try examples(tasks, [2000, 2100], limit: 2)
        #expect(try examples(tasks, [2000, 2100], limit: 2).map(\.prompt) == first.map(\.prompt))
        // A prompt does not depend on the tasks, lengths and numbers beside it.
        #expect(try examples(["vt"], [2100], limit: 1)[0].prompt == first.first { $0.id == "ruler/2100/vt/0" }?.prompt)
        let other = try examples(tasks, [2000, 2100], limit: 2, seed: 2)
        #expect(zip(first, other).allSatisfy { $0.references != $1.references })
        #expect(Set(first.map(\.references)).count == first.count)
    }

    @Test func `needles in a text stand at depths of a grid of 40, none of them taken twice`() throws {
        #expect(RULERNeedles.depths.count == 40 && Set(RULERNeedles.depths).count == 40)
        #expect(RULERNeedles.depths.prefix(4) == [0, 3, 5, 8] && RULERNeedles.depths.last == 100)
        // Four sentences of two words; the last one is cut.
        let text = RULERText("A b.\n C d?  (E f.) g h. I j.")
        #expect(text.context(words: 7, ["1", "2", "3"], depths: [0, 50, 100]) == " 1 A b. C d? 2 (E f.) g 3 ")
        #expect(text.context(words: 8, ["1", "2"], depths: [26, 49]) == "A b. 1  2 C d? (E f.) g h.")
    }

    @Test func `a chat template's tokens, the first token and --max-new count as part of a length`() throws {
        let chat = ChatWriter(stops: []) { turns in "<<user>>" + turns[0].content + "<<end>>" }
        let encoder = PromptEncoder(ByteTokenizer(), bosID: 256, chat: chat)
        let maker = try RULERMaker(tasks: ["niah_single_2"], lengths: [1500], try sources(), limit: 2)
        for example in try RULERTask(making: maker, maxTokens: 700).examples(encoder) {
            #expect(example.maxTokens == 700 && example.prompt.hasSuffix("<<end>>"))
            #expect((1440...1500).contains(example.tokens.count + 700))
        }
        #expect(
            RULERTask(making: maker, maxTokens: 700).options == [
                "tasks": "niah_single_2", "lengths": "1500", "limit": "2", "seed": "1", "max-new": "700",
            ])
        #expect(RULERTask(making: maker).files == ["book.txt", Self.suites + "constants.py"])
    }

    @Test func `lists of words beyond those of English are of compounds`() throws {
        let examples = try examples(["cwe"], [100_000], limit: 1)
        let words = Set(examples[0].prompt.components(separatedBy: " ").filter { $0.allSatisfy(\.isLetter) && $0.count > 2 })
        #expect(words.count > EnglishWords.all.count && !words.isDisjoint(with: EnglishWords.all))
        #expect(Set(EnglishWords.all).count == EnglishWords.all.count && examples[0].references.allSatisfy { $0.count > 3 })
    }

    @Test func `frequencies fall with the square of the rank, and the words asked for are the most frequent`() throws {
        let counts = RULERFrequentWords.counts(1000, ranks: 6)
        #expect(counts == [607, 151, 67, 37, 24, 16])
        for example in try examples(["fwe"], [1200, 4000]) {
            let words = Dictionary(grouping: example.prompt.components(separatedBy: " ").filter { $0.count == 6 }) { $0 }
            #expect(Set(words.sorted { $0.value.count > $1.value.count }.prefix(3).map(\.key)) == Set(example.references))
        }
    }

    @Test(arguments: [
        ("vt", 900, "vt: a length of 900 tokens is too short, a prompt with its output takes at least "),
        ("fwe", 200, "fwe: a length of 200 tokens is too short"), ("cwe", 500, "cwe: a length of 500 tokens is too short"),
        ("niah_multikey_1", 200, "niah_multikey_1: a length of 200 tokens is too short"),
        ("niah_single_2", 50_000, "niah_single_2: its files give prompts with outputs of at most "),
        ("qa_1", 5000, "qa_1: its files give prompts with outputs of at most "),
        ("qa_2", 200, "qa_2: 1 questions fit a length of 200 tokens with their own documents, expected 3; choose longer lengths"),
    ])
    func `a length for which a haystack is too long or too short is refused`(task: String, length: Int, sentence: String) throws {
        let error = #expect(throws: RULERMaker.Fault.self) { try examples([task], [length]) }
        #expect(try #require(error).description.hasPrefix(sentence), "\(error?.description ?? "")")
    }

    @Test func `a task without the files that it is made from is refused, naming their origin`() throws {
        let bare = RULERMaker.Sources(texts: try texts())
        #expect(RULERMaker.tasks(of: bare) == ["niah_single_1", "niah_multikey_2", "niah_multikey_3", "vt", "cwe", "fwe"])
        #expect(try RULERMaker.tasks(of: sources()) == RULERTask.tasks)
        for (task, sentence) in [
            ("qa_1", "qa_1 is made from SQuAD's dev-v2.0.json (rajpurkar.github.io/SQuAD-explorer); name it as 'squad'"),
            ("qa_2", "qa_2 is made from HotpotQA's hotpot_dev_distractor_v1.json (hotpotqa.github.io); name it as 'hotpotqa'"),
            (
                "niah_multivalue",
                "niah_multivalue is made from a text, in place of the essays that RULER downloads; old books are free; name it as 'haystack'"
            ),
        ] {
            let error = #expect(throws: RULERMaker.Fault.self) { try RULERMaker(tasks: ["vt", task], lengths: [4096], bare) }
            #expect(error?.description == sentence)
        }
    }

    @Test(arguments: [
        ("constants.py", "TASK = {}", "line 1: expected 'TASKS = …' at the start of a line"),
        ("constants.py", "TASKS = {'niah': {'template': '''a\n", "line 2: a string that never ends"),
        ("constants.json", "{}", "line 1: 'niah' has no text 'template'"),
        ("constants.json", "{\n", "line 2: not valid JSON"),
        (
            "constants.json", #"{"tasks": {"niah": {"template": "{context}", "answer_prefix": "{x}"}}}"#,
            "has the field '{x}', expected type_needle_v, "
        ),
        ("constants.json", #"{"tasks": {"niah": {"template": "{context}", "answer_prefix": ""}}}"#, "has no field '{query}'"),
        ("constants.json", #"{"tasks": {"niah": {"template": "{", "answer_prefix": ""}}}"#, "has a single '{'"),
        ("squad.json", "{}", "line 1: no list 'data', as SQuAD's files have"),
        ("squad.json", #"{"data": [{"paragraphs": []}]}"#, "line 1: no questions with answers"),
        ("squad.json", #"{"data": [{}]}"#, "line 1: article 1: no list 'paragraphs'"),
        (
            "squad.json", #"{"data": [{"paragraphs": [{"context": "a", "qas": [{"question": "b"}]}]}]}"#,
            "article 1: a question without"
        ),
        ("hotpotqa.json", "[{}]", "line 1: 'context' is no list of documents"),
        ("hotpotqa.json", #"[{"context": [["a"]]}]"#, "'context' has a document that is no title with a list of sentences"),
        ("hotpotqa.json", #"[{"context": [["a", ["b"]]], "question": "c"}]"#, "'answer' is missing"),
    ])
    func `a file of another form is named with its line`(name: String, text: String, sentence: String) throws {
        try scratch.write(Array(text.utf8), to: name)
        let error = #expect(throws: ScoringError.self) {
            switch name {
            case "squad.json": _ = try RULERQuestions(squad: scratch[name], try texts())
            case "hotpotqa.json": _ = try RULERQuestions(hotpotqa: scratch[name], try texts())
            default: _ = try RULERPrompts(path: scratch[name])
            }
        }
        #expect(try #require(error).description.contains(sentence), "\(error?.description ?? "")")
        #expect(try #require(error).description.hasPrefix(scratch[name] + ": line "))
    }

    @Test func `Python's texts are read between triple quotation marks, and the needles' put into the singular`() throws {
        let texts = try texts()
        #expect(
            texts.prompt(.variables, ["context": "C", "query": "7", "num_v": "5"])
                == "Track.\n\nC\nQuestion: which have \"7\"? 5 have 7: ")
        #expect(texts.prompt(.frequentWords, ["context": "C"]) == "Read.\nC\nQuestion? Three:")
        let fields = ["type_needle_v": "numbers", "context": "C are", "query": "a"]
        #expect(texts.prompt(.needles, fields) == "Some numbers are here.\nC are\nWhat are all numbers for a? They are")
        #expect(
            texts.prompt(.needles, isSingular: true, fields) == "A numbers is here.\nC are\nWhat is numbers for a? They is")
    }
}

/// Draws of RULER's own programs, from which its prompts come out byte for byte.
@Suite(.enabled(if: SharedData.isPresent, "\(SharedData.skipped)")) struct RULERPromptTests {
    private static let folder = OfficialScoreTests.folder

    private static func texts() throws -> RULERPrompts { try RULERPrompts(path: folder + "templates/ruler.json") }

    private static func prompts(_ task: String) throws -> [(text: String, outputs: [String])] {
        try DataRecord.lines("\(folder)ruler/\(task)-1024.jsonl").map {
            (try $0.text("input") + $0.text("answer_prefix"), try $0.texts("outputs"))
        }
    }

    private static func part(_ text: String, from start: String, to end: String) throws -> String {
        let start = try #require(text.range(of: start))
        let rest = text[start.upperBound...]
        return String(rest[..<(try #require(rest.range(of: end))).lowerBound])
    }

    @Test(arguments: ["niah_single_1", "niah_multikey_2", "niah_multikey_3"])
    func `needles among lines`(task: String) throws {
        let variant = try #require(RULERNeedles.variants[task])
        for (text, outputs) in try Self.prompts(task) {
            let key = try Self.part(
                text, from: "\nWhat is the special magic \(variant.values.rawValue.dropLast()) for ", to: " mentioned")
            let needle = RULERNeedles.needle(variant.values, key, outputs[0])
            var lines = Array(text.components(separatedBy: "\n").dropFirst().dropLast())
            let index = try #require(lines.firstIndex(of: needle))
            lines.remove(at: index)
            if !variant.hidesAmongNeedles { lines = lines.map { _ in PasskeyGrid.garbage } }
            let made = RULERNeedles(variant: variant, haystack: .noise, texts: try Self.texts())
            #expect(made.text(RULERNeedles.context(lines, [needle], before: [index]), queries: [key]) == text)
        }
    }

    @Test func `chains of variables behind an example`() throws {
        let texts = try Self.texts()
        for (text, outputs) in try Self.prompts("vt") {
            let parts = text.components(separatedBy: "\n\nMemorize")
            let (shown, asked) = (parts[0], "Memorize" + parts[1])
            func rebuilt(_ text: String, _ names: [String]) throws -> String {
                let lines = try Self.part(text, from: "text.\n\n", to: "\nQuestion").components(separatedBy: "\n")
                let places = lines.indices.filter { lines[$0].hasPrefix("VAR ") }
                return RULERVariables.text(
                    texts, lines.count - places.count, places.enumerated().map { $1 - $0 }, names,
                    value: String(lines[places[0]].suffix(5)))
            }
            let answer = Array(shown.components(separatedBy: " ").suffix(5))
            #expect(RULERVariables.joined(try rebuilt(shown, answer), answer, try rebuilt(asked, outputs)) == text)
        }
    }

    @Test func `numbered lists of words behind an example`() throws {
        let rule = RULERCommonWords(texts: try Self.texts(), length: 1024)
        for (text, outputs) in try Self.prompts("cwe") {
            let parts = text.components(separatedBy: "\nBelow")
            func words(_ list: String) -> [String] {
                list.components(separatedBy: " ").enumerated().filter { $0.offset % 2 == 1 }.map(\.element)
            }
            let lists = try parts.map { words(try Self.part($0, from: "most often.\n", to: "\nQuestion")) }
            let answer = words(try #require(parts[0].components(separatedBy: "in the list are: ").last))
            #expect(rule.text(example: lists[0], answer: answer, lists[1]) == text)
            for (list, common, often) in [(lists[0], answer, 3), (lists[1], outputs, 6)] {
                let counts = Dictionary(grouping: list) { $0 }.mapValues(\.count)
                #expect(Set(counts.filter { $0.value == often }.keys) == Set(common))
                #expect(Set(counts.values) == [1, often])
            }
            #expect(Set(lists[0]).count == 20)
        }
    }

    @Test func `coded words by their frequencies`() throws {
        let rule = RULERFrequentWords(texts: try Self.texts(), promptTokens: 974)
        for (text, outputs) in try Self.prompts("fwe") {
            let words = try Self.part(text, from: "coded words. ", to: "\nQuestion").components(separatedBy: " ")
            #expect(rule.text(words) == text)
            let counts = Dictionary(grouping: words) { $0 }.mapValues(\.count)
            #expect(counts.sorted { $0.value > $1.value }.prefix(4).map(\.key) == ["..."] + outputs)
            // 974 / 50 ranks, of which the rarest do not come at all.
            let sorted = counts.values.sorted(by: >)
            #expect((300...2000).contains { RULERFrequentWords.counts($0, ranks: 19).filter { $0 > 0 } == sorted })
        }
    }

    @Test func `needles in a text and questions about documents`() throws {
        let fixtures = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .appendingPathComponent("Fixtures").path
        let texts = try Self.texts()
        let book = RULERText(
            String(decoding: try RegularFile.contents(Self.folder + "books/alice.txt", links: .followed), as: UTF8.self))
        let questions = [
            "qa_1": try RULERQuestions(squad: fixtures + "/suites/squad.json", texts),
            "qa_2": try RULERQuestions(hotpotqa: fixtures + "/suites/hotpotqa.json", texts),
        ]
        for record in try DataRecord.elements(fixtures + "/ruler/expected.json") {
            let task = try record.text("task")
            let made: String
            if let file = questions[task] {
                let documents = try record.texts("documents")
                made = RULERQuestions.text(texts, documents, query: try record.text("query"))
                var generator = SeededGenerator(seed: 1)
                let drawn = file.prompt(try #require(record.json["number"]?.int), size: documents.count, &generator)
                #expect(try drawn.outputs == record.texts("outputs"))
                #expect(drawn.text.contains("Document \(documents.count):\n"))
            } else {
                let variant = try #require(RULERNeedles.variants[task])
                let depths = (record.json["depths"]?.array ?? []).compactMap(\.int)
                let context = book.context(
                    words: try #require(record.json["words"]?.int), try record.texts("needles"), depths: depths)
                made = RULERNeedles(variant: variant, haystack: .text(book), texts: texts)
                    .text(context, queries: try record.texts("queries"))
            }
            #expect(try SHA256Digest(of: made).hex == record.text("sha256"), "\(task)")
        }
    }
}
