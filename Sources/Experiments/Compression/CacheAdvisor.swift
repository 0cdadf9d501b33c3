import Evaluation
import Foundation
import Inference
import Kernels
import Models

/// The search for the model and cache of the least divergence within a budget of bytes.
///
/// For each model, encoding and policy the largest budget of slots is taken whose bytes, counted without running the model, are within the
/// budget; an eviction is no candidate where the whole cache is within it. Candidates are scored on one window, the better quarter on
/// four, and the best few measured as in a frontier: divergence on all windows, bytes and speed of decoding.
public struct CacheAdvisor: Sendable {
    /// The most cache bytes a token of a sequence while it decodes.
    public var bytesPerToken: Double
    /// Tokens of a sequence.
    public var context: Int
    /// Tokens of its prompt; nil for half of them.
    public var prompt: Int?
    /// Windows of text to measure on at most.
    public var mostWindows = 16
    /// Encodings to search; one that a model cannot have is no candidate.
    public var encodings: [CacheEncoding] = CacheEncoding.all
    /// Policies to search.
    public var policies: [String] = CacheAdvisor.policies

    /// Every policy but the control, policies of whole heads, which need a measurement of one model, and policies without a budget.
    public static let policies = EvictionPolicies.names.filter {
        $0 != "random" && !EvictionPolicies.namesOfHeads.contains($0) && !EvictionPolicies.namesWithoutBudget.contains($0)
    }
    /// Candidates measured in full.
    static let finalists = 4

    /// A search within `bytesPerToken` for sequences of `context` tokens.
    public init(bytesPerToken: Double, context: Int) { (self.bytesPerToken, self.context) = (bytesPerToken, context) }

    /// A model with a cache.
    private struct Candidate {
        var model: Int
        var cache: CacheSpec
        /// Bytes a token, counted.
        var bytes: Double
        var divergence = Double.infinity
    }

    /// The advice for `models`, the first the parent that divergence is measured from; `paths` are their files, for commands.
    ///
    /// Throws ``ExperimentError/noCacheFits(budget:least:model:cache:)`` where nothing is within the budget.
    public func advise(
        _ models: [LoadedModel], paths: [String], _ text: EvaluationText, textPath: String, bos: WindowPolicy.BOS? = nil,
        reporter: ProgressReporter
    ) throws -> CacheAdvice {
        let grid = CacheGrid([], encoding: .standard, window: context, prompt: prompt)
        for model in models { try grid.check(model.model.config, name: model.name, promptPlace: "--prefill") }
        guard let first = models.first else { preconditionFailure("CacheAdvisor: no model") }
        for model in models.dropFirst() { try first.checkSameTokens(as: model) }
        var comparison = Comparison(window: context, bos: bos)
        comparison.mostWindows = mostWindows
        let windows = try comparison.windows(first, text).filter { $0.scored(from: grid.prompt) != nil }
        guard let longest = windows.map(\.inputs.count).max() else {
            throw NoTextBehindPrompt(prompt: grid.prompt, longest: 0)
        }
        let all = try candidates(models, grid, tokens: longest, reporter: reporter)
        let parent = try ServingModel(config: first.checkpoint.config, parameters: first.checkpoint.parameters)
        var left = all
        for (count, share) in [(1, 4), (4, left.count)] where left.count > Self.finalists {
            try score(&left, models, parent, Array(windows.prefix(count)), grid, reporter)
            left = Array(left.prefix(max(Self.finalists, left.count / share)))
        }
        let entries = try byModel(&left, models, parent) { candidate, model in
            let name = Comparison.distinct(models[candidate.model].name, candidate.model, models)
            let score = try grid.measure(
                model, first.tokenizer, through: candidate.cache, parent: candidate.model == 0 ? nil : parent, windows
            ) { reporter.progress("measuring \(name)  \(candidate.cache)  window \($0)/\(windows.count)") }
            return CacheFrontier.Entry(
                model: name, attention: models[candidate.model].model.config.attentionLabel, parent: first.name,
                isParent: candidate.model == 0, seed: 0, cache: candidate.cache, score: score)
        }
        reporter.clear()
        let frontier = CacheFrontier(entries, text: "\(textPath), window \(context)", grid: grid)
        let within = left.indices.filter { entries[$0].score.cacheBytesPerToken <= bytesPerToken }.sorted {
            let (a, b) = (entries[$0].score, entries[$1].score)
            return (a.klToParent, a.cacheBytesPerToken) < (b.klToParent, b.cacheBytesPerToken)
        }
        let choices = within.prefix(2).map { index in
            CacheAdvice.Choice(
                entries[index], path: paths[left[index].model], parent: paths[0], text: textPath, grid: grid,
                windows: mostWindows,
                conversion: models[left[index].model].checkpoint.lineage.conversion)
        }
        guard let choice = choices.first else {
            // Counted and measured bytes agree; a cache at the limit may still exceed it by a byte.
            throw Self.refusal(entries.map { ($0.score.cacheBytesPerToken, $0.model, $0.cache) }, bytesPerToken)
        }
        return CacheAdvice(
            bytesPerToken: bytesPerToken, contextTokens: longest, candidates: all.count, choice: choice,
            runnerUp: choices.dropFirst().first, frontier: frontier)
    }

    /// The error of a budget that none of `caches` is within.
    private static func refusal(
        _ caches: [(bytes: Double, model: String, cache: CacheSpec)], _ budget: Double
    ) -> ExperimentError {
        guard let least = caches.min(by: { $0.bytes < $1.bytes }) else {
            return .recipe(key: "--kv-dtype", reason: "no model can have any of these encodings")
        }
        return .noCacheFits(budget: budget, least: least.bytes, model: least.model, cache: "\(least.cache)")
    }
}

extension CacheAdvisor {
    /// Every model, encoding and policy with the largest budget within the bytes, for sequences of `tokens`.
    private func candidates(
        _ models: [LoadedModel], _ grid: CacheGrid, tokens: Int, reporter: ProgressReporter
    ) throws -> [Candidate] {
        var (found, over) = ([Candidate](), [(bytes: Double, model: String, cache: CacheSpec)]())
        for (index, model) in models.enumerated() {
            let config = model.model.config
            for encoding in encodings where (try? config.kvGeometry(encoding).check(encoding)) != nil {
                reporter.progress("counting the bytes of \(model.name) in \(encoding.name)")
                func bytes(_ cache: CacheSpec) throws(InferenceError) -> Double {
                    let retention = try cache.retention()
                    let most = try CacheFootprint.most(
                        config, encoding: encoding, retention: retention,
                        pageBytes: PageSize.bytes(for: [config], encoding, under: retention), prompt: grid.prompt,
                        tokens: tokens)
                    return Double(most.bytes) / Double(tokens)
                }
                func add(_ cache: CacheSpec) throws(InferenceError) -> Bool {
                    let held = try bytes(cache)
                    guard held <= bytesPerToken else {
                        over.append((held, model.name, cache))
                        return false
                    }
                    found.append(Candidate(model: index, cache: cache, bytes: held))
                    return true
                }
                if try add(CacheSpec(keepingAllIn: encoding)) { continue }
                for policy in policies {
                    guard let largest = try largest(policy, encoding, config, tokens: tokens, bytes) else { continue }
                    let retention = try largest.retention().instructed(by: model.tokenizer)
                    guard (try? retention.check(config, prompt: grid.prompt)) != nil else { continue }
                    _ = try add(largest)
                }
            }
        }
        reporter.clear()
        guard !found.isEmpty else { throw Self.refusal(over, bytesPerToken) }
        return found
    }

    /// The policy with the largest budget within the bytes, or with its least one where that is above them; nil where the policy
    /// cannot act on the model or leaves no budget below the whole sequence.
    private func largest(
        _ policy: String, _ encoding: CacheEncoding, _ config: ModelConfig, tokens: Int,
        _ bytes: (CacheSpec) throws(InferenceError) -> Double
    ) throws(InferenceError) -> CacheSpec? {
        let goesOn = EvictionPolicies.all.first { $0.name == policy }?.options.contains(.interval) ?? false
        let interval = min(EvictionRetention.interval, max(16, tokens / 16))
        func cache(_ budget: Int) -> CacheSpec? {
            let settings = [("evict", policy), (EvictionOption.budget.rawValue, "\(budget)")]
            return try? CacheSpec(
                settings + (goesOn ? [(EvictionOption.interval.rawValue, "\(interval)")] : []), defaults: encoding)
        }
        // Budgets are valid from one on, and bytes grow with them.
        func first(_ range: Range<Int>, where holds: (Int) throws(InferenceError) -> Bool) throws(InferenceError) -> Int {
            var (low, high) = (range.lowerBound, range.upperBound)
            while low < high {
                let middle = (low + high) / 2
                if try holds(middle) { high = middle } else { low = middle + 1 }
            }
            return low
        }
        let least = try first(1..<tokens) { (budget) throws(InferenceError) in cache(budget) != nil }
        guard let leanest = cache(least), least < tokens, (try? leanest.retention().check(config, encoding)) != nil else {
            return nil
        }
        let above = try first(least..<tokens) { (budget) throws(InferenceError) in
            guard let cache = cache(budget) else { return false }
            return try bytes(cache) > bytesPerToken
        }
        return cache(max(least, above - 1))
    }

    /// Scores candidates on `windows` and puts the better ones first.
    private func score(
        _ candidates: inout [Candidate], _ models: [LoadedModel], _ parent: ServingModel, _ windows: [EvaluationWindow],
        _ grid: CacheGrid, _ reporter: ProgressReporter
    ) throws {
        var done = 0
        let count = candidates.count
        let divergences = try byModel(&candidates, models, parent) { candidate, model in
            done += 1
            reporter.progress("\(done)/\(count) candidates on \(windows.count) windows")
            let found = try CachedPerplexity.evaluate(
                model, windows, through: try grid.options(model, models[0].tokenizer, candidate.cache),
                against: candidate.model == 0 ? nil : parent)
            return found.klToFull.isNaN ? .infinity : found.klToFull
        }
        reporter.clear()
        for (index, divergence) in divergences.enumerated() { candidates[index].divergence = divergence }
        candidates.sort { ($0.divergence, $0.bytes) < ($1.divergence, $1.bytes) }
    }

    /// Sorts candidates by their models, of which one beside the parent is in memory at a time, and does `work` with each.
    private func byModel<Result>(
        _ candidates: inout [Candidate], _ models: [LoadedModel], _ parent: ServingModel,
        _ work: (Candidate, ServingModel) throws -> Result
    ) throws -> [Result] {
        candidates.sort { ($0.model, $0.divergence) < ($1.model, $1.divergence) }
        var loaded = (index: 0, model: parent)
        return try candidates.map { candidate in
            if candidate.model != loaded.index {
                let checkpoint = models[candidate.model].checkpoint
                loaded = (
                    candidate.model, try ServingModel(config: checkpoint.config, parameters: checkpoint.parameters)
                )
            }
            return try work(candidate, loaded.model)
        }
    }
}
