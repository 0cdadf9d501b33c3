import ArgumentParser
import Checkpoints
import Kernels

/// `kvlab export F.h5 --format hf --out DIR`
struct ExportCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "export",
        abstract: "Write a checkpoint as a Hugging Face model folder.",
        discussion: """
            transformers loads the folder and computes the same logits. The folder appears complete or not at all; one \
            that is there already and not empty is left alone.
            """)

    enum Format: String, ExpressibleByArgument, CaseIterable { case hf }

    @Argument(help: "The checkpoint.", completion: .file(extensions: ["h5"]))
    var checkpoint: String

    @Option(name: .long, help: "The form to write: hf is a Hugging Face folder.")
    var format: Format = .hf

    @Option(name: .long, help: "The folder to write.", completion: .directory)
    var out: String

    @Option(name: .long, help: "Round the weights to fp32, fp16 or bf16.")
    var dtype: ElementType?

    func run() throws {
        let model = try ModelImport.load(checkpoint)
        let names = try HuggingFaceFolder.export(model, to: out, elementType: dtype)
        print("\(out): \(names.joined(separator: ", "))")
        if let kind = model.tokenizer?.kind, kind != "tokenizer.json" {
            print("The \(kind) tokenizer has no Hugging Face form and is not in the folder; the checkpoint keeps it.")
        }
    }
}
