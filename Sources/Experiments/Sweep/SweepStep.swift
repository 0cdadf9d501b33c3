import Recipes

/// One model of a sweep with the models it is made from.
struct SweepStep: Sendable, Hashable {
    /// What a step makes.
    enum Kind: String, Sendable, Codable {
        /// A parent, trained.
        case parent
        /// A parent converted, nothing trained yet.
        case converted
        /// A converted parent uptrained.
        case child
        /// The parent continued for the children's tokens.
        case continued
        /// A child's architecture trained from scratch on the children's tokens.
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
    /// How long it is trained; nil for the parent and for a conversion.
    var length: UptrainLength?
    /// Optimizer steps of its training at most.
    var trainingSteps = 0
    /// Tokens it is trained on at most.
    var tokens = 0
    /// The number of its parent's step.
    var parent: Int?
    /// The number of the step it starts from.
    var source: Int?
    /// The number of the step with a shorter uptraining whose steps are its own first ones, bit for bit.
    var beginning: Int?
}

/// A sweep's steps in an order in which each comes after those it needs.
struct SweepPlan: Sendable {
    let steps: [SweepStep]
    /// Whether uptrainings of one child for several lengths are one trajectory.
    let sharesTrajectories: Bool

    /// The plan of `recipe`, whose model and steps are given as they are by its decoding.
    ///
    /// The product of a sweep's axes has names that say the values; a listed child has its own.
    init(_ recipe: Recipe, _ lab: LabRecipe) {
        let train = recipe.train
        // Any other schedule gives each length rates of its own from its first step on.
        let shares =
            train.schedule == .constant && train.warmupSteps == 0 && (lab.keyValueShare ?? 0) == 0 && lab.stopAt == nil
        let parentTokens = (train.batch ?? 1) * (train.seq ?? 1)
        let stepTokens = (lab.batch ?? train.batch ?? 1) * (lab.seq ?? train.seq ?? 1)
        let sweep = lab.sweep
        var steps: [SweepStep] = []
        for seed in sweep?.seeds ?? [recipe.seed] {
            let parent = steps.count
            let name = sweep == nil ? "parent" : "parent-s\(seed)"
            steps.append(
                SweepStep(
                    kind: .parent, name: name, folder: name, seed: seed, trainingSteps: train.steps ?? 1,
                    tokens: (train.steps ?? 1) * parentTokens))
            for uptrainSeed in sweep?.uptrainSeeds.map({ $0.map(Optional.some) }) ?? [nil] {
                let suffix = "-s\(seed)" + (uptrainSeed.map { "-u\($0)" } ?? "")
                var trained: [String: Int] = [:]
                func add(_ kind: SweepStep.Kind, _ group: String, _ length: UptrainLength, _ change: (inout SweepStep) -> Void) {
                    let name = "\(group)-\(length.label)" + (kind == .scratch ? "-s\(seed)" : suffix)
                    var step = SweepStep(kind: kind, name: name, folder: name, seed: seed)
                    step.length = length
                    step.trainingSteps = length.steps(ofParent: train.steps, stepTokens: stepTokens) ?? 1
                    step.tokens = step.trainingSteps * stepTokens
                    step.parent = parent
                    change(&step)
                    if shares { step.beginning = trained[group] }
                    trained[group] = steps.count
                    steps.append(step)
                }
                var converted: [String: Int] = [:]
                for child in lab.allChildren {
                    converted[child.name] = steps.count
                    steps.append(
                        SweepStep(
                            kind: .converted, name: sweep == nil ? "\(child.name) converted" : child.name + suffix,
                            folder: sweep == nil ? "\(child.name)/converted" : child.name + suffix, seed: seed,
                            uptrainSeed: uptrainSeed, child: child, architecture: child.conversion.architecture, parent: parent,
                            source: parent))
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
                            add(.scratch, "\(child.conversion.architecture.name)-scratch", length) {
                                $0.architecture = child.conversion.architecture
                            }
                        }
                        add(.child, child.name, length) { step in
                            (step.child, step.architecture) = (child, child.conversion.architecture)
                            (step.uptrainSeed, step.source) = (uptrainSeed, converted[child.name])
                            if sweep == nil { (step.name, step.folder) = (child.name, child.name) }
                        }
                    }
                }
            }
        }
        self.steps = steps
        sharesTrajectories = shares
    }
}
