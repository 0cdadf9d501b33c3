import Checkpoints
import Files
import Foundation
import Kernels
import Models
import Recipes

/// Timing the decoding of each architecture.
extension Sweep {
    /// The timing that the recipe asks for, measured before or now: none or one; nil where `shouldStop` became true.
    func timing(_ made: [Int: SweepRecipes.Made], shouldStop: () -> Bool) throws -> [DecodeTiming]? {
        guard let section = lab.sweep?.timing else { return [] }
        struct Timed: Hashable {
            var parent: String?
            var architecture: ChildArchitecture?
        }
        var seen: Set<Timed> = []
        let chosen = steps.enumerated().filter { index, step in
            [.parent, .converted].contains(step.kind) && made[index] != nil
                && seen.insert(Timed(parent: step.parentName, architecture: step.architecture)).inserted
        }
        let hashes = chosen.compactMap { made[$0.offset]?.record.output }.joined(separator: "\n")
        let identity = try CanonicalJSON.text(of: section, pretty: true) + lab.evaluation.kvDtype + hashes
        let key = SHA256Digest(of: "kvlab timing \(StepStore.format)\n\(MachineDescription.text)\n\(identity)").hex
        let path = "\(store.directory)/timing-\(key.prefix(12)).json"
        if let timing = TextFile.value(DecodeTiming.self, at: path) { return [timing] }
        let models = try chosen.compactMap { index, step -> (name: String, model: ServingModel)? in
            guard let output = made[index] else { return nil }
            let checkpoint = try Checkpoint.load(output.model, trainingState: false)
            return (
                (step.parentName.map { $0 + " " } ?? "") + (step.architecture?.name ?? "parent"),
                try ServingModel(config: checkpoint.config, parameters: checkpoint.parameters)
            )
        }
        guard
            let timing = try DecodeTiming.measure(
                models, section, encoding: kvType, reporter: reporter, shouldStop: shouldStop)
        else { return nil }
        try TextFile.write(CanonicalJSON.text(of: timing, pretty: true) + "\n", to: path)
        return [timing]
    }
}
