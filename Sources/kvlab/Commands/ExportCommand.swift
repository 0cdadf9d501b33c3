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

    enum Format: String, ExpressibleByArgument, CaseIterable { case hf, gguf, llama2c }

    /// What weights are rounded to.
    enum Rounding: String, ExpressibleByArgument, CaseIterable {
        case fp32, fp16, bf16, q8_0

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
        if format == .llama2c, let dtype, dtype != .fp32 {
            throw ValidationError("llama2.c's files are fp32; leave --dtype out.")
        }
    }

    func run() throws {
        let model = try ModelImport.load(checkpoint)
        switch format {
        case .hf:
            let names = try HuggingFaceFolder.export(model, to: out, elementType: dtype?.elementType)
            print("\(out): \(names.joined(separator: ", "))")
            if let kind = model.tokenizer?.kind, kind != "tokenizer.json" {
                print("The \(kind) tokenizer has no Hugging Face form and is not in the folder; the checkpoint keeps it.")
            }
        case .gguf:
            let precision: GGUFExport.Precision =
                dtype == .q8_0 ? .q8_0 : dtype?.elementType.map { .plain($0) } ?? .stored
            report(omitted: try GGUFExport.write(model, to: out, precision: precision))
        case .llama2c: report(omitted: try Llama2cFile.export(model, to: out))
        }
    }

    private func report(omitted: String?) {
        print("\(out): written")
        if let omitted { print("The tokenizer is not in it; the checkpoint keeps it. \(omitted)") }
    }
}
