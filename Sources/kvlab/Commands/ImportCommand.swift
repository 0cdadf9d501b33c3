import ArgumentParser
import Checkpoints
import Kernels

/// `kvlab import PATH --out F.h5`
struct ImportCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "import",
        abstract: "Turn a Hugging Face model folder, a GGUF file or a llama2.c file into a checkpoint.",
        discussion: """
            What the path is shows in its content. A folder holds config.json and model.safetensors (or shards with their index); tokenizer.json, or \
            else SentencePiece's tokenizer.model, is taken along where it is there. A GGUF file has its tokenizer in it; quantised weights become fp32. Llama, Mistral, Qwen2, Qwen3, GPT-2, GPT-NeoX \
            and DeepSeek-V2 without experts are accepted; a setting that needs other mathematics is refused by name. A llama2.c model has its tokenizer in a file of its own: name it with --tokenizer. Weights keep their element type unless --dtype says otherwise.
            """)

    @Argument(help: "The model folder or file.", completion: .file())
    var directory: String

    @Option(name: .long, help: "The checkpoint to write.", completion: .file(extensions: ["h5"]))
    var out: String

    @Option(
        name: .long, help: "A tokenizer.json, a tokenizer.model or a llama2.c tokenizer to take in place of the model's own.",
        completion: .file())
    var tokenizer: String?

    @Option(name: .long, help: "Round the weights to this type.")
    var dtype: ElementType?

    @OptionGroup var results: JSONOptions

    @OptionGroup var output: OutputOption

    private struct Report: Encodable {
        var path: String
        var parameters: Int
        var dtype: String
        var tokenizer: String?
        var contentHash: String
    }

    func run() throws {
        try output.check(out)
        let checkpoint = try ModelImport.load(directory, tokenizer: tokenizer, trainingState: true)
        let hash = try checkpoint.save(to: out, elementType: dtype, links: .followed)
        let type = (dtype ?? checkpoint.elementType)?.flag ?? "mixed element types"
        if results.isJSON {
            return try results.print(
                Report(
                    path: out, parameters: checkpoint.parameters.count, dtype: type, tokenizer: checkpoint.tokenizer?.kind,
                    contentHash: hash))
        }
        try print("\(out): \(checkpoint.parameters.count) parameters in \(type), \(checkpoint.tokenizer?.kind ?? "no") tokenizer")
        try print("content hash \(hash)")
    }
}

extension ElementType: ExpressibleByArgument {
    /// Reads fp32, fp16 or bf16 from the command line, or PyTorch's float32, float16, bfloat16; nil, which ends in a usage error, for anything else.
    public init?(argument: String) {
        let names = ["float32": "fp32", "float16": "fp16", "bfloat16": "bf16"]
        self.init(flag: names[argument] ?? argument)
    }
    /// The default as help shows it.
    public var defaultValueDescription: String { flag }
    /// The values that help and shell completion offer.
    public static var allValueStrings: [String] { allCases.map(\.flag) }
    /// The kind of shell completion.
    public static var defaultCompletionKind: CompletionKind { .list(allValueStrings) }
}
