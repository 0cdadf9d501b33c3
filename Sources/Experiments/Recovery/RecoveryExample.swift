import Conversion
import Foundation
import Registry
import Training

/// A conversion with its diagnosis before training and the course of its uptrainings.
public struct RecoveryExample: Sendable, Hashable {
    /// Held-out bits per byte after some tokens.
    public struct Look: Sendable, Hashable {
        /// Tokens of uptraining.
        public var tokens: Double
        /// Bits per byte.
        public var bitsPerByte: Double
    }

    /// The example's name in messages.
    public var name: String
    /// Content hash of the parent.
    public var parent: String
    /// The features of the diagnosis, see ``features(_:)``.
    public var features: [Double]
    /// Cross-entropy lost by converting, in percent of the parent's, on the calibration text.
    public var lossPercent: Double
    /// Held-out bits per byte lost by converting, in percent of the parent's; where they are not known, ``lossPercent``, which is too
    /// small for a method that was fitted to the calibration text.
    public var startPercent: Double
    /// The parent's held-out bits per byte.
    public var parentBitsPerByte: Double
    /// Each uptraining's looks at the held-out text, in order.
    public var curves: [[Look]]

    /// A conversion diagnosed as `diagnosis` whose uptrainings went as `curves`.
    public init(
        name: String, parent: String, diagnosis: Diagnosis, startPercent: Double? = nil, parentBitsPerByte: Double,
        curves: [[Look]]
    ) {
        self.name = name
        self.parent = parent
        features = Self.features(diagnosis)
        lossPercent = Self.lossPercent(diagnosis)
        self.startPercent = startPercent ?? lossPercent
        self.parentBitsPerByte = parentBitsPerByte
        self.curves = curves
    }

    /// The names of the regression's features.
    public static let featureNames = [
        "log of cross-entropy lost", "aligned head similarity", "norm of the mean head", "entropy shift",
    ]

    /// The logarithm of the cross-entropy lost; means over layers of keys' and values' aligned similarity and of their norm after a
    /// plain mean; the shift of attention's entropy in nats.
    public static func features(_ diagnosis: Diagnosis) -> [Double] {
        let count = Double(max(diagnosis.layers.count, 1))
        func mean(_ value: (Diagnosis.Layer) -> Double) -> Double { diagnosis.layers.reduce(0) { $0 + value($1) } / count }
        return [
            log(max(lossPercent(diagnosis), 0.01)), mean { ($0.keySimilarity.aligned + $0.valueSimilarity.aligned) / 2 },
            mean { ($0.keyNormOfMean + $0.valueNormOfMean) / 2 }, mean { $0.childEntropy - $0.parentEntropy },
        ]
    }

    static func lossPercent(_ diagnosis: Diagnosis) -> Double {
        100 * (diagnosis.childCrossEntropy / max(diagnosis.parentCrossEntropy, 1e-9) - 1)
    }

    /// The fewest tokens after which one of its uptrainings was within `percent` of the parent's bits per byte; nil where none was.
    ///
    /// Between two looks, and from the conversion to the first, the bits per byte are taken to fall evenly.
    public func tokens(within percent: Double) -> Double? {
        let target = parentBitsPerByte * (1 + percent / 100)
        return curves.compactMap { curve -> Double? in
            var last = Look(tokens: 0, bitsPerByte: parentBitsPerByte * (1 + max(startPercent, 0) / 100))
            if last.bitsPerByte <= target { return 0 }
            for look in curve {
                if look.bitsPerByte <= target {
                    let share = (last.bitsPerByte - target) / max(last.bitsPerByte - look.bitsPerByte, 1e-12)
                    return last.tokens + min(1, max(0, share)) * (look.tokens - last.tokens)
                }
                last = look
            }
            return nil
        }.min()
    }

    /// Every conversion under the registry's folder that has a diagnosis beside it and finished uptrainings, by its place.
    public static func all(in registry: RunRegistry) throws -> [RecoveryExample] {
        let checkpoints = try registry.checkpoints()
        let byHash = Dictionary(checkpoints.compactMap { record in record.hash.map { ($0, record) } }) { first, _ in first }
        let runs = try registry.runs().filter { $0.status == .finished }
        let models = try runs.map { try registry.model(of: $0) }
        let losses = Dictionary(
            zip(runs, models).compactMap { run, model in
                model?.hash.flatMap { hash in run.validationBitsPerByte.map { (hash, $0) } }
            }
        ) { first, _ in first }
        var curves: [String: [[Look]]] = [:]
        for (run, model) in zip(runs, models) {
            guard let model, let source = model.parentHash.flatMap({ byHash[$0] }), let hash = source.hash,
                model.steps > source.steps
            else { continue }
            let perStep = Double(model.tokensSeen - source.tokensSeen) / Double(model.steps - source.steps)
            curves[hash, default: []].append(
                try registry.validations(of: run).map { Look(tokens: Double($0.step) * perStep, bitsPerByte: $0.bitsPerByte) })
        }
        return curves.keys.sorted().compactMap { hash in
            guard let conversion = byHash[hash], let parent = conversion.parentHash, let loss = losses[parent],
                let curves = curves[hash]
            else { return nil }
            let folder = (registry.root + "/" + conversion.path as NSString).deletingLastPathComponent
            guard let diagnosis = diagnosis(folder) else { return nil }
            return RecoveryExample(
                name: conversion.name ?? conversion.path, parent: parent, diagnosis: diagnosis,
                startPercent: startPercent(folder), parentBitsPerByte: loss,
                curves: curves)
        }
    }

    /// The diagnosis that a sweep left in a conversion's folder.
    static func diagnosis(_ folder: String) -> Diagnosis? {
        TextFile.value(Diagnosis.self, at: folder + "/diagnosis.json")
    }

    /// Writes a conversion's loss on held-out text, in percent of the parent's, into its folder.
    static func write(startPercent: Double, to folder: String) throws {
        guard startPercent.isFinite else { return }
        try TextFile.write("{\"lostPercent\": \(startPercent)}\n", to: folder + "/heldout.json")
    }

    private static func startPercent(_ folder: String) -> Double? {
        TextFile.value([String: Double].self, at: folder + "/heldout.json")?["lostPercent"]
    }

    /// The conversions of a sweep.
    static func all(_ steps: [SweepStep], made: [Int: SweepRecipes.Made]) -> [RecoveryExample] {
        func looks(_ output: SweepRecipes.Made) -> [Look] {
            let lines = MetricsFile.read(path: output.folder + "/metrics.jsonl")
            let perStep = Double(output.record.tokens) / Double(max(lines.last?.step ?? 1, 1))
            return lines.compactMap { line in
                line.validationBitsPerByte.map { Look(tokens: Double(line.step) * perStep, bitsPerByte: $0) }
            }
        }
        return steps.indices.compactMap { index in
            guard steps[index].kind == .converted, let output = made[index], let diagnosis = diagnosis(output.folder),
                let parent = steps[index].parent.flatMap({ made[$0] }), let loss = looks(parent).last?.bitsPerByte
            else { return nil }
            // Held-out losses through a compressed cache are others than the parent's.
            let curves = steps.indices.filter {
                steps[$0].kind == .child && steps[$0].source == index && steps[$0].through == nil
            }
            .compactMap { made[$0].map(looks) }
            return RecoveryExample(
                name: steps[index].name, parent: parent.record.output, diagnosis: diagnosis,
                startPercent: startPercent(output.folder), parentBitsPerByte: loss,
                curves: curves)
        }
    }
}
