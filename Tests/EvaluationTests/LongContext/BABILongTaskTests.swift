import Files
import Foundation
import TestSupport
import Testing
import Text

@testable import Evaluation

@Suite struct BABILongTaskTests {
    private let scratch = ScratchDirectory()
    private static let encoder = PromptEncoder(ByteTokenizer(), bosID: 256)

    private static let json = #"""
        {"template": "{instruction}\n\n{examples}\n\n{post_prompt}\n\n<context>\n{context}\n</context>\n\nQuestion: {question}",
         "prompts": {"qa1": {"instruction": "Find.", "examples": "<example>’a’</example>\n", "post_prompt": "One word."}}}
        """#

    private func write(_ text: String, _ name: String) throws {
        let folder = URL(fileURLWithPath: scratch[name]).deletingLastPathComponent()
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        try scratch.write(Array(text.utf8), to: name)
    }

    private func prompts() throws -> BABILongPrompts {
        try write(Self.json, "prompts.json")
        return try BABILongPrompts(path: scratch["prompts.json"])
    }

    private func sample(_ input: String) -> String {
        #"{"input": "\#(input)", "question": "Where is Ann? ", "target": "hallway"}"#
    }

    @Test func `a prompt has instruction, examples, post-prompt, context and question, stripped as the authors strip it`() throws
    {
        try write("[" + sample(" Ann is there.\\n") + "]", "0k/qa1.json")
        func example(isBare: Bool) throws -> GenerationExample {
            let task = try BABILongTask(
                tasks: ["qa1"], lengths: ["0k"], data: scratch.path, prompts: try prompts(), .init(isBare: isBare))
            #expect(task.count == 1 && task.options["bare"] == "\(isBare)")
            #expect(task.files == [scratch["0k/qa1.json"], scratch["prompts.json"]])
            return try #require(try task.examples(Self.encoder).first)
        }
        let whole = try example(isBare: false)
        #expect(
            whole.prompt
                == "Find.\n\n<example>’a’</example>\n\n\nOne word.\n\n<context>\nAnn is there.\n</context>\n\nQuestion: Where is Ann?"
        )
        let bare = try example(isBare: true)
        #expect(bare.prompt == "<context>\nAnn is there.\n</context>\n\nQuestion: Where is Ann?")
        for one in [whole, bare] {
            let behind = ByteTokenizer().decode(Array(one.tokens[one.contextTokens...]))
            #expect(behind == Array("\n</context>\n\nQuestion: Where is Ann?".utf8))
            #expect(one.id == "babilong/0k/qa1/0" && one.group == ExampleGroup(dataset: "qa1", length: 0) && one.maxTokens == 20)
            // The place in the question does not count.
            #expect(try one.score("Ann is in the hallway.") == 1)
            #expect(try one.score("hallway or garden") == 0)
        }
    }

    @Test func `a prompts module of Python is read as its texts in JSON are`() throws {
        try write(
            #"""
            # Texts of the tasks.
            import re
            TASK_TEMPLATE = '{instruction}\n\n{examples}\n\n{post_prompt}'
            USER_TEMPLATE = "<context>\n{context}\n</context>\n\nQuestion: {question}"
            DEFAULT_TEMPLATE = f'{TASK_TEMPLATE}\n\n{USER_TEMPLATE}'


            def get_formatted_input(context):
                return DEFAULT_TEMPLATE.strip()


            DEFAULT_PROMPTS = {
                'qa1': {
                    'instruction':
                        'Fin'
                        "d.",  # two strings
                    'examples':
                        '<example>’a\u2019'
                        '</example>\n',
                    'post_prompt': 'One word.',
                },

            }
            """#, "prompts.py")
        let (python, json) = (try BABILongPrompts(path: scratch["prompts.py"]), try prompts())
        for isBare in [false, true] {
            let made = try [python, json].map {
                try $0.prompt("qa1", context: "c", question: "q", isBare: isBare)
            }
            #expect(made[0] == made[1] && made[0].text.hasSuffix("<context>\nc\n</context>\n\nQuestion: q"))
        }
    }

    @Test(arguments: [
        ("[", "0k/qa1.json", "0k/qa1.json: line 1: not valid JSON"),
        ("{}", "0k/qa1.json", "line 1: expected a JSON list of objects"),
        ("[]", "0k/qa1.json", "line 1: no records"), ("[\n1]", "0k/qa1.json", "line 2: expected a JSON object"),
        (
            "[{\"input\": \"a\", \"question\": \"b\",\n\"target\": \"c\"},\n {\"input\": 1}]", "0k/qa1.json",
            "line 3: 'input' is no string"
        ),
        ("{\n", "prompts.json", "prompts.json: line 2: not valid JSON"),
        ("{}", "prompts.json", "prompts.json: line 1: no template"),
        (#"{"template": "{context}"}"#, "prompts.json", "no prompts"),
        (#"{"template": "{x}", "prompts": {}}"#, "prompts.json", "the template has the field '{x}', expected instruction, "),
        (#"{"template": "{context}", "prompts": {}}"#, "prompts.json", "the template has no field '{question}'"),
        (#"{"template": "{context}{question}", "prompts": {"qa1": {}}}"#, "prompts.json", "'qa1' has no 'instruction'"),
        (#"{"template": "{context}{question}", "prompts": {}}"#, "prompts.json", "prompts.json: line 1: no prompts for 'qa1'"),
        ("X = 1", "prompts.py", "prompts.py: line 1: expected 'DEFAULT_TEMPLATE = …' at the start of a line"),
        ("DEFAULT_TEMPLATE = 'a'\n'b'\nDEFAULT_PROMPTS = {'a':\n 'b'", "prompts.py", "line 4: expected ',' or '}'"),
        ("DEFAULT_TEMPLATE = f'{X}'\nX = f'{X}'", "prompts.py", "the name of another string in the braces"),
    ])
    func `a file of another form is named with its line`(text: String, name: String, sentence: String) throws {
        try write("[" + sample("a") + "]", "0k/qa1.json")
        try write(Self.json, "prompts.json")
        try write(text, name)
        let error = #expect(throws: ScoringError.self) {
            let texts = try BABILongPrompts(path: scratch[name.hasPrefix("prompts") ? name : "prompts.json"])
            _ = try BABILongTask(tasks: ["qa1"], lengths: ["0k"], data: scratch.path, prompts: texts).examples(Self.encoder)
        }
        #expect(try #require(error).description.contains(sentence), "\(error?.description ?? "")")
    }

    private static let stories = """
        1 Ann went to the hallway.
        2 Bob went to the garden.
        3 Where is Ann? \thallway\t1
        4 Ann went to the office.
        5 Where is Ann? \toffice\t4
        1 Cid is here.
        2 Where is Cid? \there\t1

        """

    @Test func `samples are made from bAbI's facts in their order between whole sentences of a book`() throws {
        try write(Self.stories, "babi/qa1_single-supporting-fact_test.txt")
        let book = (0..<400).map { "Sentence \($0) has\nsome words." }.joined(separator: "\n")
        func task(_ length: String, seed: UInt64 = 1, limit: Int? = nil) throws -> BABILongTask {
            let maker = try BABILongMaker(
                tasks: ["qa1"], babi: scratch["babi"], haystack: book, haystackFiles: ["book.txt"], seed: seed)
            return BABILongTask(
                tasks: ["qa1"], lengths: [length], making: maker, prompts: try prompts(), .init(isBare: true, limit: limit))
        }
        func context(_ example: GenerationExample) -> String {
            String(example.prompt.dropFirst("<context>\n".count).prefix { $0 != "<" }.dropLast())
        }
        let long = try task("2k")
        #expect(long.count == 3 && long.options["seed"] == "1" && long.files.contains("book.txt"))
        let examples = try long.examples(Self.encoder)
        for example in examples {
            // 1,700 tokens, here bytes, but for the space at the beginning.
            #expect(context(example).utf8.count == 1699)
            #expect(!context(example).contains("\n") && context(example).contains("has some words. Sentence"))
        }
        let office = try #require(examples.first { $0.references == ["office"] })
        let places = ["Ann went to the hallway.", "Bob went to the garden.", "Ann went to the office."].map {
            context(office).range(of: $0)?.lowerBound
        }
        #expect(try #require(places[0]) < #require(places[1]) && #require(places[1]) < #require(places[2]))
        #expect(office.question == "Where is Ann? ")
        // 0k has the facts alone, and the same seed the same samples.
        let short = try task("0k", limit: 2)
        #expect(short.count == 2)
        #expect(try short.examples(Self.encoder).allSatisfy { !context($0).contains("Sentence") })
        #expect(try task("2k").examples(Self.encoder).map(\.prompt) == examples.map(\.prompt))
        #expect(try task("2k", seed: 2).examples(Self.encoder).map(\.prompt) != examples.map(\.prompt))
        let fault = #expect(throws: NeedleGrid.Fault.self) { try task("128k").examples(Self.encoder) }
        #expect(fault?.description.contains("name more with --haystack") == true)
    }

    @Test(arguments: [
        ("x", "line 1: expected a sentence's number and its text"), ("1 a\n2 b\t\t1", "line 2: a question without an answer"),
        ("1 a", "line 1: no questions"),
    ])
    func `a file of bAbI of another form is named with its line`(text: String, sentence: String) throws {
        try write(text, "qa1_x_test.txt")
        func error(_ task: String) throws -> String {
            try #require(
                #expect(throws: ScoringError.self) {
                    try BABILongMaker(tasks: [task], babi: scratch.path, haystack: "A b.", haystackFiles: [], seed: 1)
                }
            ).description
        }
        #expect(try error("qa1").hasSuffix("qa1_x_test.txt: \(sentence)"))
        #expect(try error("qa2").hasSuffix("no file qa2_…_test.txt of bAbI in this folder"))
    }

    /// The SHA-256 of prompts that `get_formatted_input` of babilong/prompts.py (7a6efee) makes of the shared samples.
    private static let official = [
        ("0k", "qa1", 0, false, "d2de4cec78fcc10a3a237f0d5145218416e6cdd442333454ff8d83cb6e2c0cf9"),
        ("0k", "qa1", 0, true, "0c1f69b02876069e68064f23770e53aea0d9c4c1f2b6882b1e6f4b32de03eb56"),
        ("1k", "qa6", 3, false, "0b2cab1c11669e86c4f0948f83cd6c0bed4f5a0ca7cf5e939fc2250e79b865b3"),
        ("1k", "qa6", 3, true, "d7a1451cf2484a9b30f91c470f887423d4516ffa31e21752e43744eff33c3266"),
        ("1k", "qa19", 9, false, "9254acdc805bc6c215b4ccdc938b687e7666ca43ddb564ecaa59c73996d20038"),
        ("2k", "qa3", 1, false, "95353841d250e1d0b77173cd3cc9b9f1785e24bb7dcbf838c773d974416e1748"),
        ("2k", "qa3", 1, true, "cb83e78da5332b20da3b45abe03d691b8c4c66ed5659007116f4569002681cef"),
    ]

    @Test(.enabled(if: SharedData.isPresent, "\(SharedData.skipped)"))
    func `prompts of the shared samples are those of the authors' program`() throws {
        let texts = try BABILongPrompts(path: OfficialScoreTests.folder + "templates/babilong.json")
        for (length, task, number, isBare, digest) in Self.official {
            let examples = try BABILongTask(
                tasks: [task], lengths: [length], data: OfficialScoreTests.folder + "babilong", prompts: texts,
                .init(isBare: isBare)
            ).examples(Self.encoder)
            #expect(SHA256Digest(of: examples[number].prompt).hex == digest, "\(length) \(task)")
        }
    }
}
