import Evaluation
import Experiments
import Files
import Foundation
import JSON
import Jinja
import Models
import Text

@testable import Checkpoints

/// A reader, the sound files that are damaged for it, and how it reads one.
public struct FuzzTarget: Sendable {
    /// What is read.
    public var name: String
    /// Files of the corpus, or paths from there.
    public var seeds: [String]
    /// What the damaged file is called.
    public var file: String
    /// Other files of the corpus that lie beside it, unchanged.
    public var beside: [String] = []
    /// Which share of as many inputs as others get.
    public var share = 1.0
    /// What is done to the damaged bytes before they are written.
    var mend: @Sendable (_ bytes: [UInt8]) -> [UInt8] = { $0 }
    /// Whether most damage does no harm, as the reader takes what it understands.
    public var isLenient = false
    /// Reads the damaged file in the folder, and everything in it.
    public var read: @Sendable (_ path: String) throws -> Void

    private static let corpus = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent("Corpus").path

    /// A file of the corpus.
    public static func bytes(_ name: String) throws -> [UInt8] {
        [UInt8](try Data(contentsOf: URL(fileURLWithPath: corpus + "/" + name)))
    }

    private static let folderFiles = [
        "config.json", "generation_config.json", "tokenizer_config.json", "tokenizer.json", "model.safetensors.index.json",
        "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors", "README.md", "chat_template.jinja",
    ].map { "folder/" + $0 }

    private static func inFolder(_ file: String, _ seeds: [String]? = nil) -> FuzzTarget {
        FuzzTarget(
            name: "a Hugging Face folder's \(file)", seeds: seeds ?? ["folder/" + file], file: file,
            beside: folderFiles.filter { $0 != "folder/" + file },
            isLenient: ["generation_config.json", "tokenizer_config.json", "README.md", "chat_template.jinja"].contains(file)
        ) { try readAll(try ModelImport.load(URL(fileURLWithPath: $0).deletingLastPathComponent().path)) }
    }

    /// A family that keeps its weights in another layout, most of whose keys do not matter.
    private static func family(_ name: String) -> FuzzTarget {
        let folder = "../../CheckpointsTests/Fixtures/families/\(name)/"
        return FuzzTarget(
            name: "a \(name) folder's config.json", seeds: [folder + "config.json"], file: "config.json",
            beside: [folder + "model.safetensors"], isLenient: true
        ) { try readAll(try ModelImport.load(URL(fileURLWithPath: $0).deletingLastPathComponent().path)) }
    }

    private static let suites = "../../EvaluationTests/Fixtures/suites/", harness = "../../EvaluationTests/Fixtures/harness/"

    /// The folder of a file, or one of those around it.
    private static func folder(_ path: String, up: Int = 1) -> String {
        (0..<up).reduce(URL(fileURLWithPath: path)) { url, _ in url.deletingLastPathComponent() }.path
    }

    /// A task file's documents or the task file itself, read and prompted.
    private static func harnessTask(_ path: String) throws {
        let data = ["test", "dev"].map { ($0, folder(path) + ($0 == "test" ? "/questions.jsonl" : "/dev.jsonl")) }
        let task = try HarnessTask(path: path, .init(data: Dictionary(uniqueKeysWithValues: data), limit: 2))
        if task.kind == .choice { _ = try task.choices() } else { _ = try task.examples(encoder) }
    }

    /// RULER's prompts about a file of questions, read and made.
    private static func rulerQuestions(_ task: String, _ path: String) throws {
        let texts = try RULERPrompts(path: folder(path) + "/constants.py")
        let sources = RULERMaker.Sources(texts: texts, squad: path, hotpotqa: path)
        _ = try RULERTask(making: RULERMaker(tasks: [task], lengths: [340], sources, limit: 2)).examples(encoder)
    }

    private static let encoder = PromptEncoder(ByteTokenizer(), bosID: nil)

    /// A text to train on, read whole.
    private static func corpus(_ file: String) -> FuzzTarget {
        FuzzTarget(name: "the corpus \(file)", seeds: ["../../TextTests/Fixtures/corpora/" + file], file: file) {
            let corpus = try Corpus(paths: [$0])
            for document in corpus.documents where corpus.text(document).utf8.count != document.bytes.count {
                throw FuzzFailure.differs
            }
        }
    }

    private static func jieba(_ file: String) -> FuzzTarget {
        let folder = "../../EvaluationTests/Fixtures/jieba/"
        let others = ["dict.txt", "prob_start.py", "prob_trans.py", "prob_emit.py"].filter { $0 != file }
        return FuzzTarget(name: "jieba's \(file)", seeds: [folder + file], file: file, beside: others.map { folder + $0 }) {
            _ = try Jieba(folder: URL(fileURLWithPath: $0).deletingLastPathComponent().path)
        }
    }

    /// All readers.
    public static let all: [FuzzTarget] = [
        FuzzTarget(name: "JSON", seeds: ["folder/config.json", "folder/tokenizer.json"], file: "x.json") {
            let bytes = [UInt8](FileManager.default.contents(atPath: $0) ?? Data())
            let relaxed = try JSONDocument(parsing: bytes, syntax: .relaxed).value
            let value = try JSONValue(parsing: bytes)
            // Strict JSON means the same in the relaxed syntax, and when it is written and read again.
            let again = try JSONValue(parsing: Array(value.text.utf8))
            if again != value || relaxed != value { throw FuzzFailure.differs }
        },
        FuzzTarget(
            name: "safetensors",
            seeds: ["folder/model-00001-of-00002.safetensors", "folder/model-00002-of-00002.safetensors"], file: "x.safetensors"
        ) {
            let file = try SafetensorsFile(path: $0)
            for tensor in file.tensors { touch(try file.weight(tensor.name)) }
        },
        FuzzTarget(name: "a GGUF model", seeds: ["bpe.gguf", "sentencepiece.gguf"], file: "x.gguf") {
            try readAll(try ModelImport.load($0))
        },
        FuzzTarget(name: "GGUF blocks", seeds: ["../../CheckpointsTests/Fixtures/blocks.gguf"], file: "x.gguf") {
            let file = try GGUFFile(MappedFile(path: $0))
            for tensor in file.tensors { touch(file.weight(tensor.name)) }
        },
        FuzzTarget(name: "llama2.c model.bin", seeds: ["model.bin"], file: "model.bin") {
            try readAll(try ModelImport.load($0))
        },
        FuzzTarget(name: "llama2.c tokenizer.bin", seeds: ["tokenizer.bin"], file: "tokenizer.bin") {
            use(try TokenizerFile.load($0))
        },
        FuzzTarget(
            name: "tokenizer.model",
            seeds: ["../../TextTests/Fixtures/tokenizer.model"], file: "tokenizer.model"
        ) { use(try TokenizerFile.load($0)) },
        FuzzTarget(
            name: "tokenizer.json",
            seeds: ["folder/tokenizer.json", "../../TextTests/Fixtures/sentencepiece.json"], file: "tokenizer.json"
        ) { use(try TokenizerFile.load($0)) },
        inFolder("config.json"), inFolder("generation_config.json"), inFolder("tokenizer_config.json"),
        inFolder("model.safetensors.index.json"),
        inFolder("README.md"), inFolder("chat_template.jinja"),
        family("gpt2"), family("neox"), family("deepseek"), family("llama-yarn"), family("llama-llama3"), family("qwen2-window"),
        FuzzTarget(
            name: "any config.json, for its cache's size",
            seeds: ["folder/config.json"]
                + ["gpt2", "neox", "deepseek", "qwen2-window"].map {
                    "../../CheckpointsTests/Fixtures/families/\($0)/config.json"
                }, file: "config.json", isLenient: true
        ) { _ = try HuggingFaceConfig(path: $0).kvGeometry(.float16) },
        FuzzTarget(
            name: "items of a task", seeds: ["../../EvaluationTests/Fixtures/hellaswag.jsonl"], file: "items.jsonl"
        ) { _ = try ChoiceTask.hellaswag.items(try TextFile.read($0)) },
        FuzzTarget(
            name: "predictions to score", seeds: ["../../EvaluationTests/Fixtures/predictions.jsonl"], file: "predictions.jsonl"
        ) { _ = try ScoringCase.cases(try TextFile.read($0)) },
        FuzzTarget(
            name: "BABILong's samples", seeds: [suites + "babilong.json"], file: "0k/qa1.json", beside: [suites + "prompts.py"]
        ) {
            let root = folder($0, up: 2)
            let prompts = try BABILongPrompts(path: root + "/prompts.py")
            _ = try BABILongTask(tasks: ["qa1"], lengths: ["0k"], data: root, prompts: prompts).examples(encoder)
        },
        FuzzTarget(name: "BABILong's prompts", seeds: [suites + "prompts.py"], file: "prompts.py", isLenient: true) {
            _ = try BABILongPrompts(path: $0)
        },
        FuzzTarget(name: "a file of bAbI", seeds: [suites + "babi.txt"], file: "qa1_x_test.txt", isLenient: true) {
            _ = try BABILongMaker(tasks: ["qa1"], babi: folder($0), haystack: "A b.", haystackFiles: [], seed: 1)
        },
        FuzzTarget(name: "RULER's records", seeds: [suites + "ruler.jsonl"], file: "vt.jsonl") {
            _ = try RULERTask(tasks: nil, data: folder($0)).examples(encoder)
        },
        FuzzTarget(name: "RULER's texts", seeds: [suites + "constants.py"], file: "constants.py", isLenient: true) {
            _ = try RULERPrompts(path: $0)
        },
        FuzzTarget(
            name: "SQuAD's questions", seeds: [suites + "squad.json"], file: "squad.json", beside: [suites + "constants.py"],
            isLenient: true
        ) { try rulerQuestions("qa_1", $0) },
        FuzzTarget(
            name: "HotpotQA's questions", seeds: [suites + "hotpotqa.json"], file: "hotpotqa.json",
            beside: [suites + "constants.py"], isLenient: true
        ) { try rulerQuestions("qa_2", $0) },
        FuzzTarget(
            name: "LongBench v2's records", seeds: [suites + "longbench2.json"], file: "data.json",
            beside: [suites + "0shot.txt"], isLenient: true
        ) { _ = try LongBench2Data(data: $0, prompts: folder($0)).examples(encoder) },
        FuzzTarget(name: "conversations", seeds: [suites + "dialogue.jsonl"], file: "dialogue.jsonl") {
            _ = try DialogueTask(data: $0)
        },
        FuzzTarget(name: "MMLU's questions", seeds: [suites + "mmlu.csv"], file: "test/anatomy_test.csv", isLenient: true) {
            _ = try MMLU(nil, data: folder($0, up: 2), shots: 0)
        },
        FuzzTarget(
            name: "a task file", seeds: ["generate", "choice", "same"].map { harness + $0 + ".yaml" }, file: "task.yaml",
            beside: ["base.yaml", "questions.jsonl", "dev.jsonl"].map { harness + $0 }, share: 0.3, isLenient: true
        ) { try harnessTask($0) },
        FuzzTarget(
            name: "a task file's documents", seeds: [harness + "questions.jsonl"], file: "questions.jsonl",
            beside: ["base.yaml", "generate.yaml", "dev.jsonl"].map { harness + $0 }, share: 0.3
        ) { try harnessTask(folder($0) + "/generate.yaml") },
        corpus("small.jsonl"), corpus("small.jsonl.gz"), corpus("small.jsonl.zst"),
        jieba("dict.txt"), jieba("prob_emit.py"), jieba("prob_trans.py"),
        FuzzTarget(
            name: "a chat template",
            seeds: [
                "folder/chat_template.jinja", "../../../Packages/Jinja/Tests/JinjaTests/Fixtures/templates/qwen3.jinja",
            ],
            file: "chat_template.jinja", isLenient: true
        ) { path in
            let bytes = FileManager.default.contents(atPath: path) ?? Data()
            let template = try JinjaTemplate(String(decoding: bytes, as: UTF8.self))
            let answer: JinjaValue = ["role": "assistant", "content": "<think>a</think>b"]
            let variables: [String: JinjaValue] = [
                "messages": [["role": "user", "content": "Hi"], answer], "tools": [["name": "f"]],
                "add_generation_prompt": true,
            ]
            _ = try template.render(
                variables,
                limits: JinjaLimits(steps: 100_000, textBytes: 16 << 20, stringBytes: 1 << 20))
        },
        // Whoever makes a file to do harm gives it the right seal.
        FuzzTarget(
            name: "a checkpoint with a forged seal", seeds: ["model.h5"], file: "x.h5", share: 0.02,
            mend: { CheckpointSeal.forged($0) }, isLenient: true
        ) { try readAll(try ModelImport.load($0, trainingState: true)) },
        FuzzTarget(name: "a checkpoint", seeds: ["model.h5"], file: "x.h5") {
            try readAll(try Checkpoint.load($0, trainingState: true))
        },
    ]

    private static func readAll(_ checkpoint: Checkpoint) throws {
        for name in checkpoint.parameters.names { touch(checkpoint.parameters[name]) }
        if let tokenizer = checkpoint.tokenizer { use(try TokenizerFile.load(tokenizer)) }
    }

    /// Reads every element.
    private static func touch(_ weight: Weight?) {
        guard let weight else { return }
        _ = weight.float32()
    }

    private static func use(_ tokenizer: some Tokenizer) {
        let ids = tokenizer.encode("the cat's  hat, 123 <|endoftext|>\u{e9}\u{301} 中\n\t")
        _ = tokenizer.decode(ids)
    }
}

/// What a reader did that no reader may.
enum FuzzFailure: Error, CustomStringConvertible {
    case differs

    var description: String { "what was read is not what its text says" }
}
