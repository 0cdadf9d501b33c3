import Recipes
import Text
import Training

extension SweepRecipes {
    /// Bytes of a token at most, but for very few.
    private static let mostTokenBytes = 32

    /// Refuses texts that are too short for a batch of the given parents' uptrainings.
    ///
    /// Texts whose bytes suffice in any case are not read for it.
    func checkTexts(_ reporter: ProgressReporter) throws {
        guard !parents.isEmpty else { return }
        let (training, validation) = try corpus.split(recipe)
        let shortest = recipe.data.files.indices.map { training.only($0).byteCount }.min() ?? 0
        let bytes = recipe.data.isWeighted ? shortest : training.byteCount
        for parent in parents {
            guard let basis = parent.bases.values.first, bytes < Self.mostTokenBytes * basis.batch * basis.seq else { continue }
            let texts = try RunTexts(
                recipe, training: training, validation: validation, tokenizer: parent.tokenizer, reporter: reporter)
            _ = try texts.data(recipe, basis, batchKey: "lab.batch")
        }
    }
}
