import Inference
import Recipes

/// One model of a sweep with the models it is made from.
struct SweepStep: Sendable, Hashable {
    /// The kind of a step's model.
    enum Kind: String, Sendable, Codable {
        /// A parent, trained or given.
        case parent
        /// A parent converted, nothing trained yet.
        case converted
        /// A converted parent uptrained.
        case child
        /// The parent continued for the children's tokens.
        case continued
        /// A child's architecture trained from scratch on the parent's and the child's tokens together.
        case scratch
    }

    var kind: Kind
    /// Its run's name.
    var name: String
    /// Its folder's name, or the beginning of it where steps are addressed by content.
    var folder: String
    /// The parent's seed.
    var seed: Int
    /// The uptraining's own seed, where the sweep has them.
    var uptrainSeed: Int?
    /// The conversion; nil for a model that was not converted.
    var child: LabRecipe.Child?
    /// A child's attention; nil for the parent's own.
    var architecture: ChildArchitecture?
    /// The compressed cache that it is trained through; nil for whole keys and values.
    var through: CacheSpec?
    /// The length of its training; nil for the parent and for a conversion.
    var length: UptrainLength?
    /// Optimizer steps of its training at most.
    var trainingSteps = 0
    /// Tokens it is trained on at most.
    var tokens = 0
    /// Tokens of the uptraining that it is, or that it is compared with; 0 for the parent and for a conversion.
    var budget = 0
    /// The number of the given parent that it is or goes back to; nil where the sweep trains its parents.
    var given: Int?
    /// The parent's name, where there are several.
    var parentName: String?
    /// The number of its parent's step.
    var parent: Int?
    /// The number of the step it starts from.
    var source: Int?
    /// The number of the step with a shorter uptraining whose steps are its own first ones, bit for bit.
    var beginning: Int?
}

/// A sweep's steps in topological order: each behind its inputs.
struct SweepPlan: Sendable {
    let steps: [SweepStep]
    /// Whether uptrainings of one child for several lengths are one trajectory.
    let sharesTrajectories: Bool

    /// The plan of `recipe`, whose model and steps are given as they are by its decoding.
    ///
    /// The product of a sweep's axes has names that say the values; a listed child has its own.
    ///
    /// - Parameter given: the parents that the recipe names; none where the lab trains its own.
    init(_ recipe: Recipe, _ lab: LabRecipe, given: [SweepParent] = []) {
        let sweep = lab.sweep
        let origins =
            given.isEmpty
            ? (sweep?.seeds ?? [recipe.seed]).map { Origin(recipe, lab, seed: $0) }
            : given.indices.map { Origin(recipe, lab, given[$0], number: $0, isAlone: given.count == 1) }
        // Each child as it is, then through the cache.
        let caches: [CacheSpec?] = lab.uptrain.through.map { [nil, $0.cache] } ?? [nil]
        var steps: [SweepStep] = []
        for origin in origins {
            let parent = steps.count
            steps.append(origin.parent)
            for uptrainSeed in sweep?.uptrainSeeds.map({ $0.map(Optional.some) }) ?? [nil] {
                let suffix = origin.suffix + (uptrainSeed.map { "-u\($0)" } ?? "")
                var trained: [String: Int] = [:]
                func add(
                    _ kind: SweepStep.Kind, _ group: String, _ length: UptrainLength, _ change: (inout SweepStep) -> Void
                ) {
                    let name = "\(group)-\(length.label)" + (kind == .scratch ? origin.suffix : suffix)
                    var step = origin.step(kind, name)
                    let budget = origin.budgets[length] ?? (steps: 1, tokens: 0)
                    (step.length, step.trainingSteps, step.tokens) = (length, budget.steps, budget.tokens)
                    step.budget = budget.tokens
                    step.parent = parent
                    change(&step)
                    if origin.sharesTrajectories { step.beginning = trained[group] }
                    trained[group] = steps.count
                    steps.append(step)
                }
                var converted: [String: Int] = [:]
                for child in lab.allChildren {
                    converted[child.name] = steps.count
                    var step = origin.step(.converted, sweep == nil ? "\(child.name) converted" : child.name + suffix)
                    step.folder = sweep == nil ? "\(child.name)/converted" : step.name
                    (step.uptrainSeed, step.child) = (uptrainSeed, child)
                    step.architecture = child.conversion.architecture
                    (step.parent, step.source) = (parent, parent)
                    steps.append(step)
                }
                for length in lab.lengths {
                    if lab.control {
                        add(.continued, "continued", length) { step in
                            (step.uptrainSeed, step.source) = (uptrainSeed, parent)
                            if sweep == nil { (step.name, step.folder) = ("parent continued", "control") }
                        }
                    }
                    var fresh: Set<ChildArchitecture> = []
                    for child in lab.allChildren {
                        // A fresh model has the parent's seed: there is one for each parent.
                        if let sweep, sweep.scratch, uptrainSeed == sweep.uptrainSeeds?.first,
                            fresh.insert(child.conversion.architecture).inserted
                        {
                            add(.scratch, "\(child.conversion.architecture.name)-scratch", length) { step in
                                step.architecture = child.conversion.architecture
                                // All that a child has seen, in the parent's own steps.
                                let stepTokens = origin.parent.tokens / max(1, origin.parent.trainingSteps)
                                step.trainingSteps =
                                    origin.parent.trainingSteps + (step.budget + stepTokens - 1) / max(1, stepTokens)
                                step.tokens = step.trainingSteps * stepTokens
                            }
                        }
                        for through in caches {
                            let name = through == nil ? child.name : LabRecipe.throughName(child.name)
                            add(.child, name, length) { step in
                                (step.child, step.architecture) = (child, child.conversion.architecture)
                                (step.uptrainSeed, step.source) = (uptrainSeed, converted[child.name])
                                step.through = through
                                if sweep == nil { (step.name, step.folder) = (name, name) }
                            }
                        }
                    }
                }
            }
        }
        self.steps = steps
        sharesTrajectories = origins.allSatisfy(\.sharesTrajectories)
    }

    /// A parent with the names and budgets that all steps from it share.
    private struct Origin {
        let parent: SweepStep
        /// The end of its steps' names.
        let suffix: String
        /// Each length in steps and tokens.
        let budgets: [UptrainLength: (steps: Int, tokens: Int)]
        /// Whether uptrainings of one child for several lengths are one trajectory.
        let sharesTrajectories: Bool

        /// A parent to train from `seed`.
        init(_ recipe: Recipe, _ lab: LabRecipe, seed: Int) {
            let train = recipe.train
            let (steps, tokens) = (train.steps ?? 1, (train.batch ?? 1) * (train.seq ?? 1))
            let name = lab.sweep == nil ? "parent" : "parent-s\(seed)"
            parent = SweepStep(
                kind: .parent, name: name, folder: name, seed: seed, trainingSteps: steps, tokens: steps * tokens)
            suffix = "-s\(seed)"
            let stepTokens = (lab.uptrain.batch ?? train.batch ?? 1) * (lab.uptrain.seq ?? train.seq ?? 1)
            budgets = lab.lengths.reduce(into: [:]) { budgets, length in
                let count = length.steps(ofParent: train.steps, stepTokens: stepTokens) ?? 1
                budgets[length] = (count, count * stepTokens)
            }
            sharesTrajectories = Self.shares(lab, isConstant: train.schedule == .constant && train.warmupSteps == 0)
        }

        /// A given parent.
        init(_ recipe: Recipe, _ lab: LabRecipe, _ given: SweepParent, number: Int, isAlone: Bool) {
            let name = lab.sweep == nil ? "parent" : "parent-\(given.name)"
            var step = SweepStep(kind: .parent, name: name, folder: name, seed: recipe.seed)
            (step.given, step.parentName) = (number, isAlone ? nil : given.name)
            (parent, suffix) = (step, "-\(given.name)")
            budgets = given.bases.mapValues { ($0.steps, $0.steps * $0.batch * $0.seq) }
            sharesTrajectories = Self.shares(
                lab,
                isConstant: given.bases.values.allSatisfy { $0.schedule.shape == .constant && $0.schedule.warmupSteps == 0 })
        }

        // Any other schedule gives each length rates of its own from its first step on.
        private static func shares(_ lab: LabRecipe, isConstant: Bool) -> Bool {
            isConstant && (lab.uptrain.keyValueShare ?? 0) == 0 && lab.uptrain.stopAt == nil
        }

        /// A step of this kind from the parent.
        func step(_ kind: SweepStep.Kind, _ name: String) -> SweepStep {
            var step = SweepStep(kind: kind, name: name, folder: name, seed: parent.seed)
            (step.given, step.parentName) = (parent.given, parent.parentName)
            return step
        }
    }
}
