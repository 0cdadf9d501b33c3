import Checkpoints
import Conversion
import Foundation
import Models
import Recipes
import Text

/// A parent that a lab is given, in any format that is read, with the basis of its uptrainings.
struct SweepParent: Sendable {
    /// The checkpoint's path.
    let path: String
    /// Its name in folders and, among several parents, in tables.
    let name: String
    /// Its content hash, which identifies it.
    let hash: String
    let config: ModelConfig
    /// Its own tokenizer.
    let tokenizer: any Tokenizer
    /// Tokens that it was trained on, as far as its file says.
    let tokensSeen: Int
    /// The basis of the uptrainings of each length.
    let bases: [UptrainLength: TrainingBasis]

    /// The digest of it under the key that a run's inputs have for it.
    var input: InputDigests.Input { InputDigests.Input(key: "init.checkpoint", model: path, contentHash: hash) }

    /// Reads the parents that `lab` names and checks that each of its children can be made from them.
    ///
    /// Throws ``ExperimentError/recipe(key:reason:)`` with the key of the setting that doesn't fit.
    static func all(_ recipe: Recipe, _ lab: LabRecipe) throws -> [SweepParent] {
        let paths = lab.sweep?.parents ?? recipe.`init`.map { [$0.checkpoint] } ?? []
        var names: [String] = []
        return try paths.enumerated().map { index, path in
            let key = lab.sweep?.parents == nil ? "init.checkpoint" : "lab.sweep.parents[\(index)]"
            var name = Self.name(path)
            if names.contains(name) { name += "-\(index + 1)" }
            names.append(name)
            return try SweepParent(path, name: name, key: key, recipe, lab)
        }
    }

    private init(_ path: String, name: String, key: String, _ recipe: Recipe, _ lab: LabRecipe) throws {
        let checkpoint = try ModelImport.load(path)
        do {
            tokenizer = try LoadedModel.fittingTokenizer(of: checkpoint, path: path, tokenizerPath: nil)
        } catch ExperimentError.noTokenizer {
            throw ExperimentError.recipe(
                key: key,
                reason: "\(path) has no tokenizer; 'kvlab import \(path) --tokenizer FILE --out F.h5' makes a checkpoint with one"
            )
        }
        (self.path, self.name, config) = (path, name, checkpoint.config)
        tokensSeen = checkpoint.lineage.tokensSeen
        let section = lab.sweep == nil ? "lab" : "lab.sweep"
        bases = try lab.lengths.reduce(into: [:]) { bases, length in
            bases[length] = try TrainingBasis(
                uptraining: checkpoint.lineage.training, UptrainRecipe(length, lab.uptrain), recipe.train, of: path,
                section: "lab", lengthKey: lab.sweep == nil ? "lab.alpha" : "lab.sweep.alphas")
        }
        hash = try checkpoint.identity()
        try check(lab, section)
    }

    /// Refuses lengths, windows and conversions that the model doesn't allow.
    private func check(_ lab: LabRecipe, _ section: String) throws(ExperimentError) {
        if let basis = bases.values.first {
            let (parent, stepTokens) = (basis.baseSteps, basis.batch * basis.seq)
            if let reason = UptrainLength.repetition(in: lab.lengths, ofParent: parent, stepTokens: stepTokens) {
                throw .recipe(key: "lab.sweep.\(SweepRecipe.key(of: lab.lengths))", reason: reason)
            }
            guard basis.seq <= config.maxSequence else {
                throw .recipe(key: "lab.seq", reason: "\(basis.seq) tokens, but \(path) has \(config.maxSequence) positions")
            }
        }
        if let timing = lab.sweep?.timing, timing.context + timing.tokens > config.maxSequence {
            throw .recipe(
                key: "lab.sweep.timing",
                reason: "\(timing.context) tokens of context and \(timing.tokens) decoded ones are beyond the "
                    + "\(config.maxSequence) positions of \(path)")
        }
        for (index, child) in lab.allChildren.enumerated() {
            do {
                _ = try child.conversion.resolved().childConfig(config)
            } catch {
                throw .recipe(
                    key: lab.sweep == nil ? "lab.children[\(index)]" : section, reason: "'\(child.name)' of \(path): \(error)")
            }
        }
    }

    /// The file's name without its extension, the folder's for a name that says nothing; in characters that a folder can have.
    static func name(_ path: String) -> String {
        let name = ModelImport.distinctName(of: path)
        let plain = name.map { $0.isASCII && ($0.isLetter || $0.isNumber || "._-".contains($0)) ? $0 : "-" }
        return plain.first == "." || plain.isEmpty ? "given" + String(plain) : String(plain)
    }
}
