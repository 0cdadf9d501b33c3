import ArgumentParser
import Checkpoints
import Kernels

/// `kvlab export F.h5 --format hf|gguf|llama2c --out PATH`
struct ExportCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "export",
        abstract: "Write a checkpoint as a Hugging Face folder, a GGUF file or for llama2.c.",
        discussion: """
            transformers loads hf's folder, llama.cpp gguf's file, and llama2.c the model.bin and tokenizer.bin of llama2c's \
            folder; each computes the same logits. What is written appears complete or not at all; a folder that is there \
            already and not empty is left alone.
            """)

    enum Format: String, ExpressibleByArgument, CaseIterable {
        case hf, gguf, llama2c

        init?(argument: String) { self.init(rawValue: argument.lowercased()) }
    }

    /// The element type that weights are rounded to.
    enum Rounding: String, ExpressibleByArgument, CaseIterable {
        case fp32, fp16, bf16, q8_0

        init?(argument: String) {
            self.init(rawValue: ElementType(argument: argument)?.flag ?? argument.lowercased())
        }

        var elementType: ElementType? { ElementType(flag: rawValue) }
    }

    @Argument(help: "The checkpoint.", completion: .file(extensions: ["h5"]))
    var checkpoint: String

    @Option(name: .long, help: "The form to write: hf, gguf or llama2c.")
    var format: Format = .hf

    @Option(name: .long, help: "The folder to write, or GGUF's file.", completion: .file())
    var out: String

    @Option(name: .long, help: "Round the weights to fp32, fp16 or bf16, and for GGUF to q8_0.")
    var dtype: Rounding?

    func validate() throws {
        if dtype == .q8_0, format != .gguf { throw ValidationError("--dtype q8_0 is for --format gguf alone.") }
        if output.force, format != .gguf {
            throw ValidationError(
                "--force writes over a file; \(format) makes a folder, and one that is not empty is left alone.")
        }
        if format == .llama2c, let dtype, dtype != .fp32 {
            throw ValidationError("llama2.c's files are fp32; leave --dtype out.")
        }
    }

    @OptionGroup var results: JSONOptions

    @OptionGroup var output: OutputOption

    private struct Report: Encodable {
        var path: String
        var format: String
        var files: [String]?
        /// The reason that the tokenizer was left out.
        var tokenizerOmitted: String?
    }

    func run() throws {
        if format == .gguf { try output.check(out) }
        let model = try ModelImport.load(checkpoint)
        var report = Report(path: out, format: format.rawValue)
        switch format {
        case .hf:
            report.files = try HuggingFaceFolder.export(model, to: out, elementType: dtype?.elementType)
            if let kind = model.tokenizer?.kind, kind != "tokenizer.json" {
                report.tokenizerOmitted = "The \(kind) tokenizer has no Hugging Face form."
            }
        case .gguf:
            let precision: GGUFExport.Precision =
                dtype == .q8_0 ? .q8_0 : dtype?.elementType.map { .plain($0) } ?? .stored
            report.tokenizerOmitted = try GGUFExport.write(model, to: out, precision: precision)
        case .llama2c: report.tokenizerOmitted = try Llama2cFile.export(model, to: out)
        }
        if results.isJSON { return try results.print(report) }
        try print("\(out): \(report.files?.joined(separator: ", ") ?? "written")")
        guard let reason = report.tokenizerOmitted else { return }
        try print("The tokenizer is not in it, so what loads it has to be given token ids; the checkpoint keeps it. \(reason)")
    }
}
