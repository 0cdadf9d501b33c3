import Recipes

/// One model of a sweep: what it is, and which models it is made from.
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
    /// Its folder's name begins with it.
    var name: String
    /// The parent's seed.
    var seed: Int
    /// The uptraining's own seed, where the sweep has them.
    var uptrainSeed: Int?
    /// A child's attention; nil for the parent's own.
    var architecture: ChildArchitecture?
    /// How it was converted; nil where it wasn't.
    var method: String?
    /// Share of the parent's steps; 0 for the parent.
    var alpha = 0.0
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
    /// Whether uptrainings of one child for several shares are one trajectory.
    let sharesTrajectories: Bool

    /// The plan of `recipe`, whose model and steps are given as they are by its decoding.
    init(_ recipe: Recipe, _ lab: LabRecipe, _ sweep: SweepRecipe) {
        let train = recipe.train
        // Any other schedule gives each share rates of its own from its first step on.
        let shares =
            train.schedule == .constant && train.warmupSteps == 0 && (lab.keyValueShare ?? 0) == 0 && lab.stopAt == nil
        let stepTokens = (train.batch ?? 1) * (train.seq ?? 1)
        var steps: [SweepStep] = []
        for seed in sweep.seeds {
            let parent = steps.count
            steps.append(SweepStep(kind: .parent, name: "parent-s\(seed)", seed: seed, tokens: (train.steps ?? 1) * stepTokens))
            for uptrainSeed in sweep.uptrainSeeds.map({ $0.map(Optional.some) }) ?? [nil] {
                let suffix = "-s\(seed)" + (uptrainSeed.map { "-u\($0)" } ?? "")
                var trained: [String: Int] = [:]
                func add(_ step: SweepStep, _ group: String, _ alpha: Double) {
                    var step = step
                    step.alpha = alpha
                    step.tokens = SweepRecipe.steps(alpha, of: train.steps ?? 1) * stepTokens
                    step.parent = parent
                    if shares { step.beginning = trained[group] }
                    trained[group] = steps.count
                    steps.append(step)
                }
                var converted: [String: Int] = [:]
                for architecture in sweep.architectures {
                    for method in architecture.methods(sweep) {
                        let name = "\(architecture.name)-\(method)"
                        converted[name] = steps.count
                        steps.append(
                            SweepStep(
                                kind: .converted, name: name + suffix, seed: seed, uptrainSeed: uptrainSeed,
                                architecture: architecture, method: method, parent: parent, source: parent))
                    }
                }
                for alpha in sweep.alphas {
                    if lab.control {
                        let step = SweepStep(
                            kind: .continued, name: "continued-a\(alpha)\(suffix)", seed: seed, uptrainSeed: uptrainSeed,
                            source: parent)
                        add(step, "continued", alpha)
                    }
                    for architecture in sweep.architectures {
                        // A fresh model has the parent's seed: there is one for each parent.
                        if sweep.scratch, uptrainSeed == sweep.uptrainSeeds?.first {
                            let step = SweepStep(
                                kind: .scratch, name: "\(architecture.name)-scratch-a\(alpha)-s\(seed)", seed: seed,
                                architecture: architecture)
                            add(step, "\(architecture.name) scratch", alpha)
                        }
                        for method in architecture.methods(sweep) {
                            let name = "\(architecture.name)-\(method)"
                            let step = SweepStep(
                                kind: .child, name: "\(name)-a\(alpha)\(suffix)", seed: seed, uptrainSeed: uptrainSeed,
                                architecture: architecture, method: method, source: converted[name])
                            add(step, name, alpha)
                        }
                    }
                }
            }
        }
        self.steps = steps
        sharesTrajectories = shares
    }
}
